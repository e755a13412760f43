package report

import (
	"fmt"
	"io"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// PrintInDoubtCalls prints calls in doubt, and what all of them can have cost together.
func PrintInDoubtCalls(w io.Writer, calls []app.InDoubtCall, maxCost int64) {
	for _, c := range calls {
		format.Fprintf(w, "%s  %s  0 to %s credits\n  %s\n  %s: %s\n  %s, %s to %s\n\n", c.Call, c.Time.UTC().Format("2006-01-02 15:04:05 UTC"),
			format.Thousands(c.MaxCost), c.Problem, format.Count(len(c.Accounts), c.Object), format.List(c.Accounts, 8), format.List(c.Signals, 6), c.Since, c.Until)
	}
	together := ""
	if len(calls) > 1 {
		together = fmt.Sprintf(", 0 to %s credits together", format.Thousands(maxCost))
	}
	format.Fprintf(w, "%s in doubt%s\n", format.Count(len(calls), "call"), together)
}

// PrintReread says what became of calls in doubt after their answers were read again.
func PrintReread(w io.Writer, calls []app.RereadCall) {
	var read, kept int
	for _, c := range calls {
		format.Fprintf(w, "%s  %s\n", c.Call, rereadText(c))
		if c.Outcome == pipeline.InDoubt {
			kept++
		} else {
			read++
		}
	}
	format.Fprintf(w, "%s read, %d still in doubt; nothing was requested\n", format.Count(read, "call"), kept)
	if kept > 0 {
		format.Fprintf(w, "Compare the account's usage with siglake held list, then decide: siglake held retry or accept-loss.\n")
	}
}

func rereadText(c app.RereadCall) string {
	var cost string
	switch {
	case c.Outcome == pipeline.InDoubt:
		return fmt.Sprintf("still in doubt, 0 to %s credits: %s", format.Thousands(c.MaxCost), c.Problem)
	case c.Outcome == pipeline.NotCharged:
		cost = "not charged"
	case c.Credits != nil:
		cost = "charged " + format.Count(*c.Credits, "credit")
	default:
		cost = fmt.Sprintf("charged, 0 to %s credits", format.Thousands(c.MaxCost))
	}
	text := fmt.Sprintf("%s, %s answered", cost, format.Count(c.Lines, "line"))
	if c.Open > 0 {
		text += fmt.Sprintf(", %d left to the next run", c.Open)
	}
	if c.Generation == 0 {
		return text + ": run " + c.Run + " will publish its rows"
	}
	return fmt.Sprintf("%s: rows published by %s as generation %d", text, c.Run, c.Generation)
}

// PrintDecision says what was decided about calls in doubt.
func PrintDecision(w io.Writer, d app.DecisionReport) {
	if len(d.Reread) > 0 {
		PrintReread(w, d.Reread)
	}
	for _, f := range d.Repeated {
		format.Fprintf(w, "%s stays in doubt, 0 to %s credits: %s\n", f.Call, format.Thousands(f.MaxCost), f.Reason)
	}
	effect := "released: the next run may request the same lines again, and then 0 to %s credits may be paid twice"
	switch {
	case len(d.Calls) == 0 && len(d.Repeated) > 0:
		effect = "released"
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
