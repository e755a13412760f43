package lusha

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// sampleDelivery is that of the vendor's documentation.
const sampleDelivery = `{"id": "5a0d2a58-3f0c-4c55-9f43-5f7c3a7f1d20", "type": "promotion",
 "entityType": "contact", "entityId": "70114455", "subscriptionId": "66aa00112233445566778899",
 "data": {"personId": 70114455, "currentCompanyId": 88003321, "currentTitle": "Head of Finance",
          "currentDepartments": [{"id": 4, "value": "Finance"}], "signalDate": "2026-04-01"},
 "timestamp": "2026-04-02T08:15:30.120Z", "billing": {"creditsCharged": 1}}`

func TestReadDelivery(t *testing.T) {
	t.Parallel()
	person := schema.Entity{Object: schema.Contact, ID: "70114455"}
	for _, c := range []struct {
		name, body string
		want       Delivery // without events
		event      string   // its record; empty: it is not compared
	}{
		{"sample", sampleDelivery,
			Delivery{Type: "promotion", Entity: person, Subscription: "66aa00112233445566778899", Charge: pipeline.Charge{Known: true, Credits: 1}},
			`{"personId":70114455,"currentCompanyId":88003321,"currentTitle":"Head of Finance","currentDepartments":[{"id":4,"value":"Finance"}],"signalDate":"2026-04-01"}`},
		{"other names", `{"signal_type":"promotion","entityId":70114455,"subscription_id":"66aa","data":{"personId":70114455},"billing":{"creditsCharged":2}}`,
			Delivery{Type: "promotion", Entity: person, Subscription: "66aa", Charge: pipeline.Charge{Known: true, Credits: 2}}, `{"personId":70114455}`},
		{"camel case", `{"signalType":"websiteTrafficIncrease","data":{"companyId":"9","companyName":"Ada","domain":"www.ada.example"}}`,
			Delivery{Type: "websiteTrafficIncrease", Entity: schema.Entity{Object: schema.Company, ID: "9", Name: "Ada", Domain: "ada.example"}}, ""},
		{"odd charge", `{"type":"promotion","entityType":"contact","entityId":"70114455","data":{"signalDate":"2026-04-01"},"billing":{"creditsCharged":"many"}}`,
			Delivery{Type: "promotion", Entity: person, Charge: pipeline.Charge{Text: `billing.creditsCharged: "many"`}}, ""},
		{"charges that disagree", `{"type":"promotion","entityType":"contact","entityId":"70114455","data":{"signalDate":"2026-04-01"},"creditsCharged":1,"billing":{"creditsCharged":2}}`,
			Delivery{Type: "promotion", Entity: person, Charge: pipeline.Charge{Text: `creditsCharged: 1, billing.creditsCharged: 2`}}, ""},
		{"unknown type", `{"type":"shareBuyback","entityType":"company","entityId":"9","data":{"amount":5},"billing":{"creditsCharged":1}}`,
			Delivery{Type: "shareBuyback", Entity: schema.Entity{Object: schema.Company, ID: "9"}, Charge: pipeline.Charge{Known: true, Credits: 1}}, `{"amount":5}`},
		{"no event", `{"type":"promotion","entityType":"contact","entityId":"70114455","data":null,"billing":{"creditsCharged":1}}`,
			Delivery{Type: UnreadableDelivery, Entity: person, Charge: pipeline.Charge{Known: true, Credits: 1}}, ""},
		{"no type", `{"entityType":"contact","entityId":"70114455","data":{"personId":1}}`,
			Delivery{Type: UnreadableDelivery, Entity: person}, `{"entityType":"contact","entityId":"70114455","data":{"personId":1}}`},
		{"absurd type", `{"type":"` + strings.Repeat("x", 300) + `","entityType":"contact","entityId":"70114455","data":{"personId":1}}`,
			Delivery{Type: UnreadableDelivery, Entity: person}, ""},
		{"no JSON", "\xffhello", Delivery{Type: UnreadableDelivery, Entity: schema.Entity{Object: schema.Company}}, `{"body":"` + "\uFFFD" + `hello"}`},
		{"cut", `{"type":"promotion","data":{"personId":1`, Delivery{Type: UnreadableDelivery, Entity: schema.Entity{Object: schema.Company}}, ""},
		{"a list", `[1]`, Delivery{Type: UnreadableDelivery, Entity: schema.Entity{Object: schema.Company}}, `{"body":"[1]"}`},
		{"empty", ``, Delivery{Type: UnreadableDelivery, Entity: schema.Entity{Object: schema.Company}}, `{"body":""}`},
	} {
		got := ReadDelivery([]byte(c.body))
		if len(got.events) != 1 || got.events[0].Type != got.Type {
			t.Errorf("%s: events %+v, want one of its type", c.name, got.events)
			continue
		}
		if raw := string(got.events[0].Raw); c.event != "" && raw != c.event {
			t.Errorf("%s: record %s, want %s", c.name, raw, c.event)
		}
		if unreadable := got.Type == UnreadableDelivery; unreadable != (got.events[0].Note != "") {
			t.Errorf("%s: the note of %q is %q", c.name, got.Type, got.events[0].Note)
		}
		if !got.Charge.Known && got.Charge.Credits != 0 {
			t.Errorf("%s: an unknown charge of %d", c.name, got.Charge.Credits)
		}
		if got.Charge.Known {
			got.Charge.Text = ""
		}
		if got.events, got.warnings = nil, nil; !cmp.Equal(*got, c.want, cmp.AllowUnexported(Delivery{})) {
			t.Errorf("%s: %s", c.name, cmp.Diff(c.want, *got, cmp.AllowUnexported(Delivery{})))
		}
	}
}

// TestReadDeliveryKeepsWhatItDoesNotKnow: fields of the delivery are in the ledger, and another id of the entity
// is an alias.
func TestReadDeliveryKeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	d := ReadDelivery([]byte(`{"type":"promotion","type":"companyChange","entityType":"contact","entityId":"7","data":{"personId":8},"region":"eu","billing":{"creditsCharged":1,"plan":"x"}}`))
	if got, want := string(d.unknown), `{"type":"companyChange","region":"eu","billing":{"plan":"x"}}`; got != want {
		t.Errorf("unknown fields %s, want %s", got, want)
	}
	if !cmp.Equal(d.aliases, []string{"8"}) || d.Entity.ID != "7" {
		t.Errorf("entity %s, aliases %v, want 7 and 8", d.Entity.ID, d.aliases)
	}
	if len(d.warnings) != 1 || !strings.Contains(d.warnings[0], "type") {
		t.Errorf("warnings %q, want one about the type", d.warnings)
	}
}

// FuzzReadDelivery: whatever arrives with the right signature is one event or several of one type, about an
// object, and its charge is never a number that it does not state.
func FuzzReadDelivery(f *testing.F) {
	for _, body := range []string{sampleDelivery, `{"data":[{"personId":1},[{}]],"type":"x"}`, `{"type":"x","data":"{\"a\":1}"}`, "\xef\xbb\xbf{}", `{"type":"x","data":{"0":{"signalDate":1}}}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := ReadDelivery(body)
		if len(d.events) == 0 || d.Entity.Object != schema.Contact && d.Entity.Object != schema.Company {
			t.Fatalf("%q: %+v", body, d)
		}
		for _, e := range d.events {
			if e.Type != d.Type || len(e.Raw) == 0 || e.Raw[0] != '{' {
				t.Fatalf("%q: event %+v of a delivery of type %q", body, e, d.Type)
			}
		}
		if d.Charge.Known && !strings.Contains(strings.ToLower(string(body)), "charged") && !strings.Contains(string(body), `\u`) && !strings.Contains(string(body), "billing") {
			t.Fatalf("%q: charge %+v", body, d.Charge)
		}
	})
}

// FuzzReadOptOut: whatever a notice has, it names a contact or is none, and an e-mail address is what it states.
func FuzzReadOptOut(f *testing.F) {
	for _, body := range []string{
		`{"contactId":"7","fullName":"Ada","companyName":"B","linkedinUrl":"https://x","contactOptOutDate":"2026-05-06 07:41:02.090","datapoints":[{"datapointId":"a@b.example","datapointType":"email"}]}`,
		`{"contactId":7,"datapoints":{"datapointType":"email"}}`, `{"contactId":"7","datapoints":[[],{},null,"x",{"datapointId":{},"datapointType":"email"}],"contactOptOutDate":1}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		notice := ReadOptOut(body)
		if notice == nil {
			return
		}
		if notice.Contact == "" || slices.Contains(notice.Emails, "") || len(notice.Emails) > bytes.Count(body, []byte("{")) {
			t.Fatalf("%q: %+v", body, notice)
		}
	})
}
