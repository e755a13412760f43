package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
	"github.com/siglake/siglake/sources"
)

// Job is one run: its options, and what they and the API mean for it.
type Job struct {
	RunOptions
	env  *Env
	conn connection

	OpenAPI  func(context.Context) (Endpoint, error)
	NewMeter func(total int64, now *pipeline.Activity) Meter // shows the progress of a run
	Report   func(*pipeline.Manifest)                        // reports how a run ended
	// Confirm asks the user whether to buy. Nil: there is nothing to ask.
	Confirm func(context.Context, Question) (bool, error)

	// Parsed options.
	spec        pipeline.RunSpec // as far as options and list decide it
	listOptions sources.Options
	inDoubt     inDoubtPolicy
	caps        []periodCap

	allowedRejects rejectAllowance

	listInput     *listInput
	object        schema.Object // of the lines of the list
	paged         *pagedQuery   // of a service that is asked page by page
	readingLogged bool          // how the list is read is logged
	unfitReported bool          // signals that do not fit the list are reported
	mixedReported bool          // that the lake has two kinds of partitions is reported
	damage        error         // what a pass noticed of the lake's earlier files
	built         *builtQueries // by this pass; nil: none yet
	allowance     *allowance    // what the caps leave to this pass; nil: there are none
	v2Ended       string        // how V2 refused this command's calls and its list of signals; empty: it did not
	usage         *usageReading // made to compare the clocks; nil: none since the last run
}

// NewJob prepares a job for run or plan.
func NewJob(env *Env, o RunOptions) *Job { return &Job{RunOptions: o, env: env} }

// ErrNoLake refuses a command that needs a lake.
var ErrNoLake = UsageErrorf("name the lake with --lake DIR or --lake s3://bucket/prefix")

// Run executes the job. The manifest is nil when there was nothing to do.
func (j *Job) Run(ctx context.Context) (*pipeline.Manifest, *NothingToDo, error) {
	if j.Lake == "" {
		return nil, nil, ErrNoLake
	}
	if err := j.parseOptions(); err != nil {
		return nil, nil, err
	}
	if err := j.readList(ctx); err != nil {
		return nil, nil, err
	}
	defer j.listInput.close() //nolint:errcheck // a copy of the list in a temporary directory
	var err error
	if j.conn, err = connectAPI(ctx, j.env, j.API, j.OpenAPI); err != nil {
		return nil, nil, err
	}
	defer j.conn.disconnect()
	if err := j.confirm(ctx); err != nil {
		return nil, nil, err
	}
	m, nothing, err := j.runOnce(ctx)
	if err == nil && m != nil && ctx.Err() == nil && j.leavesV2(ctx, m) && j.reduceBudget(m) {
		j.env.Log.Warn("API V2 has ended: requesting the rest in V3", "answer", j.v2Ended)
		m, nothing, err = j.runOnce(ctx)
	}
	// The policy may allow to ask again at once what this pass left in doubt.
	if err == nil && m != nil && m.HasInDoubt() && j.Money.InDoubt != inDoubtHold && ctx.Err() == nil && j.reduceBudget(m) {
		m, nothing, err = j.runOnce(ctx)
	}
	// What a pass left, because answers about all signal types of an entity were cut, is requested by
	// the next one. Every pass requests some of it; a refresh would begin anew.
	for err == nil && m != nil && m.Run.Stop == nil && m.Accounts.PartlyRequested > 0 && m.Calls.Total > 0 && !j.Money.Refresh && ctx.Err() == nil && j.reduceBudget(m) {
		m, nothing, err = j.runOnce(ctx)
	}
	if err == nil {
		err = j.damage
	}
	return m, nothing, err
}

// CheckOptions finds options that are wrong by themselves, and opens nothing. What may be right by the
// time of the run is warned about.
func CheckOptions(env *Env, o RunOptions) error {
	if o.Lake == "" {
		return ErrNoLake
	}
	j := NewJob(env, o)
	err := j.parseOptions()
	switch {
	case err != nil:
	case o.Command == ResumeName: // it takes the settings of its run
	case o.Service.IsPaged():
		err = o.Pages.check(o.Service)
	case o.Service == pipeline.Signals:
		err = o.Query.check()
	}
	if err == nil {
		j.warnOfAbsent()
	}
	return err
}

// warnOfAbsent warns about signals that this version does not know, which may be new at the vendor, and
// about lists that are not there, which may be written every night.
func (j *Job) warnOfAbsent() {
	for _, word := range SplitWords(j.Query.Signals) {
		if len(schema.MatchSignals(word)) == 0 {
			j.warnJob(fmt.Sprintf("--signals: %q is no signal type or category that this version knows%s", word, SuggestSignal(word)))
		}
	}
	for _, list := range []string{j.List, j.Pages.Exclude} {
		if list == "" || list == "-" || strings.HasPrefix(list, "s3://") {
			continue
		}
		if _, err := os.Stat(list); errors.Is(err, fs.ErrNotExist) {
			j.warnJob("there is no list " + list + " at present")
		}
	}
}

// readList fingerprints the list and identifies the run.
func (j *Job) readList(ctx context.Context) (err error) {
	if j.Service == pipeline.Visits {
		j.listOptions.Stdin, j.listOptions.Header, j.listOptions.Object = strings.NewReader(strings.Join(j.Pages.siteNames(), "\n")), sources.HeaderNo, schema.Company
	}
	if j.listInput, err = openListInput(ctx, j.List, j.listOptions); err != nil {
		return err
	}
	if err := j.drawSample(ctx); err != nil {
		return errors.Join(err, j.listInput.close())
	}
	j.spec.Input = j.listInput.digest
	j.identify()
	if j.Service.IsPaged() {
		j.paged, err = newPagedQuery(ctx, &j.RunOptions, j.listInput, j.env.Now())
	}
	if err != nil {
		return errors.Join(err, j.listInput.close())
	}
	return nil
}

// identify sets the settings of the run and its digest. In a lake that partitions its events by day they
// change when it is opened.
func (j *Job) identify() {
	o := j.RunOptions
	o.Work.PartitionBy = defaultPartition
	if o.Service == pipeline.Signals {
		o.Work.PartitionBy = partitionWord(j.spec.PartitionKey())
	}
	j.spec.Settings = Settings(&o)
	j.spec.CommandDigest = commandDigest(j.spec.Settings, j.spec.Input)
}

// parseOptions reads the options that can be wrong by themselves.
func (j *Job) parseOptions() (err error) {
	if err := j.Work.check(); err != nil {
		return err
	}
	if err := j.chooseSince(); err != nil {
		return err
	}
	if err := j.checkWindow(); err != nil {
		return err
	}
	j.spec = pipeline.RunSpec{Partition: schema.ByMonth, Job: j.Money.Job, URI: j.List, Simulated: j.isSimulated(), Refresh: j.Money.Refresh, Versions: ComponentVersions(j.env.Build)}
	if j.listOptions, err = j.Source.parse(j.Store.S3, j.env.Stdin); err != nil {
		return err
	}
	if j.listOptions.Object == "" && j.Service == pipeline.Signals {
		j.listOptions.Object = soleObject(SplitWords(j.Query.Signals))
	}
	if j.allowedRejects, err = parseRejectAllowance(j.Source.AllowRejected); err != nil {
		return err
	}
	if j.spec.Budget, err = j.Money.budget(); err != nil {
		return err
	}
	if j.caps, err = j.Money.periodCaps(); err != nil {
		return err
	}
	switch api := j.Query.APIVersion; api {
	case "", APIAuto, APIV2, APIV3:
	default:
		return UsageErrorf("--api %q: expected v2, v3 or auto", api)
	}
	if j.spec.PositiveTTL, j.spec.NegativeTTL, err = j.TTL.parse(); err != nil {
		return err
	}
	j.inDoubt, err = j.Money.inDoubtPolicy()
	if j.inDoubt.settlingTime = cmp.Or(j.env.UsageSettles, usageSettles); j.isSimulated() {
		j.inDoubt.settlingTime = 0 // the simulator books at once
	}
	return err
}

// reduceBudget takes what a pass cost at the most off the budget, which is one for
// all passes of a command; false when nothing is left of it.
func (j *Job) reduceBudget(m *pipeline.Manifest) bool {
	if a := j.allowance; a != nil && m.Credits.Cost().Max >= a.credits {
		return false
	}
	if j.spec.Budget == 0 { // none was set
		return true
	}
	j.spec.Budget -= m.Credits.Cost().Max
	return j.spec.Budget > 0
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
	j.logReading(list)
	l, err := openOrCreateLake(ctx, j.env, j.Store, j.Lake, "siglake "+j.Command)
	if err != nil {
		return nil, nil, err
	}
	defer l.close() //nolint:errcheck // what matters is durable before
	match, nothing, err := j.match(ctx, l, list)
	if nothing != nil || err != nil {
		return nil, nothing, err
	}
	j.allowance = j.findAllowance(l.ledger)
	if err := j.allowance.check(); err != nil {
		return nil, nil, err
	}
	if err := list.FindClashes(ctx); err != nil {
		return nil, nil, err
	}
	spec, err := j.completeSpec(ctx, match, l, list)
	if err != nil {
		return nil, nil, err
	}
	if err := j.announce(ctx, l, match, spec); err != nil {
		return nil, nil, err
	}
	sink, err := l.openSink(ctx, j.Lake, spec.ID)
	if err != nil {
		return nil, nil, &Error{KindStorage, err}
	}
	defer sink.Close() //nolint:errcheck // what matters is published or reported before
	recorder, err := l.beginRun(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	recorder.AllowsRejects = func(m *pipeline.Manifest) bool { return j.allowedRejects.allows(FaultyLines(m), m.Accounts.Lines) }
	m, err := j.ask(ctx, l, recorder, match, sink, lines)
	if m == nil {
		return nil, nil, runError(err)
	}
	j.Report(m)
	if err == nil {
		var after *int64
		if m.Reconciliation != nil {
			after = m.Reconciliation.After
		}
		err = j.inDoubt.confirm(ctx, l, j.conn.client, after)
	}
	if err != nil {
		return nil, nil, runError(err)
	}
	j.damage = errors.Join(j.damage, j.findMissing(ctx, sink, m))
	return m, nil, nil
}

// findMissing notices files that earlier runs published into the partitions of this one and that
// are not there any more. What the run bought is published nevertheless.
func (j *Job) findMissing(ctx context.Context, sink *sinks.Lake, m *pipeline.Manifest) error {
	missing, err := sink.MissingNeighbours(ctx, m)
	switch {
	case len(missing) > 0:
		return &Error{KindIntegrity, fmt.Errorf("generation %d is published, but %s that earlier runs published in its partitions are missing or damaged: %s; siglake verify lists all, and siglake rebuild --lake %s --into DIR writes them again at no cost",
			m.Generation, format.Count(len(missing), "file"), format.List(missing, 3), j.Lake)}
	case err != nil && ctx.Err() == nil: // nothing is known to be missing, and the run has done its work
		j.env.Log.Warn("siglake could not look for missing files of earlier runs", "error", err)
	}
	return nil
}

// match finds the runs of the lake that the command is about, or that there is
// nothing to do.
func (j *Job) match(ctx context.Context, l *lake, list *sources.List) (match runMatch, nothing *NothingToDo, err error) {
	if err := j.checkLake(ctx, l); err != nil {
		return match, nil, err
	}
	if err := j.rereadInDoubt(ctx, l); err != nil {
		return match, nil, err
	}
	if err := j.readClock(ctx, l); err != nil {
		return match, nil, err
	}
	if err := j.decideInDoubt(ctx, l, list); err != nil {
		return match, nil, err
	}
	if match, err = l.matchRun(ctx, &j.spec, j.matchRules()); err != nil {
		return match, nil, err
	}
	match = j.dropV2(match)
	unfinishedID := ""
	if match.resume != nil {
		unfinishedID = match.resume.ID
	}
	if err := sinks.SweepScratch(j.Lake, j.Store.S3.endpointOf(j.env, j.Lake), j.Store.Scratch, unfinishedID); err != nil {
		return match, nil, &Error{KindStorage, err}
	}
	if j.paged != nil && !j.Money.Refresh && match.resume == nil && match.continues == nil {
		if nothing, err := j.paged.alreadySatisfied(ctx, l); nothing != nil || err != nil {
			return match, nothing, err
		}
	}
	if match.done != nil {
		nothing = newNothingToDo(l, match.done)
		return match, nothing, j.countShared(ctx, nothing)
	}
	if j.ResumeRunID != "" && !match.resumesRun(j.ResumeRunID) {
		return match, nil, l.resumeError(j.ResumeRunID, &j.spec)
	}
	j.ResumeRunID = "" // what is in doubt afterwards belongs to another run
	return match, nil, nil
}

// builtQueries are the queries of a run that begins, not priced yet.
type builtQueries struct {
	queries   []pipeline.Query
	apiChoice string
}

// buildOnce builds the queries of a pass once: what the API offers is asked, and reported, once.
func (j *Job) buildOnce(ctx context.Context, list *sources.List) (*builtQueries, error) {
	if j.built != nil {
		return j.built, nil
	}
	queries, choice, err := j.buildQueries(ctx, j.apiNow(), list, func(text string) { j.env.Log.Info(text) })
	if err != nil {
		return nil, err
	}
	j.built = &builtQueries{queries, choice}
	return j.built, nil
}

// ask asks about the list and publishes the answers. The manifest is nil when
// nothing could be published.
func (j *Job) ask(ctx context.Context, l *lake, recorder *ledger.Recorder, match runMatch, sink *sinks.Lake, list *reading) (m *pipeline.Manifest, err error) {
	run := recorder.Run()
	answers := NewAnswerSizes(j.env, l.ledger)
	budget := j.budgetConfig(match.resume)
	fetcher := NewFetcher(retryConfig(j.env, j.API), lockedFetcher{j.conn.client, l.store.lock}, recorder, j.conn.limiter, answers, budget)
	activity := new(pipeline.Activity)
	meter := j.NewMeter(j.listInput.expectedLines(list.List), activity)
	defer meter.Close()
	runner := &pipeline.Runner{
		Fetcher: fetcher, Sink: sink, Spec: run.Spec(), Concurrency: j.Work.Concurrency, BatchSize: j.Work.BatchSize, LastBatch: run.LastBatch, Now: j.env.clientClock(),
		MaxEntities: answers.maxEntities(), ExitCode: ManifestExit,
		Purchases: purchasesFor(run, l.ledger, ttlOf(&j.spec), j.resolvesIDs()), Ledger: recorder, Progress: meter.Show, Activity: activity,
		Reopen: func() (pipeline.Source, error) { return list, list.reopen(ctx) },
		Input:  func() pipeline.Input { return j.manifestInput(list.List) }, ReadUsage: func() *pipeline.Reconciliation { return j.conn.reconcile(ctx, run.UsedCredits, j.env.Log) },
	}
	runner.Queries, runner.Searches = queriesByObject(run.Queries)
	if err := j.setSchedule(ctx, l, runner, run.Queries); err != nil {
		return nil, err
	}
	if match.resume != nil {
		j.env.Log.Info("resuming run", "run", run.ID, "calls", run.CallCount())
		runner.Recorded = l.replayInput(ctx, run)
	}
	watched, stopWatch := l.watchLock(ctx)
	defer stopWatch()
	if j.paged == nil {
		return runner.Run(watched, list)
	}
	return j.runPages(watched, runner, l, run, answers, budget.Credits)
}

// purchasesFor are the purchases that count for a run; nil stands for one that has not begun.
func purchasesFor(run *ledger.Run, l *ledger.Ledger, ttl ledger.TTL, refreshIDs bool) *ledger.Purchases {
	all := l.Purchases(run, ttl)
	if run != nil && run.Refresh {
		return all.ForRefresh(run, refreshIDs)
	}
	return all
}

// ttlOf is how long search results are valid for a run.
func ttlOf(spec *pipeline.RunSpec) ledger.TTL {
	return ledger.TTL{Positive: spec.PositiveTTL, Negative: spec.NegativeTTL}
}

// announce warns, before anything is bought, about repeated purchases and about
// signals that no line of the list can be asked about.
func (j *Job) announce(ctx context.Context, l *lake, match runMatch, spec pipeline.RunSpec) error {
	// A run that continues another one repeats other purchases than that one did: those of what
	// was held then, and of what was bought since. A resumed run has announced its own.
	if match.resume == nil && !j.Demo && j.paged == nil && !j.isNightly() {
		err := error(nil)
		if spec.Refresh {
			err = announcer{j}.announceRefresh(ctx, l, match.continues, spec)
		} else {
			err = announcer{j}.announceRepurchase(ctx, l, spec)
		}
		if err != nil {
			return err
		}
	}
	if match == (runMatch{}) && j.paged != nil && spec.Refresh {
		if err := (announcer{j}).announcePagesInDoubt(ctx, l); err != nil {
			return err
		}
	}
	if j.unfitReported || j.Service != pipeline.Signals { // the pass before reported it
		return nil
	}
	j.unfitReported = true
	if inapplicable := inapplicableSignals(spec.Queries, j.object, SplitWords(j.Query.Signals)); len(inapplicable) > 0 {
		j.env.Log.Warn(inapplicableText(j.object), "signals", strings.Join(inapplicable, ","))
	}
	return nil
}

// manifestInput is the fingerprint of what was read.
func (j *Job) manifestInput(list *sources.List) pipeline.Input {
	if j.Service == pipeline.Visits {
		return pipeline.Input{URI: "--domain " + j.paged.subject.Key, SHA256: j.listInput.digest, Records: int64(len(j.paged.accounts))}
	}
	input := describeList(list)
	input.Total = j.listInput.expectedLines(list)
	if input.SHA256 == "" { // it was not read to its end
		input.SHA256 = j.listInput.digest
	}
	return input
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
	if o.Unattended && o.MaxCredits+o.MaxPerDay+o.MaxPerMonth+o.MaxLakePerDay+o.MaxLakePerMonth == "" {
		return 0, UsageErrorf("an unattended run needs a budget: add --max-credits N, or --max-credits unlimited; siglake plan forecasts the cost")
	}
	return parseCap("max-credits", o.MaxCredits)
}

// completeSpec completes the spec of the job with what only the lake and the API know.
// The run is a new one, or another session of an unfinished one.
func (j *Job) completeSpec(ctx context.Context, match runMatch, l *lake, list *sources.List) (pipeline.RunSpec, error) {
	now := j.env.Now().UTC()
	spec := j.spec
	spec.Session, spec.Started, spec.Endpoint, spec.ListRecords = 1, now, j.conn.baseURL, j.listInput.expectedLines(list)
	if match.resume != nil {
		continueSpec(&spec, match.resume)
		return spec, nil
	}
	if err := j.readUsage(ctx, &spec, l.ledger.Runs()); err != nil {
		return spec, err
	}
	if spec.Price == 0 && spec.Budget > 0 {
		j.env.Log.Warn("the price of an event is unknown: --max-credits assumes 1 credit per event", "max_credits", spec.Budget)
	}
	var err error
	if left := match.continues; left != nil {
		spec.Queries, spec.Continues, spec.Refresh = slices.Clone(left.Queries), left.ID, left.Refresh
	} else {
		built, err := j.buildOnce(ctx, list)
		if err != nil {
			return spec, err
		}
		spec.Queries, spec.APIChoice = slices.Clone(built.queries), built.apiChoice
	}
	if err := j.conn.checkClock(j.Money.ClockSkewOK, j.env.Log); err != nil {
		return spec, err
	}
	priceQueries(spec.Queries, spec.Tariff)
	if err := j.noteLateness(ctx, l, &spec); err != nil {
		return spec, err
	}
	spec.ID, err = newRunID(now, rand.Reader)
	return spec, err
}

// continueSpec turns a spec into that of a run's next session, which requests the same
// under the same terms.
func continueSpec(spec *pipeline.RunSpec, r *ledger.Run) {
	spec.ID, spec.Session, spec.Continues, spec.Refresh = r.ID, r.Session+1, r.Continues, r.Refresh
	spec.Job = cmp.Or(r.Job, spec.Job) // what it cost before stays with its job
	spec.Lateness = r.Lateness
	spec.Queries, spec.APIChoice, spec.Tariff, spec.UsedCredits = r.Queries, r.APIChoice, r.Tariff, r.UsedCredits
	for i := range spec.Queries {
		if q := &spec.Queries[i]; q.Price == 0 && q.Service() == pipeline.Signals {
			q.Price = spec.Price // of a run of an earlier version
		}
	}
}

// readUsage adds the account's usage and tariff to the spec. A run does not depend on
// the account's answer: without one, the prices of an earlier run count.
func (j *Job) readUsage(ctx context.Context, spec *pipeline.RunSpec, before []*ledger.Run) error {
	u, err := j.inDoubt.usage, error(nil)
	switch before := j.usage; {
	case u != nil:
	case before != nil:
		u, err = before.found, before.err
	default:
		u, err = j.conn.readUsage(ctx)
	}
	j.inDoubt.usage, j.usage = nil, nil
	switch {
	case err == nil:
		spec.Tariff = newTariff(u)
		if u.Used >= 0 {
			spec.UsedCredits = &u.Used
		}
		return nil
	case isUnsent(err):
		return askError(ctx, err)
	}
	var day string
	if spec.Tariff, day = earlierTariff(before); day != "" {
		j.env.Log.Info("the account's usage is not available: using its prices of "+day, "error", err)
	} else {
		j.env.Log.Info("the account's usage is not available: assuming 1 credit per event", "error", err)
	}
	return nil
}

// canRepeat reports whether a call is one that the job could make again.
func (j *Job) canRepeat(d *ledger.Call) bool {
	return d.Query.Service() == j.Service || d.Query.Service() == pipeline.Search && j.Service == pipeline.Signals
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
	Faulty     int64 // lines; see FaultyLines
	Lines      int64 // of the run; 0: not known without its manifest
	SinceLast  bool  // it asks for what the lake does not have

	Subject   string // of the pages
	Results   int64
	Limit     int64
	Exhausted bool // there are no more results
}

// newNothingToDo describes a command that a run has carried out already.
func newNothingToDo(l *lake, r *ledger.Run) *NothingToDo {
	writtenOff := l.ledger.Blockers(r).WrittenOff()
	var lines int64
	if r.Published.Totals != nil {
		lines = r.Published.Totals.Lines
	}
	return &NothingToDo{
		Lake: l.uri, RunID: r.ID, Begun: r.FirstStarted, Outcome: currentOutcome(l.ledger, r), Generation: r.Published.Generation, Service: services[r.Settings[serviceSetting]],
		WrittenOff: len(writtenOff), MaxLoss: l.ledger.Bill().MaxCost(writtenOff...), InDoubt: len(l.ledger.Blockers(r).Undecided()),
		Faulty: r.Published.Rejected, Lines: lines,
		SinceLast: r.Settings["since"] == sinceLast,
	}
}

// currentOutcome is how a published run's outcome stands after what was decided
// since about the calls that it left in doubt. Nothing else of it changes: who
// asks it has no lines left to ask about.
func currentOutcome(l *ledger.Ledger, r *ledger.Run) pipeline.RunOutcome {
	switch {
	case r.Published.Outcome != pipeline.RunInDoubt || len(l.Blockers(r).Undecided()) > 0:
		return r.Published.Outcome
	case r.Published.Rejected > 0:
		return pipeline.RunWithRejects
	}
	return pipeline.RunComplete
}

// parse reads the options. stdin is what the list "-" stands for.
func (l *ListOptions) parse(s3 S3Options, stdin io.Reader) (sources.Options, error) {
	o := sources.Options{Stdin: stdin, Map: map[string]string{}, Keep: SplitWords(l.Keep), DidYouMean: DidYouMean, Sheet: l.Sheet, StrictFiles: l.StrictFiles}
	store, err := s3.Config()
	if err != nil {
		return o, err
	}
	o.Bucket = func(ctx context.Context, uri string) (*bucket.Bucket, error) { return bucket.Open(ctx, uri, store) }
	if l.Sample < 0 {
		return o, UsageErrorf("--sample %d: expected a number of lines", l.Sample)
	}
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
	case string(d) == `\x01`: // Hive's
		o.Delimiter = '\x01'
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
