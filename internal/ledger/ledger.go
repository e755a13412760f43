package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// Decode decodes a recorded answer: it returns the status of every item of the batch, and sets
// the call's outcome, charge and problem. Its result depends on its arguments alone.
type Decode func(b *pipeline.Batch, c *pipeline.Call) (items, strays []pipeline.ItemReply)

// Ledger is what a lake knows about purchases: every run, and every call that was or may have
// been made, with its outcome. A [Recorder] adds a run to it, and [Purchases] say what earlier
// runs bought. A Ledger is for one goroutine at a time; meanwhile the fetchers of a Recorder
// may record calls.
//
// What it hands out shares its state.
type Ledger struct {
	*loader
	now         func() time.Time
	queries     *queryNumbers
	checkpoints *checkpointer
}

// Run is a run as recorded.
type Run struct {
	pipeline.RunSpec               // of its last session
	FirstStarted     time.Time     // start of its first session
	Published        *Commit       // its publication; nil if it was not published
	Prepared         *wal.Position // of the manifest that was prepared; nil if none was
	LastBatch        int           // highest batch number used
	// In order, without those that a checkpoint has left behind, or that it has and that no question
	// needed so far: they have an outcome, a known cost and a published run. CallCount, Cost and
	// ChargedCredits include them.
	Calls []*Call

	rereads     []*Call        // calls of another run with rows that this one publishes
	linesAt     []wal.Position // of the last session
	publishedAt wal.Position   // of its commit
	firstCall   int            // the number of its first call; 0: it has none
	past        pastCalls
	recent      pastCalls // of a checkpoint, not decoded yet
}

// InOrderOfPublication returns the published runs in the order in which readers came to see them. An
// event belongs to the first run that brought it.
func InOrderOfPublication(runs []*Run) []*Run {
	published := slices.DeleteFunc(slices.Clone(runs), func(r *Run) bool { return r.Published == nil })
	slices.SortStableFunc(published, func(a, b *Run) int {
		switch {
		case a.publishedAt.Before(b.publishedAt):
			return -1
		case b.publishedAt.Before(a.publishedAt):
			return 1
		}
		return 0
	})
	return published
}

// Spec is the spec of the run as a whole, which started with its first session.
func (r *Run) Spec() pipeline.RunSpec {
	spec := r.RunSpec
	spec.Started = r.FirstStarted
	return spec
}

// Call is one attempt as recorded.
type Call struct {
	Run      *Run
	ID       string
	Batch    string
	Attempt  int
	Query    *pipeline.Query
	ByID     bool
	Entities int
	Ceiling  int64 // maximum of its cost in credits
	Time     time.Time
	Outcome  pipeline.Outcome // empty until it is known
	Charge   pipeline.Charge  // of a charged call, as the server stated it
	Problem  string
	Decision Decision // the last one about an ambiguous call; empty while it is in doubt

	number      int           // from 1
	queryNumber int           // of its query
	duration    time.Duration // from the request to the end of its answer
	intentAt    wal.Position
	responseAt  *wal.Position
	outcomeAt   wal.Position   // of its last outcome; zero: it is not recorded
	piecesAt    []wal.Position // of an answer in several records, without the last
	length      int64          // of its answer in bytes; 0 in old records
	cut         bool           // its answer was cut
	unsentAt    *wal.Position  // of the record that it was not made
	decidedAt   wal.Position   // of the first decision
	decisions   []decided      // all of them: a proof may be taken back
	reread      *reread        // how its answer was read by a later version; nil: it was not
}

// decided is one decision about a call in doubt.
type decided struct {
	decision Decision
	at       wal.Position
}

// decide applies a decision. Lines are released by the first one: a later one only changes what
// the call may have cost.
func (c *Call) decide(d Decision, at wal.Position) {
	if len(c.decisions) == 0 {
		c.decidedAt = at
	}
	c.Decision, c.decisions = d, append(c.decisions, decided{d, at})
}

// decisionBefore is the last decision before a position; empty: there was none.
func (c *Call) decisionBefore(p wal.Position) (last Decision) {
	for _, d := range c.decisions {
		if d.at.Before(p) {
			last = d.decision
		}
	}
	return last
}

// IsAnswered reports whether the call has an answer, or was not sent. While another process runs, the
// others are on the wire.
func (c *Call) IsAnswered() bool { return c.responseAt != nil || c.unsentAt != nil }

// InDoubt reports whether the call may have been charged and is undecided.
func (c *Call) InDoubt() bool { return c.Outcome == pipeline.InDoubt && c.Decision == "" }

// Cost is what the call cost, as far as it is known. A call without an outcome costs at most
// its ceiling.
func (c *Call) Cost() pipeline.Credits {
	if c.Decision == NotCharged {
		return pipeline.Credits{}
	}
	return pipeline.CostOf(c.Outcome, c.Charge, c.Ceiling)
}

// CallCount is the number of the run's calls.
func (r *Run) CallCount() int { return len(r.Calls) + r.past.Calls + r.recent.Calls }

// ChargedCredits is what the API stated for the run's calls.
func (r *Run) ChargedCredits() int64 {
	credits := r.past.Charged + r.recent.Charged
	for _, c := range r.Calls {
		credits += c.Charge.Credits
	}
	return credits
}

// Cost is the cost of the run so far.
func (r *Run) Cost() (sum pipeline.Credits) {
	known := r.past.Charged + r.recent.Charged
	sum = pipeline.Credits{Min: known, Max: known}
	for _, c := range r.Calls {
		sum = sum.Add(c.Cost())
	}
	return sum
}

// Options of a ledger. Decode must be set.
type Options struct {
	Decode   Decode
	ReadOnly bool             // see Open
	Now      func() time.Time // dates calls, and ages search results; nil means time.Now
	// Check is called with the ledger as it is recorded, before anything is recovered: after an
	// error nothing was written. nil: nothing is checked.
	Check func(*Ledger) error
	// Called with what a user need not know, for a log; nil: it is not reported.
	Debug func(message string)
	// Bytes of records after which a run that is published ends with a checkpoint; 0: 4 MiB. A ledger
	// with a large checkpoint waits longer, so that checkpoints are a third of it at most.
	CheckpointEvery int64
}

// HasUnaskedLines reports whether the run was published with lines that it did not request.
func (r *Run) HasUnaskedLines() bool {
	return r.Published != nil && (r.Published.Deferred > 0 || r.Published.InputUnread)
}

// Open reads the ledger in a store and recovers what a process that died left open: an answer
// that was not decoded is decoded, and a call without an answer is in doubt. It writes only if
// there is something to recover.
//
// With ReadOnly it never writes, and needs no lock: it shows the ledger at one moment while
// another process may write to it. Calls in flight then look like calls in doubt.
func Open(ctx context.Context, store wal.Store, o Options) (*Ledger, error) {
	records, err := wal.Open(ctx, store, wal.Options{ReadOnly: o.ReadOnly || o.Check != nil, Lazy: true})
	if err != nil {
		return nil, err
	}
	changed := false
	l, err := load(ctx, records, o)
	if err == nil {
		changed, err = l.checkAndRecover(ctx, o)
	}
	if err != nil {
		return nil, errors.Join(err, records.Close())
	}
	if !changed {
		return l, nil
	}
	if err := records.Close(); err != nil {
		return nil, err
	}
	o.Check = nil // what it accepted is still there
	return Open(ctx, store, o)
}

// checkAndRecover checks the ledger, and recovers what a process that died left open. After that
// the ledger can be written. changed means that another process, fenced off now, appended to it
// after the check: it must be opened again.
func (l *Ledger) checkAndRecover(ctx context.Context, o Options) (changed bool, err error) {
	if o.Check != nil {
		if err := o.Check(l); err != nil {
			return false, err
		}
		if !o.ReadOnly {
			if unchanged, err := l.log.Recover(ctx); err != nil || !unchanged {
				return !unchanged, err
			}
		}
	}
	return false, recoverCalls(ctx, l, o.ReadOnly)
}

// load reads the ledger in an opened log.
func load(ctx context.Context, log *wal.Log, o Options) (*Ledger, error) {
	s, err := openState(ctx, log, o.Debug)
	if err != nil {
		return nil, err
	}
	l := &Ledger{loader: &loader{log, s, newArchive(log, o.Decode), o.Debug}, now: o.Now, queries: newQueryNumbers(log, s)}
	if l.now == nil {
		l.now = time.Now
	}
	l.checkpoints = &checkpointer{loader: l.loader, now: l.now, every: o.CheckpointEvery, at: s.past.at}
	if !o.ReadOnly { // a run needs to know what was bought
		err = l.loadRecent(ctx)
	}
	return l, err
}

// Position identifies the end of the ledger: it changes with every record.
func (l *Ledger) Position() string { return l.log.End() }

// Close makes everything durable and releases the store.
func (l *Ledger) Close() error { return l.log.Close() }

// Runs lists the runs, oldest first.
func (l *Ledger) Runs() []*Run { return l.state.runs }

// CallsInDoubt lists the undecided calls that may have been charged, oldest first.
func (l *Ledger) CallsInDoubt() (calls []*Call) {
	for _, c := range l.state.calls {
		if c != nil && c.InDoubt() {
			calls = append(calls, c)
		}
	}
	return calls
}
