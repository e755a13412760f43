package ddl

import (
	"iter"

	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// Relation is a table or view of a script, with what its comments say.
type Relation struct {
	Name, Doc string
	// The dataset that the rows are of; its name is empty for a view that combines several.
	Table   schema.Table
	Columns []schema.Column
	IsView  bool // it selects from other relations
	// Column whose value no two rows have; empty: there is none.
	Key string
}

// Relations are the tables and views of every script, in its order, without the columns that lists keep.
func Relations() []Relation {
	s := &script{dialect: dialects[0], o: Options{Snapshot: new(sinks.Snapshot)}, local: map[string]bool{}}
	var all []Relation
	for _, t := range schema.Tables {
		r := Relation{Name: baseName(t), Doc: t.Doc, Table: t, Columns: baseColumns(t)}
		switch {
		case t.IsEvent():
			r.Doc += ". Every revision of each event"
		case t.Name == schema.Runs.Name:
			r.Key = "run_id"
		}
		all = append(all, r)
	}
	for v := range (&views{s}).all() {
		r := Relation{Name: v.name, Doc: v.doc, IsView: true, Key: viewKeys[v.name]}
		for _, f := range v.fields {
			r.Columns = append(r.Columns, f.Column)
		}
		if t, ok := schema.TableNamed(v.name); ok {
			r.Table, r.Key = t, t.Unique
		}
		all = append(all, r)
	}
	return all
}

// viewKeys are the columns by which views have each row once.
var viewKeys = map[string]string{"people": "entity_id", "events": "event_uid", "signals": "signal_type"}

// all are all views, each after those that it reads. A view is composed when it is yielded: those before
// it are written by then, which decides how it names them.
func (s *views) all() iter.Seq[view] {
	return func(yield func(view) bool) {
		if !yield(s.peopleView()) {
			return
		}
		for _, t := range schema.EventTables {
			if !yield(s.newestView(t)) {
				return
			}
		}
		for _, compose := range []func() view{s.eventsView, s.accountsLatestView, s.entitiesView, s.accountEventsView, s.askedView, s.signalsView} {
			if !yield(compose()) {
				return
			}
		}
	}
}
