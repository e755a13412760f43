package dictionary

import (
	"io"
	"strings"
	"text/tabwriter"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/schema"
)

// WriteMarkdown writes a dictionary as Markdown.
func WriteMarkdown(w io.Writer, d *Document) {
	format.Fprintf(w, "# Data dictionary\n\nVersion %d of the schema. Names are those of the tables and views that `siglake ddl` makes.\n", d.Schema)
	if len(d.Signals) > 0 {
		format.Fprintf(w, "\n## Signals\n\n| signal | about | cadence | unit | meaning | table | columns |\n|---|---|---|---|---|---|---|\n")
	}
	for _, s := range d.Signals {
		meaning := s.Meaning
		if len(s.Kinds) > 0 {
			meaning += ". Kinds: " + strings.Join(s.Kinds, ", ")
		}
		format.Fprintf(w, "| `%s` | %s | %s | %s | %s | `%s` | %s |\n", s.Key, s.Object, s.Cadence, s.Unit, cell(meaning), s.Table, codes(s.Columns))
	}
	for i := range d.Tables {
		writeTable(w, &d.Tables[i])
	}
}

func writeTable(w io.Writer, t *Table) {
	format.Fprintf(w, "\n## %s\n\n%s.\n\n", t.Name, t.Meaning)
	if t.Files != "" {
		format.Fprintf(w, "Files in `%s`, since version %d. ", t.Files, t.Since)
	}
	if t.Key != "" {
		format.Fprintf(w, "`%s` is unique. ", t.Key)
	}
	format.Fprintf(w, "\n\n| column | type | null | unit | meaning | from | since | example |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range t.Columns {
		meaning := c.Meaning
		if len(c.Values) > 0 {
			meaning += ". One of: " + strings.Join(c.Values, ", ")
		}
		from, null := "siglake", "no"
		if len(c.From) > 0 {
			from = codes(c.From)
		}
		if c.Nullable {
			null = "yes"
		}
		format.Fprintf(w, "| `%s` | %s | %s | %s | %s | %s | %d | %s |\n", c.Name, c.Type, null, c.Unit, cell(meaning), from, c.Since, cell(c.Example))
	}
}

// cell is a text in a cell of a Markdown table.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

func codes(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "`" + strings.Join(words, "`, `") + "`"
}

// WriteTables lists tables, one a line.
func WriteTables(out io.Writer, d *Document) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	format.Fprintf(w, "TABLE\tKIND\tCOLUMNS\tSINCE\tMEANING\n")
	for _, t := range d.Tables {
		format.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", t.Name, t.Kind, len(t.Columns), t.Since, t.Meaning)
	}
	return w.Flush()
}

// WriteTypes lists the columns of a table with their types in SQL, Arrow and Parquet.
func WriteTypes(out io.Writer, t *Table) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	format.Fprintf(w, "COLUMN\tSQL\tARROW\tPARQUET\tNULL\tUNIT\n")
	for _, c := range t.Columns {
		null := "no"
		if c.Nullable {
			null = "yes"
		}
		arrow, parquet := storedTypes(c.Type)
		format.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.Type, arrow, parquet, null, c.Unit)
	}
	return w.Flush()
}

// storedTypes are the types of a column in Arrow and in Parquet, by its type in SQL.
func storedTypes(sql string) (arrow, parquet string) {
	names := [...]string{"BYTE_ARRAY (UTF8)", "INT64", "DOUBLE", "BOOLEAN", "INT32 (DATE)", "INT64 (TIMESTAMP, microseconds, UTC)"}
	for i, name := range names {
		if t := schema.Type(i); t.String() == sql {
			return t.Arrow().String(), name
		}
	}
	return "", ""
}
