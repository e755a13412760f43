package main

import (
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestFixedSinceInDoubt: a call of the first night is in doubt, and every night asks a window with the
// same first day. The next nights are not held up by it, and name it before they buy its days again.
// Nights that ask only for what is new leave it alone until it is decided.
func TestFixedSinceInDoubt(t *testing.T) {
	t.Parallel()
	n := newUnattended(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	fixed := []string{"--since", "2026-04-06"}
	night := func(want int, flags ...string) runResult {
		t.Helper()
		v := n.run(300, flags...)
		if s := n.status(exitComplete); v.code != want || v.entities == 0 || s.OpenLines != 0 || s.Liability.InDoubt.Calls != 1 {
			t.Fatalf("night %s: exit %d, %d entities, status %+v; want %d, some, nothing open and one call in doubt: %s", n.now, v.code, v.entities, s, want, v.stderr)
		}
		n.checkBill()
		n.tomorrow()
		return v
	}
	night(exitInDoubt, fixed...)
	inDoubt := n.manifest.InDoubt
	if len(inDoubt) != 1 || n.manifest.Accounts.ByStatus[schema.InDoubt] != 100 {
		t.Fatalf("in doubt: %+v, lines %v; want one call with 100 lines", inDoubt, n.manifest.Accounts.ByStatus)
	}
	name := n.manifest.Run.ID + "/" + inDoubt[0].Call
	lost := n.sim.Bill().Credits - n.manifest.Credits.Charged
	if lost == 0 {
		t.Fatal("the call in doubt bought nothing: the test shows nothing")
	}

	// A night that asks for what is new asks its lines for the days after its window, and says so.
	v := night(exitInDoubt, "--since", "last", "--nightly-types", "news,growth")
	if v.credits > lost/2 || strings.Contains(v.stderr, "may be paid twice") || n.manifest.Accounts.ByStatus[schema.InDoubt] != 0 {
		t.Errorf("since last: %d credits, the call in doubt cost %d: %s", v.credits, lost, v.stderr)
	}
	for range 2 {
		v := night(exitComplete, fixed...)
		if !strings.Contains(v.stderr, "repeating calls in doubt that are undecided") || !strings.Contains(v.stderr, name) {
			t.Errorf("the days of %s are bought again, and the run does not name it: %s", name, v.stderr)
		}
		if v.credits <= lost || n.manifest.Accounts.ByStatus[schema.InDoubt] != 0 {
			t.Errorf("%d credits, lines %v; want all days bought again, and no line held", v.credits, n.manifest.Accounts.ByStatus)
		}
	}
	// Its days were bought since: nothing of them is held any more.
	v = night(exitComplete, "--since", "last", "--nightly-types", "news,growth")
	if v.credits > lost/2 || n.manifest.Accounts.ByStatus[schema.InDoubt] != 0 {
		t.Errorf("since last, behind the fixed windows: %d credits, lines %v: %s", v.credits, n.manifest.Accounts.ByStatus, v.stderr)
	}
}

// TestDecidedBetweenNights: once a call in doubt is released, the next night asks for its days again, and
// the nights after it do not. What was accepted as lost is not asked again.
func TestDecidedBetweenNights(t *testing.T) {
	t.Parallel()
	for _, decision := range []string{"retry", "accept-loss"} {
		t.Run(decision, func(t *testing.T) {
			t.Parallel()
			n := newUnattended(t, simulator.Config{CountDistinct: true, Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 1}}})
			n.flags = append(n.flags, "--since", "last", "--nightly-types", "news,growth")
			night := func(want int, flags ...string) runResult {
				t.Helper()
				v := n.run(60, flags...)
				if v.code != want {
					t.Fatalf("night %s: exit %d, want %d: %s", n.now, v.code, want, v.stderr)
				}
				n.checkBill()
				n.tomorrow()
				return v
			}
			lost := night(exitInDoubt).credits - n.manifest.Credits.Charged
			if lost == 0 {
				t.Fatal("the call in doubt bought nothing: the test shows nothing")
			}
			name := n.manifest.Run.ID + "/" + n.manifest.InDoubt[0].Call
			says := func(v runResult, text string) {
				t.Helper()
				if !strings.Contains(text, name) || !strings.Contains(text, "siglake held") || v.credits >= lost {
					t.Errorf("before the decision: %d credits, the call in doubt cost %d; want less, and %s named: %s", v.credits, lost, name, text)
				}
			}
			v := night(exitInDoubt)
			says(v, v.stdout)
			if s := n.status(exitStale, "--max-age", "26h"); s.Runs[1].State != "held" || *s.Runs[1].Exit != exitInDoubt || s.Lists[0].LastGood != "" {
				t.Errorf("status before the decision: %+v, last good run %q", s.Runs[1], s.Lists[0].LastGood)
			}
			if v = night(exitInDoubt, "--quiet"); v.stdout != "" {
				t.Errorf("--quiet prints %s", v.stdout)
			}
			says(v, v.stderr)
			n.mustExit(exitComplete, "held", decision)
			if s := n.status(exitComplete); s.Runs[2].State != "complete" || s.Lists[0].LastGood != s.Runs[2].Run {
				t.Errorf("status after the decision: %+v, last good run %q", s.Runs[2], s.Lists[0].LastGood)
			}
			v = night(exitComplete)
			if again := v.credits >= lost; again != (decision == "retry") {
				t.Errorf("after the decision: %d credits, the call in doubt cost %d: %s", v.credits, lost, v.stderr)
			}
			if v = night(exitComplete); v.credits >= lost {
				t.Errorf("a night later: %d credits, the call in doubt cost %d", v.credits, lost)
			}
			bill, have := n.sim.Bill(), int64(len((&nights{rig: n.rig}).boughtEvents()))
			if missing := bill.Distinct - have; (missing == 0) != (decision == "retry") || missing > lost {
				t.Errorf("the lake lacks %d of %d events that were sold", missing, bill.Distinct)
			}
		})
	}
}
