package pipeline

import (
	"context"
	"slices"

	"github.com/siglake/siglake/schema"
)

// Plan is what a run would request, determined without a request.
type Plan struct {
	// Lines with a status that needs no call; the other lines are in Queries.
	Accounts AccountTotals
	Queries  []PlannedQuery // in the order of their first batches
	// Entities that would be requested, by the identifier of their line.
	Identifiers map[schema.Identifier]int64
	// Pairs that were bought the same day with a lower cap, a shorter window or
	// another filter.
	RepurchasedPairs int64
	// Undecided calls in doubt that concern lines of the list, in the order of those lines.
	InDoubt []PlannedInDoubt
	// How often an entity occurs in more than one call, because there are several questions about it.
	repeated int64
}

// PlannedInDoubt is an undecided call that may have been charged for what a run would request.
type PlannedInDoubt struct {
	Call *InDoubtCall
	// Lines that the run holds until the call is decided.
	Held int64
	// Lines that the run requests nevertheless, because the call is of another day or the run is a refresh.
	Repeated int64
	// Of those, lines that are counted under no earlier call: their sum counts each line once.
	RepeatedFirst int64
}

// PlannedQuery is the planned use of one query.
type PlannedQuery struct {
	Query    *Query
	Entities int64
	// Entities without a known id: the API may not know them.
	Unresolved int64
	Calls      int64
	Ceiling    int64 // maximum cost of all calls, in credits

	PriorCoverage map[string]PriorCoverage // by signal type
}

// PriorCoverage is what earlier calls with a lower cap returned about the entities of
// one query and signal type.
type PriorCoverage struct {
	Capped       int64 // entities that reached the cap
	CappedEvents int64 // events of those together
	Empty        int64 // entities without an event
}

// Entities is the number of entities that would be requested, not counting searches for
// ids that other queries need.
func (p *Plan) Entities() (n int64) {
	for _, a := range p.Queries {
		if !p.isPrerequisite(a) {
			n += a.Entities
		}
	}
	return n - p.repeated
}

// isPrerequisite reports whether a query only searches for ids that others need.
func (p *Plan) isPrerequisite(a PlannedQuery) bool {
	return a.Query.Service() == Search && slices.ContainsFunc(p.Queries, func(o PlannedQuery) bool { return o.Query.Service() != Search })
}

// Calls is the number of calls, if none has to be repeated or split.
func (p *Plan) Calls() (n int64) {
	for _, a := range p.Queries {
		n += a.Calls
	}
	return n
}

// Pairs is the number of pairs of entity and signal type that would be requested.
func (p *Plan) Pairs() (n int64) {
	for _, a := range p.Queries {
		if !p.isPrerequisite(a) {
			n += a.Entities * int64(len(a.Query.ResultTypes()))
		}
	}
	return n
}

// Ceiling is the maximum cost of all calls together, in credits, by the worst reading of
// the price list.
func (p *Plan) Ceiling() (credits int64) {
	for _, a := range p.Queries {
		credits += a.Ceiling
	}
	return credits
}

// MaxUnitCost is the maximum cost of one entity, over all queries.
func (p *Plan) MaxUnitCost() (credits int64) {
	for _, a := range p.Queries {
		credits = max(credits, a.Query.Ceiling(1))
	}
	return credits
}

// MinUnitCost is the least budget with which one entity can be requested.
func (p *Plan) MinUnitCost() (credits int64) {
	for _, a := range p.Queries {
		if unit := a.Query.Ceiling(1); credits == 0 || unit < credits {
			credits = unit
		}
	}
	return credits
}

// addSearch adds the calls that search for the ids of a number of lines.
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

// Plan reads the source to its end, as Run would, and counts what Run would request. It
// needs neither Fetcher nor Sink. The batches are those of Run: both use the same batcher.
func (r *Runner) Plan(ctx context.Context, src Source) (*Plan, error) {
	p := &Plan{Accounts: AccountTotals{ByStatus: map[schema.Status]int64{}}, Identifiers: map[schema.Identifier]int64{}}
	index := map[*Query]int{}
	batcher := r.newBatcher(nil)
	batcher.planning = true
	var divided rowSet
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
			// A line whose signal types are divided is alone in its batch, and takes further calls.
			if left := item.batch.Items[n].TypesLeft; left > 0 {
				all := len(item.batch.Query.ResultTypes())
				p.Queries[i].Calls += int64((all - 1) / (all - left))
			}
			if item.batch.Items[n].EntityID() == "" {
				p.Queries[i].Unresolved++
			}
			account, part := &item.batch.Items[n].Account, item.batch.Items[n].Part
			if part && divided.has(account.Row) {
				p.repeated++
				continue
			}
			p.Identifiers[account.Identifier()]++
			if part {
				divided.add(account.Row)
			}
		}
		p.Accounts.Lines += int64(len(item.batch.Items))
	}
	for _, o := range []schema.Object{schema.Contact, schema.Company} {
		p.addSearch(r.Searches[o], batcher.unsearched[string(o)], r.batchSize())
		p.addSearch(r.Searches[o], batcher.unsearched[string(o)+" again"], min(r.batchSize(), retryBatchSize))
	}
	p.Accounts.Lines -= p.repeated
	p.RepurchasedPairs, p.InDoubt = batcher.repurchasedPairs, batcher.inDoubt
	for i := range p.Queries {
		p.Queries[i].PriorCoverage = batcher.priorCoverage[p.Queries[i].Query]
	}
	if batcher.err == nil {
		batcher.err = ctx.Err() // recorded answers may not have been read
	}
	return p, batcher.err
}
