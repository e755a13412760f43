package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "what a lake's runs did, cost and left",
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
			return printStatus(c, s)
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
