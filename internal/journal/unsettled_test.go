package journal

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/pipeline"
)

// TestMost: what was read of the account bounds the calls made before it, from a
// run on, together; ceilings bound each of the others.
func TestMost(t *testing.T) {
	m := newMoney(t)
	j := m.journal
	lose := func(run *Run, id string) *Call {
		j.addCall(run, position{}, &intent{Run: run.ID, Call: id, Batch: "000001", Query: 1, Ceiling: 100})
		c := run.Calls[len(run.Calls)-1]
		c.Outcome = pipeline.Ambiguous
		return c
	}
	j.queries = append(j.queries, pipeline.Query{})
	first := j.runs[0]
	a, b := lose(first, "a"), lose(first, "b")
	if _, err := j.Begin(Begin{ID: "second", Session: 1}); err != nil {
		t.Fatal(err)
	}
	second := j.runs[1]
	c := lose(second, "c")
	for _, r := range []struct {
		from *Run
		most int64
	}{{first, 150}, {second, 30}, {second, 40}} { // the last one says nothing new
		if err := j.Read(r.from, r.most, "a test"); err != nil {
			t.Fatal(err)
		}
	}
	d := lose(second, "d")
	if len(j.bounds) != 2 {
		t.Errorf("%d bounds, want 2", len(j.bounds))
	}
	for _, tt := range []struct {
		calls []*Call
		want  int64
	}{
		{nil, 0}, {[]*Call{a}, 100}, {[]*Call{a, b}, 150}, {[]*Call{c}, 30}, {[]*Call{a, c}, 130}, {[]*Call{d, c, b, a}, 250}, {[]*Call{c, d}, 130},
	} {
		if got := j.Most(tt.calls...); got != tt.want {
			t.Errorf("Most(%d calls) = %d, want %d", len(tt.calls), got, tt.want)
		}
	}

	a.Resolved, b.Resolved, c.Resolved = Released, Lost, NotCharged
	want := Unsettled{Doubts: Span{1, 100}, Released: Span{1, 100}, Lost: Span{1, 100}, Decided: Span{2, 150}, Most: 250}
	if diff := cmp.Diff(want, j.Unsettled(nil)); diff != "" {
		t.Errorf("Unsettled(nil) (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Unsettled{Doubts: Span{1, 100}, Most: 100}, j.Unsettled(second)); diff != "" {
		t.Errorf("Unsettled(second) (-want +got):\n%s", diff)
	}
}
