package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// noon is the fixed time of most tests: a Friday.
var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// rig makes a server without quotas at noon, unless the config says otherwise.
func rig(t testing.TB, c Config) *Server {
	t.Helper()
	if c.Now == nil {
		c.Now = func() time.Time { return noon }
	}
	if c.Plan == "" {
		c.Plan = "unlimited"
	}
	s, err := New(c)
	if err != nil {
		t.Fatalf("New(%+v): %v", c, err)
	}
	return s
}

func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("api_key", "key-1")
	r.Header.Set("User-Agent", "siglake-test/1")
	r.Header.Set("Content-Type", "application/json")
	return r
}

func do(s *Server, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func post(s *Server, path, body string) *httptest.ResponseRecorder {
	return do(s, request(http.MethodPost, path, body))
}

func get(s *Server, path string) *httptest.ResponseRecorder {
	return do(s, request(http.MethodGet, path, ""))
}

const (
	contactIDs      = "/api/signals/contacts"
	contactSearch   = "/api/signals/contacts/search"
	companyIDs      = "/api/signals/companies"
	companySearch   = "/api/signals/companies/search"
	companyOptions  = "/api/signals/filters/company"
	contactOptions  = "/api/signals/filters/contact"
	accountUsage    = "/v3/account/usage"
	accountUsageOld = "/account/usage"
)

// answerV2 is a decoded answer. Entries are kept raw, since the tests check their form.
type answerV2 struct {
	Companies map[string]map[string]json.RawMessage
	Contacts  map[string]map[string]json.RawMessage
	StartDate string
	EndDate   string
	Charge    *int64 `json:"creditCharged"`
}

func (a answerV2) entries() map[string]map[string]json.RawMessage {
	if a.Contacts != nil {
		return a.Contacts
	}
	return a.Companies
}

// events reads the list of one type, and fails the test unless it is one.
func (a answerV2) events(t testing.TB, ref, key string) []map[string]any {
	t.Helper()
	var list []map[string]any
	dec := json.NewDecoder(bytes.NewReader(a.entries()[ref][key]))
	dec.UseNumber()
	if err := dec.Decode(&list); err != nil {
		t.Fatalf("entry %q, type %s = %s, want a list of objects: %v", ref, key, a.entries()[ref][key], err)
	}
	return list
}

func postV2(t testing.TB, s *Server, path, body string) answerV2 {
	t.Helper()
	w := post(s, path, body)
	if w.Code/100 != 2 {
		t.Fatalf("POST %s %s = %d %s, want 2xx", path, body, w.Code, w.Body)
	}
	var a answerV2
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("POST %s = %s, want JSON: %v", path, w.Body, err)
	}
	return a
}

// companiesV2 returns the items of a search for n companies.
func companiesV2(prefix string, n int) string {
	b := []byte(`"companies":[`)
	for i := range n {
		b = fmt.Appendf(appendComma(b), `{"id":"%s%d","domain":"%s%d.example"}`, prefix, i, prefix, i)
	}
	return string(append(b, ']'))
}

func TestRefusedAtTheGate(t *testing.T) {
	body := `{"companyIds":[1],"signals":["riskNews"]}`
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
		want   string
	}{
		{"no key", func(r *http.Request) { r.Header.Del("api_key") }, 401, `{"statusCode":401,"error":"invalid_request"}`},
		{"empty key", func(r *http.Request) { r.Header.Set("api_key", "") }, 401, `{"statusCode":401,"error":"invalid_request"}`},
		{"unknown key", func(r *http.Request) { r.Header.Set("api_key", "other") }, 401, `{"statusCode":401,"error":"invalid_request"}`},
		{"two keys", func(r *http.Request) { r.Header.Add("api_key", "key-1") }, 401, `{"statusCode":401,"error":"invalid_request"}`},
		{"bearer", func(r *http.Request) {
			r.Header.Del("api_key")
			r.Header.Set("Authorization", "Bearer key-1")
		}, 401, `{"statusCode":401,"error":"invalid_request"}`},
		{"x-api-key", func(r *http.Request) {
			r.Header.Del("api_key")
			r.Header.Set("x-api-key", "key-1")
		}, 401, `{"statusCode":401,"error":"invalid_request"}`},
		{"no agent", func(r *http.Request) { r.Header.Set("User-Agent", "") }, 403, `"statusCode":403`},
		{"default agent", func(r *http.Request) { r.Header.Set("User-Agent", "Go-http-client/1.1") }, 403, `"statusCode":403`},
		{"another default agent", func(r *http.Request) { r.Header.Set("User-Agent", "python-requests/2.32") }, 403, `"statusCode":403`},
		{"wrong method", func(r *http.Request) { r.Method = http.MethodPut }, 405, `"statusCode":405`},
		{"get", func(r *http.Request) { r.Method = http.MethodGet }, 405, `"statusCode":405`},
		{"unknown route", func(r *http.Request) { r.URL.Path = "/v2/signals" }, 404, `"request_id":"`},
		{"trailing slash", func(r *http.Request) { r.URL.Path += "/" }, 404, `"request_id":"`},
		{"unknown options", func(r *http.Request) { r.URL.Path = "/api/signals/filters/contacts" }, 404, `"request_id":"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := rig(t, Config{Keys: []string{"key-1"}})
			r := request(http.MethodPost, companyIDs, body)
			tt.change(r)
			w := do(s, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("ServeHTTP = %d %s, want %d %s", w.Code, w.Body, tt.status, tt.want)
			}
			if len(w.Header().Values("x-rate-limit-minute")) != 1 {
				t.Errorf("ServeHTTP headers = %v, want x-rate-limit-minute", w.Header())
			}
			b := s.Bill()
			if b.Credits != 0 || b.Requests != 1 || b.Entries[0].Status != tt.status {
				t.Errorf("Bill() = %+v, want one free request with status %d", b, tt.status)
			}
		})
	}
}

func TestBearerBySwitch(t *testing.T) {
	s := rig(t, Config{Keys: []string{"key-1"}, Switches: Switches{Bearer: "accept"}})
	r := request(http.MethodPost, companyIDs, `{"companyIds":[1],"signals":["riskNews"]}`)
	r.Header.Del("api_key")
	r.Header.Set("Authorization", "Bearer key-1")
	if w := do(s, r); w.Code != 200 {
		t.Errorf("ServeHTTP(bearer) = %d %s, want 200", w.Code, w.Body)
	}
}

func TestOptions(t *testing.T) {
	type options struct {
		ObjectType    string
		Signals       []string
		FilterOptions *struct {
			NewsEventTypes      []string
			HiringByDepartments []string
			HiringByLocations   []struct{ Country, State string }
		}
	}
	read := func(s *Server, path string) (o options) {
		w := get(s, path)
		if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil || w.Code != 200 {
			t.Fatalf("GET %s = %d %s: %v", path, w.Code, w.Body, err)
		}
		return o
	}
	s := rig(t, Config{})
	if o := read(s, contactOptions); o.FilterOptions != nil || !cmp.Equal(o.Signals, []string{"allSignals", "companyChange", "promotion"}) {
		t.Errorf("options(contact) = %+v", o)
	}
	o := read(s, companyOptions)
	if o.ObjectType != "company" || len(o.Signals) != 23 || slices.Contains(o.Signals, "newJobPost") {
		t.Errorf("options(company).signals = %v, want allSignals and 22 keys", o.Signals)
	}
	f := o.FilterOptions
	if f == nil || len(f.NewsEventTypes) != 26 || len(f.HiringByDepartments) != 16 || len(f.HiringByLocations) == 0 {
		t.Errorf("options(company).filterOptions = %+v, want 26 event types, 16 departments, some places", f)
	}
	if o := read(rig(t, Config{Switches: Switches{Announced: "serve"}}), companyOptions); len(o.Signals) != 28 {
		t.Errorf("options(company) with announced keys = %v, want 28", o.Signals)
	}
	if c := s.Bill().Credits; c != 0 {
		t.Errorf("Bill().Credits after options = %d, want 0", c)
	}
}

func TestUsageMatchesLedger(t *testing.T) {
	s := rig(t, Config{Plan: "premium", Credits: 5000})
	spent := *postV2(t, s, companySearch, `{`+companiesV2("u", 60)+`,"signals":["allSignals"]}`).Charge
	if spent == 0 {
		t.Fatal("the answer cost nothing")
	}
	var u struct {
		Credits    struct{ Total, Used, Remaining int64 }
		RateLimits map[string]*struct {
			Limit, Used, Remaining int64
			ResetsAt               time.Time
		}
		Plan    struct{ Category string }
		Pricing map[string]struct{ Credits, PerQuantity int64 }
	}
	w := get(s, accountUsage)
	if err := json.Unmarshal(w.Body.Bytes(), &u); err != nil {
		t.Fatalf("GET usage = %s: %v", w.Body, err)
	}
	if u.Credits.Total != 5000 || u.Credits.Used != spent || u.Credits.Remaining != 5000-spent {
		t.Errorf("usage.credits = %+v, want 5000, %d, %d", u.Credits, spent, 5000-spent)
	}
	if h := u.RateLimits["hourly"]; h == nil || h.Limit != 1800 || h.Used != 2 || !h.ResetsAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("usage.rateLimits.hourly = %+v, want 1800, 2 used, reset at %v", h, noon.Add(time.Hour))
	}
	if p := u.Pricing["showSignalsCompany"]; u.Plan.Category != "premium" || p.Credits != 1 || p.PerQuantity != 1 {
		t.Errorf("usage = %+v", u)
	}
	var old struct {
		Usage struct {
			Credits struct{ Total, Used, Remaining int64 }
		}
	}
	w = get(s, accountUsageOld)
	if err := json.Unmarshal(w.Body.Bytes(), &old); err != nil || old.Usage.Credits.Used != spent {
		t.Errorf("GET older usage = %s, want %d used (%v)", w.Body, spent, err)
	}
}

func TestAdminBill(t *testing.T) {
	s := rig(t, Config{})
	postV2(t, s, companySearch, `{`+companiesV2("b", 30)+`,"signals":["allSignals"]}`)
	for query, entries := range map[string]int{"": 1, "?entries=0": 0} {
		w := do(s, httptest.NewRequest(http.MethodGet, "/_simulator/bill"+query, nil))
		var b Bill
		if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil {
			t.Fatalf("GET bill%s = %s: %v", query, w.Body, err)
		}
		want := s.Bill()
		if entries == 0 {
			want.Entries = nil
		}
		if diff := cmp.Diff(want, b); diff != "" || want.Credits == 0 || want.Requests != 1 {
			t.Errorf("GET bill%s differs from Bill() (-want +got):\n%s", query, diff)
		}
	}
	if w := do(s, httptest.NewRequest(http.MethodPost, "/_simulator/bill", nil)); w.Code != 405 {
		t.Errorf("POST bill = %d, want 405", w.Code)
	}
	if w := do(s, httptest.NewRequest(http.MethodGet, "/_simulator/other", nil)); w.Code != 404 {
		t.Errorf("GET other = %d, want 404", w.Code)
	}
}

func TestCharge(t *testing.T) {
	body := `{` + companiesV2("c", 100) + `,"signals":["allSignals"],"startDate":"2026-01-01"}`
	count := func(a answerV2) (events, types, requested int64) {
		for ref, entry := range a.Companies {
			for key := range entry {
				if signalByKey(key) == nil {
					continue
				}
				n := int64(len(a.events(t, ref, key)))
				requested++ // a type without events is an empty list
				events += n
				types += min(n, 1)
			}
		}
		return events, types, requested
	}
	for mode, want := range map[string]func(events, types, requested int64) int64{
		"per_event":     func(events, _, _ int64) int64 { return events },
		"min1":          func(events, _, _ int64) int64 { return events },
		"per_type":      func(_, types, _ int64) int64 { return types },
		"per_type_min1": func(_, types, _ int64) int64 { return types },
		"requested":     func(_, _, requested int64) int64 { return requested },
	} {
		s := rig(t, Config{Switches: Switches{Billing: mode}})
		a := postV2(t, s, companySearch, body)
		events, types, requested := count(a)
		b := s.Bill()
		if w := want(events, types, requested); *a.Charge != w || b.Credits != w || events == types || types == requested {
			t.Errorf("billing %s: charge = %d, bill = %d, want %d of %d events and %d types", mode, *a.Charge, b.Credits, w, events, types)
		}
		sum := int64(0)
		for _, n := range b.ByType {
			sum += n
		}
		if sum != b.Credits || b.ByEndpoint[companySearch] != b.Credits || b.Billed != 1 || b.Delivered != b.Credits {
			t.Errorf("billing %s: Bill() = %+v does not add up", mode, b)
		}
	}
}

func TestEmptyAnswerCharge(t *testing.T) {
	for mode, want := range map[string]int64{"per_event": 0, "min1": 1, "per_type": 0, "per_type_min1": 1, "requested": 1} {
		s := rig(t, Config{Switches: Switches{Billing: mode}})
		a := postV2(t, s, companyIDs, `{"companyIds":[5],"signals":["riskNews"],"startDate":"2026-05-01"}`)
		if *a.Charge != want || s.Bill().Credits != want {
			t.Errorf("billing %s: charge = %d, bill = %d, want %d", mode, *a.Charge, s.Bill().Credits, want)
		}
	}
}

func TestPoolIsNeverOverdrawn(t *testing.T) {
	s := rig(t, Config{Credits: 500})
	var charged, refused int64
	for i := range 40 {
		w := post(s, companySearch, `{`+companiesV2(fmt.Sprintf("p%d-", i), 20)+`,"signals":["allSignals"]}`)
		switch w.Code {
		case 200:
			var a answerV2
			if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
				t.Fatal(err)
			}
			charged += *a.Charge
		case 402:
			refused++
			if !strings.Contains(w.Body.String(), `"statusCode":402`) {
				t.Errorf("402 body = %s", w.Body)
			}
		default:
			t.Fatalf("status %d", w.Code)
		}
	}
	b := s.Bill()
	if b.Credits != charged || b.Remaining != 500-charged || b.Remaining < 0 || refused == 0 {
		t.Errorf("Bill() = %d credits, %d left; want %d and %d, after some refusals (%d)", b.Credits, b.Remaining, charged, 500-charged, refused)
	}
	empty := rig(t, Config{Credits: -1})
	if w := post(empty, companyIDs, `{"companyIds":[5],"signals":["riskNews"],"startDate":"2026-05-01"}`); w.Code != 402 {
		t.Errorf("free answer from an empty pool = %d, want 402", w.Code)
	}
}

func TestRefuseRejectsWholeBatch(t *testing.T) {
	s := rig(t, Config{Refuse: map[string]int{
		"Bad-Firm.example": 451, "Ada Sample": 412, "ada@x.example": 400, "https://www.linkedin.com/in/Ada": 422, "77": 451, "Harbor Quill": 400,
	}})
	tests := []struct {
		path, items string
		want        int
	}{
		{companySearch, `"companies":[{"id":"a","domain":"fine.example"},{"id":"b","domain":"www.BAD-firm.example"}]`, 451},
		{companySearch, `"companies":[{"id":"bad-firm.example","domain":"fine.example"}]`, 200},
		{companySearch, `"companies":[{"id":"a","name":"harbor quill"}]`, 400},
		{companyIDs, `"companyIds":[76,77]`, 451},
		{contactIDs, `"contactIds":[77]`, 451},
		{contactSearch, `"contacts":[{"id":"a","full_name":"ADA SAMPLE","companies":[{"name":"x"}]}]`, 412},
		{contactSearch, `"contacts":[{"id":"a","email":"Ada@X.example"}]`, 400},
		{contactSearch, `"contacts":[{"id":"a","social_link":"https://www.linkedin.com/in/ada"}]`, 422},
	}
	for _, tt := range tests {
		w := post(s, tt.path, `{`+tt.items+`,"signals":["allSignals"]}`)
		if w.Code != tt.want {
			t.Errorf("POST %s %s = %d %s, want %d", tt.path, tt.items, w.Code, w.Body, tt.want)
		}
		if tt.want != 200 {
			for _, word := range []string{"bad", "BAD", "Ada", "ADA", "77", "quill", "companies.", "contacts."} {
				if strings.Contains(w.Body.String(), word) {
					t.Errorf("refusal %s names the item (%q)", w.Body, word)
				}
			}
		}
	}
	if b := s.Bill(); b.Billed > 1 {
		t.Errorf("Bill().Billed = %d, want the one good request at most", b.Billed)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, c := range map[string]Config{
		"scale, free, pro":        {Plan: "gold"},
		"0 for 25":                {Burst: -2},
		"-1 for none left":        {Credits: -5},
		"0 or more":               {Latency: -1},
		"empty key":               {Keys: []string{""}},
		"400, 412, 422 or 451":    {Refuse: map[string]int{"x": 500}},
		"empty identifier":        {Refuse: map[string]int{" ": 451}},
		"drop-after-charge":       {Faults: []Fault{{Kind: "nope", At: 1}}},
		"exactly one of":          {Faults: []Fault{{Kind: "slow", At: 1, Every: 2}}},
		"above 0 and up to 1":     {Faults: []Fault{{Kind: "slow", Rate: 5}}},
		"cannot be negative":      {Faults: []Fault{{Kind: "slow", At: -1}}},
		"per_event, per_type":     {Switches: Switches{Billing: "free"}},
		"creditCharged, creditsC": {Switches: Switches{ChargeField: "x"}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) = %v, want an error saying %q", c, err, want)
		}
	}
}

func TestLogSeesEveryRequestOnce(t *testing.T) {
	var seen []Entry
	s := rig(t, Config{Log: func(e Entry) { seen = append(seen, e) }, Faults: []Fault{{Kind: "503-refused", At: 1}}})
	post(s, companyIDs, `{"companyIds":[1,2],"signals":["riskNews"]}`)
	post(s, companyIDs, `{"companyIds":[1,2],"signals":["riskNews"]}`)
	get(s, "/nowhere")
	if diff := cmp.Diff(s.Bill().Entries, seen); diff != "" || len(seen) != 3 {
		t.Errorf("logged entries differ from the bill (-bill +log):\n%s", diff)
	}
	if e := seen[0]; e.Fault != "503-refused" || e.Entities != 2 || !cmp.Equal(e.Types, []string{"riskNews"}) {
		t.Errorf("first entry = %+v", e)
	}
}

// TestImportsNothingOfItsModule keeps the simulator independent of the client it judges.
func TestImportsNothingOfItsModule(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			outside := strings.Contains(strings.Split(path, "/")[0], ".")
			if path == "github.com/siglake/siglake/internal/simulator" && f.Name() == "example_test.go" {
				// The example uses the package from outside.
				continue
			}
			if path == "github.com/siglake/siglake/internal/proof" && f.Name() == "main_test.go" {
				continue // chooses tests, and knows nothing of the client
			}
			if strings.HasPrefix(path, "github.com/siglake/") || outside && !strings.HasSuffix(f.Name(), "_test.go") {
				t.Errorf("%s imports %s; the simulator stands on the standard library alone", f.Name(), path)
			}
		}
	}
}

func TestRealConnection(t *testing.T) {
	s := rig(t, Config{})
	srv := httptest.NewServer(s)
	defer srv.Close()
	r, err := http.NewRequest(http.MethodPost, srv.URL+companySearch, strings.NewReader(`{`+companiesV2("r", 100)+`,"signals":["allSignals"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = request("POST", "/", "").Header
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || int64(len(body)) != resp.ContentLength {
		t.Errorf("body = %d bytes of %d, %v", len(body), resp.ContentLength, err)
	}
	// No waiting: a client that holds the whole answer finds it delivered on the bill.
	if b := s.Bill(); b.Delivered == 0 || b.Undelivered != 0 {
		t.Errorf("Bill() = %d delivered, %d not; want all delivered", b.Delivered, b.Undelivered)
	}
	for _, name := range slices.Concat(rateHeaders.minute[:], rateHeaders.hour[:], rateHeaders.day[:]) {
		if len(resp.Header[name]) != 1 {
			t.Errorf("headers = %v, want one %s", slices.Collect(maps.Keys(resp.Header)), name)
		}
	}
}
