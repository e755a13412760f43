package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

// shownRuns is how many runs status shows people by default.
const shownRuns = 20

func statusCommand() *cli.Command {
	o, out := app.StatusOptions{Store: app.DefaultStore()}, defaultOutput()
	lastSet := false
	return &cli.Command{
		Name:  "status",
		Usage: "show what a lake's runs did, cost and left, whether one is at work, and the newest generations",
		Description: "CREDITS is the charge that the API stated. UNKNOWN is what answers with an unreadable charge can have cost in\n" +
			"addition, IN DOUBT what calls with lost answers can have cost, and DECIDED the same for such calls after siglake held\n" +
			"or --in-doubt has decided about them: a decision does not change what was charged. DEFERRED counts the lines still to be\n" +
			"requested, except those that a later run about the same list took over; it is an estimate if a run ended before it\n" +
			"read the list. EXIT is the exit code of the run's process, and - if the process died.\n\n" +
			"Exit codes: 0, or 22 if --max-age is set and the last good run of a job, or about a list, is older.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			jsonFlag(&out),
			asOfFlag(),
			listFilterFlag(&o.List),
			jobFilterFlag(&o.Job),
			&cli.IntFlag{Name: "last", Destination: &o.Last, Action: noteSet[int](&lastSet), EnvVars: []string{"SIGLAKE_LAST"}, DefaultText: "20, with --json all",
				Usage: "show only the newest `N` runs; totals are those of all"},
			&cli.StringFlag{Name: "max-age", Destination: &o.MaxAge, EnvVars: []string{"SIGLAKE_MAX_AGE"},
				Usage: "for monitors: exit 22 if the last run of a job, or about a list, that ended well is older than this `AGE` (26h, 2d)"},
		}, readFlags(&o.Store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("status takes no arguments, got %q", c.Args().First())
			}
			if invocationOf(c).checkOnly {
				return o.Check()
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			if !out.JSON && !lastSet {
				o.Last = shownRuns
			}
			status, err := app.ReadStatus(c.Context, env, o)
			switch {
			case err != nil:
				return err
			case out.JSON:
				err = report.PrintJSON(env.Stdout, status)
			default:
				err = report.PrintStatus(env.Stdout, status, env.Now())
			}
			if err == nil && status.Stale {
				return report.StaleError(status, o.MaxAge)
			}
			return err
		},
	}
}

// listFilterFlag names a list of a lake's runs.
func listFilterFlag(dest *string) cli.Flag {
	return &cli.StringFlag{Name: "list", Destination: dest, EnvVars: []string{"SIGLAKE_LIST"},
		Usage: "only runs about this `LIST`, as it was named when they began"}
}

// jobFilterFlag names a job whose runs a lake has.
func jobFilterFlag(dest *string) cli.Flag {
	return &cli.StringFlag{Name: "job", Destination: dest, EnvVars: []string{"SIGLAKE_JOB"},
		Usage: "only runs of this `JOB` of a job file"}
}
