package sinks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/siglake/siglake/pipeline"
)

// Stage sorts, encodes, syncs and reads back the files of all partitions, one
// partition after another, and says what they will be called. Until Publish
// they are invisible. Calling it again gives the same list.
func (l *Lake) Stage(ctx context.Context) ([]pipeline.File, error) {
	if l.closed {
		return nil, errors.New("stage: the lake is closed")
	}
	if l.done {
		return slices.Clone(l.staged), nil
	}
	for _, name := range slices.Sorted(maps.Keys(l.partitions)) {
		if _, err := l.stagePartition(ctx, l.partitions[name]); err != nil {
			return nil, err
		}
	}
	return l.settleStaged()
}

func (l *Lake) stagePartition(ctx context.Context, p *partition) ([]pipeline.File, error) {
	files, err := l.stage(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", p, err)
	}
	l.staged = append(l.staged, files...)
	l.memory -= p.memory
	p.forget()
	return files, nil
}

// settleStaged makes the names in the scratch directory outlive a crash too:
// they may be published by another process. It gives the files.
func (l *Lake) settleStaged() ([]pipeline.File, error) {
	for _, dir := range []string{l.scratch, stagingDir, "."} {
		if err := l.disk.syncDir(dir); err != nil {
			return nil, fmt.Errorf("stage: %w", err)
		}
	}
	slices.SortFunc(l.staged, func(a, b pipeline.File) int { return strings.Compare(a.Path, b.Path) })
	l.done = true
	return slices.Clone(l.staged), nil
}

// stage writes the files of one partition.
func (l *Lake) stage(ctx context.Context, p *partition) ([]pipeline.File, error) {
	if err := l.reduce(ctx, p); err != nil {
		return nil, err
	}
	cursors, err := l.openRuns(p, p.runs)
	if err != nil {
		return nil, err
	}
	cursors = append(cursors, p.sorted())

	var files []pipeline.File
	var names []string
	var open *output
	defer func() {
		if open != nil {
			open.file.drop()
		}
	}()
	finish := func() error {
		f, err := open.finish()
		if err != nil {
			return err
		}
		files, names, open = append(files, f), append(names, open.file.name), nil
		return nil
	}
	once := newDeduplicate(p.table)
	if l.under != "" {
		once.unique = -1 // readers of the small files see all of them
	}
	err = merge(ctx, cursors, func(rows []row) error {
		rows = slices.DeleteFunc(rows, func(r row) bool { return !once.first(r) })
		if len(rows) == 0 {
			return nil
		}
		if open != nil && open.encoder.size() >= l.options.TargetFileSize {
			if err := finish(); err != nil {
				return err
			}
		}
		if open == nil {
			var err error
			if open, err = l.newOutput(p); err != nil {
				return err
			}
		}
		return open.write(rows)
	})
	if err == nil && open != nil {
		err = finish()
	}
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		files[len(files)-1].Duplicate = once.dropped
	}
	for _, r := range p.runs {
		if err := l.disk.remove(r.name); err != nil {
			return nil, err
		}
	}
	p.runs = nil
	return files, l.name(p, files, names)
}

// name gives the files of a partition their names, and finds each in the
// scratch directory under a name that follows from the final one.
func (l *Lake) name(p *partition, files []pipeline.File, written []string) error {
	parent, err := folder(p.Partition)
	if err != nil {
		return err
	}
	for i := range files {
		f := &files[i]
		suffix := ""
		if len(files) > 1 {
			suffix = fmt.Sprintf("-%04d", i+1)
		}
		f.Path = path.Join(l.under, parent, fmt.Sprintf("%s-%s%s.parquet", l.options.RunID, f.Digest[:8], suffix))
		if err := l.disk.rename(written[i], l.stagedName(f.Path)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lake) stagedName(path string) string {
	return l.scratch + "/" + strings.ReplaceAll(path, "/", "+") + ".tmp"
}

// output is a file that is being encoded.
type output struct {
	lake    *Lake
	p       *partition
	file    *file
	encoder *encoder
	digest  *digest
	bytes   hash.Hash // of what was encoded
}

func (l *Lake) newOutput(p *partition) (*output, error) {
	l.encoded++
	f, err := l.disk.create(fmt.Sprintf("%s/file-%06d.parquet.tmp", l.scratch, l.encoded))
	if err != nil {
		return nil, err
	}
	o := &output{lake: l, p: p, file: f, digest: newDigest(p.table), bytes: sha256.New()}
	o.encoder = newEncoder(io.MultiWriter(f, o.bytes), p.table, &l.options)
	return o, nil
}

func (o *output) write(rows []row) error {
	for _, r := range rows {
		o.digest.add(r)
	}
	return o.encoder.write(rows)
}

// finish completes the file, makes it durable, reads it back and describes it.
func (o *output) finish() (pipeline.File, error) {
	digest := o.digest.sum()
	if err := o.encoder.close(digest); err != nil {
		return pipeline.File{}, err
	}
	if err := o.file.finish(); err != nil {
		return pipeline.File{}, err
	}
	f := pipeline.File{
		Table: o.p.Table, Rows: int64(o.digest.rows), Digest: digest,
		SHA256: hex.EncodeToString(o.bytes.Sum(nil)), Bytes: o.file.size,
	}
	if o.p.Key != "" {
		f.Partition = o.p.Key + "=" + o.p.Value
	}
	back, err := o.lake.disk.open(o.file.name)
	if err != nil {
		return pipeline.File{}, err
	}
	got, err := describe(back)
	switch {
	case err != nil:
	case got.SHA256 != f.SHA256 || got.Bytes != f.Bytes || got.Rows != f.Rows || got.Digest != f.Digest:
		err = errors.New("what was read back is not what was written; check the disk")
	}
	if err != nil {
		return pipeline.File{}, fmt.Errorf("read back %s: %w", o.lake.disk.path(o.file.name), err)
	}
	f.RowGroups = got.RowGroups
	return f, nil
}

// describe reads a whole file: the digest of its bytes, then its footer. It
// closes the file.
func describe(o object) (f pipeline.File, err error) {
	defer func() { err = errors.Join(err, o.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(o, 0, o.Size())); err != nil {
		return f, err
	}
	foot, err := readFooter(o, o.Size())
	if err != nil {
		return f, err
	}
	return pipeline.File{
		Rows: foot.rows, RowGroups: foot.rowGroups, Digest: foot.digest,
		Bytes: o.Size(), SHA256: hex.EncodeToString(h.Sum(nil)),
	}, nil
}
