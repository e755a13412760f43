package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/lusha"
)

func usageCommand() *cli.Command {
	api, sim, out := defaultAPI(), defaultSimulator(), defaultOutput()
	return &cli.Command{
		Name:  "usage",
		Usage: "show the account's credits, prices and rate windows, and when those reset; free of charge",
		Description: "Asks the API's usage endpoint, which allows five questions a minute. What is not stated is shown as such:\n" +
			"an action without a price is not priced, which does not mean free.",
		Flags: joinFlags([]cli.Flag{
			&cli.BoolFlag{Name: "json", Destination: &out.JSON, EnvVars: []string{"SIGLAKE_JSON"}, Category: "Output", Usage: "machine-readable output"},
			simulateFlag(&api.Simulate, "ask an embedded simulator instead of the API: no key, no money, invented answers"),
		}, apiFlags(&api), simulatorFlags(&sim), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageErrorf("usage takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			u, err := fetchUsage(c.Context, env, api, func(ctx context.Context) (endpoint, error) {
				at, _, err := openAPI(ctx, env, api, sim)
				return at, err
			})
			if err != nil {
				return err
			}
			a := newAccountUsage(u)
			if out.JSON {
				return printJSON(env.Stdout, a)
			}
			printUsage(env.Stdout, a)
			return nil
		},
	}
}

// accountUsage is the JSON form of the account's state. What is not stated is null.
type accountUsage struct {
	Total     *int64                  `json:"credits_total"`
	Used      *int64                  `json:"credits_used"`
	Remaining *int64                  `json:"credits_remaining"`
	Plan      string                  `json:"plan,omitempty"`
	Windows   []accountWindow         `json:"windows"`
	Prices    map[string]accountPrice `json:"prices"`
}

type accountWindow struct {
	Name   string     `json:"name"`
	Limit  *int64     `json:"limit"`
	Used   *int64     `json:"used"`
	Left   *int64     `json:"left"`
	Resets *time.Time `json:"resets_at"`
}

type accountPrice struct {
	Credits *int64 `json:"credits"`
	Per     *int64 `json:"per_started"`
}

// fetchUsage asks what the account has used and what it has left.
func fetchUsage(ctx context.Context, env *Env, o APIOptions, open func(context.Context) (endpoint, error)) (*lusha.Usage, error) {
	api, err := connectAPI(ctx, env, o, open)
	if err != nil {
		return nil, err
	}
	defer api.disconnect()
	u, err := api.client.FetchUsage(ctx)
	if err != nil {
		var refusal *lusha.RefusalError
		if errors.As(err, &refusal) && refusal.Class == lusha.ClassRateBurst {
			return nil, &Error{KindDeferred, errors.New("the account's usage can be read five times a minute, and it was, by siglake or by others: try again in a minute")}
		}
		return nil, askError(ctx, err)
	}
	return u, nil
}

func newAccountUsage(u *lusha.Usage) accountUsage {
	a := accountUsage{Total: statedOrNil(u.Total), Used: statedOrNil(u.Used), Remaining: statedOrNil(u.Remaining), Plan: u.Plan, Prices: map[string]accountPrice{}, Windows: []accountWindow{}}
	for _, w := range []struct {
		name string
		lusha.UsageWindow
	}{{"minute", u.Minute}, {"hour", u.Hour}, {"day", u.Day}} {
		line := accountWindow{Name: w.name, Limit: statedOrNil(w.Limit), Used: statedOrNil(w.Used), Left: statedOrNil(w.Left)}
		if !w.ResetAt.IsZero() {
			line.Resets = &w.ResetAt
		}
		a.Windows = append(a.Windows, line)
	}
	for action, p := range u.Prices {
		a.Prices[action] = accountPrice{statedOrNil(p.Credits), statedOrNil(p.PerQuantity)}
	}
	return a
}

// statedOrNil is a number, or nil for one that the account does not state.
func statedOrNil(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func printUsage(w io.Writer, a accountUsage) {
	number := func(n *int64) string {
		if n == nil {
			return "not stated"
		}
		return thousands(*n)
	}
	fmt.Fprintf(w, "Credits   %s left, %s used, %s in all\n", number(a.Remaining), number(a.Used), number(a.Total))
	if a.Plan != "" {
		fmt.Fprintf(w, "Plan      %s\n", a.Plan)
	}
	for _, win := range a.Windows {
		if win.Limit == nil {
			fmt.Fprintf(w, "%-9s no limit stated\n", win.Name)
			continue
		}
		line := fmt.Sprintf("%-9s %s of %s calls left", win.Name, number(win.Left), number(win.Limit))
		if win.Resets != nil {
			line += ", resets " + win.Resets.UTC().Format("2006-01-02 15:04:05 UTC")
		}
		fmt.Fprintln(w, line)
	}
	var actions []string
	for action := range a.Prices {
		actions = append(actions, action)
	}
	slices.Sort(actions)
	for i, action := range actions {
		title := ""
		if i == 0 {
			title = "Prices"
		}
		p := a.Prices[action]
		per := ""
		if p.Per != nil && *p.Per != 1 {
			per = fmt.Sprintf(" for every started %s", thousands(*p.Per))
		}
		fmt.Fprintf(w, "%-9s %-28s %s%s\n", title, action, number(p.Credits), per)
	}
	if len(actions) == 0 {
		fmt.Fprintln(w, "Prices    not stated")
	}
}
