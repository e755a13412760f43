package app

import (
	"context"
	"time"

	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
)

// publishInbox publishes what webhooks have delivered before the run asks for anything: an event that is in the lake
// is not asked for again by a run with --since last. A run about anything but signals has no use for events, and records
// only who has opted out.
func (s *session) publishInbox(ctx context.Context) error {
	j, l := s.job, s.lake
	if j.Demo {
		return nil
	}
	received, err := openInbox(ctx, j.env, j.Store, l.uri)
	if err != nil {
		return err
	}
	defer received.Close() //nolint:errcheck // it was only read
	if _, err := received.End(ctx); l.mayLackInbox(err) {
		return nil
	}
	p := newPublisher(l, received, j.Store, j.isSimulated())
	if j.Service != pipeline.Signals {
		return p.recordOptOuts(ctx)
	}
	_, err = p.publish(ctx)
	return err
}

// mayLackInbox reports whether an error says that the inbox must not be read, and nothing says that there is one: the
// permissions of a lake in a bucket may be from before there were inboxes.
func (l *lake) mayLackInbox(err error) bool {
	return isForbidden(err) && lastPublication(l.ledger.Runs()) == nil
}

// deliveredEvents counts the new events of the deliveries that were published since the last nightly run was. Their order
// is that of the generations: a nightly run that was interrupted is published long after it began.
func deliveredEvents(ctx context.Context, l *ledger.Ledger) (events int64, err error) {
	last := int64(0)
	for _, r := range l.Runs() {
		if spec := r.Spec(); r.Published != nil && spec.SinceLast() {
			last = max(last, r.Published.Generation)
		}
	}
	for _, r := range l.Runs() {
		if r.Inbox == nil || r.Published == nil || r.Published.Generation < last {
			continue
		}
		m, err := l.Reader().PreparedManifest(ctx, r)
		if err != nil {
			return 0, err
		}
		events += m.Events.New
	}
	return events, nil
}

// deliveredSince is what webhooks have charged since a time, as the journal and the inbox say. Charges that are unknown
// do not count.
func deliveredSince(ctx context.Context, l *lake, o StoreOptions, since time.Time) (credits int64, err error) {
	last := lastPublication(l.ledger.Runs())
	received, err := openInbox(ctx, l.env, o, l.uri)
	if err != nil {
		return 0, err
	}
	defer received.Close() //nolint:errcheck // it was only read
	end, err := received.End(ctx)
	if l.mayLackInbox(err) {
		return 0, nil
	}
	if err != nil || last == nil && end == "" {
		return 0, err
	}
	known, err := l.ledger.Reader().Deliveries(ctx, nil)
	if err != nil {
		return 0, err
	}
	from := inbox.Position("")
	if last != nil {
		from = inbox.Position(last.Inbox.To)
	}
	for _, r := range l.ledger.Runs() {
		for _, c := range r.Calls {
			if r.Inbox != nil && !c.Time.Before(since) {
				credits += c.Charge.Credits
			}
		}
	}
	if end == "" {
		return credits, nil
	}
	for d, err := range received.Deliveries(ctx, from, end) {
		if err != nil {
			return credits, err
		}
		if id := callOf(&d); !known[id] && !d.Received.Before(since) && (d.Kind == inbox.Event || d.Kind == inbox.Unreadable) {
			known[id] = true
			credits += lusha.ReadDelivery(d.Body).Charge.Credits
		}
	}
	return credits, nil
}
