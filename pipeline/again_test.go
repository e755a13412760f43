package pipeline

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestReplayOfUndecided: a line that no answer decides has the same row when its
// run is made again from the journal, with all that the answer said beside.
func TestReplayOfUndecided(t *testing.T) {
	var past []Answered
	ask := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
		reply := &Reply{Calls: []Call{{
			ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Object: b.Query.Object, Entities: len(b.Items), Ceiling: b.Ceiling(), Sent: epoch,
			Status: 200, Outcome: Charged, Charge: Charge{Text: "some"},
		}}}
		for _, status := range []schema.Status{schema.Restricted, schema.Deferred, schema.NotFound} {
			reply.Items = append(reply.Items, ItemReply{
				Status: status, CallID: b.ID + "-1", Reason: "so it says", Notes: []string{"an odd entry"}, Extra: json.RawMessage(`{"mood":"high"}`),
				Entity: schema.Entity{Object: b.Query.Object, ID: "40117", Name: "Kestrel Loom", Domain: "kestrelloom.example"},
			})
		}
		past = append(past, Answered{b, reply})
		return reply, nil
	})
	j := &keeping{}
	g := mustRun(t, Runner{Fetcher: ask, Journal: j}, companies(3))
	want := g.sink.read("accounts")

	sink := &memorySink{}
	again := &Runner{Sink: sink, Queries: bothQueries(), RunID: "run-1", Past: &Past{Answers: j.answers(past), Lines: j.lines}}
	if _, err := again.Replay(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	got := map[string]cells{}
	for _, row := range sink.read("accounts") {
		got[row.text("account_key")] = row
	}
	if len(want) != 3 || len(got) != 3 {
		t.Fatalf("%d rows, and %d when made again, want 3", len(want), len(got))
	}
	for _, row := range want {
		if diff := cmp.Diff(row, got[row.text("account_key")]); diff != "" {
			t.Errorf("a line that is %s (-run +made again):\n%s", row.text("status"), diff)
		}
		if row.text("extra") == "" || row.text("entity_id") == "" || !row.null("credits") {
			t.Errorf("a line that is %s = %v, want all that the answer said, and no credits: the charge is not known", row.text("status"), row)
		}
	}
}

// keeping is a journal that gives back what it was given, as text.
type keeping struct {
	nothing
	kept []byte
}

func (k *keeping) Keep(lines []Line) (err error) {
	k.kept, err = json.Marshal(lines)
	return err
}

func (k *keeping) lines(yield func(Line, error) bool) {
	var lines []Line
	err := json.Unmarshal(k.kept, &lines)
	for _, l := range lines {
		if !yield(l, err) {
			return
		}
	}
}

func (k *keeping) answers(past []Answered) func(func(Answered, error) bool) {
	return func(yield func(Answered, error) bool) {
		for _, a := range past {
			if !yield(a, nil) {
				return
			}
		}
	}
}
