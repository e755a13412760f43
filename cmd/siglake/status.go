package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "what a lake's runs did, cost and left",
		Description: "CREDITS are those that the API stated. UNKNOWN is what answers can have cost beside them whose charge was not\n" +
			"understood, IN DOUBT what calls can have cost whose answers are lost, and DECIDED the same of calls that\n" +
			"siglake held or --in-doubt decided about: what was decided does not change what was charged.",
		Flags: joinFlags([]cli.Flag{lakeFlag()}, outputFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("status takes no arguments, got %q", c.Args().First())
			}
			s, err := openExisting(c, "siglake status")
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
	fmt.Fprintln(w, "RUN\tSTATE\tGENERATION\tCALLS\tCREDITS\tUNKNOWN\tIN DOUBT\tDECIDED\tDEFERRED\tLIST")
	for _, r := range s.journal.Runs() {
		u := s.journal.Unsettled(r)
		generation, deferred := "-", "-"
		if r.Done != nil {
			generation, deferred = fmt.Sprint(r.Done.Generation), thousands(r.Done.Deferred)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, runState(r), generation, thousands(int64(len(r.Calls))), thousands(chargedOf(r)),
			spanText(u.Unknown), spanText(u.Doubts), spanText(u.Decided), deferred, r.URI)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var credits int64
	for _, r := range s.journal.Runs() {
		credits += chargedOf(r)
	}
	fmt.Fprintf(c.App.Writer, "\n%s, %s\n", counted(len(s.journal.Runs()), "run"), totalText(credits, s.journal.Unsettled(nil), s.lake))
	return nil
}

// chargedOf is what the API stated for a run's calls.
func chargedOf(r *journal.Run) (credits int64) {
	for _, call := range r.Calls {
		credits += max(call.Credits, 0)
	}
	return credits
}

// totalText is the bill of all runs, and what is not known of it.
func totalText(credits int64, u journal.Unsettled, lake string) string {
	text := thousands(credits) + " credits"
	if u.Most > 0 {
		text = fmt.Sprintf("%s to %s credits", thousands(credits), thousands(credits+u.Most))
	}
	for _, part := range []struct {
		journal.Span
		noun, text string
	}{
		{u.Unknown, "answered call", "whose charge is unknown, 0 to %s: compare the account's usage"},
		{u.Doubts, "call", "in doubt, 0 to %s: siglake held list --lake " + strings.ReplaceAll(lake, "%", "%%")},
		{u.Released, "call", "released to be asked again and perhaps charged, 0 to %s"},
		{u.Lost, "call", "accepted as lost and perhaps charged, 0 to %s"},
	} {
		if part.Calls > 0 {
			text += fmt.Sprintf("\n  %s "+part.text, counted(part.Calls, part.noun), thousands(part.Most))
		}
	}
	return text
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

func spanText(s journal.Span) string {
	if s.Calls == 0 {
		return "-"
	}
	return "0 to " + thousands(s.Most)
}
