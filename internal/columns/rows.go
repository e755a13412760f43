package columns

import (
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/schema"
)

// rows are rows of one partition, back to back.
type rows struct {
	partition schema.Partition
	schema    *arrow.Schema
	kinds     []schema.Type // of the columns
	all       Row
	ends      []int // of the rows in all.cells
}

func newRows(t schema.Table) *rows {
	r := &rows{schema: arrowSchema(t)}
	for _, c := range t.Columns {
		r.kinds = append(r.kinds, c.Type)
	}
	return r
}

// add adds a row. The buffers double, since they are used again.
func (r *rows) add(row *Row) {
	if n := len(r.all.cells) + len(row.cells); n > cap(r.all.cells) {
		r.all.cells = slices.Grow(r.all.cells, n)
	}
	if n := len(r.all.text) + len(row.text); n > cap(r.all.text) {
		r.all.text = slices.Grow(r.all.text, n)
	}
	r.all.AddRow(row)
	r.ends = append(r.ends, len(r.all.cells))
}

// capacity is the memory of the buffers.
func (r *rows) capacity() int { return cap(r.all.text) + cap(r.all.cells)*cellBytes }

// release frees the buffers.
func (r *rows) release() { r.all, r.ends = Row{}, nil }

// column is a column of a record while it is filled. A column without values has no memory of its own.
type column struct {
	kind    schema.Type
	set     int // values that are not null
	bytes   int // of texts
	valid   []byte
	offsets []int32 // String
	int64s  []int64 // Int64, Double, Time
	int32s  []int32 // Date
	data    []byte  // String, Bool
	next    int     // String: the first row whose start is not in offsets
	end     int32   // String: of the texts so far
	buffers []*memory.Buffer
}

// zeros are the buffers of columns without values, for as many rows as a record has.
var zeros [8 * (MaxRows + 1)]byte

// record makes a record of the rows, and empties them.
func (r *rows) record() arrow.Record {
	columns := make([]column, len(r.kinds))
	for i := range r.all.cells {
		if cell := &r.all.cells[i]; cell.column != dropped {
			c := &columns[cell.column]
			c.set++
			c.bytes += int(cell.length)
		}
	}
	a := allocator{rows: len(r.ends), buffers: make([]memory.Buffer, 3*len(columns)), pointers: make([]*memory.Buffer, 3*len(columns))}
	for i := range columns {
		columns[i].kind = r.kinds[i]
		a.size += a.sizeOf(&columns[i])
	}
	a.memory = make([]byte, a.size)
	for i := range columns {
		a.allocate(&columns[i])
	}
	r.fill(columns)
	arrays := make([]arrow.Array, len(columns))
	for i := range columns {
		data := array.NewData(r.schema.Field(i).Type, a.rows, columns[i].buffers, nil, a.rows-columns[i].set, 0)
		arrays[i] = array.MakeFromData(data)
		data.Release()
	}
	rec := array.NewRecord(r.schema, arrays, int64(a.rows))
	for _, one := range arrays {
		one.Release()
	}
	r.all.cells, r.all.text, r.ends = r.all.cells[:0], r.all.text[:0], r.ends[:0]
	return rec
}

// fill writes the cells into their columns.
func (r *rows) fill(columns []column) {
	text, first := r.all.text, 0
	for row, end := range r.ends {
		valid, bit := row>>3, byte(1)<<(row&7)
		for i := first; i < end; i++ {
			cell := &r.all.cells[i]
			own := text[:cell.length]
			text = text[cell.length:]
			if cell.column == dropped {
				continue
			}
			c := &columns[cell.column]
			c.valid[valid] |= bit
			switch c.kind {
			case schema.String:
				c.addText(row, own)
			case schema.Date:
				c.int32s[row] = int32(cell.n)
			case schema.Bool:
				c.data[valid] |= byte(cell.n) << (row & 7)
			default:
				c.int64s[row] = cell.n
			}
		}
		first = end
	}
	for i := range columns {
		if c := &columns[i]; c.offsets != nil {
			c.startRows(len(r.ends))
		}
	}
}

// addText writes the text of a row, behind those of earlier rows.
func (c *column) addText(row int, text []byte) {
	c.startRows(row)
	c.end += int32(copy(c.data[c.end:], text))
}

// startRows notes where the texts of rows up to this one start.
func (c *column) startRows(row int) {
	for ; c.next <= row; c.next++ {
		c.offsets[c.next] = c.end
	}
}

// allocator divides one piece of memory among the buffers of a record.
type allocator struct {
	rows, size int
	memory     []byte // what is left of it, zero
	buffers    []memory.Buffer
	pointers   []*memory.Buffer
}

// sizeOf is the memory that a column takes.
func (a *allocator) sizeOf(c *column) int {
	switch {
	case c.set == 0:
		return 0
	case c.kind == schema.String:
		return align(a.bitmap()) + align(4*(a.rows+1)) + align(c.bytes)
	}
	return align(a.bitmap()) + align(a.width(c.kind))
}

func (a *allocator) bitmap() int { return (a.rows + 7) >> 3 }

// width is the number of bytes of the values of a column that is no String.
func (a *allocator) width(kind schema.Type) int {
	switch kind {
	case schema.Date:
		return 4 * a.rows
	case schema.Bool:
		return a.bitmap()
	}
	return 8 * a.rows
}

// align rounds up such that what follows may hold numbers of 64 bits.
func align(n int) int { return (n + 7) &^ 7 }

// allocate gives a column its buffers.
func (a *allocator) allocate(c *column) {
	switch {
	case c.set == 0 && c.kind == schema.String:
		c.buffers = a.list(zeros[:a.bitmap():a.bitmap()], zeros[:4*(a.rows+1):4*(a.rows+1)], nil)
		return
	case c.set == 0:
		c.buffers = a.list(zeros[:a.bitmap():a.bitmap()], zeros[:a.width(c.kind):a.width(c.kind)])
		return
	}
	c.valid = a.take(a.bitmap())
	if c.kind == schema.String {
		offsets := a.take(4 * (a.rows + 1))
		c.offsets, c.data = arrow.Int32Traits.CastFromBytes(offsets), a.take(c.bytes)
		c.buffers = a.list(c.valid, offsets, c.data)
		return
	}
	values := a.take(a.width(c.kind))
	switch c.kind {
	case schema.Date:
		c.int32s = arrow.Int32Traits.CastFromBytes(values)
	case schema.Bool:
		c.data = values
	default:
		c.int64s = arrow.Int64Traits.CastFromBytes(values)
	}
	c.buffers = a.list(c.valid, values)
}

func (a *allocator) take(size int) []byte {
	piece := a.memory[:size:size]
	a.memory = a.memory[align(size):]
	return piece
}

// list makes buffers of pieces of memory.
func (a *allocator) list(pieces ...[]byte) []*memory.Buffer {
	n := len(pieces)
	list := a.pointers[:n:n]
	for i, piece := range pieces {
		a.buffers[i].Reset(piece)
		list[i] = &a.buffers[i]
	}
	a.buffers, a.pointers = a.buffers[n:], a.pointers[n:]
	return list
}
