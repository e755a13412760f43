package sources

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Reports have lines above their header: a title, the date, the filters. They fill one or two cells, and the
// header below them fills most of the columns.

// maxTitles is the maximum number of records above a header.
const maxTitles = 20

// titles are the lines above the header of a list.
type titles struct {
	size  int   // in bytes, with the line ends
	lines int64 // physical lines
	roles int   // of the header below them
}

func (t titles) note() string {
	if t.lines == 1 {
		return "line 1 is above the header"
	}
	return fmt.Sprintf("lines 1 to %d are above the header", t.lines)
}

// findTitles finds the lines above the header. It fails if a later record looks like the header and is not surely it.
func findTitles(head []byte, atEOF bool, o Options) (best titles, err error) {
	if o.Header != HeaderAuto && o.Header != "auto" {
		return titles{}, nil
	}
	candidates := []byte(delimiters)
	switch {
	case o.Delimiter == '\n':
		return titles{}, nil
	case o.Delimiter != 0:
		candidates = []byte{byte(o.Delimiter)}
	}
	var unclear *Error
	for _, c := range candidates {
		_, records, lines := readLines(newReader(bytes.NewReader(head), c), atEOF)
		i, sure := headerBelowTitles(records, o)
		if i == 0 {
			if i = laterHeader(records, lines, o); i > 0 {
				sure = false
			}
		}
		switch {
		case i < 0:
		case i == 0:
			return titles{}, nil
		case !sure && unclear == nil:
			unclear = &Error{Line: lines[i], Problem: fmt.Sprintf("the header seems to be on line %d", lines[i]),
				Expected: "the header on the first line, or below lines with one or two filled cells", Fix: "remove the lines above it, or add --header=no if the list has no header"}
			if mayBeHeader(records, o) {
				unclear.Fix = fmt.Sprintf("remove the lines above it, or add --header=yes if the header is on line %d", lines[0])
			}
		case sure:
			if t := (titles{lines: lines[i] - 1, roles: knownNames(records[i], o)}); t.roles > best.roles {
				t.size = sizeOfLines(head, t.lines)
				best = t
			}
		}
	}
	if best.roles == 0 && unclear != nil {
		return titles{}, unclear
	}
	return best, nil
}

// headerBelowTitles returns the index of the header, and whether it surely is one: 0 if the first record is a header,
// -1 if none is found.
//
// A header surely is one if its words are known and the records above it hold no identifiers and fill at most two cells.
func headerBelowTitles(records [][]string, o Options) (index int, sure bool) {
	titled, identifiers, most := true, false, 0
	for i, row := range records[:min(len(records), maxTitles+1)] {
		roles, filled := knownNames(row, o), filledCells(row)
		width, share, _ := columnStats(records[i:])
		isHeader := filled > 1 && 2*filled > width && len(row) >= width && share >= 0.5 && len(records) > i+1
		switch {
		case i == 0 && mayBeHeader(records, o):
			return 0, true
		case isHeader && filled > most && (roles > 1 || roles == 1 && titled):
			return i, titled && !identifiers && (roles > 1 || most <= 1)
		case isHeader && filled > most && filled > 2 && titled && i > 0 && isHeaderAbove(row, records[i+1:]):
			return i, false
		}
		most = max(most, filled)
		titled = titled && filled <= 2 && filled < width
		identifiers = identifiers || slices.ContainsFunc(row, isIdentifier) && !isRemark(row)
		if !titled && len(o.Map) > 0 {
			return -1, false
		}
	}
	return -1, false
}

// mayBeHeader reports whether the first record has a known name, and fills more than a title does.
func mayBeHeader(records [][]string, o Options) bool {
	width, _, _ := columnStats(records)
	filled := filledCells(records[0])
	return knownNames(records[0], o) > 0 && filled > 1 && (filled > 2 || 2*filled > width)
}

// laterHeader returns the index of a record that looks more like the header than the first one, which has a known name; 0
// if there is none. Either the record has more such names, or as many and the first is the head of a report: it states
// values, or blank lines follow it.
func laterHeader(records [][]string, lines []int64, o Options) int {
	first := records[0]
	if slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(o.Map)), o.Keep), func(c string) bool { return !isNumber(c) && findColumn(first, c) >= 0 }) {
		return 0
	}
	known := len(headerRoles(first))
	isHead, apart := slices.ContainsFunc(first, statesValue), false
	for i := 1; i < min(len(records)-1, maxTitles+1); i++ {
		row := records[i]
		apart = apart || i < 3 && lines[i] > lines[i-1]+1
		roles, filled := len(headerRoles(row)), filledCells(row)
		width, share, _ := columnStats(records[i:])
		if filled < 2 || 2*filled <= width || len(row) < width || share < 0.5 || roles == 0 || slices.ContainsFunc(row, statesValue) || slices.Equal(row, first) {
			continue
		}
		if roles > 1 && roles > known || (isHead || apart) && roles >= known {
			return i
		}
	}
	return 0
}

// statesValue reports whether a cell is no name of a column, as in the head of a report: "Date:", 2024.
func statesValue(cell string) bool {
	return strings.HasSuffix(cell, ":") || cell != "" && strings.Trim(cell, "0123456789-/.") == ""
}

// isRemark reports whether a record says something about the list, such as "Source: https://acme.com/report": a label
// stands before the address, or a sentence around it.
func isRemark(row []string) bool {
	return slices.ContainsFunc(row, func(cell string) bool {
		words := strings.Fields(cell)
		return len(words) >= 5 || len(words) > 0 && strings.HasSuffix(words[0], ":") || strings.HasSuffix(cell, ":")
	})
}

// knownNames counts the names of columns in a record: those that the vocabulary knows, or those that the options name.
func knownNames(row []string, o Options) int {
	named := 0
	for _, column := range slices.Concat(slices.Collect(maps.Values(o.Map)), o.Keep) {
		if column != KeepAll && !isNumber(column) && findColumn(row, column) >= 0 {
			named++
		}
	}
	return max(named, len(headerRoles(row)))
}

// isHeaderAbove reports whether a record of plain words stands above a column of identifiers.
func isHeaderAbove(row []string, below [][]string) bool {
	if slices.ContainsFunc(row, func(c string) bool { k := kindOf(c); return k != kindText && k != kindEmpty }) {
		return false
	}
	return identifierColumns(append([][]string{row}, below...), len(row)) > 0
}

// isIdentifier reports whether a cell is a domain, an address, a profile or an id.
func isIdentifier(cell string) bool {
	_, ok := kindFields[kindOf(cell)]
	return ok
}

func filledCells(row []string) (n int) {
	for _, cell := range row {
		if cell != "" {
			n++
		}
	}
	return n
}

// sizeOfLines is the size of the first n physical lines of a text.
func sizeOfLines(text []byte, n int64) (size int) {
	for range n {
		_, line, _ := lineEnd(text[size:], true)
		size += line
	}
	return size
}
