package ledger

import (
	"context"
	"testing"

	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// hookedStore is a store with a hook before every read.
type hookedStore struct {
	wal.Store
	onRead func()
}

func (s hookedStore) Open(ctx context.Context, name string) (wal.Reader, error) {
	s.onRead()
	return s.Store.Open(ctx, name)
}

// TestCallsWhileReading: while Coverage or Resolve waits for the store to return an earlier
// answer, calls are made and recorded.
func TestCallsWhileReading(t *testing.T) {
	ctx := t.Context()
	bucket := membucket.New()
	onRead := func() {} // before a segment is opened for reading
	open := func(run string) *Ledger {
		t.Helper()
		store := hookedStore{wal.NewObjects(bucket, "j", wal.ObjectsOptions{Patience: -1}), func() { onRead() }}
		l, err := Open(ctx, store, Options{Decode: decodeTest})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.BeginRun(pipeline.RunSpec{ID: run, Session: 1}); err != nil {
			t.Fatal(err)
		}
		return l
	}
	earlier := &ledgerRig{t: t, ledger: open("earlier")}
	pay := func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) { return answerOf(b, "paid 3"), nil }
	bought := testBatch(1, 1)
	if _, err := earlier.fetch(bought, pay, nil); err != nil {
		t.Fatal(err)
	}
	if err := earlier.ledger.Close(); err != nil {
		t.Fatal(err)
	}

	l := open("run")
	defer l.Close()
	account := &bought.Items[0].Account
	more := *bought.Query
	more.Ask = pipeline.SignalsAsk{Types: more.ResultTypes(), MaxResults: more.MaxResults() + 1} // whether that brings more is in the answer
	var calls []string
	for _, tt := range []struct {
		name string
		read func()
		want string
	}{
		{"Coverage", func() {
			if c := l.Coverage(ctx, account, &more); c.Call != "earlier/000001-1" {
				t.Errorf("Coverage() = %+v, want it answered by the earlier call", c)
			}
		}, "000002"},
		{"Resolve", func() { l.Resolve(ctx, account) }, "000003"},
	} {
		calls = nil
		onRead = func() {
			if !l.mu.TryLock() {
				t.Errorf("%s reads the store while it holds the lock of every call", tt.name)
				return
			}
			l.mu.Unlock()
			if len(calls) > 0 {
				return
			}
			b := testBatch(len(l.calls)+1, 1)
			_, err := l.RecordCalls(fetchFunc(func(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
				calls = append(calls, b.ID)
				return pay(ctx, b)
			})).Fetch(ctx, b)
			if err != nil {
				t.Error(err)
			}
		}
		tt.read()
		if len(calls) != 1 || calls[0] != tt.want {
			t.Errorf("during %s the calls %q were made, want %s", tt.name, calls, tt.want)
		}
	}
	onRead = func() {}
}

// TestCancelledRead: the result of a cancelled read is not cached.
func TestCancelledRead(t *testing.T) {
	m := newLedgerRig(t)
	b := testBatch(1, 1)
	if _, err := m.fetch(b, func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) { return answerOf(b, "paid 3"), nil }, nil); err != nil {
		t.Fatal(err)
	}
	c := m.ledger.calls[0]
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	m.ledger.cachedPairs(cancelled, c)
	m.ledger.cachedResolution(cancelled, c, pipeline.IdentityOf(&b.Items[0].Account))
	if len(m.ledger.pairCache)+len(m.ledger.resolutions.byCall) > 0 {
		t.Error("a result of a cancelled read is in a cache")
	}
	m.ledger.cachedPairs(t.Context(), c)
	m.ledger.cachedResolution(t.Context(), c, pipeline.IdentityOf(&b.Items[0].Account))
	if len(m.ledger.pairCache) != 1 || len(m.ledger.resolutions.byCall) != 1 {
		t.Error("an answer that was read is not in both caches")
	}
}
