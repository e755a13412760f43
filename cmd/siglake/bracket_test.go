package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
)

// brackets: status and verify of the rig's lake say that the vendor billed
// between least and most, and the simulator did.
func (r *rig) brackets(least, most int64) (status string) {
	r.t.Helper()
	status, verified := r.command(exitComplete, "status"), r.command(exitComplete, "verify")
	if says := fmt.Sprintf("%s to %s credits", thousands(least), thousands(most)); most > least && !strings.Contains(status, says) {
		r.t.Errorf("status does not say %q:\n%s", says, status)
	}
	if says := fmt.Sprintf("between %s and %s credits", thousands(least), thousands(most)); !strings.Contains(verified, says) {
		r.t.Errorf("verify does not say %q:\n%s", says, verified)
	}
	if billed := r.sim.Bill().Credits; billed < least || billed > most {
		r.t.Errorf("the simulator billed %d, outside of %d to %d", billed, least, most)
	}
	return status
}

// TestDecidedIsNotPaidFor: what is decided about a call in doubt changes what is
// done about its lines, and nothing about what it may have cost.
func TestDecidedIsNotPaidFor(t *testing.T) {
	oneDay(t)
	list, flags := domains(300), append([]string{"--concurrency", "1"}, plain...)
	for _, c := range []struct {
		name    string
		decide  []string // a command; empty: the second run decides
		second  []string // its flags
		status  string
		verify  string
		again   bool // the second run pays for it again
		unasked bool // there is proof: it was not charged
	}{
		{name: "accepted", decide: []string{"held", "accept-loss"}, status: "1 call accepted as lost and perhaps charged, 0 to ", verify: "1 call accepted as lost"},
		{name: "released", decide: []string{"held", "retry"}, status: "1 call released to be asked again and perhaps charged, 0 to ", verify: "1 call released to be asked again", again: true},
		{name: "retried", second: []string{"--in-doubt", "retry", "--in-doubt-budget", "unlimited"}, status: "1 call released", verify: "1 call released", again: true},
		{name: "proven", second: []string{"--in-doubt", "probe"}, again: true, unasked: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			kind := "drop-after-charge"
			if c.unasked {
				kind = "drop-before"
			}
			r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: kind, At: 2}}})
			r.run(list, flags...)
			least, open := r.manifest.Credits.Charged, r.manifest.Credits.AmbiguousCeiling
			r.brackets(least, least+open)
			if c.decide != nil {
				r.command(exitComplete, c.decide...)
				r.brackets(least, least+open)
			}
			r.visit(list, append(c.second, flags...)...)
			if c.again {
				least += r.manifest.Credits.Charged
			}
			if c.unasked {
				open = 0
			}
			status := r.brackets(least, least+open)
			if !strings.Contains(status, c.status) {
				t.Errorf("status does not say %q:\n%s", c.status, status)
			}
			if verified := r.command(exitComplete, "verify"); !strings.Contains(verified, c.verify) {
				t.Errorf("verify does not say %q:\n%s", c.verify, verified)
			}
		})
	}
}

// TestStatusShowsUnknownCharges: an answer whose charge was not understood is
// money that nobody knows of, and stands in the bill.
func TestStatusShowsUnknownCharges(t *testing.T) {
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "charge-missing", At: 2}}})
	r.run(domains(300), append([]string{"--concurrency", "1"}, plain...)...)
	c := r.manifest.Credits
	status := r.brackets(c.Charged, c.Charged+c.UnknownCeiling)
	for _, says := range []string{"UNKNOWN", "1 answered call whose charge is unknown, 0 to " + thousands(c.UnknownCeiling)} {
		if !strings.Contains(status, says) {
			t.Errorf("status does not say %q:\n%s", says, status)
		}
	}
}
