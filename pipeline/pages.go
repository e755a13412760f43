package pipeline

import (
	"context"
	"fmt"

	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/schema"
)

// PagedQuery is one subject that is requested page by page: a set of seeds, a site. Pages are
// requested one after the other, because the request for a page may depend on the previous answer.
type PagedQuery struct {
	Query *Query
	// The subject of every page; its ID names it in the journal, its Key in the tables.
	Subject schema.Account
	// The lines of the list that make up the subject; all but rejected ones get the same status.
	Lines []schema.Account
	// Total number of results, including those of earlier runs; 0: all.
	MaxTotal int64
	// Position reached by earlier runs and by this run's earlier processes.
	Cursor       Cursor
	PriorResults []RawEvent // results before Cursor
	// Repeated results of earlier runs, which were reported then.
	ReportedRepeats  int64
	RemainingCredits func() int64 // credits left for another page; nil: no cap

	// ExcludeQuery returns a query that excludes all given results, so that none is bought again
	// even if the API has lost its session. The result is nil if that is impossible; ExcludeQuery
	// itself may be nil, too.
	ExcludeQuery func(given []RawEvent) *Query
}

// Cursor is the position in the pages of a subject.
type Cursor struct {
	Session string // of the last answer
	Results int64  // number of results returned
	Page    int64  // number of the last page
	// Visits: number of results before the next page, including those that a page left out.
	Offset            int64
	Exhausted         bool  // there are no more
	Calls             int64 // answered calls
	Repeated          int64 // results returned, and charged, a second time
	ExclusionsIgnored bool  // some of them although they were excluded
	// A page without an answer that may have been charged.
	InDoubt *InDoubtCall

	Excluded []schema.Account // by the last query: the session need not know them

	seenIDs map[string]bool // Lookalikes: ids returned
}

// Advance moves the cursor past one answered page.
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
	c.Excluded = b.Query.exclusions()
	if a.Next != nil {
		if a.Next.Session != "" {
			c.Session = a.Next.Session
		}
		c.Exhausted = c.Exhausted || !a.Next.HasMore
	}
	if b.Query.Service() == Visits {
		// A page is a section of the API's list: results left out of it do not shift those after
		// it.
		c.Offset = b.Items[0].Page.Offset + int64(len(a.Events))
		if !c.Exhausted {
			c.Offset = max(c.Offset, b.Items[0].Page.Offset+int64(b.Items[0].Page.Limit))
		}
	}
	if b.Query.Service() == Lookalikes {
		before := c.Repeated
		c.countRepeats(a.Events)
		c.ExclusionsIgnored = c.ExclusionsIgnored || c.Repeated > before && b.Items[0].Page.ExcludesPrior
	}
}

// countRepeats counts results that were returned before. Sessions should prevent repeats, but may
// fail to.
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
	for _, id := range ids { // an id twice on one page proves nothing about the session
		c.seenIDs[id] = true
	}
}

// PageTotals describes the pages of a run in its manifest.
type PageTotals struct {
	Subject      string `json:"about"`             // seed set or site
	PriorResults int64  `json:"before"`            // results of earlier runs
	Pages        int64  `json:"pages"`             // answered in this run
	Results      int64  `json:"results"`           // in this run
	Session      string `json:"session,omitempty"` // the last one
	Exhausted    bool   `json:"exhausted"`         // there are no more
	// Results returned, and charged, a second time, including earlier runs.
	Repeated int64 `json:"again,omitempty"`
}

// ensurePages returns t, or new totals if t is nil.
func ensurePages(t *PageTotals) *PageTotals {
	if t == nil {
		return &PageTotals{}
	}
	return t
}

// addPage adds an answered page to the manifest.
func (m *Manifest) addPage(b *Batch, reply *Reply) {
	if !b.Query.Service().IsPaged() || len(b.Items) != 1 {
		return
	}
	m.Pages = ensurePages(m.Pages)
	c := Cursor{Session: m.Pages.Session, Results: m.Pages.Results, Exhausted: m.Pages.Exhausted}
	c.Advance(b, reply)
	m.Pages.Subject, m.Pages.Pages = b.Items[0].Account.Key, m.Pages.Pages+c.Calls
	m.Pages.Session, m.Pages.Results, m.Pages.Exhausted = c.Session, c.Results, c.Exhausted
}

// RunPages requests page after page until there are enough results or no more, and publishes the
// results like Run. Each answer, with the position of the next page, is durable before the next
// request. A page with a lost answer ends the run, because the position of the next page is
// unknown.
func (r *Runner) RunPages(ctx context.Context, p PagedQuery) (*Manifest, error) {
	now := r.clock()
	started := now()
	m := r.newManifest(started)
	writeCtx := context.WithoutCancel(ctx) // what was paid for is published
	rec := newRecorder(r.Sink, r.Spec.partition(), m)
	if _, err := rec.recoverRows(writeCtx, r.Recorded); err != nil {
		return nil, err
	}
	cursor, lastBatch := p.Cursor, r.LastBatch
	if cursor.seenIDs == nil && p.Query.Service() == Lookalikes { // else the prior results are known
		cursor.countRepeats(p.PriorResults)
		cursor.Repeated = p.Cursor.Repeated
	}
	query := pageQuery{Query: p.Query, paged: &p, received: p.PriorResults}
	if cursor.Results > 0 && !query.excludeReceived() && len(cursor.Excluded) > len(p.Query.exclusions()) { // the session may have ended since
		query.Query = p.Query.withExclusions(cursor.Excluded)
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
		line.Reason = fmt.Sprintf("call %s, which started the session, was written off as charged and lost; --refresh starts another session and may buy the same results", cursor.InDoubt.Name())
	default:
		line.Status = schema.InDoubt
		line.Reason = fmt.Sprintf("call %s may have been charged; its answer, and the position of the next page with it, is lost; see siglake held", cursor.InDoubt.Name())
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
			cursor.Session = "" // checkSession decides whether that matters
			continue
		case a.Status == schema.NotFound && cursor.Results > 0: // nothing after the results so far
			cursor.Exhausted = true
		case stop == nil && (a.Status == schema.Rejected || a.Status == schema.Restricted): // a page has no item to reject
			stop = pageRefused(a.Reason)
		default:
			line.Status, line.Reason, line.Call = a.Status, a.Reason, a.CallID
		}
		if stop != nil {
			break
		}
	}
	satisfied := cursor.Exhausted || p.MaxTotal > 0 && cursor.Results >= p.MaxTotal
	if stop == nil && cursor.Repeated > p.ReportedRepeats { // users must not learn of it from the bill only
		stop = sessionRepeats(cursor.Repeated - p.ReportedRepeats)
	}
	switch {
	case line.Status != "":
	case stop != nil && !satisfied:
		line.Status, line.Reason = schema.Deferred, stop.Reason
	default:
		line.Status, line.Reason = schema.Seed, fmt.Sprintf("%s returned %d results in total", p.Subject.Key, cursor.Results)
	}
	// A call of this run: it is listed with the lines in doubt because of it.
	if line.Status == schema.InDoubt && line.InDoubt == nil {
		line.InDoubt = &InDoubtCall{Run: r.Spec.ID, Call: line.Call}
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

// pageQuery is the query for the pages of a run in progress.
type pageQuery struct {
	*Query
	paged    *PagedQuery
	received []RawEvent // results of the pages so far
	excluded int        // how many of them it excludes
}

// excludeReceived switches to a query that excludes all received results; false, without a change,
// if that is impossible.
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

// checkSession returns the reason to stop: the next results would be repeats. If the received
// results can be excluded, it does not matter what the API remembers.
func (q *pageQuery) checkSession(cursor *Cursor) *Stop {
	switch {
	case q.Service() != Lookalikes || cursor.Results == 0:
	case cursor.ExclusionsIgnored:
		return sessionRepeats(cursor.Repeated)
	case cursor.Session == "" && !q.excludeReceived():
		return sessionExpired(cursor.Results)
	case cursor.Repeated > 0 && !q.excludeReceived():
		return sessionRepeats(cursor.Repeated)
	}
	return nil
}

// nextPage is the next page to request: not larger than wanted or affordable.
func (q *pageQuery) nextPage(cursor *Cursor) *Page {
	paged := q.paged
	limit := int64(q.MaxResults())
	if paged.MaxTotal > 0 {
		limit = min(limit, paged.MaxTotal-cursor.Results)
	}
	if paged.RemainingCredits != nil {
		for remaining := paged.RemainingCredits(); limit > 1 && q.CostOf(limit) > remaining; limit-- { // at most a few hundred iterations
		}
	}
	number, offset := cursor.Page+1, cursor.Results
	// The API finds a page by number and size: the results before it must fill whole pages of that
	// size.
	if q.Service() == Visits {
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
		Reason: fmt.Sprintf("the session has expired, so the API no longer knows which %d results it returned: a new session would return them, and charge for them, again", results),
		Advice: "add --refresh to buy them again, or keep the results so far",
	}
}

func sessionRepeats(repeated int64) *Stop {
	return &Stop{
		Kind:   StopSession,
		Reason: fmt.Sprintf("%d results were returned, and charged, a second time: the API does not honour its session", repeated),
		Advice: "compare the account's usage with the vendor's terms; add --refresh to buy everything again, or keep the results so far",
	}
}

func pageRefused(reason string) *Stop {
	return &Stop{
		Kind:   StopRequest,
		Reason: "the API refuses the page: " + reason,
		Advice: "correct what the API objects to, or run the same command again: it continues with this page",
	}
}

// recordPagedLines gives the lines of the list their status, and records them.
func (r *Runner) recordPagedLines(ctx context.Context, rec *recorder, list []schema.Account, template Line) error {
	var toRecord []Line
	identities := new(idmap.Map)
	for _, a := range list {
		l := template
		l.Account = a
		row := uint32(a.Row) //nolint:gosec // at most a few hundred lines
		switch {
		case a.Reject != nil:
			l = Line{Account: a, Status: schema.Rejected, Reason: a.Reject.String()}
		case a.Identifier() == "":
			l = Line{Account: a, Status: schema.Rejected, Reason: "no identifier that can be requested"}
		default:
			if first := identities.LoadOrStore(IdentityOf(&a), row); first != row {
				l = Line{Account: a, Status: schema.Duplicate, DuplicateOf: int64(first), Reason: fmt.Sprintf("same request as row %d", first)}
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
