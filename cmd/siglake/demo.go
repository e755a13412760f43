package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"
)

//go:embed demo.csv
var demoList []byte

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "run the main job on a sample list and the embedded simulator: no key, no money",
		Flags: joinFlags(
			[]cli.Flag{&cli.StringFlag{Name: "lake", Value: "demo-lake", EnvVars: []string{"SIGLAKE_DEMO_LAKE"}, Usage: "`DIR` the demo writes to"}},
			defaults(queryFlags(), map[string]string{"signals": "all"}), defaults(simulatorFlags(), map[string]string{"latency": "40ms"}),
			hidden(moneyFlags()), hidden(listFlags()), hidden(apiFlags()), workFlags(), outputFlags(),
			[]cli.Flag{&cli.BoolFlag{Name: "simulate", Value: true, Hidden: true}},
		),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("demo takes no list; to run on your own: siglake run LIST --lake DIR --simulate")
			}
			// Before anything is written: what is refused leaves nothing behind.
			if s, err := (&job{c: c, lake: c.String("lake")}).existingState(); err != nil {
				return err
			} else if s != nil {
				if err := errors.Join(s.sameWorld(c), s.close()); err != nil {
					return &exitError{exitUsage, err}
				}
			}
			list := c.String("lake") + "-accounts.csv"
			old, err := os.ReadFile(list)
			if err == nil && !bytes.Equal(old, demoList) {
				return usagef("%s is in the way of the demo's list; name another lake with --lake DIR", list)
			}
			if err := os.WriteFile(list, demoList, 0o600); err != nil {
				return err
			}
			if !c.Bool("quiet") {
				fmt.Fprintf(c.App.Writer, "Asking about the accounts in %s; the embedded simulator stands in for the API: no key, no money.\n", list)
			}
			for _, again := range []string{"refresh", "new-run"} { // who looks a second time wants to see it all again
				if err := c.Set(again, "true"); err != nil {
					return err
				}
			}
			err = runList(c, list, true)
			var e *exitError
			if errors.As(err, &e) && e.code == exitRejects {
				return nil // the sample list has a line that shows a reject
			}
			return err
		},
	}
}

// defaults gives flags other default values.
func defaults(flags []cli.Flag, values map[string]string) []cli.Flag {
	for _, f := range flags {
		v, ok := values[f.Names()[0]]
		if !ok {
			continue
		}
		switch f := f.(type) {
		case *cli.StringSliceFlag:
			f.Value = cli.NewStringSlice(v)
		case *cli.DurationFlag:
			f.Value, _ = time.ParseDuration(v) // a literal of this package
		}
	}
	return flags
}

// hidden keeps flags that a command needs but a reader of its help does not.
func hidden(flags []cli.Flag) []cli.Flag {
	for _, f := range flags {
		switch f := f.(type) {
		case *cli.StringFlag:
			f.Hidden = true
		case *cli.StringSliceFlag:
			f.Hidden = true
		case *cli.DurationFlag:
			f.Hidden = true
		case *cli.Float64Flag:
			f.Hidden = true
		case *cli.IntFlag:
			f.Hidden = true
		case *cli.BoolFlag:
			f.Hidden = true
		}
	}
	return flags
}
