package crosscheck

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/lakereport"
	"github.com/siglake/siglake/internal/proof"
)

// writeReport runs siglake report.
func writeReport(t *testing.T, lake, format string, flags ...string) []byte {
	t.Helper()
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd := exec.Command(program, append([]string{"report", "--lake", lake, "--output", "-", "--format", format}, flags...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("siglake report %q = %v, want no error: %s", flags, err, stderr.String())
	}
	return out
}

func parseReport(t *testing.T, text []byte) *lakereport.Report {
	t.Helper()
	var r lakereport.Report
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&r); err != nil {
		t.Fatalf("siglake report --format json: %v", err)
	}
	return &r
}

// embeddedReport is the model in a page.
func embeddedReport(t *testing.T, page []byte) *lakereport.Report {
	t.Helper()
	_, rest, _ := strings.Cut(string(page), `<script type="application/json" id="model">`)
	text, _, ok := strings.Cut(rest, "</script>")
	if !ok {
		t.Fatal("the page has no model")
	}
	return parseReport(t, []byte(text))
}

// reportedValue is a value of a query as the report has it.
func reportedValue(k lakereport.Kind, v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		if v == "" {
			return nil
		}
		return lakereport.Shown(v)
	case time.Time:
		if k == lakereport.Day {
			return v.UTC().Format(time.DateOnly)
		}
		return v.UTC().Format(time.RFC3339)
	case float64:
		if k == lakereport.Decimal {
			return fmt.Sprintf("%.2f", v)
		}
		return json.Number(strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0"))
	}
	return json.Number(fmt.Sprint(v))
}

// checkReport executes the SQL of each figure and table, and compares its result. It returns the number of
// values that were compared.
func checkReport(t *testing.T, d *DuckDB, r *lakereport.Report) (values int) {
	t.Helper()
	for _, f := range r.Figures {
		_, rows, err := d.Query(t.Context(), f.SQL)
		if err != nil || len(rows) != 1 {
			t.Errorf("figure %s: %d rows, %v: %s", f.ID, len(rows), err, f.SQL)
			continue
		}
		if want := reportedValue(f.Kind, rows[0][0]); want != f.Value {
			t.Errorf("figure %s = %v, by SQL %v: %s", f.ID, f.Value, want, f.SQL)
		}
		values++
	}
	for _, s := range r.Sections {
		for _, table := range s.Tables {
			values += checkReportTable(t, d, &table)
		}
	}
	return values
}

func checkReportTable(t *testing.T, d *DuckDB, table *lakereport.Table) (values int) {
	t.Helper()
	names, rows, err := d.Query(t.Context(), table.SQL)
	if err != nil {
		t.Errorf("table %s: %v", table.ID, err)
		return 0
	}
	if int64(len(rows)) != table.Total {
		t.Errorf("table %s has %d rows in all, by SQL %d", table.ID, table.Total, len(rows))
	}
	var columns []string
	for _, c := range table.Columns {
		columns = append(columns, c.ID)
	}
	if diff := cmp.Diff(names, columns); diff != "" {
		t.Errorf("table %s, columns (-SQL +report):\n%s", table.ID, diff)
		return 0
	}
	want := [][]any{}
	for _, row := range rows[:min(len(rows), len(table.Rows))] {
		var shown []any
		for i, v := range row {
			shown = append(shown, reportedValue(table.Columns[i].Kind, v))
			values++
		}
		want = append(want, shown)
	}
	if diff := cmp.Diff(want, table.Rows); diff != "" {
		t.Errorf("table %s (-SQL +report):\n%.2000s\n%s", table.ID, diff, table.SQL)
	}
	return values
}

// hostileNames are names of lists that are no good in a page, a table or a spreadsheet.
var hostileNames = []string{
	"Kestrel Loom", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", `=HYPERLINK("http://evil.example")`, "a | b *c* [x](javascript:alert(1))",
	"\u202egnp.exe \u200f\u0627\u0633\u0645", `Müller & Söhne "KG"`, strings.Repeat("long ", 90),
}

// reportLake is a lake of two lists over some nights, with hostile names, rejected lines, duplicates, kept
// columns and a compaction.
func reportLake(t *testing.T) (lake string, nights []time.Time) {
	t.Helper()
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	list := func(name, header string, first, n int, values ...string) {
		text := header + "\n"
		for i := first; i < first+n; i++ {
			text += fmt.Sprintf("CRM-%05d,\"%s\",firm-%d.example,%s\n", i, strings.ReplaceAll(hostileNames[i%len(hostileNames)], `"`, `""`), i, values[i%len(values)])
		}
		text += fmt.Sprintf("CRM-BAD1,bad,not a domain,%s\nCRM-BAD2,,,\nCRM-DUP,Kestrel Loom,firm-%d.example,\n", values[0], first)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list("crm.csv", "account_id,company,website,country", 0, proof.Size(24, 200, 2000), "DE", "US", "FR", "", "<b>NO</b>")
	list("partners.csv", "account_id,company,website,Tier", 12, proof.Size(16, 100, 1000), "A", "B")
	jobs := "version: 1\njobs:\n"
	for name, settings := range map[string]string{"crm": "signals: [all]\n    keep: [country]", "partners": "signals: [news, risk]\n    keep: [Tier]"} {
		jobs += fmt.Sprintf("  %s:\n    list: %[1]s.csv\n    lake: lake\n    simulate: true\n    %s\n    since: 60d\n    max-credits: 1000000\n    quiet: true\n", name, settings)
	}
	jobs += "  compact:\n    command: compact\n    lake: lake\n    min-files: 2\n"
	if err := os.WriteFile(filepath.Join(dir, "siglake.yaml"), []byte(jobs), 0o600); err != nil {
		t.Fatal(err)
	}
	job := func(name string, day time.Time) {
		t.Helper()
		cmd := exec.Command(program, "job", name, "--config", filepath.Join(dir, "siglake.yaml"), "--as-of", day.Format(time.DateOnly))
		cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 10 {
			t.Fatalf("job %s of %s: %v: %s", name, day.Format(time.DateOnly), err, out)
		}
	}
	first := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for i := range proof.Size(2, 6, 10) {
		nights = append(nights, first.AddDate(0, 0, 4*i))
		job("crm", nights[i])
		job("partners", nights[i])
		if i == 0 {
			job("compact", nights[i])
		}
	}
	return filepath.Join(dir, "lake"), nights
}

// TestReportOfNights: every figure of a report is what its SQL over the views of siglake ddl gives, of all
// of a lake, of a period and of a run, and the page holds the same figures.
func TestReportOfNights(t *testing.T) {
	lake, nights := reportLake(t)
	d := openSession(t, printDDL(t, lake))
	first := runOfNight(t, d, "crm.csv")
	scopes := [][]string{{}, {"--since", nights[1].Format(time.DateOnly)}, {"--run", first}, {"--run", "last"}}
	for _, flags := range scopes[:proof.Size(3, 4, 4)] {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			r := parseReport(t, writeReport(t, lake, "json", flags...))
			values := checkReport(t, d, r)
			t.Logf("%d values compared", values)
			if values < 1000 && len(flags) == 0 {
				t.Errorf("%d values were compared: the test shows nothing", values)
			}
			for _, id := range []string{"rejects", "weeks", "accounts", "hits_by_column_1", "hits_by_column_2", "hiring", "risks", "days", "cost_by_signal"} {
				if table := r.Find(id); len(flags) == 0 && (table == nil || len(table.Rows) == 0) {
					t.Errorf("table %s has no row: the test shows nothing", id)
				}
			}
			if slices.Contains(flags, first) {
				checkOwnLines(t, d, r)
			}
			if table := r.Find("hits_by_column_1"); len(flags) == 0 && linesOf(t, table) != linesOf(t, r.Find("hits_by_list"), "crm.csv") {
				t.Errorf("the groups of a column of crm.csv have %d lines, and the list has others: %v", linesOf(t, table), r.Find("hits_by_list").Rows)
			}
			page := embeddedReport(t, writeReport(t, lake, "html", flags...))
			r.Created, page.Created = time.Time{}, time.Time{}
			if diff := cmp.Diff(r, page); diff != "" {
				t.Errorf("the page's figures (-json +page):\n%.2000s", diff)
			}
			var byDay, total int64
			for _, row := range r.Find("days").Rows {
				byDay += integer(t, row[1])
			}
			for _, f := range r.Figures {
				if f.ID == "credits" {
					total = integer(t, f.Value)
				}
			}
			if byDay != total || total == 0 && len(flags) == 0 {
				t.Errorf("credits by day sum up to %d, and the runs cost %d", byDay, total)
			}
		})
	}
}

// runOfNight is the first run about a list.
func runOfNight(t *testing.T, d *DuckDB, list string) string {
	t.Helper()
	_, rows, err := d.Query(t.Context(), "SELECT run_id FROM runs WHERE list LIKE '%"+list+"' ORDER BY started_at LIMIT 1")
	if err != nil || len(rows) != 1 {
		t.Fatalf("the first run about %s: %d rows, %v", list, len(rows), err)
	}
	return rows[0][0].(string)
}

// checkOwnLines: an earlier run has the lines that it had, though later runs have left them otherwise since.
func checkOwnLines(t *testing.T, d *DuckDB, r *lakereport.Report) {
	t.Helper()
	_, rows, err := d.Query(t.Context(), "SELECT count(*), count(*) FILTER (WHERE status = 'rejected') FROM accounts WHERE run_id = '"+r.Run+"'")
	if err != nil {
		t.Fatal(err)
	}
	rejected := r.Figures[slices.IndexFunc(r.Figures, func(f lakereport.Figure) bool { return f.ID == "rejected_lines" })].Value
	if got, want := fmt.Sprint(linesOf(t, r.Find("hits_by_list")), integer(t, rejected)), fmt.Sprint(rows[0]...); got != want || integer(t, rejected) == 0 {
		t.Errorf("the run has %s lines and rejected ones, want %s", got, want)
	}
}

// linesOf adds up the lines of the rows of a table, or of those of one list.
func linesOf(t *testing.T, table *lakereport.Table, list ...string) (sum int64) {
	t.Helper()
	at := slices.IndexFunc(table.Columns, func(c lakereport.Column) bool { return c.ID == "lines" })
	for _, row := range table.Rows {
		if name, _ := row[0].(string); len(list) == 0 || strings.HasSuffix(name, list[0]) {
			sum += integer(t, row[at])
		}
	}
	return sum
}

func integer(t *testing.T, v any) int64 {
	t.Helper()
	n, err := v.(json.Number).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReportOfDoubts: the same of a lake with calls in doubt, unknown charges, revised events and signals
// that the catalogue does not know.
func TestReportOfDoubts(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	for run := 2; run <= 3; run++ {
		lines, f := kestrelFixture(t, func(raw string) string {
			return strings.Replace(raw, `"eventType"`, fmt.Sprintf(`"revised":%d,"eventType"`, run), 1)
		})
		if err := runInto(t.Context(), lake, fmt.Sprint("r", run), lines, laterFetcher{f, time.Duration(run) * time.Hour}, "event_month"); err != nil {
			t.Fatal(err)
		}
		if run == 2 {
			compactLake(t, lake)
		}
	}
	d := openSession(t, printDDL(t, lake))
	scopes := [][]string{{"--run", "r1"}, {}, {"--run", "last"}, {"--since", "2026-05-07"}, {"--since", "2036-05-07"}}
	for _, flags := range scopes[:proof.Size(1, 5, 5)] {
		r := parseReport(t, writeReport(t, lake, "json", flags...))
		values := checkReport(t, d, r)
		t.Logf("%q: %d values compared", flags, values)
		if doubts := len(r.Find("doubts").Rows); len(flags) == 0 && doubts < 6 || slices.Contains(flags, "r1") && doubts < 2 {
			t.Errorf("%q: %d calls in doubt: the test shows nothing", flags, doubts)
		}
	}
}
