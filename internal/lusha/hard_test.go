package lusha

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// searchOf is a search for n companies, answered under the references r1, r2 and so on.
func searchOf(n int, signal string) *pipeline.Batch {
	b := lushatest.Companies(n)
	b.ByID = false
	b.Query.Ask = pipeline.SignalsAsk{Types: []string{signal}, MaxResults: 10}
	for i := range b.Items {
		b.Items[i].Ref = "r" + string(rune('1'+i))
		b.Items[i].Account = schema.Account{Object: schema.Company, Domain: "x.example"}
	}
	return b
}

// memberOf is what an event states under a name.
func memberOf(raw []byte, name string) string {
	for key, value := range jsonscan.Members(raw) {
		if key == name {
			return jsonscan.Text(value)
		}
	}
	return ""
}

// TestHardAnswers: an answer with a defect in the text of one record is an answer. It is
// charged as it states, the records that are not concerned are as they would be without
// the defect, and the one that is says so.
func TestHardAnswers(t *testing.T) {
	for _, tt := range []struct {
		file, summary string // of the record that is concerned
		charge        int64
	}{
		{"bad-escape", "C:\uFFFDdir\uFFFDx41", 3},
		{"deep-300-in-event", "Summary 1", 3},
		{"latin1-byte", "Caf\uFFFD raises", 3},
		{"lone-high-surrogate", "x\uFFFDy", 3},
		{"raw-tab", "a\uFFFDb", 3},
	} {
		t.Run(tt.file, func(t *testing.T) {
			text, err := os.ReadFile("../../testdata/hard-answers/" + tt.file + ".json")
			if err != nil {
				t.Fatal(err)
			}
			call, items, unmatched, err := decodeText(searchOf(3, "financialEventsNews"), string(text))
			if err != nil || call.Outcome != pipeline.Charged || (call.Charge != pipeline.Charge{Known: true, Credits: tt.charge}) || unmatched != nil {
				t.Fatalf("DecodeAnswer() = %s, %+v, %v, want charged %d", call.Outcome, call.Charge, err, tt.charge)
			}
			if len(call.Warnings) != 1 || !strings.Contains(call.Warnings[0], "repaired") {
				t.Errorf("the call's warnings = %q, want one about a repair", call.Warnings)
			}
			for i, item := range items {
				if item.Status != schema.Enriched || len(item.Events) != 1 {
					t.Fatalf("item %d: %s, %d events, want enriched, 1", i, item.Status, len(item.Events))
				}
				e, want := item.Events[0], "Summary "+string(rune('1'+i))
				if i == 0 {
					want = tt.summary
				}
				// encoding/json accepts half a surrogate pair, and DuckDB does not.
				if !json.Valid(e.Raw) || !utf8.Valid(e.Raw) || strings.Contains(string(e.Raw), `\ud8`) || memberOf(e.Raw, "eventSummary") != want {
					t.Errorf("item %d: %s, want the summary %q", i, e.Raw, want)
				}
				if concerned := i == 0; (e.Note != "") != concerned || (len(item.Warnings) > 0) != concerned {
					t.Errorf("item %d: note %q, warnings %q", i, e.Note, item.Warnings)
				}
			}
		})
	}
}

// TestRepairedRefusal: a defect in the text of a refusal does not make it unclear.
func TestRepairedRefusal(t *testing.T) {
	for _, body := range []string{
		"{\"statusCode\":400,\"message\":\"caf\xe9\"}", "{\"statusCode\":400,\"message\":\"a\nb\"}", `{"statusCode":400,"message":"C:\dir"}`,
	} {
		if v := Classify(400, nil, []byte(body)); v.Class != ClassBadRequest || v.Outcome != pipeline.NotCharged {
			t.Errorf("Classify(400, %q) = %s, %s, want bad_request, not charged", body, v.Class, v.Outcome)
		}
	}
	if v := Classify(400, nil, []byte("{\"statusCode\":400,\"message\":\"caf\xe9\"")); v.Outcome != pipeline.InDoubt {
		t.Errorf("Classify(400, cut) = %s, want in doubt", v.Outcome)
	}
}

// TestRepairKeepsTheStructure: what a repair must not make an answer of.
func TestRepairKeepsTheStructure(t *testing.T) {
	for _, text := range []string{
		"{\"companies\":{\"1001\":{\"x\":\"caf\xe9\"}},\"creditCharged\":1", // cut
		"{\"companies\":{\"1001\":{\"x\":\"caf\xe9}},\"creditCharged\":1}",  // no closing quote
		"{\"companies\":{\"1001\":{\xe9}},\"creditCharged\":1}",
		"{\"comp\xe9nies\":{\"1001\":{}},\"creditCharged\":1}",
		`{"companies":{"1001":{"x":"C:\"}},"creditCharged":1}`,
	} {
		if call, _, _, err := decodeText(lushatest.Companies(1), text); err == nil || call.Outcome != pipeline.InDoubt {
			t.Errorf("DecodeAnswer(%q) = %s, %v, want in doubt", text, call.Outcome, err)
		}
	}
	// A charge with a defect is stated, and unknown.
	call, _, _, err := decodeText(lushatest.Companies(1), "{\"companies\":{\"1001\":{}},\"creditCharged\":NaN}")
	if err != nil || call.Outcome != pipeline.Charged || call.Charge.Known {
		t.Errorf("DecodeAnswer(a charge of NaN) = %s, %+v, %v, want charged, unknown", call.Outcome, call.Charge, err)
	}
}

// TestEventsInOtherForms: events that are not a list of objects are the list that is meant.
func TestEventsInOtherForms(t *testing.T) {
	one, two := `{"signalId":"1","signalDate":"2026-10-01"}`, `{"signalId":"2","signalDate":"2026-10-02"}`
	quoted := func(text string) string { return string(jsonscan.AppendQuoted(nil, text)) }
	for _, tt := range []struct {
		events string
		want   []string // events
		notes  bool     // on the rows
	}{
		{"[" + one + "," + two + "]", []string{one, two}, false},
		{one, []string{one}, false},
		{`{"0":` + one + `,"2":` + two + `}`, []string{one, two}, true},
		{`{"0":` + one + `,"1":null}`, []string{one}, true},
		{`{"a":` + one + `,"b":` + two + `}`, []string{one, two}, true},
		{`{"items":[` + one + `,` + two + `]}`, []string{one, two}, true},
		{"[[" + one + "],[[" + two + "]],[]]", []string{one, two}, true},
		{`[{"0":` + one + `},{"1":` + two + `}]`, []string{one, two}, true},
		{"[" + quoted(one) + "," + quoted(" "+two+"\n") + "]", []string{one, two}, true},
		{quoted("[" + one + "," + two + "]"), []string{one, two}, true},
		{"[" + quoted("["+quoted(one)+"]") + "]", []string{one}, true},
		{`{"0":` + quoted(one) + `}`, []string{one}, true},
		{"{}", nil, false},
		{"[null,[],[[null]]]", nil, false},
		{`{"topics":{"a":1}}`, []string{`{"topics":{"a":1}}`}, false}, // nothing says that it is a list
		{`["x","{","[1",3]`, nil, false},
	} {
		for _, version := range []pipeline.APIVersion{pipeline.V2, pipeline.V3} {
			b, text := lushatest.CompaniesIn(version, 2), ""
			if version == pipeline.V2 {
				text = `{"companies":{"1001":{"companyId":"1001","surgeInHiring":` + tt.events + `},"1002":{"surgeInHiring":[` + one + `]}},"creditCharged":3}`
			} else {
				text = `{"results":[{"id":"1001","surgeInHiring":` + tt.events + `},{"id":"1002","surgeInHiring":[` + one + `]}],"billing":{"creditsCharged":3}}`
			}
			call, items, _, err := decodeText(b, text)
			if err != nil || !call.Charge.Known || len(items[1].Events) != 1 {
				t.Fatalf("%s: DecodeAnswer(%s) = %s, %v", version, text, call.Outcome, err)
			}
			var got []string
			for _, e := range items[0].Events {
				got = append(got, string(e.Raw))
				if (e.Note != "") != tt.notes {
					t.Errorf("%s: DecodeAnswer(%s): note %q", version, tt.events, e.Note)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s: DecodeAnswer(%s): events (-want +got):\n%s", version, tt.events, diff)
			}
		}
	}
}

// TestHardForms: as in the recorded answers.
func TestHardForms(t *testing.T) {
	for file, each := range map[string]int{"php-list-as-object": 2, "event-as-json-string": 1} {
		text, err := os.ReadFile("../../testdata/hard-answers/" + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		call, items, _, err := decodeText(searchOf(3, "financialEventsNews"), string(text))
		if err != nil || (call.Charge != pipeline.Charge{Known: true, Credits: int64(3 * each)}) {
			t.Errorf("%s: DecodeAnswer() = %+v, %v", file, call.Charge, err)
		}
		for i, item := range items {
			if item.Status != schema.Enriched || len(item.Events) != each {
				t.Errorf("%s: item %d: %s, %d events, want enriched, %d", file, i, item.Status, len(item.Events), each)
			}
			for _, e := range item.Events {
				if memberOf(e.Raw, "articlePublishedDate") != "2026-10-18" || e.Note == "" {
					t.Errorf("%s: item %d: %s, note %q", file, i, e.Raw, e.Note)
				}
			}
		}
	}
}

// TestEntryAsText: an entry that is a text with an object in it is that object.
func TestEntryAsText(t *testing.T) {
	entry := `"{\"companyId\":\"1001\",\"surgeInHiring\":[{\"signalId\":\"1\"}]}"`
	_, items, _, err := decodeText(lushatest.Companies(2), `{"companies":{"1001":`+entry+`,"1002":"{no company}"},"creditCharged":1}`)
	if err != nil || lushatest.Statuses(items) != "enriched not_found" || len(items[0].Events) != 1 || len(items[0].Warnings) == 0 {
		t.Errorf("DecodeAnswer() = %s, %+v, %v, want enriched, not_found", lushatest.Statuses(items), items[0], err)
	}
}
