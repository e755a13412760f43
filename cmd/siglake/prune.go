package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func pruneCommand() *cli.Command {
	o, out := app.PruneOptions{Store: app.DefaultStore()}, defaultOutput()
	return &cli.Command{
		Name:  "prune",
		Usage: "remove old files of a lake, or old answers of its journal, that nothing needs any more",
		Description: "Without --journal it removes small files that a compaction has merged into large ones, and lists of files of old\n" +
			"generations. With --journal it removes the bodies of old answers: what they cost, brought and covered stays, and\n" +
			"siglake rebuild is not possible any more. It prints what it would remove and what is lost, and removes nothing\n" +
			"without --yes. Makes no API call. Exit codes: 0 planned or removed, 20 stopped, 50 locked, 60 the lake is damaged.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			&cli.StringFlag{Name: "older-than", Required: true, Destination: &o.OlderThan, EnvVars: []string{"SIGLAKE_OLDER_THAN"},
				Usage: "remove what was superseded, or with --journal published, longer ago than this `AGE` (30d, 60w)"},
			&cli.BoolFlag{Name: "journal", Destination: &o.Journal, EnvVars: []string{"SIGLAKE_JOURNAL"}, Usage: "remove the bodies of old answers from the journal: siglake rebuild needs them"},
			&cli.BoolFlag{Name: "yes", Destination: &o.Yes, EnvVars: []string{"SIGLAKE_YES"}, Usage: "remove what is listed; this cannot be undone"},
			asOfFlag(),
			jsonFlag(&out),
		}, storeFlags(&o.Store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("prune takes no arguments, got %q", c.Args().First())
			}
			if invocationOf(c).checkOnly {
				return o.Check()
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			r, err := app.PruneLake(c.Context, env, o)
			switch {
			case err != nil:
				return err
			case out.JSON:
				return report.PrintJSON(env.Stdout, r)
			case !out.Quiet:
				report.PrintPruning(env.Stdout, &r)
			}
			return nil
		},
	}
}
