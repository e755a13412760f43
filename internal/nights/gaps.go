package nights

import (
	"slices"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// Gap is a time in which events of an entity may not have been delivered: its subscription was blocked.
type Gap struct {
	Signals []string   // types that were subscribed
	Since   ledger.Day // first day whose events may be missing
	Noted   time.Time  // when the subscription was found blocked
}

// Gaps are the gaps that polling has not closed yet, and how it closes them. A pair in a gap is asked the
// next night, due or not: from the day after its newest event as ever, and from the first day of the gap
// if that is earlier. Its events of these days are bought a second time, and they are few: a subscription
// is blocked because of an event that could not be delivered.
type Gaps struct {
	of        map[pipeline.Identity][]Gap
	lastNight time.Time // start of the last published night
}

// NewGaps are gaps of identities, in a lake with these runs.
func NewGaps(of map[pipeline.Identity][]Gap, runs []*ledger.Run) *Gaps {
	g := &Gaps{of: of}
	for _, r := range runs {
		if r.Published != nil && r.SinceLast() && r.FirstStarted.After(g.lastNight) {
			g.lastNight = r.FirstStarted
		}
	}
	return g
}

// first is the first day of the gaps of a pair that are open; 0: none is.
func (g *Gaps) first(identities []pipeline.Identity, signal string, lastAsked ledger.Day) (first ledger.Day) {
	if g == nil {
		return 0
	}
	for _, identity := range identities {
		for _, gap := range g.of[identity] {
			open := lastAsked < ledger.DayOf(gap.Noted.UTC().Format(time.DateOnly)) || !g.lastNight.After(gap.Noted)
			if open && slices.Contains(gap.Signals, signal) && (first == 0 || gap.Since < first) {
				first = gap.Since
			}
		}
	}
	return first
}

// askGap makes a pair due that may lack events which were not delivered.
func (s *Schedule) askGap(p *pair, identities []pipeline.Identity, c ledger.Cursor, signal string) {
	since := s.policy.Gaps.first(identities, signal, c.LastAsked)
	if since == 0 || p.kind == first {
		return
	}
	if p.kind == notDue {
		*p = s.policy.dueToday(signal, c)
	}
	*p = pair{kind: gap, since: min(p.since, since)}
}

// dueToday is what a pair is asked on a night on which it is not due.
func (p *Policy) dueToday(signal string, c ledger.Cursor) pair {
	daily := *p
	daily.Nightly = map[string]bool{signal: true}
	c.LastAsked = min(c.LastAsked, p.Today-1)
	if due := daily.due(signal, c); due.kind != notDue {
		return due
	}
	return pair{kind: onward, since: p.Today} // its newest event is of today
}
