package simulator

import (
	"container/heap"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Webhooks are the subscriptions of the account, and the sender that serves them. Its methods are
// those of a Server and safe for concurrent use.
//
// A subscription gets each event of its entity and its signals when the event becomes visible,
// on the day from which answers hold it and some minutes after its midnight. It gets none that was due
// before it was created, while it was switched off, or while the account had no secret: what it
// misses is never sent.
type Webhooks struct {
	seed     uint64
	now      func() time.Time
	world    world
	switches *Switches
	signals  map[object][]*signal // that can be subscribed to
	prices   map[object]int64     // credits of an event
	ledger   *ledger
	refuse   map[string]int
	config   *Config
	client   http.Client

	sending sync.Mutex    // held by the one call of Deliver that sends
	wake    chan struct{} // tells Push of a delivery that may be due before the one it waits for

	mu            sync.Mutex
	secret        string // "" until one is made
	secrets       uint64 // number of secrets made
	secretShown   bool   // the present one has been read
	challenges    uint64 // number of challenges made
	created       uint64 // number of subscriptions ever made
	optOuts       uint64 // number of notices ever made
	subscriptions []*subscription
	byID          map[string]*subscription
	byTarget      map[target]*subscription
	queue         deliveryQueue
	deliveries    []*delivery // in the order in which they were due
	audit         []auditEntry
}

// subscription is the wish of a customer to get the events of one entity, or opt-out notices.
type subscription struct {
	id        string
	target    target
	entityID  string   // as the customer wrote it
	types     []string // as the customer wrote them
	signals   []*signal
	name      string
	active    bool
	reason    string    // why it is blocked; "" if it is not
	blockedAt time.Time // zero if it is not blocked
	createdAt time.Time
	updatedAt time.Time
	deleted   bool

	entity    entity
	known     bool // reports whether the service knows the entity
	edition   int  // counts the changes of signals; queued deliveries of an older edition are void
	scheduled day  // last day whose events are in the queue
	offs      int  // counts how often it was switched off; what was under way then is lost
}

// target is what no two subscriptions have in common.
type target struct {
	object object
	id     int64 // 0: opt-out notices
	url    string
}

const (
	optOutType = "optOut"
	// accountID stands for the account, the entity of the subscription to opt-out notices.
	accountID  = "55501"
	maxRetries = "Max retries exceeded"
)

func (s *subscription) isOptOut() bool { return s.target.id == 0 }

// switchOff stops the deliveries; reason is empty if the customer wants that.
func (s *subscription) switchOff(reason string, now time.Time) {
	s.active, s.reason, s.blockedAt, s.updatedAt = false, reason, time.Time{}, now
	if reason != "" {
		s.blockedAt = now
	}
	s.offs++
}

func newWebhooks(s *Server) *Webhooks {
	w := &Webhooks{
		seed: mix(s.config.Seed, 'w'), now: s.now, world: s.world, switches: s.switches, signals: s.signals[apiV3],
		prices: map[object]int64{}, ledger: s.ledger, refuse: s.refuse, config: &s.config,
		wake: make(chan struct{}, 1),
		byID: map[string]*subscription{}, byTarget: map[target]*subscription{},
	}
	for o, action := range eventActions {
		w.prices[o] = s.tariffs[action].credits
	}
	w.client = http.Client{
		Transport:     s.config.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return w
}

// add makes a subscription, which must not have the target of another one. The caller holds the lock.
func (w *Webhooks) add(s *subscription, now time.Time) {
	w.created++
	id := binary.BigEndian.AppendUint32(nil, uint32(now.Unix()))
	id = binary.BigEndian.AppendUint64(id, mix(w.seed, w.created))
	s.id = hex.EncodeToString(id)
	s.active, s.createdAt, s.updatedAt = true, now, now
	w.subscriptions = append(w.subscriptions, s)
	w.byID[s.id], w.byTarget[s.target] = s, s
	w.reschedule(s, now)
}

// remove removes a subscription, and what it has not received yet. The caller holds the lock.
func (w *Webhooks) remove(s *subscription) {
	s.deleted = true
	delete(w.byID, s.id)
	delete(w.byTarget, s.target)
	w.subscriptions = slices.DeleteFunc(w.subscriptions, func(other *subscription) bool { return other == s })
}

// renewSecret makes a secret; the one before is void at once. The caller holds the lock.
func (w *Webhooks) renewSecret() string {
	w.secrets++
	d := dice(mix(w.seed^'s'<<40, w.secrets))
	b := []byte("whsec_")
	for range 4 {
		b = append(b, strconv.FormatUint(d.next()|1<<63, 36)...)
	}
	w.secret, w.secretShown = string(b), true
	return w.secret
}

// deliveryQueue is a heap of deliveries by the time at which they are due.
type deliveryQueue []*delivery

func (q deliveryQueue) Len() int      { return len(q) }
func (q deliveryQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q deliveryQueue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].id < q[j].id
}

// Push is for the heap.
func (q *deliveryQueue) Push(x any) { *q = append(*q, x.(*delivery)) }

// Pop is for the heap.
func (q *deliveryQueue) Pop() any {
	last := len(*q) - 1
	d := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return d
}

// enqueue queues a delivery. The caller holds the lock.
func (w *Webhooks) enqueue(d *delivery) {
	heap.Push(&w.queue, d)
	if w.queue[0] == d {
		select {
		case w.wake <- struct{}{}:
		default: // Push has not seen the last one yet
		}
	}
}
