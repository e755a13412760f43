package lakereport

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// builder makes tables of what was read.
type builder struct {
	*Collector
	period []run // the newest first
}

// Report makes the report of what was read.
func (c *Collector) Report(about About) *Report {
	r := &Report{
		Lake: Shown(about.Lake), Generation: about.Generation, Created: about.Created.UTC().Truncate(1e9), Version: about.Version,
		Run: Shown(c.scope.Run), Period: c.scope.describe(),
	}
	if !c.scope.Since.IsZero() {
		r.Since = c.scope.Since.Format("2006-01-02")
	}
	build := builder{c, c.periodRuns()}
	build.describeRuns(r)
	r.Figures = build.figures()
	r.Sections = []Section{build.newsSection(), build.moversSection(), build.accountsSection(), build.creditsSection(), hitRates{&build}.hitSection(), build.openSection(), build.workSection()}
	r.fillEmpty()
	return r
}

// periodRuns are the runs of the period, the newest first.
func (c *Collector) periodRuns() (runs []run) {
	for _, r := range c.runs.all {
		if c.selected[r.id] {
			runs = append(runs, r)
		}
	}
	slices.SortFunc(runs, func(a, b run) int { return compareStarts(&a, &b) })
	return runs
}

func (c *builder) describeRuns(r *Report) {
	runs := c.period
	r.Runs = int64(len(runs))
	lists := map[string]bool{}
	for _, of := range runs {
		r.Simulated = r.Simulated || of.simulated
		if of.list != "" {
			lists[Shown(of.list)] = true
		}
	}
	r.Lists = slices.Sorted(maps.Keys(lists))
	if len(runs) > 0 {
		r.LastRun, _ = runs[0].started.timeValue().(string)
		r.FirstRun, _ = runs[len(runs)-1].started.timeValue().(string)
	}
	if len(c.runs.all) == 0 && (c.events.total > 0 || len(c.accounts.lines) > 0) {
		r.Notes = append(r.Notes, "The lake was written before siglake kept a table of runs: credits, runs and requests are missing. siglake rebuild adds them.")
	}
}

// figures are the headline numbers.
func (c *builder) figures() []Figure {
	var total group
	for i := range c.period {
		total.add(&c.period[i])
	}
	if len(c.period) == 0 && len(c.runs.all) > 0 { // it is known that nothing was spent
		total.sum.ok = true
	}
	var all hits
	c.accounts.ofPeriod(c.isSelected, func(l *line, answered string) { all.add(l, answered) })
	figures := []Figure{
		{ID: "new_events", Title: "New events", Kind: Count, Value: c.events.total, SQL: "SELECT count(*) " + c.scope.eventsFrom()},
		{ID: "entities_with_events", Title: "Companies and people with new events", Kind: Count, Value: int64(len(c.events.entities)),
			SQL: "SELECT count(*) FROM (SELECT DISTINCT object_type, entity_id " + c.scope.eventsFrom() + ")"},
		{ID: "credits", Title: "Credits", Kind: Count, Value: total.sum.value(), SQL: c.scope.creditsSQL()},
		{ID: "credits_per_event", Title: "Credits for signals per new event", Kind: Decimal, Value: perEvent(total.signals, c.events.total),
			SQL: fmt.Sprintf("SELECT round(100.0 * (SELECT "+ofSignalsSQL+" %s) / nullif((SELECT count(*) %s), 0)) / 100", c.scope.runsFrom(), c.scope.eventsFrom())},
		{ID: "found_share", Title: "Hit rate: lines found", Kind: Percent, Value: share(all.found, all.answered), SQL: c.scope.hitShareSQL("found")},
		{ID: "events_share", Title: "Lines with new events", Kind: Percent, Value: share(all.withEvents, all.answered), SQL: c.scope.hitShareSQL("with_events")},
		{ID: "rejected_lines", Title: "Lines rejected", Kind: Count, Value: all.rejected, Alarm: all.rejected > 0,
			SQL: "SELECT count(*) " + c.scope.rejectedFrom()},
	}
	return append(figures, c.doubtFigures(&total)...)
}

// doubtFigures are the calls of which it is unknown what they cost, as their runs recorded it. None is an alarm:
// a later decision about a call, which the journal has, changes no table.
func (c *builder) doubtFigures(total *group) []Figure {
	figures := []Figure{
		{ID: "calls_in_doubt", Title: "Calls without a known answer", Kind: Count, Value: c.calls.inDoubt,
			SQL: "SELECT count(*) FROM calls" + where("outcome = 'ambiguous'", c.scope.ofRunsSQL())},
		{ID: "unknown_charges", Title: "Answers that state no charge", Kind: Count, Value: c.calls.unknown,
			SQL: "SELECT count(*) FROM calls" + where("outcome = 'charged'", "credits IS NULL", c.scope.ofRunsSQL())},
	}
	if open := total.most.n - total.sum.n; open > 0 {
		figures = append(figures, Figure{ID: "credits_in_doubt", Title: "Credits that such calls and answers can have cost, at most", Kind: Count, Value: open,
			SQL: "SELECT CAST(sum(credits_at_most) - sum(credits) AS BIGINT) " + c.scope.runsFrom()})
	}
	return figures
}

// categoryColumns are a column for the events of each category.
func categoryColumns() (columns []Column) {
	for _, t := range schema.EventTables {
		columns = append(columns, Column{ID: t.Name, Title: strings.ToUpper(t.Name[:1]) + t.Name[1:], Kind: Count, Minor: true, Sparse: true})
	}
	return columns
}

// categorySQL counts the events of each category.
func categorySQL() string {
	var parts []string
	for _, t := range schema.EventTables {
		parts = append(parts, fmt.Sprintf("count(*) FILTER (WHERE category = '%s') AS %s", t.Name, t.Name))
	}
	return strings.Join(parts, ", ")
}

func categoryNames() (names []string) {
	for _, t := range schema.EventTables {
		names = append(names, t.Name)
	}
	return names
}

func (c *builder) newsSection() Section {
	return Section{ID: "new", Title: "What came new", Tables: []Table{c.weeksTable(), c.signalsTable(), c.newestTable()}}
}

func (c *builder) weeksTable() Table {
	t := Table{
		ID: "weeks", Title: "Events by week", About: "By the date of the event. A week begins on Monday.",
		Columns: append(append([]Column{{ID: "week", Title: "Week of", Kind: Day}}, categoryColumns()...), Column{ID: "events", Title: "Events", Kind: Count}),
		Rest:    "The others are in the view events.", Empty: "No new event.",
		SQL:   "SELECT CAST(date_trunc('week', event_date) AS DATE) AS week, " + categorySQL() + ", count(*) AS events " + c.scope.eventsFrom() + " GROUP BY 1 ORDER BY week DESC NULLS LAST",
		Chart: &Chart{X: "week", Series: categoryNames(), Step: 7, Unit: "events"},
	}
	weeks := slices.Sorted(maps.Keys(c.events.weeks))
	slices.Reverse(weeks)
	t.Total = int64(len(weeks))
	for _, week := range weeks[:min(len(weeks), maxWeeks)] {
		row, sum := []any{dayValue(week)}, int64(0)
		for _, n := range c.events.weeks[week] {
			row, sum = append(row, n), sum+n
		}
		t.Rows = append(t.Rows, append(row, sum))
	}
	return t
}

func (c *builder) signalsTable() Table {
	t := Table{
		ID: "signals", Title: "Events by signal", Columns: []Column{
			{ID: "category", Title: "Category", Kind: Text, Minor: true}, {ID: "signal_type", Title: "Signal", Kind: Text}, {ID: "events", Title: "Events", Kind: Count},
			{ID: "events_share", Title: "Share", Kind: Percent}, {ID: "newest", Title: "Newest", Kind: Day, Minor: true},
		},
		Empty: "No new event.",
		SQL: "SELECT category, signal_type, events, round(1000.0 * events / sum(events) OVER ()) / 10 AS events_share, newest\n" +
			"FROM (SELECT category, signal_type, count(*) AS events, max(event_date) AS newest " + c.scope.eventsFrom() + " GROUP BY category, signal_type)\n" +
			"ORDER BY events DESC, category, signal_type",
	}
	keys := slices.SortedFunc(maps.Keys(c.events.signals), func(a, b signalKey) int {
		return cmp.Or(cmp.Compare(c.events.signals[b].events, c.events.signals[a].events), byText(a.category, b.category), byText(a.signal, b.signal))
	})
	for _, k := range keys {
		s := c.events.signals[k]
		t.Rows = append(t.Rows, []any{textValue(k.category), textValue(k.signal), s.events, share(s.events, c.events.total), dayValue(s.newest)})
	}
	t.limit(maxListed, "The others are in the view events.")
	return t
}

// limit keeps the first rows.
func (t *Table) limit(n int, rest string) {
	t.Total, t.Rest = int64(len(t.Rows)), rest
	t.Rows = t.Rows[:min(n, len(t.Rows))]
}

// companySQL names the company of an event, or else its entity.
const companySQL = "coalesce(company_name, entity_id) AS company"

func (c *builder) newestTable() Table {
	t := Table{
		ID: "newest", Title: "Newest events", Columns: []Column{
			{ID: "event_date", Title: "Date", Kind: Day}, {ID: "company", Title: "Company", Kind: Text}, {ID: "account_key", Title: "Key", Kind: Text, Minor: true},
			{ID: "category", Title: "Category", Kind: Text, Minor: true}, {ID: "signal_type", Title: "Signal", Kind: Text, Minor: true}, {ID: "headline", Title: "What happened", Kind: Text},
		},
		Total: c.events.newest.total, Rest: "All: siglake export --events, or the view events.", Empty: "No new event.",
		SQL: "SELECT event_date, " + companySQL + ", account_key, category, signal_type, coalesce(summary_text, signal_type) AS headline\n" + c.scope.eventsFrom() + "\n" +
			"ORDER BY event_date DESC NULLS LAST, category, signal_type, company, account_key, headline, event_type_norm, event_uid",
	}
	for _, e := range c.events.newest.sorted() {
		t.Rows = append(t.Rows, []any{dayValue(e.date), textValue(e.company), textValue(e.account), textValue(e.category), textValue(e.signal), textValue(e.headline)})
	}
	return t
}

func (c *builder) moversSection() Section {
	return Section{ID: "movers", Title: "Top movers", Tables: []Table{
		c.headcountTable("headcount_up", "Headcount up", "growth", c.events.up), c.headcountTable("headcount_down", "Headcount down", "risk", c.events.down),
		c.hiringTable(), c.fundingTable(), c.risksTable(),
	}}
}

func (c *builder) hiringTable() Table {
	t := Table{
		ID: "hiring", Title: "Hiring", About: "By the largest number of job posts that a hiring surge of the company states.", Columns: []Column{
			{ID: "company", Title: "Company", Kind: Text}, {ID: "account_key", Title: "Key", Kind: Text, Minor: true}, {ID: "jobs_4_weeks", Title: "Jobs in 4 weeks", Kind: Count},
			{ID: "surges", Title: "Surges", Kind: Count, Minor: true}, {ID: "job_posts", Title: "Job posts", Kind: Count, Minor: true}, {ID: "newest", Title: "Newest", Kind: Day},
		},
		Rest: "All: the view growth.", Empty: "No new surge in hiring and no job post.",
		SQL: "SELECT max(coalesce(company_name, entity_id)) AS company, max(account_key) AS account_key, max(new_jobs_posted_last_4_weeks) AS jobs_4_weeks,\n" +
			"  count(*) FILTER (WHERE signal_type <> 'newJobPost') AS surges, count(*) FILTER (WHERE signal_type = 'newJobPost') AS job_posts, max(event_date) AS newest\n" +
			"FROM growth" + where("(signal_type LIKE 'surgeInHiring%' OR signal_type = 'newJobPost')", c.scope.eventsSQL()) + "\nGROUP BY object_type, entity_id\n" +
			"ORDER BY jobs_4_weeks DESC NULLS LAST, count(*) DESC, newest DESC NULLS LAST, company, account_key, job_posts",
	}
	var rows []hiring
	rows, t.Total = firstOf(c.events.hiring, maxMovers, compareHiring)
	for i := range rows {
		h := &rows[i]
		t.Rows = append(t.Rows, []any{textValue(h.company), textValue(h.account), h.fourWeeks.value(), h.surges, h.posts, dayValue(h.newest)})
	}
	return t
}

func (c *builder) headcountTable(id, title, view string, of map[string]*headcount) Table {
	const place = "row_number() OVER (PARTITION BY object_type, entity_id ORDER BY change_rate_percent_abs DESC NULLS LAST, event_date DESC NULLS LAST, coalesce(company_name, entity_id), account_key,\n" +
		"  window_months DESC NULLS LAST, baseline_employees_count DESC NULLS LAST, new_employees_count DESC NULLS LAST, event_uid) AS place"
	t := Table{
		ID: id, Title: title, About: "The largest change of each company.", Columns: []Column{
			{ID: "company", Title: "Company", Kind: Text}, {ID: "account_key", Title: "Key", Kind: Text, Minor: true}, {ID: "change_percent", Title: "Change", Kind: Percent}, {ID: "people_before", Title: "From", Kind: Count, Minor: true},
			{ID: "people_after", Title: "To", Kind: Count}, {ID: "months", Title: "Months", Kind: Count, Minor: true}, {ID: "event_date", Title: "Date", Kind: Day},
		},
		Rest: "All: the view " + view + ".", Empty: "No new change of a headcount.",
		SQL: "SELECT company, account_key, round(change_rate_percent_abs, 1) AS change_percent, baseline_employees_count AS people_before, new_employees_count AS people_after, window_months AS months, event_date\n" +
			"FROM (SELECT *, " + companySQL + ",\n  " + place + "\n  FROM " + view + where("signal_type LIKE 'headcount%'", c.scope.eventsSQL()) + ")\nWHERE place = 1\n" +
			"ORDER BY change_rate_percent_abs DESC NULLS LAST, event_date DESC NULLS LAST, company, account_key, months DESC NULLS LAST, people_before DESC NULLS LAST, people_after DESC NULLS LAST, event_uid",
	}
	var rows []headcount
	rows, t.Total = firstOf(of, maxMovers, compareHeadcounts)
	for i := range rows {
		h := &rows[i]
		t.Rows = append(t.Rows, []any{textValue(h.company), textValue(h.account), rateValue(h.rate), h.from.value(), h.to.value(), h.months.value(), dayValue(h.date)})
	}
	return t
}

func (c *builder) fundingTable() Table {
	t := Table{
		ID: "funding", Title: "Raised money", Columns: []Column{
			{ID: "event_date", Title: "Date", Kind: Day}, {ID: "company", Title: "Company", Kind: Text}, {ID: "account_key", Title: "Key", Kind: Text, Minor: true}, {ID: "headline", Title: "What happened", Kind: Text},
		},
		Total: c.events.funding.total, Rest: "All: the view news.", Empty: "No new funding round and no IPO.",
		SQL: "SELECT event_date, " + companySQL + ", account_key, coalesce(summary_text, signal_type) AS headline\n" +
			"FROM news" + where("event_type_norm IN ('"+strings.Join(fundingKinds, "', '")+"')", c.scope.eventsSQL()) + "\n" +
			"ORDER BY event_date DESC NULLS LAST, signal_type, company, account_key, headline, event_type_norm, event_uid",
	}
	for _, e := range c.events.funding.sorted() {
		t.Rows = append(t.Rows, []any{dayValue(e.date), textValue(e.company), textValue(e.account), textValue(e.headline)})
	}
	return t
}

func (c *builder) risksTable() Table {
	const byDate = "event_date DESC NULLS LAST, category, signal_type, company, account_key, headline, event_type_norm, event_uid"
	t := Table{
		ID: "risks", Title: "At risk", About: "Companies by the number of new risks, with the newest one.", Columns: []Column{
			{ID: "company", Title: "Company", Kind: Text}, {ID: "account_key", Title: "Key", Kind: Text, Minor: true}, {ID: "risks", Title: "Risks", Kind: Count}, {ID: "event_date", Title: "Newest", Kind: Day, Minor: true},
			{ID: "signal_type", Title: "Signal", Kind: Text, Minor: true}, {ID: "headline", Title: "What happened", Kind: Text},
		},
		Rest: "All: the view events, where is_risk.", Empty: "No new risk.",
		SQL: "SELECT company, account_key, risks, event_date, signal_type, headline\n" +
			"FROM (SELECT *, count(*) OVER (PARTITION BY object_type, entity_id) AS risks, row_number() OVER (PARTITION BY object_type, entity_id ORDER BY " + byDate + ") AS place\n" +
			"  FROM (SELECT *, " + companySQL + ", coalesce(summary_text, signal_type) AS headline FROM events" + where("is_risk", c.scope.eventsSQL()) + "))\n" +
			"WHERE place = 1 ORDER BY risks DESC, " + byDate,
	}
	var rows []risk
	rows, t.Total = firstOf(c.events.risks, maxMovers, compareRisks)
	for i := range rows {
		e := &rows[i]
		t.Rows = append(t.Rows, []any{textValue(e.company), textValue(e.account), e.events, dayValue(e.date), textValue(e.signal), textValue(e.headline)})
	}
	return t
}

func (c *builder) accountsSection() Section {
	sums := func(prefix string) string {
		var parts []string
		for _, name := range categoryNames() {
			parts = append(parts, fmt.Sprintf("CAST(sum(%s%s) AS BIGINT) AS %s", prefix, name, name))
		}
		return strings.Join(parts, ", ")
	}
	t := Table{
		ID: "accounts", Title: "Accounts with new events", About: "Each line of each list with the events of what it names, whatever line or list requested them.",
		Columns: append(append([]Column{
			{ID: "account_key", Title: "Key", Kind: Text, Minor: true}, {ID: "name", Title: "Name", Kind: Text}, {ID: "identifier", Title: "Requested by", Kind: Text, Minor: true}, {ID: "events", Title: "Events", Kind: Count},
		}, categoryColumns()...), Column{ID: "newest", Title: "Newest", Kind: Day}, Column{ID: "input_file", Title: "List", Kind: Text, Minor: true}),
		Rest: "All: siglake export, or the view account_events.", Empty: "No line of a list has a new event.",
		SQL: "SELECT a.account_key, a.name, a.identifier, CAST(sum(e.events) AS BIGINT) AS events, " + sums("e.") + ", max(e.newest) AS newest, a.input_file\n" +
			"FROM (SELECT input_file, account_key, object_type, identifier_type, identifier, max(coalesce(entity_name, line_name)) AS name FROM accounts_latest GROUP BY 1, 2, 3, 4, 5) AS a\n" +
			"JOIN entities AS i ON i.object_type = a.object_type AND i.identifier_type = a.identifier_type AND i.identifier = a.identifier\n" +
			"JOIN (SELECT object_type, entity_id, count(*) AS events, " + categorySQL() + ", max(event_date) AS newest " + c.scope.eventsFrom() + " GROUP BY 1, 2) AS e\n" +
			"  ON e.object_type = i.object_type AND e.entity_id = i.entity_id\n" +
			"GROUP BY a.input_file, a.account_key, a.object_type, a.identifier_type, a.identifier, a.name\n" +
			"ORDER BY events DESC, newest DESC NULLS LAST, a.input_file, a.account_key, a.identifier, a.identifier_type, a.object_type",
	}
	var rows []lineEvents
	rows, t.Total = c.accounts.withEvents(c.events)
	for i := range rows {
		e := &rows[i]
		row := []any{textValue(e.account), textValue(e.name), textValue(e.identifier), e.events}
		for _, n := range e.byCategory {
			row = append(row, n)
		}
		t.Rows = append(t.Rows, append(row, dayValue(e.newest), textValue(e.file)))
	}
	return Section{ID: "accounts-section", Title: "By account", Tables: []Table{t}}
}
