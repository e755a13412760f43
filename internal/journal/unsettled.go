package journal

import (
	"slices"

	"github.com/siglake/siglake/pipeline"
)

// Unsettled is what nobody knows of a bill: calls that may have been charged
// beside what answers state. A decision about a doubt says what is done about
// its lines; the vendor's bill does not follow it.
type Unsettled struct {
	Doubts   Span // nobody decided about
	Released Span // decided: may be asked again
	Lost     Span // decided: taken as paid and lost
	Decided  Span // the two together
	Unknown  Span // answered, and the charge was not understood
	Most     int64
}

// Span is some calls and the most credits that they can have cost together; the
// least is none.
type Span struct {
	Calls int
	Most  int64
}

// bound is the most credits that the unsettled calls among some can have cost
// together.
type bound struct {
	first, last int // numbers of calls, both included
	most        int64
}

// bound enters what is known of the calls made so far, from a run's first on.
func (j *Journal) bound(from *Run, most int64) {
	if len(from.Calls) > 0 {
		j.bounds = append(j.bounds, bound{from.Calls[0].at, len(j.calls), most})
	}
}

// Most is the most credits that unsettled calls can have cost together, by their
// ceilings and by what was read of the account's usage.
func (j *Journal) Most(calls ...*Call) int64 {
	slices.SortFunc(calls, func(a, b *Call) int { return a.at - b.at })
	most := make([]int64, len(calls)+1) // of the first n
	for n, c := range calls {
		most[n+1] = most[n] + c.Ceiling
		for _, b := range j.bounds {
			if b.first <= c.at && c.at <= b.last {
				before, _ := slices.BinarySearchFunc(calls, b.first, func(c *Call, at int) int { return c.at - at })
				most[n+1] = min(most[n+1], most[before]+b.most)
			}
		}
	}
	return most[len(calls)]
}

// Unsettled sums up what is unsettled of the calls of a run; nil stands for all
// runs. Of several groups together less may be possible than of each by itself.
func (j *Journal) Unsettled(r *Run) (u Unsettled) {
	calls := j.calls
	if r != nil {
		calls = r.Calls
	}
	var all, decided []*Call
	by := map[*Span][]*Call{}
	for _, c := range calls {
		s := u.span(c)
		if s == nil {
			continue
		}
		all, by[s] = append(all, c), append(by[s], c)
		if s == &u.Released || s == &u.Lost {
			decided = append(decided, c)
		}
	}
	for s, calls := range by {
		*s = Span{len(calls), j.Most(calls...)}
	}
	u.Decided = Span{len(decided), j.Most(decided...)}
	u.Most = j.Most(all...)
	return u
}

// span is where a call counts; nil when it is known what it cost.
func (u *Unsettled) span(c *Call) *Span {
	switch {
	case c.unsent != nil:
	case c.Doubtful():
		return &u.Doubts
	case c.Outcome == pipeline.Ambiguous && c.Resolved == Released:
		return &u.Released
	case c.Outcome == pipeline.Ambiguous && c.Resolved == Lost:
		return &u.Lost
	case c.Outcome == pipeline.Charged && c.Credits < 0:
		return &u.Unknown
	}
	return nil
}
