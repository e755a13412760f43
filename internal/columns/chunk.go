package columns

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/siglake/siglake/schema"
)

// Chunk is rows of any partitions, as one goroutine makes them and hands them over to a [Writer]: their
// cells back to back. A text stands in the record that its row was made of, where it is not copied from,
// or else in the chunk. So a chunk keeps records in memory, and with them the answers that they stand
// in, until its rows are written.
type Chunk struct {
	number uint64 // no other chunk has or had it
	rows   []row
	cells  []cell
	text   []byte   // what cells have that is in no record
	shared []extent // cells that several rows have, by the number of their list
	parts  []part
	// Bytes of the records, and of what else they keep in memory; those of the records that no other chunk
	// and no answer has.
	records int64
	own     int
	added   int // rows that a writer has counted
	// The row or list that is being made.
	record []byte
	first  uint32
	fitted bool // its buffers are not used again
}

// row is one row of a chunk.
type row struct {
	record []byte // that its texts stand in
	cells  extent
	shared uint32 // number of the list of cells that it shares with other rows
	part   int32  // written: the row is no longer needed
}

// extent is a part of Chunk.cells.
type extent struct{ first, end uint32 }

// part is what a chunk has of one partition.
type part struct {
	place *Place
	to    *rows // of the writer that has the chunk
}

// Place is a partition, as one goroutine names it for the chunks that it makes.
type Place struct {
	Table     *schema.Table // as the current version of the schema has it
	Partition schema.Partition

	chunk uint64 // the last one with rows of it
	part  int32  // in that chunk
}

// cell is a value of a row, for the column at an index of the row's table. A column without a cell is
// null, and one has one cell at most.
type cell struct {
	column int16 // dropped: it is none
	kind   cellKind
	// Of a text, where it begins and its length. Of a number its lower and its upper half: of an integer,
	// the bits of a double, 0 or 1, days since 1970, or microseconds since 1970.
	a, b uint32
}

// cellKind says what a cell holds.
type cellKind uint8

const (
	number       cellKind = iota
	textInRecord          // of its row
	textInChunk
)

const (
	dropped   = -1 // of cell.column
	written   = -1 // of row.part
	cellBytes = 12
	rowBytes  = 40
)

// A chunk is full with so many rows, or when its cells and texts take so many bytes.
const (
	chunkRows  = MaxRows / 4
	chunkBytes = 512 << 10
)

// NewChunk returns a chunk without rows.
func NewChunk() *Chunk { return chunks.Get().(*Chunk) }

// chunks are chunks without rows, whose buffers are used again.
var chunks = sync.Pool{New: func() any {
	c := new(Chunk)
	c.reset()
	return c
}}

// chunkNumber is the last number of a chunk.
var chunkNumber atomic.Uint64

// Release drops the rows of a chunk, which is not used any more.
func (c *Chunk) Release() {
	c.reset()
	if c.capacity() <= 2*chunkBytes && !c.fitted {
		chunks.Put(c)
	}
}

// Fit returns a chunk with the same rows whose buffers are not much larger than they: many chunks may wait to
// be written, and the buffers of most have been those of larger ones. The first chunk is not used any more.
func (c *Chunk) Fit() *Chunk {
	const small = 1 << 10
	if c.capacity() <= 2*(c.Memory()-c.own)+small {
		return c
	}
	own := &Chunk{
		rows: slices.Clone(c.rows), cells: slices.Clone(c.cells), text: slices.Clone(c.text), shared: slices.Clone(c.shared), parts: slices.Clone(c.parts),
		number: chunkNumber.Add(1), records: c.records, own: c.own, fitted: true,
	}
	c.Release()
	return own
}

// reset drops the rows.
func (c *Chunk) reset() {
	clear(c.rows)
	clear(c.parts)
	c.rows, c.cells, c.text, c.shared, c.parts = c.rows[:0], c.cells[:0], c.text[:0], c.shared[:0], c.parts[:0]
	c.records, c.own, c.added, c.record, c.number = 0, 0, 0, nil, chunkNumber.Add(1)
}

// Number tells the chunk from all others.
func (c *Chunk) Number() uint64 { return c.number }

// Rows is the number of rows.
func (c *Chunk) Rows() int { return len(c.rows) }

// IsFull reports whether further rows should go to another chunk.
func (c *Chunk) IsFull() bool { return len(c.rows) >= chunkRows || c.Memory() >= chunkBytes }

// capacity is what the buffers take, in bytes.
func (c *Chunk) capacity() int {
	return cap(c.cells)*cellBytes + cap(c.rows)*rowBytes + cap(c.text)
}

// Memory is what the rows take without the records that stand in answers, in bytes.
func (c *Chunk) Memory() int {
	return len(c.cells)*cellBytes + len(c.rows)*rowBytes + len(c.text) + c.own
}

// OwnRecord notes that the record of the last row stands in no answer: it was made for that row.
func (c *Chunk) OwnRecord() {
	n := len(c.rows[len(c.rows)-1].record)
	c.records, c.own = c.records-int64(n), c.own+n
}

// Pin accounts for memory that is kept with the records and is not in any of them, in bytes.
func (c *Chunk) Pin(bytes int64) { c.records += bytes }

// BeginShared begins a list of cells that several rows have in common.
func (c *Chunk) BeginShared() { c.first = uint32(len(c.cells)) }

// EndShared ends the list. Its number is for BeginRow; 0 is a list without cells.
func (c *Chunk) EndShared() uint32 {
	c.shared = append(c.shared, extent{c.first, uint32(len(c.cells))})
	return uint32(len(c.shared))
}

// BeginRow begins a row that has the cells of a list and its own. The record, which does not change
// any more, may be nil.
func (c *Chunk) BeginRow(record []byte, shared uint32) {
	c.record, c.first = record, uint32(len(c.cells))
	c.rows = append(c.rows, row{record: record, shared: shared})
}

// EndRow ends the row, which belongs to a partition.
func (c *Chunk) EndRow(p *Place) {
	if p.chunk != c.number {
		p.chunk, p.part = c.number, int32(len(c.parts))
		c.parts = append(c.parts, part{place: p})
	}
	r := &c.rows[len(c.rows)-1]
	r.cells, r.part = extent{c.first, uint32(len(c.cells))}, p.part
	c.records += int64(len(c.record))
}

// First is the index of the first cell of the row that is being made, and Len that of the next one.
func (c *Chunk) First() int { return int(c.first) }

// Len is the number of cells.
func (c *Chunk) Len() int { return len(c.cells) }

// AddText adds a cell for a String column: valid UTF-8. It is copied, unless it is a slice of the row's
// record.
func (c *Chunk) AddText(column int, text []byte) {
	if at := cap(c.record) - cap(text); at >= 0 && len(text) > 0 && at < len(c.record) && &c.record[at] == &text[0] {
		c.cells = append(c.cells, cell{int16(column), textInRecord, uint32(at), uint32(len(text))})
		return
	}
	c.cells = append(c.cells, cell{int16(column), textInChunk, uint32(len(c.text)), uint32(len(text))})
	c.text = append(c.text, text...)
}

// AddString is AddText for a string.
func (c *Chunk) AddString(column int, text string) {
	c.cells = append(c.cells, cell{int16(column), textInChunk, uint32(len(c.text)), uint32(len(text))})
	c.text = append(c.text, text...)
}

// AddInt adds a cell for a column of another type, with what a cell has for it.
func (c *Chunk) AddInt(column int, n int64) {
	c.cells = append(c.cells, cell{int16(column), number, uint32(n), uint32(uint64(n) >> 32)})
}

// Drop takes away a cell of the row that is being made; another one may follow for its column.
func (c *Chunk) Drop(i int) { c.cells[i].column = dropped }

// Text is the text of a cell of the row that is being made. It must be neither changed nor appended to.
func (c *Chunk) Text(i int) []byte { return c.cells[i].text(c.record, c.text) }

// Int is the number of such a cell that is no text.
func (c *Chunk) Int(i int) int64 { return c.cells[i].int() }

// ReplaceTexts replaces all texts of the row that is being made.
func (c *Chunk) ReplaceTexts(replace func([]byte) []byte) {
	for i := int(c.first); i < len(c.cells); i++ {
		if x := &c.cells[i]; x.kind != number {
			own := replace(x.text(c.record, c.text))
			x.kind, x.a, x.b = textInChunk, uint32(len(c.text)), uint32(len(own))
			c.text = append(c.text, own...)
		}
	}
}

// text is the text of a cell, which stands in the record of its row or among the texts of its chunk.
func (x *cell) text(record, texts []byte) []byte {
	if x.kind == textInRecord {
		return record[x.a : x.a+x.b]
	}
	end := x.a + x.b
	return texts[x.a:end:end]
}

// int is the number of a cell.
func (x *cell) int() int64 { return int64(uint64(x.a) | uint64(x.b)<<32) }

// sharedCells are the cells that a row of a chunk shares with others.
func (r *row) sharedCells(c *Chunk) []cell {
	if r.shared == 0 {
		return nil
	}
	e := c.shared[r.shared-1]
	return c.cells[e.first:e.end]
}

// ownCells are the other cells of a row of a chunk.
func (r *row) ownCells(c *Chunk) []cell { return c.cells[r.cells.first:r.cells.end] }

// Place is the partition of a row.
func (c *Chunk) Place(i int) *Place { return c.parts[c.rows[i].part].place }

// Values are the values of a row by the indexes of their columns.
func (c *Chunk) Values(i int) iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		r := &c.rows[i]
		for _, cells := range [][]cell{r.sharedCells(c), r.ownCells(c)} {
			for n := range cells {
				x := &cells[n]
				v := Value{Set: true}
				if x.kind == number {
					v.N = x.int()
				} else {
					v.Text = string(x.text(r.record, c.text))
				}
				if x.column != dropped && !yield(int(x.column), v) {
					return
				}
			}
		}
	}
}
