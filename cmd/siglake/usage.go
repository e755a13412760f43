package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func usageCommand() *cli.Command {
	api, sim, out := app.DefaultAPI(), defaultSimulator(), defaultOutput()
	return &cli.Command{
		Name:  "usage",
		Usage: "show the account's credits, prices and rate windows, and when these reset; free of charge",
		Description: "Calls the API's usage endpoint, which allows five calls a minute. The output marks what the API does not state:\n" +
			"an action without a price is not priced, which does not mean free.",
		Flags: joinFlags([]cli.Flag{
			&cli.BoolFlag{Name: "json", Destination: &out.JSON, EnvVars: []string{"SIGLAKE_JSON"}, Category: "Output", Usage: "machine-readable output"},
			simulateFlag(&api.Simulate, "use an embedded simulator instead of the API: no key, no money, invented answers"),
		}, apiFlags(&api), s3Flags(&api.S3), simulatorFlags(&sim), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("usage takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			u, err := app.FetchUsage(c.Context, env, api, func(ctx context.Context) (app.Endpoint, error) {
				at, _, err := openAPI(ctx, env, api, sim)
				return at, err
			})
			if err != nil {
				return err
			}
			a := report.NewAccountUsage(u)
			if out.JSON {
				return report.PrintJSON(env.Stdout, a)
			}
			report.PrintUsage(env.Stdout, a)
			return nil
		},
	}
}
