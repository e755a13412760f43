package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/schema"
)

// WebhookAudit compares what the vendor says that it has delivered with what the lake has received.
type WebhookAudit struct {
	Lake  string    `json:"lake"`
	Since time.Time `json:"since"`
	// Deliveries to the lake's URL, each once whatever the attempts.
	Delivered int `json:"delivered"` // that the vendor counts as successful
	Received  int `json:"received"`  // of those, that the lake has
	GivenUp   int `json:"given_up"`  // that the vendor does not attempt any more, and no night has polled since
	// Missing ones, and ones that were given up, of which an earlier audit noted that, and that a night has polled since.
	Polled int `json:"polled"`
	// Notices of opt-outs. They have no id by which both sides know them, and nothing polls them.
	OptOuts AuditedOptOuts `json:"opt_outs"`
	// Times in which no such notices were delivered.
	OptOutGaps []subscriptions.OptOutGap `json:"opt_out_gaps,omitempty"`
	// Subscriptions of the lake that are switched off at the vendor.
	Blocked int `json:"blocked"`
	// Delivered according to the vendor, and not in the lake, oldest first.
	Missing []MissingDelivery `json:"missing"`
	// Entities that the next nightly run polls because of this audit or an earlier one.
	Gaps  int                  `json:"gaps"`
	Pause *subscriptions.Pause `json:"pause,omitempty"`
}

// AuditedOptOuts are the numbers of an audit for notices of opt-outs.
type AuditedOptOuts struct {
	Delivered int `json:"delivered"`
	Received  int `json:"received"`
	GivenUp   int `json:"given_up"`
}

// Lost is the number of notices that are not in the lake and that the vendor does not deliver any more.
func (a *AuditedOptOuts) Lost() int { return max(a.Delivered-a.Received, 0) + a.GivenUp }

// Reason is why the audit ends with an alarm; empty: the lake has what was delivered, or a night has polled it.
func (a *WebhookAudit) Reason() string {
	switch lost := a.OptOuts.Lost(); {
	case len(a.Missing) > 0:
		return "the lake lacks " + format.Count(len(a.Missing), "delivery") + " that the vendor counts as successful"
	case lost > 0:
		return fmt.Sprintf("the lake lacks %s of opt-outs: ask the vendor who opted out since %s", format.Count(lost, "notice"), a.Since.Format(time.DateOnly))
	}
	return ""
}

// Warning is what a team should hear of an audit that found nothing missing; empty: nothing.
func (a *WebhookAudit) Warning() string {
	switch {
	case a.Blocked > 0:
		return BlockedText(a.Blocked, "is")
	case a.GivenUp > 0:
		return fmt.Sprintf("the vendor gave up %s: see that siglake listen runs, and that the vendor reaches it; %s", format.Count(a.GivenUp, "delivery"), GapsText(a.Gaps))
	}
	return OptOutGapText(a.OptOutGaps)
}

// MissingDelivery is a delivery that the vendor counts as successful and that the lake does not have.
type MissingDelivery struct {
	lusha.HookAttempt
	Object   schema.Object `json:"object,omitempty"` // of the subscription, if it exists
	EntityID string        `json:"entity_id,omitempty"`
}

// DefaultAuditSince is how far an audit looks back: as long as an inbox keeps what is published.
const DefaultAuditSince = "7d"

// AuditWebhooks compares the vendor's log of deliveries since an age or date with the inbox and the journal. What is
// missing, or was given up, is noted, so that the next nightly run polls those entities.
func AuditWebhooks(ctx context.Context, env *Env, o WebhookOptions, since string) (*WebhookAudit, error) {
	from, err := auditFrom(env, since)
	if err != nil {
		return nil, err
	}
	s, err := openSubscribedSession(ctx, env, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	a := &webhookAuditor{session: s, report: &WebhookAudit{Lake: o.Lake, Since: from, Missing: []MissingDelivery{}}}
	return a.audit(ctx)
}

// auditFrom is the first day of an audit.
func auditFrom(env *Env, since string) (from time.Time, err error) {
	day, err := parseSince("--since", since, env.Now())
	if err != nil {
		return from, err
	}
	return time.Parse(time.DateOnly, day)
}

// CheckWebhookAudit finds options that are wrong by themselves.
func CheckWebhookAudit(env *Env, since string) error {
	_, err := auditFrom(env, since)
	return err
}

// webhookAuditor audits the webhooks of a lake.
type webhookAuditor struct {
	session *webhookSession
	report  *WebhookAudit
	// By delivery: the successful attempt, or the last one.
	delivered, givenUp map[string]lusha.HookAttempt
	subscriptions      map[string]*lusha.Subscription // by id
	notices            map[string]bool                // of opt-outs, that the lake has received
}

func (a *webhookAuditor) audit(ctx context.Context) (*WebhookAudit, error) {
	// First the vendor's log: what it has by now, the inbox has had before.
	if err := a.readLog(ctx); err != nil {
		return nil, webhookError(ctx, err)
	}
	received, err := a.received(ctx)
	if err != nil {
		return nil, err
	}
	exist, err := listSubscriptions(ctx, a.session.client)
	if err != nil {
		return nil, askError(ctx, err)
	}
	a.subscriptions = map[string]*lusha.Subscription{}
	for i := range exist {
		a.subscriptions[exist[i].ID] = &exist[i]
		if l := newListedSubscription(a.session.state, &exist[i]); l.Own && !l.Active {
			a.report.Blocked++
		}
	}
	a.compare(received)
	optOut := subscriptions.Compare(a.session.state, exist, "", a.session.env.Now()).OptOut
	if optOut != nil {
		a.session.state.SetOptOuts(optOut, a.session.env.Now())
	}
	a.report.OptOutGaps, a.report.Pause = a.session.state.OptOutGapsAt(optOut), a.session.state.Pause
	return a.report, a.session.store.write(ctx, a.session.state)
}

// readLog reads the vendor's log of deliveries to the lake's URL.
func (a *webhookAuditor) readLog(ctx context.Context) error {
	a.delivered, a.givenUp = map[string]lusha.HookAttempt{}, map[string]lusha.HookAttempt{}
	for _, status := range []string{lusha.HookDelivered, lusha.HookGivenUp} {
		for attempt, err := range a.session.client.Attempts(ctx, status) {
			if err != nil {
				return err
			}
			if attempt.DeliveredAt.Before(a.report.Since) && !attempt.DeliveredAt.IsZero() {
				break // newest first
			}
			if attempt.URL != "" && attempt.URL != a.session.state.URL || attempt.DeliveryID == "" {
				continue
			}
			into := a.delivered
			if status == lusha.HookGivenUp {
				into = a.givenUp
			}
			into[attempt.DeliveryID] = attempt
		}
	}
	return nil
}

// isOptOuts reports whether an attempt was to deliver a notice of an opt-out.
func (a *webhookAuditor) isOptOuts(attempt *lusha.HookAttempt) bool {
	sub := a.subscriptions[attempt.SubscriptionID]
	return a.session.state.IsOptOuts(attempt.SubscriptionID) || sub != nil && slices.Contains(sub.Signals, lusha.HookOptOuts)
}

// compare finds what the lake does not have, and notes it.
func (a *webhookAuditor) compare(received map[string]bool) {
	r, state := a.report, a.session.state
	r.OptOuts.Received = len(a.notices)
	for _, id := range slices.Sorted(maps.Keys(a.delivered)) {
		attempt := a.delivered[id]
		if a.isOptOuts(&attempt) {
			r.OptOuts.Delivered++
			continue
		}
		if r.Delivered++; received[id] {
			r.Received++
		} else if e, open := a.note(&attempt, "the vendor counts a delivery as successful that the lake does not have"); open {
			r.Missing = append(r.Missing, MissingDelivery{attempt, e.Object, e.ID})
		} else {
			r.Polled++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(a.givenUp)) {
		attempt := a.givenUp[id]
		if _, later := a.delivered[id]; later || received[id] {
			continue
		}
		if a.isOptOuts(&attempt) {
			r.OptOuts.GivenUp++
		} else if _, open := a.note(&attempt, "the vendor gave a delivery up"); open {
			r.GivenUp++
		} else {
			r.Polled++
		}
	}
	slices.SortFunc(r.Missing, func(a, b MissingDelivery) int {
		return cmp.Or(a.DeliveredAt.Compare(b.DeliveredAt), cmp.Compare(a.DeliveryID, b.DeliveryID))
	})
	state.ForgetAudited(a.session.env.Now().Add(-longestLog))
	r.Gaps = len(state.Gaps)
}

// longestLog is how long the vendor's log has an attempt.
const longestLog = 180 * 24 * time.Hour

// note notes the entity of a delivery that the lake does not have, so that a night polls it: once. open: no night has
// done so yet.
func (a *webhookAuditor) note(attempt *lusha.HookAttempt, reason string) (e schema.Entity, open bool) {
	sub, state := a.subscriptions[attempt.SubscriptionID], a.session.state
	if sub == nil { // nothing says whom it was about: it is an alarm once
		return e, state.Audit(attempt.DeliveryID, attempt.DeliveredAt)
	}
	e = schema.Entity{Object: sub.Object, ID: sub.EntityID}
	if state.Audit(attempt.DeliveryID, attempt.DeliveredAt) {
		state.NoteGap(e.Object, e.ID, attempt.DeliveredAt.AddDate(0, 0, -1), a.session.env.Now(), reason)
	}
	return e, state.HasGap(e.Object, e.ID)
}

// received are the ids of the deliveries that the lake has: in its inbox, or published.
func (a *webhookAuditor) received(ctx context.Context) (map[string]bool, error) {
	known, s := map[string]bool{}, a.session
	a.notices = map[string]bool{}
	l, err := openLakeIfExists(ctx, s.env, s.o.Store, s.o.Lake)
	if err != nil {
		return nil, err
	}
	if l != nil {
		defer l.close() //nolint:errcheck // nothing was written
		if known, err = l.ledger.Reader().Deliveries(ctx, nil); err != nil {
			return nil, lakeError(err)
		}
		for _, x := range l.ledger.Erasures().All() {
			a.addNotice(x.Source, x.Received)
		}
	}
	received, err := openInbox(ctx, s.env, s.o.Store, s.o.Lake)
	if err != nil {
		return nil, err
	}
	defer received.Close() //nolint:errcheck // it was only read
	end, err := received.End(ctx)
	if err != nil || end == "" {
		return known, err
	}
	for d, err := range received.Deliveries(ctx, "", end) {
		switch {
		case err != nil:
			return nil, inboxError(s.o.Lake, err)
		case d.Kind == inbox.OptOut:
			a.addNotice(d.ID, d.Received)
		case d.Kind == inbox.Event:
			known[callOf(&d)] = true
		}
		known[d.ID] = true
	}
	return known, nil
}

// addNotice adds a notice of an opt-out, if the vendor's log since then has it: its clock may be another one, and a
// delivery takes a moment.
func (a *webhookAuditor) addNotice(id string, received time.Time) {
	const clocks = 5 * time.Minute
	if id != "" && !received.Before(a.report.Since.Add(-clocks)) {
		a.notices[id] = true
	}
}

// WebhookCap says how far the deliveries of a day are from a cap.
type WebhookCap struct {
	Lake    string               `json:"lake"`
	Cap     int64                `json:"max_credits_per_day"`
	Spent   int64                `json:"credits"` // that the deliveries of the day state
	Pause   *subscriptions.Pause `json:"pause,omitempty"`
	Changed string               `json:"changed,omitempty"` // paused or resumed, by this command
	Warning string               `json:"warning,omitempty"` // the first of the day that most of the cap is spent
}

// Share is what is spent of the cap, in percent.
func (c *WebhookCap) Share() int64 { return c.Spent * 100 / c.Cap }

// CapWarnsAt is the share of the cap, in percent, from which a command warns.
const CapWarnsAt = 80

// pausedByCap is the reason of a pause at the cap, which ends with the day.
const pausedByCap = "siglake webhooks cap"

// CapWebhooks pauses the lake's webhooks if the deliveries of the day (UTC) have cost as much as the cap allows, and
// resumes them on another day, or under a higher cap. A push is charged before siglake sees it, so the cap can be exceeded by what is delivered
// between two of these commands.
func CapWebhooks(ctx context.Context, env *Env, o WebhookOptions, maxPerDay string) (*WebhookCap, error) {
	limit, err := parseWebhookCap(maxPerDay)
	if err != nil {
		return nil, err
	}
	s, err := openSubscribedSession(ctx, env, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	c := &WebhookCap{Lake: o.Lake, Cap: limit}
	today := env.Now().UTC().Truncate(24 * time.Hour)
	if c.Spent, err = s.delivered(ctx, today); err != nil {
		return nil, err
	}
	pause := s.state.Pause
	switch {
	case c.Spent >= limit && pause == nil:
		c.Changed = "paused"
		_, err = s.pause(ctx, pausedByCap)
	case pause != nil && pause.Reason == pausedByCap && c.Spent < limit: // another day, or a higher cap
		c.Changed = "resumed"
		_, err = s.resume(ctx)
	case pause != nil: // one that was interrupted is finished
		_, err = s.reconcile(ctx, "")
	}
	if c.Pause = s.state.Pause; err != nil || c.Share() < CapWarnsAt {
		return c, err
	}
	text := fmt.Sprintf("deliveries have cost %d%% of the cap of the day", c.Share())
	env.Log.Warn(text, "credits", c.Spent, "max_credits_per_day", limit)
	if day := today.Format(time.DateOnly); c.Pause == nil && s.state.CapWarned != day {
		c.Warning, s.state.CapWarned = fmt.Sprintf("%s: %d of %d credits", text, c.Spent, limit), day
		err = s.store.write(ctx, s.state)
	}
	return c, err
}

// parseWebhookCap reads the cap of a day. A command without one would do nothing.
func parseWebhookCap(text string) (limit int64, err error) {
	switch limit, err = strconv.ParseInt(text, 10, 64); {
	case text == "":
		return 0, UsageErrorf("state the cap with --max-credits-per-day N; to end a pause, use siglake webhooks resume")
	case err != nil || limit < 1:
		return 0, UsageErrorf("--max-credits-per-day %q: expected a number of credits from 1; to end all deliveries, use siglake webhooks pause", text)
	}
	return limit, nil
}

// CheckWebhookCap finds a cap that is wrong by itself.
func CheckWebhookCap(maxPerDay string) error {
	_, err := parseWebhookCap(maxPerDay)
	return err
}

// delivered is what deliveries have charged since a moment.
func (s *webhookSession) delivered(ctx context.Context, since time.Time) (int64, error) {
	l, err := openLake(ctx, s.env, s.o.Store, s.o.Lake, readOnly)
	if err != nil {
		return 0, err
	}
	defer l.close() //nolint:errcheck // nothing was written
	return deliveredSince(ctx, l, s.o.Store, since)
}
