package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/internal/wal"
)

// partitionKeys are the keys of a lake's event partitions.
func partitionKeys(t *testing.T, lake string) string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(lake, "data", "*", "event_*"))
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, dir := range dirs {
		if key, _, _ := strings.Cut(filepath.Base(dir), "="); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return strings.Join(keys, " and ")
}

// eventIDs are the events of a lake as a reader who globs sees them, by uid and content.
func eventIDs(t *testing.T, lake string) (ids []string) {
	t.Helper()
	for _, row := range globbedEvents(t, lake) {
		ids = append(ids, row["event_uid"].(string)+" "+row["content_digest"].(string))
	}
	slices.Sort(ids)
	return ids
}

// mustRefusePartition makes sure that a command is refused before it asks anything, with both ways out.
func (r *rig) mustRefusePartition(v runResult, has, asked string) {
	r.t.Helper()
	for _, want := range []string{"--partition-by " + asked + ":", "set it to " + has, "siglake rebuild --lake " + r.lake + " --partition-by " + asked + " --into DIR"} {
		if v.code != exitUsage || v.requests != 0 || !strings.Contains(v.stderr, want) {
			r.t.Errorf("exit %d after %d requests, want %d and none, and %q: %s", v.code, v.requests, exitUsage, want, v.stderr)
		}
	}
}

// TestPartitionKept: a run follows the partitions of its lake and is recognised by them; another choice
// is refused by every command before anything is asked, and the products do not care.
func TestPartitionKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, fixedDayConfig(t))
	list := domainLines(30)
	news := []string{"--signals", "news", "--max-results", "3"}
	if v := r.rerun(list, append(slices.Clone(news), "--partition-by", "day")...); v.code != exitComplete || v.credits == 0 {
		t.Fatalf("exit %d with %d credits: %s", v.code, v.credits, v.stderr)
	}
	for _, flags := range [][]string{news, append(slices.Clone(news), "--partition-by", "day")} {
		if v := r.rerun(list, flags...); v.code != exitComplete || v.requests != 0 || !strings.Contains(v.stdout, "Nothing to do") {
			t.Errorf("%q again: exit %d after %d requests: %s", flags, v.code, v.requests, v.stdout)
		}
	}
	month := []string{"--partition-by", "month"}
	r.mustRefusePartition(r.rerun(list, slices.Concat(news, month)...), "day", "month")
	r.mustRefusePartition(r.rerun(list, slices.Concat(news, month, []string{"--new-run", "--refresh"})...), "day", "month")
	r.mustRefusePartition(r.exec(t.Context(), []string{"plan", "-"}, list, slices.Concat(news, month)...), "day", "month")
	if v := r.exec(t.Context(), []string{"plan", "-"}, list, news...); v.code != exitComplete || v.credits != 0 {
		t.Errorf("plan: exit %d with %d credits: %s", v.code, v.credits, v.stderr)
	}
	config := writeJobFile(t, "version: 1\njobs:\n  nightly: {list: list.txt, lake: '"+r.lake+"', signals: [growth], max-credits: unlimited, partition-by: month, base-url: '"+r.server.URL+"'}\n", map[string]string{"list.txt": list})
	before := r.sim.Bill().Requests
	code, _, stderr := runProgram(t, "job", "nightly", "--config", config)
	r.mustRefusePartition(runResult{code: code, stderr: stderr, requests: r.sim.Bill().Requests - before}, "day", "month")

	for _, service := range []string{app.ResolveName, app.ScoreName} {
		if v := r.runProduct(service, list); v.code != exitComplete || v.requests == 0 {
			t.Errorf("%s: exit %d after %d requests: %s", service, v.code, v.requests, v.stderr)
		}
		if v := r.runProduct(service, list); v.code != exitComplete || v.credits != 0 {
			t.Errorf("%s again: exit %d with %d credits: %s", service, v.code, v.credits, v.stderr)
		}
	}
	if v := r.rerun(list, "--signals", "growth", "--max-results", "3"); v.code != exitComplete || v.credits == 0 {
		t.Errorf("further signals: exit %d with %d credits: %s", v.code, v.credits, v.stderr)
	}
	if keys := partitionKeys(t, r.lake); keys != "event_day" {
		t.Errorf("the lake has %s, want event_day", keys)
	}
	r.mustExit(exitComplete, "verify")
}

// TestPartitionOfProducts: a lake of products has no partitions of events yet, so a first run chooses
// them, and it may be rebuilt for that.
func TestPartitionOfProducts(t *testing.T) {
	t.Parallel()
	r := newRig(t, fixedDayConfig(t))
	list := domainLines(10)
	r.runProductChecked(app.ScoreName, list)
	rebuilt := filepath.Join(t.TempDir(), "rebuilt")
	r.mustExit(exitComplete, "rebuild", "--into", rebuilt, "--partition-by", "day")
	for lake, flags := range map[string][]string{rebuilt: nil, r.lake: {"--partition-by", "day"}} {
		r.lake = lake
		if v := r.rerun(list, append(flags, "--signals", "news")...); v.code != exitComplete || v.credits == 0 {
			t.Errorf("exit %d with %d credits: %s", v.code, v.credits, v.stderr)
		}
		if keys := partitionKeys(t, lake); keys != "event_day" {
			t.Errorf("the lake has %s, want event_day", keys)
		}
		if v := r.runProduct(app.ScoreName, list); v.code != exitComplete || v.credits != 0 {
			t.Errorf("score again: exit %d with %d credits: %s", v.code, v.credits, v.stderr)
		}
		r.mustExit(exitComplete, "verify")
	}
}

// TestDemoPartition: the demo is refused before it writes anything.
func TestDemoPartition(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	demo := func(flags ...string) (int, string) {
		code, stdout, stderr := runProgram(t, append([]string{"demo", "--lake", lake, "--latency", "0s", "--signals", "news"}, flags...)...)
		return code, stdout + stderr
	}
	if code, output := demo("--partition-by", "day"); code != exitComplete {
		t.Fatalf("exit %d: %s", code, output)
	}
	if code, output := demo("--partition-by", "month"); code != exitUsage || strings.Contains(output, "Requesting") {
		t.Errorf("by month: exit %d, want %d and nothing requested: %s", code, exitUsage, output)
	}
	if code, output := demo(); code != exitComplete || partitionKeys(t, lake) != "event_day" {
		t.Errorf("again: exit %d, %s: %s", code, partitionKeys(t, lake), output)
	}
}

// TestRebuildPartition: a lake with a finished and an interrupted run is rebuilt by day. The new lake
// verifies, knows the commands and what they paid, and continues by day, also after a salvage; rebuilt by
// month, it has the files of the old one. The bill is that of an undisturbed lake.
func TestRebuildPartition(t *testing.T) {
	t.Parallel()
	undisturbed := newRig(t, fixedDayConfig(t))
	first, second := domainLines(40), domainLines(80)
	flags := append([]string{"--concurrency", "1", "--batch-size", "10"}, baseFlags...)
	undisturbed.rerun(first, flags...)
	undisturbed.rerun(second, flags...)

	r := newRig(t, fixedDayConfig(t))
	r.run(first, flags...)
	calls := r.billedCalls()
	crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == calls+2 })
	if v := r.rerun(second, flags...); v.code != exitStorage {
		t.Fatalf("the second run: exit %d, want %d", v.code, exitStorage)
	}
	clearHook(t)
	month := r.lake
	r.lake = filepath.Join(t.TempDir(), "day")
	if code, stdout, stderr := runProgram(t, "rebuild", "--lake", month, "--into", r.lake, "--partition-by", "day"); code != exitComplete ||
		!strings.Contains(stdout, "partitioned by day; those of "+month+" by month.") || !strings.Contains(stderr, "is unfinished") {
		t.Fatalf("rebuild: exit %d: %s%s", code, stdout, stderr)
	}
	r.mustExit(exitComplete, "verify")
	if diff := cmp.Diff(eventIDs(t, month), eventIDs(t, r.lake)); diff != "" || partitionKeys(t, r.lake) != "event_day" {
		t.Errorf("events by %s (-by month +rebuilt):\n%s", partitionKeys(t, r.lake), diff)
	}
	r.mustRefusePartition(r.exec(t.Context(), []string{"resume", "-"}, second, "--partition-by", "month"), "day", "month")
	if v := r.exec(t.Context(), []string{"resume", "-"}, second); v.code != exitComplete || v.calls >= 8 {
		t.Errorf("resume: exit %d after %d calls: %s", v.code, v.calls, v.stderr)
	}
	for _, list := range []string{first, second} {
		if v := r.rerun(list, flags...); v.code != exitComplete || v.requests != 0 || !strings.Contains(v.stdout, "Nothing to do") {
			t.Errorf("a command again: exit %d after %d requests: %s%s", v.code, v.requests, v.stdout, v.stderr)
		}
	}
	if is, want := r.sim.Bill().Credits, undisturbed.sim.Bill().Credits; is != want {
		t.Errorf("billed %d credits, want %d as without the rebuild", is, want)
	}
	if diff := cmp.Diff(eventIDs(t, undisturbed.lake), eventIDs(t, r.lake)); diff != "" || partitionKeys(t, r.lake) != "event_day" {
		t.Errorf("events by %s (-undisturbed +rebuilt):\n%s", partitionKeys(t, r.lake), diff)
	}
	r.mustExit(exitComplete, "verify")
	if status := r.mustExit(exitComplete, "status", "--json"); strings.Contains(status, `"open_lines": 4`) || strings.Contains(status, `"open_lines": 8`) {
		t.Errorf("the status has open lines:\n%s", status)
	}
	r.checkSalvagedPartition(month)
}

// checkSalvagedPartition rebuilds a lake by day, as it is and after a salvage that lost the record of
// its partitions; rebuilt by month, it has what the lake at month has, and more.
func (r *rig) checkSalvagedPartition(month string) {
	t := r.t
	t.Helper()
	again, back := filepath.Join(t.TempDir(), "again"), filepath.Join(t.TempDir(), "back")
	r.mustExit(exitComplete, "rebuild", "--into", again)
	if diff := cmp.Diff(visibleFiles(t, r.lake), visibleFiles(t, again)); diff != "" {
		t.Errorf("files after another rebuild (-lake +rebuilt):\n%s", diff)
	}
	r.mustExit(exitComplete, "rebuild", "--into", back, "--partition-by", "month")
	rebuilt := visibleFiles(t, back)
	for _, name := range visibleFiles(t, month) {
		if !slices.Contains(rebuilt, name) {
			t.Errorf("%s is missing from the lake that is rebuilt by month again", name)
		}
	}
	r.lake = back
	r.mustExit(exitComplete, "verify")
	r.lake = again
	r.loseRepartition()
	r.mustExit(exitIntegrity, "status")
	r.mustExit(exitComplete, "salvage", "--accept-loss")
	r.mustExit(exitComplete, "verify")
	if v := r.exec(t.Context(), []string{"run", "-"}, domainLines(10), "--partition-by", "month"); v.code != exitUsage || v.requests != 0 {
		t.Errorf("by month after the salvage: exit %d after %d requests", v.code, v.requests)
	}
}

// loseRepartition damages the segment of the journal that says how the events are partitioned.
func (r *rig) loseRepartition() {
	r.t.Helper()
	journal := filepath.Join(r.lake, app.StateDir, "journal")
	store, err := wal.OpenDir(journal, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer store.Close()
	const kindRepartition = 18
	segment := ""
	_, err = wal.Salvage(r.t.Context(), store, func(rec wal.SalvagedRecord) error {
		if rec.Kind == kindRepartition {
			segment = filepath.Join(journal, rec.Segment+".journal")
		}
		return nil
	})
	if err != nil || segment == "" {
		r.t.Fatalf("no record of a repartition: %v", err)
	}
	if err := os.Remove(segment); err != nil {
		r.t.Fatal(err)
	}
}

// TestRebuildPartitionKilled: a rebuild that ends at any step leaves the lake as it was and, in the new
// one, nothing that a command would buy for; or all of it.
func TestRebuildPartitionKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, fixedDayConfig(t))
	list := domainLines(10)
	r.run(list, "--signals", "news")
	lake, before := r.lake, visibleFiles(t, r.lake)
	steps := 0
	setHook(t, func(_, _ string, do func() error) error {
		steps++
		return do()
	})
	r.mustExit(exitComplete, "rebuild", "--into", filepath.Join(t.TempDir(), "whole"), "--partition-by", "day")
	clearHook(t)
	points := 0
	for at := 2; at <= steps; at += max(1, min(steps/8, (steps-at)/2)) { // denser at the end, where the journal is
		points++
		into, step := filepath.Join(t.TempDir(), "day"), 0
		crashAt(t, func(string, string) bool {
			step++
			return step >= at
		})
		r.lake = lake
		runProgram(t, "rebuild", "--lake", lake, "--into", into, "--partition-by", "day")
		clearHook(t)
		if diff := cmp.Diff(before, visibleFiles(t, lake)); diff != "" {
			t.Errorf("step %d of %d failed, and the lake has changed:\n%s", at, steps, diff)
		}
		if _, err := os.Stat(filepath.Join(into, app.StateDir)); err != nil && len(partitionKeys(t, into)) == 0 {
			continue // there is no lake at all
		}
		r.lake = into
		v := r.rerun(list, "--signals", "news")
		if v.credits != 0 || v.code != exitIntegrity && (v.code != exitComplete || !strings.Contains(v.stdout, "Nothing to do")) {
			t.Errorf("step %d of %d failed, and a run on the new lake ended with %d after %d credits: %s", at, steps, v.code, v.credits, v.stderr)
		}
		if v.code == exitComplete {
			r.mustExit(exitComplete, "verify")
		}
	}
	if points < 8 {
		t.Errorf("%d points of %d steps, want some", points, steps)
	}
}

// TestRebuildPartitionBucket: a rebuild into a bucket that is interrupted while the journal is copied
// leaves nothing that a command would buy for; one that is not leaves a lake that knows what is paid.
func TestRebuildPartitionBucket(t *testing.T) {
	l, store, list, _ := newBucketLake(t)
	month, run := l.uri, append([]string{"run", list}, baseFlags...)
	var written, limit atomic.Int64 // objects of the journal
	limit.Store(1 << 30)
	proxy := buckettest.StartProxy(t, store, func(q *http.Request) buckettest.Fault {
		if q.Method == http.MethodPut && strings.Contains(q.URL.Path, app.StateDir+"/journal/") && written.Add(1) > limit.Load() {
			return buckettest.Denied
		}
		return buckettest.Fault{}
	})
	access := s3LakeFlags(t, proxy)
	envFor(t).JournalRetryFor, envFor(t).BucketMaxBackoff = time.Nanosecond, time.Nanosecond
	rebuild := func(name string) (code int) {
		t.Helper()
		written.Store(0)
		l.uri = store.URI("lakes/" + name)
		code, _, stderr := runProgram(t, slices.Concat([]string{"rebuild", "--lake", month, "--into", l.uri, "--partition-by", "day"}, access)...)
		if code != exitComplete && code != exitStorage {
			t.Errorf("rebuild into %s: exit %d: %s", l.uri, code, stderr)
		}
		return code
	}
	rebuild("whole")
	whole := written.Load()
	for n := range whole {
		limit.Store(n)
		if rebuild(fmt.Sprint("part", n)) == exitComplete {
			t.Logf("%d objects of %d suffice", n, whole)
			break // the last ones are copies
		}
		if code, output, requests := l.buy(run...); code != exitIntegrity || requests != 0 {
			t.Errorf("with %d objects of %d: a run ended with %d after %d requests: %s", n, whole, code, requests, output)
		}
	}
	l.uri = store.URI("lakes/whole")
	if code, output, requests := l.buy(run...); code != exitComplete || requests != 0 || !strings.Contains(output, "Nothing to do") {
		t.Errorf("a run on the new lake: exit %d after %d requests: %s", code, requests, output)
	}
	if code, output, requests := l.buy(append(run, "--partition-by", "month")...); code != exitUsage || requests != 0 {
		t.Errorf("by month: exit %d after %d requests: %s", code, requests, output)
	}
	if code, output := l.look("verify"); code != exitComplete {
		t.Errorf("verify: exit %d: %s", code, output)
	}
}

// mixedLake holds a lake of the version before this one, with a run by month and, of the same events,
// one by day.
const mixedLake = "../../testdata/lake-mixed"

// TestMixedPartitions: a lake with both kinds of partitions is read as before. A run follows the newest
// events and warns once; a rebuild makes one kind of it, and writes each event once.
func TestMixedPartitions(t *testing.T) {
	t.Parallel()
	setNow(t, func() time.Time { return time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC) })
	r := newRig(t, simulator.Config{})
	(&oldLake{t: t, dir: r.lake}).unpack(mixedLake)
	list := filepath.Join(mixedLake, "list.csv")
	simulated := []string{"run", list, "--simulate", "--seed", "7", "--rate", "0", "--signals", "news"}
	byDay := append(slices.Clone(simulated), "--partition-by", "day", "--since", "60d", "--max-results", "3")
	run := func(words []string, flags ...string) (int, string) {
		t.Helper()
		code, stdout, stderr := runProgram(t, slices.Concat(words, []string{"--lake", r.lake}, flags)...)
		return code, stdout + stderr
	}
	const warning = "--partition-by day --into DIR"
	r.mustExit(exitComplete, "verify")
	for _, words := range [][]string{simulated, byDay} {
		if code, output := run(words); code != exitComplete || !strings.Contains(output, "Nothing to do") || strings.Count(output, warning) != 1 {
			t.Errorf("%q: exit %d, want nothing to do and one warning: %s", words, code, output)
		}
	}
	if code, output := run(simulated, "--partition-by", "month"); code != exitUsage || !strings.Contains(output, "set it to day") {
		t.Errorf("by month: exit %d: %s", code, output)
	}
	if code, output := run([]string{"ddl"}, "--dialect", "duckdb"); code != exitComplete {
		t.Errorf("ddl: exit %d: %s", code, output)
	}
	if code, output := run([]string{"ddl"}, "--dialect", "trino", "--database", "x"); code != exitUsage || !strings.Contains(output, "siglake rebuild --partition-by") {
		t.Errorf("ddl of one that cannot read both: exit %d: %s", code, output)
	}
	twice := eventIDs(t, r.lake)
	for by, flags := range map[string][]string{"day": nil, "month": {"--partition-by", "month"}} {
		mixed, into := r.lake, filepath.Join(t.TempDir(), "rebuilt")
		if code, output := run([]string{"rebuild"}, append(flags, "--into", into)...); code != exitComplete || !strings.Contains(output, "partitioned by "+by+"; those of "+mixed+" by month and by day.") {
			t.Errorf("rebuild by %s: exit %d: %s", by, code, output)
		}
		r.lake = into
		r.mustExit(exitComplete, "verify")
		if got, want := eventIDs(t, into), slices.Compact(slices.Clone(twice)); !cmp.Equal(got, want) || len(want) == len(twice) || partitionKeys(t, into) != "event_"+by {
			t.Errorf("rebuilt by %s: %d events by %s, want %d of %d", by, len(got), partitionKeys(t, into), len(want), len(twice))
		}
		for _, words := range [][]string{simulated, append(slices.Clone(byDay), "--partition-by", by)} {
			if code, output := run(words); code != exitComplete || !strings.Contains(output, "Nothing to do") || strings.Contains(output, "different ways") {
				t.Errorf("%q on the lake by %s: exit %d, want nothing to do: %s", words, by, code, output)
			}
		}
		if code, output := run([]string{"ddl"}, "--dialect", "trino", "--database", "x"); code != exitComplete {
			t.Errorf("ddl of the rebuilt lake: exit %d: %s", code, output)
		}
		r.lake = mixed
	}
	if code, output := run(simulated, "--signals", "growth"); code != exitComplete || strings.Count(output, warning) != 1 {
		t.Errorf("a new run: exit %d: %s", code, output)
	}
	r.mustExit(exitComplete, "verify")
}
