package flatten

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/schema"
)

// content collects what a record states, in a form that does not depend on how it is spelled: the
// members with the names that they have first, and their typed values. Members that no column reads
// count as well, so that nothing that was paid for is taken for something that the lake has.
type content struct {
	wanted bool // a digest of it
	topic  bool // of the nested topics, it is about one only
	// The record is about a contact.
	contact bool
	facts   []fact
	hash    hashInput
}

// fact is one member of a record.
type fact struct {
	place int
	name  string
	text  []byte
}

func (c *content) begin(wanted, topic bool, about schema.Object) {
	c.wanted, c.topic, c.contact, c.facts = wanted, topic, about == schema.Contact, c.facts[:0]
}

// counts reports whether a member may be a fact. The ids of the event and its entity are left out: they
// are in the uid, and the API may write them as tokens.
func (c *content) counts(m *field) bool {
	switch {
	case !c.wanted, m.isID, m.isPerson && c.contact, m.isCompany && !c.contact:
		return false
	}
	return !c.topic || m.path != topicsField
}

// add adds a member. One that states nothing (null, "", [] or {}) counts as absent, since the API writes
// either.
func (c *content) add(m *field, text []byte) {
	if len(text) > 0 {
		c.facts = append(c.facts, fact{m.place, m.fact, text})
	}
}

// compareFacts orders facts by their names and texts.
func compareFacts(a, b *fact) int {
	if a.place != b.place {
		return a.place - b.place
	}
	return cmp.Or(strings.Compare(a.name, b.name), bytes.Compare(a.text, b.text))
}

// fewFacts is the number of facts up to which the simplest way to sort them is the fastest.
const fewFacts = 40

func (c *content) sort() {
	if len(c.facts) > fewFacts {
		slices.SortFunc(c.facts, func(a, b fact) int { return compareFacts(&a, &b) })
		return
	}
	for i := 1; i < len(c.facts); i++ {
		if c.facts[i-1].place < c.facts[i].place {
			continue
		}
		moved, at := c.facts[i], i
		for ; at > 0 && (c.facts[at-1].place > moved.place || compareFacts(&c.facts[at-1], &moved) > 0); at-- {
			c.facts[at] = c.facts[at-1]
		}
		c.facts[at] = moved
	}
}

// digest is the digest of the content.
func (c *content) digest(into *cells, raw []byte) []byte {
	c.sort()
	c.hash.begin("content 1")
	for i := range c.facts {
		if f := &c.facts[i]; i == 0 || compareFacts(&c.facts[i-1], f) != 0 {
			c.hash.addString(f.name)
			c.hash.add(f.text)
		}
	}
	if len(raw) == 0 || raw[0] != '{' {
		c.hash.add(raw) // which has other members, or none
	}
	return c.hash.sum(into)
}

// factText is the value of a member that a column reads; empty if it states nothing.
func (t *texts) factText(c *schema.Column, val []byte, v *value) []byte {
	switch {
	case v.problem != "":
		return t.plainText(val)
	case !v.set:
		return nil
	case c.List == schema.ListJSON:
		return t.plainText(v.text)
	}
	switch c.Type {
	case schema.String:
		if c.AnyCase {
			return t.lower(v.text)
		}
		return v.text
	case schema.Double:
		text := t.numberText(bytes.TrimSpace(t.text(val)), math.Float64frombits(uint64(v.n)))
		if c.AnySign {
			text = bytes.TrimPrefix(text, []byte("-"))
		}
		return text
	}
	return t.integerText(v.n)
}

func (t *texts) integerText(n int64) []byte {
	start := len(t.arena)
	t.arena = strconv.AppendInt(t.arena, n, 10)
	return t.since(start)
}

// numberText is a number in the spelling that facts have.
func (t *texts) numberText(text []byte, d float64) []byte {
	if isPlainNumber(text) {
		return text
	}
	if n, ok := parseInteger(string(text)); ok { // exactly
		return t.integerText(n)
	}
	if math.Abs(d) >= 1<<53 {
		return text
	}
	start := len(t.arena)
	t.arena = strconv.AppendFloat(t.arena, d, 'g', -1, 64)
	return t.since(start)
}

// isPlainNumber reports whether a number is spelled as strconv writes it: without zeros at its ends, and
// not so large or small that an exponent is shorter.
func isPlainNumber(text []byte) bool {
	d, ok := readDecimal(text)
	if !ok {
		return false
	}
	digits := text
	if d.negative {
		digits = text[1:]
	}
	switch {
	case digits[0] == '0' && d.integer > 1, d.negative && d.mantissa == 0:
		return false
	case d.fraction == 0:
		return true
	case digits[0] == '0' && digits[2] == '0', d.integer > 6:
		return false
	}
	return digits[len(digits)-1] != '0'
}

// lower is a text in lower case.
func (t *texts) lower(text []byte) []byte {
	start := len(t.arena)
	for _, b := range text {
		if b >= 0x80 {
			t.arena = append(t.arena[:start], strings.ToLower(string(text))...)
			break
		}
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		t.arena = append(t.arena, b)
	}
	return t.since(start)
}

// plainText is a JSON value as text; empty if it states nothing.
func (t *texts) plainText(val []byte) []byte {
	switch {
	case len(val) == 0 || jsonscan.IsNull(val):
		return nil
	case val[0] != '{' && val[0] != '[':
		return t.text(val)
	}
	if text := canonicalJSON(val); text != "[]" && text != "{}" {
		return []byte(text)
	}
	return nil
}
