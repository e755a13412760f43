package ddl

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

var monthly = []sinks.DataFile{{Path: "data/news/event_month=2026-01/x.parquet", Table: "news", Partition: "event_month=2026-01"}}

func printed(t *testing.T, o Options) string {
	t.Helper()
	var out bytes.Buffer
	if o.Snapshot == nil {
		o.Snapshot = &sinks.Snapshot{Files: monthly, Generation: 1}
	}
	if o.Address == "" {
		o.Address = "s3://bucket/Ida's lake"
	}
	if err := Write(&out, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestStatements: programs that split a script at semicolons, without knowing texts and comments,
// get one statement from each block.
func TestStatements(t *testing.T) {
	t.Parallel()
	for _, name := range Dialects() {
		statements, creates := 0, 0
		script := printed(t, Options{Dialect: name, Database: "hive.lakes", Prefix: "s_"})
		for block := range strings.SplitSeq(strings.TrimSpace(script), "\n\n") {
			lines := strings.Split(block, "\n")
			for len(lines) > 0 && strings.HasPrefix(lines[0], "--") {
				if strings.Contains(lines[0], ";") {
					t.Errorf("%s: a comment contains a semicolon: %s", name, lines[0])
				}
				lines = lines[1:]
			}
			if len(lines) == 0 {
				continue
			}
			statements++
			statement := strings.Join(lines, "\n")
			if strings.Index(statement, ";") != len(statement)-1 {
				t.Errorf("%s: a block is not one statement with a semicolon at its end: %.300s", name, statement)
			}
			if strings.HasPrefix(statement, "CREATE") {
				creates++
			}
		}
		if want := len(schema.Tables) + 12; creates < want || statements < creates {
			t.Errorf("%s: %d statements, %d of which create something; want %d or more", name, statements, creates, want)
		}
	}
}

// TestColumnsOfTables: every dialect has every column of every dataset, with a type.
func TestColumnsOfTables(t *testing.T) {
	t.Parallel()
	for _, name := range Dialects() {
		script := printed(t, Options{Dialect: name, Database: "lakes"})
		for _, table := range schema.Tables {
			for _, c := range baseColumns(table) {
				if !strings.Contains(script, c.Name) {
					t.Errorf("%s: column %s of %s is missing", name, c.Name, table.Name)
				}
			}
		}
	}
}

// TestAthena: the tables have every column, in types that Athena knows, over the folders in which the
// files lie, and find their months themselves.
func TestAthena(t *testing.T) {
	t.Parallel()
	script := printed(t, Options{Dialect: "athena", Address: "s3://bucket/lake", Database: "lakes", Prefix: "trial_"})
	column := regexp.MustCompile("(?m)^  `([a-z_0-9]+)` (?:string|bigint|double|boolean|date|timestamp) COMMENT '[^';]*',?$")
	for _, table := range schema.Tables {
		start := fmt.Sprintf("CREATE EXTERNAL TABLE `lakes`.`trial_%s` (", filesName(table))
		_, rest, ok := strings.Cut(script, start)
		create, _, _ := strings.Cut(rest, ";")
		if !ok || !strings.Contains(script, fmt.Sprintf("DROP TABLE IF EXISTS `lakes`.`trial_%s`;\n\n%s", filesName(table), start)) {
			t.Errorf("%s is not dropped and created", table.Name)
		}
		folder, wants := "ledger", []string{"STORED AS PARQUET", "'classification' = 'parquet'", "'projection.enabled' = 'true'", "PARTITIONED BY (`place` string"}
		if table.IsProduct() {
			folder = "data"
		}
		if table.IsEvent() {
			folder = "data"
			wants = append(wants, "PARTITIONED BY (`place` string, `event_month` string)", "'data,compact/data'", "'unknown,2000-01,2000-02,", ",2099-12'")
		}
		for _, want := range append(wants, fmt.Sprintf("LOCATION 's3://bucket/lake/%s/%s/'", folder, table.Name)) {
			if !strings.Contains(create, want) {
				t.Errorf("the statement for %s does not contain %q:\n%.2000s", table.Name, want, create)
			}
		}
		var got, want []string
		for _, m := range column.FindAllStringSubmatch(create, -1) {
			got = append(got, m[1])
		}
		for _, c := range table.Columns {
			want = append(want, c.Name)
			if doc := columnDoc(c); len(doc) > 255 {
				t.Errorf("the comment of %s.%s has %d bytes, Athena takes 255", table.Name, c.Name, len(doc))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("columns of %s (-want +got):\n%s", table.Name, diff)
		}
	}
}

// TestKeptViewColumns: each kept column of any file has a column of its own, the same whatever the order
// of the files, with the type of all of its cells. A name as it is comes before those that become the same.
func TestKeptViewColumns(t *testing.T) {
	t.Parallel()
	text := func(names ...string) (kept []pipeline.KeptColumn) {
		for _, name := range names {
			kept = append(kept, pipeline.KeptColumn{Name: name, Type: pipeline.KeptText})
		}
		return kept
	}
	files := []sinks.DataFile{
		{Table: "accounts", Run: "r1", Kept: append(text("OWNER", "Owner", "owner 2", "é", "(!)", "-", "a\u202eb"), pipeline.KeptColumn{Name: "ARR", Type: pipeline.KeptInteger, Digits: 4})},
		{Table: "accounts", Run: "r2"},
		{Table: "accounts", Run: "r3", Kept: append(text("owner", `a"b'c/d~e`), pipeline.KeptColumn{Name: "ARR", Type: pipeline.KeptDecimal, Digits: 1, Scale: 2}, pipeline.KeptColumn{Name: "Empty"}, pipeline.KeptColumn{Name: "Since", Type: pipeline.KeptDate})},
	}
	duck := &script{dialect: dialects[0]}
	want := []string{
		"extra_a_b_c_d_e: a\"b'c/d~e", "extra_arr DECIMAL(6, 2): ARR", "extra_column: (!)", "extra_column_2: -", "extra_empty: Empty", "extra_owner: OWNER", "extra_owner_2: Owner", "extra_owner_2_2: owner 2",
		"extra_owner_3: owner", "extra_since DATE: Since", "extra_é: é",
	}
	for range files {
		files = append(files[1:], files[0])
		var got []string
		for _, c := range keptViewColumns(schema.Accounts, files) {
			got = append(got, strings.TrimSpace(c.name+" "+duck.keptType(&c))+": "+c.kept.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("columns (-want +got):\n%s", diff)
		}
	}
	files[0].Kept = append(files[0].Kept, pipeline.KeptColumn{Name: "x;y", Type: pipeline.KeptText})
	snapshot := &sinks.Snapshot{Generation: 1, Files: files}
	scripts := map[string]string{}
	for _, name := range Dialects() {
		scripts[name] = printed(t, Options{Dialect: name, Snapshot: snapshot, Database: "lakes"})
	}
	scripts["duckdb"] = printed(t, Options{Dialect: "duckdb", Snapshot: snapshot})
	for _, c := range []struct{ dialect, want string }{
		{"duckdb", `CASE WHEN regexp_matches(nullif(json_extract_string(extra, '/ARR'), ''), '^-?(0|[1-9][0-9]{0,3})([.][0-9]{1,2})?$') THEN try_cast(nullif(json_extract_string(extra, '/ARR'), '') AS DECIMAL(6, 2)) END AS "extra_arr"`},
		{"redshift", `CREATE OR REPLACE VIEW "events" AS`},
		{"redshift", `CREATE EXTERNAL TABLE "lakes"."news_files" (`},
		{"redshift", `FROM "news_all" AS e`},
		{"snowflake", "URL = 's3://bucket/Ida's lake/'"},
		{"duckdb", `nullif(json_extract_string(extra, '/a"b''c~1d~0e'), '') AS "extra_a_b_c_d_e"`},
		{"duckdb", `nullif(json_extract_string(extra, '/x' || chr(59) || 'y'), '') AS "extra_x_y"`},
		{"duckdb", `COMMENT ON COLUMN "accounts"."extra_owner_2" IS 'Column Owner of the lists`},
		{"athena", `try_cast(nullif(json_extract_scalar(extra, '$["Since"]'), '') AS DATE) END AS "extra_since"`},
		{"spark", "try_cast(nullif(get_json_object(extra, '$[\\'Since\\']'), '') AS DATE) END AS `extra_since`"},
		{"clickhouse", "accurateCastOrNull(nullif(JSONExtract(extra, 'Since', 'Nullable(String)'), ''), 'Date32') END AS `extra_since`"},
		{"redshift", `nullif(json_extract_path_text(extra, 'Since'), '') AS "extra_since"`},
	} {
		if !strings.Contains(scripts[c.dialect], c.want) {
			t.Errorf("the script for %s does not contain %s", c.dialect, c.want)
		}
	}
	for name, script := range scripts {
		if strings.Contains(script, "202e") || name != "duckdb" && strings.Contains(script, "a_b_c") {
			t.Errorf("the script for %s has a column that it cannot name", name)
		}
	}
}

// TestMergedFiles: a view shows the rows of both folders of a dataset, as the lists of merges say.
func TestMergedFiles(t *testing.T) {
	t.Parallel()
	for _, name := range Dialects() {
		d := Options{Dialect: name, Prefix: "x_", Database: "lakes"}
		script, quote := printed(t, d), `"`
		if strings.Contains(script, "VIEW `") {
			quote = "`"
		}
		combined := name == "athena" || name == "trino"
		for _, table := range schema.Tables {
			_, view, ok := strings.Cut(script, "x_"+baseName(table)+quote+" AS")
			view, _, _ = strings.Cut(view, ";")
			for want, has := range map[string]bool{
				"x_" + filesName(table): name != "duckdb", "x_merged_files": name != "duckdb", "table_name = '" + table.Name + "'": name != "duckdb",
				"x_" + mergedName(table): name != "duckdb" && !combined, "NOT IN (": name != "duckdb" && !combined, "f.place NOT LIKE 'compact/%'": combined,
			} {
				if !ok || strings.Contains(view, want) != has {
					t.Errorf("%s: the view %s has %s: %t", name, baseName(table), want, !has)
				}
			}
			_, files, _ := strings.Cut(FolderOf(table), "/")
			if strings.Contains(script, "/compact/"+FolderOf(table)) != (name != "duckdb" && !combined) || strings.Contains(script, "/${place}/"+files+"/") != combined {
				t.Errorf("%s: no table lies over the merged files of %s", name, table.Name)
			}
		}
	}
}

// TestDivisions: a lake that is divided by day gets views that add the month, and one that has both
// divisions is refused where a table can have one.
func TestDivisions(t *testing.T) {
	t.Parallel()
	daily := sinks.DataFile{Path: "data/news/event_day=2026-01-01/x.parquet", Table: "news", Partition: "event_day=2026-01-01"}
	script := printed(t, Options{Dialect: "athena", Snapshot: &sinks.Snapshot{Files: []sinks.DataFile{daily}}})
	for _, want := range []string{
		"CREATE EXTERNAL TABLE `news_files` (", "PARTITIONED BY (`event_day` string)", "MSCK REPAIR TABLE `news_files`;",
		`CREATE OR REPLACE VIEW "news_all" AS`, "MSCK REPAIR TABLE `news_merged`;", `CASE WHEN f.event_day = '1970-01-01' THEN 'unknown' ELSE substr(f.event_day, 1, 7) END AS "event_month"`,
	} {
		if !strings.Contains(script, want) {
			t.Errorf("the script of a lake by day does not contain %q", want)
		}
	}
	if _, days, _ := strings.Cut(script, "CREATE EXTERNAL TABLE `news_files`"); strings.Contains(days[:strings.Index(days, ";")], "projection.enabled") {
		t.Error("days are projected: a query would look into thousands of folders")
	}
	for _, name := range []string{"athena", "trino", "redshift"} {
		err := Write(&bytes.Buffer{}, Options{Dialect: name, Address: "s3://b/l", Database: "d", Snapshot: &sinks.Snapshot{Files: append(monthly, daily)}})
		if err == nil || !strings.Contains(err.Error(), "event_day and event_month") {
			t.Errorf("%s of months and days = %v, want that a table can have one of them", name, err)
		}
	}
}

// TestPrefixes: the scripts of two lakes have no name in common, neither of a view nor of a variable.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`(?:VIEW|MACRO|SET VARIABLE) "?([a-z_]+)`)
	seen := map[string]bool{}
	for _, m := range name.FindAllStringSubmatch(printed(t, Options{Dialect: "duckdb", Prefix: "one_"}), -1) {
		seen[m[1]] = true
	}
	for _, m := range name.FindAllStringSubmatch(printed(t, Options{Dialect: "duckdb"}), -1) {
		if seen[m[1]] && m[1] != "siglake_reader" {
			t.Errorf("both scripts name %s", m[1])
		}
	}
	if !seen["siglake_one_files"] || !seen["one_news"] || !seen["one_news_as_of"] {
		t.Errorf("names of a script with a prefix: %v", seen)
	}
}

// TestPlain: comments have no character that ends a text or a statement, and stay sentences.
func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"The API's id; opaque":              "The API’s id. Opaque",
		"Departments, separated by '; '":    "Departments, separated by semicolons",
		"a;b":                               "a,b",
		"One; été; three":                   "One. Été. Three",
		"Nothing to change, nothing at all": "Nothing to change, nothing at all",
	} {
		if got := plain(text); got != want {
			t.Errorf("plain(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestTablesOfView: each view of a script is a table, or its tables are known.
func TestTablesOfView(t *testing.T) {
	t.Parallel()
	views := regexp.MustCompile(`(?m)^CREATE .*VIEW "?([a-z_]+)"? AS`).FindAllStringSubmatch(printed(t, Options{Dialect: "duckdb"}), -1)
	if len(views) < len(schema.Tables) {
		t.Fatalf("%d views, want %d or more", len(views), len(schema.Tables))
	}
	for _, v := range views {
		tables := TablesOfView(v[1])
		if _, isTable := schema.TableNamed(v[1]); isTable != (tables == nil) {
			t.Errorf("view %s is a table: %t, its tables are %v", v[1], isTable, tables)
		}
		for _, name := range tables {
			if _, known := schema.TableNamed(name); !known {
				t.Errorf("view %s: no table is called %s", v[1], name)
			}
		}
	}
}

// TestOver: over tables that stand already, a script makes views only, and reads no file itself.
func TestOver(t *testing.T) {
	t.Parallel()
	for _, name := range Dialects() {
		for _, database := range []string{"ice.lakes", "views"} {
			script := printed(t, Options{Dialect: name, Database: database, Over: "ice.lakes", Prefix: "s_"})
			tables, views := 0, 0
			for statement := range strings.SplitSeq(script, ";\n") {
				for line := range strings.SplitSeq(statement, "\n") {
					if strings.HasPrefix(line, "CREATE") && strings.Contains(line, " VIEW ") {
						views++
					} else if strings.HasPrefix(line, "CREATE") || strings.HasPrefix(line, "DROP") || strings.HasPrefix(line, "SET") {
						tables++
					}
				}
			}
			want := 13
			if database != "ice.lakes" {
				want += len(schema.Tables)
			}
			if tables > 0 || views < want || strings.Contains(script, "bucket/Ida's lake/") {
				t.Errorf("%s in %s: %d views and %d other statements, want %d or more, and none", name, database, views, tables, want)
			}
		}
	}
}
