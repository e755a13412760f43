package columns

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/schema"
)

// rows are rows of one partition: first some of its own, then those of the writer's chunks, in the order
// of the chunks.
type rows struct {
	place   Place // of its own rows
	schema  *arrow.Schema
	columns []column // of the next record
	count   int      // of all rows
	bytes   int      // of all texts
	own     Chunk
	todo    task
	filled  int // rows that the columns have
}

// task is what a walk over the chunks of a writer does with the rows of a partition.
type task int

const (
	leave   task = iota
	fill         // write them into the columns
	copyOwn      // copy them behind its own
)

func newRows(t schema.Table) *rows {
	r := &rows{schema: arrowSchema(t), columns: make([]column, len(t.Columns))}
	for i := range t.Columns {
		r.columns[i].kind = t.Columns[i].Type
	}
	r.own.reset()
	return r
}

// isFull reports whether the next row should go to another record: all columns of a record are in memory, and
// rows may share a record or cells that take much.
func (r *rows) isFull() bool { return r.count == MaxRows || r.bytes > MaxBytes }

// inChunks is the number of rows that are in chunks.
func (r *rows) inChunks() int { return r.count - len(r.own.rows) }

// size is about what the rows take in a chunk, without their records.
func (r *rows) size() int {
	size := r.count * rowBytes
	for i := range r.columns {
		size += r.columns[i].set*cellBytes + r.columns[i].bytes
	}
	return size
}

// measure counts a row with some of its cells, which the next record gets.
func (r *rows) measure(cells []cell) {
	for i := range cells {
		if x := &cells[i]; x.column != dropped {
			c := &r.columns[x.column]
			c.set++
			if x.kind != number {
				c.bytes, r.bytes = c.bytes+int(x.b), r.bytes+int(x.b)
			}
		}
	}
}

// take does with a row of a chunk what is to be done.
func (r *rows) take(c *Chunk, one *row) {
	switch r.todo {
	case fill:
		r.fill(one.sharedCells(c), one.record, c.text)
		r.fill(one.ownCells(c), one.record, c.text)
		r.filled++
	case copyOwn:
		r.addOwn(c, one)
	}
}

// addOwn adds a row of a chunk to its own rows: the texts are copied.
func (r *rows) addOwn(other *Chunk, one *row) {
	c := &r.own
	c.BeginRow(nil, 0)
	for _, cells := range [2][]cell{one.sharedCells(other), one.ownCells(other)} {
		for i := range cells {
			x := cells[i]
			switch {
			case x.column == dropped:
				continue
			case x.kind != number:
				text := x.text(one.record, other.text)
				x.kind, x.a = textInChunk, uint32(len(c.text))
				c.text = append(c.text, text...)
			}
			c.cells = append(c.cells, x)
		}
	}
	c.EndRow(&r.place)
}

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

// begin allocates the columns and fills them with its own rows, which it drops.
func (r *rows) begin() {
	a := allocator{rows: r.count, buffers: make([]memory.Buffer, 3*len(r.columns)), pointers: make([]*memory.Buffer, 3*len(r.columns))}
	for i := range r.columns {
		a.size += a.sizeOf(&r.columns[i])
	}
	a.memory = make([]byte, a.size)
	for i := range r.columns {
		a.allocate(&r.columns[i])
	}
	r.todo = fill
	for i := range r.own.rows {
		r.take(&r.own, &r.own.rows[i])
	}
	r.own.reset()
}

// record makes a record of the columns, which are filled, and empties them.
func (r *rows) record() arrow.Record {
	arrays := make([]arrow.Array, len(r.columns))
	for i := range r.columns {
		c := &r.columns[i]
		if c.offsets != nil {
			c.startRows(r.count)
		}
		data := array.NewData(r.schema.Field(i).Type, r.count, c.buffers, nil, r.count-c.set, 0)
		arrays[i] = array.MakeFromData(data)
		data.Release()
		*c = column{kind: c.kind}
	}
	rec := array.NewRecord(r.schema, arrays, int64(r.count))
	for _, one := range arrays {
		one.Release()
	}
	r.count, r.bytes, r.filled, r.todo = 0, 0, 0, leave
	return rec
}

// fill writes cells of the next row into their columns.
func (r *rows) fill(cells []cell, record, texts []byte) {
	row := r.filled
	valid, bit := row>>3, byte(1)<<(row&7)
	for i := range cells {
		x := &cells[i]
		if x.column == dropped {
			continue
		}
		c := &r.columns[x.column]
		c.valid[valid] |= bit
		switch c.kind {
		case schema.String:
			c.addText(row, x.text(record, texts))
		case schema.Date:
			c.int32s[row] = int32(x.a)
		case schema.Bool:
			c.data[valid] |= byte(x.a) << (row & 7)
		default:
			c.int64s[row] = x.int()
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
