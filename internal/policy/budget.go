package policy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// BudgetConfig bounds the cost of a run.
type BudgetConfig struct {
	Credits int64 // the cap
	Spent   int64 // the highest cost of the run's earlier calls
	// Cap names the cap if it is not the run's own, which is --max-credits, and RetryAt is when it
	// allows more: CapCredits in all.
	Cap        string
	CapCredits int64
	RetryAt    time.Time
}

// Budgeter keeps the highest possible cost of a run below a cap. It reserves the
// ceiling of each call before the call and replaces the reservation by the charge
// once the answer states it. A call with an unknown charge keeps its
// reservation. It may be used concurrently.
type Budgeter struct {
	inner pipeline.Fetcher
	cfg   BudgetConfig

	mu       sync.Mutex
	spent    int64 // by calls that have returned
	reserved int64 // for calls in flight
	overrun  *pipeline.Stop
	wake     chan struct{}
}

// Budget wraps a fetcher that lists every attempt in its replies. It sends a batch
// that does not fit in parts, which may wait for calls in flight to release what
// they do not cost; when not even one entity fits, the run ends.
func Budget(inner pipeline.Fetcher, cfg BudgetConfig) *Budgeter {
	return &Budgeter{inner: inner, cfg: cfg, spent: cfg.Spent, wake: make(chan struct{})}
}

// Fetch sends as much of the batch as fits. The rest is Deferred, and the error
// is then a *pipeline.Stop.
func (g *Budgeter) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	merged := merging{batch: b}
	for number := 0; merged.sent < len(b.Items); number++ {
		from := merged.sent
		n, ceiling, stop := g.reserve(ctx, b, from)
		if stop != nil {
			return merged.deferRest(stop.Reason), stop
		}
		part := b
		if n < len(b.Items) {
			part = b.SubBatch(number, from, from+n)
		}
		reply, err := g.inner.Fetch(ctx, part)
		stop = g.settle(ceiling, reply)
		merged.add(reply, n)
		if err == nil && stop != nil {
			err = stop
		}
		if err != nil {
			return merged.deferRest(err.Error()), err
		}
	}
	return &merged.reply, nil
}

// reserve reserves the highest cost of as many of the batch's items as fit, from
// the given one on.
func (g *Budgeter) reserve(ctx context.Context, b *pipeline.Batch, from int) (n int, ceiling int64, _ *pipeline.Stop) {
	rest := b.SubBatch(0, from, len(b.Items))
	for {
		g.mu.Lock()
		if g.overrun != nil {
			g.mu.Unlock()
			return 0, 0, g.overrun
		}
		n, ceiling = fitItems(rest, g.cfg.Credits-g.spent-g.reserved)
		switch {
		case n == len(rest.Items):
		case g.reserved > 0: // calls in flight may release a part of their reservations
			wake := g.wake
			g.mu.Unlock()
			select {
			case <-wake:
			case <-ctx.Done():
				return 0, 0, interruptedStop()
			}
			continue
		case n == 0:
			stop := g.exhaustedStop(b.SubBatch(0, from, from+1))
			g.mu.Unlock()
			return 0, 0, stop
		}
		g.reserved += ceiling
		g.mu.Unlock()
		return n, ceiling, nil
	}
}

// exhaustedStop ends a run that cannot pay for one more entity, or page.
func (g *Budgeter) exhaustedStop(next *pipeline.Batch) *pipeline.Stop {
	unit, advice := "entity", ""
	switch {
	case next.Query.Service().IsPaged():
		unit = "page"
	case next.Query.Service() == pipeline.Signals:
		advice = ", or with a lower --max-results"
	}
	stop := &pipeline.Stop{
		Kind: pipeline.StopBudget,
		Reason: fmt.Sprintf("budget exhausted: %d of %s spent or reserved, and one more %s can cost %d",
			g.spent, pipeline.Exactly(g.cfg.Credits), unit, next.Ceiling()),
		Advice:    fmt.Sprintf("run the same command again with --max-credits %d or more%s", next.Ceiling(), advice),
		Exhausted: true,
		CapNeeded: next.Ceiling(), LowerResults: advice != "",
	}
	if g.cfg.Cap != "" {
		stop.CapNeeded = 0
		stop.Reason = fmt.Sprintf("%s leaves %s to this run, of which %d are spent or reserved, and one more %s can cost %d",
			g.cfg.Cap, pipeline.Exactly(g.cfg.Credits-g.cfg.Spent), g.spent-g.cfg.Spent, unit, next.Ceiling())
		stop.Advice, stop.RetryAt = "run the same command again when the cap begins anew, or with a higher cap", g.cfg.RetryAt
		if next.Ceiling() > g.cfg.CapCredits { // it will stop every run
			stop.Advice, stop.RetryAt = fmt.Sprintf("raise the cap to %d or more%s: as it is, it never allows one %s", next.Ceiling(), advice, unit), time.Time{}
		}
		return stop
	}
	if next.Query.Service() == pipeline.Search { // the calls that use the ids come on top
		stop.Advice, stop.CapNeeded = "run the same command again with a higher --max-credits", 0
	}
	return stop
}

// fitItems is how many items of a batch one call may hold with so many credits
// left, and the call's ceiling.
func fitItems(b *pipeline.Batch, credits int64) (n int, ceiling int64) {
	if ceiling = b.Ceiling(); ceiling <= credits {
		return len(b.Items), ceiling
	}
	if b.Query.Service().IsPaged() { // a page cannot be split
		return 0, 0
	}
	n = b.Query.MaxEntities(len(b.Items), credits)
	return n, b.Query.Ceiling(n)
}

// settle books the cost of the calls and releases the rest of the reservation.
func (g *Budgeter) settle(amount int64, reply *pipeline.Reply) *pipeline.Stop {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reserved -= amount
	for i := range reply.Calls {
		c := &reply.Calls[i]
		g.spent += c.Cost().Max
		if c.Outcome == pipeline.Charged && c.Charge.Known && c.Charge.Credits > c.Ceiling && g.overrun == nil {
			g.overrun = &pipeline.Stop{
				Kind:   pipeline.StopBudget,
				Reason: fmt.Sprintf("call %s cost %s, more than its maximum of %d by the price list: siglake cannot keep to a budget", c.ID, pipeline.Exactly(c.Charge.Credits), c.Ceiling),
				Advice: "compare the account's prices, then run again",
			}
		}
	}
	close(g.wake)
	g.wake = make(chan struct{})
	return g.overrun
}
