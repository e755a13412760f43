package main

import (
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/simulator"
)

// TestClockSkew: a clock that is wrong by more than an hour stops a run before its first paid call.
// Allowed, the run has the window of the API's day; a smaller difference does not matter.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	now := day
	setNow(t, func() time.Time { return now })
	r := newRig(t, simulator.Config{Now: func() time.Time { return day }})
	for _, wrong := range []time.Time{time.Unix(0, 0).UTC(), day.Add(-2 * time.Hour), day.Add(2 * time.Hour), day.AddDate(50, 0, 0)} {
		now = wrong
		if v := r.rerun(domainLines(20), baseFlags...); v.code != exitUsage || v.calls != 0 || !strings.Contains(v.stderr, "--clock-skew-ok") {
			t.Errorf("at %s: exit %d after %d calls, want %d and none: %s", wrong, v.code, v.calls, exitUsage, v.stderr)
		}
	}
	now = time.Unix(0, 0).UTC()
	v := r.rerun(domainLines(20), append([]string{"--clock-skew-ok"}, baseFlags...)...)
	if q := r.manifest.Queries[0]; v.code != exitComplete || q.Until != "2026-05-06" || q.Since != "2026-02-05" {
		t.Errorf("allowed: exit %d, %s to %s, want %d and 90 days to the API's: %s", v.code, q.Since, q.Until, exitComplete, v.stderr)
	}
	now = day.Add(50 * time.Minute)
	if v := r.rerun(domainLines(20), baseFlags...); v.code != exitComplete || v.calls != 0 {
		t.Errorf("50 minutes ahead: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitComplete, v.stderr)
	}
}
