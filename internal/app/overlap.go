package app

import (
	"context"
	"fmt"
	"slices"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// overlap is the purchases of a run that asks one window. It counts the pairs of entity and signal
// type that the run asks, and those of which the lake has an event that the window contains: the API
// returns it, and charges for it, again.
type overlap struct {
	pipeline.Purchases
	cursors      *ledger.Cursors
	asked, known int64
}

// newOverlap wraps purchases if an earlier day's window shares a day with one of the queries; else nil.
func newOverlap(ctx context.Context, l *ledger.Ledger, queries []pipeline.Query, purchases pipeline.Purchases) (*overlap, error) {
	shares := func(q *pipeline.Query) bool {
		return q.Service() == pipeline.Signals && slices.ContainsFunc(queries, func(wanted pipeline.Query) bool {
			return wanted.Service() == pipeline.Signals && wanted.Object == q.Object && q.Until < wanted.Until && q.Until >= wanted.Since
		})
	}
	for _, r := range l.Runs() {
		for i := range r.Queries {
			if shares(&r.Queries[i]) {
				cursors, err := l.Cursors(ctx)
				return &overlap{Purchases: purchases, cursors: cursors}, err
			}
		}
	}
	return nil, nil
}

// Coverage is that of the purchases.
func (o *overlap) Coverage(ctx context.Context, a *schema.Account, q *pipeline.Query) pipeline.Coverage {
	coverage := o.Purchases.Coverage(ctx, a, q)
	if q.Service() != pipeline.Signals || coverage.InDoubt != nil {
		return coverage
	}
	identity := pipeline.IdentityOf(a)
	for _, signal := range coverage.Missing(q) {
		o.asked++
		if c, known := o.cursors.Cursor(identity, q, signal); known && c.Newest > 0 && c.Newest >= ledger.DayOf(q.Since) {
			o.known++
		}
	}
	return coverage
}

// text says what share of the window is bought again; empty: none.
func (o *overlap) text() string {
	if o == nil || o.known == 0 {
		return ""
	}
	return fmt.Sprintf("the window overlaps earlier ones: the lake has events of %s of %s pairs of entity and signal (%.0f %%) in it, and they are bought again; --since last buys only what the lake does not have",
		format.Thousands(o.known), format.Thousands(o.asked), 100*float64(o.known)/float64(o.asked))
}
