package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/lease"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/schema"
)

// oddVendor answers requests about webhooks as the vendor does, and oddly on demand. Other requests go to a simulator.
type oddVendor struct {
	next http.RoundTripper

	mu       sync.Mutex
	subs     []map[string]any // newest first
	watched  map[string]bool  // entity and URL of each
	attempts []map[string]any // of the log of deliveries
	made     int
	requests []time.Time
	refused  int                        // requests beyond the quota
	paths    map[string]int             // requests, by method and path without ids
	odd      func(*http.Request) string // an answer as "status body", or "lose": carried out, and the answer lost; empty: as usual
	secret   string
}

func newOddVendor(t *testing.T) *oddVendor {
	t.Helper()
	useSimulator(t, simulator.Config{Plan: "unlimited"}, 0)
	v := &oddVendor{next: envFor(t).Transport, paths: map[string]int{}, watched: map[string]bool{}}
	envFor(t).Transport = v
	return v
}

func (v *oddVendor) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(req.URL.Path, "/api/subscriptions") && !strings.HasPrefix(req.URL.Path, "/api/account/") && !strings.HasPrefix(req.URL.Path, "/api/audit-logs") {
		return v.next.RoundTrip(req)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	w := httptest.NewRecorder()
	now := time.Now()
	v.requests = slices.DeleteFunc(v.requests, func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	w.Header().Set("X-Rate-Limit-Minute", "100")
	w.Header().Set("X-Minute-Usage", strconv.Itoa(len(v.requests)+1))
	if len(v.requests) >= 100 {
		v.refused++
		answer(w, 429, map[string]any{"statusCode": 429, "message": "too many requests"})
		return w.Result(), nil
	}
	v.requests = append(v.requests, now)
	v.paths[req.Method+" "+req.URL.Path]++
	odd := ""
	if v.odd != nil {
		odd = v.odd(req)
	}
	if status, body, ok := strings.Cut(odd, " "); ok {
		code, _ := strconv.Atoi(status)
		w.WriteHeader(code)
		_, _ = w.WriteString(body)
		return w.Result(), nil
	}
	v.serve(w, req)
	if odd == "lose" {
		return nil, io.ErrUnexpectedEOF
	}
	return w.Result(), nil
}

func answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (v *oddVendor) serve(w http.ResponseWriter, req *http.Request) {
	var body map[string]any
	if req.Body != nil {
		_ = json.NewDecoder(req.Body).Decode(&body)
	}
	id, isOne := strings.CutPrefix(req.URL.Path, "/api/subscriptions/")
	switch {
	case req.URL.Path == "/api/account/secret/regenerate":
		v.made++
		v.secret = fmt.Sprintf("whsec_%016d", v.made)
		answer(w, 201, map[string]any{"secret": v.secret})
	case req.URL.Path == "/api/account/secret" && v.secret == "":
		answer(w, 404, map[string]any{"statusCode": 404, "message": "no secret"})
	case req.URL.Path == "/api/account/secret":
		answer(w, 200, map[string]any{"secret": v.secret})
	case req.URL.Path == "/api/audit-logs/stats":
		answer(w, 200, map[string]any{"total": 20, "success": 19, "failed": 1, "successRate": "95.00%"})
	case req.URL.Path == "/api/audit-logs":
		var listed []map[string]any
		for _, a := range v.attempts {
			if status := req.URL.Query().Get("status"); status == "" || a["status"] == status {
				listed = append(listed, a)
			}
		}
		page(w, req.URL.Query(), listed)
	case req.Method == http.MethodGet:
		page(w, req.URL.Query(), v.subs)
	case id == "delete":
		v.delete(w, body)
	case id == "opt-out":
		v.made++
		s := map[string]any{"id": fmt.Sprintf("%024x", v.made), "entityType": "contact", "entityId": "55501", "signalTypes": []string{"optOut"}, "url": body["url"], "name": body["name"], "isActive": true}
		v.subs = slices.Insert(v.subs, 0, s)
		answer(w, 201, s)
	case strings.HasSuffix(id, "/test"):
		answer(w, 200, map[string]any{"url": "u", "isSuccess": true, "flowCheck": map[string]any{"success": true, "statusCode": 201, "durationMs": 12}})
	case isOne:
		i := slices.IndexFunc(v.subs, func(s map[string]any) bool { return s["id"] == id })
		if i < 0 {
			answer(w, 404, map[string]any{"statusCode": 404, "message": "no such subscription"})
			return
		}
		for key, value := range body {
			v.subs[i][key] = value
		}
		if body["isActive"] == true {
			v.subs[i]["blockReason"], v.subs[i]["blockedAt"] = nil, nil
		}
		answer(w, 200, v.subs[i])
	default:
		v.create(w, body)
	}
}

func page(w http.ResponseWriter, q url.Values, all []map[string]any) {
	limit, _ := strconv.Atoi(q.Get("limit"))
	offset, _ := strconv.Atoi(q.Get("offset"))
	from, to := min(offset, len(all)), min(offset+limit, len(all))
	answer(w, 200, map[string]any{"data": slices.Clone(all[from:to]), "pagination": map[string]any{"total": len(all), "limit": limit, "offset": offset, "hasMore": to < len(all)}})
}

func (v *oddVendor) create(w http.ResponseWriter, body map[string]any) {
	items := body["subscriptions"].([]any)
	hookURL := body["defaults"].(map[string]any)["url"]
	var results []map[string]any
	for i, item := range items {
		item := item.(map[string]any)
		switch {
		case v.watched[fmt.Sprint(item["entityId"], hookURL)]:
			results = append(results, map[string]any{"index": i, "success": false, "error": map[string]any{"code": "DUPLICATE_SUBSCRIPTION", "message": "already watched"}})
		case item["entityId"] == "666":
			results = append(results, map[string]any{"index": i, "success": false, "error": map[string]any{"code": "VALIDATION_ERROR", "message": "no such entity"}})
		default:
			v.made++
			s := map[string]any{"id": fmt.Sprintf("%024x", v.made), "url": hookURL, "isActive": true, "createdAt": time.Now().UTC().Format(time.RFC3339), "blockReason": nil, "blockedAt": nil}
			for key, value := range item {
				s[key] = value
			}
			v.subs = slices.Insert(v.subs, 0, s)
			v.watched[fmt.Sprint(item["entityId"], hookURL)] = true
			results = append(results, map[string]any{"index": i, "success": true, "subscription": s})
		}
	}
	answer(w, 201, map[string]any{"results": results})
}

func (v *oddVendor) delete(w http.ResponseWriter, body map[string]any) {
	var results []map[string]any
	for i, id := range body["ids"].([]any) {
		r := map[string]any{"index": i, "success": true}
		if at := slices.IndexFunc(v.subs, func(s map[string]any) bool { return s["id"] == id }); at >= 0 {
			delete(v.watched, fmt.Sprint(v.subs[at]["entityId"], v.subs[at]["url"]))
			v.subs = slices.Delete(v.subs, at, at+1)
		} else {
			r = map[string]any{"index": i, "success": false, "error": map[string]any{"code": "NOT_FOUND", "message": "gone"}}
		}
		results = append(results, r)
	}
	answer(w, 200, map[string]any{"results": results})
}

// entities are the ids of the entities that are subscribed to, sorted. The account is none.
func (v *oddVendor) entities() (ids []string) {
	for _, s := range v.subs {
		if !isOptOuts(s) {
			ids = append(ids, s["entityId"].(string))
		}
	}
	slices.Sort(ids)
	return ids
}

// isOptOuts reports whether a subscription is one to notices of opt-outs.
func isOptOuts(subscription map[string]any) bool {
	return fmt.Sprint(subscription["signalTypes"]) == "[optOut]"
}

// block switches a subscription off, or all of them, since a time.
func (v *oddVendor) block(since string, which func(map[string]any) bool) {
	for _, s := range v.subs {
		if which(s) {
			s["isActive"], s["blockReason"], s["blockedAt"] = false, "Max retries exceeded", since
		}
	}
}

// hookTest runs commands about the webhooks of one lake.
type hookTest struct {
	*testing.T
	vendor *oddVendor
	lake   string
	list   string
}

func newHookTest(t *testing.T) *hookTest {
	t.Helper()
	return &hookTest{t, newOddVendor(t), filepath.Join(t.TempDir(), "lake"), filepath.Join(t.TempDir(), "accounts.csv")}
}

// writeIDs writes a list of company ids with keys.
func (h *hookTest) writeIDs(ids ...string) {
	h.Helper()
	text := "lusha company id,account_id\n"
	for _, id := range ids {
		text += id + ",acct-" + id + "\n"
	}
	if err := os.WriteFile(h.list, []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
}

// hookURL is the receiver's address in these tests.
const hookURL = "https://hooks.siglake.example/in"

// sync runs siglake webhooks sync, and gives what it printed as JSON.
func (h *hookTest) sync(wantCode int, flags ...string) app.WebhookSync {
	h.Helper()
	args := append([]string{"webhooks", "sync", h.list, "--lake", h.lake, "--signals", "news", "--url", hookURL, "--json", "--quiet", "--rate", "0", "--plan", "unlimited"}, flags...)
	code, stdout, stderr := runProgram(h.T, args...)
	if code != wantCode {
		h.Fatalf("sync %v: exit %d, want %d: %s", flags, code, wantCode, stderr)
	}
	var r app.WebhookSync
	if stdout != "" {
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			h.Fatalf("sync printed %q: %v", stdout, err)
		}
	}
	return r
}

// command runs another command about webhooks.
func (h *hookTest) command(wantCode int, args ...string) string {
	h.Helper()
	code, stdout, stderr := runProgram(h.T, append(append([]string{"webhooks"}, args...), "--lake", h.lake)...)
	if code != wantCode {
		h.Fatalf("webhooks %v: exit %d, want %d: %s", args, code, wantCode, stderr)
	}
	return stdout + stderr
}

// status is what siglake status prints about the lake.
func (h *hookTest) status() string {
	h.Helper()
	code, stdout, stderr := runProgram(h.T, "status", "--lake", h.lake)
	if code != exitComplete {
		h.Fatalf("status: exit %d: %s", code, stderr)
	}
	return stdout
}

func (h *hookTest) state() *subscriptions.State {
	h.Helper()
	text, err := os.ReadFile(filepath.Join(h.lake, "_state", "webhooks.json"))
	if err != nil {
		h.Fatal(err)
	}
	s, err := subscriptions.Decode(text)
	if err != nil {
		h.Fatal(err)
	}
	return s
}

// wantEntities checks what is subscribed to.
func (h *hookTest) wantEntities(ids ...string) {
	h.Helper()
	if got := h.vendor.entities(); !slices.Equal(got, ids) {
		h.Errorf("the vendor has subscriptions of %v, want %v", got, ids)
	}
}

// TestWebhookSync: a plan changes nothing, --yes carries it out, a second sync has nothing to do, and lines that come,
// change and go are created, changed and deleted.
func TestWebhookSync(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	h.writeIDs("101", "102", "103")
	if r := h.sync(exitComplete); r.Actions[subscriptions.Create] != 3 || r.Done {
		t.Errorf("plan: %+v, want 3 to create", r)
	}
	h.wantEntities()
	if r := h.sync(exitComplete, "--yes"); r.Actions[subscriptions.Create] != 3 || !r.Done || r.Pending != 0 || !r.NoSecret {
		t.Errorf("sync: %+v, want 3 created", r)
	}
	h.wantEntities("101", "102", "103")
	if key := h.state().AccountKey(schema.Company, "102"); key != "acct-102" {
		t.Errorf("account key of 102 is %q", key)
	}
	before := len(h.vendor.paths)
	if r := h.sync(exitComplete, "--yes"); r.Calls != 0 || r.Actions[subscriptions.Keep] != 3 {
		t.Errorf("second sync: %+v, want nothing to do", r)
	}
	if got := h.vendor.paths["POST /api/subscriptions"]; got != 1 || len(h.vendor.paths) != before {
		t.Errorf("the vendor was asked %v, want one creation", h.vendor.paths)
	}
	h.writeIDs("102", "104")
	if r := h.sync(exitComplete, "--yes", "--signals", "growth"); r.Actions[subscriptions.Change] != 1 || r.Actions[subscriptions.Create] != 1 || r.Actions[subscriptions.Delete] != 2 {
		t.Errorf("edited list: %+v, want one changed, one created and two deleted", r.Actions)
	}
	h.wantEntities("102", "104")
}

// TestWebhookSyncSearches: ids that the lake does not know are bought once, at the price of the plan, and the list is
// read as other commands read it.
func TestWebhookSyncSearches(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	sim := useSimulator(t, simulator.Config{Plan: "unlimited"}, 0)
	h.vendor.next, envFor(t).Transport = envFor(t).Transport, h.vendor
	list := "Website,Ref\n" + strings.ReplaceAll(domainLines(60), "\n", ",x\n") + "not a domain,y\n"
	if err := os.WriteFile(h.list, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--map", "domain=Website,key=Ref"}
	plan := h.sync(exitRejects, flags...)
	if plan.Search == nil || plan.Search.Lines != 60 || plan.Search.MaxCredits != 3 || sim.Bill().Credits != 0 {
		t.Fatalf("plan: search %+v and a bill of %d credits, want 60 lines, at most 3 credits and no bill", plan.Search, sim.Bill().Credits)
	}
	if len(plan.Rejects) != 1 || plan.Rejects[0].Line != 62 || !strings.Contains(plan.Rejects[0].Reason, "Website") {
		t.Errorf("rejects %+v, want that of line 62 with its column", plan.Rejects)
	}
	if r := h.sync(exitDeferred, append(flags, "--yes", "--max-credits", "1", "--batch-size", "25")...); r.ByStatus[schema.Deferred] == 0 || sim.Bill().Credits > 1 {
		t.Errorf("with a cap of 1 credit: %+v and a bill of %d", r, sim.Bill().Credits)
	}
	r := h.sync(exitRejects, append(flags, "--yes")...)
	spent := sim.Bill().Credits
	if r.Entities == 0 || len(h.vendor.subs) != r.Entities || spent > 4 {
		t.Errorf("%d entities, %d subscriptions, %d credits", r.Entities, len(h.vendor.subs), spent)
	}
	if again := h.sync(exitRejects, append(flags, "--yes")...); again.Search != nil || again.Calls != 0 || sim.Bill().Credits != spent {
		t.Errorf("again: search %+v, %d calls, %d credits; want none, none and %d", again.Search, again.Calls, sim.Bill().Credits, spent)
	}
	if code, _, stderr := runProgram(t, "verify", "--lake", h.lake); code != exitComplete {
		t.Errorf("verify: exit %d: %s", code, stderr)
	}
}

// TestWebhookSyncOwnIDs: a line that states its id is not searched for.
func TestWebhookSyncOwnIDs(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	sim := useSimulator(t, simulator.Config{Plan: "unlimited"}, 0)
	h.vendor.next, envFor(t).Transport = envFor(t).Transport, h.vendor
	if err := os.WriteFile(h.list, []byte("lusha company id,domain,account_id\n101,,a\n,company-0001.example,b\n101,,c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if plan := h.sync(exitComplete); plan.Search == nil || plan.Search.Lines != 1 || plan.Search.MaxCredits != 1 || plan.ByStatus[schema.Duplicate] != 1 {
		t.Errorf("plan: %+v, search %+v; want one line searched and one duplicate", plan, plan.Search)
	}
	h.sync(exitComplete, "--yes")
	for _, e := range sim.Bill().Entries {
		if strings.HasSuffix(e.Path, "/search") && e.Entities != 1 {
			t.Errorf("%d entities were searched for, want 1", e.Entities)
		}
	}
	if keys := h.state().Find(schema.Company, "101").Wants[0].AccountKeys; !slices.Equal(keys, []string{"a", "c"}) {
		t.Errorf("account keys %v, want those of both lines", keys)
	}
}

// TestWebhookMessages: messages say what holds and what was paid for.
func TestWebhookMessages(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	sim := useSimulator(t, simulator.Config{Plan: "unlimited"}, 0)
	h.vendor.next, envFor(t).Transport = envFor(t).Transport, h.vendor
	says := func(wantCode int, want string, words ...string) {
		t.Helper()
		code, stdout, stderr := runProgram(t, append(append([]string{"webhooks"}, words...), "--lake", h.lake)...)
		if code != wantCode || !strings.Contains(stdout+stderr, want) {
			t.Errorf("webhooks %v: exit %d, %s%s; want %d and %q", words, code, stdout, stderr, wantCode, want)
		}
	}
	sync := []string{"sync", h.list, "--url", hookURL, "--signals"}

	// A plan keeps no id of a lake that has none yet.
	h.writeIDs("101")
	says(exitComplete, "Webhooks of "+h.lake+", list accounts", append(sync, "news")...)
	says(exitComplete, "Webhooks of "+h.lake+" (", append(sync, "news", "--yes")...)

	// Lists, signals and caps that do not fit.
	says(exitUsage, `subscribes to no list "acounts"; its lists are: accounts`, "remove", "acounts", "--yes")
	says(exitUsage, "to end all deliveries, use siglake webhooks pause", "cap", "--max-credits-per-day", "0")
	people := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(people, []byte("linkedin\nhttps://www.linkedin.com/in/sample-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	says(exitUsage, "the requested signals are about a company each, and the columns identify a contact", "sync", people, "--url", hookURL, "--signals", "news")
	says(exitUsage, "none of these signals is about one: news", "sync", people, "--url", hookURL, "--signals", "news", "--object", "contact")
	says(exitUsage, "none of these signals is about one: newJobPost", "sync", people, "--url", hookURL, "--signals", "newJobPost", "--object", "contact")

	// A test to which no receiver answers.
	h.vendor.odd = func(req *http.Request) string {
		if strings.HasSuffix(req.URL.Path, "/test") {
			return `200 {"isSuccess":false,"flowCheck":{"success":false,"statusCode":0,"durationMs":0}}`
		}
		return ""
	}
	says(exitDeferred, "not delivered, no answer: see that siglake listen runs", "test")

	// A search that was paid for, and a sync that failed afterwards; then one that did not.
	if err := os.WriteFile(h.list, []byte(domainLines(30)), 0o600); err != nil {
		t.Fatal(err)
	}
	h.vendor.odd = func(req *http.Request) string {
		if req.Method == http.MethodPost && req.URL.Path == "/api/subscriptions" {
			return `403 {"statusCode":403,"message":"Forbidden","errors":["limit reached"]}`
		}
		return ""
	}
	code, stdout, stderr := runProgram(t, append([]string{"webhooks"}, append(sync, "news", "--yes", "--max-credits", "10", "--lake", h.lake, "--rate", "0", "--plan", "unlimited")...)...)
	bought := "searched for by 1 call, " + format.Count(sim.Bill().Credits, "credit")
	if code != exitAuth || sim.Bill().Credits < 2 || !strings.Contains(stdout, bought) || !strings.Contains(stdout, "It was not carried out to its end") || strings.Contains(stdout, "Add --yes") {
		t.Errorf("refused after its search: exit %d: %s%s; want %q", code, stdout, stderr, bought)
	}
	h.vendor.odd = nil
	more := strings.ReplaceAll(domainLines(60), "\n", ",x\n")
	if err := os.WriteFile(h.list, []byte("domain,note\n"+more), 0o600); err != nil {
		t.Fatal(err)
	}
	before := sim.Bill().Credits
	code, stdout, stderr = runProgram(t, append([]string{"webhooks"}, append(sync, "news", "--yes", "--max-credits", "10", "--lake", h.lake, "--rate", "0", "--plan", "unlimited")...)...)
	if bought := "searched for by 1 call, " + format.Count(sim.Bill().Credits-before, "credit"); code != exitComplete || sim.Bill().Credits == before || !strings.Contains(stdout, bought) || !strings.Contains(stdout, "Done: ") {
		t.Errorf("carried out: exit %d: %s%s; want %q", code, stdout, stderr, bought)
	}
}

// TestWebhookSyncOptedOut: the subscription to a person who has opted out ends for that reason, and not because of the list.
func TestWebhookSyncOptedOut(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	if err := os.WriteFile(h.list, []byte("lusha contact id,account_id\n201,a\n202,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.sync(exitComplete, "--yes", "--signals", "contact")
	h.wantEntities("201", "202")
	receive(t, h.lake, delivered{delivery: inbox.Delivery{ID: "opt-out-1", Kind: inbox.OptOut, Received: time.Date(2026, 4, 7, 10, 0, 0, 0, time.UTC), Stamp: "1", Body: []byte(`{"contactId":"201","contactOptOutDate":"2026-04-06 07:41:02"}`)}})
	r := h.sync(exitComplete, "--yes", "--signals", "contact")
	if len(r.Steps) != 1 || r.Steps[0].Action != subscriptions.Delete || r.Steps[0].Reason != "the person has opted out" {
		t.Errorf("changes %+v, want one subscription deleted because the person has opted out", r.Steps)
	}
	h.wantEntities("202")
}

// TestWebhookOddAnswers: one bad entity does not stop the others, what exists is adopted or left to its owner, and a
// lost answer repeats nothing.
func TestWebhookOddAnswers(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	foreign := func(entity, name, hookURL string) map[string]any {
		h.vendor.made++
		return map[string]any{"id": fmt.Sprintf("%024x", h.vendor.made), "entityId": entity, "entityType": "company", "signalTypes": []string{"x"}, "url": hookURL, "name": name, "isActive": true}
	}
	h.vendor.subs = []map[string]any{foreign("103", "by hand", hookURL), foreign("104", "siglake:00000000:other", hookURL), foreign("105", "elsewhere", "https://other.example")}
	h.vendor.watched["103"+hookURL], h.vendor.watched["104"+hookURL] = true, true
	h.writeIDs("101", "666", "103", "104", "105")
	r := h.sync(exitRejects, "--yes")
	if r.Actions[subscriptions.Create] != 3 || r.Actions[subscriptions.Adopt] != 1 || r.Actions[subscriptions.Refuse] != 1 || len(r.Problems) != 2 {
		t.Errorf("%+v, problems %+v", r.Actions, r.Problems)
	}
	h.wantEntities("101", "103", "104", "105", "105")
	for _, s := range h.vendor.subs {
		if own := strings.HasPrefix(s["name"].(string), "siglake:"+r.LakeID+":accounts"); s["entityId"] == "103" != own && s["entityId"] == "103" {
			t.Errorf("subscription of 103 is named %v", s["name"])
		}
	}

	h.writeIDs("101", "103", "105", "107", "108")
	lost := false
	h.vendor.odd = func(req *http.Request) string {
		if req.Method == http.MethodPost && req.URL.Path == "/api/subscriptions" && !lost {
			lost = true
			return "lose"
		}
		return ""
	}
	if r := h.sync(exitComplete, "--yes"); r.Pending != 0 || len(r.Problems) != 0 {
		t.Errorf("after a lost answer: %+v", r)
	}
	h.wantEntities("101", "103", "104", "105", "105", "107", "108")
	for _, u := range h.state().Subscriptions {
		if u.ID == "" {
			t.Errorf("%s has no subscription in the state", u.EntityID)
		}
	}
}

// TestWebhookWholeRefusal: the vendor refuses a call because of one entity.
func TestWebhookWholeRefusal(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	h.vendor.odd = func(req *http.Request) string {
		if req.Method != http.MethodPost || req.URL.Path != "/api/subscriptions" {
			return ""
		}
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(strings.NewReader(string(body)))
		if strings.Contains(string(body), `"105"`) {
			return `400 {"statusCode":400,"message":"Validation failed","errors":["entityId"]}`
		}
		return ""
	}
	h.writeIDs("101", "102", "103", "104", "105", "106")
	if r := h.sync(exitRejects, "--yes"); len(r.Problems) != 1 || r.Problems[0].EntityID != "105" {
		t.Errorf("problems %+v, want that of 105", r.Problems)
	}
	h.wantEntities("101", "102", "103", "104", "106")

	h.vendor.odd = func(req *http.Request) string {
		if req.Method == http.MethodPost {
			return `400 {"statusCode":400,"message":"WEBHOOK_VERIFICATION_FAILED: no challenge"}`
		}
		return ""
	}
	h.writeIDs("101", "102", "103", "104", "106", "109", "110")
	if out := h.command(exitDeferred, "sync", h.list, "--signals", "news", "--yes"); !strings.Contains(out, "siglake listen") {
		t.Errorf("an unreachable receiver: %s, want advice", out)
	}
}

// TestWebhookBlocked: a blocked subscription is switched on again, and what it missed is noted.
func TestWebhookBlocked(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	h.writeIDs("101", "102")
	h.sync(exitComplete, "--yes")
	h.vendor.subs[0]["isActive"], h.vendor.subs[0]["blockReason"], h.vendor.subs[0]["blockedAt"] = false, "Max retries exceeded", "2026-03-04T05:06:07.000Z"
	if out := h.command(exitComplete, "list"); !strings.Contains(out, "blocked (Max retries exceeded) since 2026-03-04 05:06 UTC") {
		t.Errorf("list: %s", out)
	}
	if r := h.sync(exitComplete, "--yes"); r.Actions[subscriptions.Unblock] != 1 || h.vendor.subs[0]["isActive"] != true {
		t.Errorf("%+v, want it switched on", r)
	}
	if gaps := h.state().Gaps; len(gaps) != 1 || gaps[0].EntityID != h.vendor.subs[0]["entityId"] || gaps[0].From != "2026-03-03" {
		t.Errorf("gaps %+v, want one from 2026-03-03", gaps)
	}
}

// TestWebhooksLocked: one command at a time changes the webhooks of a lake, and plans do not wait for it.
func TestWebhooksLocked(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	h.writeIDs("101")
	h.sync(exitComplete, "--yes")
	held, err := lease.AcquireFlock(filepath.Join(h.lake, "_state", "webhooks"), "siglake webhooks pause")
	if err != nil {
		t.Fatal(err)
	}
	if out := h.command(exitLocked, "resume"); !strings.Contains(out, "siglake webhooks pause") {
		t.Errorf("resume beside a pause: %s", out)
	}
	h.sync(exitLocked, "--yes")
	h.sync(exitComplete)
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	h.sync(exitComplete, "--yes")
}

// TestWebhookPause: a pause deletes, a sync meanwhile creates nothing, and resume creates what is wanted then.
func TestWebhookPause(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	h.writeIDs("101", "102")
	h.sync(exitComplete, "--yes")
	h.command(exitComplete, "pause")
	h.wantEntities()
	h.writeIDs("102", "103")
	h.sync(exitComplete, "--yes")
	h.wantEntities()
	h.command(exitComplete, "resume")
	h.wantEntities("102", "103")
	if gaps := h.state().Gaps; len(gaps) != 2 {
		t.Errorf("gaps %+v, want those of both", gaps)
	}
	h.command(exitComplete, "remove", "accounts")
	h.wantEntities("102", "103")
	h.command(exitComplete, "remove", "accounts", "--yes")
	h.wantEntities()
}

// TestWebhookTwoLists: an entity in two lists has one subscription with the signals of both.
func TestWebhookTwoLists(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	h.writeIDs("101", "102")
	h.sync(exitComplete, "--yes")
	h.writeIDs("102", "103")
	if r := h.sync(exitComplete, "--yes", "--name", "more", "--signals", "growth"); r.Actions[subscriptions.Change] != 1 || r.Actions[subscriptions.Create] != 1 || r.Actions[subscriptions.Keep] != 1 {
		t.Errorf("%+v", r.Actions)
	}
	h.wantEntities("101", "102", "103")
	h.command(exitComplete, "remove", "accounts", "--yes")
	h.wantEntities("102", "103")
	for _, s := range h.vendor.subs {
		if !strings.HasSuffix(s["name"].(string), ":more") {
			t.Errorf("%v is named %v", s["entityId"], s["name"])
		}
	}
}

// TestRotateSecret: the file gets the new secret first, readable by its owner alone; nothing prints it.
func TestRotateSecret(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	file := filepath.Join(t.TempDir(), "secrets")
	during := ""
	rotate := func(flags ...string) string {
		t.Helper()
		code, stdout, stderr := runProgram(t, append([]string{"webhooks", "rotate-secret", "--secret-file", file}, flags...)...)
		if code != exitComplete || strings.Contains(stdout+stderr, "whsec_") {
			t.Fatalf("exit %d: %s%s", code, stdout, stderr)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got, want := rotate("--overlap", "0"), "whsec_0000000000000001\n"; got != want {
		t.Errorf("file %q, want %q", got, want)
	}
	envFor(t).Sleep = func(_ context.Context, d time.Duration) bool {
		text, _ := os.ReadFile(file)
		during = string(text)
		return d == 15*time.Minute
	}
	if got, want := rotate(), "whsec_0000000000000002\n"; got != want || during != want+"whsec_0000000000000001\n" {
		t.Errorf("file %q, and meanwhile %q; want %q and both", got, during, want)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	_ = os.Remove(file)
	if got := rotate("--existing"); got != "whsec_0000000000000002\n" || h.vendor.made != 2 {
		t.Errorf("--existing: file %q after %d secrets", got, h.vendor.made)
	}
}

// challenged answers the vendor's question whether a URL is the customer's, and counts the questions.
func challenged(asked *int) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		*asked++
		w := httptest.NewRecorder()
		answer(w, 200, map[string]string{"challenge": req.URL.Query().Get("challenge")})
		return w.Result(), nil
	})
}

// TestWebhookQuota: on the simulator, 10,000 subscriptions take less than five minutes and meet no 429, and a second
// sync only lists.
func TestWebhookQuota(t *testing.T) {
	onVirtualTime(t, func(t *testing.T) {
		h, asked := newHookTest(t), 0
		sim := useSimulator(t, simulator.Config{Plan: "scale", Transport: challenged(&asked)}, 0)
		ids := make([]string, 10_000)
		for i := range ids {
			ids[i] = strconv.Itoa(1_000_000 + i)
		}
		h.writeIDs(ids...)
		requests := func(from int) (lists, creations, others, refused int) {
			for _, e := range sim.Bill().Entries[from:] {
				switch {
				case e.Status == http.StatusTooManyRequests:
					refused++
				case e.Path == "/api/subscriptions" && e.Method == http.MethodGet:
					lists++
				case e.Path == "/api/subscriptions":
					creations++
				case strings.HasPrefix(e.Path, "/api/subscriptions"):
					others++
				}
			}
			return lists, creations, others, refused
		}
		began := time.Now()
		r := h.sync(exitComplete, "--yes")
		lists, creations, others, refused := requests(0)
		if took := time.Since(began); r.Pending > 0 || lists != 1 || creations != 400 || others > 0 || refused > 0 || took > 5*time.Minute || asked == 0 {
			t.Errorf("%d lists, %d creations, %d others, %d refusals, %d challenges, %s; want 1, 400, none, none, some, at most 5m", lists, creations, others, refused, asked, took)
		}
		before := sim.Bill().Requests
		r = h.sync(exitComplete, "--yes")
		if lists, creations, others, refused := requests(before); r.Actions[subscriptions.Keep] != len(ids) || lists != 100 || creations+others+refused > 0 {
			t.Errorf("second sync: %v, %d lists, %d others, want 100 lists alone", r.Actions, lists, creations+others+refused)
		}
	})
}

// TestWebhookReplaced: many changes delete and create, block by block, and note what may be missing.
func TestWebhookReplaced(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	ids := make([]string, 230)
	for i := range ids {
		ids[i] = strconv.Itoa(1000 + i)
	}
	h.writeIDs(ids...)
	h.sync(exitComplete, "--yes")
	fewest := len(ids)
	h.vendor.odd = func(*http.Request) string {
		fewest = min(fewest, len(h.vendor.subs))
		return ""
	}
	r := h.sync(exitComplete, "--yes", "--signals", "growth")
	if !r.Replaces || r.Calls != 20 || r.Gaps != len(ids) || len(h.vendor.subs) != len(ids) || fewest < len(ids)-25 {
		t.Errorf("replaces %v in %d calls, %d gaps, %d subscriptions, never fewer than %d; want 20 calls and one block missing at most", r.Replaces, r.Calls, r.Gaps, len(h.vendor.subs), fewest)
	}
	if h.vendor.paths["PATCH /api/subscriptions"] > 0 {
		t.Error("subscriptions were changed one by one")
	}
}

// TestWebhookInterrupted: a sync that is stopped in the middle is finished by the same command.
func TestWebhookInterrupted(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	ids := make([]string, 90)
	for i := range ids {
		ids[i] = strconv.Itoa(1000 + i)
	}
	h.writeIDs(ids...)
	ctx, stop := context.WithCancel(t.Context())
	h.vendor.odd = func(req *http.Request) string {
		if h.vendor.paths["POST /api/subscriptions"] == 2 {
			stop()
		}
		return ""
	}
	var out, problems strings.Builder
	args := []string{"siglake", "webhooks", "sync", h.list, "--lake", h.lake, "--signals", "news", "--url", hookURL, "--yes"}
	if code := envFor(t).execute(ctx, args, nil, &out, &problems); code != exitDeferred || len(h.vendor.subs) != 50 {
		t.Fatalf("exit %d with %d subscriptions, want %d with 50: %s", code, len(h.vendor.subs), exitDeferred, problems.String())
	}
	h.vendor.odd = nil
	if r := h.sync(exitComplete, "--yes"); r.Actions[subscriptions.Keep] != 50 || r.Actions[subscriptions.Create] != 40 || len(h.vendor.subs) != 90 {
		t.Errorf("%+v, want 50 unchanged and 40 created", r.Actions)
	}
	if h.state().FindList("accounts").Synced.IsZero() {
		t.Error("the list does not count as synced")
	}
}

// eventDelivery is a delivery of an event of a company that costs so many credits.
func eventDelivery(n int, entity, received string, credits int) delivered {
	at, err := time.Parse(time.DateTime, received)
	if err != nil {
		panic(err)
	}
	id := fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
	return delivered{delivery: inbox.Delivery{ID: id, Kind: inbox.Event, Received: at, Stamp: "1", Body: fmt.Appendf(nil,
		`{"id":%q,"type":"ipoNews","entityType":"company","entityId":%q,"subscriptionId":"66aa","data":{"companyId":%q,"signalId":"s%d","signalDate":"2026-04-01"},"timestamp":"2026-04-02T08:15:30.120Z","billing":{"creditsCharged":%d}}`, id, entity, entity, n, credits)}}
}

// TestWebhookAudit: what the vendor has delivered and the lake does not have is an alarm, and is polled later.
func TestWebhookAudit(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	setNow(t, func() time.Time { return time.Date(2026, 4, 8, 12, 0, 0, 0, time.UTC) })
	h.writeIDs("101", "102", "103")
	h.sync(exitComplete, "--yes")
	ids := map[string]string{}
	for _, s := range h.vendor.subs {
		ids[s["entityId"].(string)] = s["id"].(string)
	}
	attempt := func(d delivered, entity, status, url string) {
		h.vendor.attempts = append(h.vendor.attempts, map[string]any{"id": "a", "subscriptionId": ids[entity], "payloadId": d.delivery.ID, "status": status, "statusCode": 201, "url": url, "deliveredAt": "2026-04-07T10:00:00.000Z"})
	}
	here, lost, other, gaveUp := eventDelivery(1, "101", "2026-04-07 10:00:00", 1), eventDelivery(2, "102", "2026-04-07 10:00:00", 1), eventDelivery(3, "9", "2026-04-07 10:00:00", 1), eventDelivery(4, "103", "2026-04-07 10:00:00", 1)
	receive(t, h.lake, here)
	attempt(here, "101", "failed", hookURL)
	attempt(here, "101", "success", hookURL)
	attempt(other, "", "success", "https://other.example/in")
	h.command(exitComplete, "audit")
	publish(t, h.lake)
	attempt(lost, "102", "success", hookURL)
	attempt(gaveUp, "103", "permanent_failure", hookURL)
	out := h.command(exitUndelivered, "audit")
	if !strings.Contains(out, lost.delivery.ID) || !strings.Contains(out, "102") || strings.Contains(out, other.delivery.ID) {
		t.Errorf("audit: %s, want the delivery that is missing", out)
	}
	gaps := h.state().Gaps
	if len(gaps) != 2 || gaps[0].EntityID != "102" || gaps[0].From != "2026-04-06" || gaps[1].EntityID != "103" {
		t.Errorf("gaps %+v, want those of 102 and 103 from 2026-04-06", gaps)
	}
	h.command(exitUndelivered, "audit") // no night has polled them yet
	if again := h.state().Gaps; !reflect.DeepEqual(again, gaps) {
		t.Errorf("a second audit notes %+v, want %+v", again, gaps)
	}
	h.poll(gaps)
	if out := h.command(exitComplete, "audit"); !strings.Contains(out, "did not deliver 2 more") || len(h.state().Gaps) > 0 {
		t.Errorf("after a night has polled them: %s, %d gaps; want both named as polled, and no gap", out, len(h.state().Gaps))
	}
	h.writeIDs("101", "103") // 102 has no subscription any more
	h.sync(exitComplete, "--yes")
	gone := eventDelivery(5, "102", "2026-04-07 10:00:00", 1)
	attempt(gone, "102", "success", hookURL)
	h.command(exitUndelivered, "audit")
	h.command(exitComplete, "audit") // nothing says whom it was about
}

// poll notes that a night has polled the entities of gaps.
func (h *hookTest) poll(gaps []subscriptions.Gap) {
	h.Helper()
	state := h.state()
	state.PollGaps(gaps, func(g subscriptions.Gap) []string { return state.Find(g.Object, g.EntityID).Signals() })
	if err := os.WriteFile(filepath.Join(h.lake, "_state", "webhooks.json"), state.Encode(), 0o600); err != nil {
		h.Fatal(err)
	}
}

// TestWebhookAuditOptOuts: a notice of an opt-out is no missing event, and one that did not reach the lake is an alarm,
// also one of a subscription that the vendor has no more.
func TestWebhookAuditOptOuts(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	setNow(t, func() time.Time { return time.Date(2026, 4, 8, 12, 0, 0, 0, time.UTC) })
	h.writeIDs("101")
	h.sync(exitComplete, "--yes")
	h.command(exitComplete, "opt-outs")
	orders := []string{h.vendor.subs[0]["id"].(string)}
	attempt := func(n, order int, status string) {
		h.vendor.attempts = append(h.vendor.attempts, map[string]any{"id": "a", "subscriptionId": orders[order], "payloadId": fmt.Sprintf("p%d", n), "status": status, "statusCode": 201, "url": hookURL, "deliveredAt": "2026-04-07T10:00:00.000Z"})
	}
	notice := func(n int) delivered {
		return delivered{delivery: inbox.Delivery{ID: fmt.Sprintf("opt-out-%d", n), Kind: inbox.OptOut, Received: time.Date(2026, 4, 7, 10, 0, 0, 0, time.UTC), Stamp: "1",
			Body: fmt.Appendf(nil, `{"contactId":"%d","contactOptOutDate":"2026-04-06 07:41:02"}`, n)}}
	}
	receive(t, h.lake, notice(1))
	attempt(1, 0, "success")
	h.command(exitComplete, "audit")
	publish(t, h.lake)
	out := h.command(exitComplete, "audit")
	if !strings.Contains(out, "1 notice of opt-outs, and 1 is there") || len(h.state().Gaps) > 0 {
		t.Errorf("audit: %s, gaps %+v; want a notice that is there, and no gap", out, h.state().Gaps)
	}
	h.vendor.subs = slices.DeleteFunc(h.vendor.subs, isOptOuts)
	h.command(exitComplete, "opt-outs")
	orders = append(orders, h.vendor.subs[0]["id"].(string))
	attempt(2, 1, "success")
	for range 2 { // nothing polls a notice
		if out := h.command(exitUndelivered, "audit"); !strings.Contains(out, "1 notice of opt-outs did not reach the lake") {
			t.Errorf("audit: %s, want an alarm", out)
		}
	}
	receive(t, h.lake, notice(2))
	h.command(exitComplete, "audit")
	attempt(3, 1, "permanent_failure")
	h.command(exitUndelivered, "audit")
	if len(h.state().Gaps) > 0 {
		t.Errorf("gaps %+v, want none", h.state().Gaps)
	}
}

// TestOptOutGaps: since when no notices of opt-outs were delivered stays known after they are ordered again, whichever
// command does that, until the vendor was asked.
func TestOptOutGaps(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	now := time.Date(2026, 4, 8, 12, 0, 0, 0, time.UTC)
	setNow(t, func() time.Time { return now })
	h.writeIDs("101")
	h.sync(exitComplete, "--yes")
	const missing, blocked = "no notices of opt-outs were delivered", "2026-04-07T09:05:00.000Z"
	everywhere := func(text string) {
		t.Helper()
		_, erased, warned := runProgram(t, "erase", "list", "--lake", h.lake, "--json")
		outs := map[string]string{"list": h.command(exitComplete, "list"), "audit": h.command(exitComplete, "audit"), "stats": h.command(exitComplete, "stats"), "erase list": erased + warned}
		for name, out := range outs {
			if text == "" && strings.Contains(out, missing) || !strings.Contains(out, text) {
				t.Errorf("%s: %s, want %q", name, out, text)
			}
		}
	}
	if out := h.command(exitComplete, "opt-outs"); strings.Contains(out, missing) {
		t.Errorf("first order: %s", out)
	}
	everywhere("")
	h.vendor.block(blocked, isOptOuts)
	if out := h.command(exitComplete, "list"); !strings.Contains(out, missing+" since 2026-04-07 09:05 UTC (Max retries exceeded)") {
		t.Errorf("list while it is blocked: %s", out)
	}
	h.vendor.odd = func(req *http.Request) string { // the change is made, and the answer lost
		if req.Method == http.MethodPatch {
			return "lose"
		}
		return ""
	}
	if code, _, _ := runProgram(t, "webhooks", "opt-outs", "--lake", h.lake); code == exitComplete {
		t.Error("the lost answer went unnoticed")
	}
	h.vendor.odd = nil
	now = now.Add(time.Hour)
	want := missing + " from 2026-04-07 09:05 UTC to 2026-04-08 12:00 UTC"
	if out := h.command(exitComplete, "opt-outs"); !strings.Contains(out, want) {
		t.Errorf("ordered again: %s, want %q", out, want)
	}
	everywhere(want)
	h.vendor.block("2026-04-08T12:30:00.000Z", isOptOuts)
	h.sync(exitComplete, "--yes")
	everywhere("2026-04-08 12:00 UTC (Max retries exceeded), from 2026-04-08 12:30 UTC to 2026-04-08 13:00 UTC")
	h.command(exitComplete, "opt-outs", "--asked")
	everywhere("")
	h.vendor.subs = slices.DeleteFunc(h.vendor.subs, isOptOuts)
	now = now.Add(time.Hour)
	if out := h.command(exitComplete, "list"); !strings.Contains(out, "since 2026-04-08 13:00 UTC (the vendor has the subscription no more)") || !strings.Contains(out, "orders them again") {
		t.Errorf("list without it: %s", out)
	}
	h.command(exitComplete, "opt-outs")
	everywhere("from 2026-04-08 13:00 UTC to 2026-04-08 14:00 UTC")
}

// TestWebhookCap: at the cap of a day deliveries are paused, and the next day they are resumed.
func TestWebhookCap(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	now := time.Date(2026, 4, 7, 12, 0, 0, 0, time.UTC)
	setNow(t, func() time.Time { return now })
	h.writeIDs("101", "102")
	h.sync(exitComplete, "--yes")
	receive(t, h.lake, eventDelivery(1, "101", "2026-04-06 23:00:00", 50), eventDelivery(2, "101", "2026-04-07 10:00:00", 4))
	if out := h.command(exitComplete, "cap", "--max-credits-per-day", "10"); strings.Contains(out, "WARN") {
		t.Errorf("at 4 of 10: %s", out)
	}
	publish(t, h.lake)
	receive(t, h.lake, eventDelivery(3, "102", "2026-04-07 11:00:00", 4))
	if out := h.command(exitComplete, "cap", "--max-credits-per-day", "10"); !strings.Contains(out, "80%") {
		t.Errorf("at 8 of 10: %s, want a warning", out)
	}
	h.wantEntities("101", "102")
	h.command(exitDeferred, "cap", "--max-credits-per-day", "8")
	h.wantEntities()
	if out := h.command(exitDeferred, "cap", "--max-credits-per-day", "8"); !strings.Contains(out, "with a higher --max-credits-per-day") {
		t.Errorf("at the cap: %s, want what ends the pause", out)
	}
	for name, out := range map[string]string{"stats": h.command(exitComplete, "stats"), "status": h.status()} {
		if !strings.Contains(out, "paused since 2026-04-07 12:00 UTC") {
			t.Errorf("%s: %s, want the pause", name, out)
		}
	}
	h.sync(exitComplete, "--yes")
	h.wantEntities()
	h.command(exitComplete, "cap", "--max-credits-per-day", "9")
	h.wantEntities("101", "102")
	h.command(exitDeferred, "cap", "--max-credits-per-day", "8")
	h.wantEntities()
	now = now.AddDate(0, 0, 1)
	h.command(exitComplete, "cap", "--max-credits-per-day", "8")
	h.wantEntities("101", "102")
	h.command(exitComplete, "pause")
	now = now.AddDate(0, 0, 1)
	h.command(exitDeferred, "cap", "--max-credits-per-day", "8")
	h.wantEntities()
}

// hostTransport sends the requests to one host over the network, and the others where they went.
type hostTransport struct {
	host string
	next http.RoundTripper
}

func (h hostTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == h.host {
		return http.DefaultTransport.RoundTrip(req)
	}
	return h.next.RoundTrip(req)
}

// TestWebhookCapNotifies: a job that watches the cap warns once a day, says once that deliveries are paused, and keeps
// a monitor's pings coming.
func TestWebhookCapNotifies(t *testing.T) {
	t.Parallel()
	h, heard := newHookTest(t), newHook(t)
	envFor(t).Transport = hostTransport{strings.TrimPrefix(heard.URL, "http://"), envFor(t).Transport}
	now := time.Date(2026, 4, 7, 12, 0, 0, 0, time.UTC)
	setNow(t, func() time.Time { return now })
	h.writeIDs("101", "102")
	h.sync(exitComplete, "--yes")
	config := writeJobFile(t, strings.NewReplacer("LAKE", h.lake, "HOOK", heard.URL).Replace(`version: 1
jobs:
  cap:
    command: webhooks cap
    lake: LAKE
    max-credits-per-day: 10
    notify:
    - {url: "HOOK/hc", on: [success, failure, warning]}
    - {url: "HOOK/chat", on: [failure, warning], format: slack}
`), nil)
	if code, stdout, stderr := runProgram(t, "config", "check", "--config", config); code != exitComplete {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	deliver := func(n, credits int) {
		receive(t, h.lake, eventDelivery(n, "101", now.Add(-time.Hour).Format(time.DateTime), credits))
	}
	for i, step := range []struct {
		credits, days, exit int
		posted              []string
	}{
		{3, 0, exitComplete, []string{"/hc"}},
		{5, 0, exitComplete, []string{"/hc/log", "/chat", "/hc"}},
		{1, 0, exitComplete, []string{"/hc"}},
		{1, 0, exitDeferred, []string{"/hc/20", "/chat"}},
		{0, 0, exitDeferred, []string{"/hc/20"}},
		{9, 1, exitComplete, []string{"/hc/log", "/chat", "/hc"}},
	} {
		now = now.AddDate(0, 0, step.days)
		if step.credits > 0 {
			deliver(i, step.credits)
		}
		code, _, stderr := runProgram(t, "job", "cap", "--config", config)
		var got []string
		for _, p := range heard.take() {
			got = append(got, p.path)
		}
		if code != step.exit || !slices.Equal(got, step.posted) {
			t.Errorf("step %d: exit %d, posted to %q, want %d and %q: %s", i+1, code, got, step.exit, step.posted, stderr)
		}
	}
}

// TestWebhooksOfRebuiltLake: a rebuilt lake has the webhooks of the original.
func TestWebhooksOfRebuiltLake(t *testing.T) {
	t.Parallel()
	h := newHookTest(t)
	h.writeIDs("101", "102")
	h.sync(exitComplete, "--yes")
	receive(t, h.lake, eventDelivery(1, "101", "2026-04-07 10:00:00", 1))
	publish(t, h.lake)
	into := filepath.Join(t.TempDir(), "rebuilt")
	if code, _, stderr := runProgram(t, "rebuild", "--lake", h.lake, "--into", into); code != exitComplete {
		t.Fatalf("rebuild: exit %d: %s", code, stderr)
	}
	h.lake = into
	if r := h.sync(exitComplete, "--yes"); r.Actions[subscriptions.Keep] != 2 || r.Calls != 0 {
		t.Errorf("%+v, want both kept", r.Actions)
	}
	if code, _, stderr := runProgram(t, "verify", "--lake", h.lake); code != exitComplete {
		t.Errorf("verify: exit %d: %s", code, stderr)
	}
}

// TestWebhooksOnS3: the webhooks of a lake in a bucket are the same from any machine, and are changed by one at a time.
func TestWebhooksOnS3(t *testing.T) {
	store := buckettest.Start(t)
	h := newHookTest(t)
	h.lake = store.URI("lakes/hooks")
	access := s3LakeFlags(t, store)
	h.writeIDs("101", "102")
	h.sync(exitComplete, append(access, "--yes")...)
	h.writeIDs("102", "103")
	if r := h.sync(exitComplete, append(access, "--yes")...); r.Actions[subscriptions.Keep] != 1 || r.Actions[subscriptions.Create] != 1 || r.Actions[subscriptions.Delete] != 1 {
		t.Errorf("%+v", r.Actions)
	}
	h.wantEntities("102", "103")
	b := openTestBucket(t, store, h.lake)
	held, err := lease.Acquire(t.Context(), b, "_state/webhooks/lock.json", "another", lease.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.sync(exitLocked, append(access, "--yes")...)
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	h.sync(exitComplete, append(access, "--yes")...)
}
