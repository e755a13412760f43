package pipeline

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// searchVendor is a vendor that knows the owners of domains and sells ids and signals, and a ledger
// that remembers its answers. Companies without "known" in their domain are not found; one with
// "same" is the same as "known0.example".
type searchVendor struct {
	noLedger
	mu          sync.Mutex
	resolutions map[Identity]Resolution
	asked       []string // "search 3", "signals 2": calls with their entities
	failService string   // service with calls that are stopped
}

func (g *searchVendor) Resolve(_ context.Context, a *schema.Account) Resolution {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.resolutions[IdentityOf(a)]
}

func (g *searchVendor) Fetch(_ context.Context, b *Batch) (*Reply, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	name := "signals"
	if b.Query.Service() == Search {
		name = "search"
	}
	if g.failService == name {
		return NewReply(b, "no credits"), &Stop{Kind: StopCredits, Reason: "no credits"}
	}
	g.asked = append(g.asked, fmt.Sprintf("%s %d", name, len(b.Items)))
	c := Call{ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Object: b.Query.Object, Entities: len(b.Items), Ceiling: b.Ceiling(), Sent: epoch, Outcome: Charged}
	reply := &Reply{Items: make([]ItemReply, len(b.Items))}
	results := int64(0)
	for i := range b.Items {
		item := &b.Items[i]
		a := ItemReply{CallID: c.ID, Status: schema.NotFound, Reason: "unknown"}
		switch domain := item.Account.Domain; {
		case b.Query.Service() == Signals:
			a = ItemReply{CallID: c.ID, Status: schema.Enriched, Entity: schema.Entity{Object: schema.Company, ID: item.EntityID()},
				Events: []RawEvent{{Type: "surgeInHiring", Raw: fmt.Appendf(nil, `{"signalId":"s-%s","signalDate":"2026-04-01"}`, item.EntityID())}}}
			results++
		case strings.Contains(domain, "known"):
			id := "id-" + domain
			if strings.Contains(domain, "same") {
				id = "id-known0.example"
			}
			a = ItemReply{CallID: c.ID, Status: schema.Resolved, Entity: schema.Entity{Object: schema.Company, ID: id}, Events: []RawEvent{{Type: schema.ProductMatch, Raw: []byte(`{"id":"` + id + `"}`)}}}
			results++
		case strings.Contains(domain, "secret"):
			a.Status, a.Reason = schema.Restricted, "may not be spoken of"
		case strings.Contains(domain, "later"):
			a.Status, a.Reason = schema.Deferred, "could not be looked up"
		}
		if b.Query.Service() == Search {
			resolution := Resolution{Entity: a.Entity, Call: c.ID}
			if a.Status != schema.Resolved {
				resolution.Status = a.Status
			}
			if a.Status != schema.Deferred {
				g.resolutions[IdentityOf(&item.Account)] = resolution
			}
		}
		reply.Items[i] = a
	}
	c.Charge = Charge{Known: true, Credits: b.Query.CostOf(results)}
	reply.Calls = []Call{c}
	return reply, nil
}

// TestSearchFirst: lines without an id are searched for first, in full batches. Entities that are
// found are requested by id, each once; the search decides the status of the other lines; and the
// cost of a search is on its lines.
func TestSearchFirst(t *testing.T) {
	var accounts []schema.Account
	add := func(a schema.Account) {
		a.Row, a.Line, a.Object = int64(len(accounts)+1), int64(len(accounts)+1), schema.Company
		a.Key = fmt.Sprint("k", a.Row)
		accounts = append(accounts, a)
	}
	for n := range 30 {
		add(schema.Account{Domain: fmt.Sprintf("known%d.example", n)})
	}
	add(schema.Account{Domain: "same-known.example"})
	add(schema.Account{Domain: "known3.example"}) // a second time
	add(schema.Account{ID: "77"})
	add(schema.Account{Domain: "nobody.example"})
	add(schema.Account{Domain: "secret.example"})
	add(schema.Account{Domain: "later.example"})
	add(schema.Account{Reject: &schema.Reject{Reason: "no"}})

	ask := &Query{Object: schema.Company, APIVersion: V3, Ask: SignalsAsk{Types: []string{"surgeInHiring"}, MaxResults: 5}, Since: "2026-01-01", Until: "2026-05-07"}
	search := &Query{Object: schema.Company, APIVersion: V3, Ask: SearchAsk{}, Per: 25}
	for _, concurrency := range []int{1, 7} {
		g, sink := &searchVendor{resolutions: map[Identity]Resolution{}}, &memorySink{}
		runner := &Runner{
			Fetcher: g, Purchases: g, Sink: sink, Spec: RunSpec{ID: "run-1"}, BatchSize: 10, Concurrency: concurrency, Now: func() time.Time { return epoch },
			Queries: map[schema.Object]*Query{schema.Company: ask}, Searches: map[schema.Object]*Query{schema.Company: search},
			Reopen: func() (Source, error) { return list{accounts: accounts}, nil },
		}
		plan, err := runner.Plan(t.Context(), list{accounts: accounts})
		if err != nil {
			t.Fatal(err)
		}
		if plan.Calls() != 4+4 || plan.Entities() != 35 || plan.Ceiling() != 4+35*5 {
			t.Errorf("Plan(): %d calls, %d entities, %d credits at most; want 8, 35 and 179", plan.Calls(), plan.Entities(), plan.Ceiling())
		}
		m, err := runner.Run(t.Context(), list{accounts: accounts})
		if err != nil {
			t.Fatal(err)
		}
		want := map[schema.Status]int64{
			schema.Enriched: 31, schema.Duplicate: 2, schema.NotFound: 1, schema.Restricted: 1, schema.Deferred: 1, schema.Rejected: 1,
		}
		if diff := cmp.Diff(want, m.Accounts.ByStatus); diff != "" {
			t.Errorf("concurrency %d: lines by status (-want +got):\n%s", concurrency, diff)
		}
		calls := map[string]int{}
		for _, c := range g.asked {
			calls[c]++
		}
		if diff := cmp.Diff(map[string]int{"search 10": 3, "search 4": 1, "signals 10": 3, "signals 1": 1}, calls); diff != "" {
			t.Errorf("concurrency %d: calls (-want +got):\n%s", concurrency, diff)
		}
		if diff := cmp.Diff(map[string]int64{"api_search": 4, "showSignalsCompany": 31}, m.Credits.ByAction); diff != "" {
			t.Errorf("concurrency %d: credits (-want +got):\n%s", concurrency, diff)
		}
		var onLines int64
		for _, row := range sink.read("accounts") {
			onLines += row.int("credits")
		}
		if onLines != 35 {
			t.Errorf("concurrency %d: the lines have %d credits, want the 35 that were charged", concurrency, onLines)
		}
		if got := len(sink.read(string(schema.CategoryIdentities))); got != 31 {
			t.Errorf("concurrency %d: %d identities, want 31", concurrency, got)
		}

		// The same list again: nothing known is searched for.
		g.asked = nil
		runner.Sink = &memorySink{}
		if _, err := runner.Run(t.Context(), list{accounts: accounts}); err != nil {
			t.Fatal(err)
		}
		searched := 0
		for _, c := range g.asked {
			if strings.HasPrefix(c, "search") {
				searched++
			}
		}
		if searched != 1 || !strings.Contains(strings.Join(g.asked, " "), "search 1") {
			t.Errorf("concurrency %d: calls of the second run = %v, want one search, for the deferred line", concurrency, g.asked)
		}
	}
}

// TestSearchStopped: if a search stops the run, no signal is requested, and the lines without an id
// are deferred.
func TestSearchStopped(t *testing.T) {
	accounts := []schema.Account{{Row: 1, Object: schema.Company, Domain: "known1.example"}, {Row: 2, Object: schema.Company, ID: "77"}}
	g, sink := &searchVendor{resolutions: map[Identity]Resolution{}, failService: "search"}, &memorySink{}
	runner := &Runner{
		Fetcher: g, Purchases: g, Sink: sink, Spec: RunSpec{ID: "run-1"}, Now: func() time.Time { return epoch },
		Queries:  map[schema.Object]*Query{schema.Company: {Object: schema.Company, APIVersion: V3, Ask: SignalsAsk{Types: []string{"surgeInHiring"}, MaxResults: 5}}},
		Searches: map[schema.Object]*Query{schema.Company: {Object: schema.Company, APIVersion: V3, Ask: SearchAsk{}}},
		Reopen:   func() (Source, error) { return list{accounts: accounts}, nil },
	}
	m, err := runner.Run(t.Context(), list{accounts: accounts})
	if err != nil {
		t.Fatal(err)
	}
	if m.Accounts.ByStatus[schema.Deferred] != 2 || len(g.asked) != 0 || stopKind(m) != StopCredits {
		t.Errorf("lines %v, calls %v, stopped for %q; want two deferred, no call, credits", m.Accounts.ByStatus, g.asked, stopKind(m))
	}
	for _, row := range sink.read("accounts") {
		if row.text("reason") != "no credits" {
			t.Errorf("row %d: reason %q, want the reason of the stop", row.int("row"), row.text("reason"))
		}
	}
}
