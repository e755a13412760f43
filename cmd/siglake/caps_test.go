package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
)

// TestPeriodCaps: whatever is lost on the way, and however often a night repeats its command, the
// simulator bills no more than the caps of the day and of the month.
func TestPeriodCaps(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 30, 22, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	setNow(t, clock)
	var faults []simulator.Fault
	for n := 2; n < 40; n += 3 {
		f, err := simulator.ParseFault(fmt.Sprintf("drop-after-charge@%d", n))
		if err != nil {
			t.Fatal(err)
		}
		faults = append(faults, f)
	}
	r := newRig(t, simulator.Config{Now: clock, Faults: faults})
	const perDay, perMonth = 160, 260
	flags := append([]string{"--max-credits-per-day", fmt.Sprint(perDay), "--max-credits-per-month", fmt.Sprint(perMonth), "--unattended", "--batch-size", "10"}, baseFlags...)
	list := domainLines(400)
	billed := func() int64 { return r.sim.Bill().Credits }

	var inMay int64
	for range 2 {
		before := billed()
		for n := range 4 {
			v := r.rerun(list, flags...)
			if v.code != exitDeferred && v.code != exitInDoubt {
				t.Fatalf("%s, run %d: exit %d\n%s%s", now, n, v.code, v.stdout, v.stderr)
			}
		}
		today := billed() - before
		if today == 0 || today > perDay {
			t.Errorf("%s: %d credits billed, want some and at most %d", now.Format(time.DateOnly), today, perDay)
		}
		inMay += today
		now = now.Add(24 * time.Hour)
	}
	if inMay > perMonth {
		t.Errorf("%d credits billed in May, want at most %d", inMay, perMonth)
	}
	// Another month, another cap.
	if v := r.rerun(list, flags...); v.credits == 0 || v.credits > perDay {
		t.Errorf("on 1 June: %d credits, exit %d, want some and at most %d\n%s", v.credits, v.code, perDay, v.stderr)
	}
	var stops int
	for _, m := range r.generations() {
		s := m.Run.Stop
		if s == nil || s.Kind != pipeline.StopBudget {
			continue
		}
		stops++
		if s.RetryAt == nil || s.RetryAt.UTC().Hour() != 0 || !s.RetryAt.After(m.Run.Started) || !strings.Contains(s.Reason, "--max-credits-per-") {
			t.Errorf("run of %s stopped with %+v, want the cap and the midnight after", m.Run.Started, s)
		}
	}
	if stops == 0 {
		t.Error("no run says that a cap stopped it")
	}
}

// TestPeriodCapUsedUp: a run to which nothing is left asks nothing, says until when, and exits as
// with an exhausted budget. The run's own budget is the tighter one if it is lower.
func TestPeriodCapUsedUp(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 30, 22, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	setNow(t, clock)
	r := newRig(t, simulator.Config{Now: clock})
	list := domainLines(100)
	v := r.rerun(list, append([]string{"--max-credits-per-day", "1000000", "--max-credits", "20"}, baseFlags...)...)
	spent := v.credits
	if v.code != exitDeferred || spent == 0 || spent > 20 || !strings.Contains(r.manifest.Run.Stop.Advice, "--max-credits ") {
		t.Fatalf("exit %d, %d credits, %+v; want the run's own cap", v.code, spent, r.manifest.Run.Stop)
	}
	for _, flag := range []string{"--max-credits-per-day", "--max-credits-per-month", "--max-lake-credits-per-day", "--max-lake-credits-per-month"} {
		v := r.rerun(list, append([]string{flag, fmt.Sprint(spent)}, baseFlags...)...)
		until := map[bool]string{true: "2026-06-01 00:00 UTC", false: "2026-05-31 00:00 UTC"}[strings.HasSuffix(flag, "month")]
		if v.code != exitDeferred || v.calls != 0 || !strings.Contains(v.stderr, flag) || !strings.Contains(v.stderr, until) {
			t.Errorf("%s %d: exit %d after %d calls, %q; want %d, none, and %s", flag, spent, v.code, v.calls, v.stderr, exitDeferred, until)
		}
	}
	plan := r.exec(t.Context(), []string{"plan", "-"}, list, append([]string{"--max-credits-per-day", fmt.Sprint(spent + 3)}, baseFlags...)...)
	if !strings.Contains(plan.stdout, "leaves 3 credits until 2026-05-31 00:00 UTC") {
		t.Errorf("plan does not say what the cap leaves: %s%s", plan.stdout, plan.stderr)
	}
	for _, wrong := range []string{"0", "-5", "ten", "1.5"} {
		if v := r.rerun(list, append([]string{"--max-credits-per-month", wrong}, baseFlags...)...); v.code != exitUsage || !strings.Contains(v.stderr, "--max-credits-per-month") {
			t.Errorf("--max-credits-per-month %s: exit %d, %q", wrong, v.code, v.stderr)
		}
	}
	now = now.Add(24 * time.Hour)
	if v := r.rerun(list, append([]string{"--max-credits-per-day", fmt.Sprint(spent)}, baseFlags...)...); v.credits == 0 || v.credits > spent {
		t.Errorf("the next day: %d credits, want some, and at most %d: %s", v.credits, spent, v.stderr)
	}
}

const cappedFile = `version: 1
defaults: {lake: lake, base-url: URL, plan: unlimited, rate: 0, signals: [surgeInHiring, financialEventsNews], max-results: 2, batch-size: 10}
jobs:
  a: {list: a.csv, max-credits-per-day: 24}
  b: {list: b.csv, max-credits-per-day: 24}
  c: {list: c.csv, max-credits-per-day: 24, max-lake-credits-per-day: 40}
`

// TestPeriodCapsOfJobs: a job's cap counts the runs of the job, in whatever order jobs and lists
// come; a lake's cap counts all of them.
func TestPeriodCapsOfJobs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 30, 2, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	setNow(t, clock)
	lists := map[string]string{}
	for i, name := range []string{"a.csv", "b.csv", "c.csv"} {
		lists[name] = strings.ReplaceAll(domainLines(100), "company-", fmt.Sprintf("company-%d", i+1))
	}
	r, config := jobRig(t, simulator.Config{Now: clock}, cappedFile, lists)
	cost := func(job string) int64 {
		t.Helper()
		before := r.sim.Bill().Credits
		r.job("job", job, "--config", config)
		return r.sim.Bill().Credits - before
	}
	twice := func(job string) (credits int64) {
		for range 2 {
			if credits += cost(job); r.code != exitDeferred {
				t.Errorf("job %s: exit %d, want %d: %s", job, r.code, exitDeferred, r.stderr)
			}
		}
		return credits
	}
	a, b, c := twice("a"), twice("b"), twice("c")
	if a == 0 || a > 24 || b == 0 || b > 24 || c > max(0, 40-a-b) {
		t.Errorf("credits by job: %d, %d, %d; want at most 24 for the first two, and 40 together", a, b, c)
	}
	if !strings.Contains(r.stderr+r.stdout, "--max-lake-credits-per-day 40 (this lake)") {
		t.Errorf("job c does not name the lake's cap: %s%s", r.stdout, r.stderr)
	}
	now = now.Add(24 * time.Hour)
	if a := cost("a"); a == 0 || a > 24 {
		t.Errorf("job a on the next day: %d credits, want some, and at most 24", a)
	}
}

// TestPeriodCapTooSmall: a cap that never pays for one entity says so, and does not tell to wait for
// the next day.
func TestPeriodCapTooSmall(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	for flag, wants := range map[string]string{"--max-credits-per-day": "raise the cap to 10 or more", "--max-lake-credits-per-month": "raise the cap to 10 or more"} {
		v := r.rerun(domainLines(3), "--signals", "riskNews", "--since", "30d", flag, "9")
		if stop := r.manifest.Run.Stop; v.code != exitDeferred || v.credits != 0 || stop == nil || stop.RetryAt != nil || !strings.HasPrefix(stop.Advice, wants) {
			t.Errorf("%s 9: exit %d, %d credits, %+v; want %d, none, and %q", flag, v.code, v.credits, stop, exitDeferred, wants)
		}
		v = r.rerun(domainLines(3), "--signals", "riskNews", "--since", "30d", "--max-results", "20", "--max-credits", "unlimited", flag, "10")
		if stop := r.manifest.Run.Stop; v.code != exitDeferred || stop == nil || !strings.HasPrefix(stop.Advice, "raise the cap to 20") {
			t.Errorf("%s 10 with 20 results: exit %d, %+v; want %d and what the cap must be", flag, v.code, stop, exitDeferred)
		}
	}
}
