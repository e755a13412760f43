package ledger

import (
	"cmp"
	"context"
	"fmt"

	"github.com/siglake/siglake/pipeline"
)

// Losses say what a ledger lacks of the runs that were published.
type Losses struct{ *loader }

// Losses are those of the ledger.
func (l *Ledger) Losses() Losses { return Losses{l.loader} }

// Missing says what a published manifest names and the ledger lacks: the run, calls of it, credits
// that they were charged, or the record that it was prepared; empty: nothing. A manifest is
// published after all of these are durable, so a ledger without them is older than the lake, as
// after a backup was restored, and would let the rest be bought again. What a salvage lost is not
// missing: its loss was accepted.
func (l Losses) Missing(m *pipeline.Manifest) string {
	r, err := l.state.findRun(m.Run.ID)
	if err != nil {
		return fmt.Sprintf("it has no run %s", m.Run.ID)
	}
	if err := l.loadCalls(context.Background(), r); err != nil { // rare: it concerns old runs only
		return fmt.Sprintf("what it says about run %s cannot be read: %v", r.ID, err)
	}
	lost := l.calls(r)
	var calls, charged int64
	for i := range m.PerCall {
		recorded, credits := l.hasCall(r, &m.PerCall[i])
		if c := &m.PerCall[i]; !recorded && lost[c.ID] {
			if recorded = true; c.Credits != nil {
				credits = *c.Credits
			}
		}
		if recorded {
			calls++
		}
		charged += credits
	}
	listed := max(m.Calls.Total, int64(len(m.PerCall)))
	switch {
	case calls < listed:
		return fmt.Sprintf("of run %s it has %d of %d calls with their answers", r.ID, calls, listed)
	case charged < m.Credits.Charged:
		return fmt.Sprintf("of run %s it explains %d of %d credits", r.ID, charged, m.Credits.Charged)
	case r.Prepared == nil:
		return fmt.Sprintf("it does not know that run %s was prepared for publication", r.ID)
	}
	return ""
}

// LostParts counts what was missing of a run when the ledger was salvaged.
type LostParts struct {
	Calls int   // of the run, or of the one that it rereads
	Lines int64 // without the status that they were published with
}

// IsNone reports whether nothing was missing.
func (p LostParts) IsNone() bool { return p == LostParts{} }

// Of counts what was missing of a run.
func (l Losses) Of(r *Run) LostParts {
	parts := LostParts{Calls: len(l.calls(r))}
	for _, loss := range l.state.losses {
		if loss.Call == "" && loss.concerns(r) {
			parts.Lines += loss.Lines
		}
	}
	return parts
}

// concerns reports whether something is missing of a run: its lines, or a call of it or of the run that it
// rereads.
func (l *Loss) concerns(r *Run) bool {
	if l.Call == "" {
		return l.Run == r.ID
	}
	return l.Run == cmp.Or(r.Rereads, r.ID)
}

// calls are the calls of a run, or of the one that it rereads, of which a salvage did not find
// everything, by id.
func (l Losses) calls(r *Run) map[string]bool {
	calls := map[string]bool{}
	for _, loss := range l.state.losses {
		if loss.Call != "" && loss.concerns(r) {
			calls[loss.Call] = true
		}
	}
	return calls
}

// hasCall reports whether a call of a manifest is recorded, with the answer that charged it, and how
// many of the stated credits the record explains. A charge that the ledger does not accept as a
// number explains what the manifest states: an earlier version did accept it.
func (l Losses) hasCall(r *Run, listed *pipeline.CallSummary) (recorded bool, credits int64) {
	n := l.state.callNumbers[cmp.Or(r.Rereads, r.ID)+"/"+listed.ID]
	if n == 0 {
		return false, 0
	}
	c := l.state.calls[n-1]
	switch {
	case listed.Outcome != pipeline.Charged:
		return true, 0
	case c.Outcome != pipeline.Charged:
		return false, 0
	case listed.Credits != nil && !c.Charge.Known:
		return true, *listed.Credits
	}
	return true, c.Charge.Credits
}
