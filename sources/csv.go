package sources

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of a record. They bound memory, and how much text an unclosed quote can swallow before the
// reader notices.
const (
	maxRecord  = 1 << 20
	maxCell    = 64 << 10
	maxColumns = 2000
)

// reader splits UTF-8 text into records.
//
// The dialect is RFC 4180, extended by what lists contain in practice: lines end in LF, CRLF or a
// lone CR; spaces may surround a quoted cell; a quote inside an unquoted cell is a plain character.
// It is stricter than the lazy mode of encoding/csv where that mode loses lines: text after a
// closing quote is a fault, because it nearly always means that an earlier quote was never closed.
//
// A faulty record is returned with its fault, and the reader resumes:
//
//	fault                          resumes at
//	quote never closed             the line after the one with the opening quote
//	text after a closing quote     the line after the one with the opening quote
//	unquoted record too long       the next line
//	anything else                  the next record
type reader struct {
	r           io.Reader
	delimiter   byte // 0: one column
	reasons     byte // delimiter behind the reason in front of each record; 0: there are none
	requireUTF8 bool
	maxRecord   int
	maxCell     int

	buf        []byte
	start, end int   // unread part of buf
	err        error // sticky error of r

	line int64 // physical line at start, from 1
	// Start and line of the last record, for rewindRecord.
	recordStart int
	recordLine  int64
	// Whether part of that line was consumed (the last line of a file may have no line end).
	midLine bool
	blank   int64 // blank lines so far
	cells   [][]byte
	scratch []byte // unescaped cells
}

// record is one record. Its cells are valid until the next call to next.
type record struct {
	line, last int64 // first and last physical line
	cells      [][]byte
	raw        []byte // as it stands in the text, up to where reading resumes
	fault      *fault // why the cells cannot be used; nil if they can
}

// fault says what is wrong with a record.
type fault struct {
	column int    // from 1; 0: the whole record is at fault
	value  string // truncated
	reason string
	// The text ended inside a quote; more text might have closed it.
	atEnd bool
	// The record has more cells than maxColumns, so the text has this delimiter.
	tooWide bool
}

func newReader(r io.Reader, delimiter byte) *reader {
	return &reader{r: r, delimiter: delimiter, maxRecord: maxRecord, maxCell: maxCell, line: 1}
}

// lineCount is the number of physical lines consumed.
func (r *reader) lineCount() int64 {
	if r.midLine {
		return r.line
	}
	return r.line - 1
}

// next returns the next record that is not a blank line. At the end of the text the error is
// io.EOF. After a broken stream it is the error of the stream, and the unfinished record before the
// break is not returned.
func (r *reader) next() (record, error) {
	for {
		if r.start == r.end {
			if err := r.fillBuffer(); err != nil {
				return record{}, err
			}
		}
		window := r.buf[r.start:r.end]
		full := len(window) >= r.maxRecord
		if full {
			window = window[:r.maxRecord]
		}
		final := r.err == io.EOF && r.start+len(window) == r.end
		s, reason := r.splitBehindReason(window, final)
		r.recordStart, r.recordLine = r.start, r.line
		rec := record{line: r.line, cells: r.cells, fault: s.fault}
		switch {
		case s.complete && s.blank:
			r.consumeLines(s.size, s.lines)
			r.blank++
			continue
		case s.complete:
			if rec.fault == nil {
				rec.fault = r.checkCells(window[reason:s.size])
			}
			rec.raw = window[reason:s.size]
			r.consumeLines(s.size, s.lines)
			rec.last = r.lineCount()
			return rec, nil
		case full || final:
			rec.fault = r.overflowFault(window, s, final)
			_, size, _ := lineEnd(window[max(s.quote, 0):], true)
			rec.raw = bytes.Clone(window[reason : max(s.quote, 0)+size])
			err := r.skipFaulty(window, s.quote)
			rec.last = r.lineCount()
			return rec, err
		}
		if err := r.fillBuffer(); err != nil && err != io.EOF {
			return record{}, err
		}
	}
}

// splitBehindReason is split for the part of a window behind a reason, and returns where that part begins.
func (r *reader) splitBehindReason(window []byte, final bool) (s span, reason int) {
	reason, ok := r.reasonSize(window, final)
	if !ok {
		return span{quote: -1}, 0
	}
	s = r.split(window[reason:], final)
	if reason > 0 {
		s.size += reason
		s.blank = false
		s.lines += countLines(window[:reason])
		if s.quote >= 0 {
			s.quote += reason
		}
	}
	return s, reason
}

// rewindRecord moves back to the second line of the last record, which must have had no fault, and
// returns the number of that line.
func (r *reader) rewindRecord() int64 {
	_, size, _ := lineEnd(r.buf[r.recordStart:r.end], true)
	r.start, r.line, r.midLine = r.recordStart+size, r.recordLine+1, false
	return r.line
}

// span is what split finds in a window.
type span struct {
	complete bool
	blank    bool
	size     int   // bytes including the line end; set if complete
	lines    int64 // line ends within size
	quote    int   // offset of the quote open at the end of the window; -1: none
	fault    *fault
}

// split finds the first record of b and stores its cells in r.cells. If more text may follow b (not
// final) and b does not hold a whole record, complete is false.
func (r *reader) split(b []byte, final bool) span {
	r.cells, r.scratch = r.cells[:0], r.scratch[:0]
	end, size, ok := lineEnd(b, final)
	if bytes.IndexByte(b[:end], '"') >= 0 {
		return r.splitQuoted(b, final)
	}
	if !ok {
		return span{quote: -1}
	}
	s := span{complete: true, size: size, lines: 1, quote: -1}
	line := b[:end]
	if isBlank(line, r.delimiter) {
		s.blank = true
		return s
	}
	if r.delimiter == 0 {
		r.cells = append(r.cells, line)
		return s
	}
	for {
		i := bytes.IndexByte(line, r.delimiter)
		if i < 0 {
			break
		}
		r.cells = append(r.cells, line[:i])
		line = line[i+1:]
	}
	r.cells = append(r.cells, line)
	return s
}

// splitQuoted is split for a record that contains quotes.
func (r *reader) splitQuoted(b []byte, final bool) span {
	incomplete := span{quote: -1}
	for i := 0; ; i++ { // each iteration reads one cell, from i
		open := r.skipSpaces(b, i)
		if open == len(b) && !final {
			return incomplete
		}
		var end int
		if open < len(b) && b[open] == '"' {
			cell, after, ok := r.readQuoted(b, open)
			switch after = r.skipSpaces(b, after); {
			case !ok && !final, ok && after == len(b) && !final:
				incomplete.quote = open
				return incomplete
			case !ok:
				return span{quote: open}
			case after < len(b) && !r.endsCell(b[after]):
				return r.textAfterQuote(b, open, after, final)
			}
			r.cells = append(r.cells, cell)
			end = after
		} else if cell, after, ok := r.readTextFormula(b, open, final); ok {
			r.cells = append(r.cells, cell)
			end = after
		} else {
			end = i
			for end < len(b) && !r.endsCell(b[end]) {
				end++
			}
			if end == len(b) && !final {
				return incomplete
			}
			r.cells = append(r.cells, b[i:end])
		}
		if i = end; i < len(b) && b[i] == r.delimiter && r.delimiter != 0 {
			continue
		}
		_, size, ok := lineEnd(b[i:], final)
		if !ok {
			return incomplete
		}
		size += i
		n := countLines(b[:size])
		if size == i { // the text ends without a line end
			n++
		}
		return span{complete: true, size: size, lines: n, quote: -1}
	}
}

// readQuoted reads the quoted cell that opens at b[open]. It returns its text and the offset after
// its closing quote.
func (r *reader) readQuoted(b []byte, open int) (cell []byte, after int, ok bool) {
	from := len(r.scratch)
	doubled := false
	at := open + 1
	for {
		n := bytes.IndexByte(b[at:], '"')
		if n < 0 {
			return nil, len(b), false
		}
		closing := at + n
		if closing+1 < len(b) && b[closing+1] == '"' {
			r.scratch = append(r.scratch, b[at:closing+1]...)
			doubled = true
			at = closing + 2
			continue
		}
		if !doubled {
			return b[at:closing], closing + 1, true
		}
		r.scratch = append(r.scratch, b[at:closing]...)
		return r.scratch[from:len(r.scratch):len(r.scratch)], closing + 1, true
	}
}

// readTextFormula reads the cell that opens at b[open] if it is a text that a spreadsheet wrote as a
// formula, ="00123": delimiters inside it separate nothing. It must end on its line.
func (r *reader) readTextFormula(b []byte, open int, final bool) (cell []byte, after int, ok bool) {
	if !bytes.HasPrefix(b[open:], []byte(`="`)) {
		return nil, 0, false
	}
	end, _, whole := lineEnd(b[open:], final)
	if !whole { // more text decides it
		return nil, 0, false
	}
	line := b[:open+end]
	cell, after, ok = r.readQuoted(line, open+1)
	after = r.skipSpaces(line, after)
	return cell, after, ok && (after == len(line) || r.endsCell(line[after]))
}

// textAfterQuote is the span of a record with text after a closing quote. It ends with the line on
// which the cell opened, so that the lines after it are read again.
func (r *reader) textAfterQuote(b []byte, open, at int, final bool) span {
	_, size, ok := lineEnd(b[open:], final)
	if !ok {
		return span{quote: open}
	}
	size += open
	line := r.line + countLines(b[:open])
	s := span{complete: true, size: size, lines: line - r.line + 1, quote: -1}
	s.fault = &fault{column: len(r.cells) + 1, value: truncate(firstLine(b[open:])),
		reason: fmt.Sprintf("text follows the closing quote of a cell that opens on line %d: a quote is missing, or a quote inside the cell is not doubled", line)}
	return s
}

func (r *reader) skipSpaces(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') && b[i] != r.delimiter {
		i++
	}
	return i
}

// endsCell reports whether c ends a cell.
func (r *reader) endsCell(c byte) bool {
	return c == '\n' || c == '\r' || c == r.delimiter && c != 0
}

// overflowFault is the fault of a record that does not end within the window.
func (r *reader) overflowFault(window []byte, s span, final bool) *fault {
	switch {
	case s.quote < 0:
		return &fault{value: truncate(window), reason: fmt.Sprintf("the line is longer than %d bytes", r.maxRecord)}
	case final:
		return &fault{column: len(r.cells) + 1, value: truncate(firstLine(window[s.quote:])), atEnd: true,
			reason: fmt.Sprintf("the quote that opens on line %d is never closed", r.line+countLines(window[:s.quote]))}
	default:
		return &fault{column: len(r.cells) + 1, value: truncate(firstLine(window[s.quote:])),
			reason: fmt.Sprintf("the quote that opens on line %d is not closed within %d bytes", r.line+countLines(window[:s.quote]), r.maxRecord)}
	}
}

// skipFaulty moves past a record that is too long or not closed: to the line after the one with the
// open quote if there is one, else to the next line after the window.
func (r *reader) skipFaulty(window []byte, quote int) error {
	from := len(window)
	switch {
	case quote >= 0:
		from = quote
	case window[from-1] == '\r':
		from-- // a line feed may follow it
	}
	r.consume(from)
	for {
		b := r.buf[r.start:r.end]
		if _, size, ok := lineEnd(b, r.err == io.EOF); ok {
			r.consume(size)
			return nil
		}
		if n := len(b); n > 0 && b[n-1] == '\r' {
			r.consume(n - 1) // a line feed may follow it
		} else {
			r.consume(n)
		}
		if err := r.fillBuffer(); err != nil && err != io.EOF {
			return nil // the next call to next reports it
		}
		if r.start == r.end {
			return nil
		}
	}
}

// checkCells finds what makes the cells of a well-formed record unusable.
func (r *reader) checkCells(raw []byte) *fault {
	if len(r.cells) > maxColumns {
		return &fault{value: truncate(raw), tooWide: true, reason: fmt.Sprintf("has %d columns; expected at most %d", len(r.cells), maxColumns)}
	}
	if len(raw) > r.maxCell {
		for i, c := range r.cells {
			if len(c) > r.maxCell {
				return &fault{column: i + 1, value: truncate(c), reason: fmt.Sprintf("the cell is longer than %d bytes", r.maxCell)}
			}
		}
	}
	if bytes.IndexByte(raw, 0) >= 0 {
		for i, c := range r.cells {
			if bytes.IndexByte(c, 0) >= 0 {
				return &fault{column: i + 1, value: truncate(c), reason: "the cell contains a NUL byte: the file is damaged or not text"}
			}
		}
	}
	if r.requireUTF8 && !utf8.Valid(raw) {
		for i, c := range r.cells {
			if !utf8.Valid(c) {
				return &fault{column: i + 1, value: truncate(c),
					reason: "the cell is not valid UTF-8, unlike the rest of the file: save the file as UTF-8, or name its encoding"}
			}
		}
	}
	return nil
}

// skipBytes consumes n bytes that consist of whole lines.
func (r *reader) skipBytes(n int) error {
	for r.end-r.start < n {
		if err := r.fillBuffer(); err != nil {
			return err
		}
	}
	r.consume(n)
	return nil
}

// consume moves past n bytes. They must not end between a CR and its LF.
func (r *reader) consume(n int) {
	if n > 0 {
		b := r.buf[r.start : r.start+n]
		r.line += countLines(b)
		r.midLine = b[n-1] != '\n' && b[n-1] != '\r'
		r.start += n
	}
}

// consumeLines is consume for a size with a known number of lines. The last line may have no
// line end.
func (r *reader) consumeLines(size int, lines int64) {
	last := r.buf[r.start+size-1]
	r.midLine = last != '\n' && last != '\r'
	if r.midLine {
		lines--
	}
	r.line += lines
	r.start += size
}

// fillBuffer reads more into buf, which grows up to the maximum size of a record. It returns the
// sticky error of r only if it added nothing.
func (r *reader) fillBuffer() error {
	if r.err != nil {
		return r.err
	}
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end == len(r.buf) {
		grown := make([]byte, max(2*len(r.buf), 128<<10))
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
	for range 100 {
		n, err := r.r.Read(r.buf[r.end:])
		r.end += n
		r.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	r.err = io.ErrNoProgress
	return r.err
}

// lineEnd finds the end of the first physical line of b: its text is b[:end], and the next line
// begins at size. Without a line end, end is len(b), which is a whole line only if b is the final
// text.
func lineEnd(b []byte, final bool) (end, size int, ok bool) {
	end = bytes.IndexByte(b, '\n')
	size = end + 1
	if end < 0 {
		end, size = len(b), len(b)
	}
	if cr := bytes.IndexByte(b[:end], '\r'); cr >= 0 {
		switch {
		case cr+1 == end && size > end: // CRLF
			return cr, size, true
		case cr+1 == len(b) && !final: // perhaps the first half of a CRLF
			return cr, len(b), false
		}
		return cr, cr + 1, true
	}
	return end, size, size > end || final
}

// countLines counts line ends. LF, CRLF and a lone CR count as one each.
func countLines(b []byte) int64 {
	n := bytes.Count(b, []byte{'\n'})
	for {
		i := bytes.IndexByte(b, '\r')
		if i < 0 {
			return int64(n)
		}
		b = b[i+1:]
		if len(b) == 0 || b[0] != '\n' {
			n++
		}
	}
}

// isBlank reports whether a line holds only white space.
func isBlank(line []byte, delimiter byte) bool {
	for _, c := range line {
		if (c != ' ' && c != '\t') || c == delimiter {
			return false
		}
	}
	return true
}

// truncate returns the beginning of a value for a message, as valid UTF-8.
func truncate[T []byte | string](v T) string {
	const limit = 80
	cut := len(v)
	if cut > limit {
		for cut = limit; cut > limit-utf8.UTFMax && !utf8.RuneStart(v[cut]); {
			cut--
		}
	}
	s := strings.ToValidUTF8(string(v[:cut]), "\ufffd")
	if cut < len(v) {
		s += "…"
	}
	return s
}

// firstLine returns the part of b on its first physical line.
func firstLine(b []byte) []byte {
	end, _, _ := lineEnd(b, true)
	return b[:end]
}
