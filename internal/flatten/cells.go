package flatten

import (
	"bytes"
	"unicode/utf8"

	"github.com/siglake/siglake/internal/columns"
)

// cells are the values of the row that is being made, in a chunk.
type cells struct {
	*columns.Chunk
	number uint64 // of the chunk
	// 1 + the place of the column's cell in the chunk, and the rank of the key that it was read from, by
	// column. Places before the row's own cells are of earlier rows: the column is null.
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

// reset begins a row of a table with so many columns.
func (c *cells) reset(into *columns.Chunk, width int) {
	if c.Chunk, width = into, max(width, len(c.at)); c.number != into.Number() || len(c.at) < width {
		c.number, c.at, c.ranks = into.Number(), grown(c.at, width), grown(c.ranks, width)
	}
	c.arena, c.valid = emptied(c.arena), true
}

// grown is a list of zeros.
func grown(list []int32, n int) []int32 {
	if len(list) < n {
		return make([]int32, n)
	}
	clear(list)
	return list
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
func (c *cells) has(column int) bool { return column >= 0 && c.isSet(column) }

// isSet is has for a column that the table has.
func (c *cells) isSet(column int) bool { return int(c.at[column]) > c.First() }

// textAt is the text of a column; empty if it is null. It must not be appended to.
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
	return c.isSet(column) && int(c.ranks[column]) < rank
}

// startCell makes room for a column's cell, the next one.
func (c *cells) startCell(column, rank int) {
	if c.isSet(column) {
		c.Drop(int(c.at[column] - 1))
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

// complete makes the texts of the row valid. Some readers refuse a whole file because of one invalid byte.
func (c *cells) complete() {
	if !c.valid {
		c.ReplaceTexts(validText)
	}
}

func validText(text []byte) []byte { return bytes.ToValidUTF8(text, []byte("\uFFFD")) }
