package ledger

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/siglake/siglake/pipeline"
)

// Capped is a window of a pair of which an answer reached its cap: the API returned the newest events, and
// older ones may be missing. A request has no last day, so they can only be had together with the newer
// ones, which are bought again: by a question from Since on with a cap above Known.
type Capped struct {
	Since, Until Day    // days with missing events, both included
	Known        uint16 // events that answers had of these days and later ones
}

// cappedWindow is the Capped of one row of a series.
type cappedWindow struct {
	Capped
	entity uint32 // the same for all identities of the entity: one of its rows
}

// cappedOf is the window of an entity, under any of its rows.
func (s *cursorSeries) cappedOf(rows []uint32) (w cappedWindow, found bool) {
	for _, row := range rows {
		if w, found = s.capped[row]; found {
			return w, true
		}
	}
	return w, false
}

// noteCap notes whether the events of an answer reached its cap, or whether they complete an earlier
// answer that did. before is the cursor of the pair before the answer.
func (s *cursorSeries) noteCap(rows []uint32, a ask, before Cursor, pair *answeredPair, limit int) {
	var events uint64
	if pair != nil {
		events = pair.events
	}
	w, found := s.cappedOf(rows)
	reached := pair != nil && events >= uint64(max(limit, 1)) //nolint:gosec // a cap
	complete := a.since <= w.Since && a.until >= w.Until
	switch {
	case !found && !reached || a.since > a.until:
		return
	case !reached && complete:
		s.clearCapped(w.entity)
		return
	case !found || complete:
		w.Capped = Capped{Since: a.since, Known: clampEvents(events)}
	case a.since > before.Newest: // all of them are further ones
		w.Known = clampEvents(uint64(w.Known) + events)
	default:
		w.Known = max(w.Known, clampEvents(events))
	}
	if reached {
		w.Since = min(w.Since, a.since)
		if w.Until = max(w.Until, pair.oldest, a.since); pair.oldest == 0 {
			w.Until = max(w.Until, a.until)
		}
	}
	if found {
		s.clearCapped(w.entity)
	}
	w.entity = slices.Min(rows)
	if s.capped == nil {
		s.capped = map[uint32]cappedWindow{}
	}
	for _, row := range rows {
		s.capped[row] = w
	}
}

func (s *cursorSeries) clearCapped(entity uint32) {
	maps.DeleteFunc(s.capped, func(_ uint32, w cappedWindow) bool { return w.entity == entity })
}

func clampEvents(n uint64) uint16 { return uint16(min(n, math.MaxUint16)) } //nolint:gosec // in range

// Capped is the window of an identity and a signal type of which older events are missing, as asked with
// a query's filters; false: none is.
func (c *Cursors) Capped(identity pipeline.Identity, q *pipeline.Query, signal string) (Capped, bool) {
	defer c.lock()()
	row := c.table.rows.Load(identity)
	for i := range c.table.series {
		if s := &c.table.series[i]; s.signal == signal && s.filters.SameFilters(q, signal) && row > 0 {
			w, found := s.capped[row]
			return w.Capped, found
		}
	}
	return Capped{}, false
}

// CappedPairs sums up the pairs of entity and signal type of which older events are missing.
type CappedPairs struct {
	Pairs int64
	Known int64 // events of theirs that a question for the missing ones buys again
	Final int64 // pairs of which no question returns more: they have as many events as the API returns
	Since Day   // first day of all windows
}

// CappedPairs sums up the pairs that reached a cap. most is the highest cap.
func (c *Cursors) CappedPairs(most int) (sum CappedPairs) {
	defer c.lock()()
	for i := range c.table.series {
		seen := map[uint32]bool{}
		for _, w := range c.table.series[i].capped {
			if seen[w.entity] {
				continue
			}
			seen[w.entity] = true
			if int(w.Known) >= most {
				sum.Final++
				continue
			}
			sum.Pairs++
			sum.Known += int64(w.Known)
			if sum.Since == 0 || w.Since < sum.Since {
				sum.Since = w.Since
			}
		}
	}
	return sum
}

// encodeCapped writes the windows of each series by ascending row; nothing if there are none.
func (t *cursorTable) encodeCapped() (b []byte) {
	if !slices.ContainsFunc(t.series, func(s cursorSeries) bool { return len(s.capped) > 0 }) {
		return nil
	}
	for i := range t.series {
		capped := t.series[i].capped
		b = binary.AppendUvarint(b, uint64(len(capped)))
		for _, row := range slices.Sorted(maps.Keys(capped)) {
			w := capped[row]
			b = appendUvarints(b, uint64(row), uint64(w.Since), uint64(w.Until), uint64(w.Known), uint64(w.entity))
		}
	}
	return b
}

// decodeCapped reads what encodeCapped wrote; false: it cannot be read.
func (t *cursorTable) decodeCapped(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	d := decoder{b: b}
	for i := range t.series {
		s := &t.series[i]
		n := d.count(len(s.cursors))
		if n > 0 {
			s.capped = make(map[uint32]cappedWindow, n)
		}
		for range n {
			row, w := uint32(d.count(len(s.cursors))), cappedWindow{}                                                               //nolint:gosec // see apply
			w.Since, w.Until, w.Known = Day(d.count(math.MaxUint16)), Day(d.count(math.MaxUint16)), uint16(d.count(math.MaxUint16)) //nolint:gosec // at most that
			w.entity = uint32(d.count(t.count))                                                                                     //nolint:gosec // see apply
			if _, twice := s.capped[row]; twice || row == 0 {
				return false
			}
			s.capped[row] = w
		}
	}
	return !d.bad && len(d.b) == 0
}
