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
		Usage: "show what a lake's runs did, cost and left, and its newest generations",
		Description: "CREDITS is the charge that the API stated. UNKNOWN is what answers with an unreadable charge can have cost in\n" +
			"addition, IN DOUBT what calls with lost answers can have cost, and DECIDED the same for calls that siglake held\n" +
			"or --in-doubt decided about: a decision does not change what was charged. DEFERRED counts the lines still to be\n" +
			"requested, except those that a later run of the same command took over.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&uri),
			jsonFlag(&out),
			asOfFlag(),
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
