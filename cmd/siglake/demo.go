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
			setDefaults(queryFlags(), map[string]string{"signals": "all"}), setDefaults(simulatorFlags(), map[string]string{"latency": "40ms"}),
			hideFlags(moneyFlags()), hideFlags(listFlags()), hideFlags(apiFlags()), workFlags(), outputFlags(),
			[]cli.Flag{&cli.BoolFlag{Name: "simulate", Value: true, Hidden: true}},
		),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageErrorf("demo takes no list; to run on your own: siglake run LIST --lake DIR --simulate")
			}
			// Before anything is written: what is refused leaves nothing behind.
			if l, err := (&job{c: c, lakeURI: c.String("lake")}).openIfExists(); err != nil {
				return err
			} else if l != nil {
				if err := errors.Join(l.checkSimulated(c), l.close()); err != nil {
					return &exitError{exitUsage, err}
				}
			}
			list := c.String("lake") + "-accounts.csv"
			existing, err := os.ReadFile(list)
			if err == nil && !bytes.Equal(existing, demoList) {
				return usageErrorf("%s is in the way of the demo's list; name another lake with --lake DIR", list)
			}
			if err := os.WriteFile(list, demoList, 0o600); err != nil {
				return err
			}
			if !c.Bool("quiet") {
				fmt.Fprintf(c.App.Writer, "Asking about the accounts in %s; the embedded simulator stands in for the API: no key, no money.\n", list)
			}
			for _, flag := range []string{"refresh", "new-run"} { // who looks a second time wants to see it all again
				if err := c.Set(flag, "true"); err != nil {
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

// setDefaults gives flags other default values.
func setDefaults(flags []cli.Flag, values map[string]string) []cli.Flag {
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

// hideFlags keeps flags that a command needs but a reader of its help does not.
func hideFlags(flags []cli.Flag) []cli.Flag {
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
