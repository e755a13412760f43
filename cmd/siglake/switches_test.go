package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// effect is what another reading of an open question does to the lake.
type effect struct {
	rows     string // the rows: "" the same, "fewer", "more", "people" (the same but for people's), "other" ones
	statuses bool   // the fates of lines may be others
	credits  bool   // so may be the bill
	unserved string // the dialect in which nothing is to be had any more
	charges  bool   // the API may charge more than its events explain
}

// effects are those that have one. An entry of a switch holds for all its values,
// unless one has its own entry.
var effects = map[string]effect{
	"billing":          {credits: true, charges: true},
	"v3-events=sample": {rows: "people"},
	"window-edges":     {rows: "fewer", statuses: true, credits: true},
	"cap-keeps":        {rows: "other"},
	"announced":        {rows: "more", statuses: true, credits: true},
	"restricted":       {rows: "fewer", statuses: true, credits: true},
	"events":           {rows: "other", statuses: true, credits: true},
	"chaos":            {rows: "people"},
	"v2":               {unserved: app.APIV2},
	"session-expiry":   {}, // of lookalikes
	"pagination":       {}, // of website visits
	"score-price":      {}, // of scores
	"default-window":   {}, // a start is always sent
	"missing-cap":      {}, // and so is a cap
	"all-signals":      {}, // never sent
	"bearer":           {}, // never sent
	"duplicates":       {}, // a reference is never sent twice
	"over-100":         {}, // nor are more than a hundred items
	"rate-scope":       {}, // one key
	"retry-after":      {}, // nothing is refused
	"plan-gating":      {}, // likewise
	"v3-filters":       {}, // none are sent
	"charge-field":     {},
	"event-type-case":  {},
	"news-dates":       {},
	"v3-events=v2":     {},
	"v3-ids":           {},
	"decrease-sign":    {},
	"order":            {},
	"windows":          {},
	"v3-www":           {},
	"empty":            {},
	"single":           {},
	"departments":      {},
	"ids":              {},
	"status":           {},
	"not-found":        {},
}

// webhookSwitches are those of webhooks, which no run meets.
var webhookSwitches = []string{
	"challenge", "timestamp-unit", "retry-timestamp", "retry-intervals", "acknowledgement", "webhook-pagination", "secret",
	"delivery-billing", "delivery-names", "delivery",
}

// lakeContents is what a lake holds, for comparison.
type lakeContents struct {
	people, companies []string // event_uids
	statuses          []string // by row
	credits           int64
	matches           int64
}

func (r *rig) lakeContents() (b lakeContents) {
	for _, row := range r.events() {
		if row["object_type"] == "contact" {
			b.people = append(b.people, row["event_uid"].(string))
		} else {
			b.companies = append(b.companies, row["event_uid"].(string))
		}
	}
	slices.Sort(b.people)
	slices.Sort(b.companies)
	for _, row := range r.table(schema.Accounts) {
		b.statuses = append(b.statuses, fmt.Sprint(row["account_key"], " ", row["status"]))
	}
	b.credits, b.matches = r.manifest.Credits.Charged, r.manifest.Products[schema.ProductMatch]
	return b
}

// isSubset reports whether a sorted list has nothing that another lacks.
func isSubset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { _, found := slices.BinarySearch(b, s); return !found })
}

// TestRegister runs a small list through every reading of every open question, in
// both dialects. The rig holds each bill against the manifest; what else must
// be as it was is compared.
func TestRegister(t *testing.T) {
	t.Parallel()
	flags := map[string][]string{}
	usual := map[string]lakeContents{}
	list := listByName(t, 104) // more than fit into a call
	for _, api := range []string{"v2", "v3"} {
		flags[api] = []string{"--signals", "contact,news,headcountDecrease3m,surgeInHiring", "--since", "36d", "--max-results", "2", "--api", api}
		r := newRig(t, fixedDayConfig(t))
		r.runList(t.Context(), nil, list, flags[api]...)
		if usual[api] = r.lakeContents(); len(usual[api].people) < 3 || len(usual[api].companies) < 20 {
			t.Fatalf("%s: %d events of people, %d of companies; want some", api, len(usual[api].people), len(usual[api].companies))
		}
	}
	for _, doc := range simulator.SwitchDocs() {
		if slices.Contains(webhookSwitches, doc.Name) {
			continue
		}
		for i, value := range doc.Values {
			setting := doc.Name + "=" + value
			expected, listed := effects[setting]
			if !listed {
				expected, listed = effects[doc.Name]
			}
			if i == 0 && !proof.IsFull() {
				continue // what was run above
			}
			if !listed && i > 0 {
				t.Errorf("it is not said what %s does to a lake", setting)
			}
			if i == 0 {
				expected = effect{}
			}
			for _, api := range []string{"v2", "v3"} {
				name := fmt.Sprintf("row %d %s %s", doc.Row, setting, api)
				switch {
				case doc.Row == 0:
					name = setting + " " + api
				case strings.HasSuffix(setting, "min1"): // which answers another question as well
					name = fmt.Sprintf("row %d %s %s", 3, setting, api)
				}
				if api == "v2" && strings.HasPrefix(doc.Name, "v3-") && !proof.IsFull() {
					continue
				}
				if !proof.IsShort() && expected.unserved == "" && !strings.HasPrefix(doc.Name, "v3-") && (api == "v2") == ((doc.Row+i)%2 == 0) {
					continue // one of the two is tried
				}
				if !proof.IsShort() && expected == (effect{}) && (doc.Row+i)%2 == 0 {
					continue // of those that change nothing
				}
				t.Run(name, func(t *testing.T) {
					r := newRig(t, fixedDayConfig(t, setting))
					r.runList(t.Context(), nil, list, flags[api]...)
					if expected.unserved == api {
						if r.code != exitAuth || !strings.Contains(r.stderr, "--api v3") {
							t.Errorf("exit %d, want %d and what to do: %s", r.code, exitAuth, r.stderr)
						}
						return
					}
					if r.code != exitRejects && (!expected.charges || r.code != exitUnexplained) { // the list has such lines
						t.Fatalf("exit %d, want %d: %s", r.code, exitRejects, r.stderr)
					}
					expected.checkContents(t, usual[api], r.lakeContents())
				})
			}
		}
	}
}

func (e effect) checkContents(t *testing.T, usual, is lakeContents) {
	t.Helper()
	if !e.statuses {
		if diff := cmp.Diff(usual.statuses, is.statuses); diff != "" {
			t.Errorf("fates (-usual +switched):\n%s", diff)
		}
	}
	if !e.credits && is.credits != usual.credits {
		t.Errorf("%d credits, want %d", is.credits, usual.credits)
	}
	same := slices.Equal(usual.people, is.people) && slices.Equal(usual.companies, is.companies)
	var ok bool
	switch e.rows {
	case "":
		ok = same
	case "people":
		ok = slices.Equal(usual.companies, is.companies) && len(usual.people) == len(is.people)
	case "fewer":
		ok = isSubset(is.people, usual.people) && isSubset(is.companies, usual.companies)
	case "more":
		ok = isSubset(usual.people, is.people) && isSubset(usual.companies, is.companies)
	default:
		ok = len(is.companies) >= len(usual.companies) && len(is.people) >= len(usual.people)
	}
	if !ok {
		t.Errorf("%d events of people, %d of companies; usually %d and %d; want %q", len(is.people), len(is.companies), len(usual.people), len(usual.companies), e.rows)
	}
}
