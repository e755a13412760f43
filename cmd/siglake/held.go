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
		Usage: "list calls in doubt (perhaps charged, answer lost) and decide about them",
		Description: "A call that broke off may have been charged. siglake holds it, and never repeats it silently. Compare the\n" +
			"account's usage with the list, then decide, for all calls or for those named (as RUN/CALL):\n" +
			"  retry        the next run of the list requests its lines again, at the risk of paying twice\n" +
			"  accept-loss  siglake treats it as paid and lost, and does not request its lines again for its window\n" +
			"Neither changes what was charged: siglake status shows the credits of both separately, as 0 to N.",
		Subcommands: []*cli.Command{
			sub("list", "list calls with entities, signals, time, error and the credits that they can have cost", showInDoubt),
			sub("retry", "let the next run request their lines again", decideAndShow(ledger.Retry)),
			sub("accept-loss", "treat them as paid and lost", decideAndShow(ledger.WriteOff)),
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
