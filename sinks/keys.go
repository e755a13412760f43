package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/siglake/siglake/schema"
)

// keysWanted are those that are read of published rows.
type keysWanted struct {
	uids     *uidFilter      // which they may be among
	runs     map[string]bool // of the rows; nil: all
	channels bool            // keyChannel is wanted
}

// readKeysOf reads the keys of published files, side by side. A file that is missing or damaged is noted as unread, and the rows of this run are written
// whatever it may hold: they are paid for, and it may be a copy. So is one that may not be read if nothing is written: a run
// waits for the permission instead.
func (c *comparison) readKeysOf(ctx context.Context, files []DataFile, wanted keysWanted) ([]arrow.Record, error) {
	found, failed := make([]arrow.Record, len(files)), make([]error, len(files))
	var readers sync.WaitGroup // awaited below
	for i, f := range files {
		readers.Go(func() {
			found[i], failed[i] = readFileKeys(ctx, c.in.published.backend, f.Path, c.options.RunID, wanted)
		})
	}
	readers.Wait()
	for i, err := range failed {
		if errors.Is(err, errUnreadable) || c.checked && errors.Is(err, fs.ErrPermission) {
			c.unread = append(c.unread, files[i].Path)
			failed[i] = nil
		}
	}
	return found, errors.Join(append(failed, ctx.Err())...)
}

var (
	// errUnreadable is the error of a file that another attempt would not read either.
	errUnreadable = errors.New("it cannot be read")
	// errOwnRows is the error of a file that holds rows of the run that reads it.
	errOwnRows = errors.New("it holds rows of this run")
)

func readFileKeys(ctx context.Context, from backend, path, runID string, wanted keysWanted) (keys arrow.Record, err error) {
	o, err := from.openObject(ctx, path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrIntegrity) {
		return nil, errUnreadable
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	tracked := &trackedObject{object: o}
	keys, err = readKeys(tracked, runID, wanted)
	switch {
	case err == nil || errors.Is(err, errOwnRows):
		return keys, err
	case tracked.err != nil:
		return nil, fmt.Errorf("%s: %w", path, tracked.err)
	}
	return nil, fmt.Errorf("%s: %w: %w", path, errUnreadable, err)
}

// trackedObject remembers why reading failed, which a reader of Parquet does not always tell.
type trackedObject struct {
	object
	err error
}

// ReadAt reads from the object.
func (o *trackedObject) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 { // the file is shorter than any Parquet file
		return 0, io.ErrUnexpectedEOF
	}
	n, err := o.object.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		o.err = err
	}
	return n, err
}

// prefetch fetches a part of an object in one request, where requests are slow.
func (o *trackedObject) prefetch(from, size int64) error {
	if r, ok := o.object.(*s3Object); ok {
		err := r.fetch(from, size)
		o.err = err
		return err
	}
	return nil
}

// tailSize is how much of the end of a file on S3 is fetched at once; its footer is smaller.
const tailSize = 256 << 10

// readKeys reads the keys of those rows of a file that are wanted. It reads the
// columns of keys only, and of a row group without such a row only the uids. A file from before there
// were digests has none.
func readKeys(o *trackedObject, runID string, wanted keysWanted) (keys arrow.Record, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("not a readable Parquet file: %v", p)
		}
	}()
	tail := min(int64(tailSize), o.Size())
	if o.Size() <= minReadSize {
		tail = o.Size()
	}
	if err := o.prefetch(o.Size()-tail, tail); err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(o, o.Size(), parquet.SkipMagicBytes(true), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	if runs, _ := file.Lookup(metaRuns); wanted.runs == nil && slices.Contains(strings.Split(runs, ","), runID) {
		return nil, errOwnRows
	}
	k := keyReader{object: o, file: file, wanted: wanted, builder: array.NewRecordBuilder(memory.DefaultAllocator, keySchema)}
	defer k.builder.Release()
	if !k.findColumns() {
		return nil, nil
	}
	for group := range file.RowGroups() {
		if err := k.readGroup(group); err != nil {
			return nil, err
		}
	}
	return k.builder.NewRecord(), nil
}

// keyReader reads the keys of one file.
type keyReader struct {
	object  *trackedObject
	file    *parquet.File
	builder *array.RecordBuilder
	columns [6]int // of the file: uid, digest, first_seen_at, revision, run, channel
	wanted  keysWanted
	rows    []int64
}

func (k *keyReader) findColumns() bool {
	names := [...]string{"event_uid", schema.ContentDigest, "first_seen_at", "revision", "run_id", channelColumn}
	found := 0
	for at, field := range k.file.Schema().Fields() {
		for i, name := range names {
			if field.Name() == name {
				k.columns[i] = at
				found++
			}
		}
	}
	return found == len(names)
}

func (k *keyReader) readGroup(group int) error {
	k.rows = k.rows[:0]
	counts, err := k.rowsOfRuns(group)
	if err != nil {
		return err
	}
	err = k.readColumn(group, k.columns[0], func(row int64, v parquet.Value) {
		if !v.IsNull() && counts(row) && k.wanted.uids.mayHave(v.ByteArray()) {
			k.rows = append(k.rows, row)
			appendValue(k.builder.Field(keyUID), v)
		}
	})
	if err != nil || len(k.rows) == 0 {
		return err
	}
	columns := []struct{ from, into int }{{1, keyDigest}, {2, keySeen}, {3, keyRevision}, {5, keyChannel}}
	if !k.wanted.channels {
		columns = columns[:3]
		k.builder.Field(keyChannel).AppendNulls(len(k.rows))
	}
	for _, c := range columns {
		next := 0
		if err := k.readColumn(group, k.columns[c.from], func(row int64, v parquet.Value) {
			if next < len(k.rows) && k.rows[next] == row {
				appendValue(k.builder.Field(c.into), v)
				next++
			}
		}); err != nil {
			return err
		}
	}
	for range k.rows {
		k.builder.Field(keyCall).AppendNull()
		k.builder.Field(keyIsNew).AppendNull()
		k.builder.Field(keyNumber).(*array.Int64Builder).Append(publishedRow)
	}
	return nil
}

// rowsOfRuns tells which rows of a group are of runs that count.
func (k *keyReader) rowsOfRuns(group int) (counts func(row int64) bool, err error) {
	if k.wanted.runs == nil {
		return func(int64) bool { return true }, nil
	}
	of := map[int64]bool{}
	err = k.readColumn(group, k.columns[4], func(row int64, v parquet.Value) {
		if !v.IsNull() && k.wanted.runs[string(v.ByteArray())] {
			of[row] = true
		}
	})
	return func(row int64) bool { return of[row] }, err
}

// readColumn calls visit with every value of a column of a row group.
func (k *keyReader) readColumn(group, column int, visit func(row int64, v parquet.Value)) (err error) {
	if k.object.Size() > minReadSize { // else it is there
		meta := k.file.Metadata().RowGroups[group].Columns[column].MetaData
		from := meta.DataPageOffset
		if meta.DictionaryPageOffset > 0 {
			from = min(from, meta.DictionaryPageOffset)
		}
		if err := k.object.prefetch(from, meta.TotalCompressedSize); err != nil {
			return err
		}
	}
	rows := k.file.RowGroups()[group]
	c := columnReader{Pages: rows.ColumnChunks()[column].Pages()}
	defer func() { err = errors.Join(err, c.closePages()) }()
	return c.visitValues(rows.NumRows(), visit)
}
