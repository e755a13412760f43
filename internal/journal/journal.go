package journal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Decode reads a raw answer again: it gives every item of the batch its fate,
// and settles the call's outcome, charge and problem. It depends on its
// arguments alone.
type Decode func(b *pipeline.Batch, c *pipeline.Call) (items, strays []pipeline.ItemReply)

// Journal is what a lake knows about money: every run, every call that was made
// or may have been made, and what became of it. Record and Settle may be used
// concurrently once a run was begun; everything else by one goroutine.
type Journal struct {
	log    *log
	decode Decode
	now    func() time.Time

	runs    []*Run
	calls   []*Call // a call's number is its place, from 1
	byCall  map[string]uint32
	queries []pipeline.Query // a query's number is its place, from 1
	numbers map[string]int   // by a query's JSON
	index   index
	learned map[int]*pipeline.Experience // by a query's number
	bounds  []bound
	pairs   map[*Call]*pairs // what was brought, of calls that somebody asked about with a higher cap
	matches matches

	hits, misses time.Duration // how long what was searched counts

	run *Run       // the one that is going on; nil: none
	mu  sync.Mutex // guards what calls change while a run goes on
}

// Run is a run as the journal has it.
type Run struct {
	Begin             // as its last session began it
	First   time.Time // start of its first session
	Done    *Commit   // its publication; nil when it did not come so far
	Staged  *position // of the manifest that was prepared; nil when it did not come so far
	Batches int       // highest batch number used
	Calls   []*Call   // in the order in which they were made

	lines  []position // of the last session
	sealed position   // of its commit
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
	Credits  int64            // of a charged call; -1 when the server's statement was not understood
	Problem  string
	Resolved How // of an ambiguous call; empty while it is in doubt

	at       int           // its number, from 1
	number   int           // of its query
	took     time.Duration // from the request to the end of its answer
	intent   position
	response *position
	unsent   *position // of the note that it was not made after all
	decided  position  // of the resolution
}

// Doubtful reports whether the call may have been charged and nobody decided
// about it.
func (c *Call) Doubtful() bool { return c.Outcome == pipeline.Ambiguous && c.Resolved == "" }

// Most is the most credits the call can have cost.
func (c *Call) Most() int64 {
	switch {
	case c.Outcome == pipeline.NotCharged || c.Resolved == NotCharged:
		return 0
	case c.Outcome == pipeline.Charged && c.Credits >= 0:
		return c.Credits
	}
	return c.Ceiling
}

// Spent is the most credits the run can have cost so far.
func (r *Run) Spent() (most int64) {
	for _, c := range r.Calls {
		most += c.Most()
	}
	return most
}

// Options says what a journal needs to know of the client. Decode must be set.
type Options struct {
	Decode   Decode
	ReadOnly bool             // look only; see Open
	Now      func() time.Time // what ids age by, and calls are dated by; nil means time.Now
}

// Reopened reports whether somebody decided, after the run was published, that
// what it left in doubt may be asked again: calls of its own, or of an earlier
// run. A lost page holds those behind it as well: given up, it lets them be asked.
func (j *Journal) Reopened(r *Run) bool {
	return r.Done != nil && slices.ContainsFunc(j.holders(r), func(c *Call) bool {
		again := c.Resolved == Released || c.Resolved == NotCharged || c.Resolved == Lost && c.Query.Service.Paged()
		return again && r.sealed.before(c.decided)
	})
}

// Waits are the calls that a published run's lines wait for, since nobody has
// decided about them.
func (j *Journal) Waits(r *Run) []*Call {
	return slices.DeleteFunc(j.holders(r), func(c *Call) bool { return !c.Doubtful() })
}

// Accepted are the calls that held lines of a published run and were taken as
// paid and lost.
func (j *Journal) Accepted(r *Run) []*Call {
	return slices.DeleteFunc(j.holders(r), func(c *Call) bool { return c.Resolved != Lost })
}

// holders are the calls that were or are in doubt and that a published run's
// lines are held by.
func (j *Journal) holders(r *Run) (calls []*Call) {
	for _, c := range r.Calls {
		if c.Outcome == pipeline.Ambiguous {
			calls = append(calls, c)
		}
	}
	for _, name := range r.Done.Holds {
		if n := j.byCall[name]; n > 0 {
			calls = append(calls, j.calls[n-1])
		}
	}
	return calls
}

// Left reports whether the run was published with lines that it did not ask
// about.
func (r *Run) Left() bool { return r.Done != nil && (r.Done.Deferred > 0 || r.Done.Unread) }

// Open reads the journal in a store, and makes good what a process that died
// left undone: an answer that nobody had read is read, a call without an answer
// becomes a doubt. It writes nothing unless there is something to make good.
//
// With ReadOnly it never does, and needs no lock: it shows the journal as it was
// at some moment while somebody else may be writing it. Calls on their way look
// like calls in doubt then.
func Open(ctx context.Context, store Store, o Options) (*Journal, error) {
	l, err := open(ctx, store, options{readOnly: o.ReadOnly})
	if err != nil {
		return nil, err
	}
	j := &Journal{log: l, decode: o.Decode, now: o.Now, hits: hitLife, misses: missLife, byCall: map[string]uint32{}, numbers: map[string]int{}, learned: map[int]*pipeline.Experience{}, pairs: map[*Call]*pairs{}}
	if j.now == nil {
		j.now = time.Now
	}
	err = l.walk(ctx, false, func(p position, k byte, head []byte, _ int64) error {
		if err := j.take(ctx, p, kind(k), head); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		return nil
	})
	if err == nil {
		err = j.mend(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return j, nil
}

// Mark names the moment that the journal was read at: it differs when something
// was written since.
func (j *Journal) Mark() string {
	n := len(j.log.segments)
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d@%d", n, j.log.endOf(j.log.segments[n-1]))
}

// Close makes everything durable and lets go of the store.
func (j *Journal) Close() error { return j.log.close() }

// Runs lists the runs, oldest first.
func (j *Journal) Runs() []*Run { return j.runs }

// Doubts lists the calls that may have been charged and that nobody decided
// about, oldest first.
func (j *Journal) Doubts() (doubts []*Call) {
	for _, c := range j.calls {
		if c.Doubtful() {
			doubts = append(doubts, c)
		}
	}
	return doubts
}

// take adds one record to what is known.
func (j *Journal) take(ctx context.Context, p position, k kind, head []byte) error {
	switch k {
	case kindRun:
		return take(head, func(h *Begin) error { return j.takeRun(h) })
	case kindQuery:
		return take(head, func(h *query) error {
			if h.Number != len(j.queries)+1 {
				return fmt.Errorf("%w: query %d follows query %d", ErrCorrupt, h.Number, len(j.queries))
			}
			return j.addQuery(h.Query)
		})
	case kindIntent:
		return take(head, func(h *intent) error { return j.takeIntent(p, h) })
	case kindResponse:
		return take(head, func(h *response) error {
			c, err := j.call(h.Run, h.Call)
			if err == nil {
				c.response, c.took = &p, h.Duration
			}
			return err
		})
	case kindCharged, kindNoCharge, kindAmbiguous:
		return take(head, func(h *settled) error {
			c, err := j.call(h.Run, h.Call)
			if err != nil {
				return err
			}
			if k == kindNoCharge && c.response == nil {
				c.unsent = &p
			}
			r, err := j.log.read(ctx, p)
			if err != nil {
				return err
			}
			return j.settle(c, k, h, r.body)
		})
	case kindResolved:
		return take(head, func(h *resolution) error {
			c, err := j.call(h.Run, h.Call)
			if err == nil {
				c.Resolved, c.decided = h.How, p
			}
			return err
		})
	case kindReading:
		return take(head, func(h *reading) error {
			r, err := j.runNamed(h.From)
			if err == nil {
				j.bound(r, h.Most)
			}
			return err
		})
	case kindLines:
		return take(head, func(h *lines) error {
			r, err := j.runNamed(h.Run)
			if err == nil && h.Session == r.Session {
				r.lines = append(r.lines, p)
			}
			return err
		})
	case kindPrepare:
		return take(head, func(h *prepare) error {
			r, err := j.runNamed(h.Run)
			if err == nil {
				r.Staged = &p
			}
			return err
		})
	case kindCommit:
		return take(head, func(h *Commit) error {
			r, err := j.runNamed(h.Run)
			if err == nil {
				r.Done, r.sealed = h, p
			}
			return err
		})
	}
	return fmt.Errorf("%w: a record of the unknown kind %d; was it written by a newer version?", ErrCorrupt, k)
}

func take[T any](head []byte, do func(*T) error) error {
	var h T
	if err := json.Unmarshal(head, &h); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return do(&h)
}

func (j *Journal) takeRun(b *Begin) error {
	if r, err := j.runNamed(b.ID); err == nil {
		r.Begin, r.lines = *b, nil
		return nil
	}
	j.runs = append(j.runs, &Run{Begin: *b, First: b.Started})
	return nil
}

// runNamed finds a run; the newest first, since records are about it.
func (j *Journal) runNamed(id string) (*Run, error) {
	for _, r := range slices.Backward(j.runs) {
		if r.ID == id {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: a record of the run %q, which never began", ErrCorrupt, id)
}

func (j *Journal) call(run, id string) (*Call, error) {
	if n := j.byCall[run+"/"+id]; n > 0 {
		return j.calls[n-1], nil
	}
	return nil, fmt.Errorf("%w: what became of the call %s/%s, which nobody meant to make", ErrCorrupt, run, id)
}

func (j *Journal) addQuery(q pipeline.Query) error {
	text, err := json.Marshal(q)
	j.queries = append(j.queries, q)
	j.numbers[string(text)] = len(j.queries)
	return err
}

func (j *Journal) takeIntent(p position, h *intent) error {
	r, err := j.runNamed(h.Run)
	if err != nil {
		return err
	}
	if h.Query < 1 || h.Query > len(j.queries) {
		return fmt.Errorf("%w: call %s asks query %d of %d", ErrCorrupt, h.Call, h.Query, len(j.queries))
	}
	j.addCall(r, p, h)
	return nil
}

func (j *Journal) addCall(r *Run, p position, h *intent) {
	c := &Call{
		Run: r, ID: h.Call, Batch: h.Batch, Attempt: h.Attempt, Query: &j.queries[h.Query-1], number: h.Query, ByID: h.ByID,
		Entities: h.Entities, Ceiling: h.Ceiling, Time: h.Time, Credits: -1, intent: p,
	}
	j.calls = append(j.calls, c)
	c.at = len(j.calls)
	j.byCall[r.ID+"/"+c.ID] = uint32(len(j.calls)) //nolint:gosec // calls take seconds
	r.Calls = append(r.Calls, c)
	digits := strings.IndexFunc(c.Batch+".", func(r rune) bool { return r < '0' || r > '9' })
	if n, err := strconv.Atoi(c.Batch[:digits]); err == nil {
		r.Batches = max(r.Batches, n)
	}
}

// settle notes what became of a call. identities are those that its answer
// decided, or that are in doubt.
func (j *Journal) settle(c *Call, k kind, h *settled, identities []byte) error {
	if len(identities)%len(pipeline.Identity{}) != 0 {
		return fmt.Errorf("%w: %d bytes of identities", ErrCorrupt, len(identities))
	}
	c.set(k, h)
	j.learn(c, k, h, identities)
	number := j.byCall[c.Run.ID+"/"+c.ID]
	for chunk := range slices.Chunk(identities, len(pipeline.Identity{})) {
		j.index.add(pipeline.Identity(chunk), number)
	}
	return nil
}

func (c *Call) set(k kind, h *settled) {
	c.Outcome, c.Problem = outcomes[k], h.Problem
	if k == kindCharged && h.Credits != nil {
		c.Credits = *h.Credits
	}
}

var outcomes = map[kind]pipeline.Outcome{
	kindCharged: pipeline.Charged, kindNoCharge: pipeline.NotCharged, kindAmbiguous: pipeline.Ambiguous,
}

// mend settles the calls that a process left open.
func (j *Journal) mend(ctx context.Context) error {
	mended := false
	for n, c := range j.calls {
		if c.Outcome != "" {
			continue
		}
		b, call, err := j.exchange(ctx, c)
		if err != nil {
			return err
		}
		items, _ := j.decode(b, call)
		if j.log.look {
			k, h, identities := settledBy(call, b, items)
			if err := j.settle(c, k, &h, identities); err != nil {
				return err
			}
			continue
		}
		if err := j.note(c, call, b, items); err != nil {
			return err
		}
		mended = true
		if c.Query.Service == pipeline.Search {
			continue // its note did
		}
		for _, identity := range identitiesOf(b, items) {
			j.index.add(identity, uint32(n+1)) //nolint:gosec // calls take seconds
		}
	}
	if mended {
		return j.log.flush()
	}
	return nil
}

// exchange gives a call as it was made and answered: the batch, and the raw
// call. A call without a recorded answer is one in doubt.
func (j *Journal) exchange(ctx context.Context, c *Call) (*pipeline.Batch, *pipeline.Call, error) {
	r, err := j.log.read(ctx, c.intent)
	if err != nil {
		return nil, nil, err
	}
	b := &pipeline.Batch{ID: c.Batch, Query: c.Query, ByID: c.ByID, Attempt: c.Attempt}
	if err := unpack(r.body, &b.Items); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.intent, err)
	}
	call := &pipeline.Call{
		ID: c.ID, Batch: c.Batch, Attempt: c.Attempt, Object: c.Query.Object, Entities: c.Entities, Types: len(c.Query.Signals),
		Ceiling: c.Ceiling, Outcome: pipeline.Ambiguous, Problem: "the process ended while the call was on its way", Sent: c.Time,
	}
	if c.response == nil {
		return b, call, nil
	}
	if r, err = j.log.read(ctx, *c.response); err != nil {
		return nil, nil, err
	}
	var h response
	if err := json.Unmarshal(r.head, &h); err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", c.response, ErrCorrupt, err)
	}
	if call.Body, err = inflate(r.body); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.response, err)
	}
	call.Endpoint, call.Sent, call.Duration, call.Status, call.Outcome = h.Endpoint, h.Sent, h.Duration, h.Status, h.Outcome
	call.Rate, call.Header, call.Problem, call.Entities = h.Rate, h.Header, h.Problem, h.Entities
	return b, call, nil
}

// Answers gives a run's calls with their answers read again, by batch and
// attempt: an order that does not depend on which answer came first.
func (j *Journal) Answers(ctx context.Context, r *Run) func(yield func(pipeline.Answered, error) bool) {
	calls := slices.Clone(r.Calls)
	slices.SortFunc(calls, func(a, b *Call) int {
		return cmp.Or(cmp.Compare(a.Batch, b.Batch), cmp.Compare(a.Attempt, b.Attempt))
	})
	return func(yield func(pipeline.Answered, error) bool) {
		for _, c := range calls {
			if c.unsent != nil {
				continue // nobody was asked: its lines are among those that were kept
			}
			b, call, err := j.exchange(ctx, c)
			if err != nil {
				yield(pipeline.Answered{}, err)
				return
			}
			items, strays := j.decode(b, call)
			if c.Resolved != "" && (r.Done == nil || c.decided.before(r.sealed)) { // whoever asks again decides the items' fate
				call.Decided = string(c.Resolved)
				for i := range items {
					items[i] = pipeline.ItemReply{Status: schema.Deferred, Reason: "in doubt: " + string(c.Resolved)}
				}
			}
			if !yield(pipeline.Answered{Batch: b, Reply: &pipeline.Reply{Calls: []pipeline.Call{*call}, Items: items, Strays: strays}}, nil) {
				return
			}
		}
	}
}

// Lines gives the lines that the run's last process kept.
func (j *Journal) Lines(ctx context.Context, r *Run) func(yield func(pipeline.Line, error) bool) {
	return func(yield func(pipeline.Line, error) bool) {
		for _, p := range r.lines {
			rec, err := j.log.read(ctx, p)
			var kept []pipeline.Line
			if err == nil {
				err = unpack(rec.body, &kept)
			}
			if err != nil {
				yield(pipeline.Line{}, err)
				return
			}
			for _, l := range kept {
				if !yield(l, nil) {
					return
				}
			}
		}
	}
}

// Manifest gives the manifest that a run prepared.
func (j *Journal) Manifest(ctx context.Context, r *Run) (*pipeline.Manifest, error) {
	if r.Staged == nil {
		return nil, fmt.Errorf("run %s prepared no manifest", r.ID)
	}
	rec, err := j.log.read(ctx, *r.Staged)
	if err != nil {
		return nil, err
	}
	m := new(pipeline.Manifest)
	return m, unpack(rec.body, m)
}

// Items gives what a call asked about.
func (j *Journal) Items(ctx context.Context, c *Call) ([]pipeline.Item, error) {
	b, _, err := j.exchange(ctx, c)
	if err != nil {
		return nil, err
	}
	return b.Items, nil
}
