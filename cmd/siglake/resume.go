package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
)

func resumeCommand() *cli.Command {
	p := newRunPurchase(app.ResumeName)
	return &cli.Command{
		Name:      app.ResumeName,
		Usage:     "go on with the run that a lake has unfinished",
		ArgsUsage: "[LIST]",
		Description: "The same as repeating the run's command: list, signals and window are the run's own; speed, key and\n" +
			"budget are set here as for siglake run, and the budget is what is left of the run's unless another is named. LIST is needed\n" +
			"when the list came by standard input or lies elsewhere now; its content must be the same.",
		Flags: joinFlags(
			[]cli.Flag{lakeFlag(&p.run.Lake)},
			moneyFlags(&p.run.Money), apiFlags(&p.run.API), workFlags(&p.run.Work), storeFlags(&p.run.Store), simulatorFlags(&p.sim), outputFlags(&p.out), ttlFlags(&p.run.TTL),
		),
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return app.UsageErrorf("resume takes at most one list, got %d arguments; see siglake resume --help", c.NArg())
			}
			p.run.List = c.Args().First()
			return p.resume(c)
		},
	}
}

func (p *purchaseCommand) resume(c *cli.Context) error {
	ctx := c.Context
	env, err := loggingEnv(c, p.out)
	if err != nil {
		return err
	}
	switch {
	case p.run.Money.Refresh:
		return app.UsageErrorf("--refresh begins a run; resume goes on with one")
	case p.run.Money.NewRun:
		return app.UsageErrorf("--new-run begins a run; resume goes on with one")
	}
	r, stop, runs, err := app.FindResumable(ctx, env, &p.run)
	if err != nil {
		return err
	}
	if r == nil {
		text := "Nothing to resume: every run of %s is finished.\n"
		if runs == 0 {
			text = "Nothing to resume: no run was begun in %s yet.\n"
		}
		if !p.out.Quiet {
			fmt.Fprintf(env.Stdout, text, p.run.Lake)
		}
		return nil
	}
	if err := p.run.ContinueRun(r, stop); err != nil {
		return err
	}
	if r.Simulated {
		p.sim.Seed = p.run.API.Seed
	}
	if err := p.checkSimulator(c); err != nil {
		return err
	}
	return p.buy(ctx, env)
}
