package main

import (
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// TestNightsBilling: nights of accounts that are charged otherwise than for events. A credit for a call
// without results, and credits for types that have events, change nothing. An account that is charged
// for every type that it asks for is noticed and asked with the whole look-back.
func TestNightsBilling(t *testing.T) {
	t.Parallel()
	const charged = "charged for signals without events"
	for _, billing := range []string{"requested", "min1", "per_type"}[:proof.Size(2, 3, 3)] {
		t.Run(billing, func(t *testing.T) {
			t.Parallel()
			n := newNights(t, simulator.Config{Switches: simulator.Switches{Billing: billing}}, companyDomains(proof.Size(110, 300, 2000)))
			n.watch.Signals = []string{"surgeInHiring", "surgeInHiringByLocation", "commercialActivityNews", "headcountIncrease12m"}
			flags := []string{"--signals", strings.Join(n.watch.Signals, ","), "--since", "last"}
			rereads := billing == "requested"
			var plan app.PlanReport
			for night := 0; night <= proof.Size(68, 75, 90); night++ {
				weekday, day := n.day(night).Weekday(), n.day(night).Day()
				if night > 0 && weekday != time.Saturday && day != 11 {
					continue // nothing is due
				}
				if night == 5 || night == 12 {
					n.today.Store(int64(night))
					v := n.exec(t.Context(), []string{"plan", "-", "--json", "--as-of", n.day(night).Format(time.DateOnly)}, n.list, flags...)
					plan = app.PlanReport{}
					n.decode([]byte(v.stdout), &plan)
					if v.code != exitComplete || strings.Contains(v.stdout, charged) != rereads {
						t.Errorf("plan for night %d: exit %d, it says that the account is %s: %t, want %t: %s", night, v.code, charged, !rereads, rereads, v.stdout)
					}
				}
				v := n.run(night, flags...)
				if e := plan.Credits; rereads && night == 12 && (v.credits < e.P5 || v.credits > e.P95) {
					t.Errorf("night %d: %d credits, the plan says %d to %d", night, v.credits, e.P5, e.P95)
				}
				if v.code != exitComplete && v.code != exitUnexplained || v.credits != n.manifest.Credits.Charged {
					t.Fatalf("night %d: exit %d, %d credits billed, the manifest says %d: %s", night, v.code, v.credits, n.manifest.Credits.Charged, v.stderr)
				}
				if says := strings.Contains(v.stderr, charged); says != (rereads && night > 0) {
					t.Errorf("night %d: it says that the account is %s: %t: %s", night, charged, says, v.stderr)
				}
			}
			f, empties := n.figures(45, 12), n.sim.Bill().ByType["minimum"]
			switch {
			case f.found == 0:
				t.Errorf("%s: too little to test it", f)
			case rereads && f.missed > 0:
				t.Errorf("%s; want none missed, at no further cost", f)
			case billing == "min1" && (empties == 0 || f.credits-empties > f.visible):
				t.Errorf("%s, %d credits for calls without results; want at most one for each event besides", f, empties)
			case billing == "per_type" && f.credits > f.visible:
				t.Errorf("%s; want at most a credit an event", f)
			}
			t.Log(f)
		})
	}
}
