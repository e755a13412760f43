package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/schema"
)

// WebhookOptions say which lake's webhooks a command is about.
type WebhookOptions struct {
	Command string // for the lock
	Lake    string
	API     APIOptions
	Store   StoreOptions
	OpenAPI func(context.Context) (Endpoint, error)
}

// webhookSession is a command about a lake's webhooks at work: connected, and with the state.
type webhookSession struct {
	env    *Env
	o      WebhookOptions
	conn   connection
	client lusha.Webhooks
	store  *webhookStore
	state  *subscriptions.State
}

// openWebhookSession connects to the API and reads the state. A holder of the lock may change it.
func openWebhookSession(ctx context.Context, env *Env, o WebhookOptions, writes bool) (s *webhookSession, err error) {
	s = &webhookSession{env: env, o: o}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	holder := readOnly
	if writes {
		holder = "siglake " + o.Command
		if err := mustExist(ctx, env, o.Store, o.Lake); err != nil {
			return s, err
		}
	}
	if s.store, err = openWebhooks(ctx, env, o.Store, o.Lake, holder); err != nil {
		return s, err
	}
	if s.state, err = s.store.read(ctx); err != nil {
		return s, err
	}
	if s.conn, err = connectAPI(ctx, env, o.API.withS3(o.Store.S3), o.OpenAPI); err != nil {
		return s, err
	}
	s.client = s.conn.client.Webhooks()
	return s, nil
}

func (s *webhookSession) close() {
	if s.conn.disconnect != nil {
		s.conn.disconnect()
	}
	if s.store != nil {
		_ = s.store.close() // what was written is durable
	}
}

// openSubscribedSession opens a session that changes the webhooks of a lake, which has some.
func openSubscribedSession(ctx context.Context, env *Env, o WebhookOptions) (*webhookSession, error) {
	s, err := openWebhookSession(ctx, env, o, true)
	if err != nil {
		return nil, err
	}
	if err := s.mustHaveLists(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// mustHaveLists refuses a lake without webhooks.
func (s *webhookSession) mustHaveLists() error {
	if len(s.state.Lists) == 0 {
		return UsageErrorf("%s has no webhooks; siglake webhooks sync LIST creates them", s.o.Lake)
	}
	return nil
}

// reconcile makes the vendor's subscriptions what the state wants.
func (s *webhookSession) reconcile(ctx context.Context, removed string) (*WebhookChanges, error) {
	return (&webhookWriter{env: s.env, client: s.client, store: s.store, state: s.state}).reconcile(ctx, removed)
}

// WebhookList is what the vendor has, and what the lake wants.
type WebhookList struct {
	Lake          string               `json:"lake"`
	LakeID        string               `json:"lake_id"`
	URL           string               `json:"url"`
	Lists         []subscriptions.List `json:"lists"`
	Subscriptions []ListedSubscription `json:"subscriptions"`
	Own           int                  `json:"own"`
	Blocked       int                  `json:"blocked"` // of the lake's own
	Others        int                  `json:"others"`  // of the account, not the lake's
	Pending       int                  `json:"pending"` // wanted, and not there
	Gaps          []subscriptions.Gap  `json:"gaps"`
	Pause         *subscriptions.Pause `json:"pause,omitempty"`
	OptOuts       bool                 `json:"opt_outs"` // the lake has subscribed to notices of opt-outs
	// Times in which no such notices were delivered.
	OptOutGaps []subscriptions.OptOutGap `json:"opt_out_gaps,omitempty"`
}

// ListedSubscription is a subscription at the vendor.
type ListedSubscription struct {
	ID         string        `json:"id"`
	Own        bool          `json:"own"`
	Object     schema.Object `json:"object"`
	EntityID   string        `json:"entity_id"`
	AccountKey string        `json:"account_key,omitempty"`
	Signals    []string      `json:"signals"`
	URL        string        `json:"url"`
	Name       string        `json:"name"`
	Active     bool          `json:"active"`
	Blocked    string        `json:"blocked,omitempty"` // why
	BlockedAt  *time.Time    `json:"blocked_at,omitempty"`
	CreatedAt  *time.Time    `json:"created_at,omitempty"`
}

// ListWebhooks lists the lake's subscriptions as the vendor has them; with all, those of the account.
func ListWebhooks(ctx context.Context, env *Env, o WebhookOptions, all bool) (*WebhookList, error) {
	s, err := openWebhookSession(ctx, env, o, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	exist, err := listSubscriptions(ctx, s.client)
	if err != nil {
		return nil, askError(ctx, err)
	}
	w := &WebhookList{Lake: o.Lake, LakeID: s.state.Lake, URL: s.state.URL, Lists: s.state.Lists, Subscriptions: []ListedSubscription{}, Gaps: s.state.Gaps, Pause: s.state.Pause, OptOuts: s.state.OptOut != ""}
	w.OptOutGaps = s.state.OptOutGapsAt(subscriptions.Compare(s.state, exist, "", env.Now()).OptOut)
	there := map[schema.Entity]bool{}
	for i := range exist {
		e := &exist[i]
		listed := newListedSubscription(s.state, e)
		if listed.Own {
			w.Own++
			there[schema.Entity{Object: e.Object, ID: e.EntityID}] = true
			if !e.Active {
				w.Blocked++
			}
		} else {
			w.Others++
		}
		if listed.Own || all {
			w.Subscriptions = append(w.Subscriptions, listed)
		}
	}
	for i := range s.state.Subscriptions {
		u := &s.state.Subscriptions[i]
		if s.state.Pause == nil && !there[schema.Entity{Object: u.Object, ID: u.EntityID}] {
			w.Pending++
		}
	}
	return w, nil
}

func newListedSubscription(state *subscriptions.State, e *lusha.Subscription) ListedSubscription {
	l := ListedSubscription{
		ID: e.ID, Own: state.Lake != "" && strings.HasPrefix(e.Name, subscriptions.NamePrefix(state.Lake)), Object: e.Object, EntityID: e.EntityID,
		Signals: e.Signals, URL: e.URL, Name: e.Name, Active: e.Active, Blocked: e.BlockReason,
	}
	if l.Own {
		l.AccountKey = state.AccountKey(e.Object, e.EntityID)
	}
	if !e.BlockedAt.IsZero() {
		l.BlockedAt = &e.BlockedAt
	}
	if !e.CreatedAt.IsZero() {
		l.CreatedAt = &e.CreatedAt
	}
	return l
}

// RemoveWebhooks ends the subscriptions of a list; without yes it plans that. Entities that another list has stay.
func RemoveWebhooks(ctx context.Context, env *Env, o WebhookOptions, list string, yes bool) (*WebhookChanges, error) {
	s, err := openWebhookSession(ctx, env, o, yes)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if s.state.Lake == "" {
		return nil, s.mustHaveLists()
	}
	if err := s.mustHaveList(ctx, list); err != nil {
		return nil, err
	}
	s.state.SetList(subscriptions.List{Name: list}, nil, nil)
	if yes {
		return s.reconcile(ctx, list)
	}
	changes, err := planWebhookChanges(ctx, s.client, s.state, list, env.Now())
	if err != nil {
		return nil, askError(ctx, err)
	}
	return changes, nil
}

// mustHaveList refuses a name that neither the state nor a subscription of the lake has.
func (s *webhookSession) mustHaveList(ctx context.Context, name string) error {
	if s.state.FindList(name) != nil {
		return nil
	}
	exist, err := listSubscriptions(ctx, s.client)
	if err != nil {
		return askError(ctx, err)
	}
	if slices.ContainsFunc(exist, func(e lusha.Subscription) bool { return e.Name == subscriptions.NamePrefix(s.state.Lake)+name }) {
		return nil
	}
	var names []string
	for i := range s.state.Lists {
		names = append(names, s.state.Lists[i].Name)
	}
	return UsageErrorf("%s subscribes to no list %q; its lists are: %s", s.o.Lake, name, cmp.Or(strings.Join(names, ", "), "none"))
}

// pausedByHand is the reason of a pause that a person ordered.
const pausedByHand = "siglake webhooks pause"

// PauseWebhooks ends all deliveries to the lake: its subscriptions are deleted at the vendor, and the lake remembers
// them. One call deletes 25; to switch them off would take a call for each.
func PauseWebhooks(ctx context.Context, env *Env, o WebhookOptions) (*WebhookChanges, error) {
	s, err := openSubscribedSession(ctx, env, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.pause(ctx, pausedByHand)
}

func (s *webhookSession) pause(ctx context.Context, reason string) (*WebhookChanges, error) {
	if s.state.Pause == nil {
		s.state.Pause = &subscriptions.Pause{Since: s.env.Now().UTC(), Reason: reason}
	}
	return s.reconcile(ctx, "")
}

// ResumeWebhooks creates the subscriptions again that a pause deleted. What was to be delivered meanwhile is noted, so
// that the next nightly run polls it.
func ResumeWebhooks(ctx context.Context, env *Env, o WebhookOptions) (*WebhookChanges, error) {
	s, err := openSubscribedSession(ctx, env, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.resume(ctx)
}

func (s *webhookSession) resume(ctx context.Context) (*WebhookChanges, error) {
	if p := s.state.Pause; p != nil {
		for i := range s.state.Subscriptions {
			u := &s.state.Subscriptions[i]
			s.state.NoteGap(u.Object, u.EntityID, p.Since.AddDate(0, 0, -1), s.env.Now(), "webhooks were paused")
		}
		s.state.Pause = nil
	}
	return s.reconcile(ctx, "")
}

// TestWebhooks makes the vendor deliver an invented event for subscriptions, free of charge: those of the ids, or one
// of the lake's.
func TestWebhooks(ctx context.Context, env *Env, o WebhookOptions, ids []string) (tests []lusha.HookTest, err error) {
	s, err := openWebhookSession(ctx, env, o, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if len(ids) == 0 {
		i := slices.IndexFunc(s.state.Subscriptions, func(u subscriptions.Subscription) bool { return u.ID != "" && u.Active })
		if i < 0 {
			return nil, UsageErrorf("%s has no active webhook that could be tested; siglake webhooks list shows them", o.Lake)
		}
		ids = []string{s.state.Subscriptions[i].ID}
	}
	for _, id := range ids {
		t, err := s.client.Test(ctx, id)
		if err != nil {
			return tests, webhookError(ctx, err)
		}
		tests = append(tests, *t)
	}
	return tests, nil
}

// OptOutOrder is the order of notices of contacts that opt out.
type OptOutOrder struct {
	Lake         string             `json:"lake"`
	Subscription ListedSubscription `json:"subscription"`
	// Times in which no notices were delivered.
	Gaps []subscriptions.OptOutGap `json:"opt_out_gaps"`
}

// SubscribeOptOuts orders notices of contacts that opt out, to the lake's URL or another one. An account can have one
// such order: if it is the lake's, it is switched on, and gets another URL. asked: the vendor has said who opted out
// in the times in which no notices were delivered, up to now.
func SubscribeOptOuts(ctx context.Context, env *Env, o WebhookOptions, hookURL string, asked bool) (*OptOutOrder, error) {
	if hookURL != "" {
		if err := checkHookURL(hookURL); err != nil {
			return nil, err
		}
	}
	s, err := openWebhookSession(ctx, env, o, true)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if s.state.Lake == "" {
		s.state.Lake = newLakeID()
	}
	exist, err := listSubscriptions(ctx, s.client)
	if err != nil {
		return nil, askError(ctx, err)
	}
	sub := subscriptions.Compare(s.state, exist, "", env.Now()).OptOut
	s.state.EndOptOutGap(sub, env.Now())
	if sub == nil {
		sub, err = s.orderOptOuts(ctx, cmp.Or(hookURL, s.state.URL))
	} else {
		sub, err = s.renewOptOuts(ctx, sub, hookURL)
	}
	if err != nil {
		return nil, err
	}
	if s.state.SetOptOuts(sub, env.Now()); asked {
		s.state.OptOutGaps = nil
	}
	order := &OptOutOrder{Lake: o.Lake, Subscription: newListedSubscription(s.state, sub), Gaps: slices.Concat([]subscriptions.OptOutGap{}, s.state.OptOutGaps)}
	return order, s.store.write(ctx, s.state)
}

// orderOptOuts creates the order. The lake's id is durable before, and since when no notices were delivered: if this
// process dies, the next one knows by the name that the order is the lake's.
func (s *webhookSession) orderOptOuts(ctx context.Context, hookURL string) (*lusha.Subscription, error) {
	if hookURL == "" {
		return nil, UsageErrorf("name the address that the vendor delivers to with --url: that of siglake listen, or of the proxy in front of it")
	}
	if err := s.store.write(ctx, s.state); err != nil {
		return nil, err
	}
	sub, err := s.client.SubscribeOptOuts(ctx, hookURL, subscriptions.NamePrefix(s.state.Lake)+"opt-outs")
	if refusal := new(lusha.RefusalError); errors.As(err, &refusal) && refusal.Class == lusha.ClassEntitlement {
		return nil, &Error{KindAuth, fmt.Errorf("%w; an account can have one subscription to opt-outs: siglake webhooks list --all shows it", err)}
	}
	if err != nil {
		return nil, webhookError(ctx, err)
	}
	return sub, nil
}

// renewOptOuts makes an order as it should be.
func (s *webhookSession) renewOptOuts(ctx context.Context, sub *lusha.Subscription, hookURL string) (*lusha.Subscription, error) {
	var change lusha.HookChange
	if hookURL != "" && hookURL != sub.URL {
		change.URL = hookURL
	}
	if !sub.Active {
		active := true
		change.Active = &active
	}
	if change.URL == "" && change.Active == nil {
		return sub, nil
	}
	if err := s.store.write(ctx, s.state); err != nil { // since when no notices were delivered
		return nil, err
	}
	changed, err := s.client.Change(ctx, sub.ID, change)
	if err != nil {
		return nil, webhookError(ctx, err)
	}
	return changed, nil
}

// WebhookTotals are the vendor's totals of deliveries, and what the lake knows.
type WebhookTotals struct {
	Vendor lusha.HookStats      `json:"vendor"` // of the whole account
	Lake   string               `json:"lake"`
	Lists  int                  `json:"lists"`
	Wanted int                  `json:"subscriptions"`
	Gaps   int                  `json:"gaps"`
	Pause  *subscriptions.Pause `json:"pause,omitempty"`
	// Times in which no notices of opt-outs were delivered, as far as the lake has noted them.
	OptOutGaps []subscriptions.OptOutGap `json:"opt_out_gaps,omitempty"`
}

// SumWebhooks reads the vendor's totals.
func SumWebhooks(ctx context.Context, env *Env, o WebhookOptions) (*WebhookTotals, error) {
	s, err := openWebhookSession(ctx, env, o, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	stats, err := s.client.Stats(ctx)
	if err != nil {
		return nil, webhookError(ctx, err)
	}
	return &WebhookTotals{Vendor: *stats, Lake: o.Lake, Lists: len(s.state.Lists), Wanted: len(s.state.Subscriptions), Gaps: len(s.state.Gaps), Pause: s.state.Pause, OptOutGaps: s.state.OptOutGaps}, nil
}

// PauseText says since when a lake's webhooks are paused, and how to resume; empty: they are not.
func PauseText(p *subscriptions.Pause) string {
	if p == nil {
		return ""
	}
	end := "until siglake webhooks resume"
	if p.Reason == pausedByCap {
		end = "before siglake webhooks cap runs on the next day (UTC), or with a higher --max-credits-per-day"
	}
	return fmt.Sprintf("paused since %s (%s): nothing is delivered %s; the next siglake run --since last after that polls what happened meanwhile", p.Since.Format(minuteUTC), p.Reason, end)
}

// BlockedText says that the vendor has switched subscriptions off; empty: none is, or was.
func BlockedText(n int, verb string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s %s switched off at the vendor, which does that when deliveries are not acknowledged: see that siglake listen runs, and that the vendor reaches it", format.Count(int64(n), "subscription"), verb)
}

// OptOutGapText says when no notices of opt-outs were delivered, and what to do; empty: they always were.
func OptOutGapText(gaps []subscriptions.OptOutGap) string {
	if len(gaps) == 0 {
		return ""
	}
	var times []string
	goesOn := false
	for i := range gaps {
		g := &gaps[i]
		from, text := "a time that siglake does not know", ""
		if g.From != nil {
			from = g.From.Format(minuteUTC)
		}
		if text = "since " + from; g.Until != nil {
			text = "from " + from + " to " + g.Until.Format(minuteUTC)
		}
		goesOn = goesOn || g.Until == nil
		times = append(times, text+" ("+g.Reason+")")
	}
	order := ""
	if goesOn {
		order = "siglake webhooks opt-outs orders them again; "
	}
	return fmt.Sprintf("no notices of opt-outs were delivered %s, and the vendor does not repeat them: %sask the vendor who opted out meanwhile, then end this note with siglake webhooks opt-outs --asked", strings.Join(times, ", "), order)
}

// minuteUTC is how messages state a time.
const minuteUTC = "2006-01-02 15:04 UTC"

// GapsText says how many entities may lack events; empty: none.
func GapsText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("events of %s may not have been delivered: the next siglake run --since last polls them", format.Count(int64(n), "entity"))
}
