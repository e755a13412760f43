package ledger

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/pipeline"
)

// kept is what a checkpoint keeps of a state.
type kept struct {
	state *state
	past  past
	calls map[int]bool // by number; those that are left behind are absent
	index keptIndex
	runs  map[*Run]pastCalls
}

// keptIndex has the identities, in ascending order, with the numbers of the calls that are kept of each. There
// are as many as lines in all lists.
type keptIndex struct {
	keys  []keptKey
	calls []uint32 // of all keys
}

// keptKey is an identity, and how many calls it has.
type keptKey struct {
	key   idmap.Key
	calls uint32
}

// chooseKept chooses what a checkpoint of a state keeps:
//
//   - calls that may still change: in doubt or ever decided or read again, or with an unknown charge;
//   - those of unpublished runs;
//   - pages, because a purchase of pages has no end;
//   - those of the last days;
//   - of each identity the newest search, and the calls for the windows in which one of its calls is
//     or was in doubt.
//
// What is left behind on one day would be left behind on every later one, and by a state that has left
// it behind already: so a checkpoint is the same whether it is made from all records or from the
// checkpoint before.
func chooseKept(s *state) *kept {
	k := &kept{state: s, past: s.past, calls: map[int]bool{}, runs: map[*Run]pastCalls{}}
	var newest time.Time
	for _, r := range s.runs {
		if r.Published != nil && r.Published.Time.After(newest) {
			newest = r.Published.Time
		}
		k.runs[r] = r.past
	}
	since := newest.AddDate(0, 0, -checkpointDays)
	for _, c := range s.calls {
		if c != nil && c.isKept(since) {
			k.calls[c.number] = true
		}
	}
	current := maps.Clone(k.calls)
	for key, calls := range s.index.Sorted() {
		before := len(k.index.calls)
		k.index.calls = k.appendKept(k.index.calls, current, calls)
		if n := len(k.index.calls) - before; n > 0 {
			k.index.keys = append(k.index.keys, keptKey{key, uint32(n)}) //nolint:gosec // calls have numbers of 32 bits
		}
	}
	for _, c := range s.calls {
		if c != nil && !k.calls[c.number] {
			k.leaveBehind(c)
		}
	}
	k.leaveQueriesBehind()
	return k
}

// isKept reports whether a call is kept whatever it requested.
func (c *Call) isKept(since time.Time) bool {
	return c.isOpen() || c.Query.Service().IsPaged() || !c.Time.Before(since) || DayOf(c.Query.Until) >= dayOf(since)
}

// isOpen reports whether a call may still change, or is part of an unpublished run.
func (c *Call) isOpen() bool {
	settled := c.Outcome == pipeline.NotCharged || c.Outcome == pipeline.Charged && c.Charge.Known
	return !settled || c.reread != nil || len(c.decisions) > 0 || c.Run.Published == nil
}

// appendKept adds those of the calls about one identity that are kept to chosen. current are those that are
// kept anyway.
func (k *kept) appendKept(chosen []uint32, current map[int]bool, calls []uint32) []uint32 {
	var inDoubt []string // ends of windows
	var search uint32
	for _, n := range calls {
		switch c := k.state.calls[n-1]; {
		case c == nil:
		case c.Outcome == pipeline.InDoubt || c.reread != nil:
			inDoubt = append(inDoubt, c.Query.Until)
		case c.Query.Service() == pipeline.Search:
			search = max(search, n)
		}
	}
	for _, n := range calls {
		c := k.state.calls[n-1]
		if c != nil && (current[int(n)] || n == search || slices.Contains(inDoubt, c.Query.Until)) {
			chosen = append(chosen, n)
			k.calls[int(n)] = true
		}
	}
	return chosen
}

func (k *kept) leaveBehind(c *Call) {
	k.runs[c.Run] = k.runs[c.Run].with(c)
	k.past.days = max(k.past.days, DayOf(c.Query.Until), 1)
	if c.Time.After(k.past.newest) {
		k.past.newest = c.Time
	}
}

// leaveQueriesBehind sums the history of queries up to which no call refers that is kept, as far as they
// differ in the place of their window only.
func (k *kept) leaveQueriesBehind() {
	used := map[int]bool{}
	for n := range k.calls {
		used[k.state.calls[n-1].queryNumber] = true
	}
	sums := map[string]*forecast.History{}
	add := func(h *forecast.History) {
		kind := historyKind(&h.Query)
		sum := sums[kind]
		if sum == nil {
			sum = &forecast.History{BySignal: map[string]forecast.Moments{}}
			sums[kind] = sum
		}
		if h.Query.Until >= sum.Query.Until {
			sum.Query = h.Query
		}
		addHistory(sum, h)
	}
	for i := range k.past.history {
		add(&k.past.history[i])
	}
	for i, q := range k.state.queries {
		if h := k.state.history[i+1]; q != nil && h != nil && !used[i+1] {
			add(h)
		}
	}
	k.past.history = nil
	for _, kind := range slices.Sorted(maps.Keys(sums)) {
		k.past.history = append(k.past.history, *sums[kind])
	}
}

// historyKind is the same for queries that differ in the place of their window only.
func historyKind(q *pipeline.Query) string {
	days, placeless := q.WindowDays(), *q
	placeless.Since, placeless.Until = "", ""
	text, _ := json.Marshal(placeless) // a query that was read can be written
	return fmt.Sprintf("%d %s", days, text)
}

func addHistory(sum, h *forecast.History) {
	sum.Calls += h.Calls
	sum.Entities += h.Entities
	sum.All = sum.All.Add(h.All)
	sum.Credits += h.Credits
	sum.PerEvent += h.PerEvent
	sum.PerPair += h.PerPair
	sum.Took += h.Took
	for signal, m := range h.BySignal {
		sum.BySignal[signal] = sum.BySignal[signal].Add(m)
	}
}

// numbers are those of the calls that are kept, in ascending order.
func (k *kept) numbers() []int { return slices.Sorted(maps.Keys(k.calls)) }

// mergeIndex adds to the index of all records before a checkpoint what is only in the index that was
// built from it.
func mergeIndex(before, since *idmap.Lists) (merged idmap.Lists) {
	for key, calls := range before.Sorted() {
		added := slices.DeleteFunc(slices.Collect(since.Backward(key)), func(n uint32) bool { return slices.Contains(calls, n) })
		slices.Reverse(added)
		merged.AddAll(key, append(calls, added...))
	}
	for key, calls := range since.Sorted() {
		if !merged.Has(key) {
			merged.AddAll(key, calls)
		}
	}
	return merged
}
