package ledger

import (
	"context"
	"slices"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Coverage says what was bought for an account before: by its own identifier or by the id that
// was found for it, whichever is in doubt or has fewer missing types: the entity may have been
// bought by its id, or by another name. V2 requests by any identifier, so the id matters
// there only where something is missing and a search has found it.
func (p *Purchases) Coverage(ctx context.Context, a *schema.Account, q *pipeline.Query) pipeline.Coverage {
	known := p.coverageByIdentity(ctx, a, q)
	missing := len(known.Missing(q))
	switch {
	case q.Service() != pipeline.Signals || a.ID != "":
		return known
	case q.APIVersion == pipeline.V2 && (known.InDoubt != nil || missing == 0 || !p.wasSearched(a)):
		return known
	}
	if found := p.Resolve(ctx, a); found.Entity.ID != "" {
		byID := *a
		byID.ID = found.Entity.ID
		if other := p.coverageByIdentity(ctx, &byID, q); other.InDoubt != nil || len(other.Missing(q)) < missing {
			return other
		}
	}
	return known
}

// wasSearched reports whether an account's identifier was ever searched.
func (p *Purchases) wasSearched(a *schema.Account) bool {
	return len(p.state.settledCalls(pipeline.IdentityOf(a), func(c *Call) bool { return c.Query.Service() == pipeline.Search })) > 0
}

func (p *Purchases) coverageByIdentity(ctx context.Context, a *schema.Account, q *pipeline.Query) (known pipeline.Coverage) {
	key := pipeline.IdentityOf(a)
	calls := p.state.settledCalls(key, func(c *Call) bool { return p.include(c.Run) })
	if len(calls) == 0 {
		return known
	}
	known.Signals = make([]pipeline.SignalCoverage, len(q.ResultTypes()))
	var writtenOff *pipeline.InDoubtCall
	for i, signal := range q.ResultTypes() {
		answered, bought, allEmpty, lowerCap := false, false, true, 0
		var inDoubt *pipeline.InDoubtCall
		for _, c := range calls {
			state := p.archive.callCoverage(ctx, c, key, q, signal)
			switch {
			case state == pipeline.CoverageNone:
				bought = bought || c.Outcome == pipeline.Charged && queryOverlaps(c.Query, q, signal)
			case state == pipeline.CoverageCapped:
				bought, lowerCap = true, max(lowerCap, c.Query.MaxResults())
			case c.Outcome == pipeline.InDoubt && (c.Decision == "" || c.Decision == WriteOff):
				if inDoubt != nil && !inDoubt.WrittenOff {
					break // an undecided call takes precedence over one that was written off
				}
				inDoubt = inDoubtCall(c)
			case c.Outcome == pipeline.InDoubt:
				known.RiskOfDoubleCharge = true
			default:
				known.Call = c.Run.ID + "/" + c.ID
				answered = true
				allEmpty = allEmpty && state == pipeline.CoverageEmpty
			}
		}
		s := &known.Signals[i]
		switch { // an answer settles what was in doubt before
		case answered && allEmpty:
			s.State = pipeline.CoverageEmpty
		case answered:
			s.State = pipeline.CoverageFull
		case inDoubt != nil && inDoubt.WrittenOff:
			s.State, writtenOff = pipeline.CoverageWrittenOff, inDoubt
		default:
			s.Repurchased = bought
			if lowerCap > 0 {
				s.State, s.Cap = pipeline.CoverageCapped, lowerCap
			}
			if inDoubt != nil {
				known.InDoubt = inDoubt
			}
		}
	}
	if len(known.Missing(q)) == 0 {
		known.InDoubt = writtenOff // else the missing types are requested
	}
	return known
}

// callCoverage says how far a call's answer about an identity answers a signal type of a
// query. If only the call's cap was too low and the answer did not reach it, a higher cap
// returns nothing more.
func (a *archive) callCoverage(ctx context.Context, c *Call, key pipeline.Identity, wanted *pipeline.Query, signal string) pipeline.CoverageState {
	filteredLocally := c.Query.FiltersClientSide(signal)
	if queryCovers(c.Query, wanted, signal) && (!filteredLocally || wanted.FiltersClientSide(signal)) {
		return pipeline.CoverageFull
	}
	if c.Outcome != pipeline.Charged && c.Outcome != pipeline.NotCharged { // no answer with events to count
		return pipeline.CoverageNone
	}
	if !queryCoversUncapped(c.Query, wanted, signal) {
		return pipeline.CoverageNone
	}
	return a.answerCoverage(ctx, c, key, signal)
}

// queryCovers reports whether a purchase with one query answers a signal type of another:
// the first returned everything that the second can return. A longer window and a higher
// cap include the shorter and the lower one, because the API keeps the newest events.
func queryCovers(bought, wanted *pipeline.Query, signal string) bool {
	return bought.MaxResults() >= wanted.MaxResults() && queryCoversUncapped(bought, wanted, signal)
}

// queryCoversUncapped reports whether a purchase answers a signal type of another query if no
// entity reached the purchase's cap.
func queryCoversUncapped(bought, wanted *pipeline.Query, signal string) bool {
	if bought.Object != wanted.Object || bought.Service() != wanted.Service() || !slices.Contains(bought.ResultTypes(), signal) ||
		bought.Until != wanted.Until || bought.Since > wanted.Since {
		return false
	}
	// A broader filter is not enough: an answer that reached its cap may lack events that
	// pass the narrower filter.
	return bought.SameFilters(wanted, signal)
}

// queryOverlaps reports whether a query requests a signal type again that was bought the same
// day with another query.
func queryOverlaps(bought, wanted *pipeline.Query, signal string) bool {
	return bought.Object == wanted.Object && bought.Service() == wanted.Service() && bought.Until == wanted.Until && slices.Contains(bought.ResultTypes(), signal)
}

// answerCoverage says whether a call returned no event of a type about an identity, as many
// as its cap allows, or fewer. It reads the answer once, and only for a query with a higher
// cap: old ledgers have no record of these counts, and they would take memory.
func (a *archive) answerCoverage(ctx context.Context, c *Call, key pipeline.Identity, signal string) pipeline.CoverageState {
	p := a.cachedPairs(ctx, c)
	switch {
	case p == nil || slices.Contains(p.capped[signal], key):
		// Nothing is known about an answer that cannot be read. Verify reports it, and
		// what is missing in the lake must not count as bought.
		return pipeline.CoverageCapped
	case slices.Contains(p.some[signal], key):
		return pipeline.CoverageFull
	}
	return pipeline.CoverageEmpty
}

// MayRepurchase reports whether any of the queries requests more of what was bought the same
// day, so that events may be paid for twice.
func (l *Ledger) MayRepurchase(wanted []pipeline.Query) bool {
	for _, bought := range l.state.queries {
		for _, w := range wanted {
			if slices.ContainsFunc(w.ResultTypes(), func(s string) bool { return queryOverlaps(&bought, &w, s) && !queryCovers(&bought, &w, s) }) {
				return true
			}
		}
	}
	return false
}
