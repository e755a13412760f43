package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "what a lake's runs did, cost and left, and its newest generations",
		Description: "CREDITS are those that the API stated. UNKNOWN is what answers can have cost beside them whose charge was not\n" +
			"understood, IN DOUBT what calls can have cost whose answers are lost, and DECIDED the same of calls that\n" +
			"siglake held or --in-doubt decided about: what was decided does not change what was charged. DEFERRED are\n" +
			"lines that are still to be asked about: those of a run that a later run of its command went on with are not.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(),
			&cli.BoolFlag{Name: "json", EnvVars: []string{"SIGLAKE_JSON"}, Usage: "machine-readable output"},
		}, storeFlags(), outputFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("status takes no arguments, got %q", c.Args().First())
			}
			s, err := openExisting(c, onlooker)
			if err != nil {
				return err
			}
			defer s.close() //nolint:errcheck // nothing was written
			return printStatus(c, s)
		},
	}
}

// lakeStatus is what status prints, with --json as it is.
type lakeStatus struct {
	Lake       string      `json:"lake"`
	Runs       []runStatus `json:"runs"` // oldest first
	Credits    int64       `json:"credits"`
	Most       int64       `json:"credits_most"` // with all that is unsettled
	Unsettled  unsettled   `json:"unsettled"`
	Unfinished string      `json:"unfinished_run,omitempty"`
	Deferred   int64       `json:"deferred_lines"` // still open: what each command's newest run left
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
	Unsettled  unsettled `json:"unsettled"`
	Deferred   int64     `json:"deferred_lines"`
	Open       int64     `json:"open_lines"`
	Held       int64     `json:"held_lines"`
	List       string    `json:"list"`
	Service    string    `json:"service"` // the command that began it
}

// unsettled is journal.Unsettled for machines.
type unsettled struct {
	Unknown  span `json:"unknown_charges"`
	Doubts   span `json:"in_doubt"`
	Released span `json:"decided_released"`
	Lost     span `json:"decided_accepted_loss"`
	decided  span
}

type span struct {
	Calls int   `json:"calls"`
	Most  int64 `json:"credits_most"`
}

func unsettledOf(u journal.Unsettled) unsettled {
	return unsettled{Unknown: span(u.Unknown), Doubts: span(u.Doubts), Released: span(u.Released), Lost: span(u.Lost), decided: span(u.Decided)}
}

// status sums the journal up.
func (s *state) status() *lakeStatus {
	all := s.journal.Unsettled(nil)
	l := &lakeStatus{Lake: s.lake, Runs: []runStatus{}, Unsettled: unsettledOf(all), Next: []string{}}
	runs := s.journal.Runs()
	newest := map[string]*journal.Run{} // of each command
	for _, r := range runs {
		newest[r.Command] = r
	}
	for _, r := range runs {
		line := runStatus{Run: r.ID, State: s.runState(r), Calls: len(r.Calls), Credits: chargedOf(r), Unsettled: unsettledOf(s.journal.Unsettled(r)), List: r.URI, Service: wordOr(r.Settings[serviceSetting], "run")}
		if line.Service == visitorsName {
			line.List = r.Settings["domain"]
		}
		if r.Done != nil {
			line.Generation, line.Deferred, line.Held = r.Done.Generation, r.Done.Deferred, r.Done.Held
			if newest[r.Command] == r && stillAsked(r) {
				line.Open = line.Deferred
			}
		}
		l.Runs = append(l.Runs, line)
		l.Credits += line.Credits
		l.Deferred += line.Open
	}
	l.Most = l.Credits + all.Most
	l.Reopened = s.reopened() != nil
	if len(runs) > 0 {
		last := runs[len(runs)-1]
		if last.Done == nil {
			l.Unfinished = last.ID
		}
		if last.Done == nil || last.Left() && stillAsked(last) || l.Reopened {
			l.Next = append(l.Next, "siglake resume --lake "+s.lake)
		}
	}
	if all.Doubts.Calls > 0 {
		l.Next = append(l.Next, "siglake held list --lake "+s.lake)
	}
	return l
}

func printStatus(c *cli.Context, s *state) error {
	l := s.status()
	var err error
	if l.Generations, l.Earlier, err = s.generations(c.Context, 20); err != nil {
		return &exitError{storageCode(err), err}
	}
	if c.Bool("json") {
		return printJSON(c, l)
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tSTATE\tGENERATION\tCALLS\tCREDITS\tUNKNOWN\tIN DOUBT\tDECIDED\tDEFERRED\tCOMMAND\tLIST")
	for _, r := range l.Runs {
		generation, deferred := "-", "-"
		if r.Generation > 0 {
			generation, deferred = fmt.Sprint(r.Generation), thousands(r.Open)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Run, r.State, generation, thousands(int64(r.Calls)), thousands(r.Credits),
			spanText(r.Unsettled.Unknown), spanText(r.Unsettled.Doubts), spanText(r.Unsettled.decided), deferred, r.Service, r.List)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "\n%s, %s\n", counted(len(l.Runs), "run"), l.totalText())
	for _, next := range l.Next {
		fmt.Fprintf(c.App.Writer, "  Next: %s\n", next)
	}
	return l.printGenerations(c.App.Writer)
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
func (s *state) generations(ctx context.Context, most int) (all []generationStatus, earlier int64, err error) {
	i, err := sinks.Inspect(ctx, s.lake, s.options)
	if err != nil {
		return nil, 0, err
	}
	defer i.Close() //nolint:errcheck // it was only read
	for m, err := range i.Generations(ctx) {
		if err != nil {
			return nil, 0, err
		}
		if len(all) == most {
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

func (l *lakeStatus) printGenerations(out io.Writer) error {
	if len(l.Generations) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nGENERATION\tKIND\tRUN\tFILES\tROWS\tFINISHED")
	for _, g := range l.Generations {
		files := thousands(int64(g.Files))
		if g.Replaces > 0 {
			files += " for " + thousands(int64(g.Replaces))
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", g.Generation, g.Kind, g.Run, files, thousands(g.Rows), g.Finished.Format("2006-01-02 15:04 UTC"))
	}
	if l.Earlier > 0 {
		fmt.Fprintf(w, "and %s earlier ones\n", thousands(l.Earlier))
	}
	return w.Flush()
}

func kindText(k pipeline.Kind) string {
	if k == pipeline.OfRun {
		return "run"
	}
	return string(k)
}

// chargedOf is what the API stated for a run's calls.
func chargedOf(r *journal.Run) (credits int64) {
	for _, call := range r.Calls {
		credits += max(call.Credits, 0)
	}
	return credits
}

// totalText is the bill of all runs, and what is not known of it.
func (l *lakeStatus) totalText() string {
	text := thousands(l.Credits) + " credits"
	if l.Most > l.Credits {
		text = fmt.Sprintf("%s to %s credits", thousands(l.Credits), thousands(l.Most))
	}
	for _, part := range []struct {
		span
		noun, text string
	}{
		{l.Unsettled.Unknown, "answered call", "whose charge is unknown, 0 to %s: compare the account's usage"},
		{l.Unsettled.Doubts, "call", "in doubt, 0 to %s"},
		{l.Unsettled.Released, "call", "released to be asked again and perhaps charged, 0 to %s"},
		{l.Unsettled.Lost, "call", "accepted as lost and perhaps charged, 0 to %s"},
	} {
		if part.Calls > 0 {
			text += fmt.Sprintf("\n  %s "+part.text, counted(part.Calls, part.noun), thousands(part.Most))
		}
	}
	if l.Deferred > 0 {
		text += fmt.Sprintf("\n  %s not asked about yet", counted(int(l.Deferred), "line"))
	}
	return text
}

func (s *state) runState(r *journal.Run) string {
	switch {
	case r.Done != nil && r.Done.Outcome == pipeline.InDoubt && len(s.journal.Waits(r)) == 0:
		return "held, decided"
	case r.Done != nil:
		return string(r.Done.Outcome)
	case r.Staged != nil:
		return "being published"
	}
	return "unfinished"
}

func spanText(s span) string {
	if s.Calls == 0 {
		return "-"
	}
	return "0 to " + thousands(s.Most)
}
