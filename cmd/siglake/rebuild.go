package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

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
			&cli.StringFlag{Name: "into", EnvVars: []string{"SIGLAKE_INTO"}, Required: true, Usage: "`DIR` of the new lake, which must not exist or be empty"},
		}, outputFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("rebuild takes no arguments, got %q", c.Args().First())
			}
			if err := setLog(c); err != nil {
				return err
			}
			return rebuild(c)
		},
	}
}

func rebuild(c *cli.Context) error {
	into := c.String("into")
	path, err := sinks.Check(into)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
		return usagef("--into %s is not empty: a lake is rebuilt into a directory of its own", into)
	}
	s, err := openExisting(c, "siglake rebuild")
	if err != nil {
		return err
	}
	defer s.close() //nolint:errcheck // nothing was written that matters
	if err := s.recoverRuns(c.Context); err != nil {
		return &exitError{storageCode(err), err}
	}
	runs, rows, credits := 0, int64(0), int64(0)
	for _, r := range s.journal.Runs() {
		if r.Done == nil {
			fmt.Fprintf(c.App.ErrWriter, "siglake: run %s is not finished and is left to its command\n", r.ID)
			continue
		}
		sink, err := openSink(c.Context, into, r.ID)
		if err != nil {
			return &exitError{exitStorage, err}
		}
		m, err := s.replayInto(c.Context, r, sink, nil)
		if err = errors.Join(err, sink.Close()); err != nil {
			return &exitError{storageCode(err), fmt.Errorf("run %s: %w", r.ID, err)}
		}
		runs++
		rows += m.Events.Written
		credits += m.Credits.Charged
	}
	if err := s.journal.Close(); err != nil {
		return &exitError{exitStorage, err}
	}
	s.journal = nil
	if err := copyJournal(filepath.Join(s.dir, "journal"), filepath.Join(path, stateDir, "journal")); err != nil {
		return &exitError{exitStorage, err}
	}
	if !c.Bool("quiet") {
		fmt.Fprintf(c.App.Writer, "Rebuilt %s into %s: %s events, once paid for with %s credits; nothing was asked.\n", counted(runs, "run"), into, thousands(rows), thousands(credits))
	}
	return nil
}

// copyJournal copies segments, durably. The lock of the old lake is held.
func copyJournal(from, to string) error {
	//nolint:gosec // the umask says who may look
	if err := os.MkdirAll(to, 0o777); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	d, err := os.Open(to)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func copyFile(from, to string) error {
	in, err := os.Open(from) //nolint:gosec // a file of the lake that the user named
	if err != nil {
		return err
	}
	defer in.Close()          //nolint:errcheck // it was only read
	out, err := os.Create(to) //nolint:gosec // likewise
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
