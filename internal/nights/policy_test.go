package nights

import (
	"testing"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
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

// counted are the observations of a type: events by the bounds of their lateness.
func counted(bounds map[[2]int]int64) *ledger.LatenessCounts {
	counts := new(ledger.LatenessCounts)
	for b, n := range bounds {
		counts.AtLeast[b[0]] += n
		counts.AtMost[b[1]] += n
	}
	return counts
}

// TestLearn: what is learned from how many events.
func TestLearn(t *testing.T) {
	t.Parallel()
	const weekly, monthly = "riskNews", "headcountIncrease1m"
	for name, c := range map[string]struct {
		signal string
		bounds map[[2]int]int64
		want   Lateness
	}{
		"nothing":                    {weekly, nil, Lateness{Days: 30, Source: ByDefault, Settle: 5}},
		"too few":                    {weekly, map[[2]int]int64{{41, 47}: 99}, Lateness{Days: 30, Source: ByDefault, Events: 99, Settle: 5}},
		"a late one":                 {weekly, map[[2]int]int64{{0, 5}: 99, {34, 40}: 1}, Lateness{Days: 40, Source: Learned, Events: 100, Settle: 5}},
		"a late one in a thousand":   {weekly, map[[2]int]int64{{0, 5}: 1999, {34, 40}: 1}, Lateness{Days: 40, Source: Learned, Events: 2000, Settle: 5}},
		"a late one in 10,000":       {weekly, map[[2]int]int64{{0, 5}: 9999, {34, 40}: 1}, Lateness{Days: 30, Source: Learned, Events: 10000, Settle: 5}},
		"not less than by default":   {weekly, map[[2]int]int64{{0, 1}: 5000}, Lateness{Days: 30, Source: Learned, Events: 5000, Settle: 1}},
		"not more than sixty days":   {weekly, map[[2]int]int64{{0, 5}: 990, {55, 63}: 10}, Lateness{Days: 60, Source: Learned, Events: 1000, Settle: 5}},
		"a week settles later":       {weekly, map[[2]int]int64{{0, 5}: 180, {6, 12}: 20}, Lateness{Days: 30, Source: Learned, Events: 200, Settle: 6}},
		"a month settles later":      {monthly, map[[2]int]int64{{0, 10}: 90, {15, 20}: 10}, Lateness{Days: 30, Source: Learned, Events: 100, Settle: 15}},
		"a month settles in time":    {monthly, map[[2]int]int64{{0, 10}: 970, {11, 41}: 30}, Lateness{Days: 41, Source: Learned, Events: 1000, Settle: 10}},
		"a month settles much later": {monthly, map[[2]int]int64{{25, 26}: 100}, Lateness{Days: 30, Source: Learned, Events: 100, Settle: 20}},
	} {
		c.want.Signal = c.signal
		if got := learn(c.signal, counted(c.bounds)); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestLatenessUsed: a stated lateness counts more than a learned one, and a run keeps that with which it
// began.
func TestLatenessUsed(t *testing.T) {
	t.Parallel()
	const signal = "riskNews"
	policy := func(days int) Policy {
		return Policy{Today: day("2026-06-13"), Backfill: DefaultBackfill, Completeness: Strict, learned: map[string]Lateness{signal: {Signal: signal, Days: days, Source: Learned, Settle: 5}}}
	}
	recent := ledger.Cursor{LastAsked: day("2026-06-06"), Newest: day("2026-05-28"), Closed: day("2026-05-07")}
	empty := ledger.Cursor{LastAsked: day("2026-06-06")}
	for name, c := range map[string]struct {
		learned, kept, stated, days int
		source                      Source
		empty                       string // first day to ask of a pair without an event
		recent                      kind   // what is asked of a pair with one of 16 days ago, in a strict night
	}{
		"learned":                   {45, 0, 0, 45, Learned, "2026-04-22", onward},
		"learned, and kept":         {30, 45, 0, 45, Learned, "2026-04-22", onward},
		"stated, longer":            {30, 0, 45, 45, Stated, "2026-04-22", onward},
		"stated, shorter":           {45, 0, 14, 14, Stated, "2026-05-23", closing},
		"stated, whatever was kept": {45, 45, 14, 14, Stated, "2026-05-23", closing},
	} {
		p := policy(c.learned)
		if c.kept > 0 {
			p.Keep(map[string]int{signal: c.kept, "other": 3})
		}
		if c.stated > 0 {
			p.Lateness = map[string]int{signal: c.stated}
		}
		if got, want := p.Expected([]string{signal}), (Lateness{Signal: signal, Days: c.days, Source: c.source, Settle: 5}); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		if got := p.due(signal, empty); got.kind != lookBack || got.since.String() != c.empty {
			t.Errorf("%s: asks kind %d since %s, want %s", name, got.kind, got.since, c.empty)
		}
		if got := p.due(signal, recent); got.kind != c.recent {
			t.Errorf("%s: a pair with an event is asked as kind %d since %s, want %d", name, got.kind, got.since, c.recent)
		}
	}
}

// TestProbeEdge: while the edge of windows is unknown, a night asks a few pairs from the day of their
// newest event; once windows are known to begin after their first day, all questions begin a day earlier.
func TestProbeEdge(t *testing.T) {
	t.Parallel()
	q := &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: []string{"riskNews"}}}
	for name, c := range map[string]struct {
		edge   ledger.Edge
		spent  int64 // credits
		probes int
		start  string
	}{
		"unknown, little was bought": {ledger.Edge{}, 99, 0, "2026-06-02"},
		"unknown":                    {ledger.Edge{Absent: 4}, 399, 3, "2026-06-02"},
		"unknown, much was bought":   {ledger.Edge{}, 1e6, 5, "2026-06-02"},
		"inclusive":                  {ledger.Edge{Inclusive: 1, Absent: 9}, 1e6, 0, "2026-06-02"},
		"exclusive":                  {ledger.Edge{Absent: 5}, 1e6, 0, "2026-06-01"},
	} {
		s := &Schedule{edges: map[pipeline.APIVersion]ledger.Edge{pipeline.V2: c.edge}, maxProbes: maxProbes(c.spent)}
		probes := 0
		for i := range 100 {
			p := pair{kind: onward, since: day("2026-06-02")}
			if i%2 == 0 {
				p.kind = lookBack
			}
			s.probeEdge(&p, q)
			s.count(p, false)
			start := s.startOf(p.since, q)
			switch {
			case p.probe && p.kind == onward && start == "2026-06-01":
				probes++
			case p.probe || start != c.start:
				t.Errorf("%s: kind %d asked since %s, want %s", name, p.kind, start, c.start)
			}
		}
		if probes != c.probes || s.Counts.EdgeProbes != int64(probes) {
			t.Errorf("%s: %d probes, %d counted, want %d", name, probes, s.Counts.EdgeProbes, c.probes)
		}
	}
}
