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
	doc   []byte
	at    int
	depth int
	blank int // bytes of white space skipped so far, to know whether a value is compact
	err   error
}

func (c *cursor) fail(what string) {
	if c.err == nil {
		c.err = fmt.Errorf("%s at byte %d", what, c.at)
	}
}

// peek gives the first byte of the next token; 0 at the end or after an error.
func (c *cursor) peek() byte {
	if c.err != nil {
		return 0
	}
	for c.at < len(c.doc) {
		switch b := c.doc[c.at]; b {
		case ' ', '\t', '\n', '\r':
			c.at++
			c.blank++
		default:
			return b
		}
	}
	return 0
}

// open enters an object or a list.
func (c *cursor) open(bracket byte) {
	if c.peek() != bracket {
		c.fail("no " + string(bracket))
		return
	}
	if c.depth++; c.depth > maxDepth {
		c.fail("nested too deeply")
		return
	}
	c.at++
}

// more reports whether another member or element follows, and leaves the
// object or list when none does.
func (c *cursor) more(first bool, bracket byte) bool {
	switch b := c.peek(); {
	case c.err != nil:
		return false
	case b == bracket:
		c.at++
		c.depth--
		return false
	case first:
		return true
	case b == ',':
		c.at++
		return true
	}
	c.fail("incomplete or malformed")
	return false
}

// name reads a member's name and its colon. The bytes are valid until the
// document changes.
func (c *cursor) name() []byte {
	quoted := c.quoted()
	if c.peek() != ':' {
		c.fail("no colon")
		return nil
	}
	c.at++
	return unquoteBytes(quoted)
}

// value skips one value and gives its bytes, compact.
func (c *cursor) value() json.RawMessage {
	c.peek()
	start, blank := c.at, c.blank
	c.skip()
	if c.err != nil {
		return nil
	}
	if c.blank == blank {
		return c.doc[start:c.at:c.at]
	}
	return compact(c.doc[start:c.at])
}

// skip checks one value and passes it.
func (c *cursor) skip() {
	switch b := c.peek(); b {
	case '"':
		c.quoted()
	case '{':
		c.open('{')
		for first := true; c.more(first, '}'); first = false {
			c.quoted()
			if c.peek() != ':' {
				c.fail("no colon")
				return
			}
			c.at++
			c.skip()
		}
	case '[':
		c.open('[')
		for first := true; c.more(first, ']'); first = false {
			c.skip()
		}
	case 't':
		c.literal("true")
	case 'f':
		c.literal("false")
	case 'n':
		c.literal("null")
	default:
		if b == '-' || digit(b) {
			c.number()
			return
		}
		c.fail("incomplete or malformed")
	}
}

func (c *cursor) literal(word string) {
	if len(c.doc)-c.at < len(word) || string(c.doc[c.at:c.at+len(word)]) != word {
		c.fail("malformed word")
		return
	}
	c.at += len(word)
}

func (c *cursor) number() {
	if c.doc[c.at] == '-' {
		c.at++
	}
	switch {
	case c.at < len(c.doc) && c.doc[c.at] == '0':
		c.at++
	case !c.digits():
		return
	}
	if c.at < len(c.doc) && c.doc[c.at] == '.' {
		c.at++
		if !c.digits() {
			return
		}
	}
	if c.at < len(c.doc) && (c.doc[c.at] == 'e' || c.doc[c.at] == 'E') {
		c.at++
		if c.at < len(c.doc) && (c.doc[c.at] == '+' || c.doc[c.at] == '-') {
			c.at++
		}
		c.digits()
	}
}

// digits passes at least one digit.
func (c *cursor) digits() bool {
	start := c.at
	for c.at < len(c.doc) && digit(c.doc[c.at]) {
		c.at++
	}
	if c.at == start {
		c.fail("malformed number")
		return false
	}
	return true
}

func digit(b byte) bool { return '0' <= b && b <= '9' }

// plain marks the bytes that stand for themselves in a string.
var plain = func() (t [256]bool) {
	for b := range t {
		t[b] = b >= ' ' && b != '"' && b != '\\'
	}
	return t
}()

// quoted passes a string and gives it with its quotes.
func (c *cursor) quoted() []byte {
	if c.peek() != '"' {
		c.fail("no string")
		return nil
	}
	doc, start, at := c.doc, c.at, c.at+1
	for at < len(doc) {
		for at < len(doc) && plain[doc[at]] {
			at++
		}
		if at == len(doc) {
			break
		}
		switch doc[at] {
		case '"':
			c.at = at + 1
			return doc[start:c.at]
		case '\\':
			n := escape(doc[at:])
			if n == 0 {
				c.at = at
				c.fail("malformed escape")
				return nil
			}
			at += n
		default:
			c.at = at
			c.fail("control character in a string")
			return nil
		}
	}
	c.at = len(doc)
	c.fail("incomplete string")
	return nil
}

// escape gives the length of the escape sequence that begins b; 0 when it is
// none.
func escape(b []byte) int {
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
			if !digit(h) && (h|0x20 < 'a' || h|0x20 > 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// end reports whether nothing but white space is left.
func (c *cursor) end() {
	if c.peek(); c.err == nil && c.at < len(c.doc) {
		c.fail("more after the document")
	}
}

// document prepares a body for walking: a byte-order mark is passed over, and
// what is not UTF-8 is refused as a whole.
func document(body []byte) cursor {
	c := cursor{doc: body}
	if len(body) >= 3 && string(body[:3]) == "\xef\xbb\xbf" {
		c.at = 3
	}
	if !utf8.Valid(body) {
		c.fail("not UTF-8")
	}
	return c
}

// compact drops the white space between the tokens of a valid value.
func compact(value []byte) json.RawMessage {
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

// textOf reads a value where a text is expected: a string, or a number or
// boolean as it is written. Everything else is no text.
func textOf(value json.RawMessage) (text string, ok bool) {
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
	if len(value) == 0 || !digit(value[0]) {
		return 0, false
	}
	if c.number(); c.err != nil || c.at != len(value) {
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

// members collects fields that the client does not know as one JSON object.
type members struct {
	out  []byte
	seen map[string]int
}

func (m *members) add(name []byte, value json.RawMessage) {
	if m.out == nil {
		m.out = append(m.out, '{')
		m.seen = make(map[string]int, 4)
	} else {
		m.out = append(m.out, ',')
	}
	// An object with a name twice is read differently by every reader, so the
	// second "x" becomes "x#2".
	unique := string(name)
	if n, taken := m.seen[unique]; taken {
		for taken {
			n++
			unique = fmt.Sprintf("%s#%d", name, n)
			_, taken = m.seen[unique]
		}
		m.seen[string(name)] = n
	}
	m.seen[unique] = 1
	m.out = appendQuoted(m.out, unique)
	m.out = append(m.out, ':')
	m.out = append(m.out, value...)
}

func (m *members) object() json.RawMessage {
	if m.out == nil {
		return nil
	}
	return append(m.out, '}')
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
