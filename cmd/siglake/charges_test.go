package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
)

// TestChargesOverflow: charges of which the sum overflows are unknown, up to the ceilings of their
// calls. They are never added up to a small number, and what they say is kept.
func TestChargesOverflow(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	for _, stated := range []string{"4611686018427387904", "9223372036854775807", "1000000000001"} {
		r := newRig(t, simulator.Config{})
		r.rewriteAnswers(func(_ string, answer map[string]any) bool {
			_, charged := answer["creditCharged"]
			answer["creditCharged"] = json.Number(stated)
			return charged
		})
		r.run(domainLines(40), append([]string{"--batch-size", "10"}, baseFlags...)...)
		if c := r.manifest.Credits; r.code != exitComplete || c.Charged != 0 || c.UnknownCalls != 4 || c.UnknownCeiling != 40*2*2 {
			t.Errorf("%s: exit %d, %+v; want %d, and four unknown charges of at most %d", stated, r.code, c, exitComplete, 40*2*2)
		}
		for _, m := range r.generations() {
			if m.Credits.Excess != 0 || m.Credits.Discrepancies != 0 {
				t.Errorf("%s: %+v, want no discrepancy of what is unknown", stated, m.Credits)
			}
		}
		if says := r.mustExit(exitComplete, "verify"); !strings.Contains(says, "between 0 and 160 credits") {
			t.Errorf("verify does not say what the calls can have cost:\n%s", says)
		}
		r.checkRebuild()
	}
}

// TestChargedAboveCeiling: a vendor who charges more than the price list allows leaves a sound lake.
// The run stops, because it cannot keep to its budget, and verify names the call.
func TestChargedAboveCeiling(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	for _, budget := range []int64{0, 50, 100_000} {
		r := newRig(t, simulator.Config{})
		r.rewriteAnswers(func(_ string, answer map[string]any) bool {
			_, charged := answer["creditCharged"]
			answer["creditCharged"] = json.Number("1000")
			return charged
		})
		flags := append([]string{"--batch-size", "10", "--concurrency", "1"}, baseFlags...)
		want, calls := exitUnexplained, 4
		if budget > 0 {
			flags = append(flags, "--max-credits", fmt.Sprint(budget))
			want, calls = exitDeferred, 1
		}
		v := r.rerun(domainLines(40), flags...)
		if v.code != want || v.calls != calls || r.manifest.Credits.Charged != int64(calls)*1000 {
			t.Errorf("budget %d: exit %d after %d calls, %+v; want %d after %d: %s", budget, v.code, v.calls, r.manifest.Credits, want, calls, v.stderr)
		}
		says := fmt.Sprintf("%s/000001-1 was charged 1000 credits, above its ceiling of 40", r.manifest.Run.ID)
		if verified := r.mustExit(exitComplete, "verify"); !strings.Contains(verified, says) {
			t.Errorf("budget %d: verify does not say %q:\n%s", budget, says, verified)
		}
		r.checkRebuild()
	}
}
