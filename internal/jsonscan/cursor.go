package jsonscan

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// maxDepth bounds the nesting of an answer. The documented answers nest six
// deep.
const maxDepth = 256

// Cursor walks one JSON document without building a tree. It accepts exactly
// what the JSON grammar allows; the first error sticks and ends every loop.
// [NewCursor] repairs the document first.
//
// Values that only have to be kept are skipped and returned as they stand,
// without copying when they hold no white space.
type Cursor struct {
	Doc    []byte
	pos    int
	depth  int
	spaces int   // bytes of white space skipped; unchanged over a compact value
	Err    error // the first error
	// Offsets in Doc of what NewCursor repaired, ascending.
	repairs []int
}

// Offset is the position in the document.
func (c *Cursor) Offset() int { return c.pos }

// CountRepairs returns how many repairs lie from an offset to the current position.
func (c *Cursor) CountRepairs(from int) int {
	first, _ := slices.BinarySearch(c.repairs, from)
	last, _ := slices.BinarySearch(c.repairs, c.pos)
	return last - first
}

// SetError records an error at the current position, unless there is one already.
func (c *Cursor) SetError(what string) {
	if c.Err == nil {
		c.Err = fmt.Errorf("%s at byte %d", what, c.pos)
	}
}

// PeekByte returns the first byte of the next token; 0 at the end or after an error.
func (c *Cursor) PeekByte() byte {
	if c.Err != nil {
		return 0
	}
	for c.pos < len(c.Doc) {
		switch b := c.Doc[c.pos]; b {
		case ' ', '\t', '\n', '\r':
			c.pos++
			c.spaces++
		default:
			return b
		}
	}
	return 0
}

// Enter enters an object or a list.
func (c *Cursor) Enter(bracket byte) {
	if c.PeekByte() != bracket {
		c.SetError("no " + string(bracket))
		return
	}
	if c.depth++; c.depth > maxDepth {
		c.SetError("nested too deeply")
		return
	}
	c.pos++
}

// HasNext reports whether another member or element follows, and leaves the
// object or list when none does.
func (c *Cursor) HasNext(first bool, bracket byte) bool {
	switch b := c.PeekByte(); {
	case c.Err != nil:
		return false
	case b == bracket:
		c.pos++
		c.depth--
		return false
	case first:
		return true
	case b == ',':
		c.pos++
		return true
	}
	c.SetError("incomplete or malformed")
	return false
}

// ReadName reads a member's name and its colon. The bytes are valid until the
// document changes.
func (c *Cursor) ReadName() []byte {
	quoted := c.readQuoted()
	if c.PeekByte() != ':' {
		c.SetError("no colon")
		return nil
	}
	c.pos++
	return unquoteBytes(quoted)
}

// ReadValue skips one value and returns its bytes, compact.
func (c *Cursor) ReadValue() json.RawMessage {
	c.PeekByte()
	start, spaces := c.pos, c.spaces
	c.SkipValue()
	if c.Err != nil {
		return nil
	}
	if c.spaces == spaces {
		return c.Doc[start:c.pos:c.pos]
	}
	return compactValue(c.Doc[start:c.pos])
}

// SkipValue checks one value and skips it.
func (c *Cursor) SkipValue() {
	switch b := c.PeekByte(); b {
	case '"':
		c.readQuoted()
	case '{':
		c.Enter('{')
		for first := true; c.HasNext(first, '}'); first = false {
			c.readQuoted()
			if c.PeekByte() != ':' {
				c.SetError("no colon")
				return
			}
			c.pos++
			c.SkipValue()
		}
	case '[':
		c.Enter('[')
		for first := true; c.HasNext(first, ']'); first = false {
			c.SkipValue()
		}
	case 't':
		c.skipLiteral("true")
	case 'f':
		c.skipLiteral("false")
	case 'n':
		c.skipLiteral("null")
	default:
		if b == '-' || isDigit(b) {
			c.skipNumber()
			return
		}
		c.SetError("incomplete or malformed")
	}
}

func (c *Cursor) skipLiteral(word string) {
	if len(c.Doc)-c.pos < len(word) || string(c.Doc[c.pos:c.pos+len(word)]) != word {
		c.SetError("malformed word")
		return
	}
	c.pos += len(word)
}

func (c *Cursor) skipNumber() {
	if c.Doc[c.pos] == '-' {
		c.pos++
	}
	switch {
	case c.pos < len(c.Doc) && c.Doc[c.pos] == '0':
		c.pos++
	case !c.skipDigits():
		return
	}
	if c.pos < len(c.Doc) && c.Doc[c.pos] == '.' {
		c.pos++
		if !c.skipDigits() {
			return
		}
	}
	if c.pos < len(c.Doc) && (c.Doc[c.pos] == 'e' || c.Doc[c.pos] == 'E') {
		c.pos++
		if c.pos < len(c.Doc) && (c.Doc[c.pos] == '+' || c.Doc[c.pos] == '-') {
			c.pos++
		}
		c.skipDigits()
	}
}

// skipDigits skips at least one digit.
func (c *Cursor) skipDigits() bool {
	start := c.pos
	for c.pos < len(c.Doc) && isDigit(c.Doc[c.pos]) {
		c.pos++
	}
	if c.pos == start {
		c.SetError("malformed number")
		return false
	}
	return true
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// plainBytes marks the bytes that stand for themselves in a string.
var plainBytes = func() (t [256]bool) {
	for b := range t {
		t[b] = b >= ' ' && b != '"' && b != '\\'
	}
	return t
}()

// readQuoted reads a string and returns it with its quotes.
func (c *Cursor) readQuoted() []byte {
	if c.PeekByte() != '"' {
		c.SetError("no string")
		return nil
	}
	doc, start, pos := c.Doc, c.pos, c.pos+1
	for {
		if pos += plainLength(doc[pos:]); pos == len(doc) {
			break
		}
		switch doc[pos] {
		case '"':
			c.pos = pos + 1
			return doc[start:c.pos]
		case '\\':
			n, valid := escapedLength(doc[pos:])
			if !valid {
				c.pos = pos
				c.SetError("malformed escape")
				return nil
			}
			pos += n
		default:
			c.pos = pos
			c.SetError("control character in a string")
			return nil
		}
	}
	c.pos = len(doc)
	c.SetError("incomplete string")
	return nil
}

// plainLength is the number of bytes at the beginning of b that stand for themselves in a string.
func plainLength(b []byte) (n int) {
	for ; len(b)-n >= 8; n += 8 {
		if marks := markSpecial(binary.LittleEndian.Uint64(b[n:])); marks != 0 {
			return n + bits.TrailingZeros64(marks)/8
		}
	}
	for n < len(b) && plainBytes[b[n]] {
		n++
	}
	return n
}

// markSpecial sets the highest bit of each of eight bytes that does not stand for itself in a string. Bytes behind the
// first such byte may be marked too.
func markSpecial(eight uint64) uint64 {
	const ones, highest = 0x0101010101010101, 0x8080808080808080
	quotes, backslashes := eight^ones*'"', eight^ones*'\\'
	return ((eight-ones*' ')&^eight | (quotes-ones)&^quotes | (backslashes-ones)&^backslashes) & highest
}

// escapeLength is the length of the escape sequence that b starts with; 0 if it is
// invalid.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, h := range b[2:6] {
			if !isDigit(h) && (h|0x20 < 'a' || h|0x20 > 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// ExpectEnd sets an error unless only white space is left.
func (c *Cursor) ExpectEnd() {
	if c.PeekByte(); c.Err == nil && c.pos < len(c.Doc) {
		c.SetError("more after the document")
	}
}

// NewCursor returns a cursor over a body, as [Repair] leaves it. It skips a byte-order
// mark.
func NewCursor(body []byte) Cursor {
	var c Cursor
	c.Doc, c.repairs = Repair(body)
	if len(body) >= 3 && string(body[:3]) == "\xef\xbb\xbf" {
		c.pos = 3
	}
	return c
}

// NewPlainCursor returns a cursor over a body as it is; ok is false if its bytes are not UTF-8. A body
// that has anything else to repair leads to an error of the cursor.
func NewPlainCursor(body []byte) (c Cursor, ok bool) {
	c.Doc = body
	if len(body) >= 3 && string(body[:3]) == "\xef\xbb\xbf" {
		c.pos = 3
	}
	return c, utf8.Valid(body)
}

// compactValue drops the white space between the tokens of a valid value.
func compactValue(value []byte) json.RawMessage {
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		switch b := value[i]; b {
		case ' ', '\t', '\n', '\r':
		case '"':
			start := i
			for i++; value[i] != '"'; i++ {
				if value[i] == '\\' {
					i++
				}
			}
			out = append(out, value[start:i+1]...)
		default:
			out = append(out, b)
		}
	}
	return out
}

// unquoteBytes returns the content of a valid quoted string.
func unquoteBytes(quoted []byte) []byte {
	if len(quoted) < 2 {
		return nil
	}
	inner := quoted[1 : len(quoted)-1]
	for _, b := range inner {
		if b == '\\' {
			var s string
			if json.Unmarshal(quoted, &s) != nil {
				return inner
			}
			return []byte(s)
		}
	}
	return inner
}

// ScalarText reads a value where a text is expected: a string, or a number or
// boolean as it is written. Any other value is not a text.
func ScalarText(value json.RawMessage) (text string, ok bool) {
	if len(value) == 0 {
		return "", false
	}
	switch value[0] {
	case '"':
		return string(unquoteBytes(value)), true
	case '{', '[', 'n':
		return "", false
	}
	return string(value), true
}

// WalkObject walks the members of a document that is one object.
func WalkObject(body []byte, member func(name string, value json.RawMessage)) error {
	c := NewCursor(body)
	if c.Enter('{'); c.Err != nil {
		return c.Err
	}
	for first := true; c.HasNext(first, '}'); first = false {
		name := string(c.ReadName())
		if value := c.ReadValue(); c.Err == nil {
			member(name, value)
		}
	}
	c.ExpectEnd()
	return c.Err
}
