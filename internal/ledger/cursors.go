package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// Day is a number of days since 1970; 0: none.
type Day uint16

// DayOf is the day of a date like "2026-11-29"; 0 for any other text.
func DayOf(text string) Day {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0
	}
	return dayOf(t)
}

func dayOf(t time.Time) Day { return plausibleDay(t.Unix() / 86400) }

func plausibleDay(days int64) Day {
	if days < 0 || days > math.MaxUint16 {
		return 0
	}
	return Day(days)
}

// Date is midnight of the day, UTC.
func (d Day) Date() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

func (d Day) String() string {
	if d == 0 {
		return ""
	}
	return d.Date().Format(time.DateOnly)
}

// Cursor is how far a signal type of an identity was asked, with one set of filters. Its dates are
// those of answers with an outcome: what is in doubt, lost or written off moves nothing.
type Cursor struct {
	// Date of the newest event that an answer had and that its window contains. Events that were
	// bought and do not pass a filter of siglake's own count. 0: no event is known.
	Newest Day
	// The days that were asked, without a gap. Of an answer that reached its cap only those after
	// its oldest event count. Both 0: no day was asked in full.
	AskedSince, AskedUntil Day
	// The days up to here were asked, once more than the type's lateness after them: no event of
	// theirs is expected any more. It is before AskedSince while there is no such day.
	Closed    Day
	LastAsked Day    // of the last call with an outcome
	Events    uint16 // returned, each time again; 65,535 stands for more
}

// defaultLateness is for runs that do not state a lateness: in days, and longer than any that is
// expected, so that nothing counts as closed too early.
const defaultLateness = 60

// Cursors are those of a ledger, in 12 bytes a pair and 20 an identity.
type Cursors struct {
	table *cursorTable
	lock  func() (unlock func())
}

// Cursor is the cursor of an identity and a signal type, as asked with a query's filters; false if it
// was never asked.
func (c *Cursors) Cursor(identity pipeline.Identity, q *pipeline.Query, signal string) (Cursor, bool) {
	defer c.lock()()
	return c.table.find(identity, q, signal)
}

// Cursors are those of the calls so far; they follow a run in progress. A process that does not ask for
// them has none in memory. The first time that a ledger is asked for them, all of its records are read,
// and the answers of versions that did not record dates of events; its checkpoints have them from then
// on.
func (l *Ledger) Cursors(ctx context.Context) (*Cursors, error) {
	if err := l.loadCursors(ctx); err != nil {
		return nil, err
	}
	return &Cursors{l.state.cursors.table, func() func() {
		l.state.mu.Lock()
		return l.state.mu.Unlock
	}}, nil
}

// cursorTable has the cursors by identity and signal type.
type cursorTable struct {
	rows   idmap.Map // of identities, from 1
	count  int       // of rows
	series []cursorSeries
	edges  map[pipeline.APIVersion]*Edge
}

// cursorSeries has the cursors of one signal type with one set of filters, by row. It may be shorter
// than there are rows.
type cursorSeries struct {
	signal   string
	filters  pipeline.Query
	cursors  []Cursor
	lateness LatenessCounts
	capped   map[uint32]cappedWindow // by row; few pairs have one
}

func (t *cursorTable) find(identity pipeline.Identity, q *pipeline.Query, signal string) (c Cursor, known bool) {
	row := int(t.rows.Load(identity))
	for i := range t.series {
		if s := &t.series[i]; s.signal == signal && s.filters.SameFilters(q, signal) && 0 < row && row <= len(s.cursors) {
			c = s.cursors[row-1]
		}
	}
	return c, c != Cursor{}
}

// seriesOf returns the cursors of a signal type, with room for every row.
func (t *cursorTable) seriesOf(q *pipeline.Query, signal string) *cursorSeries {
	i := slices.IndexFunc(t.series, func(s cursorSeries) bool { return s.signal == signal && s.filters.SameFilters(q, signal) })
	if i < 0 {
		i = len(t.series)
		ask, _ := q.Ask.(pipeline.SignalsAsk)
		t.series = append(t.series, cursorSeries{signal: signal, filters: pipeline.Query{Object: q.Object, Ask: pipeline.SignalsAsk{Types: []string{signal}, Filters: ask.Filters}}})
	}
	s := &t.series[i]
	if n := t.count - len(s.cursors); n > 0 {
		s.cursors = append(s.cursors, make([]Cursor, n)...)
	}
	return s
}

// before is what is known about one entity, under any of its identities.
func (s *cursorSeries) before(rows []uint32) (last Cursor) {
	for _, row := range rows {
		c := s.cursors[row-1]
		newest := max(last.Newest, c.Newest)
		if c.LastAsked > last.LastAsked {
			last = c
		}
		last.Newest = newest
	}
	return last
}

// answeredPair is what an answer has of one signal type of one entity.
type answeredPair struct {
	signal int // place among the result types of the query
	events uint64
	newest Day // within the window; 0: none is
	oldest Day // 0: no event has a date
}

// answeredEntity is what an answer has of one entity.
type answeredEntity struct {
	identities int
	pairs      []answeredPair
}

// find is the pair of a signal type, by its place in the query; nil: nothing was returned.
func (e *answeredEntity) find(signal int) *answeredPair {
	if at := slices.IndexFunc(e.pairs, func(p answeredPair) bool { return p.signal == signal }); at >= 0 {
		return &e.pairs[at]
	}
	return nil
}

// apply moves the cursors of the identities that an answer decided, and learns from their events.
func (t *cursorTable) apply(c *Call, pairs []byte, identities []byte) error {
	since, until, asked := DayOf(c.Query.Since), DayOf(c.Query.Until), dayOf(c.Time)
	if !c.Query.Service().HasEvents() || since == 0 || until == 0 || len(identities) == 0 {
		return nil
	}
	if c.isDelivery() {
		return t.applyDelivery(c, pairs, identities)
	}
	rows := t.rowsOf(identities)
	returned, err := decodePairs(pairs, len(rows), until)
	if err != nil {
		return err
	}
	limit, edge, first := c.Query.MaxResults(), t.edgeOf(c.Query.APIVersion), since
	if edge.IsExclusive() {
		first++
	}
	for i, signal := range c.Query.ResultTypes() {
		a := ask{since: first, until: until, asked: asked, lateness: c.Run.lateness(signal), cap: c.Run.maxResults(signal)}
		s := t.seriesOf(c.Query, signal)
		for n := 0; n < len(rows); {
			entity := rows[n : n+returned[n].identities]
			pair, before := returned[n].find(i), s.before(entity)
			edge.observe(since, until, before, pair, limit)
			s.lateness.observe(a, before, pair)
			s.noteCap(entity, a, before, pair, limit)
			for _, row := range entity {
				s.cursors[row-1].advance(a, pair, limit)
			}
			n += len(entity)
		}
	}
	return nil
}

// rowsOf are the rows of identities, which are added if they are new.
func (t *cursorTable) rowsOf(identities []byte) (rows []uint32) {
	for chunk := range slices.Chunk(identities, len(pipeline.Identity{})) {
		row := t.rows.LoadOrStore(pipeline.Identity(chunk), uint32(t.count+1)) //nolint:gosec // 4 billion identities take 80 GB
		t.count = max(t.count, int(row))
		rows = append(rows, row)
	}
	return rows
}

// lateness is how many days after their date the run expects events of a type at most.
func (r *Run) lateness(signal string) int {
	if days, ok := r.Lateness[signal]; ok {
		return days
	}
	return defaultLateness
}

// maxResults is the highest number of events of a type that the run asks for; 0: it is not known.
func (r *Run) maxResults(signal string) (n int) {
	for i := range r.Queries {
		if q := &r.Queries[i]; q.Service() == pipeline.Signals && slices.Contains(q.ResultTypes(), signal) {
			n = max(n, q.MaxResults())
		}
	}
	return n
}

// ask is one question about a pair.
type ask struct {
	since, until, asked Day
	lateness            int
	cap                 int // of the run
}

// advance moves the cursor past an answer; pair is what it returned, nil for nothing.
func (c *Cursor) advance(a ask, pair *answeredPair, limit int) {
	c.LastAsked = max(c.LastAsked, a.asked)
	if pair != nil {
		c.Newest = max(c.Newest, pair.newest)
		c.Events = uint16(min(uint64(c.Events)+pair.events, math.MaxUint16)) //nolint:gosec // in range
		if pair.events >= uint64(limit) {                                    //nolint:gosec // a cap
			// The API keeps the newest events: there may be more on the day of the oldest one.
			if a.since = max(a.since, pair.oldest+1); pair.oldest == 0 {
				return
			}
		}
	}
	if a.since > a.until {
		return
	}
	closed := max(int(a.asked)-a.lateness, int(a.since)-1)
	switch {
	case c.AskedUntil == 0, a.since > c.AskedUntil+1: // the first, or behind a gap
		c.AskedSince, c.AskedUntil, c.Closed = a.since, a.until, Day(min(closed, int(a.until))) //nolint:gosec // a day
	case a.until+1 < c.AskedSince: // before a gap: older, and of no use
	default:
		if a.since <= c.Closed+1 {
			c.Closed = max(c.Closed, Day(min(closed, int(a.until)))) //nolint:gosec // a day
		}
		c.AskedSince, c.AskedUntil = min(c.AskedSince, a.since), max(c.AskedUntil, a.until)
	}
}

// pairsVersion begins the encoded pairs of an answer. Each entity with an event follows, as unsigned
// varints: the number of identities to skip, that of its own, that of its signal types, and of each
// type its place in the query, the number of events, and two days before the end of the window, plus
// one: of the newest and the oldest event; 0: none is known.
const pairsVersion = 1

// encodePairs says which entities of an answer have events, of which types and with which dates.
// Entities are named by the place of their identities in the order of answeredIdentities.
func encodePairs(b *pipeline.Batch, items []pipeline.ItemReply, answered [][]pipeline.Identity) []byte {
	until := DayOf(b.Query.Until)
	if !b.Query.Service().HasEvents() || until == 0 {
		return nil
	}
	out, skip := []byte{pairsVersion}, uint64(0)
	for i := range items {
		identities := len(answered[i])
		pairs := pairsOf(b.Query, until, &items[i])
		if identities == 0 || len(pairs) == 0 {
			skip += uint64(identities)
			continue
		}
		out = appendUvarints(out, skip, uint64(identities), uint64(len(pairs)))
		skip = 0
		for _, p := range pairs {
			out = appendUvarints(out, uint64(p.signal), p.events, daysBefore(until, p.newest), daysBefore(until, p.oldest)) //nolint:gosec // a place
		}
	}
	return out
}

func appendUvarints(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func daysBefore(until, day Day) uint64 {
	if day == 0 {
		return 0
	}
	return uint64(until-min(day, until)) + 1
}

// pairsOf sums the events of one entity up, by signal type. The cap counts those that siglake filters
// out, too.
func pairsOf(q *pipeline.Query, until Day, item *pipeline.ItemReply) (pairs []answeredPair) {
	for _, list := range [][]pipeline.RawEvent{item.Events, item.Filtered} {
		for i := range list {
			signal := slices.Index(q.ResultTypes(), list[i].Type)
			if signal < 0 {
				continue
			}
			at := slices.IndexFunc(pairs, func(p answeredPair) bool { return p.signal == signal })
			if at < 0 {
				if pairs == nil {
					pairs = make([]answeredPair, 0, min(len(q.ResultTypes()), 8)) // seldom more
				}
				at, pairs = len(pairs), append(pairs, answeredPair{signal: signal})
			}
			p := &pairs[at]
			p.events++
			days, ok := pipeline.EventDay(&list[i])
			day := plausibleDay(days)
			if !ok || day == 0 {
				continue
			}
			if p.oldest == 0 || day < p.oldest {
				p.oldest = day
			}
			if day <= until {
				p.newest = max(p.newest, day)
			}
		}
	}
	return pairs
}

// decodePairs returns the entities of an answer, each at the place of the first of its identities.
// Those without events are as many as they have identities.
func decodePairs(b []byte, identities int, until Day) ([]answeredEntity, error) {
	all := make([]answeredEntity, identities)
	for i := range all {
		all[i].identities = 1
	}
	if len(b) == 0 {
		return all, nil
	}
	d := decoder{b: b[1:], bad: b[0] != pairsVersion}
	day := func() Day {
		if n := d.uvarint(); n > 0 && n <= uint64(until)+1 {
			return until - Day(n-1)
		}
		return 0
	}
	for at := 0; len(d.b) > 0 && !d.bad; {
		at += d.count(identities)
		own, types := d.count(identities-at), d.count(len(d.b))
		pairs := make([]answeredPair, types)
		for i := range pairs {
			pairs[i] = answeredPair{signal: d.count(math.MaxInt32), events: d.uvarint(), newest: day(), oldest: day()}
		}
		if own > 0 {
			all[at] = answeredEntity{own, pairs}
			at += own
		}
	}
	if d.bad {
		return nil, fmt.Errorf("%w: the dates of an answer's events cannot be read", wal.ErrCorrupt)
	}
	return all, nil
}

// decoder reads what appendUvarints wrote. After an error everything is zero, and bad is set.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || d.bad {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count is a number that must not exceed a limit.
func (d *decoder) count(limit int) int {
	v := d.uvarint()
	if v > uint64(max(limit, 0)) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(v) //nolint:gosec // at most limit
}

// undated is the outcome of a call that waits for an earlier one, or for itself, to be read for the
// dates of its events.
type undated struct {
	call *Call
	at   wal.Position // of its record
	// What it says, if it is not recorded; else nil.
	record     *outcomeRecord
	identities []byte
	count      int // of identities, if they are not here
}

// isDated reports whether an outcome says which dates its events have. Versions before the dates
// recorded none.
func (h *outcomeRecord) isDated(c *Call) bool {
	hasNone := h.Total == nil || h.Total.Events == 0 && h.Size == nil && !slices.ContainsFunc(c.Query.ResultTypes(), c.Query.FiltersClientSide)
	return len(h.Pairs) > 0 || !c.Query.Service().HasEvents() || hasNone
}

// lazyCursors are the cursors of a ledger, which are decoded when they are asked for.
type lazyCursors struct {
	table   *cursorTable   // nil: they were not asked for
	stored  *storedCursors // of the checkpoint; nil: it has none, or they are in the table
	undated []undated      // outcomes that are not in the table yet, in their order
}

// add moves the cursors past an answer, in the order of the records: if they were not asked for yet, or
// an answer has to be read first, those after it wait.
func (l *lazyCursors) add(u undated) error {
	if c := u.call; c.Outcome == pipeline.InDoubt || !c.Query.Service().HasEvents() || len(u.identities)+u.count == 0 {
		return nil
	}
	if l.table == nil || len(l.undated) > 0 || u.record == nil || !u.record.isDated(u.call) {
		if u.at != (wal.Position{}) {
			u.record, u.identities = nil, nil // to be read again
		}
		l.undated = append(l.undated, u)
		return nil
	}
	return l.table.apply(u.call, u.record.Pairs, u.identities)
}
