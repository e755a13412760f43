package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/sinks"
)

func rebuildCommand() *cli.Command {
	lake, into, store, out := "", "", defaultStore(), defaultOutput()
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
				return usageErrorf("rebuild takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			r, err := rebuildLake(c.Context, env, store, lake, into)
			for _, run := range r.unfinished {
				fmt.Fprintf(env.Stderr, "siglake: run %s is not finished and is left to its command\n", run)
			}
			if err == nil && !out.Quiet {
				fmt.Fprintf(env.Stdout, "Rebuilt %s into %s: %s events, once paid for with %s credits; nothing was asked.\n", countText(r.runs, "run"), into, thousands(r.events), thousands(r.credits))
			}
			return err
		},
	}
}

// rebuiltLake is what was written into a new lake.
type rebuiltLake struct {
	runs            int
	events, credits int64
	unfinished      []string // runs that were left out
}

// rebuildLake writes the runs of a lake into a new one, from the journal.
func rebuildLake(ctx context.Context, env *Env, store StoreOptions, uri, into string) (rebuilt rebuiltLake, err error) {
	if err := checkEmpty(ctx, env, store, into); err != nil {
		return rebuilt, err
	}
	l, err := openExistingLake(ctx, env, store, uri, "siglake rebuild")
	if err != nil {
		return rebuilt, err
	}
	defer l.close() //nolint:errcheck // nothing was written that matters
	if err := l.recoverRuns(ctx); err != nil {
		return rebuilt, lakeError(err)
	}
	for _, r := range l.ledger.Runs() {
		if r.Published == nil {
			rebuilt.unfinished = append(rebuilt.unfinished, r.ID)
			continue
		}
		sink, err := l.openSink(ctx, into, r.ID)
		if err != nil {
			return rebuilt, &Error{KindStorage, err}
		}
		m, err := l.ledger.PreparedManifest(ctx, r)
		if err == nil {
			m, err = l.rebuildInto(ctx, r, sink, m.Run.Stop.Stop())
		}
		if err = errors.Join(err, sink.Close()); err != nil {
			return rebuilt, lakeError(fmt.Errorf("run %s: %w", r.ID, err))
		}
		rebuilt.runs++
		rebuilt.events += m.Events.Written
		rebuilt.credits += m.Credits.Charged
	}
	copied, closer, err := openEmptyStore(ctx, env, store, into)
	if err != nil {
		return rebuilt, err
	}
	if err := errors.Join(l.ledger.CopyTo(ctx, copied), closer.Close()); err != nil {
		return rebuilt, &Error{KindStorage, err}
	}
	return rebuilt, nil
}

// checkEmpty refuses a place for a new lake that holds anything.
func checkEmpty(ctx context.Context, env *Env, store StoreOptions, into string) error {
	occupied := usageErrorf("--into %s is not empty: a lake is rebuilt into a place of its own", into)
	if sinks.OnS3(into) {
		b, err := openBucket(ctx, env, store, into)
		if err != nil {
			return usageErrorf("%v", err)
		}
		for _, err := range b.List(ctx, "") {
			if err != nil {
				return &Error{KindStorage, err}
			}
			return occupied
		}
		return nil
	}
	path, err := sinks.CheckDir(into)
	if err != nil {
		return &Error{KindUsage, err}
	}
	if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
		return occupied
	}
	return nil
}
