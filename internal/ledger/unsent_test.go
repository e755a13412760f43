package ledger

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

type replyFetcher func(*pipeline.Batch) *pipeline.Reply

func (f replyFetcher) Fetch(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	return f(b), nil
}

// TestUnsent: a call with an intent that was not made, because the run ended in between, is
// neither an attempt nor in doubt, in this process and in later ones.
func TestUnsent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	open := func() (*Ledger, func()) {
		store, err := wal.OpenDir(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := Open(t.Context(), store, Options{Decode: func(b *pipeline.Batch, c *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
			return make([]pipeline.ItemReply, len(b.Items)), nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		return l, func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	check := func(l *Ledger) {
		t.Helper()
		r := l.Runs()[0]
		for a, err := range l.Reader().Answers(t.Context(), r) {
			t.Errorf("Answers() yields %v, %v, want nothing", a.Reply.Calls, err)
		}
		if n := r.Cost().Max; n != 0 || len(l.CallsInDoubt()) != 0 {
			t.Errorf("Cost() = %d with %d calls in doubt, want 0 and none", n, len(l.CallsInDoubt()))
		}
		a, err := l.Audit(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Attempts != 0 || len(a.Mismatched)+len(a.OverBudget) != 0 {
			t.Errorf("Audit() = %d attempts, miscounted %v, over budget %v; want none", a.Attempts, a.Mismatched, a.OverBudget)
		}
	}

	l, done := open()
	// The budget is enough for one call at a time: the first one's share must be free again
	// before the second one.
	recorder, err := l.BeginRun(pipeline.RunSpec{ID: "r", Budget: 3})
	if err != nil {
		t.Fatal(err)
	}
	q := &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: []string{"riskNews"}, MaxResults: 3}}
	for _, id := range []string{"000001", "000002"} {
		b := &pipeline.Batch{ID: id, Query: q, Items: make([]pipeline.Item, 1)}
		reply, err := recorder.RecordCalls(replyFetcher(func(b *pipeline.Batch) *pipeline.Reply { return pipeline.NewReply(b, "not sent") })).Fetch(t.Context(), b)
		if err != nil || len(reply.Calls) != 0 {
			t.Fatalf("Fetch(%s) = %v, %v, want no call and no error", id, reply, err)
		}
	}
	check(l)
	done()
	l, done = open()
	check(l)
	done()
}
