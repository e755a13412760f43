package simulator

import (
	"encoding/binary"
	"encoding/hex"
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
	reader  subscriptionReader
	writer  deliveryWriter
	courier courier

	seed     uint64
	now      func() time.Time
	world    world
	switches *Switches
	prices   map[object]int64 // credits of an event
	ledger   *ledger
	config   *Config

	sending sync.Mutex // held by the one call of Deliver that sends

	mu            sync.Mutex // guards all that follows
	timetable     timetable
	secret        signingSecret
	challenges    uint64 // number of challenges made
	created       uint64 // number of subscriptions ever made
	optOuts       uint64 // number of notices ever made
	subscriptions []*subscription
	byID          map[string]*subscription
	byTarget      map[target]*subscription
	deliveries    []*delivery // in the order in which they were due
	audit         auditLog
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
	known     bool      // reports whether the service knows the entity
	edition   int       // counts the changes of signals; queued deliveries of an older edition are void
	restarted time.Time // when it was made or got other signals
	scheduled day       // last day whose events are in the queue
	offs      int       // counts how often it was switched off; what was under way then is lost
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
		reader:  subscriptionReader{world: s.world, names: &s.names, signals: s.signals[apiV3], refuse: s.refuse},
		writer:  deliveryWriter{world: s.world, switches: s.switches},
		courier: newCourier(s),
		seed:    mix(s.config.Seed, 'w'), now: s.now, world: s.world, switches: s.switches, prices: map[object]int64{}, ledger: s.ledger, config: &s.config,
		byID: map[string]*subscription{}, byTarget: map[target]*subscription{},
	}
	w.timetable = timetable{
		seed: w.seed, world: s.world, spread: s.config.deliverySpread(), past: s.config.DeliveryReplay,
		reorder: s.switches.Delivery == "reordered", wake: make(chan struct{}, 1),
	}
	for o, action := range eventActions {
		w.prices[o] = s.tariffs[action].credits
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
	w.timetable.restart(s, now)
}

// remove removes a subscription, and what it has not received yet. The caller holds the lock.
func (w *Webhooks) remove(s *subscription) {
	s.deleted = true
	delete(w.byID, s.id)
	delete(w.byTarget, s.target)
	w.subscriptions = slices.DeleteFunc(w.subscriptions, func(other *subscription) bool { return other == s })
}

// signingSecret is the secret of the account. The answer to the request that creates it states it.
type signingSecret struct {
	text string // "" until one is made
	made uint64 // number of secrets made
}

// renew makes a secret; the one before is void at once.
func (s *signingSecret) renew(seed uint64) string {
	s.made++
	d := dice(mix(seed^'s'<<40, s.made))
	b := []byte("whsec_")
	for range 4 {
		b = append(b, strconv.FormatUint(d.next()|1<<63, 36)...)
	}
	s.text = string(b)
	return s.text
}
