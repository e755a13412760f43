package signals

import (
	"encoding/json"
	"strings"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// looksUp reports whether a question is answered with one result per entity,
// which is kept whole.
func looksUp(q *pipeline.Query) bool {
	return q.Service == pipeline.Search || q.Service == pipeline.Scores
}

// finishV3 derives the fate of an entry about one entity's events. Its own id
// is the one under "id"; every other that it or its events state is another
// name of the same entity.
func (e *entry) finishV3(q *pipeline.Query) {
	if e.bare != "" {
		e.also = alias(e.also, e.bare, e.reply.Entity.ID)
		e.reply.Entity.ID, e.bare = e.bare, ""
	}
	e.finish(func(string) bool { return false })
	for _, event := range e.reply.Events {
		if e.also = stated(e.also, e.reply.Entity.ID, q.Object, event.Raw); len(e.also) >= alsoMax {
			e.reply.Notes = note(e.reply.Notes, "the events state %d other ids or more; the first are listed", alsoMax)
			break
		}
	}
	e.others()
	beside(q, &e.reply)
}

// alsoMax bounds the other ids of one entity. Two or three are expected.
const alsoMax = 20

// stated adds the ids that an event states for the entity it is about, apart
// from the entity's own. A company's event may have an "id" that is the event's.
func stated(ids []string, own string, o schema.Object, event json.RawMessage) []string {
	c := cursor{doc: event}
	c.open('{')
	for first := true; c.more(first, '}'); first = false {
		var its bool
		switch string(c.name()) {
		case "companyId":
			its = o == schema.Company
		case "personId", "contactId", "id":
			its = o == schema.Contact
		}
		if !its {
			c.skip()
			continue
		}
		if id, _ := textOf(c.value()); c.err == nil && len(ids) < alsoMax {
			ids = alias(ids, own, id)
		}
	}
	return ids
}

// others lists the entity's other ids.
func (e *entry) others() {
	if !known(e.reply.Status) || e.reply.Entity.ID == "" {
		return
	}
	for _, id := range e.also {
		e.reply.Also = alias(e.reply.Also, e.reply.Entity.ID, id)
	}
}

// readPreview reads one result of a look-up. One that counts is kept whole, as
// an event; of the others, what is not understood is kept.
func (a *answer) readPreview(e *entry) {
	raw := a.value()
	if a.err != nil {
		return
	}
	var rest members
	var own, given, family string
	scored := false
	c := cursor{doc: raw}
	c.open('{')
	for first := true; c.more(first, '}'); first = false {
		name := string(c.name())
		value := c.value()
		text, _ := textOf(value)
		switch name {
		case "clientReferenceId":
			e.readReference([]byte(name), value)
			continue
		case "error":
			e.fail(value)
			continue
		case "id":
			own = text
		case "firstName":
			given = text
		case "lastName":
			family = text
		case "signalScore", "noActiveSignals":
			scored = scored || string(value) != "null"
		default:
			switch field := identity(a.b.Query.Object, name, &e.reply.Entity); {
			case field == &e.reply.Entity.Domain:
				*field = schema.Host(text)
			case field == &e.reply.Entity.ID:
				e.also = alias(e.also, "", text)
			case field != nil && *field == "":
				*field = text
			}
		}
		rest.add([]byte(name), value)
	}
	to := &e.reply.Entity
	if to.ID == "" {
		to.ID = own
	}
	if to.ID == "" && len(e.also) > 0 {
		to.ID = e.also[0]
	}
	if to.Name == "" && a.b.Query.Object == schema.Contact {
		to.Name = strings.TrimSpace(given + " " + family)
	}
	product := schema.ProductMatch
	counts := to.ID != "" && e.err == ""
	if a.b.Query.Service == pipeline.Scores {
		product, counts = schema.ProductScore, scored
	}
	if counts {
		e.reply.Events = append(e.reply.Events, pipeline.RawEvent{Type: product, Raw: raw})
		return
	}
	e.extra = rest
}

// finishLookUp derives the fate of a result. An error that is neither of the
// documented ones may pass: its item is asked again.
func (e *entry) finishLookUp(q *pipeline.Query) {
	r := &e.reply
	says := func(code string) bool { return e.code == code || strings.Contains(e.err, code) }
	switch {
	case len(r.Events) > 0 && q.Service == pipeline.Search:
		r.Status = schema.Resolved
	case len(r.Events) > 0:
		r.Status = schema.Enriched
	case says("COMPLIANCE_RESTRICTED"):
		r.Status, r.Reason = schema.Restricted, e.err
	case says("NOT_FOUND"):
		r.Status, r.Reason = schema.NotFound, e.err
	case says("NO_SCORE") && q.Service == pipeline.Scores:
		r.Status, r.Reason = schema.NoSignal, e.err
	case e.err != "":
		r.Status, r.Reason = schema.Deferred, e.err+"; it is asked again"
	case q.Service == pipeline.Scores:
		r.Status, r.Reason = schema.NoSignal, "the result states no score"
		r.Notes = note(r.Notes, "the result states no score")
	default:
		r.Status, r.Reason = schema.NotFound, "the result states no id"
		r.Notes = note(r.Notes, "the result states no id; read as not found")
	}
	if len(r.Events) > 0 && e.err != "" {
		r.Notes = note(r.Notes, "the entry also states an error: %s", e.err)
	}
	e.others()
	r.Extra = e.extra.object()
}

// resumes reports whether a batch goes on with a session.
func resumes(b *pipeline.Batch) bool {
	return b.Query.Service.Paged() && len(b.Items) == 1 && b.Items[0].Page != nil && b.Items[0].Page.Session != ""
}

// paging is a page while it is read: its results, and what the answer says of
// the others. Numbers that are not stated are -1.
type paging struct {
	results []pipeline.RawEvent

	session                                      string
	more                                         string // "true", "false" or empty: not stated
	read                                         bool
	total, totalPages, page, size, limit, offset int64
}

// products are the results of the paged services.
var products = map[pipeline.Service]string{
	pipeline.Lookalikes: schema.ProductLookalike, pipeline.Visits: schema.ProductVisit,
}

// readResult reads one result of a page.
func (a *answer) readResult() {
	object := a.peek() == '{'
	value := a.value()
	switch {
	case a.err != nil:
	case object:
		a.entries++
		a.paging.results = append(a.paging.results, pipeline.RawEvent{Type: products[a.b.Query.Service], Raw: value})
	default:
		a.keep([]byte("result"), value)
		a.notes = note(a.notes, "a result is %s, not an object; kept as an extra field", shorten(string(value), 80))
	}
}

// readPaging reads a root field that says something of other pages. Of services
// without pages it is an unknown one.
func (a *answer) readPaging(name []byte, value json.RawMessage) {
	p := &a.paging
	if a.err != nil {
		return
	}
	if !a.b.Query.Service.Paged() {
		a.extra.add(name, value)
		return
	}
	if string(name) == "dedupeSessionId" {
		var ok bool
		if p.session, ok = textOf(value); !ok && string(value) != "null" {
			a.extra.add(name, value)
		}
		return
	}
	if !p.read {
		p.read = true
		p.total, p.totalPages, p.page, p.size, p.limit, p.offset = -1, -1, -1, -1, -1, -1
	}
	var rest members
	err := fields(value, func(name string, value json.RawMessage) {
		switch name {
		case "hasMore":
			p.more, _ = textOf(value)
		case "total":
			p.total = number(value)
		case "totalPages":
			p.totalPages = number(value)
		case "page":
			p.page = number(value)
		case "size":
			p.size = number(value)
		case "limit":
			p.limit = number(value)
		case "offset":
			p.offset = number(value)
		case "returned": // they are counted
		default:
			rest.add([]byte(name), value)
		}
	})
	switch {
	case err != nil && string(value) != "null":
		a.extra.add(name, value)
	case rest.out != nil:
		a.extra.add(name, rest.object())
	}
}

// settlePage gives the one item of a paged service its results.
func (a *answer) settlePage() {
	if len(a.items) != 1 || a.b.Items[0].Page == nil {
		return // such a batch is never sent
	}
	p, asked, item := &a.paging, a.b.Items[0].Page, &a.items[0]
	*item = pipeline.ItemReply{Status: schema.NoSignal, CallID: a.call.ID, Events: p.results}
	if len(p.results) > 0 {
		item.Status = schema.Enriched
	}
	item.Next = &pipeline.Next{Session: p.session, More: p.follows(asked)}
	switch {
	case item.Next.More && len(p.results) == 0:
		// Nothing says that the next page would not be as empty.
		item.Next.More = false
		item.Notes = note(item.Notes, "the page is empty, and yet more are announced; read as the last one")
	case len(p.results) > asked.Limit:
		item.Notes = note(item.Notes, "%d results, and %d were asked for; all are kept", len(p.results), asked.Limit)
	}
	if asked.Session != "" && p.session != "" && p.session != asked.Session {
		item.Notes = note(item.Notes, "the session was not continued: the answer begins another one, so what the one before returned may come again")
	}
	if p.read && p.page >= 0 && p.page != asked.Number {
		item.Notes = note(item.Notes, "the answer calls page %d what was asked for as page %d", p.page, asked.Number)
	}
}

// follows reports whether there is more after the page that was asked for: as
// the answer says it, in any of the ways that are known, or else if the page is
// full.
func (p *paging) follows(asked *pipeline.Page) bool {
	full := len(p.results) >= asked.Limit
	switch {
	case p.more == "true" || p.more == "false":
		return p.more == "true"
	case !p.read:
		return full
	case p.totalPages >= 0:
		return asked.Number < p.totalPages
	case p.total >= 0 && p.offset >= 0 && p.limit > 0:
		return p.offset+p.limit < p.total
	case p.total >= 0 && p.size > 0:
		return asked.Number*p.size < p.total
	case p.total >= 0:
		return asked.Offset+int64(len(p.results)) < p.total
	}
	return full
}
