package lusha

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/semaphore"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Decoder decodes the raw answers of the fetcher that it wraps.
type Decoder struct {
	inner  pipeline.Fetcher
	memory *semaphore.Weighted // bytes of long answers that are decoded at a time
}

// decodeMemory is the total length of the long answers that are decoded at a time. A longer one is
// decoded while no other is.
const decodeMemory = 64 << 20

// Decode wraps a fetcher of raw calls: it settles each call's outcome
// and charge, and gives every item its status.
func Decode(inner pipeline.Fetcher) *Decoder {
	return &Decoder{inner, semaphore.NewWeighted(decodeMemory)}
}

// Fetch sends the batch through the inner fetcher and decodes the answer. Items that
// the API's version cannot express are Rejected even if nothing was sent. Errors are
// the inner fetcher's: an answer that cannot be read is an outcome, not an error. A
// call with a long answer loses its Body. Fetch waits with such an answer, which is
// recorded by then, until there is memory to decode it.
func (d *Decoder) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	admitted, admission := *b, int64(0)
	admitted.Admit = func(bytes int64) {
		if admission == 0 && bytes > maxKeptBody {
			admission = min(bytes, decodeMemory)
			_ = d.memory.Acquire(context.WithoutCancel(ctx), admission) // fails when its context ends, which this one does not
		}
	}
	defer func() { d.memory.Release(admission) }()
	reply, err := d.inner.Fetch(ctx, &admitted)
	if len(reply.Calls) == 0 {
		rejectInexpressible(b, reply.Items)
	}
	for i := range reply.Calls {
		call := &reply.Calls[i]
		admitted.Admit(int64(len(call.Body)))
		// The call's outcome and problem describe what is no answer.
		items, unmatched, _ := DecodeAnswer(b, call)
		// A refusal is explained by its body.
		if len(call.Body) > maxKeptBody && (call.Outcome == pipeline.Charged || call.Outcome == pipeline.InDoubt && call.Status/100 == 2) {
			if eventBytes(items)+eventBytes(unmatched) < len(call.Body)/4*3 {
				detachEvents(items)
				detachEvents(unmatched)
			}
			call.Length, call.Body = int64(len(call.Body)), nil
		}
		reply.Items = items
		reply.Unmatched = append(reply.Unmatched, unmatched...)
	}
	return reply, err
}

// maxKeptBody is the length of an answer from which on its memory is freed once it is decoded, if
// much of it is of no use: replies wait for their turn. If most of it is events, these stay where
// they are, since a copy would take as much again.
const maxKeptBody = 4 << 20

// eventBytes is the length of all events.
func eventBytes(items []pipeline.ItemReply) (bytes int) {
	for i := range items {
		for _, list := range [][]pipeline.RawEvent{items[i].Events, items[i].Filtered} {
			for n := range list {
				bytes += len(list[n].Raw)
			}
		}
	}
	return bytes
}

// detachEvents copies events, which then no longer share the memory of the answer.
func detachEvents(items []pipeline.ItemReply) {
	for i := range items {
		for _, list := range [][]pipeline.RawEvent{items[i].Events, items[i].Filtered} {
			for n := range list {
				list[n].Raw = bytes.Clone(list[n].Raw)
			}
		}
	}
}

// DecodeAnswer reads one call's raw answer, and sets the call's outcome,
// charge, problem, window, unknown fields and warnings. It depends on its arguments
// alone and may be repeated, so a recorded answer can be decoded from the journal.
//
// There is always one reply per item, in order. The error is nil when the
// answer decided the items' statuses, even if the status is NotFound; otherwise it
// is a *RefusalError and the items are InDoubt or Deferred, as the outcome demands.
//
// Events share the memory of call.Body.
func DecodeAnswer(b *pipeline.Batch, call *pipeline.Call) (items, unmatched []pipeline.ItemReply, err error) {
	call.Charge, call.UnknownFields, call.Warnings = pipeline.Charge{}, nil, nil
	call.StartDate, call.EndDate = "", ""
	if b.Query.Service() == pipeline.Deliveries {
		return decodeDelivery(call), nil, nil
	}
	if call.Status/100 == 2 && !call.Corrupt {
		if a := readAnswer(b, call); a.Err == nil && a.answersQuery() {
			call.Outcome = pipeline.Charged
			items, unmatched = a.finishCall()
			return items, unmatched, nil
		}
	}
	v := classifyCall(call)
	if v.Outcome == pipeline.Charged {
		// A document with a root, but not the one that was asked for.
		v = Verdict{Class: ClassUnknown, Outcome: pipeline.InDoubt, Status: call.Status, Charge: v.Charge,
			Message: fmt.Sprintf("the answer does not hold the expected %q", pluralName(b.Query.Object))}
	}
	call.Outcome, call.Charge = v.Outcome, v.Charge
	call.StartDate, call.EndDate = "", ""
	// For an unclear answer, the transport's own description is better.
	if call.Problem == "" || v.Outcome == pipeline.NotCharged && call.Status != 0 {
		call.Problem = v.summary()
	}
	switch {
	case v.Outcome == pipeline.InDoubt:
		items = itemsWithStatus(b, schema.InDoubt, "asked, but whether it was charged is not known: "+call.Problem, call.ID)
	case v.Class == ClassNotFound:
		return itemsWithStatus(b, schema.NotFound, call.Problem, call.ID), nil, nil
	default:
		items = itemsWithStatus(b, schema.Deferred, call.Problem, call.ID)
		if v.Class == ClassGone && b.ContinuesSession() {
			items[0].Next = &pipeline.NextPage{SessionExpired: true}
		}
	}
	return items, nil, &RefusalError{v}
}

// RefusalError reports that a call did not answer its query, and what it returned instead.
type RefusalError struct{ Verdict }

func (r *RefusalError) Error() string { return string(r.Class) + ": " + r.explanation() }

// answer is one document during decoding.
type answer struct {
	jsonscan.Cursor
	b             *pipeline.Batch
	call          *pipeline.Call
	items         []pipeline.ItemReply
	hasEntry      []bool // items that have an entry
	mergedByItem  map[int]*mergedItem
	byKey         map[string][]int // answer key -> items; more than one when an id was given twice
	byRequestedID map[string][]int // of look-ups: the id that is asked by -> items
	types         map[string]string

	pagination pagination // of paged services

	charge      chargeFields
	unknown     jsonscan.ObjectBuilder
	warnings    []string
	unmatched   []entry
	entryCount  int
	eventCount  int  // of the last entry that had events
	hasRoot     bool // the expected root is there, or is null
	nullRoot    bool // and is null
	statesError bool // it also has a statusCode or an error
}

// entry is what an answer says about one entity.
type entry struct {
	key   string // under which it stood; empty in a list
	reply pipeline.ItemReply
	// Its "id": the entity's own id, or the caller's reference if another field states
	// that.
	rawID   string
	refs    []string // the caller's references that it states
	errText string
	errCode string
	unknown jsonscan.ObjectBuilder
	aliases []string // ids that it states for its entity, apart from its own
	// Events that the last entry with events has: this one may have as many.
	expected int
}

// readAnswer reads the document of a call. Only one that is not as it should be is repaired, and read
// again.
func readAnswer(b *pipeline.Batch, call *pipeline.Call) *answer {
	if cursor, ok := jsonscan.NewPlainCursor(call.Body); ok {
		if a := newAnswer(b, call, cursor); a.readDocument() {
			return a
		}
	}
	call.StartDate, call.EndDate = "", ""
	a := newAnswer(b, call, jsonscan.NewCursor(call.Body))
	a.readDocument()
	return a
}

func newAnswer(b *pipeline.Batch, call *pipeline.Call, cursor jsonscan.Cursor) *answer {
	a := &answer{
		Cursor: cursor,
		b:      b, call: call,
		items:         itemsWithStatus(b, schema.NotFound, "not in the answer", call.ID),
		hasEntry:      make([]bool, len(b.Items)),
		byKey:         make(map[string][]int, len(b.Items)),
		byRequestedID: map[string][]int{},
		types:         make(map[string]string, len(b.Query.ResultTypes())),
	}
	for i := range b.Items {
		if b.Query.Service().IsPaged() || rejectReason(b, i) != "" {
			continue
		}
		key := answerKey(b, i)
		a.byKey[key] = append(a.byKey[key], i)
		if isLookup(b.Query) {
			if identifier, id := lookupIdentifier(b, i); identifier == schema.ByID {
				a.byRequestedID[id] = append(a.byRequestedID[id], i)
			}
		}
	}
	for _, t := range b.Query.ResultTypes() {
		a.types[t] = t
	}
	return a
}

// maxWarnings bounds the warnings of one call or entry.
const maxWarnings = 20

func appendWarning(warnings []string, format string, args ...any) []string {
	text := truncateText(fmt.Sprintf(format, args...), 300)
	if len(warnings) < maxWarnings && !slices.Contains(warnings, text) {
		warnings = append(warnings, text)
	}
	return warnings
}

// readDocument walks the document, and reports whether it is valid.
func (a *answer) readDocument() bool {
	if a.PeekByte() != '{' {
		a.SetError("no JSON object")
		return false
	}
	expected := pluralName(a.b.Query.Object)
	a.Enter('{')
	for first := true; a.HasNext(first, '}'); first = false {
		name := a.ReadName()
		if a.Err != nil {
			return false
		}
		switch string(name) {
		case expected, "results":
			a.readRoot(name)
		case "creditCharged", "creditsCharged":
			a.charge.addField(string(name), a.ReadValue())
		case "billing":
			a.charge.addBilling(a.ReadValue(), &a.unknown)
		case "startDate":
			a.call.StartDate = a.readText(name)
		case "endDate":
			a.call.EndDate = a.readText(name)
		case "statusCode", "error":
			a.statesError = true
			a.keepUnknown(name, a.ReadValue())
		case "dedupeSessionId", "meta", "pagination":
			a.readPagination(name, a.ReadValue())
		default:
			a.keepUnknown(name, a.ReadValue())
		}
	}
	a.ExpectEnd()
	if note := repairNote(a.CountRepairs(0)); note != "" {
		a.warnings = appendWarning(a.warnings, "the answer: %s, the original is in the journal", note)
	}
	return a.Err == nil
}

// maxUnknown is the length of an unknown root field up to which the calls table has it.
const maxUnknown = 1 << 20

func (a *answer) keepUnknown(name []byte, value json.RawMessage) {
	switch {
	case a.Err != nil:
	case len(value) > maxUnknown:
		a.warnings = appendWarning(a.warnings, "the unknown field %q takes %d bytes, which only the journal holds", truncateText(string(name), 80), len(value))
	default:
		a.unknown.Add(name, value)
	}
}

// readText reads a root text; any other value is kept among the unknown fields.
func (a *answer) readText(name []byte) string {
	value := a.ReadValue()
	if a.Err != nil || string(value) == "null" {
		return ""
	}
	text, ok := jsonscan.ScalarText(value)
	if !ok {
		a.unknown.Add(name, value)
	}
	return text
}

func (a *answer) readRoot(name []byte) {
	if a.hasRoot && !a.nullRoot {
		a.warnings = appendWarning(a.warnings, "%q stands more than once; all were read", name)
	}
	switch a.PeekByte() {
	case '{':
		a.hasRoot, a.nullRoot = true, false
		a.Enter('{')
		for first := true; a.HasNext(first, '}'); first = false {
			key := a.ReadName()
			if a.Err != nil {
				return
			}
			a.readEntry(string(key))
		}
	case '[':
		a.hasRoot, a.nullRoot = true, false
		a.Enter('[')
		for first := true; a.HasNext(first, ']'); first = false {
			if a.PeekByte() == 'n' {
				a.SkipValue()
				continue
			}
			a.readEntry("")
		}
	case 'n':
		a.SkipValue()
		a.nullRoot = a.nullRoot || !a.hasRoot
		a.hasRoot = true
		a.warnings = appendWarning(a.warnings, "%q is null; read as empty", name)
	default:
		a.keepUnknown(name, a.ReadValue())
	}
}

// readEntry reads one entity and gives it to the item it is about.
func (a *answer) readEntry(key string) {
	e := entry{key: key, expected: a.eventCount}
	e.reply.Entity.Object = a.b.Query.Object
	if a.b.Query.Service().IsPaged() {
		a.readPageResult()
		return
	}
	start := a.Offset()
	switch a.PeekByte() {
	case '{':
		a.readObject(&e)
	case '[': // a list where an object is expected: all of it is about the same
		a.Enter('[')
		e.reply.Warnings = appendWarning(e.reply.Warnings, "the entry is a list; all of it was read")
		for first := true; a.HasNext(first, ']'); first = false {
			if a.PeekByte() == '{' {
				a.readObject(&e)
			} else if v := a.ReadValue(); a.Err == nil {
				e.unknown.Add([]byte("value"), v)
			}
		}
	default:
		v := a.ReadValue()
		if a.Err != nil || a.readEmbeddedEntry(&e, v) {
			break
		}
		if e.errText, _ = jsonscan.ScalarText(v); e.errText == "" {
			e.errText = string(v)
		}
		e.reply.Warnings = appendWarning(e.reply.Warnings, "the entry is %s, not an object", truncateText(string(v), 80))
	}
	if a.Err != nil {
		return
	}
	a.entryCount++
	if n := len(e.reply.Events); n > 0 {
		a.eventCount = n
	}
	if note := repairNote(a.CountRepairs(start)); note != "" {
		e.reply.Warnings = appendWarning(e.reply.Warnings, "%s", note)
	}
	switch q := a.b.Query; {
	case isLookup(q):
		e.finishLookup(q)
	case isV3(q):
		e.finishSignalsV3(q)
	default:
		e.finishSignals(func(ref string) bool { return !a.b.ByID && a.byKey[ref] != nil })
	}
	if key != "" {
		if indices, ok := a.byKey[key]; ok {
			a.assign(indices, &e)
			return
		}
	}
	a.unmatched = append(a.unmatched, e)
}

// readEmbeddedEntry reads an entry that is an object in the form of a text.
func (a *answer) readEmbeddedEntry(e *entry, value json.RawMessage) bool {
	object := embedded(value)
	if object == nil || object[0] != '{' {
		return false
	}
	outer := a.Cursor
	a.Cursor = jsonscan.NewCursor(object)
	a.readObject(e)
	a.Cursor = outer
	e.reply.Warnings = appendWarning(e.reply.Warnings, "the entry is a text that holds an object; the object was read")
	return true
}

func (a *answer) readObject(e *entry) {
	if isLookup(a.b.Query) {
		a.readLookup(e)
		return
	}
	a.readFields(e)
}

// readFields reads an entity's members: identity, error, signal types, rest.
func (a *answer) readFields(e *entry) {
	a.Enter('{')
	for first := true; a.HasNext(first, '}'); first = false {
		name := a.ReadName()
		if a.Err != nil {
			return
		}
		field := identityField(a.b.Query.Object, string(name), &e.reply.Entity)
		switch {
		case field != nil:
			a.readIdentity(e, name, field)
		case string(name) == "id":
			a.readIdentity(e, name, &e.rawID)
		case string(name) == "error":
			if value := a.ReadValue(); a.Err == nil {
				e.setError(value)
			}
		case string(name) == "clientReferenceId":
			e.readReference(name, a.ReadValue())
		default:
			a.readType(e, name)
		}
	}
}

// identityField tells which field of the entity a member fills.
func identityField(o schema.Object, name string, entity *schema.Entity) *string {
	switch name {
	case "personId", "contactId":
		if o == schema.Contact {
			return &entity.ID
		}
	case "companyId":
		if o == schema.Company {
			return &entity.ID
		}
	case "companyName":
		if o == schema.Company {
			return &entity.Name
		}
	case "name", "fullName":
		return &entity.Name
	case "domain":
		return &entity.Domain
	}
	return nil
}

func (a *answer) readIdentity(e *entry, name []byte, field *string) {
	value := a.ReadValue()
	if a.Err != nil || string(value) == "null" {
		return
	}
	text, ok := jsonscan.ScalarText(value)
	if field == &e.reply.Entity.Domain {
		text = schema.BareHost(text)
	}
	switch {
	case ok && *field == "":
		*field = text
	case !ok || *field != text:
		e.unknown.Add(name, value)
	}
}

func (e *entry) readReference(name []byte, value json.RawMessage) {
	if text, ok := jsonscan.ScalarText(value); ok {
		e.refs = append(e.refs, text)
	} else if len(value) > 0 && string(value) != "null" {
		e.unknown.Add(name, value)
	}
}

// SetError takes what stands under an entry's "error".
func (e *entry) setError(value json.RawMessage) {
	switch string(value) {
	case "null", "false", `""`, "{}", "[]":
		return
	}
	switch value[0] {
	case '{':
		var text string
		e.errCode, text = readError(value)
		e.errText = strings.TrimPrefix(strings.TrimSuffix(e.errCode+": "+text, ": "), ": ")
	default:
		e.errText = joinTexts(value)
	}
	if e.errText == "" {
		e.errText = string(value)
	}
	e.errText = truncateText(e.errText, 500)
}

// readType reads a member that is a signal type, or else something unknown.
func (a *answer) readType(e *entry, name []byte) {
	key, requested := a.types[string(name)]
	if !requested {
		if s, ok := schema.LookupSignal(string(name)); ok {
			key, requested = s.Key, true
			e.reply.Warnings = appendWarning(e.reply.Warnings, "%s was not asked for; kept", key)
		}
	}
	b, start := a.PeekByte(), a.Offset()
	switch b {
	case '[':
		if requested {
			a.readEvents(eventList{e, key, name})
			return
		}
		value := a.ReadValue()
		if a.Err == nil && looksLikeEvents(value) {
			e.reply.Warnings = appendWarning(e.reply.Warnings, "%s is an unknown signal type; kept", truncateText(string(name), 80))
			note := repairNote(a.CountRepairs(start))
			for event := range jsonscan.Elements(value) {
				eventList{e, string(name), name}.add(event, note)
			}
			return
		}
		a.keepUnknownIn(e, name, value)
	default:
		value := a.ReadValue()
		if a.Err == nil && requested && string(value) == "null" {
			return
		}
		if a.Err == nil && requested && (eventList{e, key, name}).addAll(value, repairNote(a.CountRepairs(start))) {
			return
		}
		a.keepUnknownIn(e, name, value)
	}
}

func (a *answer) keepUnknownIn(e *entry, name []byte, value json.RawMessage) {
	if a.Err == nil {
		e.unknown.Add(name, value)
	}
}

// eventMarkers are members that only events have.
var eventMarkers = []string{"signalDate", "signalId", "eventType", "articlePublishedDate", "eventEffectiveDate", "activityPublicationDate"}

// looksLikeEvents reports whether a list under an unknown name holds events:
// objects, each with a member that only events have.
func looksLikeEvents(list json.RawMessage) bool {
	c := jsonscan.Cursor{Doc: list}
	n := 0
	c.Enter('[')
	for first := true; c.HasNext(first, ']'); first = false {
		if c.PeekByte() != '{' {
			return false
		}
		marked := false
		c.Enter('{')
		for first := true; c.HasNext(first, '}'); first = false {
			marked = slices.Contains(eventMarkers, string(c.ReadName())) || marked
			c.SkipValue()
		}
		if !marked {
			return false
		}
		n++
	}
	return n > 0 && c.Err == nil
}

// finishSignals derives the entry's status, and its identity from the first event when
// the entry itself states none.
func (e *entry) finishSignals(isReference func(ref string) bool) {
	r := &e.reply
	switch {
	case e.rawID != "" && isReference(e.rawID): // a search is answered under the caller's references, and no id looks like one
		e.refs = append(e.refs, e.rawID)
	case r.Entity.ID == "":
		r.Entity.ID = e.rawID
	case e.rawID != "" && e.rawID != r.Entity.ID:
		e.refs = append(e.refs, e.rawID)
		e.unknown.Add([]byte("id"), jsonscan.AppendQuoted(nil, e.rawID))
	}
	if len(r.Events) > 0 && r.Entity.ID == "" {
		identifyFromEvent(r.Events[0].Raw, &r.Entity)
	}
	switch {
	case len(r.Events) > 0:
		r.Status = schema.Enriched
		if e.errText != "" {
			r.Warnings = appendWarning(r.Warnings, "the entry also states an error: %s", e.errText)
		}
	case e.errCode == "COMPLIANCE_RESTRICTED" || strings.Contains(e.errText, "COMPLIANCE_RESTRICTED"):
		r.Status, r.Reason = schema.Restricted, e.errText
	case e.errText != "":
		r.Status, r.Reason = schema.NotFound, e.errText
	default:
		r.Status = schema.NoSignal
	}
	r.UnknownFields = e.unknown.Build()
}

func identifyFromEvent(event json.RawMessage, entity *schema.Entity) {
	stated, rawID := schema.Entity{}, ""
	c := jsonscan.Cursor{Doc: event}
	c.Enter('{')
	for first := true; c.HasNext(first, '}'); first = false {
		name := string(c.ReadName())
		field := identityField(entity.Object, name, &stated)
		if name == "id" {
			field = &rawID
		}
		value := c.ReadValue()
		if field == nil || c.Err != nil || *field != "" {
			continue
		}
		*field, _ = jsonscan.ScalarText(value)
	}
	entity.ID = cmp.Or(stated.ID, rawID)
	if entity.Object == schema.Company && entity.Name == "" {
		entity.Name = stated.Name
	}
	if entity.Object == schema.Company && entity.Domain == "" {
		entity.Domain = schema.BareHost(stated.Domain)
	}
}

// assign hands an entry to the items it is about. A second entry for an item is
// added to the first: both were paid for.
func (a *answer) assign(indices []int, e *entry) {
	for _, i := range indices {
		r := e.reply
		r.CallID = a.call.ID
		r.Warnings = slices.Clip(r.Warnings)
		if requested := a.requestedID(i); requested != "" && r.Entity.ID == "" && answersByID(a.b) {
			r.Entity.ID = requested
		} else if requested != "" && r.Entity.ID != "" && r.Entity.ID != requested && isIdentified(r.Status) {
			r.Warnings = appendWarning(r.Warnings, "the entry states the id %q", truncateText(r.Entity.ID, 80))
			r.Aliases = appendAlias(slices.Clip(r.Aliases), r.Entity.ID, requested)
		}
		if !a.hasEntry[i] {
			a.hasEntry[i] = true
			a.items[i] = r
			continue
		}
		if a.mergedByItem == nil {
			a.mergedByItem = map[int]*mergedItem{}
		}
		if a.mergedByItem[i] == nil {
			a.mergedByItem[i] = newMergedItem(&a.items[i])
		}
		a.mergedByItem[i].add(&r)
	}
}

// requestedID is the id by which an item was asked about; empty when it was not.
func (a *answer) requestedID(i int) string {
	if answersByID(a.b) {
		return answerKey(a.b, i)
	}
	if isLookup(a.b.Query) {
		if identifier, id := lookupIdentifier(a.b, i); identifier == schema.ByID {
			return id
		}
	}
	return ""
}

// isIdentified reports whether an entry names an entity.
func isIdentified(s schema.Status) bool {
	return s == schema.Enriched || s == schema.Resolved || s == schema.NoSignal
}

// appendAlias adds another id of an entity, once.
func appendAlias(aliases []string, own, other string) []string {
	if other == "" || other == own || slices.Contains(aliases, other) {
		return aliases
	}
	return append(aliases, other)
}

// mergedItem is an item with more than one entry in the answer. It owns what it collects, so that
// any number of entries costs no more than what is in them.
type mergedItem struct {
	*pipeline.ItemReply
	aliases map[string]bool
	unknown jsonscan.ObjectBuilder
}

// newMergedItem starts with the first entry of an item.
func newMergedItem(item *pipeline.ItemReply) *mergedItem {
	m := &mergedItem{ItemReply: item, aliases: map[string]bool{}}
	item.Events, item.Filtered, item.Aliases = slices.Clone(item.Events), slices.Clone(item.Filtered), slices.Clone(item.Aliases)
	for _, id := range item.Aliases {
		m.aliases[id] = true
	}
	m.addUnknown(item.UnknownFields)
	item.Warnings = appendWarning(item.Warnings, "the answer holds more than one entry for this; both were kept")
	return m
}

// statusPrecedence is the order in which the statuses of several entries decide that of their item.
var statusPrecedence = []schema.Status{schema.Enriched, schema.Resolved, schema.Restricted, schema.NoSignal, schema.Deferred, schema.NotFound}

// add adds a further entry.
func (m *mergedItem) add(r *pipeline.ItemReply) {
	if slices.Index(statusPrecedence, r.Status) < slices.Index(statusPrecedence, m.Status) {
		m.Status, m.Reason = r.Status, r.Reason
	}
	if m.Entity.ID == "" {
		m.Entity = r.Entity
	}
	m.Events = append(m.Events, r.Events...)
	m.Filtered = append(m.Filtered, r.Filtered...)
	for _, id := range append([]string{r.Entity.ID}, r.Aliases...) {
		if id != "" && id != m.Entity.ID && !m.aliases[id] {
			m.aliases[id] = true
			m.Aliases = append(m.Aliases, id)
		}
	}
	m.addUnknown(r.UnknownFields)
	for _, n := range r.Warnings {
		m.Warnings = appendWarning(m.Warnings, "%s", n)
	}
}

func (m *mergedItem) addUnknown(object json.RawMessage) {
	for name, value := range jsonscan.Members(object) {
		m.unknown.Add([]byte(name), value)
	}
}

// answersQuery reports whether the document is an answer to what was asked, rather
// than an error under a success status.
func (a *answer) answersQuery() bool {
	switch {
	case !a.hasRoot:
		return false
	case a.entryCount > 0:
		if a.statesError {
			a.warnings = appendWarning(a.warnings, "the answer also states an error; its entries were read")
		}
		return true
	case !a.statesError:
		return true
	}
	e := readEnvelope(a.call.Body)
	return e.code < 400 && (!a.nullRoot || !e.statesError)
}

// finishCall matches the unmatched entries to items, and closes the call.
func (a *answer) finishCall() (items, unmatched []pipeline.ItemReply) {
	if a.b.Query.Service().IsPaged() {
		a.finishPage()
	}
	unassigned := make([]bool, len(a.unmatched))
	for i := range a.unmatched {
		unassigned[i] = !a.assignMatched(&a.unmatched[i], a.matchByRef(&a.unmatched[i]))
	}
	// What only resembles an item comes after what names one.
	for i := range a.unmatched {
		e := &a.unmatched[i]
		if !unassigned[i] || a.assignMatched(e, a.matchByID(e)) {
			continue
		}
		r := e.reply
		r.CallID = a.call.ID
		r.Reason = fmt.Sprintf("never asked: the answer holds it under %q", truncateText(e.key, 80))
		if e.key == "" {
			r.Reason = "never asked: the answer's list holds it"
		}
		unmatched = append(unmatched, r)
	}
	if len(unmatched) > 0 {
		a.warnings = appendWarning(a.warnings, "entries that nobody asked for: %d", len(unmatched))
		for i := range a.items {
			if a.items[i].Status == schema.NotFound && !a.hasEntry[i] {
				a.items[i].Reason = "not in the answer, which holds entries that nobody asked for"
			}
		}
	}
	for _, m := range a.mergedByItem {
		m.UnknownFields = m.unknown.Build()
	}
	call := a.call
	call.Charge = a.charge.result()
	if call.Charge.Known && call.Ceiling > 0 && call.Charge.Credits > call.Ceiling {
		a.warnings = appendWarning(a.warnings, "charged %d credits, above the ceiling of %d", call.Charge.Credits, call.Ceiling)
	}
	call.UnknownFields, call.Warnings = a.unknown.Build(), a.warnings
	return a.items, unmatched
}

// assignMatched gives an entry to items, if there are any.
func (a *answer) assignMatched(e *entry, indices []int) bool {
	if indices == nil {
		return false
	}
	a.assign(indices, e)
	if e.key != "" {
		for _, i := range indices {
			a.items[i].Warnings = appendWarning(a.items[i].Warnings, "the answer's key %q was not asked for; matched by id", truncateText(e.key, 80))
		}
	}
	return true
}

// matchByRef finds the items that an entry without a known key is about: those with a
// reference or id that it states. An entry under a foreign key only goes to an item
// that has no entry of its own.
func (a *answer) matchByRef(e *entry) []int {
	ids := e.refs
	if answersByID(a.b) {
		ids = append([]string{e.reply.Entity.ID}, ids...)
	}
	// An entity's own id is never taken for a reference: both may be digits.
	for _, id := range ids {
		indices, ok := a.byKey[id]
		if ok && (e.key == "" || answersByID(a.b) && !a.hasEntry[indices[0]]) {
			return indices
		}
	}
	return nil
}

// matchByID finds the items without an answer that an entry is about, going by
// other ids that it states, or else by what it says of the entity.
func (a *answer) matchByID(e *entry) []int {
	requested := a.byRequestedID
	if answersByID(a.b) {
		requested = a.byKey
	}
	for _, id := range append([]string{e.reply.Entity.ID}, e.aliases...) {
		if indices, ok := requested[id]; ok && id != "" && !a.hasEntry[indices[0]] {
			return indices
		}
	}
	if e.key == "" && !answersByID(a.b) {
		return a.matchByTraits(e)
	}
	return nil
}

// matchByTraits finds the one item without an answer that asks by the domain, or
// else by the name, that an entry without a reference states.
func (a *answer) matchByTraits(e *entry) []int {
	for _, trait := range []struct {
		stated string
		of     func(*schema.Account) string
	}{
		{e.reply.Entity.Domain, func(x *schema.Account) string { return schema.BareHost(x.Domain) }},
		{e.reply.Entity.Name, func(x *schema.Account) string { return x.Name }},
	} {
		if trait.stated == "" {
			continue
		}
		var matches []int
		for i := range a.b.Items {
			if !a.hasEntry[i] && strings.EqualFold(trait.of(&a.b.Items[i].Account), trait.stated) {
				matches = append(matches, i)
			}
		}
		if len(matches) == 1 {
			return matches
		}
	}
	return nil
}
