package ledger

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// The parts of a checkpoint. Each is compressed on its own, so that a command decodes only those that it
// needs: the document and the open calls when the ledger is opened, recent purchases and cursors when
// they are asked for.
const (
	partDocument  = iota // checkpointDocument, as JSON
	partOpenCalls        // calls that may still change
	partRecent           // recentDocument, as JSON
	partCalls            // all other calls
	partIndex            // what every call requested
	partRows             // identities of cursors
	partCursors
	partCapped // windows of which older events are missing
	checkpointParts
)

// part is one part of a checkpoint, compressed.
type part struct {
	compressed []byte
	length     int // in bytes, decompressed
}

// open decompresses the part.
func (p part) open() ([]byte, error) {
	b, err := appendDecompressed(make([]byte, 0, p.length), p.compressed)
	if err == nil && len(b) != p.length {
		err = fmt.Errorf("%w: %d bytes of a checkpoint, want %d", wal.ErrCorrupt, len(b), p.length)
	}
	return b, err
}

// packParts compresses the parts of a checkpoint into the body of its record. The head has their lengths.
func packParts(parts [][]byte) (body []byte, lengths []int) {
	for _, b := range parts {
		compressed := compressBody(b)
		body = append(binary.AppendUvarint(body, uint64(len(compressed))), compressed...)
		lengths = append(lengths, len(b))
	}
	return body, lengths
}

// unpackParts divides the body of a record again.
func unpackParts(body []byte, lengths []int) (parts []part, err error) {
	d := decoder{b: body}
	for _, length := range lengths {
		if length < 0 || length > maxPart {
			return nil, fmt.Errorf("%w: a part of %d bytes", wal.ErrCorrupt, length)
		}
		parts = append(parts, part{d.bytes(d.count(len(d.b))), length})
	}
	if d.bad || len(d.b) > 0 || len(parts) != checkpointParts {
		return nil, fmt.Errorf("%w: its parts cannot be read", wal.ErrCorrupt)
	}
	return parts, nil
}

// checkpointDocument is what opening a ledger needs of a checkpoint, without the open calls.
type checkpointDocument struct {
	Calls         int                   `json:"calls"` // in all
	Shared        sharedSpecs           `json:"shared"`
	Runs          []checkpointRun       `json:"runs"`
	QueryCount    int                   `json:"query_count"`
	SharedQueries sharedQueries         `json:"shared_queries"`
	Queries       []checkpointQuery     `json:"queries"` // of open calls
	Sizes         *forecast.AnswerSizes `json:"sizes"`
	Bounds        [][3]int64            `json:"bounds"`
	Losses        []Loss                `json:"losses"`
	LeftUntil     Day                   `json:"left_until"`
	LeftNewest    time.Time             `json:"left_newest"`
	Unsettled     []checkpointCall      `json:"unsettled"`
	HasCursors    bool                  `json:"cursors"`
	Series        []checkpointSeries    `json:"series"`

	Edges map[pipeline.APIVersion]*Edge `json:"edges,omitempty"`

	// The runs have the partitions of the last repartition already.
	Repartitioned *checkpointRepartition `json:"repartitioned,omitempty"`
	Erasures      []Erasure              `json:"erasures,omitempty"`
}

type checkpointRepartition struct {
	By string `json:"by"`
	At place  `json:"at"`
}

// recentDocument is what the calls that are not open refer to.
type recentDocument struct {
	Shared    sharedQueries       `json:"shared"`
	Queries   []checkpointQuery   `json:"queries"` // those that are kept, without those of open calls
	History   []checkpointHistory `json:"history"` // of kept queries, by their numbers
	Earlier   []checkpointHistory `json:"earlier"` // of others
	Unsettled []checkpointCall    `json:"unsettled"`
}

type checkpointRun struct {
	Spec        ownSpec   `json:"spec"`
	Started     time.Time `json:"first_started"`
	Published   *Commit   `json:"published,omitempty"`
	PublishedAt place     `json:"published_at"`
	Prepared    *place    `json:"prepared,omitempty"`
	LastBatch   int       `json:"last_batch,omitempty"`
	LinesAt     []place   `json:"lines_at,omitempty"`
	FirstCall   int       `json:"first_call,omitempty"`
	Rereads     []int     `json:"rereads,omitempty"` // numbers of calls
	Past        pastCalls `json:"past,omitzero"`
	Recent      pastCalls `json:"recent,omitzero"` // sums up its calls that are kept and not open
}

// checkpointHistory is a forecast.History.
type checkpointHistory struct {
	Query    checkpointQuery             `json:"query"`
	Calls    int64                       `json:"calls"`
	Entities int64                       `json:"entities"`
	BySignal map[string]forecast.Moments `json:"by_signal"`
	All      forecast.Moments            `json:"all"`
	Credits  int64                       `json:"credits,omitempty"`
	PerEvent int64                       `json:"per_event,omitempty"`
	PerPair  int64                       `json:"per_pair,omitempty"`
	Took     time.Duration               `json:"took,omitempty"`
}

func newCheckpointHistory(q checkpointQuery, h *forecast.History) checkpointHistory {
	return checkpointHistory{q, h.Calls, h.Entities, h.BySignal, h.All, h.Credits, h.PerEvent, h.PerPair, h.Took}
}

// history is the History of a query.
func (h *checkpointHistory) history(q *pipeline.Query) forecast.History {
	return forecast.History{
		Query: *q, Calls: h.Calls, Entities: h.Entities, BySignal: h.BySignal, All: h.All,
		Credits: h.Credits, PerEvent: h.PerEvent, PerPair: h.PerPair, Took: h.Took,
	}
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
func encodeCheckpoint(s *state) (parts [][]byte, calls int, err error) {
	k := chooseKept(s)
	open, recent := k.divide()
	document, err := json.Marshal(k.document(open, recent))
	if err != nil {
		return nil, 0, err
	}
	lazy, err := json.Marshal(k.recentDocument(open, recent))
	if err != nil {
		return nil, 0, err
	}
	parts = make([][]byte, checkpointParts)
	parts[partDocument], parts[partOpenCalls] = document, k.encodeCalls(open)
	parts[partRecent], parts[partCalls], parts[partIndex] = lazy, k.encodeCalls(recent), k.encodeIndex()
	if t := s.cursors.table; t != nil {
		parts[partRows], parts[partCursors], parts[partCapped] = t.encodeRows(), t.encodeCursors(), t.encodeCapped()
	}
	return parts, len(k.calls), nil
}

// divide divides the kept calls, by number, into those that may still change and all others.
func (k *kept) divide() (open, recent []int) {
	for _, n := range k.numbers() {
		if k.state.calls[n-1].isOpen() {
			open = append(open, n)
		} else {
			recent = append(recent, n)
		}
	}
	return open, recent
}

func (k *kept) document(open, recent []int) *checkpointDocument {
	s := k.state
	d := &checkpointDocument{
		Calls: len(s.calls), QueryCount: len(s.queries), Sizes: &s.sizes, Losses: s.losses, LeftUntil: k.past.days, LeftNewest: k.past.newest.UTC(),
		Erasures: s.erasures.all,
	}
	if last := s.repartitioned; last != nil {
		d.Repartitioned = &checkpointRepartition{last.by, placeOf(last.at)}
	}
	sums := map[*Run]pastCalls{}
	for _, n := range recent {
		c := s.calls[n-1]
		sums[c.Run] = sums[c.Run].with(c)
	}
	shared := newSharer()
	for _, r := range s.runs {
		run := checkpointRun{
			Started: r.FirstStarted, Published: r.Published, PublishedAt: placeOf(r.publishedAt), LastBatch: r.LastBatch,
			LinesAt: placesOf(r.linesAt), FirstCall: r.firstCall, Past: k.runs[r], Recent: sums[r],
		}
		run.Spec = d.Shared.divide(shared, r.RunSpec)
		if r.Prepared != nil {
			at := placeOf(*r.Prepared)
			run.Prepared = &at
		}
		for _, c := range r.rereads {
			run.Rereads = append(run.Rereads, c.number)
		}
		d.Runs = append(d.Runs, run)
	}
	d.Queries, d.Unsettled = k.queriesOf(newSharer(), &d.SharedQueries, open, nil), k.unsettledOf(open)
	for _, b := range s.bounds {
		d.Bounds = append(d.Bounds, [3]int64{int64(b.first), int64(b.last), b.maxCost})
	}
	table := s.cursors.table
	if table == nil {
		return d
	}
	d.HasCursors, d.Edges = true, table.edges
	for i := range table.series {
		c := &table.series[i]
		d.Series = append(d.Series, checkpointSeries{c.signal, c.filters, len(c.cursors), c.lateness.document()})
	}
	return d
}

func (k *kept) recentDocument(open, recent []int) *recentDocument {
	s, places := k.state, newSharer()
	d := &recentDocument{Unsettled: k.unsettledOf(recent)}
	d.Queries = k.queriesOf(places, &d.Shared, recent, open)
	for i := range k.past.history {
		h := &k.past.history[i]
		d.Earlier = append(d.Earlier, newCheckpointHistory(d.Shared.divide(places, 0, h.Query), h))
	}
	used := k.queriesUsed(k.numbers())
	for i := range s.queries {
		if h := s.history[i+1]; h != nil && used[i+1] {
			d.History = append(d.History, newCheckpointHistory(checkpointQuery{Number: i + 1}, h))
		}
	}
	return d
}

// queriesUsed are the numbers of the queries of calls.
func (k *kept) queriesUsed(calls []int) map[int]bool {
	used := map[int]bool{}
	for _, n := range calls {
		used[k.state.calls[n-1].queryNumber] = true
	}
	return used
}

// queriesOf are the queries of calls without those of other ones, in ascending order.
func (k *kept) queriesOf(places *sharer, shared *sharedQueries, calls, without []int) (queries []checkpointQuery) {
	used, other := k.queriesUsed(calls), k.queriesUsed(without)
	for _, n := range slices.Sorted(maps.Keys(used)) {
		if !other[n] {
			queries = append(queries, shared.divide(places, n, *k.state.queries[n-1]))
		}
	}
	return queries
}

func (k *kept) unsettledOf(calls []int) (unsettled []checkpointCall) {
	for _, n := range calls {
		if u := k.state.calls[n-1].unsettled(); u != nil {
			unsettled = append(unsettled, *u)
		}
	}
	return unsettled
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

// encodeCalls writes calls by their numbers, in ascending order. Numbers that rise are written as
// differences.
func (k *kept) encodeCalls(numbers []int) (b []byte) {
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
	b = binary.AppendUvarint(b, uint64(len(numbers)))
	for _, n := range numbers {
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

func (k *kept) encodeIndex() []byte {
	const perKey, perCall = len(idmap.Key{}) + 1, 3 // about
	b := make([]byte, 0, perKey*len(k.index.keys)+perCall*len(k.index.calls))
	b = appendUvarints(b, uint64(len(k.index.keys)), uint64(len(k.index.calls)))
	rest := k.index.calls
	for _, e := range k.index.keys {
		b = append(b, e.key[:]...)
		b = binary.AppendUvarint(b, uint64(e.calls))
		last := int64(0)
		for _, n := range rest[:e.calls] {
			b = binary.AppendVarint(b, int64(n)-last)
			last = int64(n)
		}
		rest = rest[e.calls:]
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
