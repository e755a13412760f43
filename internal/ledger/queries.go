package ledger

import (
	"encoding/json"
	"sync"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// queryNumbers records every query once, before the first intent that refers to it by its
// number.
type queryNumbers struct {
	log   *wal.Log
	state *state

	// Held while a query is recorded, since its number is its place among the records. Calls
	// with a query that has a number do not take it.
	recording sync.Mutex
	last      int // number; guarded by recording

	mu     sync.Mutex     // guards byText; not held while a query is recorded
	byText map[string]int // the numbers of recorded queries, by their JSON; nil: see find
}

// newQueryNumbers starts with the queries of a state.
func newQueryNumbers(log *wal.Log, s *state) *queryNumbers {
	return &queryNumbers{log: log, state: s, last: len(s.queries)}
}

// ensure returns the number of a query, and records the query first if it has none.
func (n *queryNumbers) ensure(q *pipeline.Query) (int, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return 0, err
	}
	if number := n.find(string(text)); number > 0 {
		return number, nil
	}
	n.recording.Lock()
	defer n.recording.Unlock()
	if number := n.find(string(text)); number > 0 { // another call has recorded it
		return number, nil
	}
	head, err := json.Marshal(queryRecord{Number: n.last + 1, Query: *q})
	if err != nil {
		return 0, err
	}
	if _, err := n.log.Write(byte(kindQuery), head, nil); err != nil {
		return 0, err
	}
	n.last++
	n.state.mu.Lock()
	copied := *q
	n.state.queries = append(n.state.queries, &copied)
	n.state.mu.Unlock()
	n.mu.Lock()
	n.byText[string(text)] = n.last
	n.mu.Unlock()
	return n.last, nil
}

// find returns the number of a recorded query; 0 if it has none. The first one reads the queries of the
// ledger, which a run that requests nothing does not need.
func (n *queryNumbers) find(text string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byText == nil {
		n.byText = n.readState()
	}
	return n.byText[text]
}

// readState returns the numbers of the recorded queries by their JSON.
func (n *queryNumbers) readState() map[string]int {
	n.state.mu.Lock()
	defer n.state.mu.Unlock()
	numbers := map[string]int{}
	for i, q := range n.state.queries {
		if q == nil {
			continue
		}
		if text, err := json.Marshal(q); err == nil { // always: it was read from a record
			numbers[string(text)] = i + 1
		}
	}
	return numbers
}
