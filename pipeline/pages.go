package pipeline

import (
	"github.com/siglake/siglake/internal/flatten"
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
	// The number, of n results, that a page may have at most so that its answer is not too long; at
	// least one. Nil: n.
	MaxPage func(q *Query, n int64) int64

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
		if id := flatten.ResultID(e.Raw); id != "" {
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

// startPages describes the subject and the position where the run's own requests start.
func (m *Manifest) startPages(subject string, start *Cursor) {
	m.Pages = ensurePages(m.Pages)
	m.Pages.Subject, m.Pages.PriorResults = subject, start.Results-m.Pages.Results
	m.Pages.Session, m.Pages.Exhausted = start.Session, start.Exhausted
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
