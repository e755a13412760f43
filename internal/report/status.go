package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// PrintStatus prints runs, bill and generations of a lake.
func PrintStatus(out io.Writer, status *app.LakeStatus) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	format.Fprintf(w, "RUN\tSTATE\tGENERATION\tCALLS\tCREDITS\tUNKNOWN\tIN DOUBT\tDECIDED\tDEFERRED\tCOMMAND\tLIST\n")
	for _, r := range status.Runs {
		generation, deferred := "-", "-"
		if r.Generation > 0 {
			generation, deferred = fmt.Sprint(r.Generation), format.Thousands(r.Open)
		}
		format.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Run, r.State, generation, format.Thousands(int64(r.Calls)), format.Thousands(r.Credits),
			shareText(r.Liability.UnknownCharge), shareText(r.Liability.InDoubt), shareText(r.Liability.Decided), deferred, r.Service, r.List)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	format.Fprintf(out, "\n%s, %s\n", format.Count(len(status.Runs), "run"), format.Lines(totalText(status)))
	if status.Audits != nil {
		format.Fprintf(out, "  %s\n", missedText(&status.Audits.AuditCounts))
	}
	for _, next := range status.Next {
		format.Fprintf(out, "  Next: %s\n", next)
	}
	return printGenerations(out, status)
}

func printGenerations(out io.Writer, s *app.LakeStatus) error {
	if len(s.Generations) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	format.Fprintf(w, "\nGENERATION\tKIND\tRUN\tFILES\tROWS\tFINISHED\n")
	for _, g := range s.Generations {
		files := format.Thousands(int64(g.Files))
		if g.Replaces > 0 {
			files += " for " + format.Thousands(int64(g.Replaces))
		}
		format.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", g.Generation, g.Kind, g.Run, files, format.Thousands(g.Rows), g.Finished.Format("2006-01-02 15:04 UTC"))
	}
	if s.Earlier > 0 {
		format.Fprintf(w, "and %s earlier ones\n", format.Thousands(s.Earlier))
	}
	return w.Flush()
}

// totalText is the bill of all runs, and what is not known of it.
func totalText(s *app.LakeStatus) string {
	text := format.Thousands(s.Credits) + " credits"
	if s.MaxCost > s.Credits {
		text = fmt.Sprintf("%s to %s credits", format.Thousands(s.Credits), format.Thousands(s.MaxCost))
	}
	for _, part := range []struct {
		app.Share
		noun, text string
	}{
		{s.Liability.UnknownCharge, "answered call", "whose charge is unknown, 0 to %s: compare the account's usage"},
		{s.Liability.InDoubt, "call", "in doubt, 0 to %s"},
		{s.Liability.Retry, "call", "released for retry and perhaps charged, 0 to %s"},
		{s.Liability.WrittenOff, "call", "accepted as lost and perhaps charged, 0 to %s"},
	} {
		if part.Calls > 0 {
			text += fmt.Sprintf("\n  %s "+part.text, format.Count(part.Calls, part.noun), format.Thousands(part.MaxCost))
		}
	}
	if s.OpenLines > 0 {
		text += fmt.Sprintf("\n  %s not requested yet", format.Count(int(s.OpenLines), "line"))
	}
	return text
}

func shareText(s app.Share) string {
	if s.Calls == 0 {
		return "-"
	}
	return "0 to " + format.Thousands(s.MaxCost)
}
