package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Bisector finds the items for which the API refuses a batch as a whole, so
// that the others are answered.
type Bisector struct {
	inner  pipeline.Fetcher
	vendor Vendor
}

// maxFruitless is how many calls may be refused with the same message, while the
// API accepts no part of the batch, before the query rather than an item is
// blamed.
const maxFruitless = 40

// Bisect wraps a decoded fetcher. The vendor explains its refusals. They are not
// charged, so the search costs requests, never credits: with k bad items among
// n, about 2k·log2(n/k) of them, and never more than 2n-1.
func Bisect(inner pipeline.Fetcher, vendor Vendor) *Bisector { return &Bisector{inner, vendor} }

// Fetch sends the batch, and halves every part that is refused for what is in
// it. An item refused alone is Rejected, or Restricted when the refusal is a
// legal one. When one part ends the run, the answers to the others are kept and
// the rest is Deferred.
func (bs *Bisector) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	s := bisection{inner: bs.inner, vendor: bs.vendor}
	all := s.tryBatch(ctx, b)
	if all.err == nil && all.refused && len(b.Items) == 1 && all.refusal.BadQuery {
		all.err = requestError(all.refusal, all.batch.Query)
	}
	s.split(ctx, &all, true)
	return all.reply, all.err
}

// bisection is the state of one batch's bisection.
type bisection struct {
	inner       pipeline.Fetcher
	vendor      Vendor
	anyAccepted bool   // the API accepted some part
	repeats     int    // refusals in a row with the same message
	lastMessage string // of the refusals
}

// half is a part of the batch and the reply to it.
type half struct {
	batch   *pipeline.Batch
	reply   *pipeline.Reply
	refusal Refusal
	refused bool // for what is in it
	err     error
}

func (s *bisection) tryBatch(ctx context.Context, b *pipeline.Batch) half {
	reply, err := s.inner.Fetch(ctx, b)
	h := half{batch: b, reply: reply, err: err}
	if err != nil || len(reply.Calls) == 0 {
		return h
	}
	call := &reply.Calls[len(reply.Calls)-1]
	if call.Outcome != pipeline.NotCharged {
		s.anyAccepted = true
		return h
	}
	h.refusal = s.vendor.Refusal(call)
	switch h.refusal.Kind {
	case BadItem, RestrictedItem:
		h.refused = true
	default:
		s.anyAccepted = s.anyAccepted || h.refusal.Kind == NoMatch
		return h
	}
	if h.refusal.Message != s.lastMessage {
		s.lastMessage, s.repeats = h.refusal.Message, 0
	}
	s.repeats++
	return h
}

// split replaces the reply to a refused part by the replies to its halves.
func (s *bisection) split(ctx context.Context, h *half, isTop bool) {
	if h.err != nil || !h.refused {
		return
	}
	if len(h.batch.Items) < 2 {
		h.reply.Items = []pipeline.ItemReply{rejectItem(h)}
		return
	}
	if !s.anyAccepted && s.repeats >= maxFruitless {
		h.err = requestError(h.refusal, h.batch.Query)
		return
	}
	firstBatch, secondBatch := h.batch.Split()
	first := s.tryBatch(ctx, firstBatch)
	second := half{batch: secondBatch, reply: s.vendor.UnsentReply(secondBatch, "not requested: another part of its batch ended the run")}
	if first.err == nil {
		second = s.tryBatch(ctx, secondBatch)
	}
	if isTop && first.refused && second.refused && first.refusal.Message == second.refusal.Message && first.refusal.BadQuery {
		first.err = requestError(first.refusal, h.batch.Query)
	}
	// A reason to stop one half stops the other, which keeps what it has.
	if first.err == nil && second.err == nil {
		s.split(ctx, &first, false)
	}
	if first.err == nil && second.err == nil {
		s.split(ctx, &second, false)
	}
	h.err = first.err
	if h.err == nil {
		h.err = second.err
	}
	h.reply = &pipeline.Reply{
		Calls:     slices.Concat(h.reply.Calls, first.reply.Calls, second.reply.Calls),
		Items:     slices.Concat(first.reply.Items, second.reply.Items),
		Unmatched: slices.Concat(h.reply.Unmatched, first.reply.Unmatched, second.reply.Unmatched),
	}
}

// rejectItem is the reply to an item that was refused alone.
func rejectItem(h *half) pipeline.ItemReply {
	call := h.reply.Calls[len(h.reply.Calls)-1]
	item := pipeline.ItemReply{Status: schema.Rejected, CallID: call.ID, Reason: h.refusal.Summary}
	if h.refusal.Kind == RestrictedItem {
		item.Status = schema.Restricted
	}
	return item
}

func requestError(refusal Refusal, q *pipeline.Query) error {
	advice := "check the signal types, the dates, the filters and the seeds against the API's options"
	if ask, _ := q.Ask.(pipeline.SignalsAsk); ask.SendFilters && strings.Contains(refusal.Message, "filters") {
		advice = "omit --send-filters: siglake then filters the events itself, and also pays for those it filters out"
	}
	return &pipeline.Stop{
		Kind:   pipeline.StopRequest,
		Reason: fmt.Sprintf("the API refuses the query itself: %s", refusal.Summary),
		Advice: advice,
	}
}
