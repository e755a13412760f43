package flatten

import (
	"bytes"
	"unicode/utf8"

	"github.com/siglake/siglake/internal/columns"
)

// cells are the values of a row.
type cells struct {
	columns.Row
	fixed int // cells of the type, which nothing is derived from
	// 1 + the place of the column's cell, and the rank of the key that it was read from, by column; 0: null.
	at    []int32
	ranks []int32
	texts
}

// texts are those of a row that are not in the record as they are.
type texts struct {
	arena []byte
	valid bool // all texts are valid UTF-8
	plain bool // no backslash in the record
}

// reset begins a row with the cells of its type, for a table with so many columns.
func (c *cells) reset(fixed *columns.Row, width int) {
	for i := c.fixed; i < c.Len(); i++ {
		if column := c.Column(i); column >= 0 {
			c.at[column] = 0
		}
	}
	if len(c.at) < width {
		c.at, c.ranks = make([]int32, width), make([]int32, width)
	}
	c.Reset()
	c.AddRow(fixed)
	c.fixed, c.arena, c.valid = fixed.Len(), emptied(c.arena), true
}

// maxKept is the size of a buffer whose memory is kept for the next row.
const maxKept = 1 << 20

// emptied is a buffer without its bytes, for the next row.
func emptied(buffer []byte) []byte {
	if cap(buffer) > maxKept {
		return nil
	}
	return buffer[:0]
}

// has reports whether a column is not null.
func (c *cells) has(column int) bool { return column >= 0 && c.at[column] > 0 }

// textAt is the text of a column; empty if it is null.
func (c *cells) textAt(column int) []byte {
	if !c.has(column) {
		return nil
	}
	return c.Text(int(c.at[column] - 1))
}

// intAt is the number of a column; false if it is null.
func (c *cells) intAt(column int) (n int64, ok bool) {
	if !c.has(column) {
		return 0, false
	}
	return c.Int(int(c.at[column] - 1)), true
}

// isTaken reports whether a column was read from a key of a lower rank.
func (c *cells) isTaken(column, rank int) bool {
	return c.at[column] > 0 && int(c.ranks[column]) < rank
}

// startCell makes room for a column's cell, the next one.
func (c *cells) startCell(column, rank int) {
	if at := c.at[column]; at > 0 {
		c.Drop(int(at - 1))
	}
	c.at[column], c.ranks[column] = int32(c.Len()+1), int32(rank)
}

// setText sets a column, in place of the value that it has.
func (c *cells) setText(column int, text []byte, rank int) {
	c.startCell(column, rank)
	c.AddText(column, text)
}

// setInt is setText for a number.
func (c *cells) setInt(column int, n int64, rank int) {
	c.startCell(column, rank)
	c.AddInt(column, n)
}

// addText adds a text, if the table has the column.
func (c *cells) addText(column int, text []byte) {
	if column >= 0 {
		c.setText(column, text, 0)
	}
}

// addOptional is addText for a text that stands for null if it is empty.
func (c *cells) addOptional(column int, text []byte) {
	if len(text) > 0 {
		c.addText(column, text)
	}
}

// addString is addText for a string.
func (c *cells) addString(column int, text string) {
	if column >= 0 {
		c.check(text)
		c.startCell(column, 0)
		c.AddString(column, text)
	}
}

// addInt is addText for a number.
func (c *cells) addInt(column int, n int64) {
	if column >= 0 {
		c.setInt(column, n, 0)
	}
}

// check looks whether a text is valid.
func (t *texts) check(text string) {
	if !utf8.ValidString(text) {
		t.valid = false
	}
}

// keep copies a string into the arena.
func (t *texts) keep(text string) []byte {
	t.check(text)
	start := len(t.arena)
	t.arena = append(t.arena, text...)
	return t.since(start)
}

// since is what the arena has from a position on. It stays valid while the arena grows.
func (t *texts) since(start int) []byte { return t.arena[start:len(t.arena):len(t.arena)] }

// complete completes the row. Some readers refuse a whole file because of one invalid byte.
func (c *cells) complete() *columns.Row {
	if !c.valid {
		c.ReplaceTexts(func(text []byte) []byte { return bytes.ToValidUTF8(text, []byte("\uFFFD")) })
	}
	return &c.Row
}
