package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/pipeline"
)

func heldCommand() *cli.Command {
	sub := func(name, usage string, action func(*cli.Context, *state, []*journal.Call) error) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: "[CALL …]",
			Flags: joinFlags([]cli.Flag{
				lakeFlag(),
				&cli.BoolFlag{Name: "json", EnvVars: []string{"SIGLAKE_JSON"}, Usage: "machine-readable output"},
			}, storeFlags(), outputFlags()),
			Action: func(c *cli.Context) error {
				who := "siglake held " + name
				if name == "list" {
					who = onlooker
				}
				s, err := openExisting(c, who)
				if err != nil {
					return err
				}
				defer s.close() //nolint:errcheck // what was decided is durable before
				calls, err := chosenDoubts(s, c.Args().Slice())
				if err != nil {
					return err
				}
				return action(c, s, calls)
			},
		}
	}
	return &cli.Command{
		Name:  "held",
		Usage: "calls that may have been charged and whose answers are lost",
		Description: "A call that broke off may have been charged: it is held, never sent again silently. Compare the\n" +
			"account's usage with the list, then decide, for all or for the calls named (as RUN/CALL):\n" +
			"  retry        the next run of the list asks again, at the risk of paying twice\n" +
			"  accept-loss  taken as paid and lost; not asked again for its window\n" +
			"Neither changes what was charged: siglake status keeps the credits of both apart, as 0 to N.",
		Subcommands: []*cli.Command{
			sub("list", "show them, with entities, signals, time, error and the credits they can have cost", listDoubts),
			sub("retry", "ask again in the next run", decideDoubts(journal.Released)),
			sub("accept-loss", "take them as paid and lost", decideDoubts(journal.Lost)),
		},
	}
}

// chosenDoubts are the doubts named, or all.
func chosenDoubts(s *state, names []string) (calls []*journal.Call, err error) {
	doubts := s.journal.Doubts()
	if len(names) == 0 {
		return doubts, nil
	}
	for _, name := range names {
		i := slices.IndexFunc(doubts, func(c *journal.Call) bool { return name == c.Run.ID+"/"+c.ID || name == c.ID })
		if i < 0 {
			return nil, usagef("no call in doubt is called %q; siglake held list shows them", name)
		}
		if !slices.Contains(calls, doubts[i]) {
			calls = append(calls, doubts[i])
		}
	}
	return calls, nil
}

// doubtLine is a doubt as held list shows it.
type doubtLine struct {
	Call     string    `json:"call"`
	Time     time.Time `json:"time"`
	Problem  string    `json:"problem"`
	Object   string    `json:"object"`
	Signals  []string  `json:"signals"`
	Since    string    `json:"since"`
	Until    string    `json:"until"`
	Accounts []string  `json:"accounts"`
	Least    int64     `json:"credits_least"`
	Most     int64     `json:"credits_most"`
}

func listDoubts(c *cli.Context, s *state, calls []*journal.Call) error {
	lines := []doubtLine{}
	for _, d := range calls {
		items, err := s.journal.Items(c.Context, d)
		if err != nil {
			return &exitError{storageCode(err), err}
		}
		l := doubtLine{
			Call: d.Run.ID + "/" + d.ID, Time: d.Time, Problem: d.Problem, Object: string(d.Query.Object), Signals: d.Query.Signals,
			Since: d.Query.Since, Until: d.Query.Until, Most: s.journal.Most(d),
		}
		for _, i := range items {
			l.Accounts = append(l.Accounts, accountName(i))
		}
		lines = append(lines, l)
	}
	if c.Bool("json") {
		return printJSON(c, lines)
	}
	for _, l := range lines {
		fmt.Fprintf(c.App.Writer, "%s  %s  0 to %s credits\n  %s\n  %d %s: %s\n  %s, %s to %s\n\n", l.Call, l.Time.UTC().Format("2006-01-02 15:04:05 UTC"),
			thousands(l.Most), l.Problem, len(l.Accounts), l.Object, shortList(l.Accounts, 8), shortList(l.Signals, 6), l.Since, l.Until)
	}
	together := ""
	if len(calls) > 1 {
		together = fmt.Sprintf(", 0 to %s credits together", thousands(s.journal.Most(slices.Clone(calls)...)))
	}
	fmt.Fprintf(c.App.Writer, "%s in doubt%s\n", counted(len(lines), "call"), together)
	return nil
}

func printJSON(c *cli.Context, v any) error {
	e := json.NewEncoder(c.App.Writer)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// accountName is what the list's owner calls an account.
func accountName(i pipeline.Item) string {
	if i.Account.Key != "" {
		return i.Account.Key
	}
	return fmt.Sprintf("row %d", i.Account.Row)
}

func shortList(words []string, n int) string {
	if len(words) <= n {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:n], ", "), len(words)-n)
}

// decided is what held retry and accept-loss did, for machines.
type decided struct {
	Decision journal.How `json:"decision"`
	Calls    []string    `json:"calls"`
	Least    int64       `json:"credits_least"` // that they may have been charged all the same
	Most     int64       `json:"credits_most"`
}

func decideDoubts(how journal.How) func(*cli.Context, *state, []*journal.Call) error {
	return func(c *cli.Context, s *state, calls []*journal.Call) error {
		d := decided{Decision: how, Calls: []string{}}
		for _, call := range calls {
			if err := s.journal.Resolve(call, how, "siglake held"); err != nil {
				return &exitError{exitStorage, err}
			}
			d.Calls = append(d.Calls, call.Run.ID+"/"+call.ID)
		}
		d.Most = s.journal.Most(calls...)
		if c.Bool("json") {
			return printJSON(c, d)
		}
		what := "may be asked again by the next run; what was charged before, 0 to %s credits, may then be paid twice"
		switch {
		case len(calls) == 0:
			what = "in doubt: nothing to decide"
		case how == journal.Lost && len(calls) == 1:
			what = "is taken as paid and lost, 0 to %s credits"
		case how == journal.Lost:
			what = "are taken as paid and lost, 0 to %s credits"
		}
		if len(calls) > 0 {
			what = fmt.Sprintf(what, thousands(d.Most))
		}
		if !c.Bool("quiet") {
			fmt.Fprintf(c.App.Writer, "%s %s\n", counted(len(calls), "call"), what)
		}
		return nil
	}
}
