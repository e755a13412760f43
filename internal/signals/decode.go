package signals

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Decoder reads the raw answers of what it wraps.
type Decoder struct{ inner pipeline.Fetcher }

// Decode wraps a fetcher whose calls are raw: it settles each call's outcome
// and charge, and gives every item its fate.
func Decode(inner pipeline.Fetcher) *Decoder { return &Decoder{inner} }

// Fetch asks the inner fetcher and decodes what came back. Errors are the
// inner fetcher's: an answer that cannot be read is an outcome, not an error.
func (d *Decoder) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	reply, err := d.inner.Fetch(ctx, b)
	if reply == nil {
		reply = &pipeline.Reply{}
	}
	for i := range reply.Calls {
		// What is no answer is told by the call's outcome and problem.
		items, strays, _ := DecodeAnswer(b, &reply.Calls[i])
		reply.Items = items
		reply.Strays = append(reply.Strays, strays...)
	}
	if len(reply.Items) != len(b.Items) {
		reply.Items = fates(b, schema.Deferred, "not asked", "")
	}
	return reply, err
}

// DecodeAnswer reads one call's raw answer, and sets the call's outcome,
// charge, problem, window, extra fields and notes. It depends on its arguments
// alone and may be repeated, so what was paid for can be read again from a
// journal.
//
// There is always one reply per item, in order. The error is nil when the
// answer decided the items' fates, even if that fate is not found; otherwise
// it is a *RefusalError and the items are Held or Deferred, as the outcome demands.
//
// Events share the memory of call.Body.
func DecodeAnswer(b *pipeline.Batch, call *pipeline.Call) (items, strays []pipeline.ItemReply, err error) {
	call.Charge, call.Extra, call.Notes = pipeline.Charge{}, nil, nil
	call.StartDate, call.EndDate = "", ""
	if call.Status/100 == 2 {
		a := newAnswer(b, call)
		if a.read(); a.err == nil && a.answered() {
			call.Outcome = pipeline.Charged
			items, strays = a.settle()
			return items, strays, nil
		}
	}
	v := verdictOf(call)
	if v.Outcome == pipeline.Charged {
		// A document with a root, but not the one that was asked for.
		v = Verdict{Class: ClassUnknown, Outcome: pipeline.Ambiguous, Status: call.Status, Charge: v.Charge,
			Message: fmt.Sprintf("the answer does not hold the expected %q", plural(b.Query.Object))}
	}
	call.Outcome, call.Charge = v.Outcome, v.Charge
	call.StartDate, call.EndDate = "", ""
	// Of an unclear answer, the transport's own account of it is worth more.
	if call.Problem == "" || v.Outcome == pipeline.NotCharged && call.Status != 0 {
		call.Problem = v.problem()
	}
	switch {
	case v.Outcome == pipeline.Ambiguous:
		items = fates(b, schema.Held, "asked, but whether it was charged is not known: "+call.Problem, call.ID)
	case v.Class == ClassNotFound:
		return fates(b, schema.NotFound, call.Problem, call.ID), nil, nil
	default:
		items = fates(b, schema.Deferred, call.Problem, call.ID)
		if v.Class == ClassGone && resumes(b) {
			items[0].Next = &pipeline.Next{Gone: true}
		}
	}
	return items, nil, &RefusalError{v}
}

// RefusalError says that a call brought no answer, and what it brought instead.
type RefusalError struct{ Verdict }

func (r *RefusalError) Error() string { return string(r.Class) + ": " + r.problem() }

// answer is one document while it is read.
type answer struct {
	cursor
	b     *pipeline.Batch
	call  *pipeline.Call
	items []pipeline.ItemReply
	found []bool           // items that have an entry
	byKey map[string][]int // answer key -> items; more than one when an id was given twice
	asked map[string][]int // of look-ups: the id that is asked by -> items
	types map[string]string

	paging paging // of paged services

	bill    bill
	extra   members
	notes   []string
	strays  []entry
	entries int
	root    bool // the expected root is there, or is null
	null    bool // and is null
	failure bool // it has a statusCode or an error, too
}

// entry is what an answer says about one entity.
type entry struct {
	key   string // under which it stood; empty in a list
	reply pipeline.ItemReply
	bare  string   // its "id": the entity's own id, or the caller's reference when another field states that
	refs  []string // the caller's references it states
	err   string
	code  string
	extra members
	also  []string // ids that it states for its entity, apart from its own
}

func newAnswer(b *pipeline.Batch, call *pipeline.Call) *answer {
	a := &answer{
		cursor: document(call.Body),
		b:      b, call: call,
		items: fates(b, schema.NotFound, "not in the answer", call.ID),
		found: make([]bool, len(b.Items)),
		byKey: make(map[string][]int, len(b.Items)),
		asked: map[string][]int{},
		types: make(map[string]string, len(b.Query.Signals)),
	}
	for i := range b.Items {
		if b.Query.Service.Paged() || unfit(b, i) != "" {
			continue
		}
		key := answerKey(b, i)
		a.byKey[key] = append(a.byKey[key], i)
		if looksUp(b.Query) {
			if family, id := lookUpBy(b, i); family == schema.ByID {
				a.asked[id] = append(a.asked[id], i)
			}
		}
	}
	for _, t := range b.Query.Signals {
		a.types[t] = t
	}
	return a
}

// notesMax bounds the notes of one call or entry.
const notesMax = 20

func note(notes []string, format string, args ...any) []string {
	text := shorten(fmt.Sprintf(format, args...), 300)
	if len(notes) < notesMax && !slices.Contains(notes, text) {
		notes = append(notes, text)
	}
	return notes
}

// read walks the document.
func (a *answer) read() {
	if a.peek() != '{' {
		a.fail("no JSON object")
		return
	}
	expected := plural(a.b.Query.Object)
	a.open('{')
	for first := true; a.more(first, '}'); first = false {
		name := a.name()
		if a.err != nil {
			return
		}
		switch string(name) {
		case expected, "results":
			a.readRoot(name)
		case "creditCharged", "creditsCharged":
			a.bill.add(string(name), a.value())
		case "billing":
			a.bill.billing(a.value(), &a.extra)
		case "startDate":
			a.call.StartDate = a.text(name)
		case "endDate":
			a.call.EndDate = a.text(name)
		case "statusCode", "error":
			a.failure = true
			a.keep(name, a.value())
		case "dedupeSessionId", "meta", "pagination":
			a.readPaging(name, a.value())
		default:
			a.keep(name, a.value())
		}
	}
	a.end()
}

func (a *answer) keep(name []byte, value json.RawMessage) {
	if a.err == nil {
		a.extra.add(name, value)
	}
}

// text reads a root text; what is none is kept among the extra fields.
func (a *answer) text(name []byte) string {
	value := a.value()
	if a.err != nil || string(value) == "null" {
		return ""
	}
	text, ok := textOf(value)
	if !ok {
		a.extra.add(name, value)
	}
	return text
}

func (a *answer) readRoot(name []byte) {
	if a.root && !a.null {
		a.notes = note(a.notes, "%q stands more than once; all were read", name)
	}
	switch a.peek() {
	case '{':
		a.root, a.null = true, false
		a.open('{')
		for first := true; a.more(first, '}'); first = false {
			key := a.name()
			if a.err != nil {
				return
			}
			a.readEntry(string(key))
		}
	case '[':
		a.root, a.null = true, false
		a.open('[')
		for first := true; a.more(first, ']'); first = false {
			if a.peek() == 'n' {
				a.skip()
				continue
			}
			a.readEntry("")
		}
	case 'n':
		a.skip()
		a.null = a.null || !a.root
		a.root = true
		a.notes = note(a.notes, "%q is null; read as empty", name)
	default:
		a.keep(name, a.value())
	}
}

// readEntry reads one entity and gives it to the item it is about.
func (a *answer) readEntry(key string) {
	e := entry{key: key}
	e.reply.Entity.Object = a.b.Query.Object
	if a.b.Query.Service.Paged() {
		a.readResult()
		return
	}
	switch a.peek() {
	case '{':
		a.readObject(&e)
	case '[': // a list where an object is expected: all of it is about the same
		a.open('[')
		e.reply.Notes = note(e.reply.Notes, "the entry is a list; all of it was read")
		for first := true; a.more(first, ']'); first = false {
			if a.peek() == '{' {
				a.readObject(&e)
			} else if v := a.value(); a.err == nil {
				e.extra.add([]byte("value"), v)
			}
		}
	default:
		v := a.value()
		if a.err != nil {
			return
		}
		if e.err, _ = textOf(v); e.err == "" {
			e.err = string(v)
		}
		e.reply.Notes = note(e.reply.Notes, "the entry is %s, not an object", shorten(string(v), 80))
	}
	if a.err != nil {
		return
	}
	a.entries++
	switch q := a.b.Query; {
	case looksUp(q):
		e.finishLookUp(q)
	case inV3(q):
		e.finishV3(q)
	default:
		e.finish(func(ref string) bool { return !a.b.ByID && a.byKey[ref] != nil })
	}
	if key != "" {
		if at, ok := a.byKey[key]; ok {
			a.give(at, &e)
			return
		}
	}
	a.strays = append(a.strays, e)
}

func (a *answer) readObject(e *entry) {
	if looksUp(a.b.Query) {
		a.readPreview(e)
		return
	}
	a.readFields(e)
}

// readFields reads an entity's members: identity, error, signal types, rest.
func (a *answer) readFields(e *entry) {
	a.open('{')
	for first := true; a.more(first, '}'); first = false {
		name := a.name()
		if a.err != nil {
			return
		}
		field := identity(a.b.Query.Object, string(name), &e.reply.Entity)
		switch {
		case field != nil:
			a.readIdentity(e, name, field)
		case string(name) == "id":
			a.readIdentity(e, name, &e.bare)
		case string(name) == "error":
			if value := a.value(); a.err == nil {
				e.fail(value)
			}
		case string(name) == "clientReferenceId":
			e.readReference(name, a.value())
		default:
			a.readType(e, name)
		}
	}
}

// identity tells which field of the entity a member fills.
func identity(o schema.Object, name string, to *schema.Entity) *string {
	switch name {
	case "personId", "contactId":
		if o == schema.Contact {
			return &to.ID
		}
	case "companyId":
		if o == schema.Company {
			return &to.ID
		}
	case "companyName":
		if o == schema.Company {
			return &to.Name
		}
	case "name", "fullName":
		return &to.Name
	case "domain":
		return &to.Domain
	}
	return nil
}

func (a *answer) readIdentity(e *entry, name []byte, field *string) {
	value := a.value()
	if a.err != nil || string(value) == "null" {
		return
	}
	text, ok := textOf(value)
	if field == &e.reply.Entity.Domain {
		text = schema.Host(text)
	}
	switch {
	case ok && *field == "":
		*field = text
	case !ok || *field != text:
		e.extra.add(name, value)
	}
}

func (e *entry) readReference(name []byte, value json.RawMessage) {
	if text, ok := textOf(value); ok {
		e.refs = append(e.refs, text)
	} else if len(value) > 0 && string(value) != "null" {
		e.extra.add(name, value)
	}
}

// fail takes what stands under an entry's "error".
func (e *entry) fail(value json.RawMessage) {
	switch string(value) {
	case "null", "false", `""`, "{}", "[]":
		return
	}
	switch value[0] {
	case '{':
		var text string
		e.code, text = readError(value)
		e.err = strings.TrimPrefix(strings.TrimSuffix(e.code+": "+text, ": "), ": ")
	default:
		e.err = joined(value)
	}
	if e.err == "" {
		e.err = string(value)
	}
	e.err = shorten(e.err, 500)
}

// readType reads a member that is a signal type, or else something unknown.
func (a *answer) readType(e *entry, name []byte) {
	key, asked := a.types[string(name)]
	if !asked {
		if s, ok := schema.Lookup(string(name)); ok {
			key, asked = s.Key, true
			e.reply.Notes = note(e.reply.Notes, "%s was not asked for; kept", key)
		}
	}
	switch a.peek() {
	case '[':
		if asked {
			a.readEvents(e, key, name)
			return
		}
		value := a.value()
		if a.err == nil && looksLikeEvents(value) {
			e.reply.Notes = note(e.reply.Notes, "%s is an unknown signal type; kept", shorten(string(name), 80))
			list := cursor{doc: value}
			sub := answer{cursor: list}
			sub.readEvents(e, string(name), name)
			return
		}
		a.keepIn(e, name, value)
	case '{':
		value := a.value()
		switch {
		case a.err != nil:
		case !asked:
			a.keepIn(e, name, value)
		case string(value) == "{}":
			e.reply.Notes = note(e.reply.Notes, "%s is an empty object; read as no event", key)
		default:
			e.reply.Notes = note(e.reply.Notes, "%s is one object; read as a list of one", key)
			e.reply.Events = append(e.reply.Events, pipeline.RawEvent{Type: key, Raw: value})
		}
	default:
		value := a.value()
		if a.err == nil && asked && string(value) == "null" {
			return
		}
		a.keepIn(e, name, value)
	}
}

func (a *answer) keepIn(e *entry, name []byte, value json.RawMessage) {
	if a.err == nil {
		e.extra.add(name, value)
	}
}

// readEvents reads a list of events. Elements that are no objects are kept
// among the extra fields: no table has a place for them.
func (a *answer) readEvents(e *entry, key string, name []byte) {
	a.open('[')
	for first := true; a.more(first, ']'); first = false {
		b := a.peek()
		value := a.value()
		switch {
		case a.err != nil:
			return
		case b == '{':
			e.reply.Events = append(e.reply.Events, pipeline.RawEvent{Type: key, Raw: value})
		case b != 'n':
			e.extra.add(name, value)
			e.reply.Notes = note(e.reply.Notes, "%s holds something that is no event; kept as an extra field", shorten(key, 80))
		}
	}
}

// marks are members that only events have.
var marks = []string{"signalDate", "signalId", "eventType", "articlePublishedDate", "eventEffectiveDate", "activityPublicationDate"}

// looksLikeEvents reports whether a list under an unknown name holds events:
// objects, each with a member that only events have.
func looksLikeEvents(list json.RawMessage) bool {
	c := cursor{doc: list}
	n := 0
	c.open('[')
	for first := true; c.more(first, ']'); first = false {
		if c.peek() != '{' {
			return false
		}
		marked := false
		c.open('{')
		for first := true; c.more(first, '}'); first = false {
			marked = slices.Contains(marks, string(c.name())) || marked
			c.skip()
		}
		if !marked {
			return false
		}
		n++
	}
	return n > 0 && c.err == nil
}

// finish derives the entry's fate, and its identity from the first event when
// the entry itself states none.
func (e *entry) finish(asked func(ref string) bool) {
	r := &e.reply
	switch {
	case e.bare != "" && asked(e.bare): // a search is answered under the caller's references, and no id looks like one
		e.refs = append(e.refs, e.bare)
	case r.Entity.ID == "":
		r.Entity.ID = e.bare
	case e.bare != "" && e.bare != r.Entity.ID:
		e.refs = append(e.refs, e.bare)
		e.extra.add([]byte("id"), appendQuoted(nil, e.bare))
	}
	if len(r.Events) > 0 && r.Entity.ID == "" {
		identify(r.Events[0].Raw, &r.Entity)
	}
	switch {
	case len(r.Events) > 0:
		r.Status = schema.Enriched
		if e.err != "" {
			r.Notes = note(r.Notes, "the entry also states an error: %s", e.err)
		}
	case e.code == "COMPLIANCE_RESTRICTED" || strings.Contains(e.err, "COMPLIANCE_RESTRICTED"):
		r.Status, r.Reason = schema.Restricted, e.err
	case e.err != "":
		r.Status, r.Reason = schema.NotFound, e.err
	default:
		r.Status = schema.NoSignal
	}
	r.Extra = e.extra.object()
}

func identify(event json.RawMessage, to *schema.Entity) {
	from, bare := schema.Entity{}, ""
	c := cursor{doc: event}
	c.open('{')
	for first := true; c.more(first, '}'); first = false {
		name := string(c.name())
		field := identity(to.Object, name, &from)
		if name == "id" {
			field = &bare
		}
		value := c.value()
		if field == nil || c.err != nil || *field != "" {
			continue
		}
		*field, _ = textOf(value)
	}
	to.ID = cmp.Or(from.ID, bare)
	if to.Object == schema.Company && to.Name == "" {
		to.Name = from.Name
	}
	if to.Object == schema.Company && to.Domain == "" {
		to.Domain = schema.Host(from.Domain)
	}
}

// give hands an entry to the items it is about. A second entry for an item is
// added to the first: both were paid for.
func (a *answer) give(at []int, e *entry) {
	for _, i := range at {
		r := e.reply
		r.CallID = a.call.ID
		r.Notes = slices.Clip(r.Notes)
		if asked := a.askedID(i); asked != "" && r.Entity.ID == "" && byID(a.b) {
			r.Entity.ID = asked
		} else if asked != "" && r.Entity.ID != "" && r.Entity.ID != asked && known(r.Status) {
			r.Notes = note(r.Notes, "the entry states the id %q", shorten(r.Entity.ID, 80))
			r.Also = alias(slices.Clip(r.Also), r.Entity.ID, asked)
		}
		if !a.found[i] {
			a.found[i] = true
			a.items[i] = r
			continue
		}
		a.items[i] = merge(a.items[i], r)
	}
}

// askedID is the id by which an item was asked about; empty when it was not.
func (a *answer) askedID(i int) string {
	if byID(a.b) {
		return answerKey(a.b, i)
	}
	if looksUp(a.b.Query) {
		if family, id := lookUpBy(a.b, i); family == schema.ByID {
			return id
		}
	}
	return ""
}

// known reports whether an entry is about somebody.
func known(s schema.Status) bool {
	return s == schema.Enriched || s == schema.Resolved || s == schema.NoSignal
}

// alias adds another id of an entity, once.
func alias(also []string, own, other string) []string {
	if other == "" || other == own || slices.Contains(also, other) {
		return also
	}
	return append(also, other)
}

func merge(one, two pipeline.ItemReply) pipeline.ItemReply {
	rank := []schema.Status{schema.Enriched, schema.Resolved, schema.Restricted, schema.NoSignal, schema.Deferred, schema.NotFound}
	if slices.Index(rank, two.Status) < slices.Index(rank, one.Status) {
		one.Status, one.Reason = two.Status, two.Reason
	}
	if one.Entity.ID == "" {
		one.Entity = two.Entity
	}
	one.Events = append(slices.Clip(one.Events), two.Events...)
	one.Beside = append(slices.Clip(one.Beside), two.Beside...)
	one.Also = slices.Clip(one.Also)
	for _, id := range append([]string{two.Entity.ID}, two.Also...) {
		one.Also = alias(one.Also, one.Entity.ID, id)
	}
	one.Extra = mergeExtra(one.Extra, two.Extra)
	one.Notes = note(one.Notes, "the answer holds more than one entry for this; both were kept")
	for _, n := range two.Notes {
		one.Notes = note(one.Notes, "%s", n)
	}
	return one
}

func mergeExtra(one, two json.RawMessage) json.RawMessage {
	if one == nil || two == nil {
		return append(one, two...)
	}
	var out members
	for _, object := range []json.RawMessage{one, two} {
		c := cursor{doc: object}
		c.open('{')
		for first := true; c.more(first, '}'); first = false {
			name := string(c.name())
			out.add([]byte(name), c.value())
		}
	}
	return out.object()
}

// answered reports whether the document is an answer to what was asked, rather
// than an error under a success status.
func (a *answer) answered() bool {
	switch {
	case !a.root:
		return false
	case a.entries > 0:
		if a.failure {
			a.notes = note(a.notes, "the answer also states an error; its entries were read")
		}
		return true
	case !a.failure:
		return true
	}
	e := readEnvelope(a.call.Body)
	return e.code < 400 && (!a.null || !e.failed)
}

// settle finds homes for strays, and closes the call.
func (a *answer) settle() (items, strays []pipeline.ItemReply) {
	if a.b.Query.Service.Paged() {
		a.settlePage()
	}
	homeless := make([]bool, len(a.strays))
	for i := range a.strays {
		homeless[i] = !a.house(&a.strays[i], a.home(&a.strays[i]))
	}
	// What only resembles an item comes after what names one.
	for i := range a.strays {
		e := &a.strays[i]
		if !homeless[i] || a.house(e, a.resembled(e)) {
			continue
		}
		r := e.reply
		r.CallID = a.call.ID
		r.Reason = fmt.Sprintf("never asked: the answer holds it under %q", shorten(e.key, 80))
		if e.key == "" {
			r.Reason = "never asked: the answer's list holds it"
		}
		strays = append(strays, r)
	}
	if len(strays) > 0 {
		a.notes = note(a.notes, "entries that nobody asked for: %d", len(strays))
		for i := range a.items {
			if a.items[i].Status == schema.NotFound && !a.found[i] {
				a.items[i].Reason = "not in the answer, which holds entries that nobody asked for"
			}
		}
	}
	call := a.call
	call.Charge = a.bill.charge()
	if call.Charge.Known && call.Ceiling > 0 && call.Charge.Credits > call.Ceiling {
		a.notes = note(a.notes, "charged %d credits, above the ceiling of %d", call.Charge.Credits, call.Ceiling)
	}
	call.Extra, call.Notes = a.extra.object(), a.notes
	return a.items, strays
}

// house gives an entry to items, if there are any.
func (a *answer) house(e *entry, at []int) bool {
	if at == nil {
		return false
	}
	a.give(at, e)
	if e.key != "" {
		for _, i := range at {
			a.items[i].Notes = note(a.items[i].Notes, "the answer's key %q was not asked for; matched by id", shorten(e.key, 80))
		}
	}
	return true
}

// home finds the items that an entry without a known key is about: those whose
// reference or id it states. An entry under a foreign key only goes to an item
// that has no entry of its own.
func (a *answer) home(e *entry) []int {
	ids := e.refs
	if byID(a.b) {
		ids = append([]string{e.reply.Entity.ID}, ids...)
	}
	// An entity's own id is never taken for a reference: both may be digits.
	for _, id := range ids {
		at, ok := a.byKey[id]
		if ok && (e.key == "" || byID(a.b) && !a.found[at[0]]) {
			return at
		}
	}
	return nil
}

// resembled finds the items without an answer that an entry is about, going by
// other ids that it states, or else by what it says of the entity.
func (a *answer) resembled(e *entry) []int {
	asked := a.asked
	if byID(a.b) {
		asked = a.byKey
	}
	for _, id := range append([]string{e.reply.Entity.ID}, e.also...) {
		if at, ok := asked[id]; ok && id != "" && !a.found[at[0]] {
			return at
		}
	}
	if e.key == "" && !byID(a.b) {
		return a.likeness(e)
	}
	return nil
}

// likeness finds the one item without an answer that asks by the domain, or
// else by the name, that an entry without a reference states.
func (a *answer) likeness(e *entry) []int {
	for _, trait := range []struct {
		stated string
		of     func(*schema.Account) string
	}{
		{e.reply.Entity.Domain, func(x *schema.Account) string { return schema.Host(x.Domain) }},
		{e.reply.Entity.Name, func(x *schema.Account) string { return x.Name }},
	} {
		if trait.stated == "" {
			continue
		}
		var fits []int
		for i := range a.b.Items {
			if !a.found[i] && strings.EqualFold(trait.of(&a.b.Items[i].Account), trait.stated) {
				fits = append(fits, i)
			}
		}
		if len(fits) == 1 {
			return fits
		}
	}
	return nil
}

// bill collects everything in a document that states the charge.
type bill struct {
	present bool
	odd     bool
	text    string
	credits int64
	seen    [3]bool
}

// chargeNames in the order of look-up; the name decides nothing else, since
// names that disagree make the charge unknown.
var chargeNames = [3]string{"creditCharged", "creditsCharged", "billing.creditsCharged"}

// add takes one field that states the charge. Every one must be a whole
// number, none may stand twice, and all must agree: a charge that can be read
// in two ways is not known.
func (l *bill) add(name string, value json.RawMessage) {
	n, whole := wholeNumber(value)
	at := slices.Index(chargeNames[:], name)
	if !whole || l.seen[at] || l.present && l.credits != n {
		l.odd = true
	}
	l.seen[at] = true
	l.present = true
	l.credits = n
	if l.text != "" {
		l.text += ", "
	}
	l.text = shorten(l.text+name+": "+shorten(string(value), 80), 200)
}

// billing takes the billing object; its other members go to extra.
func (l *bill) billing(value json.RawMessage, extra *members) {
	if len(value) == 0 || string(value) == "null" {
		return
	}
	if value[0] != '{' {
		l.add(chargeNames[2], value)
		l.odd = true
		return
	}
	var rest members
	c := cursor{doc: value}
	c.open('{')
	for first := true; c.more(first, '}'); first = false {
		name := string(c.name())
		v := c.value()
		if name == "creditsCharged" {
			l.add(chargeNames[2], v)
		} else {
			rest.add([]byte(name), v)
		}
	}
	if extra != nil && rest.out != nil {
		extra.add([]byte("billing"), rest.object())
	}
}

func (l *bill) charge() pipeline.Charge {
	if !l.present || l.odd {
		return pipeline.Charge{Text: l.text}
	}
	return pipeline.Charge{Known: true, Credits: l.credits}
}
