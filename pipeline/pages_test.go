package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// pageVendor sells lookalikes page by page, from a stock, in one session.
type pageVendor struct {
	stock   int64
	session string // the known session; empty: any is known
	// The session of its answers, if it is not the requested one.
	newSession string
	// It states no session, and returns from the beginning what is not excluded.
	noSessions        bool
	ignoresExclusions bool // it returns excluded results, too
	// A session that it starts returns results from the beginning.
	restarts bool
	lostPage int64 // number of a page with a lost answer; 0: none
	asked    []Page
	queries  []*Query
}

func (s *pageVendor) Fetch(_ context.Context, b *Batch) (*Reply, error) {
	page := *b.Items[0].Page
	page.ExcludesPrior = false
	s.asked, s.queries = append(s.asked, page), append(s.queries, b.Query)
	c := Call{ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Entities: 1, Types: 1, Ceiling: b.Ceiling(), Sent: epoch, Outcome: Charged, Status: 200}
	item := ItemReply{CallID: c.ID, Status: schema.Enriched, Entity: schema.Entity{Object: b.Query.Object}}
	switch {
	case s.session != "" && page.Session != "" && page.Session != s.session:
		c.Outcome, c.Status = NotCharged, 410
		item.Status, item.Reason, item.Next = schema.Deferred, "the session is gone", &NextPage{SessionExpired: true}
		return &Reply{Calls: []Call{c}, Items: []ItemReply{item}}, nil
	case page.Number == s.lostPage:
		c.Outcome, c.Status = InDoubt, 0
		item.Status, item.Reason = schema.InDoubt, "lost"
		return &Reply{Calls: []Call{c}, Items: []ItemReply{item}}, nil
	}
	from := page.Offset
	session := "one"
	if s.noSessions {
		session = ""
		if len(b.Query.exclusions()) == 0 || s.ignoresExclusions {
			from = 0
		}
	} else if s.newSession != "" && page.Session != "" {
		session = s.newSession
		if s.restarts {
			from = 0
		}
	} else if s.session != "" {
		session = s.session
	}
	for n := from; n < min(s.stock, from+int64(page.Limit)); n++ {
		item.Events = append(item.Events, RawEvent{Type: schema.ProductLookalike, Raw: fmt.Appendf(nil, `{"id":"c%d"}`, n)})
	}
	if len(item.Events) == 0 {
		item.Status = schema.NoSignal
	}
	item.Next = &NextPage{Session: session, HasMore: from+int64(page.Limit) < s.stock}
	c.Charge = Charge{Known: true, Credits: int64(len(item.Events))}
	return &Reply{Calls: []Call{c}, Items: []ItemReply{item}}, nil
}

func pageOf(number, offset int64, limit int, session string) Page {
	return Page{Number: number, Offset: offset, Limit: limit, Session: session}
}

// allowExclusions makes queries that exclude the prior results, up to a hundred.
func allowExclusions(p *PagedQuery) {
	p.ExcludeQuery = func(received []RawEvent) *Query {
		if len(received) > 100 {
			return nil
		}
		return p.Query.withExclusions(make([]schema.Account, len(received)))
	}
}

// lookalikeQuery requests lookalikes of five seeds, ten per page.
func lookalikeQuery() PagedQuery {
	ask := LookalikeAsk{PageSize: 10}
	var lines []schema.Account
	for n := range 5 {
		a := schema.Account{Row: int64(n + 1), Key: fmt.Sprint("seed", n), Object: schema.Company, Domain: fmt.Sprintf("s%d.example", n)}
		ask.Seeds = append(ask.Seeds, schema.Account{Object: a.Object, Domain: a.Domain})
		lines = append(lines, a)
	}
	lines = append(lines, schema.Account{Row: 6, Object: schema.Company, Domain: "s0.example"},
		schema.Account{Row: 7, Object: schema.Company, Reject: &schema.Reject{Reason: "empty"}})
	q := &Query{Object: schema.Company, APIVersion: V3, Ask: ask}
	return PagedQuery{Query: q, Subject: schema.Account{Object: schema.Company, Key: "set", ID: "set"}, Lines: lines}
}

// TestPages: pages follow one another until there are enough results or no more, each with what the
// previous answer stated, and every seed has a status.
func TestPages(t *testing.T) {
	gone := Cursor{Session: "old", Results: 20, Page: 2}
	var twenty []RawEvent
	for n := range 20 {
		twenty = append(twenty, RawEvent{Type: schema.ProductLookalike, Raw: fmt.Appendf(nil, `{"id":"c%d"}`, n)})
	}
	for _, tt := range []struct {
		name   string
		shop   pageVendor
		edit   func(*PagedQuery)
		asked  []Page
		status schema.Status
		stop   StopKind
		rows   int
	}{
		{"enough", pageVendor{stock: 100}, func(p *PagedQuery) { p.MaxTotal = 25 },
			[]Page{pageOf(1, 0, 10, ""), pageOf(2, 10, 10, "one"), pageOf(3, 20, 5, "one")}, schema.Seed, "", 25},
		{"no more", pageVendor{stock: 12}, func(p *PagedQuery) { p.MaxTotal = 25 },
			[]Page{pageOf(1, 0, 10, ""), pageOf(2, 10, 10, "one")}, schema.Seed, "", 12},
		{"none at all", pageVendor{}, func(p *PagedQuery) { p.MaxTotal = 25 }, []Page{pageOf(1, 0, 10, "")}, schema.Seed, "", 0},
		{"behind an earlier run", pageVendor{stock: 100}, func(p *PagedQuery) { p.MaxTotal, p.Cursor = 25, Cursor{Session: "one", Results: 20, Page: 2} },
			[]Page{pageOf(3, 20, 5, "one")}, schema.Seed, "", 5},
		{"an earlier run had enough", pageVendor{stock: 100}, func(p *PagedQuery) { p.MaxTotal, p.Cursor = 20, Cursor{Session: "one", Results: 20, Page: 2} },
			nil, schema.Seed, "", 0},
		{"an earlier run had all", pageVendor{stock: 20}, func(p *PagedQuery) {
			p.MaxTotal, p.Cursor = 50, Cursor{Session: "one", Results: 20, Page: 2, Exhausted: true}
		},
			nil, schema.Seed, "", 0},
		{"an answer is lost", pageVendor{stock: 100, lostPage: 2}, func(p *PagedQuery) { p.MaxTotal = 25 },
			[]Page{pageOf(1, 0, 10, ""), pageOf(2, 10, 10, "one")}, schema.InDoubt, "", 10},
		{"an earlier answer is lost", pageVendor{stock: 100}, func(p *PagedQuery) {
			p.MaxTotal, p.Cursor = 25, Cursor{InDoubt: &InDoubtCall{Run: "run-0", Call: "000001-1"}}
		},
			nil, schema.InDoubt, "", 0},
		{"a budget for less than a page", pageVendor{stock: 100}, func(p *PagedQuery) { p.MaxTotal, p.RemainingCredits = 10, func() int64 { return 3 } },
			[]Page{pageOf(1, 0, 3, ""), pageOf(2, 3, 3, "one"), pageOf(3, 6, 3, "one"), pageOf(4, 9, 1, "one")}, schema.Seed, "", 10},
		{"a session that is gone", pageVendor{stock: 100, session: "new"}, func(p *PagedQuery) { p.MaxTotal, p.Cursor, p.PriorResults = 30, gone, twenty },
			[]Page{pageOf(3, 20, 10, "old")}, schema.Deferred, StopSession, 0},
		{"a session that is gone, and can be renewed", pageVendor{stock: 100, session: "new"}, func(p *PagedQuery) {
			p.MaxTotal, p.Cursor, p.PriorResults = 30, gone, twenty
			allowExclusions(p)
		}, []Page{pageOf(3, 20, 10, "old"), pageOf(3, 20, 10, "")}, schema.Seed, "", 10},
		{"a session begun anew without a word", pageVendor{stock: 100, newSession: "two", restarts: true}, func(p *PagedQuery) { p.MaxTotal, p.Cursor, p.PriorResults = 50, gone, twenty },
			[]Page{pageOf(3, 20, 10, "old")}, schema.Deferred, StopSession, 10},
		{"no session, and nothing to exclude with", pageVendor{stock: 100, noSessions: true}, func(p *PagedQuery) { p.MaxTotal = 30 },
			[]Page{pageOf(1, 0, 10, "")}, schema.Deferred, StopSession, 10},
		{"no session, and exclusions instead", pageVendor{stock: 100, noSessions: true}, func(p *PagedQuery) { p.MaxTotal = 30; allowExclusions(p) },
			[]Page{pageOf(1, 0, 10, ""), pageOf(2, 10, 10, ""), pageOf(3, 20, 10, "")}, schema.Seed, "", 30},
		{"exclusions that are not heeded", pageVendor{stock: 100, noSessions: true, ignoresExclusions: true}, func(p *PagedQuery) { p.MaxTotal = 30; allowExclusions(p) },
			[]Page{pageOf(1, 0, 10, ""), pageOf(2, 10, 10, "")}, schema.Deferred, StopSession, 20},
		{"a doubt about what is not needed", pageVendor{stock: 100}, func(p *PagedQuery) {
			p.MaxTotal, p.Cursor = 20, Cursor{Session: "one", Results: 20, Page: 2, InDoubt: &InDoubtCall{Run: "run-0", Call: "000003-1"}}
		},
			nil, schema.Seed, "", 0},
		{"the page that began the session was given up", pageVendor{stock: 100}, func(p *PagedQuery) {
			p.MaxTotal, p.Cursor = 20, Cursor{InDoubt: &InDoubtCall{Run: "run-0", Call: "000001-1", WrittenOff: true}}
		},
			nil, schema.WrittenOff, "", 0},
		{"a session of another name that goes on", pageVendor{stock: 100, newSession: "two"}, func(p *PagedQuery) { p.MaxTotal, p.Cursor, p.PriorResults = 40, gone, twenty },
			[]Page{pageOf(3, 20, 10, "old"), pageOf(4, 30, 10, "two")}, schema.Seed, "", 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, sink := lookalikeQuery(), &memorySink{}
			tt.edit(&p)
			r := &Runner{Fetcher: &tt.shop, Sink: sink, Spec: RunSpec{ID: "run-1"}, Queries: map[schema.Object]*Query{schema.Company: p.Query}}
			m, err := r.RunPages(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.asked, tt.shop.asked); diff != "" {
				t.Errorf("requested pages (-want +got):\n%s", diff)
			}
			want := map[schema.Status]int64{tt.status: 5, schema.Duplicate: 1, schema.Rejected: 1}
			if diff := cmp.Diff(want, m.Accounts.ByStatus); diff != "" {
				t.Errorf("lines by status (-want +got):\n%s", diff)
			}
			if got := stopKind(m); got != tt.stop {
				t.Errorf("the run stopped for %q, want %q", got, tt.stop)
			}
			rows := sink.read(string(schema.CategoryLookalikes))
			if len(rows) != tt.rows || m.Credits.Charged != int64(tt.rows) {
				t.Errorf("%d rows, %d credits, want %d of each", len(rows), m.Credits.Charged, tt.rows)
			}
			if len(rows) > 0 && !(rows[0]["rank"] == p.Cursor.Results+1 && rows[0]["seed_set"] == "set") {
				t.Errorf("the first row has rank %v of %v, want %d of the set", rows[0]["rank"], rows[0]["seed_set"], p.Cursor.Results+1)
			}
			if last := tt.shop.queries; len(tt.asked) > 1 && tt.asked[len(tt.asked)-1].Session == "" && len(last[len(last)-1].exclusions()) != 20 && tt.shop.session != "" {
				t.Errorf("the renewed session excludes %d, want 20", len(last[len(last)-1].exclusions()))
			}
		})
	}
}

func stopKind(m *Manifest) StopKind {
	if m.Run.Stop == nil {
		return ""
	}
	return m.Run.Stop.Kind
}

// TestPagesStop: a run that is stopped defers its seeds, and keeps its results.
func TestPagesStop(t *testing.T) {
	p, sink, api := lookalikeQuery(), &memorySink{}, &pageVendor{stock: 100}
	p.MaxTotal = 100
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	r := &Runner{Sink: sink, Spec: RunSpec{ID: "run-1"}, Queries: map[schema.Object]*Query{schema.Company: p.Query}, Fetcher: fetchFunc(func(ctx context.Context, b *Batch) (*Reply, error) {
		if calls++; calls == 2 {
			cancel()
		}
		return api.Fetch(ctx, b)
	})}
	m, err := r.RunPages(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if m.Accounts.ByStatus[schema.Deferred] != 5 || stopKind(m) != StopInterrupted || m.Credits.Charged != 20 || m.Pages.Results != 20 || m.Pages.Session != "one" {
		t.Errorf("lines %v, stopped for %q, %d credits, pages %+v; want five deferred, an interruption, 20 paid results and their session", m.Accounts.ByStatus, stopKind(m), m.Credits.Charged, m.Pages)
	}
	failing := errors.New("no network")
	r.Fetcher = fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) { return NewReply(b, failing.Error()), failing })
	if m, err = r.RunPages(t.Context(), lookalikeQuery()); err != nil || stopKind(m) != StopUnstable {
		t.Errorf("RunPages() = %v, %v; want a manifest that says what stopped it", m, err)
	}
}

// TestVisitPages: the API finds pages of visits by number and size, so the results before a page
// must fill whole pages of its size; and no more is bought than is wanted or affordable.
func TestVisitPages(t *testing.T) {
	for _, tt := range []struct {
		results, want, left int64
		size                int
		expect              Page
	}{
		{0, 0, -1, 100, pageOf(1, 0, 100, "")},
		{0, 10, -1, 100, pageOf(1, 0, 10, "")},
		{10, 50, -1, 100, pageOf(2, 10, 10, "")},
		{100, 150, -1, 100, pageOf(3, 100, 50, "")},
		{100, 0, -1, 70, pageOf(3, 100, 50, "")},
		{60, 0, 7, 100, pageOf(11, 60, 6, "")},
		{7, 0, -1, 5, pageOf(8, 7, 1, "")},
	} {
		p := &PagedQuery{Query: &Query{Ask: VisitsAsk{PageSize: tt.size}}, MaxTotal: tt.want}
		if tt.left >= 0 {
			p.RemainingCredits = func() int64 { return tt.left }
		}
		pages := pager{PagedQuery: p, query: p.Query, cursor: Cursor{Results: tt.results, Offset: tt.results}}
		if got := pages.nextPage(); *got != tt.expect {
			t.Errorf("after %d results, of %d wanted, pages of %d, %d credits left: %+v, want %+v", tt.results, tt.want, tt.size, tt.left, *got, tt.expect)
		}
	}
}

// TestPageSize: a page is as large as its answer may be, and visits keep to whole pages of one size.
func TestPageSize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ask    Ask
		before int64
		fits   int64
		expect Page
	}{
		{LookalikeAsk{PageSize: 50}, 0, 1000, pageOf(1, 0, 50, "")},
		{LookalikeAsk{PageSize: 50}, 30, 12, pageOf(1, 30, 12, "")},
		{VisitsAsk{PageSize: 100}, 100, 40, pageOf(5, 100, 25, "")},
		{VisitsAsk{PageSize: 100}, 7, 1, pageOf(8, 7, 1, "")},
	} {
		p := &PagedQuery{Query: &Query{Ask: tt.ask}, MaxPage: func(_ *Query, n int64) int64 { return min(n, tt.fits) }}
		pages := pager{PagedQuery: p, query: p.Query, cursor: Cursor{Results: tt.before, Offset: tt.before}}
		if got := pages.nextPage(); *got != tt.expect {
			t.Errorf("after %d results, of which %d fit: %+v, want %+v", tt.before, tt.fits, *got, tt.expect)
		}
	}
}

// TestCeilings: the maximum cost of a call, by service.
func TestCeilings(t *testing.T) {
	items := func(n int, page *Page) []Item { return slices.Repeat([]Item{{Page: page}}, n) }
	for _, tt := range []struct {
		name string
		b    Batch
		want int64
	}{
		{"signals", Batch{Query: &Query{Ask: SignalsAsk{Types: []string{"a", "b"}, MaxResults: 10}, Price: 3}, Items: items(7, nil)}, 420},
		{"signals at a price that nobody stated", Batch{Query: &Query{Ask: SignalsAsk{Types: []string{"a"}, MaxResults: 10}}, Items: items(7, nil)}, 70},
		{"a search", Batch{Query: &Query{Ask: SearchAsk{}, Price: 1, Per: 25}, Items: items(100, nil)}, 4},
		{"a search of one more than a block", Batch{Query: &Query{Ask: SearchAsk{}, Price: 2, Per: 25}, Items: items(26, nil)}, 4},
		{"scores", Batch{Query: &Query{Ask: ScoreAsk{}}, Items: items(9, nil)}, 9},
		{"a page", Batch{Query: &Query{Ask: LookalikeAsk{PageSize: 50}, Price: 2}, Items: items(1, &Page{Limit: 20})}, 40},
	} {
		if got := tt.b.Ceiling(); got != tt.want {
			t.Errorf("%s: Ceiling() = %d, want %d", tt.name, got, tt.want)
		}
	}
	q := &Query{Ask: SearchAsk{}, Per: 25}
	for credits, want := range map[int64]int{-1: 0, 0: 0, 1: 25, 3: 75, 4: 80, 1000: 80} {
		if got := q.MaxEntities(80, credits); got != want {
			t.Errorf("MaxEntities(80, %d) = %d, want %d", credits, got, want)
		}
	}
}
