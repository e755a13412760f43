package ledger

import (
	"slices"

	"github.com/siglake/siglake/pipeline"
)

const (
	// latenessDays is the number of days that LatenessCounts distinguishes. The last one stands for more.
	latenessDays = 64
	// maxPause is how many days after the one before an ask may be made, so that its events count: a month
	// and a few late nights. After a longer pause an event has been visible for an unknown time.
	maxPause = 35
)

// LatenessCounts says how many days after their date events became visible. It counts each event
// twice, by a lower and an upper bound, because an event becomes visible between two asks: after
// the last one that did not return it, and not after the first one that did.
//
// Not every event says something. The first ask about a pair returns events that were visible long
// before. Of later asks only events that are dated after all known ones of the pair are certainly
// new. One that becomes visible after a newer event of its pair is therefore never counted, and one
// that is older than the window of every ask is never seen: the later an event is, the less likely it
// is counted, and the true lateness may be much longer.
type LatenessCounts struct {
	AtLeast, AtMost [latenessDays]int64 // events, by number of days
}

// Events is the number of events that were counted.
func (l *LatenessCounts) Events() (n int64) {
	for _, count := range l.AtMost {
		n += count
	}
	return n
}

// Quantile is the number of days within which so many of 10,000 events became visible, between two
// bounds; 0 and 0 without events.
func (l *LatenessCounts) Quantile(share int64) (atLeast, atMost int) {
	rank := (l.Events()*share + 9999) / 10000
	find := func(counts *[latenessDays]int64) int {
		seen := int64(0)
		for days, count := range counts {
			if seen += count; seen >= rank {
				return days
			}
		}
		return 0
	}
	return find(&l.AtLeast), find(&l.AtMost)
}

func (l *LatenessCounts) add(other *LatenessCounts) {
	for days := range latenessDays {
		l.AtLeast[days] += other.AtLeast[days]
		l.AtMost[days] += other.AtMost[days]
	}
}

// observe counts the new events of an answer about a pair. before is what the cursor of the pair was.
// Of three events or more, only the dates of the newest and the oldest are recorded.
func (l *LatenessCounts) observe(a ask, before Cursor, pair *answeredPair) {
	if pair == nil || before.AskedUntil == 0 || a.asked < before.LastAsked || a.asked-before.LastAsked > maxPause {
		return
	}
	l.observeEvent(a, before, pair.newest)
	if pair.events > 1 {
		l.observeEvent(a, before, pair.oldest)
	}
}

func (l *LatenessCounts) observeEvent(a ask, before Cursor, day Day) {
	if day <= before.Newest || day < a.since || day < before.AskedSince || day > a.asked {
		return
	}
	atLeast, atMost := 0, int(a.asked-day)
	if day <= before.AskedUntil {
		atLeast = min(int(before.AskedUntil-day)+1, atMost)
	}
	l.AtLeast[min(atLeast, latenessDays-1)]++
	l.AtMost[min(atMost, latenessDays-1)]++
}

// Edge is what answers say about the first day of a window: the API's description leaves open whether
// the window contains it.
type Edge struct {
	Inclusive int64 `json:"inclusive"` // pairs for which an answer had an event of that day
	Absent    int64 `json:"absent"`    // and those for which it lacked the known event of that day
}

// enoughAbsent is the number of absent events that show that a window does not contain its first day,
// while no answer shows the opposite. A few may have been withdrawn.
const enoughAbsent = 5

// IsInclusive reports whether windows contain their first day.
func (e Edge) IsInclusive() bool { return e.Inclusive > 0 }

// IsExclusive reports whether windows begin after their first day. With neither it is not known yet.
func (e Edge) IsExclusive() bool { return e.Inclusive == 0 && e.Absent >= enoughAbsent }

// observe learns from an answer about a pair. before is what the cursor of the pair was.
func (e *Edge) observe(since, until Day, before Cursor, pair *answeredPair, limit int) {
	switch {
	case since >= until: // events after the window count as those of its last day
	case pair != nil && pair.oldest == since:
		e.Inclusive++
	case before.Newest != since || pair != nil && (pair.oldest < since || pair.events >= uint64(limit)): //nolint:gosec // a cap
	default:
		e.Absent++
	}
}

// Lateness is how late events of a signal type became visible, whatever the filters.
func (c *Cursors) Lateness(signal string) (sum LatenessCounts) {
	defer c.lock()()
	for i := range c.table.series {
		if s := &c.table.series[i]; s.signal == signal {
			sum.add(&s.lateness)
		}
	}
	return sum
}

// Edge is what answers of a version of the API say about the first day of a window.
func (c *Cursors) Edge(version pipeline.APIVersion) Edge {
	defer c.lock()()
	if e := c.table.edges[version]; e != nil {
		return *e
	}
	return Edge{}
}

func (t *cursorTable) edgeOf(version pipeline.APIVersion) *Edge {
	if t.edges == nil {
		t.edges = map[pipeline.APIVersion]*Edge{}
	}
	if t.edges[version] == nil {
		t.edges[version] = new(Edge)
	}
	return t.edges[version]
}

// checkpointLateness is a LatenessCounts without the zeros at its end.
type checkpointLateness struct {
	AtLeast []int64 `json:"at_least"`
	AtMost  []int64 `json:"at_most"`
}

func (l *LatenessCounts) document() *checkpointLateness {
	if l.Events() == 0 {
		return nil
	}
	trim := func(counts []int64) []int64 {
		last := len(counts)
		for last > 0 && counts[last-1] == 0 {
			last--
		}
		return slices.Clone(counts[:last])
	}
	return &checkpointLateness{trim(l.AtLeast[:]), trim(l.AtMost[:])}
}

// restore reads what document wrote. It reports whether it can be read.
func (l *LatenessCounts) restore(d *checkpointLateness) bool {
	if d == nil {
		return true
	}
	if len(d.AtLeast) > latenessDays || len(d.AtMost) > latenessDays {
		return false
	}
	copy(l.AtLeast[:], d.AtLeast)
	copy(l.AtMost[:], d.AtMost)
	return true
}
