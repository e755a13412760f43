package main

import (
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// TestNightsSinceLast: nights that ask from where the lake ends buy each event about once, or about
// twice to miss none.
func TestNightsSinceLast(t *testing.T) {
	t.Parallel()
	levels := []struct {
		completeness string
		cost, missed float64 // at most: credits per visible event, and the share of events
	}{{"economy", 1.1, 0.05}, {"strict", 2.3, 0}}
	for _, c := range levels[:proof.Size(1, 2, 2)] {
		t.Run(c.completeness, func(t *testing.T) {
			t.Parallel()
			n := newNights(t, simulator.Config{}, companyDomains(proof.Size(100, 600, 3000)))
			n.watch.Signals = []string{"surgeInHiring", "financialEventsNews", "peopleNews", "headcountIncrease1m"}
			last := proof.Size(52, 75, 90)
			for night := 0; night <= last; night++ {
				v := n.run(night, "--signals", strings.Join(n.watch.Signals, ","), "--since", "last", "--completeness", c.completeness)
				if v.code != exitComplete {
					t.Fatalf("night %d: exit %d: %s", night, v.code, v.stderr)
				}
				if v.credits != n.manifest.Credits.Charged {
					t.Errorf("night %d: %d credits billed, the manifest says %d", night, v.credits, n.manifest.Credits.Charged)
				}
			}
			f := n.figures(45, 12)
			if cost, missed := float64(f.credits)/float64(f.visible), float64(f.missed)/float64(f.missed+f.found); cost > c.cost || missed > c.missed || f.found == 0 {
				t.Errorf("%s; want at most %.2f credits an event and %.2f %% missed", f, c.cost, 100*c.missed)
			}
			t.Log(f)
			n.mustExit(exitComplete, "verify")
		})
	}
}
