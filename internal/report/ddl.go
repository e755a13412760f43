package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// sqlScript collects SQL; a failing writer is noticed at its end.
type sqlScript struct{ strings.Builder }

func (s *sqlScript) writeLine(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

// WriteDuckDB writes DuckDB's views of a lake. A view is bound anew by every
// query, and reads the files that one variable of the session names: so all
// views change together, when the script is run again, and not before.
//
// DuckDB has no table without files, so a view chooses between reading and an
// empty result of the same type. The columns are stated, not taken from the
// files: files of earlier versions lack some, and opening all of them to find
// out takes time. Nor is the partition taken from DuckDB's own reading of
// directories, which refuses a lake that has months and days; a condition on the
// month still skips files.
func WriteDuckDB(w io.Writer, address string, s *sinks.Snapshot, pinned bool) error {
	var out sqlScript
	out.writeLine("-- The lake %q, for DuckDB 1.5 or later: a view for each dataset.", address)
	switch {
	case pinned:
		out.writeLine("-- All views read generation %d, whatever is published later.", s.Generation)
	case s.Generation > 0 && s.Link == nil:
		out.writeLine("-- All views read generation %d, which an earlier version of siglake published without a list of\n-- all files. From the next run on, siglake ddl prints a script that finds the newest generation itself.", s.Generation)
		pinned = true
	default:
		out.writeLine("-- All views of a session read one generation: the newest when this script runs. Run it again for the next.")
	}
	out.writeLine("\nSET VARIABLE siglake_lake = %s;", sqlString(address))
	switch {
	case pinned && s.Link == nil:
		out.writeLine("SET VARIABLE siglake_generation = %d;", s.Generation)
		out.writeLine("SET VARIABLE siglake_files = %s;", duckFileMap(s.Files))
	case pinned:
		out.writeLine("SET VARIABLE siglake_generation = %d;", s.Generation)
		out.writeLine("SET VARIABLE siglake_list = %s;", sqlString(s.Link.Path))
		out.WriteString(duckListSQL)
	default:
		out.WriteString(duckCurrentSQL)
		out.WriteString(duckListSQL)
	}
	for _, t := range schema.Tables {
		writeDuckView(&out, t, keptViewColumns(t, s.Files))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// duckCurrentSQL finds the newest generation. Before the first there is none.
const duckCurrentSQL = `SET VARIABLE siglake_published = (SELECT count(*) FROM glob(getvariable('siglake_lake') || '/_meta/current.json'));
SET VARIABLE siglake_current = (FROM query(CASE WHEN getvariable('siglake_published') > 0
  THEN $$ SELECT {generation: generation, list: coalesce(snapshot.path, error('this generation has no list of files; print the script again: siglake ddl'))}
          FROM read_json(getvariable('siglake_lake') || '/_meta/current.json', columns = {generation: 'BIGINT', snapshot: 'STRUCT(path VARCHAR)'}) $$
  ELSE $$ SELECT NULL::STRUCT(generation BIGINT, list VARCHAR) $$ END));
SET VARIABLE siglake_generation = getvariable('siglake_current').generation;
SET VARIABLE siglake_list = getvariable('siglake_current').list;
`

// duckListSQL reads the list of a generation's files.
const duckListSQL = `SET VARIABLE siglake_files = (FROM query(CASE WHEN getvariable('siglake_list') IS NOT NULL
  THEN $$ SELECT map_from_entries(list((name, files))) FROM (
            SELECT "table" AS name, list(getvariable('siglake_lake') || '/' || path ORDER BY path) AS files
            FROM read_json(getvariable('siglake_lake') || '/' || getvariable('siglake_list'), format = 'newline_delimited', columns = {path: 'VARCHAR', "table": 'VARCHAR'})
            GROUP BY 1) $$
  ELSE $$ SELECT NULL::MAP(VARCHAR, VARCHAR[]) $$ END));
`

// duckFileMap is the value of siglake_files for files at hand.
func duckFileMap(files []sinks.DataFile) string {
	byTable := map[string][]string{}
	for _, f := range files {
		byTable[f.Table] = append(byTable[f.Table], "getvariable('siglake_lake') || "+sqlString("/"+f.Path))
	}
	if len(byTable) == 0 {
		return "NULL::MAP(VARCHAR, VARCHAR[])"
	}
	var parts []string
	for _, table := range slices.Sorted(maps.Keys(byTable)) {
		parts = append(parts, fmt.Sprintf("\n  %s: [\n    %s]", sqlString(table), strings.Join(byTable[table], ",\n    ")))
	}
	return "MAP {" + strings.Join(parts, ",") + "}"
}

// historyOf is the name of the view with all revisions of events.
func historyOf(t schema.Table) string { return t.Name + "_history" }

// writeDuckView writes the view of a dataset. For events, it has the newest revision of each; another
// view has all of them, and a macro those that were known at a moment.
func writeDuckView(out *sqlScript, t schema.Table, kept []viewColumn) {
	name := t.Name
	if t.IsEvent() {
		name = historyOf(t)
	}
	writeDuckFiles(out, t, name, duckKeptColumns(kept))
	if !t.IsEvent() {
		writeDuckComments(out, t)
		for _, c := range kept {
			out.writeLine("COMMENT ON COLUMN %s.%s IS %s;", t.Name, sqlName(c.name), sqlString(c.doc()))
		}
		return
	}
	out.writeLine("COMMENT ON VIEW %s IS %s;", name, sqlString(t.Doc+"; every revision of each event"))
	out.writeLine("\nCREATE OR REPLACE TEMP VIEW %s AS %s;", t.Name, newestRevisions(name, ""))
	writeDuckComments(out, t)
	out.writeLine("CREATE OR REPLACE TEMP MACRO %s_as_of(moment) AS TABLE %s;", t.Name, newestRevisions(name, "epoch_us(fetched_at) < epoch_us(moment::TIMESTAMP)"))
}

// newestRevisions selects from all revisions the newest of each event, of those that meet a
// condition. Few events have a second one, and few files hold any, so what replaces the others is
// found quickly.
func newestRevisions(history, condition string) string {
	later, shown := "revision > 1", ""
	if condition != "" {
		later, shown = later+" AND "+condition, " WHERE "+condition
	}
	return fmt.Sprintf("SELECT shown.* FROM (FROM %s%s) AS shown\n  ANTI JOIN (SELECT event_uid, max(revision) AS newest FROM %s WHERE %s GROUP BY event_uid) AS later\n  ON later.event_uid = shown.event_uid AND later.newest > coalesce(shown.revision, 1)",
		history, shown, history, later)
}

// writeDuckFiles writes the view of all rows of a dataset, with further columns of it.
func writeDuckFiles(out *sqlScript, t schema.Table, name, further string) {
	var read, empty []string
	for _, c := range t.Columns {
		read = append(read, fmt.Sprintf("%s: {name: %s, type: %s, default_value: NULL}", sqlString(c.Name), sqlString(c.Name), sqlString(duckType(c.Type))))
		empty = append(empty, fmt.Sprintf("NULL::%s AS %s", duckType(c.Type), c.Name))
	}
	month, option := "", ""
	if t.IsEvent() {
		month = " EXCLUDE (filename), replace(regexp_extract(filename, '/event_(?:month|day)=([^/]{7})', 1), " + sqlString(schema.UnknownDay[:7]) + ", " + sqlString(schema.UnknownPartition) + ") AS event_month"
		option = ", filename = true" // a column of the result, or no file is skipped
		empty = append(empty, "NULL::VARCHAR AS event_month")
	}
	if further != "" {
		further = "SELECT *" + further + "\n  "
	}
	out.writeLine("\nCREATE OR REPLACE TEMP VIEW %s AS %sFROM query(CASE WHEN len(getvariable('siglake_files')[%s]) > 0", name, further, sqlString(t.Name))
	out.writeLine("  THEN $$ SELECT *%s FROM read_parquet(getvariable('siglake_files')[%s], hive_partitioning = false%s, schema = MAP {\n          %s}) $$",
		month, sqlString(t.Name), option, strings.Join(read, ",\n          "))
	out.writeLine("  ELSE $$ SELECT %s WHERE false $$ END);", strings.Join(empty, ", "))
}

func writeDuckComments(out *sqlScript, t schema.Table) {
	out.writeLine("COMMENT ON VIEW %s IS %s;", t.Name, sqlString(t.Doc))
	for _, c := range t.Columns {
		out.writeLine("COMMENT ON COLUMN %s.%s IS %s;", t.Name, c.Name, sqlString(columnDoc(c)))
	}
	if t.IsEvent() {
		out.writeLine("COMMENT ON COLUMN %s.event_month IS %s;", t.Name, sqlString(monthDoc))
	}
}

const monthDoc = "Month of the event date, or unknown: the directory that the row lies in"

func columnDoc(c schema.Column) string {
	if c.Unit == "" {
		return c.Doc
	}
	return c.Doc + " (" + c.Unit + ")"
}

func duckType(t schema.Type) string {
	if t == schema.Time {
		return "TIMESTAMPTZ" // an instant, in UTC
	}
	return t.String()
}

// sqlString is a text as SQL writes it.
func sqlString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// WriteAthena writes external tables, in Hive's DDL, over what lies under data/
// and ledger/.
func WriteAthena(w io.Writer, address string, s *sinks.Snapshot) error {
	keys := map[string]map[string]bool{} // partition keys in use, by table
	for _, f := range s.Files {
		if key, _, ok := strings.Cut(f.Partition, "="); ok {
			if keys[f.Table] == nil {
				keys[f.Table] = map[string]bool{}
			}
			keys[f.Table][key] = true
		}
	}
	var out sqlScript
	out.writeLine("-- The lake %q, for Athena: run the statements one by one in the database that is to hold the tables.", address)
	out.writeLine("-- The tables show every file as soon as it exists. MSCK REPAIR TABLE finds new months; run it after each run.")
	out.writeLine("-- Tables of events have every revision of each. To see the newest: WHERE coalesce(revision, 1) = (SELECT max(coalesce(revision, 1))")
	out.writeLine("-- FROM news n WHERE n.event_uid = news.event_uid). For what was known at a moment, add fetched_at < TIMESTAMP '...' to both queries.")
	for _, t := range schema.Tables {
		var columns []string
		for _, c := range t.Columns {
			columns = append(columns, fmt.Sprintf("  `%s` %s COMMENT %s", c.Name, hiveType(c.Type), hiveString(columnDoc(c))))
		}
		folder := "ledger"
		if t.IsEvent() || t.IsProduct() {
			folder = "data"
		}
		out.writeLine("\nCREATE EXTERNAL TABLE IF NOT EXISTS `%s` (\n%s\n)", t.Name, strings.Join(columns, ",\n"))
		out.writeLine("COMMENT %s", hiveString(t.Doc))
		if t.IsEvent() {
			used := slices.Sorted(maps.Keys(keys[t.Name]))
			if len(used) > 1 {
				return app.UsageErrorf("%s is partitioned by %s: an Athena table can have one of them; rebuild the lake with one --partition-by", t.Name, strings.Join(used, " and "))
			}
			key := "event_month"
			if len(used) == 1 {
				key = used[0]
			}
			out.writeLine("PARTITIONED BY (`%s` string)", key)
		}
		out.writeLine("STORED AS PARQUET\nLOCATION %s;", hiveString(fmt.Sprintf("%s/%s/%s/", address, folder, t.Name)))
		if t.IsEvent() {
			out.writeLine("\nMSCK REPAIR TABLE `%s`;", t.Name)
		}
	}
	writeAthenaKept(&out, keptViewColumns(schema.Accounts, s.Files))
	_, err := io.WriteString(w, out.String())
	return err
}

func hiveType(t schema.Type) string {
	if t == schema.String {
		return "string"
	}
	return strings.ToLower(t.String())
}

// hiveString is a text as Hive writes it.
func hiveString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
