package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// TestRecentOnDemand: to look at the runs of a ledger decodes no purchases, and says the same as all of
// its records do.
func TestRecentOnDemand(t *testing.T) {
	t.Parallel()
	n := manyNights()
	n.lose = func(night int, b *pipeline.Batch) bool { return night == 3 && b.ID == "000002" }
	store := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, store, 0, 6)
	n.checkpointEvery = 1 << 40
	n.addAll(t, store, 6, 8) // after the checkpoint
	lazy, full := n.open(t, store, 8, false), n.open(t, store, 8, true)
	if lazy.state.recent == nil || len(lazy.state.later) != 6 {
		t.Fatalf("recent purchases %v, %d outcomes are waiting; want them, and 6", lazy.state.recent, len(lazy.state.later))
	}
	for i, r := range lazy.Runs() {
		want := full.Runs()[i]
		if r.CallCount() != want.CallCount() || r.Cost() != want.Cost() || r.ChargedCredits() != want.ChargedCredits() {
			t.Errorf("run %s: %d calls, %+v, %d credits; want %d, %+v, %d", r.ID, r.CallCount(), r.Cost(), r.ChargedCredits(), want.CallCount(), want.Cost(), want.ChargedCredits())
		}
		if diff := cmp.Diff(want.RunSpec, r.RunSpec); diff != "" {
			t.Errorf("run %s (-from all records +from the checkpoint):\n%s", r.ID, diff)
		}
	}
	if diff := cmp.Diff(full.Bill().Liability(nil), lazy.Bill().Liability(nil)); diff != "" || len(lazy.CallsInDoubt()) != 1 {
		t.Errorf("%d calls in doubt, liability (-from all records +from the checkpoint):\n%s", len(lazy.CallsInDoubt()), diff)
	}
	if lazy.state.recent == nil || lazy.state.cursors.table != nil {
		t.Error("purchases were decoded without a question about them")
	}
	if diff := cmp.Diff(n.answersOf(t, full, 8), n.answersOf(t, lazy, 8)); diff != "" || lazy.state.recent != nil {
		t.Errorf("decoded %v; answers (-from all records +from the checkpoint):\n%s", lazy.state.recent == nil, diff)
	}
	if since := n.day(2); n.open(t, store, 8, false).Bill().MaxCostSince(since, everyRun) != full.Bill().MaxCostSince(since, everyRun) {
		t.Error("the cost since a day differs")
	}
}

// TestRecentDamaged: if the purchases of a checkpoint cannot be decoded, all records are read; and if
// these cannot be read either, no call is made.
func TestRecentDamaged(t *testing.T) {
	t.Parallel()
	for i, damage := range []func(*recentParts){
		func(r *recentParts) { r.index = part{compressBody([]byte("no index")), 8} },
		func(r *recentParts) { r.calls = part{[]byte("not compressed"), 1} },
		func(r *recentParts) { r.document.length++ },
		func(r *recentParts) { r.document = part{compressBody([]byte("{}")), 2} },
	} {
		n := manyNights()
		dir := t.TempDir()
		store := openStore(t, dir, unsynced)
		n.addAll(t, store, 0, 4)
		l, full := n.open(t, store, 4, false), n.open(t, store, 4, true)
		damage(l.state.recent)
		if diff := cmp.Diff(n.answersOf(t, full, 4), n.answersOf(t, l, 4)); diff != "" {
			t.Errorf("damage %d: answers (-from all records +from a damaged checkpoint):\n%s", i, diff)
		}

		if err := os.Truncate(filepath.Join(dir, "00000002.journal"), 4096+100); err != nil {
			t.Fatal(err)
		}
		l = n.open(t, store, 4, false)
		damage(l.state.recent)
		l.Purchases(nil, TTL{})
		recorder := &Recorder{ledger: l, state: l.state, run: l.Runs()[0]}
		if _, err := recorder.recordIntent(nil, &pipeline.Batch{Query: n.query(4)}); !errors.Is(err, wal.ErrCorrupt) {
			t.Errorf("damage %d: a call is recorded: %v, want an error", i, err)
		}
		if !l.Purchases(nil, TTL{}).MayRepurchase([]pipeline.Query{*n.query(4)}) {
			t.Errorf("damage %d: nothing is bought again, although it is not known what was bought", i)
		}
	}
}

// TestCursorsAfterPast: the cursors of a ledger with a checkpoint that has none are the same whether what
// it left behind was read before or not.
func TestCursorsAfterPast(t *testing.T) {
	t.Parallel()
	n := manyNights()
	n.companies = 10
	store := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, store, 0, 45)
	l, full := n.open(t, store, 45, false), n.open(t, store, 45, true)
	if l.state.cursors.stored != nil || l.state.past.days == 0 {
		t.Fatalf("cursors %v, left behind up to %s; want none, and a day", l.state.cursors.stored, l.state.past.days)
	}
	if err := l.readPast(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(n.answersOf(t, full, 45), n.answersOf(t, l, 45)); diff != "" {
		t.Errorf("answers (-from all records +from the checkpoint):\n%s", diff)
	}
}
