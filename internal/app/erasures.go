package app

import (
	"context"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/subscriptions"
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

// recordOptOuts records all notices that the inbox has and the journal lacks: also those that earlier publications
// recorded, and a salvage has lost.
func (p *publisher) recordOptOuts(ctx context.Context) error {
	end, err := p.inbox.End(ctx)
	if err == nil {
		err = visitNotices(ctx, p.inbox, end, func(d *inbox.Delivery) error { return p.recordOptOut(ctx, d) })
	}
	if err != nil {
		return inboxError(p.lake.uri, err)
	}
	return nil
}

// visitNotices visits the opt-out notices of an inbox up to its end.
func visitNotices(ctx context.Context, received *inbox.Reader, end inbox.Position, visit func(*inbox.Delivery) error) error {
	for d, err := range received.Deliveries(ctx, "", end) {
		if err == nil && d.Kind == inbox.OptOut {
			err = visit(&d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// optedOut are purchases to which the persons are known whose notices no run has recorded yet.
type optedOut struct {
	pipeline.Purchases
	reasons map[pipeline.Identity]string
}

// Suppressed says why nothing may be asked about an account.
func (o *optedOut) Suppressed(ctx context.Context, a *schema.Account) (reason string) {
	if reason = o.Purchases.Suppressed(ctx, a); reason != "" {
		return reason
	}
	for _, identity := range ledger.PersonIdentities(ctx, a, o.Purchases) {
		if reason = o.reasons[identity]; reason != "" {
			return reason
		}
	}
	return ""
}

// add adds the person of a notice.
func (o *optedOut) add(d *inbox.Delivery) error {
	notice := lusha.ReadOptOut(d.Body)
	if notice == nil || d.Pruned {
		return nil
	}
	x := ledger.Erasure{Contact: notice.Contact, Requested: notice.Requested, Received: d.Received}
	for _, identity := range append(identitiesOf(notice), pipeline.IdentityByID(schema.Contact, notice.Contact)) {
		o.reasons[identity] = x.Text()
	}
	return nil
}

// withPendingOptOuts adds to purchases what the notices in the inbox say that no run has recorded yet: what a command
// that only reads has to know.
func withPendingOptOuts(ctx context.Context, env *Env, o StoreOptions, uri string, l *lake, all pipeline.Purchases) (pipeline.Purchases, error) {
	if uri == "" {
		return all, nil
	}
	received, err := openInbox(ctx, env, o, uri)
	if err != nil {
		return nil, err
	}
	defer received.Close() //nolint:errcheck // it was only read
	pending := &optedOut{Purchases: all, reasons: map[pipeline.Identity]string{}}
	end, err := received.End(ctx)
	if err == nil {
		err = visitNotices(ctx, received, end, pending.add)
	}
	switch {
	case isForbidden(err) && (l == nil || l.mayLackInbox(err)):
		return all, nil
	case err != nil:
		return nil, inboxError(uri, err)
	case len(pending.reasons) == 0:
		return all, nil
	}
	if all == nil {
		pending.Purchases = pipeline.NoPurchases
	}
	return pending, nil
}

// refuseOptedOutSeeds refuses a set of seeds with a person who has opted out. Without the person, other results would be
// bought than those that were asked for.
func (s *session) refuseOptedOutSeeds(ctx context.Context) error {
	if s.job.Service != pipeline.Lookalikes {
		return nil
	}
	known := s.lake.ledger.Purchases(nil, ttlOf(&s.job.spec))
	for i := range s.job.paged.accounts {
		a := &s.job.paged.accounts[i]
		if reason := known.Suppressed(ctx, a); reason != "" {
			return UsageErrorf("--seeds %s, line %d cannot be sent: %s; remove the line", s.job.List, a.Line, reason)
		}
	}
	return nil
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
	if name, _, err := sources.Name(notice.Name); err == nil && name != "" {
		if company, _, err := sources.Name(notice.Company); err == nil && company != "" {
			identities = append(identities, pipeline.IdentityOf(&schema.Account{Object: schema.Contact, Name: name, CompanyName: company}))
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

// ErasureList is what a lake has received of such requests.
type ErasureList struct {
	Requests []ErasureRequest // oldest first
	Pending  int              // notices in the inbox that are not recorded yet
	// Times in which no notices were delivered.
	OptOutGaps []subscriptions.OptOutGap
}

// ListErasures lists the requests that a lake has received.
func ListErasures(ctx context.Context, env *Env, o StoreOptions, uri string) (*ErasureList, error) {
	if uri == "" {
		return nil, ErrNoLake
	}
	received, err := openInbox(ctx, env, o, uri)
	if err != nil {
		return nil, err
	}
	defer received.Close() //nolint:errcheck // it was only read
	end, err := received.End(ctx)
	if err != nil {
		return nil, inboxError(uri, err)
	}
	l, err := openLakeIfExists(ctx, env, o, uri)
	if err == nil && l == nil && end == "" {
		err = mustExist(ctx, env, o, uri)
	}
	if err != nil {
		return nil, err
	}
	list, isKnown := &ErasureList{Requests: []ErasureRequest{}}, func(string) bool { return false }
	if l != nil { // else the inbox is all that there is
		defer l.close() //nolint:errcheck // nothing was written
		known := l.ledger.Erasures()
		isKnown = known.IsKnown
		for _, x := range known.All() {
			r := ErasureRequest{Contact: x.Contact, Received: x.Received, Due: x.Received.Add(erasureDue), Reason: x.Reason}
			if !x.Requested.IsZero() {
				r.Requested = &x.Requested
			}
			list.Requests = append(list.Requests, r)
		}
	}
	err = visitNotices(ctx, received, end, func(d *inbox.Delivery) error {
		if !isKnown(d.ID) {
			list.Pending++
		}
		return nil
	})
	if err != nil {
		return nil, inboxError(uri, err)
	}
	list.OptOutGaps = readWebhooks(ctx, env, o, uri, "times without notices are not shown").OptOutGaps
	return list, nil
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
		env.Log.Warn("rows of contacts that have opted out are not left out: the journal cannot be read", "lake", uri, "error", err)
		return nil
	}
	defer l.close() //nolint:errcheck // nothing was written
	return l.ledger.Erasures().Contacts()
}

// leaveOutOptedOut is what an export leaves out, as OptedOut; nil: nothing.
func leaveOutOptedOut(ctx context.Context, env *Env, o StoreOptions, uri string) func(schema.Object, string) bool {
	ids := OptedOut(ctx, env, o, uri)
	if len(ids) == 0 {
		return nil
	}
	return func(o schema.Object, id string) bool {
		_, gone := slices.BinarySearch(ids, id)
		return gone && o == schema.Contact
	}
}
