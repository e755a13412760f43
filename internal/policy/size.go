package policy

import (
	"context"

	"github.com/siglake/siglake/pipeline"
)

// AnswerSizes estimates how long answers become. It must be safe for concurrent use.
type AnswerSizes interface {
	// ResultBytes is the bytes of one result of a query.
	ResultBytes(q *pipeline.Query) int64
	// MaxEntities is the number, of n entities, that one call should request so that its
	// answer, of at most target bytes, comes whole. It is at least one.
	MaxEntities(q *pipeline.Query, n int, target int64) int
}

// DefaultAnswerTarget is the length that no answer should exceed: several of them are in
// memory at a time.
const DefaultAnswerTarget = 64 << 20

// Sizer keeps the possible length of every answer below a target, as a Budgeter keeps its
// possible cost: an answer that is cut is paid for and lost. It may be used concurrently.
type Sizer struct {
	inner  pipeline.Fetcher
	sizes  AnswerSizes
	target int64
}

// LimitSize wraps a fetcher. It sends a batch whose answer may become longer than target in
// parts, by what is known when each part is sent.
func LimitSize(inner pipeline.Fetcher, sizes AnswerSizes, target int64) *Sizer {
	return &Sizer{inner, sizes, target}
}

// Fetch sends all of the batch. After an error, the rest is Deferred.
func (s *Sizer) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	merged := merging{batch: b}
	for number := 0; merged.sent < len(b.Items); number++ {
		part, n := *b, s.fit(b, len(b.Items)-merged.sent)
		if n < len(b.Items) {
			part = *b.SubBatch(number, merged.sent, merged.sent+n)
		}
		part.ResultBytes = s.sizes.ResultBytes(b.Query)
		reply, err := s.inner.Fetch(ctx, &part)
		merged.add(reply, n)
		if err != nil {
			return merged.deferRest(err.Error()), err
		}
	}
	return &merged.reply, nil
}

// fit is the number, of n items, of the next part.
func (s *Sizer) fit(b *pipeline.Batch, n int) int {
	if b.Query.Service().IsPaged() { // a page cannot be split
		return n
	}
	return s.sizes.MaxEntities(b.Query, n, s.target)
}

// merging is the reply to a batch that is sent in parts, in the order of its items.
type merging struct {
	batch *pipeline.Batch
	sent  int // items
	reply pipeline.Reply
}

// add adds the reply to the next n items.
func (m *merging) add(part *pipeline.Reply, n int) {
	m.sent += n
	m.reply.Calls = append(m.reply.Calls, part.Calls...)
	m.reply.Items = append(m.reply.Items, part.Items...)
	m.reply.Unmatched = append(m.reply.Unmatched, part.Unmatched...)
}

// deferRest ends the batch: the remaining items are not sent.
func (m *merging) deferRest(reason string) *pipeline.Reply {
	rest := m.batch.SubBatch(0, m.sent, len(m.batch.Items))
	m.reply.Items = append(m.reply.Items, pipeline.NewReply(rest, reason).Items...)
	return &m.reply
}
