package export

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/xuri/excelize/v2"

	"github.com/siglake/siglake/schema"
)

// Limits of a workbook.
const (
	maxSheetRows    = excelize.TotalRows
	maxSheetColumns = excelize.MaxColumns
	maxCellUnits    = excelize.TotalCellChars // of UTF-16
	// Excel refuses an archive as Go writes it if a part of it has 4 GiB.
	maxSheetBytes = 2 << 30
	// What a cell takes in a sheet besides its text.
	cellBytes = 64
)

// Serial numbers of days: 1 is the first of January 1900 in Excel, which counts a 29th of February in
// that year. From firstSerial on, its days are those of the calendar.
const (
	serialOfEpoch = 25569 // of 1970-01-01
	firstSerial   = 61    // of 1900-03-01
	lastSerial    = 2958465
)

// workbookWriter writes an Excel workbook. Rows go to a temporary file, which close compresses into the
// output; a sheet that is full is followed by another one with the same header.
type workbookWriter struct {
	out     io.Writer
	file    *excelize.File
	columns []schema.Column
	sheet   string
	sheets  int
	stream  *excelize.StreamWriter
	row     int // last row of the sheet
	maxRows int
	bytes   int // of the sheet, at most
	// Bytes after which a sheet ends.
	maxBytes int
	cells    []any
	styles   workbookStyles
}

// workbookStyles are ids of cell formats.
type workbookStyles struct {
	header, day, moment int
	text                int // of texts: digits that are edited stay as they are, with their zeros
	// Of a text that begins like a formula: Excel shows it as text even after the cell was edited.
	quoted int
}

func newWorkbook(w io.Writer, columns []schema.Column, sheet, dir string) (*workbookWriter, error) {
	if len(columns) > maxSheetColumns {
		return nil, fmt.Errorf("a workbook has at most %d columns, and the export has %d: name fewer signals with --signals, or write CSV or Parquet", maxSheetColumns, len(columns))
	}
	b := &workbookWriter{out: w, file: excelize.NewFile(excelize.Options{TmpDir: dir}), columns: columns, sheet: sheet, maxRows: maxSheetRows, maxBytes: maxSheetBytes, cells: make([]any, len(columns))}
	// The library would keep the whole archive in memory.
	b.file.SetZipWriter(func(io.Writer) excelize.ZipWriter { return zip.NewWriter(b.out) })
	err := b.addStyles()
	if err == nil {
		err = b.addSheet()
	}
	if err != nil {
		return nil, errors.Join(err, b.file.Close())
	}
	return b, nil
}

func (b *workbookWriter) addStyles() (err error) {
	day, moment := "yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss"
	for id, style := range map[*int]*excelize.Style{
		&b.styles.header: {Font: &excelize.Font{Bold: true}},
		&b.styles.day:    {CustomNumFmt: &day},
		&b.styles.moment: {CustomNumFmt: &moment},
		&b.styles.text:   {NumFmt: 49},
		&b.styles.quoted: {NumFmt: 49, Protection: &excelize.Protection{Locked: true}}, // the default, so that the style is another than text
	} {
		var failed error
		*id, failed = b.file.NewStyle(style)
		err = errors.Join(err, failed)
	}
	if err == nil {
		quoted := true
		b.file.Styles.CellXfs.Xf[b.styles.quoted].QuotePrefix = &quoted
	}
	return err
}

// addSheet begins the next sheet with the header.
func (b *workbookWriter) addSheet() (err error) {
	if b.stream != nil {
		if err := b.stream.Flush(); err != nil {
			return err
		}
	}
	b.sheets++
	name := b.sheet
	if b.sheets == 1 {
		err = b.file.SetSheetName("Sheet1", name)
	} else {
		name = fmt.Sprintf("%s (%d)", b.sheet, b.sheets)
		_, err = b.file.NewSheet(name)
	}
	if err != nil {
		return err
	}
	// A new sheet says that it consists of one cell, which some readers believe.
	if err := b.file.SetSheetDimension(name, ""); err != nil {
		return err
	}
	if b.stream, err = b.file.NewStreamWriter(name); err != nil {
		return err
	}
	if err := b.formatColumns(); err != nil {
		return err
	}
	for i, c := range b.columns {
		b.cells[i] = excelize.Cell{StyleID: b.styles.header, Value: cutCell(c.Name)}
	}
	if err := b.stream.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	b.row, b.bytes = 1, 0
	return b.stream.SetRow("A1", b.cells)
}

// columnFormat is how a column looks.
type columnFormat struct {
	width  float64
	isText bool // also cells that are empty so far
}

func formatOfColumn(c schema.Column) columnFormat {
	f := columnFormat{18, c.Type == schema.String}
	if strings.HasSuffix(c.Name, "headline") {
		f.width = 60
	}
	return f
}

// formatColumns formats the columns of a sheet, the last ones first: the library puts each call before those
// that came earlier, and a sheet has its columns in order.
func (b *workbookWriter) formatColumns() error {
	for last := len(b.columns); last > 0; {
		first, f := last, formatOfColumn(b.columns[last-1])
		for first > 1 && formatOfColumn(b.columns[first-2]) == f {
			first--
		}
		if f.isText {
			if err := b.stream.SetColStyle(first, last, b.styles.text); err != nil {
				return err
			}
		}
		if err := b.stream.SetColWidth(first, last, f.width); err != nil {
			return err
		}
		last = first - 1
	}
	return nil
}

func (b *workbookWriter) writeRow(cells []Cell) error {
	if b.row == b.maxRows || b.bytes > b.maxBytes {
		if err := b.addSheet(); err != nil {
			return err
		}
	}
	for i, c := range cells {
		b.cells[i] = b.value(b.columns[i].Type, c)
		b.bytes += cellBytes + len(c.Text) + escapes(c.Text)
	}
	b.row++
	return b.stream.SetRow(fmt.Sprintf("A%d", b.row), b.cells)
}

// escapes is by how many bytes XML makes a text longer, at most.
func escapes(text string) (n int) {
	for i := range len(text) {
		switch text[i] {
		case '&', '<', '>', '"', '\'', '\t', '\r':
			n += 4
		}
	}
	return n
}

// value is a cell in the form of the library: a text is a text whatever it looks like, and never a
// formula.
func (b *workbookWriter) value(t schema.Type, c Cell) any {
	serial := serialOfEpoch + c.N
	switch {
	case !c.Set:
		return nil
	case t == schema.Int64:
		return c.N
	case t == schema.Date && serial >= firstSerial && serial <= lastSerial:
		return excelize.Cell{StyleID: b.styles.day, Value: serial}
	case t == schema.Time && c.N > 0:
		return excelize.Cell{StyleID: b.styles.moment, Value: time.UnixMicro(c.N).UTC().Truncate(time.Second)}
	}
	text := cutCell(cellText(t, c))
	if beginsFormula(text) {
		return excelize.Cell{StyleID: b.styles.quoted, Value: text}
	}
	return excelize.Cell{StyleID: b.styles.text, Value: text}
}

// cutCell cuts a text that is longer than a cell may be, with a note at its end.
func cutCell(text string) string {
	if len(text) <= maxCellUnits { // a unit is at least one byte
		return text
	}
	units := 0
	for _, r := range text {
		units += utf16.RuneLen(r)
	}
	if units <= maxCellUnits {
		return text
	}
	note := fmt.Sprintf(" … [cut: the text has %d characters, a cell holds %d]", units, maxCellUnits)
	left := maxCellUnits - len(utf16.Encode([]rune(note)))
	for i, r := range text {
		if left -= utf16.RuneLen(r); left < 0 {
			return text[:i] + note
		}
	}
	return text
}

func (b *workbookWriter) close() error {
	err := b.stream.Flush()
	if err == nil {
		err = b.file.Write(b.out)
	}
	return errors.Join(err, b.file.Close())
}
