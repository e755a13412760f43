// Package parallel does the same work on many things side by side. Neither the results nor the error
// depend on how many are worked on at once.
package parallel

import (
	"context"
	"sync"
	"sync/atomic"
)

// Do calls do for the numbers from 0 to n-1, in that order, and up to limit of them at once. If one fails, it
// begins no further ones and ends the contexts of those after it; the ones before it are completed, as they
// would be one after another. It returns when all have returned, with the error of the lowest number.
func Do(ctx context.Context, limit, n int, do func(ctx context.Context, i int) error) error {
	if limit <= 1 || n <= 1 {
		for i := range n {
			if err := do(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
	w := work{n: n, failed: n, cancel: map[int]context.CancelFunc{}}
	var workers sync.WaitGroup // awaited below
	for range min(limit, n) {
		workers.Go(func() {
			for {
				within, i, ok := w.begin(ctx)
				if !ok {
					return
				}
				w.end(i, do(within, i))
			}
		})
	}
	workers.Wait()
	return w.err
}

// work is what is done by one call of Do.
type work struct {
	mu      sync.Mutex
	next, n int
	cancel  map[int]context.CancelFunc // of those at work
	failed  int                        // the lowest number that failed; n: none
	err     error                      // its error
}

func (w *work) begin(ctx context.Context) (within context.Context, i int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed < w.n || w.next == w.n {
		return nil, 0, false
	}
	i = w.next
	w.next++
	within, w.cancel[i] = context.WithCancel(ctx)
	return within, i, true
}

func (w *work) end(i int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancel[i]()
	delete(w.cancel, i)
	if err == nil || i > w.failed {
		return
	}
	w.failed, w.err = i, err
	for later, cancel := range w.cancel {
		if later > i {
			cancel()
		}
	}
}

// Each calls do for the numbers from 0 to n-1, up to limit of them at once, one of them in the caller's goroutine.
// It is for work that takes some microseconds and is awaited as a whole: it has no contexts, and an error ends
// nothing. It returns the error of the lowest number.
func Each(limit, n int, do func(i int) error) error {
	if limit <= 1 || n <= 1 {
		return eachInOrder(n, do)
	}
	var next atomic.Int64
	errs := make([]error, n)
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			errs[i] = do(i)
		}
	}
	var others sync.WaitGroup // awaited below
	for range min(limit, n) - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
	return eachInOrder(n, func(i int) error { return errs[i] })
}

func eachInOrder(n int, do func(i int) error) error {
	for i := range n {
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}
