package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

func resumeCommand() *cli.Command {
	p := newRunPurchase(app.ResumeName)
	return &cli.Command{
		Name:      app.ResumeName,
		Usage:     "continue the unfinished run of a lake",
		ArgsUsage: "[LIST]",
		Description: "Equivalent to repeating the run's command. List, signals and window are the run's own; speed, key and budget are\n" +
			"set here, as for siglake run. The default budget is what is left of the run's own. LIST is needed if the run read\n" +
			"standard input, or if the list has moved; its content must be the same.",
		Flags: joinFlags(
			[]cli.Flag{lakeFlag(&p.run.Lake), asOfFlag()},
			moneyFlags(&p.run.Money), []cli.Flag{p.yesFlag()}, apiFlags(&p.run.API), workFlags(&p.run.Work), contractFlag(&p.run.Work), storeFlags(&p.run.Store), simulatorFlags(&p.sim), outputFlags(&p.out), metricsFlag(&p.out), ttlFlags(&p.run.TTL),
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
		return app.UsageErrorf("--refresh applies to a new run; resume continues a run")
	case p.run.Money.NewRun:
		return app.UsageErrorf("--new-run applies to a new run; resume continues a run")
	}
	p.attach(invocationOf(c))
	if invocationOf(c).checkOnly {
		return app.CheckOptions(env, p.run)
	}
	r, stop, runs, err := app.FindResumable(ctx, env, &p.run)
	if err != nil {
		return err
	}
	if r == nil {
		text := "Nothing to resume: every run of %s is finished.\n"
		if runs == 0 {
			text = "Nothing to resume: %s has no run yet.\n"
		}
		if !p.out.Quiet {
			format.Fprintf(env.Stdout, text, p.run.Lake)
		}
		return nil
	}
	if err := p.run.ContinueRun(r, stop); err != nil {
		return err
	}
	p.end.List = p.run.List
	if r.Simulated {
		p.sim.Seed = p.run.API.Seed
	}
	if err := p.checkSimulator(); err != nil {
		return err
	}
	return p.buy(ctx, env)
}
