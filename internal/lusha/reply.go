package lusha

import (
	"context"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// unsentReply is the reply to a batch that was not sent: items that the API's
// version cannot express are Rejected, the others Deferred.
func unsentReply(b *pipeline.Batch, reason string) *pipeline.Reply {
	return &pipeline.Reply{Items: itemsWithStatus(b, schema.Deferred, reason, "")}
}

// itemsWithStatus gives every item of a batch the same status, except those that
// the API's version cannot express: they are Rejected.
func itemsWithStatus(b *pipeline.Batch, status schema.Status, reason, callID string) []pipeline.ItemReply {
	items := make([]pipeline.ItemReply, len(b.Items))
	for i := range items {
		if b.Query != nil {
			if rejection := rejectReason(b, i); rejection != "" {
				items[i] = pipeline.ItemReply{Status: schema.Rejected, Reason: rejection}
				continue
			}
		}
		items[i] = pipeline.ItemReply{Status: status, Reason: reason, CallID: callID}
	}
	return items
}

// interruptedReply is the reply to a batch that was not sent because ctx had ended.
func interruptedReply(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	const reason = "the run was stopped before this was asked"
	return unsentReply(b, reason), &pipeline.Stop{
		Kind:   pipeline.StopInterrupted,
		Reason: "stopped: " + context.Cause(ctx).Error(),
		Advice: "run again to ask for the rest",
	}
}
