package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
)

// statusJSON is what status --json says of the rig's lake.
func (r *rig) statusJSON() (l app.LakeStatus) {
	r.t.Helper()
	r.decode([]byte(r.mustExit(exitComplete, "status", "--json")), &l)
	for i, g := range l.Generations {
		if want := int64(len(l.Generations) - i); g.Generation != want || g.Kind != "run" || g.Files == 0 || g.Rows == 0 {
			r.t.Errorf("status --json: generation %+v, want the files of run %d", g, want)
		}
	}
	if len(l.Generations) != len(l.Runs) {
		r.t.Errorf("status --json: %d generations of %d runs", len(l.Generations), len(l.Runs))
	}
	l.Generations = nil // they were looked at
	return l
}

// TestStatus: what is open is what the newest run left, and what can be done
// about it is named.
func TestStatus(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Switches: simulator.Switches{Events: "most"}, Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	list, flags := domainLines(300), append([]string{"--concurrency", "1", "--batch-size", "50"}, baseFlags...)
	resume, held := "siglake resume --lake "+r.lake, "siglake held list --lake "+r.lake

	r.run(list, append([]string{"--max-credits", "700"}, flags...)...)
	first, ceiling := r.manifest, r.manifest.Credits.InDoubtCeiling
	left := first.Accounts.ByStatus["deferred"]
	if left == 0 || ceiling == 0 {
		t.Fatalf("%d lines left, %d credits in doubt: the test shows nothing", left, ceiling)
	}
	lost := app.Liability{InDoubt: app.Share{Calls: 1, MaxCost: ceiling}}
	ignore := cmp.Options{
		cmpopts.IgnoreFields(app.Liability{}, "Decided"), cmpopts.IgnoreFields(app.LakeStatus{}, "Lists"),
		cmpopts.IgnoreFields(app.RunStatus{}, "Started", "Finished", "Seconds", "Since", "Until", "Lines", "Events", "RateLimited", "Exit", "Stop"), // see TestRunHistory
	}
	line := app.RunStatus{
		Run: first.Run.ID, State: "held", Generation: 1, Calls: int(first.Calls.Total), Credits: first.Credits.Charged, Liability: lost,
		Deferred: left, Open: left, InDoubt: 50, List: "-", Service: "run",
	}
	want := app.LakeStatus{
		Lake: r.lake, Runs: []app.RunStatus{line}, Credits: line.Credits, MaxCost: line.Credits + ceiling, Liability: lost, OpenLines: left, Next: []string{resume, held},
	}
	if diff := cmp.Diff(want, r.statusJSON(), ignore); diff != "" {
		t.Errorf("status --json after the first run (-want +got):\n%s", diff)
	}

	r.rerun(list, append([]string{"--max-credits", "unlimited"}, flags...)...)
	second := r.manifest
	line.Open = 0
	want.Runs = []app.RunStatus{line, {
		Run: second.Run.ID, State: "held", Generation: 2, Calls: int(second.Calls.Total), Credits: second.Credits.Charged, InDoubt: 50, List: "-", Service: "run",
	}}
	want.Credits += second.Credits.Charged
	want.MaxCost += second.Credits.Charged
	want.OpenLines, want.Next = 0, []string{held}
	if diff := cmp.Diff(want, r.statusJSON(), ignore); diff != "" {
		t.Errorf("status --json after the second run (-want +got):\n%s", diff)
	}
	if text := r.mustExit(exitComplete, "status"); !strings.Contains(text, "2 runs, ") || !strings.Contains(text, "1 call in doubt") || !strings.Contains(text, "Next: "+held) || strings.Contains(text, "not requested yet") {
		t.Errorf("status:\n%s", text)
	}

	var done app.DecisionReport
	r.decode([]byte(r.mustExit(exitComplete, "held", "retry", "--json")), &done)
	name := first.Run.ID + "/" + first.InDoubt[0].Call
	if diff := cmp.Diff(app.DecisionReport{Decision: "released", Calls: []string{name}, MaxCost: ceiling}, done); diff != "" {
		t.Errorf("held retry --json (-want +got):\n%s", diff)
	}
	want.Liability = app.Liability{Retry: app.Share{Calls: 1, MaxCost: ceiling}}
	want.Runs[0].State, want.Runs[1].State = "held, decided", "held, decided"
	want.Runs[0].Liability, want.Reopened, want.Next = want.Liability, true, []string{resume}
	if diff := cmp.Diff(want, r.statusJSON(), ignore); diff != "" {
		t.Errorf("status --json after held retry (-want +got):\n%s", diff)
	}
	var none app.DecisionReport
	if raw := r.mustExit(exitComplete, "held", "accept-loss", "--json"); json.Unmarshal([]byte(raw), &none) != nil || none.Calls == nil || len(none.Calls) != 0 {
		t.Errorf("held accept-loss --json with nothing in doubt: %s", raw)
	}
}
