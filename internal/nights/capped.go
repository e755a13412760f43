package nights

import (
	"slices"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// maxLookBack is how far back a window may begin, in days: nothing is documented beyond it.
const maxLookBack = 366

// askCapped has a pair asked for the window of which older events are missing, because an answer reached
// its cap, if tonight's cap is higher than the number of events that are known of it. The API returns the
// newest events, so these are bought again. It happens once for every cap: after it, the window is
// complete, or as many events are known as tonight's cap allows.
//
// What a call in doubt may have bought is not asked again: the pair waits until the call is released.
func (s *Schedule) askCapped(p *pair, identities []pipeline.Identity, q *pipeline.Query, signal string) {
	w, found := s.cappedOf(identities, q, signal)
	if !found {
		return
	}
	if q.MaxResults() <= int(w.Known) || w.Since < s.policy.back(s.policy.Today, maxLookBack) || s.isDoubtful(identities, q, signal) {
		s.Counts.Capped++
		return
	}
	s.Counts.CappedEvents += int64(w.Known)
	since := w.Since
	if p.kind != notDue {
		since = min(since, p.since)
	}
	*p = pair{kind: capped, since: since}
}

// cappedOf is the window of a pair of which older events are missing, under any of its identities.
func (s *Schedule) cappedOf(identities []pipeline.Identity, q *pipeline.Query, signal string) (w ledger.Capped, found bool) {
	for _, identity := range identities {
		if w, found = s.cursors.Capped(identity, q, signal); found {
			return w, true
		}
	}
	return w, false
}

// isDoubtful reports whether a call asked the pair that is undecided or was written off, and no later
// answer contains what it asked.
func (s *Schedule) isDoubtful(identities []pipeline.Identity, q *pipeline.Query, signal string) bool {
	return slices.ContainsFunc(identities, func(identity pipeline.Identity) bool {
		return slices.ContainsFunc(s.doubts[identity], func(c *ledger.Call) bool {
			return (c.InDoubt() || c.Decision == ledger.WriteOff) &&
				slices.Contains(c.Query.ResultTypes(), signal) && c.Query.SameFilters(q, signal) && !s.wasAskedAgain(identity, c, signal)
		})
	})
}

// CappedPairs sums up the pairs of the lake that reached a cap, whatever the list has of them.
func (s *Schedule) CappedPairs(maxResults int) ledger.CappedPairs {
	return s.cursors.CappedPairs(maxResults)
}
