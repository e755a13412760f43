package sources

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"strconv"
	"strings"
)

// Limits of a sheet. Excel has at most 16,384 columns and 32,767 characters in a cell.
const (
	maxSheetText = 1 << 20  // bytes of one text, and of one tag
	maxSheetRow  = 16 << 20 // bytes of one row
	maxTexts     = 3_200_000
	maxSheetCol  = 16_384
)

// sheetFacts is what a pass over a sheet finds that the library does not report.
type sheetFacts struct {
	lastRow    int // number of the last row
	hiddenRows int
	special    int // cells that specialCell describes
	// Identifiers of the links of cells, by the first cell of each: C2 -> rId1.
	links map[string]string
}

// maxSheetLinks is the number of links of cells that are read; Excel writes at most 65,530.
const maxSheetLinks = 65_530

// specialCell is a cell whose text the library does not show as it must be read: a HYPERLINK formula,
// a formula whose value was not stored, or a number with more digits than a spreadsheet keeps.
type specialCell struct {
	row    int
	column int // from 0
	text   string
}

// sheetScanner walks over the cells of a sheet's XML. It reads each byte, and so notices what the
// library does not: a part that is damaged, cut off, or a bomb.
type sheetScanner struct {
	r       *bufio.Reader
	facts   sheetFacts
	row     int
	column  int
	size    int    // bytes of the current row
	number  bool   // the cell holds a number
	formula []byte // of the cell, if it has no value so far
	text    bool   // the cell holds the text of a formula
	pending bool   // the cell has a formula and no value so far
	element string // v or f, if the text that follows is its content
	ended   bool   // the end of the sheet was found
}

func newSheetScanner(r io.Reader) *sheetScanner {
	return &sheetScanner{r: bufio.NewReaderSize(r, maxSheetText)}
}

// next returns the next special cell. At the end of the sheet the error is io.EOF.
func (s *sheetScanner) next() (specialCell, error) {
	for {
		text, err := s.r.ReadSlice('<')
		switch {
		case err == io.EOF && s.ended:
			return specialCell{}, io.EOF
		case err == io.EOF:
			return specialCell{}, io.ErrUnexpectedEOF
		case err != nil:
			return specialCell{}, sheetError(err)
		}
		s.size += len(text)
		cell, special := s.content(text[:len(text)-1])
		tag, err := s.r.ReadSlice('>')
		if err != nil {
			return specialCell{}, sheetError(err)
		}
		if s.size += len(tag); s.size > maxSheetRow {
			return specialCell{}, fmt.Errorf("row %d has more than %d bytes", s.row, maxSheetRow)
		}
		if s.tag(tag[:len(tag)-1]); s.column >= maxSheetCol {
			return specialCell{}, fmt.Errorf("row %d has more than %d columns", s.row, maxSheetCol)
		}
		if !special {
			cell, special = s.unvalued(tag)
		}
		if special {
			s.facts.special++
			return cell, nil
		}
	}
}

// unvalued returns a cell that ends with a formula and without its value: programs that write workbooks
// do not compute. The formula is in brackets, so that it looks like one whatever it is.
func (s *sheetScanner) unvalued(tag []byte) (specialCell, bool) {
	if !s.pending || tag[0] != '/' {
		return specialCell{}, false
	}
	if name := tag[1:]; string(name) != "c>" && !bytes.HasSuffix(name, []byte(":c>")) {
		return specialCell{}, false
	}
	s.pending = false
	return specialCell{row: s.row, column: s.column, text: "=(" + html.UnescapeString(string(s.formula)) + ")"}, true
}

// sheetError explains an error of the scanner's reader.
func sheetError(err error) error {
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return fmt.Errorf("a text has more than %d bytes", maxSheetText)
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// content looks at the text of an element.
func (s *sheetScanner) content(text []byte) (specialCell, bool) {
	element := s.element
	s.element = ""
	cell := specialCell{row: s.row, column: s.column}
	switch {
	case element == "v" && len(text) > 0:
		s.pending = false
	case element == "f":
		s.formula = append(s.formula[:0], text...)
	}
	switch {
	case element == "f" && bytes.Contains(bytes.ToUpper(text), []byte("HYPERLINK(")):
		cell.text = "=" + html.UnescapeString(string(text))
		_, _, ok := hyperlink(cell.text)
		s.pending = s.pending && !ok
		return cell, ok
	case element == "v" && s.number && len(text) > maxExactDigits:
		cell.text = longNumber(string(bytes.TrimSpace(text)))
		return cell, cell.text != ""
	}
	return cell, false
}

// tag looks at an element's beginning or end.
func (s *sheetScanner) tag(tag []byte) {
	end := bytes.IndexAny(tag, " \t\r\n/")
	if end < 0 {
		end = len(tag)
	}
	name := tag[:end]
	if end == 0 { // the end of an element
		name = tag[1:]
	}
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	if end == 0 {
		s.ended = s.ended || string(name) == "worksheet"
		return
	}
	switch string(name) {
	case "row":
		s.size, s.column = 0, -1
		s.row++
		if n, err := strconv.Atoi(attribute(tag, "r")); err == nil {
			s.row = n
		}
		s.facts.lastRow = s.row
		if hidden := attribute(tag, "hidden"); hidden == "1" || hidden == "true" {
			s.facts.hiddenRows++
		}
	case "c":
		s.column++
		if i := columnNumber(attribute(tag, "r")); i >= 0 {
			s.column = i
		}
		kind := attribute(tag, "t")
		s.number = kind == "" || kind == "n"
		s.pending, s.formula = false, s.formula[:0]
		s.text = kind == "str"
	case "hyperlink":
		s.addLink(attribute(tag, "ref"), attribute(tag, "r:id"))
	case "v", "f":
		switch {
		case string(name) == "f":
			s.pending = true
		case s.text: // it may be empty
			s.pending = false
		}
		if tag[len(tag)-1] != '/' {
			s.element = string(name)
		}
	}
}

// addLink notes the link of a cell, or of the first cell of a range.
func (s *sheetScanner) addLink(cell, id string) {
	cell, _, _ = strings.Cut(cell, ":")
	if cell == "" || id == "" || len(s.facts.links) >= maxSheetLinks {
		return
	}
	if s.facts.links == nil {
		s.facts.links = map[string]string{}
	}
	s.facts.links[cell] = id
}

// attribute returns an attribute of a tag. Numbers and flags need no decoding.
func attribute(tag []byte, name string) string {
	for {
		i := bytes.Index(tag, []byte(name+"="))
		if i < 0 || i+len(name)+2 > len(tag) {
			return ""
		}
		before, rest := tag[:i], tag[i+len(name)+1:]
		if i > 0 && (before[i-1] == ' ' || before[i-1] == '\t' || before[i-1] == '\n' || before[i-1] == '\r') {
			value, _, _ := bytes.Cut(rest[1:], rest[:1])
			return string(value)
		}
		tag = rest
	}
}

// columnNumber is the number of a column, from 0, by the name of one of its cells: "AB12" is 27.
func columnNumber(cell string) int {
	n := 0
	for _, c := range cell {
		if c < 'A' || c > 'Z' || n > maxSheetCol {
			break
		}
		n = 26*n + int(c-'A') + 1
	}
	return n - 1
}

// longNumber is a number with more digits than a spreadsheet keeps, as it would show it; empty for
// other numbers.
func longNumber(text string) string {
	if mantissa, exponent, scientific := strings.Cut(strings.ToUpper(text), "E"); scientific {
		if n, err := strconv.Atoi(exponent); err == nil && n >= maxExactDigits {
			return fmt.Sprintf("%sE+%d", mantissa, n)
		}
		return ""
	}
	whole, fraction, _ := strings.Cut(strings.TrimLeft(text, "-"), ".")
	if strings.Trim(whole, "0123456789") != "" || strings.Trim(fraction, "0") != "" || len(whole) <= maxExactDigits {
		return ""
	}
	return fmt.Sprintf("%s.%sE+%d", whole[:1], whole[1:maxExactDigits], len(whole)-1)
}

// countTexts reads the shared texts of a workbook to their end and counts them.
func countTexts(r io.Reader) (n int, err error) {
	buf := bufio.NewReaderSize(r, maxSheetText)
	for {
		if _, err := buf.ReadSlice('<'); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, sheetError(err)
		}
		tag, err := buf.ReadSlice('>')
		if err != nil {
			return n, sheetError(err)
		}
		if name := bytes.TrimRight(tag, "/> "); bytes.Equal(name, []byte("si")) || bytes.HasSuffix(name, []byte(":si")) && tag[0] != '/' {
			if n++; n > maxTexts {
				return n, fmt.Errorf("it has more than %d different texts", maxTexts)
			}
		}
	}
}
