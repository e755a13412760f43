package sources

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
)

// sampleRecords is the number of records that decide on the dialect, the header and the columns.
const sampleRecords = 100

// delimiters are the candidates; earlier ones win ties. The control characters are those of Hive and
// of ASCII for columns.
const delimiters = ",;\t|\x01\x1f"

// peekSample returns the beginning of a text that decides on the dialect, the header and the columns.
// It is sampleSize long, and longer if that holds only few lines, up to the size of a record.
func peekSample(p *preview) (head []byte, atEOF bool) {
	for size := sampleSize; ; size *= 2 {
		head, atEOF = p.peek(size)
		if len(head) < size || size >= maxRecord || countLines(head) > sampleRecords/5 {
			return head, atEOF
		}
	}
}

// csvDialect says how the text of a list is split into cells, and holds its first records.
type csvDialect struct {
	delimiter byte // 0: one column
	// Bytes before the first record: a "sep=;" line, and lines above the header.
	preamble int
	notes    []string
	line     int64 // physical line of the first record
	// The first well-formed records, including the header.
	sample [][]string
	mark   *rejectMark // of a list of rejected records; nil for others
}

// newReader reads a text in the dialect.
func (d *csvDialect) newReader(text io.Reader) *reader {
	r := newReader(text, d.delimiter)
	if d.mark != nil {
		r.reasons = d.mark.delimiter
	}
	return r
}

func (d *csvDialect) delimiterName() string {
	if d.delimiter == 0 {
		return ""
	}
	return string(rune(d.delimiter))
}

// detectDialect decides on the delimiter by the beginning of the text.
//
// A candidate must split the first record. Among those that do, the one with most known header names
// among the parts wins, then the one that gives most columns of identifiers, then the one that gives
// most records the same number of cells. A text that a
// candidate splits often but not consistently, below a first line that it does not split, is
// neither a table nor a plain list. That is an error, because taking "Acme,acme.com" for one name
// would cost money.
func detectDialect(head []byte, atEOF bool, o Options) (csvDialect, error) {
	d := csvDialect{}
	if d.mark = readRejectMark(head); d.mark != nil {
		d.mark.apply(&o)
	}
	sep, preamble := separatorLine(head)
	above := countLines(head[:preamble])
	head = head[preamble:]
	if sep != 0 && o.Delimiter == 0 {
		o.Delimiter = rune(sep)
	}
	t, err := findTitles(head, atEOF, o)
	if err != nil {
		return d, err
	}
	if t.size > 0 {
		d.notes = append(d.notes, titles{lines: above + t.lines}.note())
	}
	d.preamble = preamble + t.size
	above, head = above+t.lines, head[t.size:]
	switch {
	case o.Delimiter == '\n':
	case o.Delimiter != 0:
		d.delimiter = byte(o.Delimiter)
	default:
		if d.delimiter, err = detectDelimiter(head, atEOF); err != nil {
			return d, err
		}
	}
	first, records, _ := readLines(d.newReader(bytes.NewReader(head)), atEOF)
	d.sample = records
	if first != nil {
		d.line = above + first.line
	}
	if d.delimiter == 0 && o.Delimiter == 0 {
		if err := wholeLinesQuoted(records); err != nil {
			return d, err
		}
	}
	switch {
	case first == nil:
		return d, &Error{Problem: "the list is empty", Expected: "one account per line", Fix: "check how the list was exported", empty: true}
	case first.fault != nil && first.fault.tooWide:
		return d, &Error{Line: d.line, Problem: "the first record " + first.fault.reason, Fix: "remove the columns that are not needed, or name the delimiter with --delimiter"}
	case first.fault != nil && o.Header != HeaderNo:
		return d, &Error{Line: d.line, Column: columnName(nil, first.fault.column), Problem: "the first record cannot be read: " + first.fault.reason,
			Expected: "a header or an account", Fix: "correct the line; if the list has no header, --header=no rejects only this line"}
	}
	return d, nil
}

// separatorLine reads the "sep=;" line that Excel writes and honours.
func separatorLine(head []byte) (delimiter byte, size int) {
	end, size, ok := lineEnd(head, true)
	line := bytes.Trim(head[:end], `"`)
	if !ok || len(line) != 5 || !bytes.EqualFold(line[:4], []byte("sep=")) || line[4] >= 0x80 {
		return 0, 0
	}
	return line[4], size
}

// readSample splits the beginning of the text. first is the very first record, even if it is
// faulty. records are the well-formed ones, without a last one that the end of the sample may have
// cut.
func readSample(head []byte, atEOF bool, delimiter byte) (first *record, records [][]string) {
	first, records, _ = readLines(newReader(bytes.NewReader(head), delimiter), atEOF)
	return first, records
}

// readLines is readSample, with the line of each record.
func readLines(r *reader, atEOF bool) (first *record, records [][]string, lines []int64) {
	r.requireUTF8 = true
	for len(records) < sampleRecords {
		rec, err := r.next()
		if err == io.EOF {
			break
		}
		cut := !atEOF && (r.start == r.end && r.err == io.EOF || rec.fault != nil && rec.fault.atEnd)
		if cut && first != nil {
			break
		}
		if first == nil {
			first = &record{line: rec.line, fault: rec.fault}
		}
		if rec.fault == nil {
			row := make([]string, len(rec.cells))
			for i, c := range rec.cells {
				row[i] = plainText(tidyText(string(c)), true)
			}
			records, lines = append(records, row), append(lines, rec.line)
		}
	}
	return first, records, lines
}

// delimiterScore says how well a delimiter splits a text. Its parts count in this order.
type delimiterScore struct {
	known       int     // header names
	identifiers int     // columns of domains, addresses, profiles or ids
	whole       int     // 1, unless the delimiter stands inside of numbers: 1234,56
	share       float64 // of the records that have the same number of cells
}

func (s delimiterScore) better(than delimiterScore) bool {
	return cmp.Or(cmp.Compare(s.known, than.known), cmp.Compare(s.identifiers, than.identifiers), cmp.Compare(s.whole, than.whole), cmp.Compare(s.share, than.share)) > 0
}

func detectDelimiter(head []byte, atEOF bool) (byte, error) {
	var best byte
	var bestScore delimiterScore
	var splitters []string
	var splitter byte // the first of them
	for _, c := range []byte(delimiters) {
		first, records := readSample(head, atEOF, c)
		if first != nil && first.fault != nil && first.fault.tooWide {
			return c, nil // the caller reports the fault
		}
		if len(records) == 0 {
			continue
		}
		width, share, split := columnStats(records)
		if _, _, below := columnStats(records[1:]); split >= 0.8 || len(records) > 2 && below >= 0.8 {
			splitters, splitter = append(splitters, fmt.Sprintf("%q", c)), cmp.Or(splitter, c)
		}
		s := delimiterScore{known: len(headerRoles(records[0])), share: share}
		if width != len(records[0]) && s.known == 0 || len(records[0]) == 1 || share < 0.8 && s.known == 0 {
			continue
		}
		s.identifiers, s.whole = identifierColumns(records, width), wholeNumbers(records, c)
		if s.better(bestScore) {
			best, bestScore = c, s
		}
	}
	_, plain := readSample(head, atEOF, 0)
	if len(plain) > 0 && len(headerRoles(plain[0])) > 0 {
		// Such as "Company" above lines such as "Acme, Inc.".
		return best, titleError(head, atEOF, best)
	}
	if best == 0 && len(splitters) > 0 && len(plain) > 1 {
		return 0, &Error{Problem: "the number of columns varies from line to line, or the first line is a title: " + strings.Join(splitters, " and ") + " may separate cells",
			Expected: "the same columns on every line, under at most one header line",
			Fix:      fmt.Sprintf("remove a title line, or name the delimiter: --delimiter=%s for columns, --delimiter=none for one column", delimiterOption(splitter))}
	}
	return best, nil
}

// delimiterOption is a delimiter as --delimiter takes it, quoted for a shell.
func delimiterOption(c byte) string {
	switch {
	case c == '\t':
		return "tab"
	case c < ' ':
		return fmt.Sprintf(`$'\x%02x'`, c)
	}
	return `"` + string(rune(c)) + `"`
}

// identifierColumns counts the columns of the records below the first whose cells are identifiers.
func identifierColumns(records [][]string, width int) int {
	if len(records) > 1 {
		records = records[1:]
	}
	n := 0
	for i := range width {
		c := readContent(records, i)
		if _, ok := kindFields[c.kind()]; ok {
			n++
		}
	}
	return n
}

// wholeNumbers is 0 if a comma always stands between two digits, except in the first record.
func wholeNumbers(records [][]string, delimiter byte) int {
	if delimiter != ',' || len(records) < 2 {
		return 1
	}
	isDigit := func(c byte) bool { return c >= '0' && c <= '9' }
	for _, row := range records[1:] {
		for i := 1; i < len(row); i++ {
			before, after := row[i-1], row[i]
			if before == "" || after == "" || !isDigit(before[len(before)-1]) || !isDigit(after[0]) {
				return 1
			}
		}
	}
	return 0
}

// wholeLinesQuoted is the error about lines that are one quoted cell each, which holds the cells of a
// record.
func wholeLinesQuoted(records [][]string) error {
	for _, c := range delimiters {
		var split [][]string
		for _, row := range records {
			split = append(split, strings.Split(row[0], string(c)))
		}
		if width, share, _ := columnStats(split); width > 1 && share >= 0.8 && len(split) > 1 && len(split[0]) == width && len(headerRoles(split[0])) > 0 {
			return &Error{Line: 1, Problem: fmt.Sprintf("each line is one quoted cell that holds %d cells, separated by %q", width, c),
				Expected: "quotes around single cells", Fix: "remove the quotes around the lines"}
		}
	}
	return nil
}

// titleError is the error about a text that is split from its second line on, which is a header.
func titleError(head []byte, atEOF bool, best byte) error {
	if best != 0 {
		return nil
	}
	for _, c := range []byte(delimiters) {
		_, records := readSample(head, atEOF, c)
		if len(records) < 3 || len(records[0]) > 1 {
			continue
		}
		if width, share, _ := columnStats(records[1:]); width > 1 && share >= 0.8 && width == len(records[1]) && len(headerRoles(records[1])) > 0 {
			return &Error{Line: 1, Problem: fmt.Sprintf("the first line is a title: %q separates cells only below it", c),
				Expected: "the same columns on every line, under at most one header line", Fix: "remove the title line"}
		}
	}
	return nil
}

// columnStats returns the most frequent number of cells, the share of the records that have it, and
// the share of the records that have more than one cell.
func columnStats(records [][]string) (width int, share, split float64) {
	count := map[int]int{}
	several := 0
	for _, row := range records {
		count[len(row)]++
		if len(row) > 1 {
			several++
		}
	}
	for w, n := range count {
		if n > count[width] || n == count[width] && w > width {
			width = w
		}
	}
	n := float64(max(len(records), 1))
	return width, float64(count[width]) / n, float64(several) / n
}
