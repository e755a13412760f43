package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func eraseCommand() *cli.Command {
	return &cli.Command{
		Name:        "erase",
		Usage:       "show the requests of persons to be forgotten",
		Description: "The vendor delivers notices of contacts that opt out (siglake webhooks opt-outs). From then on siglake requests\nnothing about them, and exports, reports and the views of siglake ddl leave them out; siglake help deliveries says what does not.",
		Subcommands: []*cli.Command{eraseListCommand()},
	}
}

func eraseListCommand() *cli.Command {
	lake, store, out := "", app.DefaultStore(), defaultOutput()
	return &cli.Command{
		Name:  "list",
		Usage: "list contacts that have opted out, when, and by when their rows are to be erased",
		Flags: joinFlags([]cli.Flag{lakeFlag(&lake), jsonFlag(&out)}, readFlags(&store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("erase list takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			list, err := app.ListErasures(c.Context, env, store, lake)
			if err != nil {
				return err
			}
			text := app.OptOutGapText(list.OptOutGaps)
			if text != "" && (out.JSON || out.Quiet) {
				env.Log.Warn(text)
			}
			switch {
			case out.JSON:
				return report.PrintJSON(env.Stdout, list.Requests)
			case !out.Quiet:
				report.PrintErasures(env.Stdout, lake, list)
			}
			return nil
		},
	}
}
