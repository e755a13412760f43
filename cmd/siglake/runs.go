package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func runsCommand() *cli.Command {
	o, out := app.HistoryOptions{Store: app.DefaultStore()}, defaultOutput()
	return &cli.Command{
		Name:  "runs",
		Usage: "list the runs of a lake: when, how they ended, what they cost and brought",
		Description: "The history is read from the journal. EXIT is the exit code of the run's process, and - if the process died or is at\n" +
			"work. A WINDOW of last asked for what the lake did not have. NEW and CHANGED count the events that the run added to\n" +
			"the event tables, KNOWN those that it paid for although the lake had them, and 429S the calls that the API refused as\n" +
			"too many.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			jsonFlag(&out),
			asOfFlag(),
			listFilterFlag(&o.List),
			jobFilterFlag(&o.Job),
			&cli.StringFlag{Name: "since", Destination: &o.Since, EnvVars: []string{"SIGLAKE_SINCE"},
				Usage: "only runs that started since this `DATE` (2026-01-31) or age (30d, 6w, 3m)"},
			&cli.BoolFlag{Name: "month", Destination: &o.Month, EnvVars: []string{"SIGLAKE_MONTH"},
				Usage: "one line for each month and list, with the sums of its runs"},
			&cli.IntFlag{Name: "last", Destination: &o.Last, EnvVars: []string{"SIGLAKE_LAST"},
				Usage: "only the newest `N` runs; 0 means all"},
		}, readFlags(&o.Store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("runs takes no arguments, got %q; --list LIST shows the runs about one list", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			history, err := app.ReadHistory(c.Context, env, o)
			switch {
			case err != nil:
				return err
			case out.JSON:
				return report.PrintJSON(env.Stdout, history)
			}
			return report.PrintHistory(env.Stdout, history)
		},
	}
}
