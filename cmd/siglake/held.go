package main

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/report"
	"github.com/siglake/siglake/pipeline"
)

func heldCommand() *cli.Command {
	sub := func(name, usage string, action func(context.Context, *app.Env, app.HeldOptions, OutputOptions) error, own ...func(*app.HeldOptions) cli.Flag) *cli.Command {
		o, out := app.HeldOptions{Command: "siglake held " + name, Store: app.DefaultStore()}, defaultOutput()
		flags := []cli.Flag{
			lakeFlag(&o.Lake),
			jsonFlag(&out),
			asOfFlag(),
		}
		for _, flag := range own {
			flags = append(flags, flag(&o))
		}
		store := storeFlags(&o.Store)
		if name == "list" || name == "accept-loss" { // the others publish what they read again
			store = withoutPublication(store)
		}
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: "[CALL …]",
			Flags: joinFlags(flags, store, outputFlags(&out)),
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
			"  reread       read recorded answers again, at no cost: a newer siglake may understand what an older one did not\n" +
			"  retry        the next run of the list requests its lines again, at the risk of paying twice\n" +
			"  accept-loss  siglake treats it as paid and lost, and does not request its lines again for its window\n" +
			"Retry and accept-loss do not change what was charged: siglake status shows the credits of both separately, as 0\n" +
			"to N. Every retry reads recorded answers again first. It does not release a call that repeated another one for the\n" +
			"same entities and failed in the same way, unless --repeat-failed allows it.",
		Subcommands: []*cli.Command{
			sub("list", "list calls with entities, signals, time, error and the credits that they can have cost", showInDoubt),
			sub("reread", "read their recorded answers again, without a request", rereadAndShow),
			sub("retry", "let the next run request their lines again", decideAndShow(ledger.Retry), repeatFailedFlag),
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

func repeatFailedFlag(o *app.HeldOptions) cli.Flag {
	return &cli.BoolFlag{
		Name: "repeat-failed", Destination: &o.RepeatFailed, EnvVars: []string{"SIGLAKE_REPEAT_FAILED"},
		Usage: "also release calls that repeated another call for the same entities and failed in the same way",
	}
}

// rereadAndShow reads recorded answers again, and says what became of each call.
func rereadAndShow(ctx context.Context, env *app.Env, o app.HeldOptions, out OutputOptions) error {
	read, err := app.RereadInDoubt(ctx, env, o)
	switch {
	case err != nil:
		return err
	case out.JSON:
		if read == nil {
			read = []app.RereadCall{}
		}
		err = report.PrintJSON(env.Stdout, read)
	case !out.Quiet:
		report.PrintReread(env.Stdout, read)
	}
	if err == nil && slices.ContainsFunc(read, func(c app.RereadCall) bool { return c.Outcome == pipeline.InDoubt }) {
		err = statusOf(exitInDoubt)
	}
	return err
}

// decideAndShow decides about calls in doubt, and says so.
func decideAndShow(decision ledger.Decision) func(context.Context, *app.Env, app.HeldOptions, OutputOptions) error {
	return func(ctx context.Context, env *app.Env, o app.HeldOptions, out OutputOptions) error {
		d, err := app.DecideInDoubt(ctx, env, o, decision)
		switch {
		case err != nil:
			return err
		case out.JSON:
			err = report.PrintJSON(env.Stdout, d)
		case !out.Quiet || len(d.Repeated) > 0:
			report.PrintDecision(env.Stdout, d)
		}
		if err == nil && len(d.Repeated) > 0 {
			err = statusOf(exitInDoubt)
		}
		return err
	}
}
