package ledger

import (
	"cmp"
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
	known, found := p.coverageByIdentities(ctx, a, q)
	if missing := known.Missing(q); p.passes != nil && len(missing) > 0 {
		known.RepeatedInDoubt = append(known.RepeatedInDoubt, p.passedOver(ctx, pipeline.IdentityOf(a), q, missing)...)
		if found != "" {
			known.RepeatedInDoubt = append(known.RepeatedInDoubt, p.passedOver(ctx, pipeline.IdentityByID(a.Object, found), q, missing)...)
		}
	}
	return known
}

// coverageByIdentities is Coverage without the calls that a refresh repeats. found is the id that
// was looked up for the account; empty: none.
func (p *Purchases) coverageByIdentities(ctx context.Context, a *schema.Account, q *pipeline.Query) (known pipeline.Coverage, found string) {
	known = p.coverageByIdentity(ctx, a, q)
	missing := len(known.Missing(q))
	switch {
	case q.Service() != pipeline.Signals || a.ID != "":
		return known, ""
	case q.APIVersion == pipeline.V2 && (known.InDoubt != nil || missing == 0 || !p.wasSearched(a)):
		return known, ""
	}
	if found = p.Resolve(ctx, a).Entity.ID; found != "" {
		byID := *a
		byID.ID = found
		if other := p.coverageByIdentity(ctx, &byID, q); other.InDoubt != nil || len(other.Missing(q)) < missing {
			return other, found
		}
	}
	return known, found
}

// passedOver are the undecided calls that a refresh repeats: those that may have bought missing
// signal types of a query and that no later answer replaces. An answer that came before such a call
// settles nothing about it.
func (p *Purchases) passedOver(ctx context.Context, key pipeline.Identity, q *pipeline.Query, missing []string) (repeated []*pipeline.InDoubtCall) {
	calls := p.state.settledCalls(key, func(*Call) bool { return true })
	slices.SortFunc(calls, func(a, b *Call) int { return a.number - b.number })
	for _, c := range calls {
		mayHaveBought := func(signal string) bool {
			return windowsOverlap(c.Query, q, signal) && !p.archive.wasBoughtAgain(ctx, c, calls, key, signal)
		}
		if c.InDoubt() && p.passes(c.Run) && slices.ContainsFunc(missing, mayHaveBought) {
			repeated = append(repeated, inDoubtCall(c))
		}
	}
	return repeated
}

// wasSearched reports whether an account's identifier was ever searched.
func (p *Purchases) wasSearched(a *schema.Account) bool {
	return len(p.state.settledCalls(pipeline.IdentityOf(a), func(c *Call) bool { return c.Query.Service() == pipeline.Search })) > 0
}

func (p *Purchases) coverageByIdentity(ctx context.Context, a *schema.Account, q *pipeline.Query) (known pipeline.Coverage) {
	key := pipeline.IdentityOf(a)
	if p.state.past.leftBehind(q.Until) {
		p.ledger.needPast(ctx)
	}
	calls := p.state.settledCalls(key, func(c *Call) bool { return p.include(c.Run) })
	if len(calls) == 0 {
		return known
	}
	slices.SortFunc(calls, func(a, b *Call) int { return a.number - b.number })
	known.Signals = make([]pipeline.SignalCoverage, len(q.ResultTypes()))
	var writtenOff *pipeline.InDoubtCall
	for i, signal := range q.ResultTypes() {
		pair := p.archive.pairHistory(ctx, calls, key, q, signal)
		known.RiskOfDoubleCharge = known.RiskOfDoubleCharge || pair.released
		pair.cut.limit(&known, &known.Signals[i])
		if pair.answeredBy != nil {
			known.Call = callName(pair.answeredBy)
		}
		s := &known.Signals[i]
		switch { // an answer settles what was in doubt before
		case pair.answeredBy == nil && s.MaxResults > 0 && pair.lowerCap >= s.MaxResults && pair.inDoubt == nil:
			s.State, known.Call, known.Truncated = pipeline.CoverageFull, callName(pair.cappedBy), pair.lowerCap
		case pair.answeredBy != nil && pair.allEmpty:
			s.State = pipeline.CoverageEmpty
		case pair.answeredBy != nil:
			s.State = pipeline.CoverageFull
		case pair.inDoubt == nil && pair.writtenOff != nil:
			s.State, writtenOff = pipeline.CoverageWrittenOff, inDoubtCall(pair.writtenOff)
		default:
			s.Repurchased = pair.bought
			if pair.lowerCap > 0 {
				s.State, s.Cap = pipeline.CoverageCapped, pair.lowerCap
			}
			if pair.inDoubt != nil {
				known.InDoubt = inDoubtCall(pair.inDoubt)
			}
			for _, c := range pair.otherDays {
				known.RepeatedInDoubt = append(known.RepeatedInDoubt, inDoubtCall(c))
			}
		}
	}
	if len(known.Missing(q)) == 0 {
		known.InDoubt = writtenOff // else the missing types are requested
	}
	return known
}

// pairHistory is what earlier calls say about one identity and signal type of a query.
type pairHistory struct {
	answeredBy *Call // the last of those that answer the query
	allEmpty   bool  // all of them, without an event
	lowerCap   int   // the highest lower cap that was reached
	cappedBy   *Call // with that cap
	bought     bool  // a part of it the same day
	inDoubt    *Call // undecided; may have bought a part of it the same day
	otherDays  []*Call
	writtenOff *Call
	released   bool        // a call in doubt was decided, and may be repeated
	cut        requestSize // of the smallest call with an answer that was cut; zero: there is none
}

// requestSize is how much a call requested.
type requestSize struct{ entities, types, maxResults int }

func sizeOf(c *Call) requestSize {
	return requestSize{c.Entities, len(c.Query.ResultTypes()), c.Query.MaxResults()}
}

// less orders requests: a batch is divided by entities, then by signal types, then by results.
func (s requestSize) less(o requestSize) bool {
	return cmp.Or(cmp.Compare(s.entities, o.entities), cmp.Compare(s.types, o.types), cmp.Compare(s.maxResults, o.maxResults)) < 0
}

// includes reports whether a request is at least as large in every respect.
func (s requestSize) includes(o requestSize) bool {
	return s.entities >= o.entities && s.types >= o.types && s.maxResults >= o.maxResults
}

// limit makes what is requested next smaller than a request with an answer that was cut.
func (s requestSize) limit(c *pipeline.Coverage, signal *pipeline.SignalCoverage) {
	lower := func(limit *int, n int) {
		if *limit == 0 || n/2 < *limit {
			*limit = max(n/2, 1)
		}
	}
	if s.entities > 0 {
		lower(&c.MaxBatch, s.entities)
	}
	if s.entities == 1 {
		lower(&c.MaxTypes, s.types)
	}
	if s.entities == 1 && s.types == 1 {
		lower(&signal.MaxResults, s.maxResults)
	}
}

// longAnswer is the length from which on it may be why an answer was cut on its way. Shorter ones
// are cut for other reasons, which say nothing about the next answer.
const longAnswer = 1 << 20

// pairHistory compares answers by coverage, since an answer to less leaves something to buy,
// and calls in doubt by overlap, since any part of what they requested may be paid for.
func (a *archive) pairHistory(ctx context.Context, calls []*Call, key pipeline.Identity, q *pipeline.Query, signal string) pairHistory {
	h := pairHistory{allEmpty: true}
	for _, c := range calls {
		state, overlaps := a.callCoverage(ctx, c, key, q, signal), queryOverlaps(c.Query, q, signal)
		h.learnCut(c, q, signal, overlaps)
		switch {
		case c.InDoubt():
			switch {
			case !windowsOverlap(c.Query, q, signal) || a.wasBoughtAgain(ctx, c, calls, key, signal):
			case overlaps:
				h.inDoubt = c
			default:
				h.otherDays = append(h.otherDays, c)
			}
		case c.Outcome == pipeline.InDoubt && c.Decision == WriteOff && state != pipeline.CoverageNone:
			h.writtenOff = c
		case c.Outcome == pipeline.InDoubt && c.Decision == WriteOff:
			h.bought = h.bought || overlaps
		case c.Outcome == pipeline.InDoubt:
			h.released = h.released || overlaps
		case state == pipeline.CoverageNone:
			h.bought = h.bought || c.Outcome == pipeline.Charged && overlaps
		case state == pipeline.CoverageCapped:
			if h.bought = true; c.Query.MaxResults() > h.lowerCap {
				h.lowerCap, h.cappedBy = c.Query.MaxResults(), c
			}
		default:
			h.answeredBy = c
			h.allEmpty = h.allEmpty && state == pipeline.CoverageEmpty
		}
	}
	return h
}

// learnCut notes that an answer to a call was cut, also one about another day's window if it was
// long: the answer to the same request would be as long. An answer that came whole to a request of
// that size says that it can.
func (h *pairHistory) learnCut(c *Call, q *pipeline.Query, signal string, overlaps bool) {
	size := sizeOf(c)
	switch {
	case !windowsOverlap(c.Query, q, signal):
	case c.Outcome == pipeline.Charged && size.includes(h.cut):
		h.cut = requestSize{}
	case c.Outcome != pipeline.InDoubt || !c.cut || h.cut.entities > 0 && !size.less(h.cut):
	case overlaps && !c.InDoubt(), !overlaps && c.length >= longAnswer: // the same request is held while it is undecided
		h.cut = size
	}
}

// wasBoughtAgain reports whether one of the calls answers all that a call in doubt requested of
// a pair, as after a refresh: then the call in doubt holds nothing of it any more.
func (a *archive) wasBoughtAgain(ctx context.Context, inDoubt *Call, calls []*Call, key pipeline.Identity, signal string) bool {
	return slices.ContainsFunc(calls, func(c *Call) bool {
		return c.number > inDoubt.number && c.Outcome == pipeline.Charged && a.callCoverage(ctx, c, key, inDoubt.Query, signal) >= pipeline.CoverageEmpty
	})
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

// windowsOverlap reports whether two queries request a signal type for windows that share a
// day: both may buy the events of that day.
func windowsOverlap(bought, wanted *pipeline.Query, signal string) bool {
	return bought.Object == wanted.Object && bought.Service() == wanted.Service() && slices.Contains(bought.ResultTypes(), signal) &&
		bought.Since <= wanted.Until && wanted.Since <= bought.Until
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
// day, or what a call in doubt may have bought on any day, so that events may be paid for twice.
func (p *Purchases) MayRepurchase(wanted []pipeline.Query) bool {
	for _, w := range wanted {
		if p.ledger.loadRecent(context.Background()) != nil || p.state.past.leftBehind(w.Until) {
			return true // it is not known, and to say so costs only time
		}
		for _, bought := range p.state.queries {
			if bought != nil && slices.ContainsFunc(w.ResultTypes(), func(s string) bool { return queryOverlaps(bought, &w, s) && !queryCovers(bought, &w, s) }) {
				return true
			}
		}
	}
	for _, c := range p.ledger.CallsInDoubt() {
		for _, w := range wanted {
			if slices.ContainsFunc(w.ResultTypes(), func(s string) bool { return windowsOverlap(c.Query, &w, s) }) {
				return true
			}
		}
	}
	return false
}
