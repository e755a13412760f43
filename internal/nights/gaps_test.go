package nights

import (
	"testing"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestGaps: a pair whose events may not have been delivered is asked the next night, once.
func TestGaps(t *testing.T) {
	t.Parallel()
	const weekly = "riskNews"
	identity := pipeline.IdentityByID(schema.Company, "1")
	noted := time.Date(2026, 6, 15, 2, 0, 0, 0, time.UTC)
	gaps := map[pipeline.Identity][]Gap{identity: {{Signals: []string{weekly}, Since: day("2026-06-13"), Noted: noted}}}
	night := func(started time.Time) *ledger.Run {
		spec := pipeline.RunSpec{Settings: map[string]string{"since": "last"}}
		return &ledger.Run{RunSpec: spec, FirstStarted: started, Published: &ledger.Commit{}}
	}
	asked := ledger.Cursor{LastAsked: day("2026-06-13"), Newest: day("2026-06-08")}
	for name, c := range map[string]struct {
		identity pipeline.Identity
		signal   string
		cursor   ledger.Cursor
		runs     []*ledger.Run
		want     kind
		since    string
	}{
		"not due, a recent event":      {identity, weekly, asked, nil, gap, "2026-06-09"},
		"not due, an event of the gap": {identity, weekly, ledger.Cursor{LastAsked: day("2026-06-13"), Newest: day("2026-06-14")}, nil, gap, "2026-06-13"},
		"not due, an event of today":   {identity, weekly, ledger.Cursor{LastAsked: day("2026-06-15"), Newest: day("2026-06-15")}, nil, gap, "2026-06-13"},
		"not due, no event":            {identity, weekly, ledger.Cursor{LastAsked: day("2026-06-13")}, nil, gap, "2026-05-14"},
		"due":                          {identity, weekly, ledger.Cursor{LastAsked: day("2026-06-06"), Newest: day("2026-06-08")}, nil, gap, "2026-06-09"},
		"never asked":                  {identity, weekly, ledger.Cursor{}, nil, first, "2026-03-17"},
		"closed by a later night":      {identity, weekly, ledger.Cursor{LastAsked: day("2026-06-15")}, []*ledger.Run{night(noted.Add(time.Hour))}, notDue, ""},
		"a night before it":            {identity, weekly, ledger.Cursor{LastAsked: day("2026-06-15"), Newest: day("2026-06-08")}, []*ledger.Run{night(noted.Add(-time.Hour))}, gap, "2026-06-09"},
		"left by a later night":        {identity, weekly, asked, []*ledger.Run{night(noted.Add(time.Hour))}, gap, "2026-06-09"},
		"a window of a later run":      {identity, weekly, asked, []*ledger.Run{{FirstStarted: noted.Add(time.Hour), Published: &ledger.Commit{}}}, gap, "2026-06-09"},
		"not subscribed":               {identity, "websiteTraffic", ledger.Cursor{LastAsked: day("2026-06-13")}, nil, notDue, ""},
		"another entity":               {pipeline.IdentityByID(schema.Company, "2"), weekly, asked, nil, notDue, ""},
	} {
		s := Schedule{policy: Policy{Today: day("2026-06-15"), Completeness: Economy, Backfill: DefaultBackfill, Gaps: NewGaps(gaps, c.runs)}}
		p := s.policy.due(c.signal, c.cursor)
		s.askGap(&p, []pipeline.Identity{c.identity}, c.cursor, c.signal)
		if p.kind != c.want || c.since != "" && p.since.String() != c.since {
			t.Errorf("%s: %d since %s, want %d since %s", name, p.kind, p.since, c.want, c.since)
		}
	}
}
