package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// TestNightsDisturbed: nights of a list that changes, some of which crash, run out of budget or lose
// an answer that was charged. No event is charged twice, and what a night left is asked by the next.
func TestNightsDisturbed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(proof.Size(1, 6, 60)) {
		rng := rand.New(rand.NewPCG(seed, 13))
		config := simulator.Config{CountDistinct: true}
		if seed%2 == 0 {
			for _, text := range []string{"drop-after-charge@2", "drop-after-charge/9"} { // one of the first, which have most events
				lost, err := simulator.ParseFault(text)
				if err != nil {
					t.Fatal(err)
				}
				config.Faults = append(config.Faults, lost)
			}
		}
		n := newNights(t, config, companyDomains(90))
		n.watch.Signals = []string{"surgeInHiring", "financialEventsNews", "peopleNews"}
		lines := slices.Clone(n.watch.Companies)
		left := 0
		for night := range proof.Size(40, 60, 90) {
			rng.Shuffle(len(lines), func(i, k int) { lines[i], lines[k] = lines[k], lines[i] })
			n.list = strings.Join(lines, "\n") + "\n"
			flags := []string{"--signals", strings.Join(n.watch.Signals, ","), "--since", "last", "--new-run", "--batch-size", "20", "--concurrency", "2"}
			trouble := rng.IntN(8)
			switch trouble {
			case 0:
				at := rng.IntN(9)
				crashAt(t, func(op, _ string) bool { at--; return op == "sync" && at < 0 })
			case 1:
				flags = append(flags, "--max-credits", "30")
			}
			v := n.run(night, flags...)
			clearHook(t)
			if v.code == exitDeferred {
				left++
			}
			if trouble > 1 && v.code != exitComplete && v.code != exitInDoubt {
				t.Fatalf("seed %d, night %d: exit %d: %s", seed, night, v.code, v.stderr)
			}
			// To learn whether windows contain their first day may buy a hundredth again.
			if bill := n.sim.Bill(); bill.Credits < bill.Distinct || bill.Credits-bill.Distinct > bill.Credits/100 {
				t.Fatalf("seed %d, night %d: %d credits for %d different events: %s", seed, night, bill.Credits, bill.Distinct, v.stderr)
			}
		}
		n.run(len(n.credits), "--signals", strings.Join(n.watch.Signals, ","), "--since", "last", "--new-run")
		f := n.figures(30, 12)
		if config.Faults == nil && (f.found == 0 || f.missed*10 > f.found || f.copies > 0) {
			t.Errorf("seed %d: %s; want few missed", seed, f)
		}
		t.Logf("seed %d: %s; %d nights left something for the next", seed, f, left)
		n.mustExit(exitComplete, "verify")
	}
}
