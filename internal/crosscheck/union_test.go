package crosscheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/schema"
)

// runProgram runs siglake, and returns its exit code and what it prints.
func runProgram(t *testing.T, environ []string, words ...string) (int, string) {
	t.Helper()
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	c := exec.Command(program, words...)
	c.Env, c.Stderr = append(os.Environ(), environ...), &stderr
	out, err := c.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if c.ProcessState.ExitCode() != 0 {
		t.Logf("siglake %q: exit %d: %s", words, c.ProcessState.ExitCode(), stderr.String())
	}
	return c.ProcessState.ExitCode(), string(out)
}

// unionQueries are the views of which a union must have the rows of a single lake, without what differs between any
// two runs: their ids, calls and times.
func unionQueries() map[string]string {
	const ofRun = "run_id, call_id, fetched_at, first_seen_at"
	queries := map[string]string{
		"events":          "SELECT * EXCLUDE (" + ofRun + ") FROM events",
		"account_events":  "SELECT * EXCLUDE (" + ofRun + ") FROM account_events",
		"accounts":        "SELECT * EXCLUDE (run_id, call_id, new_events, shard) FROM accounts",
		"accounts_latest": "SELECT * EXCLUDE (run_id, call_id, new_events) FROM accounts_latest",
		"entities":        "FROM entities",
		"people":          "FROM people",
		"as of":           "SELECT * EXCLUDE (" + ofRun + ", shard) FROM news_as_of('2999-01-01')",
	}
	for _, t := range schema.EventTables {
		queries[t.Name] = "SELECT * EXCLUDE (" + ofRun + ") FROM " + t.Name
		queries[t.Name+"_all"] = "SELECT * EXCLUDE (" + ofRun + ", shard) FROM " + t.Name + "_all"
	}
	return queries
}

// TestUnion: after two nights, the second one with an edited list, the lakes of the shards read as one lake of the whole
// list does, in a session and as a database file; lines with the same key are all there. An event that two shards
// have bought, because lines name a company by its domain and by its id, is there once.
func TestUnion(t *testing.T) {
	t.Parallel()
	state := []string{"XDG_STATE_HOME=" + t.TempDir()}
	dir, lakes := t.TempDir(), t.TempDir()
	whole, shards, list := filepath.Join(dir, "whole"), filepath.Join(lakes, "shard-{shard}"), filepath.Join(dir, "list.csv")
	count, companies := proof.Size(3, 4, 8), proof.Size(240, 2000, 20_000)
	domain := func(i int) string { return fmt.Sprintf("company-%d.example", i) }
	buy := func(text, day string) {
		t.Helper()
		if err := os.WriteFile(list, []byte("key,id,domain,region\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		flags := []string{"run", list, "--simulate", "--as-of", day, "--signals", "news,growth", "--max-results", "3", "--rate", "0", "--map", "id=id,domain=domain,key=key", "--keep", "region", "--quiet", "--unattended", "--max-credits", "unlimited"}
		if code, _ := runProgram(t, state, append(flags, "--lake", whole)...); code != 0 {
			t.Fatalf("the whole list: exit %d", code)
		}
		for i := range count {
			if code, _ := runProgram(t, state, append(flags, "--lake", shards, "--shard", fmt.Sprintf("%d/%d", i, count))...); code != 0 {
				t.Fatalf("shard %d: exit %d", i, code)
			}
		}
	}
	var text strings.Builder
	for i := range companies {
		fmt.Fprintf(&text, "k%d,,%s,%d\n", i/2*2, domain(i), i%7)
	}
	buy(text.String(), "2026-05-05")
	for i := range 20 {
		fmt.Fprintf(&text, "new%d,,new-%d.example,y\n", i, i)
	}
	lines := strings.SplitAfter(text.String(), "\n")
	buy(strings.Join(lines[6:], "")+lines[0]+lines[1], "2026-05-06")

	want, script := openSession(t, withoutComments(printDDL(t, whole))), withoutComments(printUnion(t, shards))
	file := filepath.Join(dir, "union.duckdb")
	if code, out := runProgram(t, []string{"SIGLAKE_DUCKDB=" + os.Args[0], actAsDuckDB + "=1"}, "union", lakes, "--into", file); code != 0 || !strings.Contains(out, fmt.Sprintf("%d shards, all complete", count)) {
		t.Fatalf("union --into: exit %d: %s", code, out)
	}
	for name, got := range map[string]*DuckDB{"session": openSession(t, script), "file": openFile(t, file)} {
		for view, query := range unionQueries() {
			wantQuery := strings.ReplaceAll(query, ", shard", "")
			if diff := cmp.Diff(readSorted(t, want, wantQuery), readSorted(t, got, query)); diff != "" {
				t.Errorf("%s: %s (-one lake +union):\n%.3000s", name, view, diff)
			}
		}
	}
	if shown := readSorted(t, want, "FROM events"); len(shown) < 100 {
		t.Errorf("the lake has %d events: the test shows little", len(shown))
	}

	checkUnionCredits(t, openFile(t, file), lakes)

	for i, id := range readSorted(t, want, "SELECT entity_id FROM entities ORDER BY ALL LIMIT 60") {
		fmt.Fprintf(&text, "again%d,%s,,x\n", i, strings.TrimPrefix(id, "string "))
	}
	buy(text.String(), "2026-05-07")
	got := openSession(t, withoutComments(printUnion(t, shards)))
	var parts []string
	for i := range count {
		for _, table := range []string{"news", "growth"} {
			parts = append(parts, fmt.Sprintf("SELECT %d AS shard, event_uid FROM shard_%[1]d_%s_all", i, table))
		}
	}
	bought := "(" + strings.Join(parts, " UNION ALL ") + ")"
	if n := len(readSorted(t, got, "SELECT event_uid FROM "+bought+" GROUP BY event_uid HAVING count(DISTINCT shard) > 1")); n == 0 {
		t.Error("no two shards have the same event: the test shows nothing")
	}
	if n := len(readSorted(t, got, "SELECT event_uid FROM events GROUP BY event_uid HAVING count(*) > 1")); n > 0 {
		t.Errorf("the union shows %d events more than once", n)
	}
	if n := len(readSorted(t, got, "SELECT event_uid FROM "+bought+" EXCEPT SELECT event_uid FROM events")); n > 0 {
		t.Errorf("the union lacks %d events of its lakes", n)
	}
}

// checkUnionCredits: the bill of siglake union is what the tables of the union sum to.
func checkUnionCredits(t *testing.T, d *DuckDB, lakes string) {
	t.Helper()
	_, text := runProgram(t, nil, "union", lakes, "--json")
	var bill struct{ Credits int64 }
	if err := json.Unmarshal([]byte(text), &bill); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"SELECT CAST(sum(credits) AS BIGINT) FROM credits", "SELECT CAST(sum(credits) AS BIGINT) FROM calls", "SELECT CAST(sum(credits) AS BIGINT) FROM signals"} {
		if got := readSorted(t, d, query); len(got) != 1 || !strings.HasSuffix(got[0], fmt.Sprintf(" %d", bill.Credits)) {
			t.Errorf("%s: %q, and the bill is %d", query, got, bill.Credits)
		}
	}
}

// withoutComments is a script without the statements that document views, which are most of it and take most of its time.
func withoutComments(script string) string {
	blocks := strings.Split(script, "\n\n")
	return strings.Join(slices.DeleteFunc(blocks, func(block string) bool { return strings.HasPrefix(block, "COMMENT ON ") }), "\n\n")
}

// printUnion is the script of siglake union.
func printUnion(t *testing.T, lakes string) string {
	t.Helper()
	code, script := runProgram(t, nil, "union", lakes, "--dialect", "duckdb")
	if code != 0 {
		t.Fatalf("siglake union: exit %d", code)
	}
	return script
}

// readSorted are the rows of a query, sorted.
func readSorted(t *testing.T, d *DuckDB, query string) []string {
	t.Helper()
	_, rows, err := d.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	return sortedRows(rows)
}
