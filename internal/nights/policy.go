package nights

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Completeness says how late an event may become visible and still be found.
type Completeness string

// The levels of completeness.
const (
	// An event is bought once. One that becomes visible after a newer one of its pair is missed.
	Economy Completeness = "economy"
	// Every day is asked once more after the lateness of the type. An event is bought about twice.
	Strict Completeness = "strict"
)

// Policy decides what is due of a pair. Lengths of time are in days.
type Policy struct {
	Today        ledger.Day
	Completeness Completeness
	Backfill     int // the window of a pair that was never asked
	// How long after their date events of a type become visible at most; what was learned, if absent.
	Lateness map[string]int
	learned  map[string]Lateness
	// Types that are asked every night, whatever their cadence.
	Nightly map[string]bool
	// Reread asks due pairs with one window for all, as long as a period and the lateness: for an
	// account that is charged for types without events. There a question costs about as much with
	// known events as without, so that a short window would save nothing and miss what is late.
	Reread bool
	// The share of the pairs with a recent event that are due, of which all days of the look-back are
	// asked again.
	Audit float64
	// Of entities with events that webhooks may not have delivered.
	Gaps map[pipeline.Identity]Gap
}

// The defaults, in days.
const (
	DefaultBackfill = 90
	DefaultLateness = 30
	weeklySettle    = 5
	monthlySettle   = 10
	// closeEvery is how often a pair with ever newer events is asked again in strict nights.
	closeEvery = 30
)

// cadence says when a type is due.
type cadence struct {
	period int // days between two questions
	// Days after the beginning of a week or month until the one before has settled.
	settle int
}

// cadenceOf is that of a type of the catalogue. A type with another cadence is asked weekly.
func (p *Policy) cadenceOf(signal string) cadence {
	c := defaultCadence(signal)
	if p.Nightly[signal] {
		return cadence{period: 1}
	}
	if l, ok := p.learned[signal]; ok {
		c.settle = l.Settle
	}
	return c
}

func defaultCadence(signal string) cadence {
	s, _ := schema.LookupSignal(signal)
	switch s.Cadence {
	case "daily":
		return cadence{period: 1}
	case "monthly":
		return cadence{period: 31, settle: monthlySettle}
	}
	return cadence{period: 7, settle: weeklySettle}
}

// dueOn is the newest night on or before a day on which a type was due, and the one after it.
func (c cadence) dueOn(day ledger.Day) (last, next ledger.Day) {
	switch {
	case c.period == 1:
		return day, day + 1
	case c.period == 7:
		monday := ledger.Day(4)                          // 1970-01-05
		last = day - (day-monday-ledger.Day(c.settle))%7 //nolint:gosec // a few days
		return last, last + 7
	}
	first := func(t time.Time, months int) ledger.Day {
		return ledger.DayOf(time.Date(t.Year(), t.Month()+time.Month(months), 1+c.settle, 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
	}
	t := day.Date()
	if last, next = first(t, 0), first(t, 1); last > day {
		last, next = first(t, -1), last
	}
	return last, next
}

// kind says why a pair is asked, or that it is not.
type kind int

const (
	notDue   kind = iota
	first         // it was never asked
	lookBack      // no recent event is known
	onward        // from the day after the newest event
	closing       // all days that are not closed, once more
	audit         // all days of the look-back, although a recent event is known
	capped        // from the first day of a window that reached a lower cap than tonight's
	gap           // due or not, because events of it may not have been delivered
)

// pair is what is due of a pair: its kind, and the first day to ask for; or the day on which it is due.
type pair struct {
	kind  kind
	since ledger.Day
	next  ledger.Day
	// What an audit would ask for, of a pair that is asked onward.
	lookBack ledger.Day
	probe    bool // it is asked from the day of its newest event, to learn about the edge of windows
}

// due decides what is due of a pair with a cursor; the zero cursor is that of a pair that was never
// asked.
func (p *Policy) due(signal string, c ledger.Cursor) pair {
	cadence := p.cadenceOf(signal)
	last, next := cadence.dueOn(p.Today)
	switch {
	case c.LastAsked == 0:
		return pair{kind: first, since: p.back(p.Today, p.Backfill)}
	case c.LastAsked >= last:
		return pair{next: next}
	}
	lateness := p.LatenessOf(signal).Days
	// Pairs that were asked on time share one window, so that they share calls.
	since := p.back(p.Today, cadence.period+lateness)
	if p.Today-c.LastAsked > ledger.Day(cadence.period) { //nolint:gosec // days
		since = min(since, p.back(c.LastAsked, lateness))
	}
	switch recent := c.Newest >= since && c.Newest > 0; {
	case p.Reread:
		return pair{kind: lookBack, since: since}
	case p.Completeness == Strict && p.mustClose(&c, lateness):
		return pair{kind: closing, since: c.Closed + 1}
	case !recent && p.Completeness == Strict && c.Closed > 0:
		return pair{kind: lookBack, since: min(since, c.Closed+1)}
	case !recent:
		return pair{kind: lookBack, since: since}
	case c.Newest >= p.Today: // nothing newer can be asked for yet
		return pair{next: p.Today + 1}
	}
	return pair{kind: onward, since: c.Newest + 1, lookBack: since}
}

// audited is what is due of a pair, as an audit if the night draws it. A night that is resumed draws
// the same pairs.
func (p *Policy) audited(due pair, identity pipeline.Identity, signal string) pair {
	if due.kind != onward || p.Audit <= 0 {
		return due
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s", identity[:], signal, p.Today))
	if drawn := float64(binary.BigEndian.Uint32(sum[:])) / (1 << 32); drawn >= p.Audit {
		return due
	}
	return pair{kind: audit, since: due.lookBack}
}

// mustClose reports whether the days that are not closed have known events, all of them older than
// the lateness, or some of them for long.
func (p *Policy) mustClose(c *ledger.Cursor, lateness int) bool {
	if c.Closed == 0 || c.Newest <= c.Closed {
		return false
	}
	return c.Newest <= p.back(p.Today, lateness) || c.Closed <= p.back(p.Today, lateness+closeEvery)
}

// back is a number of days before a day.
func (p *Policy) back(day ledger.Day, days int) ledger.Day {
	return day - ledger.Day(min(days, int(day)-1)) //nolint:gosec // between 0 and day
}
