package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func statusCommand() *cli.Command {
	uri, store, out := "", app.DefaultStore(), defaultOutput()
	return &cli.Command{
		Name:  "status",
		Usage: "what a lake's runs did, cost and left, and its newest generations",
		Description: "CREDITS are those that the API stated. UNKNOWN is what answers can have cost beside them whose charge was not\n" +
			"understood, IN DOUBT what calls can have cost whose answers are lost, and DECIDED the same of calls that\n" +
			"siglake held or --in-doubt decided about: what was decided does not change what was charged. DEFERRED are\n" +
			"lines that are still to be asked about: those of a run that a later run of its command went on with are not.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&uri),
			jsonFlag(&out),
		}, storeFlags(&store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("status takes no arguments, got %q", c.Args().First())
			}
			env := envOf(c)
			status, err := app.ReadStatus(c.Context, env, store, uri)
			switch {
			case err != nil:
				return err
			case out.JSON:
				return report.PrintJSON(env.Stdout, status)
			}
			return report.PrintStatus(env.Stdout, status)
		},
	}
}
