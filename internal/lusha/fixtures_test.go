package lusha

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

var update = flag.Bool("update", false, "rewrite testdata/api/*.want")

// fixture is one exchange of testdata/api.
type fixture struct {
	Name, Doc string
	Request   struct {
		Method, Path string
		Body         json.RawMessage
	}
	Query    pipeline.Query // what the request does not show: filters that are applied here
	Response struct {
		Status  int
		Headers map[string]string
		Body    json.RawMessage
		Text    string
	}
}

func (f *fixture) answer() []byte {
	if f.Response.Body != nil {
		return f.Response.Body
	}
	return []byte(f.Response.Text)
}

func fixtures(t testing.TB) []fixture {
	t.Helper()
	files, err := filepath.Glob("../../testdata/api/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob() = %v, %v, want fixtures", files, err)
	}
	var out []fixture
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f fixture
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, f)
	}
	return out
}

// batch rebuilds the batch that a fixture's request is about.
func (f *fixture) batch(t testing.TB) *pipeline.Batch {
	t.Helper()
	if strings.HasPrefix(f.Request.Path, "/v3/") {
		return f.batchV3(t)
	}
	var r struct {
		CompanyIDs []json.Number `json:"companyIds"`
		ContactIDs []json.Number `json:"contactIds"`
		Companies  []struct{ ID, Domain, Name string }
		Contacts   []struct {
			ID        string
			LinkedIn  string `json:"social_link"`
			Email     string
			FullName  string `json:"full_name"`
			Companies []struct{ Name, Domain string }
		}
		Signals             []string
		StartDate           string
		MaxResultsPerSignal int
		Filters             struct {
			Include struct {
				NewsEventTypes     []string
				HiringByDepartment []string            `json:"hiringByDepartments"`
				HiringByLocations  []pipeline.Location `json:"hiringByLocations"`
			}
		}
	}
	if err := json.Unmarshal(f.Request.Body, &r); err != nil {
		t.Fatalf("%s: request: %v", f.Name, err)
	}
	b := &pipeline.Batch{ID: "000001", Query: &pipeline.Query{
		Object: schema.Company, Since: r.StartDate, Ask: pipeline.SignalsAsk{Types: r.Signals, MaxResults: r.MaxResultsPerSignal, Filters: pipeline.Filters{
			NewsEventTypes: r.Filters.Include.NewsEventTypes, HiringDepartments: r.Filters.Include.HiringByDepartment,
			HiringLocations: r.Filters.Include.HiringByLocations,
		}},
	}}
	if len(r.ContactIDs)+len(r.Contacts) > 0 {
		b.Query.Object = schema.Contact
	}
	add := func(ref string, a schema.Account) {
		a.Object = b.Query.Object
		b.Items = append(b.Items, pipeline.Item{Ref: ref, Account: a})
	}
	for i, id := range append(r.CompanyIDs, r.ContactIDs...) {
		b.ByID = true
		add(fmt.Sprintf("r%d", i), schema.Account{ID: id.String()})
	}
	for _, c := range r.Companies {
		add(c.ID, schema.Account{Domain: c.Domain, Name: c.Name})
	}
	for _, c := range r.Contacts {
		a := schema.Account{LinkedIn: c.LinkedIn, Email: c.Email, Name: c.FullName}
		if len(c.Companies) > 0 {
			a.CompanyName, a.CompanyDomain = c.Companies[0].Name, c.Companies[0].Domain
		}
		add(c.ID, a)
	}
	return b
}

// batchV3 does so for V3.
func (f *fixture) batchV3(t testing.TB) *pipeline.Batch {
	t.Helper()
	type lookup struct {
		Ref           string `json:"clientReferenceId"`
		ID            string
		LinkedIn      string `json:"linkedinUrl"`
		Email         string
		FirstName     string
		LastName      string
		CompanyName   string
		CompanyDomain string
		Domain        string
		Name          string
	}
	type lists struct {
		IDs          []string
		Domains      []string
		LinkedInURLs []string
		Emails       []string
		Contacts     []lookup
	}
	var r struct {
		IDs                 []string
		SignalTypes         []string
		StartDate, EndDate  string
		MaxResultsPerSignal int
		Filters             struct {
			Include struct {
				NewsEventTypes      []string
				HiringByDepartments []string
				HiringByLocations   []pipeline.Location
				IntentCategories    []string
			}
		}
		Contacts, Companies []lookup
		Seeds, Exclude      lists
		Limit               int
		DedupeSessionID     string
		Domains             []string
		Pagination          struct {
			Page int64
			Size int
		}
	}
	if err := json.Unmarshal(f.Request.Body, &r); err != nil {
		t.Fatalf("%s: request: %v", f.Name, err)
	}
	q := f.Query
	q.APIVersion, q.Object, q.Since, q.Until = pipeline.V3, schema.Company, r.StartDate, r.EndDate
	if strings.HasPrefix(f.Request.Path, "/v3/contacts/") {
		q.Object = schema.Contact
	}
	b := &pipeline.Batch{ID: "000001", Query: &q}
	account := func(l lookup) schema.Account {
		return schema.Account{
			Object: q.Object, Key: l.Ref, ID: l.ID, LinkedIn: l.LinkedIn, Email: l.Email, Domain: l.Domain, CompanyName: l.CompanyName, CompanyDomain: l.CompanyDomain,
			Name: strings.TrimSpace(l.Name + l.FirstName + " " + l.LastName),
		}
	}
	seeds := func(l lists) (out []schema.Account) {
		for _, v := range l.IDs {
			out = append(out, account(lookup{ID: v}))
		}
		for _, v := range l.Domains {
			out = append(out, account(lookup{Domain: v}))
		}
		for _, v := range l.LinkedInURLs {
			out = append(out, account(lookup{LinkedIn: v}))
		}
		for _, v := range l.Emails {
			out = append(out, account(lookup{Email: v}))
		}
		for _, v := range l.Contacts {
			out = append(out, account(v))
		}
		return out
	}
	path := f.Request.Path
	switch path[strings.LastIndexByte(path, '/'):] {
	case "/signals":
		ask, _ := q.Ask.(pipeline.SignalsAsk)
		ask.Types, ask.MaxResults = r.SignalTypes, r.MaxResultsPerSignal
		sent := r.Filters.Include
		ask.IntentCategories = sent.IntentCategories
		if len(sent.NewsEventTypes)+len(sent.HiringByDepartments)+len(sent.HiringByLocations) > 0 {
			ask.SendFilters = true
			ask.NewsEventTypes, ask.HiringDepartments, ask.HiringLocations = sent.NewsEventTypes, sent.HiringByDepartments, sent.HiringByLocations
		}
		q.Ask = ask
		for i, id := range r.IDs {
			b.Items = append(b.Items, pipeline.Item{Ref: fmt.Sprintf("r%d", i), Account: account(lookup{ID: id})})
		}
	case "/search", "/signal-score":
		q.Ask = pipeline.SearchAsk{}
		if strings.HasSuffix(path, "score") {
			q.Ask = pipeline.ScoreAsk{}
		}
		for _, l := range append(r.Contacts, r.Companies...) {
			b.Items = append(b.Items, pipeline.Item{Ref: l.Ref, Account: account(l)})
		}
	case "/lookalike":
		q.Ask = pipeline.LookalikeAsk{Seeds: seeds(r.Seeds), Exclude: seeds(r.Exclude), PageSize: r.Limit}
		b.Items = []pipeline.Item{{Ref: "page", Page: &pipeline.Page{Number: 1, Limit: r.Limit, Session: r.DedupeSessionID}}}
	case "/website-visits":
		q.Ask = pipeline.VisitsAsk{Sites: r.Domains, PageSize: r.Pagination.Size}
		b.Items = []pipeline.Item{{Ref: "page", Page: &pipeline.Page{
			Number: r.Pagination.Page, Offset: (r.Pagination.Page - 1) * int64(r.Pagination.Size), Limit: r.Pagination.Size,
		}}}
	default:
		t.Fatalf("%s: no service at %s", f.Name, path)
	}
	return b
}

// TestFixtures sends every fixture's request to a server that gives its
// answer, checks the request, and compares what is decoded with a golden.
func TestFixtures(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.Name, func(t *testing.T) {
			var met *http.Request
			var body bytes.Buffer
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if met != nil && r.URL.Path != f.Request.Path {
					w.WriteHeader(http.StatusNotFound) // what else is asked for is not there
					io.WriteString(w, `{"statusCode":404,"message":"nothing is listed here"}`)
					return
				}
				met = r
				body.ReadFrom(r.Body)
				for name, value := range f.Response.Headers {
					w.Header().Set(name, value)
				}
				w.WriteHeader(f.Response.Status)
				w.Write(f.answer())
			}))
			defer srv.Close()
			c := testClient(t, srv.URL)
			var got string
			if f.Request.Method == "GET" {
				got = describeFree(t, c, &f)
			} else {
				b := f.batch(t)
				reply, err := Decode(c).Fetch(t.Context(), b)
				if err != nil || len(reply.Calls) != 1 {
					t.Fatalf("Fetch(%s) = %d calls, %v, want 1, nil", f.Name, len(reply.Calls), err)
				}
				var want bytes.Buffer
				json.Compact(&want, f.Request.Body)
				if diff := cmp.Diff(want.String(), body.String()); diff != "" {
					t.Errorf("request body (-want +got):\n%s", diff)
				}
				got = describeReply(b, reply, met)
			}
			if met.Method != f.Request.Method || met.URL.Path != f.Request.Path {
				t.Errorf("request = %s %s, want %s %s", met.Method, met.URL.Path, f.Request.Method, f.Request.Path)
			}
			got = "# " + f.Doc + "\n" + got
			golden := filepath.Join("../../testdata/api", f.Name+".want")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// describeFree decodes the answers of the free endpoints.
func describeFree(t *testing.T, c *Client, f *fixture) string {
	t.Helper()
	if object, ok := strings.CutPrefix(f.Request.Path, "/api/signals/filters/"); ok {
		o, err := c.FetchOptions(t.Context(), schema.Object(object))
		if err != nil {
			t.Fatalf("Options(%s) = %v, want nil", object, err)
		}
		return fmt.Sprintf("signals: %s\nnews: %s\ndepartments: %s\nlocations: %v\n",
			strings.Join(o.Signals, ", "), strings.Join(o.NewsEventTypes, ", "), strings.Join(o.Departments, ", "), o.Locations)
	}
	if strings.HasPrefix(f.Request.Path, "/v3/") && strings.HasSuffix(f.Request.Path, "/types") {
		object := schema.Contact
		if strings.Contains(f.Request.Path, "/companies/") {
			object = schema.Company
		}
		o, err := c.FetchOptionsV3(t.Context(), object)
		if err != nil {
			t.Fatalf("OptionsV3(%s) = %v, want nil", object, err)
		}
		return fmt.Sprintf("signals: %s\nnews: %s\ndepartments: %s\nlocations: %v\ncategories: %s\nnotes: %s\n", strings.Join(o.Signals, ", "),
			strings.Join(o.NewsEventTypes, ", "), strings.Join(o.Departments, ", "), o.Locations, strings.Join(o.IntentCategories, ", "), strings.Join(o.Warnings, "; "))
	}
	if strings.Contains(f.Request.Path, "/signals/filters") {
		ask := c.fetchValuesV3
		if strings.HasSuffix(f.Request.Path, "/filters") {
			ask = c.fetchFiltersV3
		}
		values, err := ask(t.Context(), f.Request.Path)
		return fmt.Sprintf("values: %s\nerror: %v\n", strings.Join(values, ", "), err)
	}
	if f.Request.Path == "/account/usage" {
		// Usage asks the newer endpoint first; the older answers are met as they are.
		call, err := c.getFree(t.Context(), f.Request.Path, c.usageLimiter.acquire)
		if err != nil {
			t.Fatalf("free(%s) = %v, want nil", f.Request.Path, err)
		}
		u, err := decodeUsage(call.Body)
		if err != nil {
			t.Fatalf("decodeUsage(%s) = %v, want nil", call.Body, err)
		}
		return describeUsage(u)
	}
	u, err := c.FetchUsage(t.Context())
	if err != nil {
		t.Fatalf("Usage() = %v, want nil", err)
	}
	return describeUsage(u)
}

func describeUsage(u *Usage) string {
	out := fmt.Sprintf("credits: total %d, used %d, remaining %d\n", u.Total, u.Used, u.Remaining)
	for _, w := range []struct {
		name string
		w    UsageWindow
	}{{"minute", u.Minute}, {"hour", u.Hour}, {"day", u.Day}} {
		out += fmt.Sprintf("%s: limit %d, used %d, left %d", w.name, w.w.Limit, w.w.Used, w.w.Left)
		if !w.w.ResetAt.IsZero() {
			out += ", resets " + w.w.ResetAt.UTC().Format("2006-01-02 15:04:05")
		}
		out += "\n"
	}
	if u.Plan != "" {
		out += "plan: " + u.Plan + "\n"
	}
	for _, action := range []string{"api_search", "showSignalsCompany", "showSignalsContact"} {
		if p, ok := u.Prices[action]; ok {
			out += fmt.Sprintf("price of %s: %d for %d\n", action, p.Credits, p.PerQuantity)
		}
	}
	return out
}

// describeReply writes a decoded reply so that a person can check it.
func describeReply(b *pipeline.Batch, reply *pipeline.Reply, met *http.Request) string {
	var out strings.Builder
	call := reply.Calls[0]
	v := classifyCall(&call)
	fmt.Fprintf(&out, "call %s: %d, %s, class %s\n", call.ID, call.Status, call.Outcome, v.Class)
	switch {
	case call.Charge.Known:
		fmt.Fprintf(&out, "charge: %d of at most %d\n", call.Charge.Credits, call.Ceiling)
	case call.Charge.Text != "":
		fmt.Fprintf(&out, "charge: unknown (%s)\n", call.Charge.Text)
	default:
		fmt.Fprintf(&out, "charge: not stated\n")
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&out, "%s: %s\n", name, value)
		}
	}
	line("window", strings.Trim(call.StartDate+" to "+call.EndDate, " to"))
	line("problem", call.Problem)
	if v.RetryAfter > 0 {
		line("wait", v.RetryAfter.String())
	}
	line("extra", string(call.UnknownFields))
	for _, n := range call.Warnings {
		line("note", n)
	}
	entity := func(name string, r pipeline.ItemReply) {
		fmt.Fprintf(&out, "%s: %s", name, r.Status)
		if r.Entity.ID != "" {
			fmt.Fprintf(&out, " = %s %q %s", r.Entity.ID, r.Entity.Name, r.Entity.Domain)
		}
		if r.Reason != "" {
			fmt.Fprintf(&out, " (%s)", r.Reason)
		}
		out.WriteByte('\n')
		for _, e := range r.Events {
			fmt.Fprintf(&out, "\t%s %s\n", e.Type, e.Raw)
		}
		for _, e := range r.Filtered {
			fmt.Fprintf(&out, "\tbeside %s %s\n", e.Type, e.Raw)
		}
		if r.Aliases != nil {
			fmt.Fprintf(&out, "\talso %s\n", strings.Join(r.Aliases, ", "))
		}
		if r.Next != nil {
			fmt.Fprintf(&out, "\tnext: session %q, more %v, gone %v\n", r.Next.Session, r.Next.HasMore, r.Next.SessionExpired)
		}
		if r.UnknownFields != nil {
			fmt.Fprintf(&out, "\textra %s\n", r.UnknownFields)
		}
		for _, n := range r.Warnings {
			fmt.Fprintf(&out, "\tnote: %s\n", n)
		}
	}
	for i, r := range reply.Items {
		entity(fmt.Sprintf("item %s", answerKey(b, i)), r)
	}
	for _, r := range reply.Unmatched {
		entity("stray", r)
	}
	return out.String()
}

const canaryKey = "canary-5f1c0d9e-do-not-print"

func testClient(t testing.TB, url string) *Client {
	t.Helper()
	c, err := New(Config{BaseURL: url, Key: NewKey(canaryKey)})
	if err != nil {
		t.Fatalf("New(%s) = %v, want nil", url, err)
	}
	t.Cleanup(func() { c.transport.(*http.Transport).CloseIdleConnections() })
	return c
}
