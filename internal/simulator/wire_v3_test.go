package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	contactSignals3 = "/v3/contacts/signals"
	companySignals3 = "/v3/companies/signals"
)

// answerV3 is a decoded answer of V3. Results are kept raw, since the tests check their form.
type answerV3 struct {
	RequestID string
	Results   []map[string]json.RawMessage
	StartDate string
	EndDate   string
	Billing   struct{ CreditsCharged, ResultsReturned int64 }
}

// text reads a member of a result that is a string; "" when it is absent.
func text(t testing.TB, r map[string]json.RawMessage, key string) string {
	t.Helper()
	raw, ok := r[key]
	if !ok {
		return ""
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatalf("%s is %s, want a string", key, raw)
	}
	return s
}

// itemCode returns the code of an item error; "" when there is none.
func itemCode(t testing.TB, r map[string]json.RawMessage) string {
	t.Helper()
	var e struct{ Code, Message string }
	if raw, ok := r["error"]; ok {
		if err := json.Unmarshal(raw, &e); err != nil || e.Code == "" || e.Message == "" {
			t.Fatalf("error is %s, want a code and a message", raw)
		}
	}
	return e.Code
}

func postV3(t testing.TB, s *Server, path, body string) answerV3 {
	t.Helper()
	w := post(s, path, body)
	if w.Code/100 != 2 {
		t.Fatalf("POST %s %s = %d %s, want 2xx", path, body, w.Code, w.Body)
	}
	var a answerV3
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("POST %s = %s, want JSON: %v", path, w.Body, err)
	}
	return a
}

// checkBill checks that all totals of a bill agree.
func checkBill(t testing.TB, s *Server) Bill {
	t.Helper()
	b := s.Bill()
	for name, by := range map[string]map[string]int64{"ByEndpoint": b.ByEndpoint, "ByType": b.ByType} {
		sum := int64(0)
		for _, n := range by {
			sum += n
		}
		if sum != b.Credits {
			t.Errorf("Bill().%s sums to %d, want %d", name, sum, b.Credits)
		}
	}
	if sum := sumCredits(b.Entries, nil); sum != b.Credits || b.Credits+b.Remaining != b.Pool || b.Delivered+b.Undelivered != b.Credits {
		t.Errorf("entries sum to %d, Bill() = %d = %d + %d, %d left of %d", sum, b.Credits, b.Delivered, b.Undelivered, b.Remaining, b.Pool)
	}
	return b
}

// idsJSON returns a list of n consecutive ids, with or without quotes.
func idsJSON(from, n int, quote string) string {
	b := []byte{'['}
	for i := range n {
		b = fmt.Appendf(appendComma(b), "%s%d%s", quote, from+i, quote)
	}
	return string(append(b, ']'))
}

func mustParseSwitches(t testing.TB, settings ...string) Switches {
	t.Helper()
	sw, err := ParseSwitches(settings)
	if err != nil {
		t.Fatal(err)
	}
	return sw
}

// TestV2AndV3SignalsAgree requests the same entities in both versions and compares byte by
// byte.
func TestV2AndV3SignalsAgree(t *testing.T) {
	for _, tt := range []struct {
		old, now, list string
		of             object
	}{{contactIDs, contactSignals3, "contactIds", contact}, {companyIDs, companySignals3, "companyIds", company}} {
		s := rig(t, Config{Switches: Switches{V3Events: "v2", Announced: "serve"}})
		var keys []string
		for _, sig := range s.signals[apiV2][tt.of] {
			keys = append(keys, sig.key)
		}
		window := `,"startDate":"2025-05-01","maxResultsPerSignal":7}`
		before := postV2(t, s, tt.old, `{"`+tt.list+`":`+idsJSON(1, 100, "")+`,"signals":["allSignals"]`+window)
		after := postV3(t, s, tt.now, `{"ids":`+idsJSON(1, 100, `"`)+`,"signalTypes":`+string(appendStrings(nil, keys))+window)
		if len(after.Results) != len(before.entries()) || len(after.Results) < 50 {
			t.Fatalf("%s knows %d, %s knows %d", tt.old, len(before.entries()), tt.now, len(after.Results))
		}
		events := 0
		for _, r := range after.Results {
			entry := before.entries()[text(t, r, "id")]
			for _, key := range keys {
				if diff := cmp.Diff(string(entry[key]), string(r[key])); diff != "" {
					t.Errorf("%s of %s (-V2 +V3):\n%s", key, r["id"], diff)
				}
				events += strings.Count(string(r[key]), `"signalDate"`)
			}
		}
		b := checkBill(t, s)
		if *before.Charge != after.Billing.CreditsCharged || b.Credits != 2**before.Charge || events == 0 {
			t.Errorf("V2 charged %d, V3 %d, the bill is %d, after %d events", *before.Charge, after.Billing.CreditsCharged, b.Credits, events)
		}
		if after.Billing.ResultsReturned != int64(len(after.Results)) || before.StartDate != after.StartDate || before.EndDate != after.EndDate {
			t.Errorf("V3 answer = %d results of %d, window %s to %s", after.Billing.ResultsReturned, len(after.Results), after.StartDate, after.EndDate)
		}
	}
}

func TestV3EventNames(t *testing.T) {
	sample, old := []string{"id", "newCompany", "previousCompany"}, []string{"personId", "currentCompanyName", "currentTitle"}
	for setting, want := range map[string][2]bool{"union": {true, true}, "sample": {true, false}, "v2": {false, true}} {
		s := rig(t, Config{Switches: Switches{V3Events: setting}})
		a := postV3(t, s, contactSignals3, `{"ids":`+idsJSON(1, 60, `"`)+`,"signalTypes":["companyChange"],"startDate":"2024-01-01"}`)
		seen := 0
		for _, r := range a.Results {
			var events []map[string]any
			if err := json.Unmarshal(r["companyChange"], &events); err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				seen++
				for i, names := range [][]string{sample, old} {
					for _, name := range names {
						if _, has := e[name]; has != want[i] {
							t.Errorf("v3-events=%s: event %v has %s: %t, want %t", setting, e, name, has, want[i])
						}
					}
				}
				if e["signalDate"] == nil || setting == "sample" && len(e) != 4 {
					t.Errorf("v3-events=%s: event %v", setting, e)
				}
			}
		}
		if seen == 0 {
			t.Error("nobody changed company")
		}
	}
}

// TestV3FormSwitches sets each switch that affects the form of a V3 answer and checks the effect.
func TestV3FormSwitches(t *testing.T) {
	companies := `{"ids":` + idsJSON(1, 60, `"`) + `,"signalTypes":["allSignals"],"startDate":"2025-05-01"}`
	contacts := `{"ids":` + idsJSON(1, 60, `"`) + `,"signalTypes":["allSignals"],"startDate":"2024-05-01"}`
	contains := func(text string) func(string) bool { return func(b string) bool { return strings.Contains(b, text) } }
	lacks := func(text string) func(string) bool { return func(b string) bool { return !strings.Contains(b, text) } }
	both := func(f, g func(string) bool) func(string) bool { return func(b string) bool { return f(b) && g(b) } }
	tests := []struct {
		setting, path string
		shows         func(body string) bool
	}{
		{"charge-field=documented", companySignals3, contains(`"billing":{"creditsCharged":`)},
		{"charge-field=creditCharged", companySignals3, both(contains(`"creditCharged":`), lacks("billing"))},
		{"charge-field=creditsCharged", companySignals3, both(contains(`"creditsCharged":`), lacks("billing"))},
		{"charge-field=billing", companySignals3, contains(`"billing":{"creditsCharged":`)},
		{"not-found=absent", companySignals3, lacks("NOT_FOUND")},
		{"not-found=error", companySignals3, contains(`","error":{"code":"NOT_FOUND","message":"`)},
		{"empty=list", companySignals3, contains(`"riskNews":[]`)},
		{"empty=absent", contactSignals3, lacks(`[]`)},
		{"empty=null", companySignals3, contains(`"riskNews":null`)},
		{"single=object", contactSignals3, contains(`"promotion":{`)},
		{"single=object-all", companySignals3, contains(`"riskNews":{`)},
		{"ids=documented", companySignals3, both(contains(`"id":"7"`), contains(`{"companyId":7,`))},
		{"ids=text", companySignals3, lacks(`{"companyId":7,`)},
		{"ids=number", companySignals3, contains(`"id":7,`)},
		{"departments=objects", contactSignals3, contains(`"currentDepartments":[{"id":`)},
		{"decrease-sign=positive", companySignals3, lacks(`"changeRatePercent":-`)},
		{"event-type-case=lower", companySignals3, lacks(`"eventType":"P`)},
		{"news-dates=publication", companySignals3, lacks(`"eventEffectiveDate"`)},
		{"v3-www=half", companySignals3, both(contains(`"domain":"www.`), func(b string) bool {
			return strings.Count(b, `"domain":"www.`) < strings.Count(b, `{"id":"`)-10
		})},
		{"v3-www=never", companySignals3, lacks(`"domain":"www.`)},
		{"v3-www=always", companySignals3, func(b string) bool {
			return strings.Count(b, `"domain":"www.`) >= 40 // entities bear it, events do not
		}},
	}
	for _, tt := range tests {
		s := rig(t, Config{Switches: mustParseSwitches(t, tt.setting)})
		body := companies
		if tt.path == contactSignals3 {
			body = contacts
		}
		w := post(s, tt.path, body)
		if w.Code != 200 || !json.Valid(w.Body.Bytes()) || !tt.shows(w.Body.String()) {
			t.Errorf("%s: POST %s = %d %.600s", tt.setting, tt.path, w.Code, w.Body)
		}
	}
	s := rig(t, Config{Switches: mustParseSwitches(t, "not-found=404", "status=201")})
	known := strings.Contains(post(s, companySignals3, companies).Body.String(), `"id":"`)
	codes := map[int]bool{}
	for i := range 60 {
		codes[post(s, companySignals3, fmt.Sprintf(`{"ids":["%d"],"signalTypes":["riskNews"]}`, i+1)).Code] = true
	}
	if !known || !codes[404] || !codes[201] || len(codes) != 2 {
		t.Errorf("not-found=404 with status=201: statuses %v", codes)
	}
}

// TestSocialIntent checks that the signal that only V3 has is bounded whatever the request says,
// and that V2 does not know it.
func TestSocialIntent(t *testing.T) {
	const key = "linkedinActivityIntent"
	type mention struct{ ID, FullName, Name, LinkedinURL *string }
	type activity struct {
		CompanyID               json.Number
		ActivityPublicationDate string
		SignalCategory          string
		IntentTopics            []struct{ Topic, Category string }
		Author                  mention
		ContactsMentioned       []mention
		CompaniesMentioned      []mention
		ActivityURL             string
		ActivitySummary         *string
		ActivityLikes           int
		ActivityType            string
	}
	read := func(s *Server, rest string) (list []activity, a answerV3) {
		a = postV3(t, s, companySignals3, `{"ids":`+idsJSON(1, 60, `"`)+`,"signalTypes":["`+key+`"]`+rest+`}`)
		for _, r := range a.Results {
			var some []activity
			if err := json.Unmarshal(r[key], &some); err != nil {
				t.Fatalf("%s = %s: %v", key, r[key], err)
			}
			for _, e := range some {
				if e.CompanyID.String() != text(t, r, "id") {
					t.Errorf("an activity of %s bears companyId %s", r["id"], e.CompanyID)
				}
			}
			list = append(list, some...)
		}
		return list, a
	}
	s := rig(t, Config{})
	all, a := read(s, `,"startDate":"2020-01-01"`)
	if a.StartDate != "2020-01-01" || a.Billing.CreditsCharged != int64(len(all)) || checkBill(t, s).ByType[key] != int64(len(all)) || len(all) < 30 {
		t.Errorf("%d activities from %s cost %d, bill %v", len(all), a.StartDate, a.Billing.CreditsCharged, s.Bill().ByType)
	}
	people, unknown := 0, 0
	for _, e := range all {
		if e.ActivityPublicationDate <= "2026-01-31" || e.ActivityPublicationDate > "2026-05-01" {
			t.Errorf("an activity on %s, want one of the last 90 days", e.ActivityPublicationDate)
		}
		if e.SignalCategory == "" || len(e.IntentTopics) == 0 || e.Author.FullName == nil || e.ActivityURL == "" || e.ActivityType == "" {
			t.Errorf("activity %+v lacks something", e)
		}
		people += len(e.ContactsMentioned) + len(e.CompaniesMentioned)
		if e.Author.ID == nil {
			unknown++
		}
	}
	if people == 0 || unknown == 0 || unknown == len(all) {
		t.Errorf("%d mentioned in %d activities, %d authors without an id", people, len(all), unknown)
	}
	repeated, _ := read(s, "")
	if diff := cmp.Diff(all, repeated); diff != "" {
		t.Errorf("another window, other activities:\n%s", diff)
	}
	some, _ := read(s, `,"filters":{"include":{"intentCategories":["security"]}}`)
	for _, e := range some {
		if !slices.ContainsFunc(e.IntentTopics, func(t struct{ Topic, Category string }) bool { return t.Category == "Security" }) {
			t.Errorf("filtered activity about %v", e.IntentTopics)
		}
	}
	if len(some) == 0 || len(some) >= len(all) {
		t.Errorf("the filter leaves %d of %d", len(some), len(all))
	}
	full := rig(t, Config{Switches: Switches{Events: "most"}})
	if most, a := read(full, `,"startDate":"2020-01-01","maxResultsPerSignal":100`); len(most) != maxSocialEvents*len(a.Results) {
		t.Errorf("at most %d activities of %d companies", len(most), len(a.Results))
	} else if most[0].ActivityPublicationDate < "2026-02-01" {
		t.Errorf("an activity on %s", most[0].ActivityPublicationDate)
	}
	if w := post(s, companyIDs, `{"companyIds":[1],"signals":["`+key+`"]}`); w.Code != 400 {
		t.Errorf("V2 asked for %s = %d", key, w.Code)
	}
	if strings.Contains(get(s, companyOptions).Body.String(), key) || !strings.Contains(get(s, companySignals3+"/types").Body.String(), key) {
		t.Errorf("%s is listed where it is not served, or the reverse", key)
	}
}

// TestV3Filters checks that V3 refuses by name the sub-filters it documents elsewhere, and that
// by switch they narrow as in V2.
func TestV3Filters(t *testing.T) {
	const include = `"filters":{"include":{"newsEventTypes":["ipo"],"hiringByDepartments":["Sales"],"hiringByLocations":[{"country":"Norway"}]}}`
	ids, window := idsJSON(1, 100, `"`), `,"startDate":"2024-05-01",`
	body := `{"ids":` + ids + `,"signalTypes":["financialEventsNews","surgeInHiringByDepartment","surgeInHiringByLocation"]` + window + include + `}`
	s := rig(t, Config{})
	w := post(s, companySignals3, body)
	for _, name := range []string{"newsEventTypes", "hiringByDepartments", "hiringByLocations"} {
		if w.Code != 400 || !strings.Contains(w.Body.String(), "filters.include."+name) {
			t.Errorf("V2 filters in V3 = %d %s, want a 400 naming %s", w.Code, w.Body, name)
		}
	}
	lenient := rig(t, Config{Switches: mustParseSwitches(t, "v3-filters")})
	a := postV3(t, lenient, companySignals3, body)
	b := postV2(t, lenient, companyIDs, `{"companyIds":`+idsJSON(1, 100, "")+`,"signals":["financialEventsNews","surgeInHiringByDepartment","surgeInHiringByLocation"]`+window+include+`}`)
	if a.Billing.CreditsCharged != *b.Charge || *b.Charge == 0 {
		t.Errorf("the filtered answer costs %d in V3 and %d in V2", a.Billing.CreditsCharged, *b.Charge)
	}
}

// TestTokens checks that a token stands for one id, leads back to it, and works wherever digits
// do.
func TestTokens(t *testing.T) {
	w := world{seed: mix64(7)}
	seen := map[string]bool{}
	for _, id := range []int64{1, 2, 70114455, 1 << 40, 1<<53 + 1, 1<<62 + 12345, 1<<63 - 1} {
		for _, o := range []object{contact, company} {
			token := w.encodeToken(o, id)
			if back, ok := w.decodeToken(o, token); !ok || back != id || !strings.HasPrefix(token, "v1.") || seen[token] {
				t.Errorf("token of %s %d = %s, which leads to %d, %t", o, id, token, back, ok)
			}
			seen[token] = true
			if _, ok := w.decodeToken(1-o, token); ok {
				t.Errorf("a token of a %s opens the other kind", o)
			}
			if _, ok := (world{seed: 1}).decodeToken(o, token); ok {
				t.Error("a token opens another world")
			}
			if _, ok := w.decodeToken(o, token[:len(token)-1]); ok {
				t.Error("a shortened token is a token")
			}
		}
	}
	s := rig(t, Config{Switches: Switches{V3IDs: "tokens"}})
	for id := int64(1); id < 40; id++ {
		digits, token := strconv.FormatInt(id, 10), s.world.encodeToken(company, id)
		a := postV3(t, s, companySignals3, `{"ids":["`+digits+`"],"signalTypes":["allSignals"]}`)
		b := postV3(t, s, companySignals3, `{"ids":["`+token+`"],"signalTypes":["allSignals"]}`)
		if len(a.Results) != len(b.Results) {
			t.Fatalf("id %d is known as digits or as a token only", id)
		}
		if len(a.Results) == 0 {
			continue
		}
		if text(t, a.Results[0], "id") != digits || text(t, b.Results[0], "id") != token {
			t.Errorf("ids asked for come back as %s and %s", a.Results[0]["id"], b.Results[0]["id"])
		}
		delete(a.Results[0], "id")
		delete(b.Results[0], "id")
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("digits and token differ:\n%s", diff)
		}
	}
}

func TestV3Lists(t *testing.T) {
	tests := []struct {
		path   string
		status int
		want   string
	}{
		{"/v3/contacts/signals/types", 200, `{"signalTypes":["allSignals","companyChange","promotion"]}`},
		{"/v3/companies/signals/filters", 200, `{"filterType":"hiringByLocations","requiresQuery":true}`},
		{"/v3/companies/signals/filters/newsEventTypes", 200, `"Funding Round"`},
		{"/v3/companies/signals/filters/newsEventTypes?query=FUND", 200, `{"values":["Funding Round"]}`},
		{"/v3/companies/signals/filters/newsEventTypes?query=zz", 200, `{"values":[]}`},
		{"/v3/companies/signals/filters/newsEventTypes?query=F", 400, `query`},
		{"/v3/companies/signals/filters/newsEventTypes?query=", 400, `query`},
		{"/v3/companies/signals/filters/newsEventTypes?query=" + strings.Repeat("f", 257), 400, `query`},
		{"/v3/companies/signals/filters/hiringByDepartments?query=sal", 200, `{"values":["Sales"]}`},
		{"/v3/companies/signals/filters/hiringByLocations", 400, `query`},
		{"/v3/companies/signals/filters/hiringByLocations?query=norw", 200, `{"values":[{"country":"Norway","state":"Vestland"},{"country":"Norway"}]}`},
		{"/v3/companies/signals/filters/hiringByLocations?query=ohio", 200, `{"values":[{"country":"United States","state":"Ohio"}]}`},
		{"/v3/companies/signals/filters/intentCategories", 200, `"Data & Analytics"`},
		{"/v3/companies/signals/filters/intentCategories?query=data", 400, `query`},
		{"/v3/companies/signals/filters/other", 404, `request_id`},
		{"/v3/contacts/signals/filters", 404, `request_id`},
		{"/v3/companies/search-and-enrich", 404, `request_id`},
	}
	s := rig(t, Config{})
	for _, tt := range tests {
		if w := get(s, tt.path); w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("GET %s = %d %s, want %d %s", tt.path, w.Code, w.Body, tt.status, tt.want)
		}
	}
	if w := get(rig(t, Config{Switches: mustParseSwitches(t, "announced")}), "/v3/companies/signals/types"); strings.Count(w.Body.String(), ",") != 28 {
		t.Errorf("types with announced keys = %s, want 29", w.Body)
	}
	if b := checkBill(t, s); b.Credits != 0 || b.Requests != len(tests) {
		t.Errorf("Bill() = %+v, want nothing for lists", b)
	}
}
