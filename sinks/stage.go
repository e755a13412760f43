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
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Stage sorts, encodes, syncs and reads back the files of all partitions, one
// partition after another, and returns them with their final names. Until Publish
// they are invisible. Another call stages the partitions that were written since, and
// returns the whole list.
func (l *Lake) Stage(ctx context.Context) ([]pipeline.File, error) {
	if l.closed {
		return nil, errors.New("stage: the lake is closed")
	}
	var last []*partition // accounts say which of their events are new
	for _, name := range slices.Sorted(maps.Keys(l.partitions)) {
		p := l.partitions[name]
		if p.staged {
			continue
		}
		if p.table.Name == schema.Accounts.Name {
			last = append(last, p)
			continue
		}
		if _, err := l.stagePartition(ctx, p); err != nil {
			return nil, err
		}
	}
	for _, p := range last {
		if _, err := l.stagePartition(ctx, p); err != nil {
			return nil, err
		}
	}
	return l.finishStaging()
}

func (l *Lake) stagePartition(ctx context.Context, p *partition) ([]pipeline.File, error) {
	files, err := l.writeFiles(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", p, err)
	}
	l.staged, p.staged = append(l.staged, files...), true
	p.Release()
	return files, nil
}

// finishStaging makes the names in the scratch directory durable, since another process
// may publish them. It returns the files.
func (l *Lake) finishStaging() ([]pipeline.File, error) {
	for _, dir := range []string{l.runDir, stagingDir, "."} {
		if err := l.dir.SyncDir(dir); err != nil {
			return nil, fmt.Errorf("stage: %w", err)
		}
	}
	slices.SortFunc(l.staged, func(a, b pipeline.File) int { return strings.Compare(a.Path, b.Path) })
	return slices.Clone(l.staged), nil
}

// writeFiles writes the files of one partition.
func (l *Lake) writeFiles(ctx context.Context, p *partition) ([]pipeline.File, error) {
	var files []pipeline.File
	var names []string
	var out *outputFile
	defer func() {
		if out != nil {
			out.file.Discard()
		}
	}()
	finish := func() error {
		f, err := out.finishFile()
		if err != nil {
			return err
		}
		files, names, out = append(files, f), append(names, out.file.Name()), nil
		return nil
	}
	kept, err := l.newSelection(ctx, p)
	if err != nil {
		return nil, err
	}
	err = p.Merge(ctx, func(rows []extsort.Row) error {
		rows, release, err := kept.selectRows(rows)
		if err != nil || len(rows) == 0 {
			return err
		}
		defer release()
		if out != nil && out.encoder.encodedSize() >= l.options.TargetFileSize {
			if err := finish(); err != nil {
				return err
			}
		}
		if out == nil {
			if out, err = l.newOutput(p); err != nil {
				return err
			}
		}
		return out.writeRows(rows)
	})
	if err == nil && out != nil {
		err = finish()
	}
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		files[len(files)-1].Duplicate = kept.repeated()
	}
	if err := p.RemoveRuns(); err != nil {
		return nil, err
	}
	return files, l.nameFiles(p, files, names)
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

func (l *Lake) newOutput(p *partition) (*outputFile, error) {
	l.fileCount++
	f, err := l.dir.Create(fmt.Sprintf("%s/file-%06d.parquet.tmp", l.runDir, l.fileCount))
	if err != nil {
		return nil, err
	}
	o := &outputFile{lake: l, p: p, file: f, digest: newDigest(p.table), bytes: sha256.New()}
	o.encoder = newEncoder(io.MultiWriter(f, o.bytes), p.table, &l.options)
	return o, nil
}

func (o *outputFile) writeRows(rows []extsort.Row) error {
	for _, r := range rows {
		o.digest.addRow(r)
	}
	return o.encoder.writeRows(rows)
}

// finishFile completes the file, makes it durable, reads it back and describes it.
func (o *outputFile) finishFile() (pipeline.File, error) {
	digest := o.digest.hexSum()
	if err := o.encoder.closeWithDigest(digest); err != nil {
		return pipeline.File{}, err
	}
	if err := o.file.SyncAndClose(); err != nil {
		return pipeline.File{}, err
	}
	f := pipeline.File{
		Table: o.p.Table, Rows: int64(o.digest.rows), Digest: digest,
		SHA256: hex.EncodeToString(o.bytes.Sum(nil)), Bytes: o.file.Size(),
	}
	if o.p.Key != "" {
		f.Partition = o.p.Key + "=" + o.p.Value
	}
	reread, err := o.lake.dir.Open(o.file.Name())
	if err != nil {
		return pipeline.File{}, err
	}
	got, err := describeFile(reread)
	switch {
	case err != nil:
	case got.SHA256 != f.SHA256 || got.Bytes != f.Bytes || got.Rows != f.Rows || got.Digest != f.Digest:
		err = errors.New("what was read back is not what was written; check the disk")
	}
	if err != nil {
		return pipeline.File{}, fmt.Errorf("read back %s: %w", o.lake.dir.AbsPath(o.file.Name()), err)
	}
	f.RowGroups = got.RowGroups
	return f, nil
}

// describeFile reads a whole file, for the digest of its bytes and its footer. It
// closes the file.
func describeFile(o object) (f pipeline.File, err error) {
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
