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

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/internal/parallel"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Stage sorts, encodes, syncs and reads back the files of all partitions, several at once,
// and returns them with their final names. Until Publish they are invisible. Another call
// stages the partitions that were written since, and returns the whole list. Events of a table of
// which some were staged cannot follow: all of its rows are compared at once.
func (l *Lake) Stage(ctx context.Context) ([]pipeline.File, error) {
	if l.closed {
		return nil, errors.New("stage: the lake is closed")
	}
	var first, last []*partition // accounts say which of their events are new
	for _, name := range slices.Sorted(maps.Keys(l.partitions)) {
		switch p := l.partitions[name]; {
		case p.staged:
		case p.table.Name == schema.Accounts.Name:
			last = append(last, p)
		default:
			first = append(first, p)
		}
	}
	for _, partitions := range [][]*partition{first, last} {
		if _, err := l.stagePartitions(ctx, partitions); err != nil {
			return nil, err
		}
	}
	return l.finishStaging()
}

// stagePartitions stages partitions, and returns their files. It decides first which rows of all are
// written. Then the partitions depend on nothing but themselves.
func (l *Lake) stagePartitions(ctx context.Context, partitions []*partition) (staged []pipeline.File, err error) {
	kept := make([]selection, len(partitions))
	for i, p := range partitions {
		if kept[i], err = l.newSelection(ctx, p); err != nil {
			return nil, p.stageError(l.published != nil, err)
		}
		if events, ok := kept[i].(*eventSelection); ok {
			events.dropped = map[uint64]int64{}
		}
	}
	files := make([][]pipeline.File, len(partitions))
	err = parallel.Do(ctx, l.options.stagedAtOnce(), len(partitions), func(ctx context.Context, i int) (err error) {
		p := partitions[i]
		if files[i], err = l.writeFiles(ctx, p, kept[i]); err != nil {
			return p.stageError(l.published != nil, err)
		}
		p.Release()
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, p := range partitions {
		p.staged, staged = true, append(staged, files[i]...)
		if events, ok := kept[i].(*eventSelection); ok {
			for line, rows := range events.dropped {
				l.comparison.dropped[line] += rows
			}
			l.comparison.counted += events.counted.rows
		}
	}
	l.staged = append(l.staged, staged...)
	return staged, nil
}

// stageError is the error of staging a partition, or of comparing its rows with published ones.
func (p *partition) stageError(compared bool, err error) error {
	if compared {
		return fmt.Errorf("compare the rows of %s: %w", p, err)
	}
	return fmt.Errorf("stage %s: %w", p, err)
}

// encoderMemory is about the most that encoding one file takes: the row group that is encoded, its dictionaries, and
// the pages of its columns. It was measured with news whose texts are all different.
const encoderMemory = 60 << 20

// stagedAtOnce is how many partitions are staged side by side. No answer is in memory then, for which a program has more
// than for sorting.
func (o *Options) stagedAtOnce() int {
	return int(max(1, min(int64(o.Jobs), o.SortMemory*5/2/encoderMemory)))
}

// finishStaging makes the names in the scratch directory durable, since another process
// may publish them. It returns the files.
func (l *Lake) finishStaging() ([]pipeline.File, error) {
	if l.published == nil {
		for _, dir := range []string{l.runDir, stagingDir, "."} {
			if err := l.dir.SyncDir(dir); err != nil {
				return nil, fmt.Errorf("stage: %w", err)
			}
		}
	}
	slices.SortFunc(l.staged, func(a, b pipeline.File) int { return strings.Compare(a.Path, b.Path) })
	return slices.Clone(l.staged), nil
}

// output takes the rows of one file.
type output interface {
	// isFull reports whether the next row goes to another file.
	isFull() bool
	// writeRows appends rows, and returns those that go to another file.
	writeRows(rows []extsort.Row) (rest []extsort.Row, err error)
	// finishFile completes the file. name is what it is called in the scratch directory; empty: it
	// was not written.
	finishFile() (f pipeline.File, name string, err error)
	// discard drops a file that was not completed.
	discard()
}

// partitionWriter divides the rows of a partition among files.
type partitionWriter struct {
	lake  *Lake
	p     *partition
	out   output // nil: the next row begins a file
	files []pipeline.File
	names []string // in the scratch directory
}

func (w *partitionWriter) writeRows(rows []extsort.Row) (err error) {
	for len(rows) > 0 {
		if w.out != nil && w.out.isFull() {
			if err := w.finish(); err != nil {
				return err
			}
		}
		if w.out == nil {
			if w.out, err = w.lake.newOutput(w.p, len(w.files)); err != nil {
				return err
			}
		}
		if rows, err = w.out.writeRows(rows); err != nil {
			return err
		}
	}
	return nil
}

// finish completes the current file, if there is one.
func (w *partitionWriter) finish() error {
	if w.out == nil {
		return nil
	}
	f, name, err := w.out.finishFile()
	if err != nil {
		return err
	}
	w.files, w.names, w.out = append(w.files, f), append(w.names, name), nil
	return nil
}

// close drops what was not completed.
func (w *partitionWriter) close() {
	if w.out != nil {
		w.out.discard()
	}
}

// writeFiles writes the files of one partition, of those rows that are kept.
func (l *Lake) writeFiles(ctx context.Context, p *partition, kept selection) ([]pipeline.File, error) {
	w := &partitionWriter{lake: l, p: p}
	defer w.close()
	err := p.Merge(ctx, func(rows []extsort.Row) error {
		rows, err := kept.selectRows(rows)
		if err != nil || len(rows) == 0 {
			return err
		}
		return w.writeRows(rows)
	})
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		return nil, err
	}
	if n := len(w.files); n > 0 {
		w.files[n-1].Duplicate = kept.repeated()
	}
	if err := p.RemoveRuns(); err != nil {
		return nil, err
	}
	return w.files, l.nameFiles(p, w.files, w.names)
}

// nameFiles gives the files of a partition their final names, and renames each in the
// scratch directory to a name that follows from it.
func (l *Lake) nameFiles(p *partition, files []pipeline.File, written []string) error {
	parent, err := partitionDir(p.Partition)
	if err != nil {
		return err
	}
	for i := range files {
		f := &files[i]
		suffix := ""
		if len(files) > 1 {
			suffix = fmt.Sprintf("-%04d", i+1)
		}
		f.Path = path.Join(l.prefix, parent, fmt.Sprintf("%s-%s%s.parquet", l.options.RunID, f.Digest[:8], suffix))
		if written[i] == "" {
			continue
		}
		if err := l.dir.Rename(written[i], l.stagedName(f.Path)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lake) stagedName(path string) string {
	return l.runDir + "/" + strings.ReplaceAll(path, "/", "+") + ".tmp"
}

// outputFile is a file that is being encoded.
type outputFile struct {
	lake    *Lake
	p       *partition
	file    *durable.File
	encoder *encoder
	digest  *digest
	bytes   hash.Hash // of the encoded bytes
}

// newOutput begins the file of a partition that has a position among its files, from 0.
func (l *Lake) newOutput(p *partition, at int) (output, error) {
	if l.published != nil {
		return newCheckedFile(p, at, l.published)
	}
	f, err := l.dir.Create(fmt.Sprintf("%s/file-%06d.parquet.tmp", l.runDir, l.fileCount.Add(1)))
	if err != nil {
		return nil, err
	}
	o := &outputFile{lake: l, p: p, file: f, digest: newDigest(p.table), bytes: sha256.New()}
	o.encoder = newEncoder(io.MultiWriter(f, o.bytes), p.table, &l.options)
	return o, nil
}

func (o *outputFile) isFull() bool { return o.encoder.encodedSize() >= o.lake.options.TargetFileSize }

func (o *outputFile) discard() { o.file.Discard() }

// writeRows encodes rows and takes their digest at the same time.
func (o *outputFile) writeRows(rows []extsort.Row) (rest []extsort.Row, err error) {
	return nil, parallel.Each(o.lake.options.Jobs, 2, func(i int) error {
		if i == 0 {
			return o.encoder.writeRows(rows)
		}
		o.digest.addRows(rows)
		return nil
	})
}

// finishFile completes the file, makes it durable, reads it back and describes it.
func (o *outputFile) finishFile() (f pipeline.File, name string, err error) {
	f = o.p.describe(o.digest)
	if err := o.encoder.closeWithDigest(f.Digest); err != nil {
		return f, "", err
	}
	if err := o.file.SyncAndClose(); err != nil {
		return f, "", err
	}
	f.SHA256, f.Bytes = hex.EncodeToString(o.bytes.Sum(nil)), o.file.Size()
	reread, err := o.lake.dir.Open(o.file.Name())
	if err != nil {
		return f, "", err
	}
	got, err := describeFile(reread)
	switch {
	case err != nil:
	case got.SHA256 != f.SHA256 || got.Bytes != f.Bytes || got.Rows != f.Rows || got.Digest != f.Digest:
		err = errors.New("what was read back is not what was written; check the disk")
	}
	if err != nil {
		return f, "", fmt.Errorf("read back %s: %w", o.lake.dir.AbsPath(o.file.Name()), err)
	}
	f.RowGroups = got.RowGroups
	return f, o.file.Name(), nil
}

// describe describes a file with all rows of a digest, which it completes.
func (p *partition) describe(d *digest) pipeline.File {
	f := pipeline.File{Table: p.Table, Rows: int64(d.rows), Digest: d.hexSum()} //nolint:gosec // rows are counted
	if p.Key != "" {
		f.Partition = p.Key + "=" + p.Value
	}
	return f
}

// describeFile reads a whole file, for the digest of its bytes and its footer. It
// closes the file.
func describeFile(o object) (f pipeline.File, err error) {
	f, err = describeObject(o, nil)
	return f, errors.Join(err, o.Close())
}

// describeObject is describeFile for a file that stays open. also gets the bytes, too; nil: nothing does.
func describeObject(o object, also io.Writer) (f pipeline.File, err error) {
	h := sha256.New()
	to := io.Writer(h)
	if also != nil {
		to = io.MultiWriter(h, also)
	}
	if _, err := io.Copy(to, io.NewSectionReader(o, 0, o.Size())); err != nil {
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
