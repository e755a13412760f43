package pipeline

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// gauge counts running calls, and the maximum that ever ran at once.
type gauge struct{ started, finished, running, most atomic.Int64 }

func (g *gauge) enter() {
	g.started.Add(1)
	now := g.running.Add(1)
	for m := g.most.Load(); now > m && !g.most.CompareAndSwap(m, now); m = g.most.Load() {
	}
}

func (g *gauge) leave() {
	g.running.Add(-1)
	g.finished.Add(1)
}

// upTo yields 0 to n-1 and counts in pulled how many were taken.
func upTo(n int, pulled *atomic.Int64) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			pulled.Store(int64(i + 1))
			if !yield(i) {
				return
			}
		}
	}
}

// anyRoom is room for results of any weight.
func anyRoom[R any]() *room[int, R] {
	return newRoom(1, func(int) int64 { return 0 }, func(int, R) int64 { return 0 })
}

func TestPrefetchKeepsOrderAndBounds(t *testing.T) {
	for _, n := range []int{1, 2, 7, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const length = 300
				dice := rand.New(rand.NewPCG(1, uint64(n)))
				took := make([]time.Duration, length)
				for i := range took {
					took[i] = time.Duration(dice.IntN(1000)) * time.Millisecond
				}
				var g gauge
				var pulled atomic.Int64
				next := 0
				for v, r := range prefetch(t.Context(), n, upTo(length, &pulled), anyRoom[string](), func(_ context.Context, v int) string {
					g.enter()
					defer g.leave()
					time.Sleep(took[v])
					return fmt.Sprint("answer ", v)
				}) {
					if want := fmt.Sprint("answer ", next); v != next || r != want {
						t.Fatalf("prefetch(%d) yields %d, %q, want %d, %q", n, v, r, next, want)
					}
					next++
					if dice.IntN(4) == 0 {
						time.Sleep(time.Duration(dice.IntN(2000)) * time.Millisecond)
						synctest.Wait()
						// The consumer has one value, others are in flight or finished, the feeder
						// has one.
						if lead := int(pulled.Load()) - next; lead > prefetchDepth*n+1 {
							t.Fatalf("prefetch(%d) took %d values more than it yielded, want at most %d", n, lead, prefetchDepth*n+1)
						}
					}
				}
				if next != length {
					t.Errorf("prefetch(%d) yielded %d values, want %d", n, next, length)
				}
				if got := g.most.Load(); got != int64(n) {
					t.Errorf("prefetch(%d) ran at most %d at once, want %d", n, got, n)
				}
			})
		})
	}
}

func TestPrefetchStartsOnIteration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pulled atomic.Int64
		values := prefetch(t.Context(), 4, upTo(10, &pulled), anyRoom[int](), func(_ context.Context, v int) int { return v })
		synctest.Wait()
		if pulled.Load() != 0 {
			t.Errorf("prefetch took %d values before the iteration, want 0", pulled.Load())
		}
		for range values {
			break
		}
	})
}

func TestPrefetchEmptyInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pulled atomic.Int64
		for v := range prefetch(t.Context(), 4, upTo(0, &pulled), anyRoom[int](), func(_ context.Context, v int) int { return v }) {
			t.Errorf("prefetch of nothing yields %d, want nothing", v)
		}
	})
}

// A consumer that breaks waits for running calls. No call starts after that: each could cost
// credits without being recorded.
func TestPrefetchBreak(t *testing.T) {
	for _, c := range []struct {
		name string
		// How long it takes to read a value and to request it.
		read, asked time.Duration
	}{
		{"slow answers", 0, time.Second},
		{"slow input", time.Second, 0},
		{"both slow", time.Second, 3500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			for after := range 24 { // select chooses at random: try often
				synctest.Test(t, func(t *testing.T) {
					var g gauge
					var broken atomic.Bool
					input := func(yield func(int) bool) {
						for i := range 1000 {
							time.Sleep(c.read)
							if !yield(i) {
								return
							}
						}
					}
					seen := 0
					for range prefetch(t.Context(), 8, input, anyRoom[int](), func(context.Context, int) int {
						if broken.Load() {
							t.Error("prefetch started a call after its consumer broke")
						}
						g.enter()
						defer g.leave()
						time.Sleep(c.asked)
						return 0
					}) {
						if seen++; seen > after {
							synctest.Wait()
							broken.Store(true)
							break
						}
					}
					if started, finished := g.started.Load(), g.finished.Load(); started != finished {
						t.Errorf("after a break %d calls were started and %d finished, want all to be awaited", started, finished)
					}
				}) // a leaked goroutine fails the bubble
			}
		})
	}
}

// prefetch leaves a cancelled context to the function that it calls.
func TestPrefetchLeavesContextToTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var pulled atomic.Int64
		var got []int
		for v, cancelled := range prefetch(ctx, 3, upTo(5, &pulled), anyRoom[bool](), func(ctx context.Context, _ int) bool { return ctx.Err() != nil }) {
			if !cancelled {
				t.Errorf("prefetch hid the cancelled context from call %d", v)
			}
			got = append(got, v)
		}
		if want := []int{0, 1, 2, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("prefetch with a cancelled context yields %d, want %d", got, want)
		}
	})
}
