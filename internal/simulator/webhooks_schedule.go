package simulator

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// This file decides which events are delivered to a subscription, and when.

// delivery is an event, or an opt-out notice, on its way to a subscription.
type delivery struct {
	subscription *subscription
	edition      int // of the subscription's signals when it was queued
	offs         int // of the subscription when it was first sent
	id           string
	event        event
	due          time.Time // of the next attempt

	optOut string // the contact of an opt-out notice, which has no event

	state     DeliveryState
	attempts  int // begun
	credits   int64
	firstSent time.Time // zero before the first attempt
	ended     time.Time // when it was acknowledged or lost
	body      []byte    // from the first attempt until it has ended
	stamp     string    // timestamp header of the first attempt
}

// scheduleAhead is the number of days whose events are looked up at once.
const scheduleAhead = 31

func (c *Config) deliverySpread() time.Duration { return cmp.Or(c.DeliverySpread, 15*time.Minute) }

func (c *Config) deliveryTimeout() time.Duration { return cmp.Or(c.DeliveryTimeout, 10*time.Second) }

func (c *Config) maxSubscriptions() int { return cmp.Or(c.MaxSubscriptions, 100_000) }

// timetable is the queue of deliveries. It is filled from the world, some weeks ahead.
type timetable struct {
	seed    uint64
	world   world
	spread  time.Duration
	past    time.Duration // that a new subscription gets, too
	reorder bool
	queue   deliveryQueue
	wake    chan struct{} // tells Push of a delivery that may be due before the one it waits for
}

// restart begins the schedule of a subscription that is new, or has other signals, as of now.
func (t *timetable) restart(s *subscription, now time.Time) {
	s.edition++
	s.restarted = now
	s.scheduled = dayOf(now) - 1 // what of this day is due already is left out when it is scheduled
	if s.edition == 1 && t.past > 0 {
		t.replay(s, now)
	}
}

// extend queues the events of a subscription that become visible up to this day, and some weeks more.
func (t *timetable) extend(s *subscription, now time.Time) {
	today := dayOf(now)
	if s.scheduled >= today {
		return
	}
	from := s.scheduled + 1
	s.scheduled = today + scheduleAhead - 1
	for _, d := range t.eventsOf(s, from, s.scheduled) {
		if !d.due.Before(s.restarted) {
			t.enqueue(d)
		}
	}
}

// replay queues the events that were due in some time before a new subscription, as if that time had
// passed within some seconds.
func (t *timetable) replay(s *subscription, now time.Time) {
	begin := now.Add(-t.past)
	for _, d := range t.eventsOf(s, dayOf(begin), dayOf(now)) {
		if d.due.Before(begin) || !d.due.Before(now) {
			continue
		}
		d.due = now.Add(time.Duration(float64(replayTime) * float64(d.due.Sub(begin)) / float64(t.past)))
		t.enqueue(d)
	}
}

// replayTime is how long the replay for a new subscription takes.
const replayTime = 10 * time.Second

// eventsOf returns the deliveries of a subscription whose events become visible from one day to
// another, by the time at which they are due.
func (t *timetable) eventsOf(s *subscription, from, until day) (list []*delivery) {
	if !s.known || s.isOptOut() {
		return nil
	}
	h := history{world: t.world, entity: &s.entity, filter: new(signalFilter),
		span: span{from: from - t.world.lateness.longest, to: until, today: endOfTime}}
	var events []event
	for _, sig := range s.signals {
		events = h.appendEvents(events, sig)
	}
	for i := range events {
		e := &events[i]
		if visible := t.world.visibleFrom(e); visible >= from && visible <= until {
			list = append(list, t.newDelivery(s, e, visible))
		}
	}
	slices.SortFunc(list, func(a, b *delivery) int { return a.due.Compare(b.due) })
	return list
}

func (t *timetable) newDelivery(s *subscription, e *event, visible day) *delivery {
	draw := mix(hashText(t.seed, s.id), e.textSeed)
	d := dice(draw)
	due := visible.midnight().Add(time.Duration(d.float() * float64(t.spread)))
	if t.reorder {
		due = due.Add(time.Duration(d.float() * float64(time.Hour)))
	}
	return &delivery{subscription: s, edition: s.edition, id: newUUID(mix(draw, 'i')), event: *e, due: due.Truncate(time.Millisecond)}
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

// enqueue queues a delivery.
func (t *timetable) enqueue(d *delivery) {
	heap.Push(&t.queue, d)
	if t.queue[0] == d {
		select {
		case t.wake <- struct{}{}:
		default: // Push has not seen the last one yet
		}
	}
}

// takeDue takes the deliveries that are due and can be sent out of the queue; the others it ends.
func (w *Webhooks) takeDue(now time.Time) (list []*delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.fillQueue(now)
	for len(*queue) > 0 && !(*queue)[0].due.After(now) {
		if d := heap.Pop(queue).(*delivery); w.begin(d, now) {
			list = append(list, d)
		}
	}
	return list
}

// isVoid reports whether a delivery was queued for a subscription that has been deleted or has other
// signals now.
func (d *delivery) isVoid() bool {
	return d.firstSent.IsZero() && (d.subscription.deleted || d.edition != d.subscription.edition)
}

// fillQueue completes the timetable. The caller holds the lock.
func (w *Webhooks) fillQueue(now time.Time) *deliveryQueue {
	for _, s := range w.subscriptions {
		w.timetable.extend(s, now)
	}
	return &w.timetable.queue
}

// begin prepares an attempt, and reports whether there is one to make. The first attempt charges the
// account. The caller holds the lock.
func (w *Webhooks) begin(d *delivery, now time.Time) bool {
	s := d.subscription
	switch {
	case d.isVoid():
		return false
	case d.firstSent.IsZero():
		w.deliveries = append(w.deliveries, d)
		return w.beginFirst(d, now)
	case s.deleted || !s.active || d.offs != s.offs || w.secret.text == "":
		w.lose(d, now)
		return false
	}
	d.attempts++
	return true
}

// beginFirst prepares the first attempt.
func (w *Webhooks) beginFirst(d *delivery, now time.Time) bool {
	switch s := d.subscription; {
	case !s.active || w.secret.text == "":
		d.state = DeliveryMissed
	case !w.chargeFor(d):
		d.state = DeliveryUnpaid
	default:
		d.state, d.firstSent, d.attempts, d.offs = DeliveryPending, now, 1, s.offs
		d.body = w.writer.encodeDelivery(d, now)
		return true
	}
	return false
}

// chargeFor charges the account for a delivery, unless it has too few credits.
func (w *Webhooks) chargeFor(d *delivery) bool {
	if d.optOut != "" {
		return true
	}
	price := w.prices[d.subscription.target.object]
	if !w.ledger.chargeDelivery(d.event.signal.key, price, d.event.textSeed) {
		return false
	}
	d.credits = price
	return true
}

// NextDelivery returns the time at which the next delivery or attempt is due, and false if there is none
// within a month. It may be in the past.
func (w *Webhooks) NextDelivery() (time.Time, bool) {
	now := w.now().UTC()
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.fillQueue(now)
	for len(*queue) > 0 {
		if d := (*queue)[0]; !d.isVoid() {
			return d.due, true
		}
		heap.Pop(queue)
	}
	return time.Time{}, false
}
