package signals

import (
	"context"
	"fmt"
	"sync"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// BudgetConfig is what a run may cost.
type BudgetConfig struct {
	Credits int64 // the cap
	Spent   int64 // what the run's earlier calls cost at the most
	Price   int64 // credits of one event; 0 means 1
}

// Budgeter keeps what a run costs at the most below a cap. Before a call, the
// most it can cost is set aside; its answer says what it did cost, and the rest
// is free again. A call whose charge is not known keeps all of it. It may be
// used concurrently.
type Budgeter struct {
	inner pipeline.Fetcher
	cfg   BudgetConfig

	mu     sync.Mutex
	spent  int64 // by calls that came back
	aside  int64 // for calls that did not
	excess *pipeline.Stop
	wake   chan struct{}
}

// Budget wraps a fetcher that accounts for every attempt it makes. A batch that
// does not fit is asked in smaller ones, which may wait for calls in flight to
// give back what they do not cost; when not even one entity fits, the run ends.
func Budget(inner pipeline.Fetcher, cfg BudgetConfig) *Budgeter {
	cfg.Price = max(cfg.Price, 1)
	return &Budgeter{inner: inner, cfg: cfg, spent: cfg.Spent, wake: make(chan struct{})}
}

// Fetch asks as much of the batch as fits. What it leaves is Deferred, and the
// error is then a *pipeline.Stop.
func (g *Budgeter) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	all := &pipeline.Reply{}
	for from, part := 0, 0; from < len(b.Items); part++ {
		one := (&pipeline.Batch{Query: b.Query, Items: b.Items[:1]}).Ceiling(g.cfg.Price)
		n, stop := g.take(ctx, len(b.Items)-from, one)
		if stop != nil {
			rest := &pipeline.Batch{Items: b.Items[from:]}
			all.Items = append(all.Items, fates(rest, schema.Deferred, stop.Reason, "")...)
			return all, stop
		}
		piece := b
		if n < len(b.Items) {
			piece = b.Part(part, from, from+n)
		}
		reply, err := g.inner.Fetch(ctx, piece)
		stop = g.settle(int64(n)*one, reply)
		if reply == nil || len(reply.Items) != n {
			filled := &pipeline.Reply{Items: fates(piece, schema.Deferred, "not asked", "")}
			if reply != nil {
				filled.Calls, filled.Strays = reply.Calls, reply.Strays
			}
			reply = filled
		}
		all.Calls = append(all.Calls, reply.Calls...)
		all.Items = append(all.Items, reply.Items...)
		all.Strays = append(all.Strays, reply.Strays...)
		from += n
		if err == nil && stop != nil {
			err = stop
		}
		if err != nil {
			rest := &pipeline.Batch{Items: b.Items[from:]}
			all.Items = append(all.Items, fates(rest, schema.Deferred, err.Error(), "")...)
			return all, err
		}
	}
	return all, nil
}

// take sets aside the cost of as many entities as fit, at most n.
func (g *Budgeter) take(ctx context.Context, n int, one int64) (int, *pipeline.Stop) {
	for {
		g.mu.Lock()
		if g.excess != nil {
			g.mu.Unlock()
			return 0, g.excess
		}
		fit := (g.cfg.Credits - g.spent - g.aside) / one
		switch {
		case fit >= int64(n):
		case g.aside > 0: // what is on its way may give something back
			wake := g.wake
			g.mu.Unlock()
			select {
			case <-wake:
			case <-ctx.Done():
				return 0, cancelled()
			}
			continue
		case fit <= 0:
			stop := &pipeline.Stop{
				Kind: pipeline.StopBudget,
				Reason: fmt.Sprintf("the budget is used up: of %d credits, %d are or may be spent, and one more entity can cost %d",
					g.cfg.Credits, g.spent, one),
				Advice: fmt.Sprintf("run the same command again with --max-credits %d or more, or with a lower --max-results", one),
				Price:  g.cfg.Price,
			}
			g.mu.Unlock()
			return 0, stop
		default:
			n = int(fit)
		}
		g.aside += int64(n) * one
		g.mu.Unlock()
		return n, nil
	}
}

// settle books what the calls cost and gives the rest back.
func (g *Budgeter) settle(aside int64, reply *pipeline.Reply) *pipeline.Stop {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.aside -= aside
	if reply != nil {
		for i := range reply.Calls {
			c := &reply.Calls[i]
			g.spent += mostOf(c)
			if c.Outcome == pipeline.Charged && c.Charge.Known && c.Charge.Credits > c.Ceiling && g.excess == nil {
				g.excess = &pipeline.Stop{
					Kind:   pipeline.StopBudget,
					Reason: fmt.Sprintf("call %s cost %d credits, more than the %d it could cost by the price list: no budget can be kept", c.ID, c.Charge.Credits, c.Ceiling),
					Advice: "compare the account's prices, then run again",
				}
			}
		}
	}
	close(g.wake)
	g.wake = make(chan struct{})
	return g.excess
}

// mostOf is the most a call can have cost.
func mostOf(c *pipeline.Call) int64 {
	switch {
	case c.Outcome == pipeline.NotCharged:
		return 0
	case c.Outcome == pipeline.Charged && c.Charge.Known:
		return c.Charge.Credits
	}
	return max(c.Ceiling, c.Charge.Credits)
}
