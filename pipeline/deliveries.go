package pipeline

import (
	"context"
	"iter"
)

// RunDeliveries records what webhooks delivered, and publishes it like Run. Each batch is one delivery, and
// one line, whose row no other one has. Nothing is requested: the deliveries are durable where they come from,
// so an error leaves the run to another session, which gets the same batches again. A batch whose line this
// run recorded before its process ended is not recorded again.
//
// Unlike Run it stops when ctx ends, with its error: nothing that was paid for is lost by that.
func (r *Runner) RunDeliveries(ctx context.Context, deliveries iter.Seq2[*Batch, error]) (*Manifest, error) {
	started := r.clock()()
	rec, done, err := r.startRecorder(ctx, started)
	if err != nil {
		return nil, err
	}
	recorded := int64(0)
	for b, err := range deliveries {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if done.has(b.Items[0].Account.Row) {
			continue
		}
		if err := recordDelivery(ctx, r.Fetcher, rec, b); err != nil {
			return nil, err
		}
		recorded++
		r.reportProgress(rec, recorded)
	}
	r.endRequests(rec.manifest, started)
	// From here on the run is published whatever happens, like any other.
	return rec.manifest, r.publish(context.WithoutCancel(ctx), rec, nil)
}

// recordDelivery records one delivery and writes its rows.
func recordDelivery(ctx context.Context, from Fetcher, rec *recorder, b *Batch) error {
	reply, err := from.Fetch(ctx, b)
	if err != nil {
		return err
	}
	if err := validateReply(b, reply); err != nil {
		return err
	}
	return rec.recordBatch(ctx, b, &flattened{Reply: reply})
}
