package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/report"
	"github.com/siglake/siglake/pipeline"
)

const (
	// nightlySince is the window of the nights after the first: what became visible since the night
	// before is hardly older.
	nightlySince = "last"
	// wholeSince is the window of the first night, and that of every night without a thought.
	wholeSince = "90d"
)

// nightsOptions of a demo.
type nightsOptions struct {
	count        int
	set, lakeSet bool // --nights and --lake were set
}

// demonstrateNights runs the sample list night by night, in two lakes that know nothing of each other:
// as siglake is meant to be used, and with the whole window every night.
func (p *purchaseCommand) demonstrateNights(c *cli.Context, o nightsOptions) error {
	count := o.count
	if count < 2 || count > 366 {
		return app.UsageErrorf("--nights %d: expected 2 to 366", count)
	}
	if !o.lakeSet {
		p.run.Lake = "demo-nights"
	}
	if _, err := os.Lstat(p.run.Lake); err == nil {
		return app.UsageErrorf("%s exists; remove it, or choose another lake with --lake DIR: the nights begin with an empty one", p.run.Lake)
	}
	if !slices.Contains(p.sim.Set, latencyFlag) {
		p.sim.Latency = 0
	}
	quiet := p.out
	quiet.Quiet = true
	env, err := loggingEnv(c, quiet)
	if err != nil {
		return err
	}
	scratch, remove, err := app.CreateTemporary("siglake-demo-")
	if err != nil {
		return err
	}
	defer remove() //nolint:errcheck // a temporary directory
	if err := p.writeDemoList(); err != nil {
		return err
	}
	nightly, whole := newNightly(p, p.run.Lake), newNightly(p, filepath.Join(scratch, "lake"))
	defer nightly.close()
	defer whole.close()
	if !p.out.Quiet {
		format.Fprintf(env.Stdout, "Rehearsing %s of the sample list on the embedded simulator: no key, no money.\n\n", format.Count(count, "night"))
	}
	table := report.NightTable{Lake: p.run.Lake}
	for night := range count {
		day := env.Now().UTC().AddDate(0, 0, night+1-count)
		since := nightlySince
		if night == 0 || p.run.Query.SinceSet {
			since = p.run.Query.Since
		}
		n := report.Night{Day: day.Format(time.DateOnly), Since: since}
		if n.Credits, n.New, err = nightly.run(c.Context, env, day, since); err == nil {
			n.Whole, _, err = whole.run(c.Context, env, day, wholeSince)
		}
		if err != nil {
			return err
		}
		table.Nights = append(table.Nights, n)
	}
	table.Found, table.Findable = nightly.distinct, whole.distinct
	return report.PrintNights(env.Stdout, &table)
}

// nightly is a lake that a list is run into every night, with a simulator of its own.
type nightly struct {
	options  app.RunOptions
	sim      SimulatorOptions
	now      func() time.Time // the clock of the present night
	at       app.Endpoint
	bill     func() simulatorBill
	credits  int64 // billed so far
	distinct int64 // different events bought so far
}

func newNightly(p *purchaseCommand, lake string) *nightly {
	n := &nightly{options: p.run, sim: p.sim}
	n.options.Lake, n.options.API.Seed, n.sim.countDistinct = lake, p.sim.Seed, true
	return n
}

func (n *nightly) close() {
	if n.at.Close != nil {
		n.at.Close()
	}
}

// open gives the simulator, which is the same every night.
func (n *nightly) open(ctx context.Context) (app.Endpoint, error) {
	if n.bill == nil {
		server, err := newSimulator(n.sim, func() time.Time { return n.now() })
		if err != nil {
			return app.Endpoint{}, err
		}
		url, stop, err := serveLocal(ctx, server)
		if err != nil {
			return app.Endpoint{}, err
		}
		n.at, n.bill = app.Endpoint{BaseURL: url, Key: app.SimulatedKey, Close: stop}, server.Bill
	}
	at := n.at
	at.Close = func() {} // it serves the next night as well
	return at, nil
}

// run runs a night. newEvents is the number of events that no earlier night bought.
func (n *nightly) run(ctx context.Context, base *app.Env, day time.Time, since string) (credits, newEvents int64, err error) {
	env := *base
	env.Rehearse(day)
	n.now = env.Now
	options := n.options
	options.Query.Since = since
	j := app.NewJob(&env, options)
	j.OpenAPI = n.open
	j.NewMeter = func(total int64, now *pipeline.Activity) app.Meter {
		return newMeter(env.Stderr, env.Log, true, total, now)
	}
	j.Report = func(*pipeline.Manifest) {}
	m, _, err := j.Run(ctx)
	if err == nil && m != nil && m.Run.Outcome != pipeline.RunComplete && m.Run.Outcome != pipeline.RunWithRejects {
		err = statusOf(app.ManifestExit(m))
	}
	if err == nil && n.bill == nil {
		err = errors.New("nothing was requested")
	}
	if err != nil {
		return 0, 0, err
	}
	b := n.bill()
	credits, newEvents = b.Credits-n.credits, b.Distinct-n.distinct
	n.credits, n.distinct = b.Credits, b.Distinct
	return credits, newEvents, nil
}
