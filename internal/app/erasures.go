package app

import (
	"context"
	"time"

	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sources"
)

// optOutReason is why a person whose notice a webhook delivered is to be forgotten.
const optOutReason = "opt-out notice of the vendor"

// recordOptOut records the request of a notice in the journal, once. The journal has the vendor's id of the person, and
// digests of the other identifiers.
func (p *publisher) recordOptOut(ctx context.Context, d *inbox.Delivery) error {
	l := p.lake
	if d.Pruned || l.ledger.Erasures().IsKnown(d.ID) {
		return nil
	}
	notice := lusha.ReadOptOut(d.Body)
	if notice == nil {
		l.env.Log.Warn("an opt-out notice names no contact", "delivery", d.ID)
		return nil
	}
	return l.recordErasure(ctx, ledger.Erasure{Contact: notice.Contact, Requested: notice.Requested, Received: d.Received.UTC(), Reason: optOutReason, Source: d.ID}, identitiesOf(notice)...)
}

// recordErasure records a request durably.
func (l *lake) recordErasure(ctx context.Context, x ledger.Erasure, identities ...pipeline.Identity) error {
	if record := l.store.record; record != nil {
		if err := record(ctx); err != nil {
			return err
		}
	}
	if err := l.ledger.Erasures().Record(x, identities...); err != nil {
		return &Error{KindStorage, err}
	}
	l.env.Log.Info("a person has opted out: nothing is requested about the person any more", "contact", x.Contact)
	return nil
}

// identitiesOf are the identifiers of the notice as a list would have them.
func identitiesOf(notice *lusha.OptOut) (identities []pipeline.Identity) {
	if profile, _, err := sources.LinkedIn(notice.LinkedIn); err == nil {
		identities = append(identities, pipeline.IdentityOfText(schema.Contact, schema.ByLinkedIn, profile))
	}
	for _, email := range notice.Emails {
		if address, _, err := sources.Email(email); err == nil {
			identities = append(identities, pipeline.IdentityOfText(schema.Contact, schema.ByEmail, address))
		}
	}
	return identities
}

// erasureDue is how long after its request a person should be erased.
const erasureDue = 30 * 24 * time.Hour

// ErasureRequest is the request that a person be forgotten.
type ErasureRequest struct {
	Contact   string     `json:"contact_id"`
	Requested *time.Time `json:"requested,omitempty"` // by the person; nil: it is not known when
	Received  time.Time  `json:"received"`
	Due       time.Time  `json:"due"`
	Reason    string     `json:"why"`
}

// ListErasures lists the requests that a lake has received, oldest first. pending are notices in the inbox that are not
// recorded yet.
func ListErasures(ctx context.Context, env *Env, o StoreOptions, uri string) (requests []ErasureRequest, pending int, err error) {
	l, err := openExistingLake(ctx, env, o, uri, readOnly)
	if err != nil {
		return nil, 0, err
	}
	defer l.close() //nolint:errcheck // nothing was written
	requests = []ErasureRequest{}
	known := l.ledger.Erasures()
	for _, x := range known.All() {
		r := ErasureRequest{Contact: x.Contact, Received: x.Received, Due: x.Received.Add(erasureDue), Reason: x.Reason}
		if !x.Requested.IsZero() {
			r.Requested = &x.Requested
		}
		requests = append(requests, r)
	}
	received, err := openInbox(ctx, env, o, uri)
	if err != nil {
		return nil, 0, err
	}
	defer received.Close() //nolint:errcheck // it was only read
	end, err := received.End(ctx)
	if err != nil || end == "" {
		return requests, 0, err
	}
	for d, err := range received.Deliveries(ctx, "", end) {
		if err != nil {
			return nil, 0, inboxError(uri, err)
		}
		if d.Kind == inbox.OptOut && !known.IsKnown(d.ID) {
			pending++
		}
	}
	return requests, pending, nil
}

// OptedOut are the ids of contacts that have opted out, sorted. A copy of a lake without its journal has none; a journal
// that cannot be read is warned about.
func OptedOut(ctx context.Context, env *Env, o StoreOptions, uri string) []string {
	_, journal, err := findJournal(ctx, env, o, uri)
	if err == nil && !journal {
		return nil
	}
	var l *lake
	if err == nil {
		l, err = openLake(ctx, env, o, uri, readOnly)
	}
	if err != nil {
		env.Log.Warn("the views do not leave out contacts that have opted out: the journal cannot be read", "lake", uri, "error", err)
		return nil
	}
	defer l.close() //nolint:errcheck // nothing was written
	return l.ledger.Erasures().Contacts()
}
