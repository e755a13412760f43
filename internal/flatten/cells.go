package flatten

import (
	"bytes"
	"time"
	"unicode/utf8"

	"github.com/siglake/siglake/internal/columns"
)

// cells are the values of a row. Its texts lie in the record, or in an arena.
type cells struct {
	list  []columns.Cell
	ranks []int // of the keys that the cells were read from
	at    []int // 1 + the place in list, by column; 0: null
	arena []byte
	// All texts are valid UTF-8.
	valid bool
}

// reset empties the row, for a table with so many columns.
func (c *cells) reset(width int) {
	for i := range c.list {
		c.at[c.list[i].Column] = 0
	}
	if len(c.at) < width {
		c.at = make([]int, width)
	}
	c.list, c.ranks, c.arena, c.valid = c.list[:0], c.ranks[:0], c.arena[:0], true
}

// cellAt is the value of a column; nil if it is null, or the table does not have it.
func (c *cells) cellAt(column int) *columns.Cell {
	if column < 0 || c.at[column] == 0 {
		return nil
	}
	return &c.list[c.at[column]-1]
}

// textAt is the text of a column; empty if it is null.
func (c *cells) textAt(column int) []byte {
	if cell := c.cellAt(column); cell != nil {
		return cell.Text
	}
	return nil
}

// isTaken reports whether a column was read from a key of a lower rank.
func (c *cells) isTaken(column, rank int) bool {
	at := c.at[column]
	return at > 0 && c.ranks[at-1] < rank
}

// set sets a column, in place of the value that it has.
func (c *cells) set(column int, text []byte, n int64, rank int) {
	if at := c.at[column]; at > 0 {
		c.list[at-1] = columns.Cell{Column: column, Text: text, N: n}
		c.ranks[at-1] = rank
		return
	}
	c.list = append(c.list, columns.Cell{Column: column, Text: text, N: n})
	c.ranks = append(c.ranks, rank)
	c.at[column] = len(c.list)
}

// add sets a column that is null, if the table has it.
func (c *cells) add(column int, text []byte) {
	if column >= 0 {
		c.set(column, text, 0, 0)
	}
}

// addOptional is add for a text that stands for null if it is empty.
func (c *cells) addOptional(column int, text []byte) {
	if len(text) > 0 {
		c.add(column, text)
	}
}

// addText is add for a string.
func (c *cells) addText(column int, text string) {
	if column >= 0 {
		c.set(column, c.keep(text), 0, 0)
	}
}

// addInt is add for a number.
func (c *cells) addInt(column int, n int64) {
	if column >= 0 {
		c.set(column, nil, n, 0)
	}
}

// addTime is add for a time; a zero one stands for null.
func (c *cells) addTime(column int, t time.Time) {
	if v := columns.TimeOrNull(t); v.Set {
		c.addInt(column, v.N)
	}
}

// keep copies a string into the arena.
func (c *cells) keep(text string) []byte {
	if !utf8.ValidString(text) {
		c.valid = false
	}
	start := len(c.arena)
	c.arena = append(c.arena, text...)
	return c.since(start)
}

// since is what the arena has from a position on. It stays valid while the arena grows.
func (c *cells) since(start int) []byte { return c.arena[start:len(c.arena):len(c.arena)] }

// complete returns the cells. Some readers refuse a whole file because of one invalid byte.
func (c *cells) complete() []columns.Cell {
	if !c.valid {
		for i := range c.list {
			c.list[i].Text = bytes.ToValidUTF8(c.list[i].Text, []byte("\uFFFD"))
		}
	}
	return c.list
}
