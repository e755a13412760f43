package crosscheck

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/schema"
)

// TestNightsAsOf: a job buys some nights. Neither a reader who globs nor one of the views finds an
// event twice, and what was known on each day is the same after many more nights and a compaction.
// SIGLAKE_NIGHTS_LIST names a list for the full size.
func TestNightsAsOf(t *testing.T) {
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	list := "domain\n"
	for i := range proof.Size(30, 150, 600) {
		list += fmt.Sprintf("company-%d.example\n", i)
	}
	if path := os.Getenv("SIGLAKE_NIGHTS_LIST"); path != "" && proof.IsFull() {
		list = readFile(t, path)
	}
	files := map[string]string{"crm.csv": list, "siglake.yaml": `version: 1
jobs:
  nightly:
    list: crm.csv
    lake: lake
    simulate: true
    signals: [news, growth]
    nightly-types: [news, growth]
    backfill: 30d
    max-credits: 100000
    quiet: true
  compact:
    command: compact
    lake: lake
    min-files: 2
`}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lake, first := filepath.Join(dir, "lake"), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	job := func(name string, day time.Time) {
		t.Helper()
		cmd := exec.Command(program, "job", name, "--config", filepath.Join(dir, "siglake.yaml"), "--as-of", day.Format(time.DateOnly))
		cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 10 {
			t.Fatalf("job %s of %s: %v: %s", name, day.Format(time.DateOnly), err, out)
		}
	}
	night := 0
	play := func(nights int) {
		t.Helper()
		for range nights {
			job("nightly", first.AddDate(0, 0, night))
			night++
		}
	}
	week := proof.Size(3, 7, 7)
	play(week)
	d := openSession(t, printDDL(t, lake))
	var days []string
	known := map[string]string{} // by day
	for i := 1; i <= week; i++ {
		day := first.AddDate(0, 0, i).Format(time.DateOnly)
		days, known[day] = append(days, day), eventsAsOf(t, d, day)
	}
	if known[days[0]] == known[days[week-1]] || strings.Count(known[days[0]], "\n") == 0 {
		t.Fatalf("the nights after the first brought nothing: the test shows nothing")
	}
	checkOneCopy(t, d, lake)

	play(proof.Size(6, 30, 30) / 2)
	job("compact", first.AddDate(0, 0, night))
	play(proof.Size(6, 30, 30) / 2)
	later := openSession(t, printDDL(t, lake))
	for _, day := range days {
		if got := eventsAsOf(t, later, day); got != known[day] {
			t.Errorf("what was known on %s has %d events, and %d after %d nights", day, strings.Count(known[day], "\n"), strings.Count(got, "\n"), night)
		}
	}
	if last := eventsAsOf(t, later, first.AddDate(0, 0, night).Format(time.DateOnly)); strings.Count(last, "\n") <= strings.Count(known[days[week-1]], "\n") {
		t.Error("the later nights brought nothing: the test shows nothing")
	}
	checkOneCopy(t, later, "")
	t.Logf("%d events after %d nights, %d after %d; none twice", strings.Count(known[days[week-1]], "\n"), week, strings.Count(eventsAsOf(t, later, "2100-01-01"), "\n"), night)
}

// eventsAsOf are the rows of all events that were known before a day, one in a line.
func eventsAsOf(t *testing.T, d *DuckDB, day string) string {
	t.Helper()
	var lines []string
	for _, table := range schema.EventTables {
		_, rows, err := d.Query(t.Context(), fmt.Sprintf("SELECT * FROM %s_as_of(DATE '%s')", table.Name, day))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			lines = append(lines, fmt.Sprintln(table.Name, row))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// checkOneCopy: neither a view nor, in a lake that is not compacted, a glob has an event twice.
func checkOneCopy(t *testing.T, d *DuckDB, lake string) {
	t.Helper()
	for _, table := range schema.EventTables {
		from := []string{table.Name}
		if files, _ := filepath.Glob(filepath.Join(lake, datasetPath(table), "*", "*.parquet")); lake != "" && len(files) > 0 {
			from = append(from, fmt.Sprintf("read_parquet(%s, hive_partitioning = false)", QuoteLiteral(lake+"/"+datasetPath(table)+"/*/*.parquet")))
		}
		for _, rows := range from {
			_, counts, err := d.Query(t.Context(), "SELECT count(*), count(DISTINCT event_uid) FROM "+rows)
			if err != nil {
				t.Fatal(err)
			}
			if counts[0][0] != counts[0][1] {
				t.Errorf("%s has %d rows of %d events", rows, counts[0][0], counts[0][1])
			}
		}
	}
}
