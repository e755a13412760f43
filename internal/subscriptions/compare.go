package subscriptions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/schema"
)

// Action is what has to be done about a subscription.
type Action string

// The actions.
const (
	Create  Action = "create"
	Change  Action = "change"  // its signals, its URL or its name
	Unblock Action = "unblock" // the vendor, or a person, has switched it off
	Adopt   Action = "adopt"   // it exists under a name that is not siglake's
	Delete  Action = "delete"  // no list wants it
	Keep    Action = "keep"    // nothing is to be done
	Refuse  Action = "refuse"  // another lake has it: nothing can be done
)

// Step is what has to be done about one subscription.
type Step struct {
	Action Action
	Wanted *Subscription       // of the state; nil: none
	Exists *lusha.Subscription // at the vendor; nil: none
	// What changes of one that exists.
	Change lusha.HookChange
	// Why, for people.
	Reason string
	// The events from this day on may not have been delivered; zero: none are missing.
	GapFrom time.Time
}

// Comparison is what has to be done so that the vendor has the subscriptions that a lake wants.
type Comparison struct {
	Steps []Step // in the order of object and id
	// Subscriptions with the lake's own name, of lists that the lake does not know. They stay as they are.
	Strays []lusha.Subscription
	// Subscriptions that are not the lake's.
	Others int
	// The lake's subscription to notices of contacts that opt out; nil: the vendor has none.
	OptOut *lusha.Subscription
}

// Count is the number of steps with an action.
func (c *Comparison) Count(a Action) (n int) {
	for i := range c.Steps {
		if c.Steps[i].Action == a {
			n++
		}
	}
	return n
}

// Changes is the number of steps that change anything at the vendor.
func (c *Comparison) Changes() int {
	return len(c.Steps) - c.Count(Keep) - c.Count(Refuse)
}

// entityKey identifies an entity.
type entityKey struct {
	object schema.Object
	id     string
}

// comparer compares what a lake wants with what exists.
type comparer struct {
	state *State
	now   time.Time
	// Lists of which subscriptions may be deleted: those of the state, and one that was removed.
	lists map[string]bool
	out   *Comparison
	// What exists of each entity: the lake's own, and others that deliver to its URL.
	own, other map[entityKey][]*lusha.Subscription
}

// Compare compares what a lake wants with all subscriptions of the account. A paused lake wants none. removed is the
// name of a list that is not wanted any more; empty: none.
func Compare(s *State, exist []lusha.Subscription, removed string, now time.Time) *Comparison {
	c := &comparer{state: s, now: now, lists: map[string]bool{removed: true}, out: &Comparison{}, own: map[entityKey][]*lusha.Subscription{}, other: map[entityKey][]*lusha.Subscription{}}
	for i := range s.Lists {
		c.lists[s.Lists[i].Name] = true
	}
	for i := range exist {
		c.sort(&exist[i])
	}
	for i := range s.Subscriptions {
		u := &s.Subscriptions[i]
		key := entityKey{u.Object, u.EntityID}
		if s.Pause == nil {
			c.compare(u, c.own[key], c.other[key])
			delete(c.own, key)
		}
	}
	for _, left := range c.own {
		for _, e := range left {
			c.remove(e)
		}
	}
	slices.SortStableFunc(c.out.Steps, func(a, b Step) int {
		ka, kb := a.key(), b.key()
		return cmp.Or(compareEntities(ka.object, ka.id, kb.object, kb.id), strings.Compare(a.id(), b.id()))
	})
	return c.out
}

func (s *Step) key() entityKey {
	if s.Wanted != nil {
		return entityKey{s.Wanted.Object, s.Wanted.EntityID}
	}
	return entityKey{s.Exists.Object, s.Exists.EntityID}
}

func (s *Step) id() string {
	if s.Exists != nil {
		return s.Exists.ID
	}
	return ""
}

// Object is that of the step's entity.
func (s *Step) Object() schema.Object { return s.key().object }

// EntityID is that of the step's entity.
func (s *Step) EntityID() string { return s.key().id }

// sort finds out whose an existing subscription is.
func (c *comparer) sort(e *lusha.Subscription) {
	key := entityKey{e.Object, e.EntityID}
	isOptOut, isOwn := slices.Contains(e.Signals, lusha.HookOptOuts), strings.HasPrefix(e.Name, NamePrefix(c.state.Lake)) && c.state.Lake != ""
	switch {
	case e.ID != "" && e.ID == c.state.OptOut, isOptOut && isOwn:
		c.out.OptOut = e
		return
	case isOwn:
		c.own[key] = append(c.own[key], e)
		return
	}
	c.out.Others++
	if e.URL == c.state.URL && !isOptOut { // its entity is the account
		c.other[key] = append(c.other[key], e)
	}
}

// remove deletes a subscription that no list wants. That of a list that the lake does not know stays.
func (c *comparer) remove(e *lusha.Subscription) {
	list := strings.TrimPrefix(e.Name, NamePrefix(c.state.Lake))
	if !c.lists[list] {
		c.out.Strays = append(c.out.Strays, *e)
		return
	}
	reason := "no list has it any more"
	switch {
	case c.state.Pause != nil:
		reason = "webhooks are paused"
	case e.Object == schema.Contact && c.state.OptedOut[e.EntityID]:
		reason = "the person has opted out"
	}
	c.out.Steps = append(c.out.Steps, Step{Action: Delete, Exists: e, Reason: reason})
}

// compare says what to do about an entity that is wanted.
func (c *comparer) compare(u *Subscription, own, other []*lusha.Subscription) {
	// One with the lake's URL first; the others would deliver, and cost, every event once more.
	slices.SortStableFunc(own, func(a, b *lusha.Subscription) int {
		return -cmp.Compare(b2i(a.URL == c.state.URL), b2i(b.URL == c.state.URL))
	})
	for _, e := range own[min(len(own), 1):] {
		c.out.Steps = append(c.out.Steps, Step{Action: Delete, Exists: e, Reason: "the entity has another subscription"})
	}
	switch {
	case len(own) > 0:
		c.out.Steps = append(c.out.Steps, c.change(u, own[0]))
	case len(other) > 0 && strings.HasPrefix(other[0].Name, "siglake:"):
		c.out.Steps = append(c.out.Steps, Step{Action: Refuse, Wanted: u, Exists: other[0], Reason: fmt.Sprintf("another lake has subscribed to it for the same URL, as %s", other[0].Name)})
	case len(other) > 0:
		s := c.change(u, other[0])
		s.Action, s.Reason = Adopt, fmt.Sprintf("it exists as %q; the vendor allows one for each URL", other[0].Name)
		c.out.Steps = append(c.out.Steps, s)
	default:
		s := Step{Action: Create, Wanted: u}
		if u.ID != "" && u.Active {
			s.Reason = "the vendor has it no more"
			s.GapFrom = c.dayBefore(c.lastSynced(u))
		}
		c.out.Steps = append(c.out.Steps, s)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// change says what has to change of a subscription that exists.
func (c *comparer) change(u *Subscription, e *lusha.Subscription) Step {
	s := Step{Action: Keep, Wanted: u, Exists: e}
	var reasons []string
	if signals := u.Signals(); !sameWords(signals, e.Signals) {
		s.Change.Signals = signals
		reasons = append(reasons, "signals: "+wordsChange(e.Signals, signals))
	}
	if e.URL != c.state.URL {
		s.Change.URL = c.state.URL
		reasons = append(reasons, "URL: was "+e.URL)
	}
	if !slices.ContainsFunc(u.Wants, func(w Want) bool { return e.Name == NamePrefix(c.state.Lake)+w.List }) {
		s.Change.Name = u.Name(c.state.Lake)
		reasons = append(reasons, "name: was "+e.Name)
	}
	if len(reasons) > 0 {
		s.Action = Change
	}
	if !e.Active {
		active := true
		s.Action, s.Change.Active = Unblock, &active
		since := e.BlockedAt
		if since.IsZero() {
			since = c.lastSynced(u)
		}
		s.GapFrom = c.dayBefore(since)
		reasons = append([]string{fmt.Sprintf("%s since %s", cmp.Or(e.BlockReason, "switched off"), since.Format("2006-01-02 15:04 UTC"))}, reasons...)
	}
	s.Reason = strings.Join(reasons, "; ")
	return s
}

// lastSynced is when a subscription is last known to have been as it should: when all its lists were.
func (c *comparer) lastSynced(u *Subscription) time.Time {
	last := c.now
	for _, w := range u.Wants {
		if l := c.state.FindList(w.List); l != nil && !l.Synced.IsZero() && l.Synced.Before(last) {
			last = l.Synced
		}
	}
	return last
}

// dayBefore is a day before a moment: an event can be visible for a while before it is delivered.
func (c *comparer) dayBefore(t time.Time) time.Time { return t.AddDate(0, 0, -1) }

func sameWords(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// wordsChange lists what is new and what is gone: +a -b.
func wordsChange(before, after []string) string {
	var parts []string
	for _, w := range after {
		if !slices.Contains(before, w) {
			parts = append(parts, "+"+w)
		}
	}
	for _, w := range before {
		if !slices.Contains(after, w) {
			parts = append(parts, "-"+w)
		}
	}
	return strings.Join(parts, " ")
}
