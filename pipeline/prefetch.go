package pipeline

import (
	"context"
	"iter"

	"golang.org/x/sync/errgroup"
)

// prefetchDepth is how far ahead ahead runs, in calls per worker.
const prefetchDepth = 3

// prefetch calls do for the values of in, up to n at a time, and yields each value
// with its result in the order of in.
//
// It is the one place where the paid phase is concurrent: it starts every
// goroutine and has awaited all of them when the walk returns, also when the
// consumer breaks off. At most n calls run, and at most prefetchDepth·n values wait
// for their turn, running or finished, so memory is bounded whatever the length
// of in. in itself is walked by one goroutine. After a break nothing more is
// started.
//
// ctx is handed to do and not watched here: whether a cancelled ctx means "do
// not start" or "give up" is do's to decide, because a call that is being paid
// for must be waited for.
//
// With room for n results only, one slow answer would soon leave every other
// worker idle: with answers that take half to one and a half times the typical
// time, and a few much longer, eight workers did a sixth less.
func prefetch[T, R any](ctx context.Context, n int, in iter.Seq[T], do func(context.Context, T) R) iter.Seq2[T, R] {
	type slot struct {
		value  T
		result chan R
	}
	return func(yield func(T, R) bool) {
		var g errgroup.Group
		g.SetLimit(n + 1) // n calls and the feeder
		waiting := make(chan slot, prefetchDepth*n)
		stopped := make(chan struct{})

		g.Go(func() error {
			defer close(waiting)
			for v := range in {
				s := slot{v, make(chan R, 1)}
				select {
				case <-stopped:
					return nil
				case waiting <- s:
				}
				g.Go(func() error {
					select {
					case <-stopped: // nobody waits for the answer, so it must not be paid for
					default:
						s.result <- do(ctx, v)
					}
					return nil
				})
			}
			return nil
		})

		defer func() {
			close(stopped)
			_ = g.Wait() // the goroutines return nil only
		}()
		for s := range waiting {
			if !yield(s.value, <-s.result) {
				return
			}
		}
	}
}
