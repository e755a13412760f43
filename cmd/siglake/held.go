package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

func heldCommand() *cli.Command {
	sub := func(name, usage string, action func(context.Context, *Env, *lake, []*ledger.Call, OutputOptions) error) *cli.Command {
		uri, store, out := "", defaultStore(), defaultOutput()
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: "[CALL …]",
			Flags: joinFlags([]cli.Flag{
				lakeFlag(&uri),
				jsonFlag(&out),
			}, storeFlags(&store), outputFlags(&out)),
			Action: func(c *cli.Context) error {
				holder := "siglake held " + name
				if name == "list" {
					holder = readOnly
				}
				env := envOf(c)
				l, err := openExistingLake(c.Context, env, store, uri, holder)
				if err != nil {
					return err
				}
				defer l.close() //nolint:errcheck // what was decided is durable before
				calls, err := selectInDoubt(l, c.Args().Slice())
				if err != nil {
					return err
				}
				return action(c.Context, env, l, calls, out)
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
			sub("list", "show them, with entities, signals, time, error and the credits they can have cost", showInDoubt),
			sub("retry", "ask again in the next run", decideAndShow(ledger.Retry)),
			sub("accept-loss", "take them as paid and lost", decideAndShow(ledger.WriteOff)),
		},
	}
}

// showInDoubt prints calls in doubt.
func showInDoubt(ctx context.Context, env *Env, l *lake, calls []*ledger.Call, out OutputOptions) error {
	listed, err := l.listInDoubt(ctx, calls)
	if err != nil {
		return err
	}
	if out.JSON {
		return printJSON(env.Stdout, listed)
	}
	printInDoubtCalls(env.Stdout, listed, l.ledger.MaxCost(slices.Clone(calls)...))
	return nil
}

// decideAndShow decides about calls in doubt, and says so.
func decideAndShow(decision ledger.Decision) func(context.Context, *Env, *lake, []*ledger.Call, OutputOptions) error {
	return func(_ context.Context, env *Env, l *lake, calls []*ledger.Call, out OutputOptions) error {
		d, err := l.decideInDoubt(decision, calls)
		switch {
		case err != nil:
			return err
		case out.JSON:
			return printJSON(env.Stdout, d)
		case !out.Quiet:
			printDecision(env.Stdout, d)
		}
		return nil
	}
}

// selectInDoubt are the doubts named, or all.
func selectInDoubt(l *lake, names []string) (calls []*ledger.Call, err error) {
	inDoubt := l.ledger.CallsInDoubt()
	if len(names) == 0 {
		return inDoubt, nil
	}
	for _, name := range names {
		i := slices.IndexFunc(inDoubt, func(c *ledger.Call) bool { return name == c.Run.ID+"/"+c.ID || name == c.ID })
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

// listInDoubt describes calls in doubt.
func (l *lake) listInDoubt(ctx context.Context, calls []*ledger.Call) ([]inDoubtCall, error) {
	listed := []inDoubtCall{}
	for _, d := range calls {
		items, err := l.ledger.CallItems(ctx, d)
		if err != nil {
			return nil, lakeError(err)
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
	return listed, nil
}

// printInDoubtCalls prints calls in doubt, and what all of them can have cost together.
func printInDoubtCalls(w io.Writer, calls []inDoubtCall, maxCost int64) {
	for _, c := range calls {
		fmt.Fprintf(w, "%s  %s  0 to %s credits\n  %s\n  %d %s: %s\n  %s, %s to %s\n\n", c.Call, c.Time.UTC().Format("2006-01-02 15:04:05 UTC"),
			thousands(c.MaxCost), c.Problem, len(c.Accounts), c.Object, shortList(c.Accounts, 8), shortList(c.Signals, 6), c.Since, c.Until)
	}
	together := ""
	if len(calls) > 1 {
		together = fmt.Sprintf(", 0 to %s credits together", thousands(maxCost))
	}
	fmt.Fprintf(w, "%s in doubt%s\n", countText(len(calls), "call"), together)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
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
	Decision ledger.Decision `json:"decision"`
	Calls    []string        `json:"calls"`
	MinCost  int64           `json:"credits_least"` // that they may have been charged
	MaxCost  int64           `json:"credits_most"`
}

// decideInDoubt records a decision about calls in doubt.
func (l *lake) decideInDoubt(decision ledger.Decision, calls []*ledger.Call) (decisionReport, error) {
	d := decisionReport{Decision: decision, Calls: []string{}}
	for _, call := range calls {
		if err := l.ledger.RecordDecision(call, decision, "siglake held"); err != nil {
			return d, &Error{KindStorage, err}
		}
		d.Calls = append(d.Calls, call.Run.ID+"/"+call.ID)
	}
	d.MaxCost = l.ledger.MaxCost(calls...)
	return d, nil
}

// printDecision says what was decided about calls in doubt.
func printDecision(w io.Writer, d decisionReport) {
	effect := "may be asked again by the next run; what was charged before, 0 to %s credits, may then be paid twice"
	switch {
	case len(d.Calls) == 0:
		effect = "in doubt: nothing to decide"
	case d.Decision == ledger.WriteOff && len(d.Calls) == 1:
		effect = "is taken as paid and lost, 0 to %s credits"
	case d.Decision == ledger.WriteOff:
		effect = "are taken as paid and lost, 0 to %s credits"
	}
	if len(d.Calls) > 0 {
		effect = fmt.Sprintf(effect, thousands(d.MaxCost))
	}
	fmt.Fprintf(w, "%s %s\n", countText(len(d.Calls), "call"), effect)
}
