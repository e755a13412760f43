package ddl

import (
	"bytes"
	"strings"
	"testing"

	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// printedUnion is the script of two lakes, of which one has no event yet.
func printedUnion(t *testing.T, o Options) string {
	t.Helper()
	var out bytes.Buffer
	members := []Member{
		{0, "s3://bucket/lake/shard-0", &sinks.Snapshot{Generation: 1, Files: monthly}},
		{11, "s3://bucket/lake/shard-11", &sinks.Snapshot{Generation: 1}},
	}
	if err := WriteUnion(&out, o, members); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestUnionStatements: in every dialect, a block of the script is one statement, the tables of both lakes are made, and
// one table of each dataset is over both.
func TestUnionStatements(t *testing.T) {
	t.Parallel()
	for _, name := range Dialects() {
		script := printedUnion(t, Options{Dialect: name, Database: "hive.lakes", Prefix: "s_"})
		made := map[string]int{}
		for block := range strings.SplitSeq(strings.TrimSpace(script), "\n\n") {
			lines := strings.Split(block, "\n")
			for len(lines) > 0 && strings.HasPrefix(lines[0], "--") {
				lines = lines[1:]
			}
			statement := strings.Join(lines, "\n")
			if len(lines) > 0 && strings.Index(statement, ";") != len(statement)-1 {
				t.Errorf("%s: a block is not one statement with a semicolon at its end: %.300s", name, statement)
			}
			if strings.HasPrefix(statement, "CREATE") {
				head, _, _ := strings.Cut(statement, "\n")
				head, _, _ = strings.Cut(head, " AS ")
				made[strings.NewReplacer(`"`, "", "`", "").Replace(head)]++
			}
		}
		for head, n := range made {
			if n > 1 {
				t.Errorf("%s: %d statements begin with %s", name, n, head)
			}
		}
		heads := func(table string) (n int) {
			for head := range made {
				if strings.Contains(head+" ", "."+table+" ") || strings.Contains(head+" ", " "+table+" ") {
					n++
				}
			}
			return n
		}
		for _, table := range schema.Tables {
			for _, prefix := range []string{"s_", "s_shard_0_", "s_shard_11_"} {
				if got := heads(prefix + baseName(table)); got != 1 {
					t.Errorf("%s: %d statements make %s%s, want 1", name, got, prefix, baseName(table))
				}
			}
		}
		for _, view := range []string{"news", "events", "accounts_latest", "signals"} {
			if got := heads("s_" + view); got != 1 {
				t.Errorf("%s: %d statements make s_%s, want 1", name, got, view)
			}
		}
	}
}

// TestUnionOptedOut: in every dialect, what people read leaves out persons who have opted out: each table of the union that
// has rows about persons, whatever reads it.
func TestUnionOptedOut(t *testing.T) {
	t.Parallel()
	for _, name := range Dialects() {
		script := printedUnion(t, Options{Dialect: name, Database: "lakes", OptedOut: []string{"77001"}})
		for _, table := range schema.Tables {
			if !leavesOut(table) && table.Name != schema.Credits.Name {
				continue
			}
			view := baseName(table)
			if name == "duckdb" { // the views of the lakes are read as well
				if view = "shard_0_" + view; table.Name != "news" { // the lake has no file of others
					continue
				}
			}
			found := false
			for block := range strings.SplitSeq(script, "\n\n") {
				head, _, _ := strings.Cut(strings.NewReplacer(`"`, "", "`", "").Replace(block), "\n")
				makes := strings.HasPrefix(head, "CREATE") && (strings.Contains(head, "."+view+" AS") || strings.Contains(head, " "+view+" AS"))
				found = found || makes && strings.Contains(block, "'77001'")
			}
			if !found {
				t.Errorf("%s: %s does not leave out the person", name, view)
			}
		}
	}
}
