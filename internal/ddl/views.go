package ddl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// view is a view of the second part: its columns, and what they are selected from.
type view struct {
	name, doc string
	fields    []field
	from      string
}

// field is a column of a view, and the expression that gives it.
type field struct {
	schema.Column
	expr string
}

// TablesOfView are the tables of a lake, by the names of schema, whose rows a view of the scripts combines; nil: there
// is no such view. A view with the name of a table is none of these.
func TablesOfView(name string) (tables []string) {
	eventTables := make([]string, len(schema.EventTables))
	for i, t := range schema.EventTables {
		eventTables[i] = t.Name
		if baseName(t) == name {
			return []string{t.Name}
		}
	}
	switch name {
	case "events":
		return eventTables
	case "account_events":
		return append(eventTables, schema.Accounts.Name, schema.Aliases.Name, schema.Runs.Name)
	case "accounts_latest":
		return []string{schema.Accounts.Name, schema.Runs.Name}
	case "people":
		return []string{schema.Accounts.Name}
	case "entities":
		return []string{schema.Accounts.Name, schema.Aliases.Name}
	case "asked":
		return []string{schema.Requests.Name}
	case "signals":
		return append(eventTables, schema.Requests.Name, schema.Credits.Name, schema.Runs.Name)
	}
	return nil
}

// views writes the second part of a script.
type views struct{ *script }

// writeViews writes all views, each after those that it reads.
func (s *views) writeViews() {
	for v := range s.all() {
		s.writeView(v)
	}
}

// writeView writes a view and documents it.
func (s *views) writeView(v view) {
	selected, columns := make([]string, len(v.fields)), make([]schema.Column, len(v.fields))
	for i, f := range v.fields {
		selected[i], columns[i] = fmt.Sprintf("%s AS %s", f.expr, s.ident(f.Name)), f.Column
	}
	s.writeBlock("%s %s AS\nSELECT %s\nFROM %s%s;", s.createView, s.view(v.name), strings.Join(selected, ", "), v.from, s.viewEnd)
	if s.comment != nil {
		s.comment(s.script, v.name, v.doc, columns)
	}
}

// of are columns of an alias, under their own names.
func (s *script) of(alias string, columns []schema.Column) []field {
	fields := make([]field, len(columns))
	for i, c := range columns {
		fields[i] = field{c, alias + "." + s.ident(c.Name)}
	}
	return fields
}

// columnsOf lists columns of an alias.
func (s *script) columnsOf(alias string, columns []schema.Column) string {
	out := make([]string, len(columns))
	for i, f := range s.of(alias, columns) {
		out[i] = fmt.Sprintf("%s AS %s", f.expr, s.ident(f.Name))
	}
	return strings.Join(out, ", ")
}

// columnNames lists columns.
func (s *script) columnNames(columns []schema.Column) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = s.ident(c.Name)
	}
	return strings.Join(out, ", ")
}

// null is the null of a type.
func (s *script) null(t schema.Type) string {
	return fmt.Sprintf("CAST(NULL AS %s)", s.columnType(t))
}

var (
	personName  = schema.Column{Name: "person_name", Type: schema.String, Doc: "Name of the person, as a list has it"}
	personEmail = schema.Column{Name: "person_email", Type: schema.String, Doc: "E-mail address of the person, as a list has it"}
)

// peopleView knows persons by the lists that name them.
func (s *views) peopleView() view {
	entity := schema.Accounts.Columns[schema.Accounts.ColumnIndex("entity_id")]
	return view{"people", "Persons with the name and the e-mail address that lists have for them",
		[]field{{entity, "entity_id"}, {personName, "max(line_name)"}, {personEmail, "max(line_email)"}},
		s.rowsOf(schema.Accounts) + " AS a WHERE object_type = 'contact' AND entity_id IS NOT NULL GROUP BY entity_id"}
}

// newestView has the newest revision of each event. Few events have a second one, and few files
// hold any, so what replaces the others is found quickly.
func (s *views) newestView(t schema.Table) view {
	all := s.table(baseName(t))
	v := view{t.Name, t.Doc + "; each event once, as its newest revision", s.of("e", baseColumns(t)), ""}
	v.from = fmt.Sprintf("%s AS e LEFT JOIN (SELECT event_uid, max(revision) AS newest FROM %s WHERE revision > 1 GROUP BY event_uid) AS r ON r.event_uid = e.event_uid", s.rowsOf(t), all)
	if t.Name == string(schema.CategoryContact) {
		v.fields = append(v.fields, s.of("p", []schema.Column{personName, personEmail})...)
		v.from += fmt.Sprintf("\nLEFT JOIN %s AS p ON p.entity_id = e.entity_id AND e.object_type = 'contact'", s.table("people"))
	}
	v.from += "\nWHERE r.newest IS NULL OR coalesce(e.revision, 1) >= r.newest"
	return v
}

// commonColumns are the columns of the view of all events that categories have under one name.
var commonColumns = []string{
	"event_uid", "signal_type", "object_type", "entity_id", "account_key", "event_date", monthColumn,
	"company_name", "company_domain", "person_id", personName.Name, personEmail.Name, "event_type_norm", "department", "direction",
	"summary_text", "first_seen_at", "revision", "fetched_at", "run_id", "call_id", "ingest_source", "notes", "raw",
}

// differentNames are the names of common columns in the tables that have others.
var differentNames = map[schema.Category]map[string]string{
	schema.CategoryContact: {"company_name": "current_company_name", "company_domain": "current_domain"},
	schema.CategoryGrowth:  {"url": "job_url"},
	schema.CategoryIntent:  {"url": "activity_url"},
	schema.CategoryNews:    {"url": "article_url"},
}

// derivedColumns are the columns of the view of all events that are made from others.
var derivedColumns = []schema.Column{
	{Name: "url", Type: schema.String, Doc: "Address of the article, the job post or the activity"},
	{Name: "change_percent", Type: schema.Double, Unit: "percent", Doc: "Rate of change, negative for a decrease"},
	{Name: "is_risk", Type: schema.Bool, Doc: "Whether the event is a risk: of the category risk, or riskNews"},
}

// eventsView has the events of all categories, each once, in the columns that they have in common.
func (s *views) eventsView() view {
	columns := []schema.Column{{Name: "category", Type: schema.String, Doc: "The dataset that has all columns of the event"}}
	for _, name := range commonColumns {
		columns = append(columns, commonColumn(name))
	}
	columns = append(columns, derivedColumns...)
	var parts []string
	for _, t := range schema.EventTables {
		selected := make([]string, len(columns))
		for i, c := range columns {
			selected[i] = fmt.Sprintf("%s AS %s", s.commonExpr(t, c), s.ident(c.Name))
		}
		parts = append(parts, fmt.Sprintf("SELECT %s FROM %s", strings.Join(selected, ", "), s.table(t.Name)))
	}
	return view{"events", "Events of all categories, each once, in the columns that they have in common", s.of("e", columns),
		"(\n" + strings.Join(parts, "\nUNION ALL ") + "\n) AS e"}
}

// commonColumn is a common column as the first table that has it describes it.
func commonColumn(name string) schema.Column {
	for _, t := range schema.EventTables {
		all := viewColumns(t)
		if i := slices.IndexFunc(all, func(c schema.Column) bool { return c.Name == name }); i >= 0 {
			return all[i]
		}
	}
	panic("ddl: no event table has a column " + name)
}

// viewColumns are the columns of the view of a dataset.
func viewColumns(t schema.Table) []schema.Column {
	columns := baseColumns(t)
	if t.Name == string(schema.CategoryContact) {
		columns = append(columns, personName, personEmail)
	}
	return columns
}

// commonExpr is what gives a column of the view of all events in one dataset.
func (s *views) commonExpr(t schema.Table, c schema.Column) string {
	category := schema.Category(t.Name)
	name := c.Name
	if other, ok := differentNames[category][name]; ok {
		name = other
	}
	has := func(name string) bool {
		return slices.ContainsFunc(viewColumns(t), func(c schema.Column) bool { return c.Name == name })
	}
	switch {
	case name == "category":
		return sqlString(t.Name)
	case name == "is_risk" && category == schema.CategoryRisk:
		return "TRUE"
	case name == "is_risk" && !has(name):
		return "FALSE"
	case name == "change_percent" && has("change_rate_percent_abs"):
		return "CASE WHEN direction = 'decrease' THEN -change_rate_percent_abs ELSE change_rate_percent_abs END"
	case has(name):
		return s.ident(name)
	}
	return s.null(c.Type)
}

// answeredStatus is what an answer says about a line for which its newest run made no call.
var answeredStatus = schema.Column{Name: "answered_status", Type: schema.String, Doc: "Status by the newest answer about what the line requests, from any run or list; null if there is none"}

// answers are the statuses that an answer gives a line.
var answers = []schema.Status{schema.Enriched, schema.NoSignal, schema.NotFound, schema.Restricted}

// isAnswered holds for rows of accounts whose status is that of an answer.
var isAnswered = func() string {
	quoted := make([]string, len(answers))
	for i, status := range answers {
		quoted[i] = sqlString(string(status))
	}
	return "status IN (" + strings.Join(quoted, ", ") + ")"
}()

// accountsLatestView has each line of each list as the newest run of signals that has it left it. A line
// is known by its key, or else by what it is requested by, and one without both by its place. Lines of one
// run with the same key are all there. Rows that siglake wrote before version 4 of the schema have no entity
// if no call was made for them, and no row of them has a name: those of other rows with the same
// identifier stand in. Three passes over the rows find the newest run of each line, what is known of each
// identifier, and the rows themselves, so that millions of rows need no sorting. The moment of a run, as a
// text, orders runs as its parts do: the second in which it began, with which its id begins, and the time at
// which it ended.
func (s *views) accountsLatestView() view {
	v := view{"accounts_latest", "Each line of each list, as the newest run of signals that has it left it", s.of("a", schema.Accounts.Columns), ""}
	kept := s.keptColumns()
	inner := s.columnsOf("a", schema.Accounts.Columns)
	if s.name == "duckdb" && s.o.Over == "" { // its view of accounts has them
		for _, c := range keptAsColumns(kept) {
			inner += ", a." + s.ident(c.Name)
		}
	} else {
		inner += s.selectKept(kept)
	}
	var known strings.Builder
	for _, name := range []string{"entity_id", "entity_name", "entity_domain"} {
		v.fields[schema.Accounts.ColumnIndex(name)].expr = fmt.Sprintf("coalesce(a.%s, i.known_%s)", name, name)
		fmt.Fprintf(&known, ", max(a.%s) AS known_%s", name, name)
	}
	answered := field{answeredStatus, "CASE"}
	for _, status := range answers {
		answered.expr += fmt.Sprintf(" WHEN i.answer LIKE '%% %s' THEN '%s'", status, status)
	}
	answered.expr += " END"
	v.fields = append(append(v.fields, answered), s.of("a", keptAsColumns(kept))...)
	accounts, runs := s.rowsOf(schema.Accounts), s.table(schema.Runs.Name)
	moment := fmt.Sprintf("substr(a.run_id, 1, 16) || coalesce(CAST(r.finished_at AS %s), '') || ' ' || a.run_id", s.columnType(schema.String))
	file := "coalesce(a.input_file, '')"
	if s.isUnion { // lines of one list with the same key lie in several shards, and are of different runs
		file += fmt.Sprintf(" || ' ' || CAST(a.%s AS %s)", shardColumn.Name, s.columnType(schema.String))
	}
	line := fmt.Sprintf(lineOf, s.columnType(schema.String), s.ident("row"))
	v.from = fmt.Sprintf(`(SELECT %s,
  %s AS line_file, %s AS line, %s AS moment
  FROM %s AS a LEFT JOIN %s AS r ON r.run_id = a.run_id WHERE a.command = 'run' OR a.command IS NULL) AS a
JOIN (SELECT %s AS line_file, %s AS line, max(%s) AS moment
  FROM %s AS a LEFT JOIN %s AS r ON r.run_id = a.run_id WHERE a.command = 'run' OR a.command IS NULL GROUP BY 1, 2) AS n
ON n.line_file = a.line_file AND n.line = a.line AND n.moment = a.moment
LEFT JOIN (SELECT a.object_type, a.identifier_type, a.identifier%s, max(CASE WHEN a.%s THEN %s || ' ' || a.status END) AS answer
  FROM %s AS a LEFT JOIN %s AS r ON r.run_id = a.run_id WHERE (a.command = 'run' OR a.command IS NULL) AND a.identifier IS NOT NULL GROUP BY a.object_type, a.identifier_type, a.identifier) AS i
ON i.object_type = a.object_type AND i.identifier_type = a.identifier_type AND i.identifier = a.identifier`,
		inner, file, line, moment, accounts, runs, file, line, moment, accounts, runs, known.String(), isAnswered, moment, accounts, runs)
	return v
}

// lineOf is what a line is known by, within its list.
const lineOf = `coalesce(a.object_type, '') || CASE WHEN a.account_key IS NOT NULL THEN ' key ' || a.account_key
    WHEN a.identifier IS NOT NULL THEN ' identifier ' || a.identifier ELSE ' row ' || coalesce(CAST(a.%[2]s AS %[1]s), '') END`

func keptAsColumns(kept []viewColumn) []schema.Column {
	columns := make([]schema.Column, len(kept))
	for i := range kept {
		columns[i] = schema.Column{Name: kept[i].name, Doc: kept[i].doc()}
	}
	return columns
}

// entitiesView has every id that an entity had. It need not be the same in the next month, nor in both
// API versions: an identifier has all that answers about it gave, and those that aliases relate to them.
func (s *views) entitiesView() view {
	column := func(name string) schema.Column {
		return schema.Accounts.Columns[schema.Accounts.ColumnIndex(name)]
	}
	columns := []schema.Column{column("object_type"), column("identifier_type"), column("identifier"), column("entity_id")}
	accounts, aliases := s.rowsOf(schema.Accounts), s.rowsOf(schema.Aliases)
	return view{"entities", "Each identifier of the lists with every id that its entity had", s.of("i", columns), fmt.Sprintf(`(SELECT DISTINCT a.object_type AS object_type, a.identifier_type AS identifier_type, a.identifier AS identifier,
    CASE WHEN k.own = 1 THEN a.entity_id ELSE l.other_id END AS entity_id
  FROM (SELECT DISTINCT object_type, identifier_type, identifier, entity_id FROM %s AS a WHERE entity_id IS NOT NULL AND identifier IS NOT NULL) AS a
  LEFT JOIN (SELECT object_type, entity_id, alias_id AS other_id FROM %s AS s UNION ALL SELECT object_type, alias_id AS entity_id, entity_id AS other_id FROM %s AS s) AS l
  ON l.object_type = a.object_type AND l.entity_id = a.entity_id CROSS JOIN (SELECT 0 AS own UNION ALL SELECT 1 AS own) AS k) AS i
WHERE i.entity_id IS NOT NULL`, accounts, aliases, aliases)}
}

// lineColumns are the columns of a line in the view of lines with their events.
var lineColumns = []string{
	"input_file", "input_line", "account_key", "status", "identifier_type", "identifier", "entity_name", "entity_domain", "line_name", "line_email",
}

// accountEventsView joins every line of every list with its events.
func (s *views) accountEventsView() view {
	var line []schema.Column
	for _, name := range lineColumns {
		line = append(line, schema.Accounts.Columns[schema.Accounts.ColumnIndex(name)])
	}
	line = append(line, keptAsColumns(s.keptColumns())...)
	var event []schema.Column
	for _, f := range s.eventsView().fields {
		if f.Name != "account_key" {
			event = append(event, f.Column)
		}
	}
	return view{"account_events", "Every line of every list with each of its events, whatever line or list requested it first",
		slices.Concat(s.of("a", line), s.of("e", event)),
		fmt.Sprintf("%s AS a JOIN %s AS i ON i.object_type = a.object_type AND i.identifier_type = a.identifier_type AND i.identifier = a.identifier\nJOIN %s AS e ON e.entity_id = i.entity_id AND e.object_type = i.object_type",
			s.table("accounts_latest"), s.table("entities"), s.table("events"))}
}

// askedView sums up what was requested, also what returned nothing.
func (s *views) askedView() view {
	var keys, fields []field
	for _, name := range []string{"list", "object_type", "signal_type", "category", "window_start", "window_end"} {
		keys = append(keys, s.of("q", []schema.Column{schema.Requests.Columns[schema.Requests.ColumnIndex(name)]})...)
	}
	groups := make([]string, len(keys))
	for i, f := range keys {
		groups[i] = f.expr
	}
	number := func(name, doc, expr string) field {
		return field{schema.Column{Name: name, Type: schema.Int64, Doc: doc}, fmt.Sprintf("CAST(%s AS %s)", expr, s.columnType(schema.Int64))}
	}
	fields = append(keys,
		number("calls", "Calls that requested it", "count(*)"),
		number("unanswered_calls", "Of these: without a known answer", "sum(CASE WHEN q.outcome = 'charged' THEN 0 ELSE 1 END)"),
		number("entities", "Entities that answered calls requested", "sum(CASE WHEN q.outcome = 'charged' THEN q.entities ELSE 0 END)"),
		number("entities_with_events", "Entities of which an answer had events", "sum(q.entities_with_events)"),
		number("events", "Events returned", "sum(q.events)"),
		number("credits", "Charged; calls of unknown charge are left out", "sum(q.credits)"),
		number("unknown_charges", "Calls of which the charge is unknown", "sum(CASE WHEN q.credits IS NULL THEN 1 ELSE 0 END)"))
	return view{"asked", "What was requested of each list, by signal and window, also what returned nothing", fields,
		s.table(schema.Requests.Name) + " AS q GROUP BY " + strings.Join(groups, ", ")}
}

// signalsView has what each type of signal cost and brought. Deliveries were not requested: the bill has what they cost.
func (s *views) signalsView() view {
	request := func(name string) schema.Column { return schema.Requests.Columns[schema.Requests.ColumnIndex(name)] }
	number := func(name, doc string) schema.Column { return schema.Column{Name: name, Type: schema.Int64, Doc: doc} }
	sums := []schema.Column{
		number("calls", "Calls that requested it"),
		number("entities", "Entities that answered calls requested"),
		number("entities_with_events", "Entities of which an answer had events; one that several calls requested counts more than once"),
		number("returned", "Events returned, also those that were known"),
		number("credits", "Charged for what was requested, null if nothing was; calls of unknown charge are left out"),
		number("unknown_charges", "Calls of which the charge is unknown"),
		number("delivered_credits", "Charged for deliveries of webhooks; null if there were none"),
	}
	total, asked, delivered := "signal_type, max(category) AS category", "q.signal_type, q.category", "c.signal_type, c.category"
	for _, c := range sums {
		bigint := s.columnType(schema.Int64)
		total += fmt.Sprintf(", CAST(sum(%s) AS %s) AS %[1]s", c.Name, bigint)
		ofAsked, ofDelivered := "q."+c.Name, "0"
		switch c.Name {
		case "returned":
			ofAsked = "q.events"
		case "delivered_credits":
			ofAsked, ofDelivered = "NULL", "c.credits"
		case "credits":
			ofDelivered = "NULL"
		}
		asked += fmt.Sprintf(", CAST(%s AS %s) AS %s", ofAsked, bigint, c.Name)
		delivered += fmt.Sprintf(", CAST(%s AS %s) AS %s", ofDelivered, bigint, c.Name)
	}
	fields := append(s.of("a", []schema.Column{request("signal_type"), request("category")}), s.of("a", sums)...)
	fields = append(fields,
		field{number("events", "Events that the lake has of it"), "coalesce(e.events, 0)"},
		field{schema.Column{Name: "credits_per_event", Type: schema.Double, Doc: "Credits, of requests and deliveries, by event that the lake has; null if there is none"},
			fmt.Sprintf("CASE WHEN e.events > 0 THEN CAST(coalesce(a.credits + a.delivered_credits, a.credits, a.delivered_credits) AS %s) / e.events END", s.columnType(schema.Double))})
	return view{"signals", "Each type of signal that was requested or delivered, with what it cost and brought", fields,
		fmt.Sprintf("(SELECT %s FROM (SELECT %s FROM %s AS q\n  UNION ALL SELECT %s FROM %s AS c JOIN %s AS r ON r.run_id = c.run_id WHERE r.command = 'webhooks' AND c.signal_type IS NOT NULL) AS u GROUP BY signal_type) AS a\nLEFT JOIN (SELECT signal_type, count(*) AS events FROM %s AS v GROUP BY signal_type) AS e ON e.signal_type = a.signal_type",
			total, asked, s.table("asked"), delivered, s.table(schema.Credits.Name), s.table(schema.Runs.Name), s.table("events"))}
}
