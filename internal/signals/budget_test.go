package signals

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// vendor charges what it likes, up to what a call can cost, and keeps the bill.
type vendor struct {
	t     *testing.T
	price int64
	cap   int64

	mu       sync.Mutex
	dice     *rand.Rand
	billed   int64
	worst    int64 // what the caller must reckon with: charges, and ceilings of calls that are under way or in doubt
	inFlight int
}

// Fetch makes one or two attempts; only the last one can be charged.
func (v *vendor) Fetch(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	ceiling := b.Ceiling(v.price)
	v.mu.Lock()
	v.inFlight++
	if v.worst += ceiling; v.worst > v.cap {
		v.t.Errorf("a call about %d entities takes the worst case to %d, want at most %d", len(b.Items), v.worst, v.cap)
	}
	latency := time.Duration(v.dice.IntN(1000)) * time.Millisecond
	how := v.dice.IntN(10)
	charge := v.dice.Int64N(ceiling + 1)
	if v.dice.IntN(2) == 0 {
		charge = ceiling
	}
	v.mu.Unlock()
	time.Sleep(latency) // of the test's own clock

	v.mu.Lock()
	defer v.mu.Unlock()
	v.inFlight--
	call := pipeline.Call{ID: b.ID, Entities: len(b.Items), Ceiling: ceiling, Outcome: pipeline.Charged}
	reply := &pipeline.Reply{Items: fates(b, schema.Enriched, "", b.ID)}
	switch how {
	case 0: // refused, then answered
		reply.Calls = append(reply.Calls, pipeline.Call{Ceiling: ceiling, Outcome: pipeline.NotCharged})
	case 1:
		call.Outcome, charge = pipeline.NotCharged, 0
	case 2:
		call.Outcome = pipeline.Ambiguous // billed or not, the caller cannot know
	case 3: // not sent at all
		v.worst -= ceiling
		return &pipeline.Reply{Items: fates(b, schema.Deferred, "not sent", "")}, nil
	}
	if call.Outcome == pipeline.Charged && v.dice.IntN(10) > 0 {
		call.Charge = pipeline.Charge{Known: true, Credits: charge}
	}
	v.billed += charge
	if call.Charge.Known || call.Outcome == pipeline.NotCharged {
		v.worst += charge - ceiling
	}
	reply.Calls = append(reply.Calls, call)
	return reply, nil
}

// TestBudgetKept: however calls interleave and whatever they cost, charges plus
// what is possible never exceed the cap, every item gets a fate, and whoever is
// turned away is so because not even one entity fits.
func TestBudgetKept(t *testing.T) {
	stops := 0
	for seed := range uint64(500) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 2))
			price := 1 + dice.Int64N(4)
			q := &pipeline.Query{Object: schema.Company, Signals: []string{"riskNews", "peopleNews"}[:1+dice.IntN(2)], MaxResults: 1 + dice.IntN(5)}
			one := (&pipeline.Batch{Query: q, Items: make([]pipeline.Item, 1)}).Ceiling(price)
			spent := dice.Int64N(3 * one)
			v := &vendor{t: t, price: price, dice: dice, worst: spent, cap: spent + 1 + dice.Int64N(300*one)}
			budget := Budget(v, BudgetConfig{Credits: v.cap, Spent: spent, Price: price})

			batches := make(chan *pipeline.Batch, 40)
			for range cap(batches) {
				batches <- &pipeline.Batch{ID: "b", Query: q, Items: make([]pipeline.Item, 1+dice.IntN(20))}
			}
			close(batches)
			turnedAway := false
			var all sync.WaitGroup
			for range 16 {
				all.Go(func() {
					for b := range batches {
						reply, err := budget.Fetch(t.Context(), b)
						if len(reply.Items) != len(b.Items) {
							t.Errorf("Fetch() = %d fates of %d items", len(reply.Items), len(b.Items))
						}
						if err == nil {
							continue
						}
						var stop *pipeline.Stop
						if !errors.As(err, &stop) || stop.Kind != pipeline.StopBudget || stop.Price != price || !strings.Contains(stop.Advice, "--max-credits") {
							t.Errorf("Fetch() = %+v, want a stop for the budget with the price and what to do", err)
						}
						if reply.Items[len(reply.Items)-1].Status != schema.Deferred {
							t.Errorf("Fetch() stopped, and the last item is %s, want %s", reply.Items[len(reply.Items)-1].Status, schema.Deferred)
						}
						v.mu.Lock()
						if left := v.cap - v.worst; left >= one || v.inFlight > 0 {
							t.Errorf("Fetch() stopped with %d left for entities that cost %d at the most, and %d calls in flight", left, one, v.inFlight)
						}
						turnedAway = true
						v.mu.Unlock()
						return
					}
				})
			}
			all.Wait()
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

type fetcher func(context.Context, *pipeline.Batch) (*pipeline.Reply, error)

func (f fetcher) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	return f(ctx, b)
}

// TestBudgetExcess: a vendor that charges more than its price list allows is
// asked no more.
func TestBudgetExcess(t *testing.T) {
	calls := 0
	dear := fetcher(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		calls++
		return &pipeline.Reply{
			Items: fates(b, schema.Enriched, "", "c"),
			Calls: []pipeline.Call{{ID: "c", Ceiling: b.Ceiling(1), Outcome: pipeline.Charged, Charge: pipeline.Charge{Known: true, Credits: b.Ceiling(1) + 1}}},
		}, nil
	})
	budget := Budget(dear, BudgetConfig{Credits: 1000})
	b := &pipeline.Batch{ID: "b", Query: &pipeline.Query{Signals: []string{"riskNews"}, MaxResults: 2}, Items: make([]pipeline.Item, 3)}
	for range 3 {
		var stop *pipeline.Stop
		if _, err := budget.Fetch(t.Context(), b); !errors.As(err, &stop) || !strings.Contains(stop.Reason, "7 credits") {
			t.Errorf("Fetch() = %v, want a stop that says 7 credits", err)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls, want one", calls)
	}
}
