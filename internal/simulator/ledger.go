package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bill is what the account owes and why. It is the simulator's own account of the truth,
// whatever the answers claimed.
type Bill struct {
	Credits     int64            `json:"credits"`     // charged in all
	Delivered   int64            `json:"delivered"`   // of these, credits whose full answer was written
	Undelivered int64            `json:"undelivered"` // the others, requests still under way among them
	Pool        int64            `json:"pool"`        // credits the account began with
	Remaining   int64            `json:"remaining"`   // credits it has left
	Requests    int              `json:"requests"`    // every request but those to the simulator itself
	Billed      int              `json:"billed"`      // requests that cost something
	ByEndpoint  map[string]int64 `json:"byEndpoint"`  // credits by path
	ByType      map[string]int64 `json:"byType"`      // credits by signal type or product; "minimum" for min1 charges
	Entries     []Entry          `json:"entries,omitempty"`
}

// Entry is one request on the bill.
type Entry struct {
	Seq       int       `json:"seq"` // from 1, in order of arrival
	Time      time.Time `json:"time"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Request   string    `json:"request,omitempty"`  // of a billed endpoint: SHA-256 of the body, hexadecimal
	Entities  int       `json:"entities,omitempty"` // asked about
	Types     []string  `json:"types,omitempty"`    // asked for, allSignals spelled out; or the one product
	Status    int       `json:"status"`             // written; 0 when no answer was begun
	Fault     string    `json:"fault,omitempty"`    // kind that was injected
	Credits   int64     `json:"credits"`            // charged
	Delivered bool      `json:"delivered"`          // the complete answer was handed to the connection
}

// minimumCharge is the key in Bill.ByType for charges that no event accounts for.
const minimumCharge = "minimum"

// ledger books charges. An entry exists from the moment its request arrives, so a snapshot at
// any instant adds up, requests in flight included.
type ledger struct {
	mu         sync.Mutex
	pool       int64
	spent      int64
	delivered  int64
	billed     int
	entries    []Entry
	byEndpoint map[string]int64
	byType     map[string]int64
	typeLists  map[string][]string // entries asking for the same types share one list
}

func newLedger(pool int64) *ledger {
	return &ledger{pool: pool, byEndpoint: map[string]int64{}, byType: map[string]int64{}, typeLists: map[string][]string{}}
}

// open adds a line to the bill and returns its number.
func (l *ledger) open(now time.Time, method, path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := len(l.entries) + 1
	l.entries = append(l.entries, Entry{Seq: seq, Time: now.UTC(), Method: method, Path: path})
	return seq
}

// received notes the body of a request.
func (l *ledger) received(seq int, body []byte) {
	sum := sha256.Sum256(body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[seq-1].Request = hex.EncodeToString(sum[:])
}

// describe notes what a request asks for, once it is understood.
func (l *ledger) describe(seq, entities int, keys []string) {
	joined := strings.Join(keys, " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.typeLists[joined]; ok {
		keys = known
	} else if len(l.typeLists) < 1000 {
		l.typeLists[joined] = keys
	}
	l.entries[seq-1].Entities, l.entries[seq-1].Types = entities, keys
}

// spentUp reports that nothing is left in the pool.
func (l *ledger) spentUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spent >= l.pool
}

// charge books the price of an answer, or refuses when the pool does not hold it.
func (l *ledger) charge(seq int, price map[string]int64) bool {
	var sum int64
	for _, n := range price {
		sum += n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spent >= l.pool || sum > l.pool-l.spent {
		return false
	}
	if sum == 0 {
		return true
	}
	e := &l.entries[seq-1]
	e.Credits = sum
	l.spent += sum
	l.billed++
	l.byEndpoint[e.Path] += sum
	for key, n := range price {
		if n != 0 {
			l.byType[key] += n
		}
	}
	return true
}

// injected notes the fault a request ran into.
func (l *ledger) injected(seq int, kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[seq-1].Fault = kind
}

// answered notes the status about to be written.
func (l *ledger) answered(seq, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[seq-1].Status = status
}

// deliver notes that all of an answer was handed over, or takes that back.
func (l *ledger) deliver(seq int, whole bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &l.entries[seq-1]
	switch {
	case whole && !e.Delivered:
		l.delivered += e.Credits
	case !whole && e.Delivered:
		l.delivered -= e.Credits
	}
	e.Delivered = whole
}

func (l *ledger) entry(seq int) Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[seq-1]
}

// credits returns the pool and what was taken from it.
func (l *ledger) credits() (pool, spent int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pool, l.spent
}

func (l *ledger) bill(withEntries bool) Bill {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := Bill{
		Credits: l.spent, Delivered: l.delivered, Undelivered: l.spent - l.delivered,
		Pool: l.pool, Remaining: l.pool - l.spent,
		Requests: len(l.entries), Billed: l.billed,
		ByEndpoint: maps.Clone(l.byEndpoint), ByType: maps.Clone(l.byType),
	}
	if withEntries {
		b.Entries = slices.Clone(l.entries)
	}
	return b
}
