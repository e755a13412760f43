package subscriptions

import (
	"slices"
	"time"

	"github.com/siglake/siglake/internal/lusha"
)

// IsOptOuts reports whether a subscription of the lake is one to notices of opt-outs, also one that it had before.
func (s *State) IsOptOuts(id string) bool {
	return id != "" && (id == s.OptOut || slices.Contains(s.FormerOptOuts, id))
}

// SetOptOuts notes the subscription to notices of opt-outs, as the vendor has it.
func (s *State) SetOptOuts(e *lusha.Subscription, now time.Time) {
	if s.OptOut != "" && s.OptOut != e.ID {
		s.FormerOptOuts = append(s.FormerOptOuts, s.OptOut)
	}
	if s.OptOut = e.ID; e.Active {
		now = now.UTC().Truncate(time.Second)
		s.OptOutSeen = &now
	}
}

// openOptOutGap is the time since which no notices are delivered, given what the vendor has; nil: they are, or the lake
// has never ordered any.
func (s *State) openOptOutGap(e *lusha.Subscription) *OptOutGap {
	g := &OptOutGap{From: s.OptOutSeen, Reason: "the vendor has the subscription no more"}
	switch {
	case e == nil && s.OptOut == "", e != nil && e.Active:
		return nil
	case e == nil:
	default:
		if g.Reason = e.BlockReason; g.Reason == "" {
			g.Reason = "switched off"
		}
		if !e.BlockedAt.IsZero() {
			g.From = &e.BlockedAt
		}
	}
	return g
}

// OptOutGapsAt are the times in which no notices were delivered, given what the vendor has: those noted, and one that
// has not ended.
func (s *State) OptOutGapsAt(e *lusha.Subscription) []OptOutGap {
	gaps := slices.Clone(s.OptOutGaps)
	if g := s.openOptOutGap(e); g != nil {
		if n := len(gaps); n > 0 && sameTime(gaps[n-1].From, g.From) { // a command that died was about to end it
			gaps = gaps[:n-1]
		}
		gaps = append(gaps, *g)
	}
	return gaps
}

// EndOptOutGap notes the time in which no notices were delivered, before they are ordered again.
func (s *State) EndOptOutGap(e *lusha.Subscription, now time.Time) {
	if s.openOptOutGap(e) == nil {
		return
	}
	s.OptOutGaps = s.OptOutGapsAt(e)
	now = now.UTC().Truncate(time.Second)
	s.OptOutGaps[len(s.OptOutGaps)-1].Until = &now
}

func sameTime(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }
