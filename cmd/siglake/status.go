package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "what a lake's runs did, cost and left, and its newest generations",
		Flags: joinFlags([]cli.Flag{lakeFlag()}, storeFlags(), outputFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("status takes no arguments, got %q", c.Args().First())
			}
			s, err := openExisting(c, onlooker)
			if err != nil {
				return err
			}
			defer s.close() //nolint:errcheck // nothing was written
			if err := printStatus(c, s); err != nil {
				return err
			}
			if err := printGenerations(c, s); err != nil {
				return &exitError{storageCode(err), err}
			}
			return nil
		},
	}
}

func printStatus(c *cli.Context, s *state) error {
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tSTATE\tGENERATION\tCALLS\tCREDITS\tIN DOUBT\tDEFERRED\tLIST")
	var credits, doubt int64
	for _, r := range s.journal.Runs() {
		var charged, most int64
		for _, call := range r.Calls {
			if call.Credits > 0 {
				charged += call.Credits
			}
			if call.Doubtful() {
				most += call.Ceiling
			}
		}
		credits += charged
		doubt += most
		generation, deferred := "-", "-"
		if r.Done != nil {
			generation, deferred = fmt.Sprint(r.Done.Generation), thousands(r.Done.Deferred)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, runState(r), generation, thousands(int64(len(r.Calls))), thousands(charged), doubtText(most), deferred, r.URI)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "\n%d runs, %s credits", len(s.journal.Runs()), thousands(credits))
	if n := len(s.journal.Doubts()); n > 0 {
		fmt.Fprintf(c.App.Writer, "; %d calls in doubt, at most %s credits more: siglake held list --lake %s", n, thousands(doubt), s.lake)
	}
	fmt.Fprintln(c.App.Writer)
	return nil
}

// printGenerations lists the newest publications: runs, and compactions, which
// ask and cost nothing.
func printGenerations(c *cli.Context, s *state) error {
	const shown = 20
	i, err := sinks.Inspect(c.Context, s.lake, s.options)
	if err != nil {
		return err
	}
	defer i.Close() //nolint:errcheck // it was only read
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	n := int64(0)
	for m, err := range i.Generations(c.Context) {
		if err != nil {
			return err
		}
		if n == 0 {
			fmt.Fprintln(w, "\nGENERATION\tKIND\tRUN\tFILES\tROWS\tFINISHED")
		}
		if n++; n > shown {
			fmt.Fprintf(w, "and %s earlier ones\n", thousands(m.Generation))
			break
		}
		rows := int64(0)
		for _, f := range m.Files {
			rows += f.Rows
		}
		files := thousands(int64(len(m.Files)))
		if len(m.Replaces) > 0 {
			files = fmt.Sprintf("%s for %s", files, thousands(int64(len(m.Replaces))))
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", m.Generation, kindText(m.Run.Kind), m.Run.ID, files, thousands(rows), m.Run.Finished.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return w.Flush()
}

func kindText(k pipeline.Kind) string {
	if k == pipeline.OfRun {
		return "run"
	}
	return string(k)
}

func runState(r *journal.Run) string {
	switch {
	case r.Done != nil:
		return string(r.Done.Outcome)
	case r.Staged != nil:
		return "being published"
	}
	return "unfinished"
}

func doubtText(most int64) string {
	if most == 0 {
		return "-"
	}
	return "0 to " + thousands(most)
}
