package export

import (
	"encoding/csv"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/siglake/siglake/schema"
)

// csvWriter writes RFC 4180: cells are separated by commas and quoted where they must be. Lines end in LF.
type csvWriter struct {
	columns []schema.Column
	w       *csv.Writer
	record  []string
}

const byteOrderMark = "\ufeff"

func newCSV(w io.Writer, columns []schema.Column, bom bool) (*csvWriter, error) {
	if bom {
		if _, err := io.WriteString(w, byteOrderMark); err != nil {
			return nil, err
		}
	}
	c := &csvWriter{columns: columns, w: csv.NewWriter(w), record: make([]string, len(columns))}
	for i, column := range columns {
		c.record[i] = neutralise(column.Name)
	}
	return c, c.w.Write(c.record)
}

func (c *csvWriter) writeRow(cells []Cell) error {
	for i, cell := range cells {
		c.record[i] = cellText(c.columns[i].Type, cell)
		if c.columns[i].Type == schema.String {
			c.record[i] = neutralise(c.record[i])
		}
	}
	return c.w.Write(c.record)
}

func (c *csvWriter) close() error {
	c.w.Flush()
	return c.w.Error()
}

// cellText is a value as text: dates as 2026-01-31, times as 2026-01-31 12:00:00, in UTC.
func cellText(t schema.Type, c Cell) string {
	switch {
	case !c.Set:
		return ""
	case t == schema.Int64:
		return strconv.FormatInt(c.N, 10)
	case t == schema.Date:
		return dayTime(c.N).Format(time.DateOnly)
	case t == schema.Time:
		return time.UnixMicro(c.N).UTC().Format(time.DateTime)
	}
	return c.Text
}

func dayTime(days int64) time.Time { return time.Unix(days*86400, 0).UTC() }

// harmless is a number or a percentage, which no spreadsheet takes for a formula, or dashes in the place
// of one. A phone number without spaces is a number.
var harmless = regexp.MustCompile(`^([+-]?[0-9]+([.,][0-9]+)*([eE][+-]?[0-9]+)?\s?%?|-+)$`)

// neutralise makes a text harmless that a spreadsheet would execute. It puts an apostrophe before a cell
// that begins with one of = + - @ or their full-width forms, directly or after white space, control
// characters, quotes or invisible characters; or with a tab or a line break. Excel splits a file by the
// list separator of its language, whatever separates the cells, so the same is done behind a semicolon,
// a tab or a line break inside a cell. Numbers stay as they are, also negative ones.
func neutralise(text string) string {
	if !strings.ContainsAny(text, "=+-@＝＋－＠\t\r\n") {
		return text
	}
	var b strings.Builder
	for rest, first := text, true; rest != ""; first = false {
		part, separator := rest, ""
		if end := strings.IndexAny(rest, ";\t\r\n"); end >= 0 {
			part, separator = rest[:end], rest[end:end+1]
		}
		rest = rest[len(part)+len(separator):]
		if first && part == "" && separator != ";" || beginsFormula(part) {
			b.WriteByte('\'')
		}
		b.WriteString(part)
		b.WriteString(separator)
	}
	return b.String()
}

// beginsFormula reports whether a spreadsheet may take a text for a formula.
func beginsFormula(text string) bool {
	bare := strings.TrimLeftFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.In(r, unicode.Pi, unicode.Pf) || strings.ContainsRune("\"'`", r)
	})
	if bare == "" || !strings.ContainsRune("=+-@＝＋－＠", firstRune(bare)) {
		return false
	}
	return !harmless.MatchString(strings.TrimSpace(text))
}

func firstRune(s string) rune {
	for _, r := range s {
		return r
	}
	return 0
}
