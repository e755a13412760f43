package main

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// mustExit runs another of the program's commands on the rig's lake.
func (r *rig) mustExit(want int, words ...string) (stdout string) {
	r.t.Helper()
	var out, problems bytes.Buffer
	args := append(append([]string{"siglake"}, words...), "--lake", r.lake)
	if code := envFor(r.t).execute(context.Background(), args, strings.NewReader(""), &out, &problems); code != want {
		r.t.Errorf("%v: exit %d, want %d: %s%s", words, code, want, out.String(), problems.String())
	}
	return out.String()
}

// TestEarlierCallsInDoubt: lines that a call of an earlier run holds are itemised in
// the manifest of every run that meets them, under that call, and cost that run
// nothing.
func TestEarlierCallsInDoubt(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	list := domainLines(300)
	r.run(list, append([]string{"--concurrency", "1"}, baseFlags...)...)
	first := r.manifest
	if r.code != exitInDoubt || len(first.InDoubt) != 1 || first.InDoubt[0].Run != "" {
		t.Fatalf("exit %d, held %+v; want %d and one call of its own", r.code, first.InDoubt, exitInDoubt)
	}
	if !strings.Contains(r.stdout, "siglake held list --lake "+r.lake) {
		t.Errorf("the summary does not say what to do:\n%s", r.stdout)
	}
	want := first.InDoubt[0]
	want.Run = first.Run.ID

	// The second run dies before it publishes, and continues: it must not list
	// anything twice.
	more := extraDomain + "\n" + list
	crashAt(t, func(_, path string) bool { return strings.HasSuffix(path, ".parquet.tmp") })
	if v := r.rerun(more, baseFlags...); v.code != exitStorage {
		t.Fatalf("exit %d, want %d: %s", v.code, exitStorage, v.stderr)
	}
	clearHook(t)
	second := r.rerun(more, baseFlags...)
	got := r.manifest
	if second.code != exitInDoubt || got.Generation != 2 || got.Accounts.ByStatus[schema.InDoubt] != 100 {
		t.Errorf("exit %d, generation %d, statuses %v; want %d, 2, 100 lines held", second.code, got.Generation, got.Accounts.ByStatus, exitInDoubt)
	}
	if len(got.InDoubt) != 1 {
		t.Fatalf("held = %+v, want the one call of the first run", got.InDoubt)
	}
	if gap := got.InDoubt[0].Sent.Sub(want.Sent).Abs(); gap > time.Minute { // when it was meant, and when it was sent
		t.Errorf("sent at %s, want %s", got.InDoubt[0].Sent, want.Sent)
	}
	want.Sent = got.InDoubt[0].Sent
	if diff := cmp.Diff(want, got.InDoubt[0]); diff != "" {
		t.Errorf("held (-as the first run had it +as the second has it):\n%s", diff)
	}
	if keys := slices.Sorted(maps.Keys(r.inDoubtKeys())); !slices.Equal(keys, slices.Sorted(slices.Values(got.InDoubt[0].Accounts))) {
		t.Errorf("itemised are %q, held %q", got.InDoubt[0].Accounts, keys)
	}
	if c := got.Credits; c.InDoubtCalls != 0 || c.InDoubtCeiling != 0 {
		t.Errorf("credits = %+v, want none in doubt: they are the first run's", c)
	}
	for _, says := range []string{"Calls of earlier runs in doubt (1): 100 lines", want.Name(), "siglake held list --lake " + r.lake} {
		if !strings.Contains(second.stdout, says) {
			t.Errorf("the summary does not say %q:\n%s", says, second.stdout)
		}
	}
	r.checkRebuild()

	// Taken as lost, they are not asked again, and nothing is left to decide.
	r.mustExit(exitComplete, "held", "accept-loss")
	third := r.rerun("newcomer-12.example\n"+list, baseFlags...)
	want.WrittenOff, want.Decision = true, "accept_loss"
	if diff := cmp.Diff([]pipeline.InDoubtCall{want}, r.manifest.InDoubt); diff != "" {
		t.Errorf("held after accept-loss (-want +got):\n%s", diff)
	}
	if !strings.Contains(third.stdout, "accepted as paid and lost (1): 100 lines") || strings.Contains(third.stdout, "held list") {
		t.Errorf("the summary speaks of a doubt that was settled:\n%s", third.stdout)
	}
	r.checkRebuild()
}

// TestOwnCallWrittenOff: a call that was written off before its run was published is
// listed once, as written off, with the lines it holds.
func TestOwnCallWrittenOff(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	list, flags := domainLines(600), append([]string{"--concurrency", "1"}, baseFlags...)
	crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 4 })
	r.rerun(list, flags...)
	clearHook(t)
	r.mustExit(exitComplete, "held", "accept-loss")
	v := r.rerun(list, flags...)
	if held := r.manifest.InDoubt; v.code != exitComplete || len(held) != 1 || held[0].Run != "" || !held[0].WrittenOff || len(held[0].Accounts) != 100 {
		t.Errorf("exit %d, held %+v; want %d and one call of its own, given up, with 100 lines", v.code, held, exitComplete)
	}
	if !strings.Contains(v.stdout, "accepted as paid and lost (1): 100 lines") || strings.Contains(v.stdout, "held list") {
		t.Errorf("the summary speaks of a doubt that was settled:\n%s", v.stdout)
	}
	r.checkRebuild()
}

// checkRebuild: the journal alone gives the lists of doubts again, in the order
// and with the lines that they were published with.
func (r *rig) checkRebuild() {
	r.t.Helper()
	r.mustExit(exitComplete, "verify")
	again := &rig{t: r.t, lake: r.t.TempDir()}
	r.mustExit(exitComplete, "rebuild", "--into", again.lake)
	was, is := r.generations(), again.generations()
	if len(was) != len(is) {
		r.t.Fatalf("%d generations after a rebuild, want %d", len(is), len(was))
	}
	for i := range was {
		if diff := cmp.Diff(was[i].InDoubt, is[i].InDoubt); diff != "" {
			r.t.Errorf("generation %d, held (-published +rebuilt):\n%s", i+1, diff)
		}
	}
}
