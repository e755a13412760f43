package ledger

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// state is what the records so far say. A restorer and a replayer build it, a loader completes it, and
// a Recorder updates it with every record that it writes.
type state struct {
	runs        []*Run
	calls       []*Call // by number, from 1; nil: likewise
	callNumbers map[string]uint32
	queries     []*pipeline.Query         // by number, from 1; nil: a checkpoint has left it behind
	index       idmap.Lists               // the numbers of the calls that requested an identity
	history     map[int]*forecast.History // by a query's number
	bounds      bounds
	sizes       forecast.AnswerSizes
	losses      []Loss // of a ledger that was salvaged
	cursors     lazyCursors
	recent      *recentParts   // nil: they are decoded, or there is no checkpoint
	later       []laterOutcome // that wait for them, in the order of their records
	past        past           // what the checkpoint has left behind

	repartitioned *repartition // nil: it never was
	erasures      erasures

	// Guards what calls change during a run. Every call to the API takes it, so it is not held
	// while a record is read or written.
	mu sync.Mutex
}

func newState() *state {
	return &state{callNumbers: map[string]uint32{}, history: map[int]*forecast.History{}}
}

// beginRun adds a run, or another session of one.
func (s *state) beginRun(b *pipeline.RunSpec) *Run {
	if r, err := s.findRun(b.ID); err == nil {
		r.RunSpec, r.linesAt = *b, nil
		return r
	}
	r := &Run{RunSpec: *b, FirstStarted: b.Started}
	s.runs = append(s.runs, r)
	return r
}

// findRun finds a run; the newest first, since most records are about it.
func (s *state) findRun(id string) (*Run, error) {
	for _, r := range slices.Backward(s.runs) {
		if r.ID == id {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: a record of the run %q, which never began", wal.ErrCorrupt, id)
}

func (s *state) findCall(run, id string) (*Call, error) {
	if n := s.callNumbers[run+"/"+id]; n > 0 {
		return s.calls[n-1], nil
	}
	if r, err := s.findRun(run); err == nil && r.past.Calls > 0 {
		return nil, errLeftBehind
	}
	return nil, fmt.Errorf("%w: the outcome of call %s/%s, which has no intent", wal.ErrCorrupt, run, id)
}

// addCall adds a call of a run, by its intent at p.
func (s *state) addCall(r *Run, p wal.Position, h *intentRecord) *Call {
	c := &Call{
		Run: r, ID: h.Call, Batch: h.Batch, Attempt: h.Attempt, Query: s.queries[h.Query-1], queryNumber: h.Query, ByID: h.ByID,
		Entities: h.Entities, Ceiling: h.Ceiling, Time: h.Time, intentAt: p,
	}
	s.calls = append(s.calls, c)
	c.number = len(s.calls)
	s.callNumbers[r.ID+"/"+c.ID] = uint32(len(s.calls)) //nolint:gosec // calls take seconds
	r.Calls = append(r.Calls, c)
	if r.firstCall == 0 {
		r.firstCall = c.number
	}
	digits := strings.IndexFunc(c.Batch+".", func(r rune) bool { return r < '0' || r > '9' })
	if n, err := strconv.Atoi(c.Batch[:digits]); err == nil {
		r.LastBatch = max(r.LastBatch, n)
	}
	return c
}

// settledCalls returns the calls that requested an identity and satisfy a condition, in the order
// of their outcomes. None of
// them changes during the run, since a call enters the index with its outcome: the
// lock, which every call to the API takes, protects the walk only and is not held while
// their records are read.
func (s *state) settledCalls(key pipeline.Identity, include func(*Call) bool) (calls []*Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.index.Backward(key) {
		if c := s.calls[n-1]; c != nil && c.concerns(key) && include(c) {
			calls = append(calls, c)
		}
	}
	slices.Reverse(calls)
	return calls
}

// settle applies the outcome of a call, by its record at p; the zero position: it is not recorded.
// identities are those that its answer decided, or that are in doubt.
func (s *state) settle(c *Call, p wal.Position, k kind, h *outcomeRecord, identities []byte) error {
	c.setOutcome(k, h)
	c.outcomeAt = p
	s.addToHistory(c, k, h, identities)
	s.addSize(c, h)
	return s.cursors.add(undated{call: c, at: p, record: h, identities: identities})
}

// addSize learns from the length of a call's answer. A refusal, or a delivery, says nothing about answers.
func (s *state) addSize(c *Call, h *outcomeRecord) {
	if c.Outcome != pipeline.Charged && !c.cut || c.isDelivery() {
		return
	}
	length := forecast.AnswerLength{Ceiling: c.resultCeiling(), Length: c.length, Cut: c.Outcome != pipeline.Charged}
	if h.Size != nil {
		length.Results = *h.Size
	}
	s.sizes.Add(c.Query, length)
}

// resultCeiling is the number of results that the answer to a call can have. A page may be smaller
// than its query allows, and costs accordingly.
func (c *Call) resultCeiling() int64 {
	if q := c.Query; q.Service().IsPaged() {
		return c.Ceiling / max(q.Price, 1) * max(q.Per, 1)
	}
	return c.Query.ResultCeiling(c.Entities)
}

// addToIndex notes that a call requested identities.
func (s *state) addToIndex(c *Call, identities []byte) {
	for chunk := range slices.Chunk(identities, len(pipeline.Identity{})) {
		s.index.Add(pipeline.Identity(chunk), uint32(c.number)) //nolint:gosec // calls take seconds
	}
}

// setResponse notes the recorded answer of a call.
func (c *Call) setResponse(p wal.Position, h *responseSummary) {
	c.responseAt, c.duration, c.length, c.cut = &p, h.Duration, h.Length, h.Cut
}

func (c *Call) setOutcome(k kind, h *outcomeRecord) {
	c.Outcome, c.Problem = kindOutcomes[k], h.Problem
	if k == kindCharged && h.Credits != nil {
		c.Charge = pipeline.StatedCharge(*h.Credits, "")
	}
}

var kindOutcomes = map[kind]pipeline.Outcome{
	kindCharged: pipeline.Charged, kindNotCharged: pipeline.NotCharged, kindInDoubt: pipeline.InDoubt,
}

func (s *state) pastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.past.err
}

// setCursors makes the cursors available to a run in progress.
func (s *state) setCursors(t *cursorTable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursors.table, s.cursors.stored = t, nil
}

// listCalls gives each run its calls, in their order.
func (s *state) listCalls() {
	for _, r := range s.runs {
		r.Calls = nil
	}
	for _, c := range s.calls {
		if c != nil {
			c.Run.Calls = append(c.Run.Calls, c)
		}
	}
}
