package lusha

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestRequestV3 shows every request byte for byte.
func TestRequestV3(t *testing.T) {
	change := func(b *pipeline.Batch, how func(*pipeline.Batch)) *pipeline.Batch { how(b); return b }
	filtered := func(sent bool, types ...string) *pipeline.Batch {
		b := lushatest.NewBatchV3(pipeline.Signals, schema.Company, lushatest.IDs("1")...)
		lushatest.ChangeSignals(b, func(a *pipeline.SignalsAsk) {
			a.NewsEventTypes, a.HiringDepartments = []string{"Security Issue"}, []string{"Sales"}
			a.HiringLocations = []pipeline.Location{{Country: "Malta"}, {Country: "Chile", State: "Maule"}}
			a.IntentCategories = []string{"Energy"}
			a.Types, a.SendFilters = types, sent
		})
		return b
	}
	hiring := []string{"surgeInHiringByDepartment", "surgeInHiringByLocation", "riskNews"}
	for _, tt := range []struct {
		name, path, body string
		b                *pipeline.Batch
		refused          map[int]string // and a part of the reason
	}{
		{
			"signals by ids of any form, each once", "/v3/contacts/signals",
			`{"ids":["007","v1.a-B_\"c"],"signalTypes":["companyChange","promotion"],"startDate":"2026-02-01","maxResultsPerSignal":5}`,
			lushatest.NewBatchV3(pipeline.Signals, schema.Contact, lushatest.IDs("007", `v1.a-B_"c`, "007", "")...), map[int]string{3: "no id"},
		},
		{
			"signals by an id that a search found", "/v3/companies/signals",
			`{"ids":["v1.found"],"signalTypes":["surgeInHiring","riskNews"],"startDate":"2026-02-01","maxResultsPerSignal":5}`,
			change(lushatest.NewBatchV3(pipeline.Signals, schema.Company, schema.Account{Domain: "a.example"}, schema.Account{Domain: "b.example"}), func(b *pipeline.Batch) { b.Items[0].ID = "v1.found" }),
			map[int]string{1: "no id"},
		},
		{
			"filters are not sent", "/v3/companies/signals",
			`{"ids":["1"],"signalTypes":["surgeInHiringByDepartment","surgeInHiringByLocation","riskNews"],"startDate":"2026-02-01","maxResultsPerSignal":5}`,
			filtered(false, hiring...), nil,
		},
		{
			"filters are sent when they are trusted", "/v3/companies/signals",
			`{"ids":["1"],"signalTypes":["surgeInHiringByDepartment","surgeInHiringByLocation","riskNews"],"startDate":"2026-02-01","maxResultsPerSignal":5,` +
				`"filters":{"include":{"newsEventTypes":["Security Issue"],"hiringByDepartments":["Sales"],"hiringByLocations":[{"country":"Malta"},{"country":"Chile","state":"Maule"}]}}}`,
			filtered(true, hiring...), nil,
		},
		{
			"the documented filter is sent beside the signal that it narrows", "/v3/companies/signals",
			`{"ids":["1"],"signalTypes":["linkedinActivityIntent"],"startDate":"2026-02-01","maxResultsPerSignal":5,"filters":{"include":{"intentCategories":["Energy"]}}}`,
			filtered(false, "linkedinActivityIntent"), nil,
		},
		{
			"a search for companies, best identifier first", "/v3/companies/search",
			`{"companies":[{"clientReferenceId":"r0","id":"9"},{"clientReferenceId":"r1","domain":"a.example"},{"clientReferenceId":"r2","name":"Ärlig & Co"}]}`,
			lushatest.NewBatchV3(pipeline.Search, schema.Company, schema.Account{ID: "9", Domain: "x.example"}, schema.Account{Domain: "a.example", Name: "A"}, schema.Account{Name: "Ärlig & Co"}, schema.Account{}),
			map[int]string{3: "no identifier"},
		},
		{
			"a search for contacts", "/v3/contacts/search",
			`{"contacts":[{"clientReferenceId":"r0","linkedinUrl":"https://www.linkedin.com/in/x"},{"clientReferenceId":"r1","email":"x@a.example"},` +
				`{"clientReferenceId":"r2","firstName":"Jan van der","lastName":"Proef","companyDomain":"a.example"},{"clientReferenceId":"r4","firstName":"Li","lastName":"Na","companyName":"A"}]}`,
			lushatest.NewBatchV3(pipeline.Search, schema.Contact, schema.Account{LinkedIn: "https://www.linkedin.com/in/x", Email: "x@a.example"}, schema.Account{Email: "x@a.example"},
				schema.Account{Name: " Jan van  der Proef ", CompanyDomain: "a.example", CompanyName: "A"}, schema.Account{Name: "Cher", CompanyName: "A"},
				schema.Account{Name: "Li Na", CompanyName: "A"}, schema.Account{Name: "No Employer"}),
			map[int]string{3: `name "Cher": V3 searches by first and last name`, 5: "no identifier"},
		},
		{
			"a score is asked by the id that a search found", "/v3/companies/signal-score",
			`{"companies":[{"clientReferenceId":"r0","id":"v1.found"},{"clientReferenceId":"r1","domain":"b.example"}]}`,
			change(lushatest.NewBatchV3(pipeline.Scores, schema.Company, schema.Account{Domain: "a.example"}, schema.Account{Domain: "b.example"}), func(b *pipeline.Batch) { b.Items[0].ID = "v1.found" }), nil,
		},
		{
			"but a search is by what the line says", "/v3/companies/search", `{"companies":[{"clientReferenceId":"r0","domain":"a.example"}]}`,
			change(lushatest.NewBatchV3(pipeline.Search, schema.Company, schema.Account{Domain: "a.example"}), func(b *pipeline.Batch) { b.Items[0].ID = "v1.found" }), nil,
		},
		{
			"references that the API cannot give back", "/v3/companies/search", `{"companies":[]}`,
			change(lushatest.NewBatchV3(pipeline.Search, schema.Company, schema.Account{Domain: "a.example"}, schema.Account{Domain: "b.example"}), func(b *pipeline.Batch) {
				b.Items[0].Ref, b.Items[1].Ref = "", strings.Repeat("é", 257)
			}), map[int]string{0: "no reference", 1: "longer than 256"},
		},
		{
			"lookalikes of contacts", "/v3/contacts/lookalike",
			`{"seeds":{"ids":["7","v1.x"],"linkedinUrls":["https://www.linkedin.com/in/x"],"emails":["y@a.example"],"contacts":[{"firstName":"Li","lastName":"Na","companyName":"A"}]},` +
				`"exclude":{"emails":["z@a.example"]},"limit":50,"dedupeSessionId":"s-1"}`,
			change(lushatest.NewBatchV3(pipeline.Lookalikes, schema.Contact), func(b *pipeline.Batch) {
				b.Query.Ask = pipeline.LookalikeAsk{
					Seeds:   []schema.Account{{Email: "y@a.example"}, {Name: "Li Na", CompanyName: "A"}, {ID: "7", Email: "seven@a.example"}, {LinkedIn: "https://www.linkedin.com/in/x"}, {ID: "v1.x"}, {ID: "7"}},
					Exclude: []schema.Account{{Email: "z@a.example"}},
				}
				b.Items[0].Page = &pipeline.Page{Number: 3, Limit: 50, Session: "s-1"}
			}), nil,
		},
		{
			"lookalikes of companies", "/v3/companies/lookalike",
			`{"seeds":{"domains":["d0.example","d1.example","d2.example","d3.example"],"linkedinUrls":["https://www.linkedin.com/company/x"]},"limit":100}`,
			change(lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company), func(b *pipeline.Batch) {
				b.Query.Ask = pipeline.LookalikeAsk{Seeds: append(lushatest.Sites(4), schema.Account{ID: "12", LinkedIn: "https://www.linkedin.com/company/x"})}
				b.Items[0].Page.Limit = 100
			}), nil,
		},
		{
			"visits", "/v3/companies/website-visits",
			`{"domains":["d0.example","d1.example"],"startDate":"2026-02-01","endDate":"2026-05-01","pagination":{"page":4,"size":150},"sort":{"by":"score","order":"desc"}}`,
			change(lushatest.NewBatchV3(pipeline.Visits, schema.Company), func(b *pipeline.Batch) {
				b.Query.Ask = pipeline.VisitsAsk{Sites: append(lushatest.Hosts(2), lushatest.Hosts(1)...)}
				b.Items[0].Page = &pipeline.Page{Number: 4, Limit: 150}
			}), nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := NewRequest(tt.b)
			if err != nil {
				t.Fatalf("RequestFor() = %v, want nil", err)
			}
			if r.Endpoint() != "POST "+tt.path {
				t.Errorf("Endpoint() = %s, want POST %s", r.Endpoint(), tt.path)
			}
			if diff := cmp.Diff(tt.body, string(r.Body)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			for i := range tt.b.Items {
				why, refused := r.Rejected[i]
				part, want := tt.refused[i]
				if refused != want || !strings.Contains(why, part) || slices.Contains(r.Sent, i) == refused {
					t.Errorf("item %d: refused %v (%q), sent %v, want refused %v (%q)", i, refused, why, slices.Contains(r.Sent, i), want, part)
				}
			}
		})
	}
}

// TestUnsendableV3: a request that the API would refuse, or to which its answers would
// be ambiguous, is not sent.
func TestUnsendableV3(t *testing.T) {
	signals := func(change func(*pipeline.SignalsAsk)) func(*pipeline.Batch) {
		return func(b *pipeline.Batch) { lushatest.ChangeSignals(b, change) }
	}
	seeds := func(seeds []schema.Account, more ...schema.Account) func(*pipeline.Batch) {
		return func(b *pipeline.Batch) { b.Query.Ask = pipeline.LookalikeAsk{Seeds: append(seeds, more...)} }
	}
	exclude := func(exclude ...schema.Account) func(*pipeline.Batch) {
		return func(b *pipeline.Batch) {
			b.Query.Ask = pipeline.LookalikeAsk{Seeds: lushatest.Sites(5), Exclude: exclude}
		}
	}
	for _, tt := range []struct {
		name, want string
		b          *pipeline.Batch
		change     func(*pipeline.Batch)
	}{
		{"all signals", "allSignals", lushatest.NewBatchV3(pipeline.Signals, schema.Company, lushatest.IDs("1")...), signals(func(a *pipeline.SignalsAsk) { a.Types = []string{"allSignals"} })},
		{"no cap", "0 results per signal", lushatest.NewBatchV3(pipeline.Signals, schema.Company, lushatest.IDs("1")...), signals(func(a *pipeline.SignalsAsk) { a.MaxResults = 0 })},
		{"no start", "start date", lushatest.NewBatchV3(pipeline.Signals, schema.Company, lushatest.IDs("1")...), func(b *pipeline.Batch) { b.Query.Since = "" }},
		{"a dialect of the future", `dialect "v4"`, lushatest.NewBatchV3(pipeline.Signals, schema.Company, lushatest.IDs("1")...), func(b *pipeline.Batch) { b.Query.APIVersion = "v4" }},
		{"a service of the future", `service "enrich"`, lushatest.NewBatchV3(pipeline.Search, schema.Company, lushatest.IDs("1")...), func(b *pipeline.Batch) {
			b.Query = decodeQuery(t, `{"object":"company","service":"enrich","api":"v3","signals":["enriched"],"since":"2026-02-01","until":"2026-05-01","max_results":1}`)
		}},
		{"four seeds", "4 different seeds", lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company), seeds(lushatest.Sites(4), lushatest.Sites(4)...)},
		{"too many seeds", "101 different seeds", lushatest.NewBatchV3(pipeline.Lookalikes, schema.Contact), seeds(lushatest.People(100), schema.Account{Email: "y@a.example"})},
		{"too many of a kind", "more than 100 domains", lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company), exclude(lushatest.Sites(101)...)},
		{"a company by its id alone", `company "12"`, lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company), seeds(lushatest.Sites(5), lushatest.IDs("12")...)},
		{"to exclude a company by its id alone", `to exclude: company "Acme"`, lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company), exclude(schema.Account{ID: "12", Key: "Acme"})},
		{"a contact without anything", `contact "Cher"`, lushatest.NewBatchV3(pipeline.Lookalikes, schema.Contact), seeds(lushatest.People(5), schema.Account{Name: "Cher", CompanyName: "A"})},
		{"too long a page of contacts", "page of 51 contacts, not 1 to 50", lushatest.NewBatchV3(pipeline.Lookalikes, schema.Contact), func(b *pipeline.Batch) { b.Items[0].Page.Limit = 51 }},
		{"too long a page of companies", "page of 101 companies, not 1 to 100", lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company), func(b *pipeline.Batch) { b.Items[0].Page.Limit = 101 }},
		{"a page of nothing", "page of 0 companies", lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company), func(b *pipeline.Batch) { b.Items[0].Page.Limit = 0 }},
		{"two pages", "2 items", lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company), func(b *pipeline.Batch) { b.Items = append(b.Items, b.Items[0]) }},
		{"no page", "not the one page", lushatest.NewBatchV3(pipeline.Visits, schema.Company), func(b *pipeline.Batch) { b.Items[0].Page = nil }},
		{"visits by contacts", "not of contacts", lushatest.NewBatchV3(pipeline.Visits, schema.Contact), func(*pipeline.Batch) {}},
		{"no site", "no site", lushatest.NewBatchV3(pipeline.Visits, schema.Company), func(b *pipeline.Batch) { b.Query.Ask = pipeline.VisitsAsk{} }},
		{"a site without a domain", "site 2 has no domain", lushatest.NewBatchV3(pipeline.Visits, schema.Company), func(b *pipeline.Batch) { b.Query.Ask = pipeline.VisitsAsk{Sites: []string{"d0.example", ""}} }},
		{"page zero", "page 0", lushatest.NewBatchV3(pipeline.Visits, schema.Company), func(b *pipeline.Batch) { b.Items[0].Page.Number = 0 }},
		{"too long a page of visits", "151 visits", lushatest.NewBatchV3(pipeline.Visits, schema.Company), func(b *pipeline.Batch) { b.Items[0].Page.Limit = 151 }},
		{"no end", `to ""`, lushatest.NewBatchV3(pipeline.Visits, schema.Company), func(b *pipeline.Batch) { b.Query.Until = "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewRequest(tt.b); err != nil && tt.name != "visits by contacts" {
				t.Fatalf("RequestFor() before the change = %v, want nil", err)
			}
			tt.change(tt.b)
			reply, err := Decode(testClient(t, "http://127.0.0.1:1")).Fetch(t.Context(), tt.b)
			var stop *pipeline.Stop
			if !errors.As(err, &stop) || stop.Kind != pipeline.StopRequest || !strings.Contains(stop.Reason, tt.want) || len(reply.Calls) != 0 || len(reply.Items) != len(tt.b.Items) {
				t.Errorf("Fetch() = %d calls, %v, want none and a stop that says %q", len(reply.Calls), err, tt.want)
			}
		})
	}
}

func decodeQuery(t *testing.T, text string) *pipeline.Query {
	t.Helper()
	q := new(pipeline.Query)
	if err := json.Unmarshal([]byte(text), q); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestCeilingV3: a call's ceiling counts what is sent, page by page or item by
// item.
func TestCeilingV3(t *testing.T) {
	signals := lushatest.NewBatchV3(pipeline.Signals, schema.Company, lushatest.IDs("1", "", "2")...)
	lookalikes := lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company)
	lookalikes.Items[0].Page.Limit = 30
	lookalikes.Query.Price, lookalikes.Query.Per = 2, 25
	search := lushatest.NewBatchV3(pipeline.Search, schema.Company, lushatest.Sites(30)...)
	search.Query.Price, search.Query.Per = 1, 25
	for name, tt := range map[string]struct {
		b        *pipeline.Batch
		ceiling  int64
		entities int
	}{
		"two entities, two types, five each": {signals, 20, 2},
		"thirty results, two per 25":         {lookalikes, 4, 1},
		"thirty searches, one per 25":        {search, 2, 30},
	} {
		c, _ := newScriptedClient(t, `402 {"statusCode":402,"message":"no credits left"}`)
		call, _ := fetchOne(t, c, tt.b)
		if call.Ceiling != tt.ceiling || call.Entities != tt.entities {
			t.Errorf("%s: ceiling %d of %d entities, want %d of %d", name, call.Ceiling, call.Entities, tt.ceiling, tt.entities)
		}
	}
}
