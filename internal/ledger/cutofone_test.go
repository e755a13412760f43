package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"

	"github.com/siglake/siglake/pipeline"
)

// TestCutOfOne: an answer about one entity that was cut is not asked that way again, today once it
// may be retried, and on any day with a window in common: by fewer signal types first, then by fewer
// results. An answer to such a request that comes whole ends that.
func TestCutOfOne(t *testing.T) {
	t.Parallel()
	m := newLedgerRig(t)
	cut := func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		reply := answerOf(b, "garbled "+string(make([]byte, longAnswer)))
		reply.Calls[0].Cut = true
		return reply, nil
	}
	ask := func(number int, wire fetchFunc, change func(*pipeline.Query)) *Call {
		t.Helper()
		b := testBatch(1, 1)
		b.ID = testBatch(number, 1).ID
		if change != nil {
			change(b.Query)
		}
		if _, err := m.fetch(b, wire, nil); err != nil {
			t.Fatal(err)
		}
		c := m.ledger.state.calls[len(m.ledger.state.calls)-1]
		m.ledger.state.addToIndex(c, identitiesOf(b))
		return c
	}
	account, q := testBatch(1, 1).Items[0].Account, testBatch(1, 1).Query
	tomorrow := *q
	tomorrow.Until = "2026-05-02"
	check := func(what string, q *pipeline.Query, types, results int) {
		t.Helper()
		c := m.ledger.Purchases(nil, TTL{}).Coverage(t.Context(), &account, q)
		lowest := 0
		for _, s := range c.Signals {
			if lowest == 0 || s.MaxResults > 0 && s.MaxResults < lowest {
				lowest = s.MaxResults
			}
		}
		if c.MaxTypes != types || lowest != results {
			t.Errorf("%s: %d types and %d results at most, want %d and %d", what, c.MaxTypes, lowest, types, results)
		}
	}
	check("nothing bought", q, 0, 0)
	first := ask(1, cut, nil)
	check("held", q, 0, 0)
	check("the next day", &tomorrow, 1, 0)
	if err := m.recorder.RecordDecision(first, Retry, ""); err != nil {
		t.Fatal(err)
	}
	check("to be retried", q, 1, 0)
	second := ask(2, cut, func(q *pipeline.Query) { *q = *oneType(q) })
	if err := m.recorder.RecordDecision(second, Retry, ""); err != nil {
		t.Fatal(err)
	}
	check("one type was cut", q, 1, 50)
	check("one type was cut, the next day", &tomorrow, 1, 50)
	if earlier, _, err := m.ledger.Rereader().RepeatedFailure(t.Context(), second); earlier != nil || err != nil {
		t.Errorf("RepeatedFailure() = %v, %v: fewer types are another way", earlier, err)
	}
	one := ask(3, cut, func(q *pipeline.Query) {
		*q = *oneType(q)
		q.Ask = pipeline.SignalsAsk{Types: q.ResultTypes(), MaxResults: 1}
	})
	if earlier, kind, err := m.ledger.Rereader().RepeatedFailure(t.Context(), one); earlier != one || kind == "" || err != nil {
		t.Errorf("RepeatedFailure() = %v, %q, %v: nothing smaller can be requested", earlier, kind, err)
	}
	ask(4, func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) { return answerOf(b, "paid 3"), nil }, func(q *pipeline.Query) { q.Until = "2026-05-03" })
	tomorrow.Until = "2026-05-04"
	check("a whole answer", &tomorrow, 0, 0)
}

func oneType(q *pipeline.Query) *pipeline.Query {
	narrow := *q
	ask := q.Ask.(pipeline.SignalsAsk)
	ask.Types = ask.Types[:1]
	narrow.Ask = ask
	return &narrow
}

func identitiesOf(b *pipeline.Batch) (all []byte) {
	for i := range b.Items {
		identity := pipeline.IdentityOf(&b.Items[i].Account)
		all = append(all, identity[:]...)
	}
	return all
}

// TestPiecesFromLog: of a long answer that hardly compresses, only the first pieces stay in memory
// until it is whole. The others are read from the log, even if the run is to stop.
func TestPiecesFromLog(t *testing.T) {
	t.Parallel()
	m := newLedgerRig(t)
	text := make([]byte, maxKeptPieces+3<<20)
	if _, err := rand.Read(text); err != nil {
		t.Fatal(err)
	}
	var admitted int64
	b := testBatch(1, 1)
	b.Admit = func(bytes int64) { admitted = bytes }
	ctx, stop := context.WithCancel(t.Context())
	fetcher := m.recorder.RecordCalls(fetchFunc(func(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		stop()
		return spillingFetch(text, 1<<20, nil)(ctx, b)
	}))
	reply, err := fetcher.Fetch(ctx, b)
	if err != nil || !bytes.Equal(reply.Calls[0].Body, text) || admitted != int64(len(text)) {
		t.Errorf("Fetch() = %d bytes, %v, %d were announced; want %d", len(reply.Calls[0].Body), err, admitted, len(text))
	}
}
