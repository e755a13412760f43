package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/internal/quota"
	"github.com/siglake/siglake/internal/signals"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
	"github.com/siglake/siglake/sources"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "ask about every line of a list and write what comes back into a lake",
		ArgsUsage: "LIST",
		Description: "LIST is a CSV file (also gzip or zstd), a plain list of domains, or - for standard input; a folder or a\n" +
			"pattern (lists/*.csv, lists/**) is one list of many files; all of them may lie on S3: s3://bucket/lists/*.csv.\n" +
			"The API charges for what it returns; the summary and the manifest say how much.\n\n" +
			"Exit codes: 0 complete, 10 complete but lines were rejected, 20 part was not asked (run again),\n" +
			"21 calls in doubt and perhaps lines that were not asked as well, 30 key or plan, 40 disk or bucket, 50 another run is at work on the lake, 60 the lake or its\n" +
			"journal is damaged, 64 flags or an unreadable list.\n\n" +
			"A run that ended early, even by kill -9, goes on with the same command: what is paid is not bought again.",
		Flags: runFlags(),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usageErrorf("run takes one list, got %d arguments; see siglake run --help", c.NArg())
			}
			return runList(c, c.Args().First(), false)
		},
	}
}

// runFlags are everything that a run can be told.
func runFlags() []cli.Flag {
	return joinFlags(
		[]cli.Flag{
			&cli.StringFlag{Name: "lake", EnvVars: []string{"SIGLAKE_LAKE"}, Usage: "`DIR` or s3://bucket/prefix the Parquet files and the manifest go to"},
			&cli.BoolFlag{Name: "simulate", EnvVars: []string{"SIGLAKE_SIMULATE"}, Usage: "ask an embedded simulator instead of the API: no key, no money, invented answers"},
		},
		queryFlags(), apiVersionFlags(), moneyFlags(), ttlFlags(), listFlags(), apiFlags(), workFlags(), storeFlags(), simulatorFlags(), outputFlags(),
	)
}

// listFlags say how the list is to be read.
func listFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "map", EnvVars: []string{"SIGLAKE_MAP"}, Category: "List",
			Usage: "which column holds what, as FIELD=COLUMN (a header or a number); fields: " + "key, id, domain, name, first_name, last_name, linkedin, email, company_name, company_domain"},
		&cli.StringFlag{Name: "object", Value: "auto", EnvVars: []string{"SIGLAKE_OBJECT"}, Category: "List", Usage: "what the lines are: contact, company or auto"},
		&cli.StringFlag{Name: "header", Value: "auto", EnvVars: []string{"SIGLAKE_HEADER"}, Category: "List", Usage: "whether the first line names the columns: yes, no or auto"},
		&cli.StringFlag{Name: "delimiter", Value: "auto", EnvVars: []string{"SIGLAKE_DELIMITER"}, Category: "List", Usage: "what separates the columns: one character, tab, none or auto"},
		&cli.StringFlag{Name: "encoding", Value: "auto", EnvVars: []string{"SIGLAKE_ENCODING"}, Category: "List", Usage: "utf-8, utf-16le, utf-16be, windows-1252 or auto"},
	}
}

// moneyFlags say what may be bought.
func moneyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "max-credits", EnvVars: []string{"SIGLAKE_MAX_CREDITS"}, Category: "Money",
			Usage: "most credits the run may cost, whatever is answered: a `NUMBER`, or unlimited; when they do not suffice it publishes what it has and exits 20"},
		&cli.BoolFlag{Name: "unattended", EnvVars: []string{"SIGLAKE_UNATTENDED"}, Category: "Money",
			Usage: "refuse to run without --max-credits; for schedulers"},
		&cli.BoolFlag{Name: "new-run", EnvVars: []string{"SIGLAKE_NEW_RUN"}, Category: "Money",
			Usage: "leave an unfinished run, publishing what it paid for, and begin another; what was bought before is not bought again"},
		&cli.BoolFlag{Name: "refresh", EnvVars: []string{"SIGLAKE_REFRESH"}, Category: "Money",
			Usage: "buy again what was bought before"},
		&cli.StringFlag{Name: "in-doubt", Value: inDoubtHold, EnvVars: []string{"SIGLAKE_IN_DOUBT"}, Category: "Money",
			Usage: "what to do about calls that may have been charged and whose answers are lost: hold them, retry (pay again) within --in-doubt-budget, or probe (read the account's usage first, and pay again only if it cannot tell)"},
		&cli.StringFlag{Name: "in-doubt-budget", EnvVars: []string{"SIGLAKE_IN_DOUBT_BUDGET"}, Category: "Money",
			Usage: "most credits that asking again what is in doubt may cost a run: a `NUMBER`, or unlimited; a call is asked again whole or not at all"},
	}
}

// workFlags say how the run works.
func workFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "concurrency", Value: 8, EnvVars: []string{"SIGLAKE_CONCURRENCY"}, Category: "Work", Usage: "batches in flight, 1 to 64"},
		&cli.IntFlag{Name: "batch-size", Value: pipeline.MaxBatch, EnvVars: []string{"SIGLAKE_BATCH_SIZE"}, Category: "Work", Usage: "entities in a call, 1 to 100"},
		&cli.StringFlag{Name: "partition-by", Value: "month", EnvVars: []string{"SIGLAKE_PARTITION_BY"}, Category: "Work", Usage: "directories by the event's month or day"},
	}
}

// outputFlags say what the program prints.
func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, EnvVars: []string{"SIGLAKE_QUIET"}, Category: "Output", Usage: "no progress and no summary; errors and warnings only"},
		&cli.StringFlag{Name: "log-format", Value: "text", EnvVars: []string{"SIGLAKE_LOG_FORMAT"}, Category: "Output", Usage: "log lines on standard error as text or json"},
	}
}

// job is one "siglake run" with everything it was told.
type job struct {
	c                *cli.Context
	lakeURI, listURI string
	partition        string
	listOptions      sources.Options
	budget           int64         // credits; 0 for none
	object           schema.Object // of the list's lines
	unfitReported    bool          // whether the signals fit it was said
	listInput        *listInput
	identity         runIdentity

	service pipeline.Service
	paged   *pagedQuery // of a service that is asked page by page
	addNote func(string)

	listReread bool   // the list was opened once more meanwhile
	apiChoice  string // which dialect was chosen, and why

	positiveTTL, negativeTTL time.Duration // how long ids count that were bought

	client        *signals.Client
	limiter       *quota.Limiter
	apiKey        string
	prices        map[string]signals.UnitPrice // by action, as the account states them
	maxEventPrice int64                        // most credits of one event
	baseURL       string
	simBill       func() simulatorBill // of an embedded simulator, else nil
	demo          bool
	resumeRunID   string // run that must be gone on with; empty: any, or a new one
}

// runList runs the main job on a list with the flags of c. tour adds what a
// newcomer wants to see: the tree and the simulator's own bill.
func runList(c *cli.Context, uri string, demo bool) error {
	if err := setLogger(c); err != nil {
		return err
	}
	return (&job{c: c, lakeURI: c.String("lake"), listURI: uri, maxEventPrice: 1, demo: demo}).run()
}

// run carries the job out.
func (j *job) run() error {
	c, uri := j.c, j.listURI
	if err := setLogger(c); err != nil {
		return err
	}
	if j.lakeURI == "" {
		return usageErrorf("say where to write with --lake DIR or --lake s3://bucket/prefix")
	}
	if err := j.parseFlags(); err != nil {
		return err
	}
	var err error
	if j.service == pipeline.Visits {
		j.listOptions.Stdin, j.listOptions.Header, j.listOptions.Object = strings.NewReader(strings.Join(siteNames(c), "\n")), sources.HeaderNo, schema.Company
	}
	if j.listInput, err = openListInput(c.Context, uri, j.listOptions); err != nil {
		return err
	}
	defer j.listInput.close() //nolint:errcheck // a copy of the list in a temporary directory
	if j.identity, err = j.readIdentity(); err != nil {
		return err
	}

	disconnect, err := j.connectAPI()
	if err != nil {
		return err
	}
	defer disconnect()
	m, err := j.runOnce()
	// What was left in doubt just now is asked again at once, if that was allowed.
	if err == nil && m != nil && m.HasInDoubt() && c.String("in-doubt") != inDoubtHold && c.Context.Err() == nil && j.reduceBudget(m) {
		m, err = j.runOnce()
	}
	if err != nil || m == nil {
		return err
	}
	if code := manifestCode(m); code != exitComplete {
		return &exitError{code: code}
	}
	return nil
}

// reduceBudget takes what a pass cost at the most off the budget, which is one for
// all passes of a command; false when nothing is left of it.
func (j *job) reduceBudget(m *pipeline.Manifest) bool {
	if j.budget == 0 { // none was set
		return true
	}
	j.budget -= m.Credits.Cost().Max
	return j.budget > 0
}

// connectAPI opens the API, and the counts of calls to it.
func (j *job) connectAPI() (disconnect func(), err error) {
	c := j.c
	var closeAPI func()
	if j.baseURL, j.apiKey, j.simBill, closeAPI, err = openAPI(c); err != nil {
		return nil, err
	}
	if j.client, err = newClient(c, j.baseURL, j.apiKey); err != nil {
		closeAPI()
		return nil, usageErrorf("%v", err)
	}
	if j.limiter, err = newLimiter(c, j.baseURL, j.apiKey); err != nil {
		closeAPI()
		return nil, err
	}
	j.client.OnFreeRequest(j.limiter.AddCalls)
	return func() {
		_ = j.limiter.Close() // its counts are kept call by call
		closeAPI()
	}, nil
}

// parseFlags reads the flags that can be wrong by themselves.
func (j *job) parseFlags() (err error) {
	c := j.c
	if err := errors.Join(checkRange(c, "concurrency", 1, 64), checkRange(c, "batch-size", 1, pipeline.MaxBatch)); err != nil {
		return err
	}
	var ok bool
	if j.partition, ok = map[string]string{"month": "event_month", "day": "event_day"}[c.String("partition-by")]; !ok {
		return usageErrorf("--partition-by %q: expected month or day", c.String("partition-by"))
	}
	if j.listOptions, err = listOptions(c); err != nil {
		return err
	}
	if j.listOptions.Object == "" && j.service == pipeline.Signals {
		j.listOptions.Object = soleObject(splitWords(c.StringSlice("signals")))
	}
	if j.budget, err = parseBudget(c); err != nil {
		return err
	}
	switch api := c.String("api"); api {
	case "", apiAuto, apiV2, apiV3:
	default:
		return usageErrorf("--api %q: expected v2, v3 or auto", api)
	}
	if j.positiveTTL, j.negativeTTL, err = parseTTLs(c); err != nil {
		return err
	}
	if !c.Bool("simulate") {
		for _, f := range simulatorFlags() {
			if name := f.Names()[0]; c.IsSet(name) {
				return usageErrorf("--%s is about the simulator; add --simulate, or leave it out", name)
			}
		}
	}
	return checkInDoubtFlags(c)
}

// runOnce makes one run, or goes on with one. The manifest is nil when there was
// nothing to do.
func (j *job) runOnce() (*pipeline.Manifest, error) {
	c := j.c
	list, err := j.openList()
	if err != nil {
		return nil, err
	}
	defer func() { _ = list.Close() }() // it was only read
	reopen := func() (pipeline.Source, error) {
		_ = list.Close() // what was read ahead of it is gone
		opened, err := j.openList()
		if err != nil {
			return nil, err
		}
		list = opened
		return list, nil
	}
	l, err := openLake(c, j.lakeURI, "siglake "+c.Command.Name)
	if err != nil {
		return nil, err
	}
	defer l.close() //nolint:errcheck // what matters is durable before
	if err := l.checkSimulated(c); err != nil {
		return nil, err
	}
	l.ledger.SetTTL(j.positiveTTL, j.negativeTTL)
	if err := l.applyInDoubtPolicy(c, j.client, j.canRepeat); err != nil {
		return nil, err
	}
	match, err := l.matchRun(c.Context, c, j.identity)
	if err != nil {
		return nil, err
	}
	unfinishedID := ""
	if match.resume != nil {
		unfinishedID = match.resume.ID
	}
	if err := sinks.SweepScratch(j.lakeURI, c.String("scratch"), unfinishedID); err != nil {
		return nil, &exitError{exitStorage, err}
	}
	if text, err := j.alreadySatisfied(l, match); text != "" || err != nil {
		if err == nil && !c.Bool("quiet") {
			fmt.Fprintln(c.App.Writer, text)
		}
		return nil, err
	}
	if match.done != nil {
		return nil, l.reportNothingToDo(c, match.done)
	}
	if j.resumeRunID != "" && !match.resumesRun(j.resumeRunID) {
		return nil, l.resumeError(j.resumeRunID, j.identity)
	}
	j.resumeRunID = "" // what was left in doubt meanwhile is another run's
	start, err := j.newRunStart(match, l.ledger.Runs())
	if err != nil {
		return nil, err
	}
	if j.listReread { // a list that came by a pipe has one place at which it is read
		if _, err := reopen(); err != nil {
			return nil, err
		}
	}
	announce := j.announceRepurchase
	if start.Refresh {
		announce = j.announceRefresh
	}
	if match == (runMatch{}) && !j.demo && j.paged == nil && (start.Refresh || l.ledger.MayRepurchase(start.Queries)) {
		if err := announce(l, start); err != nil {
			return nil, err
		}
		if _, err := reopen(); err != nil {
			return nil, err
		}
	}
	if !j.unfitReported && j.service == pipeline.Signals { // else it was said in the pass before
		j.unfitReported, j.object = true, list.Input().Object
		if inapplicable := inapplicableSignals(start.Queries, j.object, splitWords(c.StringSlice("signals"))); len(inapplicable) > 0 {
			envOf(j.c).Log.Warn(inapplicableText(j.object), "signals", strings.Join(inapplicable, ","))
		}
	}
	sink, err := l.openSink(c.Context, j.lakeURI, start.ID)
	if err != nil {
		return nil, &exitError{exitStorage, err}
	}
	defer sink.Close() //nolint:errcheck // what matters is published or reported before
	if err := l.checkJournalMatches(c.Context, sink); err != nil {
		return nil, runError(err) // nothing is bought for a lake that could not be added to
	}
	fetcher := newFetcher(c.Duration("max-wait"), lockedFetcher{j.client, l.store.lock}, l.ledger, j.limiter, signals.BudgetConfig{Credits: j.budget, Spent: spentBefore(match.resume)})
	run, err := l.ledger.BeginRun(start)
	if err != nil {
		return nil, &exitError{exitStorage, err}
	}

	meter := newMeter(c.App.ErrWriter, envOf(c).Log, c.Bool("quiet"), expectedLines(j.listURI, list.Input().Header != nil))
	runner := &pipeline.Runner{
		Fetcher: fetcher, Sink: sink, RunID: run.ID, Started: run.FirstStarted, Continues: run.Continues,
		Concurrency: c.Int("concurrency"), BatchSize: c.Int("batch-size"), PartitionBy: j.partition, LastBatch: run.LastBatch,
		Ledger: l.ledger, Simulated: run.Simulated, Progress: meter.show, Versions: componentVersions(), Endpoint: j.baseURL, APIChoice: run.APIChoice, Reopen: reopen,
		Input: func() pipeline.Input { return j.manifestInput(list) }, ReadUsage: func() *pipeline.Reconciliation { return j.reconcileAccount(run) },
	}
	runner.Queries, runner.Searches = queriesByObject(run.Queries)
	if run.Refresh {
		runner.Ledger = l.ledger.ForRefresh(run, j.resolvesIDs())
	}
	if match.resume != nil {
		envOf(j.c).Log.Info("going on with a run whose process had ended", "run", run.ID, "calls", len(run.Calls))
		runner.Recorded = l.replayInput(c.Context, run)
	}
	ctx, stopWatch := l.watchLock(c.Context)
	var m *pipeline.Manifest
	if j.paged == nil {
		m, err = runner.Run(ctx, list)
	} else {
		m, err = j.runPages(ctx, runner, l, run)
	}
	stopWatch()
	meter.close()
	if m == nil {
		return nil, runError(err)
	}
	j.reportRun(m)
	if err != nil {
		return nil, runError(err)
	}
	return m, nil
}

// manifestInput is the fingerprint of what was read.
func (j *job) manifestInput(list *sources.List) pipeline.Input {
	if j.service == pipeline.Visits {
		return pipeline.Input{URI: "--domain " + j.paged.subject.Key, SHA256: j.listInput.digest, Records: int64(len(j.paged.accounts))}
	}
	return describeList(list)
}

// openList opens the list at its beginning. Of a list that came by a pipe, the
// one opened before cannot be read on.
func (j *job) openList() (*sources.List, error) {
	if err := j.listInput.rewind(); err != nil {
		return nil, &exitError{exitStorage, err}
	}
	j.listOptions.Stdin, j.listOptions.Objects = j.listInput.stdin, j.listInput.objects
	list, err := sources.Open(j.c.Context, j.listInput.uri, j.listOptions)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return list, nil
}

// spentBefore is what a run that goes on has cost at the most.
func spentBefore(resumed *journal.Run) int64 {
	if resumed == nil {
		return 0
	}
	return resumed.Cost().Max
}

// reportRun says how a run ended: in the log, and in a summary for people.
func (j *job) reportRun(m *pipeline.Manifest) {
	c := j.c
	if c.String("log-format") == "json" {
		envOf(j.c).Log.Info("run finished", "run", m.Run.ID, "outcome", m.Run.Outcome, "lines", m.Accounts.Lines, "calls", m.Calls.Total,
			"events", m.Events.Returned, "credits", m.Credits.Charged, "unknown_charges", m.Credits.UnknownCalls, "credits_beyond_events", m.Credits.Excess, "generation", m.Generation)
	}
	if m.Credits.Excess > 0 {
		envOf(j.c).Log.Warn("more was charged than the returned events explain: ledger/calls names the calls in its notes", "calls", m.Credits.Discrepancies, "credits", m.Credits.Excess)
	}
	if m.Credits.UnknownCalls > 0 {
		envOf(j.c).Log.Warn("answered calls whose charge is unknown: compare the account's usage", "calls", m.Credits.UnknownCalls, "credits_at_most", m.Credits.UnknownCeiling)
	}
	if c.Bool("quiet") {
		if manifestCode(m) != exitComplete {
			envOf(j.c).Log.Warn("run ended "+outcomeText(m.Run.Outcome), "run", m.Run.ID, "rejected", m.Accounts.ByStatus[schema.Rejected],
				"deferred", m.Accounts.ByStatus[schema.Deferred], "held", m.Accounts.ByStatus[schema.InDoubt], "reason", stopReason(m))
		}
		return
	}
	printSummary(c.App.Writer, j.lakeURI, m)
	if j.simBill != nil {
		b := j.simBill()
		fmt.Fprintf(c.App.Writer, "  Simulator's own bill: %s credits, %s of them delivered\n", thousands(b.Credits), thousands(b.Delivered))
	}
	if j.demo {
		fmt.Fprintln(c.App.Writer)
		printTree(c.App.Writer, j.lakeURI, m)
	}
}

func stopReason(m *pipeline.Manifest) string {
	s := m.Run.Stop
	switch {
	case s == nil:
		return ""
	case s.Advice == "":
		return s.Reason
	}
	return s.Reason + "; next: " + s.Advice
}

// soleObject is the one object that all the signals asked for are about; empty
// when they are about both, or when nobody knows.
func soleObject(words []string) (only schema.Object) {
	for _, w := range words {
		found := schema.MatchSignals(w)
		if len(found) == 0 {
			return ""
		}
		for _, s := range found {
			if only != "" && s.Object != only {
				return ""
			}
			only = s.Object
		}
	}
	return only
}

// runError gives the error of a run its exit code: the list's or the disk's.
func runError(err error) error {
	var input *sources.Error
	if errors.As(err, &input) || errors.Is(err, pipeline.ErrTooLong) {
		return &exitError{exitUsage, err}
	}
	return &exitError{storageCode(err), err}
}

// parseBudget reads --max-credits; 0 means no cap.
func parseBudget(c *cli.Context) (int64, error) {
	switch text := c.String("max-credits"); text {
	case "":
		if c.Bool("unattended") {
			return 0, usageErrorf("an unattended run needs a budget: say --max-credits N, or --max-credits unlimited; siglake plan tells what to expect")
		}
		return 0, nil
	case "unlimited":
		return 0, nil
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return 0, usageErrorf("--max-credits %q: expected a number of credits from 1, or unlimited", text)
		}
		return n, nil
	}
}

// newRunStart says what the run is: a new one, or one more session of one that was
// not finished, which asks what it asked before.
func (j *job) newRunStart(match runMatch, before []*journal.Run) (journal.RunStart, error) {
	c, now := j.c, envOf(j.c).Now().UTC()
	j.apiChoice = ""
	b := journal.RunStart{
		Session: 1, Started: now, CommandDigest: j.identity.digest(), Settings: j.identity.settings, Input: j.identity.inputDigest, URI: j.listURI, Endpoint: j.baseURL,
		Budget: j.budget, Partition: j.partition, Simulated: c.Bool("simulate"), Refresh: c.Bool("refresh"), Versions: componentVersions(),
		PositiveTTL: j.positiveTTL, NegativeTTL: j.negativeTTL,
	}
	if match.resume != nil {
		resumed := match.resume
		b.ID, b.Session, b.Queries, b.Continues, b.Refresh, b.UsedCredits, b.Price = resumed.ID, resumed.Session+1, resumed.Queries, resumed.Continues, resumed.Refresh, resumed.UsedCredits, resumed.Price
		b.APIChoice, b.Prices = resumed.APIChoice, resumed.Prices
		j.maxEventPrice = max(b.Price, 1)
		for i := range b.Queries {
			if q := &b.Queries[i]; q.Price == 0 && q.Service == pipeline.Signals {
				q.Price = b.Price // of a run of an earlier version
			}
		}
		return b, nil
	}
	if _, err := j.readUsage(&b); err != nil {
		var refusal *signals.RefusalError
		if errors.As(err, &refusal) && refusal.Class == signals.ClassUnsent {
			return b, askError(c.Context, err)
		}
		if day := j.restorePrices(&b, before); day != "" {
			envOf(j.c).Log.Info("the account's usage is not known: prices are those that it stated on "+day, "error", err)
		} else {
			envOf(j.c).Log.Info("the account's usage is not known: prices are taken as 1 credit an event", "error", err)
		}
	}
	if b.Price == 0 && j.budget > 0 {
		envOf(j.c).Log.Warn("the price of an event is not known: --max-credits rests on 1 credit an event", "max_credits", j.budget)
	}
	switch {
	case match.continues != nil:
		b.Queries, b.Continues, b.Refresh = slices.Clone(match.continues.Queries), match.continues.ID, match.continues.Refresh
		j.priceQueries(b.Queries)
	default:
		var err error
		if b.Queries, err = j.buildQueries(c.Context, now); err != nil {
			return b, err
		}
		b.APIChoice = j.apiChoice
	}
	var err error
	b.ID, err = newRunID(now, rand.Reader)
	return b, err
}

// readUsage asks the free usage endpoint what the account has used and what events
// cost. An account without that endpoint, or one whose few requests to it are
// used up, runs all the same: the error is for a note.
func (j *job) readUsage(b *journal.RunStart) (u *signals.Usage, err error) {
	ctx, cancel := context.WithTimeout(j.c.Context, 3*time.Second)
	defer cancel()
	if u, err = j.client.FetchUsage(ctx); err != nil {
		return nil, err
	}
	j.limiter.UpdateWindows(u.Rate(), [3]time.Time{u.Minute.ResetAt, u.Hour.ResetAt, u.Day.ResetAt})
	if u.Used >= 0 {
		b.UsedCredits = &u.Used
	}
	j.prices, b.Prices = u.Prices, map[string]journal.Price{}
	for action, p := range u.Prices {
		b.Prices[action] = journal.Price(p)
	}
	for _, action := range []string{"showSignalsContact", "showSignalsCompany"} {
		if p, ok := u.Prices[action]; ok {
			b.Price = max(b.Price, p.Credits) // for every started PerQuantity: one event at worst
		}
	}
	j.maxEventPrice = max(b.Price, 1)
	return u, nil
}

// restorePrices takes the prices that the account stated when an earlier run began,
// and gives the day; it is empty when none is known.
func (j *job) restorePrices(b *journal.RunStart, before []*journal.Run) (day string) {
	for _, r := range slices.Backward(before) {
		if len(r.Prices) == 0 {
			continue
		}
		b.Price, b.Prices = r.Price, r.Prices
		j.maxEventPrice, j.prices = max(b.Price, 1), map[string]signals.UnitPrice{}
		for action, p := range r.Prices {
			j.prices[action] = signals.UnitPrice(p)
		}
		return r.FirstStarted.UTC().Format(time.DateOnly)
	}
	return ""
}

// canRepeat reports whether a call is one that the job could make again.
func (j *job) canRepeat(d *journal.Call) bool {
	return d.Query.Service == j.service || d.Query.Service == pipeline.Search && j.service == pipeline.Signals
}

// reconcileAccount reads the account's usage once more, when all was asked. An account that
// does not answer at once is not waited for.
func (j *job) reconcileAccount(r *journal.Run) *pipeline.Reconciliation {
	m := &pipeline.Reconciliation{Before: r.UsedCredits}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.c.Context), 3*time.Second) // what was spent is told after a stop, too
	defer cancel()
	u, err := j.client.TryFetchUsage(ctx)
	if err != nil {
		envOf(j.c).Log.Info("the account's usage after the run is not known: the manifest does not compare the bill with it", "error", err)
		return m
	}
	if u.Used >= 0 {
		m.After = &u.Used
	}
	if u.Remaining >= 0 {
		m.Remaining = &u.Remaining
	}
	return m
}

// reportNothingToDo answers a command that a run has carried out already.
func (l *lake) reportNothingToDo(c *cli.Context, r *journal.Run) error {
	outcome := l.currentOutcome(r)
	code := outcomeCode(outcome)
	if !c.Bool("quiet") {
		fmt.Fprintf(c.App.Writer, "Nothing to do: run %s asked all of this on %s (%s, generation %d).\n",
			r.ID, r.FirstStarted.Format("2006-01-02 15:04 UTC"), outcomeText(outcome), r.Published.Generation)
		if writtenOff := l.ledger.WrittenOffCalls(r); len(writtenOff) > 0 {
			fmt.Fprintf(c.App.Writer, "%s taken as paid and lost, 0 to %s credits: their lines are not asked again in this window.\n", countText(len(writtenOff), "call"), thousands(l.ledger.MaxCost(writtenOff...)))
		}
		advice := "Tomorrow's window is asked tomorrow; --refresh buys it again today."
		if services[r.Settings[serviceSetting]] == pipeline.Lookalikes {
			advice = "A higher --limit goes on behind what it returned; --refresh begins anew and buys it again."
		}
		if inDoubt := l.ledger.UndecidedCalls(r); len(inDoubt) > 0 {
			retry, writtenOff := "about those lines only", "gives them up for today"
			if services[r.Settings[serviceSetting]].IsPaged() {
				retry, writtenOff = "for that page, and for those behind it", "gives it up, and lets this command go on behind it"
			}
			advice = fmt.Sprintf("%s in doubt: siglake held list --lake %s shows what may have been charged;\n"+
				"siglake held retry lets this command ask again %s, siglake held accept-loss %s.", countText(len(inDoubt), "call"), l.uri, retry, writtenOff)
		}
		fmt.Fprintln(c.App.Writer, advice)
	}
	if code == exitComplete {
		return nil
	}
	return &exitError{code: code}
}

// currentOutcome is how a published run's outcome stands after what was decided
// since about the calls that it left in doubt. Nothing else of it changes: who
// asks it has no lines left to ask about.
func (l *lake) currentOutcome(r *journal.Run) pipeline.RunOutcome {
	switch {
	case r.Published.Outcome != pipeline.RunInDoubt || len(l.ledger.UndecidedCalls(r)) > 0:
		return r.Published.Outcome
	case r.Published.Rejected > 0:
		return pipeline.RunWithRejects
	}
	return pipeline.RunComplete
}

// openAPI gives the address and key of the API, or of an embedded simulator
// whose bill can be asked for.
func openAPI(c *cli.Context) (baseURL, key string, bill func() simulatorBill, closeAPI func(), err error) {
	if !c.Bool("simulate") {
		key, err = apiKey(c)
		return c.String("base-url"), key, nil, func() {}, err
	}
	sim, err := newSimulator(c)
	if err != nil {
		return "", "", nil, nil, err
	}
	url, stop, err := serveLocal(c.Context, sim)
	if err != nil {
		return "", "", nil, nil, err
	}
	return url, "simulated-key", sim.Bill, stop, nil
}

func listOptions(c *cli.Context) (sources.Options, error) {
	o := sources.Options{Stdin: c.App.Reader, Map: map[string]string{}}
	s3, err := bucketConfig(c)
	if err != nil {
		return o, err
	}
	o.Bucket = func(ctx context.Context, uri string) (*bucket.Bucket, error) { return bucket.Open(ctx, uri, s3) }
	for _, m := range splitWords(c.StringSlice("map")) {
		field, column, found := strings.Cut(m, "=")
		if !found || column == "" {
			return o, usageErrorf("--map %q: expected FIELD=COLUMN, for example domain=Website", m)
		}
		if other, twice := o.Map[strings.TrimSpace(field)]; twice {
			return o, usageErrorf("--map names %s twice: %s and %s", field, other, column)
		}
		o.Map[strings.TrimSpace(field)] = strings.TrimSpace(column)
	}
	switch object := c.String("object"); object {
	case "auto":
	case "contact", "company":
		o.Object = schema.Object(object)
	default:
		return o, usageErrorf("--object %q: expected contact, company or auto", object)
	}
	switch header := c.String("header"); header {
	case "auto":
		o.Header = sources.HeaderAuto
	case "yes":
		o.Header = sources.HeaderYes
	case "no":
		o.Header = sources.HeaderNo
	default:
		return o, usageErrorf("--header %q: expected yes, no or auto", header)
	}
	switch d := []rune(c.String("delimiter")); {
	case string(d) == "auto":
	case string(d) == "none":
		o.Delimiter = '\n' // a line is one cell
	case string(d) == "tab" || string(d) == `\t`:
		o.Delimiter = '\t'
	case len(d) == 1:
		o.Delimiter = d[0]
	default:
		return o, usageErrorf("--delimiter %q: expected one character, tab, none or auto", string(d))
	}
	if e := strings.ToLower(c.String("encoding")); e != "auto" {
		o.Encoding = e
	}
	return o, nil
}

// setLogger gives the command a logger that writes to standard error.
func setLogger(c *cli.Context) error {
	level := slog.LevelInfo
	if c.Bool("quiet") {
		level = slog.LevelWarn
	}
	options := &slog.HandlerOptions{Level: level}
	var h slog.Handler
	switch f := c.String("log-format"); f {
	case "text":
		h = slog.NewTextHandler(c.App.ErrWriter, options)
	case "json":
		h = slog.NewJSONHandler(c.App.ErrWriter, options)
	default:
		return usageErrorf("--log-format %q: expected text or json", f)
	}
	envOf(c).Log = slog.New(h)
	return nil
}

func checkRange(c *cli.Context, flag string, low, high int) error {
	if n := c.Int(flag); n < low || n > high {
		return usageErrorf("--%s %d: expected %d to %d", flag, n, low, high)
	}
	return nil
}

// expectedLines counts the lines of a plain local file but for its header, for
// the progress bar; 0 when it cannot be known cheaply.
func expectedLines(uri string, header bool) int64 {
	name := strings.TrimPrefix(uri, "file://")
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return 0 // a pipe that is opened twice gives its lines to the wrong reader
	}
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close() //nolint:errcheck // it was only read
	var lines int64
	open := false // the last line has no end so far
	buf := make([]byte, 1<<16)
	for {
		n, err := f.Read(buf)
		if lines == 0 && n > 4 && (bytes.HasPrefix(buf, []byte{0x1f, 0x8b}) || bytes.HasPrefix(buf, []byte{0x28, 0xb5, 0x2f, 0xfd})) {
			return 0 // compressed
		}
		lines += int64(bytes.Count(buf[:n], []byte{'\n'}))
		if n > 0 {
			open = !bytes.HasSuffix(buf[:n], []byte{'\n'})
		}
		if err == io.EOF {
			if open {
				lines++
			}
			if header {
				lines--
			}
			return lines
		}
		if err != nil {
			return 0
		}
	}
}

func joinFlags(groups ...[]cli.Flag) []cli.Flag {
	var all []cli.Flag
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}
