package pipeline

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/siglake/siglake/schema"
)

// Runner runs the main job. The zero value of a field has a stated meaning;
// Fetcher, Sink, Queries and RunID must be set.
type Runner struct {
	Fetcher     Fetcher
	Sink        Sink
	Queries     map[schema.Object]*Query // what to ask about each kind of object; lines of a kind without a query are rejected
	Searches    map[schema.Object]*Query // what to ask ahead about lines without an id, where Queries are asked by id alone; needs Journal and Again
	Again       func() (Source, error)   // gives the list from its beginning, for a second walk
	RunID       string                   // names the run's files and rows: letters, digits, '-'
	Concurrency int                      // batches in flight; 0 means 4
	BatchSize   int                      // entities in a call, 1 to MaxBatch; 0 means MaxBatch
	PartitionBy string                   // "event_month" (default) or "event_day"
	Now         func() time.Time         // nil means time.Now
	Journal     Journal                  // what was asked before; nil: nothing was, and nothing is remembered
	Past        *Past                    // what this run did in a process that ended; nil: it begins
	Batches     int                      // number of the last batch it used then
	Started     time.Time                // when it began; zero means now
	Continues   string                   // the run whose rest this one asks about; carried into the manifest
	Usage       func() *AccountMoves     // reads the account's usage once more when anything was asked; nil: the manifest does not reconcile it
	Progress    func(Progress)           // called after every batch, from one goroutine; nil: not at all

	Versions  map[string]string // carried into the manifest
	Endpoint  string            // carried into the manifest
	Choice    string            // carried into the manifest
	Simulated bool              // the answers are invented; carried into the manifest
	Input     func() Input      // fingerprint of the source, asked for after it was read; nil: none
}

// Progress is how far a run has come.
type Progress struct {
	Lines    int64 // lines with a fate
	Batches  int64 // batches answered
	Calls    int64
	Events   int64
	Credits  int64 // charged so far, as far as the server said
	Deferred int64
	Held     int64
	Rate     *Rate // windows after the last answer that stated them
}

// Run reads the source to its end, asks about every line that can be asked
// about, and publishes what came of it. The manifest says how the run ended;
// it is nil only with an error, which means that the source could not be read
// at all or that the sink failed.
//
// A cancelled ctx and a *Stop from the fetcher end the asking, not the run: what
// was paid is published first. So is what was read of a source that fails
// midway, having been asked about; its error comes with the manifest.
func (r *Runner) Run(ctx context.Context, src Source) (*Manifest, error) {
	now := r.clock()
	started := now()
	m := r.manifest(started)
	// The lake is written although ctx may be cancelled: what was paid is published.
	keep := context.WithoutCancel(ctx)
	journal := r.journal()
	lines := newBook(r.Sink, orString(r.PartitionBy, "event_month"), m)
	done, err := lines.recall(keep, r.Past)
	if err != nil {
		return nil, err
	}
	shards := r.sharder(done)

	var stopped atomic.Pointer[Stop]
	shards.stopped = stopped.Load
	ask := func(ctx context.Context, u unit) *Reply {
		if u.batch == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			stopped.CompareAndSwap(nil, interrupted())
		}
		if s := stopped.Load(); s != nil {
			return deferred(u.batch, s)
		}
		reply, err := r.Fetcher.Fetch(ctx, u.batch)
		if err != nil {
			s := stopOf(err)
			if s == nil && ctx.Err() != nil {
				s = interrupted()
			}
			if s == nil {
				s = &Stop{Kind: StopUnstable, Reason: err.Error()}
			}
			stopped.CompareAndSwap(nil, s)
			reply = whole(u.batch, reply, s)
		}
		return reply
	}

	var batches int64
	if len(r.Searches) > 0 {
		settled := slices.Clone(done) // by searches; done is read meanwhile by the walk that makes them
		for u, reply := range ahead(ctx, m.Run.Concurrency, shards.searches(src.Accounts(keep)), ask) {
			batches++
			if err := complete(u.batch, reply); err != nil {
				return nil, err
			}
			left, err := lines.found(keep, u.batch, reply, &settled)
			if err == nil && len(left) > 0 {
				err = journal.Keep(left)
			}
			if err != nil {
				return nil, err
			}
			if r.Progress != nil {
				r.Progress(m.progress(batches))
			}
		}
		shards.done = settled
		if src, err = r.Again(); err != nil {
			return nil, err
		}
	}
	for u, reply := range ahead(ctx, m.Run.Concurrency, shards.units(src.Accounts(keep)), ask) {
		left := u.settled
		for _, l := range u.settled {
			if err := lines.settle(keep, l); err != nil {
				return nil, err
			}
		}
		if u.batch != nil {
			batches++
			if err := complete(u.batch, reply); err != nil {
				return nil, err
			}
			if err := lines.enter(keep, u.batch, reply); err != nil {
				return nil, err
			}
			left = append(left, undecided(u.batch, reply)...)
		}
		if len(left) > 0 {
			if err := journal.Keep(left); err != nil {
				return nil, err
			}
		}
		if r.Progress != nil {
			r.Progress(m.progress(batches))
		}
	}
	if shards.err != nil && m.Accounts.Lines == 0 {
		return nil, shards.err
	}
	asked := now()
	m.Timings.Ask = asked.Sub(started).Milliseconds()
	if s := asked.Sub(started).Seconds(); s > 0 {
		m.Calls.PerSecond = float64(m.Calls.Total) / s
	}
	if r.Input != nil {
		m.Input = r.Input()
	}
	shards.asked = nil // the largest thing in memory, and no line is left to ask about
	stop := stopped.Load()
	if stop == nil && shards.err != nil {
		stop = &Stop{Kind: StopInput, Reason: shards.err.Error(), Advice: "mend the list and run again"}
	}
	if err := r.publish(keep, lines, stop); err != nil {
		return nil, err
	}
	return m, shards.err
}

// Replay makes the rows of a run from what it did in processes that ended, and
// publishes them. It asks nothing. Lines that are in neither answers nor kept
// lines are not in the lake: nobody but the list knows them. stop says why the
// run ended; nil when it came to its end.
func (r *Runner) Replay(ctx context.Context, stop *Stop) (*Manifest, error) {
	m := r.manifest(r.clock()())
	lines := newBook(r.Sink, orString(r.PartitionBy, "event_month"), m)
	done, err := lines.recall(ctx, r.Past)
	if err != nil {
		return nil, err
	}
	for l, err := range r.Past.Lines {
		if err != nil {
			return nil, err
		}
		if done.has(l.Account.Row) {
			continue
		}
		done.add(l.Account.Row)
		if err := lines.settle(ctx, l); err != nil {
			return nil, err
		}
	}
	if r.Input != nil {
		m.Input = r.Input()
	}
	return m, r.publish(ctx, lines, stop)
}

// publish stages what was written, and makes it visible.
func (r *Runner) publish(ctx context.Context, lines *book, stop *Stop) error {
	now, journal, m := r.clock(), r.journal(), lines.manifest
	begun := now()
	if err := lines.flush(ctx); err != nil {
		return err
	}
	files, err := r.Sink.Stage(ctx)
	if err != nil {
		return err
	}
	staged := now()
	m.Timings.Stage = staged.Sub(begun).Milliseconds()
	m.settle(files, stop)
	if r.Usage != nil && m.Calls.Total > 0 {
		if m.Account = r.Usage(); m.Account != nil {
			m.Account.Settle(&m.Credits)
		}
	}
	m.Run.Finished = now().UTC()
	m.Timings.Publish = m.Run.Finished.Sub(staged).Milliseconds()
	if err := journal.Prepare(m); err != nil {
		return err
	}
	if err := r.Sink.Publish(ctx, m); err != nil {
		return err
	}
	return journal.Commit(m)
}

// sharder makes the run's batches; the lines in done have their fate already.
func (r *Runner) sharder(done rowSet) *sharder {
	return &sharder{queries: r.Queries, search: r.Searches, size: r.batchSize(), asked: new(seen), journal: r.journal(), done: done, batches: r.Batches}
}

func (r *Runner) batchSize() int { return min(orDefault(r.BatchSize, MaxBatch), MaxBatch) }

func (r *Runner) clock() func() time.Time {
	if r.Now == nil {
		return time.Now
	}
	return r.Now
}

func (r *Runner) journal() Journal {
	if r.Journal == nil {
		return nothing{}
	}
	return r.Journal
}

// manifest begins the account of the run.
func (r *Runner) manifest(started time.Time) *Manifest {
	if !r.Started.IsZero() {
		started = r.Started
	}
	m := NewManifest(RunInfo{
		ID: r.RunID, Started: started.UTC(), Endpoint: r.Endpoint, Choice: r.Choice, Simulated: r.Simulated, Continues: r.Continues,
		Concurrency: orDefault(r.Concurrency, 4), BatchSize: r.batchSize(),
	})
	m.Versions = r.Versions
	for _, list := range []map[schema.Object]*Query{r.Queries, r.Searches} {
		for _, o := range []schema.Object{schema.Contact, schema.Company} {
			if q := list[o]; q != nil {
				m.Queries = append(m.Queries, *q)
			}
		}
	}
	return m
}

func (m *Manifest) progress(batches int64) Progress {
	return Progress{
		Lines: m.Accounts.Lines, Batches: batches, Calls: m.Calls.Total, Events: m.Events.Returned,
		Credits: m.Credits.Charged, Deferred: m.Accounts.ByStatus[schema.Deferred],
		Held: m.Accounts.ByStatus[schema.Held], Rate: m.Calls.Last,
	}
}

func interrupted() *Stop {
	return &Stop{Kind: StopInterrupted, Reason: "stopped on request", Advice: "run the same command again to ask about the rest"}
}

// deferred is the reply of a batch that was not asked because of a stop.
func deferred(b *Batch, s *Stop) *Reply { return whole(b, nil, s) }

// whole completes the reply that came with a stop: items it says nothing about
// were not asked.
func whole(b *Batch, reply *Reply, s *Stop) *Reply {
	if reply == nil {
		reply = &Reply{}
	}
	if len(reply.Items) == 0 {
		reply.Items = make([]ItemReply, len(b.Items))
	}
	for i := range reply.Items {
		if reply.Items[i].Status == "" {
			reply.Items[i].Status, reply.Items[i].Reason = schema.Deferred, s.Reason
		}
	}
	return reply
}

// complete refuses a reply that leaves an item without a fate or a call without
// an outcome: the bill and the accounts table would not add up.
func complete(b *Batch, reply *Reply) error {
	if reply == nil {
		reply = &Reply{}
	}
	if len(reply.Items) != len(b.Items) {
		return fmt.Errorf("batch %s: %d answers for %d entities: a fetcher must account for each", b.ID, len(reply.Items), len(b.Items))
	}
	for i, a := range reply.Items {
		if a.Status == "" {
			return fmt.Errorf("batch %s: no status for row %d: a fetcher must account for each entity", b.ID, b.Items[i].Account.Row)
		}
	}
	for _, c := range reply.Calls {
		if c.Outcome != Charged && c.Outcome != NotCharged && c.Outcome != Ambiguous {
			return fmt.Errorf("batch %s: call %s has the outcome %q: a fetcher must say what each attempt means for the bill", b.ID, c.ID, c.Outcome)
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
