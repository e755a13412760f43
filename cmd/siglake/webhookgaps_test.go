package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/schema"
)

// TestWebhookGaps: an entity of which webhooks may not have delivered events is polled from the day of the gap, once
// for each signal that it is subscribed to, also by a list of domains.
func TestWebhookGaps(t *testing.T) {
	t.Parallel()
	cfg, advance := fakeClock(t)
	r := newRig(t, cfg)
	list := domainLines(12)
	night := func(signals string) (windows []string) {
		t.Helper()
		if v := r.exec(t.Context(), []string{"run", "-"}, list, "--signals", signals, "--since", "last"); v.code != exitComplete {
			t.Fatalf("exit %d: %s", v.code, v.stderr)
		}
		r.manifest = r.readManifest()
		for _, row := range r.table(schema.Requests) {
			windows = append(windows, fmt.Sprint(row["window_start"]))
		}
		return windows
	}
	night("news,growth")
	entity := ""
	for _, a := range r.accountRows() {
		if id, _ := a["entity_id"].(string); id != "" && a["status"] == string(schema.Enriched) {
			entity = id
		}
	}
	now := envFor(t).Now().UTC()
	from := now.AddDate(0, 0, -70)
	state := &subscriptions.State{Lake: "0a0b0c0d"}
	state.SetList(subscriptions.List{Name: "l"}, map[schema.Object][]string{schema.Company: {"financialEventsNews", "surgeInHiring"}}, []subscriptions.Entity{{Object: schema.Company, ID: entity, AccountKeys: []string{"k"}}})
	state.NoteGap(schema.Company, entity, from, now, "blocked")
	path := filepath.Join(r.lake, "_state", "webhooks.json")
	if err := os.WriteFile(path, state.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	gaps := func() []subscriptions.Gap {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := subscriptions.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		return s.Gaps
	}
	day := from.Format(time.DateOnly)
	for _, n := range []struct {
		signals string
		asked   bool
		gaps    int
	}{{"financialEventsNews", true, 1}, {"financialEventsNews", false, 1}, {"financialEventsNews,surgeInHiring", true, 0}, {"financialEventsNews,surgeInHiring", false, 0}} {
		advance(1)
		windows := night(n.signals)
		if got := slices.Contains(windows, day); got != n.asked || len(gaps()) != n.gaps {
			t.Errorf("%s: windows from %v, %d gaps; want one from %s: %v, and %d gaps", n.signals, windows, len(gaps()), day, n.asked, n.gaps)
		}
	}

	// What is noted after a run of the day is polled by the next one of the day, and then there is nothing to do.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if state, err = subscriptions.Decode(text); err != nil {
		t.Fatal(err)
	}
	state.NoteGap(schema.Company, entity, from, envFor(t).Now().Add(time.Minute), "webhooks were paused")
	if err := os.WriteFile(path, state.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	var plan struct {
		Night struct {
			Pairs struct {
				Gaps int64 `json:"not_delivered"`
			} `json:"pairs"`
		} `json:"night"`
	}
	const signals = "financialEventsNews,surgeInHiring"
	v := r.exec(t.Context(), []string{"plan", "-"}, list, "--signals", signals, "--since", "last", "--json")
	if err := json.Unmarshal([]byte(v.stdout), &plan); err != nil || plan.Night.Pairs.Gaps != 2 {
		t.Errorf("plan of a second run of the day: %v, %+v; want 2 pairs that were not delivered: %s", err, plan, v.stderr)
	}
	if windows := night(signals); !slices.Contains(windows, day) || len(gaps()) != 0 {
		t.Errorf("a second run of the day: windows from %v, %d gaps; want one from %s and no gap", windows, len(gaps()), day)
	}
	before := len(r.sim.Bill().Entries)
	if v := r.exec(t.Context(), []string{"run", "-"}, list, "--signals", signals, "--since", "last"); v.code != exitComplete || !strings.Contains(v.stdout, "Nothing to do") || len(r.sim.Bill().Entries) != before {
		t.Errorf("a third run of the day: exit %d: %s%s", v.code, v.stdout, v.stderr)
	}
	r.checkInvariants()
}
