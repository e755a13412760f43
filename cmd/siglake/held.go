package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/report"
)

func heldCommand() *cli.Command {
	sub := func(name, usage string, action func(context.Context, *app.Env, app.HeldOptions, OutputOptions) error) *cli.Command {
		o, out := app.HeldOptions{Command: "siglake held " + name, Store: app.DefaultStore()}, defaultOutput()
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: "[CALL …]",
			Flags: joinFlags([]cli.Flag{
				lakeFlag(&o.Lake),
				jsonFlag(&out),
			}, storeFlags(&o.Store), outputFlags(&out)),
			Action: func(c *cli.Context) error {
				o.Calls = c.Args().Slice()
				return action(c.Context, envOf(c), o, out)
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
func showInDoubt(ctx context.Context, env *app.Env, o app.HeldOptions, out OutputOptions) error {
	calls, maxCost, err := app.ListInDoubt(ctx, env, o)
	if err != nil {
		return err
	}
	if out.JSON {
		return report.PrintJSON(env.Stdout, calls)
	}
	report.PrintInDoubtCalls(env.Stdout, calls, maxCost)
	return nil
}

// decideAndShow decides about calls in doubt, and says so.
func decideAndShow(decision ledger.Decision) func(context.Context, *app.Env, app.HeldOptions, OutputOptions) error {
	return func(ctx context.Context, env *app.Env, o app.HeldOptions, out OutputOptions) error {
		d, err := app.DecideInDoubt(ctx, env, o, decision)
		switch {
		case err != nil:
			return err
		case out.JSON:
			return report.PrintJSON(env.Stdout, d)
		case !out.Quiet:
			report.PrintDecision(env.Stdout, d)
		}
		return nil
	}
}
