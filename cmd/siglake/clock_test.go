package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestClockSkew: a clock that is wrong by more than an hour stops a run before its first paid call.
// Allowed, the run has the window of the API's day; a smaller difference does not matter.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	now := day
	setNow(t, func() time.Time { return now })
	r := newRig(t, simulator.Config{Now: func() time.Time { return day }})
	for _, wrong := range []time.Time{time.Unix(0, 0).UTC(), day.Add(-2 * time.Hour), day.Add(2 * time.Hour), day.AddDate(50, 0, 0)} {
		now = wrong
		if v := r.rerun(domainLines(20), baseFlags...); v.code != exitUsage || v.calls != 0 || !strings.Contains(v.stderr, "--clock-skew-ok") {
			t.Errorf("at %s: exit %d after %d calls, want %d and none: %s", wrong, v.code, v.calls, exitUsage, v.stderr)
		}
	}
	now = time.Unix(0, 0).UTC()
	v := r.rerun(domainLines(20), append([]string{"--clock-skew-ok"}, baseFlags...)...)
	if q := r.manifest.Queries[0]; v.code != exitComplete || q.Until != "2026-05-06" || q.Since != "2026-02-05" {
		t.Errorf("allowed: exit %d, %s to %s, want %d and 90 days to the API's: %s", v.code, q.Since, q.Until, exitComplete, v.stderr)
	}
	now = day.Add(50 * time.Minute)
	if v := r.rerun(domainLines(20), baseFlags...); v.code != exitComplete || v.calls != 0 {
		t.Errorf("50 minutes ahead: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitComplete, v.stderr)
	}
}

// TestClockSkewOfResumedRun: a resumed run compares the clocks, too, before it buys, although its
// queries are those of the run that began.
func TestClockSkewOfResumedRun(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	now := day
	setNow(t, func() time.Time { return now })
	r := newRig(t, simulator.Config{Now: func() time.Time { return day }})
	list, flags := domainLines(300), append([]string{"--concurrency", "1"}, baseFlags...)
	crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 1 })
	r.rerun(list, flags...)
	clearHook(t)
	for _, words := range [][]string{{"run", "-"}, {"resume", "-"}} {
		options := flags
		if words[0] == "resume" {
			options = nil
		}
		now = day.Add(-26 * time.Hour)
		if v := r.exec(t.Context(), words, list, options...); v.code != exitUsage || v.calls != 0 || !strings.Contains(v.stderr, "--clock-skew-ok") {
			t.Errorf("%s: exit %d after %d calls, want %d and none: %s", words, v.code, v.calls, exitUsage, v.stderr)
		}
	}
	now = day
	if v := r.rerun(list, flags...); v.code != exitComplete || v.calls == 0 {
		t.Errorf("the right time: exit %d after %d calls, want %d and some: %s", v.code, v.calls, exitComplete, v.stderr)
	}
}

// TestClockOfRefusal: an account without the usage endpoint has a clock to compare with, too: its
// refusal bears a date.
func TestClockOfRefusal(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	setNow(t, func() time.Time { return day.Add(3 * time.Hour) })
	r := newRig(t, simulator.Config{Now: func() time.Time { return day }})
	r.useProxy(func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method != http.MethodGet {
			return false
		}
		w.Header().Set("Date", day.Format(http.TimeFormat))
		http.Error(w, `{"message":"not found"}`, http.StatusNotFound)
		return true
	})
	v := r.exec(t.Context(), []string{app.ScoreName, "-"}, domainLines(20))
	if v.code != exitUsage || v.calls != 0 || !strings.Contains(v.stderr, "--clock-skew-ok") {
		t.Errorf("exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitUsage, v.stderr)
	}
}

// TestFutureRun: a run that began under a clock that was ahead cannot be finished: the API refuses
// its window. Its command closes it and requests the window of the API's day, and a plan says so.
func TestFutureRun(t *testing.T) {
	t.Parallel()
	list, flags := domainLines(300), append([]string{"--concurrency", "1"}, baseFlags...)
	day := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	for _, killed := range []bool{true, false} {
		t.Run(fmt.Sprintf("killed=%t", killed), func(t *testing.T) {
			now := day.AddDate(0, 2, 0)
			clock := func() time.Time { return now }
			setNow(t, clock)
			r := newRig(t, simulator.Config{Now: clock})
			begin := flags
			if !killed { // published, with lines that it did not request
				begin = append(slices.Clone(flags), "--max-credits", "20")
			} else {
				crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 1 })
			}
			first := r.rerun(list, begin...)
			clearHook(t)
			if first.calls == 0 || !killed && r.manifest.Accounts.ByStatus[schema.Deferred] == 0 {
				t.Fatalf("%d calls; the test shows nothing: %s", first.calls, first.stderr)
			}
			now = day
			if killed {
				if v := r.exec(t.Context(), []string{"resume", "-"}, list); v.code != exitUsage || v.calls != 0 || !strings.Contains(v.stderr, "siglake run") {
					t.Errorf("resume: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitUsage, v.stderr)
				}
				if v := r.exec(t.Context(), []string{"plan", "-"}, list, flags...); v.code != exitComplete || !strings.Contains(v.stdout, "clock that was ahead") || !strings.Contains(v.stdout, "2026-05-06") {
					t.Errorf("plan: exit %d, and it must name the day and the run: %s%s", v.code, v.stdout, v.stderr)
				}
			}
			v := r.rerun(list, flags...)
			if q := r.manifest.Queries[0]; v.code != exitComplete || q.Until != "2026-05-06" {
				t.Errorf("exit %d, window until %s; want %d and the API's day: %s", v.code, q.Until, exitComplete, v.stderr)
			}
			if v := r.rerun(list, flags...); v.code != exitComplete || v.calls != 0 {
				t.Errorf("again: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitComplete, v.stderr)
			}
			r.mustExit(exitComplete, "verify")
		})
	}
}

// TestPlannedClock: a plan and pages have the window of the API's day, and the plan says that the
// clock is wrong.
func TestPlannedClock(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	setNow(t, func() time.Time { return day.AddDate(0, 0, 4) })
	r := newRig(t, simulator.Config{Now: func() time.Time { return day }})
	v := r.exec(t.Context(), []string{"plan", "-", "--json"}, domainLines(20), baseFlags...)
	var plan app.PlanReport
	r.decode([]byte(v.stdout), &plan)
	if plan.Queries[0].Until != "2026-05-06" || !strings.Contains(strings.Join(plan.Notes, "\n"), "--clock-skew-ok") {
		t.Errorf("until %s, want the API's day and a note: %s", plan.Queries[0].Until, plan.Notes)
	}
	v = r.exec(t.Context(), []string{app.VisitorsName, "--domain", "shop.example.com", "--since", "30d", "--clock-skew-ok"}, "", pageFlags(60)...)
	if q := r.manifest.Queries[0]; v.code != exitComplete || q.Until != "2026-05-06" || q.Since != "2026-04-06" {
		t.Errorf("visitors: exit %d, %s to %s, want %d and 30 days to the API's: %s", v.code, q.Since, q.Until, exitComplete, v.stderr)
	}
}
