package subscriptions

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/schema"
)

const (
	lake    = "0a0b0c0d"
	hookURL = "https://hooks.siglake.example/in"
)

var now = time.Date(2026, 4, 7, 12, 0, 0, 0, time.UTC)

// wanting is the state of a lake with one list of companies.
func wanting(ids ...string) *State {
	s := &State{Lake: lake, URL: hookURL}
	var entities []Entity
	for _, id := range ids {
		entities = append(entities, Entity{schema.Company, id, []string{"k" + id}})
	}
	s.SetList(List{Name: "a", Synced: now.AddDate(0, 0, -3)}, map[schema.Object][]string{schema.Company: {"x", "y"}}, entities)
	return s
}

// existing is the subscription of the list to an entity, as it should be.
func existing(id string, change func(*lusha.Subscription)) lusha.Subscription {
	e := lusha.Subscription{ID: "s" + id, Object: schema.Company, EntityID: id, Signals: []string{"y", "x"}, URL: hookURL, Name: NamePrefix(lake) + "a", Active: true}
	if change != nil {
		change(&e)
	}
	return e
}

// TestCompare: what is wanted and what exists decide what is to be done.
func TestCompare(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want    *State
		exist   []lusha.Subscription
		removed string
		steps   []string
		strays  int
	}{
		"new":                       {wanting("1"), nil, "", []string{"create 1"}, 0},
		"unchanged":                 {wanting("1"), []lusha.Subscription{existing("1", nil)}, "", []string{"keep 1"}, 0},
		"other signals":             {wanting("1"), []lusha.Subscription{existing("1", func(e *lusha.Subscription) { e.Signals = []string{"x", "z"} })}, "", []string{"change 1 signals: +y -z"}, 0},
		"another URL":               {wanting("1"), []lusha.Subscription{existing("1", func(e *lusha.Subscription) { e.URL = "https://old.example" })}, "", []string{"change 1 URL: was https://old.example"}, 0},
		"gone from the list":        {wanting("1"), []lusha.Subscription{existing("1", nil), existing("2", nil)}, "", []string{"keep 1", "delete 2 no list has it any more"}, 0},
		"of an unknown list":        {wanting("1"), []lusha.Subscription{existing("1", nil), existing("2", func(e *lusha.Subscription) { e.Name = NamePrefix(lake) + "b" })}, "", []string{"keep 1"}, 1},
		"of a removed list":         {wanting("1"), []lusha.Subscription{existing("1", nil), existing("2", func(e *lusha.Subscription) { e.Name = NamePrefix(lake) + "b" })}, "b", []string{"keep 1", "delete 2 no list has it any more"}, 0},
		"twice":                     {wanting("1"), []lusha.Subscription{existing("1", func(e *lusha.Subscription) { e.URL, e.ID = "https://old.example", "s0" }), existing("1", nil)}, "", []string{"delete 1 the entity has another subscription", "keep 1"}, 0},
		"a list with a longer name": {wanting("1"), []lusha.Subscription{existing("1", nil), existing("2", func(e *lusha.Subscription) { e.Name += "b" })}, "", []string{"keep 1"}, 1},
		"blocked": {wanting("1"), []lusha.Subscription{existing("1", func(e *lusha.Subscription) {
			e.Active, e.BlockReason, e.BlockedAt = false, "Max retries exceeded", now.AddDate(0, 0, -2)
		})}, "", []string{"unblock 1 Max retries exceeded since 2026-04-05 12:00 UTC from 2026-04-04"}, 0},
		"switched off":    {wanting("1"), []lusha.Subscription{existing("1", func(e *lusha.Subscription) { e.Active = false })}, "", []string{"unblock 1 switched off since 2026-04-04 12:00 UTC from 2026-04-03"}, 0},
		"by hand":         {wanting("1"), []lusha.Subscription{existing("1", func(e *lusha.Subscription) { e.Name = "mine" })}, "", []string{`adopt 1 it exists as "mine"; the vendor allows one for each URL`}, 0},
		"another lake's":  {wanting("1"), []lusha.Subscription{existing("1", func(e *lusha.Subscription) { e.Name = "siglake:ffffffff:a" })}, "", []string{"refuse 1 another lake has subscribed to it for the same URL, as siglake:ffffffff:a"}, 0},
		"somewhere else":  {wanting("1"), []lusha.Subscription{existing("1", func(e *lusha.Subscription) { e.Name, e.URL = "mine", "https://x.example" })}, "", []string{"create 1"}, 0},
		"of the opt-outs": {func() *State { s := wanting(); s.OptOut = "s9"; return s }(), []lusha.Subscription{existing("9", nil)}, "", nil, 0},
		"of the opt-outs, by its name": {wanting("9"), []lusha.Subscription{existing("9", func(e *lusha.Subscription) {
			e.Name, e.Signals = NamePrefix(lake)+"opt-outs", []string{lusha.HookOptOuts}
		})}, "", []string{"create 9"}, 0},
		"of another's opt-outs, to our URL": {wanting("9"), []lusha.Subscription{existing("9", func(e *lusha.Subscription) { e.Name, e.Signals = "mine", []string{lusha.HookOptOuts} })}, "", []string{"create 9"}, 0},
		"paused": {func() *State { s := wanting("1"); s.Pause = &Pause{Since: now}; return s }(), []lusha.Subscription{existing("1", nil)}, "",
			[]string{"delete 1 webhooks are paused"}, 0},
		"vanished": {func() *State {
			s := wanting("1")
			s.Subscriptions[0].ID, s.Subscriptions[0].Active = "s1", true
			return s
		}(), nil, "",
			[]string{"create 1 the vendor has it no more from 2026-04-03"}, 0},
	} {
		compared := Compare(c.want, c.exist, c.removed, now)
		var steps []string
		for _, s := range compared.Steps {
			text := fmt.Sprintf("%s %s", s.Action, s.EntityID())
			if s.Reason != "" {
				text += " " + s.Reason
			}
			if !s.GapFrom.IsZero() {
				text += " from " + s.GapFrom.Format(time.DateOnly)
			}
			steps = append(steps, text)
		}
		if diff := cmp.Diff(c.steps, steps); diff != "" || len(compared.Strays) != c.strays {
			t.Errorf("%s: %d strays, want %d; steps (-want +got):\n%s", name, len(compared.Strays), c.strays, diff)
		}
	}
}

// TestState: lists share entities, gaps are noted once and closed when all signals were polled, and the encoding
// keeps everything.
func TestState(t *testing.T) {
	t.Parallel()
	s := wanting("1", "2")
	s.SetList(List{Name: "b"}, map[schema.Object][]string{schema.Company: {"z"}}, []Entity{{schema.Company, "2", []string{"b2"}}, {schema.Company, "3", nil}})
	if got := s.Find(schema.Company, "2"); !slices.Equal(got.Signals(), []string{"x", "y", "z"}) || got.Name(lake) != "siglake:0a0b0c0d:a" || s.AccountKey(schema.Company, "2") != "k2" {
		t.Errorf("2 is %+v", got)
	}
	s.Find(schema.Company, "3").Problem = "FORBIDDEN"
	for _, c := range []struct {
		id, signal string
		want       bool
	}{{"2", "x", true}, {"2", "z", true}, {"1", "z", false}, {"3", "z", false}, {"4", "x", false}} {
		if got := s.Delivers(schema.Company, c.id, c.signal); got != c.want || s.Delivers(schema.Contact, c.id, c.signal) {
			t.Errorf("Delivers(%s, %s) = %t, want %t for the company only", c.id, c.signal, got, c.want)
		}
	}
	s.SetList(List{Name: "a"}, nil, nil)
	if got := s.Find(schema.Company, "2"); s.Find(schema.Company, "1") != nil || s.FindList("a") != nil || got.Name(lake) != "siglake:0a0b0c0d:b" || s.AccountKey(schema.Company, "2") != "b2" {
		t.Errorf("without list a: %+v", s)
	}
	s.NoteGap(schema.Company, "2", now, now, "first")
	s.NoteGap(schema.Company, "2", now.AddDate(0, 0, 1), now, "later")
	s.NoteGap(schema.Company, "2", now.AddDate(0, 0, -1), now.Add(time.Hour), "earlier")
	s.NoteGap(schema.Company, "1", now, now, "gone")
	if len(s.Gaps) != 2 || s.Gaps[1].From != "2026-04-06" || s.Gaps[1].Reason != "earlier" {
		t.Fatalf("gaps %+v", s.Gaps)
	}
	again, err := Decode(s.Encode())
	if diff := cmp.Diff(s, again); err != nil || diff != "" {
		t.Errorf("%v, decoded (-want +got):\n%s", err, diff)
	}
	before := slices.Clone(s.Gaps)
	s.PollGaps(before, func(Gap) []string { return []string{"y"} })
	if len(s.Gaps) != 1 || !slices.Equal(s.Gaps[0].Polled, []string{"y"}) {
		t.Errorf("after polling y: %+v", s.Gaps)
	}
	s.NoteGap(schema.Company, "2", now, now.Add(2*time.Hour), "once more")
	s.PollGaps(before, func(Gap) []string { return []string{"z"} })
	if len(s.Gaps) != 1 || len(s.Gaps[0].Polled) > 0 {
		t.Errorf("a newer gap was closed by an older poll: %+v", s.Gaps)
	}
	s.PollGaps(slices.Clone(s.Gaps), func(Gap) []string { return []string{"z"} })
	if len(s.Gaps) > 0 {
		t.Errorf("all signals are polled: %+v", s.Gaps)
	}
	if _, err := Decode([]byte(`{"version":2}`)); err == nil {
		t.Error("another version is decoded")
	}
}
