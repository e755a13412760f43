package flatten

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/internal/jsonscan/jsontest"
	"github.com/siglake/siglake/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// companyFields are the first fields of a company record.
const companyFields = `"companyId":"50023","companyName":"Kestrel Loom","domain":"kestrelloom.example"`

// record is the documented record of a key, as the API sends it.
func record(t testing.TB, key string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "testdata", "golden", "records", key+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}

// event is a received event of a key, like those of the recorder.
func event(key, raw string) schema.Event {
	e := schema.Event{
		Entity: schema.Entity{Object: schema.Company, ID: "50023", Name: "Kestrel Loom"}, AccountKey: "crm-9", Type: key, Raw: json.RawMessage(raw),
		CallID: "000003-1", FetchedAt: time.Date(2026, 5, 7, 2, 30, 0, 123456789, time.UTC), Source: "poll",
	}
	if s, _ := schema.LookupSignal(key); s.Object == schema.Contact {
		e.Entity = schema.Entity{Object: schema.Contact, ID: "40117"}
	}
	return e
}

// typedRow is a row with its cells as text by column name; null cells are absent.
type typedRow struct {
	partition string
	cells     map[string]string
}

func typedRows(t testing.TB, e schema.Event) []typedRow {
	t.Helper()
	var out []typedRow
	for _, r := range rowsOf(t, byMonth(schema.Version), e) {
		columns := schema.EventTables[r.table].Columns
		if len(r.values) != len(columns) {
			t.Fatalf("flattenEvent(%s) has %d values, want %d", e.Raw, len(r.values), len(columns))
		}
		tr := typedRow{r.partition.String(), map[string]string{}}
		for i, c := range columns {
			if r.values[i].Set {
				tr.cells[c.Name] = formatCell(c.Type, r.values[i])
			}
		}
		if tr.cells["event_uid"] != r.uid {
			t.Errorf("flattenEvent(%s): event_uid = %s, row's uid %s", e.Raw, tr.cells["event_uid"], r.uid)
		}
		out = append(out, tr)
	}
	return out
}

// flattenOne flattens an event that must become one row.
func flattenOne(t testing.TB, key, raw string) typedRow {
	t.Helper()
	got := typedRows(t, event(key, raw))
	if len(got) != 1 {
		t.Fatalf("flattenEvent(%s, %s) has %d rows, want 1", key, raw, len(got))
	}
	if got[0].cells["raw"] != raw {
		t.Errorf("flattenEvent(%s): raw = %s, want %s", key, got[0].cells["raw"], raw)
	}
	return got[0]
}

func formatCell(typ schema.Type, v columns.Value) string {
	switch typ {
	case schema.Int64:
		return strconv.FormatInt(v.N, 10)
	case schema.Double:
		return strconv.FormatFloat(v.Float64(), 'g', -1, 64)
	case schema.Bool:
		return strconv.FormatBool(v.N != 0)
	case schema.Date:
		return time.Unix(v.N*86400, 0).UTC().Format(time.DateOnly)
	case schema.Time:
		return time.UnixMicro(v.N).UTC().Format(time.RFC3339Nano)
	default:
		return v.Text
	}
}

func TestFlattenGolden(t *testing.T) {
	for _, s := range schema.Signals {
		t.Run(s.Key, func(t *testing.T) {
			raw := record(t, s.Key)
			got := flattenOne(t, s.Key, raw)
			table := schema.EventTable(s.Category)
			var b strings.Builder
			fmt.Fprintf(&b, "%s\n\n", got.partition)
			for _, c := range table.Columns {
				cell, set := got.cells[c.Name]
				if !set {
					cell = "null"
				}
				fmt.Fprintf(&b, "%-29s %-9s %s\n", c.Name, c.Type, cell)
			}
			golden(t, filepath.Join("flatten", s.Key+".txt"), b.String())

			// Every field of the record has its column: none is missing or noted.
			for _, c := range table.Columns {
				for _, field := range c.From {
					if _, set := got.cells[c.Name]; !set && hasField(raw, field) {
						t.Errorf("flattenEvent(%s): %s = null, want the record's %s", s.Key, c.Name, field)
					}
				}
			}
			if note, odd := got.cells["notes"]; odd {
				t.Errorf("flattenEvent(%s): notes = %q, want none", s.Key, note)
			}
		})
	}
}

// hasField reports whether a record has a field; "author.id" is nested.
func hasField(record, field string) bool {
	outer, inner, nested := strings.Cut(field, ".")
	for key, val := range jsonscan.Members([]byte(record)) {
		if key == outer {
			return !nested || hasField(string(val), inner)
		}
	}
	return false
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("..", "..", "testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run with -update to write it", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// cellCase says what some columns of one record must hold; "null" is null.
type cellCase struct {
	name, key, raw string
	want           map[string]string
}

func checkCells(t *testing.T, cases []cellCase) {
	t.Helper()
	for _, c := range cases {
		row := flattenOne(t, c.key, c.raw)
		got := map[string]string{}
		for column := range c.want {
			got[column] = "null"
			if cell, set := row.cells[column]; set {
				got[column] = cell
			}
			if column == "partition" {
				got[column] = row.partition
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: flattenEvent(%s, %s) (-want +got):\n%s", c.name, c.key, c.raw, diff)
		}
	}
}

func TestFlattenReadsNumbersExactly(t *testing.T) {
	const column = "new_employees_count"
	for spelled, want := range map[string]string{
		`240`: "240", `240.0`: "240", `2.4e2`: "240", `2.4E+2`: "240", `24000e-2`: "240", `"240"`: "240", `" 240 "`: "240", `0`: "0", `-0`: "0", `-7`: "-7", `0.0`: "0", `-0.0`: "0",
		`9007199254740993`: "9007199254740993", `"9007199254740993"`: "9007199254740993", `9007199254740993.0`: "9007199254740993",
		`9223372036854775807`: "9223372036854775807", `-9223372036854775808`: "-9223372036854775808",
	} {
		row := flattenOne(t, "headcountIncrease1m", `{"newEmployeesCount":`+spelled+`}`)
		if got := row.cells[column]; got != want || row.cells["notes"] != "" {
			t.Errorf("flattenEvent: %s = %q, notes %q for %s, want %s and none", column, got, row.cells["notes"], spelled, want)
		}
	}
	for _, spelled := range []string{
		`2.5`, `"2.5"`, `240.01`, `24e-1`, `9223372036854775808`, `1e19`, `1e400`, `"many"`, `"e5"`, `"-e2"`, `"."`, `".e1"`, `"1e"`, `"0x10"`, `"1_000"`, `"1,000"`, `"1.2.0"`, `true`, `[1]`, `{"n":1}`,
	} {
		row := flattenOne(t, "headcountIncrease1m", `{"newEmployeesCount":`+spelled+`,"baselineEmployeesCount":3}`)
		if got, set := row.cells[column]; set {
			t.Errorf("flattenEvent: %s = %q for %s, want null", column, got, spelled)
		}
		if note := row.cells["notes"]; !strings.Contains(note, "newEmployeesCount: not a bigint: ") {
			t.Errorf("flattenEvent: notes = %q for %s, want a note on newEmployeesCount", note, spelled)
		}
		if got := row.cells["baseline_employees_count"]; got != "3" {
			t.Errorf("flattenEvent: the next column = %q for %s, want 3", got, spelled)
		}
	}
	for _, nothing := range []string{`null`, `""`, `" "`} {
		row := flattenOne(t, "headcountIncrease1m", `{"newEmployeesCount":`+nothing+`}`)
		if got, set := row.cells[column]; set || row.cells["notes"] != "" {
			t.Errorf("flattenEvent: %s = %q, notes %q for %s, want null and none", column, got, row.cells["notes"], nothing)
		}
	}
}

func TestParseIntegerNeverRounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		s := strconv.FormatInt(n, 10)
		zeros := rapid.IntRange(0, 5).Draw(t, "zeros")
		for _, spelled := range []string{s, s + "." + strings.Repeat("0", zeros+1), s + strings.Repeat("0", zeros) + "e-" + strconv.Itoa(zeros)} {
			if got, ok := parseInteger(spelled); !ok || got != n {
				t.Fatalf("parseInteger(%q) = %d, %t, want %d", spelled, got, ok, n)
			}
		}
		fraction := s + "." + strings.Repeat("0", zeros) + strconv.Itoa(rapid.IntRange(1, 9).Draw(t, "digit"))
		if got, ok := parseInteger(fraction); ok {
			t.Fatalf("parseInteger(%q) = %d, true, want false", fraction, got)
		}
	})
}

func TestFlattenLenient(t *testing.T) {
	checkCells(t, []cellCase{
		{"number for text", "companyChange", `{"personId":40117,"currentTitle":7}`, map[string]string{"person_id": "40117", "current_title": "7"}},
		{"long id stays text", "companyChange", `{"currentCompanyId":123456789012345678901}`, map[string]string{"current_company_id": "123456789012345678901"}},
		{"text for a double", "surgeInHiring", `{"historicalAvg":"8.25"}`, map[string]string{"historical_avg": "8.25", "notes": "null"}},
		{"a double that is none", "surgeInHiring", `{"historicalAvg":"high","changeRatePercent":1e400}`, map[string]string{
			"historical_avg": "null", "change_rate_percent": "null", "change_rate_percent_abs": "null",
			"notes": "historicalAvg: not a double: high; changeRatePercent: not a double: 1e400"}},
		{"odd doubles", "surgeInHiring", `{"historicalAvg":"NaN","changeRatePercent":"0x1p4"}`, map[string]string{"historical_avg": "null", "change_rate_percent": "null"}},
		{"timestamp for a date", "surgeInHiring", `{"signalDate":"2026-04-20T23:59:59.000Z"}`, map[string]string{"signal_date": "2026-04-20", "event_date": "2026-04-20"}},
		{"unknown fields are no trouble", "surgeInHiring", `{"weather":{"now":"rain"},"newJobsPostedLastWeek":1}`, map[string]string{"new_jobs_posted_last_week": "1", "notes": "null"}},
		{"departments as objects", "promotion", `{"currentDepartments":[{"id":3,"value":"Sales"},{"id":9,"value":"R&D"}]}`, map[string]string{"current_departments": "Sales; R&D", "notes": "null"}},
		{"departments as texts", "promotion", `{"currentDepartments":["Sales",null,"Legal"]}`, map[string]string{"current_departments": "Sales; Legal", "notes": "null"}},
		{"one department as an object", "promotion", `{"currentDepartments":{"id":3,"value":"Sales"}}`, map[string]string{"current_departments": "Sales", "notes": "null"}},
		{"no departments", "promotion", `{"currentDepartments":[]}`, map[string]string{"current_departments": "null", "notes": "null"}},
		{"departments of another shape", "promotion", `{"currentDepartments":["Legal",{"id":3,"label":"Sales"}]}`, map[string]string{
			"current_departments": "Legal", "notes": `currentDepartments: not a varchar: {"id":3,"label":"Sales"}`}},
		{"a list where text is expected", "promotion", `{"currentTitle":["CEO"]}`, map[string]string{"current_title": "null", "notes": `currentTitle: not a varchar: ["CEO"]`}},
		{"V3 names", "companyChange", `{"id":"40117","signalDate":"2026-03-09","previousCompany":"Brackwater","newCompany":"Kestrel"}`, map[string]string{
			"person_id": "40117", "current_company_name": "Kestrel", "previous_company_name": "Brackwater"}},
		{"V2 names win over V3's", "companyChange", `{"id":"1","newCompany":"A","currentCompanyName":"B","personId":"2"}`, map[string]string{"person_id": "2", "current_company_name": "B"}},
		{"V2 names win in any order", "companyChange", `{"personId":"2","currentCompanyName":"B","newCompany":"A","id":"1"}`, map[string]string{"person_id": "2", "current_company_name": "B"}},
		{"a null does not win", "companyChange", `{"currentCompanyName":null,"newCompany":"A"}`, map[string]string{"current_company_name": "A"}},
		{"the last duplicate wins", "surgeInHiring", `{"newJobsPostedLastWeek":1,"newJobsPostedLastWeek":2}`, map[string]string{"new_jobs_posted_last_week": "2"}},
		{"keys keep their letter case", "surgeInHiring", `{"COMPANYNAME":"X"}`, map[string]string{"company_name": "null"}},
		{"escapes", "financialEventsNews", `{"articleTitle":"\u00c6r\u00f8 \ud83d\ude00"}`, map[string]string{"article_title": "Ærø 😀"}},
		{"no author", "linkedinActivityIntent", `{"author":null}`, map[string]string{"author_id": "null", "notes": "null"}},
		{"an author of another shape", "linkedinActivityIntent", `{"author":"Ida Moen"}`, map[string]string{"author_full_name": "null", "notes": `author: not an object: Ida Moen`}},
		{"lists are compact", "linkedinActivityIntent", `{"intentTopics": [ {"topic": "A B", "n": 1.0} ]}`, map[string]string{"intent_topics": `[{"topic":"A B","n":1.0}]`}},
		{"a single object is a list of one", "linkedinActivityIntent", `{"intentTopics":{"topic":"A"}}`, map[string]string{"intent_topics": `[{"topic":"A"}]`}},
		{"so is a text", "linkedinActivityIntent", `{"intentTopics":"A"}`, map[string]string{"intent_topics": `["A"]`}},
	})
}

func TestFlattenDerivesColumns(t *testing.T) {
	checkCells(t, []cellCase{
		{"a positive rate of a decrease", "headcountDecrease3m", `{"changeRatePercent":13}`, map[string]string{
			"change_rate_percent": "13", "change_rate_percent_abs": "13", "direction": "decrease", "window_months": "3"}},
		{"a negative one", "itSpendDecrease", `{"changeRatePercent":-13.5}`, map[string]string{
			"change_rate_percent": "-13.5", "change_rate_percent_abs": "13.5", "direction": "decrease", "window_months": "null"}},
		{"no direction", "newJobPost", `{}`, map[string]string{"direction": "null", "change_rate_percent_abs": "null"}},
		{"risk news", "riskNews", `{}`, map[string]string{"is_risk": "true"}},
		{"other news", "peopleNews", `{}`, map[string]string{"is_risk": "false"}},
		{"the answer's entity", "surgeInHiring", `{"companyId":"1"}`, map[string]string{"entity_id": "50023", "company_id": "1"}},
	})
	e := event("surgeInHiring", `{"companyId":77}`)
	e.Entity.ID, e.AccountKey = "", ""
	row := typedRows(t, e)[0]
	if got := row.cells["entity_id"]; got != "77" {
		t.Errorf("entity_id of an answer without one = %q, want the record's 77", got)
	}
	if got, set := row.cells["account_key"]; set {
		t.Errorf("account_key of an unmatched entry = %q, want null", got)
	}
	for object, want := range map[schema.Object]string{schema.Contact: "40117", schema.Company: "77"} {
		e := event("newSignal", `{"companyId":77,"personId":40117}`)
		e.Entity = schema.Entity{Object: object}
		if got := typedRows(t, e)[0].cells["entity_id"]; got != want {
			t.Errorf("entity_id of a %s with both ids = %q, want %s", object, got, want)
		}
	}
}

func TestFlattenDates(t *testing.T) {
	checkCells(t, []cellCase{
		{"signal date", "surgeInHiring", `{"signalDate":"2026-04-20"}`, map[string]string{"event_date": "2026-04-20", "partition": "growth/event_month=2026-04"}},
		{"publication before effect", "riskNews", `{"eventEffectiveDate":"2026-02-01","articlePublishedDate":"2026-03-31"}`, map[string]string{"event_date": "2026-03-31", "partition": "news/event_month=2026-03"}},
		{"effect alone", "riskNews", `{"eventEffectiveDate":"2026-02-01","articlePublishedDate":null}`, map[string]string{"event_date": "2026-02-01"}},
		{"an empty publication", "riskNews", `{"eventEffectiveDate":"2026-02-01","articlePublishedDate":""}`, map[string]string{"event_date": "2026-02-01", "notes": "null"}},
		{"an odd publication", "riskNews", `{"eventEffectiveDate":"2026-02-01","articlePublishedDate":"soon"}`, map[string]string{
			"event_date": "2026-02-01", "article_published_date": "null", "notes": "articlePublishedDate: not a date: soon"}},
		{"activity", "linkedinActivityIntent", `{"activityPublicationDate":"2026-05-02T10:00:00Z"}`, map[string]string{"event_date": "2026-05-02"}},
		{"signal before activity", "linkedinActivityIntent", `{"activityPublicationDate":"2026-05-02","signalDate":"2026-04-30"}`, map[string]string{"event_date": "2026-04-30"}},
		{"last visit is no event date", "websiteVisitors", `{"lastVisit":"2026-05-02"}`, map[string]string{"event_date": "null", "last_visit": "2026-05-02"}},
		{"missing", "promotion", `{}`, map[string]string{"event_date": "null", "partition": "contact/event_month=unknown", "notes": "null"}},
		{"leap day", "promotion", `{"signalDate":"2024-02-29"}`, map[string]string{"event_date": "2024-02-29"}},
		{"no leap day", "promotion", `{"signalDate":"2026-02-29"}`, map[string]string{"event_date": "null", "partition": "contact/event_month=unknown", "notes": "signalDate: not a date: 2026-02-29"}},
		{"another order", "promotion", `{"signalDate":"09/03/2026"}`, map[string]string{"event_date": "null", "notes": "signalDate: not a date: 09/03/2026"}},
		{"epoch", "promotion", `{"signalDate":1773014400000}`, map[string]string{"event_date": "null", "notes": "signalDate: not a date: 1773014400000"}},
		{"year 1", "promotion", `{"signalDate":"0001-01-01"}`, map[string]string{
			"event_date": "null", "signal_date": "null", "partition": "contact/event_month=unknown", "notes": "signalDate: outside 1900 to 2200: 0001-01-01",
			"raw": `{"signalDate":"0001-01-01"}`}},
		{"year 0 of a timestamp", "promotion", `{"signalDate":"0000-01-01T00:00:00Z"}`, map[string]string{
			"event_date": "null", "notes": "signalDate: outside 1900 to 2200: 0000-01-01T00:00:00Z"}},
		{"before the first", "promotion", `{"signalDate":"1899-12-31"}`, map[string]string{"event_date": "null", "notes": "signalDate: outside 1900 to 2200: 1899-12-31"}},
		{"the first", "promotion", `{"signalDate":"1900-01-01"}`, map[string]string{"event_date": "1900-01-01", "notes": "null"}},
		{"the last", "promotion", `{"signalDate":"2200-12-31"}`, map[string]string{"event_date": "2200-12-31", "notes": "null"}},
		{"another date in its place", "financialEventsNews", `{"articlePublishedDate":"0001-01-01","eventEffectiveDate":"2026-10-16"}`, map[string]string{
			"event_date": "2026-10-16", "article_published_date": "null", "partition": "news/event_month=2026-10"}},
		{"year 9999", "promotion", `{"signalDate":"9999-12-31"}`, map[string]string{"event_date": "null", "partition": "contact/event_month=unknown"}},
		{"before signals", "promotion", `{"signalDate":"1999-12-31"}`, map[string]string{"event_date": "1999-12-31", "partition": "contact/event_month=unknown"}},
		{"first day", "promotion", `{"signalDate":"2000-01-01"}`, map[string]string{"partition": "contact/event_month=2000-01"}},
		{"last day", "promotion", `{"signalDate":"2099-12-31"}`, map[string]string{"partition": "contact/event_month=2099-12"}},
		{"after it", "promotion", `{"signalDate":"2100-01-01"}`, map[string]string{"partition": "contact/event_month=unknown"}},
	})
	f := byDay(schema.Version)
	for raw, want := range map[string]string{
		`{"signalDate":"2026-04-20"}`: "contact/event_day=2026-04-20", `{"signalDate":"0001-01-01"}`: "contact/event_day=1970-01-01", `{}`: "contact/event_day=1970-01-01",
	} {
		if got := rowsOf(t, f, event("promotion", raw))[0].partition.String(); got != want {
			t.Errorf("partition of %s by date = %s, want %s", raw, got, want)
		}
	}
}

func TestFlattenKeepsUnknownTypes(t *testing.T) {
	for _, raw := range []string{`{"companyId":"7","companyName":"N","signalId":"1","signalDate":"2026-04-20","score":"high"}`, `"just text"`, `null`, `[1]`, `{}`} {
		row := flattenOne(t, "newsEvent", raw)
		if row.cells["signal_type"] != "newsEvent" || !strings.HasPrefix(row.partition, "other/") {
			t.Errorf("flattenEvent(newsEvent, %s) = %s in %s, want newsEvent in other", raw, row.cells["signal_type"], row.partition)
		}
	}
	checkCells(t, []cellCase{
		{"what is usual is typed", "newsEvent", `{"companyId":7,"companyName":"N","signalId":1,"signalDate":"2026-04-20"}`, map[string]string{
			"company_id": "7", "company_name": "N", "signal_id": "1", "event_date": "2026-04-20", "partition": "other/event_month=2026-04"}},
		{"letter case makes another type", "Promotion", `{"personId":"3"}`, map[string]string{"signal_type": "Promotion", "person_id": "3", "partition": "other/event_month=unknown"}},
		{"records that are no objects survive", "surgeInHiring", `"odd"`, map[string]string{"raw": `"odd"`, "event_date": "null", "partition": "growth/event_month=unknown"}},
	})
}

func TestFlattenNestedTopics(t *testing.T) {
	const raw = `{"signalId":"9",` + companyFields + `,"signalDate":"2026-05-04","topicCount":3,"detectedTopics":[` +
		`{"topicName":"Looms","metadata":{"topicScore":71,"topicTrend":"+7"}},{"topicName":"Yarn","metadata":{"topicScore":"12.5"}},{"topicName":"Dye","topicScore":3}]}`
	type topicCells struct{ Name, Score, Trend, Date, Company string }
	var got []topicCells
	uids := map[string]bool{}
	for _, r := range typedRows(t, event("intent", raw)) {
		c := r.cells
		got = append(got, topicCells{c["topic_name"], c["topic_score"], c["topic_trend"], c["event_date"], c["company_name"]})
		uids[c["event_uid"]] = true
		if c["raw"] != raw {
			t.Errorf("raw of topic %s = %s, want the whole record", c["topic_name"], c["raw"])
		}
	}
	want := []topicCells{
		{"Looms", "71", "+7", "2026-05-04", "Kestrel Loom"}, {"Yarn", "12.5", "", "2026-05-04", "Kestrel Loom"}, {"Dye", "3", "", "2026-05-04", "Kestrel Loom"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}
	if len(uids) != len(want) {
		t.Errorf("%d topics have %d uids, want one each", len(want), len(uids))
	}
	for _, raw := range []string{`{"detectedTopics":[]}`, `{"detectedTopics":null}`, `{"detectedTopics":[null]}`, `{"detectedTopics":{"topicName":"Looms"}}`} {
		if got := typedRows(t, event("intent", raw)); len(got) != 1 {
			t.Errorf("flattenEvent(intent, %s) has %d rows, want 1", raw, len(got))
		}
	}
	flattenOne(t, "surgeInHiring", `{"detectedTopics":[{},{}]}`) // only intent records have nested topics
}

func uidOf(t testing.TB, key, raw string) string {
	t.Helper()
	return flattenOne(t, key, raw).cells["event_uid"]
}

func TestUIDs(t *testing.T) {
	same := []struct{ name, key, a, b string }{
		{"order and spaces", "surgeInHiring", `{"signalId":"9","companyName":"A","signalDate":"2026-04-20"}`, `{ "signalDate" : "2026-04-20" , "companyName":"A","signalId":"9"}`},
		{"an event id says it all", "surgeInHiring", `{"signalId":"9","companyName":"A"}`, `{"signalId":9,"companyName":"B","signalDate":"2026-04-20"}`},
		{"id as number", "promotion", `{"personId":"4","signalDate":"2026-03-09","currentCompanyId":"5"}`, `{"currentCompanyId":5,"personId":4,"signalDate":"2026-03-09"}`},
		{"title and employer", "promotion", `{"personId":"4","currentTitle":"CEO","currentCompanyId":1}`, `{"personId":"4","currentTitle":"CFO","currentCompanyId":2}`},
		{"V2 and V3", "companyChange",
			`{"personId":"4","currentCompanyId":1,"currentCompanyName":"Harbor Quill","currentTitle":"CEO","signalDate":"2026-03-09"}`,
			`{"id":"4","signalDate":"2026-03-09","previousCompany":"Tallow & Finch","newCompany":"Harbor Quill"}`},
		{"an unknown type in another order", "newsEvent", `{"score":"high","at":1}`, `{ "at": 1, "score": "high" }`},
		{"company from the answer", "surgeInHiring", `{"companyId":50023,"signalId":"9"}`, `{"signalId":"9"}`},
		{"departments as text or list", "promotion", `{"personId":"4","currentDepartments":"Sales"}`, `{"personId":"4","currentDepartments":[{"id":1,"value":"Sales"}]}`},
		{"V3 spelling of the id", "promotion", `{"personId":"4","signalDate":"2026-03-09"}`, `{"id":"4","signalDate":"2026-03-09"}`},
		{"person from the answer", "promotion", `{"personId":"40117"}`, `{}`},
		{"measures are no identity", "surgeInHiring", `{"signalDate":"2026-04-20","changeRatePercent":1}`, `{"signalDate":"2026-04-20","changeRatePercent":2}`},
		{"a country that V3 may add to a measure", "headcountIncrease3m", `{"signalDate":"2026-04-20"}`, `{"signalDate":"2026-04-20","country":"Norway","department":"Sales"}`},
		{"optional places of a job post", "newJobPost", `{"externalJobId":"1","signalDate":"2026-04-20"}`, `{"externalJobId":"1","signalDate":"2026-04-20","state":"Ohio","department":"Sales","jobUrl":"u"}`},
		{"an article without its optional date", "riskNews", `{"articleUrl":"u","articlePublishedDate":"2026-04-20"}`, `{"articleUrl":"u","articlePublishedDate":"2026-04-20","eventEffectiveDate":"2026-04-01","articleTitle":"A"}`},
		{"spelling of the vocabulary", "surgeInHiringByDepartment", `{"department":"Sales"}`, `{"department":"SALES"}`},
		{"all optional fields of a person", "promotion", `{"personId":"4","signalDate":"2026-03-09"}`,
			`{"personId":"4","signalDate":"2026-03-09","currentSeniorityLabel":"vp","previousTitle":"CFO","previousDomain":"a.example","x":1}`},
		{"the entity as number", "linkedinActivityIntent", `{"companyId":50023,"activityUrl":"u"}`, `{"companyId":"50023","activityUrl":"u","activitySummary":"s"}`},
		{"date or timestamp", "surgeInHiring", `{"signalDate":"2026-04-20"}`, `{"signalDate":"2026-04-20T10:00:00Z"}`},
	}
	for _, c := range same {
		if a, b := uidOf(t, c.key, c.a), uidOf(t, c.key, c.b); a != b {
			t.Errorf("%s: uid(%s) = %s, uid(%s) = %s, want equal", c.name, c.a, a, c.b, b)
		}
	}
	different := []struct{ name, key, a, b string }{
		{"event id", "surgeInHiring", `{"signalId":"9"}`, `{"signalId":"10"}`},
		{"person", "promotion", `{"personId":"4"}`, `{"personId":"5"}`},
		{"date", "promotion", `{"personId":"4","signalDate":"2026-03-09"}`, `{"personId":"4","signalDate":"2026-03-10"}`},
		{"no date", "promotion", `{"personId":"4","signalDate":"1970-01-01"}`, `{"personId":"4"}`},
		{"company of an event id", "surgeInHiring", `{"companyId":"1","signalId":"9"}`, `{"companyId":"2","signalId":"9"}`},
		{"company of a natural key", "surgeInHiring", `{"companyId":"1","signalDate":"2026-04-20"}`, `{"companyId":"2","signalDate":"2026-04-20"}`},
		{"department", "surgeInHiringByDepartment", `{"department":"Sales"}`, `{"department":"Legal"}`},
		{"state", "surgeInHiringByLocation", `{"country":"Chile","state":"A"}`, `{"country":"Chile","state":"B"}`},
		{"fields do not run together", "surgeInHiringByLocation", `{"country":"Chile","state":"A"}`, `{"country":"ChileA"}`},
		{"news type", "riskNews", `{"articleUrl":"u","eventType":"Security Issue"}`, `{"articleUrl":"u","eventType":"Lawsuit Faced"}`},
		{"article", "riskNews", `{"articleUrl":"u"}`, `{"articleUrl":"v"}`},
		{"activity", "linkedinActivityIntent", `{"activityUrl":"u"}`, `{"activityUrl":"v"}`},
		{"job", "newJobPost", `{"externalJobId":"1"}`, `{"externalJobId":"2"}`},
		{"places of topics of one name", "intentByGeography", `{"signalId":"9","detectedTopics":[{"topicName":"A","country":"US"}]}`, `{"signalId":"9","detectedTopics":[{"topicName":"A","country":"DE"}]}`},
		{"topics without a name", "intent", `{"signalId":"9","detectedTopics":[{"topicScore":1}]}`, `{"signalId":"9","detectedTopics":[{"topicScore":2}]}`},
		{"topic of one event", "intent", `{"signalId":"9","topicName":"A"}`, `{"signalId":"9","topicName":"B"}`},
		{"a title is no URL", "riskNews", `{"articleUrl":"u"}`, `{"articleTitle":"u"}`},
		{"news without what identifies it", "riskNews", `{"eventSummary":"A"}`, `{"eventSummary":"B"}`},
		{"job posts without an id", "newJobPost", `{"jobTitle":"Clerk","city":"A"}`, `{"jobTitle":"Clerk","city":"B"}`},
		{"topics without what identifies them", "intent", `{"topicScore":1}`, `{"topicScore":2}`},
		{"content of an unknown type", "newsEvent", `{"score":"high"}`, `{"score":"low"}`},
	}
	for _, c := range different {
		if a, b := uidOf(t, c.key, c.a), uidOf(t, c.key, c.b); a == b {
			t.Errorf("%s: uid(%s) = uid(%s) = %s, want different", c.name, c.a, c.b, a)
		}
	}

	// One record under every key: each has its own uid of 32 hex digits.
	seen := map[string]string{}
	for _, raw := range []string{`{"signalId":"9"}`, `{}`} {
		for _, s := range schema.Signals {
			uid := uidOf(t, s.Key, raw)
			if len(uid) != 32 || strings.Trim(uid, "0123456789abcdef") != "" {
				t.Errorf("uid(%s, %s) = %q, want 32 hex digits", s.Key, raw, uid)
			}
			if other, taken := seen[uid]; taken && s.Object == schema.Company {
				t.Errorf("uid(%s, %s) = uid of %s", s.Key, raw, other)
			}
			seen[uid] = s.Key + " " + raw
		}
	}
	a, b := event("surgeInHiring", `{"signalDate":"2026-04-20"}`), event("surgeInHiring", `{"signalDate":"2026-04-20"}`)
	b.Entity.ID = "50024"
	if f := byMonth(schema.Version); rowsOf(t, f, a)[0].uid == rowsOf(t, f, b)[0].uid {
		t.Error("events of two companies without an id have the same uid, want two")
	}
	b = a
	b.AccountKey, b.CallID, b.FetchedAt, b.Source = "other", "other", time.Time{}, "webhook"
	if f, g := byMonth(schema.Version), byDay(schema.Version); rowsOf(t, f, a)[0].uid != rowsOf(t, g, b)[0].uid {
		t.Error("the uid of an event differs between runs, want it stable")
	}
}

// Whatever a record holds, it becomes rows that keep it, with text that every reader accepts.
func TestFlattenAnything(t *testing.T) {
	keys := []string{"newsEvent"}
	fields := []string{"detectedTopics", "author", "metadata"}
	for _, s := range schema.Signals {
		keys = append(keys, s.Key)
	}
	for _, table := range schema.EventTables {
		for _, c := range table.Columns {
			fields = append(fields, c.From...)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		b.WriteByte('{')
		for i := range rapid.IntRange(0, 6).Draw(t, "fields") {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%q:%s", rapid.SampledFrom(fields).Draw(t, "field"), jsontest.Draw(t, 2))
		}
		b.WriteByte('}')
		e := event(rapid.SampledFrom(keys).Draw(t, "key"), b.String())
		rows := rowsOf(t, byMonth(schema.Version), e)
		if len(rows) == 0 {
			t.Fatalf("flattenEvent(%s) has no rows", e.Raw)
		}
		for _, r := range rows {
			if got := r.values[schema.EventTables[r.table].ColumnIndex("raw")].Text; got != strings.ToValidUTF8(string(e.Raw), "\uFFFD") {
				t.Fatalf("flattenEvent(%s): raw = %s", e.Raw, got)
			}
			for i, c := range schema.EventTables[r.table].Columns {
				if c.List == schema.ListJSON && r.values[i].Set && !json.Valid([]byte(r.values[i].Text)) {
					t.Fatalf("flattenEvent(%s): %s = %s, want JSON", e.Raw, c.Name, r.values[i].Text)
				}
			}
		}
	})
}

// TestDomainsOfEvents: domains have the same form as in product tables and accounts, so that they
// join; raw has them as received.
func TestDomainsOfEvents(t *testing.T) {
	row := flattenOne(t, "surgeInHiring", `{"companyId":"50023","domain":"www.KestrelLoom.example","signalId":"7"}`)
	if got := row.cells["company_domain"]; got != "kestrelloom.example" {
		t.Errorf("company_domain = %s, want kestrelloom.example", got)
	}
	row = flattenOne(t, "companyChange", `{"id":"40117","currentDomain":"HTTPS://www.Kestrel.example/","previousDomain":"www.brackwater.example"}`)
	if got := row.cells["current_domain"] + " " + row.cells["previous_domain"]; got != "kestrel.example brackwater.example" {
		t.Errorf("domains = %s, want kestrel.example brackwater.example", got)
	}
}

// TestHardDates: the dates of a recorded answer that pandas and Spark cannot read.
func TestHardDates(t *testing.T) {
	text, err := os.ReadFile("../../testdata/hard-answers/year-zero-date.json")
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Companies map[string]struct{ SurgeInHiring []json.RawMessage }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	events := answer.Companies["r1"].SurgeInHiring
	if len(events) != 2 {
		t.Fatalf("%d events, want 2", len(events))
	}
	for _, raw := range events {
		row := flattenOne(t, "surgeInHiring", string(raw))
		if date, set := row.cells["event_date"]; set || !strings.HasPrefix(row.cells["notes"], "signalDate: outside 1900 to 2200") || row.cells["raw"] != string(raw) {
			t.Errorf("flattenEvent(%s) = date %q, notes %q, raw %s", raw, date, row.cells["notes"], row.cells["raw"])
		}
	}
}
