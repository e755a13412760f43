package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/receiver"
)

// summaryEvery is how often a listener logs what it received, if it did.
const summaryEvery = time.Minute

// publishLoop publishes the inbox at times, and earlier when many deliveries wait, until ctx ends. An
// attempt that does not come about, because a run has the lake, is repeated after a minute.
func (l *listener) publishLoop(ctx context.Context) {
	if l.o.Publish == nil || l.o.PublishEvery == 0 {
		return
	}
	timer := time.NewTimer(l.o.PublishEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.full:
		}
		next := l.o.PublishEvery
		if !l.publish(ctx) {
			next = min(next, publishRetry)
		}
		timer.Reset(next)
	}
}

// publish publishes the inbox, and removes from it what was published long ago.
func (l *listener) publish(ctx context.Context) (done bool) {
	waiting := l.unpublished.Load()
	until, err := l.o.Publish(ctx)
	outcome := PublicationDone
	var typed *Error
	switch {
	case err == nil:
		l.unpublished.Add(-waiting)
		l.prune(ctx, until)
	case ctx.Err() != nil:
		return false
	case errors.As(err, &typed) && typed.Kind == KindLocked:
		outcome = PublicationLocked
		l.env.Log.Info("a run works on the lake: deliveries are published when it has ended", "lake", l.o.Lake)
	default:
		outcome = PublicationFailed
		l.env.Log.Error("the inbox was not published; nothing that was received is lost", "lake", l.o.Lake, "error", err)
		l.alarms.raise(ctx, AlarmNotPublished, fmt.Sprintf("the inbox was not published; nothing that was received is lost: %v", err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.publications[outcome]++
	if outcome == PublicationDone {
		l.lastPublished = l.env.Now()
	}
	return outcome == PublicationDone
}

// prune removes from the inbox, once a day, what was published before a position and arrived long ago.
func (l *listener) prune(ctx context.Context, until inbox.Position) {
	if now := l.env.Now(); now.Sub(l.lastPruned) >= pruneEvery {
		l.lastPruned = now
		if err := l.inbox.Prune(ctx, until, now.Add(-bodiesKeptFor)); err != nil && ctx.Err() == nil {
			l.env.Log.Warn("old deliveries were not removed from the inbox; they are published, and stay there", "lake", l.o.Lake, "error", err)
		}
	}
}

// summarise logs what was received, at most once a minute, until ctx ends, and reports what is refused.
func (l *listener) summarise(ctx context.Context) {
	ticker := time.NewTicker(summaryEvery)
	defer ticker.Stop()
	var lastFresh, lastKnown int64
	var watch refusalWatch
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		counts := l.receiver.Counts()
		fresh, known := counts.Total()
		if fresh+known > lastFresh+lastKnown {
			l.env.Log.Info("received deliveries", "new", fresh-lastFresh, "again", known-lastKnown, "since_start", fresh+known)
		}
		lastFresh, lastKnown = fresh, known
		for _, found := range watch.look(&counts) {
			l.alarms.raise(ctx, found.Condition, found.Text)
		}
	}
}

// refusalWatch looks at what a receiver refuses, once a minute.
type refusalWatch struct {
	acknowledged, unstored int64 // when it last looked
	// Refused for signature or age when a delivery was last acknowledged.
	unaccepted int64
}

// enoughUnaccepted is the number of deliveries in a row, refused for their signature or age, that are no accident: the
// vendor sends each four times, so it may be one.
const enoughUnaccepted = 4

// look finds what a person has to learn of.
func (w *refusalWatch) look(c *receiver.Counts) (found []Alarm) {
	fresh, known := c.Total()
	unstored := c.Refused[receiver.Busy] + c.Refused[receiver.TooLate] + c.Refused[receiver.NotWritten]
	unaccepted := c.Refused[receiver.WrongSignature] + c.Refused[receiver.TooOld] + c.Refused[receiver.BadTimestamp]
	if n := unstored - w.unstored; n > 0 {
		found = append(found, Alarm{Condition: AlarmNotStored, Text: fmt.Sprintf("siglake listen answered 503 to %s within a minute, because the inbox is not written fast enough: the vendor repeats each three times, and then switches the subscription off", format.Count(n, "request"))})
	}
	if w.unstored = unstored; fresh+known > w.acknowledged {
		w.acknowledged, w.unaccepted = fresh+known, unaccepted
	}
	if n := unaccepted - w.unaccepted; n >= enoughUnaccepted {
		found = append(found, Alarm{Condition: AlarmNotAccepted, Text: fmt.Sprintf("siglake listen has refused %s in a row for the signature or the age, and accepted none since: see the secrets in --secret-file, and this machine's clock", format.Count(n, "request"))})
	}
	return found
}
