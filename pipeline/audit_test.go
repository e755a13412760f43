package pipeline

import (
	"math"
	"testing"
)

// TestMissedShare: intervals agree with published ones of Clopper and Pearson.
func TestMissedShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		missed, events     int64
		share, least, most float64
	}{
		{0, 0, 0, 0, 1},
		{0, 10, 0, 0, 0.3085},
		{1, 10, 0.1, 0.0025, 0.4450},
		{5, 10, 0.5, 0.1871, 0.8129},
		{10, 10, 1, 0.6915, 1},
		{3, 1000, 0.003, 0.0006, 0.0087},
		{300, 100_000, 0.003, 0.00267, 0.00336},
	} {
		share, least, most := (&AuditCounts{Missed: c.missed, Events: c.events}).MissedShare()
		if math.Abs(share-c.share) > 1e-9 || math.Abs(least-c.least) > 6e-5 || math.Abs(most-c.most) > 6e-5 {
			t.Errorf("%d of %d: %.5f (%.5f to %.5f), want %.5f (%.5f to %.5f)", c.missed, c.events, share, least, most, c.share, c.least, c.most)
		}
	}
}

// TestAddPair: a late event is one that no later question would ask for, and only days older than the
// lateness count as missed.
func TestAddPair(t *testing.T) {
	t.Parallel()
	var a AuditCounts
	a.AddPair([]AuditedEvent{{100, true}, {101, false}, {106, false}, {107, false}, {110, true}, {111, false}, {99, false}}, 100, 106, 110)
	a.AddPair(nil, 100, 106, 110)
	if want := (AuditCounts{Pairs: 2, Events: 3, Missed: 2, Late: 4}); a != want {
		t.Errorf("%+v, want %+v", a, want)
	}
	if got := NewAudit(a, a); got.Total.Events != 6 || got.Missed != 4.0/6 {
		t.Errorf("of two runs: %+v", got)
	}
}
