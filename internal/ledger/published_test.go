package ledger

import (
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// TestMissing: a ledger lacks what a published manifest names if it has no such run, fewer calls,
// fewer answers or fewer credits, or does not know that the run was prepared. What it knows in
// addition does not matter.
func TestMissing(t *testing.T) {
	t.Parallel()
	credits := func(n int64) *int64 { return &n }
	published := &pipeline.Manifest{Run: pipeline.RunInfo{ID: "r1"}, PerCall: []pipeline.CallSummary{
		{ID: "000001-1", Outcome: pipeline.Charged, Credits: credits(7)},
		{ID: "000002-1", Outcome: pipeline.InDoubt},
		{ID: "000003-1", Outcome: pipeline.Charged},
		{ID: "000004-1", Outcome: pipeline.NotCharged, Credits: credits(0)},
	}}
	published.Calls.Total, published.Credits.Charged = 4, 7
	for _, tt := range []struct {
		name string
		edit func(*Run, *state)
		want string // part of the result; empty: nothing is missing
	}{
		{"complete", func(*Run, *state) {}, ""},
		{"another call, which is in flight", func(r *Run, s *state) { addTestCall(s, r, "000005-1", "", pipeline.Charge{}) }, ""},
		{"an answer that was read again", func(_ *Run, s *state) {
			s.calls[1].Outcome, s.calls[1].Charge = pipeline.Charged, pipeline.StatedCharge(5, "")
		}, ""},
		{"a charge that is no number any more", func(_ *Run, s *state) { s.calls[0].Charge = pipeline.Charge{} }, ""},
		{"no run", func(r *Run, s *state) { s.runs = nil }, "it has no run r1"},
		{"another run", func(r *Run, s *state) { r.ID = "r2" }, "it has no run r1"},
		{"no call", func(_ *Run, s *state) { delete(s.callNumbers, "r1/000004-1") }, "3 of 4 calls"},
		{"no answer", func(_ *Run, s *state) { s.calls[0].Outcome, s.calls[0].Charge = "", pipeline.Charge{} }, "3 of 4 calls"},
		{"no answer, of an unknown charge", func(_ *Run, s *state) { s.calls[2].Outcome = pipeline.InDoubt }, "3 of 4 calls"},
		{"fewer credits", func(_ *Run, s *state) { s.calls[0].Charge = pipeline.StatedCharge(6, "") }, "6 of 7 credits"},
		{"not prepared", func(r *Run, _ *state) { r.Prepared = nil }, "was prepared"},
	} {
		s := newState()
		s.queries = []*pipeline.Query{{}}
		r := s.beginRun(&pipeline.RunSpec{ID: "r1"})
		r.Prepared = &wal.Position{}
		addTestCall(s, r, "000001-1", pipeline.Charged, pipeline.StatedCharge(7, ""))
		addTestCall(s, r, "000002-1", pipeline.InDoubt, pipeline.Charge{})
		addTestCall(s, r, "000003-1", pipeline.Charged, pipeline.Charge{})
		addTestCall(s, r, "000004-1", pipeline.NotCharged, pipeline.Charge{})
		tt.edit(r, s)
		got := Losses{&loader{state: s}}.Missing(published)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: Missing() = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func addTestCall(s *state, r *Run, id string, o pipeline.Outcome, charge pipeline.Charge) {
	c := s.addCall(r, wal.Position{}, &intentRecord{Run: r.ID, Call: id, Batch: strings.TrimSuffix(id, "-1"), Attempt: 1, Query: 1})
	c.Outcome, c.Charge = o, charge
}
