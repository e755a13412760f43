// Package dictionary describes a lake for people and programs: every table and view with its columns, and
// every signal with what it means. All of it is made of the tables of package schema and the views of
// package ddl, whose comments say the same, so the three cannot differ.
//
// A [Document] is the dictionary of one version of the schema, or what files say of themselves. It is
// written as Markdown (markdown.go), as JSON, which is its own stored form, and as sources of dbt
// (dbt.go); diff.go compares two.
package dictionary

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/siglake/siglake/internal/ddl"
	"github.com/siglake/siglake/schema"
)

// Format is the version of the JSON form of a Document.
const Format = 1

// Document is a dictionary.
type Document struct {
	Format int `json:"format"`
	// Version of the schema; of files the newest.
	Schema int `json:"schema_version"`
	// Files say it of themselves: their tables and columns with types, and not what is closed or always set.
	FromFiles bool     `json:"from_files,omitempty"`
	Tables    []Table  `json:"tables"`
	Signals   []Signal `json:"signals,omitempty"`
}

// Table is a table or view, under the name that the scripts of siglake ddl give it.
type Table struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`            // events, product, ledger or view
	Files   string   `json:"files,omitempty"` // where they lie in the lake; empty: it is a view
	Since   int      `json:"since"`           // version of the schema that added it
	Meaning string   `json:"meaning"`
	Key     string   `json:"key,omitempty"`       // column whose values are unique
	Sort    []string `json:"sorted_by,omitempty"` // of a file
	Columns []Column `json:"columns"`
}

// Column is a column of a table.
type Column struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"` // in SQL
	Nullable bool     `json:"nullable"`
	Unit     string   `json:"unit,omitempty"`
	Meaning  string   `json:"meaning"`
	Since    int      `json:"since,omitempty"`
	From     []string `json:"answer_fields,omitempty"` // the first present one counts; empty: siglake makes it
	Values   []string `json:"values,omitempty"`        // all that there can be; empty: the list is not closed
	Example  string   `json:"example,omitempty"`       // invented
}

// Signal is a signal type of the catalogue.
type Signal struct {
	Key     string `json:"key"`
	Object  string `json:"object"`
	Table   string `json:"table"`
	Meaning string `json:"meaning"`
	Unit    string `json:"unit"` // of its figures, or what one event is
	Cadence string `json:"cadence"`
	// Columns that its records fill, besides those of every event.
	Columns []string `json:"columns"`
	Kinds   []string `json:"news_event_types,omitempty"`
	Risk    bool     `json:"is_risk,omitempty"`
}

// New is the dictionary of a version of the schema, from schema.OldestVersion to schema.Version. The views
// of older versions are those of this one.
func New(version int) *Document {
	d := &Document{Format: Format, Schema: version}
	for _, r := range ddl.Relations() {
		if t, ok := newTable(&r, version); ok {
			d.Tables = append(d.Tables, t)
		}
	}
	for _, s := range schema.Signals {
		m := schema.Meanings[s.Key]
		d.Signals = append(d.Signals, Signal{
			Key: s.Key, Object: string(s.Object), Table: string(s.Category), Meaning: m.Text, Unit: m.Unit, Cadence: s.Cadence,
			Columns: schema.RecordLayouts[s.Record].Columns, Kinds: s.NewsEventTypes, Risk: s.Risk,
		})
	}
	return d
}

// newTable describes a relation as of a version; ok is false if it had none.
func newTable(r *ddl.Relation, version int) (t Table, ok bool) {
	t = Table{Name: r.Name, Kind: "view", Since: schema.OldestVersion, Meaning: r.Doc, Key: r.Key}
	if r.Table.Name != "" {
		if t.Since = r.Table.Since(); t.Since > version {
			return t, false
		}
	}
	if !r.IsView {
		t.Kind, t.Files, t.Sort = kindOf(r.Table), ddl.FolderOf(r.Table), r.Table.Sort
	}
	set := r.Table.AlwaysSet()
	if r.IsView && r.Key != "" && r.Table.Name == "" {
		set = []string{r.Key}
	}
	for _, c := range r.Columns {
		if c.Since > version {
			continue
		}
		values, example := r.Table.Values(c.Name), c.Example()
		if len(values) > 0 && !slices.Contains(values, example) {
			example = values[0]
		}
		t.Columns = append(t.Columns, Column{
			Name: c.Name, Type: c.Type.String(), Nullable: !slices.Contains(set, c.Name), Unit: c.Unit, Meaning: c.Doc, Since: max(c.Since, t.Since),
			From: c.From, Values: values, Example: example,
		})
	}
	return t, true
}

func kindOf(t schema.Table) string {
	switch {
	case t.IsEvent():
		return "events"
	case t.IsProduct():
		return "product"
	}
	return "ledger"
}

// OfTables is the dictionary of tables as files state them.
func OfTables(tables []schema.Table) *Document {
	d := &Document{Format: Format, FromFiles: true}
	for _, t := range tables {
		d.Schema = max(d.Schema, t.Version)
		one := Table{Name: t.Name, Kind: kindOf(t), Meaning: t.Doc}
		for _, c := range t.Columns {
			one.Columns = append(one.Columns, Column{Name: c.Name, Type: c.Type.String(), Nullable: true, Unit: c.Unit, Meaning: c.Doc})
		}
		d.Tables = append(d.Tables, one)
	}
	return d
}

// Parse reads the JSON form of a dictionary.
func Parse(text []byte) (*Document, error) {
	d := new(Document)
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("no dictionary of siglake schema docs --format json: %w", err)
	}
	if d.Format != Format {
		return nil, fmt.Errorf("its format is %d, this version reads %d", d.Format, Format)
	}
	return d, nil
}

// Only leaves one table, and the signals of it; false if there is no such table.
func (d *Document) Only(table string) bool {
	d.Tables = slices.DeleteFunc(d.Tables, func(t Table) bool { return t.Name != table })
	d.Signals = slices.DeleteFunc(d.Signals, func(s Signal) bool { return s.Table != table })
	return len(d.Tables) > 0
}

// Names are the names of the tables.
func (d *Document) Names() []string {
	names := make([]string, len(d.Tables))
	for i := range d.Tables {
		names[i] = d.Tables[i].Name
	}
	return names
}

// Find finds a table; nil if there is none.
func (d *Document) Find(table string) *Table {
	for i := range d.Tables {
		if d.Tables[i].Name == table {
			return &d.Tables[i]
		}
	}
	return nil
}
