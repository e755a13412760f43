package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func webhooksPublishCommand() *cli.Command {
	o, out := app.PublishOptions{Store: app.DefaultStore()}, defaultOutput()
	return &cli.Command{
		Name:  "publish",
		Usage: "publish what siglake listen has received and the lake does not have yet",
		Description: "Records every delivery in the journal, each once, with the credits that it states, and publishes the events as a\n" +
			"run of its own. It requests nothing and costs nothing. siglake listen and siglake run do the same: this command is\n" +
			"for a lake whose deliveries should be visible now. Exit codes: 0 published, or nothing to publish, 40 disk, 50\n" +
			"another command is at work on the lake, 60 the lake or the inbox is damaged.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			jsonFlag(&out),
		}, storeFlags(&o.Store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("webhooks publish takes no arguments, got %q", c.Args().First())
			}
			if invocationOf(c).checkOnly {
				return app.CheckLake(o.Lake)
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			end := invocationOf(c).end
			end.Lake, end.Started = o.Lake, env.Now()
			r, err := app.PublishInbox(c.Context, env, o)
			if err != nil {
				return err
			}
			end.Figures = report.PublishFigures(r)
			if r.Manifest != nil {
				end.Runs = append(end.Runs, r.Manifest)
				report.LogRun(env.Log, r.Manifest)
			}
			switch {
			case out.JSON:
				return report.PrintJSON(env.Stdout, r)
			case !out.Quiet:
				report.PrintPublished(env.Stdout, r)
			}
			return nil
		},
	}
}
