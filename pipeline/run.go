package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/schema"
)

// Runner runs the main job. The zero value of a field has a stated meaning; Fetcher, Sink, Queries
// and RunID are required.
type Runner struct {
	Fetcher Fetcher
	Sink    Sink
	// What to request for each kind of object; lines of a kind without a query are rejected.
	Queries map[schema.Object]*Query
	// What to request first for lines without an id, if Queries are requested by id only; requires
	// Purchases and Reopen.
	Searches map[schema.Object]*Query
	Reopen   func() (Source, error) // reopens the list for a second walk
	// What the run is. It starts now if its start is zero. Its queries are requested only if they
	// are in Queries or Searches.
	Spec        RunSpec
	Concurrency int // batches in flight; 0 means 4
	// Entities per call, 1 to MaxBatch; 0 means MaxBatch.
	BatchSize int
	// The number, of n entities, that one call may request at most so that its answer is not too long;
	// at least one. Nil: n.
	MaxEntities func(q *Query, n int) int
	// Bytes of the answers that may be under way or wait for their turn; 0 means 64 MiB. The answer
	// whose turn it is may be longer.
	AnswerMemory int64
	Now          func() time.Time // nil means time.Now
	// What was bought before; nil: nothing.
	Purchases Purchases
	// What to ask about each account; nil: every query as it is, without what was bought before.
	Schedule Schedule
	// Records the run; nil: nothing is recorded.
	Ledger Ledger
	// What this run did in a process that has ended; nil: the run is new.
	Recorded *RunLog
	// Number of the last batch of that process.
	LastBatch int
	// Reads the account's usage after the run if it made calls; nil: no reconciliation in the
	// manifest.
	ReadUsage func() *Reconciliation
	// Called after every batch, by one goroutine; nil: not called.
	Progress func(Progress)
	// What the run is doing at the moment; nil: it is not noted.
	Activity *Activity
	// Schema version of the rows; 0 means the current one. An older one repeats what an earlier
	// build wrote.
	SchemaVersion int
	// Fingerprint of the source, called after it was read; nil: none.
	Input func() Input
	// What to do when answers differ from what the schema knows; empty: Evolve. Of answers to requests
	// for signals.
	Contract Contract
	// The exit code that a run's manifest gives, for the table of runs; nil: 0.
	ExitCode func(*Manifest) int
	// How the run ended that Replay repeats; nil: it ends now.
	Ended *RunInfo
	// New events that webhooks delivered since the nightly run before; nil: the run is not nightly, or the
	// lake has no webhooks. The sink counts the new events about entities that the lake is subscribed to.
	Delivered *int64

	earlierCalls int64 // of processes that have ended
}

// Progress is the progress of a run.
type Progress struct {
	Lines    int64 // lines with a status
	Batches  int64 // batches answered
	Calls    int64
	Events   int64
	Credits  int64 // charged so far, as stated by the server
	Deferred int64
	InDoubt  int64
	Rate     *Rate // windows after the last answer that stated them
}

// Run reads the source to its end, requests every line that can be requested, and publishes the
// result. The manifest says how the run ended. It is nil only with an error, which means that the
// source could not be read at all or that the sink failed.
//
// A cancelled ctx and a *Stop of the fetcher end the requests, not the run: what was paid for is
// published first. After a cancelled ctx the source is not read to its end if that is far: see
// maxLinesAfterInterrupt. What was paid for is published, too, if the source fails midway; its
// error is returned with the manifest.
func (r *Runner) Run(ctx context.Context, src Source) (*Manifest, error) {
	started := r.clock()()
	// The lake is written even if ctx is cancelled: what was paid for is published.
	writeCtx := context.WithoutCancel(ctx)
	rec, done, err := r.startRecorder(writeCtx, started)
	if err != nil {
		return nil, err
	}
	p := &paidPhase{Runner: r, recorder: rec, batcher: r.newBatcher(done)}
	defer context.AfterFunc(ctx, r.Activity.noteStop)()
	p.batcher.stopped = p.stop.Load
	p.stopOnDrift(rec.drift) // of what an earlier process bought
	if len(r.Searches) > 0 {
		if err := p.searchIDs(ctx, writeCtx, src); err != nil {
			return nil, err
		}
		if src, err = r.Reopen(); err != nil {
			return nil, err
		}
	}
	if err := p.requestLines(ctx, writeCtx, src); err != nil {
		return nil, err
	}
	m, readErr := rec.manifest, p.batcher.err
	if readErr != nil && m.Accounts.Lines == 0 && len(rec.divided) == 0 {
		return nil, readErr
	}
	r.endRequests(m, started)
	if m.Input.Unread = p.unread; p.unread {
		p.stop.CompareAndSwap(nil, interruptedStop(ctx))
	}
	p.batcher.identities = nil // the largest structure in memory, no longer needed
	stop := p.stop.Load()
	if stop == nil && readErr != nil {
		stop = &Stop{Kind: StopInput, Reason: readErr.Error(), Advice: "correct the list and run again"}
	}
	if err := r.publish(writeCtx, rec, stop); err != nil {
		return nil, err
	}
	return m, readErr
}

// paidPhase is the paid phase of a run over a list. prefetch owns its goroutines: they read the list
// and make the calls. The answers are recorded by the caller's goroutine, in the order of the
// batches.
type paidPhase struct {
	*Runner
	recorder *recorder
	batcher  *batcher
	batches  int64                // answered
	stop     atomic.Pointer[Stop] // why no further call may start; nil: it may
	unread   bool                 // the list was not read to its end, because the run was to stop
}

// maxLinesAfterInterrupt is the number of lines that a run still reads after it was stopped, to
// note that they are not requested. A longer list is left unread: who stops a run cannot wait for it.
const maxLinesAfterInterrupt = 10_000

// accounts are the lines of the list, up to the end of the list or so many after ctx ended.
func (p *paidPhase) accounts(ctx, readCtx context.Context, src Source) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		after := 0
		for a, err := range src.Accounts(readCtx) {
			if ctx.Err() != nil && err == nil {
				if after++; after > maxLinesAfterInterrupt {
					p.unread = true
					return
				}
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// fetch requests a batch, unless the run must stop, and makes the rows of its answer. It may be called
// concurrently.
func (p *paidPhase) fetch(ctx context.Context, item workItem) *flattened {
	if item.batch == nil {
		return nil
	}
	if ctx.Err() != nil {
		p.stop.CompareAndSwap(nil, interruptedStop(ctx))
	}
	if s := p.stop.Load(); s != nil {
		return &flattened{Reply: NewReply(item.batch, s.Reason)}
	}
	p.Activity.noteCalls(1)
	reply, err := p.Fetcher.Fetch(ctx, item.batch)
	p.Activity.noteCalls(-1)
	if err != nil {
		s := stopAfter(err)
		if stopOf(err) == nil && ctx.Err() != nil {
			s = interruptedStop(ctx)
		}
		p.stop.CompareAndSwap(nil, s)
		p.Activity.noteStop()
	}
	return p.flatten(item.batch, reply)
}

// searchIDs requests the ids that the lines need and that are unknown.
func (p *paidPhase) searchIDs(ctx, writeCtx context.Context, src Source) error {
	searchDone := slices.Clone(p.batcher.done) // by searches; searchItems reads done meanwhile
	items := p.batcher.searchItems(writeCtx, p.accounts(ctx, writeCtx, src))
	for item, reply := range prefetch(ctx, p.concurrency(), items, p.newAnswerRoom(), p.fetch) {
		p.batches++
		if err := validateReply(item.batch, reply.Reply); err != nil {
			return err
		}
		toRecord, err := p.recorder.recordResolution(writeCtx, item.batch, reply, &searchDone)
		if err != nil {
			return err
		}
		if err := p.recordInLedger(toRecord); err != nil {
			return err
		}
		p.reportProgress(p.recorder, p.batches)
	}
	p.batcher.done = searchDone
	return nil
}

// requestLines gives every line its status, and requests those that need a call.
func (p *paidPhase) requestLines(ctx, writeCtx context.Context, src Source) error {
	items := p.batcher.items(writeCtx, p.accounts(ctx, writeCtx, src))
	for item, reply := range prefetch(ctx, p.concurrency(), items, p.newAnswerRoom(), p.fetch) {
		toRecord := item.lines
		for _, l := range item.lines {
			if err := p.recorder.recordLine(writeCtx, l); err != nil {
				return err
			}
		}
		if item.batch != nil {
			p.batches++
			if err := validateReply(item.batch, reply.Reply); err != nil {
				return err
			}
			if err := p.recorder.recordBatch(writeCtx, item.batch, reply); err != nil {
				return err
			}
			toRecord = append(toRecord, unreplayableLines(item.batch, reply.Reply)...)
		}
		if err := p.recordInLedger(toRecord); err != nil {
			return err
		}
		p.reportProgress(p.recorder, p.batches)
	}
	return nil
}

// Replay makes the rows of a run from what it did in processes that have ended, and publishes them.
// It sends no request. Lines that are neither in answers nor in recorded lines are missing in the
// lake: only the list has them. stop says why the run ended; nil if it was complete.
func (r *Runner) Replay(ctx context.Context, stop *Stop) (*Manifest, error) {
	rec, done, err := r.startRecorder(ctx, r.clock()())
	if err != nil {
		return nil, err
	}
	m := rec.manifest
	for l, err := range r.Recorded.Lines {
		if err != nil {
			return nil, err
		}
		if done.has(l.Account.Row) {
			continue
		}
		if l.Part == "" {
			done.add(l.Account.Row)
		}
		if err := rec.recordLine(ctx, l); err != nil {
			return nil, err
		}
	}
	if r.Input != nil {
		m.Input = r.Input()
	}
	return m, r.publish(ctx, rec, stop)
}

// startRecorder starts the manifest, and records what the run did in processes that have ended; done
// are the rows that have a status by that.
func (r *Runner) startRecorder(ctx context.Context, started time.Time) (rec *recorder, done rowSet, err error) {
	rec = newRecorder(r.Sink, &r.Spec, r.schemaVersion(), r.newManifest(started))
	done, err = r.recoverRows(ctx, rec)
	r.earlierCalls = rec.manifest.Calls.Total
	return rec, done, err
}

// endRequests notes how long the requests took and how many were answered, and what the list is
// now that it was read.
func (r *Runner) endRequests(m *Manifest, started time.Time) {
	elapsed := r.clock()().Sub(started)
	m.Timings.Ask = elapsed.Milliseconds()
	if s := elapsed.Seconds(); s > 0 {
		m.Calls.PerSecond = float64(m.Calls.Total-r.earlierCalls) / s
	}
	if r.Input != nil {
		m.Input = r.Input()
	}
}

// recordInLedger records lines whose status no answer yields when it is decoded again.
func (r *Runner) recordInLedger(lines []Line) error {
	if len(lines) == 0 {
		return nil
	}
	return r.ledger().RecordLines(lines)
}

func (r *Runner) reportProgress(rec *recorder, batches int64) {
	if r.Progress != nil {
		progress := rec.manifest.newProgress(batches)
		progress.Lines += int64(len(rec.divided))
		r.Progress(progress)
	}
}

// publish stages what was written, and makes it visible.
func (r *Runner) publish(ctx context.Context, rec *recorder, stop *Stop) error {
	now, ledger, m := r.clock(), r.ledger(), rec.manifest
	r.Activity.notePublication()
	stageStart := now()
	if err := errors.Join(rec.writeDivided(ctx), rec.writeDrift(ctx)); err != nil {
		return err
	}
	if err := rec.rows.Flush(ctx); err != nil {
		return err
	}
	files, err := r.Sink.Stage(ctx)
	if err != nil {
		return err
	}
	rec.describeKept(files)
	stageEnd := now()
	m.Timings.Stage = stageEnd.Sub(stageStart).Milliseconds()
	compared := r.Sink.Comparison()
	m.finish(files, compared, stop)
	m.Drift = rec.drift.report(r.Contract)
	if r.ReadUsage != nil && m.Calls.Total > 0 {
		if m.Reconciliation = r.ReadUsage(); m.Reconciliation != nil {
			m.Reconciliation.Reconcile(&m.Credits)
		}
	}
	m.Run.Finished = now().UTC()
	if r.Delivered != nil {
		m.Run.Webhooks = &WebhookShare{Delivered: *r.Delivered, Polled: compared.Counted}
	}
	if e := r.Ended; e != nil {
		m.Run.Finished, m.Run.Outcome, m.Run.Stop, m.Run.Webhooks = e.Finished, e.Outcome, e.Stop, e.Webhooks
	}
	if m.Files, err = r.stageRun(ctx, rec); err != nil {
		return err
	}
	m.Timings.Publish = now().Sub(stageEnd).Milliseconds()
	if err := ledger.Prepare(m); err != nil {
		return err
	}
	if err := r.Sink.Publish(ctx, m); err != nil {
		return err
	}
	return ledger.Commit(m)
}

// stageRun adds the row of the run to what is staged, and returns all files.
func (r *Runner) stageRun(ctx context.Context, rec *recorder) ([]File, error) {
	if r.schemaVersion() < newTablesVersion {
		return rec.manifest.Files, nil
	}
	code := 0
	if r.ExitCode != nil {
		code = r.ExitCode(rec.manifest)
	}
	if err := rec.writeRun(ctx, &r.Spec, code); err != nil {
		return nil, err
	}
	if err := rec.rows.Flush(ctx); err != nil {
		return nil, err
	}
	files, err := r.Sink.Stage(ctx)
	rec.describeKept(files)
	return files, err
}

// newBatcher makes the batcher of the run; the lines in done already have a status.
func (r *Runner) newBatcher(done rowSet) *batcher {
	return &batcher{queries: r.Queries, searchQueries: r.Searches, batchSize: r.batchSize(), maxEntities: r.MaxEntities, identities: new(idmap.Map), purchases: r.purchases(), schedule: r.Schedule, done: done, lastBatch: r.LastBatch}
}

func (r *Runner) concurrency() int { return orDefault(r.Concurrency, 4) }

func (r *Runner) batchSize() int { return min(orDefault(r.BatchSize, MaxBatch), MaxBatch) }

func (r *Runner) schemaVersion() int { return orDefault(r.SchemaVersion, schema.Version) }

func (r *Runner) clock() func() time.Time {
	if r.Now == nil {
		return time.Now
	}
	return r.Now
}

func (r *Runner) purchases() Purchases {
	if r.Purchases == nil {
		return noLedger{}
	}
	return r.Purchases
}

func (r *Runner) ledger() Ledger {
	if r.Ledger == nil {
		return noLedger{}
	}
	return r.Ledger
}

// newManifest starts the manifest of the run.
func (r *Runner) newManifest(started time.Time) *Manifest {
	spec := r.Spec
	if spec.Started.IsZero() {
		spec.Started = started
	}
	m := NewManifest(spec.info())
	m.Run.Concurrency, m.Run.BatchSize = r.concurrency(), r.batchSize()
	// A run that an earlier build began may be written by this one.
	m.Versions = map[string]string{}
	maps.Copy(m.Versions, spec.Versions)
	m.Versions[SchemaComponent] = strconv.Itoa(r.schemaVersion())
	for _, list := range []map[schema.Object]*Query{r.Queries, r.Searches} {
		for _, o := range []schema.Object{schema.Contact, schema.Company} {
			if q := list[o]; q != nil {
				m.Queries = append(m.Queries, *q)
			}
		}
	}
	return m
}

func (m *Manifest) newProgress(batches int64) Progress {
	return Progress{
		Lines: m.Accounts.Lines, Batches: batches, Calls: m.Calls.Total, Events: m.Events.Returned,
		Credits: m.Credits.Charged, Deferred: m.Accounts.ByStatus[schema.Deferred],
		InDoubt: m.Accounts.ByStatus[schema.InDoubt], Rate: m.Calls.LastRate,
	}
}

// stopAfter is the stop that an error of a fetcher means; nil without an error.
func stopAfter(err error) *Stop {
	if err == nil {
		return nil
	}
	if stop := stopOf(err); stop != nil {
		return stop
	}
	return &Stop{Kind: StopUnstable, Reason: err.Error()}
}

// interruptedStop is the stop of a run whose ctx has ended.
func interruptedStop(ctx context.Context) *Stop {
	stop := &Stop{Kind: StopInterrupted, Reason: "stopped on request", Advice: "run the same command again to request the rest"}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		stop.Reason = "stopped: " + cause.Error()
	}
	return stop
}

// validateReply refuses a reply that breaks the contract of Fetcher: the bill and the accounts table
// would not add up.
func validateReply(b *Batch, reply *Reply) error {
	if reply == nil {
		return fmt.Errorf("batch %s: no reply: a fetcher must return one for each batch", b.ID)
	}
	if len(reply.Items) != len(b.Items) {
		return fmt.Errorf("batch %s: %d replies for %d entities: a fetcher must return one for each", b.ID, len(reply.Items), len(b.Items))
	}
	for i, a := range reply.Items {
		if a.Status == "" {
			return fmt.Errorf("batch %s: no status for row %d: a fetcher must return one for each entity", b.ID, b.Items[i].Account.Row)
		}
	}
	for _, c := range reply.Calls {
		if c.Outcome != Charged && c.Outcome != NotCharged && c.Outcome != InDoubt {
			return fmt.Errorf("batch %s: call %s has the outcome %q: a fetcher must return charged, not_charged or ambiguous", b.ID, c.ID, c.Outcome)
		}
	}
	return nil
}

func orDefault(n, standard int) int {
	if n <= 0 {
		return standard
	}
	return n
}

func orString(s, standard string) string {
	if s == "" {
		return standard
	}
	return s
}
