package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

func rebuildCommand() *cli.Command {
	lake, into, store, out := "", "", app.DefaultStore(), defaultOutput()
	return &cli.Command{
		Name:  "rebuild",
		Usage: "make a lake again from its journal, at no cost",
		Description: "Reads every answer that was ever paid for and writes a new lake, run by run. What a newer version\n" +
			"of the program knows to type appears in old nights, too. The journal is copied, so the new lake takes the\n" +
			"old one's place: rename it when nobody reads the old one any more.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&lake),
			&cli.StringFlag{Name: "into", Destination: &into, EnvVars: []string{"SIGLAKE_INTO"}, Required: true, Usage: "`DIR` or s3://bucket/prefix of the new lake, which must not exist or be empty"},
		}, storeFlags(&store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("rebuild takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			r, err := app.RebuildLake(c.Context, env, store, lake, into)
			for _, run := range r.Unfinished {
				fmt.Fprintf(env.Stderr, "siglake: run %s is not finished and is left to its command\n", run)
			}
			if err == nil && !out.Quiet {
				fmt.Fprintf(env.Stdout, "Rebuilt %s into %s: %s events, once paid for with %s credits; nothing was asked.\n", format.Count(r.Runs, "run"), into, format.Thousands(r.Events), format.Thousands(r.Credits))
			}
			return err
		},
	}
}
