package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

func statusCommand() *cli.Command {
	uri, store, out := "", defaultStore(), defaultOutput()
	return &cli.Command{
		Name:  "status",
		Usage: "what a lake's runs did, cost and left, and its newest generations",
		Description: "CREDITS are those that the API stated. UNKNOWN is what answers can have cost beside them whose charge was not\n" +
			"understood, IN DOUBT what calls can have cost whose answers are lost, and DECIDED the same of calls that\n" +
			"siglake held or --in-doubt decided about: what was decided does not change what was charged. DEFERRED are\n" +
			"lines that are still to be asked about: those of a run that a later run of its command went on with are not.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&uri),
			jsonFlag(&out),
		}, storeFlags(&store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageErrorf("status takes no arguments, got %q", c.Args().First())
			}
			env := envOf(c)
			status, err := readStatus(c.Context, env, store, uri)
			switch {
			case err != nil:
				return err
			case out.JSON:
				return printJSON(env.Stdout, status)
			}
			return printStatus(env.Stdout, status)
		},
	}
}

// lakeStatus is what status prints, with --json as it is.
type lakeStatus struct {
	Lake       string      `json:"lake"`
	Runs       []runStatus `json:"runs"` // oldest first
	Credits    int64       `json:"credits"`
	MaxCost    int64       `json:"credits_most"` // with all that is unsettled
	Liability  liability   `json:"unsettled"`
	Unfinished string      `json:"unfinished_run,omitempty"`
	OpenLines  int64       `json:"deferred_lines"` // still open: what each command's newest run left
	Reopened   bool        `json:"reopened"`       // something may be asked again that was in doubt
	Next       []string    `json:"next"`           // commands that there is a reason for

	Generations []generationStatus `json:"generations"` // newest first
	Earlier     int64              `json:"generations_before,omitempty"`
}

// runStatus is one run. Open are its deferred lines while no later run of its
// command took care of them.
type runStatus struct {
	Run        string    `json:"run"`
	State      string    `json:"state"`
	Generation int64     `json:"generation,omitempty"`
	Calls      int       `json:"calls"`
	Credits    int64     `json:"credits"`
	Liability  liability `json:"unsettled"`
	Deferred   int64     `json:"deferred_lines"`
	Open       int64     `json:"open_lines"`
	InDoubt    int64     `json:"held_lines"`
	List       string    `json:"list"`
	Service    string    `json:"service"` // the command that began it
}

// liability is ledger.Liability for machines.
type liability struct {
	UnknownCharge share `json:"unknown_charges"`
	InDoubt       share `json:"in_doubt"`
	Retry         share `json:"decided_released"`
	WrittenOff    share `json:"decided_accepted_loss"`
	Decided       share `json:"-"` // both
}

type share struct {
	Calls   int   `json:"calls"`
	MaxCost int64 `json:"credits_most"`
}

func newLiability(u ledger.Liability) liability {
	return liability{UnknownCharge: share(u.UnknownCharge), InDoubt: share(u.InDoubt), Retry: share(u.Retry), WrittenOff: share(u.WrittenOff), Decided: share(u.Decided)}
}

// status sums the journal up.
func (l *lake) status() *lakeStatus {
	total := l.ledger.Liability(nil)
	status := &lakeStatus{Lake: l.uri, Runs: []runStatus{}, Liability: newLiability(total), Next: []string{}}
	runs := l.ledger.Runs()
	newest := map[string]*ledger.Run{} // of each command
	for _, r := range runs {
		newest[r.CommandDigest] = r
	}
	for _, r := range runs {
		line := runStatus{Run: r.ID, State: l.runState(r), Calls: len(r.Calls), Credits: chargedCredits(r), Liability: newLiability(l.ledger.Liability(r)), List: r.URI, Service: orDefault(r.Settings[serviceSetting], "run")}
		if line.Service == visitorsName {
			line.List = r.Settings["domain"]
		}
		if r.Published != nil {
			line.Generation, line.Deferred, line.InDoubt = r.Published.Generation, r.Published.Deferred, r.Published.Held
			if newest[r.CommandDigest] == r && l.windowOpen(r) {
				line.Open = line.Deferred
			}
		}
		status.Runs = append(status.Runs, line)
		status.Credits += line.Credits
		status.OpenLines += line.Open
	}
	status.MaxCost = status.Credits + total.MaxCost
	status.Reopened = l.reopenedRun() != nil
	if len(runs) > 0 {
		last := runs[len(runs)-1]
		if last.Published == nil {
			status.Unfinished = last.ID
		}
		if last.Published == nil || last.HasUnaskedLines() && l.windowOpen(last) || status.Reopened {
			status.Next = append(status.Next, "siglake resume --lake "+l.uri)
		}
	}
	if total.InDoubt.Calls > 0 {
		status.Next = append(status.Next, "siglake held list --lake "+l.uri)
	}
	return status
}

// readStatus sums a lake up, with its newest generations.
func readStatus(ctx context.Context, env *Env, store StoreOptions, uri string) (*lakeStatus, error) {
	l, err := openExistingLake(ctx, env, store, uri, readOnly)
	if err != nil {
		return nil, err
	}
	defer l.close() //nolint:errcheck // nothing was written
	status := l.status()
	if status.Generations, status.Earlier, err = l.generations(ctx, 20); err != nil {
		return nil, lakeError(err)
	}
	return status, nil
}

// printStatus prints runs, bill and generations of a lake.
func printStatus(out io.Writer, status *lakeStatus) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tSTATE\tGENERATION\tCALLS\tCREDITS\tUNKNOWN\tIN DOUBT\tDECIDED\tDEFERRED\tCOMMAND\tLIST")
	for _, r := range status.Runs {
		generation, deferred := "-", "-"
		if r.Generation > 0 {
			generation, deferred = fmt.Sprint(r.Generation), thousands(r.Open)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Run, r.State, generation, thousands(int64(r.Calls)), thousands(r.Credits),
			shareText(r.Liability.UnknownCharge), shareText(r.Liability.InDoubt), shareText(r.Liability.Decided), deferred, r.Service, r.List)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s, %s\n", countText(len(status.Runs), "run"), totalText(status))
	for _, next := range status.Next {
		fmt.Fprintf(out, "  Next: %s\n", next)
	}
	return printGenerations(out, status)
}

// generationStatus is one publication: a run, or a compaction, which asks and
// costs nothing.
type generationStatus struct {
	Generation int64     `json:"generation"`
	Kind       string    `json:"kind"`
	Run        string    `json:"run"`
	Files      int       `json:"files"`
	Replaces   int       `json:"replaces_files,omitempty"`
	Rows       int64     `json:"rows"`
	Finished   time.Time `json:"finished"`
}

// generations are the newest publications, newest first, at most so many, and
// how many there are before them.
func (l *lake) generations(ctx context.Context, maxCount int) (all []generationStatus, earlier int64, err error) {
	inspector, err := sinks.Inspect(ctx, l.uri, l.options)
	if err != nil {
		return nil, 0, err
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	for m, err := range inspector.Generations(ctx) {
		if err != nil {
			return nil, 0, err
		}
		if len(all) == maxCount {
			return all, m.Generation, nil
		}
		g := generationStatus{
			Generation: m.Generation, Kind: kindText(m.Run.Kind), Run: m.Run.ID, Files: len(m.Files), Replaces: len(m.Replaces), Finished: m.Run.Finished.UTC(),
		}
		for _, f := range m.Files {
			g.Rows += f.Rows
		}
		all = append(all, g)
	}
	return all, 0, nil
}

func printGenerations(out io.Writer, s *lakeStatus) error {
	if len(s.Generations) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nGENERATION\tKIND\tRUN\tFILES\tROWS\tFINISHED")
	for _, g := range s.Generations {
		files := thousands(int64(g.Files))
		if g.Replaces > 0 {
			files += " for " + thousands(int64(g.Replaces))
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", g.Generation, g.Kind, g.Run, files, thousands(g.Rows), g.Finished.Format("2006-01-02 15:04 UTC"))
	}
	if s.Earlier > 0 {
		fmt.Fprintf(w, "and %s earlier ones\n", thousands(s.Earlier))
	}
	return w.Flush()
}

func kindText(k pipeline.GenerationKind) string {
	if k == pipeline.RunGeneration {
		return "run"
	}
	return string(k)
}

// chargedCredits is what the API stated for a run's calls.
func chargedCredits(r *ledger.Run) (credits int64) {
	for _, call := range r.Calls {
		credits += call.Charge.Credits
	}
	return credits
}

// totalText is the bill of all runs, and what is not known of it.
func totalText(s *lakeStatus) string {
	text := thousands(s.Credits) + " credits"
	if s.MaxCost > s.Credits {
		text = fmt.Sprintf("%s to %s credits", thousands(s.Credits), thousands(s.MaxCost))
	}
	for _, part := range []struct {
		share
		noun, text string
	}{
		{s.Liability.UnknownCharge, "answered call", "whose charge is unknown, 0 to %s: compare the account's usage"},
		{s.Liability.InDoubt, "call", "in doubt, 0 to %s"},
		{s.Liability.Retry, "call", "released to be asked again and perhaps charged, 0 to %s"},
		{s.Liability.WrittenOff, "call", "accepted as lost and perhaps charged, 0 to %s"},
	} {
		if part.Calls > 0 {
			text += fmt.Sprintf("\n  %s "+part.text, countText(part.Calls, part.noun), thousands(part.MaxCost))
		}
	}
	if s.OpenLines > 0 {
		text += fmt.Sprintf("\n  %s not asked about yet", countText(int(s.OpenLines), "line"))
	}
	return text
}

func (l *lake) runState(r *ledger.Run) string {
	switch {
	case r.Published != nil && r.Published.Outcome == pipeline.RunInDoubt && len(l.ledger.UndecidedCalls(r)) == 0:
		return "held, decided"
	case r.Published != nil:
		return string(r.Published.Outcome)
	case r.Prepared != nil:
		return "being published"
	}
	return "unfinished"
}

func shareText(s share) string {
	if s.Calls == 0 {
		return "-"
	}
	return "0 to " + thousands(s.MaxCost)
}
