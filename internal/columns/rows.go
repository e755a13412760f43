package columns

import (
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/schema"
)

// rows are rows of one partition, in the order in which they came.
type rows struct {
	place  Place // of the rows in own
	schema *arrow.Schema
	kinds  []schema.Type // of the columns
	pieces []piece
	count  int   // rows of all pieces
	own    Chunk // rows that are in no chunk of a writer
}

// piece is rows of a chunk: so many of a partition, from one on.
type piece struct {
	chunk *Chunk
	first int32
	rows  int
}

func newRows(t schema.Table) *rows {
	r := &rows{schema: arrowSchema(t)}
	for _, c := range t.Columns {
		r.kinds = append(r.kinds, c.Type)
	}
	r.own.reset()
	return r
}

// add adds rows of a chunk.
func (r *rows) add(c *Chunk, first int32, n int32) {
	r.pieces, r.count = append(r.pieces, piece{c, first, int(n)}), r.count+int(n)
}

// endOwn ends a row of its own.
func (r *rows) endOwn() {
	r.own.EndRow(&r.place)
	if last := len(r.pieces) - 1; last >= 0 && r.pieces[last].chunk == &r.own {
		r.pieces[last].rows++
		r.count++
		return
	}
	r.add(&r.own, int32(len(r.own.rows)-1), 1)
}

// canCopy reports whether the rows can be copied to its own without changing their order.
func (r *rows) canCopy() bool {
	return len(r.pieces) == 0 || !slices.ContainsFunc(r.pieces[1:], func(p piece) bool { return p.chunk == &r.own })
}

// copyRows copies all rows to its own.
func (r *rows) copyRows() {
	pieces := r.pieces
	if len(pieces) > 0 && pieces[0].chunk == &r.own {
		pieces = pieces[1:]
	}
	for _, p := range pieces {
		for at := p.first; p.rows > 0; p.rows-- {
			r.own.addRow(&r.place, p.chunk, &p.chunk.rows[at])
			at = p.chunk.rows[at].next
		}
	}
	if len(pieces) > 0 {
		clear(r.pieces)
		r.pieces = append(r.pieces[:0], piece{&r.own, int32(len(r.own.rows) - r.count), r.count})
	}
}

// drop drops the first rows.
func (r *rows) drop(n int) {
	r.count -= n
	done := 0
	for n > 0 {
		p := &r.pieces[done]
		if p.rows <= n {
			n -= p.rows
			done++
			continue
		}
		for p.rows -= n; n > 0; n-- {
			p.first = p.chunk.rows[p.first].next
		}
	}
	r.pieces = slices.Delete(r.pieces, 0, done)
	if !slices.ContainsFunc(r.pieces, func(p piece) bool { return p.chunk == &r.own }) {
		r.own.reset()
	}
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

// record makes a record of the first rows.
func (r *rows) record() arrow.Record {
	n := min(r.count, MaxRows)
	columns := make([]column, len(r.kinds))
	r.each(n, func(_ int, c *Chunk, one *row) {
		measure(columns, c.sharedCells(one))
		measure(columns, c.ownCells(one))
	})
	a := allocator{rows: n, buffers: make([]memory.Buffer, 3*len(columns)), pointers: make([]*memory.Buffer, 3*len(columns))}
	for i := range columns {
		columns[i].kind = r.kinds[i]
		a.size += a.sizeOf(&columns[i])
	}
	a.memory = make([]byte, a.size)
	for i := range columns {
		a.allocate(&columns[i])
	}
	r.each(n, func(at int, c *Chunk, one *row) {
		fill(columns, at, c.sharedCells(one), one.record, c.text)
		fill(columns, at, c.ownCells(one), one.record, c.text)
	})
	arrays := make([]arrow.Array, len(columns))
	for i := range columns {
		if c := &columns[i]; c.offsets != nil {
			c.startRows(n)
		}
		data := array.NewData(r.schema.Field(i).Type, n, columns[i].buffers, nil, n-columns[i].set, 0)
		arrays[i] = array.MakeFromData(data)
		data.Release()
	}
	rec := array.NewRecord(r.schema, arrays, int64(n))
	for _, one := range arrays {
		one.Release()
	}
	return rec
}

// each visits the first n rows.
func (r *rows) each(n int, visit func(at int, c *Chunk, one *row)) {
	for i, at := 0, 0; at < n; i++ {
		p := r.pieces[i]
		for next := p.first; p.rows > 0 && at < n; p.rows-- {
			one := &p.chunk.rows[next]
			visit(at, p.chunk, one)
			next, at = one.next, at+1
		}
	}
}

// measure counts cells and the lengths of their texts.
func measure(columns []column, cells []cell) {
	for i := range cells {
		if x := &cells[i]; x.column != dropped {
			c := &columns[x.column]
			c.set++
			if x.kind != number {
				c.bytes += int(x.b)
			}
		}
	}
}

// fill writes the cells of a row into their columns.
func fill(columns []column, row int, cells []cell, record, texts []byte) {
	valid, bit := row>>3, byte(1)<<(row&7)
	for i := range cells {
		x := &cells[i]
		if x.column == dropped {
			continue
		}
		c := &columns[x.column]
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
