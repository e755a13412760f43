package sinks

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/pipeline"
)

// Check is a sink that computes which files the rows of a published run make. It sorts, compares and
// selects the rows as a [Lake] does, and takes the digests of their values; it encodes nothing, and
// writes nothing but spilled rows.
//
// Where one file of a partition ends and the next begins depends on the encoder. A Check ends files
// after as many rows as the published ones have: if these are other rows, the digests differ.
type Check struct{ *Lake }

var _ pipeline.Sink = (*Check)(nil)

// OpenCheck opens a check of a run that published some files. It spills rows to dir, which it creates.
// Of the options, Earlier is required.
func OpenCheck(dir string, o Options, published []pipeline.File) (*Check, error) {
	o, err := o.withDefaults()
	if err == nil && o.Earlier == nil {
		err = errors.New("nothing to compare with")
	}
	if err != nil {
		return nil, fmt.Errorf("check run %s: %w", o.RunID, err)
	}
	l := newLake(dir, o)
	if l.dir, err = openScratch(dir, o.Hook); err != nil {
		return nil, err
	}
	if err := l.dir.MkdirAll(l.runDir); err != nil {
		return nil, errors.Join(err, l.dir.Close())
	}
	l.space = extsort.NewSpace(l.dir, l.runDir)
	l.published, l.comparison.checked = dividedRows(published), true
	return &Check{l}, nil
}

// Publish does nothing: the files are published.
func (c *Check) Publish(ctx context.Context, _ *pipeline.Manifest) error { return ctx.Err() }

// dividedRows are the numbers of rows of the files of each partition, in the order of their rows.
func dividedRows(files []pipeline.File) map[string][]int64 {
	divided := map[string][]int64{}
	of := map[string][]pipeline.File{}
	for _, f := range files {
		key := path.Dir(f.Path)
		of[key] = append(of[key], f)
	}
	for key, files := range of {
		slices.SortStableFunc(files, func(a, b pipeline.File) int { return fileNumber(a.Path) - fileNumber(b.Path) })
		for _, f := range files {
			divided[key] = append(divided[key], f.Rows)
		}
	}
	return divided
}

// fileNumber is the number that a file of a partition with several files has in its name.
func fileNumber(name string) int {
	name = strings.TrimSuffix(path.Base(name), ".parquet")
	n, _ := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:]) // the name of an only file may end in anything
	return n
}

// checkedFile takes the digest of the rows of one file.
type checkedFile struct {
	p      *partition
	digest *digest
	rows   int64 // that the file takes; 0: all
}

// newCheckedFile begins the file of a partition that has a position among its files, from 0.
func newCheckedFile(p *partition, at int, published map[string][]int64) (*checkedFile, error) {
	dir, err := partitionDir(p.Partition)
	f := &checkedFile{p: p, digest: newDigest(p.table)}
	if divided := published[dir]; at < len(divided)-1 {
		f.rows = max(divided[at], 1)
	}
	return f, err
}

func (f *checkedFile) isFull() bool { return f.rows > 0 && f.rows == int64(f.digest.rows) } //nolint:gosec // rows are counted

func (f *checkedFile) writeRows(rows []extsort.Row) (rest []extsort.Row, err error) {
	n := len(rows)
	if f.rows > 0 {
		n = int(min(int64(n), f.rows-int64(f.digest.rows))) //nolint:gosec // rows are counted
	}
	f.digest.addRows(rows[:n])
	return rows[n:], nil
}

func (f *checkedFile) finishFile() (pipeline.File, string, error) {
	return f.p.describe(f.digest), "", nil
}

func (f *checkedFile) discard() {}
