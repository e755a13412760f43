package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
)

func reportCommand() *cli.Command {
	o, out := app.ReportOptions{Store: app.DefaultStore()}, defaultOutput()
	return &cli.Command{
		Name:  "report",
		Usage: "write one page on what came new, what it cost and what is open; requests nothing",
		Description: "One HTML file that needs no network: new events by week, signal and account, top movers in hiring, headcount,\n" +
			"funding and risk, credits by day, list and signal, hit rates, rejected lines, use of the rate limits, calls of\n" +
			"unknown cost and runs. Its tables can be sorted and searched, and it reads well on a phone and in print. As Markdown it is short\n" +
			"enough for a mail or a chat; as JSON it has the same figures.\n\n" +
			"report reads one generation of the lake, takes no lock, needs no key and spends nothing. Every figure states the\n" +
			"SQL over the views of siglake ddl that gives it. The file appears when it is complete.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Destination: &o.Output, EnvVars: []string{"SIGLAKE_OUTPUT"}, TakesFile: true, Required: true,
				Usage: "`FILE` to write: .html, .md or .json; - is standard output"},
			&cli.StringFlag{Name: "format", Destination: &o.Format, EnvVars: []string{"SIGLAKE_FORMAT"},
				Usage: "html, md or json; default: by the name of the file, and html on standard output"},
			&cli.BoolFlag{Name: "force", Destination: &o.Force, EnvVars: []string{"SIGLAKE_FORCE"},
				Usage: "replace the file if it exists"},
			&cli.StringFlag{Name: "run", Destination: &o.Run, EnvVars: []string{"SIGLAKE_RUN"},
				Usage: "only what run `ID` bought, cost and left; last is the run that started last"},
			&cli.StringFlag{Name: "since", Destination: &o.Since, EnvVars: []string{"SIGLAKE_SINCE"},
				Usage: "only events first seen, and runs started, since this `DATE` (2026-01-31) or age (30d, 6w, 3m)"},
			&cli.Int64Flag{Name: "generation", Destination: &o.Generation, EnvVars: []string{"SIGLAKE_GENERATION"},
				Usage: "read generation `N` of the lake, even when newer ones exist; 0 is the newest"},
		}, withoutPublication(storeFlags(&o.Store)), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("report takes no arguments, got %q; name the lake with --lake and the file with --output", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			return app.Report(c.Context, env, o)
		},
	}
}
