package flatten

import (
	"fmt"
	"testing"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/schema"
)

// TestDay: the date of an event is that of its row, for the documented record of every type and
// for records whose dates are missing, doubled, of no use or in topics.
func TestDay(t *testing.T) {
	records := map[string][]string{}
	for _, s := range schema.Signals {
		records[s.Key] = []string{record(t, s.Key)}
	}
	for _, raw := range []string{
		`{}`, `{"signalDate":null}`, `{"signalDate":"0001-01-01"}`, `{"signalDate":"soon","articlePublishedDate":"2026-05-02"}`, `{"signalDate":{"a":1}}`,
		`{"signalDate":"2026-05-01T23:59:59Z","signalDate":"2026-04-01"}`, `{"activityPublicationDate":"2026-05-03","signalDate":""}`,
		`{"eventEffectiveDate":"2027-01-01","articlePublishedDate":"2026-05-04"}`, `{"eventEffectiveDate":"2027-01-01"}`,
		`{"signalDate":"2026-05-01","detectedTopics":[{"topic":"a"},{"topic":"b","signalDate":"2026-05-09"},{"topic":"c","signalDate":"2026-04-09"}]}`,
		`{"signalDate":"2026-05-01","detectedTopics":[{"topic":"b","signalDate":"2026-04-09"}]}`, `{"detectedTopics":[]}`, `not JSON`,
	} {
		for _, key := range []string{"promotion", "riskNews", "intent", "linkedinActivityIntent", "surgeInHiring", "newType"} {
			records[key] = append(records[key], raw)
		}
	}
	for key, list := range records {
		for _, raw := range list {
			var want columns.Value
			for _, r := range rowsOf(t, byMonth(schema.Version), event(key, raw)) {
				if date := r.value("event_date"); date.Set && (!want.Set || date.N > want.N) {
					want = date
				}
			}
			day, ok := Day(key, []byte(raw))
			if got := (columns.Value{Set: ok, N: day}); got != want {
				t.Errorf("Day(%s %s) = %s, want %s", key, raw, dayText(got), dayText(want))
			}
		}
	}
}

func dayText(v columns.Value) string { return fmt.Sprintf("%v %d", v.Set, v.N) }
