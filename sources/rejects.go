package sources

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/schema"
)

// The rejected records of a list are a list again: each as it stands, behind its reason in a first column. The reader
// takes that column off before it splits the rest, so that a record that is too short, too long or not closed is
// rejected again until it is mended.
//
// The header of the column says how the list was read:
//
//	siglake_reason company header=5c3f0a1e key=1 domain=3+4
//
// that is the object, a checksum of the other headers, and the columns of each field, counted from 1 without the column
// of the reasons. A list without a header (body=...) gets one with the names of its fields. The word "plain" says that
// the records have one cell each and no delimiter. If the checksum differs, because columns were moved, the list is read
// by its header.

// rejectColumn begins the header of the column with the reasons.
const rejectColumn = "siglake_reason"

// writeReject writes a rejected record behind its reason.
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
		if _, err := io.WriteString(w, header+"\n"); err != nil {
			return err
		}
	}
	if header != *l.rejectHeader {
		return &Error{File: f.object.URI, Problem: fmt.Sprintf("the header is %q, and that of the files before it %q", truncate(header), truncate(*l.rejectHeader)),
			Expected: "files with the same columns, so that one file can hold the rejected lines of all", Fix: "check these files one by one"}
	}
	reason := strings.Join(strings.Fields(reject.String()), " ")
	_, err := io.WriteString(w, quoteCell(reason)+string(delimiter)+string(bytes.TrimRight(rec.raw, "\r\n"))+"\n")
	return err
}

// rejectHeader is the header of the list of rejected records.
func (f *file) rejectHeader(delimiter byte) string {
	l := &f.layout
	words := []string{rejectColumn, string(l.object)}
	header := string(bytes.TrimRight(f.header, "\r\n"))
	if l.header != nil {
		words = append(words, "header="+headerSum(l.header))
	} else {
		names := l.fieldHeader()
		header = strings.Join(names, string(delimiter))
		words = append(words, "body="+headerSum(names))
	}
	if l.delimiter == 0 {
		words = append(words, "plain")
	}
	for f, i := range l.columns {
		if i < 0 {
			continue
		}
		column := strconv.Itoa(i + 1)
		for _, j := range l.alternatives[f] {
			column += "+" + strconv.Itoa(j+1)
		}
		words = append(words, fieldNames[f]+"="+column)
	}
	return quoteCell(strings.Join(words, " ")) + string(delimiter) + header
}

// fieldHeader names the columns of a list without a header by the fields that they hold.
func (l *layout) fieldHeader() []string {
	names := make([]string, max(l.width, 1))
	for i := range names {
		names[i] = columnName(nil, i+1)
		if f := slices.Index(l.columns[:], i); f >= 0 {
			names[i] = fieldNames[f]
		}
	}
	return names
}

// headerSum identifies the headers of a list.
func headerSum(names []string) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(strings.Join(names, "\x00"))))
}

// quoteCell quotes a cell, which may have any delimiter in it.
func quoteCell(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }

// rejectMark is what the header of a list of rejected records says about it.
type rejectMark struct {
	delimiter    byte // behind the reasons
	plain        bool // the records have one cell and no delimiter
	object       schema.Object
	body         bool // the header is no part of the list
	sum          string
	fields       [numFields]int
	alternatives [numFields][]int
	size         int // of the header, in bytes
}

// readRejectMark reads the header of a list of rejected records; nil: the text is another list.
func readRejectMark(head []byte) *rejectMark {
	if !bytes.HasPrefix(bytes.TrimPrefix(head, []byte(`"`)), []byte(rejectColumn+" ")) {
		return nil
	}
	end, size, _ := lineEnd(head, true)
	text, quoted := bytes.CutPrefix(head[:end], []byte(`"`))
	cell := bytes.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune(" _=+", r) && (r >= 0x80 || !isLetterOrDigit(byte(r))) })
	if cell < 0 {
		return nil
	}
	words, rest := strings.Fields(string(text[:cell])), text[cell:]
	if quoted {
		rest = bytes.TrimPrefix(rest, []byte(`"`))
	}
	if len(rest) < 2 || len(words) < 3 {
		return nil
	}
	m := &rejectMark{delimiter: rest[0], object: schema.Object(words[1]), size: size}
	for f := range m.fields {
		m.fields[f] = -1
	}
	for _, word := range words[2:] {
		switch name, value, _ := strings.Cut(word, "="); name {
		case "body", "header":
			m.body, m.sum = name == "body", value
		case "plain":
			m.plain = true
		default:
			if f, ok := fieldNamed(name); !ok || !m.setField(f, value) {
				return nil
			}
		}
	}
	if m.object != schema.Company && m.object != schema.Contact {
		return nil
	}
	return m
}

// setField reads the columns of a field: 3+4.
func (m *rejectMark) setField(f field, value string) bool {
	for i, text := range strings.Split(value, "+") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxColumns {
			return false
		}
		if i == 0 {
			m.fields[f] = n - 1
		} else {
			m.alternatives[f] = append(m.alternatives[f], n-1)
		}
	}
	return true
}

// apply sets the options by which the list is read.
func (m *rejectMark) apply(o *Options) {
	if o.Delimiter == 0 {
		if o.Delimiter = rune(m.delimiter); m.plain {
			o.Delimiter = '\n'
		}
	}
	o.Header = HeaderYes
}

// readMark takes the columns from the mark of a list of rejected records, unless they were moved.
func (l *draft) readMark(m *rejectMark, o Options) bool {
	if headerSum(l.header) != m.sum || o.Object != "" && o.Object != m.object {
		return false
	}
	l.object = m.object
	for f, i := range m.fields {
		if i < len(l.names) && !l.has(field(f)) {
			l.columns[f], l.reasons[f], l.alternatives[f] = i, ReasonHeader, slices.DeleteFunc(slices.Clone(m.alternatives[f]), func(j int) bool { return j >= len(l.names) })
		}
	}
	if m.body {
		l.header = nil
		for i := range l.names {
			l.names[i] = columnName(nil, i+1)
		}
	}
	return true
}

// reasonSize is the size of the reason in front of a record, with the delimiter behind it; 0 if there is none. ok is false
// if more text decides it.
func (r *reader) reasonSize(b []byte, final bool) (size int, ok bool) {
	if r.reasons == 0 {
		return 0, true
	}
	if len(b) == 0 {
		return 0, final
	}
	if b[0] == '"' {
		before := len(r.scratch)
		_, after, closed := r.readQuoted(b, 0)
		r.scratch = r.scratch[:before]
		switch {
		case closed && after < len(b) && b[after] == r.reasons:
			return after + 1, true
		case !final && (!closed || after == len(b)):
			return 0, false
		}
		return 0, true
	}
	end, _, whole := lineEnd(b, final)
	if i := bytes.IndexByte(b[:end], r.reasons); i >= 0 {
		return i + 1, true
	}
	return 0, whole
}
