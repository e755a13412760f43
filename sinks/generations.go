package sinks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"

	"github.com/siglake/siglake/pipeline"
)

// generationRef is the content of _meta/current.json.
type generationRef struct {
	Generation int64          `json:"generation"`
	Path       string         `json:"path"`
	SHA256     string         `json:"sha256"`
	Snapshot   *pipeline.Link `json:"snapshot,omitempty"` // the manifest's own, so that readers need not open it
}

func (c *generationRef) manifestLink() *pipeline.Link {
	if c.Generation == 0 {
		return nil
	}
	return &pipeline.Link{Path: c.Path, SHA256: c.SHA256}
}

func manifestName(generation int64) string {
	return fmt.Sprintf("%s/%08d.json", manifestDir, generation)
}

// generations are what was published to a lake: a chain of manifests with their lists of files, of
// which current.json names the newest.
type generations struct {
	backend backend // where visible things live
}

// CurrentGeneration returns the link to the manifest that current.json names, and its
// generation; nil and 0 if the lake has none.
func (g *generations) CurrentGeneration(ctx context.Context) (*pipeline.Link, int64, error) {
	c, _, err := g.readCurrent(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("current generation: %w", err)
	}
	return c.manifestLink(), c.Generation, nil
}

// CurrentManifest reads the manifest that current.json names; nil when there is none.
func (g *generations) CurrentManifest(ctx context.Context) (*pipeline.Manifest, error) {
	link, _, err := g.CurrentGeneration(ctx)
	if err != nil || link == nil {
		return nil, err
	}
	return g.readManifest(ctx, link)
}

func (g *generations) readCurrent(ctx context.Context) (c generationRef, raw []byte, err error) {
	raw, err = g.backend.readObject(ctx, currentFile)
	if errors.Is(err, fs.ErrNotExist) {
		return generationRef{}, nil, nil
	}
	if err != nil {
		return generationRef{}, nil, err
	}
	if err := json.Unmarshal(raw, &c); err != nil || c.Generation < 1 || c.Path != manifestName(c.Generation) {
		return generationRef{}, nil, fmt.Errorf("%w: %s does not name a generation: %.200q", ErrIntegrity, currentFile, raw)
	}
	return c, raw, nil
}

// newGenerationRef is the content of current.json for a manifest with these bytes.
func newGenerationRef(m *pipeline.Manifest, data []byte) generationRef {
	sum := sha256.Sum256(data)
	return generationRef{Generation: m.Generation, Path: manifestName(m.Generation), SHA256: hex.EncodeToString(sum[:]), Snapshot: m.Snapshot}
}

// newestGeneration walks from the current generation to the end of the chain. The chain
// is longer if a publisher has linked its manifest but has not replaced current.json
// yet, or died before that; everything that such a manifest names is visible. raw is the
// content of current.json.
func (g *generations) newestGeneration(ctx context.Context) (newest generationRef, raw []byte, err error) {
	if newest, raw, err = g.readCurrent(ctx); err != nil {
		return newest, nil, err
	}
	if link := newest.manifestLink(); link != nil {
		if _, err := g.readManifest(ctx, link); err != nil {
			return newest, nil, err
		}
	}
	for {
		name := manifestName(newest.Generation + 1)
		data, err := g.backend.readObject(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return newest, raw, nil
		}
		if err != nil {
			return newest, nil, err
		}
		next, err := parseManifest(name, data)
		if err != nil {
			return newest, nil, err
		}
		if next.Generation != newest.Generation+1 || !reflect.DeepEqual(next.Previous, newest.manifestLink()) {
			return newest, nil, fmt.Errorf("%w: %s does not follow generation %d", ErrIntegrity, name, newest.Generation)
		}
		newest = newGenerationRef(next, data)
	}
}

// findPublished finds the generation that names exactly the same files. It searches the
// chain only if the first file is already visible.
func (g *generations) findPublished(ctx context.Context, newest generationRef, files []pipeline.File) (*pipeline.Manifest, error) {
	if len(files) == 0 {
		return nil, nil
	}
	o, err := g.backend.openObject(ctx, files[0].Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = o.Close()
	}
	if err != nil {
		return nil, err
	}
	for link := newest.manifestLink(); link != nil; {
		m, err := g.readManifest(ctx, link)
		if err != nil {
			return nil, err
		}
		if sameFiles(m.Files, files) {
			return m, nil
		}
		link = m.Previous
	}
	return nil, nil
}

// readManifest reads a manifest and checks it against the link that names it.
func (g *generations) readManifest(ctx context.Context, link *pipeline.Link) (*pipeline.Manifest, error) {
	data, err := g.backend.readObject(ctx, link.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: a manifest is missing: %w", ErrIntegrity, err)
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != link.SHA256 {
		return nil, fmt.Errorf("%w: %s has SHA-256 %x, and the file that names it says %s", ErrIntegrity, link.Path, sum, link.SHA256)
	}
	return parseManifest(link.Path, data)
}

func parseManifest(name string, data []byte) (*pipeline.Manifest, error) {
	m := new(pipeline.Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrIntegrity, name, err)
	}
	return m, nil
}

// swapCurrent makes current.json name a generation, unless it does already.
func (g *generations) swapCurrent(ctx context.Context, old []byte, next generationRef) error {
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if bytes.Equal(old, data) {
		return nil
	}
	err = g.backend.swapObject(ctx, currentFile, old, data)
	if !errors.Is(err, errChanged) {
		return err
	}
	// A later publisher may have replaced it for us, or with a newer generation.
	if current, _, readErr := g.readCurrent(ctx); readErr == nil && current.Generation >= next.Generation {
		return nil
	}
	return fmt.Errorf("generation %d is complete: %w: %w", next.Generation, ErrConflict, err)
}
