package crosscheck

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// lineEvents joins, in a session of siglake ddl, the lines of the newest run with their events: by the
// entity that any line with the same identifier has.
const lineEvents = `WITH entities AS (SELECT object_type, identifier_type, identifier, max(entity_id) AS entity FROM accounts GROUP BY ALL),
lines AS (FROM accounts QUALIFY run_id = max(run_id) OVER (PARTITION BY input_file)),
events AS (%s)
SELECT lines.account_key, events.signal_type, events.event_date, events.event_uid, events.first_seen_at
FROM lines JOIN entities USING (object_type, identifier_type, identifier) JOIN events ON events.object_type = lines.object_type AND events.entity_id = entities.entity`

// exportLake runs siglake export.
func exportLake(t *testing.T, lake, name string, flags ...string) (file string) {
	t.Helper()
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), name)
	if out, err := exec.Command(program, append([]string{"export", "--lake", lake, "--output", file}, flags...)...).CombinedOutput(); err != nil {
		t.Fatalf("siglake export %q = %v, want no error: %s", flags, err, out)
	}
	return file
}

// TestExports: an export of a lake with duplicate lines, revisions and compacted files has the events
// that the views of siglake ddl give, in Parquet and in CSV.
func TestExports(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	for run := 2; run <= 3; run++ {
		lines, f := kestrelFixture(t, func(raw string) string {
			return strings.Replace(raw, `"eventType"`, fmt.Sprintf(`"revised":%d,"eventType"`, run), 1)
		})
		if err := runInto(t.Context(), lake, fmt.Sprint("r", run), lines, laterFetcher{f, time.Duration(run) * time.Hour}, "event_month"); err != nil {
			t.Fatal(err)
		}
	}
	compactLake(t, lake)
	d := openSession(t, printDDL(t, lake))
	query := func(query string) []string {
		t.Helper()
		_, rows, err := d.Query(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return sortedRows(rows)
	}
	var tables []string
	for _, table := range schema.EventTables {
		tables = append(tables, "SELECT object_type, entity_id, signal_type, event_date, event_uid, first_seen_at FROM "+table.Name)
	}
	expected := fmt.Sprintf(lineEvents, strings.Join(tables, " UNION ALL "))
	want := query(expected)
	if len(want) < 20 {
		t.Fatalf("the lake has %d events of lines: the test shows nothing", len(want))
	}
	file := QuoteLiteral(exportLake(t, lake, "events.parquet", "--events"))
	if diff := cmp.Diff(want, query("SELECT account_key, signal_type, event_date, event_uid, first_seen_at FROM "+file)); diff != "" {
		t.Errorf("rows of events (-views +export):\n%s", diff)
	}
	want = query("SELECT account_key, count(*), max(event_date) FROM (" + expected + ") GROUP BY ALL")
	const sums = "SELECT account_key, events, last_event_date FROM %s WHERE events > 0"
	for _, name := range []string{"lines.parquet", "lines.csv"} {
		file := QuoteLiteral(exportLake(t, lake, name))
		from := file
		if strings.HasSuffix(name, ".csv") {
			from = "read_csv(" + file + ", header = true)"
		}
		if diff := cmp.Diff(want, query(fmt.Sprintf(sums, from))); diff != "" {
			t.Errorf("%s: lines (-views +export):\n%s", name, diff)
		}
		if got := query("SELECT account_key FROM " + from); len(got) != len(lines) {
			t.Errorf("%s has %d lines, want %d", name, len(got), len(lines))
		}
	}
}
