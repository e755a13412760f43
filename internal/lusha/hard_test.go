package lusha

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

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
				if !json.Valid(e.Raw) || !utf8.Valid(e.Raw) || memberOf(e.Raw, "eventSummary") != want {
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
