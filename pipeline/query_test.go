package pipeline

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestQueryJSON: a query of each kind has the JSON that journals and manifests hold, and is decoded
// from it.
func TestQueryJSON(t *testing.T) {
	seed := func(n string) schema.Account { return schema.Account{Object: schema.Company, Domain: n} }
	for _, tt := range []struct {
		name string
		q    Query
		want string
	}{
		{
			"signals",
			Query{Object: schema.Contact, Ask: SignalsAsk{Types: []string{"companyChange", "promotion"}, MaxResults: 100}, Since: "2026-11-01", Until: "2026-11-29", Price: 1},
			`{"object":"contact","signals":["companyChange","promotion"],"since":"2026-11-01","until":"2026-11-29","max_results":100,"price":1}`,
		},
		{
			"signals with filters",
			Query{
				Object: schema.Company, APIVersion: V3, Since: "2026-11-01", Until: "2026-11-29", Price: 2, Per: 3,
				Ask: SignalsAsk{Types: []string{"riskNews"}, MaxResults: 10, SendFilters: true, Filters: Filters{
					NewsEventTypes: []string{"IPO & <more>"}, HiringDepartments: []string{"Sales"},
					HiringLocations: []Location{{Country: "Norway"}, {Country: "Chile", State: "Maule"}}, IntentCategories: []string{"Security"},
				}},
			},
			`{"object":"company","api":"v3","signals":["riskNews"],"since":"2026-11-01","until":"2026-11-29","max_results":10,"news_event_types":["IPO \u0026 \u003cmore\u003e"],` +
				`"hiring_departments":["Sales"],"hiring_locations":[{"country":"Norway"},{"country":"Chile","state":"Maule"}],"intent_categories":["Security"],"send_filters":true,"price":2,"per":3}`,
		},
		{
			"no signals", Query{Object: schema.Company, Ask: SignalsAsk{}},
			`{"object":"company","signals":null,"since":"","until":"","max_results":0}`,
		},
		{
			"a search",
			Query{Object: schema.Company, APIVersion: V3, Ask: SearchAsk{}, Since: "2026-11-29", Until: "2026-11-29", Price: 1, Per: 25},
			`{"object":"company","service":"search","api":"v3","signals":["search"],"since":"2026-11-29","until":"2026-11-29","max_results":1,"price":1,"per":25}`,
		},
		{
			"scores",
			Query{Object: schema.Contact, APIVersion: V3, Ask: ScoreAsk{}, Since: "2026-11-29", Until: "2026-11-29", Price: 1},
			`{"object":"contact","service":"score","api":"v3","signals":["signalScore"],"since":"2026-11-29","until":"2026-11-29","max_results":1,"price":1}`,
		},
		{
			"lookalikes",
			Query{
				Object: schema.Company, APIVersion: V3, Since: "2026-11-29", Until: "2026-11-29", Price: 1,
				Ask: LookalikeAsk{Seeds: []schema.Account{seed("a.example"), seed("b.example")}, Exclude: []schema.Account{seed("c.example")}, PageSize: 50},
			},
			`{"object":"company","service":"lookalikes","api":"v3","signals":["lookalike"],"since":"2026-11-29","until":"2026-11-29","max_results":50,` +
				`"seeds":[{"Object":"company","Domain":"a.example"},{"Object":"company","Domain":"b.example"}],"exclude":[{"Object":"company","Domain":"c.example"}],"price":1}`,
		},
		{
			"visits",
			Query{Object: schema.Company, APIVersion: V3, Ask: VisitsAsk{Sites: []string{"a.example", "shop.example"}, PageSize: 100}, Since: "2026-11-01", Until: "2026-11-29", Price: 1},
			`{"object":"company","service":"visits","api":"v3","signals":["websiteVisits"],"since":"2026-11-01","until":"2026-11-29","max_results":100,` +
				`"seeds":[{"Object":"company","Domain":"a.example"},{"Object":"company","Domain":"shop.example"}],"price":1}`,
		},
	} {
		text, err := json.Marshal(tt.q)
		if err != nil || string(text) != tt.want {
			t.Errorf("%s: JSON %v (-want +got):\n%s", tt.name, err, cmp.Diff(tt.want, string(text)))
		}
		var decoded Query
		if err := json.Unmarshal([]byte(tt.want), &decoded); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.q, decoded); diff != "" {
			t.Errorf("%s: decoded (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestQueryJSONUnknownService: a query for a service of a later version keeps all that it says.
func TestQueryJSONUnknownService(t *testing.T) {
	const text = `{"object":"contact","service":"enrich","api":"v3","signals":["phone"],"since":"2026-11-29","until":"2026-11-29","max_results":7,` +
		`"intent_categories":["Security"],"seeds":[{"Object":"contact","ID":"7"}],"price":3,"per":2}`
	var q Query
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		t.Fatal(err)
	}
	if q.Service() != "enrich" || q.MaxResults() != 7 || len(q.ResultTypes()) != 1 || q.Ceiling(2) != 21 {
		t.Errorf("service %q, at most %d of %q, %d credits; want enrich, 7 of [phone], 21", q.Service(), q.MaxResults(), q.ResultTypes(), q.Ceiling(2))
	}
	if again, err := json.Marshal(&q); err != nil || string(again) != text {
		t.Errorf("JSON %v (-want +got):\n%s", err, cmp.Diff(text, string(again)))
	}
}

// TestQueryCopies: a change to a copy of a query leaves the original as it is.
func TestQueryCopies(t *testing.T) {
	signals := &Query{Ask: SignalsAsk{Types: []string{"intent", "riskNews"}, MaxResults: 5}}
	narrow := signals.withTypes([]string{"intent"})
	lookalikes := &Query{Ask: LookalikeAsk{PageSize: 5}}
	excluding := lookalikes.withExclusions([]schema.Account{{ID: "7"}})
	got := []int{len(signals.ResultTypes()), len(narrow.ResultTypes()), narrow.MaxResults(), len(lookalikes.exclusions()), len(excluding.exclusions()), excluding.MaxResults()}
	if diff := cmp.Diff([]int{2, 1, 5, 0, 1, 5}, got); diff != "" {
		t.Errorf("types, exclusions and caps (-want +got):\n%s", diff)
	}
}

// TestCostNeverWraps: no price and no cap makes a ceiling smaller than that of one credit.
func TestCostNeverWraps(t *testing.T) {
	for _, n := range []int64{1, 1000, 1 << 40, 1 << 62, math.MaxInt64} {
		for _, maxResults := range []int{1, 1000, 1 << 40, math.MaxInt} {
			q := Query{Ask: SignalsAsk{Types: []string{"a", "b", "c"}, MaxResults: maxResults}, Price: n}
			want := int64(MaxCredits)
			if n <= 1000 && maxResults <= 1000 {
				want = 300 * n * int64(maxResults)
			}
			if got := q.Ceiling(100); got != want {
				t.Errorf("Ceiling(100) with price %d and %d results = %d, want %d", n, maxResults, got, want)
			}
		}
		q := Query{Price: 1, Per: n}
		if got := q.CostOf(1); got != 1 {
			t.Errorf("CostOf(1) per %d = %d, want 1", n, got)
		}
	}
}
