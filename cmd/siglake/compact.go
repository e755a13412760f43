package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

func compactCommand() *cli.Command {
	return &cli.Command{
		Name:  "compact",
		Usage: "merge the many small files of a lake into few large ones, at no cost",
		Description: "Every night leaves a small file in each partition. A compaction merges those of a partition into large\n" +
			"ones, as a generation of its own for readers of siglake ddl. All rows stay, and so do the small files, for\n" +
			"readers who glob data/ and ledger/: the large ones lie under compact/. When there is nothing to do it says so.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(),
			&cli.IntFlag{Name: "min-files", Value: 8, EnvVars: []string{"SIGLAKE_MIN_FILES"}, Usage: "leave partitions with fewer small files alone, from 2"},
			&cli.StringFlag{Name: "target-size", Value: "256MiB", EnvVars: []string{"SIGLAKE_TARGET_SIZE"}, Usage: "about how large a file may get, from 1MiB; one with less than half of it is small"},
		}, storeFlags(), outputFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageErrorf("compact takes no arguments, got %q", c.Args().First())
			}
			if err := setLogger(c); err != nil {
				return err
			}
			return runCompact(c)
		},
	}
}

func runCompact(c *cli.Context) error {
	target, ok := parseSize(c.String("target-size"))
	if !ok || target < 1<<20 {
		return usageErrorf("--target-size %q: expected a size from 1MiB, such as 64MiB or 1GiB", c.String("target-size"))
	}
	if c.Int("min-files") < 2 {
		return usageErrorf("--min-files %d: expected a number from 2", c.Int("min-files"))
	}
	l, err := openExistingLake(c, "siglake compact")
	if err != nil {
		return err
	}
	defer l.close() //nolint:errcheck // nothing was written that matters
	if err := l.recoverRuns(c.Context); err != nil {
		return &exitError{storageCode(err), err}
	}
	m, err := l.compact(c.Context, c.Int("min-files"), target)
	if errors.Is(err, context.Canceled) {
		return &exitError{exitDeferred, errors.New("stopped before anything was published; run it again when there is time")}
	}
	if err != nil {
		return &exitError{storageCode(err), err}
	}
	if c.Bool("quiet") {
		return nil
	}
	if m == nil {
		fmt.Fprintf(c.App.Writer, "Nothing to do: no partition of %s has %d files or more that are small.\n", l.uri, c.Int("min-files"))
		return nil
	}
	var rows, bytes int64
	for _, f := range m.Files {
		rows += f.Rows
		bytes += f.Bytes
	}
	fmt.Fprintf(c.App.Writer, "Compacted %s files into %s (%s rows, %s) as generation %d; nothing was asked and no row has changed.\n",
		thousands(int64(len(m.Replaces))), thousands(int64(len(m.Files))), thousands(rows), byteText(bytes), m.Generation)
	return nil
}

// compact merges the lake's small files; nil when there are too few.
func (l *lake) compact(ctx context.Context, minFiles int, target int64) (*pipeline.Manifest, error) {
	o := l.options
	o.TargetFileSize = target
	return sinks.Compact(ctx, l.uri, o, sinks.CompactOptions{MinFiles: minFiles, Versions: componentVersions()})
}
