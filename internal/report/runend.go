package report

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// RunEnd is how a command that buys ended, whatever ended it: the last line of a JSON log, metrics
// and notifications are made of it.
type RunEnd struct {
	Job, Command, Lake, List string // empty: not known, or none
	Started, Finished        time.Time
	ExitCode                 int
	// Why it is not complete, or what the command could not do.
	Reason string
	// What a monitor should hear although the command has done what it was for; empty: nothing.
	Warning string
	// A run of the command before this one ended in the same way, for the same reason.
	Repeats bool
	// The runs that it published. A policy about calls in doubt can make two of them.
	Runs []*pipeline.Manifest
	// Calls in doubt of earlier runs that may have bought what the last run therefore did not ask for.
	Undecided app.UndecidedCalls
	// Nil unless the command had nothing to do.
	Nothing *app.NothingToDo
	// The command can buy nothing: without a run, events and credits say nothing about it.
	Free bool
	// What the command did, if it is not a run; nil: not known.
	Figures *Figures
}

// Figures are what a command did that is not a run.
type Figures struct {
	Text   string           // in one line, for people
	Values map[string]int64 // for machines
}

// hasRun reports whether events and credits say something about the command.
func (e *RunEnd) hasRun() bool { return !e.Free || len(e.Runs) > 0 || e.Nothing != nil }

// IsSuccess reports whether a monitor should be content: all was requested and answered that could
// be, and nothing is left to decide.
func (e *RunEnd) IsSuccess() bool { return e.ExitCode == 0 || e.ExitCode == 10 }

// RunSummary are the figures of a RunEnd, for machines. Credits are the stated charges; the other
// two are what calls can have cost in addition.
type RunSummary struct {
	Job      string `json:"job,omitempty"`
	Command  string `json:"command"`
	Run      string `json:"run,omitempty"` // the last one
	Lake     string `json:"lake"`
	List     string `json:"list"`
	Window   string `json:"window,omitempty"` // first and last day, or last and a day for --since last
	Outcome  string `json:"outcome,omitempty"`
	ExitCode int    `json:"exit_code"`
	Reason   string `json:"reason,omitempty"`
	// Earliest useful time to run again; absent: nothing is left, or the time is not known.
	RetryAt *time.Time `json:"retry_at,omitempty"`

	Lines    int64 `json:"lines"`
	Rejected int64 `json:"rejected"`
	Deferred int64 `json:"deferred"`
	Held     int64 `json:"held"`

	Calls         int64                      `json:"calls"`
	CallsByResult map[pipeline.Outcome]int64 `json:"calls_by_outcome,omitempty"`
	Events        int64                      `json:"events"`
	NewEvents     int64                      `json:"new_events"`
	ChangedEvents int64                      `json:"changed_events"` // further revisions of known ones
	KnownEvents   int64                      `json:"known_events"`   // returned although the lake has them
	Duplicates    int64                      `json:"duplicate_events"`
	Filtered      int64                      `json:"filtered_events"`

	// New events that webhooks delivered since the nightly run before, and that polling found of what is subscribed to;
	// absent: the command is not nightly, or the lake has no webhooks.
	Delivered *int64 `json:"delivered_events,omitempty"`
	Polled    *int64 `json:"found_by_polling_events,omitempty"`

	Credits        int64 `json:"credits"`
	UnknownCeiling int64 `json:"credits_unknown_at_most"`
	InDoubtCeiling int64 `json:"credits_in_doubt_at_most"`
	BeyondEvents   int64 `json:"credits_beyond_events"`

	// What the command did, if it is not a run; absent: it is one.
	Figures map[string]int64 `json:"figures,omitempty"`

	// In how many ways answers differ from what the schema knows, and the first of them.
	Drift      int    `json:"drift,omitempty"`
	DriftFirst string `json:"drift_first,omitempty"`

	Generation int64     `json:"generation,omitempty"`
	Started    time.Time `json:"started"`
	Finished   time.Time `json:"finished"`
	DurationMS int64     `json:"duration_ms"`
}

// Summary sums up the runs: money, calls and events of all, lines of the last.
func (e *RunEnd) Summary() RunSummary {
	s := RunSummary{
		Job: e.Job, Command: e.Command, Lake: e.Lake, List: e.List, ExitCode: e.ExitCode, Reason: e.Reason,
		Started: e.Started.UTC(), Finished: e.Finished.UTC(), DurationMS: e.Finished.Sub(e.Started).Milliseconds(), CallsByResult: map[pipeline.Outcome]int64{},
	}
	if e.Figures != nil {
		s.Figures = e.Figures.Values
	}
	for _, m := range e.Runs {
		s.Credits += m.Credits.Charged
		s.UnknownCeiling += m.Credits.UnknownCeiling
		s.InDoubtCeiling += m.Credits.InDoubtCeiling
		s.BeyondEvents += m.Credits.Excess
		s.Calls += m.Calls.Total
		for outcome, n := range m.Calls.ByOutcome {
			s.CallsByResult[outcome] += n
		}
		s.Events += m.Events.Returned
		s.NewEvents += m.Events.New
		s.ChangedEvents += m.Events.Changed
		s.KnownEvents += m.Events.Known
		s.Duplicates += m.Events.Duplicate
		s.Filtered += m.Events.Filtered
		if m.Drift != nil && m.Drift.Differences > s.Drift {
			s.Drift, s.DriftFirst = m.Drift.Differences, m.Drift.Found[0].Describe()
		}
	}
	if m := e.last(); m != nil {
		by := m.Accounts.ByStatus
		s.Lines, s.Rejected, s.Deferred, s.Held = m.Accounts.Lines, by[schema.Rejected], by[schema.Deferred], by[schema.InDoubt]
		if w := m.Run.Webhooks; w != nil {
			s.Delivered, s.Polled = &w.Delivered, &w.Polled
		}
		s.Run, s.Generation, s.Outcome, s.Window = m.Run.ID, m.Generation, string(m.Run.Outcome), windowOf(m)
		if m.Run.Stop != nil {
			s.RetryAt = m.Run.Stop.RetryAt
		}
		if s.Reason == "" {
			s.Reason = stopReason(m)
		}
		if s.Reason == "" && len(e.Undecided.Calls) > 0 {
			s.Reason = fmt.Sprintf("%s of earlier runs in doubt, 0 to %s: siglake held decides", format.Count(len(e.Undecided.Calls), "call"), format.Count(e.Undecided.MaxCost, "credit"))
		}
	} else if n := e.Nothing; n != nil {
		s.Run, s.Generation, s.Outcome = n.RunID, n.Generation, string(n.Outcome)
		if s.Reason == "" {
			s.Reason = "nothing to do"
		}
	}
	return s
}

// subject names the command, and its list if it has one.
func (s *RunSummary) subject() string { return strings.TrimSpace(s.Command + " " + s.List) }

// last is the last run; nil if there is none.
func (e *RunEnd) last() *pipeline.Manifest {
	if len(e.Runs) == 0 {
		return nil
	}
	return e.Runs[len(e.Runs)-1]
}

// windowOf is the window of a run as an interval of days; empty without one.
func windowOf(m *pipeline.Manifest) string {
	first, last := "", ""
	for _, q := range m.Queries {
		if first == "" || q.Since < first {
			first = q.Since
		}
		last = max(last, q.Until)
	}
	switch {
	case first == "":
		return ""
	case m.Run.SinceLast:
		return "last/" + last
	}
	return first + "/" + last
}

// LogEnd is the last line of a command's JSON log.
func LogEnd(log *slog.Logger, e *RunEnd) {
	s := e.Summary()
	level := slog.LevelInfo
	if !e.IsSuccess() {
		level = slog.LevelWarn
	}
	args := []any{
		"command", s.Command, "run", s.Run, "outcome", s.Outcome, "lake", s.Lake, "list", s.List, "window", s.Window,
		"lines", s.Lines, "deferred", s.Deferred, "held", s.Held, "rejected", s.Rejected,
		"calls", s.Calls, "events", s.Events, "new_events", s.NewEvents, "changed_events", s.ChangedEvents, "known_events", s.KnownEvents,
		"credits", s.Credits, "credits_unknown_at_most", s.UnknownCeiling, "credits_in_doubt_at_most", s.InDoubtCeiling, "credits_beyond_events", s.BeyondEvents,
		"generation", s.Generation, "duration_ms", s.DurationMS, "exit_code", s.ExitCode, "reason", s.Reason,
	}
	if s.Delivered != nil {
		args = append(args, "delivered_events", *s.Delivered, "found_by_polling_events", *s.Polled)
	}
	if len(s.Figures) > 0 {
		args = append(args, "figures", s.Figures)
	}
	if s.RetryAt != nil {
		args = append(args, "retry_at", s.RetryAt.UTC())
	}
	if s.Drift > 0 {
		args = append(args, "drift", s.Drift, "drift_first", s.DriftFirst)
	}
	if s.Job != "" {
		args = append([]any{"job", s.Job}, args...)
	}
	log.Log(context.Background(), level, "run finished", args...) // a line of a log is not cancelled
}

// PrintEnd is what a notification says of a command to people.
func PrintEnd(w io.Writer, e *RunEnd) {
	s := e.Summary()
	format.Fprintf(w, "siglake %s: exit %d", s.subject(), s.ExitCode)
	if s.Reason != "" {
		format.Fprintf(w, ", %s", s.Reason)
	}
	format.Fprintf(w, "\n")
	if e.Figures != nil {
		format.Fprintf(w, "%s\n", e.Figures.Text)
	}
	if e.hasRun() {
		format.Fprintf(w, "%s: %s; %s, %s deferred and %s held\n", format.Count(s.Events, "event"), knownText(s.NewEvents, s.ChangedEvents, s.KnownEvents),
			format.Count(s.Credits, "credit"), format.Count(s.Deferred, "line"), format.Thousands(s.Held))
	}
	for i, m := range e.Runs {
		undecided := e.Undecided
		if i < len(e.Runs)-1 {
			undecided = app.UndecidedCalls{}
		}
		PrintSummary(w, e.Lake, m, undecided)
	}
	if e.Nothing != nil {
		PrintNothingToDo(w, e.Nothing)
	}
}

// EndLine is a RunEnd in one line.
func EndLine(e *RunEnd) string {
	s := e.Summary()
	var parts []string
	add := func(holds bool, form string, args ...any) {
		if holds {
			parts = append(parts, fmt.Sprintf(form, args...))
		}
	}
	if e.Figures != nil {
		parts = append(parts, e.Figures.Text)
	}
	add(e.hasRun(), "%s, %s", format.Count(s.NewEvents, "new event"), format.Count(s.Credits, "credit"))
	add(s.KnownEvents > 0, "%s already in the lake", format.Count(s.KnownEvents, "event"))
	if s.Delivered != nil {
		add(true, "webhooks: %s delivered, %s found by polling", format.Thousands(*s.Delivered), format.Thousands(*s.Polled))
	}
	add(s.Deferred > 0, "%s deferred", format.Count(s.Deferred, "line"))
	add(s.Held > 0, "%s held", format.Count(s.Held, "line"))
	add(s.Drift > 0, "answers differ from what this version knows: %s", s.DriftFirst)
	add(s.Reason != "", "%s", strings.TrimSpace(s.Reason))
	return format.Text(strings.TrimSuffix(s.subject()+": "+strings.Join(parts, ", "), ": "))
}
