package crosscheck

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// datasetPath is the path of a table in a lake.
func datasetPath(table schema.Table) string {
	if table.IsEvent() || table.IsProduct() {
		return "data/" + table.Name
	}
	return "ledger/" + table.Name
}

// wantColumns are the expected columns of a table.
func wantColumns(table schema.Table) (want []Column) {
	for _, c := range table.Columns {
		want = append(want, Column{c.Name, duckTypes[c.Type]})
	}
	if table.IsEvent() {
		want = append(want, Column{"event_month", "VARCHAR"})
	}
	return want
}

// arrowTable reads all files of a table with Arrow. Like an engine that knows Hive partitions, it
// adds the partition's value as the last column.
func arrowTable(t *testing.T, lake string, m *pipeline.Manifest, table schema.Table) (rows [][]any) {
	t.Helper()
	for _, f := range m.Files {
		if f.Table != table.Name {
			continue
		}
		for _, row := range arrowRows(t, filepath.Join(lake, f.Path)) {
			if _, value, partitioned := strings.Cut(f.Partition, "="); partitioned {
				row = append(row, value)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// duckTable reads a table as documented for users.
func duckTable(t *testing.T, d *DuckDB, lake string, table schema.Table) [][]any {
	t.Helper()
	_, rows, err := d.Query(t.Context(), "SELECT * FROM "+ScanExpr(lake, datasetPath(table)))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// sortedRows makes rows of several files comparable: as text, sorted.
func sortedRows(rows [][]any) []string {
	var out []string
	for _, row := range formatRows(rows) {
		out = append(out, strings.Join(row, " | "))
	}
	slices.Sort(out)
	return out
}

// diffRows compares rows read by Arrow and by DuckDB.
func diffRows(arrows, ducks [][]any) string { return cmp.Diff(sortedRows(arrows), sortedRows(ducks)) }

func TestBothReadersAgreeOnARun(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, m := runIntoNewLake(t, lines, f, "event_month")
	d := openDuckDB(t)
	for _, table := range slices.Concat(schema.EventTables, schema.LedgerTables) {
		t.Run(table.Name, func(t *testing.T) {
			got, err := d.DescribeColumns(t.Context(), ScanExpr(lake, datasetPath(table)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantColumns(table), got); diff != "" {
				t.Errorf("DescribeColumns(%s) (-want +got):\n%s", table.Name, diff)
			}
			arrows, ducks := arrowTable(t, lake, m, table), duckTable(t, d, lake, table)
			if len(ducks) == 0 {
				t.Errorf("%s has no rows, want some: the test proves nothing", table.Name)
			}
			if diff := diffRows(arrows, ducks); diff != "" {
				t.Errorf("%s (-Arrow +DuckDB):\n%s", table.Name, diff)
			}
		})
	}
}

// formatBlock formats a row for people: a title, then one line per value.
func formatBlock(title string, columns []Column, row []any) string {
	var b strings.Builder
	fmt.Fprintf(&b, "== %s\n", title)
	for i, c := range columns {
		switch v := row[i].(type) {
		case nil:
		case time.Time:
			layout := time.RFC3339Nano
			if c.Type == "DATE" {
				layout = time.DateOnly
			}
			fmt.Fprintf(&b, "%s = %s\n", c.Name, v.UTC().Format(layout))
		default:
			fmt.Fprintf(&b, "%s = %v\n", c.Name, v)
		}
	}
	b.WriteByte('\n')
	return b.String()
}

func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("..", "..", "testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(readFile(t, path), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", name, diff)
	}
}

// TestLedgerSumsToTheManifest sums the ledger tables in SQL.
func TestLedgerSumsToTheManifest(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, m := runIntoNewLake(t, lines, f, "event_month")
	d := openDuckDB(t)
	for _, table := range schema.LedgerTables {
		if _, _, err := d.Query(t.Context(), fmt.Sprintf("CREATE VIEW %s AS SELECT * FROM %s", table.Name, ScanExpr(lake, datasetPath(table)))); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := d.Query(t.Context(), fmt.Sprintf("CREATE VIEW events AS SELECT * FROM read_parquet(%s, union_by_name = true)", QuoteLiteral(lake+"/data/*/*/*.parquet"))); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		query string
		want  int64
	}{
		{"count(*) FROM accounts", m.Accounts.Lines},
		{"count(*) FROM calls", m.Calls.Total},
		{"count(*) FROM calls WHERE attempt > 1", m.Calls.Retries},
		{"count(*) FROM events", m.Events.Written},
		{"sum(events) FROM accounts", m.Events.Returned},
		{"sum(events) FROM calls", m.Events.Returned},
		{"sum(events) FROM credits", m.Events.Returned},
		{"sum(credits) FROM calls", m.Credits.Charged},
		{"sum(credits) FROM credits", m.Credits.Charged},
		{"sum(credits) FROM accounts", m.Credits.Charged - m.Credits.WholeCall},
		{"sum(credits) FROM credits WHERE row IS NULL", m.Credits.WholeCall},
		{"count(*) FROM calls WHERE outcome = 'ambiguous'", m.Credits.InDoubtCalls},
		{"sum(ceiling) FROM calls WHERE outcome = 'ambiguous'", m.Credits.InDoubtCeiling},
		{"count(*) FROM calls WHERE outcome = 'charged' AND credits IS NULL", m.Credits.UnknownCalls},
		{"sum(ceiling) FROM calls WHERE outcome = 'charged' AND credits IS NULL", m.Credits.UnknownCeiling},
	} {
		_, rows, err := d.Query(t.Context(), "SELECT CAST((SELECT "+c.query+") AS BIGINT)")
		if err != nil {
			t.Fatal(err)
		}
		if got := rows[0][0]; got != c.want || c.want == 0 {
			t.Errorf("SELECT %s = %v, want %d, not 0", c.query, got, c.want)
		}
	}

	files := map[string]int64{}
	for _, f := range m.Files {
		files[f.Table] += f.Rows
	}
	for _, c := range []struct {
		query string
		want  map[string]int64
	}{
		{"status, count(*) FROM accounts", textKeys(m.Accounts.ByStatus)},
		{"outcome, count(*) FROM calls", textKeys(m.Calls.ByOutcome)},
		{"http_status, count(*) FROM calls", textKeys(m.Calls.ByStatus)},
		{"signal_type, sum(credits) FROM credits WHERE signal_type IS NOT NULL AND credits IS NOT NULL", m.Credits.BySignal},
		{"category, sum(credits) FROM credits WHERE category IS NOT NULL AND credits IS NOT NULL", textKeys(m.Credits.ByCategory)},
		{"basis, sum(credits) FROM credits WHERE credits IS NOT NULL", textKeys(m.Credits.ByBasis)},
		{"signal_type, sum(events) FROM credits WHERE signal_type IS NOT NULL", m.Events.BySignal},
		{"category, sum(events) FROM credits WHERE category IS NOT NULL", textKeys(m.Events.ByCategory)},
		{"signal_type, count(*) FROM events", m.Events.BySignal},
		{"t, count(*) FROM (SELECT 'accounts' AS t FROM accounts UNION ALL SELECT 'calls' FROM calls UNION ALL SELECT 'credits' FROM credits)",
			map[string]int64{"accounts": files["accounts"], "calls": files["calls"], "credits": files["credits"]}},
	} {
		_, rows, err := d.Query(t.Context(), "SELECT "+c.query+" GROUP BY 1")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, r := range rows {
			var n int64
			if _, err := fmt.Sscan(fmt.Sprint(r[1]), &n); err != nil {
				t.Fatalf("SELECT %s: %v: %v", c.query, r, err)
			}
			got[fmt.Sprint(r[0])] = n
		}
		if diff := cmp.Diff(c.want, got); diff != "" || len(got) == 0 {
			t.Errorf("SELECT %s GROUP BY 1 (-manifest +sums):\n%s", c.query, diff)
		}
	}

	_, got, err := d.Query(t.Context(), "SELECT call_id, entities, http_status, outcome, credits, events FROM calls ORDER BY call_id")
	if err != nil {
		t.Fatal(err)
	}
	var want [][]any
	for _, c := range m.PerCall {
		row := []any{c.ID, int64(c.Entities), int64(c.Status), string(c.Outcome), nil, c.Events}
		if c.Credits != nil {
			row[4] = *c.Credits
		}
		want = append(want, row)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-manifest +table):\n%s", diff)
	}
}

// textKeys returns a map with its keys as text.
func textKeys[K comparable](m map[K]int64) map[string]int64 {
	out := map[string]int64{}
	for k, n := range m {
		out[fmt.Sprint(k)] = n
	}
	return out
}

// millsFixture is a list of n companies and n people with the same signals, on dates that advance
// by nine days from one to the next; every seventh has no date.
func millsFixture(t *testing.T, n int) (accountList, scriptedFetcher) {
	t.Helper()
	var lines accountList
	f := scriptedFetcher{}
	for i := range 2 * n {
		o := []schema.Object{schema.Company, schema.Contact}[i%2]
		key, id, day := fmt.Sprintf("crm-%03d", i), fmt.Sprint(60_000+i), ""
		if i/2%7 != 6 {
			day = time.Date(2026, 2, 1+9*(i/2), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
		}
		events := eventsOf(t, o, func(raw string) string {
			raw = dateFields.ReplaceAllString(raw, `${1}"`+day+`"`)
			raw = strings.Replace(raw, `"personId":"40117"`, `"personId":"`+id+`"`, 1)
			return strings.Replace(raw, `"signalId":"9`, `"signalId":"`+id, 1)
		})
		lines = append(lines, schema.Account{Key: key, Object: o, ID: id})
		f[key] = scriptedAnswer{
			[]pipeline.Call{charged(int64(len(events)))},
			pipeline.ItemReply{Status: schema.Enriched, Events: events, Entity: schema.Entity{Object: o, ID: id}},
		}
	}
	return lines, f
}

// dateFields are the fields of a record that set the date of its event.
var dateFields = regexp.MustCompile(`("(?:signalDate|articlePublishedDate|activityPublicationDate|eventEffectiveDate)":)"[^"]*"`)

// TestFiltersByTypeAndDate queries a type since a date, which lets DuckDB skip files and row
// groups, and filters the rows that Arrow reads in the same way.
func TestFiltersByTypeAndDate(t *testing.T) {
	lines, f := millsFixture(t, 60)
	lake, m := runIntoNewLake(t, lines, f, "event_month")
	d := openDuckDB(t)
	for _, table := range schema.EventTables[:len(schema.EventTables)-1] { // no known key belongs to the last table, other
		rows := arrowTable(t, lake, m, table)
		signal, date := table.ColumnIndex("signal_type"), table.ColumnIndex("event_date")
		found, tried := 0, 0
		for i, s := range schema.Signals {
			if s.Category != schema.Category(table.Name) {
				continue
			}
			dates := []string{"1900-01-01", "2026-04-18", "2026-04-23", "2027-07-17", "2027-07-18"}
			for k := i % proof.Size(2, 1, 1); k < len(dates); k += proof.Size(2, 1, 1) {
				since := dates[k]
				day, err := time.Parse(time.DateOnly, since)
				if err != nil {
					t.Fatal(err)
				}
				var want [][]any
				for _, row := range rows {
					if row[signal] != s.Key {
						continue
					}
					tried++
					if at, dated := row[date].(time.Time); dated && !at.Before(day) {
						want = append(want, row)
					}
				}
				query := fmt.Sprintf("SELECT * FROM %s WHERE signal_type = %s AND event_date >= DATE %s", ScanExpr(lake, datasetPath(table)), QuoteLiteral(s.Key), QuoteLiteral(since))
				_, got, err := d.Query(t.Context(), query)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(sortedRows(want), sortedRows(got)); diff != "" {
					t.Errorf("%s since %s (-Arrow +DuckDB):\n%.3000s", s.Key, since, diff)
				}
				found += len(got)
			}
		}
		if found == 0 || found >= tried {
			t.Errorf("%s: the filters return %d of %d rows, want some but not all: the test proves nothing", table.Name, found, tried)
		}
	}
}

// TestEventDatesAreTheFilesOwn reads a lake by date without the names of its directories, which
// DuckDB would take for the column of the same name.
func TestEventDatesAreTheFilesOwn(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, m := runIntoNewLake(t, lines, f, "event_day")
	d := openDuckDB(t)
	for _, table := range schema.EventTables {
		from := fmt.Sprintf("read_parquet(%s, hive_partitioning = false)", QuoteLiteral(lake+"/"+datasetPath(table)+"/*/*.parquet"))
		got, err := d.DescribeColumns(t.Context(), from)
		if err != nil {
			t.Fatal(err)
		}
		want := wantColumns(table)
		if diff := cmp.Diff(want[:len(want)-1], got); diff != "" {
			t.Errorf("DescribeColumns(%s) (-want +got):\n%s", from, diff)
		}
		_, rows, err := d.Query(t.Context(), "SELECT * FROM "+from)
		if err != nil {
			t.Fatal(err)
		}
		arrows := arrowTable(t, lake, m, table)
		for i := range arrows {
			arrows[i] = arrows[i][:len(table.Columns)]
		}
		if diff := cmp.Diff(sortedRows(arrows), sortedRows(rows)); diff != "" {
			t.Errorf("%s (-Arrow +DuckDB):\n%s", table.Name, diff)
		}
	}
}

// TestDaysAreDates: an event without a date among others does not change the type of event_day, in
// whichever order DuckDB reads the files.
func TestDaysAreDates(t *testing.T) {
	undated := func(raw string) string { return dateFields.ReplaceAllString(raw, `${1}""`) }
	dated, f := kestrelFixture(t, unedited)
	lake, _ := runIntoNewLake(t, dated, f, "event_day")
	lines, g := kestrelFixture(t, undated)
	if err := runInto(t.Context(), lake, "r2", lines, g, "event_day"); err != nil {
		t.Fatal(err)
	}
	d := openDuckDB(t)
	from := ScanExpr(lake, "data/news")
	described, err := d.DescribeColumns(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	if got := described[len(described)-1]; got.Name != "event_day" || got.Type != "DATE" {
		t.Errorf("the column of the directories is %v, want event_day, a DATE", got)
	}
	_, rows, err := d.Query(t.Context(), `SELECT count(*) FILTER (event_date IS NULL), count(*) FILTER (event_date IS NULL AND event_day <> DATE '1970-01-01'),
		count(*) FILTER (event_date = event_day), count(*) FILTER (event_day >= DATE '2000-01-01') FROM `+from)
	if err != nil {
		t.Fatal(err)
	}
	n := func(i int) int64 { return rows[0][i].(int64) }
	if n(0) == 0 || n(1) != 0 || n(2) == 0 || n(2) != n(3) {
		t.Errorf("undated, of them elsewhere, dated in their day, since 2000 = %v, want some, none, and as many", rows[0])
	}
	_, months, err := openSession(t, printDDL(t, lake)).Query(t.Context(), "SELECT DISTINCT event_month FROM news WHERE event_date IS NULL")
	if err != nil || len(months) != 1 || months[0][0] != "unknown" {
		t.Errorf("event_month of undated events in the view = %v, %v, want unknown", months, err)
	}
}
