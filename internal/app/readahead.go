package app

import (
	"sync"

	"github.com/siglake/siglake/pipeline"
)

// answers are recorded answers, in order.
type answers = func(yield func(pipeline.AnsweredBatch, error) bool)

// longAnswer is the length in bytes from which on the next answer is read only when one is done. The one before it
// may be at work meanwhile, and is shorter.
const longAnswer = 8 << 20

// readAhead reads and decodes the next answer while one is at work. It starts a goroutine, and awaits it
// before it returns.
func readAhead(recorded answers) answers {
	return func(yield func(pipeline.AnsweredBatch, error) bool) {
		next, done, stop := make(chan readAnswer), make(chan struct{}), make(chan struct{})
		var reader sync.WaitGroup
		reader.Go(func() { // ends when all are read, or at stop
			defer close(next)
			for b, err := range recorded {
				a := readAnswer{b, err, isLong(&b)}
				if !sendOr(next, a, stop) || a.long && !sendOr(done, struct{}{}, stop) {
					return
				}
			}
		})
		defer reader.Wait()
		defer close(stop)
		for a := range next {
			if !yield(a.batch, a.err) {
				return
			}
			if a.long {
				<-done
			}
		}
	}
}

// readAnswer is an answer that was read.
type readAnswer struct {
	batch pipeline.AnsweredBatch
	err   error
	long  bool // the next one is read when this one is done
}

func isLong(b *pipeline.AnsweredBatch) bool {
	n := 0
	if b.Reply != nil {
		for i := range b.Reply.Calls {
			n += len(b.Reply.Calls[i].Body)
		}
	}
	return n >= longAnswer
}

// sendOr sends a value; false: it was stopped before.
func sendOr[T any](to chan<- T, v T, stop <-chan struct{}) bool {
	select {
	case to <- v:
		return true
	case <-stop:
		return false
	}
}
