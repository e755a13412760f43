package ledger

import (
	"slices"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/pipeline"
)

// History is what the calls of this journal returned and cost, question by
// question, oldest question first.
func (l *Ledger) History() []forecast.History {
	var out []forecast.History
	for number := range len(l.queries) {
		if e := l.history[number+1]; e != nil {
			out = append(out, *e)
		}
	}
	return out
}

// addToHistory adds a settled call to the experience with its question: one whose
// charge is known, or one that was certainly free because the API knew none of
// its entities. identities are those that its answer decided about. One that asked
// for more of what had reached its cap teaches nothing about others.
func (l *Ledger) addToHistory(c *Call, k kind, h *outcomeRecord, identities []byte) {
	free := k == kindNotCharged && len(identities) > 0
	if !free && (k != kindCharged || h.Credits == nil || h.Total == nil) || l.raisesCap(c, identities) {
		return
	}
	e := l.history[c.queryNumber]
	if e == nil {
		e = &forecast.History{Query: *c.Query, BySignal: map[string]forecast.Moments{}}
		l.history[c.queryNumber] = e
	}
	e.Calls++
	e.Took += c.duration
	e.Entities += int64(c.Entities)
	if free { // no event, no pair, no credit: every price list agrees
		e.PerEvent++
		e.PerPair++
		return
	}
	price, pairs := max(c.Query.Price, c.Run.Price, 1), int64(0)
	for signal, t := range h.Events {
		e.BySignal[signal] = e.BySignal[signal].Add(t)
		pairs += t.Hits
	}
	e.All = e.All.Add(*h.Total)
	e.Credits += *h.Credits
	if *h.Credits == h.Total.Events*price {
		e.PerEvent++
	}
	if *h.Credits == pairs*price {
		e.PerPair++
	}
}

// raisesCap reports whether a call asked about any of its identities with a higher
// cap than one before: it was chosen for having much.
func (l *Ledger) raisesCap(c *Call, identities []byte) bool {
	hasLowerCap := func(q *pipeline.Query) bool {
		return q.MaxResults < c.Query.MaxResults && slices.ContainsFunc(c.Query.Signals, func(s string) bool { return queryOverlaps(q, c.Query, s) })
	}
	if !slices.ContainsFunc(l.queries, func(q pipeline.Query) bool { return hasLowerCap(&q) }) {
		return false
	}
	for chunk := range slices.Chunk(identities, len(pipeline.Identity{})) {
		for n := range l.index.Values(pipeline.Identity(chunk)) {
			if hasLowerCap(l.calls[n-1].Query) {
				return true
			}
		}
	}
	return false
}
