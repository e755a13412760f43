package sources

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// sampleRecords is the number of records that decide on the dialect, the header and the columns.
const sampleRecords = 100

// delimiters are the candidates; earlier ones win ties. The control characters are those of Hive and
// of ASCII for columns.
const delimiters = ",;\t|\x01\x1f"

// csvDialect says how the text of a list is split into cells, and holds its first records.
type csvDialect struct {
	delimiter byte // 0: one column
	// Bytes of a "sep=;" line before the first record.
	preamble int
	line     int64 // physical line of the first record
	// The first well-formed records, including the header.
	sample [][]string
}

func (d csvDialect) delimiterName() string {
	if d.delimiter == 0 {
		return ""
	}
	return string(rune(d.delimiter))
}

// detectDialect decides on the delimiter by the beginning of the text.
//
// A candidate must split the first record. Among those that do, the one with most known header names
// among the parts wins, then the one that gives most records the same number of cells. A text that a
// candidate splits often but not consistently, below a first line that it does not split, is
// neither a table nor a plain list. That is an error, because taking "Acme,acme.com" for one name
// would cost money.
func detectDialect(head []byte, atEOF bool, o Options) (csvDialect, error) {
	d := csvDialect{}
	sep, preamble := separatorLine(head)
	d.preamble = preamble
	head = head[preamble:]
	switch {
	case o.Delimiter == '\n':
	case o.Delimiter != 0:
		d.delimiter = byte(o.Delimiter)
	case sep != 0:
		d.delimiter = sep
	default:
		var err error
		if d.delimiter, err = detectDelimiter(head, atEOF); err != nil {
			return d, err
		}
	}
	first, records := readSample(head, atEOF, d.delimiter)
	d.sample = records
	if first != nil {
		d.line = first.line
		if preamble > 0 {
			d.line++
		}
	}
	switch {
	case first == nil:
		return d, &Error{Problem: "the list is empty", Expected: "one account per line", Fix: "check how the list was exported", empty: true}
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
	r := newReader(bytes.NewReader(head), delimiter)
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
			records = append(records, row)
		}
	}
	return first, records
}

func detectDelimiter(head []byte, atEOF bool) (byte, error) {
	type score struct {
		known int
		share float64
	}
	var best byte
	var bestScore score
	var splitters []string
	for _, c := range []byte(delimiters) {
		_, records := readSample(head, atEOF, c)
		if len(records) == 0 {
			continue
		}
		width, share, split := columnStats(records)
		if _, _, below := columnStats(records[1:]); split >= 0.8 || len(records) > 2 && below >= 0.8 {
			splitters = append(splitters, fmt.Sprintf("%q", c))
		}
		s := score{known: len(headerRoles(records[0])), share: share}
		if width != len(records[0]) && s.known == 0 || len(records[0]) == 1 || share < 0.8 && s.known == 0 {
			continue
		}
		if s.known > bestScore.known || s.known == bestScore.known && s.share > bestScore.share {
			best, bestScore = c, s
		}
	}
	_, plain := readSample(head, atEOF, 0)
	if len(plain) > 0 && len(headerRoles(plain[0])) > 0 {
		// Such as "Company" above lines such as "Acme, Inc.".
		return best, nil
	}
	if best == 0 && len(splitters) > 0 && len(plain) > 1 {
		return 0, &Error{Problem: "the number of columns varies from line to line, or the first line is a title: " + strings.Join(splitters, " and ") + " may separate cells",
			Expected: "the same columns on every line, under at most one header line",
			Fix:      `remove a title line, or name the delimiter: --delimiter="," for columns, --delimiter=none for one column`}
	}
	return best, nil
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
