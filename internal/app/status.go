package app

import (
	"context"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// LakeStatus is what status prints, with --json as it is.
type LakeStatus struct {
	Lake       string        `json:"lake"`
	Runs       []RunStatus   `json:"runs"`                  // oldest first
	RunsBefore int           `json:"runs_before,omitempty"` // earlier ones, with --last
	Process    *HolderStatus `json:"process,omitempty"`     // has the lock at the moment
	Lists      []ListStatus  `json:"lists"`
	Stale      bool          `json:"stale"` // one of them is, or there is none
	Credits    int64         `json:"credits"`
	MaxCost    int64         `json:"credits_most"` // with all that is unsettled
	Liability  Liability     `json:"unsettled"`
	Unfinished string        `json:"unfinished_run,omitempty"`
	OpenLines  int64         `json:"deferred_lines"` // still open: what each list's newest run left
	Reopened   bool          `json:"reopened"`       // something may be asked again that was in doubt
	Next       []string      `json:"next"`           // commands that there is a reason for

	// What the audits of all runs found together; nil: there were none.
	Audits *AuditStatus `json:"audits,omitempty"`

	// Pairs of entity and signal that reached --max-results in runs with --since last; nil: none did.
	Capped *CappedStatus `json:"capped,omitempty"`

	// How answers differ from what this version knows, by the newest run that met any; nil: none did.
	Drift *DriftStatus `json:"drift,omitempty"`

	// The lake's webhooks; nil: it has none.
	Webhooks *WebhookStatus `json:"webhooks,omitempty"`

	// Why there is no run, if --max-age is set and --list or --job names none of the lake's.
	NoRun string `json:"-"`

	Generations []GenerationStatus `json:"generations"` // newest first
	Earlier     int64              `json:"generations_before,omitempty"`
}

// WebhookStatus is what the lake knows of its webhooks.
type WebhookStatus struct {
	Lists         int                       `json:"lists"`
	Subscriptions int                       `json:"subscriptions"`
	Gaps          int                       `json:"gaps"` // entities that the next nightly run polls
	OptOutGaps    []subscriptions.OptOutGap `json:"opt_out_gaps,omitempty"`
	Pause         *subscriptions.Pause      `json:"pause,omitempty"`
}

// AuditStatus is what audits found, with the share of events that was missed and its interval.
type AuditStatus struct {
	pipeline.AuditCounts
	Missed      float64 `json:"missed_share"`
	MissedLeast float64 `json:"missed_share_least"`
	MissedMost  float64 `json:"missed_share_most"`
}

// CappedStatus says which pairs lack older events, because the API returned as many as asked for.
type CappedStatus struct {
	Pairs int64 `json:"pairs"`          // a higher --max-results asks for their older events
	Known int64 `json:"events_again"`   // which buys at most so many events again
	Final int64 `json:"pairs_at_limit"` // the API returns no older events of theirs
}

// StatusOptions say what status is asked about.
type StatusOptions struct {
	Lake   string
	List   string // only its runs; empty: all
	Job    string // only its runs; empty: all
	Last   int    // only so many of the newest runs; 0: all
	MaxAge string // of the last good run of each job and list, as 26h or 2d; empty: any
	Store  StoreOptions
}

// Liability is ledger.Liability for machines.
type Liability struct {
	UnknownCharge Share `json:"unknown_charges"`
	InDoubt       Share `json:"in_doubt"`
	Retry         Share `json:"decided_released"`
	WrittenOff    Share `json:"decided_accepted_loss"`
	Decided       Share `json:"-"` // both
}

// Share is a part of what may have been charged.
type Share struct {
	Calls   int   `json:"calls"`
	MaxCost int64 `json:"credits_most"`
}

func newLiability(u ledger.Liability) Liability {
	return Liability{UnknownCharge: Share(u.UnknownCharge), InDoubt: Share(u.InDoubt), Retry: Share(u.Retry), WrittenOff: Share(u.WrittenOff), Decided: Share(u.Decided)}
}

// status sums the journal up.
func (s *statusReader) status(ctx context.Context, o *StatusOptions, maxAge time.Duration) (*LakeStatus, error) {
	l := s.lake
	total := l.ledger.Bill().Liability(nil)
	status := &LakeStatus{Lake: l.uri, Process: l.holder(ctx), Liability: newLiability(total), Next: []string{}}
	var err error
	status.Runs, err = s.runStatuses(ctx, o.List, o.Job, status.Process)
	switch {
	case err != nil && maxAge == 0:
		return nil, err
	case err != nil: // a monitor asks for an outcome: there is no good run
		status.Runs, status.NoRun = []RunStatus{}, err.Error()
	}
	status.Lists = s.listStatuses(status.Runs, maxAge)
	status.Stale = maxAge > 0 && (len(status.Lists) == 0 || slices.ContainsFunc(status.Lists, func(list ListStatus) bool { return list.Stale }))
	onWire, running := 0, false
	for _, r := range status.Runs {
		status.Credits += r.Credits
		status.OpenLines += r.Open
		onWire += r.OnWire
		running = running || r.Process != nil
	}
	if sum := ledger.SumAudits(l.ledger.Runs()); sum.Pairs > 0 {
		status.Audits = &AuditStatus{AuditCounts: sum}
		status.Audits.Missed, status.Audits.MissedLeast, status.Audits.MissedMost = sum.MissedShare()
	}
	capped, err := l.ledger.CappedPairs(ctx, MaxResultsLimit)
	if err != nil {
		return nil, lakeError(err)
	}
	if capped.Pairs+capped.Final > 0 {
		status.Capped = &CappedStatus{capped.Pairs, capped.Known, capped.Final}
	}
	status.Drift = l.drift(ctx)
	status.MaxCost = status.Credits + total.MaxCost
	status.Reopened = s.reopenedRun() != nil
	if last := lastCommand(l.ledger.Runs()); last != nil && !running {
		if last.Published == nil {
			status.Unfinished = last.ID
		}
		switch left, reopened := s.leftRun(), s.reopenedRun(); {
		case last.Published == nil:
			status.Next = append(status.Next, s.continueText(last))
		case left != nil:
			status.Next = append(status.Next, s.continueText(left))
		case reopened != nil:
			status.Next = append(status.Next, s.continueText(reopened))
		}
	}
	if last := lastPublication(l.ledger.Runs()); last != nil && last.Published == nil && status.Process == nil {
		status.Next = append(status.Next, "siglake webhooks publish --lake "+l.uri)
	}
	if total.InDoubt.Calls > onWire {
		status.Next = append(status.Next, "siglake held list --lake "+l.uri)
	}
	return status, nil
}

func newWebhookStatus(state *subscriptions.State) *WebhookStatus {
	if len(state.Lists) == 0 && state.OptOut == "" {
		return nil
	}
	return &WebhookStatus{Lists: len(state.Lists), Subscriptions: len(state.Subscriptions), Gaps: len(state.Gaps), OptOutGaps: state.OptOutGaps, Pause: state.Pause}
}

// continueText is the command that requests what a run left: its job, which has caps and a list of its
// own, or siglake resume.
func (s *statusReader) continueText(r *ledger.Run) string {
	if r.Job != "" {
		if r.Refresh { // without it the job does not continue
			return "siglake job " + r.Job + " --refresh"
		}
		return "siglake job " + r.Job
	}
	return "siglake resume --lake " + s.lake.uri
}

// leftRun is the newest run that left lines which its command still requests in the same window; nil:
// there is none.
func (s *statusReader) leftRun() *ledger.Run {
	for _, r := range slices.Backward(s.lake.ledger.Runs()) {
		if s.newest[r] && isCommand(r) && r.HasUnaskedLines() && s.lake.windows.mayContinue(r) {
			return r
		}
	}
	return nil
}

// reopenedRun is the newest run, among the newest of each command, that was
// reopened and with a window that still ends today; nil when there is none.
func (s *statusReader) reopenedRun() *ledger.Run {
	seen := map[string]bool{}
	for _, r := range slices.Backward(s.lake.ledger.Runs()) {
		if !seen[commandKey(&r.RunSpec)] && s.lake.ledger.Blockers(r).AllowRetry() && windowEnd(r).Equal(s.lake.windows.today()) {
			return r
		}
		seen[commandKey(&r.RunSpec)] = true
	}
	return nil
}

// Check finds options that are wrong by themselves.
func (o *StatusOptions) Check() error {
	if o.Last < 0 {
		return UsageErrorf("--last %d: expected a number of runs, or 0 for all", o.Last)
	}
	_, err := parseMaxAge(o.MaxAge)
	return err
}

// ReadStatus sums a lake up, with its newest generations.
func ReadStatus(ctx context.Context, env *Env, o StatusOptions) (*LakeStatus, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	maxAge, err := parseMaxAge(o.MaxAge)
	if err != nil {
		return nil, err
	}
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, readOnly)
	if err != nil {
		return nil, err
	}
	defer l.close() //nolint:errcheck // nothing was written
	status, err := newStatusReader(l).status(ctx, &o, maxAge)
	if err != nil {
		return nil, err
	}
	status.Webhooks = newWebhookStatus(readWebhooks(ctx, env, o.Store, o.Lake, "pauses and gaps of webhooks are not shown"))
	if o.Last > 0 && o.Last < len(status.Runs) {
		status.RunsBefore = len(status.Runs) - o.Last
		status.Runs = status.Runs[status.RunsBefore:]
	}
	if status.Generations, status.Earlier, err = newestGenerations(ctx, l, 20); err != nil {
		return nil, lakeError(err)
	}
	return status, nil
}

// parseMaxAge reads --max-age: hours and minutes, or whole days; 0 for an empty one.
func parseMaxAge(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if age, err := time.ParseDuration(text); err == nil && age > 0 {
		return age, nil
	}
	if age, err := parseAge("max-age", text); err == nil && age >= time.Hour {
		return age, nil
	}
	return 0, UsageErrorf("--max-age %q: expected an age such as 26h, 90m or 2d", text)
}

// GenerationStatus is one publication: a run, or a compaction or pruning, which asks
// and costs nothing.
type GenerationStatus struct {
	Generation int64  `json:"generation"`
	Kind       string `json:"kind"`
	Run        string `json:"run"`
	Files      int    `json:"files"`
	Replaces   int    `json:"replaces_files,omitempty"`
	Rows       int64  `json:"rows"`
	// Events of which the rows are: new ones, changed ones, and those that were paid for and that the
	// lake had.
	New      int64     `json:"new_events,omitempty"`
	Changed  int64     `json:"changed_events,omitempty"`
	Known    int64     `json:"known_events,omitempty"`
	Finished time.Time `json:"finished"`
}

// newestGenerations are the newest publications, newest first, at most so many, and
// how many there are before them.
func newestGenerations(ctx context.Context, l *lake, maxCount int) (all []GenerationStatus, earlier int64, err error) {
	inspector, err := sinks.Inspect(ctx, l.uri, l.options)
	if err != nil {
		return nil, 0, err
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	for m, err := range inspector.Generations(ctx) {
		if err != nil {
			return nil, 0, err
		}
		if len(all) == maxCount {
			return all, m.Generation, nil
		}
		g := GenerationStatus{
			Generation: m.Generation, Kind: kindText(m.Run.Kind), Run: m.Run.ID, Files: len(m.Files), Replaces: len(m.Replaces), Finished: m.Run.Finished.UTC(),
			New: m.Events.New, Changed: m.Events.Changed, Known: m.Events.Known,
		}
		for _, f := range m.Files {
			g.Rows += f.Rows
		}
		all = append(all, g)
	}
	return all, 0, nil
}

func kindText(k pipeline.GenerationKind) string {
	if k == pipeline.RunGeneration {
		return "run"
	}
	return string(k)
}

func (s *statusReader) runState(r *ledger.Run) string {
	switch {
	case r.Published != nil && r.Published.Outcome == pipeline.RunInDoubt && currentOutcome(s.lake.ledger, r) != pipeline.RunInDoubt:
		return "held, decided"
	case r.Published != nil && r.Rereads != "":
		return "reread"
	case r.Published != nil && currentOutcome(s.lake.ledger, r) == pipeline.RunInDoubt:
		return string(pipeline.RunInDoubt)
	case r.Published != nil:
		return string(r.Published.Outcome)
	case r.Prepared != nil || r.Inbox != nil:
		return "being published"
	}
	return "unfinished"
}
