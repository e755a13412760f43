package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/internal/flatten"
	"github.com/siglake/siglake/schema"
)

// watch flattens an event of a company and returns what differs, in the order of the report.
func watch(t *testing.T, version int, signal string, records ...string) (found []string) {
	t.Helper()
	w := newDriftWatch()
	f := flatten.New(flatten.Options{Version: version, Drift: w})
	for i, raw := range records {
		object := schema.Company
		if s, _ := schema.LookupSignal(signal); s.Object == schema.Contact {
			object = schema.Contact
		}
		e := schema.Event{Entity: schema.Entity{Object: object, ID: "1"}, Type: signal, Raw: json.RawMessage(raw), CallID: fmt.Sprintf("00000%d-1", i+1)}
		f.Flatten(&e, columns.NewChunk())
	}
	r := w.report(Evolve)
	if r == nil {
		return nil
	}
	for _, d := range r.Found {
		found = append(found, fmt.Sprintf("%s x%d from %s", d.Describe(), d.Events, d.FirstCall))
	}
	return found
}

const calmSurge = `{"companyId":"1","companyName":"A","domain":"a.example","signalId":"7","signalDate":"2026-03-09","newJobsPostedLastWeek":22,"historicalAvg":8,"changeRatePercent":175`

func TestDriftOfEvents(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		signal  string
		records []string
		want    []string
	}{
		"as documented":  {"surgeInHiring", []string{calmSurge + "}"}, nil},
		"read liberally": {"surgeInHiring", []string{strings.NewReplacer(`22`, `"22"`, `"7"`, `7`, `:8`, `:"8.0"`).Replace(calmSurge) + "}"}, nil},
		"type":           {"patentFiling", []string{`{"signalDate":"2026-03-09","title":"x"}`, `{"other":1}`}, []string{"signal type patentFiling is new x2 from 000001-1"}},
		"field": {"surgeInHiring", []string{calmSurge + "}", calmSurge + `,"mood":[1]}`, calmSurge + `,"mood":[],"mood":[2]}`},
			[]string{"field surgeInHiring.mood is new (list) x2 from 000002-1"}},
		"nested field": {"linkedinActivityIntent", []string{`{"companyId":1,"activityPublicationDate":"2026-03-09","activityUrl":"u","author":{"id":"1","fullName":"A","age":40}}`},
			[]string{"field linkedinActivityIntent.author.age is new (number) x1 from 000001-1"}},
		"no object where one was": {"linkedinActivityIntent", []string{`{"activityPublicationDate":"2026-03-09","activityUrl":"u","author":null}`}, nil},
		"changed type": {"surgeInHiring", []string{strings.Replace(calmSurge, "22", `{"n":22}`, 1) + "}"},
			[]string{"field surgeInHiring.newJobsPostedLastWeek has another type (object, expected BIGINT) x1 from 000001-1"}},
		"unreadable text": {"surgeInHiring", []string{strings.Replace(calmSurge, "2026-03-09", "March", 1) + "}"},
			[]string{"field surgeInHiring.signalDate has another type (text, expected DATE) x1 from 000001-1"}},
		"implausible date": {"surgeInHiring", []string{strings.Replace(calmSurge, "2026", "0001", 1) + "}"}, nil},
		"missing": {"surgeInHiring", []string{strings.Replace(calmSurge, `"historicalAvg":8,`, "", 1) + "}", strings.Replace(calmSurge, ":8,", ":null,", 1) + "}"},
			[]string{"field surgeInHiring.historicalAvg is missing x2 from 000001-1"}},
		"value": {"riskNews", []string{`{"eventType":"security-issue","articleTitle":"x","articleUrl":"u"}`, `{"eventType":"Layoff Round","articleTitle":"x","articleUrl":"u"}`, `{"eventType":"other","articleTitle":"x","articleUrl":"u"}`},
			[]string{"field riskNews.eventType has a new value (Layoff Round) x1 from 000002-1"}},
		"other names of V3": {"companyChange", []string{`{"id":"1","signalDate":"2026-03-09","previousCompany":"A","newCompany":"B"}`}, nil},
		"topics":            {"intent", []string{`{"topicCount":2,"detectedTopics":[{"topicName":"a","mood":1},{"topicName":"b","mood":2}]}`}, []string{"field intent.mood is new (number) x1 from 000001-1"}},
		"a person in a name": {"surgeInHiring", []string{calmSurge + `,"ada@a.example":1}`},
			[]string{"field surgeInHiring.(a name with @) is new (number) x1 from 000001-1"}},
		"no object": {"intent", []string{`7`}, nil},
	} {
		if diff := cmp.Diff(test.want, watch(t, schema.Version, test.signal, test.records...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDriftOfVersions: what a later version of the schema reads is not known to an earlier one.
func TestDriftOfVersions(t *testing.T) {
	t.Parallel()
	if got := watch(t, schema.OldestVersion, "surgeInHiring", calmSurge+"}"); got != nil {
		t.Errorf("version %d: %q", schema.OldestVersion, got)
	}
}

// TestDriftOfAnswers: fields outside of events, of answers to requests for signals that are charged.
func TestDriftOfAnswers(t *testing.T) {
	t.Parallel()
	received := time.Date(2026, 3, 9, 23, 1, 2, 0, time.UTC)
	reply := &Reply{
		Calls: []Call{{ID: "000001-1", Outcome: NotCharged, UnknownFields: json.RawMessage(`{"trace":1}`)}, {ID: "000001-2", Outcome: Charged, Sent: received.Add(-time.Second), Duration: time.Second, UnknownFields: json.RawMessage(`{"requestId":"x","page":1}`)}},
		Items: []ItemReply{
			{CallID: "000001-2", UnknownFields: json.RawMessage(`{"domain":"b.example","size":"big"}`)}, {CallID: "000001-2"},
			{CallID: "000001-2", UnknownFields: json.RawMessage(`{"riskNews":"none","size":7}`)},
		},
		Unmatched: []ItemReply{{CallID: "000001-2", UnknownFields: json.RawMessage(`{"size":null}`)}},
	}
	want := []Drift{
		{Kind: ChangedType, Object: schema.Company, SignalType: "riskNews", Dataset: "accounts", Path: "entry.riskNews", Expected: "list of events", Found: "text", KeptIn: "answer_extra", Events: 1, FirstCall: "000001-2", FirstReceived: received},
		{Kind: NewField, Object: schema.Company, Dataset: "calls", Path: "answer.page", Found: "number", KeptIn: "extra", Events: 1, FirstCall: "000001-2", FirstReceived: received},
		{Kind: NewField, Object: schema.Company, Dataset: "accounts", Path: "entry.size", Found: "text", KeptIn: "answer_extra", Events: 3, FirstCall: "000001-2", FirstReceived: received},
	}
	for name, test := range map[string]struct {
		ask  Ask
		want []Drift
	}{"signals": {SignalsAsk{Types: []string{"riskNews"}}, want}, "searches": {SearchAsk{}, nil}} {
		w := newDriftWatch()
		w.watchAnswers(&Batch{Query: &Query{Object: schema.Company, Ask: test.ask}}, reply)
		var got []Drift
		if r := w.report(""); r != nil {
			got = r.Found
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDriftOrder: what is reported does not depend on the order in which answers are read, nor on how they
// are divided among goroutines, also of more differences than a report holds.
func TestDriftOrder(t *testing.T) {
	t.Parallel()
	var all []Drift
	for i := range 3 * maxDrift {
		path := fmt.Sprintf("field%d", i*7919%(2*maxDrift))
		all = append(all, Drift{Kind: NewField, SignalType: "intent", Path: path, Found: "text", FirstCall: fmt.Sprintf("%06d-1", 3*maxDrift-i)})
	}
	read := func(list []Drift) *driftWatch {
		w := newDriftWatch()
		for _, d := range list {
			w.unit++
			w.count(d)
		}
		return w
	}
	forth, merged := read(all), newDriftWatch()
	slices.Reverse(all)
	back := read(all)
	for answer := range slices.Chunk(all, maxDrift+100) {
		merged.merge(read(answer))
	}
	for name, other := range map[string]*driftWatch{"the other": back, "merged": merged} {
		for _, key := range forth.keys {
			if a, b := forth.found[key], other.found[key]; b == nil || a.Drift != b.Drift {
				t.Errorf("%v: %+v one way, %+v %s", key, a, b, name)
			}
		}
		if len(other.keys) != len(forth.keys) || other.truncated != forth.truncated {
			t.Errorf("%s: %d differences, truncated: %v, want %d, %v", name, len(other.keys), other.truncated, len(forth.keys), forth.truncated)
		}
	}
	r := forth.report(Evolve)
	if len(forth.keys) != maxDrift || len(back.keys) != maxDrift || len(r.Found) != maxDriftListed || r.Differences != maxDrift || !r.Truncated {
		t.Errorf("%d and %d differences, %d in the report of %d", len(forth.keys), len(back.keys), len(r.Found), r.Differences)
	}
}
