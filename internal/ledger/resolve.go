package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Resolve says what a run found for an account's identifier: by a search, or by V2 signals
// that were requested by it, since their answers state the id.
func (p *Purchases) Resolve(ctx context.Context, a *schema.Account) pipeline.Resolution {
	found := p.resolve(ctx, a, p.includeIDs)
	if p.passes != nil && found.Entity.ID == "" && found.Status == "" {
		found.RepeatedInDoubt = p.searchesPassedOver(ctx, pipeline.IdentityOf(a))
	}
	return found
}

// searchesPassedOver are the undecided searches for an identifier that a refresh repeats: those that
// no later search answers.
func (p *Purchases) searchesPassedOver(ctx context.Context, key pipeline.Identity) (repeated []*pipeline.InDoubtCall) {
	calls := p.state.settledCalls(key, func(c *Call) bool { return c.Query.Service() == pipeline.Search })
	slices.SortFunc(calls, func(a, b *Call) int { return a.number - b.number })
	for _, c := range calls {
		switch {
		case c.InDoubt() && p.passes(c.Run):
			repeated = append(repeated, inDoubtCall(c))
		case c.Outcome == pipeline.Charged || c.Outcome == pipeline.NotCharged:
			if _, ok := p.archive.cachedResolution(ctx, c, key); ok {
				repeated = nil
			}
		}
	}
	return repeated
}

// resolve is Resolve by the runs that include reports.
func (p *Purchases) resolve(ctx context.Context, a *schema.Account, include func(*Run) bool) (found pipeline.Resolution) {
	key := pipeline.IdentityOf(a)
	if p.state.past.isValid(p.now().Add(-max(p.ttl.Positive, p.ttl.Negative))) {
		p.ledger.needPast(ctx)
	}
	calls := p.state.settledCalls(key, func(c *Call) bool {
		return include(c.Run) && (c.Query.Service() == pipeline.Search || c.Query.Service() == pipeline.Signals && !c.ByID)
	})
	slices.SortFunc(calls, func(a, b *Call) int { return b.number - a.number }) // newest first
	for _, c := range calls {
		age, searched := p.now().Sub(c.Time), c.Query.Service() == pipeline.Search
		if c.Run == p.run { // what a run finds is valid until it ends
			age = 0
		}
		switch {
		case c.Outcome == pipeline.InDoubt && !searched:
		case c.Outcome == pipeline.InDoubt && c.Decision == "":
			found.Status, found.InDoubt = schema.InDoubt, inDoubtCall(c)
			found.Reason = fmt.Sprintf("the search %s may have been charged and its answer is lost; see siglake held", found.InDoubt.Name())
			return found
		case c.Outcome == pipeline.InDoubt && c.Decision == WriteOff:
			if age < p.ttl.Negative {
				found.Status, found.InDoubt = schema.WrittenOff, inDoubtCall(c)
				found.Reason = fmt.Sprintf("the search %s was accepted as paid and lost; siglake repeats it from %s on", found.InDoubt.Name(), c.Time.Add(p.ttl.Negative).UTC().Format(time.DateOnly))
				return found
			}
		case c.Outcome == pipeline.InDoubt:
			found.RiskOfDoubleCharge = true
		case c.Outcome == pipeline.Charged || c.Outcome == pipeline.NotCharged:
			m, ok := p.archive.cachedResolution(ctx, c, key)
			switch {
			case !ok:
			case m.entity.ID != "" && age < p.ttl.Positive:
				found.Entity, found.Call, found.RiskOfDoubleCharge = m.entity, c.Run.ID+"/"+c.ID, false
				return found
			case m.entity.ID == "" && searched && age < p.ttl.Negative:
				found.Status, found.Call, found.RiskOfDoubleCharge = m.status, c.Run.ID+"/"+c.ID, false
				found.Reason = fmt.Sprintf("%s, according to the search %s of %s; siglake repeats it from %s on",
					cmp.Or(m.reason, "not known to the API"), found.Call, c.Time.UTC().Format(time.DateOnly), c.Time.Add(p.ttl.Negative).UTC().Format(time.DateOnly))
				return found
			case searched: // it has expired, and so have those before it
				return pipeline.Resolution{RiskOfDoubleCharge: found.RiskOfDoubleCharge}
			}
		}
	}
	return found
}

func inDoubtCall(c *Call) *pipeline.InDoubtCall {
	return &pipeline.InDoubtCall{
		Run: c.Run.ID, Call: c.ID, Sent: c.Time, Problem: c.Problem, Signals: c.Query.ResultTypes(), MaxCredits: c.Ceiling,
		WrittenOff: c.Decision == WriteOff, Decision: string(c.Decision),
	}
}

// InDoubtCall describes the call to the lines that wait for it.
func (c *Call) InDoubtCall() *pipeline.InDoubtCall { return inDoubtCall(c) }
