package parallel_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/siglake/siglake/internal/parallel"
)

// TestDo: every number is worked on once, and never more at once than allowed.
func TestDo(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 3, 100} {
		var done [50]atomic.Int32
		var now, most atomic.Int32
		err := parallel.Do(t.Context(), limit, len(done), func(_ context.Context, i int) error {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			done[i].Add(1)
			now.Add(-1)
			return nil
		})
		if err != nil || int(most.Load()) > limit {
			t.Errorf("Do(limit %d) = %v with %d at once", limit, err, most.Load())
		}
		for i := range done {
			if n := done[i].Load(); n != 1 {
				t.Errorf("Do(limit %d) worked %d times on %d", limit, n, i)
			}
		}
	}
}

// TestFirstError: the error of the lowest number counts, although others failed before it. Those after it
// are stopped, and no further ones begin.
func TestFirstError(t *testing.T) {
	t.Parallel()
	want := errors.New("of the lowest number")
	later := make(chan struct{})
	err := parallel.Do(t.Context(), 3, 10, func(ctx context.Context, i int) error {
		switch i {
		case 0:
			<-later
			if ctx.Err() != nil {
				t.Error("an error of 1 ended the context of 0")
			}
			return want
		case 1:
			close(later)
			return errors.New("of a higher one")
		case 2:
			<-ctx.Done()
			return ctx.Err()
		}
		t.Errorf("%d was begun after an error", i)
		return nil
	})
	if !errors.Is(err, want) {
		t.Errorf("Do = %v, want %v", err, want)
	}
	if err := parallel.Do(t.Context(), 1, 3, func(_ context.Context, i int) error {
		if i == 2 {
			t.Error("one after another: 2 was begun after an error")
		}
		if i == 1 {
			return want
		}
		return nil
	}); !errors.Is(err, want) {
		t.Errorf("Do(limit 1) = %v, want %v", err, want)
	}
}

// TestCanceled: the end of the caller's context ends the work.
func TestCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	err := parallel.Do(ctx, 2, 10, func(ctx context.Context, _ int) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Do = %v, want %v", err, context.Canceled)
	}
}
