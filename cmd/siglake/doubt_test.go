package main

import (
	"testing"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestInDoubt: what is done about a call in doubt, and what that costs beside a
// run without one. Only what the account's own count rules out is asked again
// for nothing, and only what was allowed for is paid twice.
func TestInDoubt(t *testing.T) {
	oneDay(t)
	list, flags := domains(250), []string{"--signals", "news,growth", "--concurrency", "1"}
	calm := newRig(t, simulator.Config{})
	calm.run(list, flags...)
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
			v := r.visit(list, append(c.flags, flags...)...)
			var lost int64
			for _, e := range r.sim.Bill().Entries {
				if e.Fault == "drop-after-charge" {
					lost += e.Credits
				}
			}
			want := visit{code: exitComplete, calls: 3 + c.again, credits: calm.manifest.Credits.Charged}
			switch {
			case c.held > 0:
				want.code = exitHeld
				if lost == 0 { // it is not among what was bought
					want.credits -= calm.creditsOf(t, 101, 200)
				}
			case c.twice:
				want.credits += lost
			}
			if v.code != want.code || v.calls != want.calls || v.credits != want.credits {
				t.Errorf("exit %d, %d calls, %d credits; want %d, %d, %d: %s", v.code, v.calls, v.credits, want.code, want.calls, want.credits, v.stderr)
			}
			if n := r.manifest.Accounts.ByStatus[schema.Held]; n != c.held {
				t.Errorf("%d lines held, want %d", n, c.held)
			}
			if c.twice && lost == 0 {
				t.Error("nothing was lost: the test shows nothing")
			}
		})
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
