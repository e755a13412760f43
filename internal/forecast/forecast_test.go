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
