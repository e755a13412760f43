package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/schema"
)

// ReadColumns reads some columns of a file of a snapshot, in the given order, and hands its rows over in
// records, which are valid during the call only. A column that was added after the file was written is
// null. The rows are not checked against the digest of the file, which covers all columns. The error is
// ErrIntegrity if the file is damaged, and fs.ErrNotExist if it is missing.
func (i *Inspector) ReadColumns(ctx context.Context, f DataFile, columns []string, yield func(arrow.Record) error) (err error) {
	table, ok := schema.TableNamed(f.Table)
	if !ok {
		return fmt.Errorf("%s: unknown table %q", f.Path, f.Table)
	}
	o, err := i.published.backend.openObject(ctx, f.Path)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	tracked := &trackedObject{object: o}
	defer func() { err = errors.Join(err, o.Close()) }()
	if err := readColumns(ctx, tracked, &table, columns, yield); err != nil {
		if tracked.err != nil {
			err = tracked.err
		}
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return nil
}

func readColumns(ctx context.Context, o *trackedObject, t *schema.Table, columns []string, yield func(arrow.Record) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: not a readable Parquet file: %v", ErrIntegrity, p)
		}
	}()
	tail := min(int64(tailSize), o.Size())
	if o.Size() <= minReadSize {
		tail = o.Size()
	}
	if err := o.prefetch(o.Size()-tail, tail); err != nil {
		return err
	}
	file, err := parquet.OpenFile(o, o.Size(), parquet.SkipMagicBytes(true), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("%w: not a readable Parquet file: %w", ErrIntegrity, err)
	}
	written, err := tableAsWritten(file, t)
	if err != nil {
		return err
	}
	r := columnsReader{object: o, file: file, table: schema.Table{Name: t.Name, Version: written.Version}}
	for _, name := range columns {
		at := t.ColumnIndex(name)
		if at < 0 {
			return fmt.Errorf("table %s has no column %s", t.Name, name)
		}
		r.table.Columns = append(r.table.Columns, t.Columns[at])
		r.indexes = append(r.indexes, written.ColumnIndex(name)) // -1: the file does not have it
	}
	r.builder = array.NewRecordBuilder(memory.DefaultAllocator, r.table.Arrow())
	defer r.builder.Release()
	var yielded error
	for group := range file.RowGroups() {
		err := r.readGroup(ctx, group, func(rec arrow.Record) error {
			yielded = yield(rec)
			return yielded
		})
		if err != nil && yielded == nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", ErrIntegrity, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// columnsReader reads some columns of one file.
type columnsReader struct {
	object  *trackedObject
	file    *parquet.File
	table   schema.Table
	indexes []int // in the file; -1: the file does not have the column
	builder *array.RecordBuilder
}

func (r *columnsReader) readGroup(ctx context.Context, group int, yield func(arrow.Record) error) (err error) {
	if err := r.prefetchGroup(group); err != nil {
		return err
	}
	rows := r.file.RowGroups()[group]
	columns := make([]*columnReader, len(r.indexes))
	defer func() {
		for _, c := range columns {
			if c != nil {
				err = errors.Join(err, c.closePages())
			}
		}
	}()
	for i, at := range r.indexes {
		if at >= 0 {
			columns[i] = &columnReader{Pages: rows.ColumnChunks()[at].Pages()}
		}
	}
	for remaining := rows.NumRows(); remaining > 0; {
		n := min(remaining, readBatchRows)
		if err := r.readBatch(columns, int(n)); err != nil {
			return err
		}
		rec := r.builder.NewRecord()
		err := errors.Join(yield(rec), ctx.Err())
		rec.Release()
		if err != nil {
			return err
		}
		remaining -= n
	}
	return nil
}

func (r *columnsReader) readBatch(columns []*columnReader, n int) error {
	for i, c := range columns {
		if c == nil {
			r.builder.Field(i).AppendNulls(n)
			continue
		}
		if err := c.readInto(n, r.builder.Field(i)); err != nil {
			return fmt.Errorf("column %s: %w", r.table.Columns[i].Name, err)
		}
	}
	return nil
}

// prefetchGroup fetches the part of a row group that holds the columns in one request, where requests
// are slow.
func (r *columnsReader) prefetchGroup(group int) error {
	if r.object.Size() <= minReadSize { // it is there
		return nil
	}
	from, to := r.object.Size(), int64(0)
	for _, at := range r.indexes {
		if at < 0 {
			continue
		}
		meta := r.file.Metadata().RowGroups[group].Columns[at].MetaData
		start := meta.DataPageOffset
		if meta.DictionaryPageOffset > 0 {
			start = min(start, meta.DictionaryPageOffset)
		}
		from, to = min(from, start), max(to, start+meta.TotalCompressedSize)
	}
	if from >= to {
		return nil
	}
	return r.object.prefetch(from, to-from)
}

// TableWriter writes one Parquet file of any table, in the form of the files of a lake.
type TableWriter struct {
	table   schema.Table
	encoder *encoder
	digest  *digest
}

// NewTableWriter begins a file. version is that of the program, for the metadata of the file.
func NewTableWriter(out io.Writer, t schema.Table, version string) (*TableWriter, error) {
	o, err := Options{RunID: "export", Version: version}.withDefaults()
	if err != nil {
		return nil, err
	}
	return &TableWriter{table: t, encoder: newEncoder(out, &t, &o), digest: newDigest(&t)}, nil
}

// WriteRecord appends the rows of a record, which has the layout of the table.
func (w *TableWriter) WriteRecord(rec arrow.Record) error {
	view := extsort.NewRecordView(&w.table, rec)
	rows := make([]extsort.Row, rec.NumRows())
	for i := range rows {
		rows[i] = view.Row(int32(i)) //nolint:gosec // records are small
		w.digest.addRow(rows[i])
	}
	return w.encoder.writeRows(rows)
}

// Close completes the file. It does not close what the file is written to.
func (w *TableWriter) Close() error { return w.encoder.closeWithDigest(w.digest.hexSum()) }
