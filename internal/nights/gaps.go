package nights

import (
	"slices"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// Gap is an entity of which webhooks may not have delivered events since a day. Newer events may have been
// delivered, so that the newest one says nothing about the days before it.
type Gap struct {
	From   ledger.Day
	Polled []string // signal types that were asked from that day on since
}

// fillGap has a pair in a gap asked once, due or not: from the day after its newest event as ever, and from the
// first day of the gap if that is earlier. An event becomes visible days after its date, so the days of the gap
// alone would have few of those that were not delivered. Known events of these days are bought a second time,
// and they are few: a subscription is blocked because of an event that could not be delivered.
func (s *Schedule) fillGap(p *pair, identities []pipeline.Identity, c ledger.Cursor, signal string) {
	for _, identity := range identities {
		g, known := s.policy.Gaps[identity]
		if !known || slices.Contains(g.Polled, signal) {
			continue
		}
		if p.kind == notDue {
			*p = s.policy.dueToday(signal, c)
		}
		if p.kind != first {
			p.kind = gap
		}
		p.since = min(p.since, g.From)
		if s.polled == nil {
			s.polled = map[pipeline.Identity][]string{}
		}
		if !slices.Contains(s.polled[identity], signal) {
			s.polled[identity] = append(s.polled[identity], signal)
		}
	}
}

// Polled are the signal types that the schedule has asked of an entity from the first day of its gap on.
func (s *Schedule) Polled(identity pipeline.Identity) []string { return s.polled[identity] }

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
