package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/nights"
	"github.com/siglake/siglake/internal/ratelimit"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sources"
)

// PlanReport is everything a plan says. Its JSON form is what --json prints.
type PlanReport struct {
	List        string                  `json:"list"`
	Lake        string                  `json:"lake,omitempty"`
	Input       pipeline.Input          `json:"input"`                  // how the list is read
	Readings    []Reading               `json:"readings,omitempty"`     // how it can be read if nothing decides; the first is planned
	ResumesRun  string                  `json:"goes_on_with,omitempty"` // run that the same command would go on with
	Lines       int64                   `json:"lines"`
	WithoutCall map[schema.Status]int64 `json:"lines_without_a_call"`
	Entities    int64                   `json:"entities"`
	// Entities by the identifier of their line: id, linkedin, email, domain or name.
	Identifiers      map[schema.Identifier]int64 `json:"entities_by_identifier"`
	Pairs            int64                       `json:"entity_signal_pairs"`
	RepurchasedPairs int64                       `json:"pairs_bought_before"` // the same day, by another question
	Calls            int64                       `json:"calls"`
	Queries          []pipeline.Query            `json:"queries"`
	SinceLast        bool                        `json:"since_last,omitempty"` // the days of the queries are those of --backfill
	Credits          forecast.Estimate           `json:"credits"`
	MaxEventPrice    int64                       `json:"credits_per_event_at_most"`
	SpentBefore      int64                       `json:"credits_spent_already,omitempty"` // or in doubt, by the run that is continued: they count against its budget
	AdvisedBudget    int64                       `json:"max_credits_advised,omitempty"`   // absent: a sample should be bought first
	Money            *MoneyEstimate              `json:"money,omitempty"`
	Time             PlanTime                    `json:"time"`
	Windows          []PlanWindow                `json:"windows"`
	CreditsLeft      *int64                      `json:"account_credits_left,omitempty"`
	Night            *PlanNight                  `json:"night,omitempty"` // of a run with --since last
	Notes            []string                    `json:"notes"`
	NoteKinds        []NoteKind                  `json:"notes_by_kind,omitempty"` // of lines, most frequent first

	Rejects   []pipeline.RejectLine `json:"-"`
	freeCalls int64                 // calls that cost nothing, ahead of the others
}

// PlanTime is how long a planned run takes, and what that rests on.
type PlanTime struct {
	Seconds     float64 `json:"seconds"`
	Concurrency int     `json:"concurrency"`
	LatencyMS   int64   `json:"answer_ms"`
	Measured    bool    `json:"answer_measured"`
}

// PlanWindow is a rate window of the account.
type PlanWindow struct {
	Name  string `json:"name"`
	Limit *int64 `json:"limit"` // null: none
	Left  *int64 `json:"left"`  // null: not known

	Published bool `json:"published,omitempty"` // the account did not say so: the vendor's plan does
}

// MoneyEstimate is a price in the user's currency, as decimal numbers.
type MoneyEstimate struct {
	PerCredit string `json:"per_credit"`
	Currency  string `json:"currency,omitempty"`
	P5        string `json:"p5"`
	P50       string `json:"p50"`
	P95       string `json:"p95"`
	Ceiling   string `json:"ceiling"`
}

// Plan finds out what the command would do. It buys nothing.
func (j *Job) Plan(ctx context.Context) (*PlanReport, error) {
	switch j.Command {
	case "run":
	case ResolveName, ScoreName:
		j.Service = services[j.Command]
	default:
		text := "--for %q: expected run, resolve or score; siglake lookalikes and siglake visitors plan with --dry-run: they cost at most --limit times the price of a result"
		l, err := openLakeIfExists(ctx, j.env, j.Store, j.Lake)
		if err != nil {
			return nil, err
		}
		if l != nil {
			defer l.close() //nolint:errcheck // nothing was written
			if held := heldPagesText(l.ledger); held != "" {
				text += "; " + held
			}
		}
		return nil, UsageErrorf(text, j.Command)
	}
	var report *PlanReport
	err := j.inspect(ctx, func(l *lake) (err error) {
		report, err = newPlanner(j, l).build(ctx)
		return err
	})
	return report, err
}

// inspect opens the list, the API and the lake for a plan, and closes them after it. The plan gets nil
// if there is no lake yet. Without OpenAPI it goes by what the vendor publishes.
func (j *Job) inspect(ctx context.Context, plan func(*lake) error) error {
	if err := j.parseOptions(); err != nil {
		return err
	}
	if err := j.readList(ctx); err != nil {
		return err
	}
	defer j.listInput.close() //nolint:errcheck // a copy of the list in a temporary directory
	var err error
	if j.OpenAPI != nil {
		j.conn, err = connectAPI(ctx, j.env, j.API.withS3(j.Store.S3), j.OpenAPI)
	} else {
		j.conn, err = publishedAPI(ctx, j.env, j.API.withS3(j.Store.S3))
	}
	if err != nil {
		return err
	}
	defer j.conn.disconnect()
	l, err := openLakeIfExists(ctx, j.env, j.Store, j.Lake)
	if err != nil {
		return err
	}
	if l == nil {
		if err := j.choosePartition(ctx, nil); err != nil {
			return err
		}
		return plan(nil)
	}
	defer l.close() //nolint:errcheck // nothing was written
	if err := j.checkLake(ctx, l); err != nil {
		return err
	}
	if err := checkJournal(ctx, l, j.Store, l.ledger, false); err != nil {
		if l.changedSinceOpen(ctx) {
			return &Error{KindLocked, fmt.Errorf("a run worked on %s meanwhile: plan again when it has ended", j.Lake)}
		}
		return lakeError(err)
	}
	return plan(l)
}

// assumeReread reads the answers to calls in doubt as the run will before it requests anything.
func (p *PlanReport) assumeReread(ctx context.Context, l *ledger.Ledger) error {
	var names []string
	for _, c := range l.Rereader().Calls() {
		x, err := l.Rereader().Read(ctx, c)
		if err != nil {
			return lakeError(err)
		}
		if x.Outcome != pipeline.InDoubt {
			l.Rereader().Assume(x)
			names = append(names, c.Run.ID+"/"+c.ID)
		}
	}
	if len(names) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%s in doubt with answers that this version reads: the run publishes them first, at no cost: %s", format.Count(len(names), "call"), format.List(names, 5)))
	}
	return nil
}

// planner determines what a job would do, and reports it.
type planner struct {
	job    *Job
	lake   *lake // nil: there is none yet
	report *PlanReport

	match  runMatch
	gaps   []subscriptions.Gap // of the lake's webhooks
	past   []forecast.History
	tariff pipeline.Tariff
}

// newPlanner prepares a plan of a job; l is nil if there is no lake yet.
func newPlanner(j *Job, l *lake) *planner {
	return &planner{job: j, lake: l, report: &PlanReport{List: j.List, Lake: j.Lake, SinceLast: j.isNightly(), Notes: []string{}}}
}

// build finds out what the command would do.
func (p *planner) build(ctx context.Context) (*PlanReport, error) {
	j := p.job
	list, err := j.listInput.open(ctx)
	if err != nil {
		return nil, err
	}
	defer list.Close() //nolint:errcheck // it was only read
	j.object = list.Input().Object
	if err := p.matchRuns(ctx); err != nil {
		return nil, err
	}
	if err := p.chooseQueries(ctx, list); err != nil {
		return nil, err
	}
	queries := p.report.Queries
	w, err := p.newWalk(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := p.walkList(ctx, list, w)
	if err != nil {
		return nil, err
	}
	p.addPlan(plan)
	if text := w.overlap.text(); text != "" {
		p.report.addNote(text)
	}
	if w.schedule != nil {
		if err := p.addNight(ctx, queries, w.schedule); err != nil {
			return nil, err
		}
	}
	p.addHeld()
	p.estimateTime()
	p.report.addAdvice(j.Service)
	p.report.addBudgetAdvice(j.spec.Budget, plan)
	if p.lake != nil {
		p.report.addAllowance(findAllowance(j.caps, j.env.Now(), p.lake.ledger))
	}
	return p.report, nil
}

// matchRuns reads what the account and the lake say about the planned run: prices, the clock, and
// the earlier runs that it matches.
func (p *planner) matchRuns(ctx context.Context) error {
	j, l := p.job, p.lake
	if l != nil {
		if err := p.report.assumeReread(ctx, l.ledger); err != nil {
			return err
		}
	}
	if err := p.readTariff(ctx); err != nil {
		return err
	}
	if text := j.conn.skewText(); text != "" {
		p.report.addNote(text + "; siglake run refuses to start without --clock-skew-ok")
	}
	if l != nil {
		l.windows.now = j.apiNow
		if j.isNightly() {
			p.gaps = l.webhooks(ctx, j.Store).Gaps
		}
		p.match, p.past = newMatcher(j, l).find(), l.ledger.History()
	}
	return nil
}

// planWalk is how a plan counts the list: the runner, and what can reduce what it requests.
type planWalk struct {
	runner   *pipeline.Runner
	schedule *nights.Schedule // nil: the run is no night
	overlap  *overlap         // nil: no earlier window shares a day with the queries
}

// newWalk prepares the walk for the queries of the report.
func (p *planner) newWalk(ctx context.Context) (*planWalk, error) {
	var journal *ledger.Ledger
	if p.lake != nil {
		journal = p.lake.ledger
	}
	answers := NewAnswerSizes(p.job.env, p.job.memory, journal)
	purchases, err := p.purchases(ctx)
	if err != nil {
		return nil, err
	}
	w := &planWalk{runner: &pipeline.Runner{BatchSize: p.job.Work.BatchSize, MaxEntities: answers.maxEntities(), Purchases: purchases}}
	schedule, err := p.schedule(ctx, purchases)
	if err != nil {
		return nil, err
	}
	switch {
	case schedule != nil:
		w.schedule, w.runner.Schedule = schedule, schedule
	case p.lake != nil && !p.job.spec.Refresh:
		if w.overlap, err = newOverlap(ctx, p.lake.ledger, p.report.Queries, w.runner.Purchases); err != nil {
			return nil, lakeError(err)
		}
		if w.overlap != nil {
			w.runner.Purchases = w.overlap
		}
	}
	return w, nil
}

// walkList reads the list once and counts what the run would request.
func (p *planner) walkList(ctx context.Context, list *sources.List, w *planWalk) (*pipeline.Plan, error) {
	j, queries := p.job, p.report.Queries
	meter := j.listInput.meterLines(list, j.NewMeter)
	var notes noteTally
	plan, err := dryRun(ctx, talliedSource{meter, &notes}, queries, w.runner)
	meter.Close()
	if err != nil {
		return nil, err
	}
	p.report.NoteKinds = notes.list()
	p.report.Input = describeList(list)
	if p.report.Readings, err = j.listInput.readings(ctx, list, nil); err != nil {
		return nil, err
	}
	return plan, nil
}

// addHeld notes which calls in doubt of the lake the figures leave out.
func (p *planner) addHeld() {
	if p.lake == nil {
		return
	}
	p.report.noteInDoubt(p.job.Money.InDoubt, p.lake.ledger.CallsInDoubt())
	if held := heldPagesText(p.lake.ledger); held != "" {
		p.report.addNote(held)
	}
}

// continued is the run that the job would resume, or the one that left the lines which
// it would request; nil if it would begin a run.
func (p *planner) continued() *ledger.Run {
	if p.match.resume != nil {
		return p.match.resume
	}
	return p.match.continues
}

// readTariff reads what actions cost and how many credits are left: from the account,
// or else from an earlier run.
func (p *planner) readTariff(ctx context.Context) error {
	if p.job.conn.client == nil {
		p.report.addNote("no API key: signals, prices and windows are those that the vendor publishes")
		return nil
	}
	u, err := p.job.conn.readUsage(ctx)
	if err == nil {
		p.tariff = newTariff(u)
		if u.Remaining >= 0 {
			p.report.CreditsLeft = &u.Remaining
		}
		return nil
	}
	if isUnsent(err) {
		return askError(ctx, err)
	}
	prices := "siglake assumes 1 credit per event"
	var day string
	if p.tariff, day = earlierTariff(p.lake.runs()); day != "" {
		prices = "uses the prices of " + day
	}
	var refusal *lusha.RefusalError
	if errors.As(err, &refusal) && refusal.Class == lusha.ClassRateBurst {
		prices += "; the API allows five usage requests a minute"
	}
	p.report.addNote(fmt.Sprintf("the account's usage is not available, so its credits are unknown, and %s: %v", prices, err))
	return nil
}

// chooseQueries reports what the job would request: the queries of the run that it
// would continue, or those of its options.
func (p *planner) chooseQueries(ctx context.Context, list *sources.List) (err error) {
	j := p.job
	if continued := p.continued(); continued != nil {
		p.report.ResumesRun, p.report.Queries, p.report.SpentBefore = continued.ID, slices.Clone(continued.Queries), spentBefore(p.match.resume)
		p.tariff.Price = max(continued.Price, p.tariff.Price)
	} else {
		if p.report.Queries, _, err = newQueryBuilder(j, p.report.addNote).build(ctx, list); err != nil {
			return err
		}
		if j.conn.client != nil {
			p.report.freeCalls = 2 + int64(len(p.report.Queries)) // usage before and after, and options, which the run asks, too
		}
	}
	priceQueries(p.report.Queries, p.tariff)
	if j.conn.client != nil && p.tariff.Price == 0 {
		p.report.addNote("the account does not state the price of an event: siglake assumes 1 credit; a higher price raises all credit figures")
	}
	if r := p.match.misdated; r != nil {
		p.report.addNote(fmt.Sprintf("run %s, unfinished, began under a clock that was ahead: siglake run closes it, publishes what it bought, and requests the window that ends today", r.ID))
	}
	if r := p.match.closing; r != nil && !j.Money.NewRun {
		p.report.addNote(fmt.Sprintf("run %s, started %s, is unfinished: siglake run closes it, publishes what it paid for, and starts this run; nothing already paid for is bought again", r.ID, r.FirstStarted.Format("2006-01-02 15:04 UTC")))
	}
	if p.match.blocking != nil {
		p.report.addNote(blockingText(p.match.blocking, &j.spec) + "; siglake run refuses to start until you finish that run (siglake resume) or close it (--new-run)")
	}
	return nil
}

// purchases are those that count for the run, which knows whom the notices in the inbox name when it asks; nil without a
// lake.
func (p *planner) purchases(ctx context.Context) (pipeline.Purchases, error) {
	if p.lake == nil {
		if p.job.ownIDs {
			return ownIDs{pipeline.NoPurchases}, nil
		}
		return nil, nil
	}
	all := p.lake.ledger.Purchases(nil, ttlOf(&p.job.spec))
	if p.job.spec.Refresh {
		all = all.ForRefresh(p.continued(), p.job.resolvesIDs())
	}
	known, err := withPendingOptOuts(ctx, p.job.env, p.job.Store, p.lake.uri, p.lake, all)
	if err != nil {
		return nil, err
	}
	return p.job.withOwnIDs(known), nil
}

// addPlan reports the counts of the dry run and the forecast of their cost.
func (p *planner) addPlan(plan *pipeline.Plan) {
	j, r := p.job, p.report
	r.Lines, r.WithoutCall, r.Rejects = plan.Accounts.Lines, plan.Accounts.ByStatus, plan.Accounts.Rejects
	if inapplicable := inapplicableSignals(r.Queries, j.object, SplitWords(j.Query.Signals)); j.Service == pipeline.Signals && len(inapplicable) > 0 {
		r.addNote(inapplicableText(j.object) + ": " + strings.Join(inapplicable, ", "))
	}
	r.Queries = slices.DeleteFunc(slices.Clone(r.Queries), func(q pipeline.Query) bool { return q.Object != j.object })
	r.Entities, r.Pairs, r.Calls, r.RepurchasedPairs, r.Identifiers = plan.Entities(), plan.Pairs(), plan.Calls(), plan.RepurchasedPairs, plan.Identifiers
	if r.RepurchasedPairs > 0 {
		r.addNote(fmt.Sprintf("%s of the pairs were bought before, %s: their events are charged again", format.Thousands(r.RepurchasedPairs), repurchaseReason))
	}
	r.noteHeld(plan.InDoubt)
	r.Credits, r.MaxEventPrice = forecast.New(plan, p.past), p.tariff.MaxEventPrice()
	switch {
	case r.Credits.ObservedEntities > 0 && len(r.Credits.WithoutHistory) == 0:
		// An entity is asked about only while the most that it can cost is left.
		r.AdvisedBudget = r.SpentBefore + min(r.Credits.P95+plan.MaxUnitCost(), r.Credits.Ceiling)
	case r.Entities <= SampleLines || j.Service != pipeline.Signals: // a result a line at the most: there is little to find out
		r.AdvisedBudget = r.SpentBefore + r.Credits.Ceiling
	}
}

// noteHeld names the undecided calls that hold lines of the plan, and those that it repeats.
func (p *PlanReport) noteHeld(inDoubt []pipeline.PlannedInDoubt) {
	var held, repeated []pipeline.PlannedInDoubt
	for _, d := range inDoubt {
		if d.Held > 0 {
			held = append(held, pipeline.PlannedInDoubt{Call: d.Call, Held: d.Held})
		}
		if d.Repeated > 0 {
			repeated = append(repeated, pipeline.PlannedInDoubt{Call: d.Call, Repeated: d.Repeated, RepeatedFirst: d.RepeatedFirst})
		}
	}
	if len(held) > 0 {
		names, lines, credits := inDoubtFigures(held)
		p.addNote(fmt.Sprintf("%s held: calls in doubt may have bought a part of this already, for at most %s; decide with siglake held retry or accept-loss: %s",
			format.Count(lines, "line"), format.Count(credits, "credit"), format.List(names, 5)))
	}
	if len(repeated) > 0 {
		names, lines, credits := inDoubtFigures(repeated)
		p.addNote(fmt.Sprintf("the run requests %s again that undecided calls in doubt may have bought, for at most %s, which may be paid twice: %s",
			format.Count(lines, "line"), format.Count(credits, "credit"), format.List(names, 5)))
	}
}

// noteInDoubt says what the figures leave out: the run decides about calls in
// doubt before it asks, and then asks again what they hold.
func (p *PlanReport) noteInDoubt(policy string, inDoubt []*ledger.Call) {
	if policy == inDoubtHold || len(inDoubt) == 0 {
		return
	}
	var maxCost int64
	for _, d := range inDoubt {
		maxCost += d.Ceiling
	}
	p.addNote(fmt.Sprintf("%s of this lake in doubt: these figures exclude their lines; with --in-doubt %s the run may request them again, for at most %s",
		format.Count(len(inDoubt), "call"), policy, format.Count(maxCost, "more credit")))
}

// heldPagesText names the undecided calls that hold pages of lookalikes and visitors; empty: there
// are none.
func heldPagesText(l *ledger.Ledger) string {
	var parts []string
	for _, name := range []string{LookalikesName, VisitorsName} {
		var calls []string
		var credits int64
		for _, d := range l.CallsInDoubt() {
			if d.Query.Service() == services[name] {
				calls, credits = append(calls, d.Run.ID+"/"+d.ID), credits+d.Ceiling
			}
		}
		if len(calls) > 0 {
			parts = append(parts, fmt.Sprintf("siglake %s holds the pages that overlap %s in doubt, for at most %s: %s",
				name, format.Count(len(calls), "call"), format.Count(credits, "credit"), format.List(calls, 5)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, "; ") + "; decide with siglake held retry or accept-loss"
}

// dryRun counts what a runner would ask about the list.
func dryRun(ctx context.Context, list pipeline.Source, asked []pipeline.Query, runner *pipeline.Runner) (*pipeline.Plan, error) {
	runner.Queries, runner.Searches = queriesByObject(asked)
	plan, err := runner.Plan(ctx, list)
	if err != nil {
		return nil, runError(err)
	}
	return plan, nil
}

// reread counts what a run of the list would ask, in a walk of its own.
func (j *Job) reread(ctx context.Context, asked []pipeline.Query, purchases pipeline.Purchases) (*pipeline.Plan, error) {
	list, err := j.listInput.open(ctx)
	if err != nil {
		return nil, err
	}
	defer list.Close() //nolint:errcheck // it was only read
	return dryRun(ctx, list, asked, &pipeline.Runner{BatchSize: j.Work.BatchSize, Purchases: purchases})
}

// assumedLatency is the latency of an answer until one is measured.
const assumedLatency = 500 * time.Millisecond

// estimateTime adds how long the calls take under the account's windows.
func (p *planner) estimateTime() {
	j, r := p.job, p.report
	latency, measured := assumedLatency, false
	var calls int64
	var took time.Duration
	for _, e := range p.past {
		calls, took = calls+e.Calls, took+e.Took
	}
	if calls > 0 {
		latency, measured = took/time.Duration(calls), true
	}
	workers := j.Work.Concurrency
	estimate := j.conn.limiter.EstimateDuration(r.Calls, r.freeCalls, j.env.clientClock()(), latency, workers)
	r.Time = PlanTime{Seconds: estimate.Seconds(), Concurrency: workers, LatencyMS: latency.Milliseconds(), Measured: measured}
	published, _ := ratelimit.PlanByName(j.API.Plan) // the limiter was made with it
	limits := [3]int64{published.Minute, published.Hour, published.Day}
	for i, w := range j.conn.limiter.State().Windows {
		line := PlanWindow{Name: w.Name, Published: w.Left < 0 && w.Limit >= 0 && w.Limit == limits[i]}
		if w.Limit >= 0 {
			line.Limit = &w.Limit
			left := w.Left
			if left < 0 {
				left = max(0, w.Limit-w.Recent)
			}
			line.Left = &left
			if i > 0 && r.Calls > left {
				r.addNote(fmt.Sprintf("the run needs more calls than this %s has left (%s): it waits for the next one if that is at most --max-wait %s away; otherwise it publishes what it has and exits 20, and the same command continues it",
					w.Name, format.Thousands(left), j.API.MaxWait))
			}
		}
		r.Windows = append(r.Windows, line)
	}
}

func (p *PlanReport) addNote(text string) { p.Notes = append(p.Notes, text) }

// SampleLines are enough for a forecast: a run of so many makes it a measurement.
const SampleLines = 200

// addAdvice adds what the figures mean for the account.
func (p *PlanReport) addAdvice(service pipeline.Service) {
	e, history := p.Credits, "this lake has bought nothing of the kind before"
	if p.Lake == "" {
		history = "without --lake the plan knows of no earlier purchases"
	}
	switch {
	case p.Entities == 0:
		return
	case service != pipeline.Signals && e.ObservedEntities == 0:
		p.addNote(history + ": the forecast assumes that the API knows 85 of 100 lines")
	case service != pipeline.Signals:
	case e.ObservedEntities == 0:
		p.addNote(history + ", so the credits are a guess: 0.2 events per entity, signal and 90 days, within a factor of ten")
	case len(e.WithoutHistory) > 0:
		p.addNote("the forecast is a guess for signals never requested in this lake: " + format.List(e.WithoutHistory, 5))
	}
	if p.CreditsLeft != nil && *p.CreditsLeft < e.P95 {
		p.addNote(fmt.Sprintf("the account has %s left, which may not be enough; without credits, the run publishes what it has and exits 20", format.Count(*p.CreditsLeft, "credit")))
	}
}

// addBudgetAdvice adds what a cap means. A run asks about an entity only while the
// most that it can cost is left.
func (p *PlanReport) addBudgetAdvice(budget int64, plan *pipeline.Plan) {
	if p.Entities == 0 {
		return
	}
	if p.SpentBefore > 0 {
		p.addNote(fmt.Sprintf("run %s has spent %s, including calls in doubt, which count against --max-credits", p.ResumesRun, format.Count(p.SpentBefore, "credit")))
	}
	if budget == 0 {
		return
	}
	e, left, maxEntity := p.Credits, budget-p.SpentBefore, plan.MaxUnitCost()
	switch {
	case left < plan.MinUnitCost():
		p.addNote(fmt.Sprintf("--max-credits %d allows no request: one entity can cost %s, and the run has %s left", budget, format.Count(plan.MinUnitCost(), "credit"), format.Thousands(max(left, 0))))
		return
	case left < min(e.P5+maxEntity, e.Ceiling):
		about := float64(p.Entities) * float64(max(left-maxEntity, 0)) / float64(max(e.P50, 1))
		p.addNote(fmt.Sprintf("--max-credits %d will stop the run before the end of the list, after about %s of %s", budget, format.Thousands(min(int64(about)+1, p.Entities)), format.Count(p.Entities, "entity")))
	case left < min(e.P95+maxEntity, e.Ceiling):
		p.addNote(fmt.Sprintf("--max-credits %d may stop the run before the end of the list", budget))
	}
	if left < e.Ceiling {
		p.addNote("batches shrink to what is left of --max-credits, so the run may need more calls than these")
	}
}

// inDoubtFigures are the names of calls in doubt, the lines they concern, and the most that the
// calls can have cost.
func inDoubtFigures(inDoubt []pipeline.PlannedInDoubt) (names []string, lines, credits int64) {
	for _, d := range inDoubt {
		names = append(names, d.Call.Name())
		lines += d.Held + d.RepeatedFirst
		credits += d.Call.MaxCredits
	}
	return names, lines, credits
}
