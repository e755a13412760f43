package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
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

// TestReleasedIsAskedAgain: what was released is asked again by the same command
// and by resume, whichever run of the command met it last.
func TestReleasedIsAskedAgain(t *testing.T) {
	oneDay(t)
	flags := append([]string{"--concurrency", "1"}, plain...)
	for _, c := range []struct {
		name   string
		resume bool
	}{{name: "same command"}, {name: "resume", resume: true}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
			path := writeList(t, "released", 300)
			args := slices.Concat([]string{"run", path, "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0"}, flags)
			if code, _, stderr := call(t, args...); code != exitHeld {
				t.Fatalf("exit %d, want %d: %s", code, exitHeld, stderr)
			}
			// A later run of the command meets the doubt, and is the last one.
			if code, _, stderr := call(t, append(args, "--new-run")...); code != exitHeld {
				t.Fatalf("exit %d, want %d: %s", code, exitHeld, stderr)
			}
			before := r.sim.Bill()
			code, stdout, _ := call(t, args...)
			if says := "siglake held list --lake " + r.lake; code != exitHeld || !strings.Contains(stdout, says) || strings.Contains(stdout, "--refresh") {
				t.Errorf("exit %d, want %d, %q and nothing of --refresh:\n%s", code, exitHeld, says, stdout)
			}
			// Another list, done since, is not in the way of resume.
			r.visit("newcomer-77.example\n", plain...)
			r.command(exitComplete, "held", "retry")
			if c.resume {
				args = []string{"resume", "--lake", r.lake, "--plan", "unlimited", "--rate", "0"}
			}
			if code, _, stderr := call(t, args...); code != exitComplete {
				t.Errorf("exit %d, want %d: %s", code, exitComplete, stderr)
			}
			asked := 0
			for _, e := range r.sim.Bill().Entries[before.Requests:] {
				asked += e.Entities
			}
			if asked != 101 {
				t.Errorf("asked about %d entities, want the 100 released and the other list's 1", asked)
			}
			if code, stdout, _ := call(t, args...); code != exitComplete || !strings.Contains(stdout, "Nothing to") {
				t.Errorf("once more: exit %d, want %d and nothing to do: %s", code, exitComplete, stdout)
			}
			r.command(exitComplete, "verify")
		})
	}
}

// TestAcceptedIsDecided: a lost call that was accepted leaves nothing to decide
// to the command whose lines it held.
func TestAcceptedIsDecided(t *testing.T) {
	oneDay(t)
	flags := append([]string{"--concurrency", "1"}, plain...)
	for _, c := range []struct {
		list string
		code int
	}{{domains(300), exitComplete}, {domains(300) + "no domain at all\n", exitRejects}} {
		r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
		if r.run(c.list, flags...); r.code != exitHeld {
			t.Fatalf("exit %d, want %d: %s", r.code, exitHeld, r.stderr)
		}
		r.command(exitComplete, "held", "accept-loss")
		if v := r.visit(c.list, flags...); v.code != c.code || v.calls != 0 || !strings.Contains(v.stdout, "Nothing to do") || !strings.Contains(v.stdout, "1 call taken as paid and lost, 0 to ") {
			t.Errorf("the same command: exit %d after %d calls, want %d after none: %s", v.code, v.calls, c.code, v.stdout)
		}
		// A run that meets them has them as lost, and is complete.
		v := r.visit(c.list, append([]string{"--new-run"}, flags...)...)
		if n := r.manifest.Accounts.ByStatus[schema.Lost]; v.code != c.code || v.calls != 0 || n != 100 {
			t.Errorf("another run: exit %d after %d calls with %d lines lost, want %d, none, 100: %s", v.code, v.calls, n, c.code, v.stdout)
		}
		if !strings.Contains(v.stdout, "taken as paid and lost (1): 100 lines") || !strings.Contains(v.stdout, "100 lost") {
			t.Errorf("the summary does not state the loss:\n%s", v.stdout)
		}
		r.checkReplay()
	}
}

// TestAcceptedSignalsOnly: what was taken as lost are the signals of the lost
// call; others are asked about all the same.
func TestAcceptedSignalsOnly(t *testing.T) {
	oneDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	r.run(domains(300), "--concurrency", "1", "--signals", "news")
	r.command(exitComplete, "held", "accept-loss")
	v := r.visit(domains(300), "--signals", "news,growth")
	if v.code != exitComplete || v.entities != 300 || r.manifest.Accounts.ByStatus[schema.Lost] != 0 {
		t.Errorf("exit %d, %d entities asked, fates %v; want %d, 300 and none lost", v.code, v.entities, r.manifest.Accounts.ByStatus, exitComplete)
	}
	if n := r.manifest.Events.ByCategory[schema.CategoryNews]; n != 0 {
		t.Errorf("%d news events bought again, want none", n)
	}
	r.command(exitComplete, "verify")
}

// TestReleasedBeforePublication: a call that was released before its run was
// published holds nothing, and its run, which asked again, is complete.
func TestReleasedBeforePublication(t *testing.T) {
	oneDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	list, flags := domains(600), append([]string{"--concurrency", "1"}, plain...)
	dieAt(t, func(op, _ string) bool { return op == "sync" && r.billed() == 4 })
	r.visit(list, flags...)
	revive()
	r.command(exitComplete, "held", "retry")
	v := r.visit(list, flags...)
	if held := r.manifest.Held; v.code != exitComplete || len(held) != 1 || held[0].Decided != "released" || len(held[0].Accounts) != 0 {
		t.Errorf("exit %d, held %+v; want %d and one call that was released, without lines", v.code, held, exitComplete)
	}
	if strings.Contains(v.stdout, "held list") || !strings.Contains(v.stdout, "asked again as decided (1)") {
		t.Errorf("the summary speaks of a doubt that was settled:\n%s", v.stdout)
	}
	r.checkReplay()
}

// TestInDoubtAndDeferred: exit code 21 hides no lines that are still to be asked
// about.
func TestInDoubtAndDeferred(t *testing.T) {
	oneDay(t)
	r := newRig(t, simulator.Config{Switches: simulator.Switches{Events: "most"}, Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 1}}})
	r.run(domains(600), append([]string{"--concurrency", "1", "--batch-size", "10", "--max-credits", "500"}, plain...)...)
	left := r.manifest.Accounts.ByStatus[schema.Deferred]
	if says := thousands(left) + " lines were not asked about yet: the same command"; r.code != exitHeld || left == 0 || !strings.Contains(r.stdout, says) {
		t.Errorf("exit %d with %d lines deferred, want %d, some and %q:\n%s", r.code, left, exitHeld, says, r.stdout)
	}
	v := r.visit(domains(600), append([]string{"--max-credits", "unlimited"}, plain...)...)
	if n := r.manifest.Accounts.ByStatus; v.code != exitHeld || n[schema.Deferred] != 0 || v.entities != int(left) {
		t.Errorf("again: exit %d, %d entities, fates %v; want %d, %d and none deferred", v.code, v.entities, n, exitHeld, left)
	}
}

// TestUnexplainedCredits: what was charged beyond the returned events is spread
// over accounts that did not cause it, and that is said.
func TestUnexplainedCredits(t *testing.T) {
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "missing-entities-some", At: 2}}})
	r.run(domains(300), "--concurrency", "1", "--signals", "news,growth")
	c := r.manifest.Credits
	odd := c.Charged - r.manifest.Events.Returned
	if odd < 1 || c.Beyond != odd || c.OddCalls != 1 || c.Below != 0 {
		t.Errorf("%d credits for %d events: the manifest says that %+v is beyond them, want %d by 1 call", c.Charged, r.manifest.Events.Returned, c, odd)
	}
	if says := thousands(odd) + " more than the returned events explain"; !strings.Contains(r.stdout, says) {
		t.Errorf("the summary does not say %q:\n%s", says, r.stdout)
	}
	var notes []any
	for _, row := range r.table(schema.Calls) {
		notes = append(notes, row["notes"])
	}
	if note, _ := notes[1].(string); !strings.Contains(note, fmt.Sprintf("%d credits more than its events explain", odd)) || notes[0] != nil || notes[2] != nil {
		t.Errorf("calls.notes = %q, want one about %d credits at the second call", notes, odd)
	}
	r.command(exitComplete, "verify")
}

// TestProbeNarrows: what the account moved by beyond the answers is the most
// that lost calls can have cost, whoever else uses the account.
func TestProbeNarrows(t *testing.T) {
	oneDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	list, flags := domains(300), append([]string{"--concurrency", "1"}, plain...)
	r.run(list, flags...)
	least, most := r.manifest.Credits.Charged, r.manifest.Credits.AmbiguousCeiling
	lost := r.sim.Bill().Credits - least
	other := *r // uses the account as well
	other.lake = filepath.Join(t.TempDir(), "other")
	others := other.visit("newcomer-11.example\nnewcomer-12.example\nnewcomer-13.example\n", plain...).credits
	if lost == 0 || others == 0 || lost+others >= most {
		t.Fatalf("lost %d, others %d, ceiling %d: the test shows nothing", lost, others, most)
	}
	if v := r.visit(list, append([]string{"--in-doubt", "probe"}, flags...)...); v.code != exitHeld || v.calls != 0 {
		t.Errorf("probe: exit %d, %d calls, want %d and none: %s", v.code, v.calls, exitHeld, v.stderr)
	}
	narrow := func() {
		t.Helper()
		status, verified := r.command(exitComplete, "status"), r.command(exitComplete, "verify")
		if says := fmt.Sprintf("%s to %s credits", thousands(least), thousands(least+lost+others)); !strings.Contains(status, says) {
			t.Errorf("status does not say %q:\n%s", says, status)
		}
		if says := fmt.Sprintf("between %s and %s credits", thousands(least), thousands(least+lost+others)); !strings.Contains(verified, says) {
			t.Errorf("verify does not say %q:\n%s", says, verified)
		}
	}
	narrow()
	if listed, says := r.command(exitComplete, "held", "list"), fmt.Sprintf("0 to %s credits", thousands(lost+others)); !strings.Contains(listed, says) {
		t.Errorf("held list does not say %q:\n%s", says, listed)
	}
	r.command(exitComplete, "held", "accept-loss")
	narrow()
	r.checkReplay()
}

// TestProvenBeforePublication: a call that a probe found not charged before its
// run was published is no money in doubt in its manifest either.
func TestProvenBeforePublication(t *testing.T) {
	oneDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-before", At: 2}}})
	list, flags := domains(600), append([]string{"--concurrency", "1"}, plain...)
	dieAt(t, func(_, path string) bool { return strings.HasSuffix(path, ".parquet.tmp") })
	r.visit(list, flags...)
	revive()
	v := r.visit(list, append([]string{"--in-doubt", "probe"}, flags...)...)
	if held := r.manifest.Held; v.code != exitComplete || len(held) != 1 || held[0].Decided != "not_charged" || held[0].Most != 0 || r.manifest.Credits.AmbiguousCalls != 0 {
		t.Errorf("exit %d, held %+v, credits %+v; want %d and one call that cost nothing: %s", v.code, held, r.manifest.Credits, exitComplete, v.stderr)
	}
	if strings.Contains(v.stdout, "Nothing to do") || !strings.Contains(v.stdout, "Calls that were not charged, by the account's usage (1)") {
		t.Errorf("the summary:\n%s", v.stdout)
	}
	billed := r.sim.Bill().Credits
	r.brackets(billed, billed)
	r.checkReplay()
}
