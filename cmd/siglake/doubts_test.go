package main

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// command runs another of the program's commands on the rig's lake.
func (r *rig) command(want int, words ...string) (stdout string) {
	r.t.Helper()
	var out, problems bytes.Buffer
	args := append(append([]string{"siglake"}, words...), "--lake", r.lake)
	if code := execute(context.Background(), args, strings.NewReader(""), &out, &problems); code != want {
		r.t.Errorf("%v: exit %d, want %d: %s%s", words, code, want, out.String(), problems.String())
	}
	return out.String()
}

// TestEarlierDoubts: lines that a call of an earlier run holds are itemised in
// the manifest of every run that meets them, under that call, and cost that run
// nothing.
func TestEarlierDoubts(t *testing.T) {
	oneDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	list := domains(300)
	r.run(list, append([]string{"--concurrency", "1"}, plain...)...)
	first := r.manifest
	if r.code != exitHeld || len(first.Held) != 1 || first.Held[0].Run != "" {
		t.Fatalf("exit %d, held %+v; want %d and one call of its own", r.code, first.Held, exitHeld)
	}
	if !strings.Contains(r.stdout, "siglake held list --lake "+r.lake) {
		t.Errorf("the summary does not say what to do:\n%s", r.stdout)
	}
	want := first.Held[0]
	want.Run = first.Run.ID

	// The second run dies before it publishes, and goes on: it must not list
	// anything twice.
	more := newcomer + "\n" + list
	dieAt(t, func(_, path string) bool { return strings.HasSuffix(path, ".parquet.tmp") })
	if v := r.visit(more, plain...); v.code != exitStorage {
		t.Fatalf("exit %d, want %d: %s", v.code, exitStorage, v.stderr)
	}
	revive()
	second := r.visit(more, plain...)
	got := r.manifest
	if second.code != exitHeld || got.Generation != 2 || got.Accounts.ByStatus[schema.Held] != 100 {
		t.Errorf("exit %d, generation %d, statuses %v; want %d, 2, 100 lines held", second.code, got.Generation, got.Accounts.ByStatus, exitHeld)
	}
	if len(got.Held) != 1 {
		t.Fatalf("held = %+v, want the one call of the first run", got.Held)
	}
	if gap := got.Held[0].Sent.Sub(want.Sent).Abs(); gap.Seconds() > 1 { // when it was meant, and when it was sent
		t.Errorf("sent at %s, want %s", got.Held[0].Sent, want.Sent)
	}
	want.Sent = got.Held[0].Sent
	if diff := cmp.Diff(want, got.Held[0]); diff != "" {
		t.Errorf("held (-as the first run had it +as the second has it):\n%s", diff)
	}
	if keys := slices.Sorted(maps.Keys(r.heldKeys())); !slices.Equal(keys, slices.Sorted(slices.Values(got.Held[0].Accounts))) {
		t.Errorf("itemised are %q, held %q", got.Held[0].Accounts, keys)
	}
	if c := got.Credits; c.AmbiguousCalls != 0 || c.AmbiguousCeiling != 0 {
		t.Errorf("credits = %+v, want none in doubt: they are the first run's", c)
	}
	for _, says := range []string{"Calls of earlier runs in doubt (1): 100 lines", want.Name(), "siglake held list --lake " + r.lake} {
		if !strings.Contains(second.stdout, says) {
			t.Errorf("the summary does not say %q:\n%s", says, second.stdout)
		}
	}
	r.checkReplay()

	// Taken as lost, they are not asked again, and nothing is left to decide.
	r.command(exitComplete, "held", "accept-loss")
	third := r.visit("newcomer-12.example\n"+list, plain...)
	want.Accepted, want.Decided = true, "accept_loss"
	if diff := cmp.Diff([]pipeline.Doubt{want}, r.manifest.Held); diff != "" {
		t.Errorf("held after accept-loss (-want +got):\n%s", diff)
	}
	if !strings.Contains(third.stdout, "taken as paid and lost (1): 100 lines") || strings.Contains(third.stdout, "held list") {
		t.Errorf("the summary speaks of a doubt that was settled:\n%s", third.stdout)
	}
	r.checkReplay()
}

// TestOwnDoubtTakenAsLost: a call that somebody gave up before its run was
// published is listed once, as given up, with the lines it holds.
func TestOwnDoubtTakenAsLost(t *testing.T) {
	oneDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	list, flags := domains(600), append([]string{"--concurrency", "1"}, plain...)
	dieAt(t, func(op, _ string) bool { return op == "sync" && r.billed() == 4 })
	r.visit(list, flags...)
	revive()
	r.command(exitComplete, "held", "accept-loss")
	v := r.visit(list, flags...)
	if held := r.manifest.Held; v.code != exitComplete || len(held) != 1 || held[0].Run != "" || !held[0].Accepted || len(held[0].Accounts) != 100 {
		t.Errorf("exit %d, held %+v; want %d and one call of its own, given up, with 100 lines", v.code, held, exitComplete)
	}
	if !strings.Contains(v.stdout, "taken as paid and lost (1): 100 lines") || strings.Contains(v.stdout, "held list") {
		t.Errorf("the summary speaks of a doubt that was settled:\n%s", v.stdout)
	}
	r.checkReplay()
}

// checkReplay: the journal alone gives the lists of doubts again, in the order
// and with the lines that they were published with.
func (r *rig) checkReplay() {
	r.t.Helper()
	r.command(exitComplete, "verify")
	again := &rig{t: r.t, lake: r.t.TempDir()}
	r.command(exitComplete, "rebuild", "--into", again.lake)
	was, is := r.generations(), again.generations()
	if len(was) != len(is) {
		r.t.Fatalf("%d generations after a rebuild, want %d", len(is), len(was))
	}
	for i := range was {
		if diff := cmp.Diff(was[i].Held, is[i].Held); diff != "" {
			r.t.Errorf("generation %d, held (-published +rebuilt):\n%s", i+1, diff)
		}
	}
}
