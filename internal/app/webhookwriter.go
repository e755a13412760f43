package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/subscriptions"
)

// webhookWriter changes subscriptions at the vendor, so that they are what a lake wants. The state is durable before
// the first change, and is saved from time to time: after a crash, the vendor's list says what was done.
type webhookWriter struct {
	env    *Env
	client lusha.Webhooks
	store  *webhookStore
	state  *subscriptions.State

	problems   []WebhookProblem
	duplicates int // subscriptions that the vendor has, and that were not in its list
	calls      int
	unsaved    int // calls since the state was saved
}

// reconcile makes the vendor's subscriptions what the lake wants. The changes are nil if none were attempted; with an
// error they are those that were planned.
func (w *webhookWriter) reconcile(ctx context.Context, removed string) (*WebhookChanges, error) {
	began := w.env.Now().UTC()
	exist, err := listSubscriptions(ctx, w.client)
	if err != nil {
		return nil, askError(ctx, err)
	}
	c := subscriptions.Compare(w.state, exist, removed, began)
	w.forgetGone(exist)
	changes := newWebhookChanges(w.state, c)
	w.calls = 0
	if err = w.apply(ctx, c); err == nil && w.duplicates > 0 {
		err = w.adoptDuplicates(ctx, removed)
	}
	if err == nil {
		for i := range w.state.Lists {
			w.state.Lists[i].Synced = began
		}
	}
	if saveErr := w.store.write(context.WithoutCancel(ctx), w.state); err == nil || saveErr != nil && ctx.Err() == nil { // what was done is recorded also after a stop
		err = errors.Join(err, saveErr)
	}
	changes.Problems, changes.Calls, changes.Gaps = append(changes.Problems, w.problems...), w.calls, len(w.state.Gaps)
	changes.OptOutGaps = w.state.OptOutGapsAt(c.OptOut)
	if w.state.Pause == nil {
		for i := range w.state.Subscriptions {
			if w.state.Subscriptions[i].ID == "" {
				changes.Pending++
			}
		}
	}
	return changes, err
}

// adoptDuplicates lists once more and changes what the vendor has under the same entities.
func (w *webhookWriter) adoptDuplicates(ctx context.Context, removed string) error {
	exist, err := listSubscriptions(ctx, w.client)
	if err != nil {
		return askError(ctx, err)
	}
	c := subscriptions.Compare(w.state, exist, removed, w.env.Now().UTC())
	w.duplicates = 0
	for i := range c.Steps {
		if s := &c.Steps[i]; s.Action == subscriptions.Create && s.Wanted.Problem == "" { // it is still in no list
			w.fail(s.Wanted, lusha.HookDuplicate, "the vendor says that it exists, and does not list it")
		}
	}
	c.Steps = slices.DeleteFunc(c.Steps, func(s subscriptions.Step) bool { return s.Action == subscriptions.Create })
	return w.apply(ctx, c)
}

// apply carries out a comparison: first it deletes, so that there is room and nothing is delivered twice.
func (w *webhookWriter) apply(ctx context.Context, c *subscriptions.Comparison) error {
	steps := map[subscriptions.Action][]*subscriptions.Step{}
	var changed []*subscriptions.Step
	for i := range c.Steps {
		s := &c.Steps[i]
		switch s.Action {
		case subscriptions.Keep:
			noteExisting(s.Wanted, s.Exists)
		case subscriptions.Change, subscriptions.Unblock, subscriptions.Adopt:
			changed = append(changed, s)
		case subscriptions.Refuse:
			w.fail(s.Wanted, "FOREIGN_SUBSCRIPTION", s.Reason)
		default:
			steps[s.Action] = append(steps[s.Action], s)
		}
	}
	replaces, _ := webhookCalls(c)
	w.noteGaps(c, replaces)
	if c.OptOut != nil {
		w.state.EndOptOutGap(c.OptOut, w.env.Now())
		w.state.SetOptOuts(c.OptOut, w.env.Now())
	}
	if err := w.store.write(ctx, w.state); err != nil {
		return err
	}
	if err := w.switchOnOptOuts(ctx, c.OptOut); err != nil {
		return err
	}
	if err := w.delete(ctx, steps[subscriptions.Delete]); err != nil {
		return err
	}
	if replaces {
		if err := w.replace(ctx, changed); err != nil {
			return err
		}
	} else {
		gone, err := w.change(ctx, changed)
		if err != nil {
			return err
		}
		steps[subscriptions.Create] = append(steps[subscriptions.Create], gone...)
	}
	return w.create(ctx, steps[subscriptions.Create])
}

// noteGaps notes which events may be missing, before anything changes. An entity that is deleted and created
// again misses those between.
func (w *webhookWriter) noteGaps(c *subscriptions.Comparison, replaces bool) {
	now := w.env.Now().UTC()
	for i := range c.Steps {
		s := &c.Steps[i]
		switch exists := s.Exists != nil && s.Wanted != nil && s.Action != subscriptions.Keep && s.Action != subscriptions.Refuse; {
		case !s.GapFrom.IsZero():
			w.state.NoteGap(s.Object(), s.EntityID(), s.GapFrom, now, s.Reason)
		case exists && replaces:
			w.state.NoteGap(s.Object(), s.EntityID(), now.AddDate(0, 0, -1), now, "its subscription was replaced")
		}
	}
}

// forgetGone forgets the ids of subscriptions that the vendor has no more: a process that died after it deleted them
// could not.
func (w *webhookWriter) forgetGone(exist []lusha.Subscription) {
	there := map[string]bool{}
	for i := range exist {
		there[exist[i].ID] = true
	}
	for i := range w.state.Subscriptions {
		if u := &w.state.Subscriptions[i]; !there[u.ID] {
			u.ID, u.Active = "", false
		}
	}
}

// switchOnOptOuts makes the vendor deliver opt-out notices again, if it has stopped.
func (w *webhookWriter) switchOnOptOuts(ctx context.Context, e *lusha.Subscription) error {
	if e == nil || e.Active {
		return nil
	}
	if err := w.mayProceed(ctx); err != nil {
		return err
	}
	active := true
	if _, err := w.client.Change(ctx, e.ID, lusha.HookChange{Active: &active}); err != nil {
		return webhookError(ctx, err)
	}
	e.Active = true
	w.state.SetOptOuts(e, w.env.Now())
	return w.done(ctx)
}

// noteExisting takes over what the vendor says about a subscription.
func noteExisting(u *subscriptions.Subscription, e *lusha.Subscription) {
	u.ID, u.Active, u.Problem, u.BlockedAt, u.CreatedAt = e.ID, e.Active, "", nil, nil
	if !e.BlockedAt.IsZero() {
		u.BlockedAt = &e.BlockedAt
	}
	if !e.CreatedAt.IsZero() {
		u.CreatedAt = &e.CreatedAt
	}
}

// fail notes that the vendor did not let an entity be subscribed to.
func (w *webhookWriter) fail(u *subscriptions.Subscription, code, message string) {
	u.Problem = strings.TrimSuffix(code+": "+message, ": ")
	w.problems = append(w.problems, WebhookProblem{Object: u.Object, EntityID: u.EntityID, AccountKey: w.state.AccountKey(u.Object, u.EntityID), Code: code, Message: message})
}

// saveEvery is the number of calls after which the state is saved.
const saveEvery = 100

// done counts a call, and saves the state from time to time.
func (w *webhookWriter) done(ctx context.Context) error {
	w.calls++
	if w.unsaved++; w.unsaved >= saveEvery {
		w.unsaved = 0
		if err := w.store.write(ctx, w.state); err != nil {
			return err
		}
		w.env.Log.Info("changing subscriptions", "calls", w.calls)
	}
	if ctx.Err() != nil {
		return &Error{KindDeferred, errWebhooksStopped}
	}
	return nil
}

// mayProceed makes sure that no other command changes the lake's webhooks.
func (w *webhookWriter) mayProceed(ctx context.Context) error {
	if ctx.Err() != nil {
		return &Error{KindDeferred, errWebhooksStopped}
	}
	if !w.store.lock.Valid() {
		return webhooksLockError(w.store.uri, w.store.lock.Err())
	}
	return nil
}

// delete deletes subscriptions. One that does not exist any more is deleted.
func (w *webhookWriter) delete(ctx context.Context, steps []*subscriptions.Step) error {
	for block := range slices.Chunk(steps, lusha.MaxHookItems) {
		if err := w.mayProceed(ctx); err != nil {
			return err
		}
		var ids []string
		for _, s := range block {
			ids = append(ids, s.Exists.ID)
		}
		results, err := w.client.Delete(ctx, ids)
		if err != nil {
			return webhookError(ctx, err)
		}
		for i, r := range results {
			s := block[i]
			u := w.state.Find(s.Object(), s.EntityID())
			switch {
			case r.Code != "" && r.Code != lusha.HookNotFound:
				w.problems = append(w.problems, WebhookProblem{Object: s.Object(), EntityID: s.EntityID(), Code: r.Code, Message: "not deleted: " + r.Message})
			case u != nil && u.ID == s.Exists.ID:
				u.ID, u.Active = "", false
			}
		}
		if err := w.done(ctx); err != nil {
			return err
		}
	}
	return nil
}

// change changes subscriptions one by one. Those that do not exist any more are returned, to be created.
func (w *webhookWriter) change(ctx context.Context, steps []*subscriptions.Step) (gone []*subscriptions.Step, err error) {
	for _, s := range steps {
		if err := w.mayProceed(ctx); err != nil {
			return nil, err
		}
		changed, err := w.client.Change(ctx, s.Exists.ID, s.Change)
		switch refusal := new(lusha.RefusalError); {
		case err == nil:
			noteExisting(s.Wanted, changed)
		case !errors.As(err, &refusal):
			return nil, webhookError(ctx, err)
		case refusal.Class == lusha.ClassNotFound:
			gone = append(gone, s)
		case refusal.Class == lusha.ClassBadRequest && !isURLRefusal(refusal):
			w.fail(s.Wanted, "VALIDATION_ERROR", refusal.FullMessage())
		default:
			return nil, webhookError(ctx, err)
		}
		if err := w.done(ctx); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// replace deletes and creates subscriptions, block by block, so that each is missing for a moment only.
func (w *webhookWriter) replace(ctx context.Context, steps []*subscriptions.Step) error {
	for block := range slices.Chunk(steps, lusha.MaxHookItems) {
		if err := w.delete(ctx, block); err != nil {
			return err
		}
		if err := w.create(ctx, block); err != nil {
			return err
		}
	}
	return nil
}

// create creates subscriptions, block by block.
func (w *webhookWriter) create(ctx context.Context, steps []*subscriptions.Step) error {
	for block := range slices.Chunk(steps, lusha.MaxHookItems) {
		if err := w.createBlock(ctx, block); err != nil {
			return err
		}
	}
	return nil
}

// createBlock creates the subscriptions of one call. If the vendor refuses the call because of one of them, the
// others are created by further calls.
func (w *webhookWriter) createBlock(ctx context.Context, block []*subscriptions.Step) error {
	if err := w.mayProceed(ctx); err != nil {
		return err
	}
	var items []lusha.NewSubscription
	for _, s := range block {
		items = append(items, lusha.NewSubscription{Object: s.Wanted.Object, EntityID: s.Wanted.EntityID, Signals: s.Wanted.Signals(), Name: s.Wanted.Name(w.state.Lake)})
	}
	results, err := w.client.Create(ctx, w.state.URL, items)
	if refusal := new(lusha.RefusalError); errors.As(err, &refusal) && refusal.Class == lusha.ClassBadRequest && !isURLRefusal(refusal) {
		if len(block) == 1 {
			w.fail(block[0].Wanted, "VALIDATION_ERROR", refusal.FullMessage())
			return w.done(ctx)
		}
		if err := w.done(ctx); err != nil {
			return err
		}
		return errors.Join(w.createBlock(ctx, block[:len(block)/2]), w.createBlock(ctx, block[len(block)/2:]))
	}
	if err != nil {
		return webhookError(ctx, err)
	}
	for i, r := range results {
		w.noteCreated(block[i].Wanted, r)
	}
	return w.done(ctx)
}

// noteCreated notes what became of a subscription that was to be created.
func (w *webhookWriter) noteCreated(u *subscriptions.Subscription, r lusha.HookResult) {
	switch {
	case r.Code == lusha.HookDuplicate && r.Subscription != nil && r.Subscription.ID != "":
		noteExisting(u, r.Subscription)
		w.duplicates++ // its signals may differ
	case r.Code == lusha.HookDuplicate:
		w.duplicates++
	case r.Code != "":
		w.fail(u, r.Code, r.Message)
	case r.Subscription == nil:
		w.duplicates++ // the list says its id
	default:
		noteExisting(u, r.Subscription)
	}
}

// isURLRefusal reports whether the API refused a request because of the URL, which is that of all.
func isURLRefusal(r *lusha.RefusalError) bool {
	text := strings.ToLower(r.FullMessage())
	return strings.Contains(text, "url") || strings.Contains(text, "challenge") || strings.Contains(text, "verif")
}

// webhookError gives the error of a call its exit code, and says what to do.
func webhookError(ctx context.Context, err error) error {
	refusal := new(lusha.RefusalError)
	switch known := errors.As(err, &refusal); {
	case ctx.Err() != nil:
		return &Error{KindDeferred, errWebhooksStopped}
	case known && refusal.Class == lusha.ClassBadRequest && isURLRefusal(refusal):
		return &Error{KindDeferred, fmt.Errorf("%w; the vendor checks the URL by a GET with ?challenge=: make sure that siglake listen runs, and that the proxy in front of it passes GET and POST, then run the same command again", err)}
	case known && refusal.Class == lusha.ClassEntitlement:
		return &Error{KindAuth, fmt.Errorf("%w; the account may have as many subscriptions as its plan allows: siglake webhooks list --all shows them; what was done stays, and the same command does the rest", err)}
	case known && refusal.Class == lusha.ClassRateBurst, known && refusal.Class == lusha.ClassRateHour, known && refusal.Class == lusha.ClassRateDay:
		return &Error{KindDeferred, fmt.Errorf("%w; what was done stays, and the same command does the rest", err)}
	}
	return askError(ctx, err)
}

// EstimateText says how long the calls take.
func (w *WebhookChanges) EstimateText() string {
	text := format.Count(w.Calls, "call")
	if d := w.Duration(); d > 0 {
		text += fmt.Sprintf(", about %s by the vendor's %d a minute", strings.TrimSuffix(d.Round(time.Minute).String(), "0s"), lusha.HooksPerMinute)
	}
	return text
}
