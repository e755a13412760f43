package sinks

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go/format"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/schema"
)

// A small file is read at once, and nights write many. So it holds nothing but its rows and what readers
// cannot do without: no bloom filters, dictionaries, page indexes or bounds of long texts.
const (
	fewRows  = 2048    // the most rows of a small file
	fewBytes = 2 << 20 // and the most that they may take in memory

	longBound = 32 // length of a bound that a footer of few rows has no room for; ids and keys are shorter
)

// smallFile is what there is of a file as long as it may be a small one.
type smallFile struct {
	records []arrow.Record
	rows    int
	bytes   int64
}

// keepRows copies rows, unless they are too many for a small file.
func (f *smallFile) keepRows(t *schema.Table, rows []extsort.Row) bool {
	size := f.bytes
	for _, r := range rows {
		size += int64(r.ByteSize())
	}
	if f.rows+len(rows) > fewRows || size > fewBytes {
		return false
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, t.Arrow())
	defer b.Release()
	rec := extsort.BuildRecord(b, t, rows)
	f.records = append(f.records, rec)
	f.rows, f.bytes = f.rows+len(rows), f.bytes+recordBytes(rec)
	return true
}

// isSmall reports whether the kept rows take little memory, and less than the size at which a file ends.
func (f *smallFile) isSmall(target int64) bool {
	return f.bytes <= fewBytes && (target <= 0 || f.bytes < target)
}

func recordBytes(rec arrow.Record) (n int64) {
	for _, c := range rec.Columns() {
		for _, b := range c.Data().Buffers() {
			if b != nil {
				n += int64(b.Len())
			}
		}
	}
	return n
}

// moveRows hands the kept rows over and forgets them.
func (f *smallFile) moveRows(t *schema.Table, write func([]extsort.Row) error) error {
	for _, rec := range f.records {
		view := extsort.NewRecordView(t, rec)
		rows := make([]extsort.Row, rec.NumRows())
		for i := range rows {
			rows[i] = view.Row(int32(i)) //nolint:gosec // few rows
		}
		err := write(rows)
		rec.Release()
		if err != nil {
			return err
		}
	}
	f.records = nil
	return nil
}

// trimSmallFile removes from a complete file what only large ones need. The result shares its memory.
func trimSmallFile(file []byte) ([]byte, error) {
	return rewriteFooter(file, func(footer *format.FileMetaData) (indexes int64) {
		trimStatistics(footer)
		return trimIndexes(footer)
	})
}

// trimIndexes removes the page indexes, and the bounds of long texts, which bound no search. It returns where the
// indexes begin.
func trimIndexes(footer *format.FileMetaData) (indexes int64) {
	indexes = -1
	for g := range footer.RowGroups {
		for c := range footer.RowGroups[g].Columns {
			chunk := &footer.RowGroups[g].Columns[c]
			if at := chunk.ColumnIndexOffset; indexes < 0 || at < indexes {
				indexes = at // they follow the pages
			}
			chunk.ColumnIndexOffset, chunk.ColumnIndexLength = 0, 0
			chunk.OffsetIndexOffset, chunk.OffsetIndexLength = 0, 0
			if s := &chunk.MetaData.Statistics; len(s.MinValue) >= longBound || len(s.MaxValue) >= longBound {
				s.MinValue, s.MaxValue = nil, nil
			}
		}
	}
	return indexes
}
