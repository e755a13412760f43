package ledger

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// TestMaxCost: a reconciliation bounds the sum of the calls before it, from a run on; ceilings
// bound each of the others.
func TestMaxCost(t *testing.T) {
	m := newLedgerRig(t)
	l := m.ledger
	lose := func(run *Run, id string) *Call {
		c := l.state.addCall(run, wal.Position{}, &intentRecord{Run: run.ID, Call: id, Batch: "000001", Query: 1, Ceiling: 100})
		c.Outcome = pipeline.InDoubt
		return c
	}
	l.state.queries = append(l.state.queries, &pipeline.Query{})
	first := l.Runs()[0]
	a, b := lose(first, "a"), lose(first, "b")
	if _, err := l.BeginRun(pipeline.RunSpec{ID: "second", Session: 1}); err != nil {
		t.Fatal(err)
	}
	second := l.Runs()[1]
	c := lose(second, "c")
	for _, r := range []struct {
		from *Run
		most int64
	}{{first, 150}, {second, 30}, {second, 40}} { // the last one is not lower
		if err := l.Recorder(r.from).RecordReconciliation(r.most, "a test"); err != nil {
			t.Fatal(err)
		}
	}
	d := lose(second, "d")
	if len(l.state.bounds) != 2 {
		t.Errorf("%d bounds, want 2", len(l.state.bounds))
	}
	for _, tt := range []struct {
		calls []*Call
		want  int64
	}{
		{nil, 0}, {[]*Call{a}, 100}, {[]*Call{a, b}, 150}, {[]*Call{c}, 30}, {[]*Call{a, c}, 130}, {[]*Call{d, c, b, a}, 250}, {[]*Call{c, d}, 130},
	} {
		if got := l.MaxCost(tt.calls...); got != tt.want {
			t.Errorf("MaxCost(%d calls) = %d, want %d", len(tt.calls), got, tt.want)
		}
	}

	a.Decision, b.Decision, c.Decision = Retry, WriteOff, NotCharged
	want := Liability{InDoubt: Share{1, 100}, Retry: Share{1, 100}, WrittenOff: Share{1, 100}, Decided: Share{2, 150}, MaxCost: 250}
	if diff := cmp.Diff(want, l.Liability(nil)); diff != "" {
		t.Errorf("Liability(nil) (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Liability{InDoubt: Share{1, 100}, MaxCost: 100}, l.Liability(second)); diff != "" {
		t.Errorf("Liability(second) (-want +got):\n%s", diff)
	}
}
