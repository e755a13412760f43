package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/sinks"
)

func rebuildCommand() *cli.Command {
	return &cli.Command{
		Name:  "rebuild",
		Usage: "make a lake again from its journal, at no cost",
		Description: "Reads every answer that was ever paid for and writes a new lake, run by run. What a newer version\n" +
			"of the program knows to type appears in old nights, too. The journal is copied, so the new lake takes the\n" +
			"old one's place: rename it when nobody reads the old one any more.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(),
			&cli.StringFlag{Name: "into", EnvVars: []string{"SIGLAKE_INTO"}, Required: true, Usage: "`DIR` or s3://bucket/prefix of the new lake, which must not exist or be empty"},
		}, storeFlags(), outputFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageErrorf("rebuild takes no arguments, got %q", c.Args().First())
			}
			if err := setLogger(c); err != nil {
				return err
			}
			return runRebuild(c)
		},
	}
}

func runRebuild(c *cli.Context) error {
	into := c.String("into")
	if err := checkEmpty(c, into); err != nil {
		return err
	}
	l, err := openExistingLake(c, "siglake rebuild")
	if err != nil {
		return err
	}
	defer l.close() //nolint:errcheck // nothing was written that matters
	if err := l.recoverRuns(c.Context); err != nil {
		return &exitError{storageCode(err), err}
	}
	runs, rows, credits := 0, int64(0), int64(0)
	for _, r := range l.ledger.Runs() {
		if r.Published == nil {
			fmt.Fprintf(c.App.ErrWriter, "siglake: run %s is not finished and is left to its command\n", r.ID)
			continue
		}
		sink, err := l.openSink(c.Context, into, r.ID)
		if err != nil {
			return &exitError{exitStorage, err}
		}
		m, err := l.ledger.PreparedManifest(c.Context, r)
		if err == nil {
			m, err = l.rebuildInto(c.Context, r, sink, m.Run.Stop.Stop())
		}
		if err = errors.Join(err, sink.Close()); err != nil {
			return &exitError{storageCode(err), fmt.Errorf("run %s: %w", r.ID, err)}
		}
		runs++
		rows += m.Events.Written
		credits += m.Credits.Charged
	}
	store, closer, err := openEmptyStore(c, into)
	if err != nil {
		return err
	}
	if err := errors.Join(l.ledger.CopyTo(c.Context, store), closer.Close()); err != nil {
		return &exitError{exitStorage, err}
	}
	if !c.Bool("quiet") {
		fmt.Fprintf(c.App.Writer, "Rebuilt %s into %s: %s events, once paid for with %s credits; nothing was asked.\n", countText(runs, "run"), into, thousands(rows), thousands(credits))
	}
	return nil
}

// checkEmpty refuses a place for a new lake that holds anything.
func checkEmpty(c *cli.Context, into string) error {
	occupied := usageErrorf("--into %s is not empty: a lake is rebuilt into a place of its own", into)
	if sinks.OnS3(into) {
		b, err := openBucket(c, into)
		if err != nil {
			return usageErrorf("%v", err)
		}
		for _, err := range b.List(c.Context, "") {
			if err != nil {
				return &exitError{exitStorage, err}
			}
			return occupied
		}
		return nil
	}
	path, err := sinks.CheckDir(into)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
		return occupied
	}
	return nil
}
