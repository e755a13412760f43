package crosscheck

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// cannedFetcher answers every batch with the same body.
type cannedFetcher string

func (f cannedFetcher) Fetch(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	reply := pipeline.NewReply(b, "not answered")
	reply.Calls = []pipeline.Call{{
		ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Object: b.Query.Object, Endpoint: "POST /signals", Entities: len(b.Items), Types: len(b.Query.ResultTypes()),
		Status: 200, Sent: sentAt, Duration: time.Second, Ceiling: b.Ceiling(), Body: []byte(f),
	}}
	return reply, nil
}

// hardSignals are the types of the events in the recorded answers.
var hardSignals = map[schema.Object][]string{
	schema.Company: {"financialEventsNews", "commercialActivityNews"},
	schema.Contact: {"promotion"},
}

// buyHardAnswers writes a lake with a run for each of some recorded answers. It returns the number of
// entities asked about: companies by domain, or contacts by e-mail.
func buyHardAnswers(t *testing.T, lake string, object schema.Object, names ...string) (entities int) {
	t.Helper()
	for _, name := range names {
		body := readFile(t, filepath.Join("..", "..", "testdata", "hard-answers", name+".json"))
		var answer struct {
			Companies, Contacts map[string]json.RawMessage
		}
		err := json.Unmarshal([]byte(body), &answer)
		n := len(answer.Companies) + len(answer.Contacts)
		if err != nil || n == 0 {
			t.Fatalf("%s: %d entities, %v", name, n, err)
		}
		var lines accountList
		for i := range n {
			line := schema.Account{Key: fmt.Sprintf("%s-%d", name, i+1), Object: object}
			if object == schema.Company {
				line.Domain = fmt.Sprintf("company%d.example", i+1)
			} else {
				line.Email = fmt.Sprintf("person%d@x.example", i+1)
			}
			lines = append(lines, line)
		}
		sink, err := sinks.Open(t.Context(), filepath.Join(lake, name), sinks.Options{RunID: name, Version: "test"})
		if err != nil {
			t.Fatal(err)
		}
		q := &pipeline.Query{Object: object, APIVersion: pipeline.V2, Ask: pipeline.SignalsAsk{MaxResults: 5, Types: hardSignals[object]}, Since: "2026-08-28", Until: "2026-11-26"}
		r := &pipeline.Runner{Fetcher: lusha.Decode(cannedFetcher(body)), Sink: sink, Spec: pipeline.RunSpec{ID: name}, Queries: map[schema.Object]*pipeline.Query{object: q}}
		m, err := r.Run(t.Context(), lines)
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		if got := m.Accounts.ByStatus[schema.Enriched]; got != int64(len(lines)) {
			t.Errorf("%s: statuses %v, want %d enriched", name, m.Accounts.ByStatus, len(lines))
		}
		entities += len(lines)
	}
	return entities
}

// TestRawIsJSONForDuckDB: answers with halves of surrogate pairs, events in odd containers and events
// that share an id. DuckDB extracts from raw over the whole dataset, and every paid event is a row of
// its own with a date.
func TestRawIsJSONForDuckDB(t *testing.T) {
	lake := t.TempDir()
	companies := buyHardAnswers(t, lake, schema.Company, "lone-high-surrogate", "php-list-as-object", "event-as-json-string", "shared-signal-id")
	d := openDuckDB(t)
	_, rows, err := d.Query(t.Context(), `SELECT count(*), count(DISTINCT run_id || event_uid), count(DISTINCT account_key), count(raw->>'articleTitle'),
		count(*) FILTER ((raw->>'articleTitle') = article_title AND (raw->>'signalId') = signal_id AND event_month = '2026-10'),
		count(*) FILTER ((raw->>'eventSummary') = 'x' || chr(65533) || 'y' AND event_summary = (raw->>'eventSummary') AND notes IS NOT NULL)
		FROM `+ScanExpr(filepath.Join(lake, "*"), "data/news"))
	if err != nil {
		t.Fatal(err)
	}
	got := rows[0]
	if n := got[0].(int64); n <= int64(companies) || got[1] != got[0] || got[2] != int64(companies) || got[3] != got[0] || got[4] != got[0] || got[5] != int64(1) {
		t.Errorf("rows, uids, accounts, titles, typed, repaired = %v; want several rows for %d companies, each with a uid of its own in its run and a title, one repaired", got, companies)
	}
}

// TestPeopleWithoutIDs: three people with equal answers that state no id have an event each, for
// readers who take each event_uid once, too.
func TestPeopleWithoutIDs(t *testing.T) {
	lake := t.TempDir()
	people := buyHardAnswers(t, lake, schema.Contact, "no-ids-contact")
	_, rows, err := openDuckDB(t).Query(t.Context(), "SELECT count(*), count(DISTINCT account_key) FROM (SELECT DISTINCT ON (event_uid) * FROM "+ScanExpr(filepath.Join(lake, "*"), "data/contact")+")")
	if err != nil {
		t.Fatal(err)
	}
	if rows[0][0] != int64(people) || rows[0][1] != int64(people) {
		t.Errorf("events, accounts = %v, want %d of each", rows[0], people)
	}
}

// TestLongTextsInDuckDB: the short bounds of long texts hide no row from DuckDB's filters, and its
// aggregates are those of the texts.
func TestLongTextsInDuckDB(t *testing.T) {
	lake := t.TempDir()
	var lines accountList
	f := scriptedFetcher{}
	var texts []string
	for i := range 300 {
		text := strings.Repeat(string(rune(0xe0+i%20)), 40) + strings.Repeat("\u00ff", i) + fmt.Sprint(i)
		texts = append(texts, text)
		key := fmt.Sprintf("crm-%03d", i)
		raw, err := json.Marshal(map[string]string{"signalId": fmt.Sprint(i), "eventType": text, "eventSummary": text, "articlePublishedDate": "2026-03-09"})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, schema.Account{Key: key, Object: schema.Company, ID: fmt.Sprint(i)})
		f[key] = scriptedAnswer{[]pipeline.Call{charged(1)}, pipeline.ItemReply{
			Status: schema.Enriched, Events: []pipeline.RawEvent{{Type: "riskNews", Raw: raw}}, Entity: schema.Entity{Object: schema.Company, ID: fmt.Sprint(i)},
		}}
	}
	if err := runInto(t.Context(), lake, "r1", lines, f, "event_month"); err != nil {
		t.Fatal(err)
	}
	d := openDuckDB(t)
	from := " FROM " + ScanExpr(lake, "data/news")
	for _, column := range []string{"event_type", "event_summary"} { // with a dictionary, and plain
		for _, text := range texts {
			_, rows, err := d.Query(t.Context(), "SELECT count(*)"+from+" WHERE "+column+" = "+QuoteLiteral(text))
			if err != nil {
				t.Fatal(err)
			}
			if rows[0][0] != int64(1) {
				t.Errorf("%v rows have the %s %.20q… of %d bytes, want 1", rows[0][0], column, text, len(text))
			}
		}
		low, high := texts[0], texts[0]
		for _, text := range texts {
			low, high = min(low, text), max(high, text)
		}
		_, rows, err := d.Query(t.Context(), "SELECT min("+column+"), max("+column+")"+from)
		if err != nil {
			t.Fatal(err)
		}
		if rows[0][0] != low || rows[0][1] != high {
			t.Errorf("%s from %.20q… to %.20q…, want the texts themselves", column, rows[0][0], rows[0][1])
		}
	}
}
