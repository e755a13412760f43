package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func compactCommand() *cli.Command {
	o := app.CompactOptions{MinFiles: 8, TargetSize: "256MiB", Store: app.DefaultStore(), Jobs: app.DefaultJobs()}
	out := defaultOutput()
	return &cli.Command{
		Name:  "compact",
		Usage: "merge a lake's small files into large ones, at no cost",
		Description: "Every run leaves a small file in each partition. compact merges the small files of a partition into large ones\n" +
			"and publishes them as a generation for the views of siglake ddl. It changes no row and deletes no file: the\n" +
			"large files lie under compact/, and readers who glob data/ and ledger/ keep the small ones. The tables that siglake\n" +
			"ddl makes in other engines than DuckDB read the large files an hour later.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			asOfFlag(),
			&cli.IntFlag{Name: "min-files", Value: o.MinFiles, Destination: &o.MinFiles, EnvVars: []string{"SIGLAKE_MIN_FILES"}, Usage: "merge a partition only if it has at least this many small files, from 2"},
			&cli.StringFlag{Name: "target-size", Value: o.TargetSize, Destination: &o.TargetSize, EnvVars: []string{"SIGLAKE_TARGET_SIZE"}, Usage: "approximate size of a merged file, from 1MiB; a file of less than half this size is small"},
			jobsFlag(&o.Jobs, "partitions"),
		}, storeFlags(&o.Store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("compact takes no arguments, got %q", c.Args().First())
			}
			if invocationOf(c).checkOnly {
				return o.Check()
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			o.Meter = newWorkMeter(env.Stderr, out.Quiet)
			var restored []string
			o.Restored = func(name string) { restored = append(restored, name) }
			m, err := app.CompactLake(c.Context, env, o)
			if err == nil && !out.Quiet {
				report.PrintCompaction(env.Stdout, o, m, restored...)
			}
			return err
		},
	}
}
