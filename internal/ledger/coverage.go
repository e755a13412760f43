package ledger

import (
	"context"
	"slices"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Coverage says what any run bought for an account before.
func (l *Ledger) Coverage(ctx context.Context, a *schema.Account, q *pipeline.Query) pipeline.Coverage {
	return l.coverageAmong(ctx, a, q, func(*Run) bool { return true })
}

// coverageAmong is the coverage of an account by its own identifier or by the id that was
// found for it, whichever is in doubt or has fewer missing types: the entity may have been
// bought by its id, or by another name. V2 requests by any identifier, so the id matters
// there only where something is missing and a search has found it.
func (l *Ledger) coverageAmong(ctx context.Context, a *schema.Account, q *pipeline.Query, include func(*Run) bool) pipeline.Coverage {
	known := l.coverageByIdentity(ctx, a, q, include)
	missing := len(known.Missing(q))
	switch {
	case q.Service() != pipeline.Signals || a.ID != "":
		return known
	case q.APIVersion == pipeline.V2 && (known.InDoubt != nil || missing == 0 || !l.wasSearched(a)):
		return known
	}
	if found := l.Resolve(ctx, a); found.Entity.ID != "" {
		byID := *a
		byID.ID = found.Entity.ID
		if other := l.coverageByIdentity(ctx, &byID, q, include); other.InDoubt != nil || len(other.Missing(q)) < missing {
			return other
		}
	}
	return known
}

// wasSearched reports whether an account's identifier was ever searched.
func (l *Ledger) wasSearched(a *schema.Account) bool {
	return len(l.settledCalls(pipeline.IdentityOf(a), func(c *Call) bool { return c.Query.Service() == pipeline.Search })) > 0
}

// settledCalls returns the calls that requested an identity and satisfy a condition. None of
// them changes during the run, since a call enters the index with its outcome: the
// lock, which every call to the API takes, protects the walk only and is not held while
// their records are read.
func (l *Ledger) settledCalls(key pipeline.Identity, include func(*Call) bool) (calls []*Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := range l.index.Values(key) {
		if c := l.calls[n-1]; include(c) {
			calls = append(calls, c)
		}
	}
	return calls
}

func (l *Ledger) coverageByIdentity(ctx context.Context, a *schema.Account, q *pipeline.Query, include func(*Run) bool) (known pipeline.Coverage) {
	key := pipeline.IdentityOf(a)
	calls := l.settledCalls(key, func(c *Call) bool { return include(c.Run) })
	if len(calls) == 0 {
		return known
	}
	known.Signals = make([]pipeline.SignalCoverage, len(q.ResultTypes()))
	var writtenOff *pipeline.InDoubtCall
	for i, signal := range q.ResultTypes() {
		answered, bought, allEmpty, lowerCap := false, false, true, 0
		var inDoubt *pipeline.InDoubtCall
		for _, c := range calls {
			state := l.callCoverage(ctx, c, key, q, signal)
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
func (l *Ledger) callCoverage(ctx context.Context, c *Call, key pipeline.Identity, wanted *pipeline.Query, signal string) pipeline.CoverageState {
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
	return l.answerCoverage(ctx, c, key, signal)
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
func (l *Ledger) answerCoverage(ctx context.Context, c *Call, key pipeline.Identity, signal string) pipeline.CoverageState {
	p := l.cachedPairs(ctx, c)
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

// returnedPairs are the identities with events in a call's answer, by signal type, and those of
// them that reached the call's cap.
type returnedPairs struct {
	some, capped map[string][]pipeline.Identity
}

// cachedPairs reads an answer again, once; nil if it cannot be read.
func (l *Ledger) cachedPairs(ctx context.Context, c *Call) *returnedPairs {
	l.mu.Lock()
	p, known := l.pairCache[c]
	l.mu.Unlock()
	if known {
		return p
	}
	p = l.readPairs(ctx, c)
	if ctx.Err() != nil {
		return p // not readable now, which says nothing about the answer
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pairCache[c] = p
	return p
}

func (l *Ledger) readPairs(ctx context.Context, c *Call) *returnedPairs {
	b, call, err := l.readExchange(ctx, c)
	if err != nil {
		return nil
	}
	items, _ := l.decode(b, call)
	p := &returnedPairs{map[string][]pipeline.Identity{}, map[string][]pipeline.Identity{}}
	for i := range items {
		events := map[string]int{}
		for _, list := range [][]pipeline.RawEvent{items[i].Events, items[i].Filtered} { // the cap counts both
			for _, e := range list {
				events[e.Type]++
			}
		}
		one := pipeline.Batch{Query: b.Query, Items: b.Items[i : i+1]}
		for signal, n := range events {
			keys := answeredIdentities(&one, items[i:i+1])
			p.some[signal] = append(p.some[signal], keys...)
			if n >= c.Query.MaxResults() {
				p.capped[signal] = append(p.capped[signal], keys...)
			}
		}
	}
	return p
}

// MayRepurchase reports whether any of the queries requests more of what was bought the same
// day, so that events may be paid for twice.
func (l *Ledger) MayRepurchase(wanted []pipeline.Query) bool {
	for _, bought := range l.queries {
		for _, w := range wanted {
			if slices.ContainsFunc(w.ResultTypes(), func(s string) bool { return queryOverlaps(&bought, &w, s) && !queryCovers(&bought, &w, s) }) {
				return true
			}
		}
	}
	return false
}

// ForRefresh is the ledger for a run that buys again what was bought before: it has only the
// purchases of the run and of the runs that it continues. nil stands for a run that has not
// begun. Resolved ids are kept and not bought again, unless refreshIDs says that the run is
// about ids.
func (l *Ledger) ForRefresh(r *Run, refreshIDs bool) pipeline.Ledger {
	return refreshView{l, l.SamePurchase(r), refreshIDs}
}

// SamePurchase reports which runs belong to the same refresh: the run itself and those that
// it continues. nil stands for a run that has not begun.
func (l *Ledger) SamePurchase(r *Run) func(*Run) bool {
	own := map[string]bool{}
	isOwn := func(r *Run) bool { return own[r.ID] }
	if r == nil {
		return isOwn
	}
	for id := r.ID; id != ""; {
		own[id] = true
		old, err := l.findRun(id)
		if err != nil || !old.Refresh {
			break
		}
		id = old.Continues
	}
	return isOwn
}

type refreshView struct {
	*Ledger
	include    func(*Run) bool
	refreshIDs bool
}

func (f refreshView) Resolve(ctx context.Context, a *schema.Account) pipeline.Resolution {
	if !f.refreshIDs {
		return f.Ledger.Resolve(ctx, a)
	}
	return f.resolveAmong(ctx, a, f.include)
}

func (f refreshView) Coverage(ctx context.Context, a *schema.Account, q *pipeline.Query) pipeline.Coverage {
	return f.coverageAmong(ctx, a, q, f.include)
}
