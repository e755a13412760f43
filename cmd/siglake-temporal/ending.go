package main

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
)

// ending is how an attempt ended, by its exit code and by what siglake logged.
type ending struct {
	ExitCode int        `json:"exit_code"`
	Signaled bool       `json:"signaled,omitempty"` // it did not exit: a signal ended it
	Reason   string     `json:"reason,omitempty"`
	RetryAt  *time.Time `json:"retry_at,omitempty"`
	Lake     string     `json:"lake,omitempty"`
	Lists    []string   `json:"lists,omitempty"`
	Lines    int64      `json:"lines"`
	Deferred int64      `json:"deferred"`
	Held     int64      `json:"held"`
	// Of all attempts that could say it, by their runs.
	Credits int64 `json:"credits"`
	// What calls in doubt, and charges that cannot be read, can have cost in addition.
	InDoubtCeiling int64 `json:"credits_in_doubt_at_most"`
	UnknownCeiling int64 `json:"credits_unknown_at_most"`
}

// memory is what heartbeats say of an attempt: to people, how far it is, and to the next attempt, what it has to know.
type memory struct {
	Lines    int64 `json:"lines"`
	Of       int64 `json:"of,omitempty"` // 0: the length of the list is not known
	Calls    int64 `json:"calls"`
	Events   int64 `json:"events"`
	Credits  int64 `json:"credits"` // of the run under way
	Deferred int64 `json:"deferred"`
	Held     int64 `json:"held"`
	// The credits that runs of this and earlier attempts stated at their end.
	Runs map[string]int64 `json:"runs,omitempty"`
	// Ends in a row that stated no time for the next attempt.
	Failures int `json:"failures,omitempty"`
}

// logLine is a line of siglake's JSON log, as far as it is read here.
type logLine struct {
	Message  string     `json:"msg"`
	Level    string     `json:"level"`
	Run      string     `json:"run"`
	Lake     string     `json:"lake"`
	List     string     `json:"list"`
	Reason   string     `json:"reason"`
	RetryAt  *time.Time `json:"retry_at"`
	Lines    int64      `json:"lines"`
	Of       int64      `json:"of"`
	Calls    int64      `json:"calls"`
	Events   int64      `json:"events"`
	Credits  int64      `json:"credits"`
	Deferred int64      `json:"deferred"`
	Held     int64      `json:"held"`
	InDoubt  int64      `json:"credits_in_doubt_at_most"`
	Unknown  int64      `json:"credits_unknown_at_most"`
}

// logReader follows the log of an attempt. Its methods may be called at the same time.
type logReader struct {
	mu     sync.Mutex
	memory memory
	end    ending
	failed string // the last message of an error
}

// newLogReader goes on with what an earlier attempt remembered.
func newLogReader(earlier memory) *logReader {
	if earlier.Runs == nil {
		earlier.Runs = map[string]int64{}
	}
	return &logReader{memory: memory{Runs: earlier.Runs, Failures: earlier.Failures}}
}

// readLine takes up a line of the log. Lines that are not JSON say nothing.
func (r *logReader) readLine(text []byte) {
	var l logLine
	if json.Unmarshal(text, &l) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &r.memory
	switch {
	case l.Message == "progress":
		m.Lines, m.Of, m.Calls, m.Events, m.Credits, m.Deferred, m.Held = l.Lines, l.Of, l.Calls, l.Events, l.Credits, l.Deferred, l.Held
	case l.Message == "run finished":
		m.Lines, m.Of, m.Calls, m.Events, m.Credits, m.Deferred, m.Held = l.Lines, l.Lines, l.Calls, l.Events, l.Credits, l.Deferred, l.Held
		if l.Run != "" { // an attempt that finds nothing to do states no credits
			m.Runs[l.Run] = max(m.Runs[l.Run], l.Credits)
		}
		r.finish(&l)
	case l.Level == "ERROR":
		r.failed = shorten(l.Message)
	}
}

// finish takes up the end of a run. A job with several lists has several.
func (r *logReader) finish(l *logLine) {
	e := &r.end
	e.Lake = l.Lake
	if l.List != "" && !slices.Contains(e.Lists, l.List) {
		e.Lists = append(e.Lists, l.List)
	}
	e.Lines, e.Deferred, e.Held = e.Lines+l.Lines, e.Deferred+l.Deferred, e.Held+l.Held
	e.InDoubtCeiling, e.UnknownCeiling = e.InDoubtCeiling+l.InDoubt, e.UnknownCeiling+l.Unknown
	if l.Reason != "" {
		e.Reason = shorten(l.Reason)
	}
	if l.RetryAt != nil && (e.RetryAt == nil || l.RetryAt.After(*e.RetryAt)) {
		e.RetryAt = l.RetryAt
	}
}

// progress is what a heartbeat says. The next heartbeat has a value of its own.
func (r *logReader) progress() memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.memory
	m.Runs = make(map[string]int64, len(r.memory.Runs))
	for run, credits := range r.memory.Runs {
		m.Runs[run] = credits
	}
	return m
}

// endWith is the end of the attempt, whose log has ended, too.
func (r *logReader) endWith(code int, isSignaled bool) *ending {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end.ExitCode, r.end.Signaled = code, isSignaled
	if r.end.Reason == "" && code != exitComplete {
		r.end.Reason = r.failed
	}
	r.end.Credits = 0
	for _, credits := range r.memory.Runs {
		r.end.Credits += credits
	}
	switch p := policyOf(&r.end); {
	case p.action == retryLater && r.end.RetryAt == nil:
		r.memory.Failures++
	case p.action != retrySoon:
		r.memory.Failures = 0
	}
	e := r.end
	return &e
}

// maxReason is how many bytes of a reason a history has.
const maxReason = 2000

// shorten cuts a text that is too long for a history.
func shorten(text string) string {
	if len(text) <= maxReason {
		return text
	}
	return strings.ToValidUTF8(text[:maxReason], "") + "…"
}
