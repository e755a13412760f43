package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Recorder is the one writer of a ledger: it records what happens in a run, and what is decided
// about its calls. The fetchers of RecordCalls and RecordOutcomes are safe for concurrent use.
type Recorder struct {
	ledger  *Ledger
	log     *wal.Log
	now     func() time.Time
	state   *state
	queries *queryNumbers
	run     *Run

	// AllowsRejects reports whether the command accepts the rejected lines of a run that is published;
	// nil: it accepts none.
	AllowsRejects func(*pipeline.Manifest) bool
	// NarrowedBy returns the names, as "run/call", of the calls in doubt of earlier runs that may have bought what a night
	// therefore did not ask for; nil: there are none.
	NarrowedBy func() []string
}

// BeginRun records durably that a run begins, or is resumed in another session, and returns its
// Recorder.
func (l *Ledger) BeginRun(b pipeline.RunSpec) (*Recorder, error) {
	head, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	if _, err := l.log.Append(byte(kindRun), head, nil); err != nil {
		return nil, err
	}
	return l.Recorder(l.state.beginRun(&b)), nil
}

// Recorder is the Recorder of a run that has begun.
func (l *Ledger) Recorder(r *Run) *Recorder {
	return &Recorder{ledger: l, log: l.log, now: l.now, state: l.state, queries: l.queries, run: r}
}

// Run is the run that is recorded.
func (r *Recorder) Run() *Run { return r.run }

// RecordLines records lines that no answer decides.
func (r *Recorder) RecordLines(undecided []pipeline.Line) error {
	head, err := json.Marshal(linesRecord{Run: r.run.ID, Session: r.run.Session, Lines: len(undecided)})
	if err != nil {
		return err
	}
	body, err := encodeBody(undecided)
	if err != nil {
		return err
	}
	p, err := r.log.Write(byte(kindLines), head, body)
	if err == nil {
		r.run.linesAt = append(r.run.linesAt, p)
	}
	return err
}

// Prepare records durably that the run's files are staged. It adds to the manifest what the run's
// audits found. Without that nothing is lost but a measurement, so an audit that cannot be read does not
// keep the run from being published.
func (r *Recorder) Prepare(m *pipeline.Manifest) error {
	auditor := pairAuditor{loader: r.ledger.loader, run: r.run}
	audit, err := auditor.audit(context.Background()) // what was paid for is published, whatever is cancelled
	if err != nil && r.ledger.debug != nil {
		r.ledger.debug("the run's audits are not counted: " + err.Error())
	}
	m.Audit = audit
	head, err := json.Marshal(prepareRecord{Run: r.run.ID, Files: len(m.Files), Time: r.now().UTC()})
	if err != nil {
		return err
	}
	body, err := encodeBody(m)
	if err != nil {
		return err
	}
	p, err := r.log.Append(byte(kindPrepare), head, body)
	if err == nil {
		r.run.Prepared = &p
	}
	return err
}

// Commit records durably that the run is published.
func (r *Recorder) Commit(m *pipeline.Manifest) error {
	c := commitOf(r.run.ID, m, r.now().UTC())
	if r.NarrowedBy != nil {
		c.NarrowedBy = r.NarrowedBy()
	}
	c.RejectsAllowed = m.Run.Outcome == pipeline.RunWithRejects && r.AllowsRejects != nil && r.AllowsRejects(m)
	head, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if r.run.publishedAt, err = r.log.Append(byte(kindCommit), head, nil); err != nil {
		return err
	}
	r.run.Published = &c
	r.ledger.checkpoints.writeIfDue()
	return nil
}

// commitOf is the record that a manifest of a run is published.
func commitOf(run string, m *pipeline.Manifest, now time.Time) Commit {
	c := Commit{
		Run: run, Generation: m.Generation, Outcome: m.Run.Outcome,
		Deferred: m.Accounts.ByStatus[schema.Deferred] + m.Accounts.PartlyRequested, Held: m.Accounts.ByStatus[schema.InDoubt],
		Rejected: m.Accounts.ByStatus[schema.Rejected], Time: now, Totals: newTotals(m),
	}
	if m.Audit != nil {
		c.Audit = &m.Audit.AuditCounts
	}
	for _, d := range m.InDoubt {
		if d.Run != "" {
			c.BlockedBy = append(c.BlockedBy, d.Name())
		}
	}
	if s := m.Run.Stop; s != nil {
		c.InputUnread = s.Kind == pipeline.StopInterrupted || s.Kind == pipeline.StopInput || s.Kind == pipeline.StopClosed || m.Input.Unread
	}
	return c
}

// RecordDecision records durably a decision about a call in doubt.
func (r *Recorder) RecordDecision(c *Call, decision Decision, reason string) error {
	head, err := json.Marshal(decisionRecord{Run: c.Run.ID, Call: c.ID, Decision: decision, Reason: reason, Time: r.now().UTC()})
	if err != nil {
		return err
	}
	p, err := r.log.Append(byte(kindDecision), head, nil)
	if err == nil {
		c.decide(decision, p)
	}
	return err
}

// RecordReconciliation records durably what the account's usage says: the unsettled calls so
// far, from the first call of the run on, cost at most maxCost. No call's outcome changes. A
// bound that is not lower than the known one is not recorded.
func (r *Recorder) RecordReconciliation(maxCost int64, reason string) error {
	var liable []*Call
	for _, c := range r.state.calls {
		if new(Liability).shareOf(c) != nil && r.run.firstCall > 0 && c.number >= r.run.firstCall {
			liable = append(liable, c)
		}
	}
	if maxCost >= r.state.bounds.maxCost(liable) {
		return nil
	}
	head, err := json.Marshal(reconciliationRecord{From: r.run.ID, MaxCost: maxCost, Reason: reason, Time: r.now().UTC()})
	if err != nil {
		return err
	}
	if _, err := r.log.Append(byte(kindReconciliation), head, nil); err != nil {
		return err
	}
	r.state.bounds.add(r.run, len(r.state.calls), maxCost)
	return nil
}

// RecordCalls wraps the client: the intent of a call is durable before its first byte leaves,
// and the answer before it is decoded.
func (r *Recorder) RecordCalls(inner pipeline.Fetcher) pipeline.Fetcher {
	return &callRecorder{r, inner}
}

type callRecorder struct {
	recorder *Recorder
	inner    pipeline.Fetcher
}

func (f *callRecorder) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	if ctx.Err() != nil {
		return f.inner.Fetch(ctx, b) // which will not send it
	}
	space, err := f.recorder.log.Reserve(2, maxAnswerSize(b))
	if err != nil {
		return pipeline.NewReply(b, "not requested"), stopForStorage(err)
	}
	defer space.Release()
	call, err := f.recorder.recordIntent(space, b)
	if err != nil {
		return pipeline.NewReply(b, "not requested"), stopForStorage(err)
	}
	pieces := &pieces{space: space, call: call, admit: b.Admit}
	spilling := *b
	spilling.Spill = pieces.add
	reply, err := f.inner.Fetch(ctx, &spilling)
	// What was paid for is recorded and decoded, even if the run is to stop.
	if recordErr := f.recorder.recordResponse(context.WithoutCancel(ctx), space, call, reply, pieces); recordErr != nil {
		// The answer is paid for and cannot be kept. The process must end: the
		// next one finds the intent without an answer and declares the doubt.
		return reply, stopForStorage(errors.Join(recordErr, err))
	}
	return reply, err
}

// stopForStorage is the stop of a run with a ledger that cannot be written.
func stopForStorage(err error) error {
	advice := "check the disk, then run the same command again"
	if errors.Is(err, wal.ErrFenced) {
		advice = "wait until the other run has ended, then run the same command again"
	}
	return &pipeline.Stop{Kind: pipeline.StopStorage, Reason: "the journal cannot be written: " + err.Error(), Advice: advice}
}

// maxAnswerSize is the space to reserve for the answer to a batch: no call is made unless it is
// sure to fit.
//
// Answers are recorded compressed, to a quarter or less: of a long one, so much is reserved. The
// pieces of one that is longer than it could be take what the disk has left.
func maxAnswerSize(b *pipeline.Batch) int64 {
	const fixed, perEvent, most = 64 << 10, 1 << 10, 32 << 20
	return min(max(fixed+b.ResultCeiling()*perEvent, b.PossibleBytes()/4), most)
}

// recordIntent records durably that a call will be made.
func (r *Recorder) recordIntent(space *wal.Reservation, b *pipeline.Batch) (*Call, error) {
	if err := r.state.pastError(); err != nil {
		return nil, err // what was bought is not known
	}
	body, err := encodeBody(b.Items)
	if err != nil {
		return nil, err
	}
	attempt := max(b.NextAttempt, 1)
	number, err := r.queries.ensure(b.Query)
	if err != nil {
		return nil, err
	}
	h := intentRecord{
		Run: r.run.ID, Call: fmt.Sprintf("%s-%d", b.ID, attempt), Batch: b.ID, Attempt: attempt, ByID: b.ByID, Query: number,
		Entities: len(b.Items), Ceiling: b.Ceiling(), Time: r.now().UTC(),
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	p, err := space.Append(byte(kindIntent), head, body)
	if err != nil {
		return nil, err
	}
	r.state.mu.Lock()
	defer r.state.mu.Unlock()
	return r.state.addCall(r.run, p, &h), nil
}

// pieces are those of an answer that is too long for one record. They are recorded while the rest
// is on its way. The first ones are also kept, compressed, until the answer is whole.
type pieces struct {
	space *wal.Reservation
	call  *Call
	admit func(bytes int64) // see pipeline.Batch.Admit

	compressed [][]byte // nil where only the log has the piece
	kept       int      // bytes of compressed
	length     int64    // uncompressed
	at         []wal.Position
	err        error // of recording a piece: the answer cannot be kept
}

// add is pipeline.Batch.Spill of the call. The response record makes the pieces durable.
func (s *pieces) add(piece []byte) error {
	if s.err != nil {
		return s.err
	}
	var head []byte
	if head, s.err = json.Marshal(callHead{s.call.Run.ID, s.call.ID}); s.err != nil {
		return s.err
	}
	compressed := compressBody(piece)
	var p wal.Position
	if p, s.err = s.space.Write(byte(kindPiece), head, compressed); s.err != nil {
		return s.err
	}
	s.length, s.at = s.length+int64(len(piece)), append(s.at, p)
	if s.kept += len(compressed); s.kept > maxKeptPieces {
		compressed = nil
	}
	s.compressed = append(s.compressed, compressed)
	return nil
}

// maxKeptPieces is the length of the compressed pieces of one answer that stay in memory. Most
// answers compress to less.
const maxKeptPieces = 16 << 20

// join returns the answer as a whole, which ends with the last piece. The pieces must be durable.
func (s *pieces) join(ctx context.Context, log *wal.Log, last []byte) (body []byte, err error) {
	if len(s.at) == 0 {
		return last, nil
	}
	length := s.length + int64(len(last))
	if s.admit != nil {
		s.admit(length)
	}
	body = make([]byte, 0, length)
	for i, p := range s.compressed {
		if p == nil {
			r, err := log.Read(ctx, s.at[i])
			if err != nil {
				return nil, err
			}
			p = r.Body
		}
		if body, err = appendDecompressed(body, p); err != nil {
			return nil, err
		}
		s.compressed[i] = nil
	}
	return append(body, last...), nil
}

// recordResponse makes the result of a call durable, as received, and completes its body.
func (r *Recorder) recordResponse(ctx context.Context, space *wal.Reservation, c *Call, reply *pipeline.Reply, pieces *pieces) error {
	if pieces.err != nil {
		return pieces.err
	}
	if len(reply.Calls) == 0 { // it was not sent
		return r.writeOutcome(func(k byte, head, body []byte) (wal.Position, error) {
			p, err := space.Append(k, head, body)
			if err == nil {
				c.unsentAt = &p
			}
			return p, err
		}, c, kindNotCharged, outcomeRecord{Problem: notSent}, nil)
	}
	call := &reply.Calls[0]
	h := responseRecord{
		callHead: callHead{c.Run.ID, c.ID}, Endpoint: call.Endpoint, Entities: call.Entities, Sent: call.Sent, Duration: call.Duration,
		Status: call.Status, Outcome: call.Outcome, Rate: call.Rate, Header: call.Header, Problem: call.Problem, Corrupt: call.Corrupt,
		Cut: call.Cut, Length: pieces.length + int64(len(call.Body)), Pieces: len(pieces.at),
	}
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	p, err := space.Append(byte(kindResponse), head, compressBody(call.Body))
	if err != nil {
		return err
	}
	c.piecesAt = pieces.at
	c.setResponse(p, &responseSummary{h.callHead, h.Duration, h.Cut, h.Length, h.Pieces})
	call.Body, err = pieces.join(ctx, r.log, call.Body)
	return err
}

// notSent is the problem of a call that was recorded and not made.
const notSent = "not sent"

// RecordOutcomes wraps the decoding client: the outcome of a call is recorded as well, so that
// Open need not decode all answers again.
func (r *Recorder) RecordOutcomes(inner pipeline.Fetcher) pipeline.Fetcher {
	return &outcomeRecorder{r, inner}
}

type outcomeRecorder struct {
	recorder *Recorder
	inner    pipeline.Fetcher
}

func (f *outcomeRecorder) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	reply, err := f.inner.Fetch(ctx, b)
	if len(reply.Calls) == 0 {
		return reply, err
	}
	call := &reply.Calls[len(reply.Calls)-1]
	if recordErr := f.recorder.recordOutcome(call, b, reply.Items); recordErr != nil && err == nil {
		err = stopForStorage(recordErr)
	}
	return reply, err
}

// recordOutcome records the outcome of a decoded call of the run.
func (r *Recorder) recordOutcome(call *pipeline.Call, b *pipeline.Batch, items []pipeline.ItemReply) error {
	r.state.mu.Lock()
	c, err := r.state.findCall(r.run.ID, call.ID)
	r.state.mu.Unlock()
	if err != nil {
		return err
	}
	k, h, identities := outcomeOf(call, b, items)
	return r.writeOutcome(r.log.Write, c, k, h, identities)
}

// outcomeOf is the outcome of a decoded call, as a record.
func outcomeOf(call *pipeline.Call, b *pipeline.Batch, items []pipeline.ItemReply) (k kind, h outcomeRecord, identities []byte) {
	h.Problem = call.Problem
	answered := answeredIdentities(b, items)
	if call.Outcome != pipeline.InDoubt {
		h.IDs = encodeIDs(b, items, answered)
	}
	identities = joinIdentities(answered)
	switch call.Outcome {
	case pipeline.Charged:
		if call.Charge.Known {
			h.Credits = &call.Charge.Credits
		}
		h.Events, h.Total = countEvents(items)
		h.Size, h.Pairs = resultSizeOf(items), encodePairs(b, items, answered)
		return kindCharged, h, identities
	case pipeline.NotCharged:
		return kindNotCharged, h, identities
	}
	return kindInDoubt, h, identities
}

// answeredIdentities are, of each item, those of [answeredIdentitiesOf].
func answeredIdentities(b *pipeline.Batch, items []pipeline.ItemReply) (byItem [][]pipeline.Identity) {
	byItem = make([][]pipeline.Identity, len(items))
	for i := range items {
		byItem[i] = answeredIdentitiesOf(b, i, &items[i])
	}
	return byItem
}

// joinIdentities is the body of an outcome: the identities of all items, back to back.
func joinIdentities(byItem [][]pipeline.Identity) (all []byte) {
	for _, own := range byItem {
		for _, identity := range own {
			all = append(all, identity[:]...)
		}
	}
	return all
}

// answeredIdentitiesOf are the identities of an item that an answer decided, or that is in doubt, each
// once: by the requested identifier, by the id that a search had found for it, and by every id that the
// answer states.
func answeredIdentitiesOf(b *pipeline.Batch, i int, item *pipeline.ItemReply) []pipeline.Identity {
	switch item.Status {
	case schema.Enriched, schema.NoSignal, schema.NotFound, schema.Resolved, schema.Restricted, schema.InDoubt:
	default:
		return nil
	}
	if b.Query.Service() == pipeline.Deliveries && item.Entity.ID == "" { // no question can be about it
		return nil
	}
	all := append(make([]pipeline.Identity, 0, 2), pipeline.IdentityOf(&b.Items[i].Account))
	add := func(id string) {
		if id != "" {
			all = append(all, pipeline.IdentityByID(b.Query.Object, id))
		}
	}
	add(b.Items[i].ID)
	add(item.Entity.ID)
	for _, id := range item.Aliases {
		add(id)
	}
	if all = slices.Compact(all); len(all) == 1 { // most often
		return all
	}
	seen := make(map[pipeline.Identity]bool, len(all))
	return slices.DeleteFunc(all, func(identity pipeline.Identity) bool {
		repeated := seen[identity]
		seen[identity] = true
		return repeated
	})
}

func (r *Recorder) writeOutcome(write func(byte, []byte, []byte) (wal.Position, error), c *Call, k kind, h outcomeRecord, identities []byte) error {
	h.callHead = callHead{c.Run.ID, c.ID}
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	p, err := write(byte(k), head, identities)
	if err != nil {
		return err
	}
	r.state.mu.Lock()
	defer r.state.mu.Unlock()
	err = r.state.settle(c, p, k, &h, identities)
	if c.Query.Service() == pipeline.Search { // the run itself requests by the ids that it finds
		r.state.addToIndex(c, identities)
	}
	return err
}

// resultSizeOf is the length of all results of a call, also of those that are filtered out; nil
// without results.
func resultSizeOf(items []pipeline.ItemReply) *forecast.ResultSize {
	size := new(forecast.ResultSize)
	for i := range items {
		for _, list := range [][]pipeline.RawEvent{items[i].Events, items[i].Filtered} {
			for _, e := range list {
				size.Results++
				size.Bytes += int64(len(e.Raw))
			}
		}
	}
	if size.Results == 0 {
		return nil
	}
	return size
}

// countEvents counts the events of a call, by type and in total.
func countEvents(items []pipeline.ItemReply) (bySignal map[string]forecast.Moments, total *forecast.Moments) {
	bySignal, total = map[string]forecast.Moments{}, new(forecast.Moments)
	var types pipeline.TypeList
	counts := map[string]int64{}
	for i := range items {
		item := &items[i]
		clear(counts)
		for n := range item.Events {
			signal := item.Events[n].Type
			types.Name(signal) // in the order of the answer, so that the same types are named each time
			counts[signal]++
		}
		for signal, n := range counts {
			name := types.Name(signal)
			bySignal[name] = bySignal[name].Add(forecast.MomentsOf(n))
		}
		*total = total.Add(forecast.MomentsOf(int64(len(item.Events))))
	}
	return bySignal, total
}
