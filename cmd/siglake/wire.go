package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/internal/signals"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sources"
)

// keyVariable holds the API key. There is no flag for it: argv is visible to
// every user of the machine.
const keyVariable = "LUSHA_API_KEY"

// apiFlags say where the API is and how hard it may be asked.
func apiFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "api-key-file", EnvVars: []string{"SIGLAKE_API_KEY_FILE"}, Category: "API", TakesFile: true,
			Usage: "`FILE` that holds the API key; without it the key comes from the variable " + keyVariable},
		&cli.StringFlag{Name: "base-url", Value: "https://api.lusha.com", EnvVars: []string{"SIGLAKE_BASE_URL"}, Category: "API",
			Usage: "address of the API"},
		&cli.StringFlag{Name: "plan", Value: "scale", EnvVars: []string{"SIGLAKE_PLAN"}, Category: "API",
			Usage: "your plan, for the rate limits to start from: free, starter, pro, premium, scale, legacy, unlimited; answers correct them"},
		&cli.Float64Flag{Name: "rate", Value: 25, EnvVars: []string{"SIGLAKE_RATE"}, Category: "API",
			Usage: "most calls a second; 0 for no such limit"},
		&cli.DurationFlag{Name: "max-wait", Value: 15 * time.Minute, EnvVars: []string{"SIGLAKE_MAX_WAIT"}, Category: "API",
			Usage: "longest wait for a rate window; beyond it the run publishes what it has and exits 20"},
		&cli.DurationFlag{Name: "timeout", Value: 60 * time.Second, EnvVars: []string{"SIGLAKE_TIMEOUT"}, Category: "API",
			Usage: "patience with one call; a call that exceeds it may have been charged"},
	}
}

// simulatorFlags shape the embedded simulator.
func simulatorFlags() []cli.Flag {
	return []cli.Flag{
		&cli.Uint64Flag{Name: "seed", Value: 1, EnvVars: []string{"SIGLAKE_SEED"}, Category: "Simulator",
			Usage: "the simulated world: the same seed gives the same companies, people and events"},
		&cli.StringSliceFlag{Name: "fault", EnvVars: []string{"SIGLAKE_FAULT"}, Category: "Simulator",
			Usage: "inject a fault, as KIND@N (the N-th call), KIND/N (every N-th) or KIND%P (P percent); siglake simulate --list-faults names the kinds"},
		&cli.StringSliceFlag{Name: "switch", EnvVars: []string{"SIGLAKE_SWITCH"}, Category: "Simulator",
			Usage: "take another reading of an open question about the API, as NAME=VALUE; siglake simulate --list-switches names them"},
		&cli.Int64Flag{Name: "credits", EnvVars: []string{"SIGLAKE_CREDITS"}, Category: "Simulator",
			Usage: "credits in the simulated account; 0 for a million"},
		&cli.StringFlag{Name: "sim-plan", Value: "scale", EnvVars: []string{"SIGLAKE_SIM_PLAN"}, Category: "Simulator",
			Usage: "rate limits of the simulated account: free, pro, premium, scale, legacy, unlimited"},
		&cli.DurationFlag{Name: "latency", EnvVars: []string{"SIGLAKE_LATENCY"}, Category: "Simulator",
			Usage: "typical time of a simulated answer"},
	}
}

// newSimulator makes the simulator that the flags describe.
func newSimulator(c *cli.Context) (*simulator.Server, error) {
	cfg := simulator.Config{
		Seed: c.Uint64("seed"), Plan: c.String("sim-plan"), Credits: c.Int64("credits"), Latency: c.Duration("latency"),
	}
	for _, text := range c.StringSlice("fault") {
		f, err := simulator.ParseFault(text)
		if err != nil {
			return nil, usagef("--fault %s: %v", text, err)
		}
		cfg.Faults = append(cfg.Faults, f)
	}
	var err error
	if cfg.Switches, err = simulator.ParseSwitches(c.StringSlice("switch")); err != nil {
		return nil, usagef("--switch: %v", err)
	}
	sim, err := simulator.New(cfg)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return sim, nil
}

// serve hosts a handler on a loopback port of the system's choosing until stop
// is called.
func serve(ctx context.Context, h http.Handler) (url string, stop func(), err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { // awaited by stop
		defer close(done)
		_ = s.Serve(l) // returns when stop closes it
	}()
	return "http://" + l.Addr().String(), func() {
		_ = s.Close()
		<-done
	}, nil
}

// newClient makes the API client that the flags describe.
func newClient(c *cli.Context, baseURL, key string) (*signals.Client, error) {
	if c.Duration("timeout") <= 0 {
		return nil, fmt.Errorf("--timeout %s: expected a time such as 60s", c.Duration("timeout"))
	}
	return signals.New(signals.Config{
		BaseURL:   baseURL,
		Key:       signals.NewKey(key),
		UserAgent: "siglake/" + version,
		Timeout:   c.Duration("timeout"),
	})
}

// newFetcher stacks what a paid call goes through, from the wire outwards. Each
// layer is a pipeline.Fetcher around the one before.
func newFetcher(c *cli.Context, client *signals.Client, book *journal.Journal, budget signals.BudgetConfig) (pipeline.Fetcher, error) {
	plan, ok := signals.PlanNamed(c.String("plan"))
	if !ok && c.String("plan") != "unlimited" {
		return nil, usagef("--plan %q: expected %s or unlimited", c.String("plan"), planNames())
	}
	if !ok {
		plan.Name = "unlimited"
	}
	perSecond := c.Float64("rate")
	if perSecond < 0 {
		return nil, usagef("--rate %g: expected calls a second, or 0 for no limit", perSecond)
	}
	if perSecond == 0 {
		perSecond = noRate
	}
	wait := c.Duration("max-wait")
	decoded := book.Settle(signals.Decode(book.Record(client)))
	var f pipeline.Fetcher = signals.Limit(decoded, signals.LimitConfig{Plan: plan, PerSecond: perSecond, MaxWait: wait})
	f = signals.Retry(f, signals.RetryConfig{MaxWait: wait})
	if budget.Credits > 0 {
		f = signals.Budget(f, budget)
	}
	return signals.Bisect(f), nil
}

// noRate is more calls a second than anybody can make.
const noRate = 1e9

func planNames() string {
	var names []string
	for _, p := range signals.Plans {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

// apiKey reads the key from the file or the environment.
func apiKey(c *cli.Context) (string, error) {
	if name := c.String("api-key-file"); name != "" {
		raw, err := os.ReadFile(name)
		if err != nil {
			return "", &exitError{exitAuth, fmt.Errorf("--api-key-file: %w", err)}
		}
		if key := strings.TrimSpace(string(raw)); key != "" {
			return key, nil
		}
		return "", &exitError{exitAuth, fmt.Errorf("--api-key-file %s is empty", name)}
	}
	if key := strings.TrimSpace(os.Getenv(keyVariable)); key != "" {
		return key, nil
	}
	return "", &exitError{exitAuth, fmt.Errorf("no API key: put it into the variable %s or name a file with --api-key-file; to try without one, add --simulate", keyVariable)}
}

// describe turns what a source knows of its input into the manifest's fingerprint.
func describe(l *sources.List) func() pipeline.Input {
	return func() pipeline.Input {
		in := l.Input()
		return pipeline.Input{
			URI: in.URI, SHA256: in.SHA256, Bytes: in.Bytes, Lines: in.Lines, Records: in.Records,
			Encoding: in.Encoding, Compression: in.Compression, Delimiter: in.Delimiter, Mapping: in.Mapping, Notes: in.Notes,
		}
	}
}

// newRunID names a run by its start and four random bytes, so that runs sort by
// time and never share a name.
func newRunID(now time.Time, random io.Reader) (string, error) {
	var b [4]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s-%x", now.UTC().Format("20060102T150405Z"), b), nil
}
