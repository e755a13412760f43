package main

import (
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// TestNightsCapped: where an answer reached --max-results, the following nights buy nothing again, and
// say so; a night with a higher one buys the older events, once, and no more of the known ones than
// plan says.
func TestNightsCapped(t *testing.T) {
	t.Parallel()
	n := newNights(t, simulator.Config{}, companyDomains(proof.Size(60, 200, 1000)))
	n.watch.Signals = []string{"surgeInHiring", "financialEventsNews", "peopleNews"}
	flags := []string{"--signals", strings.Join(n.watch.Signals, ","), "--since", "last", "--max-results"}
	plan := func(night int, maxResults string) (o app.PlanReport) {
		t.Helper()
		v := n.exec(t.Context(), []string{"plan", "-", "--json", "--as-of", n.day(night).Format(time.DateOnly)}, n.list, append(flags, maxResults)...)
		n.decode([]byte(v.stdout), &o)
		return o
	}
	capped := func(night int) *app.CappedStatus {
		t.Helper()
		var status app.LakeStatus
		n.decode([]byte(n.mustExit(exitComplete, "status", "--json", "--as-of", n.day(night).Format(time.DateOnly))), &status)
		return status.Capped
	}
	n.run(0, append(flags, "1")...)
	first := capped(0)
	if first == nil || first.Pairs == 0 || first.Final > 0 || first.Pairs != n.manifest.Events.CappedPairs || !strings.Contains(n.mustExit(exitComplete, "status", "--as-of", n.day(0).Format(time.DateOnly)), "reached --max-results") {
		t.Fatalf("status: %+v, the manifest has %d pairs; want as many", first, n.manifest.Events.CappedPairs)
	}
	if v := n.run(1, append(flags, "1")...); v.credits > 0 && n.manifest.Events.Known > 0 || strings.Contains(v.stderr, "older events") {
		t.Errorf("the same cap buys %d known events again: %s", n.manifest.Events.Known, v.stderr)
	}
	if o := plan(2, "1"); o.Night.Pairs.Capped != first.Pairs || o.Night.Pairs.CappedAgain > 0 {
		t.Errorf("a plan with the same cap: %+v, want %d pairs that miss events and none asked again", o.Night.Pairs, first.Pairs)
	}
	o := plan(2, "100")
	if o.Night.Pairs.CappedAgain != first.Pairs || o.Night.Pairs.CappedEvents < first.Known || o.Night.Pairs.Capped > 0 {
		t.Errorf("a plan with a higher cap: %+v, want %d pairs asked again for %d events or more", o.Night.Pairs, first.Pairs, first.Known)
	}
	v := n.run(2, append(flags, "100")...)
	if v.code != exitComplete || n.manifest.Events.Known == 0 || n.manifest.Events.Known > o.Night.Pairs.CappedEvents || !strings.Contains(v.stderr, "older events") {
		t.Errorf("exit %d, %d events bought again, want 1 to %d, and a warning: %s", v.code, n.manifest.Events.Known, o.Night.Pairs.CappedEvents, v.stderr)
	}
	have, w := n.boughtEvents(), n.watch
	w.From, w.To = n.day(-90), n.day(0)
	for e := range n.sim.Sightings(w) {
		if !e.Visible.After(n.day(0)) && have[e.Signal+" "+e.SignalID] != 1 {
			t.Errorf("the lake has the event %s of %s %d times, want once", e.SignalID, e.Date, have[e.Signal+" "+e.SignalID])
		}
	}
	if got := capped(2); got != nil {
		t.Errorf("status after a higher cap: %+v, want none", got)
	}
	if v := n.run(3, append(flags, "100")...); v.code != exitComplete || n.manifest.Events.Known > 0 || strings.Contains(v.stderr, "older events") {
		t.Errorf("the next night: exit %d, %d events bought again, want none: %s", v.code, n.manifest.Events.Known, v.stderr)
	}
	n.mustExit(exitComplete, "verify")
}

// TestNightsCappedInDoubt: if the calls for older events lose their answers, the next night does not
// repeat them, and they are asked again once they are released.
func TestNightsCappedInDoubt(t *testing.T) {
	t.Parallel()
	n := newNights(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}}, companyDomains(40))
	flags := []string{"--signals", "surgeInHiring", "--since", "last", "--max-results"}
	if v := n.run(0, append(flags, "1")...); v.code != exitComplete || n.manifest.Events.CappedPairs == 0 {
		t.Fatalf("exit %d, %d pairs reached the cap; want some: %s", v.code, n.manifest.Events.CappedPairs, v.stderr)
	}
	pairs := n.manifest.Events.CappedPairs
	if v := n.run(1, append(flags, "50")...); v.code != exitInDoubt {
		t.Fatalf("exit %d, want %d: %s", v.code, exitInDoubt, v.stderr)
	}
	billed := n.sim.Bill().Credits
	if v := n.run(2, append(flags, "50")...); v.credits > 0 && n.manifest.Events.Known > 0 {
		t.Errorf("exit %d: %d events bought again while a call is in doubt: %s", v.code, n.manifest.Events.Known, v.stderr)
	}
	n.mustExit(exitComplete, "held", "retry", "--as-of", n.day(2).Format(time.DateOnly))
	if v := n.run(3, append(flags, "50")...); v.code != exitComplete || n.sim.Bill().Credits == billed {
		t.Errorf("after the release: exit %d, %d credits: %s", v.code, v.credits, v.stderr)
	}
	var status app.LakeStatus
	n.decode([]byte(n.mustExit(exitComplete, "status", "--json", "--as-of", n.day(3).Format(time.DateOnly))), &status)
	if status.Capped != nil {
		t.Errorf("of %d pairs these still miss events: %+v", pairs, status.Capped)
	}
}

// TestNightsReleasedAndCapped: what was released is asked again once, also if the answer reaches its cap:
// the nights after it ask from its newest event on.
func TestNightsReleasedAndCapped(t *testing.T) {
	t.Parallel()
	n := newNights(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 1}}}, companyDomains(40))
	flags := []string{"--signals", "surgeInHiring", "--since", "last", "--max-results", "1"}
	if v := n.run(0, flags...); v.code != exitInDoubt {
		t.Fatalf("exit %d, want %d: %s", v.code, exitInDoubt, v.stderr)
	}
	n.mustExit(exitComplete, "held", "retry", "--as-of", n.day(0).Format(time.DateOnly))
	if v := n.run(7, flags...); v.code != exitComplete || n.manifest.Events.CappedPairs == 0 || n.manifest.Events.New == 0 {
		t.Fatalf("exit %d, %d pairs reached the cap; want some: %s", v.code, n.manifest.Events.CappedPairs, v.stderr)
	}
	for night := 14; night < 42; night += 7 {
		if n.run(night, flags...); n.manifest.Events.Known > 0 {
			t.Errorf("night %d buys %d known events again", night, n.manifest.Events.Known)
		}
	}
}
