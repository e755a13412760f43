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
				return usagef("run takes one list, got %d arguments; see siglake run --help", c.NArg())
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
		queryFlags(), dialectFlags(), moneyFlags(), lifeFlags(), listFlags(), apiFlags(), workFlags(), storeFlags(), simulatorFlags(), outputFlags(),
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
	c         *cli.Context
	lake, uri string
	partition string
	options   sources.Options
	budget    int64         // credits; 0 for none
	object    schema.Object // of the list's lines
	judged    bool          // whether the signals fit it was said
	in        *input
	cmd       command

	service pipeline.Service
	paged   *paged // of a service that is asked page by page
	note    func(string)

	walked bool   // the list was opened once more meanwhile
	choice string // which dialect was chosen, and why

	hits, misses time.Duration // how long ids count that were bought

	client   *signals.Client
	governor *quota.Governor
	key      string
	prices   map[string]signals.UnitPrice // by action, as the account states them
	price    int64                        // most credits of one event
	baseURL  string
	bill     func() simulatorBill // of an embedded simulator, else nil
	tour     bool
	resumes  string // run that must be gone on with; empty: any, or a new one
}

// runList runs the main job on a list with the flags of c. tour adds what a
// newcomer wants to see: the tree and the simulator's own bill.
func runList(c *cli.Context, uri string, tour bool) error {
	if err := setLog(c); err != nil {
		return err
	}
	return (&job{c: c, lake: c.String("lake"), uri: uri, price: 1, tour: tour}).run()
}

// run carries the job out.
func (j *job) run() error {
	c, uri := j.c, j.uri
	if err := setLog(c); err != nil {
		return err
	}
	if j.lake == "" {
		return usagef("say where to write with --lake DIR or --lake s3://bucket/prefix")
	}
	if err := j.check(); err != nil {
		return err
	}
	var err error
	if j.service == pipeline.Visits {
		j.options.Stdin, j.options.Header, j.options.Object = strings.NewReader(strings.Join(sites(c), "\n")), sources.HeaderNo, schema.Company
	}
	if j.in, err = openInput(c.Context, uri, j.options); err != nil {
		return err
	}
	defer j.in.close() //nolint:errcheck // a copy of the list in a temporary directory
	if j.cmd, err = j.command(); err != nil {
		return err
	}

	disconnect, err := j.connect()
	if err != nil {
		return err
	}
	defer disconnect()
	m, err := j.pass()
	// What was left in doubt just now is asked again at once, if that was allowed.
	if err == nil && m != nil && m.Doubtful() && c.String("in-doubt") != inDoubtHold && c.Context.Err() == nil && j.afford(m) {
		m, err = j.pass()
	}
	if err != nil || m == nil {
		return err
	}
	if code := manifestCode(m); code != exitComplete {
		return &exitError{code: code}
	}
	return nil
}

// afford takes what a pass cost at the most off the budget, which is one for
// all passes of a command; false when nothing is left of it.
func (j *job) afford(m *pipeline.Manifest) bool {
	if j.budget == 0 { // none was set
		return true
	}
	j.budget -= m.Credits.Charged + m.Credits.UnknownCeiling + m.Credits.AmbiguousCeiling
	return j.budget > 0
}

// connect opens the API, and the counts of calls to it.
func (j *job) connect() (disconnect func(), err error) {
	c := j.c
	var closeAPI func()
	if j.baseURL, j.key, j.bill, closeAPI, err = openAPI(c); err != nil {
		return nil, err
	}
	if j.client, err = newClient(c, j.baseURL, j.key); err != nil {
		closeAPI()
		return nil, usagef("%v", err)
	}
	if j.governor, err = newGovernor(c, j.baseURL, j.key); err != nil {
		closeAPI()
		return nil, err
	}
	j.client.CountFree(j.governor.Counted)
	return func() {
		_ = j.governor.Close() // its counts are kept call by call
		closeAPI()
	}, nil
}

// check reads the flags that can be wrong by themselves.
func (j *job) check() (err error) {
	c := j.c
	if err := errors.Join(checkRange(c, "concurrency", 1, 64), checkRange(c, "batch-size", 1, pipeline.MaxBatch)); err != nil {
		return err
	}
	var ok bool
	if j.partition, ok = map[string]string{"month": "event_month", "day": "event_day"}[c.String("partition-by")]; !ok {
		return usagef("--partition-by %q: expected month or day", c.String("partition-by"))
	}
	if j.options, err = listOptions(c); err != nil {
		return err
	}
	if j.options.Object == "" && j.service == pipeline.Signals {
		j.options.Object = onlyObject(splitWords(c.StringSlice("signals")))
	}
	if j.budget, err = budgetOf(c); err != nil {
		return err
	}
	switch api := c.String("api"); api {
	case "", apiAuto, apiV2, apiV3:
	default:
		return usagef("--api %q: expected v2, v3 or auto", api)
	}
	if j.hits, j.misses, err = lives(c); err != nil {
		return err
	}
	if !c.Bool("simulate") {
		for _, f := range simulatorFlags() {
			if name := f.Names()[0]; c.IsSet(name) {
				return usagef("--%s is about the simulator; add --simulate, or leave it out", name)
			}
		}
	}
	return checkDoubtFlags(c)
}

// pass makes one run, or goes on with one. The manifest is nil when there was
// nothing to do.
func (j *job) pass() (*pipeline.Manifest, error) {
	c := j.c
	list, err := j.openList()
	if err != nil {
		return nil, err
	}
	defer func() { _ = list.Close() }() // it was only read
	again := func() (pipeline.Source, error) {
		_ = list.Close() // what was read ahead of it is gone
		opened, err := j.openList()
		if err != nil {
			return nil, err
		}
		list = opened
		return list, nil
	}
	s, err := openState(c, j.lake, "siglake "+c.Command.Name)
	if err != nil {
		return nil, err
	}
	defer s.close() //nolint:errcheck // what matters is durable before
	if err := s.sameWorld(c); err != nil {
		return nil, err
	}
	s.journal.SetLife(j.hits, j.misses)
	if err := s.settleDoubts(c, j.client, j.asksLike); err != nil {
		return nil, err
	}
	known, err := s.decide(c.Context, c, j.cmd)
	if err != nil {
		return nil, err
	}
	unfinished := ""
	if known.resume != nil {
		unfinished = known.resume.ID
	}
	if err := sinks.Sweep(j.lake, c.String("scratch"), unfinished); err != nil {
		return nil, &exitError{exitStorage, err}
	}
	if text, err := j.hadEnough(s, known); text != "" || err != nil {
		if err == nil && !c.Bool("quiet") {
			fmt.Fprintln(c.App.Writer, text)
		}
		return nil, err
	}
	if known.done != nil {
		return nil, s.nothingToDo(c, known.done)
	}
	if j.resumes != "" && !known.isAbout(j.resumes) {
		return nil, s.cannotResume(j.resumes, j.cmd)
	}
	j.resumes = "" // what was left in doubt meanwhile is another run's
	begin, err := j.begin(known, s.journal.Runs())
	if err != nil {
		return nil, err
	}
	if j.walked { // a list that came by a pipe has one place at which it is read
		if _, err := again(); err != nil {
			return nil, err
		}
	}
	state := j.stateAgain
	if begin.Refresh {
		state = j.stateRefresh
	}
	if known == (decision{}) && !j.tour && j.paged == nil && (begin.Refresh || s.journal.Overlaps(begin.Queries)) {
		if err := state(s, begin); err != nil {
			return nil, err
		}
		if _, err := again(); err != nil {
			return nil, err
		}
	}
	if !j.judged && j.service == pipeline.Signals { // else it was said in the pass before
		j.judged, j.object = true, list.Input().Object
		if left := unfit(begin.Queries, j.object, splitWords(c.StringSlice("signals"))); len(left) > 0 {
			slog.Warn(unfitText(j.object), "signals", strings.Join(left, ","))
		}
	}
	sink, err := s.sink(c.Context, j.lake, begin.ID)
	if err != nil {
		return nil, &exitError{exitStorage, err}
	}
	defer sink.Close() //nolint:errcheck // what matters is published or reported before
	if err := s.mustKnow(c.Context, sink); err != nil {
		return nil, runError(err) // nothing is bought for a lake that could not be added to
	}
	fetcher := newFetcher(c.Duration("max-wait"), whileHeld{j.client, s.vault.lock}, s.journal, j.governor, signals.BudgetConfig{Credits: j.budget, Spent: spent(known.resume)})
	run, err := s.journal.Begin(begin)
	if err != nil {
		return nil, &exitError{exitStorage, err}
	}

	show := newMeter(c.App.ErrWriter, c.Bool("quiet"), expectedLines(j.uri, list.Input().Header != nil))
	runner := &pipeline.Runner{
		Fetcher: fetcher, Sink: sink, RunID: run.ID, Started: run.First, Continues: run.Continues,
		Concurrency: c.Int("concurrency"), BatchSize: c.Int("batch-size"), PartitionBy: j.partition, Batches: run.Batches,
		Journal: s.journal, Simulated: run.Simulated, Progress: show.show, Versions: versions(), Endpoint: j.baseURL, Choice: run.Choice, Again: again,
		Input: func() pipeline.Input { return j.input(list) }, Usage: func() *pipeline.AccountMoves { return j.moves(run) },
	}
	runner.Queries, runner.Searches = asks(run.Queries)
	if run.Refresh {
		runner.Journal = s.journal.Refreshed(run, j.onlyIDs())
	}
	if known.resume != nil {
		slog.Info("going on with a run whose process had ended", "run", run.ID, "calls", len(run.Calls))
		runner.Past = s.past(c.Context, run)
	}
	ctx, release := s.guard(c.Context)
	var m *pipeline.Manifest
	if j.paged == nil {
		m, err = runner.Run(ctx, list)
	} else {
		m, err = j.runPages(ctx, runner, s, run)
	}
	release()
	show.close()
	if m == nil {
		return nil, runError(err)
	}
	j.report(m)
	if err != nil {
		return nil, runError(err)
	}
	return m, nil
}

// input is the fingerprint of what was read.
func (j *job) input(list *sources.List) pipeline.Input {
	if j.service == pipeline.Visits {
		return pipeline.Input{URI: "--domain " + j.paged.about.Key, SHA256: j.in.digest, Records: int64(len(j.paged.lines))}
	}
	return describe(list)
}

// openList opens the list at its beginning. Of a list that came by a pipe, the
// one opened before cannot be read on.
func (j *job) openList() (*sources.List, error) {
	if err := j.in.rewind(); err != nil {
		return nil, &exitError{exitStorage, err}
	}
	j.options.Stdin, j.options.Objects = j.in.stdin, j.in.objects
	list, err := sources.Open(j.c.Context, j.in.uri, j.options)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return list, nil
}

// spent is what a run that goes on has cost at the most.
func spent(resumed *journal.Run) int64 {
	if resumed == nil {
		return 0
	}
	return resumed.Spent()
}

// report says how a run ended: in the log, and in a summary for people.
func (j *job) report(m *pipeline.Manifest) {
	c := j.c
	if c.String("log-format") == "json" {
		slog.Info("run finished", "run", m.Run.ID, "outcome", m.Run.Outcome, "lines", m.Accounts.Lines, "calls", m.Calls.Total,
			"events", m.Events.Returned, "credits", m.Credits.Charged, "unknown_charges", m.Credits.UnknownCalls, "credits_beyond_events", m.Credits.Beyond, "generation", m.Generation)
	}
	if m.Credits.Beyond > 0 {
		slog.Warn("more was charged than the returned events explain: ledger/calls names the calls in its notes", "calls", m.Credits.OddCalls, "credits", m.Credits.Beyond)
	}
	if m.Credits.UnknownCalls > 0 {
		slog.Warn("answered calls whose charge is unknown: compare the account's usage", "calls", m.Credits.UnknownCalls, "credits_at_most", m.Credits.UnknownCeiling)
	}
	if c.Bool("quiet") {
		if manifestCode(m) != exitComplete {
			slog.Warn("run ended "+outcomeText(m.Run.Outcome), "run", m.Run.ID, "rejected", m.Accounts.ByStatus[schema.Rejected],
				"deferred", m.Accounts.ByStatus[schema.Deferred], "held", m.Accounts.ByStatus[schema.Held], "reason", stopReason(m))
		}
		return
	}
	printSummary(c.App.Writer, j.lake, m)
	if j.bill != nil {
		b := j.bill()
		fmt.Fprintf(c.App.Writer, "  Simulator's own bill: %s credits, %s of them delivered\n", thousands(b.Credits), thousands(b.Delivered))
	}
	if j.tour {
		fmt.Fprintln(c.App.Writer)
		printTree(c.App.Writer, j.lake, m)
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

// onlyObject is the one object that all the signals asked for are about; empty
// when they are about both, or when nobody knows.
func onlyObject(words []string) (only schema.Object) {
	for _, w := range words {
		found := schema.Matching(w)
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

// budgetOf reads --max-credits; 0 means no cap.
func budgetOf(c *cli.Context) (int64, error) {
	switch text := c.String("max-credits"); text {
	case "":
		if c.Bool("unattended") {
			return 0, usagef("an unattended run needs a budget: say --max-credits N, or --max-credits unlimited; siglake plan tells what to expect")
		}
		return 0, nil
	case "unlimited":
		return 0, nil
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return 0, usagef("--max-credits %q: expected a number of credits from 1, or unlimited", text)
		}
		return n, nil
	}
}

// begin says what the run is: a new one, or one more session of one that was
// not finished, which asks what it asked before.
func (j *job) begin(known decision, before []*journal.Run) (journal.Begin, error) {
	c, now := j.c, today().UTC()
	j.choice = ""
	b := journal.Begin{
		Session: 1, Started: now, Command: j.cmd.digest(), Settings: j.cmd.settings, Input: j.cmd.input, URI: j.uri, Endpoint: j.baseURL,
		Budget: j.budget, Partition: j.partition, Simulated: c.Bool("simulate"), Refresh: c.Bool("refresh"), Versions: versions(),
		Hits: j.hits, Misses: j.misses,
	}
	if known.resume != nil {
		old := known.resume
		b.ID, b.Session, b.Queries, b.Continues, b.Refresh, b.Used, b.Price = old.ID, old.Session+1, old.Queries, old.Continues, old.Refresh, old.Used, old.Price
		b.Choice, b.Prices = old.Choice, old.Prices
		j.price = max(b.Price, 1)
		for i := range b.Queries {
			if q := &b.Queries[i]; q.Price == 0 && q.Service == pipeline.Signals {
				q.Price = b.Price // of a run of an earlier version
			}
		}
		return b, nil
	}
	if _, err := j.usage(&b); err != nil {
		var refusal *signals.RefusalError
		if errors.As(err, &refusal) && refusal.Class == signals.ClassUnsent {
			return b, askError(c.Context, err)
		}
		if day := j.remember(&b, before); day != "" {
			slog.Info("the account's usage is not known: prices are those that it stated on "+day, "error", err)
		} else {
			slog.Info("the account's usage is not known: prices are taken as 1 credit an event", "error", err)
		}
	}
	if b.Price == 0 && j.budget > 0 {
		slog.Warn("the price of an event is not known: --max-credits rests on 1 credit an event", "max_credits", j.budget)
	}
	switch {
	case known.continues != nil:
		b.Queries, b.Continues, b.Refresh = slices.Clone(known.continues.Queries), known.continues.ID, known.continues.Refresh
		j.quote(b.Queries)
	default:
		var err error
		if b.Queries, err = j.questions(c.Context, now); err != nil {
			return b, err
		}
		b.Choice = j.choice
	}
	var err error
	b.ID, err = newRunID(now, rand.Reader)
	return b, err
}

// usage asks the free usage endpoint what the account has used and what events
// cost. An account without that endpoint, or one whose few requests to it are
// used up, runs all the same: the error is for a note.
func (j *job) usage(b *journal.Begin) (u *signals.Usage, err error) {
	ctx, cancel := context.WithTimeout(j.c.Context, 3*time.Second)
	defer cancel()
	if u, err = j.client.Usage(ctx); err != nil {
		return nil, err
	}
	j.governor.Learn(u.Rate(), [3]time.Time{u.Minute.Resets, u.Hour.Resets, u.Day.Resets})
	if u.Used >= 0 {
		b.Used = &u.Used
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
	j.price = max(b.Price, 1)
	return u, nil
}

// remember takes the prices that the account stated when an earlier run began,
// and gives the day; it is empty when none is known.
func (j *job) remember(b *journal.Begin, before []*journal.Run) (day string) {
	for _, r := range slices.Backward(before) {
		if len(r.Prices) == 0 {
			continue
		}
		b.Price, b.Prices = r.Price, r.Prices
		j.price, j.prices = max(b.Price, 1), map[string]signals.UnitPrice{}
		for action, p := range r.Prices {
			j.prices[action] = signals.UnitPrice(p)
		}
		return r.First.UTC().Format(time.DateOnly)
	}
	return ""
}

// asksLike reports whether a call is one that the job could make again.
func (j *job) asksLike(d *journal.Call) bool {
	return d.Query.Service == j.service || d.Query.Service == pipeline.Search && j.service == pipeline.Signals
}

// moves reads the account's usage once more, when all was asked. An account that
// does not answer at once is not waited for.
func (j *job) moves(r *journal.Run) *pipeline.AccountMoves {
	m := &pipeline.AccountMoves{Before: r.Used}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.c.Context), 3*time.Second) // what was spent is told after a stop, too
	defer cancel()
	u, err := j.client.UsageNow(ctx)
	if err != nil {
		slog.Info("the account's usage after the run is not known: the manifest does not compare the bill with it", "error", err)
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

// nothingToDo answers a command that a run has carried out already.
func (s *state) nothingToDo(c *cli.Context, r *journal.Run) error {
	outcome := s.outcomeNow(r)
	code := outcomeCode(outcome)
	if !c.Bool("quiet") {
		fmt.Fprintf(c.App.Writer, "Nothing to do: run %s asked all of this on %s (%s, generation %d).\n",
			r.ID, r.First.Format("2006-01-02 15:04 UTC"), outcomeText(outcome), r.Done.Generation)
		if lost := s.journal.Accepted(r); len(lost) > 0 {
			fmt.Fprintf(c.App.Writer, "%s taken as paid and lost, 0 to %s credits: their lines are not asked again in this window.\n", counted(len(lost), "call"), thousands(s.journal.Most(lost...)))
		}
		next := "Tomorrow's window is asked tomorrow; --refresh buys it again today."
		if services[r.Settings[serviceSetting]] == pipeline.Lookalikes {
			next = "A higher --limit goes on behind what it returned; --refresh begins anew and buys it again."
		}
		if waits := s.journal.Waits(r); len(waits) > 0 {
			again, lost := "about those lines only", "gives them up for today"
			if services[r.Settings[serviceSetting]].Paged() {
				again, lost = "for that page, and for those behind it", "gives it up, and lets this command go on behind it"
			}
			next = fmt.Sprintf("%s in doubt: siglake held list --lake %s shows what may have been charged;\n"+
				"siglake held retry lets this command ask again %s, siglake held accept-loss %s.", counted(len(waits), "call"), s.lake, again, lost)
		}
		fmt.Fprintln(c.App.Writer, next)
	}
	if code == exitComplete {
		return nil
	}
	return &exitError{code: code}
}

// outcomeNow is how a published run's outcome stands after what was decided
// since about the calls that it left in doubt. Nothing else of it changes: who
// asks it has no lines left to ask about.
func (s *state) outcomeNow(r *journal.Run) pipeline.Outcomes {
	switch {
	case r.Done.Outcome != pipeline.InDoubt || len(s.journal.Waits(r)) > 0:
		return r.Done.Outcome
	case r.Done.Rejected > 0:
		return pipeline.WithRejects
	}
	return pipeline.Complete
}

// openAPI gives the address and key of the API, or of an embedded simulator
// whose bill can be asked for.
func openAPI(c *cli.Context) (baseURL, key string, bill func() simulatorBill, done func(), err error) {
	if !c.Bool("simulate") {
		key, err = apiKey(c)
		return c.String("base-url"), key, nil, func() {}, err
	}
	sim, err := newSimulator(c)
	if err != nil {
		return "", "", nil, nil, err
	}
	url, stop, err := serve(c.Context, sim)
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
			return o, usagef("--map %q: expected FIELD=COLUMN, for example domain=Website", m)
		}
		if other, twice := o.Map[strings.TrimSpace(field)]; twice {
			return o, usagef("--map names %s twice: %s and %s", field, other, column)
		}
		o.Map[strings.TrimSpace(field)] = strings.TrimSpace(column)
	}
	switch object := c.String("object"); object {
	case "auto":
	case "contact", "company":
		o.Object = schema.Object(object)
	default:
		return o, usagef("--object %q: expected contact, company or auto", object)
	}
	switch header := c.String("header"); header {
	case "auto":
		o.Header = sources.HeaderAuto
	case "yes":
		o.Header = sources.HeaderYes
	case "no":
		o.Header = sources.HeaderNo
	default:
		return o, usagef("--header %q: expected yes, no or auto", header)
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
		return o, usagef("--delimiter %q: expected one character, tab, none or auto", string(d))
	}
	if e := strings.ToLower(c.String("encoding")); e != "auto" {
		o.Encoding = e
	}
	return o, nil
}

// setLog points the program's log lines at standard error.
func setLog(c *cli.Context) error {
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
		return usagef("--log-format %q: expected text or json", f)
	}
	slog.SetDefault(slog.New(h))
	return nil
}

func checkRange(c *cli.Context, flag string, low, high int) error {
	if n := c.Int(flag); n < low || n > high {
		return usagef("--%s %d: expected %d to %d", flag, n, low, high)
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
