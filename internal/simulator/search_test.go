package simulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	contactSearch3 = "/v3/contacts/search"
	companySearch3 = "/v3/companies/search"
)

// companiesV3 returns the items of a V3 request about n companies.
func companiesV3(prefix string, n int) string {
	b := []byte(`"companies":[`)
	for i := range n {
		b = fmt.Appendf(appendComma(b), `{"clientReferenceId":"%s%d","domain":"%s%d.example"}`, prefix, i, prefix, i)
	}
	return string(append(b, ']'))
}

// inLetters returns a number in letters, the only characters by which the service distinguishes
// names.
func inLetters(i int) string { return string([]byte{'a' + byte(i/26%26), 'a' + byte(i%26)}) }

// contactsV3 returns the items of a V3 request about n contacts.
func contactsV3(prefix string, n int) string {
	b := []byte(`"contacts":[`)
	for i := range n {
		b = fmt.Appendf(appendComma(b), `{"clientReferenceId":"%s%d","email":"ada.%s%s@harborquill.example"}`, prefix, i, prefix, inLetters(i))
	}
	return string(append(b, ']'))
}

// TestV2AndV3SearchesAgree compares the ids of V2 and V3 for every way to identify an entity.
func TestV2AndV3SearchesAgree(t *testing.T) {
	s := rig(t, Config{})
	found := 0
	for i := range 40 {
		for _, tt := range []struct{ oldPath, old, newPath, now string }{
			{companySearch, `"domain":"f%s.example"`, companySearch3, `"domain":"WWW.f%s.example"`},
			{companySearch, `"name":"Firm %s Ltd"`, companySearch3, `"name":"Firm %s Ltd"`},
			{contactSearch, `"email":"ada.s%s@x.example"`, contactSearch3, `"email":"ada.s%s@x.example"`},
			{contactSearch, `"social_link":"https://www.linkedin.com/in/ada-%s"`, contactSearch3, `"linkedinUrl":"linkedin.com/in/ada-%s/"`},
			{contactSearch, `"full_name":"Ada S%s","companies":[{"domain":"x.example"}]`, contactSearch3, `"firstName":"Ada","lastName":"S%s","companyDomain":"x.example"`},
			{contactSearch, `"full_name":"Ada S%s","companies":[{"name":"Harbor Quill"}]`, contactSearch3, `"firstName":"Ada","lastName":"S%s","companyName":"Harbor Quill"`},
		} {
			list, id, key := "companies", "companyId", "riskNews"
			if tt.oldPath == contactSearch {
				list, id, key = "contacts", "personId", "promotion"
			}
			old := postV2(t, s, tt.oldPath, fmt.Sprintf(`{"`+list+`":[{"id":"a",`+tt.old+`}],"signals":["`+key+`"]}`, inLetters(i)))
			now := postV3(t, s, tt.newPath, fmt.Sprintf(`{"`+list+`":[{"clientReferenceId":"a",`+tt.now+`}]}`, inLetters(i)))
			if len(now.Results) != 1 || text(t, now.Results[0], "clientReferenceId") != "a" {
				t.Fatalf("search of one = %+v", now.Results)
			}
			entry, known := old.entries()["a"]
			if !known {
				if code := itemCode(t, now.Results[0]); code != notFound || now.Billing.CreditsCharged != 0 {
					t.Errorf("%s %d: V2 knows nothing, V3 says %q for %d credits", tt.now, i, code, now.Billing.CreditsCharged)
				}
				continue
			}
			found++
			if diff := cmp.Diff(string(entry[id]), string(now.Results[0]["id"])); diff != "" || now.Billing.CreditsCharged != 1 {
				t.Errorf("%s %d for %d credits (-V2 +V3):\n%s", tt.now, i, now.Billing.CreditsCharged, diff)
			}
		}
	}
	if found < 100 {
		t.Errorf("%d found", found)
	}
	checkBill(t, s)
}

// TestSearchPreview reads previews as a client would and checks every field.
func TestSearchPreview(t *testing.T) {
	s := rig(t, Config{Switches: Switches{V3WWW: "never"}})
	type firm struct {
		ID, Name, Domain, Industry string
		EmployeeCount              struct{ Exact, Min, Max int }
		Location                   struct{ City, State, Country, CountryIso2, Continent string }
		SocialLinks                struct{ Linkedin string }
		Has                        []string
		CanReveal                  []struct {
			Field   string
			Credits int
		}
		Error *struct{ Code string }
	}
	type human struct {
		ID, FirstName, LastName string
		JobTitle                struct {
			Title, Seniority string
			Departments      []string
		}
		Company     struct{ ID, Name, Domain string }
		Location    struct{ City, Country string }
		SocialLinks struct{ Linkedin string }
		Has         []string
		CanReveal   []struct {
			Field   string
			Credits int
		}
		Error *struct{ Code string }
	}
	var firms struct {
		RequestID string
		Results   []firm
	}
	var people struct{ Results []human }
	body := `{` + companiesV3("w", 60) + `,"options":{"includePartialProfiles":true}}`
	if err := json.Unmarshal(post(s, companySearch3, body).Body.Bytes(), &firms); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(post(s, contactSearch3, `{`+contactsV3("w", 60)+`}`).Body.Bytes(), &people); err != nil {
		t.Fatal(err)
	}
	offers := 0
	for i, f := range firms.Results {
		if f.Error != nil {
			continue
		}
		n := f.EmployeeCount
		if f.Domain != fmt.Sprintf("w%d.example", i) || f.Name != fmt.Sprintf("W%d", i) || f.Industry == "" || n.Exact < n.Min || n.Exact > n.Max || n.Exact == 0 {
			t.Errorf("company %+v", f)
		}
		if f.Location.Country == "" || len(f.Location.CountryIso2) != 2 || f.Location.Continent == "" || f.SocialLinks.Linkedin == "" {
			t.Errorf("company %+v", f)
		}
		offers += len(f.CanReveal)
	}
	if !isUUID(firms.RequestID) || firms.RequestID[14] != '4' || offers == 0 {
		t.Errorf("requestId = %q, %d offers", firms.RequestID, offers)
	}
	for _, p := range people.Results {
		if p.Error != nil {
			continue
		}
		if p.FirstName == "" || p.LastName == "" || p.JobTitle.Title == "" || p.JobTitle.Seniority == "" || len(p.JobTitle.Departments) != 1 {
			t.Errorf("contact %+v", p)
		}
		if p.Company.Domain != "harborquill.example" || p.Company.Name != "Harborquill" || p.Company.ID == "" || p.Location.Country == "" || p.SocialLinks.Linkedin == "" {
			t.Errorf("contact %+v", p)
		}
		for _, r := range p.CanReveal {
			if want := map[string]int{"emails": 1, "phones": 5}[r.Field]; r.Credits != want {
				t.Errorf("%s can be revealed for %d, want %d", r.Field, r.Credits, want)
			}
		}
	}
	second := post(s, companySearch3, body).Body.String()
	if first := post(s, companySearch3, body).Body.String(); first != second {
		t.Error("one request, two answers")
	}
}

// TestSearchShowsLastJob checks that search shows a contact in the job of its last known event.
func TestSearchShowsLastJob(t *testing.T) {
	s := rig(t, Config{})
	moved := 0
	for id := 1; id < 60; id++ {
		a := postV3(t, s, contactSearch3, fmt.Sprintf(`{"contacts":[{"id":"%d"}]}`, id))
		b := postV2(t, s, contactIDs, fmt.Sprintf(`{"contactIds":[%d],"signals":["allSignals"],"startDate":"2018-01-01"}`, id))
		if len(b.Contacts) == 0 {
			continue
		}
		var last map[string]any
		for ref := range b.Contacts {
			for _, key := range []string{"companyChange", "promotion"} {
				for _, e := range b.events(t, ref, key) {
					if last == nil || e["signalDate"].(string) > last["signalDate"].(string) {
						last = e
					}
				}
			}
		}
		var p struct {
			JobTitle struct{ Title string }
			Company  struct{ ID, Name string }
		}
		raw, _ := json.Marshal(a.Results[0])
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		if last != nil {
			moved++
			if p.JobTitle.Title != last["currentTitle"] || p.Company.Name != last["currentCompanyName"] || p.Company.ID != fmt.Sprint(last["currentCompanyId"]) {
				t.Errorf("contact %d works as %+v, its last event is %v", id, p, last)
			}
		}
	}
	if moved == 0 {
		t.Error("nobody moved")
	}
}

func TestSearchPrice(t *testing.T) {
	count := func(a answerV3) (found int) {
		for _, r := range a.Results {
			if r["error"] == nil {
				found++
			}
		}
		return found
	}
	for _, n := range []int{1, 20, 29, 60, 100} {
		s := rig(t, Config{})
		a := postV3(t, s, companySearch3, `{`+companiesV3("p", n)+`}`)
		found := count(a)
		want := int64(found+24) / 25
		b := checkBill(t, s)
		if a.Billing.CreditsCharged != want || b.Credits != want || b.ByType[productSearch] != want || a.Billing.ResultsReturned != int64(found) || len(a.Results) != n {
			t.Errorf("%d of %d found cost %d, bill %v, want %d", found, n, a.Billing.CreditsCharged, b.ByType, want)
		}
		if e := b.Entries[0]; e.Entities != n || !cmp.Equal(e.Types, []string{"search"}) || !e.Delivered {
			t.Errorf("entry = %+v", e)
		}
	}
	// A company that the service does not know.
	s := rig(t, Config{})
	unmatched := ""
	for i := 0; unmatched == ""; i++ {
		item := fmt.Sprintf(`{"companies":[{"domain":"n%d.example"}]}`, i)
		if count(postV3(t, s, companySearch3, item)) == 0 {
			unmatched = item
		}
	}
	for setting, want := range map[string]int64{"per_event": 0, "per_type": 0, "min1": 1, "per_type_min1": 1} {
		s := rig(t, Config{Switches: Switches{Billing: setting}})
		a := postV3(t, s, companySearch3, unmatched)
		if b := checkBill(t, s); a.Billing.CreditsCharged != want || b.Credits != want || itemCode(t, a.Results[0]) != notFound {
			t.Errorf("billing=%s: nobody costs %d, bill %d, want %d", setting, a.Billing.CreditsCharged, b.Credits, want)
		}
	}
	if w := post(rig(t, Config{Switches: Switches{NotFound: "404"}}), companySearch3, unmatched); w.Code != 404 {
		t.Errorf("not-found=404: nobody = %d", w.Code)
	}
	full := rig(t, Config{Switches: Switches{Events: "most", Restricted: "some"}})
	if a := postV3(t, full, companySearch3, `{`+companiesV3("p", 100)+`}`); count(a) != 100 || full.Bill().Credits != 4 {
		t.Errorf("events=most: %d of 100 found for %d", count(a), full.Bill().Credits)
	}
}

// TestSearchBySignals keeps the entities that have such events, and checks the names of the
// signals.
func TestSearchBySignals(t *testing.T) {
	s := rig(t, Config{})
	items := companiesV3("s", 100)
	a := postV3(t, s, companySearch3, `{`+items+`,"signals":{"types":["riskNews","surgeInHiring"],"startDate":"2026-01-01","maxResultsPerSignal":1}}`)
	b := postV2(t, s, companySearch, `{`+companiesV2("s", 100)+`,"signals":["riskNews","surgeInHiring"],"startDate":"2026-01-01"}`)
	kept := 0
	for _, r := range a.Results {
		var types, want []string
		ref := text(t, r, "clientReferenceId")
		if _, known := b.Companies[ref]; known {
			for _, key := range []string{"surgeInHiring", "riskNews"} {
				if len(b.events(t, ref, key)) > 0 {
					want = append(want, key)
				}
			}
		}
		if r["error"] == nil {
			kept++
			if err := json.Unmarshal(r["signalTypes"], &types); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, types); diff != "" {
			t.Errorf("%s (-events +signalTypes):\n%s", ref, diff)
		}
	}
	if kept == 0 || kept > 90 || a.Billing.CreditsCharged != int64(kept+24)/25 {
		t.Errorf("%d kept for %d credits", kept, a.Billing.CreditsCharged)
	}
	if a := postV3(t, s, companySearch3, `{`+items+`}`); a.Results[0]["signalTypes"] != nil {
		t.Errorf("nobody asked for signalTypes: %s", a.Results[0]["signalTypes"])
	}
}

func TestSearchSwitches(t *testing.T) {
	codes := func(settings ...string) map[string]int {
		s := rig(t, Config{Switches: mustParseSwitches(t, settings...)})
		n := map[string]int{}
		for i := range 40 {
			for _, r := range postV3(t, s, companySearch3, `{`+companiesV3(fmt.Sprintf("r%d-", i), 100)+`}`).Results {
				n[itemCode(t, r)]++
			}
		}
		checkBill(t, s)
		return n
	}
	if n := codes("restricted=none"); n[restricted] != 0 {
		t.Errorf("restricted=none: %v", n)
	}
	if n := codes("restricted=some"); n[restricted] < 5 || n[restricted] > 50 {
		t.Errorf("restricted=some: %v of 4000, want about one in 200", n)
	}

	s := rig(t, Config{Switches: mustParseSwitches(t, "v3-ids=tokens")})
	for _, r := range postV3(t, s, contactSearch3, `{`+contactsV3("t", 30)+`}`).Results {
		if r["error"] != nil {
			continue
		}
		id := text(t, r, "id")
		if !strings.HasPrefix(id, "v1.") {
			t.Fatalf("id = %s, want a token", id)
		}
		back := postV3(t, s, contactSearch3, `{"contacts":[{"id":"`+id+`"}]}`)
		if text(t, back.Results[0], "id") != id {
			t.Errorf("a token leads to %s", back.Results[0]["id"])
		}
		if n, _ := s.world.decodeToken(contact, id); len(postV2(t, s, contactIDs, fmt.Sprintf(`{"contactIds":[%d],"signals":["promotion"]}`, n)).Contacts) != 1 {
			t.Errorf("token %s stands for nobody", id)
		}
	}
	for setting, want := range map[string]func(with, of int) bool{
		"half": func(with, of int) bool { return with > of/4 && with < of*3/4 }, "never": func(with, _ int) bool { return with == 0 },
		"always": func(with, of int) bool { return with == of },
	} {
		text := post(rig(t, Config{Switches: Switches{V3WWW: setting}}), companySearch3, `{`+companiesV3("w", 100)+`}`).Body.String()
		if with, of := strings.Count(text, `"domain":"www.`), strings.Count(text, `"domain":"`); !want(with, of) {
			t.Errorf("v3-www=%s: %d of %d domains", setting, with, of)
		}
	}
	twice := `{"companies":[{"clientReferenceId":"a","domain":"v1.example"},{"clientReferenceId":"a","domain":"v2.example"},{"domain":"v1.example"},{"domain":"v1.example"}]}`
	if w := post(rig(t, Config{}), companySearch3, twice); w.Code != 400 || !strings.Contains(w.Body.String(), "companies.1.clientReferenceId") {
		t.Errorf("duplicates=refuse: %d %s", w.Code, w.Body)
	}
	if a := postV3(t, rig(t, Config{Switches: mustParseSwitches(t, "duplicates=last-wins")}), companySearch3, twice); len(a.Results) != 3 || !strings.Contains(string(a.Results[0]["domain"]), "v2.example") {
		t.Errorf("duplicates=last-wins: %v", a.Results)
	}
	if w := post(rig(t, Config{}), companySearch3, `{`+companiesV3("o", 101)+`}`); w.Code != 400 {
		t.Errorf("over-100=refuse: %d", w.Code)
	}
	if a := postV3(t, rig(t, Config{Switches: mustParseSwitches(t, "over-100=first-100")}), companySearch3, `{`+companiesV3("o", 101)+`}`); len(a.Results) != 100 {
		t.Errorf("over-100=first-100: %d results", len(a.Results))
	}
}

// TestV3Refuses checks Config.Refuse for every way in which V3 identifies an entity.
func TestV3Refuses(t *testing.T) {
	s := rig(t, Config{Refuse: map[string]int{"bad.example": 451, "Ada Sample": 412, "ada@x.example": 400, "https://www.linkedin.com/in/ada": 422, "77": 451, "Bad Firm": 400}})
	for _, tt := range []struct {
		path, body string
		want       int
	}{
		{companySearch3, `{"companies":[{"domain":"fine.example"},{"domain":"www.BAD.example"}]}`, 451},
		{companySearch3, `{"companies":[{"name":"bad firm"}]}`, 400},
		{companySearch3, `{"companies":[{"clientReferenceId":"77","domain":"fine.example"}]}`, 200},
		{contactSearch3, `{"contacts":[{"firstName":"ada","lastName":"SAMPLE","companyName":"x"}]}`, 412},
		{contactSearch3, `{"contacts":[{"email":"Ada@x.example"}]}`, 400},
		{contactSearch3, `{"contacts":[{"linkedinUrl":"https://www.linkedin.com/in/ada"}]}`, 422},
		{contactSearch3, `{"contacts":[{"id":"77"}]}`, 451},
		{companySignals3, `{"ids":["76","77"],"signalTypes":["riskNews"]}`, 451},
		{companySignals3, `{"ids":["` + s.world.encodeToken(company, 77) + `"],"signalTypes":["riskNews"]}`, 451},
	} {
		if w := post(s, tt.path, tt.body); w.Code != tt.want {
			t.Errorf("POST %s %s = %d %s, want %d", tt.path, tt.body, w.Code, w.Body, tt.want)
		}
	}
}
