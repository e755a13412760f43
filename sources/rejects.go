package sources

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/siglake/siglake/schema"
)

// rejectColumn is the header of the column with the reasons.
const rejectColumn = "reject_reason"

// writeReject writes a rejected record with its reason. A list of one column becomes one of two.
func (l *List) writeReject(f *file, rec *record, reject *schema.Reject) error {
	w := l.options.Rejects
	if w == nil {
		return nil
	}
	delimiter := f.layout.delimiter
	if delimiter == 0 {
		delimiter = ','
	}
	header := f.rejectHeader(delimiter)
	if l.rejectHeader == nil {
		l.rejectHeader = &header
		if header != "" {
			if _, err := io.WriteString(w, header+"\n"); err != nil {
				return err
			}
		}
	}
	if header != *l.rejectHeader {
		return &Error{File: f.object.URI, Problem: fmt.Sprintf("the header is %q, and that of the files before it %q", truncate(header), truncate(*l.rejectHeader)),
			Expected: "files with the same columns, so that one file can hold the rejected lines of all", Fix: "check these files one by one"}
	}
	line := string(bytes.TrimRight(rec.raw, "\r\n"))
	if f.layout.delimiter == 0 {
		line = quoteCell(line)
	}
	if n := f.layout.width - len(rec.cells); rec.fault == nil && n > 0 {
		line += strings.Repeat(string(delimiter), n)
	}
	_, err := io.WriteString(w, line+string(delimiter)+quoteCell(reject.String())+"\n")
	return err
}

// rejectHeader is the header of the list of rejected records; empty: it has none.
func (f *file) rejectHeader(delimiter byte) string {
	switch {
	case f.header != nil && f.layout.delimiter != 0:
		return string(bytes.TrimRight(f.header, "\r\n")) + string(delimiter) + rejectColumn
	case f.header != nil:
		return quoteCell(string(bytes.TrimRight(f.header, "\r\n"))) + string(delimiter) + rejectColumn
	case f.layout.delimiter != 0:
		return ""
	}
	for f, i := range f.layout.columns {
		if i == 0 {
			return fieldNames[f] + string(delimiter) + rejectColumn
		}
	}
	return ""
}

// quoteCell quotes a cell, which may have any delimiter in it.
func quoteCell(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }
