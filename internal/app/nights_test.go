package app

import (
	"testing"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestChargesEmptyTypes: own bills show whether types or entities without events are charged for. A
// charge for calls without results, and a strange charge or two, do not.
func TestChargesEmptyTypes(t *testing.T) {
	t.Parallel()
	// of is what calls about 100 entities each returned and cost.
	of := func(calls, events, pairs, credits, price int64) forecast.History {
		h := forecast.History{
			Query: pipeline.Query{Object: schema.Company, Price: price, Ask: pipeline.SignalsAsk{Types: []string{"riskNews"}}},
			Calls: calls, Entities: 100 * calls, All: forecast.Moments{Hits: pairs, Events: events}, Credits: credits,
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
		history []forecast.History
		want    bool
	}{
		"nothing is known":                {nil, false},
		"per event":                       {[]forecast.History{of(10, 300, 250, 300, 1)}, false},
		"per event, at another price":     {[]forecast.History{of(10, 300, 250, 900, 3)}, false},
		"per type":                        {[]forecast.History{of(10, 300, 250, 250, 1)}, false},
		"a credit for each empty call":    {[]forecast.History{of(10, 0, 0, 10, 1), of(10, 3, 3, 10, 1)}, false},
		"a credit for 25 entities":        {[]forecast.History{of(10, 0, 0, 40, 1)}, false},
		"each type that is requested":     {[]forecast.History{of(10, 30, 28, 1000, 1)}, true},
		"each type, at another price":     {[]forecast.History{of(10, 30, 28, 3000, 3)}, true},
		"each entity without an event":    {[]forecast.History{of(10, 30, 28, 1002, 1)}, true},
		"also in calls with many events":  {[]forecast.History{of(30, 8000, 7000, 66_000, 1)}, true},
		"one strange charge among others": {[]forecast.History{of(10, 30, 28, 30, 1), of(1, 3, 3, 5000, 1)}, false},
		"of searches":                     {[]forecast.History{search}, false},
	} {
		if got := chargesEmptyTypes(c.history); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
