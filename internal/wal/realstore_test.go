package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/bucket/buckettest"
)

var _ Bucket = (*bucket.Bucket)(nil)

func openBucket(t testing.TB, s *buckettest.Store) *bucket.Bucket {
	t.Helper()
	s.Setenv(t)
	b, err := bucket.Open(t.Context(), s.URI("lake"), bucket.Config{Endpoint: s.URL, Region: s.Region, PathStyle: true, MaxBackoff: time.Millisecond, HTTP: s.Client})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRealStore keeps a journal on stores of other people's making, behind a
// network that loses every fifth request or its answer. Three processes take it
// over from each other; none of them ends its own.
func TestRealStore(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *buckettest.Store{"versitygw": buckettest.Start, "gofakes3": buckettest.StartFake} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			rng := rand.New(rand.NewPCG(3, 4))
			faults := []buckettest.Fault{buckettest.Reset, buckettest.ResetLate, buckettest.SlowDown, buckettest.Conflict, buckettest.Internal, buckettest.InternalLate}
			var mu sync.Mutex
			requests, failed := 0, 0
			bad := buckettest.StartProxy(t, s, func(*http.Request) buckettest.Fault {
				mu.Lock()
				defer mu.Unlock()
				requests++
				if rng.IntN(5) != 0 {
					return buckettest.Fault{}
				}
				failed++
				return faults[rng.IntN(len(faults))]
			})
			ctx := t.Context()
			o := Options{SegmentSize: 8 << 10}
			var want []string
			var old *Log
			for life := range 3 {
				l, err := Open(ctx, NewObjects(openBucket(t, bad), "_state/journal", ObjectsOptions{}), o)
				if err != nil {
					t.Fatalf("open = %v", err)
				}
				if old != nil {
					if _, err := old.Append(1, []byte("late"), nil); !errors.Is(err, ErrFenced) {
						t.Errorf("append by one that was taken over = %v, want %v", err, ErrFenced)
					}
				}
				for i := range 40 {
					head := fmt.Sprintf("life %d, record %d", life, i)
					if _, err := l.Append(1, []byte(head), make([]byte, rng.IntN(1000))); err != nil {
						t.Fatalf("append = %v", err)
					}
					want = append(want, head)
				}
				old = l
			}
			if err := old.Close(); err != nil {
				t.Errorf("close = %v", err)
			}
			l, err := Open(ctx, NewObjects(openBucket(t, s), "_state/journal", ObjectsOptions{}), o)
			if err != nil {
				t.Fatalf("open = %v", err)
			}
			if got, err := contents(l); err != nil || !slices.Equal(heads(got), want) {
				t.Errorf("contents = %q, %v; want %q", heads(got), err, want)
			}
			t.Logf("%d requests, %d of which failed, or their answers", requests, failed)
		})
	}
}

// TestRealStoreRace: of many that begin the same segment, one does.
func TestRealStoreRace(t *testing.T) {
	s := buckettest.Start(t)
	b := openBucket(t, s)
	for round := range 10 {
		var wg sync.WaitGroup
		var logs [8]*Log
		for i := range logs {
			var err error
			if logs[i], err = Open(t.Context(), NewObjects(b, fmt.Sprint("race ", round), ObjectsOptions{Patience: -1}), Options{}); err != nil {
				t.Fatal(err)
			}
		}
		won := make([]bool, len(logs))
		for i, l := range logs {
			wg.Go(func() {
				_, err := l.Append(1, fmt.Append(nil, i), nil)
				if won[i] = err == nil; err != nil && !errors.Is(err, ErrFenced) {
					t.Errorf("append = %v, want nil or %v", err, ErrFenced)
				}
			})
		}
		wg.Wait()
		var winner []string
		for i := range won {
			if won[i] {
				winner = append(winner, fmt.Sprint(i))
			}
		}
		l, err := Open(t.Context(), NewObjects(b, fmt.Sprint("race ", round), ObjectsOptions{}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := contents(l); err != nil || len(winner) != 1 || !slices.Equal(heads(got), winner) {
			t.Errorf("%q won, contents = %q, %v; want one, and its record", winner, heads(got), err)
		}
	}
}
