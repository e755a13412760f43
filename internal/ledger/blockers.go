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
	for _, name := range r.Published.BlockedBy {
		if n := l.state.callNumbers[name]; n > 0 {
			b.calls = append(b.calls, l.state.calls[n-1])
		}
	}
	return b
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
