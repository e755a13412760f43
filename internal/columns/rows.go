package columns

import (
	"encoding/binary"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/schema"
)

// rows are rows of one partition, as columns.
type rows struct {
	partition schema.Partition
	schema    *arrow.Schema
	columns   []column
	n         int // complete rows
	bytes     int // of texts
}

func newRows(t schema.Table) *rows {
	r := &rows{schema: arrowSchema(t), columns: make([]column, len(t.Columns))}
	for i, c := range t.Columns {
		r.columns[i].kind = c.Type
	}
	return r
}

// column is one column. Rows from end on are null in it; they take no memory before the record is made.
type column struct {
	kind    schema.Type
	end     int     // behind the last row that is not null
	set     int     // rows that are not null
	valid   []byte  // a bit for each row
	offsets []int32 // String: where in data each row ends
	data    []byte
}

// add adds the value of a row, which is at or behind the end.
func (c *column) add(row int, text []byte, n int64) {
	if c.end < row {
		c.pad(row)
	}
	switch c.kind {
	case schema.String:
		if len(c.data)+len(text) > cap(c.data) {
			c.data = grow(c.data, len(text))
		}
		c.data = append(c.data, text...)
		c.offsets = append(c.offsets, int32(len(c.data)))
	case schema.Date:
		c.data = binary.NativeEndian.AppendUint32(c.data, uint32(n))
	case schema.Bool:
		if row>>3 == len(c.data) {
			c.data = append(c.data, 0)
		}
		c.data[row>>3] |= byte(n) << (row & 7)
	default:
		c.data = binary.NativeEndian.AppendUint64(c.data, uint64(n))
	}
	if row>>3 == len(c.valid) {
		c.valid = append(c.valid, 0)
	}
	c.valid[row>>3] |= 1 << (row & 7)
	c.end = row + 1
	c.set++
}

// addString is add for a text that is a string.
func (c *column) addString(row int, text string, n int64) {
	if c.kind != schema.String {
		c.add(row, nil, n)
		return
	}
	c.add(row, nil, 0)
	c.data = append(c.data, text...)
	c.offsets[row] = int32(len(c.data))
}

// grow makes room for n bytes more, and for as many as there are: the buffers are used again.
func grow(data []byte, n int) []byte {
	return append(make([]byte, 0, max(2*len(data), len(data)+n, 256)), data...)
}

// pad adds nulls up to a row.
func (c *column) pad(row int) {
	for len(c.valid) < (row+7)>>3 {
		c.valid = append(c.valid, 0)
	}
	switch c.kind {
	case schema.String:
		for len(c.offsets) < row {
			c.offsets = append(c.offsets, int32(len(c.data)))
		}
	case schema.Date:
		c.data = append(c.data, zeros[:4*(row-c.end)]...)
	case schema.Bool:
		for len(c.data) < (row+7)>>3 {
			c.data = append(c.data, 0)
		}
	default:
		c.data = append(c.data, zeros[:8*(row-c.end)]...)
	}
	c.end = row
}

// zeros are the buffers of a column without values, for as many rows as a record has.
var zeros [8 * (MaxRows + 1)]byte

// record makes a record of the rows, and empties the columns.
func (r *rows) record() arrow.Record {
	size := 0
	for i := range r.columns {
		size += r.columns[i].size(r.n)
	}
	b := builder{
		rows: r.n, memory: make([]byte, size),
		buffers: make([]memory.Buffer, 3*len(r.columns)), pointers: make([]*memory.Buffer, 3*len(r.columns)),
	}
	arrays := make([]arrow.Array, len(r.columns))
	for i := range r.columns {
		arrays[i] = b.array(&r.columns[i], r.schema.Field(i).Type)
		r.columns[i].reset()
	}
	rec := array.NewRecord(r.schema, arrays, int64(r.n))
	for _, a := range arrays {
		a.Release()
	}
	r.n, r.bytes = 0, 0
	return rec
}

func (c *column) reset() {
	c.end, c.set = 0, 0
	c.valid, c.offsets, c.data = c.valid[:0], c.offsets[:0], c.data[:0]
}

// size is the memory that the column takes in a record of n rows.
func (c *column) size(n int) int {
	if c.set == 0 {
		return 0
	}
	size := align(bitmapBytes(n))
	switch c.kind {
	case schema.String:
		return size + align(4*(n+1)) + align(len(c.data))
	case schema.Date:
		return size + align(4*n)
	case schema.Bool:
		return size + align(bitmapBytes(n))
	}
	return size + 8*n
}

func bitmapBytes(n int) int { return (n + 7) >> 3 }

// align rounds up such that what follows may hold numbers of 64 bits.
func align(n int) int { return (n + 7) &^ 7 }

// builder makes the arrays of a record out of one piece of memory.
type builder struct {
	rows     int
	memory   []byte // what is left of it, zero
	buffers  []memory.Buffer
	pointers []*memory.Buffer
}

// array makes the array of a column.
func (b *builder) array(c *column, t arrow.DataType) arrow.Array {
	var buffers []*memory.Buffer
	switch {
	case c.kind == schema.String && c.set == 0:
		buffers = b.list(zeros[:bitmapBytes(b.rows)], zeros[:4*(b.rows+1)], nil)
	case c.kind == schema.String:
		c.pad(b.rows)
		buffers = b.list(b.copy(c.valid, bitmapBytes(b.rows)), b.offsets(c.offsets), b.copy(c.data, len(c.data)))
	case c.set == 0:
		buffers = b.list(zeros[:bitmapBytes(b.rows)], zeros[:c.width(b.rows)])
	default:
		buffers = b.list(b.copy(c.valid, bitmapBytes(b.rows)), b.copy(c.data, c.width(b.rows)))
	}
	data := array.NewData(t, b.rows, buffers, nil, b.rows-c.set, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// width is the number of bytes of n values that are no texts.
func (c *column) width(n int) int {
	switch c.kind {
	case schema.Date:
		return 4 * n
	case schema.Bool:
		return bitmapBytes(n)
	}
	return 8 * n
}

// copy copies data into the next size bytes of the memory; what data lacks is zero.
func (b *builder) copy(data []byte, size int) []byte {
	piece := b.memory[:size:size]
	b.memory = b.memory[align(size):]
	copy(piece, data)
	return piece
}

// offsets copies the ends of texts, behind the start of the first.
func (b *builder) offsets(ends []int32) []byte {
	size := 4 * (b.rows + 1)
	piece := b.memory[:size:size]
	b.memory = b.memory[align(size):]
	copy(piece[4:], arrow.Int32Traits.CastToBytes(ends))
	return piece
}

// list makes buffers of pieces of memory.
func (b *builder) list(pieces ...[]byte) []*memory.Buffer {
	n := len(pieces)
	list := b.pointers[:n:n]
	for i, piece := range pieces {
		b.buffers[i].Reset(piece)
		list[i] = &b.buffers[i]
	}
	b.buffers, b.pointers = b.buffers[n:], b.pointers[n:]
	return list
}
