package sources

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/siglake/siglake/schema"
)

// tableColumns are the columns of a list: what they are called, and what their cells in the sample are.
type tableColumns struct {
	header    []string  // nil without a header
	names     []string  // names of the columns in messages
	contents  []content // of the columns in the sample
	width     int       // maximum number of filled columns of a record
	line      int64     // line of the first record
	delimiter byte
}

// columnList lists the columns for a message, with their numbers.
func (t *tableColumns) columnList() string {
	parts := make([]string, 0, len(t.names))
	for i, name := range t.names {
		if i == 30 {
			parts = append(parts, fmt.Sprintf("and %d more", len(t.names)-i))
			break
		}
		if t.header != nil && name != columnName(nil, i+1) {
			name = fmt.Sprintf("%d %q", i+1, truncate(name))
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, ", ")
}

// columnText names a column in a message, with its number if it has a header.
func (t *tableColumns) columnText(i int) string {
	if name := t.names[i]; t.header != nil && name != columnName(nil, i+1) {
		return fmt.Sprintf("%d %q", i+1, truncate(name))
	}
	return t.names[i]
}

// mapReference is the name of a column in a --map option, quoted for a shell; its number if the name
// cannot be quoted, or does not denote it.
func (t *tableColumns) mapReference(i int) string {
	if i >= len(t.header) || t.header[i] == "" || findColumn(t.header, t.header[i]) != i || strings.ContainsAny(t.header[i], "\"\\$`!,=") ||
		strings.ContainsFunc(t.header[i], unicode.IsControl) || len(t.header[i]) > 80 {
		return strconv.Itoa(i + 1)
	}
	if strings.ContainsFunc(t.header[i], func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r)
	}) {
		return `"` + t.header[i] + `"`
	}
	return t.header[i]
}

// findNumbered finds a column by its name in the header, or by its number from 1; -1: there is none.
func (t *tableColumns) findNumbered(name string) int {
	if i := findColumn(t.header, name); i >= 0 {
		return i
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(t.names) {
		return n - 1
	}
	return -1
}

// namesOther reports whether the header of column i names another entity ("Parent Website").
func (t *tableColumns) namesOther(i int) bool {
	return i < len(t.header) && headerWords.names(wordOther, headerTokens(t.header[i]))
}

// columnName is the name of a column in messages: its header name, else its number from 1. It is
// empty for number 0.
func columnName(header []string, number int) string {
	switch {
	case number == 0:
		return ""
	case number <= len(header) && header[number-1] != "":
		return header[number-1]
	}
	return fmt.Sprintf("column %d", number)
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// fieldColumns say which column holds which field.
type fieldColumns struct {
	columns [numFields]int // index of the column; -1: none
	reasons [numFields]Reason
	// Columns that a field is read from if the cell in its own is empty, best first.
	alternatives [numFields][]int
}

func (c *fieldColumns) has(f field) bool { return c.columns[f] >= 0 }

// usedAsIdentifier reports whether a column holds a field other than the key.
func (c *fieldColumns) usedAsIdentifier(i int) bool {
	for f, column := range c.columns {
		if column == i && field(f) != fieldKey {
			return true
		}
	}
	return false
}

// canIdentify reports whether the columns suffice to request an object.
func (c *fieldColumns) canIdentify(o schema.Object) bool {
	if o == schema.Contact {
		person := c.has(fieldName) || c.has(fieldFirstName) && c.has(fieldLastName)
		employer := c.has(fieldCompanyName) || c.has(fieldCompanyDomain)
		return c.has(fieldID) || c.has(fieldLinkedIn) || c.has(fieldEmail) || person && employer
	}
	return c.has(fieldID) || c.has(fieldDomain) || c.has(fieldName)
}
