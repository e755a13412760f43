package sinks

import (
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
	rows   []extsort.Row
	bytes  int64
	pinned int // bytes of memory that the rows keep
}

// maxPinned is the memory that the rows may keep. If most rows of a partition are left out, each of the others
// keeps that of many.
const maxPinned = 2 * fewBytes

// keepRows keeps rows of a table, unless they are too many for a small file.
func (f *smallFile) keepRows(t *schema.Table, rows []extsort.Row) bool {
	size := f.bytes
	for _, r := range rows {
		size += int64(r.ByteSize())
	}
	if len(f.rows)+len(rows) > fewRows || size > fewBytes {
		return false
	}
	for _, r := range rows {
		f.pinned += r.Keep()
	}
	if f.rows, f.bytes = append(f.rows, rows...), size; f.pinned > maxPinned {
		f.copyRows(t)
	}
	return true
}

// copyRows replaces the kept rows by copies.
func (f *smallFile) copyRows(t *schema.Table) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, t.Arrow())
	defer b.Release()
	view := extsort.NewRecordView(t, extsort.BuildRecord(b, t, f.rows)) // which the garbage collector frees
	for i := range f.rows {
		f.rows[i] = view.Row(int32(i)) //nolint:gosec // few rows
	}
	f.pinned = 0
}

// isSmall reports whether the kept rows take less memory than the size at which a file ends.
func (f *smallFile) isSmall(target int64) bool { return target <= 0 || f.bytes < target }

// moveRows hands the kept rows over and forgets them.
func (f *smallFile) moveRows(write func([]extsort.Row) error) error {
	rows := f.rows
	f.rows = nil
	return write(rows)
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
