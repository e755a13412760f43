package app

import (
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// TestUsageSinceCountsDeliveries: a delivery counts as an explanation of the account's usage only if it certainly came
// after the reading. Otherwise a call in doubt would be taken for one that was not charged.
func TestUsageSinceCountsDeliveries(t *testing.T) {
	t.Parallel()
	used, began := int64(100), time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	from, published := new(ledger.Run), new(ledger.Run)
	from.ID, from.UsedCredits, from.FirstStarted = "asks", &used, began
	published.ID, published.Inbox = "publishes", new(pipeline.InboxRange)
	call := func(r *ledger.Run, id string, at time.Duration, charge pipeline.Charge) {
		r.Calls = append(r.Calls, &ledger.Call{Run: r, ID: id, Time: began.Add(at), Outcome: pipeline.Charged, Charge: charge})
	}
	call(from, "asked", time.Second, pipeline.Charge{Known: true, Credits: 5})
	call(published, "before", -time.Minute, pipeline.Charge{Known: true, Credits: 10})
	call(published, "meanwhile", time.Minute, pipeline.Charge{Known: true, Credits: 20})
	call(published, "after", 3*time.Minute, pipeline.Charge{Known: true, Credits: 40})
	runs := []*ledger.Run{from, published}
	if got := knownUsageSince(from, runs); got.matched != 45 || got.unknown+got.delivered != "" {
		t.Errorf("known usage %+v, want 45 credits", got)
	}
	call(published, "odd", time.Hour, pipeline.Charge{Text: "many"})
	if got := knownUsageSince(from, runs); got.matched != 45 || got.delivered != "publishes/odd" || got.unknown != "" {
		t.Errorf("known usage %+v, want an unknown delivery", got)
	}
}

// TestCallOf: an id of a delivery that cannot be part of a call's name has another one, which no other id has.
func TestCallOf(t *testing.T) {
	t.Parallel()
	names := map[string]string{}
	for _, id := range []string{"5a0d2a58-3f0c-4c55-9f43-5f7c3a7f1d20", "A_b.9", "", "a/b", "a b", "é", strings.Repeat("x", 65), strings.Repeat("x", 66)} {
		name := callOf(&inbox.Delivery{ID: id})
		if other, taken := names[name]; taken || name == "" || len(name) > 64 || strings.ContainsAny(name, "/ ") {
			t.Errorf("%q has the name %q, %q too: %t", id, name, other, taken)
		}
		names[name] = id
	}
	if names["A_b.9"] != "A_b.9" {
		t.Errorf("%v: a plain id is its own name", names)
	}
}
