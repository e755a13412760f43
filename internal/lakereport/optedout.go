package lakereport

import (
	"strings"

	"github.com/siglake/siglake/schema"
)

// optedOut knows the persons who have opted out: a report has nothing of their rows, as the views of siglake ddl. What
// was asked about them, and what it cost, stays.
type optedOut struct {
	ids         map[string]bool
	identifiers map[string]bool // that lines of these persons have, with their kind
}

func newOptedOut(ids []string) optedOut {
	o := optedOut{map[string]bool{}, map[string]bool{}}
	for _, id := range ids {
		o.ids[id] = true
	}
	return o
}

// has reports whether a column of a row has the id of such a person.
func (o *optedOut) has(r *row, column string) bool {
	return len(o.ids) > 0 && string(r.bytes("object_type")) == string(schema.Contact) && o.ids[string(r.bytes(column))]
}

// learn learns the identifier of a line about such a person.
func (o *optedOut) learn(r *row) {
	if o.has(r, "entity_id") && r.bytes("identifier") != nil {
		o.identifiers[identifierOf(r)] = true
	}
}

func identifierOf(r *row) string { return r.text("identifier_type") + " " + r.text("identifier") }

// hasLine reports whether a line is about such a person.
func (o *optedOut) hasLine(r *row) bool {
	if len(o.ids) == 0 || string(r.bytes("object_type")) != string(schema.Contact) {
		return false
	}
	return o.has(r, "entity_id") || strings.HasPrefix(r.text("reason"), schema.OptedOutReason) || r.bytes("identifier") != nil && o.identifiers[identifierOf(r)]
}
