package pipeline

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/internal/flatten"
	"github.com/siglake/siglake/schema"
)

// flattened is a reply with the rows of its events, which the goroutine that received it makes.
type flattened struct {
	*Reply
	// Nil: the recorder makes them when it is the reply's turn.
	rows *answerRows
}

// answerRows are the rows of the events of a reply, in the order of its items, and what differs in the
// reply from what the schema knows.
type answerRows struct {
	chunks []*columns.Chunk
	drift  *driftWatch
}

// longAnswer is the length in bytes from which on the rows of an answer are made piece by piece at its
// turn: until then they would take almost as much memory as the answer.
const longAnswer = 8 << 20

// isLong reports whether the answers of a reply are long.
func (r *Reply) isLong() bool {
	n := int64(0)
	if r != nil {
		for i := range r.Calls {
			n += r.Calls[i].AnswerBytes()
		}
	}
	return n >= longAnswer
}

// memory is about how many bytes the reply takes with its rows.
func (f *flattened) memory() (bytes int64) {
	bytes = f.Reply.memory()
	if f.rows != nil {
		for _, c := range f.rows.chunks {
			bytes += int64(c.Memory())
		}
	}
	return bytes
}

// received is when the answer to a call was received; zero: not known.
func (r *Reply) received(call string) (t time.Time) {
	for i := range r.Calls {
		if c := &r.Calls[i]; c.ID == call && !c.Sent.IsZero() {
			t = c.Sent.Add(c.Duration)
		}
	}
	return t
}

// rowMaker flattens the events of replies. Several goroutines may use it, each with a flattener of its
// own.
type rowMaker struct {
	options flatten.Options
	idle    sync.Pool // of *flatten.Flattener
}

func newRowMaker(o flatten.Options) *rowMaker {
	return &rowMaker{options: o, idle: sync.Pool{New: func() any { return flatten.New(o) }}}
}

// mostAhead is the memory of the rows of an answer that is not long, in bytes, from which on they are made at
// its turn as well: each row of a record with many topics has most of the record.
const mostAhead = 2 * longAnswer

var errTooLarge = errors.New("the rows take too much memory")

// flatten makes the rows of a reply; nil if they take too much memory.
func (m *rowMaker) flatten(b *Batch, reply *Reply) *answerRows {
	rows, memory := new(answerRows), 0
	drift, err := m.eachChunk(b, reply, func(c *columns.Chunk) error {
		rows.chunks = append(rows.chunks, c)
		if memory += c.Memory(); memory > mostAhead {
			return errTooLarge
		}
		return nil
	})
	if rows.drift = drift; err == nil {
		return rows
	}
	for _, c := range rows.chunks {
		c.Release()
	}
	return nil
}

// eachChunk makes the rows of a reply and passes them on piece by piece, up to the first error.
func (m *rowMaker) eachChunk(b *Batch, reply *Reply, add func(*columns.Chunk) error) (*driftWatch, error) {
	f := m.idle.Get().(*flatten.Flattener)
	defer m.idle.Put(f)
	defer f.Forget()
	drift := newDriftWatch()
	drift.watchAnswers(b, reply)
	f.Drift = drift
	rest, err := reply.restBytes(), error(nil)
	f.Full = func(rows *columns.Chunk) *columns.Chunk {
		if err == nil {
			rows.Pin(rest)
			err = add(rows.Fit())
		} else {
			rows.Release()
		}
		return columns.NewChunk()
	}
	rows := columns.NewChunk()
	flattenItem := func(i int, a *ItemReply) error {
		e := eventOf(b, reply, i, a)
		for n := range a.Events {
			e.Type, e.Raw, e.Note, e.Origin = a.Events[n].Type, a.Events[n].Raw, a.Events[n].Note, originOf(b, i, n, a)
			if rows = f.Flatten(&e, rows); rows.IsFull() {
				rows = f.Full(rows)
			}
			if err != nil {
				return err
			}
		}
		e.Raw = nil // the drift watch keeps the event
		return nil
	}
	for i := range reply.Items {
		if err := flattenItem(i, &reply.Items[i]); err != nil {
			return drift, err
		}
	}
	for i := range reply.Unmatched {
		if err := flattenItem(len(reply.Items)+i, &reply.Unmatched[i]); err != nil {
			return drift, err
		}
	}
	if rows.Rows() == 0 {
		rows.Release()
	} else {
		f.Full(rows).Release()
	}
	return drift, err
}

// restBytes is the length of the answers without the events, which keep all of them in memory.
func (r *Reply) restBytes() (bytes int64) {
	for i := range r.Calls {
		bytes += int64(len(r.Calls[i].Body))
	}
	for _, items := range [][]ItemReply{r.Items, r.Unmatched} {
		for i := range items {
			for n := range items[i].Events {
				bytes -= int64(len(items[i].Events[n].Raw))
			}
		}
	}
	return max(bytes, 0) // events may have memory of their own
}

// eventOf is what all events of an item have in common, or those of an unmatched entry, which are counted
// behind the items.
func eventOf(b *Batch, reply *Reply, item int, a *ItemReply) schema.Event {
	e := schema.Event{Entity: a.Entity, CallID: a.CallID, FetchedAt: reply.received(a.CallID), Source: schema.IngestPoll}
	if b.Query.Service() == Deliveries {
		e.Source = schema.IngestWebhook
	}
	if item < len(b.Items) {
		e.AccountKey = b.Items[item].Account.Key
		e.RequestedBy, e.Requested = b.Items[item].requested()
	} else {
		e.RequestedBy, e.Requested = schema.Unrequested, a.CallID+" "+strconv.Itoa(item)
	}
	if e.Entity.Object == "" {
		// For a page, which has results about many entities.
		e.Entity.Object = b.Query.Object
	}
	return e
}

// originOf describes the request for the n-th result of an item; nil for events.
func originOf(b *Batch, item, n int, a *ItemReply) *schema.Origin {
	q := b.Query
	if q.Service().HasEvents() {
		return nil
	}
	if item >= len(b.Items) {
		return &schema.Origin{Until: q.Until}
	}
	account, page := &b.Items[item].Account, b.Items[item].Page
	switch q.Service() {
	case Search:
		kind := account.Identifier()
		return &schema.Origin{Identifier: kind, Text: identifierText(account, kind)}
	case Scores:
		return &schema.Origin{Until: q.Until}
	case Lookalikes:
		origin := &schema.Origin{SeedSet: account.Key, Rank: int64(n) + 1}
		if page != nil {
			origin.Rank += page.Offset
		}
		if a.Next != nil {
			origin.Session = a.Next.Session
		}
		return origin
	default:
		return &schema.Origin{Site: account.Key, Since: q.Since, Until: q.Until}
	}
}

// writeEvents writes the events of a reply.
func (r *recorder) writeEvents(ctx context.Context, b *Batch, f *flattened) error {
	write := func(c *columns.Chunk) error { return r.rows.Add(ctx, c) }
	if f.rows == nil {
		drift, err := r.maker.eachChunk(b, f.Reply, write)
		r.drift.merge(drift)
		return err
	}
	for _, c := range f.rows.chunks {
		if err := write(c); err != nil {
			return err
		}
	}
	r.drift.merge(f.rows.drift)
	f.rows = nil // the chunks belong to the writer
	return nil
}
