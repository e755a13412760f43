// Package subscriptions knows which webhooks a lake wants, and what has to change at the vendor so that it has
// them. It requests and writes nothing: package app reads and writes the state, and package lusha carries
// changes out.
//
// A [State] is the lake's own record: the lists that are subscribed to, and one [Subscription] for every
// entity in them. The vendor bills each delivery, so an entity that is in two lists of a lake is subscribed to
// once, with the signals of both, and a lake has one URL. The record is written before the vendor is asked for
// anything: an interrupted command leaves a wish, which the next one carries out, and no subscription that
// the lake does not know.
//
// [Compare] goes by what the vendor lists. A subscription is the lake's own if its name begins with "siglake:"
// and the lake's id; no other one is changed or deleted, except that one without such a name, for a wanted entity
// and the lake's own URL, is adopted: the vendor refuses a second.
package subscriptions

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/schema"
)

// Version is that of the encoding of a State.
const Version = 1

// State is what a lake knows of its webhooks. The zero value is that of a lake that never had any.
type State struct {
	Version int    `json:"version"`
	Lake    string `json:"lake"` // by which the names of subscriptions begin; empty: it has none yet
	URL     string `json:"url"`  // that the vendor delivers to
	Lists   []List `json:"lists"`
	// In the order of object and id.
	Subscriptions []Subscription `json:"subscriptions"`
	// Entities of which events may not have been delivered, in the same order.
	Gaps []Gap `json:"gaps,omitempty"`
	// The subscription to notices of contacts that opt out; empty: none is known.
	OptOut string `json:"opt_out,omitempty"`
	// Those that the lake had before, and when the present one was last seen to deliver; zero: never.
	FormerOptOuts []string   `json:"former_opt_outs,omitempty"`
	OptOutSeen    *time.Time `json:"opt_out_seen,omitempty"`
	// Times in which no notices were delivered, oldest first. The vendor has to be asked who opted out then.
	OptOutGaps []OptOutGap `json:"opt_out_gaps,omitempty"`
	Pause      *Pause      `json:"pause,omitempty"` // nil: deliveries are wanted
	// The day (UTC) of the last warning that deliveries have cost most of the cap: one a day is enough.
	CapWarned string `json:"cap_warned,omitempty"`
	// Deliveries because of which an audit has noted a gap, oldest first.
	Audited []AuditedDelivery `json:"audited,omitempty"`

	// Contacts of lists that have opted out, as far as this process has read them.
	OptedOut map[string]bool `json:"-"`
}

// AuditedDelivery is a delivery that the lake does not have, and of which an audit has noted that.
type AuditedDelivery struct {
	ID string    `json:"id"`
	At time.Time `json:"at"` // when the vendor delivered it, or gave it up
}

// OptOutGap is a time in which no notices of opt-outs were delivered.
type OptOutGap struct {
	From   *time.Time `json:"from,omitempty"`  // nil: it is not known
	Until  *time.Time `json:"until,omitempty"` // nil: it has not ended
	Reason string     `json:"why"`
}

// List is a list that is subscribed to.
type List struct {
	Name    string    `json:"name"`
	URI     string    `json:"uri"`
	Signals []string  `json:"signals"`
	Shard   string    `json:"shard,omitempty"` // the part of the list that it stands for, as index/count; empty: all of it
	Synced  time.Time `json:"synced"`          // when it was last carried out completely; zero: never
}

// Subscription is an entity that is subscribed to, and what the vendor said last about it.
type Subscription struct {
	Object   schema.Object `json:"object"`
	EntityID string        `json:"entity_id"`
	Wants    []Want        `json:"wanted_by"` // in the order of the lists' names; never empty
	// By the vendor; empty: it does not exist, as far as it is known.
	ID        string     `json:"id,omitempty"`
	Active    bool       `json:"active"`
	BlockedAt *time.Time `json:"blocked_at,omitempty"`
	CreatedAt *time.Time `json:"created_at,omitempty"`
	// Why the vendor refused it, when it was last asked; empty: it did not.
	Problem string `json:"problem,omitempty"`
}

// Want is why an entity is subscribed to.
type Want struct {
	List        string   `json:"list"`
	AccountKeys []string `json:"account_keys"` // of its lines, first line first
	Signals     []string `json:"signals"`
}

// Gap is an entity of which events may not have been delivered since a day: it has to be polled from there, once.
type Gap struct {
	Object   schema.Object `json:"object"`
	EntityID string        `json:"entity_id"`
	From     string        `json:"from"` // YYYY-MM-DD
	Noted    time.Time     `json:"noted"`
	Reason   string        `json:"why"`
	Polled   []string      `json:"polled,omitempty"` // signal types that were polled from there since
}

// Pause says since when no deliveries are wanted, and why.
type Pause struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"why"`
}

// Decode reads a state.
func Decode(text []byte) (*State, error) {
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	if s.Version != Version {
		return nil, fmt.Errorf("its version is %d, and this siglake reads version %d", s.Version, Version)
	}
	return &s, nil
}

// Encode writes a state.
func (s *State) Encode() []byte {
	s.Version = Version
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		panic(err) // of texts and numbers
	}
	return append(text, '\n')
}

// compareEntities orders entities.
func compareEntities(object schema.Object, id string, otherObject schema.Object, otherID string) int {
	return cmp.Or(cmp.Compare(object, otherObject), cmp.Compare(id, otherID))
}

// Find is the subscription of an entity; nil: there is none.
func (s *State) Find(object schema.Object, entityID string) *Subscription {
	i, ok := s.search(object, entityID)
	if !ok {
		return nil
	}
	return &s.Subscriptions[i]
}

func (s *State) search(object schema.Object, entityID string) (int, bool) {
	return slices.BinarySearchFunc(s.Subscriptions, Subscription{Object: object, EntityID: entityID}, func(a, b Subscription) int {
		return compareEntities(a.Object, a.EntityID, b.Object, b.EntityID)
	})
}

// AccountKey is the key of the line because of which an entity is subscribed to; empty: it is in no list.
func (s *State) AccountKey(object schema.Object, entityID string) string {
	if sub := s.Find(object, entityID); sub != nil {
		for _, w := range sub.Wants {
			if len(w.AccountKeys) > 0 {
				return w.AccountKeys[0]
			}
		}
	}
	return ""
}

// Delivers reports whether a signal type of an entity is subscribed to, also while the subscription is blocked or paused.
// One that the vendor has refused does not exist.
func (s *State) Delivers(object schema.Object, entityID, signalType string) bool {
	u := s.Find(object, entityID)
	return u != nil && (u.ID != "" || u.Problem == "") && slices.ContainsFunc(u.Wants, func(w Want) bool { return slices.Contains(w.Signals, signalType) })
}

// Signals are the signal types of the subscription: those of all lists, sorted.
func (u *Subscription) Signals() (signals []string) {
	for _, w := range u.Wants {
		signals = append(signals, w.Signals...)
	}
	slices.Sort(signals)
	return slices.Compact(signals)
}

// Name is the name of the subscription in a lake: that of the first list. The vendor allows 100 bytes.
func (u *Subscription) Name(lake string) string { return NamePrefix(lake) + u.Wants[0].List }

// NamePrefix begins the names of a lake's subscriptions.
func NamePrefix(lake string) string { return "siglake:" + lake + ":" }

// MaxListName is the length of a list's name, in bytes, so that names of subscriptions are short enough.
const MaxListName = 60

// FindList is the list of a name; nil: it is not subscribed to.
func (s *State) FindList(name string) *List {
	for i := range s.Lists {
		if s.Lists[i].Name == name {
			return &s.Lists[i]
		}
	}
	return nil
}

// Entity is an entity that a list wants.
type Entity struct {
	Object      schema.Object
	ID          string
	AccountKeys []string // of its lines
}

// SetList makes a list want exactly these entities; none removes the list. Entities that no list wants any
// more are forgotten.
func (s *State) SetList(list List, signals map[schema.Object][]string, entities []Entity) {
	s.removeWants(list.Name)
	s.Lists = slices.DeleteFunc(s.Lists, func(l List) bool { return l.Name == list.Name })
	if len(entities) > 0 {
		s.Lists = append(s.Lists, list)
		slices.SortFunc(s.Lists, func(a, b List) int { return cmp.Compare(a.Name, b.Name) })
	}
	var added []Subscription
	for _, e := range entities {
		want := Want{List: list.Name, AccountKeys: e.AccountKeys, Signals: signals[e.Object]}
		if u := s.Find(e.Object, e.ID); u != nil {
			u.Wants = append(u.Wants, want)
			slices.SortFunc(u.Wants, func(a, b Want) int { return cmp.Compare(a.List, b.List) })
			continue
		}
		added = append(added, Subscription{Object: e.Object, EntityID: e.ID, Wants: []Want{want}})
	}
	s.Subscriptions = append(s.Subscriptions, added...)
	slices.SortFunc(s.Subscriptions, func(a, b Subscription) int {
		return compareEntities(a.Object, a.EntityID, b.Object, b.EntityID)
	})
	s.Subscriptions = slices.DeleteFunc(s.Subscriptions, func(u Subscription) bool { return len(u.Wants) == 0 })
}

func (s *State) removeWants(list string) {
	for i := range s.Subscriptions {
		u := &s.Subscriptions[i]
		u.Wants = slices.DeleteFunc(u.Wants, func(w Want) bool { return w.List == list })
	}
}

// NoteGap notes that events of an entity may be missing from a day on. The earliest day of several counts.
func (s *State) NoteGap(object schema.Object, entityID string, from, now time.Time, reason string) {
	g := Gap{Object: object, EntityID: entityID, From: from.UTC().Format(time.DateOnly), Noted: now.UTC(), Reason: reason}
	i, known := s.searchGap(object, entityID)
	switch {
	case !known:
		s.Gaps = slices.Insert(s.Gaps, i, g)
	case strings.Compare(g.From, s.Gaps[i].From) < 0:
		s.Gaps[i] = g
	default: // what was polled before does not close it
		s.Gaps[i].Noted, s.Gaps[i].Polled = g.Noted, nil
	}
}

func (s *State) searchGap(object schema.Object, entityID string) (int, bool) {
	return slices.BinarySearchFunc(s.Gaps, Gap{Object: object, EntityID: entityID}, func(a, b Gap) int { return compareEntities(a.Object, a.EntityID, b.Object, b.EntityID) })
}

// NoteOptedOut notes, for the reasons of changes, that a person of a list has opted out.
func (s *State) NoteOptedOut(contact string) {
	if s.OptedOut == nil {
		s.OptedOut = map[string]bool{}
	}
	s.OptedOut[contact] = true
}

// HasGap reports whether an entity has a gap that was not polled yet.
func (s *State) HasGap(object schema.Object, entityID string) bool {
	_, found := s.searchGap(object, entityID)
	return found
}

// Audit notes that an audit found a delivery missing, at the time that the vendor states; false: it is noted already.
func (s *State) Audit(id string, at time.Time) bool {
	if slices.ContainsFunc(s.Audited, func(d AuditedDelivery) bool { return d.ID == id }) {
		return false
	}
	d := AuditedDelivery{id, at.UTC()}
	i, _ := slices.BinarySearchFunc(s.Audited, d, func(a, b AuditedDelivery) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	s.Audited = slices.Insert(s.Audited, i, d)
	return true
}

// ForgetAudited forgets deliveries from before a time, which no log has any more.
func (s *State) ForgetAudited(before time.Time) {
	s.Audited = slices.DeleteFunc(s.Audited, func(d AuditedDelivery) bool { return d.At.Before(before) })
}

// PollGaps notes that signal types of entities with gaps were polled. A gap of which all types of the subscription were
// polled is closed; so is one of an entity without a subscription. Gaps that are not among those given are newer, and stay.
func (s *State) PollGaps(gaps []Gap, polled func(Gap) []string) {
	known := map[entityKey]Gap{}
	for _, g := range gaps {
		known[entityKey{g.Object, g.EntityID}] = g
	}
	for i := range s.Gaps {
		g := &s.Gaps[i]
		if before, ok := known[entityKey{g.Object, g.EntityID}]; ok && before.Noted.Equal(g.Noted) && before.From == g.From {
			g.Polled = append(g.Polled, polled(*g)...)
			slices.Sort(g.Polled)
			g.Polled = slices.Compact(g.Polled)
		}
	}
	s.Gaps = slices.DeleteFunc(s.Gaps, func(g Gap) bool {
		u := s.Find(g.Object, g.EntityID)
		return len(g.Polled) > 0 && (u == nil || !slices.ContainsFunc(u.Signals(), func(signal string) bool { return !slices.Contains(g.Polled, signal) }))
	})
}
