package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func compactCommand() *cli.Command {
	o := app.CompactOptions{MinFiles: 8, TargetSize: "256MiB", Store: app.DefaultStore()}
	out := defaultOutput()
	return &cli.Command{
		Name:  "compact",
		Usage: "merge the many small files of a lake into few large ones, at no cost",
		Description: "Every night leaves a small file in each partition. A compaction merges those of a partition into large\n" +
			"ones, as a generation of its own for readers of siglake ddl. All rows stay, and so do the small files, for\n" +
			"readers who glob data/ and ledger/: the large ones lie under compact/. When there is nothing to do it says so.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			&cli.IntFlag{Name: "min-files", Value: o.MinFiles, Destination: &o.MinFiles, EnvVars: []string{"SIGLAKE_MIN_FILES"}, Usage: "leave partitions with fewer small files alone, from 2"},
			&cli.StringFlag{Name: "target-size", Value: o.TargetSize, Destination: &o.TargetSize, EnvVars: []string{"SIGLAKE_TARGET_SIZE"}, Usage: "about how large a file may get, from 1MiB; one with less than half of it is small"},
		}, storeFlags(&o.Store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("compact takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			m, err := app.CompactLake(c.Context, env, o)
			if err == nil && !out.Quiet {
				report.PrintCompaction(env.Stdout, o, m)
			}
			return err
		},
	}
}
