package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/schema"
)

// Contract says what a run does when answers differ from what the schema knows.
type Contract string

// The contracts. Evolve, the default, keeps what is unknown, reports it and goes on. Freeze keeps and
// reports it as well, and requests nothing after the first answer that differs.
const (
	Evolve Contract = "evolve"
	Freeze Contract = "freeze"
)

// Contracts are all contracts, the default first.
var Contracts = []Contract{Evolve, Freeze}

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

// Drift is one way in which the answers of a run differ from what the schema knows.
type Drift struct {
	Kind       DriftKind     `json:"kind"`
	Object     schema.Object `json:"object"`
	SignalType string        `json:"signal_type,omitempty"` // empty: it is not in an event
	Dataset    string        `json:"dataset"`
	// The field, as "author.id" if it is nested; "entry.*" is in the entry of an entity, "answer.*" at the
	// root of an answer.
	Path     string `json:"path,omitempty"`
	Expected string `json:"expected,omitempty"` // type of the column; empty: no column reads it
	// JSON type of the value; the value itself only of a NewValue, whose column holds a vocabulary.
	Found     string `json:"found,omitempty"`
	KeptIn    string `json:"kept_in,omitempty"` // column that has the value
	Events    int64  `json:"events"`            // that show it, or entities or answers
	FirstCall string `json:"first_call"`
	// When the answer to that call was received; zero: not known.
	FirstReceived time.Time `json:"first_received"`
}

// DriftReport is the drift of a run, in the order of its first calls.
type DriftReport struct {
	Contract Contract `json:"contract,omitempty"` // empty: of a run that was rebuilt
	// Number of differences; with Truncated, of those that the table of drift can hold.
	Differences int     `json:"differences"`
	Found       []Drift `json:"found"` // the first few; the table has all
	Truncated   bool    `json:"truncated,omitempty"`
}

// A run's table of drift has up to maxDrift differences, and its manifest up to maxDriftListed: an answer
// may have any number of fields.
const (
	maxDrift       = 500
	maxDriftListed = 50
)

// driftKey identifies a difference.
type driftKey struct {
	kind         DriftKind
	signal, path string
	object       schema.Object
}

func compareDriftKeys(a, b driftKey) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.signal, b.signal), cmp.Compare(a.path, b.path), cmp.Compare(a.object, b.object))
}

// driftWatch collects the differences of a run. What it finds does not depend on the order of the
// answers. One goroutine uses it.
type driftWatch struct {
	found     map[driftKey]*driftCount
	keys      []driftKey // of found, in their order
	truncated bool
	unit      int64 // number of the event, entry or answer that is looked at
}

// driftCount is a difference, with the last unit that was counted for it.
type driftCount struct {
	Drift
	unit int64
}

func newDriftWatch() *driftWatch { return &driftWatch{found: map[driftKey]*driftCount{}} }

// isEmpty reports whether nothing differs.
func (w *driftWatch) isEmpty() bool { return len(w.found) == 0 }

// add counts a difference once for each unit. The first call is the first by name, in whatever order
// answers come. Of too many differences those with the first keys are kept.
func (w *driftWatch) add(d Drift) {
	d.Path = fieldName(d.Path)
	d.Found = truncate(d.Found, 60)
	key := driftKey{d.Kind, d.SignalType, d.Path, d.Object}
	if c := w.found[key]; c != nil {
		if c.unit != w.unit {
			c.Events, c.unit = c.Events+1, w.unit
		}
		if d.FirstCall < c.FirstCall {
			c.FirstCall, c.FirstReceived, c.Found, c.Expected = d.FirstCall, d.FirstReceived, d.Found, d.Expected
		}
		return
	}
	at, _ := slices.BinarySearchFunc(w.keys, key, compareDriftKeys)
	if len(w.keys) == maxDrift {
		w.truncated = true
		if at == maxDrift {
			return
		}
		delete(w.found, w.keys[maxDrift-1])
		w.keys = w.keys[:maxDrift-1]
	}
	d.Events = 1
	w.keys = slices.Insert(w.keys, at, key)
	w.found[key] = &driftCount{d, w.unit}
}

// fieldName is the name of a field for a report. Names can be values in disguise, such as the e-mail
// address of a person.
func fieldName(name string) string {
	if strings.Contains(name, "@") {
		return "(a name with @)"
	}
	return truncate(name, 120)
}

// report lists the differences by their first call; nil if there are none.
func (w *driftWatch) report(c Contract) *DriftReport {
	if w.isEmpty() {
		return nil
	}
	r := &DriftReport{Contract: c, Differences: len(w.keys), Truncated: w.truncated}
	for _, key := range w.keys {
		r.Found = append(r.Found, w.found[key].Drift)
	}
	slices.SortStableFunc(r.Found, func(a, b Drift) int { return cmp.Compare(a.FirstCall, b.FirstCall) })
	r.Found = r.Found[:min(len(r.Found), maxDriftListed)]
	return r
}

// eventDrift watches one event; nil watches nothing.
type eventDrift struct {
	watch *driftWatch
	of    Drift // what differences of the event have in common
	// Columns with a value that they cannot hold. Their fields are not missing.
	unread []int
}

// watchEvent begins with another event; nil if nothing is watched. A type that the catalogue does not
// have is a difference as a whole: its fields are not looked at.
func (f *flattener) watchEvent(e *schema.Event, dataset string, known bool) *eventDrift {
	if f.drift == nil || e.Origin != nil {
		return nil
	}
	f.drift.unit++
	d := &eventDrift{watch: f.drift, of: Drift{
		Object: e.Entity.Object, SignalType: e.Type, Dataset: dataset, KeptIn: "raw", FirstCall: e.CallID, FirstReceived: e.FetchedAt.UTC(),
	}}
	if !known {
		d.add(NewType, "", "", "")
		return nil
	}
	return d
}

func (d *eventDrift) add(kind DriftKind, path, expected, found string) {
	one := d.of
	one.Kind, one.Path, one.Expected, one.Found = kind, path, expected, found
	d.watch.add(one)
}

// noteField looks at a field that no column reads.
func (d *eventDrift) noteField(l *tableLayout, path string, val []byte) {
	if d != nil && !l.nested[path] && !l.unread[path] {
		d.add(NewField, path, "", jsonType(val))
	}
}

// noteProblem looks at a value that its column cannot hold. A date that is not plausible has the right
// type.
func (d *eventDrift) noteProblem(column int, expected schema.Type, path string, val []byte, problem string) {
	if d == nil {
		return
	}
	d.unread = append(d.unread, column)
	if !strings.HasPrefix(problem, implausible) {
		d.add(ChangedType, path, expected.String(), jsonType(val))
	}
}

// noteRow looks at an event whose columns are filled.
func (d *eventDrift) noteRow(b *rowBuilder, record string) {
	if d == nil {
		return
	}
	l := b.layout
	for _, i := range l.always[record] {
		if !b.values[i].set && !slices.Contains(d.unread, i) {
			c := l.table.Columns[i]
			d.add(MissingField, c.From[0], c.Type.String(), "")
		}
	}
	if kind := b.get("event_type"); kind.set && schema.NormalizeNewsType(kind.s) == schema.OtherNews && !strings.EqualFold(kind.s, schema.OtherNews) {
		d.add(NewValue, "eventType", schema.String.String(), kind.s)
	}
}

// watchAnswers looks at what answers to signal requests have outside of events.
func (f *flattener) watchAnswers(b *Batch, reply *Reply, received map[string]time.Time) {
	if f.drift == nil || b.Query.Service() != Signals {
		return
	}
	for _, list := range [][]ItemReply{reply.Items, reply.Unmatched} {
		for i := range list {
			a := &list[i]
			f.watchUnknown("entry.", a.UnknownFields, Drift{
				Object: b.Query.Object, Dataset: schema.Accounts.Name, KeptIn: "answer_extra", FirstCall: a.CallID, FirstReceived: received[a.CallID].UTC(),
			})
		}
	}
	for i := range reply.Calls {
		c := &reply.Calls[i]
		if c.Outcome != Charged { // a refusal has fields of its own
			continue
		}
		f.watchUnknown("answer.", c.UnknownFields, Drift{
			Object: b.Query.Object, Dataset: schema.Calls.Name, KeptIn: "extra", FirstCall: c.ID, FirstReceived: received[c.ID].UTC(),
		})
	}
}

// watchUnknown looks at the members of an object of unknown fields.
func (f *flattener) watchUnknown(prefix string, fields []byte, d Drift) {
	if len(fields) == 0 {
		return
	}
	documented := schema.UnreadAnswerFields
	if prefix == "entry." {
		documented = schema.UnreadEntryFields
	}
	f.drift.unit++
	for name, val := range jsonscan.Members(fields) {
		if slices.Contains(documented, name) {
			continue
		}
		one := d
		one.Kind, one.Path, one.Found = NewField, prefix+name, jsonType(val)
		if s, ok := schema.LookupSignal(name); ok { // its events are no list of objects
			one.Kind, one.SignalType, one.Expected = ChangedType, s.Key, "list of events"
		}
		f.drift.add(one)
	}
}

// jsonType names the type of a JSON value.
func jsonType(val []byte) string {
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

// Describe is the difference in one line.
func (d *Drift) Describe() string {
	where := d.Path
	if d.SignalType != "" {
		where = strings.TrimSuffix(d.SignalType+"."+d.Path, ".")
	}
	switch d.Kind {
	case NewType:
		return fmt.Sprintf("signal type %s is new", where)
	case NewField:
		return fmt.Sprintf("field %s is new (%s)", where, d.Found)
	case ChangedType:
		return fmt.Sprintf("field %s has another type (%s, expected %s)", where, d.Found, d.Expected)
	case NewValue:
		return fmt.Sprintf("field %s has a new value (%s)", where, d.Found)
	}
	return fmt.Sprintf("field %s is missing", where)
}

// driftStop is why a run under a frozen contract requests nothing more.
func driftStop(r *DriftReport) *Stop {
	first := &r.Found[0]
	text := fmt.Sprintf("--contract freeze: the answer to call %s differs from what this version knows: %s", first.FirstCall, first.Describe())
	if more := r.Differences - 1; more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return &Stop{Kind: StopDrift, Reason: text, Advice: "siglake status shows all; run the same command with --contract evolve, or with a version that knows the change: it requests the rest and buys nothing again"}
}

// checkContract stops the paid phase if an answer differs and the contract is frozen. It may be called
// concurrently. The recorder looks at answers in the order of the batches, so it may come to this one
// much later, when others are bought.
func (p *paidPhase) checkContract(b *Batch, reply *Reply) {
	if p.Contract != Freeze || b.Query.Service() != Signals || reply == nil {
		return
	}
	gate := *p.recorder.flattener
	gate.drift = newDriftWatch()
	gate.watchAnswers(b, reply, nil)
	for _, list := range [][]ItemReply{reply.Items, reply.Unmatched} {
		for i := range list {
			for _, e := range list[i].Events {
				gate.flattenEvent(schema.Event{Entity: list[i].Entity, Type: e.Type, Raw: e.Raw, CallID: list[i].CallID})
			}
		}
	}
	p.stopOnDrift(gate.drift)
}

// stopOnDrift stops the paid phase if anything differs and the contract is frozen.
func (p *paidPhase) stopOnDrift(w *driftWatch) {
	if p.Contract != Freeze || w.isEmpty() {
		return
	}
	p.stop.CompareAndSwap(nil, driftStop(w.report(Freeze)))
	p.Activity.noteStop()
}

// driftVersion is the schema version since which a run writes the table of drift.
const driftVersion = 5

// writeDrift writes the differences that the run found.
func (r *recorder) writeDrift(ctx context.Context) error {
	if r.flattener.version < driftVersion {
		return nil
	}
	for _, key := range slices.SortedFunc(maps.Keys(r.flattener.drift.found), compareDriftKeys) {
		d := &r.flattener.drift.found[key].Drift
		err := r.rows.append(ctx, schema.Drift, schema.Partition{Table: schema.Drift.Name}, []value{
			stringValue(r.manifest.Run.ID), stringValue(string(d.Kind)), optionalString(string(d.Object)), optionalString(d.SignalType),
			optionalString(d.Dataset), optionalString(d.Path), optionalString(d.Expected), optionalString(d.Found), optionalString(d.KeptIn),
			intValue(d.Events), optionalString(d.FirstCall), optionalTime(d.FirstReceived),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
