package lusha

import (
	"encoding/json"
	"strings"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// isLookup reports whether a query is answered with one result per entity,
// which is kept whole.
func isLookup(q *pipeline.Query) bool {
	return q.Service() == pipeline.Search || q.Service() == pipeline.Scores
}

// finishSignalsV3 derives the status of an entry about one entity's events. Its own id
// is the one under "id"; every other that it or its events state is another
// name of the same entity.
func (e *entry) finishSignalsV3(q *pipeline.Query) {
	if e.rawID != "" {
		e.aliases = appendAlias(e.aliases, e.rawID, e.reply.Entity.ID)
		e.reply.Entity.ID, e.rawID = e.rawID, ""
	}
	e.finishSignals(func(string) bool { return false })
	for _, event := range e.reply.Events {
		if e.aliases = appendEventAliases(e.aliases, e.reply.Entity.ID, q.Object, event.Raw); len(e.aliases) >= maxAliases {
			e.reply.Warnings = appendWarning(e.reply.Warnings, "the events state %d other ids or more; the first are listed", maxAliases)
			break
		}
	}
	e.setAliases()
	filterEvents(q, &e.reply)
}

// maxAliases bounds the other ids of one entity. Two or three are expected.
const maxAliases = 20

// appendEventAliases adds the ids that an event states for the entity it is about, apart
// from the entity's own. A company's event may have an "id" that is the event's.
func appendEventAliases(ids []string, ownID string, o schema.Object, event json.RawMessage) []string {
	c := jsonscan.Cursor{Doc: event}
	c.Enter('{')
	for first := true; c.HasNext(first, '}'); first = false {
		var isEntityID bool
		switch string(c.ReadName()) {
		case "companyId":
			isEntityID = o == schema.Company
		case "personId", "contactId", "id":
			isEntityID = o == schema.Contact
		}
		if !isEntityID {
			c.SkipValue()
			continue
		}
		if id, _ := jsonscan.ScalarText(c.ReadValue()); c.Err == nil && len(ids) < maxAliases {
			ids = appendAlias(ids, ownID, id)
		}
	}
	return ids
}

// setAliases lists the entity's other ids.
func (e *entry) setAliases() {
	if !isIdentified(e.reply.Status) || e.reply.Entity.ID == "" {
		return
	}
	for _, id := range e.aliases {
		e.reply.Aliases = appendAlias(e.reply.Aliases, e.reply.Entity.ID, id)
	}
}

// readLookup reads one result of a look-up. One that counts is kept whole, as
// an event; of the others, what is not understood is kept.
func (a *answer) readLookup(e *entry) {
	start := a.Offset()
	raw := a.ReadValue()
	if a.Err != nil {
		return
	}
	l := lookup{entry: e, object: a.b.Query.Object}
	c := jsonscan.Cursor{Doc: raw}
	c.Enter('{')
	for first := true; c.HasNext(first, '}'); first = false {
		name := string(c.ReadName())
		l.readField(name, c.ReadValue())
	}
	l.completeEntity()
	product := schema.ProductMatch
	counts := e.reply.Entity.ID != "" && e.errText == ""
	if a.b.Query.Service() == pipeline.Scores {
		product, counts = schema.ProductScore, l.scored
	}
	if counts {
		e.reply.Events = append(e.reply.Events, pipeline.RawEvent{Type: product, Raw: raw, Note: repairNote(a.CountRepairs(start))})
		return
	}
	e.unknown = l.fields
}

// lookup is the result of a look-up while it is read.
type lookup struct {
	*entry
	object schema.Object

	ownID, firstName, lastName string                 // stated by the result
	scored                     bool                   // a score is stated, or that there is none
	fields                     jsonscan.ObjectBuilder // all but its reference and its error
}

func (l *lookup) readField(name string, value json.RawMessage) {
	text, _ := jsonscan.ScalarText(value)
	switch name {
	case "clientReferenceId":
		l.readReference([]byte(name), value)
		return
	case "error":
		l.setError(value)
		return
	case "id":
		l.ownID = text
	case "firstName":
		l.firstName = text
	case "lastName":
		l.lastName = text
	case "signalScore", "noActiveSignals":
		l.scored = l.scored || string(value) != "null"
	default:
		switch field := identityField(l.object, name, &l.reply.Entity); {
		case field == &l.reply.Entity.Domain:
			*field = schema.BareHost(text)
		case field == &l.reply.Entity.ID:
			if len(l.aliases) < maxAliases {
				l.aliases = appendAlias(l.aliases, "", text)
			}
		case field != nil && *field == "":
			*field = text
		}
	}
	l.fields.Add([]byte(name), value)
}

// completeEntity fills in what the identity fields leave open.
func (l *lookup) completeEntity() {
	entity := &l.reply.Entity
	if entity.ID == "" {
		entity.ID = l.ownID
	}
	if entity.ID == "" && len(l.aliases) > 0 {
		entity.ID = l.aliases[0]
	}
	if entity.Name == "" && l.object == schema.Contact {
		entity.Name = strings.TrimSpace(l.firstName + " " + l.lastName)
	}
}

// finishLookup derives the status of a result. An error that is neither of the
// documented ones may be temporary: its item is deferred to a later call.
func (e *entry) finishLookup(q *pipeline.Query) {
	r := &e.reply
	hasCode := func(code string) bool { return e.errCode == code || strings.Contains(e.errText, code) }
	switch {
	case len(r.Events) > 0 && q.Service() == pipeline.Search:
		r.Status = schema.Resolved
	case len(r.Events) > 0:
		r.Status = schema.Enriched
	case hasCode("COMPLIANCE_RESTRICTED"):
		r.Status, r.Reason = schema.Restricted, e.errText
	case hasCode("NOT_FOUND"):
		r.Status, r.Reason = schema.NotFound, e.errText
	case hasCode("NO_SCORE") && q.Service() == pipeline.Scores:
		r.Status, r.Reason = schema.NoSignal, e.errText
	case e.errText != "":
		r.Status, r.Reason = schema.Deferred, e.errText+"; it is asked again"
	case q.Service() == pipeline.Scores:
		r.Status, r.Reason = schema.NoSignal, "the result states no score"
		r.Warnings = appendWarning(r.Warnings, "the result states no score")
	default:
		r.Status, r.Reason = schema.NotFound, "the result states no id"
		r.Warnings = appendWarning(r.Warnings, "the result states no id; read as not found")
	}
	if len(r.Events) > 0 && e.errText != "" {
		r.Warnings = appendWarning(r.Warnings, "the entry also states an error: %s", e.errText)
	}
	e.setAliases()
	r.UnknownFields = e.unknown.Build()
}

// pagination is a page while it is read: its results, and what the answer says of
// the others. Numbers that are not stated are -1.
type pagination struct {
	results []pipeline.RawEvent

	session                                      string
	hasMore                                      string // "true", "false" or empty: not stated
	stated                                       bool
	total, totalPages, page, size, limit, offset int64
}

// pagedProducts are the results of the paged services.
var pagedProducts = map[pipeline.Service]string{
	pipeline.Lookalikes: schema.ProductLookalike, pipeline.Visits: schema.ProductVisit,
}

// readPageResult reads one result of a page.
func (a *answer) readPageResult() {
	object, start := a.PeekByte() == '{', a.Offset()
	value := a.ReadValue()
	if inner := embedded(value); inner != nil && inner[0] == '{' && a.Err == nil {
		object, value = true, inner
		a.warnings = appendWarning(a.warnings, "a result is a text that holds an object; the object was read")
	}
	switch {
	case a.Err != nil:
	case object:
		a.entryCount++
		a.pagination.results = append(a.pagination.results, pipeline.RawEvent{
			Type: pagedProducts[a.b.Query.Service()], Raw: value, Note: repairNote(a.CountRepairs(start)),
		})
	default:
		a.keepUnknown([]byte("result"), value)
		a.warnings = appendWarning(a.warnings, "a result is %s, not an object; kept as an extra field", truncateText(string(value), 80))
	}
}

// readPagination reads a root field that says something of other pages. Of services
// without pages it is an unknown one.
func (a *answer) readPagination(name []byte, value json.RawMessage) {
	p := &a.pagination
	if a.Err != nil {
		return
	}
	if !a.b.Query.Service().IsPaged() {
		a.unknown.Add(name, value)
		return
	}
	if string(name) == "dedupeSessionId" {
		var ok bool
		if p.session, ok = jsonscan.ScalarText(value); !ok && string(value) != "null" {
			a.unknown.Add(name, value)
		}
		return
	}
	if !p.stated {
		p.stated = true
		p.total, p.totalPages, p.page, p.size, p.limit, p.offset = -1, -1, -1, -1, -1, -1
	}
	var unknown jsonscan.ObjectBuilder
	err := jsonscan.WalkObject(value, func(name string, value json.RawMessage) {
		switch name {
		case "hasMore":
			p.hasMore, _ = jsonscan.ScalarText(value)
		case "total":
			p.total = parseCount(value)
		case "totalPages":
			p.totalPages = parseCount(value)
		case "page":
			p.page = parseCount(value)
		case "size":
			p.size = parseCount(value)
		case "limit":
			p.limit = parseCount(value)
		case "offset":
			p.offset = parseCount(value)
		case "returned": // they are counted
		default:
			unknown.Add([]byte(name), value)
		}
	})
	switch {
	case err != nil && string(value) != "null":
		a.unknown.Add(name, value)
	case !unknown.IsEmpty():
		a.unknown.Add(name, unknown.Build())
	}
}

// finishPage gives the one item of a paged service its results.
func (a *answer) finishPage() {
	if len(a.items) != 1 || a.b.Items[0].Page == nil {
		return // such a batch is never sent
	}
	p, requested, item := &a.pagination, a.b.Items[0].Page, &a.items[0]
	*item = pipeline.ItemReply{Status: schema.NoSignal, CallID: a.call.ID, Events: p.results}
	if len(p.results) > 0 {
		item.Status = schema.Enriched
	}
	item.Next = &pipeline.NextPage{Session: p.session, HasMore: p.announcesMore(requested)}
	switch {
	case item.Next.HasMore && len(p.results) == 0:
		// Nothing says that the next page would not be as empty.
		item.Next.HasMore = false
		item.Warnings = appendWarning(item.Warnings, "the page is empty, and yet more are announced; read as the last one")
	case len(p.results) > requested.Limit:
		item.Warnings = appendWarning(item.Warnings, "%d results, and %d were asked for; all are kept", len(p.results), requested.Limit)
	}
	if requested.Session != "" && p.session != "" && p.session != requested.Session {
		item.Warnings = appendWarning(item.Warnings, "the session was not continued: the answer begins another one, so what the one before returned may come again")
	}
	if p.stated && p.page >= 0 && p.page != requested.Number {
		item.Warnings = appendWarning(item.Warnings, "the answer calls page %d what was asked for as page %d", p.page, requested.Number)
	}
}

// announcesMore reports whether there is more after the page that was asked for: as
// the answer says it, in any of the ways that are known, or else if the page is
// full.
func (p *pagination) announcesMore(requested *pipeline.Page) bool {
	full := len(p.results) >= requested.Limit
	switch {
	case p.hasMore == "true" || p.hasMore == "false":
		return p.hasMore == "true"
	case !p.stated:
		return full
	case p.totalPages >= 0:
		return requested.Number < p.totalPages
	case p.total >= 0 && p.offset >= 0 && p.limit > 0:
		return p.offset+p.limit < p.total
	case p.total >= 0 && p.size > 0:
		return requested.Number*p.size < p.total
	case p.total >= 0:
		return requested.Offset+int64(len(p.results)) < p.total
	}
	return full
}
