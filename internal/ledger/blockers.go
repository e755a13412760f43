package ledger

import (
	"slices"

	"github.com/siglake/siglake/pipeline"
)

// Blockers are the calls, in doubt or decided, that lines of a published run wait for.
type Blockers struct {
	run   *Run
	calls []*Call
}

// Blockers are those of a run; one that is not published has none.
func (l *Ledger) Blockers(r *Run) Blockers {
	b := Blockers{run: r}
	if r.Published == nil {
		return b
	}
	for _, c := range r.Calls {
		if c.Outcome == pipeline.InDoubt || c.rereadAfter(r) {
			b.calls = append(b.calls, c)
		}
	}
	b.addNamed(l, r.Published.BlockedBy)
	return b
}

// Narrowing are the calls in doubt of earlier runs that may have bought what a published night therefore did not ask
// for: its lines do not wait for them, and have less in the lake. A run that is not published has none.
func (l *Ledger) Narrowing(r *Run) Blockers {
	b := Blockers{run: r}
	if r.Published != nil {
		b.addNamed(l, r.Published.NarrowedBy)
	}
	return b
}

// addNamed adds calls by their names, as "run/call".
func (b *Blockers) addNamed(l *Ledger, names []string) {
	for _, name := range names {
		if n := l.state.callNumbers[name]; n > 0 {
			b.calls = append(b.calls, l.state.calls[n-1])
		}
	}
}

// OpenAtEnd reports whether one of the calls was in doubt when the run was published.
func (b Blockers) OpenAtEnd() bool {
	return slices.ContainsFunc(b.calls, func(c *Call) bool {
		return c.InDoubt() || c.Decision != "" && b.run.publishedAt.Before(c.decidedAt) || c.rereadAfter(b.run)
	})
}

// Undecided are the calls in doubt.
func (b Blockers) Undecided() []*Call {
	return slices.DeleteFunc(slices.Clone(b.calls), func(c *Call) bool { return !c.InDoubt() })
}

// WrittenOff are the calls that were written off as charged and lost.
func (b Blockers) WrittenOff() []*Call {
	return slices.DeleteFunc(slices.Clone(b.calls), func(c *Call) bool { return c.Decision != WriteOff })
}

// AllowRetry reports whether a decision after the run's publication allows to request again what it left
// in doubt: calls of its own, or of an earlier run. A lost page blocks the pages after it: once it is
// written off, they may be requested. So may be what waited for an answer that was read since.
func (b Blockers) AllowRetry() bool {
	return slices.ContainsFunc(b.calls, func(c *Call) bool {
		mayRetry := c.Decision == Retry || c.Decision == NotCharged || c.Decision == WriteOff && c.Query.Service().IsPaged()
		return mayRetry && b.run.publishedAt.Before(c.decidedAt) || c.leavesOpen(b.run)
	})
}
