package ddl

import (
	"fmt"
	"strings"

	"github.com/siglake/siglake/schema"
)

// dialect is how an engine spells what all scripts have.
type dialect struct {
	name  string
	ident func(string) string // a quoted name
	// Types of columns, by schema.Type.
	types      [6]string
	createView string
	viewEnd    string // what follows the query of a view
	// The text of a member of the JSON object in extra; empty: the dialect cannot name it.
	member func(name string) string
	// How a text becomes a type, or null if it has another: of the text and the type. Empty: not at all.
	tryCast string
	// Whether a text has a form: of the text and a regular expression.
	matches string
	// Of a row of the alias f, whose table lies over a folder: the last folder of its file and the file's name.
	fileName string
	now      string // the seconds since 1970
	// A table states which folders it lies over, and the engine looks into those that a query is about.
	projects bool
	// The database of the tables cannot hold views: these are in the database of the session.
	localViews bool
	// tables writes the first part of a script.
	tables func(*script) error
	// comment documents a view; nil: the engine has no comments on views, or no need.
	comment func(s *script, name, doc string, columns []schema.Column)
}

var dialects = []dialect{
	{name: "duckdb", ident: doubleQuoted, types: standardTypes("TIMESTAMPTZ"), createView: "CREATE OR REPLACE VIEW", tables: duckTables, comment: duckComments, member: duckMember, tryCast: "try_cast(%s AS %s)", matches: "regexp_matches(%s, %s)"},
	{name: "athena", ident: doubleQuoted, types: standardTypes("TIMESTAMP"), createView: "CREATE OR REPLACE VIEW", fileName: "regexp_extract(f.\"$path\", '[^/]+/[^/]+$')", projects: true, now: "to_unixtime(current_timestamp)", tables: athenaTables, member: trinoMember, tryCast: "try_cast(%s AS %s)", matches: "regexp_like(%s, %s)"},
	{name: "trino", ident: doubleQuoted, types: standardTypes("TIMESTAMP(6)"), createView: "CREATE OR REPLACE VIEW", fileName: "regexp_extract(f.\"$path\", '[^/]+/[^/]+$')", projects: true, now: "to_unixtime(current_timestamp)", tables: trinoTables, member: trinoMember, tryCast: "try_cast(%s AS %s)", matches: "regexp_like(%s, %s)"},
	{name: "spark", ident: backQuoted, types: hiveTypes, createView: "CREATE OR REPLACE VIEW", fileName: "regexp_extract(f._metadata.file_path, '[^/]+/[^/]+$', 0)", now: "unix_timestamp()", tables: sparkTables, member: sparkMember, tryCast: "try_cast(%s AS %s)", matches: "regexp_like(%s, %s)"},
	{name: "clickhouse", ident: backQuoted, types: clickhouseTypes, createView: "CREATE OR REPLACE VIEW", fileName: "f." + fileNameColumn, now: "toUnixTimestamp(now())", tables: clickhouseTables, member: clickhouseMember, tryCast: "accurateCastOrNull(%s, '%s')", matches: "match(%s, %s)"},
	{name: "snowflake", ident: doubleQuoted, types: standardTypes("TIMESTAMP_TZ"), createView: "CREATE OR REPLACE VIEW", fileName: "f." + fileNameColumn, now: "date_part(epoch_second, current_timestamp())", tables: snowflakeTables, member: snowflakeMember, tryCast: "try_cast(%s AS %s)", matches: "regexp_like(%s, %s)"},
	{name: "bigquery", ident: backQuoted, types: bigqueryTypes, createView: "CREATE OR REPLACE VIEW", fileName: "regexp_extract(f._FILE_NAME, '[^/]+/[^/]+$')", now: "unix_seconds(current_timestamp())", tables: bigqueryTables, member: bigqueryMember, tryCast: "SAFE_CAST(%s AS %s)", matches: "regexp_contains(%s, %s)"},
	{name: "redshift", ident: doubleQuoted, types: standardTypes("TIMESTAMP"), createView: "CREATE OR REPLACE VIEW", fileName: "regexp_substr(f.\"$path\", '[^/]+/[^/]+$')", now: "extract(epoch FROM getdate())", tables: redshiftTables, member: redshiftMember, tryCast: "", matches: "", localViews: true},
}

// fileNameColumn is the column for fileName of engines in which only the table itself knows it.
const fileNameColumn = "file_name"

func standardTypes(timestamp string) [6]string {
	return [6]string{"VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", timestamp}
}

var (
	hiveTypes       = [6]string{"STRING", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP"}
	clickhouseTypes = [6]string{"Nullable(String)", "Nullable(Int64)", "Nullable(Float64)", "Nullable(Bool)", "Nullable(Date32)", "Nullable(DateTime64(6, 'UTC'))"}
	bigqueryTypes   = [6]string{"STRING", "INT64", "FLOAT64", "BOOL", "DATE", "TIMESTAMP"}
)

// columnType is the type of a column.
func (d *dialect) columnType(t schema.Type) string { return d.types[t] }

func doubleQuoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func backQuoted(name string) string   { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// sqlString is a text as standard SQL writes it.
func sqlString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// escapedString is a text as Hive, Spark, BigQuery and ClickHouse write it.
func escapedString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// listColumns writes the columns of a table, one a line.
func (s *script) listColumns(columns []schema.Column, line func(schema.Column) string) string {
	lines := make([]string, len(columns))
	for i, c := range columns {
		lines[i] = "  " + line(c)
	}
	return strings.Join(lines, ",\n")
}

// about opens a script: of which lake it is, and what to know of the engine.
func (s *script) about(engine string, notes ...string) {
	fmt.Fprintf(s, "-- The lake %s, for %s\n", plain(fmt.Sprintf("%q", s.o.Address)), engine)
	for _, note := range notes {
		fmt.Fprintf(s, "-- %s\n", strings.ReplaceAll(note, ";", ","))
	}
	s.WriteString("\n")
}
