package extsort

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/schema"
)

// RecordView reads the columns of a record, or of spilled rows, without checking their types on each access.
type RecordView struct {
	Columns []ColumnView
	rows    int
	release func() // of a view that owns its memory, which is used again; nil: it shares that of a record
	kept    bool   // release is not called
	owned   int    // bytes of its memory; 0: it shares that of a record
}

// ColumnView is one column of a record. Of the fields for values, only that of its
// type is set.
type ColumnView struct {
	Type   schema.Type
	valid  []byte // validity bitmap; nil when nothing is null
	offset int    // of row 0 in valid and bits

	offsets  []int32 // String: rows+1 positions in text
	text     []byte
	int64s   []int64 // Int64, Time
	float64s []float64
	dates    []int32
	bools    []byte // Bool
}

// Row is one row of a record.
type Row struct {
	View  *RecordView
	Index int32
}

// NewRecordView opens a record that has the table's layout. It shares the record's
// memory and holds no reference of its own.
func NewRecordView(t *schema.Table, rec arrow.Record) *RecordView {
	v := &RecordView{rows: int(rec.NumRows()), Columns: make([]ColumnView, len(t.Columns))}
	for i, c := range t.Columns {
		v.Columns[i] = newColumnView(c.Type, rec.Column(i))
	}
	return v
}

// Row returns one row of the record.
func (v *RecordView) Row(i int32) Row { return Row{v, i} }

// Keep keeps a row valid that [Sorter.Merge] hands over, and the rows that were spilled with it. It returns the
// bytes of memory that are kept for that, unless they were kept before: about 256 KiB for one row of many. A row
// of a record that the caller made is valid until that record is released: who may keep it does not release it.
func (r Row) Keep() int {
	if r.View.kept {
		return 0
	}
	r.View.kept = true
	return r.View.owned
}

func newColumnView(t schema.Type, a arrow.Array) ColumnView {
	c := ColumnView{Type: t, offset: a.Data().Offset()}
	if a.NullN() > 0 {
		c.valid = a.NullBitmapBytes()
	}
	if a.Len() == 0 {
		return c
	}
	switch a := a.(type) {
	case *array.String:
		c.offsets = a.ValueOffsets()
		if b := a.Data().Buffers()[2]; b != nil {
			c.text = b.Bytes()
		}
	case *array.Int64:
		c.int64s = a.Int64Values()
	case *array.Timestamp:
		values := a.Data().Buffers()[1].Bytes()
		c.int64s = arrow.Int64Traits.CastFromBytes(values)[c.offset : c.offset+a.Len()]
	case *array.Float64:
		c.float64s = a.Float64Values()
	case *array.Date32:
		values := a.Data().Buffers()[1].Bytes()
		c.dates = arrow.Int32Traits.CastFromBytes(values)[c.offset : c.offset+a.Len()]
	case *array.Boolean:
		c.bools = a.Data().Buffers()[1].Bytes()
	}
	return c
}

// IsNull reports whether a row has no value in the column.
func (c *ColumnView) IsNull(i int32) bool {
	return c.valid != nil && bitutil.BitIsNotSet(c.valid, c.offset+int(i))
}

// TextAt returns a row's value in a String column. Like those below it is for values
// that are not null. The bytes belong to the record.
func (c *ColumnView) TextAt(i int32) []byte { return c.text[c.offsets[i]:c.offsets[i+1]] }

// Int64At returns a row's value in an Int64 or Time column.
func (c *ColumnView) Int64At(i int32) int64 { return c.int64s[i] }

// Float64At returns a row's value in a Double column.
func (c *ColumnView) Float64At(i int32) float64 { return c.float64s[i] }

// DateAt returns a row's value in a Date column.
func (c *ColumnView) DateAt(i int32) int32 { return c.dates[i] }

// BoolAt returns a row's value in a Bool column.
func (c *ColumnView) BoolAt(i int32) bool { return bitutil.BitIsSet(c.bools, c.offset+int(i)) }

// ByteSize is about how many bytes the row takes.
func (r Row) ByteSize() int {
	n := 0
	for i := range r.View.Columns {
		c := &r.View.Columns[i]
		n += 8
		if c.offsets != nil {
			n += int(c.offsets[r.Index+1] - c.offsets[r.Index])
		}
	}
	return n
}

// recordMemory is about how much memory a record keeps alive.
func recordMemory(rec arrow.Record) int64 {
	const perColumn = 512 // headers of the array, its data and its buffers
	n := int64(0)
	for _, a := range rec.Columns() {
		n += perColumn
		for _, b := range a.Data().Buffers() {
			if b != nil {
				n += int64(cap(b.Buf()))
			}
		}
	}
	return n
}

// isSlice reports whether the record is a window on larger arrays, which it would
// keep alive as a whole.
func isSlice(rec arrow.Record) bool {
	for _, a := range rec.Columns() {
		if a.Data().Offset() != 0 {
			return true
		}
		if a, ok := a.(*array.String); ok && a.Data().Buffers()[1].Len()/arrow.Int32SizeBytes > 2*a.Len()+64 {
			return true
		}
	}
	return false
}

// concatRecords copies records into one, in order.
func concatRecords(s *arrow.Schema, recs []arrow.Record) (arrow.Record, error) {
	rows := int64(0)
	for _, r := range recs {
		rows += r.NumRows()
	}
	cols := make([]arrow.Array, s.NumFields())
	parts := make([]arrow.Array, len(recs))
	for i := range cols {
		for j, r := range recs {
			parts[j] = r.Column(i)
		}
		a, err := array.Concatenate(parts, memory.DefaultAllocator)
		if err != nil {
			return nil, err
		}
		defer a.Release()
		cols[i] = a
	}
	return array.NewRecord(s, cols, rows), nil
}

// BuildRecord copies rows into a record.
func BuildRecord(b *array.RecordBuilder, t *schema.Table, rows []Row) arrow.Record {
	for i, c := range t.Columns {
		switch f := b.Field(i).(type) {
		case *array.StringBuilder:
			text := 0
			for _, r := range rows {
				if c := &r.View.Columns[i]; c.offsets != nil {
					text += len(c.TextAt(r.Index))
				}
			}
			f.Reserve(len(rows))
			f.ReserveData(text)
			appendColumn(rows, i, f, func(c *ColumnView, at int32) { f.BinaryBuilder.Append(c.TextAt(at)) })
		case *array.Int64Builder:
			f.Reserve(len(rows))
			appendColumn(rows, i, f, func(c *ColumnView, at int32) { f.UnsafeAppend(c.Int64At(at)) })
		case *array.TimestampBuilder:
			f.Reserve(len(rows))
			appendColumn(rows, i, f, func(c *ColumnView, at int32) { f.UnsafeAppend(arrow.Timestamp(c.Int64At(at))) })
		case *array.Float64Builder:
			f.Reserve(len(rows))
			appendColumn(rows, i, f, func(c *ColumnView, at int32) { f.UnsafeAppend(c.Float64At(at)) })
		case *array.Date32Builder:
			f.Reserve(len(rows))
			appendColumn(rows, i, f, func(c *ColumnView, at int32) { f.UnsafeAppend(arrow.Date32(c.DateAt(at))) })
		case *array.BooleanBuilder:
			f.Reserve(len(rows))
			appendColumn(rows, i, f, func(c *ColumnView, at int32) { f.UnsafeAppend(c.BoolAt(at)) })
		default:
			panic(fmt.Sprintf("column %s of table %s has no builder", c.Name, t.Name))
		}
	}
	return b.NewRecord()
}

// appendColumn walks one column of the rows; nulls go straight to the builder.
func appendColumn(rows []Row, col int, b array.Builder, value func(c *ColumnView, at int32)) {
	for _, r := range rows {
		c := &r.View.Columns[col]
		if c.IsNull(r.Index) {
			b.AppendNull()
			continue
		}
		value(c, r.Index)
	}
}
