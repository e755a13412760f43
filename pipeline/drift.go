package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/internal/flatten"
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
type DriftKind = flatten.DriftKind

// The kinds of drift.
const (
	NewType      = flatten.NewType      // a signal type that the catalogue does not have
	NewField     = flatten.NewField     // a field that no column reads
	ChangedType  = flatten.ChangedType  // a value that its column cannot hold
	NewValue     = flatten.NewValue     // a value that its closed list does not have
	MissingField = flatten.MissingField // a field that every record had is absent or null
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

// driftWatch collects the differences of a reply, or of a run. What it finds does not depend on the order
// of the answers. One goroutine uses it.
type driftWatch struct {
	found     map[driftKey]*driftCount
	keys      []driftKey // of found, in their order
	truncated bool
	unit      int64 // number of the event, entry or answer that is looked at
	event     *schema.Event
	dataset   string // of the event
}

// driftCount is a difference, with the last unit that was counted for it.
type driftCount struct {
	Drift
	unit int64
}

func newDriftWatch() *driftWatch { return new(driftWatch) }

// isEmpty reports whether nothing differs.
func (w *driftWatch) isEmpty() bool { return len(w.found) == 0 }

// count counts a difference once for each unit.
func (w *driftWatch) count(d Drift) {
	d.Path = fieldName(d.Path)
	d.Found = truncate(d.Found, 60)
	d.Events = 1
	if c := w.found[keyOf(&d)]; c != nil && c.unit == w.unit {
		d.Events = 0
	}
	w.add(&d)
}

// merge adds what another watch found, in other units.
func (w *driftWatch) merge(o *driftWatch) {
	for _, key := range o.keys {
		w.add(&o.found[key].Drift)
	}
	w.truncated = w.truncated || o.truncated
}

// add adds a difference. The first call is the first by name, in whatever order answers come. Of too many
// differences those with the first keys are kept.
func (w *driftWatch) add(d *Drift) {
	key := keyOf(d)
	if c := w.found[key]; c != nil {
		c.Events, c.unit = c.Events+d.Events, w.unit
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
	if w.found == nil {
		w.found = map[driftKey]*driftCount{}
	}
	w.keys = slices.Insert(w.keys, at, key)
	w.found[key] = &driftCount{*d, w.unit}
}

func keyOf(d *Drift) driftKey { return driftKey{d.Kind, d.SignalType, d.Path, d.Object} }

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

// BeginEvent begins with another event.
func (w *driftWatch) BeginEvent(e *schema.Event, dataset string) {
	w.unit++
	w.event, w.dataset = e, dataset
}

// Add adds a difference of the event.
func (w *driftWatch) Add(kind DriftKind, path, expected, found string) {
	e := w.event
	w.count(Drift{
		Kind: kind, Object: e.Entity.Object, SignalType: e.Type, Dataset: w.dataset, Path: path, Expected: expected, Found: found, KeptIn: "raw",
		FirstCall: e.CallID, FirstReceived: e.FetchedAt.UTC(),
	})
}

// watchAnswers looks at what answers to signal requests, and deliveries, have outside of events.
func (w *driftWatch) watchAnswers(b *Batch, reply *Reply) {
	if !b.Query.Service().HasEvents() {
		return
	}
	for _, list := range [][]ItemReply{reply.Items, reply.Unmatched} {
		for i := range list {
			a := &list[i]
			w.watchUnknown("entry.", a.UnknownFields, Drift{
				Object: b.Query.Object, Dataset: schema.Accounts.Name, KeptIn: "answer_extra", FirstCall: a.CallID, FirstReceived: reply.received(a.CallID).UTC(),
			})
		}
	}
	for i := range reply.Calls {
		c := &reply.Calls[i]
		if c.Outcome != Charged { // a refusal has fields of its own
			continue
		}
		w.watchUnknown("answer.", c.UnknownFields, Drift{
			Object: b.Query.Object, Dataset: schema.Calls.Name, KeptIn: "extra", FirstCall: c.ID, FirstReceived: reply.received(c.ID).UTC(),
		})
	}
}

// watchUnknown looks at the members of an object of unknown fields.
func (w *driftWatch) watchUnknown(prefix string, fields []byte, d Drift) {
	if len(fields) == 0 {
		return
	}
	documented := schema.UnreadAnswerFields
	if prefix == "entry." {
		documented = schema.UnreadEntryFields
	}
	w.unit++
	for name, val := range jsonscan.Members(fields) {
		if slices.Contains(documented, name) {
			continue
		}
		one := d
		one.Kind, one.Path, one.Found = NewField, prefix+name, flatten.JSONType(val)
		if s, ok := schema.LookupSignal(name); ok { // its events are no list of objects
			one.Kind, one.SignalType, one.Expected = ChangedType, s.Key, "list of events"
		}
		w.count(one)
	}
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

// flatten makes the rows of a reply, unless they would take too much memory by now. Under a frozen
// contract it stops the paid phase if the reply differs: the recorder comes to it later, when others may
// be bought. It may be called concurrently.
func (p *paidPhase) flatten(b *Batch, reply *Reply) *flattened {
	f, maker := &flattened{Reply: reply}, p.recorder.maker
	if reply != nil && !reply.isLong() { // nil: of a fetcher that breaks its contract
		f.rows = maker.flatten(b, reply)
	}
	switch {
	case f.rows != nil:
		p.stopOnDrift(f.rows.drift)
	case reply != nil && p.Contract == Freeze:
		drift, _ := maker.eachChunk(b, reply, func(c *columns.Chunk) error { // which never fails
			c.Release()
			return nil
		})
		p.stopOnDrift(drift)
	}
	return f
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
	if r.version < driftVersion {
		return nil
	}
	for _, key := range slices.SortedFunc(maps.Keys(r.drift.found), compareDriftKeys) {
		d := &r.drift.found[key].Drift
		err := r.rows.AddValues(ctx, &schema.Drift, []columns.Value{
			columns.Text(r.manifest.Run.ID), columns.Text(string(d.Kind)), columns.TextOrNull(string(d.Object)), columns.TextOrNull(d.SignalType),
			columns.TextOrNull(d.Dataset), columns.TextOrNull(d.Path), columns.TextOrNull(d.Expected), columns.TextOrNull(d.Found), columns.TextOrNull(d.KeptIn),
			columns.Int(d.Events), columns.TextOrNull(d.FirstCall), columns.TimeOrNull(d.FirstReceived),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// truncate cuts a text for a report, at a character boundary.
func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
