package jsonscan

import (
	"bytes"
	"encoding/json"
	"iter"
	"unicode/utf16"
	"unicode/utf8"
)

// Members walks the members of an object in their order; it yields nothing for
// any other value.
func Members(raw []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for name, value := range Fields(raw) {
			if !yield(string(name), value) {
				return
			}
		}
	}
}

// Fields is Members with names as bytes, most of which share the memory of the object.
func Fields(raw []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		raw = bytes.TrimLeft(raw, " \t\r\n")
		if len(raw) == 0 || raw[0] != '{' {
			return
		}
		rest := skipSpace(raw[1:])
		for len(rest) > 0 && rest[0] == '"' {
			n := ValueLength(rest)
			name := textBytes(rest[:n])
			rest = skipSpace(rest[n:])
			if len(rest) == 0 || rest[0] != ':' {
				return
			}
			rest = skipSpace(rest[1:])
			n = ValueLength(rest)
			if n == 0 || !yield(name, rest[:n]) {
				return
			}
			rest = skipSpace(rest[n:])
			if len(rest) == 0 || rest[0] != ',' {
				return
			}
			rest = skipSpace(rest[1:])
		}
	}
}

// Elements walks the elements of a list; any other value but null is its own
// single element, as the API sometimes sends one where a list is documented.
func Elements(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		raw = skipSpace(raw)
		if IsNull(raw) {
			return
		}
		if raw[0] != '[' {
			if n := ValueLength(raw); n > 0 {
				yield(raw[:n])
			}
			return
		}
		rest := skipSpace(raw[1:])
		for len(rest) > 0 && rest[0] != ']' {
			n := ValueLength(rest)
			if n == 0 || !yield(rest[:n]) {
				return
			}
			rest = skipSpace(rest[n:])
			if len(rest) == 0 || rest[0] != ',' {
				return
			}
			rest = skipSpace(rest[1:])
		}
	}
}

// ValueLength is the length of the value that b starts with; 0 when b starts
// with none.
func ValueLength(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"':
		return quotedLength(b)
	case '{', '[':
		depth := 0
		for i := 0; i < len(b); i++ {
			switch b[i] {
			case '"':
				n := quotedLength(b[i:])
				if n == 0 {
					return 0
				}
				i += n - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return 0
	default:
		for i, c := range b {
			if c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t' {
				return i
			}
		}
		return len(b)
	}
}

// quotedLength is the length of the string that b, which begins with a quote, starts with; 0 if it does not end.
func quotedLength(b []byte) int {
	for end := 1; ; end++ {
		n := bytes.IndexByte(b[end:], '"')
		if n < 0 {
			return 0
		}
		end += n
		backslashes := 0
		for b[end-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 { // the quote is not escaped
			return end + 1
		}
	}
}

// Text is the content of a JSON string; of any other scalar it is its spelling.
func Text(raw []byte) string { return string(textBytes(raw)) }

// textBytes is Text as bytes, which share the memory of raw if they can.
func textBytes(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return raw
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return inner
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return bytes.ToValidUTF8(inner, []byte("\uFFFD"))
	}
	return []byte(s)
}

// AppendText appends the content of a JSON string, which is given without its quotes: it is valid JSON
// and UTF-8.
func AppendText(dst, inner []byte) []byte {
	for {
		at := bytes.IndexByte(inner, '\\')
		if at < 0 || at+1 == len(inner) {
			return append(dst, inner...)
		}
		dst, inner = append(dst, inner[:at]...), inner[at:]
		switch inner[1] {
		case 'u':
			r, n := escapedRune(inner)
			dst, inner = utf8.AppendRune(dst, r), inner[n:]
			continue
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		default:
			dst = append(dst, inner[1])
		}
		inner = inner[2:]
	}
}

// escapedRune is the character of the escape sequence \uXXXX that b begins with, or of two that are a
// surrogate pair, and its length. Half a pair is U+FFFD.
func escapedRune(b []byte) (r rune, n int) {
	if r = hexRune(b); !utf16.IsSurrogate(r) {
		return r, min(6, len(b))
	}
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if pair := utf16.DecodeRune(r, hexRune(b[6:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, min(6, len(b))
}

// hexRune is the number of the escape sequence that b begins with.
func hexRune(b []byte) (r rune) {
	for _, c := range b[2:min(6, len(b))] {
		switch {
		case isDigit(c):
			c -= '0'
		default:
			c = c | 0x20 - 'a' + 10
		}
		r = r<<4 | rune(c&15)
	}
	return r
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// IsNull reports whether a value is null or missing.
func IsNull(raw []byte) bool { return len(raw) == 0 || raw[0] == 'n' }
