package journal

import (
	"context"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/siglake/siglake/pipeline"
)

// index finds the calls that asked about an identity. It is the largest thing
// a journal keeps in memory: 20 bytes for every identity asked about, by its
// identifier and again by the API's id for it, in flat tables that are about
// four fifths full.
type index struct {
	shards [256]shard
}

type shard struct {
	slots []slot
	used  int
}

// slot is empty when call is 0; calls count from 1. An identity that several
// calls asked about has several slots.
type slot struct {
	key  pipeline.Identity
	call uint32
}

func (x *index) add(key pipeline.Identity, call uint32) {
	h := &x.shards[key[0]]
	if (h.used+1)*8 > len(h.slots)*7 {
		old := h.slots
		h.slots = make([]slot, len(old)+len(old)/4+16)
		for _, o := range old {
			if o.call != 0 {
				h.insert(o)
			}
		}
	}
	h.insert(slot{key, call})
	h.used++
}

func (h *shard) insert(s slot) {
	for i := h.firstProbe(s.key); ; i = h.nextProbe(i) {
		if h.slots[i].call == 0 {
			h.slots[i] = s
			return
		}
	}
}

// firstProbe scales eight of the identity's bytes, which are evenly spread, to the
// table.
func (h *shard) firstProbe(key pipeline.Identity) int {
	at, _ := bits.Mul64(binary.LittleEndian.Uint64(key[4:]), uint64(len(h.slots)))
	return int(at) //nolint:gosec // below the table's length
}

func (h *shard) nextProbe(i int) int {
	if i++; i == len(h.slots) {
		return 0
	}
	return i
}

// eachCall walks the calls that asked about an identity.
func (x *index) eachCall(key pipeline.Identity, yield func(call uint32)) {
	h := &x.shards[key[0]]
	if len(h.slots) == 0 {
		return
	}
	for i := h.firstProbe(key); h.slots[i].call != 0; i = h.nextProbe(i) {
		if h.slots[i].key == key {
			yield(h.slots[i].call)
		}
	}
}

// queryCovers reports whether what was bought with one question answers a type of
// another: nothing that the second could bring is missing from the first. A
// longer window and a higher cap contain the shorter and lower, because the API
// keeps the newest events.
func queryCovers(bought, wanted *pipeline.Query, signal string) bool {
	if bought.Object != wanted.Object || bought.Service != wanted.Service || !slices.Contains(bought.Signals, signal) ||
		bought.Until != wanted.Until || bought.Since > wanted.Since || bought.MaxResults < wanted.MaxResults {
		return false
	}
	// A broader filter would not do: of an answer that reached its cap, the part
	// that the narrower filter lets through may be cut.
	return bought.SameFilters(wanted, signal)
}

// coverage is how far what a call brought about an identity answers a type of a
// question.
type coverage int

const (
	coverageNone   coverage = iota // not at all
	coverageCapped                 // its cap was lower and was reached: there may be more
	coverageEmpty                  // its cap was lower, and there was nothing
	coverageFull                   // a second call could bring nothing that is missing
)

// callCoverage says how far what a call brought about an identity answers a type of a
// question. Where only its cap was too low and the answer did not reach it, a
// higher one brings nothing more.
func (l *Ledger) callCoverage(c *Call, key pipeline.Identity, wanted *pipeline.Query, signal string) coverage {
	filteredLocally := c.Query.FiltersClientSide(signal)
	if queryCovers(c.Query, wanted, signal) && (!filteredLocally || wanted.FiltersClientSide(signal)) {
		return coverageFull
	}
	if c.Outcome != pipeline.Charged && c.Outcome != pipeline.NotCharged { // it brought nothing that could be counted
		return coverageNone
	}
	raised := *c.Query
	raised.MaxResults = max(raised.MaxResults, wanted.MaxResults)
	if !queryCovers(&raised, wanted, signal) {
		return coverageNone
	}
	return l.answerCoverage(c, key, signal)
}

// queryOverlaps reports whether a question asks again, on the same day, for a type
// that was bought with another one.
func queryOverlaps(bought, wanted *pipeline.Query, signal string) bool {
	return bought.Object == wanted.Object && bought.Service == wanted.Service && bought.Until == wanted.Until && slices.Contains(bought.Signals, signal)
}

// returnedPairs are the identities about which a call brought something, by type, and
// those of them that reached its cap.
type returnedPairs struct {
	some, capped map[string][]pipeline.Identity
}

// answerCoverage says whether a call brought nothing of a type about an identity, as
// much as it was allowed to, or something between. Its answer is read for it
// once, and only when somebody asks with a higher cap: a note beside the call
// would lack in old journals, and would have to be kept in memory.
func (l *Ledger) answerCoverage(c *Call, key pipeline.Identity, signal string) coverage {
	p, known := l.pairCache[c]
	if !known {
		p = l.readPairs(c)
		l.pairCache[c] = p
	}
	switch {
	case p == nil || slices.Contains(p.capped[signal], key):
		// Of an answer that cannot be read nothing is known: verify says so, and
		// what is missing from the lake must not pass as bought.
		return coverageCapped
	case slices.Contains(p.some[signal], key):
		return coverageFull
	}
	return coverageEmpty
}

// readPairs reads an answer again; nil when it cannot be read.
func (l *Ledger) readPairs(c *Call) *returnedPairs {
	b, call, err := l.readExchange(context.Background(), c) // one record: who stops a run waits for the list to be read, too
	if err != nil {
		return nil
	}
	items, _ := l.decode(b, call)
	p := &returnedPairs{map[string][]pipeline.Identity{}, map[string][]pipeline.Identity{}}
	for i := range items {
		events := map[string]int{}
		for _, list := range [][]pipeline.RawEvent{items[i].Events, items[i].Filtered} { // the cap counts both
			for _, e := range list {
				events[e.Type]++
			}
		}
		one := pipeline.Batch{Query: b.Query, Items: b.Items[i : i+1]}
		for signal, n := range events {
			keys := answeredIdentities(&one, items[i:i+1])
			p.some[signal] = append(p.some[signal], keys...)
			if n >= c.Query.MaxResults {
				p.capped[signal] = append(p.capped[signal], keys...)
			}
		}
	}
	return p
}

// MayRepurchase reports whether any of the questions asks for more of what was bought
// before on the same day, so that some of it may be paid again.
func (l *Ledger) MayRepurchase(wanted []pipeline.Query) bool {
	for _, bought := range l.queries {
		for _, w := range wanted {
			if slices.ContainsFunc(w.Signals, func(s string) bool { return queryOverlaps(&bought, &w, s) && !queryCovers(&bought, &w, s) }) {
				return true
			}
		}
	}
	return false
}

// raisesCap reports whether a call asked about any of its identities with a higher
// cap than one before: it was chosen for having much.
func (l *Ledger) raisesCap(c *Call, identities []byte) (found bool) {
	hasLowerCap := func(q *pipeline.Query) bool {
		return q.MaxResults < c.Query.MaxResults && slices.ContainsFunc(c.Query.Signals, func(s string) bool { return queryOverlaps(q, c.Query, s) })
	}
	if !slices.ContainsFunc(l.queries, func(q pipeline.Query) bool { return hasLowerCap(&q) }) {
		return false
	}
	for chunk := range slices.Chunk(identities, len(pipeline.Identity{})) {
		l.index.eachCall(pipeline.Identity(chunk), func(n uint32) { found = found || hasLowerCap(l.calls[n-1].Query) })
	}
	return found
}
