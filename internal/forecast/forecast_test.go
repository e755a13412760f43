package forecast

import (
	"fmt"
	"testing"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// newQuery is a question about so many types that nothing filters.
func newQuery(object schema.Object, types, limit int, since string) *pipeline.Query {
	ask := pipeline.SignalsAsk{MaxResults: limit}
	for i := range types {
		ask.Types = append(ask.Types, fmt.Sprintf("type%d", i))
	}
	return &pipeline.Query{Object: object, Ask: ask, Since: since, Until: "2026-03-31"}
}

// newHistory is what entities returned of which each had so many events of type0, and
// none of another type.
func newHistory(q *pipeline.Query, entities, each, price int64) History {
	t := Moments{Hits: entities * min(each, 1), Events: entities * each, SumSquares: entities * each * each}
	return History{
		Query: *q, Calls: 1, Entities: entities, All: t, BySignal: map[string]Moments{"type0": t}, Credits: t.Events * price,
	}
}

// TestEstimateAtTheEdges: where little is known, or a cap hides what happened, a
// forecast may be wide, but must not be low.
func TestEstimateAtTheEdges(t *testing.T) {
	company := func(types, limit int, since string) *pipeline.Query {
		return newQuery(schema.Company, types, limit, since)
	}
	both := []History{newHistory(newQuery(schema.Contact, 1, 10, "2026-01-01"), 1000, 2, 1), newHistory(company(1, 10, "2026-01-01"), 100, 2, 5)}
	for _, tt := range []struct {
		name        string
		past        []History
		q           *pipeline.Query
		entities    int64
		price       int64
		least, most int64 // that P95 may be
	}{
		{"one entity with one event, many types", []History{newHistory(company(50, 10, "2026-01-01"), 1, 1, 1)}, company(50, 10, "2026-01-01"), 1000, 1, 1000, 500_000},
		{"one entity without an event", []History{newHistory(company(50, 10, "2026-01-01"), 1, 0, 1)}, company(50, 10, "2026-01-01"), 1000, 1, 1, 500_000},
		{"one to ask", []History{newHistory(company(1, 10, "2026-01-01"), 1000, 3, 1)}, company(1, 10, "2026-01-01"), 1, 1, 3, 10},
		{"nothing to ask", []History{newHistory(company(1, 10, "2026-01-01"), 1000, 3, 1)}, company(1, 10, "2026-01-01"), 0, 1, 0, 0},
		{"a higher cap", []History{newHistory(company(1, 50, "2026-01-01"), 100, 40, 1)}, company(1, 100, "2026-01-01"), 100, 1, 4000, 10_000},
		{"a shorter window of what reached the cap", []History{newHistory(company(1, 50, "2026-01-01"), 100, 50, 1)}, company(1, 50, "2026-03-01"), 100, 1, 3500, 5000},
		{"companies dearer than contacts", both, company(1, 10, "2026-01-01"), 100, 5, 1000, 2000},
		{"contacts cheaper than companies", both, newQuery(schema.Contact, 1, 10, "2026-01-01"), 100, 5, 200, 400},
	} {
		q := *tt.q
		q.Price = tt.price
		plan := pipeline.Plan{Queries: []pipeline.PlannedQuery{{Query: &q, Entities: tt.entities, Ceiling: q.Ceiling(int(tt.entities))}}}
		e := New(&plan, tt.past)
		if e.P95 < tt.least || e.P95 > tt.most || e.P5 > e.P50 || e.P50 > e.P95 || e.P95 > e.Ceiling || e.P5 < 0 {
			t.Errorf("%s: %d to %d, expected %d, never more than %d; want %d to %d as the upper one", tt.name, e.P5, e.P95, e.P50, e.Ceiling, tt.least, tt.most)
		}
	}
}

// TestChargesEmptyTypes: own bills show whether types or entities without events are charged for. A
// charge for calls without results, and a strange charge or two, do not.
func TestChargesEmptyTypes(t *testing.T) {
	t.Parallel()
	// of is what calls about 100 entities each returned and cost.
	of := func(calls, events, pairs, credits, price int64) History {
		h := History{
			Query: pipeline.Query{Object: schema.Company, Price: price, Ask: pipeline.SignalsAsk{Types: []string{"riskNews"}}},
			Calls: calls, Entities: 100 * calls, All: Moments{Hits: pairs, Events: events}, Credits: credits,
		}
		if credits == events*price {
			h.PerEvent = calls
		}
		if credits == pairs*price {
			h.PerPair = calls
		}
		return h
	}
	search := of(1, 0, 0, 4000, 1)
	search.Query.Ask = pipeline.SearchAsk{}
	for name, c := range map[string]struct {
		history []History
		want    bool
	}{
		"nothing is known":                {nil, false},
		"per event":                       {[]History{of(10, 300, 250, 300, 1)}, false},
		"per event, at another price":     {[]History{of(10, 300, 250, 900, 3)}, false},
		"per type":                        {[]History{of(10, 300, 250, 250, 1)}, false},
		"a credit for each empty call":    {[]History{of(10, 0, 0, 10, 1), of(10, 3, 3, 10, 1)}, false},
		"a credit for 25 entities":        {[]History{of(10, 0, 0, 40, 1)}, false},
		"each type that is requested":     {[]History{of(10, 30, 28, 1000, 1)}, true},
		"each type, at another price":     {[]History{of(10, 30, 28, 3000, 3)}, true},
		"each entity without an event":    {[]History{of(10, 30, 28, 1002, 1)}, true},
		"also in calls with many events":  {[]History{of(30, 8000, 7000, 66_000, 1)}, true},
		"one strange charge among others": {[]History{of(10, 30, 28, 30, 1), of(1, 3, 3, 5000, 1)}, false},
		"of searches":                     {[]History{search}, false},
	} {
		if got := ChargesEmptyTypes(c.history); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// TestForecastOfAskedTypes: where each type that is asked for costs a credit, a plan costs as many as
// it asks, whatever the events.
func TestForecastOfAskedTypes(t *testing.T) {
	t.Parallel()
	before := newQuery(schema.Company, 20, 10, "2026-01-01")
	h := History{Query: *before, Calls: 10, Entities: 1000, All: Moments{Hits: 300, Events: 330}, BySignal: map[string]Moments{"type0": {Hits: 300, Events: 330, SumSquares: 400}}, Credits: 900 * 20}
	q := newQuery(schema.Company, 5, 10, "2026-03-01")
	e := New(&pipeline.Plan{Queries: []pipeline.PlannedQuery{{Query: q, Entities: 400, Calls: 4, Ceiling: 400 * 5 * 10}}}, []History{h})
	if want := int64(400 * 5 * 9 / 10); e.P50 != want || e.P5 != want*9/10 || e.P95 < want*11/10 || e.P95 > want*11/10+1 || e.BySignal["type4"] != want/5 || e.ObservedEntities != 1000 {
		t.Errorf("%+v; want %d credits, a tenth more or less", e, want)
	}
}
