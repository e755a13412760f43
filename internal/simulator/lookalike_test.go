package simulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	contactLike    = "/v3/contacts/lookalike"
	companyLike    = "/v3/companies/lookalike"
	contactLikeOld = "/v3/lookalike/contacts"
	companyLikeOld = "/v3/lookalike/companies"
)

// lookalikePage is one answer with lookalikes.
type lookalikePage struct {
	DedupeSessionID string
	Results         []map[string]json.RawMessage
	Meta            struct {
		Returned int
		HasMore  bool
	}
	Billing        struct{ CreditsCharged, ResultsReturned int64 }
	CreditsCharged *int64 // older paths
}

func (p lookalikePage) ids(t testing.TB) []string {
	t.Helper()
	var ids []string
	for _, r := range p.Results {
		ids = append(ids, text(t, r, "id"))
	}
	return ids
}

func postLookalikes(t testing.TB, s *Server, path, body string) lookalikePage {
	t.Helper()
	w := post(s, path, body)
	var p lookalikePage
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
		t.Fatalf("POST %s %s = %d %s: %v", path, body, w.Code, w.Body, err)
	}
	if p.Meta.Returned != len(p.Results) || !isUUID(p.DedupeSessionID) {
		t.Errorf("POST %s = %d results, meta %+v, session %q", path, len(p.Results), p.Meta, p.DedupeSessionID)
	}
	return p
}

// seedsJSON returns n seeds that differ by name.
func seedsJSON(path, name string, n int) string {
	b := []byte{'['}
	for i := range n {
		if strings.Contains(path, "compan") {
			b = fmt.Appendf(appendComma(b), `"%s%d.example"`, name, i)
		} else {
			b = fmt.Appendf(appendComma(b), `"%s%s@harborquill.example"`, name, inLetters(i))
		}
	}
	if strings.Contains(path, "compan") {
		return `"seeds":{"domains":` + string(b) + `]}`
	}
	return `"seeds":{"emails":` + string(b) + `]}`
}

func sessionJSON(id string) string {
	if id == "" {
		return ""
	}
	return `,"dedupeSessionId":"` + id + `"`
}

// TestSessionNeverRepeats reads all pages of a session, and pages of other seeds within it.
func TestSessionNeverRepeats(t *testing.T) {
	for _, path := range []string{contactLike, companyLike} {
		for _, ids := range []string{"numeric", "tokens"} {
			s := rig(t, Config{Switches: Switches{V3IDs: ids}})
			seen, session, pages := map[string]bool{}, "", 0
			for more := true; more; pages++ {
				p := postLookalikes(t, s, path, `{`+seedsJSON(path, "seed", 6)+`,"limit":50`+sessionJSON(session)+`}`)
				if session != "" && p.DedupeSessionID != session {
					t.Fatalf("session %s became %s", session, p.DedupeSessionID)
				}
				for _, id := range p.ids(t) {
					if seen[id] || strings.HasPrefix(id, "v1.") != (ids == "tokens") {
						t.Errorf("%s was given twice, or is written wrong", id)
					}
					seen[id] = true
				}
				if p.Billing.CreditsCharged != int64(len(p.Results)) || p.Billing.ResultsReturned != int64(len(p.Results)) {
					t.Errorf("%d results cost %+v", len(p.Results), p.Billing)
				}
				if p.Meta.HasMore && len(p.Results) != 50 {
					t.Errorf("a page of %d results is not the last", len(p.Results))
				}
				session, more = p.DedupeSessionID, p.Meta.HasMore
			}
			if len(seen) < minLookalikes || len(seen) > maxLookalikes || pages < 2 {
				t.Errorf("%s: %d lookalikes on %d pages", path, len(seen), pages)
			}
			before := s.Bill().Credits
			if p := postLookalikes(t, s, path, `{`+seedsJSON(path, "seed", 6)+sessionJSON(session)+`}`); len(p.Results) != 0 || p.Meta.HasMore || s.Bill().Credits != before {
				t.Errorf("the page after the last = %d results for %d", len(p.Results), s.Bill().Credits-before)
			}
			// Other seeds have some lookalikes in common, which this session no longer returns.
			overlap := 0
			for i := range 12 {
				name := "other" + inLetters(i)
				free := postLookalikes(t, s, path, `{`+seedsJSON(path, name, 5)+`,"limit":50}`)
				for _, id := range free.ids(t) {
					if seen[id] {
						overlap++
					}
				}
				bound := postLookalikes(t, s, path, `{`+seedsJSON(path, name, 5)+`,"limit":50`+sessionJSON(session)+`}`)
				for _, id := range bound.ids(t) {
					if seen[id] {
						t.Errorf("%s was given again to other seeds", id)
					}
					seen[id] = true
				}
			}
			if overlap == 0 {
				t.Error("pools of different seeds never overlap")
			}
			b := checkBill(t, s)
			action := map[string]string{contactLike: "lookalikeContact", companyLike: "lookalikeCompany"}[path]
			if b.ByType[action] != b.Credits || !cmp.Equal(b.Entries[0].Types, []string{action}) || b.Entries[0].Entities != 6 {
				t.Errorf("bill %v, entry %+v", b.ByType, b.Entries[0])
			}
		}
	}
}

// TestRanking checks that a request without a session always begins the same list, whatever the
// order of its seeds, and that the list holds neither seeds nor excluded entities.
func TestRanking(t *testing.T) {
	s := rig(t, Config{Switches: Switches{V3WWW: "never"}})
	body := `{` + seedsJSON(companyLike, "rank", 5) + `,"limit":100}`
	first, second := postLookalikes(t, s, companyLike, body), postLookalikes(t, s, companyLike, body)
	if first.DedupeSessionID == second.DedupeSessionID {
		t.Error("two sessions have one id")
	}
	if diff := cmp.Diff(first.ids(t), second.ids(t)); diff != "" {
		t.Errorf("the same request begins another list:\n%s", diff)
	}
	turned := postLookalikes(t, s, companyLike, `{"seeds":{"domains":["rank4.example","rank3.example","rank2.example","rank1.example","rank0.example"]},"limit":100}`)
	if diff := cmp.Diff(first.ids(t), turned.ids(t)); diff != "" {
		t.Errorf("the order of seeds matters:\n%s", diff)
	}
	if other := postLookalikes(t, rig(t, Config{Seed: 2}), companyLike, body); cmp.Equal(first.ids(t), other.ids(t)) {
		t.Error("another seed of the world gives the same list")
	}
	domain := text(t, first.Results[0], "domain")
	var links struct{ Linkedin string }
	if err := json.Unmarshal(first.Results[1]["socialLinks"], &links); err != nil {
		t.Fatal(err)
	}
	without := postLookalikes(t, s, companyLike, `{`+seedsJSON(companyLike, "rank", 5)+`,"limit":100,"exclude":{"domains":["www.`+domain+`"],"linkedinUrls":["`+links.Linkedin+`"]}}`)
	if got := without.ids(t); slices.Contains(got, first.ids(t)[0]) || slices.Contains(got, first.ids(t)[1]) {
		t.Error("the excluded are given all the same")
	}
	people := postLookalikes(t, s, contactLike, `{`+seedsJSON(contactLike, "rank", 5)+`,"limit":50}`)
	var p struct {
		FirstName, LastName string
		Company             struct{ Domain string }
		SocialLinks         struct{ Linkedin string }
	}
	raw, _ := json.Marshal(people.Results[2])
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	ids := people.ids(t)
	fewer := postLookalikes(t, s, contactLike, fmt.Sprintf(`{%s,"limit":50,"exclude":{"ids":[%q],"contactIds":[%s],"contacts":[{"firstName":%q,"lastName":%q,"companyDomain":%q}]}}`,
		seedsJSON(contactLike, "rank", 5), ids[0], ids[1], p.FirstName, p.LastName, p.Company.Domain))
	for _, id := range ids[:3] {
		if slices.Contains(fewer.ids(t), id) {
			t.Errorf("excluded %s is given", id)
		}
	}
	fewer = postLookalikes(t, s, contactLike, fmt.Sprintf(`{%s,"limit":50,"exclude":{"linkedinUrls":[%q]}}`, seedsJSON(contactLike, "rank", 5), p.SocialLinks.Linkedin))
	if slices.Contains(fewer.ids(t), ids[2]) {
		t.Error("a contact excluded by its profile is given")
	}
	seeded := postLookalikes(t, s, contactLike, `{"seeds":{"ids":`+string(appendStrings(nil, ids[:10]))+`},"limit":50}`)
	for _, id := range seeded.ids(t) {
		if slices.Contains(ids[:10], id) {
			t.Errorf("seed %s is its own lookalike", id)
		}
	}
	if p := postLookalikes(t, s, companyLike, `{`+seedsJSON(companyLike, "rank", 5)+`,"dedupeSessionId":null}`); len(p.Results) != defaultLookalikePage {
		t.Errorf("without limit %d results, want %d", len(p.Results), defaultLookalikePage)
	}
}

// TestLookalikesAreKnown checks that requests can look up every returned lookalike.
func TestLookalikesAreKnown(t *testing.T) {
	s := rig(t, Config{})
	p := postLookalikes(t, s, contactLike, `{`+seedsJSON(contactLike, "known", 5)+`,"limit":50}`)
	a := postV3(t, s, contactSignals3, `{"ids":`+string(appendStrings(nil, p.ids(t)))+`,"signalTypes":["allSignals"]}`)
	if len(a.Results) != 50 {
		t.Errorf("%d of 50 lookalikes are known", len(a.Results))
	}
	// The identifiers they are shown with lead to the same ids.
	for i, r := range p.Results {
		var link struct{ Linkedin string }
		if err := json.Unmarshal(r["socialLinks"], &link); err != nil {
			t.Fatal(err)
		}
		b := postV3(t, s, contactSearch3, fmt.Sprintf(`{"contacts":[{"linkedinUrl":%q}]}`, link.Linkedin))
		if diff := cmp.Diff(string(r["id"]), string(b.Results[0]["id"])); diff != "" {
			t.Errorf("lookalike %d by its profile:\n%s", i, diff)
		}
		for _, key := range []string{"firstName", "lastName", "jobTitle", "company"} {
			if diff := cmp.Diff(string(r[key]), string(b.Results[0][key])); diff != "" {
				t.Errorf("%s of lookalike %d by its profile:\n%s", key, i, diff)
			}
		}
	}
	for _, r := range postLookalikes(t, s, companyLike, `{`+seedsJSON(companyLike, "known", 5)+`,"limit":50}`).Results {
		b := postV3(t, s, companySearch3, fmt.Sprintf(`{"companies":[{"domain":%s}]}`, r["domain"]))
		if diff := cmp.Diff(string(r["id"]), string(b.Results[0]["id"])); diff != "" {
			t.Errorf("lookalike %s by its domain:\n%s", r["domain"], diff)
		}
	}
	for key := range maps.Keys(p.Results[0]) {
		if !slices.Contains([]string{"id", "firstName", "lastName", "company", "jobTitle", "location", "socialLinks"}, key) {
			t.Errorf("a lookalike has %s", key)
		}
	}
}

func TestSessionExpiry(t *testing.T) {
	const unknownID = "5a0d2a58-3f0c-4c55-9f43-5f7c3a7f1d20"
	ask := func(s *Server, session string) (int, string) {
		w := post(s, companyLike, `{`+seedsJSON(companyLike, "x", 5)+sessionJSON(session)+`}`)
		return w.Code, w.Body.String()
	}
	for setting, want := range map[string]string{"code": `{"code":"DEDUPE_SESSION_INVALID","message":"`, "envelope": `{"statusCode":410,"message":"`, "restart": `{"dedupeSessionId":"`} {
		c := &clock{t: noon}
		s := rig(t, Config{Now: c.now, SessionLife: time.Hour, Switches: Switches{SessionExpiry: setting}})
		first := postLookalikes(t, s, companyLike, `{`+seedsJSON(companyLike, "x", 5)+`}`)
		for range 3 { // each use extends the session
			c.advance(50 * time.Minute)
			if code, body := ask(s, first.DedupeSessionID); code != 200 {
				t.Fatalf("a session in use = %d %s", code, body)
			}
		}
		before := s.Bill().Credits
		c.advance(time.Hour)
		for _, id := range []string{first.DedupeSessionID, unknownID} {
			code, body := ask(s, id)
			if !strings.HasPrefix(body, want) || setting == "envelope" && !strings.Contains(body, `"errors":["DEDUPE_SESSION_INVALID"]`) {
				t.Errorf("session-expiry=%s: %d %.200s", setting, code, body)
			}
			if setting == "restart" {
				if code != 200 || strings.Contains(body, id) {
					t.Errorf("session-expiry=restart: %d %.80s, want another session than %s", code, body, id)
				}
			} else if code != 410 || s.Bill().Credits != before {
				t.Errorf("session-expiry=%s: %d for %d credits", setting, code, s.Bill().Credits-before)
			}
		}
		if n := len(s.sessions.byID); n > 3 {
			t.Errorf("%d sessions are remembered", n)
		}
		checkBill(t, s)
	}
	// The default lifetime, and a session of the other kind of object.
	c := &clock{t: noon}
	s := rig(t, Config{Now: c.now})
	session := postLookalikes(t, s, companyLike, `{`+seedsJSON(companyLike, "x", 5)+`}`).DedupeSessionID
	if w := post(s, contactLike, `{`+seedsJSON(contactLike, "x", 5)+sessionJSON(session)+`}`); w.Code != 410 {
		t.Errorf("a session of companies serves contacts: %d", w.Code)
	}
	c.advance(30*24*time.Hour - time.Second)
	if code, _ := ask(s, strings.ToUpper(session)); code != 200 {
		t.Errorf("a session of almost 30 days = %d", code)
	}
	c.advance(30 * 24 * time.Hour)
	if code, _ := ask(s, session); code != 410 {
		t.Errorf("a session of 30 days = %d", code)
	}
	if _, err := New(Config{SessionLife: -1}); err == nil || !strings.Contains(err.Error(), "SessionLife") {
		t.Errorf("New(SessionLife: -1) = %v", err)
	}
}

// TestSessionAgreesWithBill checks that a session has returned exactly the billed entities,
// whatever happens to the answer.
func TestSessionAgreesWithBill(t *testing.T) {
	s := rig(t, Config{Credits: 70, Faults: []Fault{{Kind: "503-refused", At: 2}, {Kind: "500-billed", At: 3}}})
	body := func(session string) string { return `{` + seedsJSON(companyLike, "b", 5) + sessionJSON(session) + `}` }
	plain := postLookalikes(t, rig(t, Config{}), companyLike, `{`+seedsJSON(companyLike, "b", 5)+`,"limit":100}`).ids(t)
	first := postLookalikes(t, s, companyLike, body(""))
	for _, want := range []int{503, 500} {
		if w := post(s, companyLike, body(first.DedupeSessionID)); w.Code != want {
			t.Fatalf("status %d, want %d", w.Code, want)
		}
	}
	// 50 of 70 are spent; a page of 25 exceeds the pool and is not returned.
	if w := post(s, companyLike, body(first.DedupeSessionID)); w.Code != 402 {
		t.Errorf("a page beyond the pool = %d", w.Code)
	}
	last := postLookalikes(t, s, companyLike, `{`+seedsJSON(companyLike, "b", 5)+`,"limit":20`+sessionJSON(first.DedupeSessionID)+`}`)
	if diff := cmp.Diff(plain[:25], first.ids(t)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(plain[50:70], last.ids(t)); diff != "" {
		t.Errorf("after a page billed and lost, one refused and one too dear (-want +got):\n%s", diff)
	}
	if b := checkBill(t, s); b.Credits != 70 || b.Undelivered != 25 {
		t.Errorf("Bill() = %d, %d undelivered, want 70 and 25", b.Credits, b.Undelivered)
	}
}

// TestSessionsUnderLoad checks that concurrent requests within one session share its list between
// them.
func TestSessionsUnderLoad(t *testing.T) {
	s := rig(t, Config{})
	session := postLookalikes(t, s, companyLike, `{`+seedsJSON(companyLike, "load", 5)+`,"limit":1}`)
	seen := map[string]int{session.ids(t)[0]: 1}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 5 {
				w := post(s, companyLike, `{`+seedsJSON(companyLike, "load", 5)+`,"limit":7`+sessionJSON(session.DedupeSessionID)+`}`)
				var p lookalikePage
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
					t.Errorf("%s: %v", w.Body, err)
					return
				}
				mu.Lock()
				for _, r := range p.Results {
					seen[string(r["id"])]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, n := range seen {
		if n > 1 {
			t.Errorf("%s was given %d times", id, n)
		}
	}
	if b := checkBill(t, s); b.Credits != int64(len(seen)) {
		t.Errorf("%d results cost %d", len(seen), b.Credits)
	}
}

func TestOlderLookalikes(t *testing.T) {
	s := rig(t, Config{})
	for path, now := range map[string]string{contactLikeOld: contactLike, companyLikeOld: companyLike} {
		p := postLookalikes(t, s, path, `{`+seedsJSON(path, "old", 5)+`}`)
		if p.CreditsCharged == nil || *p.CreditsCharged != defaultLookalikePage || p.Billing.CreditsCharged != 0 {
			t.Errorf("POST %s charges %v, %+v", path, p.CreditsCharged, p.Billing)
		}
		r := p.Results[0]
		if path == companyLikeOld {
			var n int
			if r["id"] != nil || text(t, r, "linkedinUrl") == "" || json.Unmarshal(r["employeeCount"], &n) != nil || n == 0 {
				t.Errorf("POST %s = %s", path, r)
			}
		} else if r["id"] != nil || text(t, r, "contactId") == "" || !strings.Contains(string(r["company"]), `"companyId":"`) {
			t.Errorf("POST %s = %s", path, r)
		}
		// Both paths share one session.
		next := postLookalikes(t, s, now, `{`+seedsJSON(now, "old", 5)+sessionJSON(p.DedupeSessionID)+`}`)
		plain := postLookalikes(t, s, now, `{`+seedsJSON(now, "old", 5)+`,"limit":50}`)
		if diff := cmp.Diff(plain.ids(t)[25:], next.ids(t)); diff != "" {
			t.Errorf("%s continues %s:\n%s", now, path, diff)
		}
	}
	checkBill(t, s)
}

func TestLookalikesMost(t *testing.T) {
	s := rig(t, Config{Switches: Switches{Events: "most"}})
	session := ""
	for range 8 {
		p := postLookalikes(t, s, companyLike, `{`+seedsJSON(companyLike, "m", 5)+`,"limit":100`+sessionJSON(session)+`}`)
		if session = p.DedupeSessionID; len(p.Results) != 100 || !p.Meta.HasMore {
			t.Fatalf("events=most: %d results, more: %t", len(p.Results), p.Meta.HasMore)
		}
	}
	if b := checkBill(t, s); b.Credits != 800 {
		t.Errorf("events=most: %d credits", b.Credits)
	}
}
