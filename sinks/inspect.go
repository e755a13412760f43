package sinks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/siglake/siglake/pipeline"
)

// Inspector reads a lake without changing it.
type Inspector struct {
	path string
	lake *Lake
}

// Inspect opens a lake for looking at.
func Inspect(ctx context.Context, uri string) (*Inspector, error) {
	path, err := Check(uri)
	if err != nil {
		return nil, err
	}
	o, err := Options{RunID: "inspect"}.withDefaults()
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	d := &dir{base: path, hook: o.Hook, root: root}
	return &Inspector{path: path, lake: &Lake{options: o, disk: d, place: &dirPlace{dir: d}}}, ctx.Err()
}

// Close lets go of the lake.
func (i *Inspector) Close() error { return i.lake.disk.close() }

// Chain gives the manifests from the first generation to the one that
// current.json names. A link that is broken is ErrIntegrity, with the manifests
// behind it.
func (i *Inspector) Chain(ctx context.Context) (chain []*pipeline.Manifest, err error) {
	at, _, err := i.lake.current(ctx)
	if err != nil {
		return nil, err
	}
	generation := at.Generation
	for link := at.link(); link != nil; generation-- {
		m, err := i.lake.manifest(ctx, link)
		if err == nil && m.Generation != generation {
			err = fmt.Errorf("%w: %s says it is generation %d, want %d", ErrIntegrity, link.Path, m.Generation, generation)
		}
		if err != nil {
			slices.Reverse(chain)
			return chain, err
		}
		chain = append(chain, m)
		link = m.Previous
	}
	if generation != 0 {
		err = fmt.Errorf("%w: the chain ends before generation %d", ErrIntegrity, generation)
	}
	slices.Reverse(chain)
	return chain, err
}

// Visible lists the files that someone who globs sees, whatever their names.
func (i *Inspector) Visible() (paths []string, err error) {
	for _, top := range []string{dataDir, ledgerDir} {
		err := filepath.WalkDir(filepath.Join(i.path, top), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(i.path, path)
			paths = append(paths, strings.ReplaceAll(name, string(filepath.Separator), "/"))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// Describe reads a whole file and says what it holds.
func (i *Inspector) Describe(ctx context.Context, path string) (pipeline.File, error) {
	o, err := i.lake.place.open(ctx, path)
	if err != nil {
		return pipeline.File{}, err
	}
	return describe(o)
}
