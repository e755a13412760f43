package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/nights"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// session is one pass of a job over its list: it begins a run, or makes another session of an unfinished
// one. The lake is locked meanwhile.
type session struct {
	job   *Job
	lake  *lake
	list  *reading
	match runMatch      // with earlier runs; set by matchRuns
	built *builtQueries // nil: none yet

	schedule *nights.Schedule     // nil: the run is no night
	webhooks *subscriptions.State // of the lake, with gaps that the schedule of a nightly run fills
	// Of a nightly run of a lake with webhooks: what is subscribed to, and how many new events were delivered since the
	// nightly run before. Nil otherwise.
	subscribed func(object schema.Object, entityID, signalType string) bool
	delivered  *int64
}

// run makes one run, or continues one.
func (s *session) run(ctx context.Context) (*pipeline.Manifest, *NothingToDo, error) {
	j, l := s.job, s.lake
	if nothing, err := s.matchRuns(ctx); nothing != nil || err != nil {
		return nil, nothing, err
	}
	j.allowance = findAllowance(j.caps, j.env.Now(), l.ledger)
	if err := j.allowance.check(); err != nil {
		return nil, nil, err
	}
	if err := s.list.FindClashes(ctx); err != nil {
		return nil, nil, err
	}
	spec, err := s.completeSpec(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := s.announce(ctx, spec); err != nil {
		return nil, nil, err
	}
	if err := s.countDeliveries(ctx); err != nil {
		return nil, nil, runError(err)
	}
	o := l.options
	o.RunID, o.SchemaVersion, o.CountNew = spec.ID, schema.Version, s.subscribed
	sink, err := sinks.Open(ctx, j.Lake, o)
	if err != nil {
		return nil, nil, &Error{KindStorage, err}
	}
	defer sink.Close() //nolint:errcheck // what matters is published or reported before
	recorder, err := l.beginRun(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	recorder.AllowsRejects = func(m *pipeline.Manifest) bool { return j.allowedRejects.allows(FaultyLines(m), m.Accounts.Lines) }
	recorder.NarrowedBy = s.narrowedBy
	m, err := s.ask(ctx, recorder, sink)
	if m == nil {
		return nil, nil, runError(err)
	}
	j.undecided = s.undecidedCalls(recorder.Run())
	j.Report(m)
	if err == nil {
		s.closeGaps(ctx, m)
		var after *int64
		if m.Reconciliation != nil {
			after = m.Reconciliation.After
		}
		err = j.inDoubt.confirm(ctx, l, j.conn.client, after)
	}
	if err != nil {
		return nil, nil, runError(err)
	}
	j.damage = errors.Join(j.damage, findMissing(ctx, j.env, j.Lake, sink, m))
	return m, nil, nil
}

// matchRuns finds the runs of the lake that the command is about, or that there is
// nothing to do.
func (s *session) matchRuns(ctx context.Context) (nothing *NothingToDo, err error) {
	j, l := s.job, s.lake
	if err := j.checkLake(ctx, l); err != nil {
		return nil, err
	}
	if err := s.publishInbox(ctx); err != nil {
		return nil, err
	}
	if s.webhooks = new(subscriptions.State); j.isNightly() {
		s.webhooks = l.webhooks(ctx, j.Store)
	}
	if err := s.refuseOptedOutSeeds(ctx); err != nil {
		return nil, err
	}
	if err := s.rereadInDoubt(ctx); err != nil {
		return nil, err
	}
	if err := s.readClock(ctx); err != nil {
		return nil, err
	}
	if err := s.decideInDoubt(ctx); err != nil {
		return nil, err
	}
	match, err := newMatcher(j, l).match(ctx)
	if err != nil {
		return nil, err
	}
	match = s.dropV2(match)
	if err := j.refuseDrift(l, match); err != nil {
		return nil, err
	}
	unfinishedID := ""
	if match.resume != nil {
		unfinishedID = match.resume.ID
	}
	if err := sinks.SweepScratch(j.Lake, j.Store.S3.endpointOf(j.env, j.Lake), j.Store.Scratch, unfinishedID); err != nil {
		return nil, &Error{KindStorage, err}
	}
	if j.mayBeSatisfied(match) {
		if nothing, err := j.paged.alreadySatisfied(ctx, l); nothing != nil || err != nil {
			return nothing, err
		}
	}
	if match.done != nil {
		nothing = newNothingToDo(l, match.done)
		return nothing, s.countShared(ctx, nothing)
	}
	if j.ResumeRunID != "" && !match.resumesRun(j.ResumeRunID) {
		return nil, newMatcher(j, l).resumeError(j.ResumeRunID)
	}
	j.ResumeRunID = "" // what is in doubt afterwards belongs to another run
	s.match = match
	return nil, nil
}

// completeSpec completes the spec of the job with what only the lake and the API know.
// The run is a new one, or another session of an unfinished one.
func (s *session) completeSpec(ctx context.Context) (pipeline.RunSpec, error) {
	j := s.job
	now := j.env.Now().UTC()
	spec := j.spec
	spec.Session, spec.Started, spec.Endpoint, spec.ListRecords = 1, now, j.conn.baseURL, j.listInput.expectedLines(s.list.List)
	if s.match.resume != nil {
		continueSpec(&spec, s.match.resume)
		return spec, nil
	}
	if err := s.readUsage(ctx, &spec); err != nil {
		return spec, err
	}
	if spec.Price == 0 && spec.Budget > 0 {
		j.env.Log.Warn("the price of an event is unknown: --max-credits assumes 1 credit per event", "max_credits", spec.Budget)
	}
	var err error
	if left := s.match.continues; left != nil {
		spec.Queries, spec.Continues = slices.Clone(left.Queries), left.ID
	} else {
		built, err := s.buildOnce(ctx)
		if err != nil {
			return spec, err
		}
		spec.Queries, spec.APIChoice = slices.Clone(built.queries), built.apiChoice
	}
	if err := j.conn.checkClock(j.Money.ClockSkewOK, j.env.Log); err != nil {
		return spec, err
	}
	priceQueries(spec.Queries, spec.Tariff)
	if spec.Lateness, err = (&nightScheduler{options: &j.RunOptions, lake: s.lake, queries: spec.Queries}).lateness(ctx); err != nil {
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
func (s *session) readUsage(ctx context.Context, spec *pipeline.RunSpec) error {
	j := s.job
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
	if spec.Tariff, day = earlierTariff(s.lake.ledger.Runs()); day != "" {
		j.env.Log.Info("the account's usage is not available: using its prices of "+day, "error", err)
	} else {
		j.env.Log.Info("the account's usage is not available: assuming 1 credit per event", "error", err)
	}
	return nil
}

// builtQueries are the queries of a run that begins, not priced yet.
type builtQueries struct {
	queries   []pipeline.Query
	apiChoice string
}

// buildOnce builds the queries of a pass once: what the API offers is asked, and reported, once.
func (s *session) buildOnce(ctx context.Context) (*builtQueries, error) {
	j := s.job
	if s.built != nil {
		return s.built, nil
	}
	queries, choice, err := newQueryBuilder(j, func(text string) { j.env.Log.Info(text) }).build(ctx, s.list.List)
	if err != nil {
		return nil, err
	}
	s.built = &builtQueries{queries, choice}
	return s.built, nil
}

// announce warns, before anything is bought, about repeated purchases and about
// signals that no line of the list can be asked about.
func (s *session) announce(ctx context.Context, spec pipeline.RunSpec) error {
	j, announce := s.job, announcer{s.job, s.lake}
	// A run that continues another one repeats other purchases than that one did: those of what
	// was held then, and of what was bought since. So does a resumed one: calls in doubt that held
	// its lines may be decided since its last session.
	if !j.Demo && j.paged == nil && !j.isNightly() {
		err := error(nil)
		if spec.Refresh {
			err = announce.announceRefresh(ctx, cmp.Or(s.match.resume, s.match.continues), spec)
		} else {
			err = announce.announceRepurchase(ctx, spec)
		}
		if err != nil {
			return err
		}
	}
	if s.match == (runMatch{}) && j.paged != nil && spec.Refresh {
		if err := announce.announcePagesInDoubt(ctx); err != nil {
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

// ask asks about the list and publishes the answers. The manifest is nil when
// nothing could be published.
func (s *session) ask(ctx context.Context, recorder *ledger.Recorder, sink *sinks.Lake) (m *pipeline.Manifest, err error) {
	j, l := s.job, s.lake
	run := recorder.Run()
	answers := NewAnswerSizes(j.env, j.memory, l.ledger)
	budget := j.allowance.limit(j.spec.Budget, spentBefore(s.match.resume))
	fetcher := NewFetcher(retryConfig(j.env, j.API), lockedFetcher{j.conn.client, l.store.lock}, recorder, j.conn.limiter, answers, budget)
	activity := new(pipeline.Activity)
	meter := j.NewMeter(j.listInput.expectedLines(s.list.List), activity)
	defer meter.Close()
	runner := &pipeline.Runner{
		Fetcher: fetcher, Sink: sink, Spec: run.Spec(), Concurrency: j.Work.Concurrency, BatchSize: j.Work.BatchSize, LastBatch: run.LastBatch, Now: j.env.clientClock(),
		MaxEntities: answers.maxEntities(), AnswerMemory: j.memory.Answers, ExitCode: ManifestExit, Contract: j.contract(),
		Purchases: j.withOwnIDs(purchasesFor(run, l.ledger, ttlOf(&j.spec), j.resolvesIDs())), Ledger: recorder, Progress: meter.Show, Activity: activity,
		Reopen: func() (pipeline.Source, error) { return s.list, s.list.reopen(ctx) }, Delivered: s.delivered,
		Input: s.describeInput, ReadUsage: func() *pipeline.Reconciliation { return s.reconcile(ctx, run) },
	}
	runner.Queries, runner.Searches = queriesByObject(run.Queries)
	if err := s.setSchedule(ctx, runner, run.Queries); err != nil {
		return nil, err
	}
	if s.match.resume != nil {
		j.env.Log.Info("resuming run", "run", run.ID, "calls", run.CallCount())
		runner.Recorded = recordedLog(ctx, l.ledger.Reader(), run)
	}
	watched, stopWatch := l.watchLock(ctx)
	defer stopWatch()
	if j.paged == nil {
		return runner.Run(watched, s.list)
	}
	return j.paged.run(watched, runner, l, run, answers, budget.Credits)
}

// reconcile reads the account's usage after the run. Webhooks may have charged the account meanwhile.
func (s *session) reconcile(ctx context.Context, run *ledger.Run) *pipeline.Reconciliation {
	r := s.job.conn.reconcile(ctx, s.usedBefore(run), s.job.env.Log)
	delivered, err := deliveredSince(context.WithoutCancel(ctx), s.lake, s.job.Store, run.FirstStarted)
	if err != nil {
		s.job.env.Log.Warn("the manifest compares the account's usage without the deliveries of webhooks", "error", err)
	}
	r.Delivered = delivered
	return r
}

// usedBefore are the credits that the account had used when the run began; nil: unknown. An embedded simulator
// has forgotten what an earlier process bought, so its account says nothing of a run that continues.
func (s *session) usedBefore(run *ledger.Run) *int64 {
	if s.match.resume != nil && s.job.API.Simulate {
		return nil
	}
	return run.UsedCredits
}

// countDeliveries prepares a nightly run to count how new events of subscribed entities came to the lake.
func (s *session) countDeliveries(ctx context.Context) error {
	if !s.job.isNightly() {
		return nil
	}
	state := s.webhooks
	if len(state.Subscriptions) == 0 && lastPublication(s.lake.ledger.Runs()) == nil {
		return nil
	}
	delivered, err := deliveredEvents(ctx, s.lake.ledger)
	s.subscribed, s.delivered = state.Delivers, &delivered
	return err
}

// setSchedule gives the runner the schedule of a nightly run.
func (s *session) setSchedule(ctx context.Context, r *pipeline.Runner, queries []pipeline.Query) error {
	j := s.job
	schedule, err := (&nightScheduler{&j.RunOptions, s.lake, queries, s.webhooks.Gaps}).schedule(ctx, r.Purchases, r.Spec.Lateness)
	if err == nil && schedule != nil {
		r.Schedule, s.schedule = schedule, schedule
		if schedule.Rereads() {
			j.env.Log.Info(rereadText)
		}
		if capped := schedule.CappedPairs(j.Query.MaxResults); capped.Pairs > 0 {
			j.env.Log.Warn("asking for older events of pairs that reached a lower --max-results: the newer ones are bought again",
				"pairs", capped.Pairs, "max_results", j.Query.MaxResults, "events_again_at_most", capped.Known)
		}
	}
	return err
}

// narrowedBy are the names of the calls in doubt of earlier runs that may have bought what the run therefore did not ask for.
func (s *session) narrowedBy() (names []string) {
	if s.schedule == nil {
		return nil
	}
	for _, c := range s.schedule.Undecided() {
		names = append(names, c.InDoubtCall().Name())
	}
	return names
}

// undecidedCalls describes the calls of narrowedBy.
func (s *session) undecidedCalls(run *ledger.Run) UndecidedCalls {
	return newUndecidedCalls(s.lake.ledger, s.lake.ledger.Narrowing(run).Undecided())
}

// describeInput is the fingerprint of what was read.
func (s *session) describeInput() pipeline.Input {
	j := s.job
	if j.Service == pipeline.Visits {
		return pipeline.Input{URI: "--domain " + j.paged.subject.Key, SHA256: j.listInput.digest, Records: int64(len(j.paged.accounts))}
	}
	input := describeList(s.list.List)
	input.Total = j.listInput.expectedLines(s.list.List)
	if input.SHA256 == "" { // it was not read to its end
		input.SHA256 = j.listInput.digest
	}
	return input
}

// findMissing notices files that earlier runs published into the tables of this one and that
// are not there any more. What the run bought is published nevertheless.
func findMissing(ctx context.Context, env *Env, lake string, sink *sinks.Lake, m *pipeline.Manifest) error {
	missing, err := sink.MissingNeighbours(ctx, m)
	manifests, listErr := sink.MissingManifests(ctx, m.Generation)
	if err = errors.Join(err, listErr); len(missing) == 0 && len(manifests) > 0 {
		return &Error{KindIntegrity, fmt.Errorf("generation %d is published, but of earlier generations %s missing: %s; restore them from a copy, or siglake rebuild --lake %s --into DIR writes the lake again at no cost",
			m.Generation, map[bool]string{true: "a manifest is", false: format.Count(len(manifests), "manifest") + " are"}[len(manifests) == 1], format.List(manifests, 3), lake)}
	}
	switch {
	case len(missing) > 0:
		return &Error{KindIntegrity, fmt.Errorf("generation %d is published, but some files of the tables that it wrote are missing or damaged, %s of earlier runs: %s; siglake verify lists all, and siglake rebuild --lake %s --into DIR writes them again at no cost",
			m.Generation, format.Count(len(missing), "file"), format.List(missing, 3), lake)}
	case err != nil && ctx.Err() == nil: // nothing is known to be missing, and the run has done its work
		env.Log.Warn("siglake could not look for missing files of earlier runs", "error", err)
	}
	return nil
}

// purchasesFor are the purchases that count for a run; nil stands for one that has not begun.
func purchasesFor(run *ledger.Run, l *ledger.Ledger, ttl ledger.TTL, refreshIDs bool) *ledger.Purchases {
	all := l.Purchases(run, ttl)
	if run != nil && run.Refresh {
		return all.ForRefresh(run, refreshIDs)
	}
	return all
}

// withOwnIDs are the purchases that count for a job: if it does not search for ids that lines state, those are
// as good as found ones.
func (j *Job) withOwnIDs(all pipeline.Purchases) pipeline.Purchases {
	if !j.ownIDs {
		return all
	}
	return ownIDs{all}
}

// ownIDs are purchases to which the id of a line is known.
type ownIDs struct{ pipeline.Purchases }

// Resolve gives the id that the line states, or else what a search found.
func (o ownIDs) Resolve(ctx context.Context, a *schema.Account) pipeline.Resolution {
	if a.ID != "" {
		return pipeline.Resolution{Entity: schema.Entity{Object: a.Object, ID: a.ID}}
	}
	return o.Purchases.Resolve(ctx, a)
}

// ttlOf is how long search results are valid for a run.
func ttlOf(spec *pipeline.RunSpec) ledger.TTL {
	return ledger.TTL{Positive: spec.PositiveTTL, Negative: spec.NegativeTTL}
}

// spentBefore is the most that a continued run has cost.
func spentBefore(resumed *ledger.Run) int64 {
	if resumed == nil {
		return 0
	}
	return resumed.Cost().Max
}
