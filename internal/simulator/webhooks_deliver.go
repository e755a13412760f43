package simulator

import (
	"context"
	"strconv"
	"sync"
	"time"
)

// DeliveryState says how far a delivery has come.
type DeliveryState string

// States of a delivery.
const (
	DeliveryPending      DeliveryState = "pending"      // it was sent, and is sent again
	DeliveryAcknowledged DeliveryState = "acknowledged" // an attempt was acknowledged
	DeliveryLost         DeliveryState = "lost"         // no attempt was acknowledged, and there will be none
	DeliveryMissed       DeliveryState = "missed"       // not sent: the subscription was switched off, or the account had no secret
	DeliveryUnpaid       DeliveryState = "unpaid"       // not sent: the account had too few credits
)

// maxAttempts is the first attempt of a delivery and the retries.
const maxAttempts = 4

// retryUnits are the values of the switch retry-intervals.
var retryUnits = map[string]time.Duration{"seconds": time.Second, "minutes": time.Minute, "hours": time.Hour}

// Deliver sends the deliveries and retries that are due, and returns the number of attempts. A
// subscription whose delivery has failed for the last time is switched off. When the context ends, Deliver
// waits for the attempts under way, leaves the others to the next call and returns the context's error.
func (w *Webhooks) Deliver(ctx context.Context) (attempts int, err error) {
	w.sending.Lock()
	defer w.sending.Unlock()
	for {
		due := w.takeDue(w.now().UTC())
		if len(due) == 0 {
			return attempts, ctx.Err()
		}
		w.sendAll(ctx, due)
		attempts += len(due)
		if err := ctx.Err(); err != nil {
			return attempts, err
		}
	}
}

// sendAll sends deliveries with as many workers as configured, and waits for them.
func (w *Webhooks) sendAll(ctx context.Context, due []*delivery) {
	next := make(chan *delivery)
	var workers sync.WaitGroup
	for range min(max(w.config.DeliveryWorkers, 1), len(due)) {
		workers.Go(func() {
			for d := range next {
				w.send(ctx, d)
			}
		})
	}
	for _, d := range due {
		next <- d
	}
	close(next)
	workers.Wait()
}

// Push delivers what is due, whenever it falls due, until the context ends. It is for a clock that runs; at
// a clock that stands, Deliver does the same once.
func (w *Webhooks) Push(ctx context.Context) {
	// The clock may be another one than the timer's.
	const longest = time.Minute
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.timetable.wake:
		}
		if _, err := w.Deliver(ctx); err != nil {
			return
		}
		wait := longest
		if due, ok := w.NextDelivery(); ok {
			wait = min(max(due.Sub(w.now()), time.Millisecond), longest)
		}
		timer.Reset(wait)
	}
}

// attempt is one attempt of a delivery.
type attempt struct {
	delivery *delivery
	number   int
	id       string // to be repeated by the acknowledgement; "" for any
	url      string
	secret   string
	at       time.Time
}

// send makes one attempt, and records how it ended. Under delivery=twice a delivery that was acknowledged
// is sent once more.
func (w *Webhooks) send(ctx context.Context, d *delivery) {
	if ctx.Err() != nil {
		w.putBack(d)
		return
	}
	// An attempt is not broken off: its outcome would be unknown. It has a deadline of its own.
	ctx = context.WithoutCancel(ctx)
	w.mu.Lock()
	a := attempt{delivery: d, number: d.attempts, url: d.subscription.target.url, secret: w.secret.text, at: w.now().UTC()}
	if d.optOut == "" {
		a.id = d.id
	}
	body := d.body
	w.mu.Unlock()
	o := w.courier.post(ctx, &a, w.stampOf(d, a.at), body)
	if a.number == 1 && w.switches.Delivery == "lost-answer" {
		o = attemptResult{problem: "timeout"}
	}
	w.record(&a, o)
	if !o.acknowledged() || w.switches.Delivery != "twice" {
		return
	}
	a.at = w.now().UTC()
	w.recordCopy(&a, w.courier.post(ctx, &a, w.stampOf(d, a.at), body))
}

// putBack lets a delivery wait for the next call. The attempt that was prepared does not count.
func (w *Webhooks) putBack(d *delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d.attempts--
	w.timetable.enqueue(d)
}

// stampOf returns the timestamp header of an attempt.
func (w *Webhooks) stampOf(d *delivery, now time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.stamp != "" && w.switches.RetryTimestamp == "original" {
		return d.stamp
	}
	if w.switches.Delivery == "old-stamp" && d.stamp == "" {
		now = now.Add(-10 * time.Minute)
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	if w.switches.TimestampUnit == "milliseconds" {
		stamp = strconv.FormatInt(now.UnixMilli(), 10)
	}
	if d.stamp == "" {
		d.stamp = stamp
	}
	return stamp
}

// record records the outcome of an attempt.
func (w *Webhooks) record(a *attempt, o attemptResult) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, now := a.delivery, w.now().UTC()
	entry := newAuditEntry(a, o, now)
	switch {
	case o.acknowledged():
		d.state, d.ended, d.body = DeliveryAcknowledged, now, nil
		w.ledger.acknowledgeDelivery(d.credits)
	case a.number < maxAttempts:
		d.due = now.Add(retryUnits[w.switches.RetryIntervals] << (a.number - 1))
		w.timetable.enqueue(d)
	default:
		entry.status = auditLost
		w.lose(d, now)
		if s := d.subscription; !s.deleted && s.active {
			s.switchOff(maxRetries, now)
		}
	}
	w.audit = append(w.audit, entry)
}

// recordCopy records the outcome of a second copy, which changes nothing else.
func (w *Webhooks) recordCopy(a *attempt, o attemptResult) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.audit = append(w.audit, newAuditEntry(a, o, w.now().UTC()))
}

// lose ends a delivery that was not acknowledged. The caller holds the lock.
func (w *Webhooks) lose(d *delivery, now time.Time) {
	d.state, d.ended, d.body = DeliveryLost, now, nil
	if w.switches.DeliveryBilling == "acknowledged" && d.credits > 0 {
		w.ledger.refundDelivery(d.event.signal.key, d.credits)
		d.credits = 0
	}
}
