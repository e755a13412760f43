// Package ddl writes the SQL that makes a lake readable as tables, in the dialects of query engines.
//
// A script has two parts. The first makes one table of each dataset, in the way of the engine: it
// knows where files lie and how partitions are found. The datasets of events have every revision
// there, and their names end in _all. The second part makes views that mean what people expect, such
// as each event once. Their queries are the same text in all dialects, except for quoted names, so
// that an engine that is tested speaks for the others.
//
// A script is sent to an engine as a whole or statement by statement: one statement stands in each
// block, no comment or text contains a semicolon, and running it twice gives what running it once
// gives. It replaces tables and views of the same names, and no file of the lake.
package ddl

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// Options say what a script is for.
type Options struct {
	Dialect string // a name of Dialects
	Address string // of the lake: an s3 URI or an absolute path
	// Files of the generation that is shown, or that the script is made from.
	Snapshot *sinks.Snapshot
	// DuckDB: the views stay with the generation of Snapshot.
	Pinned bool
	// DuckDB: the views are written to the database file, not to the session.
	Persistent bool
	Database   string // that holds the tables; with dots, the catalogue and the database; "": the session's
	Prefix     string // of the name of every table and view
	// A database with tables that stand already, such as those of siglake-iceberg: the script has the views only.
	Over string
	// Ids of contacts that have opted out: no view has their rows.
	OptedOut []string
}

// Dialects are the names of the dialects, in display order.
func Dialects() []string {
	names := make([]string, len(dialects))
	for i, d := range dialects {
		names[i] = d.name
	}
	return names
}

// Write writes the script.
func Write(w io.Writer, o Options) error {
	i := slices.IndexFunc(dialects, func(d dialect) bool { return d.name == o.Dialect })
	if i < 0 {
		return fmt.Errorf("no dialect %q", o.Dialect)
	}
	s := &script{dialect: dialects[i], o: o, local: map[string]bool{}}
	if o.Over != "" {
		s.tables = overTables
	}
	if err := s.tables(s); err != nil {
		return err
	}
	v := views{s}
	v.writeViews()
	_, err := io.WriteString(w, s.String())
	return err
}

// script collects the statements of one script.
type script struct {
	strings.Builder
	dialect
	o Options
	// Names of views that the database of the tables cannot hold.
	local map[string]bool
	// The script of several lakes, or that of the tables of one of them, which people do not read.
	isUnion, isMember bool
}

// view is the full name of a view that a statement creates.
func (s *script) view(name string) string {
	if s.localViews {
		s.local[name] = true
	}
	return s.table(name)
}

// writeBlock writes one statement, or a comment.
func (s *script) writeBlock(format string, args ...any) { fmt.Fprintf(s, format+"\n\n", args...) }

// table is the full name of a table or view, as a statement names it.
func (s *script) table(name string) string {
	if s.local[name] {
		return qualified(s.ident, "", s.o.Prefix+name)
	}
	return qualified(s.ident, s.o.Database, s.o.Prefix+name)
}

// qualified is the full name of a table in a database, quoted.
func qualified(ident func(string) string, database, name string) string {
	var parts []string
	if database != "" {
		for part := range strings.SplitSeq(database, ".") {
			parts = append(parts, ident(part))
		}
	}
	return strings.Join(append(parts, ident(name)), ".")
}

// baseName is the name of a dataset's table in the first part.
func baseName(t schema.Table) string {
	if t.IsEvent() {
		return t.Name + "_all"
	}
	return t.Name
}

// FolderOf is where the files of a dataset lie, relative to the lake.
func FolderOf(t schema.Table) string {
	if t.IsEvent() || t.IsProduct() {
		return "data/" + t.Name
	}
	return "ledger/" + t.Name
}

// baseColumns are the columns of a dataset's table: those of its files, and the month.
func baseColumns(t schema.Table) []schema.Column {
	if !t.IsEvent() {
		return t.Columns
	}
	return append(slices.Clone(t.Columns), schema.Column{Name: monthColumn, Type: schema.String, Doc: monthDoc})
}

const (
	monthColumn = "event_month"
	monthDoc    = "Month of the event date, or unknown: the directory that the row lies in"
)

// columnDoc is the comment on a column. Statements are split at semicolons by programs that do not
// know what a text is, so it has none.
func columnDoc(c schema.Column) string {
	doc := c.Doc
	if c.Unit != "" {
		doc += " (" + c.Unit + ")"
	}
	return plain(doc)
}

// plain is a text without the characters that end a statement or a text. A semicolon between clauses
// becomes the end of a sentence.
func plain(s string) string {
	clauses := strings.Split(strings.NewReplacer("'; '", "semicolons", "'", "’").Replace(s), "; ")
	for i := 1; i < len(clauses); i++ {
		first, size := utf8.DecodeRuneInString(clauses[i])
		clauses[i] = string(unicode.ToUpper(first)) + clauses[i][size:]
	}
	return strings.ReplaceAll(strings.Join(clauses, ". "), ";", ",")
}

// partitionKeys are the keys by which the files of a lake's events are divided: one, unless runs of an
// earlier version had different ones.
func partitionKeys(files []sinks.DataFile) []string {
	var keys []string
	for _, f := range files {
		if key, _, ok := strings.Cut(f.Partition, "="); ok && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
