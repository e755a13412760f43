package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Decode reads a raw answer again: it gives every item of the batch its fate,
// and settles the call's outcome, charge and problem. It depends on its
// arguments alone.
type Decode func(b *pipeline.Batch, c *pipeline.Call) (items, strays []pipeline.ItemReply)

// Ledger is what a lake knows about money: every run, every call that was made
// or may have been made, and what became of it. Record and Settle may be used
// concurrently once a run was begun; everything else by one goroutine.
type Ledger struct {
	log      *wal.Log
	readOnly bool
	decode   Decode
	now      func() time.Time

	runs         []*Run
	calls        []*Call // a call's number is its place, from 1
	callNumbers  map[string]uint32
	queries      []pipeline.Query          // a query's number is its place, from 1
	queryNumbers map[string]int            // by a query's JSON
	index        idmap.Map                 // the numbers of the calls that requested an identity
	history      map[int]*forecast.History // by a query's number
	bounds       []upperBound
	pairCache    map[*Call]*returnedPairs // what was brought, of calls that somebody asked about with a higher cap
	resolutions  resolutionCache

	positiveTTL, negativeTTL time.Duration // how long what was searched counts

	current *Run       // the one that is going on; nil: none
	mu      sync.Mutex // guards what calls change while a run goes on
}

// Run is a run as the journal has it.
type Run struct {
	RunStart                   // as its last session began it
	FirstStarted time.Time     // start of its first session
	Published    *Commit       // its publication; nil when it did not come so far
	Prepared     *wal.Position // of the manifest that was prepared; nil when it did not come so far
	LastBatch    int           // highest batch number used
	Calls        []*Call       // in the order in which they were made

	linesAt     []wal.Position // of the last session
	publishedAt wal.Position   // of its commit
}

// Call is one attempt as the journal has it.
type Call struct {
	Run      *Run
	ID       string
	Batch    string
	Attempt  int
	Query    *pipeline.Query
	ByID     bool
	Entities int
	Ceiling  int64 // credits it could cost at the most
	Time     time.Time
	Outcome  pipeline.Outcome // empty while nobody knows
	Charge   pipeline.Charge  // of a charged call, as the server stated it
	Problem  string
	Decision Decision // of an ambiguous call; empty while it is in doubt

	number      int           // its number, from 1
	queryNumber int           // of its query
	duration    time.Duration // from the request to the end of its answer
	intentAt    wal.Position
	responseAt  *wal.Position
	unsentAt    *wal.Position // of the note that it was not made after all
	decidedAt   wal.Position  // of the resolution
}

// InDoubt reports whether the call may have been charged and nobody decided
// about it.
func (c *Call) InDoubt() bool { return c.Outcome == pipeline.InDoubt && c.Decision == "" }

// Cost is what the call cost, as far as that is known. A call whose outcome is not
// known yet costs at most its ceiling.
func (c *Call) Cost() pipeline.Credits {
	if c.Decision == NotCharged {
		return pipeline.Credits{}
	}
	return pipeline.CostOf(c.Outcome, c.Charge, c.Ceiling)
}

// Cost is what the run cost so far.
func (r *Run) Cost() (sum pipeline.Credits) {
	for _, c := range r.Calls {
		sum = sum.Add(c.Cost())
	}
	return sum
}

// Options says what a journal needs to know of the client. Decode must be set.
type Options struct {
	Decode   Decode
	ReadOnly bool             // look only; see Open
	Now      func() time.Time // what ids age by, and calls are dated by; nil means time.Now
}

// RetryDecided reports whether somebody decided, after the run was published, that
// what it left in doubt may be asked again: calls of its own, or of an earlier
// run. A lost page holds those behind it as well: given up, it lets them be asked.
func (l *Ledger) RetryDecided(r *Run) bool {
	return r.Published != nil && slices.ContainsFunc(l.blockingCalls(r), func(c *Call) bool {
		mayRetry := c.Decision == Retry || c.Decision == NotCharged || c.Decision == WriteOff && c.Query.Service.IsPaged()
		return mayRetry && r.publishedAt.Before(c.decidedAt)
	})
}

// UndecidedCalls are the calls that a published run's lines wait for, since nobody has
// decided about them.
func (l *Ledger) UndecidedCalls(r *Run) []*Call {
	return slices.DeleteFunc(l.blockingCalls(r), func(c *Call) bool { return !c.InDoubt() })
}

// WrittenOffCalls are the calls that held lines of a published run and were taken as
// paid and lost.
func (l *Ledger) WrittenOffCalls(r *Run) []*Call {
	return slices.DeleteFunc(l.blockingCalls(r), func(c *Call) bool { return c.Decision != WriteOff })
}

// blockingCalls are the calls that were or are in doubt and that a published run's
// lines are held by.
func (l *Ledger) blockingCalls(r *Run) (calls []*Call) {
	for _, c := range r.Calls {
		if c.Outcome == pipeline.InDoubt {
			calls = append(calls, c)
		}
	}
	for _, name := range r.Published.BlockedBy {
		if n := l.callNumbers[name]; n > 0 {
			calls = append(calls, l.calls[n-1])
		}
	}
	return calls
}

// HasUnaskedLines reports whether the run was published with lines that it did not ask
// about.
func (r *Run) HasUnaskedLines() bool {
	return r.Published != nil && (r.Published.Deferred > 0 || r.Published.InputUnread)
}

// Open reads the journal in a store, and makes good what a process that died
// left undone: an answer that nobody had read is read, a call without an answer
// becomes a doubt. It writes nothing unless there is something to make good.
//
// With ReadOnly it never does, and needs no lock: it shows the journal as it was
// at some moment while somebody else may be writing it. Calls on their way look
// like calls in doubt then.
func Open(ctx context.Context, store wal.Store, o Options) (*Ledger, error) {
	records, err := wal.Open(ctx, store, wal.Options{ReadOnly: o.ReadOnly})
	if err != nil {
		return nil, err
	}
	l := &Ledger{log: records, readOnly: o.ReadOnly, decode: o.Decode, now: o.Now, positiveTTL: defaultPositiveTTL, negativeTTL: defaultNegativeTTL, callNumbers: map[string]uint32{}, queryNumbers: map[string]int{}, history: map[int]*forecast.History{}, pairCache: map[*Call]*returnedPairs{}}
	if l.now == nil {
		l.now = time.Now
	}
	err = records.Walk(ctx, false, func(p wal.Position, k byte, head []byte, _ int64) error {
		if err := l.applyRecord(ctx, p, kind(k), head); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		return nil
	})
	if err == nil {
		err = l.recoverCalls(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, records.Close())
	}
	return l, nil
}

// Position names the moment that the journal was read at: it differs when something
// was written since.
func (l *Ledger) Position() string { return l.log.End() }

// CopyTo writes the journal into an empty store, record for record as it is.
// Meanwhile the journal may be read and must not be written.
func (l *Ledger) CopyTo(ctx context.Context, to wal.Store) error { return l.log.CopyTo(ctx, to) }

// Close makes everything durable and lets go of the store.
func (l *Ledger) Close() error { return l.log.Close() }

// Runs lists the runs, oldest first.
func (l *Ledger) Runs() []*Run { return l.runs }

// CallsInDoubt lists the calls that may have been charged and that nobody decided
// about, oldest first.
func (l *Ledger) CallsInDoubt() (calls []*Call) {
	for _, c := range l.calls {
		if c.InDoubt() {
			calls = append(calls, c)
		}
	}
	return calls
}

// Answers gives a run's calls with their answers read again, by batch and
// attempt: an order that does not depend on which answer came first.
func (l *Ledger) Answers(ctx context.Context, r *Run) func(yield func(pipeline.AnsweredBatch, error) bool) {
	calls := slices.Clone(r.Calls)
	slices.SortFunc(calls, func(a, b *Call) int {
		return cmp.Or(cmp.Compare(a.Batch, b.Batch), cmp.Compare(a.Attempt, b.Attempt))
	})
	return func(yield func(pipeline.AnsweredBatch, error) bool) {
		for _, c := range calls {
			if c.unsentAt != nil {
				continue // nobody was asked: its lines are among those that were kept
			}
			b, call, err := l.readExchange(ctx, c)
			if err != nil {
				yield(pipeline.AnsweredBatch{}, err)
				return
			}
			items, unmatched := l.decode(b, call)
			if c.Decision != "" && (r.Published == nil || c.decidedAt.Before(r.publishedAt)) { // whoever asks again decides the items' fate
				call.Decision = string(c.Decision)
				for i := range items {
					items[i] = pipeline.ItemReply{Status: schema.Deferred, Reason: "in doubt: " + string(c.Decision)}
				}
			}
			if !yield(pipeline.AnsweredBatch{Batch: b, Reply: &pipeline.Reply{Calls: []pipeline.Call{*call}, Items: items, Unmatched: unmatched}}, nil) {
				return
			}
		}
	}
}

// Lines gives the lines that the run's last process kept.
func (l *Ledger) Lines(ctx context.Context, r *Run) func(yield func(pipeline.Line, error) bool) {
	return func(yield func(pipeline.Line, error) bool) {
		for _, p := range r.linesAt {
			rec, err := l.log.Read(ctx, p)
			var lines []pipeline.Line
			if err == nil {
				err = decodeBody(rec.Body, &lines)
			}
			if err != nil {
				yield(pipeline.Line{}, err)
				return
			}
			for _, line := range lines {
				if !yield(line, nil) {
					return
				}
			}
		}
	}
}

// PreparedManifest gives the manifest that a run prepared.
func (l *Ledger) PreparedManifest(ctx context.Context, r *Run) (*pipeline.Manifest, error) {
	if r.Prepared == nil {
		return nil, fmt.Errorf("run %s prepared no manifest", r.ID)
	}
	rec, err := l.log.Read(ctx, *r.Prepared)
	if err != nil {
		return nil, err
	}
	m := new(pipeline.Manifest)
	return m, decodeBody(rec.Body, m)
}

// CallItems gives what a call asked about.
func (l *Ledger) CallItems(ctx context.Context, c *Call) ([]pipeline.Item, error) {
	b, _, err := l.readExchange(ctx, c)
	if err != nil {
		return nil, err
	}
	return b.Items, nil
}
