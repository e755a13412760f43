package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func exportCommand() *cli.Command {
	o, out := app.DefaultExport(), defaultOutput()
	summary := jsonFlag(&out)
	summary.Usage = "print the summary as JSON; with --output - there is none"
	return &cli.Command{
		Name:  "export",
		Usage: "write a list with its events as CSV, Excel or Parquet; requests nothing",
		Description: "One row for each line of the list, with its own columns, what became of it, and for each signal the number of\n" +
			"events, the newest date and its headline; with --events one row for each event. Lines join with events by what they\n" +
			"are about, whatever run or list bought them, and lines without events stay. Without --list the lines are those of\n" +
			"the lake.\n\n" +
			"export reads one generation of the lake, takes no lock, needs no key and spends nothing. The file appears when it is\n" +
			"complete. Text that a spreadsheet would execute as a formula is made harmless.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			&cli.StringFlag{Name: "list", Destination: &o.List, EnvVars: []string{"SIGLAKE_LIST"}, TakesFile: true,
				Usage: "`LIST` whose lines and columns are exported, read as siglake run reads it; default: the newest state of every line of the lake"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Destination: &o.Output, EnvVars: []string{"SIGLAKE_OUTPUT"}, TakesFile: true, Required: true,
				Usage: "`FILE` to write: .csv, .xlsx or .parquet; - is standard output"},
			&cli.StringFlag{Name: "format", Destination: &o.Format, EnvVars: []string{"SIGLAKE_FORMAT"},
				Usage: "format of the file: csv, xlsx or parquet; default: by the name of the file, and csv on standard output"},
			&cli.BoolFlag{Name: "force", Destination: &o.Force, EnvVars: []string{"SIGLAKE_FORCE"},
				Usage: "replace the file if it exists"},
			&cli.StringFlag{Name: "bom", Value: o.BOM, Destination: &o.BOM, EnvVars: []string{"SIGLAKE_BOM"},
				Usage: "begin CSV with a byte order mark, without which Excel misreads letters such as é: yes, no or auto (yes for a file, no on standard output)"},
			&cli.BoolFlag{Name: "events", Destination: &o.Events, EnvVars: []string{"SIGLAKE_EVENTS"},
				Usage: "one row for each event of a line, newest first, instead of one for each line"},
			words(&o.Signals, &cli.StringSliceFlag{Name: "signals", Aliases: []string{"s"}, EnvVars: []string{"SIGLAKE_SIGNALS"},
				Usage: "only these signals: keys, categories (contact, growth, intent, news, risk) or all; key:NAME for a type that siglake does not know; default: those that occur"}),
			&cli.StringFlag{Name: "since", Destination: &o.Since, EnvVars: []string{"SIGLAKE_SINCE"},
				Usage: "only events since this `DATE` (2026-01-31) or age (30d, 6w, 3m); one without a date counts by the day on which it was first seen"},
			&cli.Int64Flag{Name: "generation", Destination: &o.Generation, EnvVars: []string{"SIGLAKE_GENERATION"},
				Usage: "read generation `N` of the lake, even when newer ones exist; 0 is the newest"},
			summary,
		}, listFlags(&o.Source), withoutPublication(storeFlags(&o.Store)), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("export takes no arguments, got %q; name the list with --list and the file with --output", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			r, err := app.Export(c.Context, env, o)
			switch {
			case err != nil:
				return err
			case o.Output == "-" || out.Quiet && !out.JSON:
				return nil
			case out.JSON:
				return report.PrintJSON(env.Stdout, r)
			}
			report.PrintExport(env.Stdout, r)
			return nil
		},
	}
}
