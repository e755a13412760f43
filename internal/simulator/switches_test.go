package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSwitches(t *testing.T) {
	got, err := ParseSwitches([]string{"announced", "billing=per_type", " charge-field=billing", "announced=serve"})
	if want := (Switches{Announced: "serve", Billing: "per_type", ChargeField: "billing"}); err != nil || got != want {
		t.Errorf("ParseSwitches = %+v, %v, want %+v", got, err, want)
	}
	for setting, hint := range map[string]string{
		"announcd": "charge-field", "billing=free": "per_event, per_type", "": "expected one of", "billing=": "per_event",
	} {
		if s, err := ParseSwitches([]string{setting}); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("ParseSwitches(%q) = %+v, %v, want an error saying %q", setting, s, err, hint)
		}
	}
	if _, err := ParseSwitches([]string{"status=200", "status=201"}); err == nil {
		t.Error("ParseSwitches of two values of one switch gives no error")
	}
}

func TestEverySwitchHasItsField(t *testing.T) {
	var s Switches
	seen := map[*string]string{}
	for _, def := range switchTable {
		field := def.field(&s)
		if other, taken := seen[field]; taken {
			t.Errorf("switches %s and %s share a field", def.Name, other)
		}
		seen[field] = def.Name
		if len(def.Values) < 2 || def.Doc == "" {
			t.Errorf("switch %s = %+v", def.Name, def.SwitchDoc)
		}
	}
	defaults, err := s.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	// A field without a switch would be an open question without a setting.
	for i, value := range strings.Split(strings.Trim(fmt.Sprintf("%q", defaults), "{}"), " ") {
		if value == `""` {
			t.Errorf("field %d of Switches has no switch", i)
		}
	}
	docs := SwitchDocs()
	docs[0].Values[0] = "spoilt"
	if SwitchDocs()[0].Values[0] == "spoilt" {
		t.Error("SwitchNames lends out its own table")
	}
}

// TestFormSwitches sets each switch that affects the form of an answer and checks the effect.
func TestFormSwitches(t *testing.T) {
	companies := `{` + companiesV2("v", 60) + `,"signals":["allSignals"],"startDate":"2025-05-01"}`
	contacts := `{"contactIds":[11,12,13,14,15,16,17,18,19,20,21,22,23,24,25],"signals":["allSignals"],"startDate":"2024-05-01"}`
	contains := func(text string) func(string) bool { return func(b string) bool { return strings.Contains(b, text) } }
	lacks := func(text string) func(string) bool { return func(b string) bool { return !strings.Contains(b, text) } }
	tests := []struct {
		setting string
		path    string
		shows   func(body string) bool
	}{
		{"charge-field=creditCharged", companySearch, contains(`"creditCharged":`)},
		{"charge-field=creditsCharged", companySearch, contains(`"creditsCharged":`)},
		{"charge-field=billing", companySearch, contains(`"billing":{"creditsCharged":`)},
		{"not-found=absent", companySearch, lacks("EMPTY_DATA")},
		{"not-found=error", companySearch, contains(`{"error":{"code":3,"name":"EMPTY_DATA"`)},
		{"empty=list", companySearch, contains(`"riskNews":[]`)},
		{"empty=absent", companySearch, lacks(`[]`)},
		{"empty=null", companySearch, contains(`"riskNews":null`)},
		{"single=list", contactIDs, lacks(`"promotion":{`)},
		{"single=object", contactIDs, contains(`"promotion":{`)},
		{"single=object", companySearch, lacks(`"riskNews":{`)},
		{"single=object-all", companySearch, contains(`"riskNews":{`)},
		{"ids=documented", contactIDs, func(b string) bool {
			return strings.Contains(b, `"personId":"`) && !strings.Contains(b, `"currentCompanyId":"`)
		}},
		{"ids=text", contactIDs, contains(`"currentCompanyId":"`)},
		{"ids=number", contactIDs, lacks(`"personId":"`)},
		{"ids=number", companySearch, lacks(`"companyId":"`)},
		{"departments=text", contactIDs, contains(`"currentDepartments":"`)},
		{"departments=list", contactIDs, contains(`"currentDepartments":["`)},
		{"departments=objects", contactIDs, contains(`"currentDepartments":[{"id":`)},
		{"decrease-sign=negative", companySearch, contains(`"changeRatePercent":-`)},
		{"decrease-sign=positive", companySearch, lacks(`"changeRatePercent":-`)},
		{"event-type-case=mixed", companySearch, contains(`"eventType":"New`)},
		{"event-type-case=title", companySearch, lacks(`"eventType":"partnership`)},
		{"event-type-case=lower", companySearch, lacks(`"eventType":"P`)},
		{"news-dates=both", companySearch, contains(`"eventEffectiveDate"`)},
		{"news-dates=publication", companySearch, lacks(`"eventEffectiveDate"`)},
		{"news-dates=effective", companySearch, lacks(`"articlePublishedDate"`)},
	}
	for _, tt := range tests {
		sw, err := ParseSwitches([]string{tt.setting})
		if err != nil {
			t.Fatal(err)
		}
		s := rig(t, Config{Switches: sw})
		body := companies
		if tt.path == contactIDs {
			body = contacts
		}
		w := post(s, tt.path, body)
		if w.Code != 200 || !json.Valid(w.Body.Bytes()) || !tt.shows(w.Body.String()) {
			t.Errorf("%s: POST %s = %d %.600s", tt.setting, tt.path, w.Code, w.Body)
		}
	}
}

func TestBehaviourSwitches(t *testing.T) {
	status := func(settings ...string) func(path, body string) int {
		sw, err := ParseSwitches(settings)
		if err != nil {
			t.Fatal(err)
		}
		s := rig(t, Config{Switches: sw, Faults: []Fault{{Kind: "403-plan", At: 2}}})
		return func(path, body string) int { return post(s, path, body).Code }
	}
	hundredOne := `{"companyIds":[` + strings.Repeat("1,", 100) + `2],"signals":["riskNews"]}`
	twice := `{"companies":[{"id":"a","domain":"a.example"},{"id":"a","domain":"b.example"}],"signals":["riskNews"]}`
	mixed := `{"companyIds":[1],"signals":["riskNews","allSignals"]}`
	announced := `{"companyIds":[1],"signals":["newJobPost"]}`
	for _, tt := range []struct {
		setting, path, body string
		want                int
	}{
		{"status=200", companyIDs, mixed, 200},
		{"status=201", companyIDs, mixed, 201},
		{"all-signals=refuse", companyIDs, mixed, 400},
		{"announced", companyIDs, announced, 200},
		{"duplicates=refuse", companySearch, twice, 400},
		{"duplicates=last-wins", companySearch, twice, 200},
		{"over-100=refuse", companyIDs, hundredOne, 400},
		{"over-100=first-100", companyIDs, hundredOne, 200},
	} {
		if got := status(tt.setting)(tt.path, tt.body); got != tt.want {
			t.Errorf("%s: POST %s = %d, want %d", tt.setting, tt.path, got, tt.want)
		}
	}
	for setting, want := range map[string]int{"plan-gating=403": 403, "plan-gating=402": 402} {
		call := status(setting)
		call(companyIDs, mixed)
		if got := call(companyIDs, mixed); got != want {
			t.Errorf("%s: a gated request = %d, want %d", setting, got, want)
		}
	}

	// 404 for a batch without a match, and only for such a batch.
	s := rig(t, Config{Switches: Switches{NotFound: "404", Billing: "min1"}})
	w := s.world
	var unknown, known string
	for i := 0; unknown == "" || known == ""; i++ {
		name := fmt.Sprintf("q%d.example", i)
		id, _ := w.companyByDomain(name)
		if _, ok := w.find(company, &lookup{id: id}); ok {
			known = name
		} else {
			unknown = name
		}
	}
	item := func(id, domain string) string { return fmt.Sprintf(`{"id":%q,"domain":%q}`, id, domain) }
	for body, want := range map[string]int{item("a", unknown): 404, item("a", unknown) + "," + item("b", known): 200} {
		if w := post(s, companySearch, `{"companies":[`+body+`],"signals":["riskNews"]}`); w.Code != want {
			t.Errorf("not-found=404: %s = %d %s, want %d", body, w.Code, w.Body, want)
		}
	}
	if c := s.Bill().Entries[0]; c.Status == 404 && c.Credits != 0 {
		t.Errorf("a 404 costs %d", c.Credits)
	}
}

func TestLastDuplicateWins(t *testing.T) {
	s := rig(t, Config{Switches: Switches{Duplicates: "last-wins"}})
	a := postV2(t, s, companySearch, `{"companies":[{"id":"x","domain":"v1.example"},{"id":"x","domain":"v2.example"}],"signals":["allSignals"]}`)
	b := postV2(t, s, companySearch, `{"companies":[{"id":"x","domain":"v2.example"}],"signals":["allSignals"]}`)
	if diff := cmp.Diff(a, b); diff != "" || s.Bill().Entries[0].Entities != 1 {
		t.Errorf("the last of two differs from the same alone:\n%s", diff)
	}
}

func TestWindowSwitches(t *testing.T) {
	read := func(sw Switches, rest string) answerV2 {
		return postV2(t, rig(t, Config{Switches: sw}), companySearch, `{`+companiesV2("g", 100)+`,"signals":["surgeInHiring"]`+rest+`}`)
	}
	dates := func(a answerV2) map[string]int {
		n := map[string]int{}
		for ref := range a.Companies {
			for _, e := range a.events(t, ref, "surgeInHiring") {
				n[e["signalDate"].(string)]++
			}
		}
		return n
	}
	const monday = "2026-03-02"
	if n := dates(read(Switches{}, `,"startDate":"`+monday+`"`)); n[monday] == 0 {
		t.Errorf("inclusive: dates = %v, want some on %s", n, monday)
	}
	if n := dates(read(Switches{WindowEdges: "exclusive"}, `,"startDate":"`+monday+`"`)); n[monday] != 0 || len(n) == 0 {
		t.Errorf("exclusive: dates = %v, want none on %s", n, monday)
	}
	if a := read(Switches{DefaultWindow: "three-months"}, ""); a.StartDate != "2026-02-01" {
		t.Errorf("three-months: startDate = %s", a.StartDate)
	}
	full, capped := read(Switches{}, `,"startDate":"2018-01-01"`), read(Switches{MissingCap: "10"}, `,"startDate":"2018-01-01"`)
	longest := 0
	for ref := range full.Companies {
		all, some := full.events(t, ref, "surgeInHiring"), capped.events(t, ref, "surgeInHiring")
		longest = max(longest, len(all))
		if diff := cmp.Diff(all[:min(10, len(all))], some); diff != "" {
			t.Errorf("missing-cap=10:\n%s", diff)
		}
	}
	if longest <= 10 {
		t.Errorf("longest list = %d, want more than the cap", longest)
	}
	oldest := read(Switches{CapKeeps: "oldest", Order: "oldest"}, `,"startDate":"2018-01-01","maxResultsPerSignal":2`)
	for ref := range full.Companies {
		all, two := full.events(t, ref, "surgeInHiring"), oldest.events(t, ref, "surgeInHiring")
		for i := range two {
			if diff := cmp.Diff(all[len(all)-1-i], two[i]); diff != "" {
				t.Errorf("oldest two:\n%s", diff)
			}
		}
	}
	shuffled := read(Switches{Order: "mixed"}, `,"startDate":"2018-01-01"`)
	if cmp.Equal(full, shuffled) || *full.Charge != *shuffled.Charge {
		t.Error("order=mixed changes nothing, or the price")
	}
}

func TestChaos(t *testing.T) {
	s := rig(t, Config{Switches: Switches{Chaos: "on"}})
	calm := rig(t, Config{})
	shapes := map[string]bool{}
	for i := range 40 {
		body := `{` + companiesV2(fmt.Sprintf("h%d-", i), 5) + `,"signals":["allSignals"]}`
		one, two := post(s, companySearch, body), post(s, companySearch, body)
		if !json.Valid(one.Body.Bytes()) || !bytes.Equal(one.Body.Bytes(), two.Body.Bytes()) {
			t.Errorf("chaos: one request, two answers, or no JSON: %.300s", one.Body)
		}
		for _, mark := range []string{`"creditCharged"`, `"billing"`, "null", "EMPTY_DATA", `"companyId":"`} {
			shapes[fmt.Sprint(mark, strings.Contains(one.Body.String(), mark))] = true
		}
		before := calm.Bill().Credits
		post(calm, companySearch, body)
		entries := s.Bill().Entries
		if got, want := entries[len(entries)-1].Credits, calm.Bill().Credits-before; got != want {
			t.Errorf("chaos: the charge is %d, want %d", got, want)
		}
	}
	if len(shapes) != 10 {
		t.Errorf("chaos over 40 answers shows %v", shapes)
	}
}

// TestEventsMost checks that under the switch every known entity has as many events of every type
// as requested, and that the charge is the most they can cost.
func TestEventsMost(t *testing.T) {
	const price = 3
	for _, tt := range []struct {
		path, body string
		types      []*signal
	}{
		{companySearch, companiesV2("v", 6), signalsOf(apiV2, company, false)},
		{contactIDs, `"contactIds":[11,12,13,14]`, signalsOf(apiV2, contact, false)},
	} {
		for _, most := range []int{1, 7, 100} {
			s := rig(t, Config{Switches: Switches{Events: "most"}, EventPrice: price})
			body := fmt.Sprintf(`{%s,"signals":["allSignals"],"startDate":"2026-03-01"`, tt.body)
			if most != uncappedEvents {
				body += fmt.Sprintf(`,"maxResultsPerSignal":%d`, most)
			}
			a := postV2(t, s, tt.path, body+`}`)
			ids := map[string]bool{}
			for ref := range a.entries() {
				for _, sig := range tt.types {
					events := a.events(t, ref, sig.key)
					if len(events) != most {
						t.Errorf("%s of %s: %d events, want %d", sig.key, ref, len(events), most)
					}
					for _, e := range events {
						if id, ok := e["signalId"]; ok {
							ids[fmt.Sprint(id)] = true
						}
						if date, ok := e["signalDate"].(string); ok && (date < a.StartDate || date > a.EndDate) {
							t.Errorf("%s of %s on %s, want it from %s to %s", sig.key, ref, date, a.StartDate, a.EndDate)
						}
					}
				}
			}
			n := len(a.entries()) * len(tt.types) * most
			if tt.path == companySearch && len(ids) != n {
				t.Errorf("%d events have %d ids, want one each", n, len(ids))
			}
			if want := int64(n) * price; *a.Charge != want || s.Bill().Credits != want || want == 0 {
				t.Errorf("%d events are charged %d and billed %d, want %d", n, *a.Charge, s.Bill().Credits, want)
			}
		}
	}
	// A filter still applies.
	s := rig(t, Config{Switches: Switches{Events: "most"}})
	a := postV2(t, s, companySearch, `{`+companiesV2("v", 9)+`,"signals":["riskNews","peopleNews"],"maxResultsPerSignal":5,"filters":{"include":{"newsEventTypes":["Security Issue"]}}}`)
	for ref := range a.entries() {
		if risks, people := len(a.events(t, ref, "riskNews")), len(a.events(t, ref, "peopleNews")); risks != 5 || people != 0 {
			t.Errorf("%s: %d risks and %d people, want 5 and none that pass the filter", ref, risks, people)
		}
	}
}

// TestEventPrice checks that the account page states the price that is charged.
func TestEventPrice(t *testing.T) {
	if _, err := New(Config{EventPrice: -1}); err == nil || !strings.Contains(err.Error(), "EventPrice") {
		t.Errorf("New(EventPrice: -1) = %v, want an error that names it", err)
	}
	for configured, want := range map[int64]string{0: `{"credits":1,"perQuantity":1}`, 6: `{"credits":6,"perQuantity":1}`} {
		page := get(rig(t, Config{EventPrice: configured}), accountUsage).Body.String()
		for _, action := range []string{"showSignalsContact", "showSignalsCompany"} {
			if !strings.Contains(page, `"`+action+`":`+want) {
				t.Errorf("EventPrice %d: the account page is %s, want %s to be %s", configured, page, action, want)
			}
		}
		if !strings.Contains(page, `"revealPhone":{"credits":5,`) {
			t.Errorf("EventPrice %d: the account page is %s, want other prices as they were", configured, page)
		}
	}
}
