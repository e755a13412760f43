package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// listOfPeople is a list of contacts by the API's ids.
func listOfPeople(n int) string {
	var b strings.Builder
	b.WriteString("key,lusha contact id\n")
	for i := range n {
		fmt.Fprintf(&b, "p%03d,%d\n", i, 70_114_455+i)
	}
	return b.String()
}

// TestOneUIDInBothVersions: an event of a person has one uid, whether V2 returns it, or V3 under the
// names of its one documented sample, which has neither title nor employer's id.
func TestOneUIDInBothVersions(t *testing.T) {
	t.Parallel()
	uids := func(api string, switches ...string) map[string]int {
		r := newRig(t, fixedDayConfig(t, switches...))
		r.run(listOfPeople(proof.Size(560, 560, 2000)), "--signals", "contact", "--max-results", "100", "--since", "180d", "--api", api)
		if r.code != exitComplete {
			t.Fatalf("%s: exit %d: %s", api, r.code, r.stderr)
		}
		found := map[string]int{}
		for _, row := range r.table(schema.EventTable(schema.CategoryContact)) {
			found[row["event_uid"].(string)]++
		}
		return found
	}
	two := uids("v2")
	if len(two) < 170 {
		t.Errorf("%d events compared, want more: the test shows nothing", len(two))
	}
	for _, form := range []string{"sample", "union", "v2"}[:proof.Size(1, 3, 3)] {
		if diff := cmp.Diff(two, uids("v3", "v3-events="+form)); diff != "" {
			t.Errorf("uids in V2 and in V3 with the names of %q (-V2 +V3):\n%s", form, diff)
		}
	}
}

// globbedEvents are the rows that a reader sees who globs the event tables of a lake.
func globbedEvents(t *testing.T, lake string) (rows []map[string]any) {
	t.Helper()
	for _, table := range schema.EventTables {
		files, err := filepath.Glob(filepath.Join(lake, "data", table.Name, "*", "*.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			rows = append(rows, readParquet(t, f)...)
		}
	}
	return rows
}

// knownAt gives the newest content of each event that was known at a moment.
func knownAt(rows []map[string]any, moment time.Time) map[string]string {
	newest, known := map[string]int64{}, map[string]string{}
	for _, row := range rows {
		uid, revision := row["event_uid"].(string), row["revision"].(int64)
		if row["fetched_at"].(time.Time).Before(moment) && revision > newest[uid] {
			newest[uid], known[uid] = revision, row["content_digest"].(string)
		}
	}
	return known
}

// visibleFiles are the files of rows of a lake; their names hold the digests of the rows.
func visibleFiles(t *testing.T, lake string) (names []string) {
	t.Helper()
	for name := range tree(t, lake) {
		if strings.HasPrefix(name, "data/") || strings.HasPrefix(name, "ledger/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestNightsKeepOneCopy buys a window of 90 days every night, with another list every other night. A
// reader who globs sees each content of each event once. The bill explains what was paid for and not
// written. What was known at a moment stays the same, and a rebuild writes the same files.
func TestNightsKeepOneCopy(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 2, 0, 0, 0, time.UTC)
	setNow(t, func() time.Time { return now })
	r := newRig(t, simulator.Config{Now: envFor(t).Now})
	var credits, written, known int64
	var moment time.Time
	var then map[string]string
	nights := proof.Size(4, 7, 7)
	for night := range nights {
		list := "key,domain\n"
		for i := range proof.Size(12, 200, 797) {
			list += fmt.Sprintf("%c%03d,company-%04d.example\n", 'a'+rune(night%2), i, i+night%2)
		}
		v := r.rerun(list, "--signals", "news,growth", "--since", "90d")
		m := r.manifest
		if v.code != exitComplete || m.Credits.Charged != v.credits {
			t.Fatalf("night %d: exit %d with %d credits, billed %d: %s", night, v.code, m.Credits.Charged, v.credits, v.stderr)
		}
		if e := m.Events; e.New+e.Changed != e.Written || e.Written+e.Known+e.Duplicate != e.Returned || night > 0 && e.Known == 0 {
			t.Errorf("night %d: the events are %+v, which do not add up", night, e)
		}
		if text := fmt.Sprintf("%d new, 0 changed, %d already in the lake", m.Events.New, m.Events.Known); night > 0 && !strings.Contains(v.stdout, text) {
			t.Errorf("night %d: the summary does not say %q:\n%s", night, text, v.stdout)
		}
		var news, olds int64
		for _, a := range r.table(schema.Accounts) {
			news, olds = news+a["new_events"].(int64), olds+a["known_events"].(int64)
		}
		if news != m.Events.Written || olds != m.Events.Known+m.Events.Duplicate {
			t.Errorf("night %d: the accounts have %d new and %d known events, want %+v", night, news, olds, m.Events)
		}
		if r.sumColumn(schema.Credits, "events") != m.Events.Returned || r.sumColumn(schema.Credits, "credits") != v.credits {
			t.Errorf("night %d: the credits table does not explain the bill", night)
		}
		credits, written, known = credits+v.credits, written+m.Events.Written, known+m.Events.Known
		now = now.AddDate(0, 0, 1)
		if night == 1 {
			for _, row := range globbedEvents(t, r.lake) {
				if at := row["fetched_at"].(time.Time); !at.Before(moment) {
					moment = at.Add(time.Microsecond)
				}
			}
			then = knownAt(globbedEvents(t, r.lake), moment)
		}
	}
	rows, twice := globbedEvents(t, r.lake), map[string]int{}
	for _, row := range rows {
		twice[fmt.Sprint(row["event_uid"], row["content_digest"])]++
	}
	if int64(len(rows)) != written || len(twice) != len(rows) || known < written {
		t.Errorf("%d rows of %d contents, %d written and %d known; want each once", len(rows), len(twice), written, known)
	}
	t.Logf("%d nights: %d credits, %d distinct events, %d rows that a reader would see twice", nights, credits, len(twice), len(rows)-len(twice))
	if diff := cmp.Diff(then, knownAt(rows, moment)); diff != "" || len(then) == 0 {
		t.Errorf("what was known on %s has changed (-then +now):\n%s", moment, diff)
	}
	if e, status := r.manifest.Events, r.mustExit(exitComplete, "status", "--json"); !strings.Contains(status, fmt.Sprintf(`"known_events": %d`, e.Known)) {
		t.Errorf("status does not say that the lake had %d of the last night's events:\n%s", e.Known, status)
	}
	r.mustExit(exitComplete, "verify")
	r.mustExit(exitComplete, "compact", "--min-files", "2")
	r.mustExit(exitComplete, "verify")
	rebuilt := filepath.Join(t.TempDir(), "rebuilt")
	r.mustExit(exitComplete, "rebuild", "--into", rebuilt)
	if diff := cmp.Diff(visibleFiles(t, r.lake), visibleFiles(t, rebuilt)); diff != "" {
		t.Errorf("files after a rebuild (-lake +rebuilt):\n%s", diff)
	}
}

// TestRevisionsAcrossVersions buys the same events in V2, in V3 with the few fields of its sample, and
// in V3 with those of both: the sample has another content, the last one the first again.
func TestRevisionsAcrossVersions(t *testing.T) {
	t.Parallel()
	var first *rig
	for i, c := range []struct{ api, form string }{{"v2", "v2"}, {"v3", "sample"}, {"v3", "union"}} {
		r := newRig(t, fixedDayConfig(t, "v3-events="+c.form))
		if first == nil {
			first = r
		}
		r.lake = first.lake
		metrics := filepath.Join(t.TempDir(), "siglake.prom")
		v := r.rerun(listOfPeople(100), "--signals", "contact", "--since", "180d", "--api", c.api, "--refresh", "--log-format", "json", "--metrics-file", metrics)
		if v.code != exitComplete {
			t.Fatalf("%v: exit %d: %s", c, v.code, v.stderr)
		}
		n := r.manifest.Events.Returned
		want := []pipeline.EventTotals{{Written: n, New: n}, {Written: n, Changed: n}, {Known: n}}[i]
		got := r.manifest.Events
		if got.Written != want.Written || got.New != want.New || got.Changed != want.Changed || got.Known != want.Known || n < 10 {
			t.Errorf("%v: events are %+v, want %+v", c, got, want)
		}
		r.checkEventParts(v, metrics)
	}
	revisions := map[int64]int{}
	for _, row := range globbedEvents(t, first.lake) {
		revisions[row["revision"].(int64)]++
		if row["revision"] == int64(1) && row["first_seen_at"] != row["fetched_at"] {
			t.Errorf("the first revision was received at %v, first seen at %v", row["fetched_at"], row["first_seen_at"])
		}
	}
	if len(revisions) != 2 || revisions[1] != revisions[2] {
		t.Errorf("rows by revision: %v, want as many of 1 as of 2", slices.Sorted(maps.Keys(revisions)))
	}
	first.mustExit(exitComplete, "verify")
}

// checkEventParts makes sure that summary, log, metrics, status and history split the events of the last
// run into new, changed and known ones as the manifest does.
func (r *rig) checkEventParts(v runResult, metrics string) {
	r.t.Helper()
	e := r.manifest.Events
	summary := fmt.Sprintf("%d new, %d changed, %d already in the lake", e.New, e.Changed, e.Known)
	if e.New == e.Returned {
		summary = "all new"
	}
	raw, err := os.ReadFile(metrics)
	if err != nil {
		r.t.Fatal(err)
	}
	for part, n := range map[string]int64{"new": e.New, "changed": e.Changed, "known": e.Known} {
		logged, sample := fmt.Sprintf(`"%s_events":%d,`, part, n), regexp.MustCompile(fmt.Sprintf(`siglake_last_events\{.*state="%s"\} %d\n`, part, n))
		if !strings.Contains(v.stderr, logged) || !sample.Match(raw) {
			r.t.Errorf("%s: want %s in the log and %s in the metrics:\n%s\n%s", part, logged, sample, v.stderr, raw)
		}
	}
	if !strings.Contains(v.stdout, summary) {
		r.t.Errorf("the summary does not say %q:\n%s", summary, v.stdout)
	}
	var history app.History
	r.decode([]byte(r.mustExit(exitComplete, "runs", "--json")), &history)
	s := history.Runs[len(history.Runs)-1]
	if s.New == nil || *s.New != e.New || *s.Changed != e.Changed || *s.Known != e.Known || *s.Events != e.Written {
		r.t.Errorf("runs --json: %+v, want %+v", s, e)
	}
	if line := strings.Fields(r.mustExit(exitComplete, "runs", "--last", "1")); !strings.Contains(strings.Join(line, " "), fmt.Sprintf(" %d %d %d %d 0 run ", s.Credits, e.New, e.Changed, e.Known)) {
		r.t.Errorf("runs: %q, want the parts of %+v", line, e)
	}
	if g := r.lastGeneration(); g.New != e.New || g.Changed != e.Changed || g.Known != e.Known {
		r.t.Errorf("status: generation %+v, want %+v", g, e)
	}
}

// lastGeneration is the newest one that status --json shows.
func (r *rig) lastGeneration() app.GenerationStatus {
	r.t.Helper()
	var s app.LakeStatus
	r.decode([]byte(r.mustExit(exitComplete, "status", "--json")), &s)
	return s.Generations[0]
}

// TestEarlierFileIsMissing: a night does without a file of an earlier one. What that may hold is
// written again, the run says so with its exit code, and a rebuild has each event once.
func TestEarlierFileIsMissing(t *testing.T) {
	t.Parallel()
	r := newRig(t, fixedDayConfig(t))
	list := "key,domain\na,company-0001.example\nb,company-0002.example\n"
	if v := r.rerun(list, "--signals", "news", "--since", "90d"); v.code != exitComplete {
		t.Fatalf("exit %d: %s", v.code, v.stderr)
	}
	before := r.manifest.Events.Written
	lost := filepath.Join(r.lake, slices.MinFunc(r.manifest.Files, func(a, b pipeline.File) int { return strings.Compare(a.Path, b.Path) }).Path)
	content, err := os.ReadFile(lost)
	if err == nil {
		err = os.Remove(lost)
	}
	if err != nil {
		t.Fatal(err)
	}
	v := r.rerun(list, "--signals", "news", "--since", "90d", "--refresh")
	if v.code != exitIntegrity || !strings.Contains(v.stderr, filepath.Base(lost)) || r.manifest.Events.Written == 0 || len(r.manifest.Unread) != 1 {
		t.Errorf("exit %d with %+v, not compared %q: %s; want exit %d and the lost rows written", v.code, r.manifest.Events, r.manifest.Unread, v.stderr, exitIntegrity)
	}
	if err := os.WriteFile(lost, content, 0o600); err != nil {
		t.Fatal(err)
	}
	r.mustExit(exitComplete, "verify") // the manifest says with what the run was not compared
	rebuilt := filepath.Join(t.TempDir(), "rebuilt")
	r.mustExit(exitComplete, "rebuild", "--into", rebuilt)
	if rows := globbedEvents(t, rebuilt); int64(len(rows)) != before {
		t.Errorf("%d rows after a rebuild, want %d", len(rows), before)
	}
}
