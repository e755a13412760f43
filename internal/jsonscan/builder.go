package jsonscan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// ObjectBuilder builds a compact JSON object, with its fields in the order in which they
// were added.
type ObjectBuilder struct {
	out  []byte
	seen map[string]int
}

// Add adds a field.
func (b *ObjectBuilder) Add(name []byte, value json.RawMessage) {
	if b.out == nil {
		b.out = append(b.out, '{')
		b.seen = make(map[string]int, 4)
	} else {
		b.out = append(b.out, ',')
	}
	// Readers disagree about objects with a duplicate name, so the second "x" becomes
	// "x#2".
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
	b.out = AppendQuoted(b.out, unique)
	b.out = append(b.out, ':')
	b.out = append(b.out, value...)
}

// Clone returns a builder with the same fields.
func (b *ObjectBuilder) Clone() *ObjectBuilder {
	return &ObjectBuilder{out: slices.Clone(b.out), seen: maps.Clone(b.seen)}
}

// IsEmpty reports whether no field was added.
func (b *ObjectBuilder) IsEmpty() bool { return b.out == nil }

// Build closes the object; nil when no field was added.
func (b *ObjectBuilder) Build() json.RawMessage {
	if b.out == nil {
		return nil
	}
	return append(b.out, '}')
}

// AppendQuoted writes a text as a JSON string, without the HTML escapes of the
// standard encoder.
func AppendQuoted(dst []byte, text string) []byte {
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
