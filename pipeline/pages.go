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
	Left  func() int64     // credits that are left for another page; nil: no cap

	// Renew gives the question to begin a new session with, so that nothing of
	// the old one is bought again, when the API does not know that one any more.
	// Its result is nil, and Renew may be, when that cannot be had.
	Renew func() *Query
}

// Cursor is how far the pages about one thing have come.
type Cursor struct {
	Session string // of the last answer
	Results int64  // that were returned
	Page    int64  // number of the last page
	Ended   bool   // there are no more
	Calls   int64  // that were answered
	Doubt   *Doubt // a page that may have been charged and whose answer is lost
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
	if a.Next != nil {
		c.Session, c.Ended = a.Next.Session, c.Ended || !a.Next.More
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
	at, query, number := p.From, p.Query, r.Batches
	m.Pages = pagesOf(m.Pages)
	m.Pages.About, m.Pages.Before = p.About.Key, at.Results-m.Pages.Results
	m.Pages.Session, m.Pages.Ended = at.Session, at.Ended
	fate, stop := Line{Doubt: at.Doubt}, (*Stop)(nil)
	if at.Doubt != nil {
		fate.Status = schema.Held
		fate.Reason = fmt.Sprintf("call %s may have been charged and its answer is lost, and with it the way to the next page; see siglake held", at.Doubt.Name())
	}
	for fate.Status == "" && !at.Ended && (p.Want == 0 || at.Results < p.Want) {
		if ctx.Err() != nil {
			stop = interrupted()
			break
		}
		number++
		b := &Batch{ID: fmt.Sprintf("%06d", number), Query: query, Items: []Item{{Ref: "1", Account: p.About, Page: p.page(query, &at)}}}
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
		case a.Next != nil && a.Next.Gone && stop == nil:
			if query = p.renewed(); query == nil {
				stop = sessionGone(at.Results)
				break
			}
			at.Session = ""
			continue
		default:
			fate.Status, fate.Reason, fate.Call = a.Status, a.Reason, a.CallID
		}
		if stop != nil {
			break
		}
	}
	switch {
	case fate.Status != "":
	case stop != nil:
		fate.Status, fate.Reason = schema.Deferred, stop.Reason
	case at.Results > 0:
		fate.Status = schema.Enriched
	default:
		fate.Status = schema.NoSignal
	}
	m.Timings.Ask = now().Sub(started).Milliseconds()
	if r.Input != nil {
		m.Input = r.Input()
	}
	if err := r.settlePaged(keep, lines, p.Lines, fate); err != nil {
		return nil, err
	}
	return m, r.publish(keep, lines, stop)
}

// page is what is asked for next: no more than is wanted, nor, where a page may
// be shorter than others, than can be paid for.
func (p *Paging) page(q *Query, at *Cursor) *Page {
	limit := int64(q.MaxResults)
	if q.Service == Lookalikes {
		if p.Want > 0 {
			limit = min(limit, p.Want-at.Results)
		}
		if p.Left != nil {
			for left := p.Left(); limit > 1 && q.cost(limit) > left; limit-- { // there are at most a hundred
			}
		}
	}
	return &Page{Number: at.Page + 1, Offset: at.Results, Limit: int(limit), Session: at.Session}
}

func (p *Paging) renewed() *Query {
	if p.Renew == nil {
		return nil
	}
	return p.Renew()
}

func sessionGone(results int64) *Stop {
	return &Stop{
		Kind:   StopRequest,
		Reason: fmt.Sprintf("the API has forgotten the session, and so which %d results it gave: a new one would return them, and charge for them, again", results),
		Advice: "add --refresh to buy them again, or be content with what there is",
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
