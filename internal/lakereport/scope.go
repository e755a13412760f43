package lakereport

import (
	"fmt"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/format"
)

// Scope says what a report is about. The zero value is all of the lake.
type Scope struct {
	Run   string    // an id: only what this run bought, cost and left
	Since time.Time // the beginning of a day in UTC: only events first seen and runs started since then
}

// describe says what the report is about.
func (s *Scope) describe() string {
	switch {
	case s.Run != "":
		return "Run " + Shown(s.Run)
	case !s.Since.IsZero():
		return "Since " + s.Since.Format(time.DateOnly)
	}
	return "All runs"
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

func (s *Scope) eventsFrom() string { return "FROM events" + where(s.eventsSQL()) }
func (s *Scope) callsFrom() string  { return "FROM calls" + where(s.ofRunsSQL()) }
func (s *Scope) runsFrom() string   { return "FROM runs" + where(s.runsSQL()) }

// countHitsSQL counts what became of lines.
const countHitsSQL = "count(*) AS lines, count(*) FILTER (WHERE a.status = 'rejected') AS rejected, count(a.answered_status) AS answered,\n" +
	"  count(*) FILTER (WHERE a.answered_status IN ('enriched', 'no_signal', 'resolved')) AS found, count(h.identifier) AS with_events\n"

// linesSQL is the lines of the period: those of a run as it left them, else as the newest run of each left it.
func (s *Scope) linesSQL() string {
	if s.Run != "" {
		return "(SELECT object_type, identifier_type, identifier, input_file, input_column, status, reason, extra,\n" +
			"    CASE WHEN status IN ('enriched', 'no_signal', 'resolved', 'not_found', 'restricted') THEN status END AS answered_status FROM accounts" + where(s.runsSQL()) + ")"
	}
	return "(SELECT * FROM accounts_latest" + where(s.ofRunsSQL()) + ")"
}

// rejectedFrom is the rejected lines of the period.
func (s *Scope) rejectedFrom() string {
	return "FROM " + s.linesSQL() + " AS a WHERE status = 'rejected'"
}

// keptSQL is a kept column of lines, by its name; NULL: it is empty, or the list has none.
func keptSQL(of, name string) string {
	return "nullif(json_extract_string(" + of + ".extra, " + quoted("/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name)) + "), '')"
}

// keepsSQL is the condition that the list of a line has a value in a kept column.
func (s *Scope) keepsSQL(name string) string {
	return "coalesce(a.input_file, '') IN (SELECT coalesce(k.input_file, '') FROM " + s.linesSQL() + " AS k WHERE " + keptSQL("k", name) + " IS NOT NULL)"
}

// hitLinesSQL is the lines of the period, and whether they have new events.
func (s *Scope) hitLinesSQL() string {
	return "FROM " + s.linesSQL() + " AS a\n" +
		"  LEFT JOIN (SELECT DISTINCT i.object_type, i.identifier_type, i.identifier FROM entities AS i JOIN (SELECT DISTINCT object_type, entity_id " + s.eventsFrom() + ") AS e\n" +
		"    ON e.object_type = i.object_type AND e.entity_id = i.entity_id) AS h\n" +
		"  ON h.object_type = a.object_type AND h.identifier_type = a.identifier_type AND h.identifier = a.identifier"
}

// hitShareSQL is the share of lines of which something is true.
func (s *Scope) hitShareSQL(count string) string {
	return "SELECT round(1000.0 * " + count + " / nullif(answered, 0)) / 10\nFROM (SELECT " + countHitsSQL + "  " + s.hitLinesSQL() + ")"
}

// hitSQL counts what became of lines by groups: of those that meet a condition, or of all.
func (s *Scope) hitSQL(condition string, groups ...string) string {
	var names []string
	for _, g := range groups {
		_, name, _ := strings.Cut(g, " AS ")
		names = append(names, name)
	}
	return "SELECT *, round(1000.0 * found / nullif(answered, 0)) / 10 AS found_share, round(1000.0 * with_events / nullif(answered, 0)) / 10 AS events_share\n" +
		"FROM (SELECT " + strings.Join(groups, ", ") + ", " + countHitsSQL + "  " + s.hitLinesSQL() + where(condition) + " GROUP BY " + numbers(len(groups)) + ")\nORDER BY lines DESC, " + strings.Join(names, ", ")
}

// ofSignalsSQL is the credits of the runs that request signals or publish delivered ones: what ids and scores cost
// bought no event.
const ofSignalsSQL = "CAST(sum(credits) FILTER (WHERE coalesce(command, 'run') IN ('run', 'webhooks')) AS BIGINT)"

// creditsSQL is the charges of the runs of the period: 0 without a run, unless the lake knows of none.
func (s *Scope) creditsSQL() string {
	return "SELECT CASE WHEN count(*) > 0 THEN CAST(sum(credits) AS BIGINT) WHEN (SELECT count(*) FROM runs) > 0 THEN 0 END " + s.runsFrom()
}

// numbers are those of the first columns.
func numbers(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint(i+1))
	}
	return strings.Join(list, ", ")
}
