package sinks

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/schema"
)

// batch is a record whose columns can be read without asking for their type
// each time.
type batch struct {
	rec  arrow.Record
	cols []column
}

// column is one column of a batch. Only the field of its type is set.
type column struct {
	typ    schema.Type
	valid  []byte // validity bitmap; nil when nothing is null
	offset int    // of row 0 in valid and bits

	starts []int32 // String: rows+1 positions in text
	text   []byte
	longs  []int64 // Int64, Time
	reals  []float64
	days   []int32
	bits   []byte // Bool
}

// row is one row of a batch.
type row struct {
	b *batch
	i int32
}

// newBatch opens a record that has the table's layout. It shares the record's
// memory and holds no reference of its own.
func newBatch(t *schema.Table, rec arrow.Record) *batch {
	b := &batch{rec: rec, cols: make([]column, len(t.Columns))}
	for i, c := range t.Columns {
		b.cols[i] = openColumn(c.Type, rec.Column(i))
	}
	return b
}

func openColumn(t schema.Type, a arrow.Array) column {
	c := column{typ: t, offset: a.Data().Offset()}
	if a.NullN() > 0 {
		c.valid = a.NullBitmapBytes()
	}
	if a.Len() == 0 {
		return c
	}
	switch a := a.(type) {
	case *array.String:
		c.starts = a.ValueOffsets()
		if b := a.Data().Buffers()[2]; b != nil {
			c.text = b.Bytes()
		}
	case *array.Int64:
		c.longs = a.Int64Values()
	case *array.Timestamp:
		values := a.Data().Buffers()[1].Bytes()
		c.longs = arrow.Int64Traits.CastFromBytes(values)[c.offset : c.offset+a.Len()]
	case *array.Float64:
		c.reals = a.Float64Values()
	case *array.Date32:
		values := a.Data().Buffers()[1].Bytes()
		c.days = arrow.Int32Traits.CastFromBytes(values)[c.offset : c.offset+a.Len()]
	case *array.Boolean:
		c.bits = a.Data().Buffers()[1].Bytes()
	}
	return c
}

func (c *column) null(i int32) bool {
	return c.valid != nil && bitutil.BitIsNotSet(c.valid, c.offset+int(i))
}

// str, long, real, day and bit are a row's value, which must not be null. The
// bytes of str belong to the record.
func (c *column) str(i int32) []byte   { return c.text[c.starts[i]:c.starts[i+1]] }
func (c *column) long(i int32) int64   { return c.longs[i] }
func (c *column) real(i int32) float64 { return c.reals[i] }
func (c *column) day(i int32) int32    { return c.days[i] }
func (c *column) bit(i int32) bool     { return bitutil.BitIsSet(c.bits, c.offset+int(i)) }

// size is about how many bytes the row takes.
func (r row) size() int {
	n := 0
	for i := range r.b.cols {
		c := &r.b.cols[i]
		n += 8
		if c.starts != nil {
			n += int(c.starts[r.i+1] - c.starts[r.i])
		}
	}
	return n
}

// checkLayout compares a record with its table.
func checkLayout(t *schema.Table, rec arrow.Record) error {
	s := rec.Schema()
	if s.NumFields() != len(t.Columns) {
		return fmt.Errorf("record has %d columns, table %s has %d", s.NumFields(), t.Name, len(t.Columns))
	}
	for i, c := range t.Columns {
		f := s.Field(i)
		if f.Name != c.Name || !arrow.TypeEqual(f.Type, c.Type.Arrow()) {
			return fmt.Errorf("column %d of the record is %s %s, table %s has %s %s",
				i, f.Name, f.Type, t.Name, c.Name, c.Type.Arrow())
		}
	}
	return nil
}

// memoryOf is about how much memory a record keeps alive.
func memoryOf(rec arrow.Record) int64 {
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

// isPart says whether the record is a window on larger arrays, which it would
// keep alive as a whole.
func isPart(rec arrow.Record) bool {
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

// concat copies records into one, in order.
func concat(s *arrow.Schema, recs []arrow.Record) (arrow.Record, error) {
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

// collect copies rows into a record.
func collect(b *array.RecordBuilder, t *schema.Table, rows []row) arrow.Record {
	for i, c := range t.Columns {
		switch f := b.Field(i).(type) {
		case *array.StringBuilder:
			text := 0
			for _, r := range rows {
				if c := &r.b.cols[i]; c.starts != nil {
					text += len(c.str(r.i))
				}
			}
			f.Reserve(len(rows))
			f.ReserveData(text)
			each(rows, i, f, func(c *column, at int32) { f.BinaryBuilder.Append(c.str(at)) })
		case *array.Int64Builder:
			f.Reserve(len(rows))
			each(rows, i, f, func(c *column, at int32) { f.UnsafeAppend(c.long(at)) })
		case *array.TimestampBuilder:
			f.Reserve(len(rows))
			each(rows, i, f, func(c *column, at int32) { f.UnsafeAppend(arrow.Timestamp(c.long(at))) })
		case *array.Float64Builder:
			f.Reserve(len(rows))
			each(rows, i, f, func(c *column, at int32) { f.UnsafeAppend(c.real(at)) })
		case *array.Date32Builder:
			f.Reserve(len(rows))
			each(rows, i, f, func(c *column, at int32) { f.UnsafeAppend(arrow.Date32(c.day(at))) })
		case *array.BooleanBuilder:
			f.Reserve(len(rows))
			each(rows, i, f, func(c *column, at int32) { f.UnsafeAppend(c.bit(at)) })
		default:
			panic(fmt.Sprintf("column %s of table %s has no builder", c.Name, t.Name))
		}
	}
	return b.NewRecord()
}

// each walks one column of the rows; nulls go straight to the builder.
func each(rows []row, col int, b array.Builder, value func(c *column, at int32)) {
	for _, r := range rows {
		c := &r.b.cols[col]
		if c.null(r.i) {
			b.AppendNull()
			continue
		}
		value(c, r.i)
	}
}
