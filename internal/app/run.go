package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
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
	memory      Memory
	listOptions sources.Options
	inDoubt     inDoubtPolicy
	caps        []periodCap

	allowedRejects rejectAllowance

	listInput     *listInput
	object        schema.Object // of the lines of the list
	paged         *pagedQuery   // of a service that is asked page by page
	unfitReported bool          // signals that do not fit the list are reported
	mixedReported bool          // that the lake has two kinds of partitions is reported
	damage        error         // what a pass noticed of the lake's earlier files
	allowance     *allowance    // what the caps left to the last pass; nil: there are none
	v2Ended       string        // how V2 refused this command's calls and its list of signals; empty: it did not
	undecided     UndecidedCalls
	usage         *usageReading // made to compare the clocks; nil: none since the last run
	ownIDs        bool          // the id that a line states is not searched for
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
	j.Store.warnOfLittleMemory(j.env, minDefault)
	if err := j.readList(ctx); err != nil {
		return nil, nil, err
	}
	defer j.listInput.close() //nolint:errcheck // a copy of the list in a temporary directory
	var err error
	if j.conn, err = connectAPI(ctx, j.env, j.API.withS3(j.Store.S3), j.OpenAPI); err != nil {
		return nil, nil, err
	}
	defer j.conn.disconnect()
	if err := j.confirm(ctx); err != nil {
		return nil, nil, err
	}
	return j.runPasses(ctx)
}

// runPasses makes the run of a job that is connected, in as many passes as it takes.
func (j *Job) runPasses(ctx context.Context) (*pipeline.Manifest, *NothingToDo, error) {
	m, nothing, err := j.runOnce(ctx)
	if err == nil && m != nil && ctx.Err() == nil && !stoppedByDrift(m) && j.leavesV2(ctx, m) && j.reduceBudget(m) {
		j.env.Log.Warn("API V2 has ended: requesting the rest in V3", "answer", j.v2Ended)
		m, nothing, err = j.runOnce(ctx)
	}
	// The policy may allow to ask again at once what this pass left in doubt.
	if err == nil && m != nil && m.HasInDoubt() && !stoppedByDrift(m) && j.Money.InDoubt != inDoubtHold && ctx.Err() == nil && j.reduceBudget(m) {
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
		j.warnOfAbsent(env)
	}
	return err
}

// CheckLake refuses to work on no lake.
func CheckLake(uri string) error {
	if uri == "" {
		return ErrNoLake
	}
	return nil
}

// warnOfUnknownSignals warns about signals that this version does not know, which may be new at the vendor.
func (o *RunOptions) warnOfUnknownSignals(env *Env) {
	for _, word := range SplitWords(o.Query.Signals) {
		if len(schema.MatchSignals(word)) == 0 {
			o.warn(env, fmt.Sprintf("--signals: %q is no signal type or category that this version knows%s", word, SuggestSignal(word)))
		}
	}
}

// warnOfAbsent warns about unknown signals, and about lists that are not there, which may be written every night.
func (o *RunOptions) warnOfAbsent(env *Env) {
	o.warnOfUnknownSignals(env)
	for _, list := range []string{o.List, o.Pages.Exclude} {
		if list == "" || list == "-" || strings.HasPrefix(list, "s3://") {
			continue
		}
		if _, err := os.Stat(list); errors.Is(err, fs.ErrNotExist) {
			o.warn(env, "there is no list "+list+" at present")
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
	if err := j.listInput.drawSample(ctx, j.Source.Sample, j.Source.SampleSeed); err != nil {
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
	if j.memory, err = NewMemory(j.env, j.Store.Memory, j.Work.AnswerMemory); err != nil {
		return err
	}
	if err := j.chooseSince(); err != nil {
		return err
	}
	if err := j.checkWindow(j.env); err != nil {
		return err
	}
	j.spec = pipeline.RunSpec{Partition: schema.ByMonth, Job: j.Money.Job, URI: j.List, Simulated: j.isSimulated(), Refresh: j.Money.Refresh, Versions: ComponentVersions(j.env.Build)}
	if j.listOptions, err = j.Source.parse(j.Store.S3, j.env.Stdin); err != nil {
		return err
	}
	if j.listOptions.Object == "" && j.Service == pipeline.Signals {
		j.listOptions.Object = soleObject(SplitWords(j.Query.Signals))
		j.listOptions.ObjectBySignals = true
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

// budget is --max-credits; 0 means no cap.
func (o *MoneyOptions) budget() (int64, error) {
	if o.Unattended && o.MaxCredits+o.MaxPerDay+o.MaxPerMonth+o.MaxLakePerDay+o.MaxLakePerMonth == "" {
		return 0, UsageErrorf("an unattended run needs a budget: add --max-credits N, or --max-credits unlimited; siglake plan forecasts the cost")
	}
	return parseCap("max-credits", o.MaxCredits)
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
	j.listInput.logReading(j.env.Log, j.List, list)
	l, err := openOrCreateLake(ctx, j.env, j.Store, j.Lake, "siglake "+j.Command)
	if err != nil {
		return nil, nil, err
	}
	defer l.close() //nolint:errcheck // what matters is durable before
	return (&session{job: j, lake: l, list: lines}).run(ctx)
}

// runError gives the error of a run its kind: the list's or the disk's.
func runError(err error) error {
	var input *sources.Error
	if errors.As(err, &input) || errors.Is(err, pipeline.ErrTooLong) {
		return &Error{KindUsage, err}
	}
	return lakeError(err)
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
	Undecided  UndecidedCalls
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
		Undecided: newUndecidedCalls(l.ledger, l.ledger.Narrowing(r).Undecided()),
		Faulty:    r.Published.Rejected, Lines: lines,
		SinceLast: r.Settings["since"] == sinceLast,
	}
}

// currentOutcome is how a published run's outcome stands after what was decided
// since about the calls that it left in doubt. Nothing else of it changes: who
// asks it has no lines left to ask about.
func currentOutcome(l *ledger.Ledger, r *ledger.Run) pipeline.RunOutcome {
	outcome := r.Published.Outcome
	if outcome == pipeline.RunInDoubt && len(l.Blockers(r).Undecided()) == 0 {
		if outcome = pipeline.RunComplete; r.Published.Rejected > 0 {
			outcome = pipeline.RunWithRejects
		}
	}
	isDone := outcome == pipeline.RunComplete || outcome == pipeline.RunWithRejects
	if isDone && len(l.Narrowing(r).Undecided()) > 0 {
		return pipeline.RunInDoubt
	}
	return outcome
}

// parse reads the options. stdin is what the list "-" stands for.
func (l *ListOptions) parse(s3 S3Options, stdin io.Reader) (sources.Options, error) {
	o := sources.Options{Stdin: stdin, Map: map[string]string{}, Keep: SplitWords(l.Keep), DidYouMean: DidYouMean, Sheet: l.Sheet, StrictFiles: l.StrictFiles, TempDir: createSheetDir}
	store, err := s3.Config()
	if err != nil {
		return o, err
	}
	o.Bucket = func(ctx context.Context, uri string) (*bucket.Bucket, error) { return bucket.Open(ctx, uri, store) }
	if l.Sample < 0 {
		return o, UsageErrorf("--sample %d: expected a number of lines, or 0 for the whole list", l.Sample)
	}
	if o.Part, err = l.part(); err != nil {
		return o, err
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
