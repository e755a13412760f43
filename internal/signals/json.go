package signals

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds the nesting of an answer. The documented answers nest six
// deep.
const maxDepth = 256

// cursor walks one JSON document without building a tree. It accepts exactly
// what the JSON grammar allows; the first error sticks and ends every loop.
//
// Values that only have to be kept are skipped and returned as they stand,
// without copying when they hold no white space.
type cursor struct {
	doc    []byte
	pos    int
	depth  int
	spaces int   // bytes of white space skipped so far, to know whether a value is compact
	err    error // the first error
}

// setError records an error at the current position, unless there is one already.
func (c *cursor) setError(what string) {
	if c.err == nil {
		c.err = fmt.Errorf("%s at byte %d", what, c.pos)
	}
}

// peekByte gives the first byte of the next token; 0 at the end or after an error.
func (c *cursor) peekByte() byte {
	if c.err != nil {
		return 0
	}
	for c.pos < len(c.doc) {
		switch b := c.doc[c.pos]; b {
		case ' ', '\t', '\n', '\r':
			c.pos++
			c.spaces++
		default:
			return b
		}
	}
	return 0
}

// enter enters an object or a list.
func (c *cursor) enter(bracket byte) {
	if c.peekByte() != bracket {
		c.setError("no " + string(bracket))
		return
	}
	if c.depth++; c.depth > maxDepth {
		c.setError("nested too deeply")
		return
	}
	c.pos++
}

// hasNext reports whether another member or element follows, and leaves the
// object or list when none does.
func (c *cursor) hasNext(first bool, bracket byte) bool {
	switch b := c.peekByte(); {
	case c.err != nil:
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
	c.setError("incomplete or malformed")
	return false
}

// readName reads a member's name and its colon. The bytes are valid until the
// document changes.
func (c *cursor) readName() []byte {
	quoted := c.readQuoted()
	if c.peekByte() != ':' {
		c.setError("no colon")
		return nil
	}
	c.pos++
	return unquoteBytes(quoted)
}

// readValue skips one value and gives its bytes, compact.
func (c *cursor) readValue() json.RawMessage {
	c.peekByte()
	start, spaces := c.pos, c.spaces
	c.skipValue()
	if c.err != nil {
		return nil
	}
	if c.spaces == spaces {
		return c.doc[start:c.pos:c.pos]
	}
	return compactValue(c.doc[start:c.pos])
}

// skipValue checks one value and passes it.
func (c *cursor) skipValue() {
	switch b := c.peekByte(); b {
	case '"':
		c.readQuoted()
	case '{':
		c.enter('{')
		for first := true; c.hasNext(first, '}'); first = false {
			c.readQuoted()
			if c.peekByte() != ':' {
				c.setError("no colon")
				return
			}
			c.pos++
			c.skipValue()
		}
	case '[':
		c.enter('[')
		for first := true; c.hasNext(first, ']'); first = false {
			c.skipValue()
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
		c.setError("incomplete or malformed")
	}
}

func (c *cursor) skipLiteral(word string) {
	if len(c.doc)-c.pos < len(word) || string(c.doc[c.pos:c.pos+len(word)]) != word {
		c.setError("malformed word")
		return
	}
	c.pos += len(word)
}

func (c *cursor) skipNumber() {
	if c.doc[c.pos] == '-' {
		c.pos++
	}
	switch {
	case c.pos < len(c.doc) && c.doc[c.pos] == '0':
		c.pos++
	case !c.skipDigits():
		return
	}
	if c.pos < len(c.doc) && c.doc[c.pos] == '.' {
		c.pos++
		if !c.skipDigits() {
			return
		}
	}
	if c.pos < len(c.doc) && (c.doc[c.pos] == 'e' || c.doc[c.pos] == 'E') {
		c.pos++
		if c.pos < len(c.doc) && (c.doc[c.pos] == '+' || c.doc[c.pos] == '-') {
			c.pos++
		}
		c.skipDigits()
	}
}

// skipDigits passes at least one digit.
func (c *cursor) skipDigits() bool {
	start := c.pos
	for c.pos < len(c.doc) && isDigit(c.doc[c.pos]) {
		c.pos++
	}
	if c.pos == start {
		c.setError("malformed number")
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

// readQuoted passes a string and gives it with its quotes.
func (c *cursor) readQuoted() []byte {
	if c.peekByte() != '"' {
		c.setError("no string")
		return nil
	}
	doc, start, pos := c.doc, c.pos, c.pos+1
	for pos < len(doc) {
		for pos < len(doc) && plainBytes[doc[pos]] {
			pos++
		}
		if pos == len(doc) {
			break
		}
		switch doc[pos] {
		case '"':
			c.pos = pos + 1
			return doc[start:c.pos]
		case '\\':
			n := escapeLength(doc[pos:])
			if n == 0 {
				c.pos = pos
				c.setError("malformed escape")
				return nil
			}
			pos += n
		default:
			c.pos = pos
			c.setError("control character in a string")
			return nil
		}
	}
	c.pos = len(doc)
	c.setError("incomplete string")
	return nil
}

// escapeLength gives the length of the escape sequence that begins b; 0 when it is
// none.
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

// expectEnd sets an error unless only white space is left.
func (c *cursor) expectEnd() {
	if c.peekByte(); c.err == nil && c.pos < len(c.doc) {
		c.setError("more after the document")
	}
}

// newCursor prepares a body for walking: a byte-order mark is passed over, and
// what is not UTF-8 is refused as a whole.
func newCursor(body []byte) cursor {
	c := cursor{doc: body}
	if len(body) >= 3 && string(body[:3]) == "\xef\xbb\xbf" {
		c.pos = 3
	}
	if !utf8.Valid(body) {
		c.setError("not UTF-8")
	}
	return c
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

// unquoteBytes gives the content of a valid quoted string.
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

// scalarText reads a value where a text is expected: a string, or a number or
// boolean as it is written. Everything else is no text.
func scalarText(value json.RawMessage) (text string, ok bool) {
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

// wholeNumber reads a JSON number that is a whole, non-negative number of
// 64 bits, exactly: 3, 3.0 and 30e-1 are three; 0.5, -1 and "3" are not whole
// numbers. No floating point is involved.
func wholeNumber(value json.RawMessage) (n int64, ok bool) {
	c := cursor{doc: value}
	if len(value) == 0 || !isDigit(value[0]) {
		return 0, false
	}
	if c.skipNumber(); c.err != nil || c.pos != len(value) {
		return 0, false
	}
	digits := make([]byte, 0, len(value))
	point, exponent := 0, 0
	seen := false
	for i, b := range value {
		if b == 'e' || b == 'E' {
			e, err := strconv.Atoi(string(value[i+1:]))
			if err != nil {
				// Beyond any number of credits, unless it scales nothing.
				e = math.MaxInt32
				if value[i+1] == '-' {
					e = -e
				}
			}
			exponent = max(-math.MaxInt32, min(math.MaxInt32, e))
			break
		}
		if b == '.' {
			seen = true
			continue
		}
		if seen {
			point++
		}
		digits = append(digits, b)
	}
	for len(digits) > 0 && digits[0] == '0' {
		digits = digits[1:]
	}
	if len(digits) == 0 {
		return 0, true
	}
	for digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
		exponent++
	}
	exponent -= point
	if exponent < 0 || len(digits)+exponent > 19 {
		return 0, false
	}
	for range exponent {
		digits = append(digits, '0')
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	return n, err == nil
}

// objectBuilder builds a compact JSON object of fields in the order of their
// arrival.
type objectBuilder struct {
	out  []byte
	seen map[string]int
}

// add adds a field.
func (b *objectBuilder) add(name []byte, value json.RawMessage) {
	if b.out == nil {
		b.out = append(b.out, '{')
		b.seen = make(map[string]int, 4)
	} else {
		b.out = append(b.out, ',')
	}
	// An object with a name twice is read differently by every reader, so the
	// second "x" becomes "x#2".
	unique := string(name)
	if n, taken := b.seen[unique]; taken {
		for taken {
			n++
			unique = fmt.Sprintf("%s#%d", name, n)
			_, taken = b.seen[unique]
		}
		b.seen[string(name)] = n
	}
	b.seen[unique] = 1
	b.out = appendQuoted(b.out, unique)
	b.out = append(b.out, ':')
	b.out = append(b.out, value...)
}

// isEmpty reports whether no field was added.
func (b *objectBuilder) isEmpty() bool { return b.out == nil }

// build closes the object; nil when no field was added.
func (b *objectBuilder) build() json.RawMessage {
	if b.out == nil {
		return nil
	}
	return append(b.out, '}')
}

// appendQuoted writes a text as a JSON string, without the HTML escapes of the
// standard encoder.
func appendQuoted(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
