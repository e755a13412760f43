package nights

import (
	"slices"
	"testing"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestGaps: a pair whose events may not have been delivered is asked the next night, once.
func TestGaps(t *testing.T) {
	t.Parallel()
	const weekly = "riskNews"
	identity := pipeline.IdentityByID(schema.Company, "1")
	open, polled := Gap{From: day("2026-06-13")}, Gap{From: day("2026-06-13"), Polled: []string{weekly}}
	for name, c := range map[string]struct {
		gap    Gap
		cursor ledger.Cursor
		want   kind
		since  string
	}{
		"not due, a recent event":      {open, ledger.Cursor{LastAsked: day("2026-06-13"), Newest: day("2026-06-08")}, gap, "2026-06-09"},
		"not due, an event of the gap": {open, ledger.Cursor{LastAsked: day("2026-06-13"), Newest: day("2026-06-14")}, gap, "2026-06-13"},
		"not due, an event of today":   {open, ledger.Cursor{LastAsked: day("2026-06-15"), Newest: day("2026-06-15")}, gap, "2026-06-13"},
		"not due, no event":            {open, ledger.Cursor{LastAsked: day("2026-06-13")}, gap, "2026-05-14"},
		"due":                          {open, ledger.Cursor{LastAsked: day("2026-06-06"), Newest: day("2026-06-08")}, gap, "2026-06-09"},
		"never asked":                  {open, ledger.Cursor{}, first, "2026-03-17"},
		"never asked, a long gap":      {Gap{From: day("2026-01-01")}, ledger.Cursor{}, first, "2026-01-01"},
		"polled since":                 {polled, ledger.Cursor{LastAsked: day("2026-06-13")}, notDue, ""},
	} {
		s := Schedule{policy: Policy{Today: day("2026-06-15"), Completeness: Economy, Backfill: DefaultBackfill, Gaps: map[pipeline.Identity]Gap{identity: c.gap}}}
		p := s.policy.due(weekly, c.cursor)
		s.fillGap(&p, []pipeline.Identity{pipeline.IdentityByID(schema.Company, "2"), identity}, c.cursor, weekly)
		if p.kind != c.want || c.since != "" && p.since.String() != c.since {
			t.Errorf("%s: %d since %s, want %d since %s", name, p.kind, p.since, c.want, c.since)
		}
		if asked := slices.Contains(s.Polled(identity), weekly); asked != (p.kind != notDue) {
			t.Errorf("%s: it was polled: %v", name, asked)
		}
	}
}
