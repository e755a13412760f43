package sinks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/siglake/siglake/pipeline"
)

// Inspector reads a lake without changing it.
type Inspector struct{ lake *Lake }

// Inspect opens a lake for looking at. Of the options only Bucket matters.
func Inspect(ctx context.Context, uri string, o Options) (*Inspector, error) {
	o.RunID = "inspect"
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if OnS3(uri) {
		b, err := o.bucket(ctx, uri)
		if err != nil {
			return nil, fmt.Errorf("open lake: %w", err)
		}
		return &Inspector{&Lake{options: o, place: &s3Place{bucket: b}}}, ctx.Err()
	}
	path, err := Check(uri)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	d := &dir{base: path, hook: o.Hook, root: root}
	return &Inspector{&Lake{options: o, disk: d, place: &dirPlace{dir: d}}}, ctx.Err()
}

// Close lets go of the lake.
func (i *Inspector) Close() error {
	if i.lake.disk == nil {
		return nil
	}
	return i.lake.disk.close()
}

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
func (i *Inspector) Visible(ctx context.Context) (paths []string, err error) {
	for _, top := range []string{dataDir, ledgerDir} {
		for name, err := range i.lake.place.walk(ctx, top) {
			if err != nil {
				return nil, err
			}
			paths = append(paths, name)
		}
	}
	return paths, nil
}

// Scan calls look with every object of the lake and its content, those that are
// no reader's business too.
func (i *Inspector) Scan(ctx context.Context, look func(name string, content []byte)) error {
	for name, err := range i.lake.place.walk(ctx, "") {
		if err != nil {
			return err
		}
		content, err := i.lake.place.read(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is gone since it was listed
		}
		if err != nil {
			return err
		}
		look(name, content)
	}
	return nil
}

// Describe reads a whole file and says what it holds.
func (i *Inspector) Describe(ctx context.Context, path string) (pipeline.File, error) {
	o, err := i.lake.place.open(ctx, path)
	if err != nil {
		return pipeline.File{}, err
	}
	return describe(o)
}
