package subscriptions

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/lusha"
)

// TestOptOutGapsAt: a time without notices begins when the vendor switched the subscription off, else when it was last
// seen to deliver, and ends when they are ordered again.
func TestOptOutGapsAt(t *testing.T) {
	t.Parallel()
	seen, blocked, earlier := now.Add(-3*time.Hour), now.Add(-2*time.Hour), now.Add(-time.Hour)
	off, reason := lusha.Subscription{ID: "o", BlockedAt: blocked, BlockReason: "Max retries exceeded"}, "Max retries exceeded"
	for name, c := range map[string]struct {
		state  State
		exists *lusha.Subscription
		want   []OptOutGap
	}{
		"never ordered":                   {State{}, nil, nil},
		"delivers":                        {State{OptOut: "o", OptOutSeen: &seen}, &lusha.Subscription{ID: "o", Active: true}, nil},
		"blocked":                         {State{OptOut: "o", OptOutSeen: &seen}, &off, []OptOutGap{{From: &blocked, Reason: reason}}},
		"off, it is not known since when": {State{OptOut: "o", OptOutSeen: &seen}, &lusha.Subscription{ID: "o"}, []OptOutGap{{From: &seen, Reason: "switched off"}}},
		"gone":                            {State{OptOut: "o", OptOutSeen: &seen}, nil, []OptOutGap{{From: &seen, Reason: "the vendor has the subscription no more"}}},
		"gone, never seen":                {State{OptOut: "o"}, nil, []OptOutGap{{Reason: "the vendor has the subscription no more"}}},
		"the one noted before":            {State{OptOut: "o", OptOutGaps: []OptOutGap{{From: &blocked, Until: &earlier, Reason: reason}}}, &off, []OptOutGap{{From: &blocked, Reason: reason}}},
		"another one":                     {State{OptOut: "o", OptOutGaps: []OptOutGap{{From: &seen, Until: &earlier, Reason: reason}}}, &off, []OptOutGap{{From: &seen, Until: &earlier, Reason: reason}, {From: &blocked, Reason: reason}}},
	} {
		if diff := cmp.Diff(c.want, c.state.OptOutGapsAt(c.exists)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		c.state.EndOptOutGap(c.exists, now)
		var until time.Time
		for _, g := range c.state.OptOutGaps {
			if g.Until == nil {
				t.Fatalf("%s: a noted gap has no end", name)
			}
			until = *g.Until
		}
		if len(c.want) > 0 && !until.Equal(now) || len(c.state.OptOutGaps) != len(c.want) {
			t.Errorf("%s: noted %+v, want the end %s", name, c.state.OptOutGaps, now)
		}
	}
}

// TestAudit: a delivery is noted once, whichever number of audits finds it missing, and forgotten with the vendor's log.
func TestAudit(t *testing.T) {
	t.Parallel()
	s := &State{}
	for i, id := range []string{"b", "a", "b", "c", "a"} {
		if got, want := s.Audit(id, now.Add(-time.Duration(id[0])*time.Hour)), i == 0 || i == 1 || i == 3; got != want {
			t.Errorf("%s, number %d: %v", id, i, got)
		}
	}
	s.ForgetAudited(now.Add(-'b' * time.Hour))
	if len(s.Audited) != 2 || s.Audited[0].ID != "b" || s.Audited[1].ID != "a" {
		t.Errorf("left %+v, want b and a, oldest first", s.Audited)
	}
}
