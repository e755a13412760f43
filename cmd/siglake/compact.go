package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

func compactCommand() *cli.Command {
	o := compactOptions{MinFiles: 8, TargetSize: "256MiB", Store: defaultStore()}
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
				return usageErrorf("compact takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			m, err := compactLake(c.Context, env, o)
			if err == nil && !out.Quiet {
				printCompaction(env.Stdout, o, m)
			}
			return err
		},
	}
}

// printCompaction says what a compaction did; m is nil when there was nothing to do.
func printCompaction(w io.Writer, o compactOptions, m *pipeline.Manifest) {
	if m == nil {
		fmt.Fprintf(w, "Nothing to do: no partition of %s has %d files or more that are small.\n", o.Lake, o.MinFiles)
		return
	}
	var rows, bytes int64
	for _, f := range m.Files {
		rows += f.Rows
		bytes += f.Bytes
	}
	fmt.Fprintf(w, "Compacted %s files into %s (%s rows, %s) as generation %d; nothing was asked and no row has changed.\n",
		thousands(int64(len(m.Replaces))), thousands(int64(len(m.Files))), thousands(rows), byteText(bytes), m.Generation)
}

// compactOptions say what a compaction merges.
type compactOptions struct {
	Lake       string
	MinFiles   int
	TargetSize string
	Store      StoreOptions
}

// compactLake merges a lake's small files; the manifest is nil when there are too few.
func compactLake(ctx context.Context, env *Env, o compactOptions) (*pipeline.Manifest, error) {
	target, ok := parseSize(o.TargetSize)
	if !ok || target < 1<<20 {
		return nil, usageErrorf("--target-size %q: expected a size from 1MiB, such as 64MiB or 1GiB", o.TargetSize)
	}
	if o.MinFiles < 2 {
		return nil, usageErrorf("--min-files %d: expected a number from 2", o.MinFiles)
	}
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, "siglake compact")
	if err != nil {
		return nil, err
	}
	defer l.close() //nolint:errcheck // nothing was written that matters
	if err := l.recoverRuns(ctx); err != nil {
		return nil, lakeError(err)
	}
	m, err := l.compact(ctx, o.MinFiles, target)
	switch {
	case errors.Is(err, context.Canceled):
		return nil, &Error{KindDeferred, errors.New("stopped before anything was published; run it again when there is time")}
	case err != nil:
		return nil, lakeError(err)
	}
	return m, nil
}

// compact merges the lake's small files; nil when there are too few.
func (l *lake) compact(ctx context.Context, minFiles int, target int64) (*pipeline.Manifest, error) {
	o := l.options
	o.TargetFileSize = target
	return sinks.Compact(ctx, l.uri, o, sinks.CompactOptions{MinFiles: minFiles, Versions: componentVersions(l.env.Build)})
}
