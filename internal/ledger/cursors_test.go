package ledger

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

func (c Cursor) text() string {
	return fmt.Sprintf("newest %s, asked %s to %s on %s, closed %s, %d events", c.Newest, c.AskedSince, c.AskedUntil, c.LastAsked, c.Closed, c.Events)
}

// TestCursorAdvance: what each answer about a pair adds to its cursor.
func TestCursorAdvance(t *testing.T) {
	type step struct {
		since, until   string
		events         uint64
		oldest, newest string
		want           string
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"empty, then an event, then from behind it", []step{
			{"2026-03-01", "2026-06-01", 0, "", "", "newest , asked 2026-03-01 to 2026-06-01 on 2026-06-01, closed 2026-05-02, 0 events"},
			{"2026-05-20", "2026-06-08", 1, "2026-06-05", "2026-06-05", "newest 2026-06-05, asked 2026-03-01 to 2026-06-08 on 2026-06-08, closed 2026-05-02, 1 events"},
			{"2026-06-06", "2026-06-15", 0, "", "", "newest 2026-06-05, asked 2026-03-01 to 2026-06-15 on 2026-06-15, closed 2026-05-02, 1 events"},
			{"2026-05-03", "2026-07-20", 1, "2026-06-05", "2026-06-05", "newest 2026-06-05, asked 2026-03-01 to 2026-07-20 on 2026-07-20, closed 2026-06-20, 2 events"},
		}},
		{"behind a gap, which the older days do not bridge", []step{
			{"2026-03-01", "2026-06-01", 1, "2026-05-30", "2026-05-30", "newest 2026-05-30, asked 2026-03-01 to 2026-06-01 on 2026-06-01, closed 2026-05-02, 1 events"},
			{"2026-06-10", "2026-06-20", 0, "", "", "newest 2026-05-30, asked 2026-06-10 to 2026-06-20 on 2026-06-20, closed 2026-06-09, 1 events"},
			{"2026-04-01", "2026-06-05", 0, "", "", "newest 2026-05-30, asked 2026-06-10 to 2026-06-20 on 2026-06-20, closed 2026-06-09, 1 events"},
			{"2026-04-01", "2026-06-20", 0, "", "", "newest 2026-05-30, asked 2026-04-01 to 2026-06-20 on 2026-06-20, closed 2026-06-09, 1 events"},
		}},
		{"the next day is no gap", []step{
			{"2026-03-01", "2026-06-01", 0, "", "", "newest , asked 2026-03-01 to 2026-06-01 on 2026-06-01, closed 2026-05-02, 0 events"},
			{"2026-06-02", "2026-06-02", 0, "", "", "newest , asked 2026-03-01 to 2026-06-02 on 2026-06-02, closed 2026-05-02, 0 events"},
		}},
		{"an answer that reached its cap", []step{
			{"2026-03-01", "2026-06-01", 10, "2026-05-10", "2026-06-01", "newest 2026-06-01, asked 2026-05-11 to 2026-06-01 on 2026-06-01, closed 2026-05-10, 10 events"},
			{"2026-03-01", "2026-06-02", 12, "", "", "newest 2026-06-01, asked 2026-05-11 to 2026-06-01 on 2026-06-02, closed 2026-05-10, 22 events"},
			{"2026-03-01", "2026-06-03", 10, "2026-06-03", "2026-06-03", "newest 2026-06-03, asked 2026-05-11 to 2026-06-01 on 2026-06-03, closed 2026-05-10, 32 events"},
		}},
		{"events without a number that is known", []step{
			{"2026-03-01", "2026-06-01", 9, "", "", "newest , asked 2026-03-01 to 2026-06-01 on 2026-06-01, closed 2026-05-02, 9 events"},
			{"2026-03-01", "2026-06-01", 1 << 40, "2026-04-01", "2026-05-01", "newest 2026-05-01, asked 2026-03-01 to 2026-06-01 on 2026-06-01, closed 2026-05-02, 65535 events"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var cursor Cursor
			for i, s := range c.steps {
				var pair *answeredPair
				if s.events > 0 {
					pair = &answeredPair{events: s.events, oldest: DayOf(s.oldest), newest: DayOf(s.newest)}
				}
				cursor.advance(ask{since: DayOf(s.since), until: DayOf(s.until), asked: DayOf(s.until), lateness: 30}, pair, 10)
				if got := cursor.text(); got != s.want {
					t.Errorf("step %d: got  %s\nwant %s", i+1, got, s.want)
				}
			}
		})
	}
}

// TestCursors: cursors follow the run in progress, and are the same for the process that opens the
// ledger next, whether the dates of the events were recorded or have to be read from the answers.
func TestCursors(t *testing.T) {
	t.Parallel()
	event := func(signal, date string) pipeline.RawEvent {
		return pipeline.RawEvent{Type: signal, Raw: fmt.Appendf(nil, `{"signalDate":%q}`, date)}
	}
	n := &nights{companies: 4, batch: 2, first: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), events: func(night, company int) []pipeline.RawEvent {
		switch {
		case night == 0 && company == 1:
			return []pipeline.RawEvent{event(nightSignals[0], "2026-05-20"), event(nightSignals[0], "2026-05-10"), event(nightSignals[3], "2026-05-31"), event("unknown", "2026-05-31")}
		case night == 1 && company == 1: // the second is dated behind the window
			return []pipeline.RawEvent{event(nightSignals[0], "2026-05-25"), event(nightSignals[0], "2027-01-01")}
		case night == 1 && company == 3:
			return []pipeline.RawEvent{event(nightSignals[1], "no date")}
		}
		return nil
	}}
	domain := func(company int) pipeline.Identity {
		return pipeline.IdentityOf(&schema.Account{Object: schema.Company, Domain: fmt.Sprintf("company-%06d.example", company)})
	}
	id := pipeline.IdentityByID(schema.Company, "1000001")
	const asked = "asked 2026-03-03 to 2026-06-02 on 2026-06-02, closed 2026-04-03"
	want := map[string]string{}
	for _, name := range []string{"domain", "id"} {
		want[name+" 0"] = "newest 2026-05-25, " + asked + ", 4 events"
		want[name+" 1"] = "newest , " + asked + ", 0 events"
		want[name+" 3"] = "newest 2026-05-31, " + asked + ", 1 events"
	}
	want["other 1"], want["other 0"] = "newest , "+asked+", 1 events", "newest , "+asked+", 0 events"
	check := func(what string, l *Ledger) {
		t.Helper()
		cursors, err := l.Cursors(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		q := n.query(7)
		for name, want := range want {
			var who string
			var signal int
			if _, err := fmt.Sscan(name, &who, &signal); err != nil {
				t.Fatal(err)
			}
			key := map[string]pipeline.Identity{"domain": domain(1), "id": id, "other": domain(3)}[who]
			if c, ok := cursors.Cursor(key, q, nightSignals[signal]); !ok || c.text() != want {
				t.Errorf("%s: %s: %v, %s\nwant %s", what, name, ok, c.text(), want)
			}
		}
		filtered := *q
		filtered.Ask = pipeline.SignalsAsk{Types: []string{"riskNews"}, MaxResults: 10, Filters: pipeline.Filters{NewsEventTypes: []string{"a"}}}
		for _, unknown := range []struct {
			key    pipeline.Identity
			q      *pipeline.Query
			signal string
		}{{domain(9), q, nightSignals[0]}, {domain(1), q, "promotion"}, {domain(1), &filtered, "riskNews"}} {
			if c, ok := cursors.Cursor(unknown.key, unknown.q, unknown.signal); ok {
				t.Errorf("%s: a cursor of a pair that was never asked (%s): %s", what, unknown.signal, c.text())
			}
		}
	}

	for _, dated := range []bool{true, false} {
		ctx := context.WithValue(t.Context(), undatedKey{}, !dated)
		store := openStore(t, t.TempDir(), unsynced)
		if err := n.add(ctx, store, 0); err != nil {
			t.Fatal(err)
		}
		l, err := Open(ctx, store, n.options(1))
		if err != nil {
			t.Fatal(err)
		}
		if err := n.record(ctx, l, 1); err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("dated=%v", dated)
		check(what+", the run's process", l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		o, read := n.options(2), 0
		o.Decode = func(b *pipeline.Batch, c *pipeline.Call) (items, strays []pipeline.ItemReply) {
			read++
			return n.decode(b, c)
		}
		if l, err = Open(ctx, store, o); err != nil {
			t.Fatal(err)
		}
		check(what+", the next process", l)
		if (read > 0) == dated {
			t.Errorf("%s: %d answers were read", what, read)
		}
		check(what+", again", l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPairs: pairs that were encoded decode to the same, and what is not a list of pairs is an error.
func TestPairs(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]byte{{0}, {2}, {1, 9, 1, 1}, {1, 0, 3}, {1, 0, 1, 1, 0}, {1, 0, 1, 1, 0, 1, 0}} {
		if got, err := decodePairs(bad, 2, DayOf("2026-06-01")); err == nil {
			t.Errorf("decodePairs(%v) = %+v, want an error", bad, got)
		}
	}
}
