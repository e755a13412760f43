package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/schema"
)

// program is siglake, built for the tests.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "siglake-iceberg")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
		program = filepath.Join(dir, "siglake")
		build := exec.Command("go", "build", "-ldflags=-w", "-o", program, "./cmd/siglake")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("build siglake: %v\n%s", err, out))
		}
		return m.Run()
	}())
}

// siglake runs siglake; exit code 10, for rejected lines, is no failure.
func siglake(t *testing.T, words ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	c := exec.Command(program, words...)
	c.Stderr = &stderr
	out, err := c.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == app.ExitRejects {
		err = nil
	}
	if err != nil {
		t.Fatalf("siglake %q: %v\n%s", words, err, stderr.String())
	}
	return out
}

// prune removes what compactions have replaced, as it will be possible the day after tomorrow.
func prune(t *testing.T, lake string) {
	t.Helper()
	siglake(t, "prune", "--lake", lake, "--older-than", "1d", "--as-of", time.Now().AddDate(0, 0, 2).UTC().Format(time.DateOnly), "--yes", "--quiet")
}

// night publishes a run of one day.
func night(t *testing.T, lake, day string, more ...string) {
	t.Helper()
	list := filepath.Join(filepath.Dir(lake), "list.csv")
	if _, err := os.Stat(list); err != nil {
		var b strings.Builder
		b.WriteString("id,company,website\n")
		for i := range 40 {
			fmt.Fprintf(&b, "A%d,Company %d,company-%d.com\n", i, i, i)
		}
		if err := os.WriteFile(list, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(more, "--lake") {
		more = append(more, "--lake", lake)
	}
	siglake(t, append([]string{"run", list, "--simulate", "--quiet", "--refresh", "--as-of", day, "--since", "60d", "--signals", "news,growth"}, more...)...)
}

// replayed runs the program and wants an exit code.
func replayed(t *testing.T, want int, words ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := app.Env{Getenv: func(string) string { return "" }, Stdout: &stdout, Stderr: &stderr}
	if code := execute(t.Context(), &env, append([]string{"siglake-iceberg", "--json"}, words...)); code != want {
		t.Fatalf("siglake-iceberg %q: exit code %d, want %d\n%s", words, code, want, stderr.String())
	}
	var r result
	if want == 0 {
		if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, stdout.String())
		}
	}
	return r
}

// open opens a lake and the catalogue inside for a test.
func open(t *testing.T, lake string) *replayer {
	t.Helper()
	env := app.Env{Getenv: func(string) string { return "" }}
	address, inspector, err := app.OpenInspector(t.Context(), &env, app.StoreOptions{}, lake)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inspector.Close() })
	o := catalogOptions{Kind: "sql", Name: "siglake"}
	c, err := o.connect(t.Context(), &env, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.close() })
	return &replayer{options: options{Namespace: "siglake"}, address: address, warehouse: c.warehouse, lake: inspector, catalog: c.Catalog, wait: sleep}
}

// listed is a file as siglake files --json lists it.
type listed struct {
	Path, Table, Partition string
	Rows                   int64
}

// filesOf are the files of a generation, by table and address; nil if a pruning has removed some of them.
func filesOf(t *testing.T, lake string, generation int64) map[string]map[string]listed {
	t.Helper()
	all := map[string]map[string]listed{}
	c := exec.Command(program, "files", "--lake", lake, "--json", "--generation", strconv.FormatInt(generation, 10))
	out, err := c.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && strings.Contains(string(exit.Stderr), "siglake prune removed") {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		var f listed
		if err := json.Unmarshal(s.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		if all[f.Table] == nil {
			all[f.Table] = map[string]listed{}
		}
		all[f.Table][f.Path] = f
	}
	return all
}

// checkSnapshots compares every snapshot of every table with the generation that it shows, and returns the number of
// snapshots. All snapshots must be of one of the generations.
func checkSnapshots(t *testing.T, r *replayer, lake string, newest int64) (snapshots int) {
	t.Helper()
	want := map[int64]map[string]map[string]listed{}
	for _, of := range schema.Tables {
		loaded, err := r.catalog.LoadTable(t.Context(), r.identifier(of))
		if err != nil {
			t.Fatal(err)
		}
		shown := map[int64]bool{} // generations
		for _, s := range loaded.Metadata().Snapshots() {
			generation, err := strconv.ParseInt(s.Summary.Properties[propGeneration], 10, 64)
			if err != nil {
				t.Errorf("%s: a snapshot without a generation: %v", of.Name, s.Summary)
				continue
			}
			if shown[generation] {
				t.Errorf("%s: two snapshots of generation %d", of.Name, generation)
			}
			shown[generation] = true
			snapshots++
			if _, known := want[generation]; !known {
				want[generation] = filesOf(t, lake, generation)
			}
			checkFiles(t, loaded, s.SnapshotID, of, want[generation])
		}
		if want[newest] == nil {
			want[newest] = filesOf(t, lake, newest)
		}
		if s := loaded.CurrentSnapshot(); s != nil {
			checkFiles(t, loaded, s.SnapshotID, of, want[newest])
		} else if len(want[newest][of.Name]) > 0 {
			t.Errorf("%s has no snapshot, want %d files", of.Name, len(want[newest][of.Name]))
		}
	}
	return snapshots
}

// checkFiles compares the files of a snapshot with those of a generation: their names, rows and months. If a pruning has removed
// some of other tables, all files of this one must be there.
func checkFiles(t *testing.T, loaded *table.Table, snapshot int64, of schema.Table, generation map[string]map[string]listed) {
	t.Helper()
	tasks, err := loaded.Scan(table.WithSnapshotID(snapshot)).PlanFiles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := generation[of.Name]
	if generation == nil {
		for _, task := range tasks {
			if _, err := os.Stat(strings.TrimPrefix(task.File.FilePath(), "file://")); err != nil {
				t.Errorf("%s, snapshot %d: %v", of.Name, snapshot, err)
			}
		}
		return
	}
	if len(tasks) != len(want) {
		t.Errorf("%s, snapshot %d: %d files, want %d", of.Name, snapshot, len(tasks), len(want))
	}
	for _, task := range tasks {
		f, ok := want[strings.TrimPrefix(task.File.FilePath(), "file://")]
		switch month := task.File.Partition()[iceberg.PartitionDataIDStart]; {
		case !ok || task.File.Count() != f.Rows:
			t.Errorf("%s, snapshot %d: %s with %d rows, want %+v", of.Name, snapshot, task.File.FilePath(), task.File.Count(), f)
		case of.IsEvent() && (month != monthOf(f.Partition) || len(monthOf(f.Partition)) < len("unknown")):
			t.Errorf("%s: %s is in month %v, want that of %s", of.Name, f.Path, month, f.Partition)
		}
	}
}

// rowsOf reads a column of a table; a null is empty.
func rowsOf(t *testing.T, loaded *table.Table, column string) (values []string) {
	t.Helper()
	got, err := loaded.Scan(table.WithSelectedFields(column)).ToArrowTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	for _, chunk := range got.Column(0).Data().Chunks() {
		for i := range chunk.Len() {
			values = append(values, chunk.(*array.String).Value(i))
		}
	}
	return values
}

// TestReplay: nights, a compaction, a night, a pruning and a rebuild with other partitions. After each, the snapshots are those of
// ddl --generation N.
func TestReplay(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	night(t, lake, "2026-11-20")
	replayed(t, 0, "--lake", lake)
	night(t, lake, "2026-11-21")
	night(t, lake, "2026-11-22")
	replayed(t, 0, "--lake", lake)
	siglake(t, "compact", "--lake", lake, "--min-files", "2", "--quiet")
	night(t, lake, "2026-11-23")
	done := replayed(t, 0, "--lake", lake)
	if operations := operationsOf(done); done.Generation != 5 || operations["replace"] < 5 || operations["append"] < 5 || len(operations) != 2 {
		t.Errorf("generation %d, operations %v; want 5, with several that replace and several that append", done.Generation, operations)
	}
	r := open(t, lake)
	if n := checkSnapshots(t, r, lake, 5); n < 5*5 {
		t.Errorf("%d snapshots, want at least 25", n)
	}
	checkProperties(t, r, lake)
	checkRows(t, r)
	if again := replayed(t, 0, "--lake", lake); len(again.Changes) > 0 {
		t.Errorf("a second replay changes %d tables", len(again.Changes))
	}

	prune(t, lake)
	replayed(t, 0, "--lake", lake)
	r = open(t, lake)
	if n := checkSnapshots(t, r, lake, 6); n < 10 || n > 20 {
		t.Errorf("%d snapshots after a pruning, want two a table", n)
	}
	rebuilt := lake + "-rebuilt"
	siglake(t, "rebuild", "--lake", lake, "--partition-by", "day", "--into", rebuilt, "--quiet")
	for _, name := range []string{metadataDir} { // the catalogue stays
		if err := os.Rename(filepath.Join(lake, name), filepath.Join(rebuilt, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(lake); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(rebuilt, lake); err != nil {
		t.Fatal(err)
	}
	killed := errors.New("killed")
	r = open(t, lake)
	r.hook = func(step string) error {
		if strings.HasPrefix(step, "expire") {
			return killed
		}
		return nil
	}
	if _, err := r.replay(t.Context()); !errors.Is(err, killed) {
		t.Errorf("a replay after a rebuild ends with %v, and forgets no snapshot", err)
	}
	done = replayed(t, 0, "--lake", lake)
	r = open(t, lake)
	checkSnapshots(t, r, lake, done.Generation)
	checkRows(t, r)
	night(t, lake, "2026-11-24")
	done = replayed(t, 0, "--lake", lake)
	if operations := operationsOf(done); len(operations) != 1 || operations["append"] == 0 {
		t.Errorf("a night after a rebuild: %v, want appends", operations)
	}
	checkSnapshots(t, open(t, lake), lake, done.Generation)
}

func operationsOf(r result) map[string]int {
	operations := map[string]int{}
	for _, c := range r.Changes {
		operations[c.Operation]++
	}
	return operations
}

// checkProperties compares the properties of snapshots with the manifests.
func checkProperties(t *testing.T, r *replayer, lake string) {
	t.Helper()
	loaded, err := r.catalog.LoadTable(t.Context(), r.identifier(schema.Accounts))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range loaded.Metadata().Snapshots() {
		p := s.Summary.Properties
		generation, err := strconv.Atoi(p[propGeneration])
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(lake, "_meta", "manifest", fmt.Sprintf("%08d.json", generation)))
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Run     struct{ ID, Kind string }
			Credits struct{ Charged json.Number }
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		if p[propRun] != m.Run.ID || p[propCredits] != m.Credits.Charged.String() || p[propKind] != cmp.Or(m.Run.Kind, "run") {
			t.Errorf("generation %d: properties %v, want run %s, %s credits, kind %q", generation, p, m.Run.ID, m.Credits.Charged, m.Run.Kind)
		}
	}
}

// checkRows reads the newest rows by the ids of columns. Conditions on months and dates skip files.
func checkRows(t *testing.T, r *replayer) {
	t.Helper()
	news, _ := schema.TableNamed("news")
	loaded, err := r.catalog.LoadTable(t.Context(), r.identifier(news))
	if err != nil {
		t.Fatal(err)
	}
	if uids := rowsOf(t, loaded, "event_uid"); len(uids) == 0 || slices.Contains(uids, "") {
		t.Errorf("uids of news: %q, want some", uids)
	}
	date, err := iceberg.NewLiteral("2026-11-15").To(iceberg.PrimitiveTypes.Date)
	if err != nil {
		t.Fatal(err)
	}
	count := func(filter iceberg.BooleanExpression) int {
		tasks, err := loaded.Scan(table.WithRowFilter(filter)).PlanFiles(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(tasks)
	}
	every := count(iceberg.AlwaysTrue{})
	byDate := count(iceberg.LiteralPredicate(iceberg.OpGTEQ, iceberg.Reference("event_date"), date))
	byMonth := count(iceberg.EqualTo(iceberg.Reference(monthColumn), "2026-11"))
	if byDate >= every || byDate == 0 || byMonth >= every || byMonth == 0 {
		t.Errorf("of %d files, %d have dates since 2026-11-15, and %d are in November; want fewer, and some", every, byDate, byMonth)
	}
}

// TestKilledReplay: a replay that ends after each of its steps, and begins again, gives the same tables.
func TestKilledReplay(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	night(t, lake, "2026-11-20")
	night(t, lake, "2026-11-22")
	siglake(t, "compact", "--lake", lake, "--min-files", "2", "--quiet")
	prune(t, lake)
	night(t, lake, "2026-11-23")
	killed := errors.New("killed")
	r := open(t, lake)
	seen := map[string]bool{}
	for run := 0; ; run++ {
		r.hook = func(step string) error { // ends at the first step that no replay before has come to
			if seen[step] {
				return nil
			}
			seen[step] = true
			return killed
		}
		newest, err := r.replay(t.Context())
		if err == nil {
			if newest != 5 || run < 30 {
				t.Errorf("generation %d after %d kills, want 5, after many", newest, run)
			}
			break
		}
		if !errors.Is(err, killed) {
			t.Fatal(err)
		}
	}
	checkSnapshots(t, r, lake, 5)
}

// TestReplaysAtOnce: replays that start together do not disturb each other.
func TestReplaysAtOnce(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	night(t, lake, "2026-11-20")
	night(t, lake, "2026-11-22")
	siglake(t, "compact", "--lake", lake, "--min-files", "2", "--quiet")
	var replays sync.WaitGroup
	failed := make([]error, 3)
	for i := range failed {
		r := open(t, lake)
		replays.Go(func() { _, failed[i] = r.replay(t.Context()) })
	}
	replays.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	checkSnapshots(t, open(t, lake), lake, 3)
}

// TestPrunedBefore: tables of a lake that was pruned before their first replay begin with the oldest generation that is there.
func TestPrunedBefore(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	night(t, lake, "2026-11-20")
	replayed(t, 0, "--lake", lake, "--namespace", "behind")
	night(t, lake, "2026-11-22")
	siglake(t, "compact", "--lake", lake, "--min-files", "2", "--quiet")
	prune(t, lake)
	night(t, lake, "2026-11-23")
	for _, namespace := range []string{"behind", "siglake"} {
		replayed(t, 0, "--lake", lake, "--namespace", namespace)
		r := open(t, lake)
		r.options.Namespace = namespace
		checkSnapshots(t, r, lake, 5)
	}
}

// TestSchemaEvolution: a table that an earlier version made gets the columns that were added since, and files without field
// ids are read by names.
func TestSchemaEvolution(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	night(t, lake, "2026-11-20")
	r := open(t, lake)
	if err := r.createNamespace(t.Context()); err != nil {
		t.Fatal(err)
	}
	news, _ := schema.TableNamed("news")
	old := news.AsOf(2)
	if len(old.Columns) >= len(news.Columns) {
		t.Fatalf("version 2 of news has %d columns", len(old.Columns))
	}
	if _, err := r.ensure(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if _, err := r.replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	loaded, err := r.catalog.LoadTable(t.Context(), r.identifier(news))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := loaded.Schema().NumFields(), len(news.Columns)+1; got != want {
		t.Errorf("%d columns, want %d", got, want)
	}
	for i, c := range news.Columns {
		if f, ok := loaded.Schema().FindFieldByName(c.Name); !ok || f.ID != news.FieldID(i) {
			t.Errorf("column %s: id %d, want %d", c.Name, f.ID, news.FieldID(i))
		}
	}
	if texts := rowsOf(t, loaded, "summary_text"); len(texts) == 0 || slices.Max(texts) == "" {
		t.Errorf("summary_text, an added column, is empty: %q", texts)
	}
	if mapping := loaded.Properties()[table.DefaultNameMappingKey]; !strings.Contains(mapping, "summary_text") {
		t.Errorf("the name mapping lacks an added column: %s", mapping)
	}
}

// TestOtherLake: tables of one lake do not become those of another by accident.
func TestOtherLake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	night(t, first, "2026-11-20")
	night(t, second, "2026-11-21")
	night(t, second, "2026-11-22")
	catalogue := []string{"--catalog-uri", filepath.Join(dir, "catalog.db"), "--warehouse", "file://" + filepath.Join(dir, "warehouse")}
	replayed(t, 0, append(catalogue, "--lake", first)...)
	replayed(t, app.ExitUsage, append(catalogue, "--lake", second)...)
	replayed(t, 0, append(catalogue, "--lake", second, "--prefix", "second_")...)
	done := replayed(t, 0, append(catalogue, "--lake", second, "--replace")...)
	if operations := operationsOf(done); done.Generation != 2 || operations["append"] == 0 || operations["overwrite"] != 0 {
		t.Errorf("generation %d, %v; want 2, in new tables", done.Generation, operations)
	}
	if again := replayed(t, 0, append(catalogue, "--lake", second)...); len(again.Changes) > 0 {
		t.Errorf("another replay changes %d tables", len(again.Changes))
	}
}

// TestMovedLake: after a lake has moved, --replace shows it at the new place, whether catalogue and metadata have
// moved with it or not, and also if an earlier --replace ended among the tables.
func TestMovedLake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	night(t, at("l1"), "2026-11-20")
	night(t, at("l1"), "2026-11-22")
	outside := []string{"--catalog-uri", at("catalog.db"), "--warehouse", "file://" + at("warehouse")}
	replayed(t, 0, "--lake", at("l1"))
	replayed(t, 0, append(outside, "--lake", at("l1"))...)
	if err := os.Rename(at("l1"), at("l2")); err != nil {
		t.Fatal(err)
	}
	replayed(t, app.ExitStorage, "--lake", at("l2"))
	replayed(t, app.ExitUsage, append(outside, "--lake", at("l2"))...)
	killed := open(t, at("l2"))
	killed.options.Replace = true
	killed.hook = func(step string) error {
		if step == "create "+schema.Tables[2].Name {
			return errors.New("killed")
		}
		return nil
	}
	if _, err := killed.replay(t.Context()); err == nil {
		t.Error("a replay that is killed succeeds")
	}
	for _, catalogue := range [][]string{nil, outside} {
		words := append(slices.Clone(catalogue), "--lake", at("l2"))
		if done := replayed(t, 0, append(words, "--replace")...); done.Generation != 2 || len(done.Changes) == 0 {
			t.Errorf("%q: generation %d by %d changes; want 2, by some", catalogue, done.Generation, len(done.Changes))
		}
		for _, more := range []string{"--quiet=false", "--replace"} { // has no effect any more
			if done := replayed(t, 0, append(words, more)...); len(done.Changes) > 0 {
				t.Errorf("%q %s: another replay changes %d tables", catalogue, more, len(done.Changes))
			}
		}
	}
	checkSnapshots(t, open(t, at("l2")), at("l2"), 2)
}

// TestChangedTable: a table that another program has changed is not taken for the lake.
func TestChangedTable(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	night(t, lake, "2026-11-20")
	replayed(t, 0, "--lake", lake)
	r := open(t, lake)
	loaded, err := r.catalog.LoadTable(t.Context(), r.identifier(schema.Runs))
	if err != nil {
		t.Fatal(err)
	}
	tx := loaded.NewTransaction()
	if err := tx.Delete(t.Context(), iceberg.AlwaysTrue{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	replayed(t, app.ExitIntegrity, "--lake", lake)
}

// TestQuietTable: a table that many generations leave alone notes that it has seen them.
func TestQuietTable(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	night(t, lake, "2026-11-20")
	r := open(t, lake)
	if _, err := r.replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	replica, err := r.ensure(t.Context(), schema.Runs)
	if err != nil {
		t.Fatal(err)
	}
	h := &history{lake: r.lake, newest: 1, sums: map[int64]string{1: "digest"}}
	replica.generation = 1 - notedEvery
	if err := r.finish(t.Context(), h, replica); err != nil {
		t.Fatal(err)
	}
	if replica, err = r.ensure(t.Context(), schema.Runs); err != nil || replica.generation != 1 || replica.manifest != "digest" {
		t.Errorf("generation %d, manifest %q, %v; want those that were noted", replica.generation, replica.manifest, err)
	}
}

func TestMonthOf(t *testing.T) {
	t.Parallel()
	for partition, want := range map[string]string{
		"event_month=2026-03": "2026-03", "event_month=unknown": "unknown", "event_day=2026-03-09": "2026-03", "event_day=1970-01-01": "unknown", "": "",
	} {
		if got := monthOf(partition); got != want {
			t.Errorf("monthOf(%q) = %q, want %q", partition, got, want)
		}
	}
}

// TestUsage: what cannot work is refused before a catalogue is touched.
func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lake, blank := filepath.Join(dir, "lake"), filepath.Join(dir, "my lake")
	empty := t.TempDir()
	night(t, lake, "2026-11-20")
	if err := os.CopyFS(blank, os.DirFS(lake)); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{
		{"--lake", blank}, {"--lake", filepath.Join(dir, "none")}, {"--lake", lake, "--namespace", "a-b"}, {"--lake", lake, "--prefix", "1"},
		{"--lake", lake, "--catalog", "other"}, {"--lake", lake, "--catalog", "rest"}, {"--lake", lake, "--catalog", "glue", "--catalog-uri", "x"},
		{"--lake", lake, "--catalog-property", "token=x"}, {"--lake", lake, "--catalog-property", "x"}, {"--lake", lake, "--warehouse", "/w"}, {"--lake", lake, "more"}, {"--lakes", lake}, {}, {"--lake", empty},
	} {
		replayed(t, app.ExitUsage, words...)
	}
	for _, place := range []string{lake, empty} {
		if _, err := os.Stat(filepath.Join(place, metadataDir)); err == nil {
			t.Errorf("a refused command made %s in %s", metadataDir, place)
		}
	}
}

// TestS3: a lake and its tables on S3, with the catalogue on a disk.
func TestS3(t *testing.T) {
	store := buckettest.Start(t)
	store.Setenv(t)
	lake, dir := store.URI("lake"), t.TempDir()
	access := []string{"--lake", lake, "--s3-endpoint", store.URL, "--s3-region", store.Region, "--s3-path-style"}
	catalogue := filepath.Join(dir, "catalog.db")
	replayed(t, app.ExitUsage, access...) // no catalogue is named
	for _, day := range []string{"2026-11-20", "2026-11-22"} {
		night(t, filepath.Join(dir, "lake"), day, append(access, "--scratch", dir)...)
		replayed(t, 0, append(access, "--catalog-uri", catalogue)...)
	}
	siglake(t, append(append([]string{"compact"}, access...), "--min-files", "2", "--quiet", "--scratch", dir)...)
	done := replayed(t, 0, append(access, "--catalog-uri", catalogue)...)
	if operations := operationsOf(done); done.Generation != 3 || operations["replace"] < 5 {
		t.Errorf("generation %d, %v; want 3, with several that replace", done.Generation, operations)
	}
	env := app.Env{Getenv: func(string) string { return "" }}
	o := catalogOptions{Kind: "sql", URI: catalogue, Name: "siglake", S3: app.S3Options{Endpoint: store.URL, Region: store.Region, PathStyle: true}}
	c, err := o.connect(t.Context(), &env, lake)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close() //nolint:errcheck // it was only read
	loaded, err := c.LoadTable(c.ctx, []string{"siglake", "news_all"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := loaded.Scan(table.WithSelectedFields("event_uid")).ToArrowTable(c.ctx)
	if err != nil || got.NumRows() == 0 {
		t.Errorf("news: %v, %v; want rows", got, err)
	}
	if !strings.HasPrefix(loaded.MetadataLocation(), lake+"/"+metadataDir+"/") {
		t.Errorf("the metadata is at %s, want it in the lake", loaded.MetadataLocation())
	}
}
