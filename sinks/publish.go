package sinks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/siglake/siglake/pipeline"
)

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
	if l.options.Published != nil {
		l.options.Published(l.uri, m)
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

// sameFiles reports whether two lists name the same content.
func sameFiles(a, b []pipeline.File) bool {
	return slices.EqualFunc(a, b, func(a, b pipeline.File) bool {
		return a.Path == b.Path && a.Digest == b.Digest && a.Rows == b.Rows
	})
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
