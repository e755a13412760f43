package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/internal/quota"
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
		&cli.Float64Flag{Name: "reserve", EnvVars: []string{"SIGLAKE_RESERVE"}, Category: "API",
			Usage: "share of every rate window left to other users of the account, 0 to 0.9"},
		&cli.StringFlag{Name: "quota-dir", EnvVars: []string{"SIGLAKE_QUOTA_DIR"}, Category: "API",
			Usage: "`DIR` where all runs of a key on this machine count their calls; default: siglake/quota in the user's state directory"},
		&cli.DurationFlag{Name: "max-wait", Value: 15 * time.Minute, EnvVars: []string{"SIGLAKE_MAX_WAIT"}, Category: "API",
			Usage: "longest wait for the hour's or the day's calls, or that the API asks for; beyond it the run publishes what it has and exits 20. The minute is always waited for"},
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
			return nil, usageErrorf("--fault %s: %v", text, err)
		}
		cfg.Faults = append(cfg.Faults, f)
	}
	var err error
	if cfg.Switches, err = simulator.ParseSwitches(c.StringSlice("switch")); err != nil {
		return nil, usageErrorf("--switch: %v", err)
	}
	sim, err := simulator.New(cfg)
	if err != nil {
		return nil, usageErrorf("%v", err)
	}
	return sim, nil
}

// serveLocal hosts a handler on a loopback port of the system's choosing until stop
// is called.
func serveLocal(ctx context.Context, h http.Handler) (url string, stop func(), err error) {
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
		Transport: envOf(c).Transport,
	})
}

// newFetcher stacks what a paid call goes through, from the wire outwards. Each
// layer is a pipeline.Fetcher around the one before. patience is how long the
// API may ask a run to wait.
func newFetcher(maxWait time.Duration, client pipeline.Fetcher, ledger *journal.Ledger, limiter *quota.Limiter, budget signals.BudgetConfig) pipeline.Fetcher {
	f := ledger.RecordOutcomes(signals.Decode(ledger.RecordCalls(client)))
	f = quota.Limit(f, limiter, rateRefusal)
	f = signals.Retry(f, signals.Rules{}, signals.RetryConfig{MaxWait: maxWait})
	f = signals.Bisect(f, signals.Rules{})
	if budget.Credits > 0 {
		// Outside of Bisect, which takes a refusal to be about all that it asked,
		// whereas of a batch that a budget cut, other parts may be paid for.
		f = signals.Budget(f, budget)
	}
	return f
}

// newLimiter makes what keeps calls within the account's rate windows, together
// with every other run that uses the key on this machine.
func newLimiter(c *cli.Context, baseURL, key string) (*quota.Limiter, error) {
	plan, ok := quota.PlanByName(c.String("plan"))
	if !ok {
		return nil, usageErrorf("--plan %q: expected %s", c.String("plan"), planNames())
	}
	perSecond := c.Float64("rate")
	if perSecond < 0 {
		return nil, usageErrorf("--rate %g: expected calls a second, or 0 for no limit", perSecond)
	}
	if perSecond == 0 {
		perSecond = unlimitedRate
	}
	reserve := c.Float64("reserve")
	if reserve < 0 || reserve > 0.9 {
		return nil, usageErrorf("--reserve %g: expected a share from 0 to 0.9", reserve)
	}
	log := envOf(c).Log
	account := sha256.Sum256([]byte("siglake account\n" + baseURL + "\n" + key))
	g, err := quota.Open(quota.Config{
		Dir: quotaDir(c), Account: hex.EncodeToString(account[:12]), Plan: plan, Reserve: quota.Reserve{Share: reserve},
		PerSecond: perSecond, MaxWait: c.Duration("max-wait"), Timeout: c.Duration("timeout") + 30*time.Second,
		Warn: func(text string) { log.Info("rate limits: " + text) },
		OnWait: func(window string, until time.Time) {
			text := "waiting: the account's calls for this " + window + " are used up"
			if window == "hold" {
				text = "waiting: the API asks for a pause"
			}
			log.Info(text, "until", until.UTC().Format("2006-01-02 15:04:05 UTC"))
		},
	})
	if err != nil {
		return nil, &exitError{exitStorage, fmt.Errorf("--quota-dir: %w", err)}
	}
	return g, nil
}

// quotaDir is where the counts of calls are kept; empty for a simulator in this
// process, and where there is no home to keep them in.
func quotaDir(c *cli.Context) string {
	if dir := c.String("quota-dir"); dir != "" || c.Bool("simulate") {
		return dir
	}
	if dir := envOf(c).Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "siglake", "quota")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "siglake", "quota")
	}
	return ""
}

// rateRefusal tells the limiter which window refused a call.
func rateRefusal(call *pipeline.Call) (quota.Refusal, time.Duration) {
	class, wait := signals.RefusalClass(call)
	switch class {
	case signals.ClassRateBurst:
		return quota.Burst, wait
	case signals.ClassRateHour:
		return quota.Hour, wait
	case signals.ClassRateDay:
		return quota.Day, wait
	}
	return quota.NoRefusal, 0
}

// unlimitedRate is more calls a second than anybody can make.
const unlimitedRate = 1e9

func planNames() string {
	var names []string
	for _, p := range quota.Plans {
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
			return key, checkKeyText(key, "the file "+name)
		}
		return "", &exitError{exitAuth, fmt.Errorf("--api-key-file %s is empty", name)}
	}
	if key := strings.TrimSpace(envOf(c).Getenv(keyVariable)); key != "" {
		return key, checkKeyText(key, "the variable "+keyVariable)
	}
	return "", &exitError{exitAuth, fmt.Errorf("no API key: put it into the variable %s or name a file with --api-key-file; to try without one, add --simulate", keyVariable)}
}

// checkKeyText says whether a key can stand in a header, without showing it.
func checkKeyText(key, from string) error {
	for i, r := range key {
		if r <= ' ' || r > '~' {
			return &exitError{exitAuth, fmt.Errorf("the API key in %s holds a character at position %d that cannot be sent, such as a blank or a line break; it must be the key and nothing else", from, i+1)}
		}
	}
	return nil
}

// describeList turns what a source knows of its input into the manifest's fingerprint.
func describeList(l *sources.List) pipeline.Input {
	in := l.Input()
	var objects []pipeline.InputObject
	for _, o := range in.Objects {
		objects = append(objects, pipeline.InputObject{URI: o.URI, ETag: o.ETag, SHA256: o.SHA256, Size: o.Size})
	}
	return pipeline.Input{
		URI: in.URI, Objects: objects, SHA256: in.SHA256, Bytes: in.Bytes, Lines: in.Lines, Records: in.Records,
		Encoding: in.Encoding, Compression: in.Compression, Delimiter: in.Delimiter, Mapping: in.Mapping, Notes: in.Notes,
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
