package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// nights rehearses the nights of one list, in process: one lake, one simulator, and a day for each
// night. The simulator's world says what there was to find.
type nights struct {
	*rig
	list    string
	watch   simulator.Watch // companies and signals; the dates are set when they are needed
	first   time.Time       // day of night 0
	today   atomic.Int64    // night of the simulator's clock
	credits []int64         // by night
	calls   []int
}

// firstNight is the day of the first night of every rehearsal that names no other.
var firstNight = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// newNights starts a simulator whose day is the present night's.
func newNights(t *testing.T, cfg simulator.Config, companies []string) *nights {
	t.Helper()
	n := &nights{list: strings.Join(companies, "\n") + "\n", first: firstNight}
	n.watch.Companies = companies
	cfg.Keys, cfg.Now = []string{app.SimulatedKey}, func() time.Time { return onDay(n.day(int(n.today.Load())), time.Now)() }
	if cfg.Plan == "" {
		cfg.Plan = "unlimited"
	}
	if cfg.Credits == 0 {
		cfg.Credits = 1 << 40
	}
	if cfg.Seed == 0 {
		cfg.Seed = 1
	}
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.rig = &rig{t: t, sim: sim, server: httptest.NewServer(sim), lake: filepath.Join(t.TempDir(), "lake")}
	t.Cleanup(n.server.Close)
	envFor(t)
	return n
}

// day is the day of a night.
func (n *nights) day(night int) time.Time { return n.first.AddDate(0, 0, night) }

// run runs a night.
func (n *nights) run(night int, flags ...string) runResult {
	n.t.Helper()
	n.today.Store(int64(night))
	v := n.exec(context.Background(), []string{"run", "-", "--as-of", n.day(night).Format(time.DateOnly)}, n.list, flags...)
	for len(n.credits) <= night {
		n.credits, n.calls = append(n.credits, 0), append(n.calls, 0)
	}
	n.credits[night] += v.credits
	n.calls[night] += v.calls
	return v
}

// nightFigures are what a rehearsal is judged by.
type nightFigures struct {
	nights  int
	visible int64 // distinct events that became visible after the first night: N
	credits int64 // of the nights after the first
	missed  int64 // of the events that had time to be found, those that the lake does not have
	found   int64 // and those that it has
	copies  int64 // rows beyond one of each event
	// The least number of questions about one entity and signal that find every event of N within a
	// week: what an account pays at least that is charged for types and not for events.
	asks  int64
	calls int
	worst int // calls of the worst night
}

func (f nightFigures) String() string {
	return fmt.Sprintf("%d nights: N %d, %d credits (%.2f N), %d of %d missed (%.2f %%), %d further copies, %d calls, at most %d a night; at least %d questions within a week (%.3f)",
		f.nights, f.visible, f.credits, float64(f.credits)/float64(max(f.visible, 1)), f.missed, f.missed+f.found, 100*float64(f.missed)/float64(max(f.missed+f.found, 1)), f.copies, f.calls, f.worst, f.asks, float64(f.credits)/float64(max(f.asks, 1)))
}

// figures compares the lake with the world. An event counts as missed if it is dated on or after the
// first night and so many days before the last one, if it was visible some days before the last one,
// and if the lake does not have it.
func (n *nights) figures(dated, grace int) (f nightFigures) {
	n.t.Helper()
	last := len(n.credits) - 1
	f.nights = last
	for night := 1; night <= last; night++ {
		f.credits += n.credits[night]
		f.calls += n.calls[night]
		f.worst = max(f.worst, n.calls[night])
	}
	have := n.boughtEvents()
	w := n.watch
	w.From, w.To = n.day(-30), n.day(last)
	visible := map[string][]time.Time{} // by pair
	for e := range n.sim.Sightings(w) {
		if e.Visible.After(n.first) && !e.Visible.After(n.day(last)) {
			f.visible++
			pair := e.Signal + " " + e.EntityID
			visible[pair] = append(visible[pair], e.Visible)
		}
		key := e.Signal + " " + e.SignalID
		counts := !e.Date.Before(n.first) && !e.Date.After(n.day(last-dated)) && !e.Visible.After(n.day(last-grace))
		switch {
		case have[key] > 0:
			f.copies += int64(have[key]) - 1
			if counts {
				f.found++
			}
		case counts:
			f.missed++
		}
	}
	for _, days := range visible {
		f.asks += leastAsks(days, 7*24*time.Hour)
	}
	return f
}

// leastAsks is the least number of questions of which one follows each of these times soon enough.
func leastAsks(times []time.Time, within time.Duration) (asks int64) {
	slices.SortFunc(times, time.Time.Compare)
	var last time.Time
	for _, at := range times {
		if asks == 0 || at.After(last) {
			asks, last = asks+1, at.Add(within)
		}
	}
	return asks
}

// boughtEvents counts the rows of each event of a company, as a reader finds them who globs.
func (n *nights) boughtEvents() map[string]int {
	n.t.Helper()
	have := map[string]int{}
	err := filepath.WalkDir(filepath.Join(n.lake, "data"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".parquet") {
			err = countEvents(path, have)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		n.t.Fatal(err)
	}
	return have
}

// countEvents reads two columns of a file.
func countEvents(path string, have map[string]int) error {
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		return err
	}
	defer f.Close()
	reader, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	at := []int{f.MetaData().Schema.ColumnIndexByName("signal_type"), f.MetaData().Schema.ColumnIndexByName("signal_id")}
	if at[0] < 0 || at[1] < 0 {
		return nil
	}
	groups := make([]int, f.NumRowGroups())
	for i := range groups {
		groups[i] = i
	}
	table, err := reader.ReadRowGroups(context.Background(), at, groups)
	if err != nil {
		return err
	}
	defer table.Release()
	rows := array.NewTableReader(table, 0)
	defer rows.Release()
	for rows.Next() {
		r := rows.Record()
		for i := range int(r.NumRows()) {
			have[cellValue(r.Column(0), i).(string)+" "+fmt.Sprint(cellValue(r.Column(1), i))]++
		}
	}
	return nil
}

// companyDomains names n companies.
func companyDomains(n int) []string { return strings.Fields(domainLines(n)) }

// TestRehearsedNights: each night has its own day, in its window, its rows and its journal. Nightly
// runs with the default window cost what the simulator's world says that they cost, and miss nothing.
func TestRehearsedNights(t *testing.T) {
	t.Parallel()
	n := newNights(t, simulator.Config{Lateness: "heavy"}, companyDomains(proof.Size(60, 300, 1000)))
	n.watch.Signals = []string{"surgeInHiring", "financialEventsNews", "peopleNews"}
	last := proof.Size(4, 14, 90)
	for night := 0; night <= last; night++ {
		v := n.run(night, "--signals", strings.Join(n.watch.Signals, ","), "--since", "90d")
		if v.code != exitComplete {
			t.Fatalf("night %d: exit %d: %s", night, v.code, v.stderr)
		}
		w := n.watch
		w.From = n.day(night - 90)
		if want := n.sim.Quote(w, n.day(night), 10); v.credits != want || n.manifest.Credits.Charged != want {
			t.Errorf("night %d: %d credits billed, the manifest says %d, a quote %d", night, v.credits, n.manifest.Credits.Charged, want)
		}
		day := n.day(night).Format(time.DateOnly)
		if m := n.manifest; !m.Run.Simulated || m.Queries[0].Until != day || m.Run.Started.Format(time.DateOnly) != day || m.Run.Finished.Format(time.DateOnly) != day {
			t.Errorf("night %d: simulated %t, window until %s, run from %s to %s; want %s", night, m.Run.Simulated, m.Queries[0].Until, m.Run.Started, m.Run.Finished, day)
		}
		for _, row := range n.events() {
			if at := row["fetched_at"].(time.Time).Format(time.DateOnly); at != day {
				t.Fatalf("night %d: a row of %s", night, at)
			}
		}
	}
	f := n.figures(0, 0)
	if f.missed != 0 || f.visible == 0 || f.found == 0 || f.worst != (len(n.watch.Companies)+99)/100 {
		t.Errorf("%s; want none missed", f)
	}
	if f.visible != n.sim.CountVisible(simulator.Watch{Companies: n.watch.Companies, Signals: n.watch.Signals, From: n.day(-30), To: n.day(last)}, n.day(1), n.day(last)) {
		t.Errorf("%s; N differs from the simulator's count", f)
	}
	t.Log(f)
}

// TestNightsAtScale reports the figures of nights next to N, on a list named by SIGLAKE_NIGHTS_LIST: a
// CSV file with the domains in its first column, under a header. Other variables choose the flags, the
// lateness of events, the billing of the account, the number of nights (90), and a directory for copies of
// the lake after 10, 90 and all nights.
func TestNightsAtScale(t *testing.T) {
	path := os.Getenv("SIGLAKE_NIGHTS_LIST")
	if path == "" || !proof.IsFull() {
		return
	}
	raw, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	records, err := csv.NewReader(raw).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var companies []string
	for _, r := range records[1:min(10_001, len(records))] {
		companies = append(companies, strings.ToLower(r[0]))
	}
	last, err := strconv.Atoi(cmp.Or(os.Getenv("SIGLAKE_NIGHTS_COUNT"), "90"))
	if err != nil {
		t.Fatal(err)
	}
	config := simulator.Config{Lateness: os.Getenv("SIGLAKE_NIGHTS_LATENESS"), Switches: simulator.Switches{Billing: os.Getenv("SIGLAKE_NIGHTS_BILLING")}}
	n := newNights(t, config, companies)
	for night := 0; night <= last; night++ {
		begun := time.Now()
		if v := n.run(night, append([]string{"--signals", "growth,news,risk", "--quiet"}, strings.Fields(os.Getenv("SIGLAKE_NIGHTS_FLAGS"))...)...); v.code != exitComplete && v.code != exitUnexplained {
			t.Fatalf("night %d: exit %d: %s", night, v.code, v.stderr)
		}
		t.Logf("night %d: %d credits, %d calls, %s", night, n.credits[night], n.calls[night], time.Since(begun).Round(time.Millisecond))
		if keep := os.Getenv("SIGLAKE_NIGHTS_KEEP"); keep != "" && (night == 10 || night == 90 || night == last) {
			if err := os.CopyFS(filepath.Join(keep, strconv.Itoa(night)), os.DirFS(n.lake)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Log(n.figures(45, 12))
}

// TestDemoNights: the demo of nights has a row for each night, with the bill of two simulators, and
// leaves a lake that verify accepts.
func TestDemoNights(t *testing.T) {
	t.Parallel()
	setNow(t, func() time.Time { return firstNight.Add(time.Hour) })
	lake := filepath.Join(t.TempDir(), "lake")
	code, stdout, stderr := says(t, "demo", "--nights", "3", "--lake", lake, "--signals", "news,growth")
	if code != exitComplete {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for i, day := range []string{"2026-05-30", "2026-05-31", "2026-06-01"} {
		fields := strings.Fields(strings.Split(stdout, "\n")[3+i])
		if len(fields) != 6 || fields[0] != fmt.Sprint(i+1) || fields[1] != day || i == 0 && (fields[3] != fields[4] || fields[3] != fields[5]) {
			t.Errorf("night %d is %q:\n%s", i+1, fields, stdout)
		}
	}
	r := &rig{t: t, lake: lake}
	r.mustExit(exitComplete, "verify")
	if out := r.mustExit(exitComplete, "status", "--as-of", "2026-06-01"); !strings.Contains(out, "3 runs") || !strings.Contains(out, lake+"-accounts.csv") {
		t.Errorf("status: %s; want 3 runs of a list next to the lake", out)
	}
	for _, wrong := range [][]string{{"--nights", "3", "--lake", lake}, {"--nights", "1"}} {
		if code, _, stderr := says(t, append([]string{"demo"}, wrong...)...); code != exitUsage {
			t.Errorf("%v: exit %d, want %d: %s", wrong, code, exitUsage, stderr)
		}
	}
}

// TestAsOfRefused: a rehearsal needs a simulated lake and a simulator, and neither asks the vendor nor
// sends a key.
func TestAsOfRefused(t *testing.T) {
	t.Parallel()
	envFor(t).Transport = noNetwork{t}
	list := writeDomains(t, 3)
	lake := filepath.Join(t.TempDir(), "lake")
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"run", list, "--signals", "news", "--as-of", "2026-06-01"},
		{"plan", list, "--signals", "news", "--as-of", "2026-06-01"},
		{"resolve", list, "--as-of", "2026-06-01"},
		{"run", list, "--signals", "news", "--as-of", "2026-06-01", "--api-key-file", key, "--base-url", "http://127.0.0.1:1"},
		{"run", list, "--signals", "news", "--as-of", "2026-06-31", "--simulate"},
		{"status", "--as-of", "yesterday"},
	} {
		code, stdout, stderr := says(t, append(args, "--lake", lake)...)
		if code != exitUsage || !strings.Contains(stderr, "--as-of") || strings.Contains(stdout+stderr, canary) {
			t.Errorf("%v: exit %d, want %d: %s", args, code, exitUsage, stderr)
		}
	}
	if _, err := os.Stat(lake); err == nil {
		t.Error("a refused rehearsal left a lake behind")
	}
}

// noNetwork fails a test that makes a request.
type noNetwork struct{ t *testing.T }

func (n noNetwork) RoundTrip(q *http.Request) (*http.Response, error) {
	n.t.Errorf("%s %s is requested", q.Method, q.URL)
	return nil, fs.ErrPermission
}

// TestAsOfOtherServer: an address that is not a simulator's is asked once, without a key.
func TestAsOfOtherServer(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked.Add(1)
		if q.Header.Get("api_key") != "" || q.Method != http.MethodGet {
			t.Errorf("%s %s with key %q", q.Method, q.URL, q.Header.Get("api_key"))
		}
		http.Error(w, `{"statusCode":404}`, http.StatusNotFound)
	}))
	defer server.Close()
	code, _, stderr := says(t, "run", writeDomains(t, 3), "--signals", "news", "--lake", filepath.Join(t.TempDir(), "lake"), "--as-of", "2026-06-01", "--base-url", server.URL)
	if code != exitUsage || asked.Load() != 1 || !strings.Contains(stderr, "simulator") {
		t.Errorf("exit %d after %d requests, want %d and one: %s", code, asked.Load(), exitUsage, stderr)
	}
}

// TestAsOfLakes: a rehearsal touches no lake of real answers, and a rehearsed lake takes no real ones.
func TestAsOfLakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(3), "--signals", "news")
	for _, words := range [][]string{{"status"}, {"held", "list"}, {"compact"}, {"resume"}, {"run", writeDomains(t, 3), "--simulate", "--signals", "news"}, {"plan", writeDomains(t, 3), "--simulate", "--signals", "news"}} {
		r.mustExit(exitUsage, append(words, "--as-of", "2026-06-01")...)
	}

	n := newNights(t, simulator.Config{}, companyDomains(5))
	if v := n.run(0, "--signals", "news"); v.code != exitComplete || v.calls == 0 {
		t.Fatalf("exit %d after %d calls: %s", v.code, v.calls, v.stderr)
	}
	for _, e := range n.sim.Bill().Entries {
		if e.Status == http.StatusUnauthorized {
			t.Errorf("%s was requested with another key than %s", e.Path, app.SimulatedKey)
		}
	}
	if v := n.exec(t.Context(), []string{"run", "-"}, n.list, "--signals", "news", "--clock-skew-ok"); v.code != exitUsage || v.requests > 0 && v.calls > 0 {
		t.Errorf("without --as-of: exit %d after %d calls, want %d: %s", v.code, v.calls, exitUsage, v.stderr)
	}
	if out := n.mustExit(exitComplete, "status", "--as-of", "2026-06-02"); !strings.Contains(out, "20260601T") {
		t.Errorf("status does not show the run of the rehearsed day: %s", out)
	}
}

// TestSimulateToday: the server's world stands on the given day, in its Date headers as well.
func TestSimulateToday(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	at := time.Date(2031, 1, 2, 23, 59, 59, 0, time.UTC)
	clock := onDay(day, func() time.Time { return at })
	for range 2 {
		if got := clock(); got.Format(time.DateOnly) != "2026-06-01" || got.Format(time.TimeOnly) != at.Format(time.TimeOnly) {
			t.Errorf("at %s the clock shows %s", at, got)
		}
		at = at.Add(time.Second) // into the next day
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &firstLine{line: make(chan string, 1)}
	done := make(chan int)
	go func() { // ends with ctx
		done <- envFor(t).execute(ctx, []string{"siglake", "simulate", "--listen", "127.0.0.1:0", "--today", "2026-06-01", "--sim-lateness", "fast"}, nil, out, out)
	}()
	url := strings.TrimSpace(strings.TrimPrefix(<-out.line, "simulator listening on "))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v3/account/usage", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got, err := http.ParseTime(resp.Header.Get("Date")); err != nil || !got.Truncate(24*time.Hour).Equal(day) {
		t.Errorf("Date: %s, want %s", resp.Header.Get("Date"), day)
	}
	if code, _, stderr := says(t, "run", writeDomains(t, 3), "--signals", "news", "--lake", filepath.Join(t.TempDir(), "lake"), "--as-of", "2026-06-01", "--base-url", url); code != exitComplete {
		t.Errorf("a run on the server's day: exit %d: %s", code, stderr)
	}
	cancel()
	if code := <-done; code != exitComplete {
		t.Errorf("simulate: exit %d", code)
	}
	for _, wrong := range [][]string{{"--today", "tomorrow"}, {"--sim-lateness", "late"}, {"--sim-v2-ends", "soon"}} {
		if code, _, stderr := says(t, append([]string{"simulate", "--listen", "127.0.0.1:0"}, wrong...)...); code != exitUsage {
			t.Errorf("%v: exit %d, want %d: %s", wrong, code, exitUsage, stderr)
		}
	}
}

// firstLine passes on the first line that is written to it.
type firstLine struct {
	line chan string
	sent bool
}

func (w *firstLine) Write(p []byte) (int, error) {
	if !w.sent {
		w.sent = true
		w.line <- string(p)
	}
	return len(p), nil
}
