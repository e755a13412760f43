package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// Liability is the unknown part of a bill: calls that may have been charged and have no
// answer that states it. A decision about a call in doubt settles its lines, not the vendor's
// bill.
type Liability struct {
	InDoubt       Share // undecided
	Retry         Share // decided: may be requested again
	WrittenOff    Share // decided: taken as charged and lost
	Decided       Share // the two together
	UnknownCharge Share // answered, and the charge was not understood
	MaxCost       int64
}

// Share is a number of calls and the maximum of credits that they can have cost together; the
// minimum is 0.
type Share struct {
	Calls   int
	MaxCost int64
}

// upperBound is the maximum of credits that the unsettled calls in a range can have cost
// together.
type upperBound struct {
	first, last int // numbers of calls, both included
	maxCost     int64
}

// bounds are the reconciliations of a ledger, in the order of their records.
type bounds []upperBound

// add adds a bound for the calls made so far, from the first call of a run on. last is the number of the
// last one.
func (u *bounds) add(from *Run, last int, maxCost int64) {
	if from.firstCall > 0 {
		*u = append(*u, upperBound{from.firstCall, last, maxCost})
	}
}

// Bill is what the calls of a ledger cost, or can have cost.
type Bill struct{ *loader }

// Bill is that of the calls so far.
func (l *Ledger) Bill() Bill { return Bill{l.loader} }

// MaxCost is the maximum of credits that unsettled calls can have cost together, by their
// ceilings and by the account's usage as read.
func (b Bill) MaxCost(calls ...*Call) int64 { return b.state.bounds.maxCost(calls) }

// maxCost sorts the calls.
func (u bounds) maxCost(calls []*Call) int64 {
	slices.SortFunc(calls, func(a, b *Call) int { return a.number - b.number })
	sums := make([]int64, len(calls)+1) // of the first n
	for n, c := range calls {
		sums[n+1] = sums[n] + c.Ceiling
		for _, b := range u {
			if b.first <= c.number && c.number <= b.last {
				before, _ := slices.BinarySearchFunc(calls, b.first, func(c *Call, at int) int { return c.number - at })
				sums[n+1] = min(sums[n+1], sums[before]+b.maxCost)
			}
		}
	}
	return sums[len(calls)]
}

// MaxCostSince is the most that the calls since a time cost together, of the runs that satisfy a
// condition. Calls that are not settled count with what they can have cost, whatever was decided
// about them. The time is at most a month ago: a checkpoint keeps all calls of checkpointDays. What
// it has left behind counts if its run began since, by a clock that was set back.
func (b Bill) MaxCostSince(since time.Time, include func(*Run) bool) int64 {
	var known int64
	var unsettled []*Call
	var none Liability
	_ = b.loadRecent(context.Background()) // else the sums count
	for _, r := range b.state.runs {
		if !r.FirstStarted.Before(since) && include(r) {
			known += r.past.Charged + r.recent.Charged
		}
	}
	for _, c := range b.state.calls {
		switch {
		case c == nil: // left behind
		case c.Time.Before(since) || !include(c.Run):
		case none.shareOf(c) != nil:
			unsettled = append(unsettled, c)
		default:
			known += c.Cost().Max
		}
	}
	return known + b.MaxCost(unsettled...)
}

// Liability sums up the unsettled calls of a run; nil stands for all runs. The maximum of
// several groups together can be less than the sum of their maxima.
func (b Bill) Liability(r *Run) Liability {
	if r != nil {
		return liabilityOf(r.Calls, b.state.bounds)
	}
	return liabilityOf(b.state.calls, b.state.bounds)
}

func liabilityOf(calls []*Call, known bounds) (u Liability) {
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
		*s = Share{len(calls), known.maxCost(calls)}
	}
	u.Decided = Share{len(decided), known.maxCost(decided)}
	u.MaxCost = known.maxCost(all)
	return u
}

// shareOf is the share that a call belongs to; nil if its cost is known.
func (u *Liability) shareOf(c *Call) *Share {
	switch {
	case c == nil: // a checkpoint has left it behind: its cost is known
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
