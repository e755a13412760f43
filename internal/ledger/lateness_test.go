package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// counted lists what was counted, as bounds in days.
func (l *LatenessCounts) counted() (atLeast, atMost []int) {
	for days := range latenessDays {
		for range l.AtLeast[days] {
			atLeast = append(atLeast, days)
		}
		for range l.AtMost[days] {
			atMost = append(atMost, days)
		}
	}
	return atLeast, atMost
}

// TestLatenessObserved: what an answer says about the lateness of its events.
func TestLatenessObserved(t *testing.T) {
	t.Parallel()
	asked := Cursor{AskedSince: DayOf("2026-03-01"), AskedUntil: DayOf("2026-06-06"), LastAsked: DayOf("2026-06-06"), Newest: DayOf("2026-05-04")}
	one := func(date string) *answeredPair {
		return &answeredPair{events: 1, newest: DayOf(date), oldest: DayOf(date)}
	}
	for name, c := range map[string]struct {
		before          Cursor
		since, today    string
		pair            *answeredPair
		atLeast, atMost string
	}{
		"nothing returned":                {asked, "2026-05-05", "2026-06-13", nil, "[]", "[]"},
		"a backfill":                      {Cursor{}, "2026-03-15", "2026-06-13", one("2026-05-20"), "[]", "[]"},
		"dated after the last ask":        {asked, "2026-05-05", "2026-06-13", one("2026-06-08"), "[0]", "[5]"},
		"of today":                        {asked, "2026-05-05", "2026-06-13", one("2026-06-13"), "[0]", "[0]"},
		"not returned by the last ask":    {asked, "2026-05-05", "2026-06-13", one("2026-06-01"), "[6]", "[12]"},
		"of the day of the last ask":      {asked, "2026-05-05", "2026-06-13", one("2026-06-06"), "[1]", "[7]"},
		"asked again on the same day":     {asked, "2026-05-05", "2026-06-06", one("2026-06-01"), "[5]", "[5]"},
		"known, or older than known":      {asked, "2026-05-01", "2026-06-13", one("2026-05-04"), "[]", "[]"},
		"older than anything asked":       {Cursor{AskedSince: DayOf("2026-05-20"), AskedUntil: DayOf("2026-06-06"), LastAsked: DayOf("2026-06-06")}, "2026-05-05", "2026-06-13", one("2026-05-19"), "[]", "[]"},
		"no day asked in full":            {Cursor{LastAsked: DayOf("2026-06-06")}, "2026-05-05", "2026-06-13", one("2026-06-08"), "[]", "[]"},
		"after a long pause":              {asked, "2026-05-05", "2026-07-12", one("2026-07-06"), "[]", "[]"},
		"after a month":                   {asked, "2026-05-05", "2026-07-11", one("2026-07-01"), "[0]", "[10]"},
		"an older call, read again":       {asked, "2026-05-05", "2026-06-05", one("2026-06-01"), "[]", "[]"},
		"two":                             {asked, "2026-05-05", "2026-06-13", &answeredPair{events: 2, newest: DayOf("2026-06-08"), oldest: DayOf("2026-05-25")}, "[0 13]", "[5 19]"},
		"two, one of them known":          {asked, "2026-05-01", "2026-06-13", &answeredPair{events: 2, newest: DayOf("2026-06-08"), oldest: DayOf("2026-05-04")}, "[0]", "[5]"},
		"later than can be known":         {Cursor{AskedSince: DayOf("2026-01-01"), AskedUntil: DayOf("2026-06-06"), LastAsked: DayOf("2026-06-06")}, "2026-01-01", "2026-06-13", one("2026-02-01"), "[63]", "[63]"},
		"older than the window, answered": {asked, "2026-06-01", "2026-06-13", one("2026-05-20"), "[]", "[]"},
		"no date":                         {asked, "2026-05-05", "2026-06-13", &answeredPair{events: 1}, "[]", "[]"},
	} {
		var l LatenessCounts
		l.observe(ask{since: DayOf(c.since), until: DayOf(c.today), asked: DayOf(c.today)}, c.before, c.pair)
		if atLeast, atMost := l.counted(); fmt.Sprint(atLeast) != c.atLeast || fmt.Sprint(atMost) != c.atMost || l.Events() != int64(len(atMost)) {
			t.Errorf("%s: at least %v and at most %v days, want %s and %s", name, atLeast, atMost, c.atLeast, c.atMost)
		}
	}
}

// TestLatenessQuantile: a quantile is the least number of days within which so many events are.
func TestLatenessQuantile(t *testing.T) {
	t.Parallel()
	var l LatenessCounts
	if least, most := l.Quantile(9990); least != 0 || most != 0 {
		t.Errorf("without events: %d to %d", least, most)
	}
	l.AtLeast[0], l.AtMost[5] = 998, 998
	l.AtLeast[6], l.AtMost[12] = 1, 1
	l.AtLeast[40], l.AtMost[50] = 1, 1
	for share, want := range map[int64][2]int{9500: {0, 5}, 9980: {0, 5}, 9990: {6, 12}, 9991: {40, 50}, 10000: {40, 50}} {
		if least, most := l.Quantile(share); [2]int{least, most} != want {
			t.Errorf("%d of 10,000: %d to %d, want %v", share, least, most, want)
		}
	}
}

// TestEdge: what an answer says about the first day of its window.
func TestEdge(t *testing.T) {
	t.Parallel()
	const start = "2026-06-01"
	known := Cursor{Newest: DayOf(start), LastAsked: DayOf("2026-06-06")}
	pair := func(events uint64, oldest string) *answeredPair {
		return &answeredPair{events: events, oldest: DayOf(oldest), newest: DayOf("2026-06-10")}
	}
	for name, c := range map[string]struct {
		before Cursor
		until  string
		pair   *answeredPair
		want   Edge
	}{
		"an event of the first day":        {Cursor{}, "2026-06-13", pair(1, start), Edge{Inclusive: 1}},
		"the known event of the first day": {known, "2026-06-13", pair(2, start), Edge{Inclusive: 1}},
		"the known event is absent":        {known, "2026-06-13", nil, Edge{Absent: 1}},
		"and another is not":               {known, "2026-06-13", pair(1, "2026-06-02"), Edge{Absent: 1}},
		"absent under a full cap":          {known, "2026-06-13", pair(10, "2026-06-02"), Edge{}},
		"no event of the day is known":     {Cursor{Newest: DayOf("2026-05-31")}, "2026-06-13", nil, Edge{}},
		"events without dates":             {known, "2026-06-13", &answeredPair{events: 1}, Edge{}},
		"a window of one day":              {known, start, pair(1, start), Edge{}},
		"an older event":                   {known, "2026-06-13", pair(1, "2026-05-31"), Edge{}},
	} {
		var e Edge
		e.observe(DayOf(start), DayOf(c.until), c.before, c.pair, 10)
		if e != c.want {
			t.Errorf("%s: %+v, want %+v", name, e, c.want)
		}
	}
	for e, want := range map[Edge][2]bool{{}: {}, {Absent: 4}: {}, {Absent: 5}: {false, true}, {Inclusive: 1}: {true, false}, {Inclusive: 1, Absent: 9}: {true, false}} {
		if got := [2]bool{e.IsInclusive(), e.IsExclusive()}; got != want {
			t.Errorf("%+v is inclusive or exclusive: %v, want %v", e, got, want)
		}
	}
}

// lateNights is a ledger of weekly asks about companies of which each has two events of a type at
// most: one that the backfill finds, and one that is found a week later or two.
func lateNights() *nights {
	const company = 1
	event := func(signal, date string) pipeline.RawEvent {
		return pipeline.RawEvent{Type: signal, Raw: fmt.Appendf(nil, `{"signalDate":%q}`, date)}
	}
	return &nights{companies: 4, batch: 2, first: time.Date(2026, 6, 6, 0, 0, 0, 0, time.UTC), checkpointEvery: 1, events: func(night, row int) []pipeline.RawEvent {
		switch {
		case row != company || night == 0:
			return []pipeline.RawEvent{event(nightSignals[0], "2026-05-01")}
		case night == 7:
			return []pipeline.RawEvent{event(nightSignals[0], "2026-06-08"), event(nightSignals[1], "2026-05-30")}
		case night == 14:
			return []pipeline.RawEvent{event(nightSignals[0], "2026-06-08"), event(nightSignals[0], "2026-06-15"), event(nightSignals[1], "2026-05-30")}
		}
		return nil
	}}
}

// TestLateness: a ledger knows how late the events of each type were, each of them once although two
// identities have it, and its checkpoint as well.
func TestLateness(t *testing.T) {
	t.Parallel()
	for _, asks := range []bool{true, false} {
		n := lateNights()
		n.asks = asks
		store := openStore(t, t.TempDir(), unsynced)
		for _, night := range []int{0, 7, 14} {
			n.addAll(t, store, night, night+1)
		}
		for _, full := range []bool{true, false} {
			l := n.open(t, store, 15, full)
			cursors, err := l.Cursors(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range map[int]string{0: "[0 0] [5 5]", 1: "[8] [14]", 2: "[] []"} {
				counts := cursors.Lateness(nightSignals[i])
				atLeast, atMost := counts.counted()
				if got := fmt.Sprint(atLeast, atMost); got != want {
					t.Errorf("asks=%t full=%t: %s: %s, want %s", asks, full, nightSignals[i], got, want)
				}
			}
			if e := cursors.Edge(pipeline.V2); e != (Edge{}) {
				t.Errorf("edge %+v", e)
			}
			if _, err := l.Audit(t.Context(), nil); err != nil {
				t.Error(err)
			}
		}
		audit, err := n.open(t, store, 15, false).Audit(t.Context(), nil)
		if err != nil || len(audit.Checkpoint) > 0 {
			t.Errorf("asks=%t: Audit() = %v, %v", asks, audit.Checkpoint, err)
		}
	}
}

// TestExclusiveWindows: once answers show that windows begin after their first day, that day does not
// count as asked.
func TestExclusiveWindows(t *testing.T) {
	t.Parallel()
	n := lateNights()
	n.events = func(night, _ int) []pipeline.RawEvent {
		if night == 0 {
			return []pipeline.RawEvent{{Type: nightSignals[0], Raw: []byte(`{"signalDate":"2026-03-15"}`)}}
		}
		return nil
	}
	store := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, store, 0, 1) // from 2026-03-08 on
	n.addAll(t, store, 7, 9) // the first of them from 2026-03-15 on, where the known events are absent
	cursors, err := n.open(t, store, 9, false).Cursors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e := cursors.Edge(pipeline.V2); e.Inclusive != 0 || e.Absent < enoughAbsent || !e.IsExclusive() {
		t.Fatalf("edge %+v", e)
	}
	one := pipeline.IdentityOf(&schema.Account{Object: schema.Company, Domain: "company-000009.example"})
	n.companies = 10
	n.addAll(t, store, 20, 21)
	if cursors, err = n.open(t, store, 21, false).Cursors(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, _ := cursors.Cursor(one, n.query(20), nightSignals[0]); c.AskedSince != DayOf(n.query(20).Since)+1 {
		t.Errorf("asked since %s, want the day after %s", c.AskedSince, n.query(20).Since)
	}
}
