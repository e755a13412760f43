package export

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// maxSignals is how many signals can have columns of their own.
const maxSignals = 1000

// Counts say what was written.
type Counts struct {
	Lines      int64 // of the list or lake
	WithEvents int64 // of these
	Events     int64 // of all lines: the event of two lines counts twice
	Rows       int64
	Columns    int
}

// Write writes the table. Match comes before it.
func (j *Join) Write(ctx context.Context, out Output) (counts Counts, err error) {
	t := &table{join: j, names: columnNames{}, signals: j.signals(), counts: Counts{Lines: j.lines}}
	if len(t.signals) > maxSignals {
		return counts, fmt.Errorf("the events have %d types, and an export at most %d: choose some with --signals", len(t.signals), maxSignals)
	}
	t.addColumns()
	sheet := "prospects"
	if j.options.Events {
		sheet = "events"
	}
	if t.out, err = out.newWriter(t.columns, sheet, j.dir.AbsPath("runs")); err != nil {
		return counts, err
	}
	err = j.out.read(ctx, t.add)
	if err == nil {
		err = t.endLine()
	}
	if err == nil {
		err = t.out.close()
	}
	t.counts.Columns = len(t.columns)
	return t.counts, err
}

// signals are those with columns: the chosen ones, or those that occur, in the order of the catalogue.
func (j *Join) signals() (keys []string) {
	if j.options.Events {
		return nil
	}
	if j.options.Signals != nil {
		return j.options.Signals
	}
	for _, s := range schema.Signals {
		if j.occurred[s.Key] {
			keys = append(keys, s.Key)
		}
	}
	var others []string
	for key := range j.occurred {
		if _, known := schema.LookupSignal(key); !known {
			others = append(others, key)
		}
	}
	slices.Sort(others)
	return append(keys, others...)
}

// table is the table that is being written.
type table struct {
	join    *Join
	out     tableWriter
	columns []schema.Column
	names   columnNames
	signals []string
	counts  Counts

	line  int64  // number of the current line
	name  string // on it
	row   []Cell // of the current line; nil: there is none
	cells int    // columns before those of siglake
	sums  int    // column of the first signal
	total int    // column of the number of events, or of the first of an event
	// The last line of which an event was written.
	lastCounted int64
}

// addColumn adds a column of siglake's own.
func (t *table) addColumn(name string, typ schema.Type, doc string) {
	if t.join.options.Events || t.join.options.FromLake {
		// There are no columns of a list from which it would have to be distinguished.
		name = strings.TrimPrefix(name, "siglake_")
	}
	t.columns = append(t.columns, schema.Column{Name: t.names.add(name), Type: typ, Doc: doc})
}

// lineColumns are what is known about a line besides the cells of its list.
var lineColumns = []struct{ name, doc string }{
	{"siglake_list", "File of the line"},
	{"siglake_line", "Physical line on which the record starts, from 1"},
	{"siglake_account_key", "The caller's own key of the line"},
	{"siglake_object_type", "contact or company"},
	{"siglake_identifier_type", "What the line is requested by: id, linkedin, email, domain or name"},
	{"siglake_identifier", "The normalised identifier"},
}

// stateColumns are what runs say about a line.
var stateColumns = []struct{ name, doc string }{
	{"siglake_status", "What the newest answer about the line says: the status of the accounts table, or not_requested"},
	{"siglake_reason", "Why, for every status that is not an answer"},
	{"siglake_run_id", "The run that says so"},
	{"siglake_entity_id", "The API's id of what was found"},
	{"siglake_entity_name", "Name of what was found"},
	{"siglake_entity_domain", "Domain of what was found"},
}

// eventColumns are the columns of an event.
var eventColumns = []schema.Column{
	{Name: "category", Doc: "Dataset of the event"},
	{Name: "signal_type", Doc: "Signal key, as received"},
	{Name: "event_date", Type: schema.Date, Doc: "Date of the event"},
	{Name: "first_seen_at", Type: schema.Time, Doc: "When the event was first received, in UTC"},
	{Name: "headline", Doc: "What happened, in one sentence"},
	{Name: "url", Doc: "Address of the article, post or activity"},
	{Name: "company", Doc: "Company of the event"},
	{Name: "company_domain", Doc: "Its domain"},
	{Name: "person", Doc: "Person of the event"},
	{Name: "event_uid", Doc: "Stable id of the event"},
	{Name: "event_run_id", Doc: "Run that bought the event"},
}

// addColumns adds the columns of the list, and those of siglake. These keep their names, by which programs find
// them: a column of the list that has one of them, as in a list that is an earlier export, gets a number.
func (t *table) addColumns() {
	if !t.join.options.Events {
		t.cells = len(t.join.headers)
	}
	t.columns = make([]schema.Column, t.cells)
	t.addOwnColumns()
	for i := range t.cells {
		t.columns[i] = schema.Column{Name: t.names.add(t.join.headers[i]), Doc: "Column of the list, as written there"}
	}
}

// addOwnColumns adds the columns of siglake.
func (t *table) addOwnColumns() {
	o := &t.join.options
	for _, c := range lineColumns {
		typ := schema.String
		if c.name == "siglake_line" {
			typ = schema.Int64
		}
		t.addColumn(c.name, typ, c.doc)
	}
	for _, c := range stateColumns {
		t.addColumn(c.name, schema.String, c.doc)
	}
	t.total = len(t.columns)
	if o.Events {
		for _, c := range eventColumns {
			t.addColumn(c.Name, c.Type, c.Doc)
		}
		return
	}
	t.addColumn("siglake_events", schema.Int64, "Events of the line")
	t.addColumn("siglake_last_event_date", schema.Date, "Date of the newest event")
	t.sums = len(t.columns)
	for _, key := range t.signals {
		t.addColumn(key+"_count", schema.Int64, "Events of the signal "+key)
		t.addColumn(key+"_date", schema.Date, "Date of the newest of them")
		t.addColumn(key+"_headline", schema.String, "What the newest of them says, in one sentence")
	}
}

// add adds a part of a line.
func (t *table) add(r sortedRow) error {
	if number := r.keyNumber(2); number != t.line { // lines are numbered from 1
		if err := t.endLine(); err != nil {
			return err
		}
		if t.line = number; t.row == nil {
			t.row = make([]Cell, len(t.columns))
		}
		clear(t.row)
	}
	switch r.keyNumber(3) {
	case partCells:
		t.addCells(&r.unpacker)
		return nil
	case partState:
		s := r.state()
		for i, text := range []string{s.Status, s.Reason, s.Run, s.EntityID, s.EntityName, s.EntityDomain} {
			t.row[t.cells+len(lineColumns)+i] = textCell(text)
		}
		return nil
	}
	if t.join.options.Events {
		return t.writeEvent(r.event())
	}
	t.addSum(&r.unpacker)
	return nil
}

func (t *table) addCells(u *unpacker) {
	at := t.cells
	t.row[at] = textCell(u.text())
	if line := u.number(); line > 0 {
		t.row[at+1] = numberCell(line)
	}
	for i := range 4 {
		t.row[at+2+i] = textCell(u.text())
	}
	t.name = u.text()
	for n := u.number(); n > 0; n-- {
		i, text := u.number(), u.text()
		if !t.join.options.Events {
			t.row[i] = textCell(text)
		}
	}
}

// addSum adds what one signal of the line adds up to.
func (t *table) addSum(u *unpacker) {
	signal, count, date, headline := u.text(), u.number(), u.optional(), u.text()
	total, last := &t.row[t.total], &t.row[t.total+1]
	*total = numberCell(total.N + count)
	if date.Set && (!last.Set || date.N > last.N) {
		*last = date
	}
	if i := slices.Index(t.signals, signal); i >= 0 {
		copy(t.row[t.sums+3*i:], []Cell{numberCell(count), date, textCell(headline)})
	}
}

// writeEvent writes the row of an event, which begins like that of its line.
func (t *table) writeEvent(e Event) error {
	if e.Person == "" && t.row[t.cells+3].Text == string(schema.Contact) {
		e.Person = cmp.Or(t.row[t.cells+len(lineColumns)+4].Text, t.name)
	}
	copy(t.row[t.total:], []Cell{
		textCell(e.Category), textCell(e.Signal), e.Date, e.FirstSeen, textCell(e.Headline), textCell(e.URL),
		textCell(e.Company), textCell(e.CompanyDomain), textCell(e.Person), textCell(e.UID), textCell(e.Run),
	})
	if t.line != t.lastCounted {
		t.counts.WithEvents, t.lastCounted = t.counts.WithEvents+1, t.line
	}
	t.counts.Events++
	t.counts.Rows++
	return t.out.writeRow(t.row)
}

// endLine writes the row of a line. A signal without events counts 0.
func (t *table) endLine() error {
	if t.row == nil || t.join.options.Events {
		return nil
	}
	if total := &t.row[t.total]; total.N > 0 {
		t.counts.WithEvents++
		t.counts.Events += total.N
	} else {
		*total = numberCell(0)
	}
	for i := range t.signals {
		t.row[t.sums+3*i].Set = true
	}
	t.counts.Rows++
	return t.out.writeRow(t.row)
}
