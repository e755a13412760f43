package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/report"
)

func planCommand() *cli.Command {
	p := newRunPurchase("run")
	price := ""
	return &cli.Command{
		Name:      "plan",
		Usage:     "forecast what siglake run would request, its cost and its duration; spends nothing",
		ArgsUsage: "LIST",
		Description: "Takes the flags of siglake run. plan reads the list and the lake's journal, and calls free endpoints for the\n" +
			"account's signals, prices and rate windows; without a key it uses what the vendor publishes. It forecasts the\n" +
			"credits from what this lake's own calls returned or, before the first run, from a guess that it states. No\n" +
			"answer can cost more than the ceiling.",
		Flags: joinFlags([]cli.Flag{
			&cli.BoolFlag{Name: "json", Destination: &p.out.JSON, EnvVars: []string{"SIGLAKE_JSON"}, Category: "Output", Usage: "machine-readable output"},
			&cli.StringFlag{Name: "for", Value: p.run.Command, Destination: &p.run.Command, EnvVars: []string{"SIGLAKE_FOR"}, Usage: "command to plan: run, resolve or score"},
			&cli.StringFlag{Name: "price-per-credit", Destination: &price, EnvVars: []string{"SIGLAKE_PRICE_PER_CREDIT"}, Category: "Money",
				Usage: "price of one credit, as `AMOUNT` with or without a currency (0.025, \"0.025 EUR\"); shows costs in money too"},
		}, p.runFlags()),
		Action: func(c *cli.Context) error {
			list, err := oneList(c)
			if err != nil {
				return err
			}
			p.run.List = list
			return p.plan(c, price)
		},
	}
}

// plan plans the command, and prints the plan.
func (p *purchaseCommand) plan(c *cli.Context, pricePerCredit string) error {
	env, err := loggingEnv(c, p.out)
	if err != nil {
		return err
	}
	if err := p.checkSimulator(); err != nil {
		return err
	}
	price, err := report.ParseCreditPrice(pricePerCredit)
	if err != nil {
		return err
	}
	p.attach(invocationOf(c))
	if invocationOf(c).checkOnly {
		return app.CheckOptions(env, p.run)
	}
	planned, err := p.newPlanJob(env).Plan(c.Context)
	if err != nil {
		return err
	}
	planned.Money = price.CostOf(planned.Credits)
	switch {
	case p.out.JSON:
		return report.PrintJSON(env.Stdout, planned)
	case p.out.Quiet:
		format.Fprintf(env.Stdout, "%s: %s, %s, %s expected, never more than %s\n",
			planned.List, format.Count(planned.Entities, "entity"), format.Count(planned.Calls, "call"), format.Count(planned.Credits.P50, "credit"), format.Thousands(planned.Credits.Ceiling))
	default:
		command := invocationOf(c).plannedCommand(p.run.Command)
		if p.run.Lake == "" { // which a plan does not need
			command += " --lake DIR"
		}
		report.PrintPlan(env.Stdout, planned, command, p.run.Money.MaxCredits != "")
	}
	return nil
}

// plannedCommand is the command line that does what siglake plan was asked to plan.
func (inv *invocation) plannedCommand(command string) string {
	words := []string{"siglake", command}
	for i := 2; i < len(inv.args); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(inv.args[i], "-"), "=")
		isFlag := len(inv.args[i]) > 1 && inv.args[i][0] == '-'
		switch {
		case isFlag && slices.Contains([]string{"json", "quiet", "q"}, name):
		case isFlag && slices.Contains([]string{"for", "price-per-credit"}, name):
			if !joined {
				i++
			}
		default:
			words = append(words, shellWord(inv.args[i]))
		}
	}
	return strings.Join(words, " ")
}

// shellWord quotes a word for a shell, if it needs that.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./,:=@%+", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
