package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// checkInterval: status and verify of the rig's lake say that the vendor billed
// between least and most, and the simulator did.
func (r *rig) checkInterval(least, most int64) (status string) {
	r.t.Helper()
	status, verified := r.mustExit(exitComplete, "status"), r.mustExit(exitComplete, "verify")
	if says := fmt.Sprintf("%s to %s credits", format.Thousands(least), format.Thousands(most)); most > least && !strings.Contains(status, says) {
		r.t.Errorf("status does not say %q:\n%s", says, status)
	}
	if says := fmt.Sprintf("between %s and %s credits", format.Thousands(least), format.Thousands(most)); !strings.Contains(verified, says) {
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
	t.Parallel()
	freezeDay(t)
	list, flags := domainLines(300), append([]string{"--concurrency", "1"}, baseFlags...)
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
		{name: "released", decide: []string{"held", "retry"}, status: "1 call released for retry and perhaps charged, 0 to ", verify: "1 call released for retry", again: true},
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
			least, open := r.manifest.Credits.Charged, r.manifest.Credits.InDoubtCeiling
			r.checkInterval(least, least+open)
			if c.decide != nil {
				r.mustExit(exitComplete, c.decide...)
				r.checkInterval(least, least+open)
			}
			r.rerun(list, append(c.second, flags...)...)
			if c.again {
				least += r.manifest.Credits.Charged
			}
			if c.unasked {
				open = 0
			}
			status := r.checkInterval(least, least+open)
			if !strings.Contains(status, c.status) {
				t.Errorf("status does not say %q:\n%s", c.status, status)
			}
			if verified := r.mustExit(exitComplete, "verify"); !strings.Contains(verified, c.verify) {
				t.Errorf("verify does not say %q:\n%s", c.verify, verified)
			}
		})
	}
}

// TestStatusShowsUnknownCharges: an answer with an unreadable charge has an unknown
// cost, which the bill shows.
func TestStatusShowsUnknownCharges(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "charge-missing", At: 2}}})
	r.run(domainLines(300), append([]string{"--concurrency", "1"}, baseFlags...)...)
	c := r.manifest.Credits
	status := r.checkInterval(c.Charged, c.Charged+c.UnknownCeiling)
	for _, says := range []string{"UNKNOWN", "1 answered call whose charge is unknown, 0 to " + format.Thousands(c.UnknownCeiling)} {
		if !strings.Contains(status, says) {
			t.Errorf("status does not say %q:\n%s", says, status)
		}
	}
}

// TestReleasedIsAskedAgain: what was released is asked again by the same command
// and by resume, whichever run of the command met it last.
func TestReleasedIsAskedAgain(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	flags := append([]string{"--concurrency", "1"}, baseFlags...)
	for _, c := range []struct {
		name   string
		resume bool
	}{{name: "same command"}, {name: "resume", resume: true}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
			path := writeList(t, "released", 300)
			args := slices.Concat([]string{"run", path, "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0"}, flags)
			if code, _, stderr := runProgram(t, args...); code != exitInDoubt {
				t.Fatalf("exit %d, want %d: %s", code, exitInDoubt, stderr)
			}
			// A later run of the command meets the doubt, and is the last one.
			if code, _, stderr := runProgram(t, append(args, "--new-run")...); code != exitInDoubt {
				t.Fatalf("exit %d, want %d: %s", code, exitInDoubt, stderr)
			}
			before := r.sim.Bill()
			code, stdout, _ := runProgram(t, args...)
			if says := "siglake held list --lake " + r.lake; code != exitInDoubt || !strings.Contains(stdout, says) || strings.Contains(stdout, "--refresh") {
				t.Errorf("exit %d, want %d, %q and nothing of --refresh:\n%s", code, exitInDoubt, says, stdout)
			}
			// Another list, done since, is not in the way of resume.
			r.rerun("newcomer-77.example\n", baseFlags...)
			r.mustExit(exitComplete, "held", "retry")
			if c.resume {
				args = []string{"resume", "--lake", r.lake, "--plan", "unlimited", "--rate", "0"}
			}
			if code, _, stderr := runProgram(t, args...); code != exitComplete {
				t.Errorf("exit %d, want %d: %s", code, exitComplete, stderr)
			}
			asked := 0
			for _, e := range r.sim.Bill().Entries[before.Requests:] {
				asked += e.Entities
			}
			if asked != 101 {
				t.Errorf("asked about %d entities, want the 100 released and the other list's 1", asked)
			}
			if code, stdout, _ := runProgram(t, args...); code != exitComplete || !strings.Contains(stdout, "Nothing to") {
				t.Errorf("once more: exit %d, want %d and nothing to do: %s", code, exitComplete, stdout)
			}
			r.mustExit(exitComplete, "verify")
		})
	}
}

// TestWriteOffIsDecided: an accepted loss leaves the command that requested its lines
// nothing to decide.
func TestWriteOffIsDecided(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	flags := append([]string{"--concurrency", "1"}, baseFlags...)
	for _, c := range []struct {
		list string
		code int
	}{{domainLines(300), exitComplete}, {domainLines(300) + "no domain at all\n", exitRejects}} {
		r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
		if r.run(c.list, flags...); r.code != exitInDoubt {
			t.Fatalf("exit %d, want %d: %s", r.code, exitInDoubt, r.stderr)
		}
		r.mustExit(exitComplete, "held", "accept-loss")
		if v := r.rerun(c.list, flags...); v.code != c.code || v.calls != 0 || !strings.Contains(v.stdout, "Nothing to do") || !strings.Contains(v.stdout, "1 call accepted as paid and lost, 0 to ") {
			t.Errorf("the same command: exit %d after %d calls, want %d after none: %s", v.code, v.calls, c.code, v.stdout)
		}
		// A run that meets them has them as lost, and is complete.
		v := r.rerun(c.list, append([]string{"--new-run"}, flags...)...)
		if n := r.manifest.Accounts.ByStatus[schema.WrittenOff]; v.code != c.code || v.calls != 0 || n != 100 {
			t.Errorf("another run: exit %d after %d calls with %d lines lost, want %d, none, 100: %s", v.code, v.calls, n, c.code, v.stdout)
		}
		if !strings.Contains(v.stdout, "accepted as paid and lost (1): 100 lines") || !strings.Contains(v.stdout, "100 lost") {
			t.Errorf("the summary does not state the loss:\n%s", v.stdout)
		}
		r.checkRebuild()
	}
}

// TestAcceptedSignalsOnly: an accepted loss covers the signals of the lost call only;
// other signals are requested.
func TestAcceptedSignalsOnly(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	r.run(domainLines(300), "--concurrency", "1", "--signals", "news")
	r.mustExit(exitComplete, "held", "accept-loss")
	v := r.rerun(domainLines(300), "--signals", "news,growth")
	if v.code != exitComplete || v.entities != 300 || r.manifest.Accounts.ByStatus[schema.WrittenOff] != 0 {
		t.Errorf("exit %d, %d entities asked, fates %v; want %d, 300 and none lost", v.code, v.entities, r.manifest.Accounts.ByStatus, exitComplete)
	}
	if n := r.manifest.Events.ByCategory[schema.CategoryNews]; n != 0 {
		t.Errorf("%d news events bought again, want none", n)
	}
	r.mustExit(exitComplete, "verify")
}

// TestReleasedBeforePublication: a call that was released before its run was
// published holds nothing, and its run, which asked again, is complete.
func TestReleasedBeforePublication(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	list, flags := domainLines(600), append([]string{"--concurrency", "1"}, baseFlags...)
	crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 4 })
	r.rerun(list, flags...)
	clearHook(t)
	r.mustExit(exitComplete, "held", "retry")
	v := r.rerun(list, flags...)
	if held := r.manifest.InDoubt; v.code != exitComplete || len(held) != 1 || held[0].Decision != "released" || len(held[0].Accounts) != 0 {
		t.Errorf("exit %d, held %+v; want %d and one call that was released, without lines", v.code, held, exitComplete)
	}
	if strings.Contains(v.stdout, "held list") || !strings.Contains(v.stdout, "repeated as decided (1)") {
		t.Errorf("the summary speaks of a doubt that was settled:\n%s", v.stdout)
	}
	r.checkRebuild()
}

// TestInDoubtAndDeferred: exit code 21 hides no lines that are still to be asked
// about.
func TestInDoubtAndDeferred(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Switches: simulator.Switches{Events: "most"}, Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 1}}})
	r.run(domainLines(600), append([]string{"--concurrency", "1", "--batch-size", "10", "--max-credits", "500"}, baseFlags...)...)
	left := r.manifest.Accounts.ByStatus[schema.Deferred]
	if says := format.Count(left, "line") + " not requested yet; the same command"; r.code != exitInDoubt || left == 0 || !strings.Contains(r.stdout, says) {
		t.Errorf("exit %d with %d lines deferred, want %d, some and %q:\n%s", r.code, left, exitInDoubt, says, r.stdout)
	}
	v := r.rerun(domainLines(600), append([]string{"--max-credits", "unlimited"}, baseFlags...)...)
	if n := r.manifest.Accounts.ByStatus; v.code != exitInDoubt || n[schema.Deferred] != 0 || v.entities != int(left) {
		t.Errorf("again: exit %d, %d entities, fates %v; want %d, %d and none deferred", v.code, v.entities, n, exitInDoubt, left)
	}
}

// TestUnexplainedCredits: what was charged beyond the returned events is spread
// over accounts that did not cause it, and that is said.
func TestUnexplainedCredits(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "missing-entities-some", At: 2}}})
	r.run(domainLines(300), "--concurrency", "1", "--signals", "news,growth")
	c := r.manifest.Credits
	odd := c.Charged - r.manifest.Events.Returned
	if r.code != exitUnexplained {
		t.Errorf("exit %d, want %d", r.code, exitUnexplained)
	}
	if odd < 1 || c.Excess != odd || c.Discrepancies != 1 || c.Shortfall != 0 {
		t.Errorf("%d credits for %d events: the manifest says that %+v is beyond them, want %d by 1 call", c.Charged, r.manifest.Events.Returned, c, odd)
	}
	if says := format.Thousands(odd) + " more than the returned events explain"; !strings.Contains(r.stdout, says) {
		t.Errorf("the summary does not say %q:\n%s", says, r.stdout)
	}
	var notes []any
	for _, row := range r.table(schema.Calls) {
		notes = append(notes, row["notes"])
	}
	if note, _ := notes[1].(string); !strings.Contains(note, fmt.Sprintf("%d credits more than its events explain", odd)) || notes[0] != nil || notes[2] != nil {
		t.Errorf("calls.notes = %q, want one about %d credits at the second call", notes, odd)
	}
	r.mustExit(exitComplete, "verify")
}

// TestReconcileNarrows: what the balance fell by beyond the answers is the most that
// lost calls can have cost, even if others use the account.
func TestReconcileNarrows(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	at := envFor(t).Now()
	r := newRig(t, simulator.Config{Now: func() time.Time { return at }, Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	list, flags := domainLines(300), append([]string{"--concurrency", "1"}, baseFlags...)
	r.run(list, flags...)
	least, most := r.manifest.Credits.Charged, r.manifest.Credits.InDoubtCeiling
	lost := r.sim.Bill().Credits - least
	other := *r // uses the account as well
	other.lake = filepath.Join(t.TempDir(), "other")
	others := other.rerun("newcomer-11.example\nnewcomer-12.example\nnewcomer-13.example\n", baseFlags...).credits
	if lost == 0 || others == 0 || lost+others >= most {
		t.Fatalf("lost %d, others %d, ceiling %d: the test shows nothing", lost, others, most)
	}
	at = at.Add(2 * time.Minute) // the usage may be read five times a minute
	if v := r.rerun(list, append([]string{"--in-doubt", "probe"}, flags...)...); v.code != exitInDoubt || v.calls != 0 {
		t.Errorf("probe: exit %d, %d calls, want %d and none: %s", v.code, v.calls, exitInDoubt, v.stderr)
	}
	narrow := func() {
		t.Helper()
		status, verified := r.mustExit(exitComplete, "status"), r.mustExit(exitComplete, "verify")
		if says := fmt.Sprintf("%s to %s credits", format.Thousands(least), format.Thousands(least+lost+others)); !strings.Contains(status, says) {
			t.Errorf("status does not say %q:\n%s", says, status)
		}
		if says := fmt.Sprintf("between %s and %s credits", format.Thousands(least), format.Thousands(least+lost+others)); !strings.Contains(verified, says) {
			t.Errorf("verify does not say %q:\n%s", says, verified)
		}
	}
	narrow()
	if listed, says := r.mustExit(exitComplete, "held", "list"), fmt.Sprintf("0 to %s credits", format.Thousands(lost+others)); !strings.Contains(listed, says) {
		t.Errorf("held list does not say %q:\n%s", says, listed)
	}
	r.mustExit(exitComplete, "held", "accept-loss")
	narrow()
	r.checkRebuild()
}

// TestProvenBeforePublication: a call that a probe found not charged before its
// run was published is no money in doubt in its manifest either.
func TestProvenBeforePublication(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-before", At: 2}}})
	list, flags := domainLines(600), append([]string{"--concurrency", "1"}, baseFlags...)
	crashAt(t, func(_, path string) bool { return strings.HasSuffix(path, ".parquet.tmp") })
	r.rerun(list, flags...)
	clearHook(t)
	v := r.rerun(list, append([]string{"--in-doubt", "probe"}, flags...)...)
	if held := r.manifest.InDoubt; v.code != exitComplete || len(held) != 1 || held[0].Decision != "not_charged" || held[0].MaxCredits != 0 || r.manifest.Credits.InDoubtCalls != 0 {
		t.Errorf("exit %d, held %+v, credits %+v; want %d and one call that cost nothing: %s", v.code, held, r.manifest.Credits, exitComplete, v.stderr)
	}
	if strings.Contains(v.stdout, "Nothing to do") || !strings.Contains(v.stdout, "Calls not charged, according to the account's usage (1)") {
		t.Errorf("the summary:\n%s", v.stdout)
	}
	billed := r.sim.Bill().Credits
	r.checkInterval(billed, billed)
	r.checkRebuild()
}
