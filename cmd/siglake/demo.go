package main

import (
	"bytes"
	_ "embed"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

//go:embed demo.csv
var demoList []byte

func demoCommand() *cli.Command {
	p := newRunPurchase("demo")
	p.run.Lake, p.run.Query.Signals, p.sim.Latency = "demo-lake", []string{"all"}, 40*time.Millisecond
	p.run.Demo, p.run.API.Simulate = true, true
	p.run.TTL, p.run.Store = app.TTLOptions{}, app.StoreOptions{} // of which it has no flags
	var nights nightsOptions
	return &cli.Command{
		Name:  "demo",
		Usage: "run the main job on a sample list and the embedded simulator: no key, no money",
		Description: "With --nights it runs the list once for each of the last nights, the last one being today's, and shows what they\n" +
			"cost next to the cost of requesting the whole window again every night.",
		Flags: joinFlags(
			[]cli.Flag{
				&cli.StringFlag{Name: "lake", Value: p.run.Lake, Destination: &p.run.Lake, Action: noteSet[string](&nights.lakeSet), EnvVars: []string{"SIGLAKE_DEMO_LAKE"}, Usage: "`DIR` that the demo writes to"},
				&cli.IntFlag{Name: "nights", Destination: &nights.count, Action: noteSet[int](&nights.set), EnvVars: []string{"SIGLAKE_NIGHTS"}, Usage: "rehearse so many nights, 2 to 366, in a new lake"},
			},
			queryFlags(&p.run.Query), simulatorFlags(&p.sim),
			hideFlags(moneyFlags(&p.run.Money)), hideFlags(listFlags(&p.run.Source)), hideFlags(apiFlags(&p.run.API)), workFlags(&p.run.Work), outputFlags(&p.out),
			[]cli.Flag{&cli.BoolFlag{Name: "simulate", Value: true, Destination: &p.run.API.Simulate, Hidden: true}},
		),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("demo takes no list; for your own list, use siglake run LIST --lake DIR --simulate")
			}
			if nights.set {
				return p.demonstrateNights(c, nights)
			}
			p.run.Money.Refresh, p.run.Money.NewRun = true, true // who looks a second time wants to see it all again
			return p.demonstrate(c)
		},
	}
}

// demonstrate runs the sample list.
func (p *purchaseCommand) demonstrate(c *cli.Context) error {
	ctx, env := c.Context, envOf(c)
	// Before anything is written: what is refused leaves nothing behind.
	if err := app.CheckLakeKind(ctx, env, &p.run); err != nil {
		return err
	}
	if err := p.writeDemoList(); err != nil {
		return err
	}
	if !p.out.Quiet {
		format.Fprintf(env.Stdout, "Requesting signals for the accounts in %s from the embedded simulator: no key, no money.\n", p.run.List)
	}
	err := p.execute(c)
	if code, message := exitCode(err); code == exitRejects && message == nil {
		return nil // the sample list has a line that shows a reject
	}
	return err
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

// writeDemoList writes the sample list to a file next to the lake, where it stays: runs record its name.
func (p *purchaseCommand) writeDemoList() error {
	p.run.List = p.run.Lake + "-accounts.csv"
	existing, err := os.ReadFile(p.run.List)
	if err == nil && !bytes.Equal(existing, demoList) {
		return app.UsageErrorf("%s exists and is not the demo's list; choose another lake with --lake DIR", p.run.List)
	}
	return os.WriteFile(p.run.List, demoList, 0o600)
}
