package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestInDoubt: how calls in doubt are treated, and what that costs compared to a run
// without one. Only what the account's usage rules out is repeated for nothing, and
// only what the budget allows is paid twice.
func TestInDoubt(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list, flags := domainLines(250), []string{"--signals", "news,growth", "--concurrency", "1"}
	baseline := newRig(t, simulator.Config{})
	baseline.run(list, flags...)
	for _, c := range []struct {
		name   string
		faults []string
		flags  []string
		again  int  // calls after the third
		twice  bool // what was lost is paid for again
		held   int64
	}{
		{name: "held", faults: []string{"drop-after-charge@2"}, held: 100},
		{name: "held, not charged", faults: []string{"drop-before@2"}, held: 100},
		{name: "probed, charged", faults: []string{"drop-after-charge@2"}, flags: []string{"--in-doubt", "probe"}, held: 100},
		{name: "probed, not charged", faults: []string{"drop-before@2"}, flags: []string{"--in-doubt", "probe"}, again: 10},
		{name: "probed beside a charge that is unknown", faults: []string{"drop-before@2", "charge-missing@1"}, flags: []string{"--in-doubt", "probe"}, held: 100},
		{name: "allowed too little", faults: []string{"drop-after-charge@2"}, flags: []string{"--in-doubt", "retry", "--in-doubt-budget", "10"}, held: 100},
		{name: "allowed", faults: []string{"drop-after-charge@2"}, flags: []string{"--in-doubt", "retry", "--in-doubt-budget", "unlimited"}, again: 10, twice: true},
		{name: "probed, charged, allowed", faults: []string{"drop-after-charge@2"}, flags: []string{"--in-doubt", "probe", "--in-doubt-budget", "unlimited"}, again: 10, twice: true},
		{name: "allowed while buying again", faults: []string{"drop-after-charge@2"}, flags: []string{"--refresh", "--in-doubt", "retry", "--in-doubt-budget", "unlimited"}, again: 10, twice: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var cfg simulator.Config
			for _, text := range c.faults {
				f, err := simulator.ParseFault(text)
				if err != nil {
					t.Fatal(err)
				}
				cfg.Faults = append(cfg.Faults, f)
			}
			r := newRig(t, cfg)
			v := r.rerun(list, append(c.flags, flags...)...)
			var lost int64
			for _, e := range r.sim.Bill().Entries {
				if e.Fault == "drop-after-charge" {
					lost += e.Credits
				}
			}
			want := runResult{code: exitComplete, calls: 3 + c.again, credits: baseline.manifest.Credits.Charged}
			switch {
			case c.held > 0:
				want.code = exitInDoubt
				if lost == 0 { // it is not among what was bought
					want.credits -= baseline.creditsOf(t, 101, 200)
				}
			case c.twice:
				want.credits += lost
			}
			if v.code != want.code || v.calls != want.calls || v.credits != want.credits {
				t.Errorf("exit %d, %d calls, %d credits; want %d, %d, %d: %s", v.code, v.calls, v.credits, want.code, want.calls, want.credits, v.stderr)
			}
			if n := r.manifest.Accounts.ByStatus[schema.InDoubt]; n != c.held {
				t.Errorf("%d lines held, want %d", n, c.held)
			}
			if c.twice && lost == 0 {
				t.Error("nothing was lost: the test shows nothing")
			}
		})
	}
}

// TestInDoubtWithinBudget: asking again at once what is in doubt is part of the
// command, and its budget is for all of it.
func TestInDoubtWithinBudget(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	for _, budget := range []int64{900, 1500, 5000} {
		r := newRig(t, simulator.Config{Switches: simulator.Switches{Events: "most"}, Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
		flags := []string{"--concurrency", "1", "--max-credits", fmt.Sprint(budget), "--in-doubt", "retry", "--in-doubt-budget", "unlimited"}
		if v := r.rerun(domainLines(1000), append(flags, baseFlags...)...); v.credits > budget {
			t.Errorf("billed %d with a budget of %d: %s", v.credits, budget, v.stderr)
		}
		r.mustExit(exitComplete, "verify")
	}
}

// creditsOf is what some rows of the list have cost.
func (r *rig) creditsOf(t *testing.T, first, last int64) (sum int64) {
	t.Helper()
	for _, a := range r.table(schema.Accounts) {
		if row := a["row"].(int64); row >= first && row <= last {
			sum += a["credits"].(int64)
		}
	}
	return sum
}

// TestTooSmallInDoubtBudget: a budget that releases nothing says which would.
func TestTooSmallInDoubtBudget(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	list, flags := domainLines(300), append([]string{"--concurrency", "1"}, baseFlags...)
	r.run(list, flags...)
	needed := r.manifest.Credits.InDoubtCeiling
	tell := func(budget int64, calls int, says string) {
		t.Helper()
		v := r.rerun(list, append([]string{"--in-doubt", "retry", "--in-doubt-budget", fmt.Sprint(budget)}, flags...)...)
		if v.calls != calls || says != "" && !strings.Contains(v.stderr, says) {
			t.Errorf("--in-doubt-budget %d: %d calls, want %d and %q: %s", budget, v.calls, calls, says, v.stderr)
		}
	}
	tell(needed-1, 0, fmt.Sprintf("of which %d is left; the cheapest can cost %d", needed-1, needed))
	tell(needed, 10, "")

	for _, policy := range [][]string{nil, {"--in-doubt", "hold"}} {
		if v := r.rerun(list, slices.Concat(policy, []string{"--in-doubt-budget", "5000"}, flags)...); v.code != exitUsage || !strings.Contains(v.stderr, "--in-doubt retry or probe") {
			t.Errorf("--in-doubt-budget with %v: exit %d, want %d: %s", policy, v.code, exitUsage, v.stderr)
		}
	}
}

// TestInDoubtBudgetOfCommand: the budget for calls in doubt is one for all passes of a command,
// also of one that releases calls of an earlier command first and then loses more.
func TestInDoubtBudgetOfCommand(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	cfg := simulator.Config{Switches: simulator.Switches{Events: "most"}}
	for at := 1; at <= 60; at++ {
		cfg.Faults = append(cfg.Faults, simulator.Fault{Kind: "drop-after-charge", At: at})
	}
	r := newRig(t, cfg)
	list, flags := domainLines(40), append([]string{"--concurrency", "1", "--batch-size", "10"}, baseFlags...)
	r.rerun(list, flags...)
	one := r.manifest.InDoubt[0].MaxCredits // of ten entities
	for n := range 3 {
		v := r.rerun(list, append([]string{"--in-doubt", "retry", "--in-doubt-budget", fmt.Sprint(one)}, flags...)...)
		var again int64
		for _, e := range r.sim.Bill().Entries[r.sim.Bill().Requests-v.requests:] {
			again += e.Credits
		}
		if again == 0 || again > one {
			t.Errorf("command %d paid %d credits for what is in doubt, want some and at most %d: %s", n+2, again, one, v.stderr)
		}
	}
}

// TestProbeOfLateUsage: usage that is booked late proves nothing. A reading that still changes
// releases no call; one that changes only after the run's own calls takes the proof back.
func TestProbeOfLateUsage(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list, flags := domainLines(250), []string{"--signals", "news,growth", "--concurrency", "1"}
	for _, c := range []struct {
		name  string
		late  int // readings of the usage, from the first probe on, that show the state before it
		code  int
		again bool
		says  string
	}{
		{"never", 0, exitInDoubt, false, "can have cost at most the difference"},
		{"by one reading", 1, exitInDoubt, false, "it still changes"},
		{"for good", 100, exitComplete, true, "may have been charged after all"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 3}}})
			r.run(list, flags...)
			if r.code != exitInDoubt {
				t.Fatalf("exit %d, want %d", r.code, exitInDoubt)
			}
			known, readings := r.manifest.Credits.Charged, 0
			r.rewriteAnswers(func(path string, answer map[string]any) bool {
				credits, ok := answer["credits"].(map[string]any)
				if !ok || !strings.HasSuffix(path, "account/usage") {
					return false
				}
				if readings++; readings > c.late {
					return false
				}
				credits["used"] = known // without the lost call
				return true
			})
			v := r.rerun(list, append([]string{"--in-doubt", "probe"}, flags...)...)
			if v.code != c.code || (v.calls > 0) != c.again || !strings.Contains(v.stderr, c.says) {
				t.Errorf("exit %d after %d calls, want %d, any: %v, and %q: %s", v.code, v.calls, c.code, c.again, c.says, v.stderr)
			}
			if status := r.mustExit(exitComplete, "status"); c.again && !strings.Contains(status, "1 call released for retry and perhaps charged") {
				t.Errorf("the lost call is not among what may have been charged:\n%s", status)
			}
			r.checkRebuild()
		})
	}
}
