package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/signals"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "check key, account, clock, disk, lake, bucket and journal before anything is spent",
		Description: "Asks free endpoints only. For a lake on S3 it tries the conditional writes that everything rests on,\n" +
			"and prints the least permissions that siglake needs. Exit codes: 0 all is well, else that of the worst\n" +
			"finding: 30 key or account, 40 disk, lake or bucket, 50 another run is at work, 60 damage.",
		Flags: joinFlags([]cli.Flag{
			&cli.StringFlag{Name: "lake", EnvVars: []string{"SIGLAKE_LAKE"}, Usage: "`DIR` or s3://bucket/prefix of the lake; without it only key and account are looked at"},
			&cli.BoolFlag{Name: "json", EnvVars: []string{"SIGLAKE_JSON"}, Category: "Output", Usage: "machine-readable output"},
			&cli.BoolFlag{Name: "simulate", EnvVars: []string{"SIGLAKE_SIMULATE"}, Usage: "look at an embedded simulator instead of the API"},
		}, storeFlags(), apiFlags(), simulatorFlags(), outputFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("doctor takes no arguments, got %q", c.Args().First())
			}
			if err := setLog(c); err != nil {
				return err
			}
			return doctor(c)
		},
	}
}

// A diagnosis is one finding: ok, a warning, or a failure with the exit code
// that a run would end with.
type diagnosis struct {
	Name   string `json:"check"`
	State  string `json:"state"` // ok, warning, failed
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
	code   int
}

// examination collects diagnoses.
type examination struct {
	c     *cli.Context
	found []diagnosis
}

func (x *examination) ok(name, detail string, args ...any) {
	x.found = append(x.found, diagnosis{Name: name, State: "ok", Detail: fmt.Sprintf(detail, args...)})
}

func (x *examination) warn(name, advice, detail string, args ...any) {
	x.found = append(x.found, diagnosis{Name: name, State: "warning", Detail: fmt.Sprintf(detail, args...), Advice: advice})
}

func (x *examination) fail(name string, err error, advice string) {
	d := diagnosis{Name: name, State: "failed", Detail: err.Error(), Advice: advice, code: exitCode(err)}
	var e *exitError
	if errors.As(err, &e) {
		d.code = e.code
	}
	x.found = append(x.found, d)
}

func doctor(c *cli.Context) error {
	x := &examination{c: c}
	x.account()
	var policy string
	if lake := c.String("lake"); lake != "" {
		policy = x.lake(lake)
	}
	worst := 0
	for _, d := range x.found {
		worst = max(worst, d.code)
	}
	if c.Bool("json") {
		if err := printJSON(c, x.found); err != nil {
			return err
		}
	} else {
		printExamination(c, x.found, policy)
	}
	if worst > 0 {
		return &exitError{code: worst}
	}
	return nil
}

func printExamination(c *cli.Context, found []diagnosis, policy string) {
	for _, d := range found {
		if c.Bool("quiet") && d.State == "ok" {
			continue
		}
		fmt.Fprintf(c.App.Writer, "  %-8s %-10s %s\n", d.State, d.Name, d.Detail)
		if d.Advice != "" {
			fmt.Fprintf(c.App.Writer, "  %-8s %-10s %s\n", "", "", d.Advice)
		}
	}
	if policy != "" && !c.Bool("quiet") {
		fmt.Fprintf(c.App.Writer, "\nThe least permissions that siglake needs on the bucket, as an IAM policy:\n%s\n", policy)
	}
}

// clockTolerance is how far clocks may differ before rate windows are misjudged.
const clockTolerance = 30 * time.Second

// account looks at key, options, usage and clock.
func (x *examination) account() {
	c := x.c
	baseURL, key, _, done, err := openAPI(c)
	if err != nil {
		x.fail("key", err, "")
		return
	}
	defer done()
	client, err := newClient(c, baseURL, key)
	if err != nil {
		x.fail("key", usagef("%v", err), "")
		return
	}
	governor, err := newGovernor(c, baseURL, key)
	if err != nil {
		x.fail("quota", err, "")
		return
	}
	defer governor.Close() //nolint:errcheck // its counts are kept call by call
	client.CountFree(governor.Counted)
	ctx, cancel := context.WithTimeout(c.Context, 30*time.Second)
	defer cancel()
	options, err := client.Options(ctx, schema.Company)
	newer, newerErr := client.OptionsV3(ctx, schema.Company)
	if gone := ended(err); gone != "" && newerErr == nil {
		x.warn("api", "siglake run goes on with v3", "v2 answers: %s", gone)
		options, err = newer, nil
	}
	if err != nil {
		x.fail("key", err, "check the key, the account and --base-url")
		return
	}
	x.ok("key", "%s accepts it and offers %d signal types for companies", baseURL, len(options.Signals))
	if newerErr != nil {
		x.warn("api", "siglake run --api v2 does without it; ids, scores, lookalikes and visitors do not", "v3 is not to be had: %v", newerErr)
	} else {
		x.ok("api", "v3 offers %d signal types for companies", len(newer.Signals))
	}
	switch clock := options.Clock; {
	case clock == nil:
		x.warn("clock", "", "the API's answers bear no date")
	case clock.Ahead.Abs()-clock.Within > clockTolerance:
		x.warn("clock", "set this machine's clock, for example with NTP", "it is %s off the API's: days and rate windows are misjudged", clock.Ahead.Abs().Round(time.Second))
	default:
		x.ok("clock", "within %s of the API's", (clock.Ahead.Abs() + clock.Within).Round(100*time.Millisecond))
	}
	x.usage(ctx, client)
	for _, w := range governor.State().Windows {
		if w.Limit >= 0 {
			x.ok("rate", "%s: %s of %s calls left", w.Name, knownText(w.Left), thousands(w.Limit))
		}
	}
}

func (x *examination) usage(ctx context.Context, client *signals.Client) {
	u, err := client.Usage(ctx)
	if err != nil {
		x.warn("account", "the run goes on without prices: it takes an event to cost 1 credit, and windows from --plan", "its usage is not known: %v", err)
		return
	}
	switch {
	case u.Remaining == 0:
		x.fail("account", &exitError{exitDeferred, errors.New("no credits are left")}, "buy credits first")
	case u.Remaining < 0:
		x.warn("account", "", "it does not say how many credits are left")
	default:
		x.ok("account", "%s credits left, plan %s", thousands(u.Remaining), wordOr(u.Plan, "not stated"))
	}
	for _, action := range []string{"showSignalsContact", "showSignalsCompany"} {
		if p, ok := u.Prices[action]; ok {
			x.ok("price", "%s: %s for every %d", action, counted(int(p.Credits), "credit"), p.PerQuantity)
		} else {
			x.warn("price", "", "%s is not priced, which does not mean free", action)
		}
	}
}

func knownText(n int64) string {
	if n < 0 {
		return "an unknown number"
	}
	return thousands(n)
}

func wordOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// lake looks at everything that keeps what was paid for. It gives the policy
// that a bucket needs.
func (x *examination) lake(lake string) (policy string) {
	c := x.c
	if sinks.OnS3(lake) {
		policy = x.bucket(lake)
		if scratch, err := sinks.Scratch(lake, c.String("scratch")); err != nil {
			x.fail("scratch", &exitError{exitStorage, err}, "")
		} else {
			x.disk(scratch, "scratch")
		}
	} else {
		x.disk(strings.TrimPrefix(lake, "file://"), "disk")
	}
	inspector, err := inspect(c, lake)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.ok("lake", "there is none yet: the first run makes it")
		return policy
	case err != nil:
		x.fail("lake", &exitError{exitStorage, err}, "")
		return policy
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	chain, err := inspector.Chain(c.Context)
	if err != nil {
		x.fail("lake", &exitError{storageCode(err), err}, "siglake verify says more")
	} else if len(chain) == 0 {
		x.ok("lake", "empty")
	} else {
		newest := chain[len(chain)-1]
		x.ok("lake", "%d generations, the newest of %s", newest.Generation, newest.Run.Finished.UTC().Format("2006-01-02 15:04 UTC"))
	}
	x.journal(lake)
	return policy
}

// journal opens the journal, which reads all of its heads.
func (x *examination) journal(lake string) {
	if there, err := lakeExists(x.c, lake); err == nil && !there {
		x.ok("journal", "there is none yet: the first run makes it")
		return
	}
	s, err := openState(x.c, lake, onlooker)
	if err != nil {
		x.fail("journal", err, "siglake verify says more")
		return
	}
	defer s.close() //nolint:errcheck // nothing was written
	runs, doubts := s.journal.Runs(), s.journal.Doubts()
	x.ok("journal", "%s", counted(len(runs), "run"))
	if n := len(doubts); n > 0 {
		x.warn("journal", "siglake held list --lake "+lake+" shows them", "in doubt: %s", counted(n, "call"))
	}
	if n := len(runs); n > 0 && runs[n-1].Done == nil {
		x.warn("journal", "siglake resume --lake "+lake+" goes on with it", "run %s is not finished", runs[n-1].ID)
	}
}

// wantedRoom is how much free disk a run should find.
const wantedRoom = 1 << 30

// disk tries a durable write where a directory is or will be.
func (x *examination) disk(path, name string) {
	path, err := filepath.Abs(path)
	if err != nil {
		x.fail(name, &exitError{exitStorage, err}, "")
		return
	}
	for {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			break
		}
		if filepath.Dir(path) == path {
			break
		}
		path = filepath.Dir(path)
	}
	took, err := syncTime(path)
	if err != nil {
		x.fail(name, &exitError{exitStorage, err}, "siglake must be able to write there")
		return
	}
	room, known := freeRoom(path)
	switch {
	case known && room < wantedRoom:
		x.warn(name, "make room before a large run", "%s: %s free, a durable write takes %s", path, byteText(room), took.Round(100*time.Microsecond))
	case known:
		x.ok(name, "%s: %s free, a durable write takes %s", path, byteText(room), took.Round(100*time.Microsecond))
	default:
		x.ok(name, "%s: a durable write takes %s", path, took.Round(100*time.Microsecond))
	}
}

// syncTime makes a small file durable and removes it again.
func syncTime(dir string) (took time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".siglake-doctor-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	begun := time.Now()
	_, err = f.WriteString("can this be written?\n")
	err = errors.Join(err, f.Sync(), f.Close())
	return time.Since(begun), err
}

// bucket tries what everything rests on, and gives the policy that allows it.
func (x *examination) bucket(lake string) (policy string) {
	c := x.c
	name, key, err := bucket.Split(lake)
	if err != nil {
		x.fail("bucket", usagef("%v", err), "")
		return ""
	}
	policy = bucketPolicy(name, strings.Trim(key, "/"), c.String("s3-kms-key"))
	b, err := openBucket(c, lake)
	if err != nil {
		x.fail("bucket", usagef("%v", err), "")
		return policy
	}
	begun := time.Now()
	if err := b.Probe(c.Context, stateDir); err != nil {
		x.fail("bucket", &exitError{exitStorage, err}, "the policy below is what siglake needs; a store without conditional writes cannot be used")
		return policy
	}
	x.ok("bucket", "%s heeds conditional writes; seven requests took %s", b.URI(""), time.Since(begun).Round(time.Millisecond))
	for _, err := range b.List(c.Context, "_meta/") {
		if err != nil {
			x.fail("bucket", &exitError{exitStorage, err}, "without s3:ListBucket a store answers 403 for what is not there, which cannot be told from a refusal")
		}
		break
	}
	return policy
}

// bucketPolicy allows what siglake does below a prefix, and nothing else.
func bucketPolicy(name, prefix, kmsKey string) string {
	within := prefix
	if within != "" {
		within += "/"
	}
	type statement struct {
		Sid       string
		Effect    string
		Action    []string
		Resource  []string
		Condition map[string]map[string]string `json:",omitempty"`
	}
	objects := "arn:aws:s3:::" + name + "/" + within
	statements := []statement{
		{Sid: "ReadAndWrite", Effect: "Allow", Action: []string{"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"}, Resource: []string{objects + "*"}},
		{Sid: "RemoveProbes", Effect: "Allow", Action: []string{"s3:DeleteObject"}, Resource: []string{objects + stateDir + "/probe-*", objects + "_meta/probe-*"}},
		{Sid: "TellMissingFromForbidden", Effect: "Allow", Action: []string{"s3:ListBucket"}, Resource: []string{"arn:aws:s3:::" + name},
			Condition: map[string]map[string]string{"StringLike": {"s3:prefix": within + "*"}}},
	}
	if kmsKey != "" {
		statements = append(statements, statement{Sid: "UseKey", Effect: "Allow", Action: []string{"kms:GenerateDataKey", "kms:Decrypt"}, Resource: []string{kmsKey}})
	}
	text, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements}, "", "  ")
	if err != nil {
		panic(err) // of texts
	}
	return string(text)
}
