package ledger

import (
	"slices"

	"github.com/siglake/siglake/pipeline"
)

// Liability is what nobody knows of a bill: calls that may have been charged
// beside what answers state. A decision about a doubt says what is done about
// its lines; the vendor's bill does not follow it.
type Liability struct {
	InDoubt       Share // nobody decided about
	Retry         Share // decided: may be asked again
	WrittenOff    Share // decided: taken as paid and lost
	Decided       Share // the two together
	UnknownCharge Share // answered, and the charge was not understood
	MaxCost       int64
}

// Share is some calls and the most credits that they can have cost together; the
// least is none.
type Share struct {
	Calls   int
	MaxCost int64
}

// upperBound is the most credits that the unsettled calls among some can have cost
// together.
type upperBound struct {
	first, last int // numbers of calls, both included
	maxCost     int64
}

// addBound enters what is known of the calls made so far, from a run's first on.
func (l *Ledger) addBound(from *Run, maxCost int64) {
	if len(from.Calls) > 0 {
		l.bounds = append(l.bounds, upperBound{from.Calls[0].number, len(l.calls), maxCost})
	}
}

// MaxCost is the most credits that unsettled calls can have cost together, by their
// ceilings and by what was read of the account's usage.
func (l *Ledger) MaxCost(calls ...*Call) int64 {
	slices.SortFunc(calls, func(a, b *Call) int { return a.number - b.number })
	sums := make([]int64, len(calls)+1) // of the first n
	for n, c := range calls {
		sums[n+1] = sums[n] + c.Ceiling
		for _, b := range l.bounds {
			if b.first <= c.number && c.number <= b.last {
				before, _ := slices.BinarySearchFunc(calls, b.first, func(c *Call, at int) int { return c.number - at })
				sums[n+1] = min(sums[n+1], sums[before]+b.maxCost)
			}
		}
	}
	return sums[len(calls)]
}

// Liability sums up what is unsettled of the calls of a run; nil stands for all
// runs. Of several groups together less may be possible than of each by itself.
func (l *Ledger) Liability(r *Run) (u Liability) {
	calls := l.calls
	if r != nil {
		calls = r.Calls
	}
	var all, decided []*Call
	by := map[*Share][]*Call{}
	for _, c := range calls {
		s := u.shareOf(c)
		if s == nil {
			continue
		}
		all, by[s] = append(all, c), append(by[s], c)
		if s == &u.Retry || s == &u.WrittenOff {
			decided = append(decided, c)
		}
	}
	for s, calls := range by {
		*s = Share{len(calls), l.MaxCost(calls...)}
	}
	u.Decided = Share{len(decided), l.MaxCost(decided...)}
	u.MaxCost = l.MaxCost(all...)
	return u
}

// shareOf is where a call counts; nil when it is known what it cost.
func (u *Liability) shareOf(c *Call) *Share {
	switch {
	case c.unsentAt != nil:
	case c.InDoubt():
		return &u.InDoubt
	case c.Outcome == pipeline.InDoubt && c.Decision == Retry:
		return &u.Retry
	case c.Outcome == pipeline.InDoubt && c.Decision == WriteOff:
		return &u.WrittenOff
	case c.Outcome == pipeline.Charged && !c.Charge.Known:
		return &u.UnknownCharge
	}
	return nil
}
