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
	return &Budgeter{inner: inner, cfg: cfg, spent: cfg.Spent, wake: make(chan struct{})}
}

// Fetch asks as much of the batch as fits. What it leaves is Deferred, and the
// error is then a *pipeline.Stop.
func (g *Budgeter) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	all := &pipeline.Reply{}
	for from, part := 0, 0; from < len(b.Items); part++ {
		n, most, stop := g.take(ctx, b, from)
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
		stop = g.settle(most, reply)
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

// take sets aside the most that as many of the batch's items as fit can cost,
// from one on.
func (g *Budgeter) take(ctx context.Context, b *pipeline.Batch, from int) (n int, most int64, _ *pipeline.Stop) {
	rest := b.Part(0, from, len(b.Items))
	for {
		g.mu.Lock()
		if g.excess != nil {
			g.mu.Unlock()
			return 0, 0, g.excess
		}
		n, most = fit(rest, g.cfg.Credits-g.spent-g.aside)
		switch {
		case n == len(rest.Items):
		case g.aside > 0: // what is on its way may give something back
			wake := g.wake
			g.mu.Unlock()
			select {
			case <-wake:
			case <-ctx.Done():
				return 0, 0, cancelled()
			}
			continue
		case n == 0:
			stop := g.short(b.Part(0, from, from+1))
			g.mu.Unlock()
			return 0, 0, stop
		}
		g.aside += most
		g.mu.Unlock()
		return n, most, nil
	}
}

// short ends a run that cannot pay for one more entity, or page.
func (g *Budgeter) short(one *pipeline.Batch) *pipeline.Stop {
	what, advice := "entity", ""
	switch {
	case one.Query.Service.Paged():
		what = "page"
	case one.Query.Service == pipeline.Signals:
		advice = ", or with a lower --max-results"
	}
	stop := &pipeline.Stop{
		Kind: pipeline.StopBudget,
		Reason: fmt.Sprintf("the budget is used up: of %d credits, %d are or may be spent, and one more %s can cost %d",
			g.cfg.Credits, g.spent, what, one.Ceiling()),
		Advice: fmt.Sprintf("run the same command again with --max-credits %d or more%s", one.Ceiling(), advice),
		Short:  true,
	}
	if one.Query.Service == pipeline.Search { // what is asked by the ids comes on top
		stop.Advice = "run the same command again with a higher --max-credits"
	}
	return stop
}

// fit is how many items of a batch one call may ask about with so many credits,
// and the most that it can cost.
func fit(b *pipeline.Batch, credits int64) (n int, most int64) {
	if most = b.Ceiling(); most <= credits {
		return len(b.Items), most
	}
	if b.Query.Service.Paged() { // pages are asked one by one
		return 0, 0
	}
	n = b.Query.Fit(len(b.Items), credits)
	return n, b.Query.Ceiling(n)
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
