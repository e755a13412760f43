package policy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// fetcherFunc is a Fetcher of one function.
type fetcherFunc func(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error)

func (f fetcherFunc) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	return f(ctx, b)
}

// itemReplies is the same reply for every item of a batch.
func itemReplies(b *pipeline.Batch, status schema.Status, reason, callID string) []pipeline.ItemReply {
	return slices.Repeat([]pipeline.ItemReply{{Status: status, Reason: reason, CallID: callID}}, len(b.Items))
}

// cappedAPI is what a budget stands before: it keeps its own account of what the
// calls that were made have cost, or can cost, at the most.
type cappedAPI struct {
	mu        sync.Mutex
	random    *rand.Rand
	lossy     bool  // one call in four is charged, and its answer lost
	worstCase int64 // charged, in doubt, and on its way
	highest   int64
	charged   int64
	calls     int
}

func (f *cappedAPI) Fetch(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	call := pipeline.Call{ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Entities: len(b.Items), Ceiling: b.Ceiling()}
	f.mu.Lock()
	f.calls++
	f.worstCase += call.Ceiling
	f.highest = max(f.highest, f.worstCase)
	latency := time.Duration(f.random.IntN(5000)) * time.Millisecond
	cost := f.random.Int64N(call.Ceiling + 1)
	lost := f.lossy && f.random.IntN(4) == 0
	f.mu.Unlock()
	time.Sleep(latency) // in a bubble
	f.mu.Lock()
	defer f.mu.Unlock()
	reply := &pipeline.Reply{Items: itemReplies(b, schema.Enriched, "", call.ID)}
	f.charged += cost
	if lost {
		call.Outcome = pipeline.InDoubt
		reply.Items = itemReplies(b, schema.InDoubt, "lost", call.ID)
	} else {
		call.Outcome, call.Charge = pipeline.Charged, pipeline.Charge{Known: true, Credits: cost}
		f.worstCase += cost - call.Ceiling
	}
	reply.Calls = []pipeline.Call{call}
	return reply, nil
}

// withPrice is a batch at a price of one event.
func withPrice(b *pipeline.Batch, credits int64) *pipeline.Batch {
	q := *b.Query
	q.Price = credits
	b.Query = &q
	return b
}

// TestBudget: whatever calls cost, and however many are on their way, the cap
// holds at any moment, and most of it is used.
func TestBudget(t *testing.T) {
	for seed := range uint64(20) {
		for _, lossy := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				const credits, spent = 2000, 300
				price := 1 + int64(seed%3)
				api := &cappedAPI{random: rand.New(rand.NewPCG(seed, 1)), lossy: lossy, worstCase: spent}
				g := Budget(api, BudgetConfig{Credits: credits, Spent: spent})
				var wg sync.WaitGroup
				numbers := make(chan int)
				var mu sync.Mutex
				stopped, deferredItems := 0, 0
				for range 8 {
					wg.Go(func() {
						for n := range numbers {
							b := withPrice(lushatest.Companies(20), price)
							b.ID = fmt.Sprintf("%06d", n)
							reply, err := g.Fetch(t.Context(), b)
							var stop *pipeline.Stop
							mu.Lock()
							if errors.As(err, &stop) && stop.Kind == pipeline.StopBudget {
								stopped++
							} else if err != nil {
								t.Errorf("Fetch() = %v, want no error but the budget's", err)
							}
							if len(reply.Items) != 20 {
								t.Errorf("Fetch() = %d items, want 20", len(reply.Items))
							}
							for _, item := range reply.Items {
								if item.Status == schema.Deferred {
									deferredItems++
								}
							}
							mu.Unlock()
						}
					})
				}
				for n := range 200 {
					numbers <- n
				}
				close(numbers)
				wg.Wait()
				if api.highest > credits {
					t.Errorf("seed %d, answers lost: %v: %d credits spent or possible, of %d", seed, lossy, api.highest, credits)
				}
				unitCost := withPrice(lushatest.Companies(1), price).Ceiling()
				if stopped == 0 || deferredItems == 0 || api.worstCase <= credits-unitCost {
					t.Errorf("seed %d, answers lost: %v: %d batches stopped, %d items left, %d credits spent or possible; want it to stop within %d of %d",
						seed, lossy, stopped, deferredItems, api.worstCase, unitCost, credits)
				}
			})
		}
	}
}

// TestBudgetUsedUp: what a run has cost before it was interrupted counts.
func TestBudgetUsedUp(t *testing.T) {
	unitCost := lushatest.Companies(1).Ceiling()
	for _, c := range []struct{ spent, asked int64 }{{0, 3}, {unitCost, 2}, {2*unitCost + 1, 0}, {3 * unitCost, 0}, {4 * unitCost, 0}} {
		api := &cappedAPI{random: rand.New(rand.NewPCG(1, 1)), lossy: true}
		var asked int64
		ask := fetcherFunc(func(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
			asked += int64(len(b.Items))
			reply, err := api.Fetch(ctx, b)
			reply.Calls[0].Outcome, reply.Calls[0].Charge = pipeline.InDoubt, pipeline.Charge{}
			return reply, err
		})
		synctest.Test(t, func(t *testing.T) {
			reply, err := Budget(ask, BudgetConfig{Credits: 3 * unitCost, Spent: c.spent}).Fetch(t.Context(), lushatest.Companies(3))
			var stop *pipeline.Stop
			if want := c.asked < 3; errors.As(err, &stop) != want || len(reply.Items) != 3 {
				t.Errorf("Fetch() with %d of %d spent = %d items, %v, want 3, and a stop: %v", c.spent, 3*unitCost, len(reply.Items), err, want)
			}
		})
		if asked != c.asked {
			t.Errorf("with %d of %d spent, %d of 3 were asked about, want %d", c.spent, 3*unitCost, asked, c.asked)
		}
	}
}

// TestBudgetExceeded: a charge above what the price list allows shows that no
// budget can be kept.
func TestBudgetExceeded(t *testing.T) {
	b := lushatest.Companies(1)
	calls := 0
	g := Budget(fetcherFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		calls++
		return &pipeline.Reply{Items: itemReplies(b, schema.Enriched, "", "x"), Calls: []pipeline.Call{{
			ID: "x", Outcome: pipeline.Charged, Ceiling: b.Ceiling(), Charge: pipeline.Charge{Known: true, Credits: b.Ceiling() + 1},
		}}}, nil
	}), BudgetConfig{Credits: 1 << 40})
	for range 2 {
		reply, err := g.Fetch(t.Context(), b)
		var stop *pipeline.Stop
		if !errors.As(err, &stop) || stop.Kind != pipeline.StopBudget || len(reply.Items) != 1 {
			t.Errorf("Fetch() = %+v, %v, want a stop for the budget", reply, err)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls, want none after the one that cost too much", calls)
	}
}

// randomAPI charges what it likes, up to what a call can cost, and keeps the bill.
type randomAPI struct {
	t   *testing.T
	cap int64

	mu        sync.Mutex
	random    *rand.Rand
	billed    int64
	worstCase int64 // what the caller must reckon with: charges, and ceilings of calls that are under way or in doubt
	inFlight  int
}

// Fetch makes one or two attempts; only the last one can be charged.
func (v *randomAPI) Fetch(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	ceiling := b.Ceiling()
	v.mu.Lock()
	v.inFlight++
	if v.worstCase += ceiling; v.worstCase > v.cap {
		v.t.Errorf("a call about %d entities takes the worst case to %d, want at most %d", len(b.Items), v.worstCase, v.cap)
	}
	latency := time.Duration(v.random.IntN(1000)) * time.Millisecond
	result := v.random.IntN(10)
	charge := v.random.Int64N(ceiling + 1)
	if v.random.IntN(2) == 0 {
		charge = ceiling
	}
	v.mu.Unlock()
	time.Sleep(latency) // of the test's own clock

	v.mu.Lock()
	defer v.mu.Unlock()
	v.inFlight--
	call := pipeline.Call{ID: b.ID, Entities: len(b.Items), Ceiling: ceiling, Outcome: pipeline.Charged}
	reply := &pipeline.Reply{Items: itemReplies(b, schema.Enriched, "", b.ID)}
	switch result {
	case 0: // refused, then answered
		reply.Calls = append(reply.Calls, pipeline.Call{Ceiling: ceiling, Outcome: pipeline.NotCharged})
	case 1:
		call.Outcome, charge = pipeline.NotCharged, 0
	case 2:
		call.Outcome = pipeline.InDoubt // billed or not, the caller cannot know
	case 3: // not sent at all
		v.worstCase -= ceiling
		return &pipeline.Reply{Items: itemReplies(b, schema.Deferred, "not sent", "")}, nil
	}
	if call.Outcome == pipeline.Charged && v.random.IntN(10) > 0 {
		call.Charge = pipeline.Charge{Known: true, Credits: charge}
	}
	v.billed += charge
	if call.Charge.Known || call.Outcome == pipeline.NotCharged {
		v.worstCase += charge - ceiling
	}
	reply.Calls = append(reply.Calls, call)
	return reply, nil
}

// TestBudgetKept: however calls interleave and whatever they cost, charges plus
// reservations never exceed the cap, every item gets a status, and the budget turns an
// item away only if not even one entity fits.
func TestBudgetKept(t *testing.T) {
	stops := 0
	for seed := range uint64(500) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			price := 1 + random.Int64N(4)
			q := &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: []string{"riskNews", "peopleNews"}[:1+random.IntN(2)], MaxResults: 1 + random.IntN(5)}, Price: price}
			unitCost := q.Ceiling(1)
			spent := random.Int64N(3 * unitCost)
			v := &randomAPI{t: t, random: random, worstCase: spent, cap: spent + 1 + random.Int64N(300*unitCost)}
			budget := Budget(v, BudgetConfig{Credits: v.cap, Spent: spent})

			batches := make(chan *pipeline.Batch, 40)
			for range cap(batches) {
				batches <- &pipeline.Batch{ID: "b", Query: q, Items: make([]pipeline.Item, 1+random.IntN(20))}
			}
			close(batches)
			turnedAway := false
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for b := range batches {
						reply, err := budget.Fetch(t.Context(), b)
						if len(reply.Items) != len(b.Items) {
							t.Errorf("Fetch() = %d fates of %d items", len(reply.Items), len(b.Items))
						}
						if err == nil {
							continue
						}
						var stop *pipeline.Stop
						if !errors.As(err, &stop) || stop.Kind != pipeline.StopBudget || !stop.Exhausted || !strings.Contains(stop.Advice, "--max-credits") {
							t.Errorf("Fetch() = %+v, want a stop for the budget that says that it falls short, and what to do", err)
						}
						if reply.Items[len(reply.Items)-1].Status != schema.Deferred {
							t.Errorf("Fetch() stopped, and the last item is %s, want %s", reply.Items[len(reply.Items)-1].Status, schema.Deferred)
						}
						v.mu.Lock()
						if left := v.cap - v.worstCase; left >= unitCost || v.inFlight > 0 {
							t.Errorf("Fetch() stopped with %d left for entities that cost %d at the most, and %d calls in flight", left, unitCost, v.inFlight)
						}
						turnedAway = true
						v.mu.Unlock()
						return
					}
				})
			}
			wg.Wait()
			if v.billed > v.cap-spent {
				t.Errorf("billed %d, want at most %d", v.billed, v.cap-spent)
			}
			if turnedAway {
				stops++
			}
		})
	}
	if stops < 100 || stops > 499 {
		t.Errorf("%d of 500 runs stopped for their budget, want both kinds", stops)
	}
}
