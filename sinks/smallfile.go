package sinks

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/schema"
)

// A small file is read at once, and nights write many. So it holds nothing but its rows and what readers
// cannot do without: no bloom filters, dictionaries or page indexes, and no description of its columns,
// which takes 10 KB. Package schema has that.
const (
	fewRows  = 2048    // the most rows of a small file
	fewBytes = 2 << 20 // and the most that they may take in memory
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

// trimFooter removes from a complete file the page indexes and what the footer repeats of them. The
// library has no option for that. The result shares the memory of the file.
func trimFooter(file []byte) ([]byte, error) {
	const tail = 8 // length of the footer, and magic number
	end := len(file) - tail
	start := end - int(binary.LittleEndian.Uint32(file[end:]))
	protocol := new(thrift.CompactProtocol)
	var footer format.FileMetaData
	if err := thrift.Unmarshal(protocol, file[start:end], &footer); err != nil {
		return nil, fmt.Errorf("read a footer just written: %w", err)
	}
	pages := int64(start)
	for g := range footer.RowGroups {
		for c := range footer.RowGroups[g].Columns {
			chunk := &footer.RowGroups[g].Columns[c]
			pages = min(pages, chunk.ColumnIndexOffset) // indexes follow the pages
			chunk.ColumnIndexOffset, chunk.ColumnIndexLength = 0, 0
			chunk.OffsetIndexOffset, chunk.OffsetIndexLength = 0, 0
			chunk.MetaData.EncodingStats = nil
			chunk.MetaData.SizeStatistics = format.SizeStatistics{}
		}
	}
	trimmed, err := thrift.Marshal(protocol, &footer)
	if err != nil {
		return nil, fmt.Errorf("write a footer: %w", err)
	}
	file = append(file[:pages], trimmed...)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(trimmed))) //nolint:gosec // it replaces a longer one
	return append(file, "PAR1"...), nil
}
