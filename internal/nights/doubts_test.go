package nights

import (
	"slices"
	"testing"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestDoubts: what calls in doubt about a pair make of its window, whatever their order. What is
// undecided is never asked again, what was released is, and what was lost is not.
func TestDoubts(t *testing.T) {
	t.Parallel()
	store, err := wal.OpenDir(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // nothing is written
	l, err := ledger.Open(t.Context(), store, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing is written
	const signal, since = "riskNews", "2026-06-08"
	today := day("2026-06-13")
	account := schema.Account{Object: schema.Company, Domain: "company.example"}
	identity := pipeline.IdentityOf(&account)
	query := func(since, until string) *pipeline.Query {
		return &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: []string{signal}, MaxResults: 10}, Since: since, Until: until}
	}
	call := func(since, until string, d ledger.Decision) *ledger.Call {
		return &ledger.Call{Run: new(ledger.Run), Outcome: pipeline.InDoubt, Decision: d, Query: query(since, until)}
	}
	early := func(d ledger.Decision) *ledger.Call { return call("2026-05-01", "2026-06-05", d) }
	late := func(d ledger.Decision) *ledger.Call { return call("2026-05-20", "2026-06-10", d) }
	for name, c := range map[string]struct {
		calls []*ledger.Call
		want  string // first day; empty: held
		risky bool
	}{
		"none":                         {nil, since, false},
		"undecided, and older":         {[]*ledger.Call{early("")}, since, false},
		"undecided":                    {[]*ledger.Call{late("")}, "2026-06-11", false},
		"undecided, of tonight":        {[]*ledger.Call{call("2026-06-01", "2026-06-13", "")}, "", false},
		"released":                     {[]*ledger.Call{early(ledger.Retry)}, "2026-05-01", true},
		"not charged":                  {[]*ledger.Call{early(ledger.NotCharged)}, "2026-05-01", false},
		"lost":                         {[]*ledger.Call{late(ledger.WriteOff)}, "2026-06-11", false},
		"lost tonight":                 {[]*ledger.Call{call("2026-06-01", "2026-06-13", ledger.WriteOff)}, "2026-06-13", false},
		"released, a later undecided":  {[]*ledger.Call{early(ledger.Retry), late("")}, "2026-06-11", true},
		"a later released, undecided":  {[]*ledger.Call{early(""), late(ledger.Retry)}, "2026-06-06", true},
		"released, a later lost":       {[]*ledger.Call{early(ledger.Retry), late(ledger.WriteOff)}, "2026-05-01", true},
		"a later released, lost":       {[]*ledger.Call{early(ledger.WriteOff), late(ledger.Retry)}, "2026-05-20", true},
		"both released":                {[]*ledger.Call{early(ledger.Retry), late(ledger.NotCharged)}, "2026-05-01", true},
		"lost, a later undecided":      {[]*ledger.Call{early(ledger.WriteOff), late("")}, "2026-06-11", false},
		"undecided, both":              {[]*ledger.Call{early(""), late("")}, "2026-06-11", false},
		"with other filters, or types": {[]*ledger.Call{{Run: new(ledger.Run), Outcome: pipeline.InDoubt, Query: &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: []string{"peopleNews"}}, Since: "2026-05-20", Until: "2026-06-10"}}}, since, false},
	} {
		for range 2 { // in either order
			s, err := NewSchedule(t.Context(), l, nil, Policy{Today: today})
			if err != nil {
				t.Fatal(err)
			}
			s.doubts[identity] = c.calls
			p, due := pair{kind: onward, since: day(since)}, pipeline.Due{}
			held := s.applyDoubts(&p, &due, []pipeline.Identity{identity}, query("", "2026-06-13"), signal)
			if held != (c.want == "") || !held && p.since.String() != c.want || due.RiskOfDoubleCharge != c.risky || held != (due.InDoubt != nil) {
				t.Errorf("%s: since %s, held %v, %+v; want %q, risk %v", name, p.since, held, due, c.want, c.risky)
			}
			slices.Reverse(c.calls)
		}
	}
}
