package signals

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Bisector finds the items for which the API refuses a batch as a whole, so
// that the others are answered.
type Bisector struct {
	inner pipeline.Fetcher
}

// maxFruitless is how many calls may fail alike, without one part of a batch
// being accepted, before the question rather than an item is blamed.
const maxFruitless = 40

// Bisect wraps a decoded fetcher. Refusals are not charged, so the search
// costs requests, never credits: with k bad items among n, about
// 2k·log2(n/k) of them, and never more than 2n-1.
func Bisect(inner pipeline.Fetcher) *Bisector { return &Bisector{inner} }

// Fetch asks about the batch, and about its halves as long as they are refused
// for what is in them. An item refused alone is Rejected, or Restricted when
// the refusal is a legal one. When one part ends the run, what the others
// brought is kept and the rest is Deferred.
func (bs *Bisector) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	s := bisection{inner: bs.inner}
	all := s.tryBatch(ctx, b)
	if all.err == nil && all.refused && len(b.Items) == 1 && refusesQuery(all.verdict) {
		all.err = requestError(all.verdict, all.batch.Query)
	}
	s.split(ctx, &all, true)
	return all.reply, all.err
}

// bisection is the state of one batch's bisection.
type bisection struct {
	inner       pipeline.Fetcher
	anyAccepted bool   // some part was
	repeats     int    // refusals so far, all with the same words
	lastMessage string // of the refusals
}

// half is a stretch of the batch and what came of asking about it.
type half struct {
	batch   *pipeline.Batch
	reply   *pipeline.Reply
	verdict Verdict
	refused bool // for what is in it
	err     error
}

func (s *bisection) tryBatch(ctx context.Context, b *pipeline.Batch) half {
	reply, err := s.inner.Fetch(ctx, b)
	if reply == nil {
		reply = &pipeline.Reply{}
	}
	if len(reply.Items) != len(b.Items) {
		reply.Items = itemsWithStatus(b, schema.Deferred, "not asked", "")
	}
	h := half{batch: b, reply: reply, err: err}
	if err != nil || len(reply.Calls) == 0 {
		return h
	}
	call := &reply.Calls[len(reply.Calls)-1]
	if call.Outcome != pipeline.NotCharged {
		s.anyAccepted = true
		return h
	}
	h.verdict = classifyCall(call)
	switch h.verdict.Class {
	case ClassBadRequest, ClassBadName, ClassLegal:
		h.refused = true
	default:
		s.anyAccepted = s.anyAccepted || h.verdict.Class == ClassNotFound
		return h
	}
	if message := h.verdict.FullMessage(); message != s.lastMessage {
		s.lastMessage, s.repeats = message, 0
	}
	s.repeats++
	return h
}

// split replaces what was refused by what its halves bring.
func (s *bisection) split(ctx context.Context, h *half, isTop bool) {
	if h.err != nil || !h.refused {
		return
	}
	if len(h.batch.Items) < 2 {
		h.reply.Items = []pipeline.ItemReply{rejectItem(h)}
		return
	}
	if !s.anyAccepted && s.repeats >= maxFruitless {
		h.err = requestError(h.verdict, h.batch.Query)
		return
	}
	firstBatch, secondBatch := h.batch.Split()
	first := s.tryBatch(ctx, firstBatch)
	second := half{batch: secondBatch, reply: unsentReply(secondBatch, "not asked: another part of its batch ended the run")}
	if first.err == nil {
		second = s.tryBatch(ctx, secondBatch)
	}
	if isTop && first.refused && second.refused && first.verdict.FullMessage() == second.verdict.FullMessage() && refusesQuery(first.verdict) {
		first.err = requestError(first.verdict, h.batch.Query)
	}
	// What stops one half stops the other, but takes nothing from it.
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
		Calls:     concat(h.reply.Calls, first.reply.Calls, second.reply.Calls),
		Items:     concat(first.reply.Items, second.reply.Items),
		Unmatched: concat(h.reply.Unmatched, first.reply.Unmatched, second.reply.Unmatched),
	}
}

func concat[T any](lists ...[]T) []T {
	var out []T
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// rejectItem is the fate of an item that was refused alone.
func rejectItem(h *half) pipeline.ItemReply {
	call := h.reply.Calls[len(h.reply.Calls)-1]
	item := pipeline.ItemReply{Status: schema.Rejected, CallID: call.ID, Reason: h.verdict.summary()}
	if h.verdict.Class == ClassLegal {
		item.Status = schema.Restricted
	}
	return item
}

var (
	// queryPattern names what concerns every item of a request.
	queryPattern = regexp.MustCompile(`(?i)(^|[^a-z])(signals|signal ?types?|signal keys?|(start|end) ?date|pagination|max ?results ?per ?signal|filters|news ?event ?types|hiring ?by ?(departments|locations))([^a-z]|$)`)
	// itemPattern names one of them.
	itemPattern = regexp.MustCompile(`(?i)(contacts|companies|contact ?ids|company ?ids|(^|[^a-z])ids|items?)\W{0,3}\d`)
	// seedPattern names what the one question about lookalikes is made of.
	seedPattern = regexp.MustCompile(`(?i)(^|[^a-z])(seeds|exclude)([^a-z]|$)`)
)

// refusesQuery reports whether a refusal is about the question as such, so
// that no part of the batch can be accepted.
func refusesQuery(v Verdict) bool {
	text := v.FullMessage()
	return v.Class == ClassBadRequest && (seedPattern.MatchString(text) || queryPattern.MatchString(text) && !itemPattern.MatchString(text))
}

func requestError(v Verdict, q *pipeline.Query) error {
	advice := "check the signal types, the dates, the filters and the seeds against the API's options"
	if q.SendFilters && strings.Contains(v.FullMessage(), "filters") {
		advice = "leave out --send-filters: then the events are filtered here, and those that are kept out are paid for as well"
	}
	return &pipeline.Stop{
		Kind:   pipeline.StopRequest,
		Reason: fmt.Sprintf("the API refuses the question itself: %s", v.summary()),
		Advice: advice,
	}
}
