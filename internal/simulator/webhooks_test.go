package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hookRig is a simulator whose deliveries go to a receiver in the same process, at times that a test sets.
type hookRig struct {
	*Server
	t     *testing.T
	clock *clock

	mu       sync.Mutex
	answer   func(w http.ResponseWriter, r *http.Request, body []byte) // nil: acknowledges
	received []hookRequest
}

// hookRequest is a request that the receiver got.
type hookRequest struct {
	header http.Header
	query  url.Values
	body   []byte
}

const (
	hookURL     = "https://hooks.siglake.example/in"
	subscribe   = "/api/subscriptions"
	unsubscribe = "/api/subscriptions/delete"
	auditLogs   = "/api/audit-logs"
)

func newHookRig(t *testing.T, c Config, settings ...string) *hookRig {
	t.Helper()
	h := &hookRig{t: t, clock: &clock{t: noon}}
	var err error
	if c.Switches, err = ParseSwitches(settings); err != nil {
		t.Fatal(err)
	}
	c.Now, c.Transport = h.clock.now, h
	h.Server = rig(t, c)
	return h
}

// RoundTrip is the transport of the simulator's deliveries.
func (h *hookRig) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	h.mu.Lock()
	h.received = append(h.received, hookRequest{r.Header.Clone(), r.URL.Query(), body})
	answer := h.answer
	h.mu.Unlock()
	w := httptest.NewRecorder()
	if answer == nil {
		answer = acknowledge
	}
	answer(w, r, body)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// acknowledge answers challenges and deliveries as documented.
func acknowledge(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Method == http.MethodGet {
		fmt.Fprintf(w, `{"challenge":%q}`, r.URL.Query().Get("challenge"))
		return
	}
	var d struct{ ID string }
	_ = json.Unmarshal(body, &d)
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"received":true,"timestamp":"2026-05-01T12:00:00.000Z","webhookId":%q}`, d.ID)
}

// answerWith makes the receiver answer deliveries with a status.
func (h *hookRig) answerWith(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = func(w http.ResponseWriter, r *http.Request, body []byte) {
		if r.Method == http.MethodGet || status/100 == 2 {
			acknowledge(w, r, body)
			return
		}
		w.WriteHeader(status)
	}
}

// take returns what the receiver has got since the last call.
func (h *hookRig) take() []hookRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.received
	h.received = nil
	return list
}

// deliver sends what is due, and returns the number of attempts.
func (h *hookRig) deliver() int {
	h.t.Helper()
	n, err := h.Deliver(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// pass lets time pass, and delivers what is due every hour.
func (h *hookRig) pass(d time.Duration) (attempts int) {
	h.t.Helper()
	for ; d > 0; d -= time.Hour {
		h.clock.advance(min(d, time.Hour))
		attempts += h.deliver()
	}
	return attempts
}

// call makes a request, and decodes its answer.
func (h *hookRig) call(method, path, body string, want int) map[string]any {
	h.t.Helper()
	w := do(h.Server, request(method, path, body))
	if w.Code != want {
		h.t.Fatalf("%s %s %s = %d %s, want %d", method, path, body, w.Code, w.Body, want)
	}
	return decodeObjectOf(h.t, w.Body.Bytes())
}

func decodeObjectOf(t *testing.T, text []byte) (doc map[string]any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		t.Fatalf("%s is not a JSON object: %v", text, err)
	}
	return doc
}

// at reads a value at a path of keys and indexes.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			list, _ := v.([]any)
			if p >= len(list) {
				return nil
			}
			v = list[p]
		}
	}
	return v
}

// equal compares values by their text.
func (h *hookRig) equal(v any, want any, path ...any) {
	h.t.Helper()
	if got := fmt.Sprint(at(v, path...)); got != fmt.Sprint(want) {
		h.t.Errorf("%v = %v, want %v, in %v", path, got, want, v)
	}
}

// companyIDsOf returns ids of n companies.
func (h *hookRig) companyIDsOf(n int) (ids []string) {
	for i := range n {
		id, _ := h.Server.world.companyByDomain(fmt.Sprintf("hook%d.example", i))
		ids = append(ids, fmt.Sprint(id))
	}
	return ids
}

// busyCompanies returns ids of companies to which much happens.
func (h *hookRig) busyCompanies(n int) (ids []string) {
	for id := int64(1000); len(ids) < n; id++ {
		if e, known := h.Server.world.find(company, &lookup{id: id}); known && e.activity > 3 {
			ids = append(ids, fmt.Sprint(id))
		}
	}
	return ids
}

// subscribeTo subscribes to entities and returns the ids of the subscriptions. The account has a secret
// then.
func (h *hookRig) subscribeTo(o object, signals string, entities ...string) (ids []string) {
	h.t.Helper()
	h.call(http.MethodPost, "/api/account/secret/regenerate", "", 200)
	for len(entities) > 0 {
		n := min(len(entities), 25)
		var items []string
		for _, id := range entities[:n] {
			items = append(items, fmt.Sprintf(`{"entityId":%q}`, id))
		}
		entities = entities[n:]
		doc := h.call(http.MethodPost, subscribe, fmt.Sprintf(`{"defaults":{"url":%q,"entityType":%q,"signalTypes":[%s]},"subscriptions":[%s]}`,
			hookURL, o, signals, strings.Join(items, ",")), 201)
		for i := range n {
			ids = append(ids, fmt.Sprint(at(doc, "results", i, "subscription", "id")))
		}
	}
	h.take()
	return ids
}

// stateCounts counts the deliveries by their state.
func (h *hookRig) stateCounts() map[DeliveryState]int {
	counts := map[DeliveryState]int{}
	for _, d := range h.Deliveries() {
		counts[d.State]++
	}
	return counts
}

// TestCreateSubscriptions: defaults and overrides, and items that fail without the others.
func TestCreateSubscriptions(t *testing.T) {
	h := newHookRig(t, Config{Refuse: map[string]int{"666": 451}})
	doc := h.call(http.MethodPost, subscribe, `{"defaults":{"url":"`+hookURL+`","entityType":"contact","signalTypes":["companyChange","promotion"]},
		"name":"siglake","subscriptions":[
		{"entityId":"70114455","name":"watch 70114455"},
		{"entityId":"70114502","entityType":"company","signalTypes":["riskNews"]},
		{"entityId":"70114455"},
		{"entityId":"70114503","signalTypes":["riskNews"]},
		{"entityId":"70114504","signalTypes":[]},
		{"entityId":"70114505","entityType":"person"},
		{"entityId":"seven"},
		{"entityId":"666"},
		{"entityId":7},
		{"name":"x"},
		{"entityId":"70114506","name":"`+strings.Repeat("n", 101)+`"},
		{"entityId":"`+strings.Repeat("7", 256)+`"},
		{"entityId":"70114507","url":"https://other.example"},
		5]}`, 201)
	h.equal(doc, 14, "total")
	h.equal(doc, 2, "successful")
	h.equal(doc, 12, "failed")
	first := at(doc, "results", 0, "subscription")
	for key, want := range map[string]any{"entityType": "contact", "entityId": "70114455", "signalTypes": "[companyChange promotion]", "url": hookURL,
		"name": "siglake watch 70114455", "isActive": true, "blockReason": nil, "blockedAt": nil, "createdAt": "2026-05-01T12:00:00.000Z", "updatedAt": "2026-05-01T12:00:00.000Z", "secret": nil} {
		h.equal(first, want, key)
	}
	if id := fmt.Sprint(at(first, "id")); !isSubscriptionID(id) {
		t.Errorf("id = %q, want 24 hexadecimal digits", id)
	}
	h.equal(doc, "[riskNews]", "results", 1, "subscription", "signalTypes")
	h.equal(doc, "siglake", "results", 1, "subscription", "name")
	for i, code := range []string{codeDuplicate, codeInvalid, codeInvalid, codeInvalid, codeInvalid, codeForbidden, codeInvalid, codeInvalid, codeInvalid, codeInvalid, codeInvalid, codeInvalid} {
		h.equal(doc, i+2, "results", i+2, "index")
		h.equal(doc, false, "results", i+2, "success")
		h.equal(doc, code, "results", i+2, "error", "code")
		h.equal(doc, nil, "results", i+2, "subscription")
	}
	if got := h.take(); len(got) != 1 || got[0].query.Get("challenge") == "" || got[0].header.Get("User-Agent") != "Lusha-Webhooks/1.0" {
		t.Errorf("the URL got %+v, want one challenge", got)
	}
	if b := h.Bill(); b.Credits != 0 {
		t.Errorf("subscribing costs %d credits", b.Credits)
	}
}

// TestSubscriptionRefusals: requests that are refused as a whole.
func TestSubscriptionRefusals(t *testing.T) {
	h := newHookRig(t, Config{MaxSubscriptions: 3})
	ids := h.subscribeTo(company, `"riskNews"`, h.companyIDsOf(1)...)
	item := `{"entityId":"5"}`
	with := func(defaults, items string) string {
		return `{"defaults":` + defaults + `,"subscriptions":[` + items + `]}`
	}
	defaults := `{"url":"` + hookURL + `","entityType":"contact","signalTypes":["promotion"]}`
	for body, field := range map[string]string{
		``: "body", `[]`: "object", `{"subscriptions":[` + item + `]}`: "defaults", with(`{"entityType":"contact"}`, item): "defaults.url",
		with(`{"url":"http://hooks.example/in"}`, item): "https", with(`{"url":"nowhere"}`, item): "url",
		with(`{"url":"https://`+strings.Repeat("h", 2049)+`"}`, item): "longer", with(`{"url":"https://u:p@hooks.example/"}`, item): "url",
		with(defaults, ""): "at least 1", with(defaults, item+strings.Repeat(","+item, 25)): "more than 25",
		`{"defaults":` + defaults + `}`: "subscriptions", with(defaults, item)[:40]: "JSON", `{"default":1,` + with(defaults, item)[1:]: "default",
	} {
		if doc := h.call(http.MethodPost, subscribe, body, 400); !strings.Contains(fmt.Sprint(doc["errors"]), field) {
			t.Errorf("POST %.120s = %v, want an error about %q", body, doc, field)
		}
	}
	one := subscribe + "/" + ids[0]
	for body, field := range map[string]string{
		`{}`: "change", `{"isActive":1}`: "isActive", `{"signalTypes":[]}`: "signalTypes", `{"signalTypes":["promotion"]}`: "signal",
		`{"url":"ftp://x.example"}`: "url", `{"name":"` + strings.Repeat("é", 101) + `"}`: "name", `{"active":true}`: "active", `{"regenerateSecret":"yes"}`: "regenerateSecret",
	} {
		if doc := h.call(http.MethodPatch, one, body, 400); !strings.Contains(fmt.Sprint(doc["errors"]), field) {
			t.Errorf("PATCH %.120s = %v, want an error about %q", body, doc, field)
		}
	}
	for body, field := range map[string]string{`{}`: "ids", `{"ids":[]}`: "ids", `{"ids":[1]}`: "ids.0", `{"ids":["` + strings.Repeat(`a","`, 25) + `a"]}`: "25"} {
		if doc := h.call(http.MethodPost, unsubscribe, body, 400); !strings.Contains(fmt.Sprint(doc["errors"]), field) {
			t.Errorf("delete %s = %v, want an error about %q", body, doc, field)
		}
	}
	for path, want := range map[string]int{
		subscribe + "?limit=0": 400, subscribe + "?limit=101": 400, subscribe + "?offset=-1": 400, subscribe + "?limit=x": 400, auditLogs + "?status=lost": 400,
		subscribe + "/7": 400, subscribe + "/0123456789abcdef01234567": 404, "/api/subscriptions/": 404, "/api/subscriptions/a/b": 404, "/api/account/secrets": 404,
		unsubscribe: 405, one + "/test": 405,
	} {
		if w := get(h.Server, path); w.Code != want {
			t.Errorf("GET %s = %d %s, want %d", path, w.Code, w.Body, want)
		}
	}
	if w := do(h.Server, request(http.MethodDelete, one, "")); w.Code != 405 || w.Header().Get("Allow") != "GET, PATCH" {
		t.Errorf("DELETE = %d, Allow %q, want 405", w.Code, w.Header().Get("Allow"))
	}
	nobody := request(http.MethodGet, subscribe, "")
	nobody.Header.Del("api_key")
	if w := do(h.Server, nobody); w.Code != 401 {
		t.Errorf("without a key = %d, want 401", w.Code)
	}
	// Three are the most: two of four fit, and then none.
	doc := h.call(http.MethodPost, subscribe, with(defaults, `{"entityId":"1"},{"entityId":"2"},{"entityId":"3"},{"entityId":"1"}`), 201)
	h.equal(doc, 2, "successful")
	h.equal(doc, codeForbidden, "results", 2, "error", "code")
	h.equal(doc, codeDuplicate, "results", 3, "error", "code")
	h.call(http.MethodPost, subscribe, with(defaults, item), 403)
}

// TestChallenge: nothing is created, and no URL is changed, for a URL that does not repeat the challenge.
func TestChallenge(t *testing.T) {
	body := `{"defaults":{"url":"` + hookURL + `?tenant=7","entityType":"contact","signalTypes":["promotion"]},"subscriptions":[{"entityId":"5"}]}`
	refusals := []func(w http.ResponseWriter, r *http.Request, body []byte){
		func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(404) },
		func(w http.ResponseWriter, _ *http.Request, _ []byte) { io.WriteString(w, `{"challenge":"another"}`) },
		func(w http.ResponseWriter, r *http.Request, _ []byte) {
			io.WriteString(w, r.URL.Query().Get("challenge"))
		},
		func(w http.ResponseWriter, r *http.Request, _ []byte) {
			w.WriteHeader(201)
			fmt.Fprintf(w, `{"challenge":%q}`, r.URL.Query().Get("challenge"))
		},
		func(w http.ResponseWriter, r *http.Request, _ []byte) {
			http.Redirect(w, r, hookURL, http.StatusFound)
		},
		func(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() },
	}
	h := newHookRig(t, Config{DeliveryTimeout: time.Millisecond})
	for i, refuse := range refusals {
		h.answer = refuse
		doc := h.call(http.MethodPost, subscribe, body, 400)
		if !strings.Contains(fmt.Sprint(doc["errors"]), "verified") {
			t.Errorf("%d: %v, want an error about the verification", i, doc)
		}
	}
	h.equal(h.call(http.MethodGet, subscribe, "", 200), 0, "pagination", "total")
	h.answer = nil
	h.take()
	id := fmt.Sprint(at(h.call(http.MethodPost, subscribe, body, 201), "results", 0, "subscription", "id"))
	if got := h.take(); len(got) != 1 || got[0].query.Get("tenant") != "7" {
		t.Errorf("the challenge came as %v, want the query of the URL with it", got)
	}
	h.answer = refusals[0]
	h.call(http.MethodPatch, subscribe+"/"+id, `{"url":"https://elsewhere.example/in"}`, 400)
	h.equal(h.call(http.MethodGet, subscribe+"/"+id, "", 200), hookURL+"?tenant=7", "url")
	h.call(http.MethodPost, subscribe+"/opt-out", `{"entityType":"contact","url":"`+hookURL+`"}`, 400)

	off := newHookRig(t, Config{}, "challenge=off")
	off.answer = refusals[0]
	off.call(http.MethodPost, subscribe, strings.Replace(body, "https://hooks.siglake.example", "http://127.0.0.1:8081", 1), 201)
	if n := len(off.take()); n != 0 {
		t.Errorf("challenge=off sends %d challenges", n)
	}
}

// TestManageSubscriptions: list, read, change, delete.
func TestManageSubscriptions(t *testing.T) {
	h := newHookRig(t, Config{})
	ids := h.subscribeTo(company, `"riskNews","peopleNews"`, h.companyIDsOf(30)...)
	doc := h.call(http.MethodGet, subscribe, "", 200)
	h.equal(doc, "map[hasMore:true limit:10 offset:0 total:30]", "pagination")
	h.equal(doc, ids[29], "data", 0, "id")
	doc = h.call(http.MethodGet, subscribe+"?limit=100&offset=20", "", 200)
	h.equal(doc, "map[hasMore:false limit:100 offset:20 total:30]", "pagination")
	h.equal(doc, ids[9], "data", 0, "id")
	h.equal(doc, ids[0], "data", 9, "id")
	h.equal(h.call(http.MethodGet, subscribe+"?offset=30", "", 200), "[]", "data")

	one := subscribe + "/" + ids[3]
	h.clock.advance(time.Hour)
	doc = h.call(http.MethodPatch, one, `{"name":"new","signalTypes":["allSignals"],"isActive":false}`, 200)
	h.equal(doc, "new", "name")
	h.equal(doc, "[allSignals]", "signalTypes")
	h.equal(doc, false, "isActive")
	h.equal(doc, nil, "blockReason")
	h.equal(doc, "2026-05-01T13:00:00.000Z", "updatedAt")
	h.equal(doc, "2026-05-01T12:00:00.000Z", "createdAt")
	doc = h.call(http.MethodPatch, one, `{"url":"https://elsewhere.example/in"}`, 200)
	h.equal(doc, "https://elsewhere.example/in", "url")
	h.equal(h.call(http.MethodGet, one, "", 200), at(doc, "updatedAt"), "updatedAt")
	// Its old target is free, its new one is taken.
	h.equal(h.call(http.MethodPost, subscribe, `{"defaults":{"url":"`+hookURL+`","entityType":"company","signalTypes":["riskNews"]},"subscriptions":[{"entityId":"`+h.companyIDsOf(4)[3]+`"}]}`, 201), 1, "successful")
	h.call(http.MethodPatch, one, `{"url":"`+hookURL+`"}`, 400)

	doc = h.call(http.MethodPost, unsubscribe, fmt.Sprintf(`{"ids":[%q,%q,"0123456789abcdef01234567",%[1]q]}`, ids[0], ids[1]), 200)
	h.equal(doc, 3, "total")
	h.equal(doc, 2, "successful")
	h.equal(doc, ids[0], "results", 0, "subscription", "id")
	h.equal(doc, codeNotFound, "results", 2, "error", "code")
	h.call(http.MethodGet, subscribe+"/"+ids[0], "", 404)
	h.equal(h.call(http.MethodGet, subscribe, "", 200), 29, "pagination", "total")

	paged := newHookRig(t, Config{}, "webhook-pagination=page-size")
	paged.subscribeTo(company, `"riskNews"`, paged.companyIDsOf(7)...)
	paged.equal(paged.call(http.MethodGet, subscribe+"?limit=3&offset=3", "", 200), "map[hasMore:true page:2 size:3 total:7]", "pagination")
}

// TestManagementQuota: a hundred requests a minute, whatever the rest of the account does.
func TestManagementQuota(t *testing.T) {
	h := newHookRig(t, Config{Plan: "free", Burst: -1})
	for i := range managementLimit {
		if w := get(h.Server, subscribe); w.Code != 200 || header(t, w, "x-minute-requests-left") != int64(managementLimit-1-i) || header(t, w, "x-rate-limit-minute") != managementLimit {
			t.Fatalf("request %d = %d %v", i+1, w.Code, w.Header())
		}
	}
	if w := get(h.Server, "/api/account/secret"); w.Code != 429 || header(t, w, "x-minute-usage") != managementLimit {
		t.Errorf("request 101 = %d %s, want 429", w.Code, w.Body)
	}
	if w := get(h.Server, companyOptions); w.Code != 200 || header(t, w, "x-daily-usage") != 1 {
		t.Errorf("another request = %d, %d of the day used, want 200 and 1", w.Code, header(t, w, "x-daily-usage"))
	}
	h.clock.advance(time.Minute)
	h.call(http.MethodGet, subscribe, "", 200)
}

// TestSecret: it is made once, can be replaced, and is read again unless a switch says otherwise.
func TestSecret(t *testing.T) {
	for _, setting := range []string{"secret=readable", "secret=once"} {
		h := newHookRig(t, Config{}, setting)
		h.call(http.MethodGet, "/api/account/secret", "", 404)
		first := fmt.Sprint(at(h.call(http.MethodPost, "/api/account/secret/regenerate", "", 200), "secret"))
		id := h.subscribeTo(company, `"riskNews"`, h.companyIDsOf(1)...)[0]
		patched := fmt.Sprint(at(h.call(http.MethodPatch, subscribe+"/"+id, `{"regenerateSecret":true}`, 200), "secret"))
		if !strings.HasPrefix(first, "whsec_") || !strings.HasPrefix(patched, "whsec_") || first == patched {
			t.Errorf("%s: secrets %q and %q", setting, first, patched)
		}
		h.equal(h.call(http.MethodPatch, subscribe+"/"+id, `{"regenerateSecret":false}`, 200), nil, "secret")
		if setting == "secret=once" {
			h.call(http.MethodGet, "/api/account/secret", "", 404)
			continue
		}
		h.equal(h.call(http.MethodGet, "/api/account/secret", "", 200), patched, "secret")
	}
}

// vectorBody is the body of the description's test vector.
const vectorBody = `{"id":"5a0d2a58-3f0c-4c55-9f43-5f7c3a7f1d20","type":"promotion","entityType":"contact","entityId":"70114455","subscriptionId":"66aa00112233445566778899","data":{"personId":70114455,"currentTitle":"Leiter R&D <Köln>","signalDate":"2026-04-01"},"timestamp":"2026-04-02T08:15:30.120Z","billing":{"creditsCharged":1}}`

func TestSignatureVector(t *testing.T) {
	if len(vectorBody) != 314 {
		t.Fatalf("the vector has %d bytes, want 314", len(vectorBody))
	}
	if got, want := signature("whsec_siglake_vector_1", "1775117730", []byte(vectorBody)), "06706e4a51af713053b69181691c822c129679f3567e4077052f3e887c2119e6"; got != want {
		t.Errorf("signature = %s, want %s", got, want)
	}
}

// TestDeliverEachOnce: every event of the subscribed entities and signals that becomes visible is sent
// once, has the record of a request by id, and is on the bill.
func TestDeliverEachOnce(t *testing.T) {
	for _, profile := range []string{"simulator", "fast", "heavy", "late20"} {
		t.Run(profile, func(t *testing.T) { checkEachOnce(t, profile) })
	}
}

func checkEachOnce(t *testing.T, profile string) {
	h := newHookRig(t, Config{Lateness: profile, CountDistinct: true})
	watch := Watch{Signals: []string{"peopleNews", "riskNews", "surgeInHiringByDepartment", "headcountIncrease3m", "companyChange", "promotion"}, From: noon.AddDate(-2, 0, 0)}
	for i := range 150 {
		watch.Companies = append(watch.Companies, fmt.Sprintf("hook%d.example", i))
		watch.Contacts = append(watch.Contacts, fmt.Sprintf("ada@hook%d.example", i))
	}
	var contacts []string
	for _, email := range watch.Contacts {
		contacts = append(contacts, fmt.Sprint(h.Server.world.contactByEmail(email)))
	}
	h.subscribeTo(company, `"peopleNews","riskNews","surgeInHiringByDepartment","headcountIncrease3m"`, h.companyIDsOf(150)...)
	h.subscribeTo(contact, `"companyChange","promotion"`, contacts...)
	h.pass(20 * 24 * time.Hour)
	want := map[string]int{}
	watch.To = h.clock.now()
	for e := range h.Sightings(watch) {
		if e.Visible.After(noon) && !e.Visible.After(h.clock.now().Truncate(24*time.Hour)) {
			want[e.Signal+" "+e.EntityID+" "+e.SignalID+" "+e.Date.Format(time.DateOnly)]++
		}
	}
	got := map[string]int{}
	for _, d := range h.Deliveries() {
		got[d.Signal+" "+d.EntityID+" "+d.SignalID+" "+d.Date.Format(time.DateOnly)]++
		if d.State != DeliveryAcknowledged || d.Attempts != 1 || d.Credits != 1 {
			t.Errorf("%+v, want it acknowledged, for a credit", d)
		}
	}
	if len(want) < 20 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d deliveries, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
	ids := map[string]bool{}
	for _, r := range h.take() {
		ids[fmt.Sprint(at(decodeObjectOf(t, r.body), "id"))] = true
	}
	if len(ids) != len(want) {
		t.Errorf("%d ids arrived, want %d", len(ids), len(want))
	}
	n := int64(len(want))
	b := h.Bill()
	if b.Credits != n || b.Webhooks != n || b.Delivered != n || b.Distinct != n || b.ByEndpoint["webhook"] != n || b.Billed != 0 {
		t.Errorf("bill = %+v, want %d credits of deliveries", b, n)
	}
	if at := at(h.call(http.MethodGet, accountUsage, "", 200), "credits", "used"); fmt.Sprint(at) != fmt.Sprint(n) {
		t.Errorf("usage says %v, want %d", at, n)
	}
}

// TestDeliveredRecord: a delivery has the envelope, the headers and the record that are documented, and its
// signature fits.
func TestDeliveredRecord(t *testing.T) {
	h := newHookRig(t, Config{Lateness: "fast"})
	var contacts []string
	for i := range 400 {
		contacts = append(contacts, fmt.Sprint(5000+i))
	}
	h.subscribeTo(contact, `"promotion"`, contacts...)
	h.subscribeTo(company, `"allSignals"`, h.companyIDsOf(60)...)
	secret := fmt.Sprint(at(h.call(http.MethodGet, "/api/account/secret", "", 200), "secret"))
	h.pass(10 * 24 * time.Hour)
	seen := map[string]bool{}
	for _, r := range h.take() {
		doc := decodeObjectOf(t, r.body)
		stamp := r.header.Get("X-Lusha-Timestamp")
		if r.header.Get("X-Lusha-Signature") != signature(secret, stamp, r.body) || len(stamp) != 10 || r.header.Get("Content-Type") != "application/json" || r.header.Get("User-Agent") != "Lusha-Webhooks/1.0" {
			t.Fatalf("header = %v", r.header)
		}
		if !bytes.HasPrefix(r.body, []byte(`{"id":"`)) || bytes.ContainsAny(r.body, "\n\t") || bytes.Contains(r.body, []byte(`\u00`)) {
			t.Fatalf("%s is not as JavaScript writes it", r.body)
		}
		kind := fmt.Sprint(doc["type"])
		seen[kind] = true
		h.equal(doc, 1, "billing", "creditsCharged")
		polled, form := h.pollRecords(doc), func(v any) string { b, _ := json.Marshal(v); return string(b) }
		data, _ := doc["data"].(map[string]any)
		if kind == "promotion" {
			if _, ok := data["personId"].(json.Number); !ok || at(data, "currentDepartments", 0, "value") == nil {
				t.Errorf("%s, want a number and a list of departments", r.body)
			}
			data["personId"] = fmt.Sprint(data["personId"])
			data["currentDepartments"] = at(data, "currentDepartments", 0, "value")
		}
		if !strings.Contains(form(polled), form(data)) {
			t.Errorf("delivered %s, want one of %s", form(data), form(polled))
		}
	}
	if !seen["promotion"] || len(seen) < 8 {
		t.Errorf("types %v arrived, want more", seen)
	}
}

// pollRecords requests the events of the signal and entity of a delivery.
func (h *hookRig) pollRecords(doc map[string]any) any {
	h.t.Helper()
	path, list, root := companyIDs, "companyIds", "companies"
	switch {
	case doc["type"] == "linkedinActivityIntent":
		answer := h.call(http.MethodPost, "/v3/companies/signals", fmt.Sprintf(`{"ids":[%q],"signalTypes":[%q]}`, doc["entityId"], doc["type"]), 200)
		return at(answer, "results", 0, "linkedinActivityIntent")
	case doc["entityType"] == "contact":
		path, list, root = contactIDs, "contactIds", "contacts"
	}
	body := fmt.Sprintf(`{%q:[%s],"signals":[%q],"startDate":"2026-01-01"}`, list, doc["entityId"], doc["type"])
	answer := h.call(http.MethodPost, path, body, 200)
	return at(answer, root, doc["entityId"], doc["type"])
}

// TestRetries: a delivery that is not acknowledged is sent again after 1, 2 and 4 seconds, then it is lost
// and blocks its subscription. It costs nothing then, unless sending does.
func TestRetries(t *testing.T) {
	for _, billing := range []string{"acknowledged", "sent"} {
		h := newHookRig(t, Config{Lateness: "fast"}, "delivery-billing="+billing)
		ids := h.subscribeTo(company, `"allSignals"`, h.busyCompanies(1)...)
		h.answerWith(500)
		due, ok := h.NextDelivery()
		if !ok {
			t.Fatal("nothing is due within a month")
		}
		var bodies, stamps []string
		for i, wait := range []time.Duration{due.Sub(noon), time.Second, 2 * time.Second, 4 * time.Second} {
			h.clock.advance(wait - time.Millisecond)
			if n := h.deliver(); n != 0 {
				t.Fatalf("attempt %d comes early", i+1)
			}
			h.clock.advance(time.Millisecond)
			if n := h.deliver(); n != 1 {
				t.Fatalf("%d attempts, want attempt %d", n, i+1)
			}
			for _, r := range h.take() {
				bodies, stamps = append(bodies, string(r.body)), append(stamps, r.header.Get("X-Lusha-Timestamp"))
			}
			if b := h.Bill(); i < 3 && (b.Credits != 1 || b.Undelivered != 1) {
				t.Errorf("bill after attempt %d = %+v", i+1, b)
			}
		}
		if len(bodies) != 4 || bodies[0] != bodies[3] || stamps[0] == stamps[3] {
			t.Errorf("%d bodies arrived, stamps %v; want one body four times, with fresh stamps", len(bodies), stamps)
		}
		blocked := h.call(http.MethodGet, subscribe+"/"+ids[0], "", 200)
		h.equal(blocked, false, "isActive")
		h.equal(blocked, "Max retries exceeded", "blockReason")
		h.equal(blocked, h.clock.now().Format(timestamp), "blockedAt")
		want := int64(0)
		if billing == "sent" {
			want = 1
		}
		if b := h.Bill(); b.Credits != want || b.Delivered != 0 {
			t.Errorf("%s: bill = %+v, want %d credits", billing, b, want)
		}
		h.checkAfterBlock(ids[0])
	}
}

// checkAfterBlock: what a blocked subscription misses is never sent; switched on again, it gets what becomes
// visible then.
func (h *hookRig) checkAfterBlock(id string) {
	h.t.Helper()
	h.answerWith(201)
	if n := h.pass(40 * 24 * time.Hour); n != 0 {
		h.t.Errorf("%d attempts while it is blocked", n)
	}
	missed := h.stateCounts()[DeliveryMissed]
	doc := h.call(http.MethodPatch, subscribe+"/"+id, `{"isActive":true}`, 200)
	h.equal(doc, true, "isActive")
	h.equal(doc, nil, "blockReason")
	h.equal(doc, nil, "blockedAt")
	if n := h.deliver(); n != 0 {
		h.t.Errorf("%d attempts at once after it is switched on", n)
	}
	n := h.pass(40 * 24 * time.Hour)
	if counts := h.stateCounts(); n == 0 || missed == 0 || counts[DeliveryMissed] != missed || counts[DeliveryLost] != 1 || counts[DeliveryAcknowledged] != n {
		h.t.Errorf("%d attempts after the block, states %v; want 1 lost, %d missed", n, counts, missed)
	}
}

// TestAcknowledgement: what counts as one.
func TestAcknowledgement(t *testing.T) {
	const good = `{"received":true,"timestamp":"2026-05-01T12:00:00Z","webhookId":"ID"}`
	for _, tt := range []struct {
		status          int
		body            string
		lenient, strict bool
	}{
		{201, good, true, true}, {200, good, true, true}, {204, "", true, false}, {202, "ok", true, false},
		{201, strings.Replace(good, "true", "false", 1), true, false}, {201, strings.Replace(good, "ID", "other", 1), true, false},
		{201, strings.Replace(good, "2026", "in", 1), true, false}, {201, `{"received":true,"timestamp":"2026-05-01T12:00:00Z"}`, true, false},
		{302, good, false, false}, {400, good, false, false}, {503, good, false, false},
	} {
		for setting, want := range map[string]bool{"acknowledgement=lenient": tt.lenient, "acknowledgement=strict": tt.strict} {
			h := newHookRig(t, Config{Lateness: "fast"}, setting, "challenge=off")
			h.subscribeTo(company, `"allSignals"`, h.companyIDsOf(1)...)
			h.answer = func(w http.ResponseWriter, _ *http.Request, body []byte) {
				w.WriteHeader(tt.status)
				io.WriteString(w, strings.Replace(tt.body, "ID", fmt.Sprint(at(decodeObjectOf(t, body), "id")), 1))
			}
			due, _ := h.NextDelivery()
			h.clock.advance(due.Sub(noon))
			h.deliver()
			if got := h.Deliveries()[0].State == DeliveryAcknowledged; got != want {
				t.Errorf("%s: %d %s acknowledges %t, want %t", setting, tt.status, tt.body, got, want)
			}
		}
	}
}

// TestDeadline: an answer that comes too late is none, and a context that has ended leaves the delivery to
// the next call.
func TestDeadline(t *testing.T) {
	h := newHookRig(t, Config{Lateness: "fast", DeliveryTimeout: time.Millisecond}, "challenge=off")
	h.subscribeTo(company, `"allSignals"`, h.companyIDsOf(1)...)
	due, _ := h.NextDelivery()
	h.clock.advance(due.Sub(noon))
	h.answer = func(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() }
	h.deliver()
	h.equal(h.call(http.MethodGet, auditLogs, "", 200), "timeout", "data", 0, "error")
	h.clock.advance(time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.answer = nil
	if _, err := h.Deliver(ctx); err == nil || h.Deliveries()[0].Attempts != 1 {
		t.Errorf("Deliver with a context that ended = %v, after %d attempts", err, h.Deliveries()[0].Attempts)
	}
	if n := h.deliver(); n != 1 {
		t.Errorf("%d attempts after that, want 1", n)
	}
	if d := h.Deliveries()[0]; d.State != DeliveryAcknowledged || d.Attempts != 2 || h.Bill().Credits != 1 {
		t.Errorf("%+v, want it acknowledged by the second attempt", d)
	}
}

// TestAuditLog: one entry an attempt, filters, pages, counts and retention.
func TestAuditLog(t *testing.T) {
	h := newHookRig(t, Config{Lateness: "fast"})
	ids := h.subscribeTo(company, `"allSignals"`, h.companyIDsOf(6)...)
	h.pass(14 * 24 * time.Hour)
	good := len(h.Deliveries())
	h.answerWith(503)
	first := h.clock.now()
	for h.stateCounts()[DeliveryLost] == 0 {
		due, _ := h.NextDelivery()
		h.clock.advance(max(0, due.Sub(h.clock.now())))
		h.deliver()
	}
	doc := h.call(http.MethodGet, auditLogs+"?status=permanent_failure", "", 200)
	entry := at(doc, "data", 0)
	h.equal(doc, 1, "pagination", "total")
	h.equal(doc, 50, "pagination", "limit")
	for _, d := range h.Deliveries() {
		if d.State == DeliveryLost {
			h.equal(entry, d.ID, "payloadId")
			h.equal(entry, d.Subscription, "subscriptionId")
		}
	}
	h.equal(entry, 503, "statusCode")
	h.equal(entry, hookURL, "url")
	h.equal(entry, "HTTP 503", "error")
	h.equal(h.call(http.MethodGet, auditLogs+"?status=success&limit=5&offset=2", "", 200), good, "pagination", "total")
	total := 0
	for _, id := range ids {
		n, err := at(h.call(http.MethodGet, auditLogs+"?subscriptionId="+id, "", 200), "pagination", "total").(json.Number).Int64()
		if total += int(n); err != nil {
			t.Fatal(err)
		}
	}
	stats := h.call(http.MethodGet, auditLogs+"/stats", "", 200)
	h.equal(stats, total, "total")
	h.equal(stats, good, "success")
	h.equal(stats, total-good, "failed")
	h.equal(stats, 1, "permanentFailure")
	h.equal(stats, fmt.Sprintf("%.2f%%", 100*float64(good)/float64(total)), "successRate")
	h.equal(stats, h.Bill().Credits, "totalCreditsConsumed")
	h.equal(h.call(http.MethodGet, auditLogs+"/stats?subscriptionId=none", "", 200), "0.00%", "successRate")
	h.clock.advance(first.Add(keepSuccess + time.Hour).Sub(h.clock.now()))
	h.equal(h.call(http.MethodGet, auditLogs+"?status=success", "", 200), 0, "pagination", "total")
	h.equal(h.call(http.MethodGet, auditLogs, "", 200), total-good, "pagination", "total")
	h.clock.advance(keepFailure)
	h.equal(h.call(http.MethodGet, auditLogs, "", 200), 0, "pagination", "total")
}

// TestDeliverySwitches: the forms and the mishaps of deliveries.
func TestDeliverySwitches(t *testing.T) {
	// deliveries returns what arrives in some days.
	deliveries := func(t *testing.T, answer int, settings ...string) (*hookRig, []hookRequest) {
		h := newHookRig(t, Config{Lateness: "fast"}, settings...)
		h.subscribeTo(company, `"allSignals"`, h.companyIDsOf(20)...)
		h.answerWith(answer)
		h.pass(7 * 24 * time.Hour)
		return h, h.take()
	}
	fits := func(h *hookRig, r hookRequest) bool {
		return r.header.Get("X-Lusha-Signature") == signature(h.secret.text, r.header.Get("X-Lusha-Timestamp"), r.body)
	}
	h, plain := deliveries(t, 201, "delivery=plain")
	if len(plain) < 4 || !fits(h, plain[0]) {
		t.Fatalf("%d deliveries", len(plain))
	}
	h, got := deliveries(t, 201, "delivery=twice")
	if len(got) != 2*len(plain) || !bytes.Equal(got[0].body, got[1].body) || h.Bill().Credits != int64(len(plain)) {
		t.Errorf("twice: %d requests, %d credits, want %d", len(got), h.Bill().Credits, len(plain))
	}
	h, got = deliveries(t, 201, "delivery=lost-answer")
	if counts := h.stateCounts(); len(got) != 2*len(plain) || counts[DeliveryAcknowledged] != len(plain) || h.Bill().Credits != int64(len(plain)) {
		t.Errorf("lost-answer: %d requests, states %v, %d credits, want %d", len(got), counts, h.Bill().Credits, len(plain))
	}
	_, got = deliveries(t, 201, "delivery=reordered")
	same := len(got) == len(plain)
	for i := range got {
		same = same && at(decodeObjectOf(t, got[i].body), "id") == at(decodeObjectOf(t, plain[i].body), "id")
	}
	if len(got) != len(plain) || same {
		t.Errorf("reordered: %d requests in the same order (%t), want %d in another", len(got), same, len(plain))
	}
	h, got = deliveries(t, 201, "delivery=old-stamp", "timestamp-unit=milliseconds")
	if stamp := got[0].header.Get("X-Lusha-Timestamp"); len(stamp) != 13 || !fits(h, got[0]) {
		t.Errorf("old-stamp: %v, want a stamp in milliseconds that fits", got[0].header)
	} else if age := h.Deliveries()[0].FirstSent.Sub(parseMillis(t, stamp)); age != 10*time.Minute {
		t.Errorf("old-stamp: it is %v old", age)
	}
	_, got = deliveries(t, 500, "retry-timestamp=original", "retry-intervals=hours")
	if len(got) < 4 || got[0].header.Get("X-Lusha-Timestamp") != got[len(got)-1].header.Get("X-Lusha-Timestamp") && countStamps(got) >= len(got) {
		t.Errorf("original: %d requests with %d stamps", len(got), countStamps(got))
	}
	h, got = deliveries(t, 201, "delivery=re-indented")
	var compact bytes.Buffer
	if err := json.Compact(&compact, got[0].body); err != nil || fits(h, got[0]) || got[0].header.Get("X-Lusha-Signature") != signature(h.secret.text, got[0].header.Get("X-Lusha-Timestamp"), compact.Bytes()) {
		t.Errorf("re-indented: %s", got[0].body)
	}
	h, got = deliveries(t, 201, "delivery=re-encoded")
	if fits(h, got[0]) || !bytes.HasPrefix(got[0].body, []byte(`{"billing":`)) {
		t.Errorf("re-encoded: %s", got[0].body)
	}
	for setting, want := range map[string]string{"delivery-names=snake": `"signal_type":`, "delivery-names=camel": `"signalType":`} {
		if _, got = deliveries(t, 201, setting); !bytes.Contains(got[0].body, []byte(want)) {
			t.Errorf("%s: %s", setting, got[0].body)
		}
	}
}

func countStamps(list []hookRequest) int {
	stamps := map[string]bool{}
	for _, r := range list {
		stamps[r.header.Get("X-Lusha-Timestamp")] = true
	}
	return len(stamps)
}

func parseMillis(t *testing.T, text string) time.Time {
	t.Helper()
	var n int64
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return time.UnixMilli(n).UTC()
}

// TestNoSecretNoCredits: without a secret nothing is sent, and without credits nothing either.
func TestNoSecretNoCredits(t *testing.T) {
	h := newHookRig(t, Config{Lateness: "fast", Credits: 2})
	h.call(http.MethodPost, subscribe, `{"defaults":{"url":"`+hookURL+`","entityType":"company","signalTypes":["allSignals"]},"subscriptions":[{"entityId":"`+h.companyIDsOf(1)[0]+`"}]}`, 201)
	if n := h.pass(20 * 24 * time.Hour); n != 0 || h.stateCounts()[DeliveryMissed] == 0 {
		t.Errorf("without a secret %d attempts, states %v", n, h.stateCounts())
	}
	h.call(http.MethodPost, "/api/account/secret/regenerate", "", 200)
	h.pass(30 * 24 * time.Hour)
	if b, counts := h.Bill(), h.stateCounts(); b.Credits != 2 || b.Remaining != 0 || counts[DeliveryAcknowledged] != 2 || counts[DeliveryUnpaid] == 0 {
		t.Errorf("bill = %+v, states %v, want two deliveries", b, counts)
	}
}

// TestChangedSubscriptions: a deleted subscription gets nothing more, not even retries; one with other
// signals gets those.
func TestChangedSubscriptions(t *testing.T) {
	h := newHookRig(t, Config{Lateness: "fast"})
	ids := h.subscribeTo(company, `"allSignals"`, h.busyCompanies(2)...)
	h.answerWith(500)
	due, _ := h.NextDelivery()
	h.clock.advance(due.Sub(noon))
	h.deliver()
	d := h.Deliveries()[0]
	h.call(http.MethodPost, unsubscribe, fmt.Sprintf(`{"ids":[%q]}`, d.Subscription), 200)
	h.answerWith(201)
	rest := ids[0]
	if rest == d.Subscription {
		rest = ids[1]
	}
	h.call(http.MethodPatch, subscribe+"/"+rest, `{"signalTypes":["peopleNews","marketIntelligenceNews"]}`, 200)
	h.pass(200 * 24 * time.Hour)
	counts := map[string]int{}
	for _, d := range h.Deliveries()[1:] {
		counts[d.Subscription+" "+d.Signal]++
	}
	if h.Deliveries()[0].State != DeliveryLost || len(counts) != 2 || counts[rest+" peopleNews"] == 0 || counts[rest+" marketIntelligenceNews"] == 0 {
		t.Errorf("deliveries by subscription and signal %v, want two signals of %s", counts, rest)
	}
}

// TestOptOut: one subscription an account; a notice has no envelope, costs nothing, and is sent again like
// a delivery.
func TestOptOut(t *testing.T) {
	h := newHookRig(t, Config{}, "acknowledgement=strict")
	if err := h.OptOut("70114455"); err == nil {
		t.Error("OptOut without a subscription gives no error")
	}
	h.call(http.MethodPost, "/api/account/secret/regenerate", "", 200)
	const body = `{"entityType":"contact","url":"https://hooks.siglake.example/optout","name":"opt-outs"}`
	doc := h.call(http.MethodPost, subscribe+"/opt-out", body, 201)
	h.equal(doc, "[optOut]", "signalTypes")
	h.equal(doc, accountID, "entityId")
	h.call(http.MethodPost, subscribe+"/opt-out", body, 403)
	h.call(http.MethodPost, subscribe+"/opt-out", strings.Replace(body, "contact", "company", 1), 400)
	h.call(http.MethodPatch, subscribe+"/"+fmt.Sprint(doc["id"]), `{"signalTypes":["optOut"]}`, 400)
	h.take()
	for _, who := range []string{"70114455", "ada.sample@harborquill.example"} {
		if err := h.OptOut(who); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.OptOut("Ada"); err == nil {
		t.Error("OptOut of a name gives no error")
	}
	h.answerWith(500)
	h.deliver()
	h.answerWith(201)
	h.clock.advance(time.Second)
	if n := h.deliver(); n != 2 {
		t.Errorf("%d attempts after a second, want 2", n)
	}
	got := h.take()
	notice := decodeObjectOf(t, got[0].body)
	if len(got) != 4 || notice["id"] != nil || notice["contactOptOutDate"] != "2026-05-01 12:00:00.000" || len(notice["datapoints"].([]any)) != 2 || notice["partnerClientId"] != nil {
		t.Errorf("%d requests, the first %s", len(got), got[0].body)
	}
	if h.stateCounts()[DeliveryAcknowledged] != 2 || h.Bill().Credits != 0 {
		t.Errorf("deliveries = %+v, %d credits", h.Deliveries(), h.Bill().Credits)
	}
	w := do(h.Server, httptest.NewRequest(http.MethodPost, "/_simulator/opt-out?contact=5", nil))
	if w.Code != 200 || h.deliver() != 1 {
		t.Errorf("POST /_simulator/opt-out = %d %s", w.Code, w.Body)
	}
	list := get(h.Server, "/_simulator/deliveries")
	if list.Code != 200 || !strings.Contains(list.Body.String(), `"type":"optOut"`) {
		t.Errorf("/_simulator/deliveries = %d %s", list.Code, list.Body)
	}
}

// TestTestDelivery: it is signed, costs nothing and is no delivery.
func TestTestDelivery(t *testing.T) {
	h := newHookRig(t, Config{}, "acknowledgement=strict")
	id := h.subscribeTo(contact, `"promotion"`, "70114455")[0]
	path := subscribe + "/" + id + "/test"
	for _, mode := range testModes {
		doc := h.call(http.MethodPost, path+"?mode="+mode, "", 200)
		got := h.take()
		if len(got) != 1 || got[0].header.Get("X-Lusha-Signature") == "" {
			t.Fatalf("%s: %v", mode, got)
		}
		h.equal(doc, id, "subscriptionId")
		h.equal(doc, mode, "mode")
		h.equal(doc, true, "isSuccess")
		h.equal(doc, 201, "flowCheck", "statusCode")
		h.equal(doc, "promotion", "testPayload", "signalType")
		body := decodeObjectOf(t, got[0].body)
		if mode == "direct" {
			h.equal(body, doc["testPayload"])
			continue
		}
		h.equal(body, 0, "billing", "creditsCharged")
		h.equal(body, at(doc, "testPayload", "data"), "data")
	}
	h.call(http.MethodPost, path+"?mode=slow", "", 400)
	h.answerWith(401)
	h.equal(h.call(http.MethodPost, path, "", 200), false, "isSuccess")
	if len(h.Deliveries()) != 0 || h.Bill().Credits != 0 {
		t.Errorf("%d deliveries, %d credits, want none", len(h.Deliveries()), h.Bill().Credits)
	}
	none := newHookRig(t, Config{})
	sub := none.call(http.MethodPost, subscribe, `{"defaults":{"url":"`+hookURL+`","entityType":"contact","signalTypes":["promotion"]},"subscriptions":[{"entityId":"7"}]}`, 201)
	none.call(http.MethodPost, subscribe+"/"+fmt.Sprint(at(sub, "results", 0, "subscription", "id"))+"/test", "", 400)
}

// TestReplay: a new subscription gets the events of some time before it, in their order, within seconds, and until
// then they are pending.
func TestReplay(t *testing.T) {
	h := newHookRig(t, Config{DeliveryReplay: 30 * 24 * time.Hour})
	h.subscribeTo(company, `"allSignals"`, h.companyIDsOf(5)...)
	h.deliver()
	early, pending := len(h.Deliveries()), h.Pending()
	h.clock.advance(replayTime)
	h.deliver()
	w := Watch{From: noon.AddDate(-1, 0, 0), To: noon, Signals: keysOf(h.Server.signals[apiV3][company])}
	for i := range 5 {
		w.Companies = append(w.Companies, fmt.Sprintf("hook%d.example", i))
	}
	want := int(h.CountVisible(w, noon.AddDate(0, 0, -29), noon))
	list := h.Deliveries()
	if early != 0 || want == 0 || len(list) != want {
		t.Errorf("%d deliveries at once, %d within seconds, want %d", early, len(list), want)
	}
	if pending != want || h.Pending() != 0 {
		t.Errorf("%d deliveries were pending, and %d are afterwards; want %d and none", pending, h.Pending(), want)
	}
}

func keysOf(list []*signal) (keys []string) {
	for _, s := range list {
		keys = append(keys, s.key)
	}
	return keys
}

// TestDeliveriesAreReproducible: the same seed and the same requests make the same deliveries, whatever the
// number of workers.
func TestDeliveriesAreReproducible(t *testing.T) {
	run := func(workers int) string {
		h := newHookRig(t, Config{Lateness: "fast", DeliveryWorkers: workers})
		h.subscribeTo(company, `"allSignals"`, h.companyIDsOf(8)...)
		h.pass(10 * 24 * time.Hour)
		return fmt.Sprint(h.Deliveries(), h.secret.text)
	}
	first := run(1)
	if again, others := run(1), run(8); again != first || others != first || len(first) < 500 {
		t.Errorf("deliveries differ:\n%s\n%s\n%s", first, again, others)
	}
}

// TestPush: it sends what falls due while it runs, and ends with its context.
func TestPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHookRig(t, Config{Lateness: "fast"})
		began := time.Now() // before the simulated world began
		now := func() time.Time { return noon.Add(time.Since(began)) }
		h.Server.Webhooks.now, h.Server.now = now, now
		h.subscribeTo(company, `"allSignals"`, h.companyIDsOf(20)...)
		ctx, cancel := context.WithTimeout(t.Context(), 7*24*time.Hour)
		defer cancel()
		h.Push(ctx)
		if counts := h.stateCounts(); counts[DeliveryAcknowledged] == 0 || len(counts) != 1 {
			t.Errorf("states %v, want all acknowledged", counts)
		}
	})
}
