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
	// SHA-256 of the file without this member, the last one. Earlier versions wrote none.
	Checksum string `json:"checksum,omitempty"`
}

// encode is the content of current.json.
func (c generationRef) encode() ([]byte, error) {
	c.Checksum = ""
	plain, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	plain = append(plain, '\n')
	sum := sha256.Sum256(plain)
	return fmt.Appendf(nil, `%s,%s%x"%s`, bytes.TrimSuffix(plain, []byte(refEnd)), checksumMember, sum, refEnd), nil
}

const (
	checksumMember = "\n  \"checksum\": \""
	refEnd         = "\n}\n"
)

// decodeRef decodes current.json. Every byte counts: one that is not what siglake wrote is an error.
// A file of an earlier version has no checksum; a member that it did not write may be a checksum
// whose name was damaged.
func decodeRef(raw []byte) (c generationRef, err error) {
	at := bytes.LastIndex(raw, []byte(","+checksumMember))
	if at < 0 {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil {
			return c, err
		}
		if c.Checksum != "" || len(bytes.TrimSpace(raw[d.InputOffset():])) > 0 {
			return c, errors.New("it has been changed since siglake wrote it")
		}
		return c, nil
	}
	plain := append(bytes.Clone(raw[:at]), refEnd...)
	if sum := sha256.Sum256(plain); string(raw[at:]) != fmt.Sprintf(`,%s%x"%s`, checksumMember, sum, refEnd) {
		return c, errors.New("it has been changed since siglake wrote it")
	}
	return c, json.Unmarshal(raw, &c)
}

func (c *generationRef) manifestLink() *pipeline.Link {
	if c.Generation == 0 {
		return nil
	}
	return &pipeline.Link{Path: c.Path, SHA256: c.SHA256}
}

// checkSnapshot compares the list of files with the manifest's own.
func (c *generationRef) checkSnapshot(m *pipeline.Manifest) error {
	if c.Snapshot != nil && !reflect.DeepEqual(c.Snapshot, m.Snapshot) {
		return fmt.Errorf("%w: %s names another list of files than %s", ErrIntegrity, currentFile, c.Path)
	}
	return nil
}

// RemedyError says what to do about damage that needs no rebuild.
type RemedyError struct{ Err error }

// Error says what is damaged, and what to do.
func (e *RemedyError) Error() string { return e.Err.Error() }

// Unwrap gives the damage.
func (e *RemedyError) Unwrap() error { return e.Err }

// ManifestError says that a manifest is missing or damaged. A rebuild writes it again.
type ManifestError struct{ Err error }

// Error says what is damaged.
func (e *ManifestError) Error() string { return e.Err.Error() }

// Unwrap gives the damage.
func (e *ManifestError) Unwrap() error { return e.Err }

func manifestName(generation int64) string {
	return fmt.Sprintf("%s/%08d.json", manifestDir, generation)
}

// generations are what was published to a lake: a chain of manifests with their lists of files, of
// which current.json names the newest.
type generations struct {
	backend backend // where visible things live
	// Files that prunings have removed, as far as the chain was read for that. A list among them follows
	// from the manifests.
	removed map[string]bool
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
	if c, err = decodeRef(raw); err == nil && (c.Generation < 1 || c.Path != manifestName(c.Generation)) {
		err = errors.New("it names no generation")
	}
	if err != nil {
		err = fmt.Errorf("%w: %s is damaged: %w: %.200q; restore it, or remove it: siglake compact writes it again from the manifests", ErrIntegrity, currentFile, err, raw)
		return generationRef{}, nil, &RemedyError{err}
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
	return g.newestAfter(ctx, newest, raw)
}

// newestAfter walks from a generation to the end of the chain.
func (g *generations) newestAfter(ctx context.Context, newest generationRef, raw []byte) (generationRef, []byte, error) {
	if link := newest.manifestLink(); link != nil {
		m, err := g.readManifest(ctx, link)
		if err == nil {
			err = newest.checkSnapshot(m)
		}
		if err != nil {
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
		if err == nil && (next.Generation != newest.Generation+1 || !reflect.DeepEqual(next.Previous, newest.manifestLink())) {
			err = fmt.Errorf("%w: %s does not follow generation %d", ErrIntegrity, name, newest.Generation)
		}
		if err != nil {
			return newest, nil, &RemedyError{fmt.Errorf("%w; move that file out of the lake if it came from elsewhere, otherwise restore _meta and _state from one copy", err)}
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
		return nil, &ManifestError{fmt.Errorf("%w: a manifest is missing: %w", ErrIntegrity, err)}
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != link.SHA256 {
		return nil, &ManifestError{fmt.Errorf("%w: %s has SHA-256 %x, and the file that names it says %s", ErrIntegrity, link.Path, sum, link.SHA256)}
	}
	return parseManifest(link.Path, data)
}

func parseManifest(name string, data []byte) (*pipeline.Manifest, error) {
	m := new(pipeline.Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, &ManifestError{fmt.Errorf("%w: %s: %w", ErrIntegrity, name, err)}
	}
	return m, nil
}

// swapCurrent makes current.json name a generation, unless it does already.
func (g *generations) swapCurrent(ctx context.Context, old []byte, next generationRef) error {
	data, err := next.encode()
	if err != nil {
		return err
	}
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
