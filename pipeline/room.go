package pipeline

import (
	"slices"
	"sync"

	"github.com/siglake/siglake/schema"
)

// room bounds the bytes of the results that prefetch holds: those that are awaited count with what
// they are expected to weigh, those that have come with what they weigh. A call that is on the wire
// is paid for and is never cancelled, so the bound decides which calls may start.
//
// Space is reserved in the order of the values. The value whose turn it is always gets its space, so
// that nothing waits for ever: one result alone may exceed the bound.
type room[T, R any] struct {
	limit  int64
	expect func(T) int64    // bytes of the result of a value; 0: it needs no space
	weigh  func(T, R) int64 // bytes of a result that has come

	mu    sync.Mutex
	bytes int64         // reserved
	held  int           // spaces
	freed chan struct{} // closed when space was freed
}

// space is what one result takes.
type space struct{ bytes int64 }

func newRoom[T, R any](limit int64, expect func(T) int64, weigh func(T, R) int64) *room[T, R] {
	return &room[T, R]{limit: limit, expect: expect, weigh: weigh, freed: make(chan struct{})}
}

// reserve waits until the result of v has space: as much as is expected by then. It is nil if v
// needs none, or if stopped was closed. Only one goroutine may call it.
func (r *room[T, R]) reserve(v T, stopped <-chan struct{}) *space {
	for {
		bytes := r.expect(v)
		if bytes <= 0 {
			return nil
		}
		r.mu.Lock()
		if r.held == 0 || r.bytes+bytes <= r.limit {
			r.held, r.bytes = r.held+1, r.bytes+bytes
			r.mu.Unlock()
			return &space{bytes}
		}
		freed := r.freed
		r.mu.Unlock()
		select {
		case <-freed:
		case <-stopped:
			return nil
		}
	}
}

// fill makes a space as large as the result that has come.
func (r *room[T, R]) fill(s *space, v T, result R) {
	if s != nil {
		r.resize(s, r.weigh(v, result), 0)
	}
}

// release frees the space of a result that is no longer held.
func (r *room[T, R]) release(s *space) {
	if s != nil {
		r.resize(s, 0, -1)
	}
}

func (r *room[T, R]) resize(s *space, bytes int64, spaces int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held, r.bytes, s.bytes = r.held+spaces, r.bytes+bytes-s.bytes, bytes
	close(r.freed)
	r.freed = make(chan struct{})
}

// defaultAnswerMemory is the default of Runner.AnswerMemory.
const defaultAnswerMemory = 64 << 20

func (r *Runner) answerMemory() int64 {
	if r.AnswerMemory <= 0 {
		return defaultAnswerMemory
	}
	return r.AnswerMemory
}

// newAnswerRoom is the room for the answers to the batches of a run.
func (r *Runner) newAnswerRoom() *room[workItem, *flattened] {
	weights := new(answerWeights)
	expect := func(w workItem) int64 {
		if w.batch == nil {
			return 0
		}
		return weights.expect(w.batch)
	}
	return newRoom(r.answerMemory(), expect, func(w workItem, reply *flattened) int64 {
		bytes := reply.memory()
		if reply.hasAnswer() { // what has none says nothing about answers
			weights.add(w.batch, bytes)
		}
		return bytes
	})
}

// answerWeights estimates how many bytes of memory the reply to a batch takes: as many as it can
// take at most, times the share of that which earlier ones took. It may be used concurrently.
type answerWeights struct {
	mu     sync.Mutex
	shares map[answerKind]float64
}

// answerKind distinguishes batches by how much of what they ask for exists.
type answerKind struct {
	object  schema.Object
	service Service
}

// cautiousResultBytes is several times what a result takes, in the documented examples and in practice:
// as long as no answer has come, few calls with many possible results start at a time.
const cautiousResultBytes = 2 << 10

// expect is the estimate for a batch. Without an earlier reply it is the most that the batch can bring.
func (w *answerWeights) expect(b *Batch) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	share, ok := w.shares[answerKind{b.Query.Object, b.Query.Service()}]
	if !ok {
		share = 1
	}
	return max(int64(share*float64(mostMemory(b))), 1)
}

// add learns from a reply. The estimate follows a heavier one at once, and lighter ones slowly: answers
// that are heavier than expected cannot be refused.
func (w *answerWeights) add(b *Batch, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shares == nil {
		w.shares = map[answerKind]float64{}
	}
	kind, share := answerKind{b.Query.Object, b.Query.Service()}, float64(bytes)/float64(mostMemory(b))
	if known, ok := w.shares[kind]; ok && share < known {
		share = known - (known-share)/8
	}
	w.shares[kind] = share
}

// mostMemory is what the reply to a batch takes if the batch brings as many results as it can.
func mostMemory(b *Batch) int64 {
	return possibleBytes(len(b.Items), b.ResultCeiling(), cautiousResultBytes)
}

// hasAnswer reports whether one of the calls was answered.
func (r *Reply) hasAnswer() bool {
	return r != nil && slices.ContainsFunc(r.Calls, func(c Call) bool { return c.Outcome == Charged })
}

// itemMemory is what an item of a reply takes without its events.
const itemMemory = 512

// memory is about how many bytes a reply takes: those of its answers, and of what was read from them.
func (r *Reply) memory() (bytes int64) {
	const perEvent = 64
	if r == nil { // of a fetcher that breaks its contract
		return 0
	}
	shared := false // the events are within the answers
	for i := range r.Calls {
		bytes += int64(cap(r.Calls[i].Body)) + int64(len(r.Calls[i].Header))
		shared = shared || len(r.Calls[i].Body) > 0
	}
	for _, items := range [][]ItemReply{r.Items, r.Unmatched} {
		for i := range items {
			bytes += itemMemory
			for _, events := range [][]RawEvent{items[i].Events, items[i].Filtered} {
				for n := range events {
					if bytes += perEvent; !shared {
						bytes += int64(len(events[n].Raw))
					}
				}
			}
		}
	}
	return bytes
}
