package crosscheck

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// buildDir holds the program, once a test has built it.
var buildDir string

func TestMain(m *testing.M) {
	if os.Getenv(actAsDuckDB) != "" {
		os.Exit(runDuckDB(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

var buildProgram = sync.OnceValues(func() (string, error) {
	var err error
	if buildDir, err = os.MkdirTemp("", "siglake-crosscheck-*"); err != nil {
		return "", err
	}
	program := filepath.Join(buildDir, "siglake")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, "./cmd/siglake")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return program, nil
})

// printDDL is the output of siglake ddl.
func printDDL(t *testing.T, lake string, flags ...string) string {
	t.Helper()
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd := exec.Command(program, append([]string{"ddl", "--lake", lake}, flags...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("siglake ddl %q = %v, want no error: %s", flags, err, stderr.String())
	}
	return string(out)
}

// openSession is a DuckDB that has run a script.
func openSession(t *testing.T, script string) *DuckDB {
	t.Helper()
	d := openDuckDB(t)
	if err := d.Exec(t.Context(), script); err != nil {
		t.Fatalf("running the printed script: %v", err)
	}
	return d
}

// distinctScripts are the scripts to try, by when they were printed: one if both have the same text.
func distinctScripts(now, before string) map[string]string {
	if now == before {
		return map[string]string{"printed now, the same as before": now}
	}
	return map[string]string{"printed now": now, "printed before": before}
}

func allTables() []schema.Table { return schema.Tables }

// readGlobs reads the rows of every table by globbing; a table without a file has none.
func readGlobs(t *testing.T, lake string) map[string][]string {
	t.Helper()
	d, rows := openDuckDB(t), map[string][]string{}
	for _, table := range allTables() {
		rows[table.Name] = nil
		files, err := filepath.Glob(filepath.Join(lake, datasetPath(table), "*.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		if table.IsEvent() {
			if files, err = filepath.Glob(filepath.Join(lake, datasetPath(table), "*", "*.parquet")); err != nil {
				t.Fatal(err)
			}
		}
		if len(files) == 0 {
			continue
		}
		from := strings.TrimSuffix(ScanExpr(lake, datasetPath(table)), ")")
		if table.IsEvent() {
			from += ", hive_types = {'event_month': VARCHAR}"
		}
		_, got, err := d.Query(t.Context(), "SELECT * FROM "+from+")")
		if err != nil {
			t.Fatal(err)
		}
		rows[table.Name] = sortedRows(got)
	}
	return rows
}

// viewFrom is the view of a table, without the columns that other tables give it.
func viewFrom(table schema.Table) string {
	if table.Name == string(schema.CategoryContact) {
		return "(SELECT * EXCLUDE (person_name, person_email) FROM contact)"
	}
	return table.Name
}

// readViews reads the rows of every view.
func readViews(t *testing.T, d *DuckDB) map[string][]string {
	t.Helper()
	rows := map[string][]string{}
	for _, table := range allTables() {
		described, err := d.DescribeColumns(t.Context(), viewFrom(table))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantColumns(table), described); diff != "" {
			t.Errorf("DescribeColumns(%s) (-want +got):\n%s", table.Name, diff)
		}
		_, got, err := d.Query(t.Context(), "SELECT * FROM "+viewFrom(table))
		if err != nil {
			t.Fatal(err)
		}
		rows[table.Name] = sortedRows(got)
	}
	return rows
}

// compactLake compacts as much as possible.
func compactLake(t *testing.T, lake string) {
	t.Helper()
	m, err := sinks.Compact(t.Context(), lake, sinks.Options{}, sinks.CompactOptions{MinFiles: 2})
	if err != nil || m == nil {
		t.Fatalf("Compact() = %v, %v, want a generation", m, err)
	}
}

// TestViewsGiveTheRowsOfGlobbing reads a lake while it grows and is compacted: by views that are
// printed each time, by a script printed before the first run, by a session opened before it, and
// by views of each generation.
func TestViewsGiveTheRowsOfGlobbing(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "Ida's lake")
	empty, err := sinks.Open(t.Context(), lake, sinks.Options{RunID: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if err := empty.Close(); err != nil {
		t.Fatal(err)
	}
	lines, f := kestrelFixture(t, unedited)
	few, fewAnswers := millsFixture(t, 3)
	run := func(name string, lines accountList, f scriptedFetcher) func() {
		return func() {
			if err := runInto(t.Context(), lake, name, lines, f, "event_month"); err != nil {
				t.Fatal(err)
			}
		}
	}
	first := printDDL(t, lake)
	early := openSession(t, first)
	var states []map[string][]string // by generation
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"nothing", func() {}},
		{"a run with few tables", run("r1", few, fewAnswers)},
		{"a second run", run("r2", lines, f)},
		{"a third run", run("r3", lines, f)},
		{"a compaction", func() { compactLake(t, lake) }},
		{"a run next to compacted files", run("r4", few, fewAnswers)},
		{"a compaction of compacted files", func() { compactLake(t, lake) }},
	} {
		step.do()
		want := readGlobs(t, lake)
		states = append(states, want)
		for how, script := range distinctScripts(printDDL(t, lake), first) {
			if diff := cmp.Diff(want, readViews(t, openSession(t, script))); diff != "" {
				t.Errorf("after %s, views of a script %s (-globbed +viewed):\n%.3000s", step.name, how, diff)
			}
		}
	}
	if diff := cmp.Diff(states[0], readViews(t, early)); diff != "" {
		t.Errorf("the views of the first session have changed (-before +now):\n%.3000s", diff)
	}
	for g := 1; g < len(states); g += proof.Size(2, 1, 1) {
		fixed := printDDL(t, lake, "--generation", fmt.Sprint(g))
		if diff := cmp.Diff(states[g], readViews(t, openSession(t, fixed))); diff != "" {
			t.Errorf("views of generation %d (-globbed then +viewed now):\n%.3000s", g, diff)
		}
	}
	if err := early.Exec(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(states[len(states)-1], readViews(t, early)); diff != "" {
		t.Errorf("views of the first session after running the script again (-globbed +viewed):\n%.3000s", diff)
	}
	_, rows, err := early.Query(t.Context(), "SELECT getvariable('siglake_generation')")
	if err != nil || len(rows) != 1 || rows[0][0] != int64(len(states)-1) {
		t.Errorf("siglake_generation = %v, %v, want %d", rows, err, len(states)-1)
	}
}

// TestViewsOfProducts: products are read like events, before the first of them, after the second,
// and compacted.
func TestViewsOfProducts(t *testing.T) {
	lake, _ := buyWireLake(t, pipeline.V2) // without products
	first := printDDL(t, lake)
	for _, step := range []struct {
		name string
		do   func()
		rows int
	}{
		{"none", func() {}, 0},
		{"one of each", func() { buyProducts(t, lake, "p1") }, 2},
		{"two of each", func() { buyProducts(t, lake, "p2") }, 4},
		{"a compaction", func() { compactLake(t, lake) }, 4},
	} {
		step.do()
		want := readGlobs(t, lake)
		if n := len(want["lookalikes"]); n != step.rows {
			t.Errorf("%s: %d lookalikes, want %d", step.name, n, step.rows)
		}
		for how, script := range distinctScripts(printDDL(t, lake), first) {
			if diff := cmp.Diff(want, readViews(t, openSession(t, script))); diff != "" {
				t.Errorf("%s, views of a script %s (-globbed +viewed):\n%.3000s", step.name, how, diff)
			}
		}
	}
}

// TestViewsDocument: the comments of the views explain the columns.
func TestViewsDocument(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	d := openSession(t, printDDL(t, lake))
	// A script has no semicolon and no quote within a comment.
	said := func(text any) string {
		return strings.ToLower(strings.NewReplacer("’", "'", "'; '", "semicolons", "; ", ". ").Replace(fmt.Sprint(text)))
	}
	for _, table := range allTables() {
		_, rows, err := d.Query(t.Context(), "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = "+QuoteLiteral(table.Name)+" ORDER BY column_index")
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, r := range rows {
			got = append(got, said(fmt.Sprint(r...)))
		}
		for _, c := range table.Columns {
			doc := c.Doc
			if c.Unit != "" {
				doc += " (" + c.Unit + ")"
			}
			want = append(want, said(c.Name+doc))
		}
		if table.IsEvent() {
			want = append(want, said("event_month"+"Month of the event date, or unknown: the directory that the row lies in"))
			if table.Name == string(schema.CategoryContact) {
				want = append(want, said("person_name"+"Name of the person, as a list has it"), said("person_email"+"E-mail address of the person, as a list has it"))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("comments of %s (-want +got):\n%s", table.Name, diff)
		}
		_, rows, err = d.Query(t.Context(), "SELECT comment FROM duckdb_views() WHERE view_name = "+QuoteLiteral(table.Name))
		if err != nil || len(rows) != 1 || !strings.HasPrefix(said(rows[0][0]), said(table.Doc)) {
			t.Errorf("comment of %s = %v, %v, want %q", table.Name, rows, err, table.Doc)
		}
	}
}

// TestViewsSkipFiles: a condition on the month opens no file of another month.
func TestViewsSkipFiles(t *testing.T) {
	lines, f := millsFixture(t, 60)
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	d := openSession(t, printDDL(t, lake))
	_, months, err := d.Query(t.Context(), "SELECT DISTINCT event_month FROM news ORDER BY 1")
	if err != nil || len(months) < 2 {
		t.Fatalf("months of news = %v, %v, want two or more", months, err)
	}
	for _, month := range append(months, []any{"1999-12"}) {
		_, plan, err := d.Query(t.Context(), "EXPLAIN ANALYZE SELECT count(event_uid) FROM news WHERE event_month = "+QuoteLiteral(month[0].(string)))
		if err != nil {
			t.Fatal(err)
		}
		want := "Total Files Read: 1"
		if month[0] == "1999-12" {
			want = "Total Files Read: 0"
		}
		if text := fmt.Sprint(plan); !strings.Contains(text, want) {
			t.Errorf("plan for %s does not contain %q: %s", month[0], want, text)
		}
	}
}

// TestViewsOfMonthsAndDays: a lake with runs partitioned by month and runs partitioned by day.
// DuckDB cannot glob it with the names of its directories; the views work.
func TestViewsOfMonthsAndDays(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	if err := runInto(t.Context(), lake, "r2", lines, f, "event_day"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // before and after a compaction
		d := openSession(t, printDDL(t, lake))
		for _, table := range schema.EventTables {
			from := fmt.Sprintf("read_parquet(%s, hive_partitioning = false)", QuoteLiteral(lake+"/"+datasetPath(table)+"/*/*.parquet"))
			_, want, err := d.Query(t.Context(), "SELECT *, coalesce(strftime(event_date, '%Y-%m'), 'unknown') FROM "+from)
			if err != nil {
				t.Fatal(err)
			}
			_, got, err := d.Query(t.Context(), "SELECT * FROM "+viewFrom(table))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sortedRows(want), sortedRows(got)); diff != "" {
				t.Errorf("rows of %s (-globbed +viewed):\n%.3000s", table.Name, diff)
			}
		}
		compactLake(t, lake)
		if t.Failed() {
			break
		}
		if err := runInto(t.Context(), lake, "r3", lines, f, "event_day"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestViewsOfLakesWithoutSnapshots: the generations of earlier versions have no list of all files.
// The views read the newest generation.
func TestViewsOfLakesWithoutSnapshots(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	if err := runInto(t.Context(), lake, "r2", lines, f, "event_month"); err != nil {
		t.Fatal(err)
	}
	dropSnapshots(t, lake, 2)
	for _, flags := range [][]string{nil, {"--generation", "2"}} {
		if diff := cmp.Diff(readGlobs(t, lake), readViews(t, openSession(t, printDDL(t, lake, flags...)))); diff != "" {
			t.Errorf("views of siglake ddl %q (-globbed +viewed):\n%.3000s", flags, diff)
		}
	}
	if err := runInto(t.Context(), lake, "r3", lines, f, "event_month"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(readGlobs(t, lake), readViews(t, openSession(t, printDDL(t, lake)))); diff != "" {
		t.Errorf("views after the next run (-globbed +viewed):\n%.3000s", diff)
	}
}

// dropSnapshots turns a lake into one of an earlier version.
func dropSnapshots(t *testing.T, lake string, generations int) {
	t.Helper()
	var previous any
	for g := 1; g <= generations; g++ {
		name := fmt.Sprintf("_meta/manifest/%08d.json", g)
		manifest := map[string]any{}
		if err := json.Unmarshal([]byte(readFile(t, filepath.Join(lake, name))), &manifest); err != nil {
			t.Fatal(err)
		}
		delete(manifest, "snapshot")
		if previous != nil {
			manifest["previous"] = previous
		}
		current := map[string]any{"generation": g, "path": name, "sha256": rewriteJSON(t, filepath.Join(lake, name), manifest)}
		rewriteJSON(t, filepath.Join(lake, "_meta", "current.json"), current)
		previous = map[string]any{"path": name, "sha256": current["sha256"]}
	}
	if err := os.RemoveAll(filepath.Join(lake, "_meta", "snapshot")); err != nil {
		t.Fatal(err)
	}
}

// rewriteJSON replaces a JSON file and returns its SHA-256.
func rewriteJSON(t *testing.T, path string, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// TestReadersDuringWrites reads while runs and compactions are published: each session sees whole
// runs, the same ones in every view.
func TestReadersDuringWrites(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	script := printDDL(t, lake)
	perRun := map[string]int64{}
	for table, rows := range readGlobs(t, lake) {
		perRun[table] = int64(len(rows))
	}

	const runs = 12
	sampled, written := make(chan struct{}, 1), make(chan error, 1)
	go func() { // awaited below, by its one send
		for i := 2; i <= runs; i++ {
			if err := runInto(t.Context(), lake, fmt.Sprintf("r%d", i), lines, f, "event_month"); err != nil {
				written <- err
				return
			}
			if i%4 == 0 {
				if _, err := sinks.Compact(t.Context(), lake, sinks.Options{}, sinks.CompactOptions{MinFiles: 2}); err != nil {
					written <- err
					return
				}
			}
			<-sampled // at least one sample between any two publications
		}
		written <- nil
	}()

	d, samples, seen, newest := openDuckDB(t), 0, map[int64]bool{}, int64(0)
	sample := func() {
		if err := d.Exec(t.Context(), script); err != nil {
			t.Fatalf("sample %d: %v", samples, err)
		}
		_, rows, err := d.Query(t.Context(), "SELECT getvariable('siglake_generation'), count(DISTINCT run_id) FROM accounts")
		if err != nil {
			t.Fatalf("sample %d: %v", samples, err)
		}
		generation, visible := rows[0][0].(int64), rows[0][1].(int64)
		if generation < newest {
			t.Errorf("sample %d: generation %d after %d", samples, generation, newest)
		}
		newest, seen[generation] = generation, true
		for _, table := range allTables() {
			_, rows, err := d.Query(t.Context(), "SELECT count(*) FROM "+table.Name)
			if err != nil {
				t.Fatalf("sample %d: %v", samples, err)
			}
			want := visible * perRun[table.Name]
			if table.IsEvent() { // all runs buy the same events
				want = min(visible, 1) * perRun[table.Name]
			}
			if got := rows[0][0].(int64); got != want {
				t.Errorf("sample %d: generation %d has %d rows of %s, want %d: those of %d runs", samples, generation, got, table.Name, want, visible)
			}
			if perRun[table.Name] == 0 {
				continue // the table has no file
			}
			if _, _, err := d.Query(t.Context(), "SELECT count(*), max(run_id) FROM "+ScanExpr(lake, datasetPath(table))); err != nil {
				t.Errorf("sample %d, globbing: %v", samples, err)
			}
		}
		samples++
		select {
		case sampled <- struct{}{}:
		default:
		}
	}
	for writing := true; writing; {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			writing = false
		default:
		}
		sample()
	}
	if want := int64(runs + runs/4); newest != want || len(seen) < runs/2 {
		t.Errorf("%d samples saw %d generations, the last was %d; want at least %d, and %d", samples, len(seen), newest, runs/2, want)
	}
}

// laterFetcher sends the calls of another one later.
type laterFetcher struct {
	pipeline.Fetcher
	by time.Duration
}

func (f laterFetcher) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	reply, err := f.Fetcher.Fetch(ctx, b)
	later := *reply
	later.Calls = slices.Clone(reply.Calls)
	for i := range later.Calls {
		if c := &later.Calls[i]; !c.Sent.IsZero() {
			c.Sent = c.Sent.Add(f.by)
		}
	}
	return &later, err
}

// TestViewsOfRevisions: the view of a dataset has the newest content of each event, the history all
// of them, and the macro what was known at a moment: the same before and after later runs.
func TestViewsOfRevisions(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	one := func(d *DuckDB, query string) string {
		_, rows, err := d.Query(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return fmt.Sprint(rows)
	}
	script := printDDL(t, lake)
	d := openSession(t, script)
	events := one(d, "SELECT count(*) FROM news")
	var moments []string // after each run
	known := map[string]string{}
	const digests = "SELECT event_uid, content_digest FROM news_as_of(%s) ORDER BY ALL"
	for run := 2; run <= 4; run++ {
		_, rows, err := d.Query(t.Context(), "SELECT epoch_us(max(fetched_at)) FROM news_all")
		if err != nil {
			t.Fatal(err)
		}
		moment := fmt.Sprintf("make_timestamp(%d)", rows[0][0].(int64)+1)
		moments = append(moments, moment)
		known[moment] = one(d, fmt.Sprintf(digests, moment))
		lines, f := kestrelFixture(t, func(raw string) string {
			return strings.Replace(raw, `"eventType"`, fmt.Sprintf(`"revised":%d,"eventType"`, run), 1)
		})
		if err := runInto(t.Context(), lake, fmt.Sprint("r", run), lines, laterFetcher{f, time.Duration(run) * time.Hour}, "event_month"); err != nil {
			t.Fatal(err)
		}
		if run == 3 {
			compactLake(t, lake)
		}
		if err := d.Exec(t.Context(), script); err != nil {
			t.Fatal(err)
		}
		if got := one(d, "SELECT count(*) FROM news"); got != events {
			t.Errorf("after run %d: %s rows of news, want %s", run, got, events)
		}
		if got, want := one(d, "SELECT DISTINCT revision, first_seen_at = (SELECT min(fetched_at) FROM news_all) FROM news"), fmt.Sprintf("[[%d true]]", run); got != want {
			t.Errorf("after run %d: revisions of news, and whether they know the first one: %s, want %s", run, got, want)
		}
		if got, want := one(d, "SELECT count(DISTINCT revision), count(*) // count(DISTINCT event_uid) FROM news_all"), fmt.Sprintf("[[%d %d]]", run, run); got != want {
			t.Errorf("after run %d: revisions of news_all, and rows of each event: %s, want %s", run, got, want)
		}
	}
	for _, moment := range moments {
		if got := one(d, fmt.Sprintf(digests, moment)); got != known[moment] || got == "[]" {
			t.Errorf("what was known at %s: %.200s, and later %.200s", moment, known[moment], got)
		}
	}
	if known[moments[0]] == known[moments[1]] {
		t.Error("the runs changed nothing: the test shows nothing")
	}
	fixed := openSession(t, printDDL(t, lake, "--persistent", "--prefix", "my_")) // without the variables of a session
	for _, query := range []string{"SELECT count(*) FROM %snews", "SELECT event_uid, content_digest FROM %snews_all ORDER BY ALL", "SELECT category, count(*), count(DISTINCT event_uid) FROM %sevents GROUP BY 1 ORDER BY 1"} {
		if got, want := one(fixed, fmt.Sprintf(query, "my_")), one(d, fmt.Sprintf(query, "")); got != want || got == "[]" {
			t.Errorf("%s by views of a database: %.300s, by those of a session: %.300s", query, got, want)
		}
	}
	if got := one(fixed, "SELECT event_uid, content_digest FROM my_news_as_of("+moments[0]+") ORDER BY ALL"); got != known[moments[0]] {
		t.Errorf("what was known at %s by a view of a database: %.300s, want %.300s", moments[0], got, known[moments[0]])
	}
	if got := one(d, "SELECT count(*) FROM news_as_of(DATE '2000-01-01')"); got != "[[0]]" {
		t.Errorf("%s events were known in 2000", got)
	}
}

// TestViewsOfMovedEvents: an event whose date is corrected to another month counts once.
func TestViewsOfMovedEvents(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	d := openSession(t, printDDL(t, lake))
	one := func(d *DuckDB, query string) string {
		_, rows, err := d.Query(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return fmt.Sprint(rows)
	}
	const counts = "SELECT count(*), count(DISTINCT event_uid), CAST(min(event_date) AS VARCHAR), CAST(max(event_date) AS VARCHAR) FROM "
	first, events := one(d, "SELECT count(*) FROM news"), one(d, "SELECT count(*), count(*) FROM events")
	n := strings.Trim(first, "[]")
	for run, date := range []string{2: "2026-03-02", 3: "2026-05-03"} {
		if date == "" {
			continue
		}
		lines, f := kestrelFixture(t, func(raw string) string { return strings.ReplaceAll(raw, "2026-04-18", date) })
		if err := runInto(t.Context(), lake, fmt.Sprint("r", run), lines, laterFetcher{f, time.Duration(run) * time.Hour}, "event_month"); err != nil {
			t.Fatal(err)
		}
		for _, flags := range [][]string{nil, {"--persistent"}} {
			d := openSession(t, printDDL(t, lake, flags...))
			if got, want := one(d, counts+"news"), fmt.Sprintf("[[%s %s %s %s]]", n, n, date, date); got != want {
				t.Errorf("after run %d, views %q: news = %s, want %s", run, flags, got, want)
			}
			if got := one(d, "SELECT count(*), count(DISTINCT event_uid) FROM events"); got != events {
				t.Errorf("after run %d, views %q: events = %s, want %s", run, flags, got, events)
			}
			if got, want := one(d, counts+"news_as_of((SELECT max(fetched_at) FROM news_all WHERE event_date = DATE '2026-04-18') + INTERVAL '1' MINUTE)"), fmt.Sprintf("[[%s %s 2026-04-18 2026-04-18]]", n, n); got != want {
				t.Errorf("after run %d, views %q: what was known after the first = %s, want %s", run, flags, got, want)
			}
		}
	}
	if got := one(openSession(t, printDDL(t, lake)), "SELECT count(*) // count(DISTINCT event_uid) FROM news_all"); got != "[[3]]" {
		t.Errorf("rows of each event in news_all: %s, want 3", got)
	}
	checkReport(t, openSession(t, printDDL(t, lake)), parseReport(t, writeReport(t, lake, "json")))
	file := exportLake(t, lake, "moved.csv", "--events", "--signals", "news")
	if got := one(d, "SELECT count(*) // count(DISTINCT event_uid) // count(DISTINCT account_key), min(CAST(event_date AS VARCHAR)) FROM read_csv("+QuoteLiteral(file)+") WHERE event_uid IS NOT NULL"); got != "[[1 2026-05-03]]" {
		t.Errorf("exported rows of each event and key, first date: %s, want 1 of the newest", got)
	}
}
