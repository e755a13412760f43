package pipeline

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
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
	facts  []fact
}

// fact is one member of a record.
type fact struct{ name, text string }

// add adds the member at a path ("author.id" if it is nested). One that states nothing (null, "", []
// or {}) counts as absent, since the API writes either.
func (c *content) add(l *tableLayout, path string, val []byte) {
	switch {
	case !c.wanted, l.nested[path] && val[0] == '{', c.topic && path == "detectedTopics": // their members are added
		return
	}
	name, text := path, ""
	if targets := l.targets[path]; len(targets) > 0 {
		column := l.table.Columns[targets[0].column]
		name, text = column.From[0], factText(column, val)
	} else {
		text = plainText(val)
	}
	if text != "" {
		c.facts = append(c.facts, fact{name, text})
	}
}

// digest is the digest of the content of an event about a person or a company. It leaves out the ids
// of the entity and the event, which are in the uid: the API may write them as tokens.
func (c *content) digest(about schema.Object, raw []byte) string {
	subject := "companyId"
	if about == schema.Contact {
		subject = "personId"
	}
	facts := slices.DeleteFunc(c.facts, func(f fact) bool { return f.name == subject || f.name == "signalId" })
	slices.SortFunc(facts, func(a, b fact) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.text, b.text)) })
	h := sha256.New()
	hashParts(h, "content 1")
	for _, f := range slices.Compact(facts) {
		hashParts(h, f.name, f.text)
	}
	if len(raw) == 0 || raw[0] != '{' || !json.Valid(raw) {
		hashParts(h, string(raw)) // which has other members, or none
	}
	return uidText(h)
}

// factText is the value of a member that a column reads; "" if it states nothing.
func factText(c schema.Column, val []byte) string {
	v, problem := parseValue(c, val)
	switch {
	case problem != "":
		return plainText(val)
	case !v.set:
		return ""
	case c.List == schema.ListJSON:
		return plainText([]byte(v.s))
	}
	switch c.Type {
	case schema.String:
		if c.AnyCase {
			return strings.ToLower(v.s)
		}
		return v.s
	case schema.Double:
		text := strings.TrimSpace(jsonscan.Text(val))
		if n, ok := parseInteger(text); ok { // exactly
			text = strconv.FormatInt(n, 10)
		} else if f := v.double(); math.Abs(f) < 1<<53 {
			text = strconv.FormatFloat(f, 'g', -1, 64)
		}
		if c.AnySign {
			text = strings.TrimPrefix(text, "-")
		}
		return text
	}
	return strconv.FormatInt(v.n, 10)
}

// plainText is a JSON value as text; "" if it states nothing.
func plainText(val []byte) string {
	switch {
	case len(val) == 0 || jsonscan.IsNull(val):
		return ""
	case val[0] != '{' && val[0] != '[':
		return jsonscan.Text(val)
	}
	if text := canonicalJSON(val); text != "[]" && text != "{}" {
		return text
	}
	return ""
}
