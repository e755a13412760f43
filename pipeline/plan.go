package pipeline

import (
	"context"
	"slices"

	"github.com/siglake/siglake/schema"
)

// Plan is what a run would ask, found out without asking.
type Plan struct {
	Accounts         AccountTotals  // lines whose fate needs no call; the rest of Lines are in Asks
	Queries          []PlannedQuery // in the order in which each is asked first
	RepurchasedPairs int64          // pairs that were bought the same day with a lower cap, a shorter window or another filter
}

// PlannedQuery is what one question is asked about.
type PlannedQuery struct {
	Query      *Query
	Entities   int64
	Unresolved int64 // of the entities: those whose ids are not known, and so whether the API knows them
	Calls      int64
	Ceiling    int64 // credits that all calls can cost

	PriorCoverage map[string]PriorCoverage // by signal type
}

// PriorCoverage is what is known of the entities of one question and a type, from
// calls with a lower cap.
type PriorCoverage struct {
	Capped       int64 // entities of which there was as much as the cap let through
	CappedEvents int64 // of those, so many events together
	Empty        int64 // entities of which there was nothing
}

// Entities is how many entities would be asked about. Searches for ids by which
// others are asked do not count.
func (p *Plan) Entities() (n int64) {
	for _, a := range p.Queries {
		if !p.isPrerequisite(a) {
			n += a.Entities
		}
	}
	return n
}

// isPrerequisite reports whether an ask only finds out ids for others.
func (p *Plan) isPrerequisite(a PlannedQuery) bool {
	return a.Query.Service == Search && slices.ContainsFunc(p.Queries, func(o PlannedQuery) bool { return o.Query.Service != Search })
}

// Calls is how many calls would be made if none had to be repeated or split.
func (p *Plan) Calls() (n int64) {
	for _, a := range p.Queries {
		n += a.Calls
	}
	return n
}

// Pairs is how many pairs of entity and signal type would be asked about.
func (p *Plan) Pairs() (n int64) {
	for _, a := range p.Queries {
		if !p.isPrerequisite(a) {
			n += a.Entities * int64(len(a.Query.Signals))
		}
	}
	return n
}

// Ceiling is the most that all calls together can cost in credits, by the worst
// reading of the price list.
func (p *Plan) Ceiling() (credits int64) {
	for _, a := range p.Queries {
		credits += a.Ceiling
	}
	return credits
}

// MaxUnitCost is the most that one of the entities can cost.
func (p *Plan) MaxUnitCost() (credits int64) {
	for _, a := range p.Queries {
		credits = max(credits, a.Query.Ceiling(1))
	}
	return credits
}

// MinUnitCost is the least that one of the entities may need left of a budget.
func (p *Plan) MinUnitCost() (credits int64) {
	for _, a := range p.Queries {
		if unit := a.Query.Ceiling(1); credits == 0 || unit < credits {
			credits = unit
		}
	}
	return credits
}

// addSearch adds the calls that find out the ids of so many lines.
func (p *Plan) addSearch(q *Query, lines int64, size int) {
	if lines == 0 {
		return
	}
	calls := (lines + int64(size) - 1) / int64(size)
	ceiling := lines / int64(size) * q.Ceiling(size)
	if rest := int(lines % int64(size)); rest > 0 {
		ceiling += q.Ceiling(rest)
	}
	p.Queries = append(p.Queries, PlannedQuery{Query: q, Entities: lines, Calls: calls, Ceiling: ceiling})
}

// Plan reads the source to its end, as Run would, and counts what Run would ask
// about; it needs neither Fetcher nor Sink. The batches are those that Run would
// make: both take them from the same place.
func (r *Runner) Plan(ctx context.Context, src Source) (*Plan, error) {
	p := &Plan{Accounts: AccountTotals{ByStatus: map[schema.Status]int64{}}}
	index := map[*Query]int{}
	batcher := r.newBatcher(nil)
	batcher.planning = true
	for item := range batcher.items(ctx, src.Accounts(ctx)) {
		for _, l := range item.lines {
			p.Accounts.addLine(l)
		}
		if item.batch == nil {
			continue
		}
		i, ok := index[item.batch.Query]
		if !ok {
			i = len(p.Queries)
			index[item.batch.Query] = i
			p.Queries = append(p.Queries, PlannedQuery{Query: item.batch.Query})
		}
		p.Queries[i].Calls++
		p.Queries[i].Entities += int64(len(item.batch.Items))
		p.Queries[i].Ceiling += item.batch.Ceiling()
		for n := range item.batch.Items {
			if item.batch.Items[n].EntityID() == "" {
				p.Queries[i].Unresolved++
			}
		}
		p.Accounts.Lines += int64(len(item.batch.Items))
	}
	for _, o := range []schema.Object{schema.Contact, schema.Company} {
		p.addSearch(r.Searches[o], batcher.unsearched[string(o)], r.batchSize())
		p.addSearch(r.Searches[o], batcher.unsearched[string(o)+" again"], min(r.batchSize(), retryBatchSize))
	}
	p.RepurchasedPairs = batcher.repurchasedPairs
	for i := range p.Queries {
		p.Queries[i].PriorCoverage = batcher.priorCoverage[p.Queries[i].Query]
	}
	if batcher.err == nil {
		batcher.err = ctx.Err() // recorded answers may not have been read
	}
	return p, batcher.err
}
