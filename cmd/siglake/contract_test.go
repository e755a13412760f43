package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// driftFlags make six calls of fifteen companies, one after the other.
var driftFlags = []string{"--signals", "news,growth,risk", "--since", "90d", "--batch-size", "15", "--concurrency", "1"}

const driftLines, driftBatch, driftFrom = 90, 15, 3

// newDriftRig has a simulator whose answers change from a call on; 0: never. The day is always the same: so are
// the events.
func newDriftRig(t *testing.T, from int) *rig {
	t.Helper()
	cfg := fixedDayConfig(t)
	if from > 0 {
		cfg.Faults = []simulator.Fault{{Kind: "drift", At: from}}
	}
	return newRig(t, cfg)
}

// signalIDs are the events of a run that the catalogue knows, each by what identifies it in answers.
func signalIDs(r *rig) (ids []string) {
	for _, row := range r.events() {
		if row["signal_id"] != nil && row["signal_type"] != "patentFiling" {
			ids = append(ids, fmt.Sprint(row["signal_type"], " ", row["entity_id"], " ", row["signal_id"]))
		}
	}
	slices.Sort(ids)
	return ids
}

// learnColumn adds a column to a table for the rest of the test, as a later version of siglake does.
func learnColumn(t *testing.T, table string, c schema.Column) {
	t.Helper()
	for _, list := range [][]schema.Table{schema.EventTables, schema.RowTables, schema.Tables} {
		for i := range list {
			if list[i].Name == table {
				before := list[i].Columns
				list[i].Columns = append(slices.Clip(before), c)
				t.Cleanup(func() { list[i].Columns = before })
			}
		}
	}
}

// TestDriftMidRun: from the third call on the answers have another form. No event is lost, the bill is
// the simulator's, and the report names the first call. A version that knows the new field fills its
// column in old rows, without a request.
func TestDriftMidRun(t *testing.T) { // changes the tables of the process
	calm, r := newDriftRig(t, 0), newDriftRig(t, driftFrom)
	calm.run(domainLines(driftLines), driftFlags...)
	r.run(domainLines(driftLines), driftFlags...)
	if r.code != exitComplete || calm.manifest.Drift != nil {
		t.Fatalf("exit %d: %s; without drift: %+v", r.code, r.stderr, calm.manifest.Drift)
	}
	if got, want := signalIDs(r), signalIDs(calm); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("%d events, want %d", len(got), len(want))
	}
	if got, want := r.sim.Bill().Credits, calm.sim.Bill().Credits; got != want || r.manifest.Credits.Charged != want {
		t.Errorf("billed %d, stated %d, want %d", got, r.manifest.Credits.Charged, want)
	}
	rows := map[string]map[string]any{}
	for _, row := range r.table(schema.Drift) {
		key := fmt.Sprint(row["kind"], " ", row["signal_type"], " ", row["path"])
		rows[key] = row
		if row["first_call_id"] == "000001-1" || row["first_call_id"] == "000002-1" {
			t.Errorf("%s: first in call %s", key, row["first_call_id"])
		}
	}
	for key, found := range map[string]any{
		"new_type patentFiling <nil>": nil, "new_field surgeInHiring sentimentScore": "number", "changed_type surgeInHiring changeRatePercent": "object",
		"new_field <nil> answer.apiRelease": "text", "missing_field websiteTrafficIncrease historicalAvg": nil, "new_value financialEventsNews eventType": "Layoff Round",
	} {
		if row := rows[key]; row == nil || row["found"] != found || row["first_call_id"] != "000003-1" && key[:9] != "new_value" || row["events"].(int64) < 1 || row["first_received_at"] == nil {
			t.Errorf("%s: %v", key, row)
		}
	}
	if d := r.manifest.Drift; d.Contract != pipeline.Evolve || d.Differences != len(rows) || d.Found[0].FirstCall != "000003-1" {
		t.Errorf("the manifest has %+v, the table %d rows", d, len(rows))
	}
	for text, in := range map[string]string{"first in call 000003-1": r.stdout, "signal type patentFiling is new": r.stdout, "differences=": r.stderr,
		"answers to run " + r.manifest.Run.ID: r.mustExit(exitComplete, "status")} {
		if !strings.Contains(in, text) {
			t.Errorf("%q is not in:\n%s", text, in)
		}
	}
	r.mustExit(exitComplete, "verify")

	learnColumn(t, "growth", schema.Column{Name: "sentiment_score", Type: schema.Double, Doc: "Sentiment", From: []string{"sentimentScore"}})
	requests, rebuilt := r.sim.Bill().Requests, &rig{t: t, lake: filepath.Join(t.TempDir(), "rebuilt")}
	r.mustExit(exitComplete, "rebuild", "--into", rebuilt.lake)
	rebuilt.manifest = rebuilt.readManifest()
	for _, row := range rebuilt.table(schema.EventTable(schema.CategoryGrowth)) {
		want := any(nil)
		if row["call_id"].(string) >= "000003" {
			want = 0.25
		}
		if row["sentiment_score"] != want {
			t.Errorf("call %s: sentiment %v, want %v", row["call_id"], row["sentiment_score"], want)
		}
	}
	for _, row := range rebuilt.table(schema.Drift) {
		if row["dataset"] == "growth" && row["path"] == "sentimentScore" {
			t.Errorf("still reported: %v", row)
		}
	}
	if got, want := signalIDs(rebuilt), signalIDs(calm); !slices.Equal(got, want) || r.sim.Bill().Requests != requests {
		t.Errorf("rebuilt %d events with %d requests, want %d without", len(got), r.sim.Bill().Requests-requests, len(want))
	}
}

// TestFreeze: under a frozen contract nothing is requested after the first answer that differs, by this
// run and the next; what was bought is published whole. The contract lifted, the rest is bought, and
// nothing twice.
func TestFreeze(t *testing.T) {
	t.Parallel()
	r, list := newDriftRig(t, driftFrom), domainLines(driftLines)
	r.run(list, append([]string{"--contract", "freeze"}, driftFlags...)...)
	if m := r.manifest; r.code != exitDrift || r.sim.Bill().Billed != driftFrom || m.Accounts.ByStatus[schema.Deferred] != driftLines-driftBatch*driftFrom ||
		m.Run.Stop == nil || m.Run.Stop.Kind != pipeline.StopDrift || m.Drift.Contract != pipeline.Freeze {
		t.Fatalf("exit %d, %d calls, %+v: %s", r.code, r.sim.Bill().Billed, m.Run, r.stderr)
	}
	if !strings.Contains(r.stdout, "000003-1") || len(r.table(schema.Drift)) == 0 {
		t.Errorf("the summary does not name the call: %s", r.stdout)
	}
	r.mustExit(exitComplete, "verify")
	for _, command := range []string{"run", "resume"} {
		flags := []string{"--contract", "freeze"}
		if command == "run" {
			flags = append(flags, driftFlags...)
		}
		if v := r.exec(t.Context(), []string{command, "-"}, list, flags...); v.code != exitDrift || v.calls != 0 || v.credits != 0 || !strings.Contains(v.stderr, "--contract evolve") {
			t.Errorf("%s again: exit %d, %d calls, %d credits: %s", command, v.code, v.calls, v.credits, v.stderr)
		}
	}
	if v := r.rerun(list, driftFlags...); v.code != exitComplete || v.calls != driftLines/driftBatch-driftFrom {
		t.Errorf("evolve: exit %d, %d calls: %s", v.code, v.calls, v.stderr)
	}
	calm := newDriftRig(t, 0)
	calm.run(list, driftFlags...)
	if got, want := r.sim.Bill().Credits, calm.sim.Bill().Credits; got != want {
		t.Errorf("billed %d in all, want %d", got, want)
	}
	var events []string
	for _, m := range r.generations() {
		events = append(events, signalIDs(&rig{t: t, lake: r.lake, manifest: m})...)
	}
	if slices.Sort(events); !slices.Equal(events, signalIDs(calm)) {
		t.Errorf("%d events in all, want %d", len(events), len(signalIDs(calm)))
	}
	r.mustExit(exitComplete, "verify")
}

// TestFreezeResume: resume continues a run that a frozen contract has stopped only if it is said how.
func TestFreezeResume(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drift", At: 1}}})
	r.run(domainLines(driftLines), append([]string{"--contract", "freeze"}, driftFlags...)...)
	billed := r.sim.Bill().Billed
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte(domainLines(driftLines)), 0o600); err != nil {
		t.Fatal(err)
	}
	resume := []string{"resume", list, "--base-url", r.server.URL, "--lake", r.lake, "--plan", "unlimited", "--rate", "0"}
	code, _, stderr := runProgram(t, resume...)
	if code != exitUsage || !strings.Contains(stderr, "--contract evolve") || r.sim.Bill().Billed != billed {
		t.Errorf("resume without a contract: exit %d, %d calls: %s", code, r.sim.Bill().Billed-billed, stderr)
	}
	if code, _, stderr = runProgram(t, append(resume, "--contract", "evolve")...); code != exitComplete || r.sim.Bill().Billed == billed {
		t.Errorf("resume that goes on: exit %d, %d calls: %s", code, r.sim.Bill().Billed-billed, stderr)
	}
}

// TestFreezeConcurrent: calls that are on the wire when the first answer differs are awaited, and no
// other one starts, although answers are recorded in the order of the list.
func TestFreezeConcurrent(t *testing.T) {
	t.Parallel()
	const concurrency = 4
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "slow", At: 1}, {Kind: "drift", At: 2}}})
	r.run(domainLines(400), "--contract", "freeze", "--signals", "growth", "--batch-size", "10", "--concurrency", fmt.Sprint(concurrency))
	if n := r.sim.Bill().Billed; r.code != exitDrift || n > concurrency+1 {
		t.Errorf("exit %d after %d calls, want at most %d", r.code, n, concurrency+1)
	}
}

// TestFreezeInDoubt: a policy that requests again at once what is in doubt does not do so after drift.
func TestFreezeInDoubt(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 1}, {Kind: "drift", At: 2}}})
	r.run(domainLines(driftLines), append([]string{"--contract", "freeze", "--in-doubt", "retry", "--in-doubt-budget", "unlimited"}, driftFlags...)...)
	if n := r.sim.Bill().Billed; r.code != exitDrift || n != 2 {
		t.Errorf("exit %d after %d calls, want 2: %s", r.code, n, r.stderr)
	}
}

// TestFreezeJob: the contract is a setting of a job, and its notification says what differs.
func TestFreezeJob(t *testing.T) {
	t.Parallel()
	told := newHook(t)
	r, config := jobRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drift", At: 1}}}, `version: 1
jobs:
  nightly: {lake: lake, base-url: URL, plan: unlimited, rate: 0, list: a.csv, signals: [growth], max-credits: 5000, contract: freeze, batch-size: 10, concurrency: 1,
    notify: [{url: "`+told.URL+`", format: json, on: [failure]}]}
`, map[string]string{"a.csv": domainLines(50)})
	r.job("job", "nightly", "--config", config)
	if r.code != exitDrift || r.sim.Bill().Billed != 1 {
		t.Errorf("exit %d after %d calls: %s", r.code, r.sim.Bill().Billed, r.stderr)
	}
	if posts := told.take(); len(posts) != 1 || !strings.Contains(posts[0].body, `"exit_code":23`) || !strings.Contains(posts[0].body, `"drift_first":"`) {
		t.Errorf("notifications %+v", posts)
	}
}

// TestFreezeLastCall: a run whose last answer differs has requested everything: the next one has nothing
// to do.
func TestFreezeLastCall(t *testing.T) {
	t.Parallel()
	r, list := newDriftRig(t, 1), domainLines(driftBatch)
	r.run(list, append([]string{"--contract", "freeze"}, driftFlags...)...)
	if r.code != exitDrift || r.manifest.Run.Outcome != pipeline.RunComplete {
		t.Errorf("exit %d, %+v", r.code, r.manifest.Run)
	}
	if v := r.rerun(list, driftFlags...); v.code != exitComplete || v.calls != 0 || !strings.Contains(v.stdout, "Nothing to do") {
		t.Errorf("again: exit %d, %d calls: %s", v.code, v.calls, v.stdout)
	}
}

// TestFreezeResumed: a process under a frozen contract dies after an answer that differs. The next one
// publishes what was bought and requests nothing.
func TestFreezeResumed(t *testing.T) {
	t.Parallel()
	r, list := newDriftRig(t, driftFrom), domainLines(driftLines)
	crashAt(t, func(_, path string) bool { return r.billedCalls() == driftFrom && strings.Contains(path, "accounts") })
	if v := r.rerun(list, append([]string{"--contract", "freeze"}, driftFlags...)...); v.code == exitDrift || v.calls != driftFrom {
		t.Fatalf("exit %d after %d calls", v.code, v.calls)
	}
	clearHook(t)
	if v := r.rerun(list, append([]string{"--contract", "freeze"}, driftFlags...)...); v.code != exitDrift || v.calls != 0 || r.manifest == nil {
		t.Fatalf("resumed: exit %d after %d calls: %s", v.code, v.calls, v.stderr)
	}
	r.check()
}

// TestNoDriftOfReadings: no reading of an open question about the API is drift.
func TestNoDriftOfReadings(t *testing.T) {
	t.Parallel()
	const readings = 3
	for _, api := range []string{"v2", "v3"} {
		for n := 1; n <= readings; n++ { // of each question the n-th that is not the default
			t.Run(fmt.Sprintf("%s %d", api, n), func(t *testing.T) {
				t.Parallel()
				var settings []string
				for _, docs := range simulator.SwitchDocs() {
					if !slices.Contains([]string{"v2", "all-signals", "events", "chaos"}, docs.Name) { // they are about what is answered, not how
						settings = append(settings, docs.Name+"="+docs.Values[min(n, len(docs.Values)-1)])
					}
				}
				s, err := simulator.ParseSwitches(settings)
				if err != nil {
					t.Fatal(err)
				}
				r := newRig(t, simulator.Config{Switches: s})
				r.run(domainLines(4)+"company-0001.example,person-0001@company-0001.example\n", "--signals", "all", "--api", api, "--max-results", "3")
				if r.manifest == nil || r.manifest.Events.Returned == 0 || r.manifest.Drift != nil {
					t.Errorf("%q: exit %d: %+v: %s", settings, r.code, r.manifest, r.stderr)
				}
			})
		}
	}
}
