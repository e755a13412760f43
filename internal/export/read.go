package export

import (
	"context"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// wantedColumns are the columns of event tables that exports read; a table has some of them.
var wantedColumns = []string{
	"event_uid", "signal_type", "object_type", "entity_id", "event_date", "fetched_at", "run_id", "first_seen_at", "revision", schema.ContentDigest,
	"company_name", "company_domain",
	"current_company_name", "current_domain", "current_title", "previous_company_name", "previous_title",
	"change_rate_percent_abs", "baseline_employees_count", "new_employees_count",
	"new_jobs_posted_last_week", "new_jobs_posted_last_4_weeks", "department", "country", "state", "city", "job_title", "job_url",
	"topic_name", "total_sessions", "unique_visitors", "author_full_name", "activity_url", "activity_summary", "activity_type",
	"summary_text", "event_summary", "article_title", "article_highlight", "article_url",
}

// Reader is what an export reads of a table: columns of it, and what takes records of them. ok is false
// for a table of which it needs nothing.
func (j *Join) Reader(ctx context.Context, t schema.Table) (columns []string, add func(arrow.Record) error, ok bool) {
	switch {
	case t.Name == schema.Accounts.Name:
		return accountColumns, func(rec arrow.Record) error { return j.addAccounts(ctx, rec) }, true
	case t.IsEvent() && j.mayHold(t):
		columns = wantedOf(t)
		r := eventReader{Join: j, table: t, columns: columns}
		return columns, func(rec arrow.Record) error { return r.add(ctx, rec) }, true
	}
	return nil, nil, false
}

// mayHold reports whether a table may hold events that count. What an earlier version did not know lies
// in other.
func (j *Join) mayHold(t schema.Table) bool {
	if j.options.Signals == nil || t.Name == string(schema.CategoryOther) {
		return true
	}
	return slices.ContainsFunc(j.options.Signals, func(key string) bool {
		s, ok := schema.LookupSignal(key)
		return ok && string(s.Category) == t.Name
	})
}

// wantedOf are the columns of an event table that an export reads.
func wantedOf(t schema.Table) (names []string) {
	for _, c := range t.Columns {
		if slices.Contains(wantedColumns, c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

// accountColumns are the columns of the accounts table that an export reads.
var accountColumns = []string{
	"run_id", "row", "account_key", "status", "reason", "object_type", "identifier_type", "identifier",
	"entity_id", "entity_name", "entity_domain", "input_file", "input_line", "command", "line_name",
}

// recordRow reads values of a row by the names of the columns. A column that the table does not have is
// empty.
type recordRow struct {
	extsort.Row
	columns map[string]int
}

// openRecord opens a record with some columns of a table.
func openRecord(t schema.Table, names []string, rec arrow.Record) (*extsort.RecordView, map[string]int) {
	chosen, at := schema.Table{Name: t.Name}, map[string]int{}
	for i, name := range names {
		chosen.Columns = append(chosen.Columns, t.Columns[t.ColumnIndex(name)])
		at[name] = i
	}
	return extsort.NewRecordView(&chosen, rec), at
}

func (r *recordRow) column(name string) *extsort.ColumnView {
	i, ok := r.columns[name]
	if !ok || r.View.Columns[i].IsNull(r.Index) {
		return nil
	}
	return &r.View.Columns[i]
}

func (r *recordRow) Text(name string) string {
	if c := r.column(name); c != nil {
		return string(c.TextAt(r.Index))
	}
	return ""
}

// number is a whole number or a time.
func (r *recordRow) number(name string) Cell {
	if c := r.column(name); c != nil {
		return numberCell(c.Int64At(r.Index))
	}
	return Cell{}
}

func (r *recordRow) day(name string) Cell {
	if c := r.column(name); c != nil {
		return numberCell(int64(c.DateAt(r.Index)))
	}
	return Cell{}
}

// Integer is a whole number; isSet is false if there is none.
func (r *recordRow) Integer(name string) (n int64, isSet bool) {
	c := r.number(name)
	return c.N, c.Set
}

// Float is a number that is no amount of money; isSet is false if there is none.
func (r *recordRow) Float(name string) (v float64, isSet bool) {
	if c := r.column(name); c != nil {
		return c.Float64At(r.Index), true
	}
	return 0, false
}

// eventReader reads the rows of one event table into a join.
type eventReader struct {
	*Join
	describer
	table   schema.Table
	columns []string
}

// add adds rows of the table.
func (j *eventReader) add(ctx context.Context, rec arrow.Record) error {
	view, columns := openRecord(j.table, j.columns, rec)
	for i := range int32(rec.NumRows()) { //nolint:gosec // records are small
		r := &recordRow{view.Row(i), columns}
		e := Event{
			Object: schema.Object(r.Text("object_type")), EntityID: r.Text("entity_id"), UID: r.Text("event_uid"), Digest: r.Text(schema.ContentDigest),
			Revision: 1, Fetched: r.number("fetched_at").N, Category: j.table.Name, Signal: r.Text("signal_type"), Run: r.Text("run_id"),
			Date: r.day("event_date"), FirstSeen: r.number("first_seen_at"),
		}
		if !j.wants(&e) {
			continue
		}
		if n := r.number("revision"); n.Set {
			e.Revision = n.N
		}
		if !e.FirstSeen.Set { // rows from before there were revisions
			e.FirstSeen = r.number("fetched_at")
		}
		j.describe(&e, r)
		if e.Digest == "" {
			e.Digest = e.Headline + "\x00" + e.URL
		}
		if err := j.AddEvent(ctx, &e); err != nil {
			return err
		}
	}
	return nil
}

// addAccounts adds rows of the accounts table.
func (j *Join) addAccounts(ctx context.Context, rec arrow.Record) error {
	view, columns := openRecord(schema.Accounts, accountColumns, rec)
	for i := range int32(rec.NumRows()) { //nolint:gosec // records are small
		r := &recordRow{view.Row(i), columns}
		s := State{
			Run: r.Text("run_id"), Row: r.number("row").N, Command: r.Text("command"), Status: r.Text("status"), Reason: r.Text("reason"),
			EntityID: r.Text("entity_id"), EntityName: r.Text("entity_name"), EntityDomain: r.Text("entity_domain"),
		}
		l := Line{
			List: r.Text("input_file"), Row: s.Row, File: r.Text("input_file"), Line: r.number("input_line").N, Key: r.Text("account_key"),
			Object: schema.Object(r.Text("object_type")), Identifier: schema.Identifier(r.Text("identifier_type")), Text: r.Text("identifier"), Name: r.Text("line_name"), Own: s,
		}
		if l.Identifier != "" {
			l.Identity = Identify(l.Object, l.Identifier, l.Text)
			if err := j.AddState(ctx, l.Identity, &s); err != nil {
				return err
			}
		}
		if j.options.FromLake && s.isAboutSignals() {
			if err := j.addAccount(ctx, &l); err != nil {
				return err
			}
		}
	}
	return nil
}

// Identify is the identity of an identifier.
func Identify(o schema.Object, kind schema.Identifier, text string) string {
	id := pipeline.IdentityOfText(o, kind, text)
	return string(id[:])
}

// isAboutSignals reports whether the status is one of signals. Rows of old versions name no command.
func (s *State) isAboutSignals() bool { return s.Command == "" || s.Command == "run" }

// addAccount keeps a line of a lake. A line is known by its key, or else by its identifier.
func (j *Join) addAccount(ctx context.Context, l *Line) error {
	known := l.Key
	if known == "" {
		known = l.Text
	}
	j.accounts.text(l.File)
	j.accounts.text(known)
	j.accounts.text(inverted(l.Own.Run))
	j.accounts.number(l.Row)
	p := &j.accounts.packed
	for _, s := range []string{l.File, l.Key, string(l.Object), string(l.Identifier), l.Text, l.Name, l.Identity} {
		p.text(s)
	}
	p.number(l.Line)
	p.state(&l.Own)
	return j.accounts.end(ctx)
}

// inverted sorts texts of one length in the opposite order.
func inverted(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = ^b[i]
	}
	return string(b)
}

// AddLakeLines adds the lines of a lake, of which all accounts were added: each as the newest run that
// read it has it, which may be several rows.
func (j *Join) AddLakeLines(ctx context.Context) error {
	var file, known, run string
	first := true
	return j.accounts.read(ctx, func(r sortedRow) error {
		if first || string(r.keyText(0)) != file || string(r.keyText(1)) != known {
			first, file, known, run = false, string(r.keyText(0)), string(r.keyText(1)), string(r.keyText(2))
		}
		if string(r.keyText(2)) != run {
			return nil
		}
		l := Line{Row: r.keyNumber(3)}
		var object, kind string
		for _, s := range []*string{&l.File, &l.Key, &object, &kind, &l.Text, &l.Name, &l.Identity} {
			*s = r.text()
		}
		l.List, l.Object, l.Identifier, l.Line, l.Own = l.File, schema.Object(object), schema.Identifier(kind), r.number(), r.state()
		l.EntityID = l.Own.EntityID
		return j.AddLine(ctx, &l, nil, nil)
	})
}
