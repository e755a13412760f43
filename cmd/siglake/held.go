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
	sub := func(name, usage string, action func(*cli.Context, *lake, []*journal.Call) error) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: "[CALL …]",
			Flags: joinFlags([]cli.Flag{
				lakeFlag(),
				&cli.BoolFlag{Name: "json", EnvVars: []string{"SIGLAKE_JSON"}, Usage: "machine-readable output"},
			}, storeFlags(), outputFlags()),
			Action: func(c *cli.Context) error {
				holder := "siglake held " + name
				if name == "list" {
					holder = readOnly
				}
				l, err := openExistingLake(c, holder)
				if err != nil {
					return err
				}
				defer l.close() //nolint:errcheck // what was decided is durable before
				calls, err := selectInDoubt(l, c.Args().Slice())
				if err != nil {
					return err
				}
				return action(c, l, calls)
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
			sub("list", "show them, with entities, signals, time, error and the credits they can have cost", listInDoubt),
			sub("retry", "ask again in the next run", decideInDoubt(journal.Retry)),
			sub("accept-loss", "take them as paid and lost", decideInDoubt(journal.WriteOff)),
		},
	}
}

// selectInDoubt are the doubts named, or all.
func selectInDoubt(l *lake, names []string) (calls []*journal.Call, err error) {
	inDoubt := l.ledger.CallsInDoubt()
	if len(names) == 0 {
		return inDoubt, nil
	}
	for _, name := range names {
		i := slices.IndexFunc(inDoubt, func(c *journal.Call) bool { return name == c.Run.ID+"/"+c.ID || name == c.ID })
		if i < 0 {
			return nil, usageErrorf("no call in doubt is called %q; siglake held list shows them", name)
		}
		if !slices.Contains(calls, inDoubt[i]) {
			calls = append(calls, inDoubt[i])
		}
	}
	return calls, nil
}

// inDoubtCall is a doubt as held list shows it.
type inDoubtCall struct {
	Call     string    `json:"call"`
	Time     time.Time `json:"time"`
	Problem  string    `json:"problem"`
	Object   string    `json:"object"`
	Signals  []string  `json:"signals"`
	Since    string    `json:"since"`
	Until    string    `json:"until"`
	Accounts []string  `json:"accounts"`
	MinCost  int64     `json:"credits_least"`
	MaxCost  int64     `json:"credits_most"`
}

func listInDoubt(c *cli.Context, l *lake, calls []*journal.Call) error {
	listed := []inDoubtCall{}
	for _, d := range calls {
		items, err := l.ledger.CallItems(c.Context, d)
		if err != nil {
			return &exitError{storageCode(err), err}
		}
		line := inDoubtCall{
			Call: d.Run.ID + "/" + d.ID, Time: d.Time, Problem: d.Problem, Object: string(d.Query.Object), Signals: d.Query.Signals,
			Since: d.Query.Since, Until: d.Query.Until, MaxCost: l.ledger.MaxCost(d),
		}
		for _, i := range items {
			line.Accounts = append(line.Accounts, accountName(i))
		}
		listed = append(listed, line)
	}
	if c.Bool("json") {
		return printJSON(c, listed)
	}
	for _, line := range listed {
		fmt.Fprintf(c.App.Writer, "%s  %s  0 to %s credits\n  %s\n  %d %s: %s\n  %s, %s to %s\n\n", line.Call, line.Time.UTC().Format("2006-01-02 15:04:05 UTC"),
			thousands(line.MaxCost), line.Problem, len(line.Accounts), line.Object, shortList(line.Accounts, 8), shortList(line.Signals, 6), line.Since, line.Until)
	}
	together := ""
	if len(calls) > 1 {
		together = fmt.Sprintf(", 0 to %s credits together", thousands(l.ledger.MaxCost(slices.Clone(calls)...)))
	}
	fmt.Fprintf(c.App.Writer, "%s in doubt%s\n", countText(len(listed), "call"), together)
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

// decisionReport is what held retry and accept-loss did, for machines.
type decisionReport struct {
	Decision journal.Decision `json:"decision"`
	Calls    []string         `json:"calls"`
	MinCost  int64            `json:"credits_least"` // that they may have been charged all the same
	MaxCost  int64            `json:"credits_most"`
}

func decideInDoubt(decision journal.Decision) func(*cli.Context, *lake, []*journal.Call) error {
	return func(c *cli.Context, l *lake, calls []*journal.Call) error {
		d := decisionReport{Decision: decision, Calls: []string{}}
		for _, call := range calls {
			if err := l.ledger.RecordDecision(call, decision, "siglake held"); err != nil {
				return &exitError{exitStorage, err}
			}
			d.Calls = append(d.Calls, call.Run.ID+"/"+call.ID)
		}
		d.MaxCost = l.ledger.MaxCost(calls...)
		if c.Bool("json") {
			return printJSON(c, d)
		}
		effect := "may be asked again by the next run; what was charged before, 0 to %s credits, may then be paid twice"
		switch {
		case len(calls) == 0:
			effect = "in doubt: nothing to decide"
		case decision == journal.WriteOff && len(calls) == 1:
			effect = "is taken as paid and lost, 0 to %s credits"
		case decision == journal.WriteOff:
			effect = "are taken as paid and lost, 0 to %s credits"
		}
		if len(calls) > 0 {
			effect = fmt.Sprintf(effect, thousands(d.MaxCost))
		}
		if !c.Bool("quiet") {
			fmt.Fprintf(c.App.Writer, "%s %s\n", countText(len(calls), "call"), effect)
		}
		return nil
	}
}
