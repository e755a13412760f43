package report

import (
	"fmt"
	"io"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
)

// PrintInDoubtCalls prints calls in doubt, and what all of them can have cost together.
func PrintInDoubtCalls(w io.Writer, calls []app.InDoubtCall, maxCost int64) {
	for _, c := range calls {
		format.Fprintf(w, "%s  %s  0 to %s credits\n  %s\n  %d %s: %s\n  %s, %s to %s\n\n", c.Call, c.Time.UTC().Format("2006-01-02 15:04:05 UTC"),
			format.Thousands(c.MaxCost), c.Problem, len(c.Accounts), c.Object, format.List(c.Accounts, 8), format.List(c.Signals, 6), c.Since, c.Until)
	}
	together := ""
	if len(calls) > 1 {
		together = fmt.Sprintf(", 0 to %s credits together", format.Thousands(maxCost))
	}
	format.Fprintf(w, "%s in doubt%s\n", format.Count(len(calls), "call"), together)
}

// PrintDecision says what was decided about calls in doubt.
func PrintDecision(w io.Writer, d app.DecisionReport) {
	effect := "released: the next run may request the same lines again, and then 0 to %s credits may be paid twice"
	switch {
	case len(d.Calls) == 0:
		effect = "in doubt: nothing to decide"
	case d.Decision == ledger.WriteOff:
		effect = "accepted as paid and lost, 0 to %s credits"
	}
	if len(d.Calls) > 0 {
		effect = fmt.Sprintf(effect, format.Thousands(d.MaxCost))
	}
	format.Fprintf(w, "%s %s\n", format.Count(len(d.Calls), "call"), effect)
}
