package lusha

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestFilter: what passes which filter, one event at a time.
func TestFilter(t *testing.T) {
	q := &pipeline.Query{APIVersion: pipeline.V3, Object: schema.Company, Ask: pipeline.SignalsAsk{Filters: pipeline.Filters{
		NewsEventTypes: []string{"M&A", "Funding Round"}, HiringDepartments: []string{"Engineering & Technical", "Legal"},
		HiringLocations: []pipeline.Location{{Country: "Norway"}, {Country: "United States", State: "Ohio"}},
	}}}
	for _, tt := range []struct {
		kind, event string
		in          bool
	}{
		{"riskNews", `{"eventType":"funding round"}`, true},
		{"corporateStrategyNews", `{"eventType":" M&amp;A "}`, true},
		{"corporateStrategyNews", `{"eventType":"Asset Sale"}`, false},
		{"corporateStrategyNews", `{"eventType":["Asset Sale"]}`, true}, // cannot be judged
		{"corporateStrategyNews", `{"eventType":null}`, true},
		{"corporateStrategyNews", `{}`, true},
		{"surgeInHiring", `{"eventType":"Asset Sale","department":"Sales","country":"Chad"}`, true}, // no filter's business
		{"newLocation", `{"country":"Chad"}`, true},
		{"linkedinActivityIntent", `{"signalCategory":"x"}`, true},
		{"surgeInHiringByDepartment", `{"department":"LEGAL"}`, true},
		{"surgeInHiringByDepartment", `{"department":"Engineering"}`, true},
		{"surgeInHiringByDepartment", `{"department":"Technical, Engineering & Design"}`, true},
		{"surgeInHiringByDepartment", `{"department":"Engine"}`, false},
		{"surgeInHiringByDepartment", `{"department":"Sales"}`, false},
		{"surgeInHiringByDepartment", `{"department":7}`, false},
		{"surgeInHiringByDepartment", `{"department":""}`, true},
		{"surgeInHiringByLocation", `{"country":"norway","state":"Vestland"}`, true},
		{"surgeInHiringByLocation", `{"country":"United States","state":"ohio"}`, true},
		{"surgeInHiringByLocation", `{"country":"United States","state":"Iowa"}`, false},
		{"surgeInHiringByLocation", `{"country":"United States"}`, true},
		{"surgeInHiringByLocation", `{"country":"Chad","state":"Ohio"}`, false},
		{"surgeInHiringByLocation", `{"state":"Iowa"}`, true},
	} {
		r := pipeline.ItemReply{Status: schema.Enriched, Events: []pipeline.RawEvent{{Type: tt.kind, Raw: json.RawMessage(tt.event)}}}
		filterEvents(q, &r)
		want := pipeline.ItemReply{Status: schema.Enriched, Events: []pipeline.RawEvent{{Type: tt.kind, Raw: json.RawMessage(tt.event)}}}
		if !tt.in {
			want = pipeline.ItemReply{Status: schema.NoSignal, Filtered: want.Events, Warnings: []string{"the filters let none of its events through (1); they are paid for all the same"}}
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.kind, tt.event, diff)
		}
	}
	// A department that is no filter's is judged by the vocabulary: what stands in
	// it is no part of another.
	f := &pipeline.Filters{HiringDepartments: []string{"Product Marketing"}}
	if passesFilters(f, &pipeline.RawEvent{Type: "surgeInHiringByDepartment", Raw: json.RawMessage(`{"department":"Marketing"}`)}) {
		t.Error("Marketing passes for Product Marketing, want it beside: the vocabulary has it")
	}
}

// TestAliases: the ids that an answer states for one entity.
func TestAliases(t *testing.T) {
	token := func(o schema.Object, asked string) *pipeline.Batch {
		return lushatest.NewBatchV3(pipeline.Signals, o, lushatest.IDs(asked)...)
	}
	search := func(asked string) *pipeline.Batch {
		return lushatest.NewBatchV3(pipeline.Search, schema.Company, lushatest.IDs(asked)...)
	}
	for _, tt := range []struct {
		name, text, id string
		b              *pipeline.Batch
		also           []string
	}{
		{"one id only", `{"results":[{"id":"7","surgeInHiring":[{"companyId":7}]}]}`, "7", token(schema.Company, "7"), nil},
		{"events under a number", `{"results":[{"id":"v1.a","surgeInHiring":[{"companyId":7},{"companyId":"7"}],"riskNews":[{"companyId":7,"signalId":"9"}]}]}`, "v1.a", token(schema.Company, "v1.a"), []string{"7"}},
		{"asked by a number", `{"results":[{"id":"v1.a","companyId":"7"}]}`, "v1.a", token(schema.Company, "7"), []string{"7"}},
		{"asked by a number that nothing but an event states", `{"results":[{"id":"v1.a","surgeInHiring":[{"companyId":7}]}]}`, "v1.a", token(schema.Company, "7"), []string{"7"}},
		{"three of them", `{"results":[{"id":"v1.a","companyId":"8","surgeInHiring":[{"companyId":7}]}]}`, "v1.a", token(schema.Company, "7"), []string{"8", "7"}},
		{"an event's own id is none", `{"results":[{"id":"v1.a","surgeInHiring":[{"id":"55"}]}]}`, "v1.a", token(schema.Company, "v1.a"), nil},
		{"nor are other companies", `{"results":[{"id":"6","companyChange":[{"personId":"6","currentCompanyId":88,"companyId":"9"}]}]}`, "6", token(schema.Contact, "6"), nil},
		{"a contact's", `{"results":[{"id":"v1.p","companyChange":[{"id":"6"}],"promotion":[{"personId":6}]}]}`, "v1.p", token(schema.Contact, "v1.p"), []string{"6"}},
		{"in two entries about the same", `{"results":{"7":{"id":"7"},"7":{"id":"v1.a"}}}`, "7", token(schema.Company, "7"), []string{"v1.a"}},
		{"of a search by id", `{"results":[{"clientReferenceId":"r0","id":"v1.a"}]}`, "v1.a", search("7"), []string{"7"}},
		{"of a search without a reference", `{"results":[{"id":"v1.a","companyId":7}]}`, "v1.a", search("7"), []string{"7"}},
		{"not of what is not found", `{"results":[{"clientReferenceId":"r0","id":"v1.a","error":{"code":"NOT_FOUND"}}]}`, "v1.a", search("7"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, items, unmatched, err := decodeText(tt.b, tt.text)
			if err != nil || len(unmatched) > 0 || items[0].Entity.ID != tt.id {
				t.Fatalf("DecodeAnswer(%s) = %+v, %d strays, %v, want the id %s", tt.text, items[0], len(unmatched), err, tt.id)
			}
			if diff := cmp.Diff(tt.also, items[0].Aliases); diff != "" {
				t.Errorf("other ids (-want +got):\n%s", diff)
			}
		})
	}
	// Events that are about everybody do not make everybody one.
	var events []string
	for i := range 100 {
		events = append(events, fmt.Sprintf(`{"companyId":%d}`, i))
	}
	_, many, _, _ := decodeText(token(schema.Company, "v1.a"), `{"results":[{"id":"v1.a","surgeInHiring":[`+strings.Join(events, ",")+`]}]}`)
	if len(many[0].Aliases) != maxAliases || len(many[0].Warnings) != 1 || len(many[0].Events) != 100 {
		t.Errorf("100 other ids: %d listed, notes %q, %d events, want %d, one, 100", len(many[0].Aliases), many[0].Warnings, len(many[0].Events), maxAliases)
	}
	// V2 is asked by numbers and may state another.
	_, items, _, _ := decodeText(lushatest.Companies(1), `{"companies":{"1001":{"companyId":"v1.a"}}}`)
	if diff := cmp.Diff([]string{"1001"}, items[0].Aliases); diff != "" {
		t.Errorf("other ids in V2 (-want +got):\n%s", diff)
	}
}

// TestMatching: to which item a result belongs that bears no reference, or a
// foreign one. What names an item goes before what resembles one.
func TestMatching(t *testing.T) {
	b := func() *pipeline.Batch {
		return lushatest.NewBatchV3(pipeline.Search, schema.Company, schema.Account{Domain: "d0.example"}, schema.Account{Name: "Tern Rail"}, schema.Account{ID: "7"})
	}
	for _, tt := range []struct {
		name, results, want string
		strays              int
	}{
		{"by domain, name and id", `{"id":"1","domain":"www.d0.example"},{"id":"2","name":"tern rail"},{"id":"7"}`, "1 2 7", 0},
		{"a reference goes first", `{"id":"1","domain":"d0.example"},{"clientReferenceId":"r0","id":"3"}`, "3  ", 1},
		{"an id is no reference", `{"id":"r0"}`, "  ", 1},
		{"a reference is no id", `{"clientReferenceId":"7","id":"3"}`, "  ", 1},
		{"a number for a text", `{"clientReferenceId":null,"id":7}`, "  7", 0},
		{"two that are alike", `{"id":"1","domain":"d0.example"},{"id":"2","domain":"d0.example"}`, "1  ", 1},
		{"a map by references", "", "1  7", 0},
	} {
		text := `{"results":[` + tt.results + `]}`
		if tt.results == "" {
			text = `{"results":{"r0":{"id":"1"},"x":{"id":"7"}}}`
		}
		_, items, unmatched, err := decodeText(b(), text)
		var got []string
		for _, i := range items {
			got = append(got, i.Entity.ID)
		}
		if strings.Join(got, " ") != tt.want || len(unmatched) != tt.strays || err != nil {
			t.Errorf("%s: ids %q, %d strays, %v, want %q, %d", tt.name, strings.Join(got, " "), len(unmatched), err, tt.want, tt.strays)
		}
	}
	// It cannot distinguish two lines with the same identifier.
	twice := lushatest.NewBatchV3(pipeline.Search, schema.Company, schema.Account{Domain: "d0.example"}, schema.Account{Domain: "www.d0.example"})
	if _, items, unmatched, _ := decodeText(twice, `{"results":[{"id":"1","domain":"d0.example"}]}`); lushatest.Statuses(items) != "not_found not_found" || len(unmatched) != 1 {
		t.Errorf("two items by one domain = %s, %d strays, want neither, 1", lushatest.Statuses(items), len(unmatched))
	}
	// A contact's name is in two fields.
	people := lushatest.NewBatchV3(pipeline.Search, schema.Contact, schema.Account{Name: "Jan Proef", CompanyName: "A"})
	if _, items, _, _ := decodeText(people, `{"results":[{"id":"1","firstName":"Jan","lastName":"Proef"}]}`); lushatest.Statuses(items) != "resolved" {
		t.Errorf("a contact by name = %s, want resolved", lushatest.Statuses(items))
	}
}

// TestLookUps: the fates of results, apart from those of the recorded answers.
func TestLookUps(t *testing.T) {
	for _, tt := range []struct {
		service              pipeline.Service
		result, want, reason string
		events               int
		note                 string
	}{
		{pipeline.Search, `{"id":"1","error":{"code":"ENRICH_FAILED","message":"m"}}`, "deferred", "ENRICH_FAILED: m; it is asked again", 0, ""},
		{pipeline.Search, `{"id":"1","error":null}`, "resolved", "", 1, ""},
		{pipeline.Search, `{"companyId":1}`, "resolved", "", 1, ""},
		{pipeline.Search, `{"error":"NOT_FOUND"}`, "not_found", "NOT_FOUND", 0, ""},
		{pipeline.Search, `{"error":{"code":"COMPLIANCE_RESTRICTED"}}`, "restricted", "COMPLIANCE_RESTRICTED", 0, ""},
		{pipeline.Search, `{"error":{"code":"NO_SCORE"}}`, "deferred", "NO_SCORE; it is asked again", 0, ""},
		{pipeline.Search, `{"id":""}`, "not_found", "the result states no id", 0, "the result states no id; read as not found"},
		{pipeline.Scores, `{"id":"1","signalScore":0}`, "enriched", "", 1, ""},
		{pipeline.Scores, `{"signalScore":"0.5"}`, "enriched", "", 1, ""},
		{pipeline.Scores, `{"noActiveSignals":true}`, "enriched", "", 1, ""},
		{pipeline.Scores, `{"id":"1","signalScore":null,"noActiveSignals":null}`, "no_signal", "the result states no score", 0, "the result states no score"},
		{pipeline.Scores, `{"signalScore":1,"error":{"code":"NO_SCORE"}}`, "enriched", "", 1, "the entry also states an error: NO_SCORE"},
		{pipeline.Scores, `{"id":"1","error":{"code":"NO_SCORE"}}`, "no_signal", "NO_SCORE", 0, ""},
	} {
		b := lushatest.NewBatchV3(tt.service, schema.Company, lushatest.Sites(1)...)
		text := `{"results":[` + strings.Replace(tt.result, "{", `{"clientReferenceId":"r0",`, 1) + `]}`
		items := wantStatuses(t, b, text, tt.want)
		r := items[0]
		if r.Reason != tt.reason || len(r.Events) != tt.events || strings.Join(r.Warnings, "; ") != tt.note {
			t.Errorf("DecodeAnswer(%s) = reason %q, %d events, notes %q, want %q, %d, %q", text, r.Reason, len(r.Events), r.Warnings, tt.reason, tt.events, tt.note)
		}
		for _, e := range r.Events {
			if !strings.Contains(text, string(e.Raw)) {
				t.Errorf("event = %s, want the result as it stands in %s", e.Raw, text)
			}
		}
	}
	// Two results for one line are both kept.
	items := wantStatuses(t, lushatest.NewBatchV3(pipeline.Search, schema.Company, lushatest.Sites(1)...), `{"results":[{"clientReferenceId":"r0","error":{"code":"NOT_FOUND"}},{"clientReferenceId":"r0","id":"1"},{"clientReferenceId":"r0","id":"2"}]}`, "resolved")
	if len(items[0].Events) != 2 || items[0].Entity.ID != "1" || items[0].Reason != "" {
		t.Errorf("two results for one line = %+v, want both", items[0])
	}
}

// TestAnnouncesMore: how many ways there are to say that a page is not the last.
func TestAnnouncesMore(t *testing.T) {
	for _, tt := range []struct {
		page    pipeline.Page
		results int
		says    string
		more    bool
	}{
		{pipeline.Page{Number: 1, Limit: 2}, 2, ``, true},
		{pipeline.Page{Number: 1, Limit: 2}, 1, ``, false},
		{pipeline.Page{Number: 1, Limit: 2}, 2, `,"meta":null`, true},
		{pipeline.Page{Number: 1, Limit: 2}, 2, `,"meta":{"returned":2}`, true},
		{pipeline.Page{Number: 1, Limit: 2}, 2, `,"meta":{"returned":2,"hasMore":false}`, false},
		{pipeline.Page{Number: 1, Limit: 2}, 1, `,"meta":{"hasMore":true}`, true},
		{pipeline.Page{Number: 1, Limit: 2}, 1, `,"meta":{"hasMore":"true"}`, true},
		{pipeline.Page{Number: 1, Limit: 2}, 2, `,"pagination":{"hasMore":false,"total":99,"totalPages":50}`, false},
		{pipeline.Page{Number: 1, Limit: 2}, 2, `,"pagination":{"page":1,"size":2,"total":2}`, false},
		{pipeline.Page{Number: 1, Limit: 2}, 2, `,"pagination":{"page":1,"size":2,"total":3}`, true},
		{pipeline.Page{Number: 2, Limit: 2}, 1, `,"pagination":{"page":2,"size":2,"total":3}`, false},
		{pipeline.Page{Number: 2, Limit: 2}, 2, `,"pagination":{"totalPages":2}`, false},
		{pipeline.Page{Number: 1, Limit: 2}, 2, `,"pagination":{"totalPages":"2"}`, true},
		{pipeline.Page{Number: 2, Limit: 2}, 2, `,"pagination":{"limit":2,"offset":2,"total":5}`, true},
		{pipeline.Page{Number: 2, Limit: 2}, 2, `,"pagination":{"limit":2,"offset":2,"total":4}`, false},
		{pipeline.Page{Number: 3, Offset: 4, Limit: 2}, 2, `,"pagination":{"total":7}`, true},
		{pipeline.Page{Number: 3, Offset: 4, Limit: 2}, 2, `,"pagination":{"total":6}`, false},
		{pipeline.Page{Number: 1, Limit: 2}, 0, `,"pagination":{"total":6}`, false},
		{pipeline.Page{Number: 1, Limit: 2}, 2, `,"pagination":[1]`, true},
	} {
		for _, service := range []pipeline.Service{pipeline.Lookalikes, pipeline.Visits} {
			b := lushatest.NewBatchV3(service, schema.Company)
			b.Items[0].Page = &tt.page
			results := strings.TrimSuffix(strings.Repeat("{},", tt.results), ",")
			call, items, _, err := decodeText(b, `{"results":[`+results+`]`+tt.says+`}`)
			if err != nil || items[0].Next == nil || items[0].Next.HasMore != tt.more || len(items[0].Events) != tt.results {
				t.Errorf("%s, page %+v of %d with %s: %+v, %v, want more %v", service, tt.page, tt.results, tt.says, items[0], err, tt.more)
			}
			if tt.says == `,"pagination":[1]` != (call.UnknownFields != nil) {
				t.Errorf("%s: extra = %s", tt.says, call.UnknownFields)
			}
		}
	}
}

// TestPageOddities: what a page may hold besides.
func TestPageOddities(t *testing.T) {
	b := lushatest.NewBatchV3(pipeline.Visits, schema.Company)
	b.Items[0].Page.Limit = 1
	call, items, _, err := decodeText(b, `{"results":[{"id":"1"},null,3,{"id":"2"}],"pagination":{"page":0,"next":"x"},"dedupeSessionId":7,"creditsCharged":2}`)
	if err != nil || lushatest.Statuses(items) != "enriched" || string(call.UnknownFields) != `{"result":3,"pagination":{"next":"x"}}` {
		t.Fatalf("DecodeAnswer() = %s, extra %s, %v, want enriched, what is odd", lushatest.Statuses(items), call.UnknownFields, err)
	}
	want := pipeline.ItemReply{
		Status: schema.Enriched, CallID: "c", Next: &pipeline.NextPage{Session: "7", HasMore: true},
		Events:   []pipeline.RawEvent{{Type: schema.ProductVisit, Raw: []byte(`{"id":"1"}`)}, {Type: schema.ProductVisit, Raw: []byte(`{"id":"2"}`)}},
		Warnings: []string{"2 results, and 1 were asked for; all are kept", "the answer calls page 0 what was asked for as page 1"},
	}
	if diff := cmp.Diff(want, items[0]); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
	// Of what has no pages these are unknown fields.
	call, _, _, _ = decodeText(lushatest.CompaniesIn(pipeline.V3, 1), `{"results":[],"meta":{"hasMore":true},"dedupeSessionId":"x"}`)
	if string(call.UnknownFields) != `{"meta":{"hasMore":true},"dedupeSessionId":"x"}` {
		t.Errorf("extra of signals = %s, want both fields", call.UnknownFields)
	}
	// Without results a page is no answer.
	if call, items, _, err := decodeText(b, `{"pagination":{"total":0}}`); err == nil || call.Outcome != pipeline.InDoubt || lushatest.Statuses(items) != "held" {
		t.Errorf("DecodeAnswer(no results) = %s, %s, %v, want ambiguous, held", call.Outcome, lushatest.Statuses(items), err)
	}
}

// TestRefusesQueryV3: which refusals concern the query, and which an item.
func TestRefusesQueryV3(t *testing.T) {
	for words, whole := range map[string]bool{
		"signalTypes must not be empty":                           true,
		"signalTypes.0 is not one of the types":                   true,
		"endDate lies before startDate":                           true,
		"pagination.size must be at most 150":                     true,
		"seeds: at least 5 are needed":                            true,
		"seeds.contacts.4.lastName must not be empty":             true,
		"exclude.ids.0 must be a text":                            true,
		"filters.include.newsEventTypes is not expected":          true,
		"ids.3 must be a text":                                    false,
		"ids[12] is no id, so its signalTypes cannot be found":    false,
		"contacts.4: firstName, lastName and a company, or email": false,
		"companies.7 has no signals":                              false,
		"the bids 3 are odd":                                      false,
	} {
		v := Classify(400, nil, fmt.Appendf(nil, `{"statusCode":400,"message":"bad request","errors":[%q]}`, words))
		if got := refusesQuery(v); got != whole {
			t.Errorf("refusesQuery(%q) = %v, want %v", words, got, whole)
		}
	}
}

func TestOptionsV3(t *testing.T) {
	const (
		types   = `200 {"signalTypes":["allSignals","riskNews"]}`
		filters = `200 {"availableFilters":[{"filterType":"newsEventTypes","requiresQuery":false},{"filterType":"hiringByDepartments","requiresQuery":false},{"filterType":"hiringByLocations","requiresQuery":true},{"filterType":"intentCategories","requiresQuery":false}]}`
		refused = `403 {"statusCode":403,"message":"not for this account"}`
		base    = "/v3/companies/signals/"
	)
	all := []string{base + "types", base + "filters", base + "filters/newsEventTypes", base + "filters/hiringByDepartments", base + "filters/intentCategories"}
	for _, tt := range []struct {
		name    string
		object  schema.Object
		answers []string
		want    *Options // nil: an error
		paths   []string
		notes   []string // parts of them
	}{
		{"all of it", schema.Company, []string{types, filters, `200 {"values":["IPO"]}`, `200 {"values":["Legal"]}`, `200 {"values":["Energy","Law"]}`},
			&Options{Signals: []string{"riskNews"}, NewsEventTypes: []string{"IPO"}, Departments: []string{"Legal"}, IntentCategories: []string{"Energy", "Law"}}, all, nil},
		{"a filter that fails, and one that lists nothing", schema.Company, []string{types, filters, refused, `200 {"values":null}`, `200 {"value":["Energy"]}`},
			&Options{Signals: []string{"riskNews"}}, all, []string{"newsEventTypes are not listed: entitlement: HTTP 403", "intentCategories are not listed: the answer lists no values"}},
		{"no filters", schema.Company, []string{types, refused}, &Options{Signals: []string{"riskNews"}}, all[:2], []string{"the filters are not listed: entitlement"}},
		{"filters that make no sense", schema.Company, []string{types, `200 {"filters":[]}`}, &Options{Signals: []string{"riskNews"}}, all[:2], []string{"lists no filters"}},
		{"contacts have none", schema.Contact, []string{`200 {"signalTypes":["promotion"]}`}, &Options{Signals: []string{"promotion"}}, []string{"/v3/contacts/signals/types"}, nil},
		{"no types", schema.Company, []string{refused}, nil, all[:1], nil},
		{"types that make no sense", schema.Company, []string{`200 {"x":1}`}, nil, all[:1], nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, p := newScriptedClient(t, tt.answers...)
			counted := 0
			c.OnFreeRequest(func(n int) { counted += n })
			got, err := c.FetchOptionsV3(t.Context(), tt.object)
			if diff := cmp.Diff(tt.paths, p.paths); diff != "" || counted != len(tt.paths) {
				t.Errorf("%s: %d counted; paths (-want +got):\n%s", tt.name, counted, diff)
			}
			if tt.want == nil {
				if err == nil {
					t.Errorf("%s: OptionsV3() = %+v, want an error", tt.name, got)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: OptionsV3() = %v, want nil", tt.name, err)
			}
			if len(got.Warnings) != len(tt.notes) {
				t.Errorf("%s: notes = %q, want %q", tt.name, got.Warnings, tt.notes)
			}
			for i, n := range got.Warnings {
				if i < len(tt.notes) && !strings.Contains(n, tt.notes[i]) {
					t.Errorf("%s: note = %q, want %q in it", tt.name, n, tt.notes[i])
				}
			}
			tt.want.Object = tt.object
			got.Warnings, got.Raw, got.ClockOffset = nil, nil, nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		})
	}
	// A vocabulary of any length is offered as a whole.
	var long []string
	for i := range 250 {
		long = append(long, fmt.Sprintf("Category %d", i))
	}
	text, _ := json.Marshal(map[string]any{"values": long})
	if got, err := decodeValues(text); err != nil || !slices.Equal(got, long) {
		t.Errorf("decodeValues() = %d values, %v, want %d", len(got), err, len(long))
	}
}

// TestOptionsV3Interrupted: an end of the run is no failing filter.
func TestOptionsV3Interrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newScriptedClient(t, `200 {"signalTypes":["riskNews"]}`, ``)
		ctx, end := context.WithCancelCause(t.Context())
		c.OnFreeRequest(func(int) {
			end(errors.New("interrupt"))
		})
		if o, err := c.FetchOptionsV3(ctx, schema.Company); err == nil || !strings.Contains(err.Error(), "interrupt") {
			t.Errorf("OptionsV3() = %+v, %v, want the interrupt", o, err)
		}
	})
}

// TestPrices: every action that is sold to date is priced by its own name.
func TestPrices(t *testing.T) {
	actions := []string{
		"api_search", "revealEmail", "revealPhone", "reveal_company", "showSignalsContact", "showSignalsCompany", "lookalikeContact", "lookalikeCompany",
		"buyingGroupContact", "signal_score_company_reveal", "signal_score_contact_reveal",
	}
	pricing := map[string]any{"odd": 3, "half": map[string]any{"credits": 0.5, "perQuantity": "25"}}
	want := map[string]pipeline.UnitPrice{"odd": {Credits: -1, PerQuantity: -1}, "half": {Credits: -1, PerQuantity: 25}}
	for i, a := range actions {
		pricing[a] = map[string]any{"credits": i, "perQuantity": 25}
		want[a] = pipeline.UnitPrice{Credits: int64(i), PerQuantity: 25}
	}
	body, err := json.Marshal(map[string]any{"credits": map[string]any{"total": 1}, "pricing": pricing})
	if err != nil {
		t.Fatal(err)
	}
	u, err := decodeUsage(body)
	if err != nil {
		t.Fatalf("decodeUsage() = %v, want nil", err)
	}
	if diff := cmp.Diff(want, u.Prices); diff != "" {
		t.Errorf("prices (-want +got):\n%s", diff)
	}
}

// FuzzDecodeAnswerV3 holds every service's decoder to what FuzzDecodeAnswer
// holds that of V2 to, and to what is particular to each.
func FuzzDecodeAnswerV3(f *testing.F) {
	services := []pipeline.Service{pipeline.Signals, pipeline.Search, pipeline.Scores, pipeline.Lookalikes, pipeline.Visits}
	for _, x := range fixtures(f) {
		if x.Request.Method != "POST" || !strings.HasPrefix(x.Request.Path, "/v3/") {
			continue
		}
		service := slices.Index(services, x.batch(f).Query.Service())
		recorded, _ := x.Query.Ask.(pipeline.SignalsAsk)
		f.Add(x.Response.Status, x.answer(), byte(service), strings.Contains(x.Request.Path, "contacts"), len(recorded.NewsEventTypes) > 0)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, service byte, contact, narrow bool) {
		object, accounts := schema.Company, append(lushatest.IDs("5310077", "v1.Ty_55"), schema.Account{Domain: "lanternfish.example"})
		if contact {
			object, accounts = schema.Contact, append(lushatest.IDs("6620101", "v1.m-Ww"), schema.Account{Email: "ines@ternrail.example"})
		}
		b := lushatest.NewBatchV3(services[int(service)%len(services)], object, accounts...)
		if narrow && b.Query.Service() == pipeline.Signals {
			lushatest.ChangeSignals(b, func(a *pipeline.SignalsAsk) {
				a.NewsEventTypes, a.HiringDepartments, a.HiringLocations = []string{"Partnership"}, []string{"Operations"}, []pipeline.Location{{Country: "Portugal"}}
			})
		}
		if paged := b.Query.Service().IsPaged(); paged {
			b.Items[0].Page.Session = "s-1"
		} else {
			for i, ref := range []string{"q1", "p2", "s3"} {
				b.Items[i].Ref = ref
			}
		}
		original := bytes.Clone(body)
		call := pipeline.Call{ID: "c", Status: status, Body: body, Outcome: pipeline.InDoubt}
		items, unmatched, err := DecodeAnswer(b, &call)
		if len(items) != len(b.Items) || !bytes.Equal(original, body) {
			t.Fatalf("%d items for %d, body changed %v", len(items), len(b.Items), !bytes.Equal(original, body))
		}
		doc, _ := jsonscan.Repair(bytes.TrimPrefix(body, []byte("\ufeff")))
		valid := json.Valid(doc) && utf8.Valid(doc)
		if call.Outcome == pipeline.Charged && (status/100 != 2 || !valid || err != nil) {
			t.Fatalf("charged with status %d, valid %v, %v", status, valid, err)
		}
		if call.Outcome != pipeline.Charged && unmatched != nil {
			t.Fatal("strays without an answer")
		}
		found := schema.Enriched
		if b.Query.Service() == pipeline.Search {
			found = schema.Resolved
		}
		for i, r := range slices.Concat(items, unmatched) {
			if r.Status == "" || (r.Status == found) != (len(r.Events) > 0) {
				t.Fatalf("item %d: %q with %d events", i, r.Status, len(r.Events))
			}
			if len(r.Filtered) > 0 && !narrow || slices.Contains(r.Aliases, r.Entity.ID) || slices.Contains(r.Aliases, "") {
				t.Fatalf("item %d: beside %v, %q also %q", i, r.Filtered, r.Entity.ID, r.Aliases)
			}
			if paged := b.Query.Service().IsPaged(); (r.Next != nil) != (paged && (call.Outcome == pipeline.Charged || r.Next != nil && r.Next.SessionExpired)) {
				t.Fatalf("item %d: next %+v under %s", i, r.Next, call.Outcome)
			}
			if r.Next != nil && r.Next.SessionExpired && (call.Outcome != pipeline.NotCharged || r.Status != schema.Deferred) {
				t.Fatalf("item %d: gone under %s, %s", i, call.Outcome, r.Status)
			}
			for _, e := range slices.Concat(r.Events, r.Filtered) {
				if len(e.Raw) == 0 || e.Raw[0] != '{' || !isCompact(e.Raw) {
					t.Fatalf("event %s", e.Raw)
				}
			}
			if r.UnknownFields != nil && !isCompact(r.UnknownFields) {
				t.Fatalf("extra %s", r.UnknownFields)
			}
			if host := r.Entity.Domain; host != schema.BareHost(host) && !strings.HasPrefix(host, "www.") {
				t.Fatalf("domain %q, want %q", host, schema.BareHost(host))
			}
		}
		if call.UnknownFields != nil && !isCompact(call.UnknownFields) {
			t.Fatalf("extra %s", call.UnknownFields)
		}
		repeated := call
		items2, unmatched2, _ := DecodeAnswer(b, &repeated)
		if !reflect.DeepEqual(items, items2) || !reflect.DeepEqual(unmatched, unmatched2) || !reflect.DeepEqual(call, repeated) {
			t.Fatalf("a second reading differs:\n%s", cmp.Diff(call, repeated))
		}
	})
}
