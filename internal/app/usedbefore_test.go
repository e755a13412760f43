package app

import (
	"testing"

	"github.com/siglake/siglake/internal/ledger"
)

// TestUsedBefore: the account of an embedded simulator says nothing of a run that another process began.
func TestUsedBefore(t *testing.T) {
	t.Parallel()
	used := int64(7)
	run := new(ledger.Run)
	run.UsedCredits = &used
	for _, tt := range []struct {
		resumed, simulated bool
		want               *int64
	}{{false, true, &used}, {true, false, &used}, {true, true, nil}} {
		s := &session{job: &Job{}}
		s.job.API.Simulate = tt.simulated
		if tt.resumed {
			s.match.resume = run
		}
		if got := s.usedBefore(run); got != tt.want {
			t.Errorf("resumed %t, simulated %t: %v, want %v", tt.resumed, tt.simulated, got, tt.want)
		}
	}
}
