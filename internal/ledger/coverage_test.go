package ledger

import (
	"testing"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestCovers: a query covers exactly the signal types that need not be bought again.
func TestCovers(t *testing.T) {
	ask := pipeline.SignalsAsk{
		Types: []string{"surgeInHiring", "riskNews", "surgeInHiringByLocation"}, MaxResults: 5,
		Filters: pipeline.Filters{NewsEventTypes: []string{"a", "b"}, HiringLocations: []pipeline.Location{{Country: "x"}}},
	}
	base := pipeline.Query{Object: schema.Company, Ask: ask, Since: "2026-02-01", Until: "2026-05-01"}
	with := func(change func(q *pipeline.Query)) *pipeline.Query {
		q := base
		change(&q)
		return &q
	}
	withAsk := func(change func(*pipeline.SignalsAsk)) *pipeline.Query {
		changed := ask
		change(&changed)
		return with(func(q *pipeline.Query) { q.Ask = changed })
	}
	for _, c := range []struct {
		name   string
		wanted *pipeline.Query
		signal string
		want   bool
	}{
		{"the same", &base, "surgeInHiring", true},
		{"another type", &base, "intent", false},
		{"another object", with(func(q *pipeline.Query) { q.Object = schema.Contact }), "surgeInHiring", false},
		{"a later start", with(func(q *pipeline.Query) { q.Since = "2026-03-01" }), "surgeInHiring", true},
		{"an earlier start", with(func(q *pipeline.Query) { q.Since = "2026-01-01" }), "surgeInHiring", false},
		{"the next day", with(func(q *pipeline.Query) { q.Until = "2026-05-02" }), "surgeInHiring", false},
		{"fewer results", withAsk(func(a *pipeline.SignalsAsk) { a.MaxResults = 4 }), "surgeInHiring", true},
		{"more results", withAsk(func(a *pipeline.SignalsAsk) { a.MaxResults = 6 }), "surgeInHiring", false},
		{"a filter in another order", withAsk(func(a *pipeline.SignalsAsk) { a.NewsEventTypes = []string{"b", "a"} }), "riskNews", true},
		{"a narrower filter", withAsk(func(a *pipeline.SignalsAsk) { a.NewsEventTypes = []string{"a"} }), "riskNews", false},
		{"a broader filter", withAsk(func(a *pipeline.SignalsAsk) { a.NewsEventTypes = []string{"a", "b", "c"} }), "riskNews", false},
		{"no filter", withAsk(func(a *pipeline.SignalsAsk) { a.NewsEventTypes = nil }), "riskNews", false},
		{"a filter on another type", withAsk(func(a *pipeline.SignalsAsk) { a.NewsEventTypes = nil }), "surgeInHiring", true},
		{"another place", withAsk(func(a *pipeline.SignalsAsk) { a.HiringLocations = []pipeline.Location{{Country: "y"}} }), "surgeInHiringByLocation", false},
	} {
		if got := queryCovers(&base, c.wanted, c.signal); got != c.want {
			t.Errorf("queryCovers(%s, %s) = %v, want %v", c.name, c.signal, got, c.want)
		}
	}
}
