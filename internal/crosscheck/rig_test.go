package crosscheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// accountList is a Source of given lines.
type accountList []schema.Account

func (l accountList) Accounts(context.Context) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		for i, a := range l {
			a.Row, a.File, a.Line = int64(i+1), "list.csv", int64(i+2)
			if !yield(a, nil) {
				return
			}
		}
	}
}

// scriptedFetcher is a Fetcher for batches of one line, with the answer to each line by its key.
type scriptedFetcher map[string]scriptedAnswer

// scriptedAnswer is the result of a line: the attempts, of which the last decides, and the status.
type scriptedAnswer struct {
	calls []pipeline.Call
	item  pipeline.ItemReply
}

var sentAt = time.Date(2026, 5, 7, 2, 30, 0, 123_456_789, time.UTC)

func (s scriptedFetcher) Fetch(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	scripted, ok := s[b.Items[0].Account.Key]
	if !ok || len(b.Items) != 1 {
		err := fmt.Errorf("batch %s: the script has no answer for %d lines beginning with %s", b.ID, len(b.Items), b.Items[0].Account.Key)
		return pipeline.NewReply(b, err.Error()), err
	}
	reply := &pipeline.Reply{}
	for i, c := range scripted.calls {
		c.ID, c.Batch, c.Attempt = fmt.Sprintf("%s-%d", b.ID, i+1), b.ID, i+1
		c.Endpoint, c.Object, c.Entities, c.Types, c.Ceiling = "POST /signals", b.Query.Object, 1, len(b.Query.ResultTypes()), b.Ceiling()
		c.Sent, c.Duration = sentAt.Add(time.Duration(i)*time.Minute), 1500*time.Millisecond
		reply.Calls = append(reply.Calls, c)
		scripted.item.CallID = c.ID
	}
	reply.Items = []pipeline.ItemReply{scripted.item}
	return reply, nil
}

// charged is an answered call that states its charge.
func charged(credits int64) pipeline.Call {
	return pipeline.Call{Status: 200, Outcome: pipeline.Charged, Charge: pipeline.Charge{Known: true, Credits: credits}}
}

// readRecord is the documented record of a key, from those that the pipeline's tests flatten.
func readRecord(t *testing.T, key string) string {
	t.Helper()
	return strings.TrimSpace(readFile(t, filepath.Join("..", "..", "testdata", "golden", "records", key+".json")))
}

// readFile reads a file. The go command does not watch files outside this module, so after a change
// to one of them alone these tests need -count=1.
func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// eventsOf returns one event of every key of an object.
func eventsOf(t *testing.T, o schema.Object, edit func(raw string) string) (events []pipeline.RawEvent) {
	t.Helper()
	for _, s := range schema.Signals {
		if s.Object == o {
			events = append(events, pipeline.RawEvent{Type: s.Key, Raw: json.RawMessage(edit(readRecord(t, s.Key)))})
		}
	}
	return events
}

func unedited(raw string) string { return raw }

// kestrelFixture is a list with lines of most statuses. Its first two lines get one event of every
// key, its last one an event that the catalogue does not know. edit may change the records.
func kestrelFixture(t *testing.T, edit func(raw string) string) (accountList, scriptedFetcher) {
	t.Helper()
	lines := accountList{
		{Key: "crm-1", Object: schema.Company, Domain: "kestrelloom.example", Notes: []string{"www. was removed"}},
		{Key: "crm-2", Object: schema.Contact, LinkedIn: "https://www.linkedin.com/in/ida-moen"},
		{Key: "crm-3", Object: schema.Company, Domain: "kestrelloom.example"},
		{Key: "crm-4", Object: schema.Company, Reject: &schema.Reject{Column: "Website", Value: "?", Reason: "not a host name"}},
		{Key: "crm-5", Object: schema.Company, ID: "50099"},
		{Key: "crm-6", Object: schema.Company, Name: "Quiet & Sons"},
		{Key: "crm-7", Object: schema.Company, Domain: "nobody.example"},
		{Key: "crm-8", Object: schema.Company, ID: "50031"},
	}
	company, contact := eventsOf(t, schema.Company, edit), eventsOf(t, schema.Contact, edit)
	first := charged(int64(len(company)))
	first.Rate = pipeline.Rate{Minute: pipeline.Window{Limit: -1, Used: -1, Left: -1}, Hour: pipeline.Window{Limit: 100, Used: 40, Left: 60}, Day: pipeline.Window{Limit: 200, Used: 200}}
	first.StartDate, first.EndDate, first.Body = "2026-02-06", "2026-05-07T00:00:00Z", []byte("{}")
	first.Warnings, first.UnknownFields = []string{"an odd header", "a new field"}, json.RawMessage(`{"page":1}`)
	return lines, scriptedFetcher{
		"crm-1": {
			[]pipeline.Call{{Status: 503, Outcome: pipeline.NotCharged, Problem: "overloaded"}, first},
			pipeline.ItemReply{
				Status: schema.Enriched, Events: company, UnknownFields: json.RawMessage(`{"size":3}`), Warnings: []string{"an odd size"},
				Entity: schema.Entity{Object: schema.Company, ID: "50023", Name: "Kestrel Loom", Domain: "kestrelloom.example"},
			},
		},
		"crm-2": {
			[]pipeline.Call{charged(5)}, // neither the number of events nor of types
			pipeline.ItemReply{Status: schema.Enriched, Events: contact, Entity: schema.Entity{Object: schema.Contact, ID: "40117", Name: "Ida Moen"}},
		},
		"crm-5": {
			[]pipeline.Call{charged(1)}, // for no event
			pipeline.ItemReply{Status: schema.NoSignal, Entity: schema.Entity{Object: schema.Company, ID: "50099", Name: "Brackwater Mills"}},
		},
		"crm-6": {
			[]pipeline.Call{{Outcome: pipeline.InDoubt, Problem: "the connection broke"}},
			pipeline.ItemReply{Status: schema.InDoubt, Reason: "the connection broke"},
		},
		"crm-7": {
			[]pipeline.Call{charged(0)},
			pipeline.ItemReply{Status: schema.NotFound, Reason: "not in the vendor's data"},
		},
		"crm-8": {
			[]pipeline.Call{{Status: 200, Outcome: pipeline.Charged, Charge: pipeline.Charge{Text: `"some"`}}},
			pipeline.ItemReply{
				Status: schema.Enriched, Entity: schema.Entity{Object: schema.Company, ID: "50031", Name: "Fjord Fibre"},
				Events: []pipeline.RawEvent{{Type: uncataloguedKey, Raw: json.RawMessage(`{"companyId":50031,"companyName":"Fjord Fibre","mood":"high"}`)}},
			},
		},
	}
}

// uncataloguedKey is a signal key that is not in the catalogue.
const uncataloguedKey = "moodSwing"

// runIntoNewLake runs the main job into a new lake, and returns the lake with its manifest as a
// reader finds it.
func runIntoNewLake(t *testing.T, lines accountList, f pipeline.Fetcher, partitionBy string) (string, *pipeline.Manifest) {
	t.Helper()
	lake := t.TempDir()
	if err := runInto(t.Context(), lake, "r1", lines, f, partitionBy); err != nil {
		t.Fatal(err)
	}
	var current struct{ Path string }
	var m pipeline.Manifest
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(lake, "_meta", "current.json"))), &current); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(lake, current.Path))), &m); err != nil {
		t.Fatal(err)
	}
	return lake, &m
}

// runInto runs the main job into a lake.
func runInto(ctx context.Context, lake, run string, lines accountList, f pipeline.Fetcher, partitionBy string) error {
	sink, err := sinks.Open(ctx, lake, sinks.Options{RunID: run, Version: "test", RowGroupRows: 100})
	if err != nil {
		return err
	}
	queries := map[schema.Object]*pipeline.Query{}
	for _, o := range []schema.Object{schema.Company, schema.Contact} {
		ask := pipeline.SignalsAsk{MaxResults: 5}
		for _, s := range schema.Signals {
			if s.Object == o {
				ask.Types = append(ask.Types, s.Key)
			}
		}
		queries[o] = &pipeline.Query{Object: o, Since: "2026-02-06", Ask: ask}
	}
	r := pipeline.Runner{Fetcher: f, Sink: sink, Queries: queries, Spec: pipeline.RunSpec{ID: run, Started: time.Now(), Partition: partitionBy}, BatchSize: 1}
	_, err = r.Run(ctx, lines)
	return errors.Join(err, sink.Close())
}
