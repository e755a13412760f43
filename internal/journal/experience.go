package journal

import "github.com/siglake/siglake/pipeline"

// Experience is what the calls of this journal returned and cost, question by
// question, oldest question first.
func (j *Journal) Experience() []pipeline.Experience {
	var out []pipeline.Experience
	for number := range len(j.queries) {
		if e := j.learned[number+1]; e != nil {
			out = append(out, *e)
		}
	}
	return out
}

// learn adds a settled call to the experience with its question: one whose
// charge is known, or one that was certainly free because the API knew none of
// its entities. identities are those that its answer decided about. One that asked
// for more of what had reached its cap teaches nothing about others.
func (j *Journal) learn(c *Call, k kind, h *settled, identities []byte) {
	free := k == kindNoCharge && len(identities) > 0
	if !free && (k != kindCharged || h.Credits == nil || h.All == nil) || j.again(c, identities) {
		return
	}
	e := j.learned[c.number]
	if e == nil {
		e = &pipeline.Experience{Query: *c.Query, BySignal: map[string]pipeline.Tally{}}
		j.learned[c.number] = e
	}
	e.Calls++
	e.Took += c.took
	e.Entities += int64(c.Entities)
	if free { // no event, no pair, no credit: every price list agrees
		e.PerEvent++
		e.PerPair++
		return
	}
	price, pairs := max(c.Query.Price, c.Run.Price, 1), int64(0)
	for signal, t := range h.Events {
		e.BySignal[signal] = e.BySignal[signal].Plus(t)
		pairs += t.Hits
	}
	e.All = e.All.Plus(*h.All)
	e.Credits += *h.Credits
	if *h.Credits == h.All.Events*price {
		e.PerEvent++
	}
	if *h.Credits == pairs*price {
		e.PerPair++
	}
}
