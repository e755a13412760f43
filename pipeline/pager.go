package pipeline

import (
	"context"
	"fmt"

	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/schema"
)

// RunPages requests page after page until there are enough results or no more, and publishes the
// results like Run. Each answer, with the position of the next page, is durable before the next
// request. A page with a lost answer ends the run, because the position of the next page is
// unknown.
func (r *Runner) RunPages(ctx context.Context, paged PagedQuery) (*Manifest, error) {
	started := r.clock()()
	writeCtx := context.WithoutCancel(ctx) // what was paid for is published
	rec, _, err := r.startRecorder(writeCtx, started)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, r.Activity.noteStop)()
	m, p := rec.manifest, newPager(&paged, r.LastBatch)
	m.startPages(paged.Subject.Key, &p.cursor)
	for b := p.next(ctx); b != nil; b = p.next(ctx) {
		r.Activity.noteCalls(1)
		reply, err := r.Fetcher.Fetch(ctx, b)
		r.Activity.noteCalls(-1)
		stop := stopAfter(err)
		if err := validateReply(b, reply); err != nil {
			return nil, err
		}
		if _, err := rec.recordCalls(writeCtx, b, &flattened{Reply: reply}); err != nil {
			return nil, err
		}
		p.apply(b, reply, stop)
		r.reportProgress(rec, int64(p.lastBatch))
	}
	line, stop := p.result()
	// A call of this run: it is listed with the lines in doubt because of it.
	if line.Status == schema.InDoubt && line.InDoubt == nil {
		line.InDoubt = &InDoubtCall{Run: r.Spec.ID, Call: line.Call}
	}
	m.Pages.Repeated = p.cursor.Repeated
	r.endRequests(m, started)
	if err := r.recordPagedLines(writeCtx, rec, paged.Lines, line); err != nil {
		return nil, err
	}
	return m, r.publish(writeCtx, rec, stop)
}

// pager requests the pages of one subject: next makes the request for a page, apply takes its
// answer, and next is nil when no further page may be requested.
type pager struct {
	*PagedQuery
	query     *Query // for the next page
	cursor    Cursor
	received  []RawEvent // results of the pages so far
	excluded  int        // how many of them query excludes
	lastBatch int

	line Line  // what the pages so far say about every line of the subject; no status: nothing final
	stop *Stop // why no further page may be requested; nil: it may
}

// newPager continues from the position that earlier runs reached; lastBatch is the number of the
// run's last batch so far.
func newPager(paged *PagedQuery, lastBatch int) *pager {
	p := &pager{PagedQuery: paged, query: paged.Query, cursor: paged.Cursor, received: paged.PriorResults, lastBatch: lastBatch}
	if p.cursor.seenIDs == nil && p.query.Service() == Lookalikes { // else the prior results are known
		p.cursor.countRepeats(p.PriorResults)
		p.cursor.Repeated = paged.Cursor.Repeated
	}
	if p.cursor.Results > 0 && !p.excludeReceived() && len(p.cursor.Excluded) > len(p.query.exclusions()) { // the session may have ended since
		p.query = p.query.withExclusions(p.cursor.Excluded)
	}
	if d := p.cursor.InDoubt; d != nil && !p.isSatisfied() {
		p.line = lostPage(d)
	}
	return p
}

// lostPage is the line of a subject of which a page was lost: the position of the next page is
// unknown.
func lostPage(d *InDoubtCall) Line {
	if d.WrittenOff {
		return Line{
			Status: schema.WrittenOff, InDoubt: d,
			Reason: fmt.Sprintf("call %s, which started the session, was written off as charged and lost; --refresh starts another session and may buy the same results", d.Name()),
		}
	}
	return Line{
		Status: schema.InDoubt, InDoubt: d,
		Reason: fmt.Sprintf("call %s may have been charged; its answer, and the position of the next page with it, is lost; see siglake held", d.Name()),
	}
}

// isSatisfied reports whether no results are missing: there are enough, or no more.
func (p *pager) isSatisfied() bool {
	return p.cursor.Exhausted || p.MaxTotal > 0 && p.cursor.Results >= p.MaxTotal
}

// next is the request for the next page; nil if none may be sent.
func (p *pager) next(ctx context.Context) *Batch {
	if p.stop != nil || p.line.Status != "" || p.isSatisfied() {
		return nil
	}
	if ctx.Err() != nil {
		p.stop = interruptedStop(ctx)
		return nil
	}
	if p.stop = p.checkSession(); p.stop != nil {
		return nil
	}
	p.lastBatch++
	return &Batch{ID: fmt.Sprintf("%06d", p.lastBatch), Query: p.query, Items: []Item{{Ref: "1", Account: p.Subject, Page: p.nextPage()}}}
}

// apply moves past the answer to a page. stop is the fetcher's reason to send nothing more; nil if
// it has none.
func (p *pager) apply(b *Batch, reply *Reply, stop *Stop) {
	p.stop = stop
	p.cursor.Advance(b, reply)
	a := reply.Items[0]
	switch {
	case a.Status == schema.Enriched || a.Status == schema.NoSignal:
		p.received = append(p.received, a.Events...)
	case a.Next != nil && a.Next.SessionExpired && stop == nil:
		p.cursor.Session = "" // checkSession decides whether that matters
	case a.Status == schema.NotFound && p.cursor.Results > 0: // nothing after the results so far
		p.cursor.Exhausted = true
	case stop == nil && (a.Status == schema.Rejected || a.Status == schema.Restricted): // a page has no item to reject
		p.stop = pageRefused(a.Reason)
	default:
		p.line.Status, p.line.Reason, p.line.Call = a.Status, a.Reason, a.CallID
	}
}

// result is the status of the subject's lines, and why the run stopped before all results were
// there; nil if it did not.
func (p *pager) result() (Line, *Stop) {
	line, stop := p.line, p.stop
	if stop == nil && p.cursor.Repeated > p.ReportedRepeats { // users must not learn of it from the bill only
		stop = sessionRepeats(p.cursor.Repeated - p.ReportedRepeats)
	}
	switch {
	case line.Status != "":
	case stop != nil && !p.isSatisfied():
		line.Status, line.Reason = schema.Deferred, stop.Reason
	default:
		line.Status, line.Reason = schema.Seed, fmt.Sprintf("%s returned %d results in total", p.Subject.Key, p.cursor.Results)
	}
	return line, stop
}

// excludeReceived switches to a query that excludes all received results; false, without a change,
// if that is impossible.
func (p *pager) excludeReceived() bool {
	if p.ExcludeQuery == nil {
		return false
	}
	query := p.ExcludeQuery(p.received)
	if query != nil {
		p.query, p.excluded = query, len(p.received)
	}
	return query != nil
}

// checkSession returns the reason to stop: the next results would be repeats. If the received
// results can be excluded, it does not matter what the API remembers.
func (p *pager) checkSession() *Stop {
	switch {
	case p.query.Service() != Lookalikes || p.cursor.Results == 0:
	case p.cursor.ExclusionsIgnored:
		return sessionRepeats(p.cursor.Repeated)
	case p.cursor.Session == "" && !p.excludeReceived():
		return sessionExpired(p.cursor.Results)
	case p.cursor.Repeated > 0 && !p.excludeReceived():
		return sessionRepeats(p.cursor.Repeated)
	}
	return nil
}

// nextPage is the next page to request: not larger than wanted or affordable.
func (p *pager) nextPage() *Page {
	cursor, query := &p.cursor, p.query
	limit := int64(query.MaxResults())
	if p.MaxTotal > 0 {
		limit = min(limit, p.MaxTotal-cursor.Results)
	}
	if p.RemainingCredits != nil {
		for remaining := p.RemainingCredits(); limit > 1 && query.CostOf(limit) > remaining; limit-- { // at most a few hundred iterations
		}
	}
	number, offset := cursor.Page+1, cursor.Results
	if p.MaxPage != nil {
		limit = min(limit, p.MaxPage(query, limit))
	}
	// The API finds a page by number and size: the results before it must fill whole pages of that
	// size.
	if query.Service() == Visits {
		for offset = cursor.Offset; offset%limit != 0; {
			limit--
		}
		number = offset/limit + 1
	}
	excludesPrior := len(p.received) > 0 && p.excluded == len(p.received)
	return &Page{Number: number, Offset: offset, Limit: int(limit), Session: cursor.Session, ExcludesPrior: excludesPrior}
}

func sessionExpired(results int64) *Stop {
	return &Stop{
		Kind:   StopSession,
		Reason: fmt.Sprintf("the session has expired, so the API no longer knows what it returned (%s): a new session would return that, and charge for it, again", countText(results, "result")),
		Advice: "add --refresh to buy them again, or keep the results so far",
	}
}

func sessionRepeats(repeated int64) *Stop {
	return &Stop{
		Kind:   StopSession,
		Reason: fmt.Sprintf("the API returned, and charged for, %s a second time: it does not honour its session", countText(repeated, "result")),
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
	return r.recordInLedger(toRecord)
}
