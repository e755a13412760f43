package ledger

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// The body of a checkpoint is a JSON document, which holds what is small, and four blocks: calls, index,
// identities of cursors, and cursors. Each is preceded by its length, as an unsigned varint.

// checkpointDocument is the first part of a checkpoint.
type checkpointDocument struct {
	Calls      int                   `json:"calls"` // in all
	Runs       []checkpointRun       `json:"runs"`
	QueryCount int                   `json:"query_count"`
	Queries    []queryRecord         `json:"queries"` // those that are kept
	History    []checkpointHistory   `json:"history"` // of kept queries
	Earlier    []forecast.History    `json:"earlier"`
	Sizes      *forecast.AnswerSizes `json:"sizes"`
	Bounds     [][3]int64            `json:"bounds"`
	Losses     []Loss                `json:"losses"`
	LeftUntil  Day                   `json:"left_until"`
	LeftNewest time.Time             `json:"left_newest"`
	Unsettled  []checkpointCall      `json:"unsettled"`
	HasCursors bool                  `json:"cursors"`
	Series     []checkpointSeries    `json:"series"`

	Edges map[pipeline.APIVersion]*Edge `json:"edges,omitempty"`
}

type checkpointRun struct {
	Spec        pipeline.RunSpec `json:"spec"`
	Started     time.Time        `json:"first_started"`
	Published   *Commit          `json:"published,omitempty"`
	PublishedAt place            `json:"published_at"`
	Prepared    *place           `json:"prepared,omitempty"`
	LastBatch   int              `json:"last_batch"`
	LinesAt     []place          `json:"lines_at,omitempty"`
	FirstCall   int              `json:"first_call"`
	Rereads     []int            `json:"rereads,omitempty"` // numbers of calls
	Past        pastCalls        `json:"past"`
}

type checkpointHistory struct {
	Number  int              `json:"number"` // of the query
	History forecast.History `json:"history"`
}

type checkpointSeries struct {
	Signal  string         `json:"signal"`
	Filters pipeline.Query `json:"filters"`
	Rows    int            `json:"rows"`

	Lateness *checkpointLateness `json:"lateness,omitempty"`
}

// checkpointCall is what the block of calls does not hold of one that may still change.
type checkpointCall struct {
	Number    int                  `json:"number"`
	Problem   string               `json:"problem,omitempty"`
	Unknown   bool                 `json:"unknown_charge,omitempty"`
	Decision  Decision             `json:"decision,omitempty"`
	DecidedAt place                `json:"decided_at"`
	Decisions []checkpointDecision `json:"decisions,omitempty"`
	Reread    *checkpointReread    `json:"reread,omitempty"`
}

type checkpointDecision struct {
	Decision Decision `json:"decision"`
	At       place    `json:"at"`
}

type checkpointReread struct {
	At      place    `json:"at"`
	Problem string   `json:"problem"`
	Open    int      `json:"open"`
	Decided [][]byte `json:"decided"`
}

// place is a position in JSON.
type place [2]int64

func placeOf(p wal.Position) place {
	segment, offset := p.Place()
	return place{int64(segment), offset}
}

func (p place) position() wal.Position { return wal.PositionAt(int(p[0]), p[1]) }

func placesOf(positions []wal.Position) (places []place) {
	for _, p := range positions {
		places = append(places, placeOf(p))
	}
	return places
}

func positionsOf(places []place) (positions []wal.Position) {
	for _, p := range places {
		positions = append(positions, p.position())
	}
	return positions
}

// encodeCheckpoint writes what a checkpoint keeps of a state. calls is the number of calls that it keeps.
func encodeCheckpoint(s *state) (body []byte, calls int, err error) {
	k := s.keep()
	document, err := json.Marshal(k.document())
	if err != nil {
		return nil, 0, err
	}
	blocks := [][]byte{document, k.encodeCalls(), k.encodeIndex(), nil, nil}
	if s.cursors != nil {
		blocks[3], blocks[4] = s.cursors.encodeRows(), s.cursors.encodeCursors()
	}
	for _, block := range blocks {
		body = append(binary.AppendUvarint(body, uint64(len(block))), block...)
	}
	return body, len(k.calls), nil
}

func (k *kept) document() *checkpointDocument {
	s := k.state
	d := &checkpointDocument{
		Calls: len(s.calls), QueryCount: len(s.queries), Earlier: k.past.history, Sizes: &s.sizes, Losses: s.losses, LeftUntil: k.past.days, LeftNewest: k.past.newest.UTC(),
	}
	for _, r := range s.runs {
		run := checkpointRun{
			Spec: r.RunSpec, Started: r.FirstStarted, Published: r.Published, PublishedAt: placeOf(r.publishedAt), LastBatch: r.LastBatch,
			LinesAt: placesOf(r.linesAt), FirstCall: r.firstCall, Past: k.runs[r],
		}
		if r.Prepared != nil {
			at := placeOf(*r.Prepared)
			run.Prepared = &at
		}
		for _, c := range r.rereads {
			run.Rereads = append(run.Rereads, c.number)
		}
		d.Runs = append(d.Runs, run)
	}
	used := map[int]bool{}
	for _, n := range k.numbers() {
		c := s.calls[n-1]
		used[c.queryNumber] = true
		if u := c.unsettled(); u != nil {
			d.Unsettled = append(d.Unsettled, *u)
		}
	}
	for i, q := range s.queries {
		if !used[i+1] {
			continue
		}
		d.Queries = append(d.Queries, queryRecord{i + 1, *q})
		if h := s.history[i+1]; h != nil {
			d.History = append(d.History, checkpointHistory{i + 1, *h})
		}
	}
	for _, b := range s.bounds {
		d.Bounds = append(d.Bounds, [3]int64{int64(b.first), int64(b.last), b.maxCost})
	}
	if s.cursors == nil {
		return d
	}
	d.HasCursors, d.Edges = true, s.cursors.edges
	for i := range s.cursors.series {
		c := &s.cursors.series[i]
		d.Series = append(d.Series, checkpointSeries{c.signal, c.filters, len(c.cursors), c.lateness.document()})
	}
	return d
}

// unsettled is what the block of calls does not hold; nil: nothing.
func (c *Call) unsettled() *checkpointCall {
	u := &checkpointCall{Number: c.number, Problem: c.Problem, Unknown: c.Outcome == pipeline.Charged && !c.Charge.Known, Decision: c.Decision}
	if c.Problem == "" && !u.Unknown && len(c.decisions) == 0 && c.reread == nil {
		return nil
	}
	u.DecidedAt = placeOf(c.decidedAt)
	for _, d := range c.decisions {
		u.Decisions = append(u.Decisions, checkpointDecision{d.decision, placeOf(d.at)})
	}
	if r := c.reread; r != nil {
		u.Reread = &checkpointReread{At: placeOf(r.at), Problem: r.problem, Open: r.open}
		for key := range r.decided {
			u.Reread.Decided = append(u.Reread.Decided, key[:])
		}
		slices.SortFunc(u.Reread.Decided, slices.Compare[[]byte])
	}
	return u
}

// Flags of a call in the block of calls.
const (
	flagByID = 1 << iota
	flagCut
	flagAnswered
	flagUnsent
	flagNamed    // its name does not follow from batch and attempt
	flagRecorded // the record of its outcome has a place
)

// encodeCalls writes the kept calls in ascending order. Numbers that rise are written as differences.
func (k *kept) encodeCalls() (b []byte) {
	runs := map[*Run]int{}
	for i, r := range k.state.runs {
		runs[r] = i
	}
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	position := func(p wal.Position) {
		segment, offset := p.Place()
		b = appendUvarints(b, uint64(segment), uint64(offset)) //nolint:gosec // not negative
	}
	last := 0
	b = binary.AppendUvarint(b, uint64(len(k.calls)))
	for _, n := range k.numbers() {
		c := k.state.calls[n-1]
		flags := uint64(0)
		for _, f := range []struct {
			flag uint64
			set  bool
		}{{flagByID, c.ByID}, {flagCut, c.cut}, {flagAnswered, c.responseAt != nil}, {flagUnsent, c.unsentAt != nil}, {flagNamed, c.ID != defaultCallID(c)}, {flagRecorded, c.outcomeAt != wal.Position{}}} {
			if f.set {
				flags |= f.flag
			}
		}
		b = appendUvarints(b, uint64(n-last), uint64(runs[c.Run]), flags, uint64(c.queryNumber), uint64(outcomeCode(c.Outcome)), uint64(c.Attempt), uint64(c.Entities)) //nolint:gosec // not negative
		for _, v := range []int64{c.Ceiling, c.Charge.Credits, c.Time.UnixNano(), int64(c.duration), c.length} {
			b = binary.AppendVarint(b, v)
		}
		if text(c.Batch); flags&flagNamed != 0 {
			text(c.ID)
		}
		position(c.intentAt)
		if c.responseAt != nil {
			position(*c.responseAt)
		}
		if c.unsentAt != nil {
			position(*c.unsentAt)
		}
		if c.outcomeAt != (wal.Position{}) {
			position(c.outcomeAt)
		}
		b = binary.AppendUvarint(b, uint64(len(c.piecesAt)))
		for _, p := range c.piecesAt {
			position(p)
		}
		last = n
	}
	return b
}

func defaultCallID(c *Call) string { return fmt.Sprintf("%s-%d", c.Batch, c.Attempt) }

// outcomes are numbered in checkpoints by their places.
var outcomes = []pipeline.Outcome{"", pipeline.Charged, pipeline.NotCharged, pipeline.InDoubt}

func outcomeCode(o pipeline.Outcome) int { return slices.Index(outcomes, o) }

func (k *kept) encodeIndex() (b []byte) {
	total := 0
	for _, e := range k.index {
		total += len(e.calls)
	}
	b = appendUvarints(b, uint64(len(k.index)), uint64(total))
	for _, e := range k.index {
		b = append(b, e.key[:]...)
		b = binary.AppendUvarint(b, uint64(len(e.calls)))
		last := int64(0)
		for _, n := range e.calls {
			b = binary.AppendVarint(b, int64(n)-last)
			last = int64(n)
		}
	}
	return b
}

// encodeRows writes the identities of the cursors, in the order of their rows.
func (t *cursorTable) encodeRows() []byte {
	const size = len(idmap.Key{})
	b := make([]byte, t.count*size)
	for key, row := range t.rows.All() {
		copy(b[int(row-1)*size:], key[:])
	}
	return b
}

// encodeCursors writes the cursors of each series, one field after the other, which compresses best.
func (t *cursorTable) encodeCursors() (b []byte) {
	for i := range t.series {
		for _, field := range cursorFields {
			for n := range t.series[i].cursors {
				b = binary.LittleEndian.AppendUint16(b, *field(&t.series[i].cursors[n]))
			}
		}
	}
	return b
}

var cursorFields = []func(*Cursor) *uint16{
	func(c *Cursor) *uint16 { return (*uint16)(&c.Newest) }, func(c *Cursor) *uint16 { return (*uint16)(&c.AskedSince) },
	func(c *Cursor) *uint16 { return (*uint16)(&c.AskedUntil) }, func(c *Cursor) *uint16 { return (*uint16)(&c.Closed) },
	func(c *Cursor) *uint16 { return (*uint16)(&c.LastAsked) }, func(c *Cursor) *uint16 { return &c.Events },
}

// decodeCheckpoint reads what encodeCheckpoint wrote.
func decodeCheckpoint(body []byte) (*state, error) {
	d := decoder{b: body}
	var blocks [5][]byte
	for i := range blocks {
		blocks[i] = d.bytes(d.count(len(d.b)))
	}
	var document checkpointDocument
	if err := json.Unmarshal(blocks[0], &document); err != nil || d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("%w: its parts cannot be read", wal.ErrCorrupt)
	}
	s := newState()
	if !s.restoreDocument(&document) || !s.decodeCalls(blocks[1]) || !s.restoreReferences(&document) || !s.decodeIndex(blocks[2]) ||
		!document.HasCursors && len(blocks[3])+len(blocks[4]) > 0 {
		return nil, fmt.Errorf("%w: its parts contradict each other", wal.ErrCorrupt)
	}
	if document.HasCursors {
		s.stored = &storedCursors{blocks[3], blocks[4], document.Series, document.Edges}
	}
	return s, nil
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

func (s *state) restoreDocument(d *checkpointDocument) bool {
	const most = 1 << 30
	if d.Calls < 0 || d.Calls > most || d.QueryCount < 0 || d.QueryCount > most || d.Sizes == nil {
		return false
	}
	s.calls, s.queries = make([]*Call, d.Calls), make([]*pipeline.Query, d.QueryCount)
	s.sizes.Restore(d.Sizes)
	s.losses, s.past = d.Losses, past{days: d.LeftUntil, newest: d.LeftNewest, history: d.Earlier}
	for i := range d.Queries {
		q := &d.Queries[i]
		if q.Number < 1 || q.Number > d.QueryCount {
			return false
		}
		s.queries[q.Number-1] = &q.Query
	}
	for i := range d.History {
		s.history[d.History[i].Number] = &d.History[i].History
	}
	for _, b := range d.Bounds {
		s.bounds = append(s.bounds, upperBound{int(b[0]), int(b[1]), b[2]})
	}
	for i := range d.Runs {
		r := &d.Runs[i]
		run := &Run{
			RunSpec: r.Spec, FirstStarted: r.Started, Published: r.Published, publishedAt: r.PublishedAt.position(), LastBatch: r.LastBatch,
			linesAt: positionsOf(r.LinesAt), firstCall: r.FirstCall, past: r.Past,
		}
		if r.Prepared != nil {
			at := r.Prepared.position()
			run.Prepared = &at
		}
		s.runs = append(s.runs, run)
	}
	return true
}

func (s *state) decodeCalls(b []byte) bool {
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

// restoreReferences adds what refers to calls.
func (s *state) restoreReferences(d *checkpointDocument) bool {
	find := func(number int) *Call {
		if number < 1 || number > len(s.calls) {
			return nil
		}
		return s.calls[number-1]
	}
	for i := range d.Runs {
		for _, n := range d.Runs[i].Rereads {
			c := find(n)
			if c == nil {
				return false
			}
			s.runs[i].rereads = append(s.runs[i].rereads, c)
		}
	}
	for _, u := range d.Unsettled {
		c := find(u.Number)
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

func (s *state) decodeIndex(b []byte) bool {
	d := decoder{b: b}
	var calls []uint32
	keys, total := d.count(len(b)), d.count(len(b))
	s.index.Grow(total + total/8) // and what is recorded behind the checkpoint
	for range keys {
		key := d.bytes(len(idmap.Key{}))
		calls = calls[:0]
		number := int64(0)
		for range d.count(len(d.b)) {
			if number += d.varint(); number < 1 || number > int64(len(s.calls)) || s.calls[number-1] == nil {
				return false
			}
			calls = append(calls, uint32(number)) //nolint:gosec // at most the number of calls
		}
		if d.bad {
			return false
		}
		s.index.AddAll(idmap.Key(key), calls)
	}
	return !d.bad && len(d.b) == 0
}

// storedCursors are the blocks of a checkpoint that hold cursors, until they are asked for.
type storedCursors struct {
	rows, cursors []byte
	series        []checkpointSeries
	edges         map[pipeline.APIVersion]*Edge
}

func (t *cursorTable) decode(stored *storedCursors) bool {
	rows, cursors := stored.rows, stored.cursors
	t.edges = stored.edges
	if len(rows)%len(idmap.Key{}) != 0 {
		return false
	}
	for key := range slices.Chunk(rows, len(idmap.Key{})) {
		t.count++
		if t.rows.LoadOrStore(idmap.Key(key), uint32(t.count)) != uint32(t.count) { //nolint:gosec // see apply
			return false
		}
	}
	for _, s := range stored.series {
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
