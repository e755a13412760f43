package lusha

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

func decodeText(b *pipeline.Batch, text string) (pipeline.Call, []pipeline.ItemReply, []pipeline.ItemReply, error) {
	call := pipeline.Call{ID: "c", Status: 200, Body: []byte(text)}
	items, unmatched, err := DecodeAnswer(b, &call)
	return call, items, unmatched, err
}

func TestCharge(t *testing.T) {
	for _, tt := range []struct {
		fields string
		want   pipeline.Charge
	}{
		{`"creditCharged":3`, pipeline.Charge{Known: true, Credits: 3}},
		{`"creditCharged":0`, pipeline.Charge{Known: true}},
		{`"creditCharged":3.0`, pipeline.Charge{Known: true, Credits: 3}},
		{`"creditCharged":3e0`, pipeline.Charge{Known: true, Credits: 3}},
		{`"creditCharged":30e-1`, pipeline.Charge{Known: true, Credits: 3}},
		{`"creditCharged":0.03E+2`, pipeline.Charge{Known: true, Credits: 3}},
		{`"creditCharged":0e99999999999999999999`, pipeline.Charge{Known: true}},
		{`"creditCharged":1000000000000`, pipeline.Charge{Known: true, Credits: pipeline.MaxCredits}},
		{`"creditCharged":1000000000001`, pipeline.Charge{Text: "creditCharged: 1000000000001"}},             // sums of such charges overflow
		{`"creditCharged":4611686018427387904`, pipeline.Charge{Text: "creditCharged: 4611686018427387904"}}, // four are 0
		{`"creditCharged":9223372036854775807`, pipeline.Charge{Text: "creditCharged: 9223372036854775807"}},
		{`"creditCharged":9223372036854775808`, pipeline.Charge{Text: "creditCharged: 9223372036854775808"}},
		{`"creditCharged":1e400`, pipeline.Charge{Text: "creditCharged: 1e400"}},
		{`"creditCharged":0.5`, pipeline.Charge{Text: "creditCharged: 0.5"}},
		{`"creditCharged":-1`, pipeline.Charge{Text: "creditCharged: -1"}},
		{`"creditCharged":-0`, pipeline.Charge{Text: "creditCharged: -0"}},
		{`"creditCharged":"3"`, pipeline.Charge{Text: `creditCharged: "3"`}},
		{`"creditCharged":null`, pipeline.Charge{Text: "creditCharged: null"}},
		{`"creditCharged":true`, pipeline.Charge{Text: "creditCharged: true"}},
		{`"creditCharged":[3]`, pipeline.Charge{Text: "creditCharged: [3]"}},
		{`"creditCharged":{"a": 3}`, pipeline.Charge{Text: `creditCharged: {"a":3}`}},
		{`"creditCharged":3,"creditCharged":3`, pipeline.Charge{Text: "creditCharged: 3, creditCharged: 3"}},
		{`"creditsCharged":4`, pipeline.Charge{Known: true, Credits: 4}},
		{`"billing":{"creditsCharged":5,"resultsReturned":1}`, pipeline.Charge{Known: true, Credits: 5}},
		{`"billing":null,"creditCharged":3`, pipeline.Charge{Known: true, Credits: 3}},
		{`"billing":{}`, pipeline.Charge{}},
		{`"billing":3`, pipeline.Charge{Text: "billing.creditsCharged: 3"}},
		{`"billing":{"creditsCharged":5},"billing":{"creditsCharged":5}`, pipeline.Charge{Text: "billing.creditsCharged: 5, billing.creditsCharged: 5"}},
		{`"creditCharged":3,"billing":{"creditsCharged":3}`, pipeline.Charge{Known: true, Credits: 3}},
		{`"creditCharged":3,"creditsCharged":4`, pipeline.Charge{Text: "creditCharged: 3, creditsCharged: 4"}},
		{`"creditCharged":null,"creditsCharged":4`, pipeline.Charge{Text: "creditCharged: null, creditsCharged: 4"}},
		{`"CreditCharged":3`, pipeline.Charge{}},
		{`"credit\u0043harged":3`, pipeline.Charge{Known: true, Credits: 3}},
		{`"startDate":"2026-01-01"`, pipeline.Charge{}},
	} {
		call, _, _, err := decodeText(lushatest.Companies(1), `{"companies":{},`+tt.fields+`}`)
		if err != nil || call.Outcome != pipeline.Charged || call.Charge != tt.want {
			t.Errorf("DecodeAnswer(%s) = %+v, %s, %v, want %+v, charged, nil", tt.fields, call.Charge, call.Outcome, err, tt.want)
		}
	}
}

// TestUndecodable: whatever is no complete answer is unclear, and never charged.
func TestUndecodable(t *testing.T) {
	whole := `{"companies":{"1001":{"companyId":"1001","surgeInHiring":[{"signalId":"7","x":"\u00e9\n"}]}},"creditCharged":1}`
	if call, _, _, err := decodeText(lushatest.Companies(1), "\ufeff "+whole+"\r\n"); err != nil || call.Outcome != pipeline.Charged {
		t.Fatalf("DecodeAnswer(whole) = %s, %v, want charged", call.Outcome, err)
	}
	bad := []string{
		"", " ", "null", "[]", "3", `"x"`, whole + "x", whole + whole, strings.Replace(whole, `"7"`, "nan", 1),
		strings.Replace(whole, `"7"`, "07", 1), strings.Replace(whole, `"7"`, "1.", 1), strings.Replace(whole, `"7"`, "+1", 1),
		strings.Replace(whole, `"7"`, "'7'", 1), strings.Replace(whole, `"7"`, `"7",`, 1), strings.Replace(whole, `"7"`, "\t\xff", 1),
		strings.Replace(whole, `"7"`, strings.Repeat("[", 300)+strings.Repeat("]", 299)+"}", 1),
		strings.Replace(whole, `"7"`, "tru", 1), strings.Replace(whole, `,"credit`, `"credit`, 1),
		`{"companies":3,"creditCharged":1}`, `{"creditCharged":1}`, `{"error":"x"}`, `{"companies":null,"error":"x"}`,
	}
	for i := range whole {
		bad = append(bad, whole[:i])
	}
	for _, text := range bad {
		call, items, unmatched, err := decodeText(lushatest.Companies(1), text)
		if err == nil || call.Outcome != pipeline.InDoubt || len(items) != 1 || items[0].Status != schema.InDoubt || unmatched != nil || call.StartDate != "" {
			t.Errorf("DecodeAnswer(%s) = %s, %s, %v, want ambiguous, held, an error", truncateText(text, 60), call.Outcome, lushatest.Statuses(items), err)
		}
	}
}

func TestDecodeOddities(t *testing.T) {
	search := lushatest.Companies(2)
	search.ByID = false
	for i := range search.Items {
		search.Items[i].Account = schema.Account{Object: schema.Company, Domain: "harborquill.example"}
	}
	for _, tt := range []struct {
		name, text string
		b          *pipeline.Batch
		want       string // statuses
		strays     int
		check      func([]pipeline.ItemReply) string // what is wrong
	}{
		{"an entry that is null", `{"companies":{"1001":null}}`, lushatest.Companies(1), "not_found", 0, nil},
		{"an entry that is a text", `{"companies":{"1001":"no such company"}}`, lushatest.Companies(1), "not_found", 0, func(r []pipeline.ItemReply) string {
			return diffMessage(r[0].Reason, "no such company")
		}},
		{"an entry that is a list", `{"companies":{"1001":[{"surgeInHiring":[{"signalId":"1"}]},{"surgeInHiring":{"signalId":"2"}}]}}`, lushatest.Companies(1), "enriched", 0, func(r []pipeline.ItemReply) string {
			return diffMessage(len(r[0].Events), 2)
		}},
		{"an error that is a text", `{"companies":{"1001":{"error":"EMPTY_DATA"}}}`, lushatest.Companies(1), "not_found", 0, func(r []pipeline.ItemReply) string { return diffMessage(r[0].Reason, "EMPTY_DATA") }},
		{"an error that says nothing", `{"companies":{"1001":{"companyId":1001,"error":null}}}`, lushatest.Companies(1), "no_signal", 0, nil},
		{"an error and events", `{"companies":{"1001":{"error":"partial","surgeInHiring":[{}]}}}`, lushatest.Companies(1), "enriched", 0, nil},
		{"an empty object for a type", `{"companies":{"1001":{"surgeInHiring":{}}}}`, lushatest.Companies(1), "no_signal", 0, nil},
		{"scalars among events", `{"companies":{"1001":{"surgeInHiring":[null,3,{"signalId":"1"}]}}}`, lushatest.Companies(1), "enriched", 0, func(r []pipeline.ItemReply) string {
			return diffMessage(string(r[0].UnknownFields), `{"surgeInHiring":3}`)
		}},
		{"identity from the event", `{"companies":{"1001":{"surgeInHiring":[{"companyId":1001,"companyName":"Harbor Quill","domain":"harborquill.example"}]}}}`, lushatest.Companies(1), "enriched", 0, func(r []pipeline.ItemReply) string {
			return diffMessage(r[0].Entity, schema.Entity{Object: schema.Company, ID: "1001", Name: "Harbor Quill", Domain: "harborquill.example"})
		}},
		{"keys that are ordinals, ids inside", `{"companies":{"0":{"companyId":1002,"surgeInHiring":[{"signalId":"1"}]},"1":{"companyId":1001}}}`, lushatest.Companies(2), "no_signal enriched", 0, nil},
		{"a foreign key for an item that has its entry", `{"companies":{"x":{"companyId":1001},"1001":{"companyId":1001}}}`, lushatest.Companies(1), "no_signal", 1, nil},
		{"a list in a search, by reference", `{"companies":[{"clientReferenceId":"r1","companyId":"7"},{"id":"r0","companyId":"8","surgeInHiring":[{}]}]}`, search, "enriched no_signal", 0, func(r []pipeline.ItemReply) string {
			return diffMessage(r[1].Entity.ID+r[0].Entity.ID, "78")
		}},
		{"a list in a search, ids only", `{"companies":[{"companyId":"7"},{"id":"8"}]}`, search, "not_found not_found", 2, nil},
		{"a list with null in it", `{"companies":[null,{"companyId":"1001"}]}`, lushatest.Companies(1), "no_signal", 0, nil},
		{"white space", "{ \"companies\" : { \"1001\" : { \"surgeInHiring\" : [ { \"signalId\" : \"a \\\" b\" } ] } } }", lushatest.Companies(1), "enriched", 0, func(r []pipeline.ItemReply) string {
			return diffMessage(string(r[0].Events[0].Raw), `{"signalId":"a \" b"}`)
		}},
		{"two entries with unknown fields", `{"companies":{"1001":{"x":1,"error":"gone"},"1001":{"x":2,"y":3,"companyId":"1001"}}}`, lushatest.Companies(1), "no_signal", 0, func(r []pipeline.ItemReply) string {
			return diffMessage(string(r[0].UnknownFields)+r[0].Entity.ID, `{"x":1,"x#2":2,"y":3}1001`)
		}},
		{"both roots of the dialects", `{"companies":{"1001":{"companyId":"1001"}},"results":[{"id":"1002"}]}`, lushatest.Companies(2), "no_signal no_signal", 0, nil},
		{"entries and an error", `{"statusCode":500,"message":"partly","companies":{"1001":{"companyId":"1001"}}}`, lushatest.Companies(2), "no_signal not_found", 0, nil},
		{"an unknown field twice", `{"companies":{"1001":{"x":1,"x":2}}}`, lushatest.Companies(1), "no_signal", 0, func(r []pipeline.ItemReply) string { return diffMessage(string(r[0].UnknownFields), `{"x":1,"x#2":2}`) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			call, items, unmatched, err := decodeText(tt.b, tt.text)
			if err != nil || call.Outcome != pipeline.Charged || lushatest.Statuses(items) != tt.want || len(unmatched) != tt.strays {
				t.Fatalf("DecodeAnswer(%s) = %s, %s, %d strays, %v, want charged, %s, %d, nil", tt.text, call.Outcome, lushatest.Statuses(items), len(unmatched), err, tt.want, tt.strays)
			}
			if tt.check != nil {
				if wrong := tt.check(items); wrong != "" {
					t.Errorf("DecodeAnswer(%s): %s", tt.text, wrong)
				}
			}
		})
	}
}

func diffMessage(got, want any) string {
	if diff := cmp.Diff(want, got); diff != "" {
		return "(-want +got):\n" + diff
	}
	return ""
}

// TestSameIDTwice: the id is asked once, and both items have the answer.
func TestSameIDTwice(t *testing.T) {
	b := lushatest.Companies(2)
	b.Items[1].Account.ID = "1001"
	_, items, _, _ := decodeText(b, paidAnswer)
	if lushatest.Statuses(items) != "enriched enriched" {
		t.Errorf("statuses = %s, want enriched twice", lushatest.Statuses(items))
	}
}

// TestExplanation: what a refusal says under other names than the API's is shown, and
// changes neither the outcome nor what rows state.
func TestExplanation(t *testing.T) {
	for _, tt := range []struct {
		status                     int
		body, explanation, summary string
		outcome                    pipeline.Outcome
	}{
		{403, `{"type":"about:blank","title":"Forbidden","status":403,"detail":"the key is not for this host"}`, "HTTP 403: Forbidden; the key is not for this host", "HTTP 403 Forbidden", pipeline.InDoubt},
		{403, `{"statusCode":403,"message":"no","detail":["a","b"]}`, "HTTP 403: no; a; b", "HTTP 403: no", pipeline.NotCharged},
		{402, `{"error":"payment","error_description":"no card on file"}`, "HTTP 402: payment; no card on file", "HTTP 402: payment", pipeline.NotCharged},
		{503, `under maintenance until 6 UTC`, "HTTP 503: under maintenance until 6 UTC", "HTTP 503: under maintenance until 6 UTC", pipeline.InDoubt},
		{429, `{"title":"Too many","detail":"daily limit"}`, "HTTP 429: Too many; daily limit", "HTTP 429 Too Many Requests", pipeline.NotCharged},
	} {
		v := Classify(tt.status, nil, []byte(tt.body))
		if v.explanation() != tt.explanation || v.summary() != tt.summary || v.Outcome != tt.outcome {
			t.Errorf("%d %s: %q, %q, %s; want %q, %q, %s", tt.status, tt.body, v.explanation(), v.summary(), v.Outcome, tt.explanation, tt.summary, tt.outcome)
		}
	}
	if v := Classify(429, nil, []byte(`{"title":"Too many","detail":"daily limit, reset in 90 seconds"}`)); v.Class != ClassRateDay || v.RetryAfter != 90*time.Second {
		t.Errorf("a problem document about the day: %s after %s, want %s after 1m30s", v.Class, v.RetryAfter, ClassRateDay)
	}
}

func TestClassifyOutcomes(t *testing.T) {
	envelope := func(status int) string { return fmt.Sprintf(`{"statusCode":%d,"message":"m"}`, status) }
	for _, tt := range []struct {
		status  int
		body    string
		class   Class
		outcome pipeline.Outcome
	}{
		{200, paidAnswer, ClassOK, pipeline.Charged},
		{200, envelope(500), ClassServer, pipeline.NotCharged},
		{200, envelope(504), ClassTimedOut, pipeline.InDoubt},
		{200, `{}`, ClassUnknown, pipeline.InDoubt},
		{200, `{"message":"accepted"}`, ClassUnknown, pipeline.InDoubt},
		{302, "", ClassRedirect, pipeline.NotCharged},
		{303, "", ClassRedirect, pipeline.InDoubt},
		{400, "", ClassProxy, pipeline.InDoubt},
		{400, "{}", ClassProxy, pipeline.InDoubt},
		{400, envelope(400), ClassBadRequest, pipeline.NotCharged},
		{402, `{"statusCode":402,"message":"upgrade your plan"}`, ClassEntitlement, pipeline.NotCharged},
		{402, `{"statusCode":402,"message":"your plan has no credits left"}`, ClassCredits, pipeline.NotCharged},
		{408, envelope(408), ClassTimedOut, pipeline.InDoubt},
		{409, envelope(409), ClassUnknown, pipeline.NotCharged},
		{415, envelope(415), ClassRoute, pipeline.NotCharged},
		{429, "", ClassRateBurst, pipeline.NotCharged},
		{499, "", ClassTimedOut, pipeline.InDoubt},
		{500, envelope(500), ClassServer, pipeline.NotCharged},
		{500, `{"error":{"code":500,"message":"m"}}`, ClassServer, pipeline.NotCharged},
		{500, `{"message":"Internal server error"}`, ClassProxy, pipeline.InDoubt},
		{500, envelope(499), ClassTimedOut, pipeline.InDoubt},
		{502, envelope(502), ClassServer, pipeline.NotCharged},
		{502, "<html>", ClassProxy, pipeline.InDoubt},
		{503, envelope(503)[:20], ClassProxy, pipeline.InDoubt},
		{504, envelope(504), ClassTimedOut, pipeline.InDoubt},
		{600, envelope(600), ClassUnknown, pipeline.InDoubt},
		{101, "", ClassUnknown, pipeline.InDoubt},
		{0, "", ClassUnknown, pipeline.InDoubt},
	} {
		if v := Classify(tt.status, nil, []byte(tt.body)); v.Class != tt.class || v.Outcome != tt.outcome {
			t.Errorf("Classify(%d, %s) = %s, %s, want %s, %s", tt.status, tt.body, v.Class, v.Outcome, tt.class, tt.outcome)
		}
	}
	// The headers identify a silent 429.
	h := http.Header{}
	h.Set("x-daily-requests-left", "0")
	if v := Classify(429, h, nil); v.Class != ClassRateDay {
		t.Errorf("Classify(429, day empty) = %s, want rate_day", v.Class)
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	for _, x := range fixtures(f) {
		if x.Request.Method == "POST" {
			f.Add(x.Response.Status, x.answer(), strings.Contains(x.Request.Path, "search"), strings.Contains(x.Request.Path, "contact"))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, search, contact bool) {
		b := lushatest.Companies(3)
		b.Items[0].Account.ID, b.Items[1].Account.ID = "88003321", "70114455"
		b.Items[2].Ref = "acct-9"
		if contact {
			b.Query.Object, b.Query.Ask = schema.Contact, pipeline.SignalsAsk{Types: []string{"companyChange", "promotion"}, MaxResults: 10}
		}
		if search {
			b.ByID = false
			for i := range b.Items {
				b.Items[i].Account = schema.Account{Object: b.Query.Object, Domain: "x.example", Email: "a@x.example"}
			}
		}
		original := bytes.Clone(body)
		call := pipeline.Call{ID: "c", Status: status, Body: body, Outcome: pipeline.InDoubt}
		items, unmatched, err := DecodeAnswer(b, &call)
		if len(items) != len(b.Items) {
			t.Fatalf("%d items, want %d", len(items), len(b.Items))
		}
		if !bytes.Equal(original, body) {
			t.Fatal("the body was changed")
		}
		doc, _ := jsonscan.Repair(bytes.TrimPrefix(body, []byte("\ufeff")))
		switch call.Outcome {
		case pipeline.Charged:
			if status/100 != 2 || !json.Valid(doc) || !utf8.Valid(doc) || err != nil {
				t.Fatalf("charged with status %d, valid %v, %v", status, json.Valid(doc), err)
			}
		case pipeline.NotCharged, pipeline.InDoubt:
			if unmatched != nil {
				t.Fatal("strays without an answer")
			}
		default:
			t.Fatalf("outcome %q", call.Outcome)
		}
		if call.Charge.Known && (call.Charge.Credits < 0 || !bytes.Contains(body, []byte("harged")) && !bytes.Contains(body, []byte(`\u`))) {
			t.Fatalf("charge %+v from nowhere", call.Charge)
		}
		events := 0
		for i, r := range slices.Concat(items, unmatched) {
			if r.Status == "" {
				t.Fatalf("item %d has no status", i)
			}
			if (r.Status == schema.Enriched) != (len(r.Events) > 0) {
				t.Fatalf("item %d: %s with %d events", i, r.Status, len(r.Events))
			}
			for _, e := range r.Events {
				events++
				if len(e.Raw) == 0 || e.Raw[0] != '{' || !isCompact(e.Raw) {
					t.Fatalf("event %s", e.Raw)
				}
			}
			if r.UnknownFields != nil && !isCompact(r.UnknownFields) {
				t.Fatalf("extra %s", r.UnknownFields)
			}
		}
		if call.UnknownFields != nil && !isCompact(call.UnknownFields) {
			t.Fatalf("extra %s", call.UnknownFields)
		}
		repeated := call
		items2, unmatched2, err2 := DecodeAnswer(b, &repeated)
		if !reflect.DeepEqual(items, items2) || !reflect.DeepEqual(unmatched, unmatched2) || !reflect.DeepEqual(call, repeated) || (err == nil) != (err2 == nil) {
			t.Fatalf("a second reading differs:\n%s", cmp.Diff(call, repeated))
		}
	})
}

func isCompact(raw json.RawMessage) bool {
	var out bytes.Buffer
	return json.Compact(&out, raw) == nil && bytes.Equal(out.Bytes(), raw)
}

func FuzzClassify(f *testing.F) {
	for _, x := range fixtures(f) {
		f.Add(x.Response.Status, x.Response.Headers["retry-after"], x.answer())
	}
	f.Fuzz(func(t *testing.T, status int, after string, body []byte) {
		h := http.Header{}
		h.Set("Retry-After", after)
		v := Classify(status, h, body)
		if v.Class == "" || v.RetryAfter < 0 || !utf8.ValidString(v.FullMessage()) || len(v.FullMessage()) > 2100 {
			t.Fatalf("Classify() = %+v", v)
		}
		doc, _ := jsonscan.Repair(bytes.TrimPrefix(body, []byte("\ufeff")))
		valid := json.Valid(doc) && utf8.Valid(doc)
		switch v.Outcome {
		case pipeline.Charged:
			if v.Class != ClassOK || status/100 != 2 || !valid {
				t.Fatalf("Classify(%d) = %+v, valid %v", status, v, valid)
			}
		case pipeline.NotCharged:
			// Only a complete document of the API, a 429 or a redirect proves it.
			if !valid && status != 429 && status/100 != 3 {
				t.Fatalf("Classify(%d, %q) = %+v", status, body, v)
			}
			if status/100 == 5 && !bytes.Contains(body, []byte("ode")) && !bytes.Contains(body, []byte(`\u`)) {
				t.Fatalf("Classify(%d, %q) = %+v", status, body, v)
			}
		case pipeline.InDoubt:
		default:
			t.Fatalf("outcome %q", v.Outcome)
		}
	})
}

// bigAnswer is an answer about 100 companies with about 10 events each.
func bigAnswer() (*pipeline.Batch, []byte) {
	b := lushatest.Companies(100)
	b.Query.Ask = pipeline.SignalsAsk{Types: []string{"surgeInHiring", "financialEventsNews", "riskNews"}, MaxResults: 10}
	var out bytes.Buffer
	out.WriteString(`{"companies":{`)
	for i := range b.Items {
		if i > 0 {
			out.WriteByte(',')
		}
		id := b.Items[i].Account.ID
		fmt.Fprintf(&out, `"%s":{"companyId":"%[1]s","companyName":"Harbor Quill %[1]s","domain":"harborquill%[1]s.example","surgeInHiring":[{"companyId":"%[1]s","companyName":"Harbor Quill","domain":"harborquill.example","signalId":"9100410","signalDate":"2026-04-20","newJobsPostedLastWeek":22,"historicalAvg":8,"changeRatePercent":175}],"financialEventsNews":[`, id)
		for j := range 6 {
			if j > 0 {
				out.WriteByte(',')
			}
			fmt.Fprintf(&out, `{"companyId":"%s","companyName":"Harbor Quill","domain":"harborquill.example","signalId":"91004%02d","eventType":"Funding Round","eventSummary":"Harbor Quill closed a growth round led by \"Tallow & Finch\".","articleTitle":"Harbor Quill raises new capital","articleHighlight":"The firm plans to double its support desk.","articleUrl":"https://news.example/harbor-quill/%d","articlePublishedDate":"2026-04-18","eventEffectiveDate":"2026-04-16"}`, id, j, j)
		}
		out.WriteString(`],"riskNews":[]}`)
	}
	out.WriteString(`},"startDate":"2026-01-01","endDate":"2026-05-01","creditCharged":700}`)
	return b, out.Bytes()
}

func BenchmarkDecodeAnswer(b *testing.B) {
	batch, body := bigAnswer()
	var spaced bytes.Buffer
	json.Indent(&spaced, body, "", "  ")
	for _, tt := range []struct {
		name string
		body []byte
	}{{"compact", body}, {"indented", spaced.Bytes()}} {
		b.Run(tt.name, func(b *testing.B) {
			b.SetBytes(int64(len(tt.body)))
			b.ReportAllocs()
			for b.Loop() {
				call := pipeline.Call{ID: "c", Status: 200, Body: tt.body}
				if items, _, err := DecodeAnswer(batch, &call); err != nil || len(items[99].Events) != 7 {
					b.Fatalf("DecodeAnswer() = %v", err)
				}
			}
		})
	}
}
