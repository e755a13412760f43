package report

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

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
		{Table: "accounts", Kept: append(text("OWNER", "Owner", "owner 2", "é", "(!)", "-", "a\u202eb"), pipeline.KeptColumn{Name: "ARR", Type: pipeline.KeptInteger, Digits: 4})},
		{Table: "accounts"},
		{Table: "accounts", Kept: append(text("owner", `a"b'c/d~e`), pipeline.KeptColumn{Name: "ARR", Type: pipeline.KeptDecimal, Digits: 1, Scale: 2}, pipeline.KeptColumn{Name: "Empty"}, pipeline.KeptColumn{Name: "Since", Type: pipeline.KeptDate})},
	}
	want := []string{
		"extra_a_b_c_d_e: a\"b'c/d~e", "extra_arr DECIMAL(6, 2): ARR", "extra_column: (!)", "extra_column_2: -", "extra_empty: Empty", "extra_owner: owner", "extra_owner_2: OWNER", "extra_owner_3: Owner",
		"extra_owner_2_2: owner 2", "extra_since DATE: Since", "extra_é: é",
	}
	for range files {
		files = append(files[1:], files[0])
		var got []string
		for _, c := range keptViewColumns(schema.Accounts, files) {
			got = append(got, strings.TrimSpace(c.name+" "+c.sqlType())+": "+c.kept.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("columns (-want +got):\n%s", diff)
		}
	}
	var duck, athena bytes.Buffer
	if err := errors.Join(WriteDuckDB(&duck, "/lake", &sinks.Snapshot{Generation: 1, Files: files}, true), WriteAthena(&athena, "s3://bucket/lake", &sinks.Snapshot{Files: files})); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ script, want string }{
		{duck.String(), `try_cast(nullif(json_extract_string(extra, '/ARR'), '') AS DECIMAL(6, 2)) AS "extra_arr"`},
		{duck.String(), `nullif(json_extract_string(extra, '/a"b''c~1d~0e'), '') AS "extra_a_b_c_d_e"`},
		{duck.String(), `COMMENT ON COLUMN accounts."extra_owner_2" IS 'Column OWNER of the lists`},
		{athena.String(), "CREATE OR REPLACE VIEW accounts_kept AS SELECT *,"},
		{athena.String(), `try_cast(nullif(json_extract_scalar(extra, '$["Since"]'), '') AS DATE) AS "extra_since"`},
	} {
		if !strings.Contains(c.script, c.want) {
			t.Errorf("no script has %s", c.want)
		}
	}
	if strings.Contains(athena.String(), "a_b_c") || strings.Contains(duck.String(), "202e") {
		t.Error("a script has a column that it cannot name")
	}
}

// TestAthena: the tables have every column, in types that Athena knows, over the
// folders in which the files lie.
func TestAthena(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	files := []sinks.DataFile{{Path: "data/news/event_day=2026-01-01/x.parquet", Table: "news", Partition: "event_day=2026-01-01"}}
	if err := WriteAthena(&out, "s3://bucket/lake", &sinks.Snapshot{Files: files}); err != nil {
		t.Fatal(err)
	}
	statements := strings.Split(out.String(), ";\n")
	column := regexp.MustCompile("(?m)^  `([a-z_0-9]+)` (string|bigint|double|boolean|date|timestamp) COMMENT '(?:[^'\\\\]|\\\\'|\\\\\\\\)*',?$")
	i := 0
	for _, table := range schema.Tables {
		create := statements[i]
		i++
		folder, partitioned := "ledger", ""
		if table.IsProduct() {
			folder = "data"
		}
		if table.IsEvent() {
			folder, partitioned = "data", "PARTITIONED BY (`event_month` string)"
			i++ // MSCK
		}
		if table.Name == "news" {
			partitioned = "PARTITIONED BY (`event_day` string)"
		}
		for _, want := range []string{"CREATE EXTERNAL TABLE IF NOT EXISTS `" + table.Name + "` (", "STORED AS PARQUET", partitioned, fmt.Sprintf("LOCATION 's3://bucket/lake/%s/%s/'", folder, table.Name)} {
			if !strings.Contains(create, want) {
				t.Errorf("statement for %s does not say %q:\n%s", table.Name, want, create)
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
	both := append(files, sinks.DataFile{Path: "data/news/event_month=2026-01/x.parquet", Table: "news", Partition: "event_month=2026-01"})
	if err := WriteAthena(&out, "s3://bucket/lake", &sinks.Snapshot{Files: both}); err == nil || !strings.Contains(err.Error(), "event_day and event_month") {
		t.Errorf("athenaScript of months and days = %v, want that one table cannot have both", err)
	}
}
