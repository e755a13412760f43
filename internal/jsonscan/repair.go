package jsonscan

import "unicode/utf8"

// Repair returns a document in which every text is valid JSON and valid Unicode, and the
// offsets in it where it differs from what was received. A document that needs no repair
// is returned as it is. Repair changes what does not bear on the structure, and nothing
// else:
//
//   - bytes that are not UTF-8, control characters, backslashes that begin no escape, and
//     halves of surrogate pairs within a string become U+FFFD,
//   - NaN and the infinities become null,
//   - a value that nests deeper than a [Cursor] reads becomes null.
//
// A document that was cut, or whose structure is broken, stays so: the reader refuses it.
func Repair(doc []byte) (repaired []byte, at []int) {
	r := repairer{doc: doc}
	for pos, depth := 0, 0; pos < len(doc); {
		switch b := doc[pos]; b {
		case '"':
			pos = r.repairString(pos + 1)
			continue
		case '{', '[':
			if depth++; depth <= maxDepth {
				break
			}
			end := nestedLength(doc[pos:])
			if end == 0 {
				return doc, nil
			}
			r.replace(pos, pos+end, "null")
			pos += end
			depth--
			continue
		case '}', ']':
			depth--
		case '-', 'N', 'I':
			if n := nonFiniteLength(doc[pos:]); n > 0 {
				r.replace(pos, pos+n, "null")
				pos += n
				continue
			}
		}
		pos++
	}
	if r.at == nil {
		return doc, nil
	}
	return append(r.out, doc[r.copied:]...), r.at
}

// repairer is a document during its repair.
type repairer struct {
	doc    []byte
	out    []byte
	copied int   // bytes of doc that are in out, or replaced
	at     []int // offsets in out of what was replaced
}

func (r *repairer) replace(start, end int, text string) {
	r.out = append(r.out, r.doc[r.copied:start]...)
	r.at = append(r.at, len(r.out))
	r.out = append(r.out, text...)
	r.copied = end
}

// repairString repairs a string from behind its opening quote on, and returns the
// position behind the closing one.
func (r *repairer) repairString(pos int) int {
	doc := r.doc
	for pos < len(doc) {
		switch b := doc[pos]; {
		case b == '"':
			return pos + 1
		case b == '\\':
			n, valid := escapedLength(doc[pos:])
			switch {
			case !valid && n == 1:
				r.replace(pos, pos+n, "\uFFFD")
			case !valid:
				r.replace(pos, pos+n, `\ufffd`)
			}
			pos += n
		case b < ' ':
			r.replace(pos, pos+1, "\uFFFD")
			pos++
		case b < utf8.RuneSelf:
			pos++
		default:
			_, n := utf8.DecodeRune(doc[pos:])
			if n > 1 {
				pos += n
				continue
			}
			start := pos // a run of invalid bytes is one defect
			for n == 1 && pos < len(doc) && doc[pos] >= utf8.RuneSelf {
				pos++
				_, n = utf8.DecodeRune(doc[pos:])
			}
			r.replace(start, pos, "\uFFFD")
		}
	}
	return pos
}

// escapedLength is the length of the escape sequence that b starts with, a surrogate pair
// being one sequence. It is 1 for a backslash that begins none, and 6 for half a pair.
func escapedLength(b []byte) (n int, valid bool) {
	if n = escapeLength(b); n == 0 {
		return 1, false
	}
	if n == 2 || b[2]|0x20 != 'd' || b[3] < '8' {
		return n, true
	}
	if isLow(b[3]) || escapeLength(b[6:]) != 6 || b[8]|0x20 != 'd' || !isLow(b[9]) {
		return 6, false
	}
	return 12, true
}

// isLow reports whether the second digit of a surrogate stands for a low one, DC00 to DFFF.
func isLow(digit byte) bool { return digit|0x20 >= 'c' && digit > '9' }

// nestedLength is the length of the object or list that b starts with; 0 if its brackets
// do not match.
func nestedLength(b []byte) int {
	var open []byte
	for i := 0; i < len(b); i++ {
		switch c := b[i]; c {
		case '"':
			n := ValueLength(b[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		case '{', '[':
			open = append(open, c+2) // the bracket that closes it
		case '}', ']':
			if open[len(open)-1] != c {
				return 0
			}
			if open = open[:len(open)-1]; len(open) == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// nonFiniteLength is the length of the NaN or infinity that b starts with, which some
// encoders write and JSON does not have; 0 if it starts with none.
func nonFiniteLength(b []byte) int {
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if len(b) >= len(word) && string(b[:len(word)]) == word {
			return len(word)
		}
	}
	return 0
}
