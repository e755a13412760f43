package app

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
	"github.com/siglake/siglake/sources"
)

// Job is one run: its options, and what they and the API mean for it.
type Job struct {
	RunOptions
	connection
	env *Env

	OpenAPI  func(context.Context) (Endpoint, error)
	NewMeter func(total int64) Meter  // shows the progress of a run
	Report   func(*pipeline.Manifest) // reports how a run ended
	addNote  func(string)             // adds a note for the user; nil: it is logged

	// Parsed options.
	partition                string
	listOptions              sources.Options
	budget                   int64 // credits; 0: no cap
	inDoubt                  inDoubtPolicy
	positiveTTL, negativeTTL time.Duration

	listInput     *listInput
	identity      Identity
	object        schema.Object // of the lines of the list
	paged         *pagedQuery   // of a service that is asked page by page
	unfitReported bool          // signals that do not fit the list are reported
	apiChoice     string        // API version, and why

	prices        map[string]lusha.UnitPrice // by action, as the account states them
	maxEventPrice int64                      // most credits of one event
}

// NewJob prepares a job for run or plan.
func NewJob(env *Env, o RunOptions) *Job { return &Job{RunOptions: o, env: env, maxEventPrice: 1} }

// Run executes the job. The manifest is nil when there was nothing to do.
func (j *Job) Run(ctx context.Context) (*pipeline.Manifest, *NothingToDo, error) {
	if j.Lake == "" {
		return nil, nil, UsageErrorf("say where to write with --lake DIR or --lake s3://bucket/prefix")
	}
	if err := j.parseOptions(); err != nil {
		return nil, nil, err
	}
	if err := j.readList(ctx); err != nil {
		return nil, nil, err
	}
	defer j.listInput.close() //nolint:errcheck // a copy of the list in a temporary directory
	var err error
	if j.connection, err = connectAPI(ctx, j.env, j.API, j.OpenAPI); err != nil {
		return nil, nil, err
	}
	defer j.disconnect()
	m, nothing, err := j.runOnce(ctx)
	// The policy may allow to ask again at once what this pass left in doubt.
	if err == nil && m != nil && m.HasInDoubt() && j.Money.InDoubt != inDoubtHold && ctx.Err() == nil && j.reduceBudget(m) {
		m, nothing, err = j.runOnce(ctx)
	}
	return m, nothing, err
}

// readList fingerprints the list and identifies the run.
func (j *Job) readList(ctx context.Context) (err error) {
	if j.Service == pipeline.Visits {
		j.listOptions.Stdin, j.listOptions.Header, j.listOptions.Object = strings.NewReader(strings.Join(j.siteNames(), "\n")), sources.HeaderNo, schema.Company
	}
	if j.listInput, err = openListInput(ctx, j.List, j.listOptions); err != nil {
		return err
	}
	j.identity = NewIdentity(&j.RunOptions, j.listInput.digest)
	if j.Service.IsPaged() {
		j.paged, err = j.newPagedQuery(ctx)
	}
	if err != nil {
		return errors.Join(err, j.listInput.close())
	}
	return nil
}

// parseOptions reads the options that can be wrong by themselves.
func (j *Job) parseOptions() (err error) {
	if err := j.Work.check(); err != nil {
		return err
	}
	if j.partition, err = j.Work.partition(); err != nil {
		return err
	}
	if j.listOptions, err = j.Source.parse(j.Store.S3, j.env.Stdin); err != nil {
		return err
	}
	if j.listOptions.Object == "" && j.Service == pipeline.Signals {
		j.listOptions.Object = soleObject(SplitWords(j.Query.Signals))
	}
	if j.budget, err = j.Money.budget(); err != nil {
		return err
	}
	switch api := j.Query.APIVersion; api {
	case "", APIAuto, APIV2, APIV3:
	default:
		return UsageErrorf("--api %q: expected v2, v3 or auto", api)
	}
	if j.positiveTTL, j.negativeTTL, err = j.TTL.parse(); err != nil {
		return err
	}
	j.inDoubt, err = j.Money.inDoubtPolicy()
	return err
}

// reduceBudget takes what a pass cost at the most off the budget, which is one for
// all passes of a command; false when nothing is left of it.
func (j *Job) reduceBudget(m *pipeline.Manifest) bool {
	if j.budget == 0 { // none was set
		return true
	}
	j.budget -= m.Credits.Cost().Max
	return j.budget > 0
}

// runOnce makes one run, or continues one. The manifest is nil when there was
// nothing to do.
func (j *Job) runOnce(ctx context.Context) (*pipeline.Manifest, *NothingToDo, error) {
	list, err := j.listInput.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	lines := &reading{j.listInput, list}
	defer lines.close()
	j.object = list.Input().Object
	l, err := openLake(ctx, j.env, j.Store, j.Lake, "siglake "+j.Command)
	if err != nil {
		return nil, nil, err
	}
	defer l.close() //nolint:errcheck // what matters is durable before
	match, nothing, err := j.match(ctx, l)
	if nothing != nil || err != nil {
		return nil, nothing, err
	}
	start, err := j.newRunStart(ctx, match, l.ledger.Runs(), list)
	if err != nil {
		return nil, nil, err
	}
	if err := j.announce(ctx, l, match, start); err != nil {
		return nil, nil, err
	}
	sink, err := l.openSink(ctx, j.Lake, start.ID)
	if err != nil {
		return nil, nil, &Error{KindStorage, err}
	}
	defer sink.Close() //nolint:errcheck // what matters is published or reported before
	if err := l.checkJournalMatches(ctx, sink); err != nil {
		return nil, nil, runError(err) // nothing is bought for a lake that could not be added to
	}
	run, err := l.ledger.BeginRun(start)
	if err != nil {
		return nil, nil, &Error{KindStorage, err}
	}
	m, err := j.ask(ctx, l, run, match, sink, lines)
	if m == nil {
		return nil, nil, runError(err)
	}
	j.Report(m)
	if err != nil {
		return nil, nil, runError(err)
	}
	return m, nil, nil
}

// match finds the runs of the lake that the command is about, or that there is
// nothing to do.
func (j *Job) match(ctx context.Context, l *lake) (match runMatch, nothing *NothingToDo, err error) {
	if err := l.checkSimulated(j.API.Simulate); err != nil {
		return match, nil, err
	}
	l.ledger.SetTTL(j.positiveTTL, j.negativeTTL)
	if err := l.applyInDoubtPolicy(ctx, j.inDoubt, j.client, j.canRepeat); err != nil {
		return match, nil, err
	}
	if match, err = l.matchRun(ctx, j.identity, j.Money.NewRun, j.Command == ResumeName); err != nil {
		return match, nil, err
	}
	unfinishedID := ""
	if match.resume != nil {
		unfinishedID = match.resume.ID
	}
	if err := sinks.SweepScratch(j.Lake, j.Store.Scratch, unfinishedID); err != nil {
		return match, nil, &Error{KindStorage, err}
	}
	if nothing, err := j.alreadySatisfied(ctx, l, match); nothing != nil || err != nil {
		return match, nothing, err
	}
	if match.done != nil {
		return match, l.newNothingToDo(match.done), nil
	}
	if j.ResumeRunID != "" && !match.resumesRun(j.ResumeRunID) {
		return match, nil, l.resumeError(j.ResumeRunID, j.identity)
	}
	j.ResumeRunID = "" // what is in doubt afterwards belongs to another run
	return match, nil, nil
}

// ask asks about the list and publishes the answers. The manifest is nil when
// nothing could be published.
func (j *Job) ask(ctx context.Context, l *lake, run *ledger.Run, match runMatch, sink *sinks.Lake, list *reading) (m *pipeline.Manifest, err error) {
	fetcher := NewFetcher(j.API.MaxWait, lockedFetcher{j.client, l.store.lock}, l.ledger, j.limiter, policy.BudgetConfig{Credits: j.budget, Spent: spentBefore(match.resume)})
	meter := j.NewMeter(j.listInput.expectedLines(list.List))
	defer meter.Close()
	runner := &pipeline.Runner{
		Fetcher: fetcher, Sink: sink, RunID: run.ID, Started: run.FirstStarted, Continues: run.Continues,
		Concurrency: j.Work.Concurrency, BatchSize: j.Work.BatchSize, PartitionBy: j.partition, LastBatch: run.LastBatch,
		Ledger: l.ledger, Simulated: run.Simulated, Progress: meter.Show, Versions: ComponentVersions(j.env.Build), Endpoint: j.baseURL, APIChoice: run.APIChoice,
		Reopen: func() (pipeline.Source, error) { return list, list.reopen(ctx) },
		Input:  func() pipeline.Input { return j.manifestInput(list.List) }, ReadUsage: func() *pipeline.Reconciliation { return j.reconcileAccount(ctx, run) },
	}
	runner.Queries, runner.Searches = queriesByObject(run.Queries)
	if run.Refresh {
		runner.Ledger = l.ledger.ForRefresh(run, j.resolvesIDs())
	}
	if match.resume != nil {
		j.env.Log.Info("going on with a run whose process had ended", "run", run.ID, "calls", len(run.Calls))
		runner.Recorded = l.replayInput(ctx, run)
	}
	watched, stopWatch := l.watchLock(ctx)
	defer stopWatch()
	if j.paged == nil {
		return runner.Run(watched, list)
	}
	return j.runPages(watched, runner, l, run)
}

// announce warns, before anything is bought, about repeated purchases and about
// signals that no line of the list can be asked about.
func (j *Job) announce(ctx context.Context, l *lake, match runMatch, start ledger.RunStart) error {
	if match == (runMatch{}) && !j.Demo && j.paged == nil && (start.Refresh || l.ledger.MayRepurchase(start.Queries)) {
		announce := j.announceRepurchase
		if start.Refresh {
			announce = j.announceRefresh
		}
		if err := announce(ctx, l, start); err != nil {
			return err
		}
	}
	if j.unfitReported || j.Service != pipeline.Signals { // the pass before reported it
		return nil
	}
	j.unfitReported = true
	if inapplicable := inapplicableSignals(start.Queries, j.object, SplitWords(j.Query.Signals)); len(inapplicable) > 0 {
		j.env.Log.Warn(inapplicableText(j.object), "signals", strings.Join(inapplicable, ","))
	}
	return nil
}

// manifestInput is the fingerprint of what was read.
func (j *Job) manifestInput(list *sources.List) pipeline.Input {
	if j.Service == pipeline.Visits {
		return pipeline.Input{URI: "--domain " + j.paged.subject.Key, SHA256: j.listInput.digest, Records: int64(len(j.paged.accounts))}
	}
	return describeList(list)
}

// spentBefore is the most that a continued run has cost.
func spentBefore(resumed *ledger.Run) int64 {
	if resumed == nil {
		return 0
	}
	return resumed.Cost().Max
}

// soleObject is the one object that all the signals asked for are about; empty
// when they are about both, or when it is not known.
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

// runError gives the error of a run its kind: the list's or the disk's.
func runError(err error) error {
	var input *sources.Error
	if errors.As(err, &input) || errors.Is(err, pipeline.ErrTooLong) {
		return &Error{KindUsage, err}
	}
	return lakeError(err)
}

// budget is --max-credits; 0 means no cap.
func (o *MoneyOptions) budget() (int64, error) {
	switch text := o.MaxCredits; text {
	case "":
		if o.Unattended {
			return 0, UsageErrorf("an unattended run needs a budget: say --max-credits N, or --max-credits unlimited; siglake plan tells what to expect")
		}
		return 0, nil
	case "unlimited":
		return 0, nil
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return 0, UsageErrorf("--max-credits %q: expected a number of credits from 1, or unlimited", text)
		}
		return n, nil
	}
}

// newRunStart says what the run is: a new one, or one more session of one that was
// not finished, which asks what it asked before.
func (j *Job) newRunStart(ctx context.Context, match runMatch, before []*ledger.Run, list *sources.List) (ledger.RunStart, error) {
	now := j.env.Now().UTC()
	j.apiChoice = ""
	b := ledger.RunStart{
		Session: 1, Started: now, CommandDigest: j.identity.digest(), Settings: j.identity.Settings, Input: j.identity.inputDigest, URI: j.List, Endpoint: j.baseURL,
		Budget: j.budget, Partition: j.partition, Simulated: j.API.Simulate, Refresh: j.Money.Refresh, Versions: ComponentVersions(j.env.Build),
		PositiveTTL: j.positiveTTL, NegativeTTL: j.negativeTTL,
	}
	if match.resume != nil {
		resumed := match.resume
		b.ID, b.Session, b.Queries, b.Continues, b.Refresh, b.UsedCredits, b.Price = resumed.ID, resumed.Session+1, resumed.Queries, resumed.Continues, resumed.Refresh, resumed.UsedCredits, resumed.Price
		b.APIChoice, b.Prices = resumed.APIChoice, resumed.Prices
		j.maxEventPrice = max(b.Price, 1)
		for i := range b.Queries {
			if q := &b.Queries[i]; q.Price == 0 && q.Service() == pipeline.Signals {
				q.Price = b.Price // of a run of an earlier version
			}
		}
		return b, nil
	}
	if _, err := j.readUsage(ctx, &b); err != nil {
		var refusal *lusha.RefusalError
		if errors.As(err, &refusal) && refusal.Class == lusha.ClassUnsent {
			return b, askError(ctx, err)
		}
		if day := j.restorePrices(&b, before); day != "" {
			j.env.Log.Info("the account's usage is not known: prices are those that it stated on "+day, "error", err)
		} else {
			j.env.Log.Info("the account's usage is not known: prices are taken as 1 credit an event", "error", err)
		}
	}
	if b.Price == 0 && j.budget > 0 {
		j.env.Log.Warn("the price of an event is not known: --max-credits rests on 1 credit an event", "max_credits", j.budget)
	}
	switch {
	case match.continues != nil:
		b.Queries, b.Continues, b.Refresh = slices.Clone(match.continues.Queries), match.continues.ID, match.continues.Refresh
		j.priceQueries(b.Queries)
	default:
		var err error
		if b.Queries, err = j.buildQueries(ctx, now, list); err != nil {
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
// used up, runs nevertheless: the error is for a note.
func (j *Job) readUsage(ctx context.Context, b *ledger.RunStart) (u *lusha.Usage, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if u, err = j.client.FetchUsage(ctx); err != nil {
		return nil, err
	}
	j.limiter.UpdateWindows(u.Rate(), [3]time.Time{u.Minute.ResetAt, u.Hour.ResetAt, u.Day.ResetAt})
	if u.Used >= 0 {
		b.UsedCredits = &u.Used
	}
	j.prices, b.Prices = u.Prices, map[string]ledger.Price{}
	for action, p := range u.Prices {
		b.Prices[action] = ledger.Price(p)
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
func (j *Job) restorePrices(b *ledger.RunStart, before []*ledger.Run) (day string) {
	for _, r := range slices.Backward(before) {
		if len(r.Prices) == 0 {
			continue
		}
		b.Price, b.Prices = r.Price, r.Prices
		j.maxEventPrice, j.prices = max(b.Price, 1), map[string]lusha.UnitPrice{}
		for action, p := range r.Prices {
			j.prices[action] = lusha.UnitPrice(p)
		}
		return r.FirstStarted.UTC().Format(time.DateOnly)
	}
	return ""
}

// canRepeat reports whether a call is one that the job could make again.
func (j *Job) canRepeat(d *ledger.Call) bool {
	return d.Query.Service() == j.Service || d.Query.Service() == pipeline.Search && j.Service == pipeline.Signals
}

// reconcileAccount reads the account's usage once more, when all was asked. An account that
// does not answer at once is not waited for.
func (j *Job) reconcileAccount(ctx context.Context, r *ledger.Run) *pipeline.Reconciliation {
	m := &pipeline.Reconciliation{Before: r.UsedCredits}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second) // the bill is compared after a stop, too
	defer cancel()
	u, err := j.client.TryFetchUsage(ctx)
	if err != nil {
		j.env.Log.Info("the account's usage after the run is not known: the manifest does not compare the bill with it", "error", err)
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

// NothingToDo says why a command has nothing to ask: a run asked all of it, or
// earlier runs returned the pages that it wants.
type NothingToDo struct {
	Lake       string
	RunID      string // empty: it is about pages
	Begun      time.Time
	Outcome    pipeline.RunOutcome // after what was decided since
	Generation int64
	Service    pipeline.Service
	WrittenOff int   // calls that were taken as paid and lost
	MaxLoss    int64 // credits that they may have cost
	InDoubt    int   // calls that nothing was decided about

	Subject   string // of the pages
	Results   int64
	Limit     int64
	Exhausted bool // there are no more results
}

// newNothingToDo describes a command that a run has carried out already.
func (l *lake) newNothingToDo(r *ledger.Run) *NothingToDo {
	writtenOff := l.ledger.WrittenOffCalls(r)
	return &NothingToDo{
		Lake: l.uri, RunID: r.ID, Begun: r.FirstStarted, Outcome: l.currentOutcome(r), Generation: r.Published.Generation, Service: services[r.Settings[serviceSetting]],
		WrittenOff: len(writtenOff), MaxLoss: l.ledger.MaxCost(writtenOff...), InDoubt: len(l.ledger.UndecidedCalls(r)),
	}
}

// currentOutcome is how a published run's outcome stands after what was decided
// since about the calls that it left in doubt. Nothing else of it changes: who
// asks it has no lines left to ask about.
func (l *lake) currentOutcome(r *ledger.Run) pipeline.RunOutcome {
	switch {
	case r.Published.Outcome != pipeline.RunInDoubt || len(l.ledger.UndecidedCalls(r)) > 0:
		return r.Published.Outcome
	case r.Published.Rejected > 0:
		return pipeline.RunWithRejects
	}
	return pipeline.RunComplete
}

// parse reads the options. stdin is what the list "-" stands for.
func (l *ListOptions) parse(s3 S3Options, stdin io.Reader) (sources.Options, error) {
	o := sources.Options{Stdin: stdin, Map: map[string]string{}}
	store, err := s3.Config()
	if err != nil {
		return o, err
	}
	o.Bucket = func(ctx context.Context, uri string) (*bucket.Bucket, error) { return bucket.Open(ctx, uri, store) }
	for _, m := range SplitWords(l.Map) {
		field, column, found := strings.Cut(m, "=")
		if !found || column == "" {
			return o, UsageErrorf("--map %q: expected FIELD=COLUMN, for example domain=Website", m)
		}
		if other, twice := o.Map[strings.TrimSpace(field)]; twice {
			return o, UsageErrorf("--map names %s twice: %s and %s", field, other, column)
		}
		o.Map[strings.TrimSpace(field)] = strings.TrimSpace(column)
	}
	switch object := l.Object; object {
	case "auto":
	case "contact", "company":
		o.Object = schema.Object(object)
	default:
		return o, UsageErrorf("--object %q: expected contact, company or auto", object)
	}
	switch header := l.Header; header {
	case "auto":
		o.Header = sources.HeaderAuto
	case "yes":
		o.Header = sources.HeaderYes
	case "no":
		o.Header = sources.HeaderNo
	default:
		return o, UsageErrorf("--header %q: expected yes, no or auto", header)
	}
	switch d := []rune(l.Delimiter); {
	case string(d) == "auto":
	case string(d) == "none":
		o.Delimiter = '\n' // a line is one cell
	case string(d) == "tab" || string(d) == `\t`:
		o.Delimiter = '\t'
	case len(d) == 1:
		o.Delimiter = d[0]
	default:
		return o, UsageErrorf("--delimiter %q: expected one character, tab, none or auto", string(d))
	}
	if e := strings.ToLower(l.Encoding); e != "auto" {
		o.Encoding = e
	}
	return o, nil
}

// Meter shows how far a run has come: a bar on a terminal, else a log line
// every interval, else nothing. Show is the runner's Progress.
type Meter struct {
	Show  func(pipeline.Progress)
	Close func()
}
