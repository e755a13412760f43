package flatten

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/schema"
)

// TestUIDsOfVersion2: runs of earlier builds are verified and completed with the uids that those
// builds wrote.
func TestUIDsOfVersion2(t *testing.T) {
	text, err := os.ReadFile("../../testdata/golden/uids-2.txt") // written by such a build, never again
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		key, want, _ := strings.Cut(line, " ")
		r := rowsOf(t, byDay(2), event(key, record(t, key)))[0]
		if r.uid != want {
			t.Errorf("%s: uid = %s, want %s", key, r.uid, want)
		}
		if version := r.value("schema_version"); version != columns.Int(2) {
			t.Errorf("%s: schema_version = %d, want 2", key, version.N)
		}
	}
	undated := rowsOf(t, byDay(2), event("promotion", `{}`))[0]
	if got := undated.partition.String(); got != "contact/event_day=unknown" {
		t.Errorf("partition of an undated event in version 2 = %s, want contact/event_day=unknown", got)
	}
}

// TestUIDSaysWhomTheEventIsAbout: the record's id, else the answer's, else what was requested.
func TestUIDSaysWhomTheEventIsAbout(t *testing.T) {
	uid := func(raw, answerID string, by schema.Identifier, requested string) string {
		key := "financialEventsNews"
		e := event(key, raw)
		e.Entity.ID, e.RequestedBy, e.Requested = answerID, by, requested
		return rowsOf(t, byMonth(schema.Version), e)[0].uid
	}
	plain, named := `{"signalId":"9"}`, `{"signalId":"9","companyId":"1"}`
	same := uid(named, "", "", "")
	for name, got := range map[string]string{
		"the answer states the id":                 uid(plain, "1", schema.ByDomain, "a.example"),
		"the id was requested":                     uid(plain, "", schema.ByID, "1"),
		"the record's id wins":                     uid(named, "2", schema.ByID, "3"),
		"a token gives way to the answer's id":     uid(`{"signalId":"9","companyId":"v1.xyz"}`, "1", "", ""),
		"tokens give way to the id that was asked": uid(`{"signalId":"9","companyId":"v1.xyz"}`, "v1.abc", schema.ByID, "1"),
	} {
		if got != same {
			t.Errorf("%s: uid = %s, want %s", name, got, same)
		}
	}
	seen := map[string]string{}
	for name, got := range map[string]string{
		"id": same, "domain": uid(plain, "", schema.ByDomain, "1"), "other domain": uid(plain, "", schema.ByDomain, "2"),
		"name": uid(plain, "", schema.ByName, "1"), "token": uid(plain, "v1.xyz", "", ""), "other token": uid(plain, "v1.abc", "", ""),
		"unrequested": uid(plain, "", schema.Unrequested, "1"),
	} {
		if other, taken := seen[got]; taken {
			t.Errorf("the uids of %q and %q are equal", name, other)
		}
		seen[got] = name
	}
}

// TestSharedEventID: one piece of news about two companies is an event of each.
func TestSharedEventID(t *testing.T) {
	text, err := os.ReadFile("../../testdata/hard-answers/shared-signal-id.json")
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Companies map[string]struct{ CommercialActivityNews []json.RawMessage }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	var uids []string
	for _, company := range []string{"r1", "r2"} {
		for _, raw := range answer.Companies[company].CommercialActivityNews {
			uids = append(uids, uidOf(t, "commercialActivityNews", string(raw)))
		}
	}
	if len(uids) != 2 || uids[0] == uids[1] {
		t.Errorf("uids = %q, want two", uids)
	}
}

// TestProductUIDs: results without an id are those of the entities that were requested.
func TestProductUIDs(t *testing.T) {
	uid := func(version int, requested string) string {
		e := schema.Event{
			Entity: schema.Entity{Object: schema.Company}, Type: schema.ProductScore, Raw: json.RawMessage(`{"signalScore":7}`),
			RequestedBy: schema.ByDomain, Requested: requested, Origin: &schema.Origin{Until: "2026-05-07"},
		}
		return rowsOf(t, byMonth(version), e)[0].uid
	}
	if a, b := uid(3, "a.example"), uid(3, "b.example"); a == b || a != uid(3, "a.example") {
		t.Errorf("uids of equal results = %s and %s, want two that last", a, b)
	}
	if a, b := uid(2, "a.example"), uid(2, "b.example"); a != b {
		t.Errorf("uids in version 2 = %s and %s, want equal", a, b)
	}
}

// TestContentDigest: what a record states, however it is spelled, and whatever the API version.
func TestContentDigest(t *testing.T) {
	digest := func(key, raw string) string { return typedRows(t, event(key, raw))[0].cells["content_digest"] }
	for _, c := range []struct{ name, key, a, b string }{
		{"order, spaces and nulls", "surgeInHiring", `{"changeRatePercent":12,"historicalAvg":8}`, `{ "historicalAvg" : 8 , "changeRatePercent" : 12, "domain":null, "x":[], "y":"" }`},
		{"V2 and V3", "companyChange", `{"personId":"4","currentCompanyName":"A","previousCompanyName":"B","signalDate":"2026-03-09"}`, `{"id":"4","newCompany":"A","previousCompany":"B","signalDate":"2026-03-09"}`},
		{"and both", "companyChange", `{"personId":"4","currentCompanyName":"A"}`, `{"id":"4","personId":"4","newCompany":"A","currentCompanyName":"A"}`},
		{"ids as tokens", "surgeInHiring", `{"companyId":"1","signalId":"9","domain":"a.example"}`, `{"companyId":"v1.abc","signalId":9,"domain":"www.a.example"}`},
		{"forms of departments", "promotion", `{"currentDepartments":"Sales"}`, `{"currentDepartments":[{"id":1,"value":"Sales"}]}`},
		{"numbers as text", "surgeInHiring", `{"historicalAvg":8,"newJobsPostedLastWeek":22}`, `{"historicalAvg":"8.0","newJobsPostedLastWeek":"22"}`},
		{"case of the vocabulary", "riskNews", `{"eventType":"Security Issue"}`, `{"eventType":"security issue"}`},
		{"sign of a decrease", "headcountDecrease1m", `{"changeRatePercent":-12.5}`, `{"changeRatePercent":12.5}`},
		{"a timestamp for a date", "surgeInHiring", `{"signalDate":"2026-04-20"}`, `{"signalDate":"2026-04-20T10:00:00Z"}`},
		{"a topic next to another one", "intent", `{"detectedTopics":[{"topicName":"A","topicScore":1}]}`, `{"detectedTopics":[{"topicName":"A","topicScore":1},{"topicName":"B"}]}`},
	} {
		if a, b := digest(c.key, c.a), digest(c.key, c.b); a != b || len(a) != 32 {
			t.Errorf("%s: digests of %s and %s are %q and %q, want equal", c.name, c.a, c.b, a, b)
		}
	}
	for _, c := range []struct{ name, key, a, b string }{
		{"a measure", "surgeInHiring", `{"historicalAvg":8}`, `{"historicalAvg":8.5}`},
		{"a title", "promotion", `{"currentTitle":"CEO"}`, `{"currentTitle":"ceo"}`},
		{"a field that is left out", "promotion", `{"currentTitle":"CEO","previousTitle":"CFO"}`, `{"currentTitle":"CEO"}`},
		{"an unknown field", "surgeInHiring", `{"confidence":1}`, `{"confidence":2}`},
		{"in which field it stands", "companyChange", `{"newCompany":"A"}`, `{"previousCompany":"A"}`},
		{"fields that contradict each other", "companyChange", `{"newCompany":"A","currentCompanyName":"A"}`, `{"newCompany":"B","currentCompanyName":"A"}`},
		{"what cannot be typed", "surgeInHiring", `{"historicalAvg":"many"}`, `{"historicalAvg":"few"}`},
		{"a nested field", "linkedinActivityIntent", `{"author":{"fullName":"A"}}`, `{"author":{"fullName":"B"}}`},
		{"a nested field that is unknown", "linkedinActivityIntent", `{"author":{"age":1}}`, `{"author":{"age":2}}`},
		{"large numbers", "itSpendIncrease", `{"estimatedAnnualItSpend":9007199254740993}`, `{"estimatedAnnualItSpend":9007199254740992}`},
		{"no object", "surgeInHiring", `[1]`, `[2]`},
	} {
		if a, b := digest(c.key, c.a), digest(c.key, c.b); a == b {
			t.Errorf("%s: digests of %s and %s are equal", c.name, c.a, c.b)
		}
	}
}

// TestManyNotes: a row lists a bounded number of notes, and how many there are besides. Rows of
// earlier versions of the schema list all.
func TestManyNotes(t *testing.T) {
	t.Parallel()
	raw := `{"articlePublishedDate":"x"` + strings.Repeat(`,"articlePublishedDate":"x"`, 29) + `}`
	for version, want := range map[int]int{2: 30, 3: maxNotes} {
		got := rowsOf(t, byMonth(version), schema.Event{Type: "riskNews", Entity: schema.Entity{Object: schema.Company, ID: "1"}, Raw: json.RawMessage(raw)})
		notes := got[0].value("notes").Text
		if n := strings.Count(notes, "articlePublishedDate:"); n != want || strings.HasSuffix(notes, "; and 10 more") != (version == 3) {
			t.Errorf("version %d: %d notes, want %d: %s", version, n, want, notes)
		}
	}
}

// TestManyTopics: the rows of an intent record with any number of topics take space in proportion to
// it, and together they hold all of it.
func TestManyTopics(t *testing.T) {
	t.Parallel()
	const n = 2000
	var topics []string
	for i := range n {
		topics = append(topics, fmt.Sprintf(`{"topicName":"topic %d"}`, i))
	}
	raw := `{"signalId":"1","extra":"x","detectedTopics":[` + strings.Join(topics, ",") + `]}`
	e := schema.Event{Type: "intent", Entity: schema.Entity{Object: schema.Company, ID: "1"}, Raw: json.RawMessage(raw)}
	rows := rowsOf(t, byMonth(3), e)
	length, uids := 0, map[string]bool{}
	for i, r := range rows {
		text := r.value("raw").Text
		if length += len(text); !strings.Contains(text, topics[i]) || !strings.Contains(text, `"extra":"x"`) || !json.Valid([]byte(text)) {
			t.Fatalf("row %d: %s", i, text)
		}
		uids[r.uid] = true
	}
	if len(uids) != n || length > 10*len(raw) {
		t.Errorf("%d events of %d bytes, want %d of at most %d", len(uids), length, n, 10*len(raw))
	}
	for version, topics := range map[int]int{2: 101, 3: 100} {
		e.Raw = json.RawMessage(`{"detectedTopics":[{}` + strings.Repeat(`,{}`, topics-1) + `]}`)
		for _, r := range rowsOf(t, byMonth(version), e) {
			if got := r.value("raw").Text; got != string(e.Raw) {
				t.Fatalf("version %d, %d topics: the raw of a row is %s", version, topics, got)
			}
		}
	}
}
