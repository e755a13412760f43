package lusha

import (
	"slices"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// itemsWithStatus gives every item of a batch the same status, except those that
// the API's version cannot express: they are Rejected.
func itemsWithStatus(b *pipeline.Batch, status schema.Status, reason, callID string) []pipeline.ItemReply {
	items := slices.Repeat([]pipeline.ItemReply{{Status: status, Reason: reason, CallID: callID}}, len(b.Items))
	rejectInexpressible(b, items)
	return items
}

// rejectInexpressible rejects the items that the API's version cannot express: no
// request ever asks for them, whatever happens to the batch.
func rejectInexpressible(b *pipeline.Batch, items []pipeline.ItemReply) {
	if b.Query == nil {
		return
	}
	for i := range items {
		if reason := rejectReason(b, i); reason != "" {
			items[i] = pipeline.ItemReply{Status: schema.Rejected, Reason: reason}
		}
	}
}
