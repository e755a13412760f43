package sources

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// KeepAll is the word of Options.Keep that names every column.
const KeepAll = "all"

// keptColumn is a column with cells that Accounts hold as they stand in the list.
type keptColumn struct {
	index int
	key   []byte // its name, as JSON
}

// chooseKept finds the columns that Options.Keep names, in the order of the list.
func (l *layout) chooseKept(o Options) error {
	chosen := map[int]bool{}
	for _, name := range o.Keep {
		i := l.findNumbered(name)
		switch {
		case name == KeepAll:
			for i := range l.width {
				chosen[i] = true
			}
		case i >= 0:
			chosen[i] = true
		default:
			near := ""
			if o.DidYouMean != nil {
				near = o.DidYouMean(name, l.names)
			}
			return &Error{Problem: fmt.Sprintf("--keep %s: no such column%s", name, near),
				Expected: KeepAll + ", or one of " + l.columnList(), Fix: "use the name in the header, or the number of the column, counted from 1"}
		}
	}
	used := map[string]bool{}
	for i := range max(l.width, len(l.names)) {
		if chosen[i] {
			name := uniqueName(keptName(l.header, i), used)
			l.kept = append(l.kept, keptColumn{i, appendJSON(nil, name)})
			l.keptNames = append(l.keptNames, name)
		}
	}
	return nil
}

// keptName is the name of a column without characters that cannot be seen.
func keptName(header []string, i int) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r):
			return ' '
		case isInvisible(r):
			return -1
		}
		return r
	}, columnName(header, i+1))
	if name = strings.Join(strings.Fields(name), " "); name == "" {
		return columnName(nil, i+1)
	}
	return name
}

// uniqueName adds a number to a name that is used already.
func uniqueName(name string, used map[string]bool) string {
	unique := name
	for n := 2; used[unique]; n++ {
		unique = fmt.Sprintf("%s (%d)", name, n)
	}
	used[unique] = true
	return unique
}

// keptCells are the cells of the kept columns, as a JSON object of texts in the order of the list; empty
// if none are kept. A cell that the record lacks is empty.
func (l *layout) keptCells(cells [][]byte) string {
	if len(l.kept) == 0 {
		return ""
	}
	b := []byte{'{'}
	for n, k := range l.kept {
		if n > 0 {
			b = append(b, ',')
		}
		text := ""
		if k.index < len(cells) {
			text = plainText(string(trimCell(cells[k.index])), false)
		}
		b = appendJSON(append(append(b, k.key...), ':'), text)
	}
	return string(append(b, '}'))
}

// appendJSON appends a text as JSON. U+FFFD stands for bytes that are not UTF-8, and for NUL, which some
// databases cannot store.
func appendJSON(b []byte, text string) []byte {
	var encoded bytes.Buffer
	e := json.NewEncoder(&encoded)
	e.SetEscapeHTML(false) // the text is no part of a page
	_ = e.Encode(strings.ReplaceAll(text, "\x00", "\uFFFD"))
	return append(b, bytes.TrimSuffix(encoded.Bytes(), []byte("\n"))...)
}
