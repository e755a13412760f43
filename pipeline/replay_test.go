package pipeline

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestReplayRecordedLines: a line that no answer decides has the same row after a replay from the
// journal, with everything else that the answer said.
func TestReplayRecordedLines(t *testing.T) {
	var answers []AnsweredBatch
	ask := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
		reply := &Reply{Calls: []Call{{
			ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Object: b.Query.Object, Entities: len(b.Items), Ceiling: b.Ceiling(), Sent: epoch,
			Status: 200, Outcome: Charged, Charge: Charge{Text: "some"},
		}}}
		for _, status := range []schema.Status{schema.Restricted, schema.Deferred, schema.NotFound} {
			reply.Items = append(reply.Items, ItemReply{
				Status: status, CallID: b.ID + "-1", Reason: "so it says", Warnings: []string{"an odd entry"}, UnknownFields: json.RawMessage(`{"mood":"high"}`),
				Entity: schema.Entity{Object: b.Query.Object, ID: "40117", Name: "Kestrel Loom", Domain: "kestrelloom.example"},
			})
		}
		answers = append(answers, AnsweredBatch{b, reply})
		return reply, nil
	})
	j := &memoryLedger{}
	g := mustRun(t, Runner{Fetcher: ask, Ledger: j}, companies(3))
	want := g.sink.read("accounts")

	sink := &memorySink{}
	replay := &Runner{Sink: sink, Queries: bothQueries(), Spec: RunSpec{ID: "run-1"}, Recorded: &RunLog{Answers: j.answers(answers), Lines: j.lines}}
	if _, err := replay.Replay(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	got := map[string]cells{}
	for _, row := range sink.read("accounts") {
		got[row.text("account_key")] = row
	}
	if len(want) != 3 || len(got) != 3 {
		t.Fatalf("%d rows, %d after the replay, want 3", len(want), len(got))
	}
	for _, row := range want {
		if diff := cmp.Diff(row, got[row.text("account_key")]); diff != "" {
			t.Errorf("line with status %s (-run +replay):\n%s", row.text("status"), diff)
		}
		if row.text("answer_extra") == "" || row.text("entity_id") == "" || !row.null("credits") {
			t.Errorf("line with status %s = %v, want everything that the answer said, and no credits: the charge is unknown", row.text("status"), row)
		}
	}
}

// TestReplaySearches: the cost of a search that found nothing, or that has an unknown charge, is on
// its line, in the run and in its replay.
func TestReplaySearches(t *testing.T) {
	var accounts []schema.Account
	for n, domain := range []string{"known1.example", "later.example", "nobody.example", "secret.example"} {
		accounts = append(accounts, schema.Account{Row: int64(n + 1), Key: domain, Object: schema.Company, Domain: domain})
	}
	g, j := &searchVendor{resolutions: map[Identity]Resolution{}}, &memoryLedger{}
	var answers []AnsweredBatch
	ask := fetchFunc(func(ctx context.Context, b *Batch) (*Reply, error) {
		reply, err := g.Fetch(ctx, b)
		if b.Query.Service() == Search {
			reply.Calls[0].Charge = Charge{Text: "some"}
		}
		answers = append(answers, AnsweredBatch{b, reply})
		return reply, err
	})
	sink := &memorySink{}
	runner := &Runner{
		Fetcher: ask, Purchases: g, Ledger: j, Sink: sink, Spec: RunSpec{ID: "run-1"}, Concurrency: 1, Now: func() time.Time { return epoch },
		Queries:  map[schema.Object]*Query{schema.Company: {Object: schema.Company, APIVersion: V3, Ask: SignalsAsk{Types: []string{"surgeInHiring"}, MaxResults: 5}}},
		Searches: map[schema.Object]*Query{schema.Company: {Object: schema.Company, APIVersion: V3, Ask: SearchAsk{}}},
		Reopen:   func() (Source, error) { return list{accounts: accounts}, nil },
	}
	if _, err := runner.Run(t.Context(), list{accounts: accounts}); err != nil {
		t.Fatal(err)
	}
	replayed := &memorySink{}
	replay := &Runner{Sink: replayed, Queries: runner.Queries, Searches: runner.Searches, Spec: RunSpec{ID: "run-1"}, Recorded: &RunLog{Answers: j.answers(answers), Lines: j.lines}}
	if _, err := replay.Replay(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	rows := func(s *memorySink) map[string]cells {
		out := map[string]cells{}
		for _, row := range s.read("accounts") {
			if out[row.text("account_key")] = row; !row.null("credits") {
				t.Errorf("%s has %d credits, want none: the charge is unknown", row.text("account_key"), row.int("credits"))
			}
		}
		return out
	}
	if diff := cmp.Diff(rows(sink), rows(replayed)); diff != "" || len(rows(replayed)) != len(accounts) {
		t.Errorf("accounts (-run +replay):\n%s", diff)
	}
}

// memoryLedger is a ledger that stores lines as text and returns them.
type memoryLedger struct {
	noLedger
	recorded [][]byte
}

func (k *memoryLedger) RecordLines(lines []Line) error {
	text, err := json.Marshal(lines)
	k.recorded = append(k.recorded, text)
	return err
}

func (k *memoryLedger) lines(yield func(Line, error) bool) {
	for _, text := range k.recorded {
		var lines []Line
		err := json.Unmarshal(text, &lines)
		for _, l := range lines {
			if !yield(l, err) {
				return
			}
		}
	}
}

func (k *memoryLedger) answers(batches []AnsweredBatch) func(func(RecordedAnswer, error) bool) {
	return func(yield func(RecordedAnswer, error) bool) {
		for _, a := range batches {
			if !yield(recorded(a), nil) {
				return
			}
		}
	}
}

// recorded is an answer that was read already.
func recorded(a AnsweredBatch) RecordedAnswer {
	answer := RecordedAnswer{Entities: len(a.Batch.Items), Read: func(context.Context) (AnsweredBatch, error) { return a, nil }}
	for i := range a.Reply.Calls {
		answer.Length += a.Reply.Calls[i].AnswerBytes()
	}
	return answer
}
