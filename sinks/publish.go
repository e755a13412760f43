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

// current is the content of _meta/current.json.
type current struct {
	Generation int64          `json:"generation"`
	Path       string         `json:"path"`
	SHA256     string         `json:"sha256"`
	Snapshot   *pipeline.Link `json:"snapshot,omitempty"` // the manifest's own, so that readers need not open it
}

func (c *current) link() *pipeline.Link {
	if c.Generation == 0 {
		return nil
	}
	return &pipeline.Link{Path: c.Path, SHA256: c.SHA256}
}

func manifestName(generation int64) string {
	return fmt.Sprintf("%s/%08d.json", manifestDir, generation)
}

// Current says which manifest the lake's current.json names, and its
// generation. A lake without one gives nil and 0.
func (l *Lake) Current(ctx context.Context) (*pipeline.Link, int64, error) {
	c, _, err := l.current(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("current generation: %w", err)
	}
	return c.link(), c.Generation, nil
}

// Newest reads the manifest that current.json names; nil when there is none.
func (l *Lake) Newest(ctx context.Context) (*pipeline.Manifest, error) {
	link, _, err := l.Current(ctx)
	if err != nil || link == nil {
		return nil, err
	}
	return l.manifest(ctx, link)
}

func (l *Lake) current(ctx context.Context) (c current, raw []byte, err error) {
	raw, err = l.place.read(ctx, currentFile)
	if errors.Is(err, fs.ErrNotExist) {
		return current{}, nil, nil
	}
	if err != nil {
		return current{}, nil, err
	}
	if err := json.Unmarshal(raw, &c); err != nil || c.Generation < 1 || c.Path != manifestName(c.Generation) {
		return current{}, nil, fmt.Errorf("%w: %s does not name a generation: %.200q", ErrIntegrity, currentFile, raw)
	}
	return c, raw, nil
}

// Publish makes the files that m names visible, then the manifest: it sets m's
// generation and its link to the generation before. Files are taken as staged
// by this run id, in this process or an earlier one; a file that is visible
// already is accepted when its rows are the same, and m then describes it as it
// is. If a generation names the very same files, there is nothing to do and m
// gets that generation.
//
// ctx is not looked at any more once the first file may be visible: stopping
// half-way helps nobody.
func (l *Lake) Publish(ctx context.Context, m *pipeline.Manifest) error {
	if l.closed {
		return errors.New("publish: the lake is closed")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	for range 10 { // somebody who publishes at the same moment wins a generation, not ten
		if err = l.publish(context.WithoutCancel(ctx), m); !errors.Is(err, ErrConflict) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("publish run %s: %w", l.options.RunID, err)
	}
	return nil
}

func (l *Lake) publish(ctx context.Context, m *pipeline.Manifest) error {
	newest, raw, err := l.newest(ctx)
	if err != nil {
		return err
	}
	for i := range m.Files {
		if path := m.Files[i].Path; !validFile.MatchString(path) {
			return fmt.Errorf("%q is not the path of a file of a lake", path)
		}
	}
	if earlier, err := l.published(ctx, newest, m.Files); err != nil {
		return err
	} else if earlier != nil {
		m.Generation, m.Previous, m.Snapshot, m.Files = earlier.Generation, earlier.Previous, earlier.Snapshot, earlier.Files
		return l.turn(ctx, raw, newest)
	}
	var g errgroup.Group // awaited below
	g.SetLimit(l.place.width())
	for i := range m.Files {
		g.Go(func() error { return l.show(ctx, &m.Files[i]) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := l.place.settle(ctx); err != nil {
		return err
	}

	m.Generation, m.Previous = newest.Generation+1, newest.link()
	if m.Snapshot, err = l.keepSnapshot(ctx, m); err != nil {
		return err
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	data = append(data, '\n')
	next := describeManifest(m, data)
	if err := l.place.create(ctx, next.Path, data); errors.Is(err, fs.ErrExist) {
		// It may be ours all the same, if only the answer was lost.
		there, readErr := l.place.read(ctx, next.Path)
		if readErr != nil {
			return errors.Join(err, readErr)
		}
		if !bytes.Equal(there, data) {
			return fmt.Errorf("generation %d: %w; the run's files are in place and complete, publish again to name them in the next generation (%w)",
				m.Generation, ErrConflict, err)
		}
	} else if err != nil {
		return err
	}
	return l.turn(ctx, raw, next)
}

var validFile = regexp.MustCompile(`^(` + compactDir + `/)?(` + dataDir + `|` + ledgerDir + `)(/[A-Za-z0-9_=-]+)+\.parquet$`)

// describeManifest is what current.json says of a manifest with these bytes.
func describeManifest(m *pipeline.Manifest, data []byte) current {
	sum := sha256.Sum256(data)
	return current{Generation: m.Generation, Path: manifestName(m.Generation), SHA256: hex.EncodeToString(sum[:]), Snapshot: m.Snapshot}
}

// newest walks from the current generation to the end of the chain. It is
// longer when a publisher died, or has not come, between linking its manifest
// and turning current.json; everything such a manifest names is visible. raw is
// what current.json holds.
func (l *Lake) newest(ctx context.Context) (at current, raw []byte, err error) {
	if at, raw, err = l.current(ctx); err != nil {
		return at, nil, err
	}
	if link := at.link(); link != nil {
		if _, err := l.manifest(ctx, link); err != nil {
			return at, nil, err
		}
	}
	for {
		name := manifestName(at.Generation + 1)
		data, err := l.place.read(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return at, raw, nil
		}
		if err != nil {
			return at, nil, err
		}
		next, err := parseManifest(name, data)
		if err != nil {
			return at, nil, err
		}
		if next.Generation != at.Generation+1 || !reflect.DeepEqual(next.Previous, at.link()) {
			return at, nil, fmt.Errorf("%w: %s does not follow generation %d", ErrIntegrity, name, at.Generation)
		}
		at = describeManifest(next, data)
	}
}

// published finds the generation that names the very same files. It looks
// through the chain only if the first file is visible already.
func (l *Lake) published(ctx context.Context, newest current, files []pipeline.File) (*pipeline.Manifest, error) {
	if len(files) == 0 {
		return nil, nil
	}
	o, err := l.place.open(ctx, files[0].Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = o.Close()
	}
	if err != nil {
		return nil, err
	}
	for link := newest.link(); link != nil; {
		m, err := l.manifest(ctx, link)
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

// manifest reads a manifest and checks it against the link that names it.
func (l *Lake) manifest(ctx context.Context, link *pipeline.Link) (*pipeline.Manifest, error) {
	data, err := l.place.read(ctx, link.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: a manifest is missing: %w", ErrIntegrity, err)
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != link.SHA256 {
		return nil, fmt.Errorf("%w: %s has SHA-256 %x, what names it says %s", ErrIntegrity, link.Path, sum, link.SHA256)
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

// sameFiles says whether two lists name the same content.
func sameFiles(a, b []pipeline.File) bool {
	return slices.EqualFunc(a, b, func(a, b pipeline.File) bool {
		return a.Path == b.Path && a.Digest == b.Digest && a.Rows == b.Rows
	})
}

// turn makes current.json name a generation, unless it does already.
func (l *Lake) turn(ctx context.Context, old []byte, to current) error {
	data, err := json.MarshalIndent(to, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if bytes.Equal(old, data) {
		return nil
	}
	err = l.place.swap(ctx, currentFile, old, data)
	if !errors.Is(err, errMoved) {
		return err
	}
	// Somebody who came later may have turned it for us, or gone further.
	if now, _, readErr := l.current(ctx); readErr == nil && now.Generation >= to.Generation {
		return nil
	}
	return fmt.Errorf("generation %d is complete: %w: %w", to.Generation, ErrConflict, err)
}

// show makes one staged file visible. A file that is there already stays, if it
// holds the same rows.
func (l *Lake) show(ctx context.Context, f *pipeline.File) error {
	err := l.place.promote(ctx, l.stagedName(f.Path), f.Path)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	o, err := l.place.open(ctx, f.Path)
	if err != nil {
		return err
	}
	there, err := describe(o)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	if there.Digest != f.Digest || there.Rows != f.Rows {
		return fmt.Errorf("%w: %s exists with %d rows and digest %.16s, this run has %d rows and digest %.16s",
			ErrIntegrity, f.Path, there.Rows, there.Digest, f.Rows, f.Digest)
	}
	f.Bytes, f.SHA256, f.RowGroups = there.Bytes, there.SHA256, there.RowGroups
	return nil
}
