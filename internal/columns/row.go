package columns

// Row is a row that is being made: its cells back to back, and their texts. A column without a cell is
// null. The zero value is a row of nulls.
type Row struct {
	cells []cell
	text  []byte
}

// cell is a value of a row, for the column at an index of the row's table.
type cell struct {
	column int32 // dropped: it is none
	length int32 // of the text
	// Of a text, where it begins in Row.text. Of any other column: an integer, the bits of a double, 0 or 1,
	// days since 1970, or microseconds since 1970.
	n int64
}

const (
	dropped   = -1
	cellBytes = 16
)

// maxKeptText is the length of a text whose memory is kept for the next row.
const maxKeptText = 1 << 20

// Reset makes the row one of nulls.
func (r *Row) Reset() {
	if r.cells, r.text = r.cells[:0], r.text[:0]; cap(r.text) > maxKeptText {
		r.text = nil
	}
}

// Len is the number of cells.
func (r *Row) Len() int { return len(r.cells) }

// AddText adds a cell for a String column: valid UTF-8, which is copied. A column has one cell at most.
func (r *Row) AddText(column int, text []byte) {
	r.cells = append(r.cells, cell{int32(column), int32(len(text)), int64(len(r.text))})
	r.text = append(r.text, text...)
}

// AddString is AddText for a string.
func (r *Row) AddString(column int, text string) {
	r.cells = append(r.cells, cell{int32(column), int32(len(text)), int64(len(r.text))})
	r.text = append(r.text, text...)
}

// AddInt adds a cell for a column of another type, with what cell.n has for it.
func (r *Row) AddInt(column int, n int64) {
	r.cells = append(r.cells, cell{int32(column), 0, n})
}

// AddRow adds the cells of another row behind those that are there. Text is for rows that began as nulls: with cells of
// several rows, their texts follow one another.
func (r *Row) AddRow(other *Row) {
	r.cells, r.text = append(r.cells, other.cells...), append(r.text, other.text...)
}

// Drop takes a cell away; another one may follow for its column.
func (r *Row) Drop(i int) { r.cells[i].column = dropped }

// Column is the column of a cell; -1 if the cell was dropped.
func (r *Row) Column(i int) int { return int(r.cells[i].column) }

// Text is the text of a cell, valid until the row is reset.
func (r *Row) Text(i int) []byte {
	c := &r.cells[i]
	if c.length == 0 {
		return nil
	}
	end := c.n + int64(c.length)
	return r.text[c.n:end:end]
}

// Int is the number of a cell that is no text.
func (r *Row) Int(i int) int64 { return r.cells[i].n }

// ReplaceTexts replaces the texts of all cells.
func (r *Row) ReplaceTexts(replace func([]byte) []byte) {
	var text []byte
	for i := range r.cells {
		if c := &r.cells[i]; c.length > 0 {
			own := replace(r.text[c.n : c.n+int64(c.length)])
			c.n, c.length = int64(len(text)), int32(len(own))
			text = append(text, own...)
		}
	}
	r.text = text
}
