package report

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

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
