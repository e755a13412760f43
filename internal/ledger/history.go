package ledger

import (
	"context"
	"slices"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/pipeline"
)

// History is what the calls returned and cost, by query, oldest query first. Of queries that a
// checkpoint has left behind, those that differ in the place of their window only are one.
func (l *Ledger) History() []forecast.History {
	_ = l.loadRecent(context.Background()) // without it, what was recorded since is the history
	out := slices.Clone(l.state.past.history)
	for number := range len(l.state.queries) {
		if e := l.state.history[number+1]; e != nil {
			out = append(out, *e)
		}
	}
	return out
}

// AnswerSizes is what the answers so far say about the length of others. It learns from every call
// that a Recorder of the ledger records.
func (l *Ledger) AnswerSizes() *forecast.AnswerSizes { return &l.state.sizes }

// addToHistory adds a settled call to the history of its query if its charge is known, or if
// it was certainly free because the API knew none of its entities. identities are those that
// its answer decided. A call that raised a cap is left out: its entities were chosen because
// they have many events. So is a delivery, which answers no query.
func (s *state) addToHistory(c *Call, k kind, h *outcomeRecord, identities []byte) {
	if c.isDelivery() {
		return
	}
	free := k == kindNotCharged && len(identities) > 0
	if !free && (k != kindCharged || h.Credits == nil || h.Total == nil) || s.raisesCap(c, identities) {
		return
	}
	e := s.history[c.queryNumber]
	if e == nil {
		e = &forecast.History{Query: *c.Query, BySignal: map[string]forecast.Moments{}}
		s.history[c.queryNumber] = e
	}
	e.Calls++
	e.Took += c.duration
	e.Entities += int64(c.Entities)
	if free { // no event, no pair, no credit: consistent with every price list
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

// raisesCap reports whether a call requested any of its identities with a higher cap than an
// earlier one.
func (s *state) raisesCap(c *Call, identities []byte) bool {
	hasLowerCap := func(q *pipeline.Query) bool {
		return q.MaxResults() < c.Query.MaxResults() && slices.ContainsFunc(c.Query.ResultTypes(), func(signal string) bool { return queryOverlaps(q, c.Query, signal) })
	}
	if !slices.ContainsFunc(s.queries, func(q *pipeline.Query) bool { return q != nil && hasLowerCap(q) }) {
		return false
	}
	for chunk := range slices.Chunk(identities, len(pipeline.Identity{})) {
		for n := range s.index.Backward(pipeline.Identity(chunk)) {
			if c := s.calls[n-1]; c != nil && hasLowerCap(c.Query) {
				return true
			}
		}
	}
	return false
}
