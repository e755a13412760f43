package pipeline

import (
	"context"
	"fmt"

	"github.com/siglake/siglake/schema"
)

// Paging is one thing that is asked about page by page: a set of seeds, a site.
// Pages are asked one after the other, because what a page is asked with may
// stand in the answer before it.
type Paging struct {
	Query *Query
	About schema.Account   // what every page is about; its ID names it in the journal, its Key in the tables
	Lines []schema.Account // of the list behind it; those that are no Reject share one fate
	Want  int64            // results in all, those of earlier runs included; 0: all there are
	From  Cursor           // how far earlier runs, and this one's ended processes, have come
	Given []RawEvent       // what came before From
	Known int64            // results that came a second time in earlier runs: it was said then
	Left  func() int64     // credits that are left for another page; nil: no cap

	// Without gives a question by which nothing is bought again that was given,
	// whatever the API remembers of its session. Its result is nil, and Without
	// may be, when that cannot be had.
	Without func(given []RawEvent) *Query
}

// Cursor is how far the pages about one thing have come.
type Cursor struct {
	Session string // of the last answer
	Results int64  // that were returned
	Page    int64  // number of the last page
	Place   int64  // of Visits: how many results lie before the next page, those included that a page left out
	Ended   bool   // there are no more
	Calls   int64  // that were answered
	Again   int64  // results that came a second time, and were charged for
	Deaf    bool   // some of them although they had been excluded
	Doubt   *Doubt // a page that may have been charged and whose answer is lost

	Exclude []schema.Account // by the last question: what the session need not know of

	met map[string]bool // ids that were returned, of Lookalikes
}

// Follow moves the cursor on by one answered page.
func (c *Cursor) Follow(b *Batch, reply *Reply) {
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
	c.Ended = len(a.Events) == 0
	c.Exclude = b.Query.Exclude
	if a.Next != nil {
		if a.Next.Session != "" {
			c.Session = a.Next.Session
		}
		c.Ended = c.Ended || !a.Next.More
	}
	if b.Query.Service == Visits {
		// A page is a stretch of the API's list: what is left out of it moves up
		// none of those behind.
		c.Place = b.Items[0].Page.Offset + int64(len(a.Events))
		if !c.Ended {
			c.Place = max(c.Place, b.Items[0].Page.Offset+int64(b.Items[0].Page.Limit))
		}
	}
	if b.Query.Service == Lookalikes {
		again := c.Again
		c.meet(a.Events)
		c.Deaf = c.Deaf || c.Again > again && b.Items[0].Page.Apart
	}
}

// meet counts results that were returned before: sessions are to keep them from
// coming twice, and may fail to.
func (c *Cursor) meet(events []RawEvent) {
	if c.met == nil {
		c.met = map[string]bool{}
	}
	var ids []string
	for _, e := range events {
		if id := resultID(e.Raw); id != "" {
			ids = append(ids, id)
			if c.met[id] {
				c.Again++
			}
		}
	}
	for _, id := range ids { // one that stands twice on a page says nothing of the session
		c.met[id] = true
	}
}

// PageTotals is what a manifest says of a paged run.
type PageTotals struct {
	About   string `json:"about"`             // seed set or site
	Before  int64  `json:"before"`            // results that earlier runs had
	Pages   int64  `json:"pages"`             // answered in this run
	Results int64  `json:"results"`           // in this run
	Session string `json:"session,omitempty"` // the last one
	Ended   bool   `json:"exhausted"`         // there are no more
	Again   int64  `json:"again,omitempty"`   // results that came a second time, and were charged for, earlier runs' included
}

// pagesOf is what is there, or nothing so far.
func pagesOf(t *PageTotals) *PageTotals {
	if t == nil {
		return &PageTotals{}
	}
	return t
}

// notePage adds an answered page to what the manifest says.
func (m *Manifest) notePage(b *Batch, reply *Reply) {
	if !b.Query.Service.Paged() || len(b.Items) != 1 {
		return
	}
	m.Pages = pagesOf(m.Pages)
	c := Cursor{Session: m.Pages.Session, Results: m.Pages.Results, Ended: m.Pages.Ended}
	c.Follow(b, reply)
	m.Pages.About, m.Pages.Pages = b.Items[0].Account.Key, m.Pages.Pages+c.Calls
	m.Pages.Session, m.Pages.Results, m.Pages.Ended = c.Session, c.Results, c.Ended
}

// RunPages asks for page after page until there are enough or no more, and
// publishes what came of it, as Run does. Each answer is durable, and with it the
// way to the next one, before that is asked for; a page whose answer is lost ends
// the run, because what follows it cannot be told from it.
func (r *Runner) RunPages(ctx context.Context, p Paging) (*Manifest, error) {
	now := r.clock()
	started := now()
	m := r.manifest(started)
	keep := context.WithoutCancel(ctx) // what was paid is published
	lines := newBook(r.Sink, orString(r.PartitionBy, "event_month"), m)
	if _, err := lines.recall(keep, r.Past); err != nil {
		return nil, err
	}
	at, number := p.From, r.Batches
	if at.met == nil && p.Query.Service == Lookalikes { // else the given ones are known
		at.meet(p.Given)
		at.Again = p.From.Again
	}
	asks := question{Query: p.Query, of: &p, given: p.Given}
	if at.Results > 0 && !asks.exclude() && len(at.Exclude) > len(p.Query.Exclude) { // the session may have ended since
		known := *p.Query
		known.Exclude = at.Exclude
		asks.Query = &known
	}
	m.Pages = pagesOf(m.Pages)
	m.Pages.About, m.Pages.Before = p.About.Key, at.Results-m.Pages.Results
	m.Pages.Session, m.Pages.Ended = at.Session, at.Ended
	fate, stop := Line{Doubt: at.Doubt}, (*Stop)(nil)
	switch {
	case at.Doubt == nil || at.Ended || p.Want > 0 && at.Results >= p.Want:
		fate.Doubt = nil
	case at.Doubt.Accepted:
		fate.Status = schema.Lost
		fate.Reason = fmt.Sprintf("call %s, which began the session, was taken as paid and lost; --refresh begins another and may buy the same", at.Doubt.Name())
	default:
		fate.Status = schema.Held
		fate.Reason = fmt.Sprintf("call %s may have been charged and its answer is lost, and with it the way to the next page; see siglake held", at.Doubt.Name())
	}
	for fate.Status == "" && !at.Ended && (p.Want == 0 || at.Results < p.Want) {
		if ctx.Err() != nil {
			stop = interrupted()
			break
		}
		if stop = asks.doubtful(&at); stop != nil {
			break
		}
		number++
		b := &Batch{ID: fmt.Sprintf("%06d", number), Query: asks.Query, Items: []Item{{Ref: "1", Account: p.About, Page: asks.page(&at)}}}
		reply, err := r.Fetcher.Fetch(ctx, b)
		if err != nil {
			if stop = stopOf(err); stop == nil {
				stop = &Stop{Kind: StopUnstable, Reason: err.Error()}
			}
			reply = whole(b, reply, stop)
		}
		if err := complete(b, reply); err != nil {
			return nil, err
		}
		if _, err := lines.bill(keep, b, reply); err != nil {
			return nil, err
		}
		at.Follow(b, reply)
		if r.Progress != nil {
			r.Progress(m.progress(int64(number)))
		}
		a := reply.Items[0]
		switch {
		case a.Status == schema.Enriched || a.Status == schema.NoSignal:
			asks.given = append(asks.given, a.Events...)
		case a.Next != nil && a.Next.Gone && stop == nil:
			at.Session = "" // whether that matters is seen above
			continue
		case a.Status == schema.NotFound && at.Results > 0: // of what is behind the results, that is
			at.Ended = true
		case stop == nil && (a.Status == schema.Rejected || a.Status == schema.Restricted): // a page has no items to blame
			stop = pageRefused(a.Reason)
		default:
			fate.Status, fate.Reason, fate.Call = a.Status, a.Reason, a.CallID
		}
		if stop != nil {
			break
		}
	}
	enough := at.Ended || p.Want > 0 && at.Results >= p.Want
	if stop == nil && at.Again > p.Known { // nobody is to learn of it by the bill
		stop = sessionAnew(at.Again - p.Known)
	}
	switch {
	case fate.Status != "":
	case stop != nil && !enough:
		fate.Status, fate.Reason = schema.Deferred, stop.Reason
	default:
		fate.Status, fate.Reason = schema.Seed, fmt.Sprintf("%s returned %d results in all", p.About.Key, at.Results)
	}
	if fate.Status == schema.Held && fate.Doubt == nil { // a call of this run: it is listed with the lines that wait for it
		fate.Doubt = &Doubt{Run: r.RunID, Call: fate.Call}
	}
	m.Pages.Again = at.Again
	asked := now()
	m.Timings.Ask = asked.Sub(started).Milliseconds()
	if s := asked.Sub(started).Seconds(); s > 0 {
		m.Calls.PerSecond = float64(m.Calls.Total) / s
	}
	if r.Input != nil {
		m.Input = r.Input()
	}
	if err := r.settlePaged(keep, lines, p.Lines, fate); err != nil {
		return nil, err
	}
	return m, r.publish(keep, lines, stop)
}

// question is what pages are asked with while a run goes on.
type question struct {
	*Query
	of       *Paging
	given    []RawEvent // by the pages so far
	excluded int        // how many of them it excludes
}

// exclude makes it one by which nothing comes again that was given; false, and
// nothing is changed, when that cannot be had.
func (q *question) exclude() bool {
	if q.of.Without == nil {
		return false
	}
	without := q.of.Without(q.given)
	if without != nil {
		q.Query, q.excluded = without, len(q.given)
	}
	return without != nil
}

// doubtful says why no more is asked for: what came would come again. As long as
// it can be excluded it does not matter what the API remembers.
func (q *question) doubtful(at *Cursor) *Stop {
	switch {
	case q.Service != Lookalikes || at.Results == 0:
	case at.Deaf:
		return sessionAnew(at.Again)
	case at.Session == "" && !q.exclude():
		return sessionGone(at.Results)
	case at.Again > 0 && !q.exclude():
		return sessionAnew(at.Again)
	}
	return nil
}

// page is what is asked for next: no more than is wanted, nor than can be paid
// for.
func (q *question) page(at *Cursor) *Page {
	p := q.of
	limit := int64(q.MaxResults)
	if p.Want > 0 {
		limit = min(limit, p.Want-at.Results)
	}
	if p.Left != nil {
		for left := p.Left(); limit > 1 && q.cost(limit) > left; limit-- { // there are at most some hundred
		}
	}
	number, offset := at.Page+1, at.Results
	if q.Service == Visits { // a page is told by its number and size: what came before it must be whole pages of that size
		for offset = at.Place; offset%limit != 0; {
			limit--
		}
		number = offset/limit + 1
	}
	apart := len(q.given) > 0 && q.excluded == len(q.given)
	return &Page{Number: number, Offset: offset, Limit: int(limit), Session: at.Session, Apart: apart}
}

func sessionGone(results int64) *Stop {
	return &Stop{
		Kind:   StopSession,
		Reason: fmt.Sprintf("the API has forgotten the session, and so which %d results it gave: a new one would return them, and charge for them, again", results),
		Advice: "add --refresh to buy them again, or be content with what there is",
	}
}

func sessionAnew(again int64) *Stop {
	return &Stop{
		Kind:   StopSession,
		Reason: fmt.Sprintf("results came, and were charged for, a second time (%d): the API does not keep to its session", again),
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

// settlePaged gives the lines of the list their fate, and keeps it.
func (r *Runner) settlePaged(ctx context.Context, lines *book, list []schema.Account, fate Line) error {
	var left []Line
	met := new(seen)
	for _, a := range list {
		l := fate
		l.Account = a
		row := uint32(a.Row) //nolint:gosec // a hundred lines
		switch {
		case a.Reject != nil:
			l = Line{Account: a, Status: schema.Rejected, Reason: a.Reject.String()}
		case a.Identifier() == "":
			l = Line{Account: a, Status: schema.Rejected, Reason: "no identifier that can be asked about"}
		default:
			if first := met.first(IdentityOf(&a), row); first != row {
				l = Line{Account: a, Status: schema.Duplicate, DuplicateOf: int64(first), Reason: fmt.Sprintf("asks the same as row %d", first)}
			}
		}
		if err := lines.settle(ctx, l); err != nil {
			return err
		}
		left = append(left, l)
	}
	if len(left) == 0 {
		return nil
	}
	return r.journal().Keep(left)
}
