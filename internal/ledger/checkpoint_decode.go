package ledger

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// restorer fills a state with what a checkpoint holds. Its methods report whether that can be read, and
// whether its parts belong together.
type restorer struct{ *state }

// decodeCheckpoint reads what encodeCheckpoint wrote, except for the parts that are decoded when they are
// asked for.
func decodeCheckpoint(parts []part) (*state, error) {
	text, err := parts[partDocument].open()
	if err != nil {
		return nil, err
	}
	calls, err := parts[partOpenCalls].open()
	if err != nil {
		return nil, err
	}
	var document checkpointDocument
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%w: its document cannot be read: %w", wal.ErrCorrupt, err)
	}
	s := newState()
	r := restorer{s}
	if !r.restoreDocument(&document) || !r.decodeCalls(calls) || !r.restoreUnsettled(document.Unsettled) || !r.restoreRereads(&document) ||
		!document.HasCursors && parts[partRows].length+parts[partCursors].length+parts[partCapped].length > 0 {
		return nil, errContradiction
	}
	s.recent = &recentParts{parts[partRecent], parts[partCalls], parts[partIndex]}
	if document.HasCursors {
		s.cursors.stored = &storedCursors{parts[partRows], parts[partCursors], parts[partCapped], document.Series, document.Edges}
	}
	return s, nil
}

var errContradiction = fmt.Errorf("%w: the parts of a checkpoint contradict each other", wal.ErrCorrupt)

func (s restorer) restoreDocument(d *checkpointDocument) bool {
	const most = 1 << 30
	if d.Calls < 0 || d.Calls > most || d.QueryCount < 0 || d.QueryCount > most || d.Sizes == nil {
		return false
	}
	s.calls, s.queries = make([]*Call, d.Calls), make([]*pipeline.Query, d.QueryCount)
	s.sizes.Restore(d.Sizes)
	s.losses, s.past = d.Losses, past{days: d.LeftUntil, newest: d.LeftNewest}
	if !s.restoreQueries(d.SharedQueries, d.Queries) {
		return false
	}
	for _, b := range d.Bounds {
		s.bounds = append(s.bounds, upperBound{int(b[0]), int(b[1]), b[2]})
	}
	if last := d.Repartitioned; last != nil {
		if !isPartitionKey(last.By) {
			return false
		}
		s.repartitioned = &repartition{last.By, last.At.position()}
	}
	for i := range d.Erasures {
		s.erasures.add(&d.Erasures[i])
	}
	for i := range d.Runs {
		r := &d.Runs[i]
		spec, ok := d.Shared.restore(&r.Spec)
		if !ok {
			return false
		}
		run := &Run{
			RunSpec: spec, FirstStarted: r.Started, Published: r.Published, publishedAt: r.PublishedAt.position(), LastBatch: r.LastBatch,
			linesAt: positionsOf(r.LinesAt), firstCall: r.FirstCall, past: r.Past, recent: r.Recent,
		}
		if r.Prepared != nil {
			at := r.Prepared.position()
			run.Prepared = &at
		}
		s.runs = append(s.runs, run)
	}
	return true
}

// restoreQueries adds queries that a checkpoint has kept. It reports whether they belong to it.
func (s restorer) restoreQueries(shared sharedQueries, queries []checkpointQuery) bool {
	for i := range queries {
		n := queries[i].Number
		q, ok := shared.restore(&queries[i])
		if !ok || n < 1 || n > len(s.queries) {
			return false
		}
		s.queries[n-1] = q
	}
	return true
}

func (s restorer) decodeCalls(b []byte) bool {
	d := decoder{b: b}
	number := 0
	text := func() string { return string(d.bytes(d.count(len(d.b)))) }
	calls := make([]Call, d.count(len(b)))
	for i := range calls {
		number += d.count(len(s.calls) - number)
		run, flags, query, outcome := d.count(len(s.runs)-1), d.uvarint(), d.count(len(s.queries)), d.count(len(outcomes)-1)
		if d.bad || number == 0 || s.calls[number-1] != nil || query == 0 || s.queries[query-1] == nil {
			return false
		}
		c := &calls[i]
		*c = Call{
			Run: s.runs[run], Query: s.queries[query-1], queryNumber: query, Outcome: outcomes[outcome], number: number,
			ByID: flags&flagByID != 0, cut: flags&flagCut != 0, Attempt: d.count(1 << 30), Entities: d.count(1 << 30), Ceiling: d.varint(),
		}
		if credits := d.varint(); c.Outcome == pipeline.Charged {
			c.Charge = pipeline.StatedCharge(credits, "")
		}
		c.Time, c.duration, c.length = time.Unix(0, d.varint()).UTC(), time.Duration(d.varint()), d.varint()
		c.Batch = text()
		if c.ID = defaultCallID(c); flags&flagNamed != 0 {
			c.ID = text()
		}
		c.intentAt = d.position()
		if flags&flagAnswered != 0 {
			at := d.position()
			c.responseAt = &at
		}
		if flags&flagUnsent != 0 {
			at := d.position()
			c.unsentAt = &at
		}
		if flags&flagRecorded != 0 {
			c.outcomeAt = d.position()
		}
		for range d.count(len(d.b)) {
			c.piecesAt = append(c.piecesAt, d.position())
		}
		s.calls[number-1] = c
		s.callNumbers[c.Run.ID+"/"+c.ID] = uint32(number) //nolint:gosec // see addCall
		c.Run.Calls = append(c.Run.Calls, c)
	}
	return !d.bad && len(d.b) == 0
}

// restored is the call with a number; nil: there is none.
func (s restorer) restored(number int) *Call {
	if number < 1 || number > len(s.calls) {
		return nil
	}
	return s.calls[number-1]
}

// restoreRereads adds to runs the calls of other runs that they publish.
func (s restorer) restoreRereads(d *checkpointDocument) bool {
	for i := range d.Runs {
		for _, n := range d.Runs[i].Rereads {
			c := s.restored(n)
			if c == nil {
				return false
			}
			s.runs[i].rereads = append(s.runs[i].rereads, c)
		}
	}
	return true
}

// restoreUnsettled adds to calls what their own part does not hold.
func (s restorer) restoreUnsettled(unsettled []checkpointCall) bool {
	for _, u := range unsettled {
		c := s.restored(u.Number)
		if c == nil {
			return false
		}
		if c.Problem, c.Decision, c.decidedAt = u.Problem, u.Decision, u.DecidedAt.position(); u.Unknown {
			c.Charge = pipeline.Charge{}
		}
		for _, d := range u.Decisions {
			c.decisions = append(c.decisions, decided{d.Decision, d.At.position()})
		}
		if r := u.Reread; r != nil {
			c.reread = &reread{at: r.At.position(), problem: r.Problem, open: r.Open, decided: map[pipeline.Identity]bool{}}
			for _, key := range r.Decided {
				if len(key) != len(pipeline.Identity{}) {
					return false
				}
				c.reread.decided[pipeline.Identity(key)] = true
			}
		}
	}
	return true
}

// decodeIndex reads an index; false: it cannot be read.
func (s restorer) decodeIndex(b []byte) (index idmap.Lists, ok bool) {
	d := decoder{b: b}
	var calls []uint32
	keys, total := d.count(len(b)), d.count(len(b))
	index.Grow(total + total/8) // and what is recorded behind the checkpoint
	for range keys {
		key := d.bytes(len(idmap.Key{}))
		calls = calls[:0]
		number := int64(0)
		for range d.count(len(d.b)) {
			if number += d.varint(); number < 1 || number > int64(len(s.calls)) || s.calls[number-1] == nil {
				return index, false
			}
			calls = append(calls, uint32(number)) //nolint:gosec // at most the number of calls
		}
		if d.bad {
			return index, false
		}
		index.AddAll(idmap.Key(key), calls)
	}
	return index, !d.bad && len(d.b) == 0
}

// storedCursors are the parts of a checkpoint that hold cursors, until they are asked for.
type storedCursors struct {
	rows, cursors, capped part
	series                []checkpointSeries
	edges                 map[pipeline.APIVersion]*Edge
}

// decode reads the cursors of a checkpoint.
func (t *cursorTable) decode(stored *storedCursors) error {
	var parts [3][]byte
	for i, p := range []part{stored.rows, stored.cursors, stored.capped} {
		var err error
		if parts[i], err = p.open(); err != nil {
			return err
		}
	}
	t.edges = stored.edges
	if !t.decodeRows(parts[0]) || !t.decodeSeries(stored.series, parts[1]) || !t.decodeCapped(parts[2]) {
		return fmt.Errorf("%w: the cursors of the checkpoint cannot be read", wal.ErrCorrupt)
	}
	return nil
}

func (t *cursorTable) decodeRows(rows []byte) bool {
	if len(rows)%len(idmap.Key{}) != 0 {
		return false
	}
	for key := range slices.Chunk(rows, len(idmap.Key{})) {
		t.count++
		if t.rows.LoadOrStore(idmap.Key(key), uint32(t.count)) != uint32(t.count) { //nolint:gosec // see apply
			return false
		}
	}
	return true
}

func (t *cursorTable) decodeSeries(series []checkpointSeries, cursors []byte) bool {
	for _, s := range series {
		size := 2 * s.Rows
		if s.Rows < 0 || s.Rows > t.count || size*len(cursorFields) > len(cursors) {
			return false
		}
		one := cursorSeries{signal: s.Signal, filters: s.Filters, cursors: make([]Cursor, s.Rows)}
		for _, field := range cursorFields {
			for n := range one.cursors {
				*field(&one.cursors[n]) = binary.LittleEndian.Uint16(cursors[2*n:])
			}
			cursors = cursors[size:]
		}
		if !one.lateness.restore(s.Lateness) {
			return false
		}
		t.series = append(t.series, one)
	}
	return len(cursors) == 0
}

// bytes takes n bytes.
func (d *decoder) bytes(n int) []byte {
	if n > len(d.b) || d.bad {
		d.bad, d.b = true, nil
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 || d.bad {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) position() wal.Position {
	segment := d.count(1 << 30)
	return wal.PositionAt(segment, int64(d.count(1<<40)))
}
