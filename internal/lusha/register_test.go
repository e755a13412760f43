package lusha

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// encodeIn tells the same about two companies in either dialect: entries by id, each
// the members after it, and the rest of the document.
func encodeIn(version pipeline.APIVersion, rest string, entries ...string) string {
	var out []string
	for i, e := range entries {
		switch {
		case e == "": // absent
		case version == pipeline.V3:
			out = append(out, fmt.Sprintf(`{"id":"%d",%s}`, 1001+i, e))
		default:
			out = append(out, fmt.Sprintf(`"%d":{"companyId":"%[1]d",%s}`, 1001+i, e))
		}
	}
	if version == pipeline.V3 {
		return `{"results":[` + strings.Join(out, ",") + `]` + rest + `}`
	}
	return `{"companies":{` + strings.Join(out, ",") + `}` + rest + `}`
}

// inBothVersions runs a test for both versions of the API.
func inBothVersions(t *testing.T, row int, test func(*testing.T, pipeline.APIVersion)) {
	t.Helper()
	t.Run(fmt.Sprintf("row %d, V2", row), func(t *testing.T) { test(t, pipeline.V2) })
	t.Run(fmt.Sprintf("row %d, V3", row), func(t *testing.T) { test(t, pipeline.V3) })
}

func wantStatuses(t *testing.T, b *pipeline.Batch, text, want string) []pipeline.ItemReply {
	t.Helper()
	call, items, unmatched, err := decodeText(b, text)
	if err != nil || call.Outcome != pipeline.Charged || lushatest.Statuses(items) != want || len(unmatched) != 0 {
		t.Errorf("DecodeAnswer(%s) = %s, %s, %d strays, %v, want charged, %s, 0, nil", text, call.Outcome, lushatest.Statuses(items), len(unmatched), err, want)
	}
	return items
}

// TestRegister holds the decoder to what is decided about the questions that the
// API's documentation leaves open, row by row.
func TestRegister(t *testing.T) {
	const event = `"surgeInHiring":[{"signalId":"7"}]`

	// What is charged stands under one of three names.
	inBothVersions(t, 1, func(t *testing.T, d pipeline.APIVersion) {
		for rest, want := range map[string]pipeline.Charge{
			`,"creditCharged":3`:                                   {Known: true, Credits: 3},
			`,"creditsCharged":3`:                                  {Known: true, Credits: 3},
			`,"billing":{"creditsCharged":3}`:                      {Known: true, Credits: 3},
			`,"creditsCharged":3,"billing":{"creditsCharged":3}`:   {Known: true, Credits: 3},
			`,"creditsCharged":3,"billing":{"creditsCharged":"3"}`: {Text: `creditsCharged: 3, billing.creditsCharged: "3"`},
			`,"charged":3`:                                         {},
		} {
			call, _, _, _ := decodeText(lushatest.CompaniesIn(d, 1), encodeIn(d, rest, event))
			if call.Charge != want {
				t.Errorf("charge of %s = %+v, want %+v", rest, call.Charge, want)
			}
		}
	})

	// Nothing found costs nothing, or something: the server says.
	inBothVersions(t, 3, func(t *testing.T, d pipeline.APIVersion) {
		for credits := range int64(2) {
			text := encodeIn(d, fmt.Sprintf(`,"creditsCharged":%d`, credits), `"surgeInHiring":[]`, "")
			call, items, _, err := decodeText(lushatest.CompaniesIn(d, 2), text)
			if want := (pipeline.Charge{Known: true, Credits: credits}); err != nil || call.Charge != want || lushatest.Statuses(items) != "no_signal not_found" {
				t.Errorf("DecodeAnswer(%s) = %+v, %s, %v, want %+v", text, call.Charge, lushatest.Statuses(items), err, want)
			}
		}
	})

	inBothVersions(t, 5, func(t *testing.T, d pipeline.APIVersion) {
		wantStatuses(t, lushatest.CompaniesIn(d, 3), encodeIn(d, "", "", `"error":{"code":"NOT_FOUND","message":"m"}`, event), "not_found not_found enriched")
		wantStatuses(t, lushatest.CompaniesIn(d, 1), encodeIn(d, "", `"error":"nobody"`), "not_found")
		call := pipeline.Call{ID: "c", Status: 404, Body: []byte(`{"statusCode":404,"message":"none of the ids is known"}`)}
		items, _, err := DecodeAnswer(lushatest.CompaniesIn(d, 2), &call)
		if err != nil || call.Outcome != pipeline.NotCharged || lushatest.Statuses(items) != "not_found not_found" {
			t.Errorf("DecodeAnswer(404) = %s, %s, %v, want not_charged, not found", call.Outcome, lushatest.Statuses(items), err)
		}
	})

	inBothVersions(t, 6, func(t *testing.T, d pipeline.APIVersion) {
		for _, empty := range []string{`"surgeInHiring":[]`, `"surgeInHiring":null`, `"companyName":"A"`} {
			wantStatuses(t, lushatest.CompaniesIn(d, 1), encodeIn(d, "", empty), "no_signal")
		}
	})

	inBothVersions(t, 7, func(t *testing.T, d pipeline.APIVersion) {
		items := wantStatuses(t, lushatest.CompaniesIn(d, 2), encodeIn(d, "", `"surgeInHiring":{"signalId":"7"}`, event), "enriched enriched")
		if diff := cmp.Diff(items[1].Events, items[0].Events); diff != "" {
			t.Errorf("events of an object differ from those of a list (-list +object):\n%s", diff)
		}
	})

	// Ids are texts or numbers, and the same either way.
	t.Run("row 8, V2", func(t *testing.T) {
		items := wantStatuses(t, lushatest.CompaniesIn(pipeline.V2, 1), `{"companies":[{"companyId":1001,"surgeInHiring":[{"companyId":1001}]}]}`, "enriched")
		if items[0].Entity.ID != "1001" || items[0].Aliases != nil {
			t.Errorf("id, others = %s, %v, want 1001, none", items[0].Entity.ID, items[0].Aliases)
		}
	})
	t.Run("row 8, V3", func(t *testing.T) {
		items := wantStatuses(t, lushatest.CompaniesIn(pipeline.V3, 1), `{"results":[{"id":1001,"surgeInHiring":[{"companyId":"1001"},{"companyId":1001}]}]}`, "enriched")
		if items[0].Entity.ID != "1001" || items[0].Aliases != nil {
			t.Errorf("id, others = %s, %v, want 1001, none", items[0].Entity.ID, items[0].Aliases)
		}
		// Beyond what a float64 holds.
		items = wantStatuses(t, lushatest.NewBatchV3(pipeline.Search, schema.Company, lushatest.Sites(1)...), `{"results":[{"clientReferenceId":"r0","id":9007199254740993}]}`, "resolved")
		if items[0].Entity.ID != "9007199254740993" {
			t.Errorf("id = %s, want 9007199254740993", items[0].Entity.ID)
		}
	})

	t.Run("row 10, V3", func(t *testing.T) {
		const one, two = `{"id":"6","newCompany":"B","previousCompany":"A","signalDate":"2026-04-02"}`, `{"personId":6,"currentCompanyName":"B","previousCompanyName":"A","signalDate":"2026-04-02"}`
		items := wantStatuses(t, lushatest.NewBatchV3(pipeline.Signals, schema.Contact, lushatest.IDs("6")...), `{"results":[{"id":"6","companyChange":[`+one+","+two+`]}]}`, "enriched")
		want := []pipeline.RawEvent{{Type: "companyChange", Raw: []byte(one)}, {Type: "companyChange", Raw: []byte(two)}}
		if diff := cmp.Diff(want, items[0].Events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if items[0].Aliases != nil {
			t.Errorf("other ids = %v, want none", items[0].Aliases)
		}
	})

	// Nothing is read from the order of entries; that of events is kept.
	t.Run("row 17, V2", func(t *testing.T) {
		items := wantStatuses(t, lushatest.CompaniesIn(pipeline.V2, 2), `{"companies":[{"companyId":"1002"},{"companyId":"1001","surgeInHiring":[{"signalDate":"2026-02-02"},{"signalDate":"2026-03-03"}]}]}`, "enriched no_signal")
		if got := string(items[0].Events[0].Raw); got != `{"signalDate":"2026-02-02"}` {
			t.Errorf("first event = %s, want the first that was received", got)
		}
	})
	t.Run("row 17, V3", func(t *testing.T) {
		items := wantStatuses(t, lushatest.CompaniesIn(pipeline.V3, 2), `{"results":[{"id":"1002"},{"id":"1001","surgeInHiring":[{"signalDate":"2026-02-02"},{"signalDate":"2026-03-03"}]}]}`, "enriched no_signal")
		if got := string(items[0].Events[0].Raw); got != `{"signalDate":"2026-02-02"}` {
			t.Errorf("first event = %s, want the first that was received", got)
		}
		wantStatuses(t, lushatest.NewBatchV3(pipeline.Search, schema.Company, lushatest.Sites(2)...), `{"results":[{"clientReferenceId":"r1","error":{"code":"NOT_FOUND"}},{"clientReferenceId":"r0","id":"5"}]}`, "resolved not_found")
	})

	inBothVersions(t, 19, func(t *testing.T, d pipeline.APIVersion) {
		for _, sent := range []bool{false, true} {
			b := lushatest.CompaniesIn(d, 1)
			lushatest.ChangeSignals(b, func(a *pipeline.SignalsAsk) {
				a.Types, a.NewsEventTypes, a.SendFilters = []string{"riskNews"}, []string{"Security Issue"}, sent
			})
			r, err := NewRequest(b)
			if err != nil {
				t.Fatal(err)
			}
			if has := strings.Contains(string(r.Body), "newsEventTypes"); has != (d == pipeline.V2 || sent) {
				t.Errorf("request, filters to be sent %v = %s", sent, r.Body)
			}
			text, passing, filtered := encodeIn(d, "", `"riskNews":[{"eventType":"Lawsuit Faced"},{"eventType":"security issue"}]`), 2, 0
			if d == pipeline.V3 && !sent {
				passing, filtered = 1, 1
			}
			items := wantStatuses(t, b, text, "enriched")
			if len(items[0].Events) != passing || len(items[0].Filtered) != filtered {
				t.Errorf("filters sent %v: %d events, %d beside, want %d, %d", sent, len(items[0].Events), len(items[0].Filtered), passing, filtered)
			}
		}
	})

	t.Run("row 26, V3", func(t *testing.T) {
		for _, tt := range []struct {
			name, session string
			status        int
			body          string
			outcome       pipeline.Outcome
			next          *pipeline.NextPage
			note          bool
		}{
			{"a code", "s-1", 410, `{"code":"DEDUPE_SESSION_INVALID","message":"m"}`, pipeline.NotCharged, &pipeline.NextPage{SessionExpired: true}, false},
			{"a list", "s-1", 410, `{"statusCode":410,"errors":["DEDUPE_SESSION_INVALID"]}`, pipeline.NotCharged, &pipeline.NextPage{SessionExpired: true}, false},
			{"under a success", "s-1", 200, `{"statusCode":410,"errors":["DEDUPE_SESSION_INVALID"]}`, pipeline.NotCharged, &pipeline.NextPage{SessionExpired: true}, false},
			{"a silent restart", "s-1", 200, `{"dedupeSessionId":"s-2","results":[{}]}`, pipeline.Charged, &pipeline.NextPage{Session: "s-2"}, true},
			{"no restart", "s-1", 200, `{"dedupeSessionId":"s-1","results":[{}]}`, pipeline.Charged, &pipeline.NextPage{Session: "s-1"}, false},
			{"the first page", "", 200, `{"dedupeSessionId":"s-1","results":[{}]}`, pipeline.Charged, &pipeline.NextPage{Session: "s-1"}, false},
			{"no session to go on with", "s-1", 200, `{"dedupeSessionId":null,"results":[{}]}`, pipeline.Charged, &pipeline.NextPage{}, false},
			{"a 410 without a session", "", 410, `{"code":"X","message":"m"}`, pipeline.NotCharged, nil, false},
			{"a page of a proxy", "s-1", 410, `<html>gone</html>`, pipeline.InDoubt, nil, false},
			{"with a charge", "s-1", 410, `{"statusCode":410,"errors":["X"],"creditsCharged":1}`, pipeline.InDoubt, nil, false},
		} {
			b := lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company)
			b.Items[0].Page.Session = tt.session
			call := pipeline.Call{ID: "c", Status: tt.status, Body: []byte(tt.body)}
			items, _, _ := DecodeAnswer(b, &call)
			noted := slices.ContainsFunc(items[0].Warnings, func(n string) bool { return strings.Contains(n, "session was not continued") })
			if diff := cmp.Diff(tt.next, items[0].Next); diff != "" || call.Outcome != tt.outcome || noted != tt.note {
				t.Errorf("%s: %s, noted %v, want %s, %v; next (-want +got):\n%s", tt.name, call.Outcome, noted, tt.outcome, tt.note, diff)
			}
			if gone := tt.next != nil && tt.next.SessionExpired; gone && items[0].Status != schema.Deferred {
				t.Errorf("%s: %s, want deferred", tt.name, items[0].Status)
			}
		}
	})

	// Ids are never looked into, but for what V2 can express.
	t.Run("row 34, V2", func(t *testing.T) {
		b := lushatest.CompaniesIn(pipeline.V2, 2)
		b.Items[1].Account.ID = "v1.token"
		r, err := NewRequest(b)
		if err != nil || !strings.Contains(r.Rejected[1], "needs V3") || strings.Contains(string(r.Body), "token") {
			t.Errorf("RequestFor() = %s, %v, %v, want the token refused", r.Body, r.Rejected, err)
		}
	})
	t.Run("row 34, V3", func(t *testing.T) {
		b := lushatest.CompaniesIn(pipeline.V3, 2)
		b.Items[1].Account.ID = "v1.token"
		r, err := NewRequest(b)
		if err != nil || !strings.HasPrefix(string(r.Body), `{"ids":["1001","v1.token"],`) {
			t.Errorf("RequestFor() = %s, %v, want both ids as texts", r.Body, err)
		}
		wantStatuses(t, b, `{"results":[{"id":"v1.token","surgeInHiring":[{}]},{"id":"v1.other","surgeInHiring":[{"companyId":1001}]}]}`, "enriched enriched")
	})

	// Domains are compared and stored without www.
	t.Run("row 36, V2", func(t *testing.T) {
		b := lushatest.CompaniesIn(pipeline.V2, 1)
		b.ByID, b.Items[0].Account = false, schema.Account{Object: schema.Company, Domain: "d0.example"}
		items := wantStatuses(t, b, `{"companies":[{"companyId":"5","domain":"www.D0.example"}]}`, "no_signal")
		if items[0].Entity.Domain != "d0.example" {
			t.Errorf("domain = %s, want d0.example", items[0].Entity.Domain)
		}
	})
	t.Run("row 36, V3", func(t *testing.T) {
		for _, service := range []pipeline.Service{pipeline.Search, pipeline.Scores} {
			b := lushatest.NewBatchV3(service, schema.Company, schema.Account{Domain: "www.d0.example"}, schema.Account{Domain: "d1.example"})
			items := wantStatuses(t, b, `{"results":[{"id":"6","domain":"https://www.d1.example/","signalScore":1},{"id":"5","domain":"D0.example","signalScore":1}]}`,
				map[pipeline.Service]string{pipeline.Search: "resolved resolved", pipeline.Scores: "enriched enriched"}[service])
			if got := items[0].Entity.Domain + " " + items[1].Entity.Domain; got != "d0.example d1.example" {
				t.Errorf("domains = %s, want d0.example d1.example", got)
			}
		}
	})

	inBothVersions(t, 37, func(t *testing.T, d pipeline.APIVersion) {
		b := lushatest.NewBatchV3(pipeline.Search, schema.Company, lushatest.Sites(2)...)
		if d == pipeline.V2 {
			b = lushatest.CompaniesIn(d, 2)
			b.ByID = false
		}
		b.Items = duplicateRefs()
		if r, err := NewRequest(b); err == nil || !strings.Contains(err.Error(), `two items bear the reference "x"`) {
			t.Errorf("RequestFor() = %+v, %v, want an error", r, err)
		}
	})

	inBothVersions(t, 38, func(t *testing.T, d pipeline.APIVersion) {
		for n, ok := range map[int]bool{100: true, 101: false} {
			b := lushatest.CompaniesIn(d, n)
			reply, err := Decode(&lushatest.FakeAPI{}).Fetch(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := NewRequest(b); (err == nil) != ok || len(reply.Items) != n {
				t.Errorf("RequestFor(%d items) = %v, want ok %v", n, err, ok)
			}
		}
	})
	t.Run("row 38, V3 services", func(t *testing.T) {
		for _, service := range []pipeline.Service{pipeline.Search, pipeline.Scores} {
			_, err := NewRequest(lushatest.NewBatchV3(service, schema.Company, lushatest.Sites(101)...))
			if _, err100 := NewRequest(lushatest.NewBatchV3(service, schema.Company, lushatest.Sites(100)...)); err == nil || err100 != nil {
				t.Errorf("%s: RequestFor(101, 100) = %v, %v, want an error, nil", service, err, err100)
			}
		}
		var stop *pipeline.Stop
		b := lushatest.NewBatchV3(pipeline.Search, schema.Contact, lushatest.People(101)...)
		if reply, err := Decode(testClient(t, "http://127.0.0.1:1")).Fetch(t.Context(), b); !errors.As(err, &stop) || len(reply.Calls) != 0 {
			t.Errorf("Fetch(101) = %d calls, %v, want none, a stop", len(reply.Calls), err)
		}
	})
}
