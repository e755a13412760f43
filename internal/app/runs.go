package app

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// RunStatus is one run. Open are the lines that it left, while no later run of the same command and
// list took care of them.
type RunStatus struct {
	Run        string    `json:"run"`
	State      string    `json:"state"`
	Generation int64     `json:"generation,omitempty"`
	Calls      int       `json:"calls"`
	Credits    int64     `json:"credits"`
	Liability  Liability `json:"unsettled"`
	Deferred   int64     `json:"deferred_lines"`
	Open       int64     `json:"open_lines"`
	InDoubt    int64     `json:"held_lines"`
	List       string    `json:"list"`
	Service    string    `json:"service"`       // the command that began it
	Job        string    `json:"job,omitempty"` // of a job file, which it belongs to

	Started     time.Time     `json:"started"`
	Finished    *time.Time    `json:"finished"`             // null: it is not published
	Seconds     *int64        `json:"took_seconds"`         // between the two
	Since       string        `json:"window_since"`         // day; empty for services without a window
	SinceLast   bool          `json:"since_last,omitempty"` // of the window, it asked for what the lake did not have
	Until       string        `json:"window_until"`
	Lines       int64         `json:"lines"` // with a status, or answered so far
	ListRecords int64         `json:"list_records,omitempty"`
	Events      *int64        `json:"events"`         // rows written to the event tables; null: not known
	New         *int64        `json:"new_events"`     // of these; null: not known
	Changed     *int64        `json:"changed_events"` // further revisions of known ones
	Known       *int64        `json:"known_events"`   // paid for, and not written: the lake had them
	RateLimited *int64        `json:"http_429"`
	Exit        *int          `json:"exit_code"` // null: not published, or closed by another command
	Stop        string        `json:"stop,omitempty"`
	OnWire      int           `json:"calls_on_the_wire,omitempty"` // of a running one
	Process     *HolderStatus `json:"process,omitempty"`           // of a running one
}

// HolderStatus is the process that has the lock of a lake.
type HolderStatus struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// seriesOf identifies what a run asks and about which list, whatever the list holds tonight: a later
// run of the same series takes care of the lines that it left.
func seriesOf(r *ledger.Run) string {
	if r.Rereads != "" {
		return r.ID
	}
	list := r.URI
	if list == "-" {
		list = r.Input
	}
	return commandDigest(unpartitioned(r.Settings), list)
}

// isSameSeries reports whether two runs have the same seriesOf without working it out.
func isSameSeries(a, b *ledger.Run) bool {
	return a.Rereads == "" && b.Rereads == "" && a.URI == b.URI && (a.URI != "-" || a.Input == b.Input) && maps.Equal(a.Settings, b.Settings)
}

// listOf names the list of a run for people, or what it asks about without one.
func listOf(r *ledger.Run) string {
	if serviceOf(r) == VisitorsName {
		return r.Settings["domain"]
	}
	return r.URI
}

// serviceOf is the command that began a run.
func serviceOf(r *ledger.Run) string { return orDefault(r.Settings[serviceSetting], "run") }

// newestRuns are those without a later run of the same series, or of the same command about the same
// content: a list may have moved.
func newestRuns(runs []*ledger.Run) map[*ledger.Run]bool {
	newest, later := map[*ledger.Run]bool{}, map[string]bool{}
	var before *ledger.Run // mostly of the same series
	series := ""
	for _, r := range slices.Backward(runs) {
		if before == nil || !isSameSeries(r, before) {
			series = seriesOf(r)
		}
		before = r
		key := commandKey(&r.RunSpec)
		newest[r] = !later[series] && !later[key]
		later[series], later[key] = true, true
	}
	return newest
}

// statusReader finds out from the journal how the runs of a lake stand, and which of them left something
// to continue.
type statusReader struct {
	lake   *lake
	newest map[*ledger.Run]bool // see newestRuns
}

func newStatusReader(l *lake) *statusReader {
	return &statusReader{l, newestRuns(l.ledger.Runs())}
}

// runStatus says what a run did.
func (s *statusReader) runStatus(ctx context.Context, r *ledger.Run) RunStatus {
	l := s.lake.ledger
	status := RunStatus{
		Run: r.ID, State: s.runState(r), Calls: r.CallCount(), Credits: r.ChargedCredits(), Liability: newLiability(l.Bill().Liability(r)),
		List: listOf(r), Service: serviceOf(r), Job: r.Job, Started: r.FirstStarted.UTC(), ListRecords: r.ListRecords,
	}
	status.Since, status.Until = windowOf(r)
	status.SinceLast = r.Settings["since"] == sinceLast
	if r.Published == nil {
		status.Lines = answeredEntities(r)
		if s.newest[r] && isCommand(r) {
			status.Open = max(0, r.ListRecords-status.Lines)
		}
		return status
	}
	finished := r.Published.Time.UTC()
	seconds := int64(finished.Sub(status.Started) / time.Second)
	status.Finished, status.Seconds = &finished, &seconds
	status.Generation, status.Deferred, status.InDoubt = r.Published.Generation, r.Published.Deferred, r.Published.Held
	totals, err := l.Reader().Totals(ctx, r)
	if err != nil { // the manifest of an old run may be lost
		s.lake.env.Log.Warn("the figures of a run cannot be read", "run", r.ID, "error", err)
	} else {
		status.Lines, status.Events, status.RateLimited, status.Stop = totals.Lines, &totals.Events, &totals.RateLimited, string(totals.Stop)
		if totals.HasEvents() {
			status.New, status.Changed, status.Known = &totals.New, &totals.Changed, &totals.Known
		}
		if r.Rereads == "" && totals.Stop != pipeline.StopClosed {
			exit := RunExit(r.Published.Outcome, totals.Stop, totals.Excess)
			if exit == ExitRejects && r.Published.RejectsAllowed {
				exit = ExitComplete
			}
			if l.Narrowing(r).OpenAtEnd() {
				exit = max(exit, ExitInDoubt)
			}
			status.Exit = &exit
		}
	}
	if s.newest[r] && isCommand(r) {
		if status.Open = status.Deferred; r.Published.InputUnread && err == nil {
			status.Open = max(status.Deferred, r.ListRecords-(totals.Lines-status.Deferred))
		}
	}
	return status
}

// answeredEntities is the number of entities in the calls of a run that have an answer.
func answeredEntities(r *ledger.Run) (n int64) {
	for _, c := range r.Calls {
		if c.IsAnswered() && c.Query.Service() != pipeline.Search {
			n += int64(c.Entities)
		}
	}
	return n
}

// windowOf is the window of a run's queries, by days; empty of a service without one.
func windowOf(r *ledger.Run) (since, until string) {
	for _, q := range r.Queries {
		if q.Service() != pipeline.Signals && q.Service() != pipeline.Visits {
			continue
		}
		if since == "" || q.Since < since {
			since = q.Since
		}
		until = max(until, q.Until)
	}
	return since, until
}

// ListStatus is how the runs of one job about one list stand, or those of one command outside of jobs.
type ListStatus struct {
	List     string     `json:"list"`
	Service  string     `json:"service"`
	Job      string     `json:"job,omitempty"`
	Runs     int        `json:"runs"`
	LastRun  string     `json:"last_run"`
	LastGood string     `json:"last_good_run,omitempty"`
	GoodAt   *time.Time `json:"last_good_finished"` // null: none ended well
	Age      *int64     `json:"age_seconds"`        // of the last good run, since it finished
	Open     int64      `json:"open_lines"`         // not requested since
	Stale    bool       `json:"stale"`              // older than --max-age

	lastStarted time.Time
}

// listStatuses are those of the lake's jobs and lists, in the order of their first runs. maxAge is 0 if
// no age is too old.
func (s *statusReader) listStatuses(runs []RunStatus, maxAge time.Duration) []ListStatus {
	lists := []ListStatus{}
	byID := map[string]*ledger.Run{}
	for _, r := range s.lake.ledger.Runs() {
		byID[r.ID] = r
	}
	for _, r := range runs {
		run := byID[r.Run]
		if !isCommand(run) { // there may be no delivery for days
			continue
		}
		i := slices.IndexFunc(lists, func(s ListStatus) bool { return s.List == r.List && s.Service == r.Service && s.Job == r.Job })
		if i < 0 {
			i = len(lists)
			lists = append(lists, ListStatus{List: r.List, Service: r.Service, Job: r.Job})
		}
		list := &lists[i]
		list.Runs++
		list.LastRun, list.lastStarted = r.Run, r.Started
		list.Open += r.Open
		if r.Finished != nil && s.endedWell(run, r.Exit) && run.Settings["sample"] == "" { // a sample leaves the rest of the list
			list.LastGood, list.GoodAt = r.Run, r.Finished
		}
	}
	now := s.lake.env.Now()
	for i := range lists {
		list := &lists[i]
		if list.GoodAt != nil {
			age := max(0, int64(now.Sub(*list.GoodAt)/time.Second))
			list.Age = &age
		}
		list.Stale = maxAge > 0 && (list.GoodAt == nil || now.Sub(*list.GoodAt) > maxAge) && !list.isReplaced(lists, now.Add(-maxAge))
	}
	return lists
}

// isReplaced reports whether runs by hand ended before a moment, and a job has run the same command
// about the same list since.
func (s *ListStatus) isReplaced(lists []ListStatus, before time.Time) bool {
	return s.Job == "" && s.lastStarted.Before(before) && slices.ContainsFunc(lists, func(o ListStatus) bool {
		return o.Job != "" && o.List == s.List && o.Service == s.Service && o.lastStarted.After(s.lastStarted)
	})
}

// endedWell reports whether a published run left nothing to do: by its exit code, or because what it
// left in doubt was decided since.
func (s *statusReader) endedWell(r *ledger.Run, exit *int) bool {
	if exit == nil {
		return false
	}
	code := *exit
	if code == ExitInDoubt {
		code = OutcomeExit(currentOutcome(s.lake.ledger, r))
		if r.HasUnaskedLines() {
			code = ExitDeferred
		}
	}
	return code == ExitComplete || code == ExitRejects || code == ExitUnexplained
}

// HistoryOptions say which runs siglake runs lists.
type HistoryOptions struct {
	Lake  string
	List  string // only its runs; empty: all
	Job   string // only its runs; empty: all
	Since string // only runs that started on this day or later: a date or an age; empty: all
	Last  int    // only so many of the newest; 0: all
	Month bool   // one line per month and list
	Store StoreOptions
}

// History is what siglake runs prints, with --json as it is.
type History struct {
	Lake   string      `json:"lake"`
	Runs   []RunStatus `json:"runs,omitempty"`   // oldest first
	Months []MonthLine `json:"months,omitempty"` // instead, with --month
}

// MonthLine sums up the runs of a command about a list that started in one month.
type MonthLine struct {
	Month       string `json:"month"` // 2026-11
	Service     string `json:"service"`
	List        string `json:"list"`
	Runs        int    `json:"runs"`
	Good        int    `json:"runs_that_ended_well"`
	Seconds     int64  `json:"took_seconds"`
	Calls       int64  `json:"calls"`
	RateLimited int64  `json:"http_429"`
	Credits     int64  `json:"credits"`
	Events      int64  `json:"events"`
	New         int64  `json:"new_events"` // of runs of which it is known, as the next two
	Changed     int64  `json:"changed_events"`
	Known       int64  `json:"known_events"`
}

// ReadHistory lists the runs of a lake, from its journal.
func ReadHistory(ctx context.Context, env *Env, o HistoryOptions) (*History, error) {
	var since time.Time
	if o.Since != "" && o.Since != sinceLast { // which SIGLAKE_SINCE may be, for the runs themselves
		var err error
		if since, err = parseDay("--since", o.Since, env.Now().UTC().Truncate(24*time.Hour)); err != nil {
			return nil, err
		}
	}
	if o.Last < 0 {
		return nil, UsageErrorf("--last %d: expected a number of runs, or 0 for all", o.Last)
	}
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, readOnly)
	if err != nil {
		return nil, err
	}
	defer l.close() //nolint:errcheck // nothing was written
	runs, err := newStatusReader(l).runStatuses(ctx, o.List, o.Job, l.holder(ctx))
	if err != nil {
		return nil, err
	}
	runs = slices.DeleteFunc(runs, func(r RunStatus) bool { return r.Started.Before(since) })
	if o.Last > 0 {
		runs = runs[max(0, len(runs)-o.Last):]
	}
	h := &History{Lake: l.uri, Runs: runs}
	if o.Month {
		h.Runs, h.Months = nil, sumMonths(runs)
	}
	return h, nil
}

// runStatuses are those of the runs of a job, and about a list; of all if both are empty. Names without
// a run are an error: they are most likely misspelt.
func (s *statusReader) runStatuses(ctx context.Context, list, job string, holder *HolderStatus) ([]RunStatus, error) {
	last, all := lastCommand(s.lake.ledger.Runs()), []RunStatus{}
	lists, jobs := map[string]bool{}, map[string]bool{}
	for _, r := range s.lake.ledger.Runs() {
		lists[listOf(r)] = true
		if r.Job != "" {
			jobs[r.Job] = true
		}
		if list != "" && listOf(r) != list || job != "" && r.Job != job {
			continue
		}
		status := s.runStatus(ctx, r)
		if r == last && r.Published == nil && holder.worksOn(r) {
			status.Process, status.State, status.Open = holder, "running", 0
			for _, c := range r.Calls {
				if !c.IsAnswered() {
					status.OnWire++
				}
			}
		}
		all = append(all, status)
	}
	switch {
	case list != "" && !lists[list]:
		return nil, UsageErrorf("--list %s: no run of this lake is about it; %s", list, namesText(lists, "the lake has runs about", "the lake has no run yet"))
	case job != "" && !jobs[job]:
		return nil, UsageErrorf("--job %s: no run of this lake belongs to it; %s", job, namesText(jobs, "the lake has runs of", "no run of the lake belongs to a job"))
	case list != "" && job != "" && len(all) == 0:
		return nil, UsageErrorf("--job %s and --list %s: the job has no run about this list", job, list)
	}
	return all, nil
}

// namesText lists names behind some words; without names it is another text.
func namesText(names map[string]bool, words, none string) string {
	if len(names) == 0 {
		return none
	}
	return words + " " + strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}

// demoName is the command that runs a sample list.
const demoName = "demo"

// worksOn reports whether the process is one that makes a run like this: not siglake compact.
func (h *HolderStatus) worksOn(r *ledger.Run) bool {
	return h != nil && slices.Contains([]string{serviceOf(r), ResumeName, demoName}, strings.TrimPrefix(h.Command, "siglake "))
}

// sumMonths sums up runs by month and list, oldest first.
func sumMonths(runs []RunStatus) []MonthLine {
	months := []MonthLine{}
	for _, r := range runs {
		month := r.Started.Format("2006-01")
		i := slices.IndexFunc(months, func(m MonthLine) bool { return m.Month == month && m.List == r.List && m.Service == r.Service })
		if i < 0 {
			i = len(months)
			months = append(months, MonthLine{Month: month, List: r.List, Service: r.Service})
		}
		m := &months[i]
		m.Runs++
		m.Calls += int64(r.Calls)
		m.Credits += r.Credits
		for _, part := range []struct {
			sum  *int64
			part *int64
		}{{&m.Seconds, r.Seconds}, {&m.RateLimited, r.RateLimited}, {&m.Events, r.Events}, {&m.New, r.New}, {&m.Changed, r.Changed}, {&m.Known, r.Known}} {
			if part.part != nil {
				*part.sum += *part.part
			}
		}
		if r.Exit != nil && (*r.Exit == ExitComplete || *r.Exit == ExitRejects || *r.Exit == ExitUnexplained) {
			m.Good++
		}
	}
	slices.SortStableFunc(months, func(a, b MonthLine) int {
		return cmp.Or(cmp.Compare(a.Month, b.Month), cmp.Compare(a.Service, b.Service), cmp.Compare(a.List, b.List))
	})
	return months
}
