package journal

import "github.com/siglake/siglake/pipeline"

// Unsettled is what nobody knows of a bill: calls that may have been charged
// beside what answers state. A decision about a doubt says what is done about
// its lines; the vendor's bill does not follow it.
type Unsettled struct {
	Doubts   Span // nobody decided about
	Released Span // decided: may be asked again
	Lost     Span // decided: taken as paid and lost
	Unknown  Span // answered, and the charge was not understood
	Most     int64
}

// Span is some calls and the most credits that they can have cost together; the
// least is none.
type Span struct {
	Calls int
	Most  int64
}

// Unsettled sums up what is unsettled of the calls of a run; nil stands for all
// runs.
func (j *Journal) Unsettled(r *Run) (u Unsettled) {
	calls := j.calls
	if r != nil {
		calls = r.Calls
	}
	for _, c := range calls {
		if s := u.span(c); s != nil {
			s.Calls++
			s.Most += c.Ceiling
			u.Most += c.Ceiling
		}
	}
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

// Decided are the calls that somebody decided about and that may have been
// charged all the same.
func (u *Unsettled) Decided() Span {
	return Span{u.Released.Calls + u.Lost.Calls, u.Released.Most + u.Lost.Most}
}
