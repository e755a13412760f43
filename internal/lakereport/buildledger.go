package lakereport

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/siglake/siglake/schema"
)

func (c *builder) creditsSection() Section {
	return Section{ID: "credits-section", Title: "Credits", About: "As charged by the API.", Tables: []Table{
		c.daysTable(), c.listsTable(), c.commandsTable(), c.costTable(),
	}}
}

// sentDaySQL is the day on which a call was sent.
const sentDaySQL = "CAST(sent_at AT TIME ZONE 'UTC' AS DATE)"

const noCalls = "No call was made."

func (c *builder) daysTable() Table {
	t := Table{
		ID: "days", Title: "Credits by day", About: "By the day on which a call was sent, in UTC.", Columns: []Column{
			{ID: "day", Title: "Day", Kind: Day}, {ID: "credits", Title: "Credits", Kind: Count}, {ID: "calls", Title: "Calls", Kind: Count}, {ID: "unknown_charges", Title: "Charge unknown", Kind: Count, Minor: true},
		},
		Empty: noCalls, Chart: &Chart{X: "day", Series: []string{"credits"}, Step: 1, Unit: "credits"},
		SQL: "SELECT " + sentDaySQL + " AS day, CAST(sum(credits) AS BIGINT) AS credits, count(*) AS calls,\n" +
			"  count(*) FILTER (WHERE outcome = 'charged' AND credits IS NULL) AS unknown_charges " + c.scope.callsFrom() + " GROUP BY 1 ORDER BY day DESC NULLS LAST",
	}
	for _, day := range c.calls.sortedDays() {
		d := c.calls.days[day]
		t.Rows = append(t.Rows, []any{dayValue(day), d.credits.value(), d.calls, d.unknown})
	}
	t.limit(maxDays, "The others are in the view calls.")
	return t
}

func (c *builder) listsTable() Table {
	t := Table{
		ID: "cost_by_list", Title: "By list", About: "New events as the runs counted them. A new event cost what the runs cost that request signals: ids and scores are left out.", Columns: []Column{
			{ID: "list", Title: "List", Kind: Text}, {ID: "runs", Title: "Runs", Kind: Count, Minor: true}, {ID: "new_events", Title: "New events", Kind: Count}, {ID: "credits", Title: "Credits", Kind: Count},
			{ID: "signal_credits", Title: "For signals", Kind: Count, Minor: true}, {ID: "credits_per_event", Title: "Per new event", Kind: Decimal}, {ID: "last_run", Title: "Last run", Kind: Time, Minor: true},
		},
		Empty: "No run in this period.",
		SQL: "SELECT list, runs, new_events, credits, signal_credits, round(100.0 * signal_credits / nullif(new_events, 0)) / 100 AS credits_per_event, last_run\n" +
			"FROM (SELECT list, count(*) AS runs, CAST(sum(new_events) AS BIGINT) AS new_events, CAST(sum(credits) AS BIGINT) AS credits,\n  " + ofSignalsSQL + " AS signal_credits, max(started_at) AS last_run " + c.scope.runsFrom() + " GROUP BY list)\n" +
			"ORDER BY credits DESC NULLS LAST, runs DESC, list",
	}
	groups := groupRuns(c.period, func(r *run) string { return r.list })
	for i := range groups {
		g := &groups[i]
		t.Rows = append(t.Rows, []any{textValue(g.name), g.runs, g.newEvents.value(), g.sum.value(), g.signals.value(), perEvent(g.signals, g.newEvents.n), g.last.timeValue()})
	}
	t.limit(maxListed, "The others are in the view runs.")
	return t
}

func (c *builder) costTable() Table {
	t := Table{
		ID: "cost_by_signal", Title: "By signal", About: "What was requested, what was returned, and what a new event cost. Returned events that the lake had already cost too. What webhooks delivered was not requested: its credits stand under By command.", Columns: []Column{
			{ID: "category", Title: "Category", Kind: Text, Minor: true}, {ID: "signal_type", Title: "Signal", Kind: Text}, {ID: "entities", Title: "Requested", Kind: Count, Minor: true}, {ID: "with_events", Title: "With events", Kind: Count, Minor: true},
			{ID: "hit_share", Title: "Hit rate", Kind: Percent, Minor: true}, {ID: "returned", Title: "Returned", Kind: Count, Minor: true}, {ID: "new_events", Title: "New events", Kind: Count, Minor: true}, {ID: "credits", Title: "Credits", Kind: Count}, {ID: "credits_per_event", Title: "Per new event", Kind: Decimal},
		},
		Empty: "The lake does not say what was requested in this period.",
		SQL: "SELECT q.category, q.signal_type, entities, with_events, round(1000.0 * with_events / nullif(entities, 0)) / 10 AS hit_share, returned,\n" +
			"  coalesce(new_events, 0) AS new_events, credits, round(100.0 * credits / nullif(new_events, 0)) / 100 AS credits_per_event\n" +
			"FROM (SELECT category, signal_type, CAST(sum(CASE WHEN outcome = 'charged' THEN entities ELSE 0 END) AS BIGINT) AS entities, CAST(sum(entities_with_events) AS BIGINT) AS with_events,\n" +
			"  CAST(sum(events) AS BIGINT) AS returned, CAST(sum(credits) AS BIGINT) AS credits FROM requests" + where(c.scope.ofRunsSQL()) + " GROUP BY 1, 2) AS q\n" +
			"LEFT JOIN (SELECT category, signal_type, count(*) AS new_events FROM events" + where("coalesce(ingest_source, '') <> '"+schema.IngestWebhook+"'", c.scope.eventsSQL()) + " GROUP BY 1, 2) AS e ON e.category = q.category AND e.signal_type = q.signal_type\n" +
			"ORDER BY credits DESC NULLS LAST, q.category, q.signal_type",
	}
	for _, q := range c.requests.sorted() {
		if s := c.events.signals[q.signalKey]; s != nil {
			q.newEvents = s.events - s.delivered
		}
		var hit any
		if q.withEvents.ok {
			hit = share(q.withEvents.n, q.entities)
		}
		t.Rows = append(t.Rows, []any{textValue(q.category), textValue(q.signal), q.entities, q.withEvents.value(), hit, q.returned.value(), q.newEvents, q.credits.value(), perEvent(q.credits, q.newEvents)})
	}
	t.limit(maxListed, "The others are in the view requests.")
	return t
}

func (c *builder) commandsTable() Table {
	t := Table{
		ID: "cost_by_command", Title: "By command", Columns: []Column{
			{ID: "command", Title: "Command", Kind: Text}, {ID: "runs", Title: "Runs", Kind: Count}, {ID: "calls", Title: "Calls", Kind: Count}, {ID: "credits", Title: "Credits", Kind: Count}, {ID: "credits_at_most", Title: "At most", Kind: Count},
		},
		About: "At most: with what calls can have cost whose charge is unknown.", Empty: "No run in this period.",
		SQL: "SELECT command, count(*) AS runs, CAST(sum(calls) AS BIGINT) AS calls, CAST(sum(credits) AS BIGINT) AS credits, CAST(sum(credits_at_most) AS BIGINT) AS credits_at_most\n" +
			c.scope.runsFrom() + " GROUP BY command ORDER BY credits DESC NULLS LAST, runs DESC, command",
	}
	groups := groupRuns(c.period, func(r *run) string { return r.command })
	for i := range groups {
		g := &groups[i]
		t.Rows = append(t.Rows, []any{textValue(g.name), g.runs, g.calls.value(), g.sum.value(), g.most.value()})
	}
	t.limit(maxListed, "")
	return t
}

// hitColumns say what became of lines.
var hitColumns = []Column{
	{ID: "lines", Title: "Lines", Kind: Count}, {ID: "rejected", Title: "Rejected", Kind: Count, Minor: true}, {ID: "answered", Title: "Answered", Kind: Count, Minor: true}, {ID: "found", Title: "Found", Kind: Count, Minor: true}, {ID: "with_events", Title: "With events", Kind: Count, Minor: true},
	{ID: "found_share", Title: "Hit rate", Kind: Percent}, {ID: "events_share", Title: "Event rate", Kind: Percent},
}

// hitRates builds what became of the lines of lists.
type hitRates struct{ *builder }

// hitRows counts what became of lines by groups: of those of some lists, or of all if lists is nil.
func (c hitRates) hitRows(lists map[string]bool, groups func(*line) [2]string, n int) (rows [][]any) {
	counts := map[[2]string]*hits{}
	c.accounts.ofPeriod(c.isSelected, func(l *line, answered string) {
		if lists != nil && !lists[l.file] {
			return
		}
		h := counts[groups(l)]
		if h == nil {
			h = &hits{}
			counts[groups(l)] = h
		}
		h.add(l, answered)
	})
	var keys [][2]string
	for k := range counts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(counts[b].lines, counts[a].lines), byText(a[0], b[0]), byText(a[1], b[1]))
	})
	for _, k := range keys {
		var row []any
		for _, g := range k[:n] {
			row = append(row, textValue(g))
		}
		h := counts[k]
		rows = append(rows, append(row, h.lines, h.rejected, h.answered, h.found, h.withEvents, share(h.found, h.answered), share(h.withEvents, h.answered)))
	}
	return rows
}

const noLines = "No line of a list in this period."

func (c hitRates) hitSection() Section {
	s := Section{ID: "hits", Title: "Hit rate", About: c.hitLines() + " The hit rate is the share of the answered lines that were found, the event rate that of lines with new events."}
	kinds := Table{ID: "hits_by_identifier", Title: "By identifier", Columns: append([]Column{{ID: "object_type", Title: "What", Kind: Text}, {ID: "identifier_type", Title: "Requested by", Kind: Text}}, hitColumns...), Empty: noLines, SQL: c.scope.hitSQL("", "a.object_type AS object_type", "a.identifier_type AS identifier_type")}
	kinds.Rows = c.hitRows(nil, func(l *line) [2]string { return [2]string{l.object, l.kind} }, 2)
	lists := Table{ID: "hits_by_list", Title: "By list", Columns: append([]Column{{ID: "input_file", Title: "List", Kind: Text}}, hitColumns...), Empty: noLines, SQL: c.scope.hitSQL("", "a.input_file AS input_file")}
	lists.Rows = c.hitRows(nil, func(l *line) [2]string { return [2]string{l.file} }, 1)
	s.Tables = append(s.Tables, kinds, lists)
	left := 0
	for i, k := range c.accounts.kept {
		if !c.accounts.isGroup(i) || len(s.Tables) == 2+maxKeptTables {
			left++
			continue
		}
		t := Table{
			ID: fmt.Sprintf("hits_by_column_%d", i+1), Title: "By column " + Shown(k.name), About: "Of the lists that have it.", Columns: append([]Column{{ID: "value", Title: Shown(k.name), Kind: Text}}, hitColumns...),
			Empty: "No list of this period has the column.", SQL: c.scope.hitSQL(c.scope.keepsSQL(k.name), keptSQL("a", k.name)+" AS value"),
		}
		t.Rows = c.hitRows(c.listsWith(i), func(l *line) [2]string { return [2]string{k.values[l.kept[i]]} }, 1)
		s.Tables = append(s.Tables, t)
	}
	switch {
	case len(c.accounts.kept) == 0:
		s.About += " A country, or any other column of a list, has a table here if siglake run --keep keeps it."
	case left > 0:
		s.About += fmt.Sprintf(" Columns of lists with more than %d values, or with few lines for each, and those beyond the first %d, have no table here.", maxKeptValues, maxKeptTables)
	}
	for i := range s.Tables {
		s.Tables[i].limit(maxListed, "The SQL gives the others.")
	}
	return s
}

// hitLines says what the lines of the hit rates are.
func (c hitRates) hitLines() string {
	if c.scope.Run != "" {
		return "The lines of the run, as it left them: it did not answer those that it held, deferred or did not request again."
	}
	return "Each line as the newest run left it."
}

// listsWith are the lists of the period that have a value in a kept column.
func (c hitRates) listsWith(column int) map[string]bool {
	lists := map[string]bool{}
	c.accounts.ofPeriod(c.isSelected, func(l *line, _ string) {
		if l.kept[column] > 0 {
			lists[l.file] = true
		}
	})
	return lists
}

// maxKeptTables is how many columns of lists have a table.
const maxKeptTables = 6

func (c *builder) openSection() Section {
	return Section{ID: "open", Title: "Rejected lines and unknown costs", Tables: []Table{c.rejectsTable(), c.doubtsTable()}}
}

func (c *builder) rejectsTable() Table {
	t := Table{
		ID: "rejects", Title: "Rejected lines by reason", About: "siglake check LIST --rejects FILE writes them to a file, to be mended.", Columns: []Column{
			{ID: "reason", Title: "Reason", Kind: Text}, {ID: "input_column", Title: "Column", Kind: Text}, {ID: "lines", Title: "Lines", Kind: Count}, {ID: "lists", Title: "Lists", Kind: Count, Minor: true},
		},
		Empty: "No line was rejected.",
		SQL: "SELECT regexp_replace(CASE WHEN reason LIKE '%\": %' THEN regexp_replace(reason, '^.*\": ', '', 's') WHEN starts_with(reason, input_column || ': ') THEN substr(reason, length(input_column) + 3)\n  ELSE reason END, 'line [0-9]+', 'a line', 'g') AS reason,\n" +
			"  input_column, count(*) AS lines, count(DISTINCT input_file) AS lists\n" +
			c.scope.rejectedFrom() + " GROUP BY 1, 2 ORDER BY lines DESC, 1, 2",
	}
	type group struct {
		reason, column string
		lines          int64
		files          map[string]bool
	}
	groups := map[[2]string]*group{}
	c.accounts.ofPeriod(c.isSelected, func(l *line, _ string) {
		if l.status != string(schema.Rejected) {
			return
		}
		key := [2]string{l.reason, l.column}
		g := groups[key]
		if g == nil {
			g = &group{key[0], key[1], 0, map[string]bool{}}
			groups[key] = g
		}
		g.lines++
		g.files[l.file] = true
	})
	var sorted []*group
	for _, g := range groups {
		sorted = append(sorted, g)
	}
	slices.SortFunc(sorted, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.lines, a.lines), byText(a.reason, b.reason), byText(a.column, b.column))
	})
	for _, g := range sorted {
		t.Rows = append(t.Rows, []any{textValue(g.reason), textValue(g.column), g.lines, int64(len(g.files))})
	}
	t.limit(maxListed, "The SQL gives the others.")
	return t
}

func (c *builder) doubtsTable() Table {
	t := Table{
		ID: "doubts", Title: "Calls of unknown cost", About: "As the runs recorded them, also those decided about since. siglake held list shows those that are still open, and siglake status what was decided.", Columns: []Column{
			{ID: "sent_at", Title: "Sent", Kind: Time}, {ID: "doubt", Title: "Why", Kind: Text}, {ID: "entities", Title: "Entities", Kind: Count, Minor: true}, {ID: "ceiling", Title: "Credits at most", Kind: Count},
			{ID: "problem", Title: "Problem", Kind: Text, Minor: true}, {ID: "run_id", Title: "Run", Kind: Text, Minor: true}, {ID: "call_id", Title: "Call", Kind: Text, Minor: true},
		},
		Total: c.calls.doubts.total, Rest: "The others are in the view calls.", Empty: "Every call that was made has a known charge.",
		SQL: "SELECT sent_at, CASE WHEN outcome = 'ambiguous' THEN '" + doubtNoAnswer + "' ELSE '" + doubtCharge + "' END AS doubt, entities, ceiling, problem, run_id, call_id\n" +
			"FROM calls" + where("(outcome = 'ambiguous' OR outcome = 'charged' AND credits IS NULL)", c.scope.ofRunsSQL()) + " ORDER BY sent_at DESC NULLS LAST, run_id, call_id",
	}
	for _, d := range c.calls.doubts.sorted() {
		t.Rows = append(t.Rows, []any{d.sent.timeValue(), textValue(d.outcome), d.entities.value(), d.ceiling.value(), textValue(d.problem), textValue(d.run), textValue(d.call)})
	}
	return t
}

func (c *builder) workSection() Section {
	return Section{ID: "work", Title: "Runs and rate limits", Tables: []Table{c.rateTable(), c.runsTable()}}
}

func (c *builder) rateTable() Table {
	t := Table{
		ID: "rate", Title: "Use of the rate limits", About: "By day, in UTC: the fewest calls that an answer left in its minute, hour and day. Refused: HTTP 429.", Columns: []Column{
			{ID: "day", Title: "Day", Kind: Day}, {ID: "calls", Title: "Calls", Kind: Count}, {ID: "busiest_minute", Title: "Busiest minute", Kind: Count, Minor: true}, {ID: "refused", Title: "Refused", Kind: Count},
			{ID: "minute_left", Title: "Left in the minute", Kind: Count, Minor: true}, {ID: "hour_left", Title: "Left in the hour", Kind: Count, Minor: true}, {ID: "day_left", Title: "Left in the day", Kind: Count},
		},
		Empty: noCalls,
		SQL: "SELECT day, CAST(sum(n) AS BIGINT) AS calls, max(CASE WHEN minute IS NULL THEN 0 ELSE n END) AS busiest_minute, CAST(sum(refused) AS BIGINT) AS refused, min(minute_left) AS minute_left, min(hour_left) AS hour_left, min(day_left) AS day_left\n" +
			"FROM (SELECT " + sentDaySQL + " AS day, date_trunc('minute', sent_at) AS minute, count(*) AS n, count(*) FILTER (WHERE http_status = 429) AS refused,\n" +
			"  min(minute_left) AS minute_left, min(hour_left) AS hour_left, min(day_left) AS day_left " + c.scope.callsFrom() + " GROUP BY 1, 2)\nGROUP BY day ORDER BY day DESC NULLS LAST",
	}
	for _, day := range c.calls.sortedDays() {
		d := c.calls.days[day]
		t.Rows = append(t.Rows, []any{dayValue(day), d.calls, d.busiest, d.refused, d.leastMinute.value(), d.leastHour.value(), d.leastDay.value()})
	}
	t.limit(maxDays, "The others are in the view calls.")
	return t
}

func (c *builder) runsTable() Table {
	t := Table{
		ID: "runs", Title: "Runs", Columns: []Column{
			{ID: "started_at", Title: "Started", Kind: Time}, {ID: "command", Title: "Command", Kind: Text, Minor: true}, {ID: "list", Title: "List", Kind: Text}, {ID: "outcome", Title: "Outcome", Kind: Text, Minor: true}, {ID: "exit_code", Title: "Exit", Kind: Count, Minor: true},
			{ID: "lines", Title: "Lines", Kind: Count, Minor: true}, {ID: "calls", Title: "Calls", Kind: Count, Minor: true}, {ID: "new_events", Title: "New events", Kind: Count}, {ID: "credits", Title: "Credits", Kind: Count}, {ID: "run_id", Title: "Run", Kind: Text, Minor: true},
		},
		Empty: "No run in this period.",
		SQL:   "SELECT started_at, command, list, outcome, exit_code, lines, calls, new_events, credits, run_id " + c.scope.runsFrom() + " ORDER BY started_at DESC NULLS LAST, run_id",
	}
	for i := range c.period {
		r := &c.period[i]
		t.Rows = append(t.Rows, []any{r.started.timeValue(), textValue(r.command), textValue(r.list), textValue(r.outcome), r.exit.value(), r.lines.value(), r.calls.value(), r.newEvents.value(), r.credits.value(), textValue(r.id)})
	}
	t.limit(maxListed, "The others are in the view runs.")
	return t
}
