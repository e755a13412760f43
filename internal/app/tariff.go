package app

import (
	"slices"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
)

// publishedPrices are what actions cost by the vendor's public page; credits for
// every started so many results. Of site visits nothing is published: one credit
// for each is assumed.
var publishedPrices = map[string]pipeline.UnitPrice{"api_search": {Credits: 1, PerQuantity: 25}}

// newTariff is the tariff that the account states.
func newTariff(u *lusha.Usage) pipeline.Tariff {
	t := pipeline.Tariff{Prices: u.Prices}
	for _, action := range []string{"showSignalsContact", "showSignalsCompany"} {
		if p, ok := u.Prices[action]; ok {
			t.Price = max(t.Price, p.Credits) // for every started PerQuantity: one event at worst
		}
	}
	return t
}

// earlierTariff is the tariff that the account stated when the newest run with prices
// began, and the day of that; the day is empty if no run has prices.
func earlierTariff(runs []*ledger.Run) (t pipeline.Tariff, day string) {
	for _, r := range slices.Backward(runs) {
		if r.Inbox == nil && len(r.Prices) > 0 { // a publication repeats those of an earlier run
			return r.Tariff, r.FirstStarted.UTC().Format(time.DateOnly)
		}
	}
	return t, ""
}

// priceQueries states in questions what their answers cost at the most. Of signals, an
// event costs at worst what the list has for a started quantity of them.
func priceQueries(queries []pipeline.Query, t pipeline.Tariff) {
	for i := range queries {
		q := &queries[i]
		p, known := t.Prices[q.Action()]
		if !known || p.Credits < 0 {
			p = publishedPrices[q.Action()]
		}
		q.Price, q.Per = max(p.Credits, 1), 0
		if q.Service() != pipeline.Signals && p.PerQuantity > 1 {
			q.Per = p.PerQuantity
		}
	}
}
