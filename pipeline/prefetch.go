package pipeline

import (
	"context"
	"iter"

	"golang.org/x/sync/errgroup"
)

// prefetchDepth is how far prefetch reads ahead, in calls per worker.
const prefetchDepth = 3

// prefetch calls do for the values of in, up to n at a time, and yields each value with its result
// in the order of in.
//
// It is the only concurrent part of the paid phase: it starts every goroutine and has awaited all
// of them when it returns, even if the consumer breaks. At most n calls run, and at most
// prefetchDepth·n values wait, running or finished, as far as their results have room. So memory is
// bounded regardless of the length of in, and of what an answer weighs. One goroutine iterates over
// in. After a break no new call starts.
//
// ctx is passed to do and not watched here: do decides whether a cancelled ctx means "do not start"
// or "give up", because a call that is being paid for must be awaited.
//
// With room for n results only, one slow answer would soon idle every other worker: with answers
// that take half to one and a half times the typical time, and a few much longer, eight workers
// achieved a sixth less.
func prefetch[T, R any](ctx context.Context, n int, in iter.Seq[T], room *room[T, R], do func(context.Context, T) R) iter.Seq2[T, R] {
	type slot struct {
		value  T
		result chan R
		space  *space
	}
	return func(yield func(T, R) bool) {
		var g errgroup.Group
		g.SetLimit(n + 1) // n calls and the feeder
		waiting := make(chan slot, prefetchDepth*n)
		stopped := make(chan struct{})

		g.Go(func() error {
			defer close(waiting)
			for v := range in {
				s := slot{v, make(chan R, 1), room.reserve(v, stopped)}
				select {
				case <-stopped:
					return nil
				case waiting <- s:
				}
				g.Go(func() error {
					select {
					case <-stopped: // the answer would be discarded, so it must not be paid for
					default:
						result := do(ctx, v)
						room.fill(s.space, v, result)
						s.result <- result
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
			room.release(s.space)
		}
	}
}
