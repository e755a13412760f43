package ddl

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// duckDB writes the views of the datasets in DuckDB's way.
type duckDB struct{ *script }

// duckTables writes DuckDB's views of the datasets. A view is bound anew by every query, and reads
// the files that one variable of the session names: so all views change together, when the script is
// run again, and not before. A database file outlives sessions and their variables, so its views name
// the files of one generation themselves.
//
// DuckDB has no table without files, so a view chooses between reading and an empty result of the
// same type. The columns are stated, not taken from the files: files of earlier versions lack some,
// and opening all of them to find out takes time. Nor is the partition taken from DuckDB's own
// reading of directories, which refuses a lake that has months and days; a condition on the month
// still skips files.
func duckTables(script *script) error {
	s := duckDB{script}
	if !s.o.Persistent {
		s.createView = "CREATE OR REPLACE TEMP VIEW"
	}
	s.writeHead()
	byTable := map[string][]string{}
	for _, f := range s.o.Snapshot.Files {
		byTable[f.Table] = append(byTable[f.Table], f.Path)
	}
	for _, t := range schema.Tables {
		if s.o.Persistent {
			s.writeFixed(t, byTable[t.Name])
		} else {
			s.writeDynamic(t)
		}
		if s.isMember {
			continue
		}
		doc, columns := t.Doc, baseColumns(t)
		for _, c := range s.keptColumns() {
			if t.Name == schema.Accounts.Name {
				columns = append(slices.Clip(columns), schema.Column{Name: c.name, Doc: c.doc()})
			}
		}
		if t.IsEvent() {
			doc += ". Every revision of each event"
			s.writeAsOf(t)
		}
		s.comment(script, baseName(t), doc, columns)
	}
	return nil
}

// LakeView is the view of a database file that says what the file shows: the lake, and its generation.
const LakeView = "siglake_lake"

// writeHead says which generation the views show, and finds its files.
func (s *duckDB) writeHead() {
	snapshot := s.o.Snapshot
	const engine = "DuckDB 1.2 or later: a view for each dataset."
	switch {
	case s.o.Persistent:
		s.about(engine, fmt.Sprintf("All views read generation %d. Run siglake ddl again for a newer one.", snapshot.Generation))
		s.WriteString(duckVersionSQL)
		s.writeBlock("CREATE OR REPLACE VIEW %s AS SELECT %s AS lake, %d::BIGINT AS generation;", s.table(LakeView), sqlString(s.o.Address), snapshot.Generation)
		return
	case s.o.Pinned:
		s.about(engine, fmt.Sprintf("All views read generation %d, whatever is published later.", snapshot.Generation))
	case snapshot.Generation > 0 && snapshot.Link == nil:
		s.about(engine, fmt.Sprintf("All views read generation %d, which an earlier version of siglake published without a list of", snapshot.Generation),
			"all files. From the next run on, siglake ddl prints a script that finds the newest generation itself.")
	default:
		s.about(engine, "All views of a session read one generation: the newest when this script runs. Run it again for the next.")
	}
	s.WriteString(duckVersionSQL)
	s.writeBlock(s.variables("SET VARIABLE siglake_@lake = %s;"), sqlString(s.o.Address))
	switch {
	case snapshot.Generation > 0 && snapshot.Link == nil, s.o.Pinned && snapshot.Link == nil:
		s.writeBlock(s.variables("SET VARIABLE siglake_@generation = %d;"), snapshot.Generation)
		s.writeBlock(s.variables("SET VARIABLE siglake_@files = %s;"), s.fileMap(snapshot.Files))
		return
	case s.o.Pinned:
		s.writeBlock(s.variables("SET VARIABLE siglake_@generation = %d;"), snapshot.Generation)
		s.writeBlock(s.variables("SET VARIABLE siglake_@list = %s;"), sqlString(snapshot.Link.Path))
	default:
		s.WriteString(s.variables(duckCurrentSQL))
	}
	s.WriteString(s.variables(duckListSQL))
}

// variables names the variables of a text, siglake_@name: those of scripts with different prefixes differ.
func (s *duckDB) variables(text string) string {
	return strings.ReplaceAll(text, "siglake_@", "siglake_"+s.o.Prefix)
}

// duckVersionSQL refuses versions that cannot name the columns to read.
const duckVersionSQL = `SET VARIABLE siglake_reader = (CASE WHEN string_split(ltrim(version(), 'v'), '.')[1:2]::INT[] >= [1, 2] THEN version()
  ELSE error('this script needs DuckDB 1.2 or later, this is ' || version()) END);

`

// duckCurrentSQL finds the newest generation. Before the first there is none.
const duckCurrentSQL = `SET VARIABLE siglake_@published = (SELECT count(*) FROM glob(getvariable('siglake_@lake') || '/_meta/current.json'));

SET VARIABLE siglake_@current = (FROM query(CASE WHEN getvariable('siglake_@published') > 0
  THEN $$ SELECT {generation: generation, list: coalesce(snapshot.path, error('this generation has no list of files, print the script again: siglake ddl'))}
          FROM read_json(getvariable('siglake_@lake') || '/_meta/current.json', columns = {generation: 'BIGINT', snapshot: 'STRUCT(path VARCHAR)'}) $$
  ELSE $$ SELECT NULL::STRUCT(generation BIGINT, list VARCHAR) $$ END));

SET VARIABLE siglake_@generation = getvariable('siglake_@current').generation;

SET VARIABLE siglake_@list = getvariable('siglake_@current').list;

`

// duckListSQL reads the list of a generation's files.
const duckListSQL = `SET VARIABLE siglake_@files = (FROM query(CASE WHEN getvariable('siglake_@list') IS NOT NULL
  THEN $$ SELECT map_from_entries(list((name, files))) FROM (
            SELECT "table" AS name, list(getvariable('siglake_@lake') || '/' || path ORDER BY path) AS files
            FROM read_json(getvariable('siglake_@lake') || '/' || getvariable('siglake_@list'), format = 'newline_delimited', columns = {path: 'VARCHAR', "table": 'VARCHAR'})
            GROUP BY 1) $$
  ELSE $$ SELECT NULL::MAP(VARCHAR, VARCHAR[]) $$ END));

`

// fileMap is the value of the variable with the files, for files at hand.
func (s *duckDB) fileMap(files []sinks.DataFile) string {
	byTable := map[string][]string{}
	for _, f := range files {
		byTable[f.Table] = append(byTable[f.Table], s.variables("getvariable('siglake_@lake') || ")+sqlString("/"+f.Path))
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

// writeDynamic writes the view of the files that the session's variable names.
func (s *duckDB) writeDynamic(t schema.Table) {
	files := fmt.Sprintf(s.variables("getvariable('siglake_@files')[%s]"), sqlString(t.Name))
	s.writeBlock("%s %s AS %sFROM query(CASE WHEN len(%s) > 0\n  THEN $$ %s $$\n  ELSE $$ %s $$ END);",
		s.createView, s.table(baseName(t)), s.withKept(t), files, s.read(t, files), s.empty(t))
}

// writeFixed writes the view of files of one generation.
func (s *duckDB) writeFixed(t schema.Table, paths []string) {
	query := s.empty(t)
	if len(paths) > 0 {
		files := make([]string, len(paths))
		for i, path := range paths {
			files[i] = sqlString(s.o.Address + "/" + path)
		}
		query = s.read(t, "["+strings.Join(files, ",\n  ")+"]")
	}
	if kept := s.withKept(t); kept != "" {
		query = kept + "FROM (" + query + ")"
	}
	s.writeBlock("%s %s AS %s;", s.createView, s.table(baseName(t)), query)
}

// withKept selects the columns of a dataset and those that lists keep; empty if there are none.
func (s *duckDB) withKept(t schema.Table) string {
	kept := s.selectKept(s.keptColumns())
	if t.Name != schema.Accounts.Name || kept == "" || s.isMember {
		return ""
	}
	return "SELECT *" + kept + "\n  "
}

// read reads the rows of files.
func (s *duckDB) read(t schema.Table, files string) string {
	columns := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		columns[i] = fmt.Sprintf("%s: {name: %s, type: %s, default_value: NULL}", sqlString(c.Name), sqlString(c.Name), sqlString(s.columnType(c.Type)))
	}
	month, option := "", ""
	if t.IsEvent() {
		month = " EXCLUDE (filename), " + duckMonth + " AS " + monthColumn
		option = ", filename = true" // a column of the result, or no file is skipped
	}
	query := fmt.Sprintf("SELECT *%s FROM read_parquet(%s, hive_partitioning = false%s, schema = MAP {\n          %s})",
		month, files, option, strings.Join(columns, ",\n          "))
	if shown := s.shown(t, "r"); shown != "r" {
		return fmt.Sprintf("WITH r AS (%s)\n       FROM %s", query, shown)
	}
	return query
}

// duckMonth is the month of a file, by its folder.
var duckMonth = "replace(regexp_extract(filename, '/event_(?:month|day)=([^/]{7})', 1), " + sqlString(schema.UnknownDay[:7]) + ", " + sqlString(schema.UnknownPartition) + ")"

// empty gives no row of the right columns.
func (s *duckDB) empty(t schema.Table) string {
	columns := baseColumns(t)
	empty := make([]string, len(columns))
	for i, c := range columns {
		empty[i] = fmt.Sprintf("NULL::%s AS %s", s.columnType(c.Type), s.ident(c.Name))
	}
	return "SELECT " + strings.Join(empty, ", ") + " WHERE false"
}

// writeAsOf writes the macro that gives what was known of a dataset at a moment.
func (s *duckDB) writeAsOf(t schema.Table) {
	temp := " TEMP"
	if s.o.Persistent {
		temp = ""
	}
	all, known := s.table(baseName(t)), "epoch_us(fetched_at) < epoch_us(moment::TIMESTAMP)"
	s.writeBlock("CREATE OR REPLACE%s MACRO %s(moment) AS TABLE SELECT shown.* FROM (FROM %s WHERE %s) AS shown\n  ANTI JOIN (SELECT event_uid, max(revision) AS newest FROM %s WHERE revision > 1 AND %s GROUP BY event_uid) AS later\n  ON later.event_uid = shown.event_uid AND later.newest > coalesce(shown.revision, 1);",
		temp, s.table(t.Name+"_as_of"), all, known, all, known)
}

// duckComments documents a view and its columns.
func duckComments(s *script, name, doc string, columns []schema.Column) {
	s.writeBlock("COMMENT ON VIEW %s IS %s;", s.table(name), sqlString(plain(doc)))
	for _, c := range columns {
		s.writeBlock("COMMENT ON COLUMN %s.%s IS %s;", s.table(name), s.ident(c.Name), sqlString(columnDoc(c)))
	}
}
