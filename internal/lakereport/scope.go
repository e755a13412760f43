package lakereport

import (
	"strings"
	"time"

	"github.com/siglake/siglake/internal/format"
)

// Scope says what a report is about. The zero value is all of the lake.
type Scope struct {
	Run   string    // an id: only what this run bought, cost and left
	Since time.Time // the beginning of a day in UTC: only events first seen and runs started since then
}

// hasEvent reports whether an event came in the period.
func (s *Scope) hasEvent(r *row) bool {
	switch {
	case s.Run != "":
		return string(r.bytes("run_id")) == s.Run
	case !s.Since.IsZero():
		seen := r.number("first_seen_at")
		if !seen.ok { // rows from before there were revisions
			seen = r.number("fetched_at")
		}
		return seen.ok && seen.n >= s.Since.UnixMicro()
	}
	return true
}

// hasRun reports whether a run belongs to the period.
func (s *Scope) hasRun(id string, started number) bool {
	switch {
	case s.Run != "":
		return id == s.Run
	case !s.Since.IsZero():
		return started.ok && started.n >= s.Since.UnixMicro()
	}
	return true
}

// The conditions of the same meaning in SQL, as they stand in the queries.

func (s *Scope) sinceSQL() string {
	return "TIMESTAMPTZ '" + s.Since.Format(time.DateOnly) + " 00:00:00+00'"
}

func (s *Scope) eventsSQL() string {
	switch {
	case s.Run != "":
		return "run_id = " + quoted(s.Run)
	case !s.Since.IsZero():
		return "coalesce(first_seen_at, fetched_at) >= " + s.sinceSQL()
	}
	return ""
}

// runsSQL is the condition on rows of the view runs.
func (s *Scope) runsSQL() string {
	switch {
	case s.Run != "":
		return "run_id = " + quoted(s.Run)
	case !s.Since.IsZero():
		return "started_at >= " + s.sinceSQL()
	}
	return ""
}

// ofRunsSQL is the condition on rows that name their run.
func (s *Scope) ofRunsSQL() string {
	if s.Run == "" && !s.Since.IsZero() {
		return "run_id IN (SELECT run_id FROM runs WHERE " + s.runsSQL() + ")"
	}
	return s.runsSQL()
}

// where joins conditions, of which some are empty.
func where(conditions ...string) string {
	var given []string
	for _, c := range conditions {
		if c != "" {
			given = append(given, c)
		}
	}
	if len(given) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(given, " AND ")
}

// quoted is a text in SQL. One with invisible characters, which no run and no kept column has, finds nothing.
func quoted(s string) string { return "'" + strings.ReplaceAll(format.Text(s), "'", "''") + "'" }
