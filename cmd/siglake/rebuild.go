package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

func rebuildCommand() *cli.Command {
	o, out := app.RebuildOptions{Store: app.DefaultStore(), Jobs: app.DefaultJobs()}, defaultOutput()
	return &cli.Command{
		Name:  "rebuild",
		Usage: "rebuild a lake from its journal, at no cost",
		Description: "Reads every paid answer from the journal and writes a new lake, run by run. What a newer version of siglake can\n" +
			"type appears in old runs too. rebuild copies the journal, so that the new lake can replace the old one: rename\n" +
			"it when no reader uses the old one. If a rebuild is interrupted, the same command starts it again; until then every\n" +
			"other command refuses the new lake.\n\n" +
			"With --partition-by it changes how the events are partitioned; the new lake knows every earlier command, and its\n" +
			"runs do the same. A lake of an earlier version that has both gets one: that of its newest events.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			&cli.StringFlag{Name: "into", Destination: &o.Into, EnvVars: []string{"SIGLAKE_INTO"}, Required: true, Usage: "`DIR` or s3://bucket/prefix of the new lake; it must be empty or not exist"},
			&cli.StringFlag{Name: "partition-by", Destination: &o.PartitionBy, EnvVars: []string{"SIGLAKE_PARTITION_BY"}, Usage: "partition the events of all runs by month or day; default: what the lake has"},
			jobsFlag(&o.Jobs, "runs and partitions"),
		}, storeFlags(&o.Store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("rebuild takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			o.Meter = newWorkMeter(env.Stderr, out.Quiet)
			r, err := app.RebuildLake(c.Context, env, o)
			for _, run := range r.Unfinished {
				invocationOf(c).console.print(slog.LevelWarn, fmt.Sprintf("run %s is unfinished and was not rebuilt; repeat its command to continue it", format.Text(run)))
			}
			if err == nil && !out.Quiet {
				format.Fprintf(env.Stdout, "Rebuilt %s into %s: %s, originally bought for %s; no API call was made.\n", format.Count(r.Runs, "run"), o.Into, format.Count(r.Events, "event"), format.Count(r.Credits, "credit"))
				if len(r.Incomplete) > 0 {
					format.Fprintf(env.Stdout, "It lacks rows that only the files of %s have, since a salvage of the journal lost calls or lines: %s. Keep these files.\n", o.Lake, format.List(r.Incomplete, 5))
				}
				if r.Before != nil {
					format.Fprintf(env.Stdout, "Its events are partitioned by %s; those of %s by %s.\n", r.PartitionBy, o.Lake, strings.Join(r.Before, " and by "))
				}
			}
			return err
		},
	}
}
