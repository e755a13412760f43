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

// Bill is what the account owes and why. It is the simulator's own record, whatever the answers
// claimed.
type Bill struct {
	Credits int64 `json:"credits"` // total charged
	// Credits of answers that were written completely.
	Delivered int64 `json:"delivered"`
	// The other credits, those of requests in flight included.
	Undelivered int64 `json:"undelivered"`
	Pool        int64 `json:"pool"`      // credits that the account began with
	Remaining   int64 `json:"remaining"` // credits that the account has left
	// All requests except those to the simulator itself.
	Requests   int              `json:"requests"`
	Billed     int              `json:"billed"`     // requests that cost something
	ByEndpoint map[string]int64 `json:"byEndpoint"` // credits by path
	// Credits by signal type or product; "minimum" for min1 charges.
	ByType map[string]int64 `json:"byType"`
	// Credits of deliveries to webhooks, which are no requests and have no entry; in the sums above they
	// are under the endpoint "webhook".
	Webhooks int64 `json:"webhookCredits,omitempty"`
	// Different events among those that were charged; only with Config.CountDistinct.
	Distinct int64   `json:"distinctEvents,omitempty"`
	Entries  []Entry `json:"entries,omitempty"`
}

// Entry is one request on the bill.
type Entry struct {
	Seq    int       `json:"seq"` // from 1, in order of arrival
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	// SHA-256 of the body, hexadecimal; billed operations only.
	Request  string `json:"request,omitempty"`
	Entities int    `json:"entities,omitempty"` // number of entities in the request
	// Requested signals, allSignals spelled out; or the one product.
	Types []string `json:"types,omitempty"`
	// Status written; 0 when no response was begun.
	Status  int    `json:"status"`
	Fault   string `json:"fault,omitempty"` // kind of the injected fault
	Credits int64  `json:"credits"`         // credits charged
	// The complete answer was written to the connection.
	Delivered bool `json:"delivered"`
}

// webhookEndpoint is the key in Bill.ByEndpoint for deliveries.
const webhookEndpoint = "webhook"

// minimumCharge is the key in Bill.ByType for charges without an event behind them.
const minimumCharge = "minimum"

// ledger books charges. An entry exists from the moment its request arrives, so a snapshot at any
// instant adds up, requests in flight included.
type ledger struct {
	mu         sync.Mutex
	pool       int64
	spent      int64
	delivered  int64
	billed     int
	entries    []Entry
	byEndpoint map[string]int64
	byType     map[string]int64
	typeLists  map[string][]string // entries with the same types share one list
	sold       map[uint64]struct{} // events that were charged; nil: not counted
}

func newLedger(pool int64) *ledger {
	return &ledger{pool: pool, byEndpoint: map[string]int64{}, byType: map[string]int64{}, typeLists: map[string][]string{}}
}

// openEntry adds an entry to the bill and returns its number.
func (l *ledger) openEntry(now time.Time, method, path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := len(l.entries) + 1
	l.entries = append(l.entries, Entry{Seq: seq, Time: now.UTC(), Method: method, Path: path})
	return seq
}

// recordBody records the hash of a request's body.
func (l *ledger) recordBody(seq int, body []byte) {
	sum := sha256.Sum256(body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[seq-1].Request = hex.EncodeToString(sum[:])
}

// recordOrder records what a request asks for, once it is parsed.
func (l *ledger) recordOrder(seq, entities int, keys []string) {
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

// isExhausted reports whether the pool is empty.
func (l *ledger) isExhausted() bool {
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

// chargeDelivery books the price of an event that is delivered to a webhook, or refuses when the pool does
// not hold it.
func (l *ledger) chargeDelivery(key string, credits int64, event uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spent >= l.pool || credits > l.pool-l.spent {
		return false
	}
	l.addWebhook(key, credits)
	if l.sold != nil {
		l.sold[event] = struct{}{}
	}
	return true
}

// refundDelivery takes back the charge of a delivery that was not acknowledged.
func (l *ledger) refundDelivery(key string, credits int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addWebhook(key, -credits)
}

func (l *ledger) addWebhook(key string, credits int64) {
	l.spent += credits
	l.byEndpoint[webhookEndpoint] += credits
	l.byType[key] += credits
}

// acknowledgeDelivery records that a charged delivery was acknowledged.
func (l *ledger) acknowledgeDelivery(credits int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivered += credits
}

// recordSold records the events of a charged answer.
func (l *ledger) recordSold(a *answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sold == nil {
		return
	}
	for i := range a.findings {
		for _, list := range a.findings[i].events {
			for j := range list {
				l.sold[list[j].textSeed] = struct{}{}
			}
		}
	}
}

// recordFault records the fault that a request met.
func (l *ledger) recordFault(seq int, kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[seq-1].Fault = kind
}

// recordStatus records the status about to be written.
func (l *ledger) recordStatus(seq, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[seq-1].Status = status
}

// setDelivered records that all of an answer was written, or takes that back.
func (l *ledger) setDelivered(seq int, delivered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &l.entries[seq-1]
	switch {
	case delivered && !e.Delivered:
		l.delivered += e.Credits
	case !delivered && e.Delivered:
		l.delivered -= e.Credits
	}
	e.Delivered = delivered
}

func (l *ledger) entry(seq int) Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[seq-1]
}

// credits returns the pool and the credits spent from it.
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
		ByEndpoint: maps.Clone(l.byEndpoint), ByType: maps.Clone(l.byType), Webhooks: l.byEndpoint[webhookEndpoint], Distinct: int64(len(l.sold)),
	}
	if withEntries {
		b.Entries = slices.Clone(l.entries)
	}
	return b
}
