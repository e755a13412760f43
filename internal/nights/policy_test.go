package nights

import (
	"testing"

	"github.com/siglake/siglake/internal/ledger"
)

func day(text string) ledger.Day { return ledger.DayOf(text) }

// TestDueOn: weekly types are due when the week before has settled, monthly ones when the month has.
func TestDueOn(t *testing.T) {
	t.Parallel()
	weekly, monthly, daily := cadence{period: 7, settle: 5}, cadence{period: 31, settle: 10}, cadence{period: 1}
	for _, c := range []struct {
		cadence         cadence
		day, last, next string
	}{
		{weekly, "2026-06-06", "2026-06-06", "2026-06-13"}, // a Saturday
		{weekly, "2026-06-05", "2026-05-30", "2026-06-06"},
		{weekly, "2026-06-12", "2026-06-06", "2026-06-13"},
		{monthly, "2026-06-11", "2026-06-11", "2026-07-11"},
		{monthly, "2026-06-10", "2026-05-11", "2026-06-11"},
		{monthly, "2026-12-31", "2026-12-11", "2027-01-11"},
		{monthly, "2027-01-01", "2026-12-11", "2027-01-11"},
		{daily, "2026-06-10", "2026-06-10", "2026-06-11"},
	} {
		if last, next := c.cadence.dueOn(day(c.day)); last.String() != c.last || next.String() != c.next {
			t.Errorf("%+v on %s: due on %s and %s, want %s and %s", c.cadence, c.day, last, next, c.last, c.next)
		}
	}
}

// TestDue: what each cursor asks tonight.
func TestDue(t *testing.T) {
	t.Parallel()
	const weekly, monthly = "riskNews", "headcountIncrease1m"
	saturday := "2026-06-13"
	for name, c := range map[string]struct {
		today, signal string
		policy        Policy
		cursor        ledger.Cursor
		want          kind
		since         string
	}{
		"never asked":           {saturday, weekly, Policy{}, ledger.Cursor{}, first, "2026-03-15"},
		"asked this week":       {"2026-06-15", weekly, Policy{}, ledger.Cursor{LastAsked: day(saturday)}, notDue, ""},
		"asked twice a day":     {saturday, weekly, Policy{}, ledger.Cursor{LastAsked: day(saturday)}, notDue, ""},
		"nightly on purpose":    {"2026-06-15", weekly, Policy{Nightly: map[string]bool{weekly: true}}, ledger.Cursor{LastAsked: day("2026-06-14")}, lookBack, "2026-05-15"},
		"empty":                 {saturday, weekly, Policy{}, ledger.Cursor{LastAsked: day("2026-06-06")}, lookBack, "2026-05-07"},
		"empty and monthly":     {"2026-06-11", monthly, Policy{}, ledger.Cursor{LastAsked: day("2026-05-11")}, lookBack, "2026-04-11"},
		"a recent event":        {saturday, weekly, Policy{}, ledger.Cursor{LastAsked: day("2026-06-06"), Newest: day("2026-06-01")}, onward, "2026-06-02"},
		"an old event":          {saturday, weekly, Policy{}, ledger.Cursor{LastAsked: day("2026-06-06"), Newest: day("2026-05-06")}, lookBack, "2026-05-07"},
		"an event of today":     {saturday, weekly, Policy{}, ledger.Cursor{LastAsked: day("2026-06-06"), Newest: day(saturday)}, notDue, ""},
		"a missed month":        {saturday, weekly, Policy{}, ledger.Cursor{LastAsked: day("2026-05-02")}, lookBack, "2026-04-02"},
		"less late":             {saturday, weekly, Policy{Lateness: map[string]int{weekly: 14}}, ledger.Cursor{LastAsked: day("2026-06-06")}, lookBack, "2026-05-23"},
		"strict, recent":        {saturday, weekly, Policy{Completeness: Strict}, ledger.Cursor{LastAsked: day("2026-06-06"), Newest: day("2026-06-01"), Closed: day("2026-05-07")}, onward, "2026-06-02"},
		"strict, old enough":    {saturday, weekly, Policy{Completeness: Strict}, ledger.Cursor{LastAsked: day("2026-06-06"), Newest: day("2026-05-14"), Closed: day("2026-05-07")}, closing, "2026-05-08"},
		"strict, ever newer":    {saturday, weekly, Policy{Completeness: Strict}, ledger.Cursor{LastAsked: day("2026-06-06"), Newest: day("2026-06-05"), Closed: day("2026-04-14")}, closing, "2026-04-15"},
		"strict, empty":         {saturday, weekly, Policy{Completeness: Strict}, ledger.Cursor{LastAsked: day("2026-06-06"), Newest: day("2026-04-01"), Closed: day("2026-05-01")}, lookBack, "2026-05-02"},
		"every type is charged": {saturday, weekly, Policy{Reread: true}, ledger.Cursor{LastAsked: day("2026-06-06"), Newest: day("2026-06-01")}, lookBack, "2026-05-07"},
	} {
		c.policy.Today, c.policy.Backfill = day(c.today), DefaultBackfill
		got := c.policy.due(c.signal, c.cursor)
		if got.kind != c.want || c.since != "" && got.since.String() != c.since || c.want == notDue && got.next <= c.policy.Today {
			t.Errorf("%s: kind %d since %s, next %s; want kind %d since %s", name, got.kind, got.since, got.next, c.want, c.since)
		}
	}
}
