package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/schema"
)

// heldBytes counts the bytes that calls have brought and that the consumer has not taken.
type heldBytes struct {
	mu        sync.Mutex
	now, most int64
}

func (h *heldBytes) add(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now += n
	h.most = max(h.most, h.now)
}

// TestRoomBoundsBytes: results that weigh what was expected at most never take more than the limit,
// whatever the order in which calls end and however slow the consumer is, and all of them come.
func TestRoomBoundsBytes(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			const length, limit = 200, 1000
			dice := rand.New(rand.NewPCG(2, seed))
			weights, times := make([]int64, length), make([]time.Duration, length)
			for i := range weights {
				weights[i], times[i] = dice.Int64N(limit), time.Duration(dice.IntN(1000))*time.Millisecond
			}
			var held heldBytes
			room := newRoom(limit, func(i int) int64 { return min(2*weights[i], limit) + 1 }, func(i int, _ int) int64 { return weights[i] })
			next := 0
			var g gauge
			for i := range prefetch(t.Context(), 8, slices.Values(rangeOf(length)), room, func(_ context.Context, i int) int {
				g.enter()
				defer g.leave()
				time.Sleep(times[i])
				held.add(weights[i])
				return i
			}) {
				if i != next {
					t.Fatalf("prefetch yields %d, want %d", i, next)
				}
				time.Sleep(time.Duration(dice.IntN(300)) * time.Millisecond)
				held.add(-weights[i])
				next++
			}
			if next != length || held.most > limit+1 || held.most < limit/2 || g.most.Load() < 2 {
				t.Errorf("%d of %d results, %d bytes at most of %d, %d calls at a time; want all, at least half of the bytes and two calls", next, length, held.most, limit, g.most.Load())
			}
			if room.bytes != 0 || room.held != 0 {
				t.Errorf("%d bytes in %d spaces are still reserved", room.bytes, room.held)
			}
		})
	}
}

func rangeOf(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// TestRoomAdmitsItsTurn: results that each exceed the limit come one after the other, and no call
// starts while one is held; one that turns out heavier than expected stops further calls, and is not
// lost.
func TestRoomAdmitsItsTurn(t *testing.T) {
	for _, tt := range []struct {
		name             string
		expected, weight int64
		mostCalls        int64
	}{
		{"each exceeds the limit", 150, 150, 1},
		{"as expected", 30, 30, 3},
		{"lighter than expected", 50, 10, 2},
		{"heavier than expected", 30, 200, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g gauge
				got := 0
				for range prefetch(t.Context(), 8, slices.Values(rangeOf(20)), newRoom(100, func(int) int64 { return tt.expected }, func(int, int) int64 { return tt.weight }), func(_ context.Context, i int) int {
					g.enter()
					defer g.leave()
					time.Sleep(time.Second)
					return i
				}) {
					if got++; tt.weight >= 100 {
						synctest.Wait()
						most := (int64(got-1)/tt.mostCalls + 1) * tt.mostCalls // those before were released
						if started := g.started.Load(); started > most {
							t.Errorf("%d calls have started while result %d is held, want %d at most", started, got, most)
						}
					}
				}
				if got != 20 || g.most.Load() != tt.mostCalls {
					t.Errorf("%d results of 20, %d calls at a time, want %d", got, g.most.Load(), tt.mostCalls)
				}
			})
		})
	}
}

// TestRoomStops: a feeder that waits for space ends with its consumer.
func TestRoomStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range prefetch(t.Context(), 2, slices.Values(rangeOf(9)), newRoom(1, func(int) int64 { return 1 }, func(int, int) int64 { return 1 }), func(_ context.Context, i int) int { return i }) {
			synctest.Wait()
			break
		}
	}) // a leaked goroutine fails the bubble
}

// weighedAPI answers every entity with one event of so many bytes, and counts the bytes of the
// answers that were fetched and are not recorded.
type weighedAPI struct {
	perEntity int
	calls     gauge
	held      heldBytes

	mu     sync.Mutex
	byCall map[string]int64
}

func (s *weighedAPI) Fetch(_ context.Context, b *Batch) (*Reply, error) {
	s.calls.enter()
	defer s.calls.leave()
	time.Sleep(time.Second)
	reply, bytes := NewReply(b, ""), int64(0)
	for i := range b.Items {
		raw := fmt.Appendf(nil, `{"signalId":"%s.%d","signalDate":"2026-04-15","padding":"%s"}`, b.ID, i, strings.Repeat("x", s.perEntity))
		bytes += int64(len(raw))
		reply.Items[i] = ItemReply{
			Status: schema.Enriched, CallID: b.ID + "-1", Entity: schema.Entity{Object: b.Query.Object, ID: fmt.Sprint("e", b.Items[i].Ref), Name: "A"},
			Events: []RawEvent{{Type: b.Query.ResultTypes()[0], Raw: raw}},
		}
	}
	reply.Calls = []Call{{
		ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Endpoint: "POST /signals", Object: b.Query.Object, Entities: len(b.Items), Types: len(b.Query.ResultTypes()),
		Ceiling: b.Ceiling(), Sent: epoch, Duration: time.Second, Status: 200, Outcome: Charged, Charge: Charge{Known: true, Credits: 1}, Length: bytes,
	}}
	s.held.add(bytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byCall[b.ID] = bytes
	return reply, nil
}

// recorded notes that the answers to so many batches were recorded.
func (s *weighedAPI) recorded(batches int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := fmt.Sprintf("%06d", batches)
	s.held.add(-s.byCall[id])
	delete(s.byCall, id)
}

// TestAnswerMemory: the answers that a run holds take no more than its bound, or a single one does,
// while a slow recorder lets them pile up. Light answers let all calls run.
func TestAnswerMemory(t *testing.T) {
	const perBatch = 10
	for _, tt := range []struct {
		name         string
		perEntity    int
		memory, most int64 // most: bytes held
		calls        int64 // at a time
	}{
		{"light", 100, 0, 1 << 20, 8},
		{"heavy", 4000, 200_000, 200_000, 4},
		{"each exceeds the bound", 4000, 20_000, 41_000, 1},
		{"as heavy as possible by the first estimate", 20_000, 900_000, 900_000, 4},
		{"heavier than that: all but the first calls", 60_000, 900_000, 2 * 601_000, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &weighedAPI{perEntity: tt.perEntity, byCall: map[string]int64{}}
				g := mustRun(t, Runner{Fetcher: api, BatchSize: perBatch, Concurrency: 8, AnswerMemory: tt.memory, Progress: func(p Progress) {
					time.Sleep(300 * time.Millisecond)
					api.recorded(p.Batches)
				}}, companies(60*perBatch))
				if n := g.manifest.Calls.Total; n != 60 || len(api.byCall) != 0 {
					t.Errorf("%d calls, %d answers were not recorded, want 60 and none", n, len(api.byCall))
				}
				if most, calls := api.held.most, api.calls.most.Load(); most > tt.most || calls != tt.calls {
					t.Errorf("%d bytes held, %d calls at a time, want %d and %d at most", most, calls, tt.most, tt.calls)
				}
			})
		})
	}
}
