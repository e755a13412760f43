package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// PrintStatus prints runs, bill and generations of a lake.
func PrintStatus(out io.Writer, status *app.LakeStatus, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	format.Fprintf(w, "RUN\tSTATE\tEXIT\tFINISHED\tWINDOW\tGENERATION\tCALLS\tCREDITS\tEVENTS\tUNKNOWN\tIN DOUBT\tDECIDED\tDEFERRED\tCOMMAND\tLIST\n")
	if status.RunsBefore > 0 {
		format.Fprintf(w, "and %s: siglake runs --lake %s\n", format.Count(status.RunsBefore, "earlier run"), status.Lake)
	}
	for _, r := range status.Runs {
		generation := "-"
		if r.Generation > 0 {
			generation = fmt.Sprint(r.Generation)
		}
		format.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Run, r.State, exitText(r.Exit), timeText(r.Finished), windowText(&r), generation,
			format.Thousands(int64(r.Calls)), format.Thousands(r.Credits), numberText(r.Events),
			shareText(r.Liability.UnknownCharge), shareText(r.Liability.InDoubt), shareText(r.Liability.Decided), format.Thousands(r.Open), commandText(r.Job, r.Service), r.List)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	format.Fprintf(out, "\n%s, %s\n", format.Count(len(status.Runs)+status.RunsBefore, "run"), format.Lines(totalText(status)))
	printProcess(out, status, now)
	if status.Audits != nil {
		format.Fprintf(out, "  %s\n", missedText(&status.Audits.AuditCounts))
	}
	if status.Capped != nil {
		format.Fprintf(out, "%s", format.Lines(cappedStatusText(status.Capped)))
	}
	printDriftStatus(out, status.Drift)
	printWebhookStatus(out, status.Webhooks)
	for _, next := range status.Next {
		format.Fprintf(out, "  Next: %s\n", next)
	}
	if err := printLists(out, status.Lists); err != nil {
		return err
	}
	return printGenerations(out, status)
}

// printWebhookStatus says what is subscribed to, and what webhooks may not have delivered.
func printWebhookStatus(out io.Writer, s *app.WebhookStatus) {
	if s == nil {
		return
	}
	format.Fprintf(out, "  Webhooks: %s in %s\n", format.Count(s.Subscriptions, "subscribed entity"), format.Count(s.Lists, "list"))
	for _, text := range nonEmpty(app.PauseText(s.Pause), app.GapsText(s.Gaps), app.OptOutGapText(s.OptOutGaps)) {
		format.Fprintf(out, "  Webhooks: %s\n", text)
	}
}

// cappedStatusText says of how many pairs older events were not returned, and what would buy them.
func cappedStatusText(c *app.CappedStatus) (text string) {
	if c.Pairs > 0 {
		text = fmt.Sprintf("  %s reached --max-results: older events were not returned. The next run with --since last and a higher --max-results, up to %d, asks for them, and buys up to %s again\n",
			format.Count(c.Pairs, "pair")+" of entity and signal", app.MaxResultsLimit, format.Count(c.Known, "event"))
	}
	if c.Final > 0 {
		text += fmt.Sprintf("  %s reached --max-results %d: the API returns no older events of theirs\n", format.Count(c.Final, "pair")+" of entity and signal", app.MaxResultsLimit)
	}
	return text
}

// printProcess says which process is at work on the lake, and how far its run has come.
func printProcess(out io.Writer, status *app.LakeStatus, now time.Time) {
	p, running := status.Process, false
	for i := range status.Runs {
		switch r := &status.Runs[i]; {
		case r.Process != nil:
			running = true
			format.Fprintf(out, "  Running: %s since %s (%s), %s: %s, %s on the wire\n",
				r.Run, timeText(&r.Process.Since), ageText(now.Sub(r.Process.Since)), processText(r.Process), progressText(r), format.Count(r.OnWire, "call"))
		case r.Run == status.Unfinished:
			format.Fprintf(out, "  Unfinished: %s, started %s: %s, and its process has ended\n", r.Run, timeText(&r.Started), progressText(r))
		}
	}
	if p != nil && !running {
		format.Fprintf(out, "  At work: %s since %s, %s\n", p.Command, timeText(&p.Since), processText(p))
	}
}

// progressText says how much of its list a run that is not published has answers about.
func progressText(r *app.RunStatus) string {
	if r.ListRecords == 0 {
		return format.Count(r.Lines, "line") + " answered"
	}
	return fmt.Sprintf("%s of about %s answered", format.Thousands(r.Lines), format.Count(r.ListRecords, "line"))
}

func processText(p *app.HolderStatus) string {
	return fmt.Sprintf("process %d on %s", p.PID, p.Host)
}

// commandText is what began a run: a job of a job file, or a command.
func commandText(job, service string) string {
	if job != "" {
		return "job " + job
	}
	return service
}

// printLists says when the last good run of each job, and about each list, finished.
func printLists(out io.Writer, lists []app.ListStatus) error {
	if len(lists) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	format.Fprintf(w, "\nLAST GOOD RUN\tFINISHED\tAGE\tRUNS\tDEFERRED\tCOMMAND\tLIST\n")
	for _, l := range lists {
		good, age := "none", "never"
		if l.LastGood != "" {
			good = l.LastGood
		}
		if l.Age != nil {
			age = ageText(time.Duration(*l.Age) * time.Second)
		}
		if l.Stale {
			age += ", too old"
		}
		format.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", good, timeText(l.GoodAt), age, format.Thousands(int64(l.Runs)), format.Thousands(l.Open), commandText(l.Job, l.Service), l.List)
	}
	return w.Flush()
}

// StaleError says which jobs and lists have no good run of late.
func StaleError(status *app.LakeStatus, maxAge string) error {
	var behind []string
	for i := range status.Lists {
		s := &status.Lists[i]
		if !s.Stale {
			continue
		}
		about := strings.TrimSuffix(commandText(s.Job, "siglake "+s.Service)+" about "+s.List, " about ")
		if s.Age == nil {
			behind = append(behind, fmt.Sprintf("no run of %s ended well", about))
		} else {
			behind = append(behind, fmt.Sprintf("the last good run of %s ended %s ago", about, ageText(time.Duration(*s.Age)*time.Second)))
		}
	}
	switch {
	case status.NoRun != "":
		behind = append(behind, status.NoRun)
	case len(status.Lists) == 0:
		behind = append(behind, fmt.Sprintf("the lake %s has no run", status.Lake))
	}
	return &app.Error{Kind: app.KindStale, Err: fmt.Errorf("--max-age %s: %s; siglake runs --lake %s shows how runs ended", maxAge, format.List(behind, 3), status.Lake)}
}

// PrintHistory prints the runs of a lake, or their sums by month.
func PrintHistory(out io.Writer, h *app.History) error {
	if len(h.Runs)+len(h.Months) == 0 {
		format.Fprintf(out, "No runs of %s match.\n", h.Lake)
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(h.Months) > 0 {
		format.Fprintf(w, "MONTH\tRUNS\tGOOD\tTOOK\tCALLS\t429S\tCREDITS\tNEW\tCHANGED\tKNOWN\tCOMMAND\tLIST\n")
		for _, m := range h.Months {
			format.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Month, format.Thousands(int64(m.Runs)), format.Thousands(int64(m.Good)),
				ageText(time.Duration(m.Seconds)*time.Second), format.Thousands(m.Calls), format.Thousands(m.RateLimited), format.Thousands(m.Credits), format.Thousands(m.New), format.Thousands(m.Changed), format.Thousands(m.Known), m.Service, m.List)
		}
		return w.Flush()
	}
	format.Fprintf(w, "STARTED\tTOOK\tSTATE\tEXIT\tWINDOW\tLINES\tCALLS\t429S\tCREDITS\tNEW\tCHANGED\tKNOWN\tDEFERRED\tCOMMAND\tLIST\tRUN\n")
	for _, r := range h.Runs {
		took := "-"
		if r.Seconds != nil {
			took = ageText(time.Duration(*r.Seconds) * time.Second)
		}
		format.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", timeText(&r.Started), took, r.State, exitText(r.Exit), windowText(&r),
			format.Thousands(r.Lines), format.Thousands(int64(r.Calls)), numberText(r.RateLimited), format.Thousands(r.Credits), numberText(r.New), numberText(r.Changed), numberText(r.Known), format.Thousands(r.Deferred), commandText(r.Job, r.Service), r.List, r.Run)
	}
	return w.Flush()
}

func timeText(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// ageText is a duration in its two largest units: 45s, 12m30s, 3h05m, 2d4h.
func ageText(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	hours, minutes, seconds := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case hours >= 48:
		return fmt.Sprintf("%dd%dh", hours/24, hours%24)
	case hours > 0:
		return fmt.Sprintf("%dh%02dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%02ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}

func exitText(code *int) string {
	if code == nil {
		return "-"
	}
	return fmt.Sprint(*code)
}

func numberText(n *int64) string {
	if n == nil {
		return "-"
	}
	return format.Thousands(*n)
}

func windowText(r *app.RunStatus) string {
	if r.Until == "" {
		return "-"
	}
	if r.SinceLast {
		return "last.." + r.Until
	}
	return r.Since + ".." + r.Until
}

func printGenerations(out io.Writer, s *app.LakeStatus) error {
	if len(s.Generations) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	format.Fprintf(w, "\nGENERATION\tKIND\tRUN\tFILES\tROWS\tNEW\tCHANGED\tKNOWN\tFINISHED\n")
	for _, g := range s.Generations {
		files := format.Thousands(int64(g.Files))
		if g.Replaces > 0 {
			files += " for " + format.Thousands(int64(g.Replaces))
		}
		fresh, changed, known := noveltyTexts(g)
		format.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.Generation, g.Kind, g.Run, files, format.Thousands(g.Rows), fresh, changed, known, g.Finished.Format("2006-01-02 15:04 UTC"))
	}
	if s.Earlier > 0 {
		format.Fprintf(w, "and %s\n", format.Count(s.Earlier, "earlier generation"))
	}
	return w.Flush()
}

// totalText is the bill of all runs, and what is not known of it.
func totalText(s *app.LakeStatus) string {
	text := format.Count(s.Credits, "credit")
	if s.MaxCost > s.Credits {
		text = fmt.Sprintf("%s to %s credits", format.Thousands(s.Credits), format.Thousands(s.MaxCost))
	}
	inDoubt, onWire := "in doubt, 0 to %s", 0
	for i := range s.Runs {
		onWire += s.Runs[i].OnWire
	}
	switch {
	case onWire > 0 && onWire == s.Liability.InDoubt.Calls:
		inDoubt = "on the wire, 0 to %s"
	case onWire > 0:
		inDoubt = "in doubt or on the wire, 0 to %s"
	}
	for _, part := range []struct {
		app.Share
		noun, text string
	}{
		{s.Liability.UnknownCharge, "answered call", "whose charge is unknown, 0 to %s: compare the account's usage"},
		{s.Liability.InDoubt, "call", inDoubt},
		{s.Liability.Retry, "call", "released for retry and perhaps charged, 0 to %s"},
		{s.Liability.WrittenOff, "call", "accepted as lost and perhaps charged, 0 to %s"},
	} {
		if part.Calls > 0 {
			text += fmt.Sprintf("\n  %s "+part.text, format.Count(part.Calls, part.noun), format.Thousands(part.MaxCost))
		}
	}
	if s.OpenLines > 0 {
		text += fmt.Sprintf("\n  %s not requested yet", format.Count(s.OpenLines, "line"))
	}
	return text
}

func shareText(s app.Share) string {
	if s.Calls == 0 {
		return "-"
	}
	return "0 to " + format.Thousands(s.MaxCost)
}

// noveltyTexts are the columns about a generation's events. Earlier versions did not compare them.
func noveltyTexts(g app.GenerationStatus) (fresh, changed, known string) {
	if g.New == 0 && g.Changed == 0 && g.Known == 0 {
		return "-", "-", "-"
	}
	return format.Thousands(g.New), format.Thousands(g.Changed), format.Thousands(g.Known)
}
