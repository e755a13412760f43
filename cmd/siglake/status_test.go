package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		cmpopts.IgnoreFields(app.RunStatus{}, "Started", "Finished", "Seconds", "Since", "Until", "Lines", "Events", "New", "Changed", "Known", "RateLimited", "Exit", "Stop"), // see TestRunHistory
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

// TestStatusOfJobs: the last good run is that of each job about each list, so a job that ends early
// every night is not hidden by another one about the same list. Runs by hand count until a job takes over.
func TestStatusOfJobs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 2, 0, 0, 0, time.UTC)
	setNow(t, func() time.Time { return now })
	r, config := jobRig(t, simulator.Config{Now: func() time.Time { return now }, Switches: simulator.Switches{Events: "most"}}, nightlyFile+`  growth:
    list: a.csv
    signals: news
    since: 90d
    max-credits: 1
`, map[string]string{"a.csv": domainLines(4), "b.csv": domainLines(5)})
	list := filepath.Join(filepath.Dir(config), "a.csv")
	status := func(code int, flags ...string) (s app.LakeStatus, stderr string) {
		t.Helper()
		r.job(append([]string{"status", "--lake", r.lake, "--json"}, flags...)...)
		if r.code != code {
			t.Fatalf("status %v: exit %d, want %d: %s", flags, r.code, code, r.stderr)
		}
		if code == exitComplete || code == exitStale {
			r.decode([]byte(r.stdout), &s)
		}
		return s, r.stderr
	}
	r.run("domain\nsome.example\n", baseFlags...)
	r.job(append([]string{"run", list, "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0"}, baseFlags...)...)
	for range 2 {
		now = now.AddDate(0, 0, 1)
		r.job("job", "nightly", "--config", config, "--quiet")
		if r.code != exitComplete {
			t.Fatalf("nightly: exit %d: %s", r.code, r.stderr)
		}
		r.job("job", "growth", "--config", config, "--quiet")
		if r.code != exitDeferred {
			t.Fatalf("growth: exit %d, want %d: %s", r.code, exitDeferred, r.stderr)
		}
	}
	s, stderr := status(exitStale, "--max-age", "26h")
	var got []string
	for _, l := range s.Lists {
		got = append(got, fmt.Sprintf("%s %s %d stale=%t", l.Job, filepath.Base(l.List), l.Runs, l.Stale))
	}
	if diff := cmp.Diff([]string{" - 1 stale=true", " a.csv 1 stale=false", "nightly a.csv 2 stale=false", "nightly b.csv 2 stale=false", "growth a.csv 2 stale=true"}, got); diff != "" || !s.Stale {
		t.Errorf("lists (-want +got), stale %t:\n%s", s.Stale, diff)
	}
	if last := s.Runs[len(s.Runs)-1]; last.Job != "growth" || s.Runs[0].Job != "" {
		t.Errorf("jobs of the runs: %q to %q, want none to growth", s.Runs[0].Job, last.Job)
	}
	for text, want := range map[string]bool{"no run of job growth about " + list: true, "job nightly": false, "the last good run of siglake run about -": true, "siglake runs": true} {
		if strings.Contains(stderr, text) != want {
			t.Errorf("%q in %q: %t, want %t", text, stderr, !want, want)
		}
	}
	if s, _ := status(exitComplete, "--max-age", "26h", "--job", "nightly"); len(s.Runs) != 4 || len(s.Lists) != 2 {
		t.Errorf("--job nightly: %d runs about %d lists, want 4 about 2", len(s.Runs), len(s.Lists))
	}
	if s, _ := status(exitStale, "--max-age", "26h", "--job", "growth", "--list", list); len(s.Runs) != 2 {
		t.Errorf("--job growth: %d runs, want 2", len(s.Runs))
	}
	if _, stderr := status(exitUsage, "--job", "nightl"); !strings.Contains(stderr, "growth, nightly") {
		t.Errorf("an unknown job: %s", stderr)
	}
	status(exitUsage, "--job", "growth", "--list", "-") // of another command
	for _, words := range [][]string{{"--list", "copy.csv"}, {"--job", "nightl"}, {"--job", "growth", "--list", "-"}} {
		s, stderr := status(exitStale, append(words, "--max-age", "26h")...)
		if len(s.Runs) != 0 || !s.Stale || !strings.Contains(stderr, "about") && !strings.Contains(stderr, "growth, nightly") {
			t.Errorf("%q with --max-age: %d runs, stale %t, %q; want none, true, and why", words, len(s.Runs), s.Stale, stderr)
		}
	}
	r.job("runs", "--lake", r.lake, "--job", "growth")
	if strings.Count(r.stdout, "job growth") != 2 || strings.Contains(r.stdout, "nightly") {
		t.Errorf("runs --job growth: %s", r.stdout)
	}

	now = now.AddDate(0, 0, 2) // no job has begun since
	if _, stderr := status(exitStale, "--max-age", "26h", "--job", "nightly"); !strings.Contains(stderr, "the last good run of job nightly about "+list+" ended 2d0h ago") {
		t.Errorf("two days later: %s", stderr)
	}
	if billed := r.sim.Bill().Credits; s.Credits != billed {
		t.Errorf("%d credits in status, %d by the simulator", s.Credits, billed)
	}
}
