package ledger

import (
	"testing"
	"time"

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
		if got := l.Bill().MaxCost(tt.calls...); got != tt.want {
			t.Errorf("MaxCost(%d calls) = %d, want %d", len(tt.calls), got, tt.want)
		}
	}

	a.Decision, b.Decision, c.Decision = Retry, WriteOff, NotCharged
	want := Liability{InDoubt: Share{1, 100}, Retry: Share{1, 100}, WrittenOff: Share{1, 100}, Decided: Share{2, 150}, MaxCost: 250}
	if diff := cmp.Diff(want, l.Bill().Liability(nil)); diff != "" {
		t.Errorf("Liability(nil) (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Liability{InDoubt: Share{1, 100}, MaxCost: 100}, l.Bill().Liability(second)); diff != "" {
		t.Errorf("Liability(second) (-want +got):\n%s", diff)
	}
}

// TestMaxCostSince: settled calls count with their charge, all others with what they can have cost,
// from a time on and for the runs that are asked for.
func TestMaxCostSince(t *testing.T) {
	m := newLedgerRig(t)
	l := m.ledger
	l.state.queries = append(l.state.queries, &pipeline.Query{})
	if _, err := l.BeginRun(pipeline.RunSpec{ID: "second", Session: 1, Job: "nightly"}); err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 5, 30, 0, 0, 0, 0, time.UTC)
	add := func(run *Run, at time.Time, change func(*Call)) {
		c := l.state.addCall(run, wal.Position{}, &intentRecord{Run: run.ID, Call: at.String(), Batch: "000001", Query: 1, Ceiling: 100, Time: at})
		change(c)
	}
	charged := func(credits int64) func(*Call) {
		return func(c *Call) { c.Outcome, c.Charge = pipeline.Charged, pipeline.StatedCharge(credits, "") }
	}
	inDoubt := func(d Decision) func(*Call) {
		return func(c *Call) { c.Outcome, c.Decision = pipeline.InDoubt, d }
	}
	first, second := l.Runs()[0], l.Runs()[1]
	add(first, begin.Add(-time.Second), charged(1000))
	add(first, begin, charged(7))
	add(first, begin, func(c *Call) { c.Outcome = pipeline.NotCharged })
	add(first, begin, func(c *Call) { c.Outcome = pipeline.Charged }) // and nothing understood of the charge
	add(second, begin.Add(time.Hour), charged(5))
	add(second, begin.Add(time.Hour), inDoubt(""))
	add(second, begin.Add(time.Hour), inDoubt(Retry))
	add(second, begin.Add(time.Hour), inDoubt(WriteOff))
	add(second, begin.Add(time.Hour), inDoubt(NotCharged))
	l.state.calls = append(l.state.calls, nil) // left behind by a checkpoint
	first.past, first.FirstStarted = pastCalls{Calls: 3, Charged: 50}, begin.AddDate(0, 0, -40)
	all := func(*Run) bool { return true }
	for _, tt := range []struct {
		since   time.Time
		include func(*Run) bool
		want    int64
	}{
		{begin, all, 412}, {begin.Add(-time.Hour), all, 1412}, {begin.Add(time.Minute), all, 305}, {begin.Add(2 * time.Hour), all, 0},
		{begin, func(r *Run) bool { return r.Job == "nightly" }, 305}, {begin, func(r *Run) bool { return r.Job == "" }, 107},
	} {
		if got := l.Bill().MaxCostSince(tt.since, tt.include); got != tt.want {
			t.Errorf("MaxCostSince(%s) = %d, want %d", tt.since, got, tt.want)
		}
	}
	first.FirstStarted = begin.Add(time.Hour) // by a clock that was set back
	if got := l.Bill().MaxCostSince(begin, all); got != 412+50 {
		t.Errorf("MaxCostSince, with a part that was left behind = %d, want %d", got, 462)
	}
	first.past = pastCalls{}
	if checkpointDays < 31 {
		t.Errorf("a checkpoint keeps %d days, want a month at least", checkpointDays)
	}
	if err := l.Recorder(first).RecordReconciliation(150, "a test"); err != nil {
		t.Fatal(err)
	}
	if got := l.Bill().MaxCostSince(begin, all); got != 12+150 {
		t.Errorf("MaxCostSince, bounded by the account = %d, want %d", got, 162)
	}
}
