package ledger

import (
	"context"
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
	Since, Until Day // days with missing events, both included
	// Events that answers had of these days and later ones, or the cap of the run that asked for all of
	// them if that is more: a question with a cap up to here returns nothing new.
	Known uint16
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
// answer that did. before is the cursor of the pair before the answer. limit is the cap of the question,
// which may be lower than that of its run.
func (s *cursorSeries) noteCap(rows []uint32, a ask, before Cursor, pair *answeredPair, limit int) {
	var events uint64
	if pair != nil {
		events = pair.events
	}
	w, found := s.cappedOf(rows)
	reached := pair != nil && events >= uint64(max(limit, 1)) //nolint:gosec // a cap
	covers := a.since <= w.Since
	switch {
	case !found && !reached || a.since > a.until:
		return
	case !reached && covers && a.until >= w.Until:
		s.clearCapped(w.entity)
		return
	case !found || covers:
		w.Known = clampEvents(max(events, uint64(max(limit, a.cap)))) //nolint:gosec // a cap
	case a.since > before.Newest: // all of them are further ones
		w.Known = clampEvents(uint64(w.Known) + events)
	default:
		w.Known = max(w.Known, clampEvents(events))
	}
	if reached {
		if !found || covers {
			w.Since, w.Until = a.since, 0
		}
		if w.Until = max(w.Until, pair.oldest, a.since); pair.oldest == 0 {
			w.Until = a.until
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
	Pairs int64 // of which a question with a certain cap returns more
	Known int64 // events of theirs that it buys again at most
	Final int64 // pairs of which it returns nothing new
}

// CappedPairs sums up the pairs that reached a cap, by what a question with another cap would return.
func (c *Cursors) CappedPairs(maxResults int) (sum CappedPairs) {
	defer c.lock()()
	for i := range c.table.series {
		seen := map[uint32]bool{}
		for _, w := range c.table.series[i].capped {
			if seen[w.entity] {
				continue
			}
			seen[w.entity] = true
			if int(w.Known) >= maxResults {
				sum.Final++
				continue
			}
			sum.Pairs++
			sum.Known += int64(w.Known)
		}
	}
	return sum
}

// CappedPairs is that of all cursors. Where no cap was reached in a run from where the lake ends, the
// cursors are not decoded.
func (l *Ledger) CappedPairs(ctx context.Context, maxResults int) (sum CappedPairs, err error) {
	reached := l.state.cursors.stored != nil && l.state.cursors.stored.capped.length > 0
	nightly := false
	for _, r := range l.state.runs {
		nightly = nightly || r.SinceLast()
		reached = reached || r.Published != nil && r.Published.Totals != nil && r.Published.Totals.Capped > 0 && l.state.past.at.Before(r.publishedAt)
	}
	if !nightly || !reached {
		return sum, nil
	}
	cursors, err := l.Cursors(ctx)
	if err != nil {
		return sum, err
	}
	return cursors.CappedPairs(maxResults), nil
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
