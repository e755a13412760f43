package ledger

import (
	"context"
	"encoding/json"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// RecordDeliveries wraps a fetcher of deliveries, which the inbox holds durably. A delivery is recorded like a
// call with its answer, and becomes durable with the publication, not before: until then the inbox has it. So
// a delivery that a crash leaves without its body is none, and never in doubt.
func (r *Recorder) RecordDeliveries(inner pipeline.Fetcher) pipeline.Fetcher {
	return &deliveryRecorder{r, inner}
}

type deliveryRecorder struct {
	recorder *Recorder
	inner    pipeline.Fetcher
}

func (f *deliveryRecorder) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	reply, err := f.inner.Fetch(ctx, b)
	if err != nil || len(reply.Calls) != 1 {
		return reply, err
	}
	if err := f.recorder.writeDelivery(b, &reply.Calls[0]); err != nil {
		return reply, stopForStorage(err)
	}
	return reply, nil
}

// writeDelivery writes a delivery as a call with its answer.
func (r *Recorder) writeDelivery(b *pipeline.Batch, call *pipeline.Call) error {
	if err := r.state.pastError(); err != nil {
		return err
	}
	items, err := encodeBody(b.Items)
	if err != nil {
		return err
	}
	number, err := r.queries.ensure(b.Query)
	if err != nil {
		return err
	}
	intent := intentRecord{
		Run: r.run.ID, Call: call.ID, Batch: b.ID, Attempt: 1, ByID: b.ByID, Query: number, Entities: len(b.Items), Ceiling: b.Ceiling(), Time: call.Sent,
	}
	at, err := r.writeJSON(kindIntent, intent, items)
	if err != nil {
		return err
	}
	r.state.mu.Lock()
	c := r.state.addCall(r.run, at, &intent)
	r.state.mu.Unlock()
	answer := responseRecord{
		callHead: callHead{c.Run.ID, c.ID}, Endpoint: call.Endpoint, Entities: call.Entities, Sent: call.Sent, Status: call.Status, Outcome: call.Outcome,
		Length: int64(len(call.Body)),
	}
	if at, err = r.writeJSON(kindResponse, answer, compressBody(call.Body)); err != nil {
		return err
	}
	c.setResponse(at, &responseSummary{callHead: answer.callHead, Length: answer.Length})
	return nil
}

// writeJSON writes a record that need not be durable yet.
func (r *Recorder) writeJSON(k kind, head any, body []byte) (wal.Position, error) {
	text, err := json.Marshal(head)
	if err != nil {
		return wal.Position{}, err
	}
	return r.log.Write(byte(k), text, body)
}

// Deliveries are the ids of the calls that stand for deliveries, of all runs but one; nil stands for none. Those
// that a checkpoint has left behind are absent: no delivery comes again after so long.
func (r Reader) Deliveries(ctx context.Context, except *Run) (map[string]bool, error) {
	if err := r.loader.loadRecent(ctx); err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, run := range r.loader.state.runs {
		if run.Inbox == nil || run == except {
			continue
		}
		for _, c := range run.Calls {
			if c.unsentAt == nil {
				known[c.ID] = true
			}
		}
	}
	return known, nil
}

// isDelivery reports whether the call stands for a delivery.
func (c *Call) isDelivery() bool { return c.Query.Service() == pipeline.Deliveries }

// applyDelivery notes that an event of an entity is known. Nothing was asked: no day counts as asked, and when an
// event is delivered says nothing about when it can be asked for.
func (t *cursorTable) applyDelivery(c *Call, pairs, identities []byte) error {
	rows := t.rowsOf(identities)
	delivered, err := decodePairs(pairs, len(rows), DayOf(c.Query.Until))
	if err != nil {
		return err
	}
	signal := c.Query.ResultTypes()[0]
	if _, known := schema.LookupSignal(signal); !known {
		return nil
	}
	s := t.seriesOf(c.Query, signal)
	for n := 0; n < len(rows); n += delivered[n].identities {
		pair := delivered[n].find(0)
		if pair == nil {
			continue
		}
		for _, row := range rows[n : n+delivered[n].identities] {
			s.cursors[row-1].Newest = max(s.cursors[row-1].Newest, pair.newest)
		}
	}
	return nil
}
