package ledger

import (
	"fmt"
	"testing"

	"github.com/siglake/siglake/pipeline"
)

// TestNoteCap: what each answer about a pair says about the events that it lacks.
func TestNoteCap(t *testing.T) {
	t.Parallel()
	type step struct {
		since, until string
		limit, cap   int // of the question and of its run
		events       uint64
		oldest       string
		want         string
	}
	first := step{"2026-03-01", "2026-06-01", 10, 10, 10, "2026-05-10", "2026-03-01 to 2026-05-10, 10 known"}
	for name, steps := range map[string][]step{
		"a window with fewer events": {{"2026-03-01", "2026-06-01", 10, 10, 9, "2026-05-10", "none"}},
		"further events":             {first, {"2026-06-02", "2026-06-08", 10, 10, 3, "2026-06-03", "2026-03-01 to 2026-05-10, 13 known"}},
		"known events again":         {first, {"2026-05-11", "2026-06-08", 10, 10, 3, "2026-06-01", "2026-03-01 to 2026-05-10, 10 known"}},
		"the whole window":           {first, {"2026-03-01", "2026-06-08", 20, 20, 12, "2026-03-05", "none"}},
		"more, and not enough":       {first, {"2026-03-01", "2026-06-08", 20, 20, 20, "2026-04-10", "2026-03-01 to 2026-04-10, 20 known"}},
		"with a cap that was lowered because the answer was cut": {first, {"2026-03-01", "2026-06-08", 15, 30, 15, "2026-04-20", "2026-03-01 to 2026-04-20, 30 known"}},
		"of an older day": {first, {"2026-03-01", "2026-05-01", 20, 20, 2, "2026-04-10", "2026-03-01 to 2026-05-10, 20 known"}},
		"two windows": {first, {"2026-06-02", "2026-06-08", 4, 4, 4, "2026-06-04", "2026-03-01 to 2026-06-04, 14 known"},
			{"2026-06-02", "2026-06-09", 20, 20, 5, "2026-06-04", "2026-03-01 to 2026-06-04, 14 known"}, {"2026-03-01", "2026-06-09", 20, 20, 19, "2026-03-04", "none"}},
		"events without a date":    {{"2026-03-01", "2026-06-01", 10, 0, 10, "", "2026-03-01 to 2026-06-01, 10 known"}},
		"a question about nothing": {{"2026-06-02", "2026-06-01", 10, 10, 10, "2026-06-02", "none"}},
		"many events":              {{"2026-03-01", "2026-06-01", 10, 10, 1 << 40, "2026-05-10", "2026-03-01 to 2026-05-10, 65535 known"}},
	} {
		s := cursorSeries{cursors: make([]Cursor, 3)}
		for i, step := range steps {
			pair := &answeredPair{events: step.events, oldest: DayOf(step.oldest), newest: DayOf(step.until)}
			a := ask{since: DayOf(step.since), until: DayOf(step.until), asked: DayOf(step.until), cap: step.cap}
			rows := []uint32{3, 1}
			s.noteCap(rows, a, s.before(rows), pair, step.limit)
			for _, row := range rows {
				s.cursors[row-1].advance(a, pair, step.limit)
				got := "none"
				if w, found := s.capped[row]; found {
					got = fmt.Sprintf("%s to %s, %d known", w.Since, w.Until, w.Known)
				}
				if got != step.want {
					t.Errorf("%s: step %d: row %d has %s, want %s", name, i+1, row, got, step.want)
				}
			}
		}
		if _, found := s.capped[2]; found {
			t.Errorf("%s: another entity has a window", name)
		}
	}
}

// TestCapped: windows that reached a cap are in checkpoints and count once for an entity, whatever its
// identities.
func TestCapped(t *testing.T) {
	t.Parallel()
	n := manyNights()
	n.asks = true
	n.events = func(night, company int) (events []pipeline.RawEvent) {
		for i := range map[bool]int{true: 10, false: 2}[night == 0 && company < 2] {
			events = append(events, pipeline.RawEvent{Type: nightSignals[company%2], Raw: fmt.Appendf(nil, `{"signalDate":%q}`, n.day(night-i).Format("2006-01-02"))})
		}
		return events
	}
	store := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, store, 0, 2)
	for _, full := range []bool{false, true} {
		l := n.open(t, store, 2, full)
		cursors, err := l.Cursors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := Capped{Since: DayOf("2026-03-03"), Until: DayOf("2026-05-23"), Known: 10}
		for _, identity := range []pipeline.Identity{pipeline.IdentityOf(n.account(1)), pipeline.IdentityByID("company", "1000001")} {
			if got, found := cursors.Capped(identity, n.query(2), nightSignals[1]); !found || got != want {
				t.Errorf("all records %v: Capped() = %+v, %v, want %+v", full, got, found, want)
			}
		}
		if got, found := cursors.Capped(pipeline.IdentityOf(n.account(1)), n.query(2), nightSignals[0]); found {
			t.Errorf("all records %v: Capped() of another signal = %+v, want none", full, got)
		}
		for maxResults, want := range map[int]CappedPairs{11: {Pairs: 2, Known: 20}, 10: {Final: 2}} {
			if got := cursors.CappedPairs(maxResults); got != want {
				t.Errorf("all records %v: CappedPairs(%d) = %+v, want %+v", full, maxResults, got, want)
			}
		}
	}
	l := n.open(t, store, 2, false)
	if l.state.cursors.stored.capped.length == 0 {
		t.Error("the checkpoint has no capped windows")
	}
	if got, err := l.CappedPairs(t.Context(), 100); err != nil || got != (CappedPairs{}) || l.state.cursors.table != nil {
		t.Errorf("without nights that ask for what is new: CappedPairs() = %+v, %v, want none, and no cursors decoded", got, err)
	}
	l.Runs()[1].Settings = map[string]string{"since": "last"}
	if got, err := l.CappedPairs(t.Context(), 100); err != nil || got != (CappedPairs{Pairs: 2, Known: 20}) {
		t.Errorf("CappedPairs() = %+v, %v, want 2 pairs", got, err)
	}
	if audit, err := n.open(t, store, 2, false).Audit(t.Context(), nil); err != nil || len(audit.Checkpoint) > 0 {
		t.Errorf("Audit() = %v, %v, want no difference", audit.Checkpoint, err)
	}
}
