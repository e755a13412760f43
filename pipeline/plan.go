package pipeline

import (
	"context"
	"slices"

	"github.com/siglake/siglake/schema"
)

// Plan is what a run would ask, found out without asking.
type Plan struct {
	Accounts AccountTotals // lines whose fate needs no call; the rest of Lines are in Asks
	Asks     []Ask         // in the order in which each is asked first
	Again    int64         // pairs that were bought the same day with a lower cap, a shorter window or another filter
}

// Ask is what one question is asked about.
type Ask struct {
	Query    *Query
	Entities int64
	Unknown  int64 // of the entities: those whose ids are not known, and so whether the API knows them
	Calls    int64
	Ceiling  int64 // credits that all calls can cost

	reached map[string]Reached // by type
}

// Reached is what is known of the entities of one question and a type, from
// calls with a lower cap.
type Reached struct {
	Full   int64 // entities of which there was as much as the cap let through
	Events int64 // of those, so many events together
	Empty  int64 // entities of which there was nothing
}

// Entities is how many entities would be asked about. Searches for ids by which
// others are asked do not count.
func (p *Plan) Entities() (n int64) {
	for _, a := range p.Asks {
		if !p.ahead(a) {
			n += a.Entities
		}
	}
	return n
}

// ahead reports whether an ask only finds out ids for others.
func (p *Plan) ahead(a Ask) bool {
	return a.Query.Service == Search && slices.ContainsFunc(p.Asks, func(o Ask) bool { return o.Query.Service != Search })
}

// Calls is how many calls would be made if none had to be repeated or split.
func (p *Plan) Calls() (n int64) {
	for _, a := range p.Asks {
		n += a.Calls
	}
	return n
}

// Pairs is how many pairs of entity and signal type would be asked about.
func (p *Plan) Pairs() (n int64) {
	for _, a := range p.Asks {
		if !p.ahead(a) {
			n += a.Entities * int64(len(a.Query.Signals))
		}
	}
	return n
}

// Ceiling is the most that all calls together can cost in credits, by the worst
// reading of the price list.
func (p *Plan) Ceiling() (credits int64) {
	for _, a := range p.Asks {
		credits += a.Ceiling
	}
	return credits
}

// Dearest is the most that one of the entities can cost.
func (p *Plan) Dearest() (credits int64) {
	for _, a := range p.Asks {
		credits = max(credits, a.Query.Ceiling(1))
	}
	return credits
}

// Cheapest is the least that one of the entities may need left of a budget.
func (p *Plan) Cheapest() (credits int64) {
	for _, a := range p.Asks {
		if one := a.Query.Ceiling(1); credits == 0 || one < credits {
			credits = one
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
	p.Asks = append(p.Asks, Ask{Query: q, Entities: lines, Calls: calls, Ceiling: ceiling})
}

// Plan reads the source to its end, as Run would, and counts what Run would ask
// about; it needs neither Fetcher nor Sink. The batches are those that Run would
// make: both take them from the same place.
func (r *Runner) Plan(ctx context.Context, src Source) (*Plan, error) {
	p := &Plan{Accounts: AccountTotals{ByStatus: map[schema.Status]int64{}}}
	at := map[*Query]int{}
	shards := r.sharder(nil)
	shards.planning = true
	for u := range shards.units(src.Accounts(ctx)) {
		for _, l := range u.settled {
			p.Accounts.add(l)
		}
		if u.batch == nil {
			continue
		}
		i, ok := at[u.batch.Query]
		if !ok {
			i = len(p.Asks)
			at[u.batch.Query] = i
			p.Asks = append(p.Asks, Ask{Query: u.batch.Query})
		}
		p.Asks[i].Calls++
		p.Asks[i].Entities += int64(len(u.batch.Items))
		p.Asks[i].Ceiling += u.batch.Ceiling()
		for n := range u.batch.Items {
			if u.batch.Items[n].EntityID() == "" {
				p.Asks[i].Unknown++
			}
		}
		p.Accounts.Lines += int64(len(u.batch.Items))
	}
	for _, o := range []schema.Object{schema.Contact, schema.Company} {
		p.addSearch(r.Searches[o], shards.unknown[string(o)], r.batchSize())
		p.addSearch(r.Searches[o], shards.unknown[string(o)+" again"], min(r.batchSize(), againSize))
	}
	p.Again = shards.again
	for i := range p.Asks {
		p.Asks[i].reached = shards.reached[p.Asks[i].Query]
	}
	return p, shards.err
}
