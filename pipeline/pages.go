package pipeline

import (
	"context"
	"fmt"

	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/schema"
)

// PagedQuery is one thing that is asked about page by page: a set of seeds, a site.
// Pages are asked one after the other, because what a page is asked with may
// stand in the answer before it.
type PagedQuery struct {
	Query            *Query
	Subject          schema.Account   // what every page is about; its ID names it in the journal, its Key in the tables
	Lines            []schema.Account // of the list behind it; those that are no Reject share one fate
	MaxTotal         int64            // results in all, those of earlier runs included; 0: all there are
	Cursor           Cursor           // how far earlier runs, and this one's ended processes, have come
	PriorResults     []RawEvent       // what came before From
	ReportedRepeats  int64            // results that came a second time in earlier runs: it was said then
	RemainingCredits func() int64     // credits that are left for another page; nil: no cap

	// ExcludeQuery gives a question by which nothing is bought again that was given,
	// whatever the API remembers of its session. Its result is nil, and Without
	// may be, when that cannot be had.
	ExcludeQuery func(given []RawEvent) *Query
}

// Cursor is how far the pages about one thing have come.
type Cursor struct {
	Session           string       // of the last answer
	Results           int64        // that were returned
	Page              int64        // number of the last page
	Offset            int64        // of Visits: how many results lie before the next page, those included that a page left out
	Exhausted         bool         // there are no more
	Calls             int64        // that were answered
	Repeated          int64        // results that came a second time, and were charged for
	ExclusionsIgnored bool         // some of them although they had been excluded
	InDoubt           *InDoubtCall // a page that may have been charged and whose answer is lost

	Excluded []schema.Account // by the last question: what the session need not know of

	seenIDs map[string]bool // ids that were returned, of Lookalikes
}

// Advance moves the cursor on by one answered page.
func (c *Cursor) Advance(b *Batch, reply *Reply) {
	if len(reply.Items) != 1 || b.Items[0].Page == nil {
		return
	}
	a := reply.Items[0]
	switch a.Status {
	case schema.Enriched, schema.NoSignal:
	default:
		return
	}
	c.Calls++
	c.Page = b.Items[0].Page.Number
	c.Results += int64(len(a.Events))
	c.Exhausted = len(a.Events) == 0
	c.Excluded = b.Query.Exclude
	if a.Next != nil {
		if a.Next.Session != "" {
			c.Session = a.Next.Session
		}
		c.Exhausted = c.Exhausted || !a.Next.HasMore
	}
	if b.Query.Service == Visits {
		// A page is a stretch of the API's list: what is left out of it moves up
		// none of those behind.
		c.Offset = b.Items[0].Page.Offset + int64(len(a.Events))
		if !c.Exhausted {
			c.Offset = max(c.Offset, b.Items[0].Page.Offset+int64(b.Items[0].Page.Limit))
		}
	}
	if b.Query.Service == Lookalikes {
		before := c.Repeated
		c.countRepeats(a.Events)
		c.ExclusionsIgnored = c.ExclusionsIgnored || c.Repeated > before && b.Items[0].Page.ExcludesPrior
	}
}

// countRepeats counts results that were returned before: sessions are to keep them from
// coming twice, and may fail to.
func (c *Cursor) countRepeats(events []RawEvent) {
	if c.seenIDs == nil {
		c.seenIDs = map[string]bool{}
	}
	var ids []string
	for _, e := range events {
		if id := resultID(e.Raw); id != "" {
			ids = append(ids, id)
			if c.seenIDs[id] {
				c.Repeated++
			}
		}
	}
	for _, id := range ids { // one that stands twice on a page says nothing of the session
		c.seenIDs[id] = true
	}
}

// PageTotals is what a manifest says of a paged run.
type PageTotals struct {
	Subject      string `json:"about"`             // seed set or site
	PriorResults int64  `json:"before"`            // results that earlier runs had
	Pages        int64  `json:"pages"`             // answered in this run
	Results      int64  `json:"results"`           // in this run
	Session      string `json:"session,omitempty"` // the last one
	Exhausted    bool   `json:"exhausted"`         // there are no more
	Repeated     int64  `json:"again,omitempty"`   // results that came a second time, and were charged for, earlier runs' included
}

// ensurePages is what is there, or nothing so far.
func ensurePages(t *PageTotals) *PageTotals {
	if t == nil {
		return &PageTotals{}
	}
	return t
}

// addPage adds an answered page to what the manifest says.
func (m *Manifest) addPage(b *Batch, reply *Reply) {
	if !b.Query.Service.IsPaged() || len(b.Items) != 1 {
		return
	}
	m.Pages = ensurePages(m.Pages)
	c := Cursor{Session: m.Pages.Session, Results: m.Pages.Results, Exhausted: m.Pages.Exhausted}
	c.Advance(b, reply)
	m.Pages.Subject, m.Pages.Pages = b.Items[0].Account.Key, m.Pages.Pages+c.Calls
	m.Pages.Session, m.Pages.Results, m.Pages.Exhausted = c.Session, c.Results, c.Exhausted
}

// RunPages asks for page after page until there are enough or no more, and
// publishes what came of it, as Run does. Each answer is durable, and with it the
// way to the next one, before that is asked for; a page whose answer is lost ends
// the run, because what follows it cannot be told from it.
func (r *Runner) RunPages(ctx context.Context, p PagedQuery) (*Manifest, error) {
	now := r.clock()
	started := now()
	m := r.newManifest(started)
	writeCtx := context.WithoutCancel(ctx) // what was paid is published
	rec := newRecorder(r.Sink, orString(r.PartitionBy, "event_month"), m)
	if _, err := rec.recoverRows(writeCtx, r.Recorded); err != nil {
		return nil, err
	}
	cursor, lastBatch := p.Cursor, r.LastBatch
	if cursor.seenIDs == nil && p.Query.Service == Lookalikes { // else the given ones are known
		cursor.countRepeats(p.PriorResults)
		cursor.Repeated = p.Cursor.Repeated
	}
	query := pageQuery{Query: p.Query, paged: &p, received: p.PriorResults}
	if cursor.Results > 0 && !query.excludeReceived() && len(cursor.Excluded) > len(p.Query.Exclude) { // the session may have ended since
		resumed := *p.Query
		resumed.Exclude = cursor.Excluded
		query.Query = &resumed
	}
	m.Pages = ensurePages(m.Pages)
	m.Pages.Subject, m.Pages.PriorResults = p.Subject.Key, cursor.Results-m.Pages.Results
	m.Pages.Session, m.Pages.Exhausted = cursor.Session, cursor.Exhausted
	line, stop := Line{InDoubt: cursor.InDoubt}, (*Stop)(nil)
	switch {
	case cursor.InDoubt == nil || cursor.Exhausted || p.MaxTotal > 0 && cursor.Results >= p.MaxTotal:
		line.InDoubt = nil
	case cursor.InDoubt.WrittenOff:
		line.Status = schema.WrittenOff
		line.Reason = fmt.Sprintf("call %s, which began the session, was taken as paid and lost; --refresh begins another and may buy the same", cursor.InDoubt.Name())
	default:
		line.Status = schema.InDoubt
		line.Reason = fmt.Sprintf("call %s may have been charged and its answer is lost, and with it the way to the next page; see siglake held", cursor.InDoubt.Name())
	}
	for line.Status == "" && !cursor.Exhausted && (p.MaxTotal == 0 || cursor.Results < p.MaxTotal) {
		if ctx.Err() != nil {
			stop = interruptedStop()
			break
		}
		if stop = query.checkSession(&cursor); stop != nil {
			break
		}
		lastBatch++
		b := &Batch{ID: fmt.Sprintf("%06d", lastBatch), Query: query.Query, Items: []Item{{Ref: "1", Account: p.Subject, Page: query.nextPage(&cursor)}}}
		reply, err := r.Fetcher.Fetch(ctx, b)
		if err != nil {
			if stop = stopOf(err); stop == nil {
				stop = &Stop{Kind: StopUnstable, Reason: err.Error()}
			}
			reply = fillDeferred(b, reply, stop)
		}
		if err := validateReply(b, reply); err != nil {
			return nil, err
		}
		if _, err := rec.recordCalls(writeCtx, b, reply); err != nil {
			return nil, err
		}
		cursor.Advance(b, reply)
		if r.Progress != nil {
			r.Progress(m.newProgress(int64(lastBatch)))
		}
		a := reply.Items[0]
		switch {
		case a.Status == schema.Enriched || a.Status == schema.NoSignal:
			query.received = append(query.received, a.Events...)
		case a.Next != nil && a.Next.SessionExpired && stop == nil:
			cursor.Session = "" // whether that matters is seen above
			continue
		case a.Status == schema.NotFound && cursor.Results > 0: // of what is behind the results, that is
			cursor.Exhausted = true
		case stop == nil && (a.Status == schema.Rejected || a.Status == schema.Restricted): // a page has no items to blame
			stop = pageRefused(a.Reason)
		default:
			line.Status, line.Reason, line.Call = a.Status, a.Reason, a.CallID
		}
		if stop != nil {
			break
		}
	}
	satisfied := cursor.Exhausted || p.MaxTotal > 0 && cursor.Results >= p.MaxTotal
	if stop == nil && cursor.Repeated > p.ReportedRepeats { // nobody is to learn of it by the bill
		stop = sessionRepeats(cursor.Repeated - p.ReportedRepeats)
	}
	switch {
	case line.Status != "":
	case stop != nil && !satisfied:
		line.Status, line.Reason = schema.Deferred, stop.Reason
	default:
		line.Status, line.Reason = schema.Seed, fmt.Sprintf("%s returned %d results in all", p.Subject.Key, cursor.Results)
	}
	if line.Status == schema.InDoubt && line.InDoubt == nil { // a call of this run: it is listed with the lines that wait for it
		line.InDoubt = &InDoubtCall{Run: r.RunID, Call: line.Call}
	}
	m.Pages.Repeated = cursor.Repeated
	askEnd := now()
	m.Timings.Ask = askEnd.Sub(started).Milliseconds()
	if s := askEnd.Sub(started).Seconds(); s > 0 {
		m.Calls.PerSecond = float64(m.Calls.Total) / s
	}
	if r.Input != nil {
		m.Input = r.Input()
	}
	if err := r.recordPagedLines(writeCtx, rec, p.Lines, line); err != nil {
		return nil, err
	}
	return m, r.publish(writeCtx, rec, stop)
}

// pageQuery is what pages are asked with while a run goes on.
type pageQuery struct {
	*Query
	paged    *PagedQuery
	received []RawEvent // by the pages so far
	excluded int        // how many of them it excludes
}

// excludeReceived makes it one by which nothing comes again that was given; false, and
// nothing is changed, when that cannot be had.
func (q *pageQuery) excludeReceived() bool {
	if q.paged.ExcludeQuery == nil {
		return false
	}
	query := q.paged.ExcludeQuery(q.received)
	if query != nil {
		q.Query, q.excluded = query, len(q.received)
	}
	return query != nil
}

// checkSession says why no more is asked for: what came would come again. As long as
// it can be excluded it does not matter what the API remembers.
func (q *pageQuery) checkSession(cursor *Cursor) *Stop {
	switch {
	case q.Service != Lookalikes || cursor.Results == 0:
	case cursor.ExclusionsIgnored:
		return sessionRepeats(cursor.Repeated)
	case cursor.Session == "" && !q.excludeReceived():
		return sessionExpired(cursor.Results)
	case cursor.Repeated > 0 && !q.excludeReceived():
		return sessionRepeats(cursor.Repeated)
	}
	return nil
}

// nextPage is what is asked for next: no more than is wanted, nor than can be paid
// for.
func (q *pageQuery) nextPage(cursor *Cursor) *Page {
	paged := q.paged
	limit := int64(q.MaxResults)
	if paged.MaxTotal > 0 {
		limit = min(limit, paged.MaxTotal-cursor.Results)
	}
	if paged.RemainingCredits != nil {
		for remaining := paged.RemainingCredits(); limit > 1 && q.CostOf(limit) > remaining; limit-- { // there are at most some hundred
		}
	}
	number, offset := cursor.Page+1, cursor.Results
	if q.Service == Visits { // a page is told by its number and size: what came before it must be whole pages of that size
		for offset = cursor.Offset; offset%limit != 0; {
			limit--
		}
		number = offset/limit + 1
	}
	excludesPrior := len(q.received) > 0 && q.excluded == len(q.received)
	return &Page{Number: number, Offset: offset, Limit: int(limit), Session: cursor.Session, ExcludesPrior: excludesPrior}
}

func sessionExpired(results int64) *Stop {
	return &Stop{
		Kind:   StopSession,
		Reason: fmt.Sprintf("the API has forgotten the session, and so which %d results it gave: a new one would return them, and charge for them, again", results),
		Advice: "add --refresh to buy them again, or be content with what there is",
	}
}

func sessionRepeats(repeated int64) *Stop {
	return &Stop{
		Kind:   StopSession,
		Reason: fmt.Sprintf("results came, and were charged for, a second time (%d): the API does not keep to its session", repeated),
		Advice: "compare the account's usage with the vendor's terms; add --refresh to buy it all again, or be content with what there is",
	}
}

func pageRefused(reason string) *Stop {
	return &Stop{
		Kind:   StopRequest,
		Reason: "the API refuses the page: " + reason,
		Advice: "mend what it objects to, or run the same command again: it goes on at this page",
	}
}

// recordPagedLines gives the lines of the list their fate, and keeps it.
func (r *Runner) recordPagedLines(ctx context.Context, rec *recorder, list []schema.Account, template Line) error {
	var toRecord []Line
	identities := new(idmap.Map)
	for _, a := range list {
		l := template
		l.Account = a
		row := uint32(a.Row) //nolint:gosec // a hundred lines
		switch {
		case a.Reject != nil:
			l = Line{Account: a, Status: schema.Rejected, Reason: a.Reject.String()}
		case a.Identifier() == "":
			l = Line{Account: a, Status: schema.Rejected, Reason: "no identifier that can be asked about"}
		default:
			if first := identities.LoadOrStore(IdentityOf(&a), row); first != row {
				l = Line{Account: a, Status: schema.Duplicate, DuplicateOf: int64(first), Reason: fmt.Sprintf("asks the same as row %d", first)}
			}
		}
		if err := rec.recordLine(ctx, l); err != nil {
			return err
		}
		toRecord = append(toRecord, l)
	}
	if len(toRecord) == 0 {
		return nil
	}
	return r.ledger().RecordLines(toRecord)
}
