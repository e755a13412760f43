package flatten

import (
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/schema"
)

// Drift receives what of events differs from what the schema knows.
type Drift interface {
	// BeginEvent begins with another event, of a dataset. It is valid until it is flattened.
	BeginEvent(e *schema.Event, dataset string)
	// Add adds a difference of the event. found is the JSON type of a value, or of a NewValue the value.
	Add(kind DriftKind, path, expected, found string)
}

// DriftKind says how an answer differs from what the schema knows.
type DriftKind string

// The kinds of drift.
const (
	NewType      DriftKind = "new_type"      // a signal type that the catalogue does not have
	NewField     DriftKind = "new_field"     // a field that no column reads
	ChangedType  DriftKind = "changed_type"  // a value that its column cannot hold
	NewValue     DriftKind = "new_value"     // a value that its closed list does not have
	MissingField DriftKind = "missing_field" // a field that every record had is absent or null
)

// watch looks at events for differences.
type watch struct {
	drift  Drift // nil: the event is not looked at
	unread []int // columns with a value that they cannot hold: their fields are not missing
}

// watchEvent begins with another event. A type that the catalogue does not have is a difference as a
// whole: its fields are not looked at. Results of other products are not watched.
func (f *Flattener) watchEvent(e *schema.Event, k *kind) {
	f.drift, f.unread = nil, f.unread[:0]
	if f.Drift == nil || e.Origin != nil {
		return
	}
	f.Drift.BeginEvent(e, k.layout.table.Name)
	if !k.known {
		f.Drift.Add(NewType, "", "", "")
		return
	}
	f.drift = f.Drift
}

// noteField looks at a field that no column reads.
func (w *watch) noteField(m *field, val []byte) {
	if w.drift != nil && m.nested == nil && !m.unread {
		w.drift.Add(NewField, m.path, "", JSONType(val))
	}
}

// noteProblem looks at a value that its column cannot hold. A date that is not plausible has the right
// type.
func (w *watch) noteProblem(t *target, path string, val []byte, problem string) {
	if w.drift == nil {
		return
	}
	w.unread = append(w.unread, t.column)
	if !strings.HasPrefix(problem, implausible) {
		w.drift.Add(ChangedType, path, t.Type.String(), JSONType(val))
	}
}

// noteMissing looks at an event whose columns are filled.
func (f *Flattener) noteMissing() {
	if f.drift == nil {
		return
	}
	for _, i := range f.kind.expected {
		if f.event.Source == schema.IngestWebhook && f.kind.signal.Record == "person" { // whose deliveries have fewer fields
			break
		}
		if !f.isSet(i) && !slices.Contains(f.unread, i) {
			c := &f.kind.layout.table.Columns[i]
			f.drift.Add(MissingField, c.From[0], c.Type.String(), "")
		}
	}
	if column := f.kind.columns.eventType; f.has(column) {
		text := f.textAt(column)
		if f.news.of(text) == schema.OtherNews && !strings.EqualFold(string(text), schema.OtherNews) {
			f.drift.Add(NewValue, "eventType", schema.String.String(), string(text))
		}
	}
}

// JSONType names the type of a JSON value.
func JSONType(val []byte) string {
	switch {
	case len(val) == 0, jsonscan.IsNull(val):
		return "null"
	case val[0] == '"':
		return "text"
	case val[0] == '{':
		return "object"
	case val[0] == '[':
		return "list"
	case val[0] == 't', val[0] == 'f':
		return "boolean"
	}
	return "number"
}
