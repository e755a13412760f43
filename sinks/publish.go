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
	"regexp"
	"slices"

	"golang.org/x/sync/errgroup"

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

// CurrentGeneration returns the link to the manifest that current.json names, and its
// generation; nil and 0 if the lake has none.
func (l *Lake) CurrentGeneration(ctx context.Context) (*pipeline.Link, int64, error) {
	c, _, err := l.readCurrent(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("current generation: %w", err)
	}
	return c.manifestLink(), c.Generation, nil
}

// CurrentManifest reads the manifest that current.json names; nil when there is none.
func (l *Lake) CurrentManifest(ctx context.Context) (*pipeline.Manifest, error) {
	link, _, err := l.CurrentGeneration(ctx)
	if err != nil || link == nil {
		return nil, err
	}
	return l.readManifest(ctx, link)
}

func (l *Lake) readCurrent(ctx context.Context) (c generationRef, raw []byte, err error) {
	raw, err = l.backend.readObject(ctx, currentFile)
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

// Publish makes the files that m names visible, then the manifest: it sets m's
// generation and its link to the previous generation. The files must have been staged
// under this run id, by this process or an earlier one. A file that is already visible
// is accepted if its rows are the same, and m then describes it as it is. If a
// generation names exactly the same files, there is nothing to do and m gets that
// generation.
//
// Publish ignores ctx once the first file may be visible: stopping half-way would gain
// nothing.
func (l *Lake) Publish(ctx context.Context, m *pipeline.Manifest) error {
	if l.closed {
		return errors.New("publish: the lake is closed")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	for range 10 { // a concurrent publisher wins one generation, not ten
		if err = l.publishOnce(context.WithoutCancel(ctx), m); !errors.Is(err, ErrConflict) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("publish run %s: %w", l.options.RunID, err)
	}
	return nil
}

func (l *Lake) publishOnce(ctx context.Context, m *pipeline.Manifest) error {
	newest, raw, err := l.newestGeneration(ctx)
	if err != nil {
		return err
	}
	for i := range m.Files {
		if path := m.Files[i].Path; !validFile.MatchString(path) {
			return fmt.Errorf("%q is not the path of a file of a lake", path)
		}
	}
	if earlier, err := l.findPublished(ctx, newest, m.Files); err != nil {
		return err
	} else if earlier != nil {
		m.Generation, m.Previous, m.Snapshot, m.Files = earlier.Generation, earlier.Previous, earlier.Snapshot, earlier.Files
		return l.swapCurrent(ctx, raw, newest)
	}
	var g errgroup.Group // awaited below
	g.SetLimit(l.backend.maxParallel())
	for i := range m.Files {
		g.Go(func() error { return l.publishStaged(ctx, &m.Files[i]) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := l.backend.syncPublished(ctx); err != nil {
		return err
	}

	m.Generation, m.Previous = newest.Generation+1, newest.manifestLink()
	if m.Snapshot, err = l.writeSnapshot(ctx, m); err != nil {
		return err
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	data = append(data, '\n')
	next := newGenerationRef(m, data)
	if err := l.backend.createObject(ctx, next.Path, data); errors.Is(err, fs.ErrExist) {
		// It may be our own, if only the answer was lost.
		existing, readErr := l.backend.readObject(ctx, next.Path)
		if readErr != nil {
			return errors.Join(err, readErr)
		}
		if !bytes.Equal(existing, data) {
			return fmt.Errorf("generation %d: %w; the run's files are in place and complete, publish again to name them in the next generation (%w)",
				m.Generation, ErrConflict, err)
		}
	} else if err != nil {
		return err
	}
	return l.swapCurrent(ctx, raw, next)
}

var validFile = regexp.MustCompile(`^(` + compactDir + `/)?(` + dataDir + `|` + ledgerDir + `)(/[A-Za-z0-9_=-]+)+\.parquet$`)

// newGenerationRef is the content of current.json for a manifest with these bytes.
func newGenerationRef(m *pipeline.Manifest, data []byte) generationRef {
	sum := sha256.Sum256(data)
	return generationRef{Generation: m.Generation, Path: manifestName(m.Generation), SHA256: hex.EncodeToString(sum[:]), Snapshot: m.Snapshot}
}

// newestGeneration walks from the current generation to the end of the chain. The chain
// is longer if a publisher has linked its manifest but has not replaced current.json
// yet, or died before that; everything that such a manifest names is visible. raw is the
// content of current.json.
func (l *Lake) newestGeneration(ctx context.Context) (newest generationRef, raw []byte, err error) {
	if newest, raw, err = l.readCurrent(ctx); err != nil {
		return newest, nil, err
	}
	if link := newest.manifestLink(); link != nil {
		if _, err := l.readManifest(ctx, link); err != nil {
			return newest, nil, err
		}
	}
	for {
		name := manifestName(newest.Generation + 1)
		data, err := l.backend.readObject(ctx, name)
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
func (l *Lake) findPublished(ctx context.Context, newest generationRef, files []pipeline.File) (*pipeline.Manifest, error) {
	if len(files) == 0 {
		return nil, nil
	}
	o, err := l.backend.openObject(ctx, files[0].Path)
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
		m, err := l.readManifest(ctx, link)
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
func (l *Lake) readManifest(ctx context.Context, link *pipeline.Link) (*pipeline.Manifest, error) {
	data, err := l.backend.readObject(ctx, link.Path)
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

// sameFiles reports whether two lists name the same content.
func sameFiles(a, b []pipeline.File) bool {
	return slices.EqualFunc(a, b, func(a, b pipeline.File) bool {
		return a.Path == b.Path && a.Digest == b.Digest && a.Rows == b.Rows
	})
}

// swapCurrent makes current.json name a generation, unless it does already.
func (l *Lake) swapCurrent(ctx context.Context, old []byte, next generationRef) error {
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if bytes.Equal(old, data) {
		return nil
	}
	err = l.backend.swapObject(ctx, currentFile, old, data)
	if !errors.Is(err, errChanged) {
		return err
	}
	// A later publisher may have replaced it for us, or with a newer generation.
	if current, _, readErr := l.readCurrent(ctx); readErr == nil && current.Generation >= next.Generation {
		return nil
	}
	return fmt.Errorf("generation %d is complete: %w: %w", next.Generation, ErrConflict, err)
}

// publishStaged makes one staged file visible. A file that already exists stays if it
// holds the same rows.
func (l *Lake) publishStaged(ctx context.Context, f *pipeline.File) error {
	err := l.backend.publishFile(ctx, l.stagedName(f.Path), f.Path)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	o, err := l.backend.openObject(ctx, f.Path)
	if err != nil {
		return err
	}
	existing, err := describeFile(o)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	if existing.Digest != f.Digest || existing.Rows != f.Rows {
		return fmt.Errorf("%w: %s exists with %d rows and digest %.16s, this run has %d rows and digest %.16s",
			ErrIntegrity, f.Path, existing.Rows, existing.Digest, f.Rows, f.Digest)
	}
	f.Bytes, f.SHA256, f.RowGroups = existing.Bytes, existing.SHA256, existing.RowGroups
	return nil
}
