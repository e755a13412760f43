package dictionary

import (
	"io"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/siglake/siglake/schema"
)

// DBTOptions say where dbt finds the tables of siglake ddl.
type DBTOptions struct {
	Source   string // name of the source
	Database string // empty: that of dbt's target
	Schema   string
	Prefix   string // of the name of every table and view
}

// The types of dbt's own file, as far as they are used.
type (
	dbtFile struct {
		Version int         `yaml:"version"`
		Sources []dbtSource `yaml:"sources"`
	}
	dbtSource struct {
		Name        string     `yaml:"name"`
		Description string     `yaml:"description"`
		Database    string     `yaml:"database,omitempty"`
		Schema      string     `yaml:"schema"`
		Tables      []dbtTable `yaml:"tables"`
	}
	dbtTable struct {
		Name        string      `yaml:"name"`
		Identifier  string      `yaml:"identifier,omitempty"`
		Description string      `yaml:"description"`
		Columns     []dbtColumn `yaml:"columns"`
	}
	dbtColumn struct {
		Name        string `yaml:"name"`
		Description string `yaml:"description"`
		DataType    string `yaml:"data_type"`
		Tests       []any  `yaml:"data_tests,omitempty"`
	}
)

// WriteDBT writes the tables and views of siglake ddl as a source of dbt, with descriptions and tests.
func WriteDBT(w io.Writer, d *Document, o DBTOptions) error {
	source := dbtSource{
		Name: o.Source, Database: o.Database, Schema: o.Schema,
		Description: "Signals of accounts and contacts with their bill, as siglake writes them",
	}
	for i := range d.Tables {
		t := &d.Tables[i]
		table := dbtTable{Name: t.Name, Description: t.Meaning}
		if o.Prefix != "" {
			table.Identifier = o.Prefix + t.Name
		}
		for j := range t.Columns {
			c := &t.Columns[j]
			description := c.Meaning
			if c.Unit != "" {
				description += " (" + c.Unit + ")"
			}
			table.Columns = append(table.Columns, dbtColumn{c.Name, description, c.Type, dbtTests(o.Source, t, c)})
		}
		source.Tables = append(source.Tables, table)
	}
	e, err := yaml.NewDumper(w, yaml.WithIndent(2))
	if err != nil {
		return err
	}
	if err := e.Dump(dbtFile{2, []dbtSource{source}}); err != nil {
		return err
	}
	return e.Close()
}

// dbtTests are the tests of a column. Rows of earlier versions of siglake have no row in runs, so a run that
// is not there is a warning.
func dbtTests(source string, t *Table, c *Column) (tests []any) {
	type arguments map[string]any
	if !c.Nullable {
		tests = append(tests, "not_null")
	}
	if c.Name == t.Key {
		tests = append(tests, "unique")
	}
	if len(c.Values) > 0 {
		tests = append(tests, arguments{"accepted_values": arguments{"arguments": arguments{"values": c.Values}}})
	}
	if c.Name == "run_id" && t.Name != schema.Runs.Name && slices.Contains([]string{"events", "product", "ledger"}, t.Kind) {
		tests = append(tests, arguments{"relationships": arguments{
			"arguments": arguments{"to": "source('" + source + "', '" + schema.Runs.Name + "')", "field": "run_id"}, "config": arguments{"severity": "warn"},
		}})
	}
	return tests
}
