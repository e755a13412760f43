package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
	"github.com/siglake/siglake/schema"
)

func signalsCommand() *cli.Command {
	asJSON := false
	return &cli.Command{
		Name:      "signals",
		Usage:     "list signal types: category, cadence, columns",
		ArgsUsage: "[KEY | CATEGORY ...]",
		Description: "Without arguments, lists every signal type, one per line. With a key or a category, shows its table,\n" +
			"column by column. At the start of a run, the API says which types it offers to your account.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Destination: &asJSON, Usage: "print as JSON", EnvVars: []string{"SIGLAKE_JSON"}},
		},
		Action: func(c *cli.Context) error {
			chosen := schema.Signals
			if c.NArg() > 0 {
				chosen = nil
				for _, word := range c.Args().Slice() {
					found := schema.MatchSignals(word)
					if len(found) == 0 {
						return app.UsageErrorf("unknown signal type or category %q%s; siglake signals lists them", word, app.SuggestSignal(word))
					}
					chosen = append(chosen, found...)
				}
			}
			if asJSON {
				return report.PrintCatalogueJSON(c.App.Writer, chosen)
			}
			report.PrintCatalogue(c.App.Writer, chosen, c.NArg() > 0)
			return nil
		},
	}
}
