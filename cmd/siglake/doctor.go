package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func doctorCommand() *cli.Command {
	o := app.DoctorOptions{API: app.DefaultAPI(), Store: app.DefaultStore()}
	sim, out := defaultSimulator(), defaultOutput()
	return &cli.Command{
		Name:  "doctor",
		Usage: "check key, account, clock, disk, lake, bucket and journal before a run spends credits",
		Description: "Calls free endpoints only. For a lake on S3, doctor tests the conditional writes that siglake depends on, and prints\n" +
			"the minimal IAM policy. Exit codes: 0 no failure, otherwise the code of the gravest one: 30 key or account,\n" +
			"40 disk, lake or bucket, 50 another run is at work on the lake, 60 damage.",
		Flags: joinFlags([]cli.Flag{
			&cli.StringFlag{Name: "lake", Destination: &o.Lake, Action: shardedLake(&o.Lake, nil), EnvVars: []string{"SIGLAKE_LAKE"}, Usage: "`DIR` or s3://bucket/prefix of the lake; without it, doctor checks only key and account"},
			&cli.BoolFlag{Name: "json", Destination: &out.JSON, EnvVars: []string{"SIGLAKE_JSON"}, Category: "Output", Usage: "machine-readable output"},
			simulateFlag(&o.API.Simulate, "check an embedded simulator instead of the API"),
		}, withoutPublication(storeFlags(&o.Store)), apiFlags(&o.API), simulatorFlags(&sim), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("doctor takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			results, policy := app.Examine(c.Context, env, o, func(ctx context.Context) (app.Endpoint, error) {
				at, _, err := openAPI(ctx, env, o.API, sim)
				return at, err
			})
			if out.JSON {
				if err := report.PrintJSON(env.Stdout, results); err != nil {
					return err
				}
			} else {
				report.PrintCheckup(env.Stdout, results, policy, out.Quiet)
			}
			worst := exitComplete
			for _, r := range results {
				if r.Err != nil {
					code, _ := exitCode(r.Err)
					worst = max(worst, code)
				}
			}
			return statusOf(worst)
		},
	}
}
