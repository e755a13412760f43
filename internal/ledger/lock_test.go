package ledger

import (
	"context"
	"strings"
	"sync"
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

// heldLocks are the locks that every call takes and that are held now.
func heldLocks(l *Ledger) (held []string) {
	for name, mu := range map[string]*sync.Mutex{"state.mu": &l.state.mu, "archive.mu": &l.archive.mu, "queryNumbers.mu": &l.queries.mu} {
		if !mu.TryLock() {
			held = append(held, name)
			continue
		}
		mu.Unlock()
	}
	return held
}

// TestLocksWhileWriting: no lock that calls take is held while a record is written. While a new
// query is recorded, calls with another query go ahead.
func TestLocksWhileWriting(t *testing.T) {
	m := newLedgerRig(t)
	pay := func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) { return answerOf(b, "paid 3"), nil }
	known, large := testBatch(1, 1), testBatch(2, 1)
	ask, _ := large.Query.Ask.(pipeline.SignalsAsk)
	ask.NewsEventTypes = []string{strings.Repeat("x", 8<<20)} // needs more room on the disk
	large.Query.Ask = ask
	writes, whileRecording := 0, 0
	m.hook = func(op, _ string, do func() error) error {
		writes++
		if held := heldLocks(m.ledger); len(held) > 0 {
			t.Errorf("%s while %q is held, which calls take", op, held)
		} else if !m.ledger.queries.recording.TryLock() {
			whileRecording++
			if n, err := m.ledger.queries.ensure(known.Query); n != 1 || err != nil {
				t.Errorf("ensure() of a recorded query = %d, %v, want 1", n, err)
			}
		} else {
			m.ledger.queries.recording.Unlock()
		}
		return do()
	}
	for _, b := range []*pipeline.Batch{known, large} {
		if _, err := m.fetch(b, pay, nil); err != nil {
			t.Fatal(err)
		}
	}
	m.hook = nil
	if writes == 0 || whileRecording == 0 {
		t.Errorf("%d writes, %d of them while a query was recorded; want some", writes, whileRecording)
	}
}

// TestCallsWhileReading: while Coverage or Resolve waits for the store to return an earlier
// answer, calls are made and recorded.
func TestCallsWhileReading(t *testing.T) {
	ctx := t.Context()
	bucket := membucket.New()
	onRead := func() {} // before a segment is opened for reading
	open := func(run string) (*Ledger, *Recorder) {
		t.Helper()
		store := hookedStore{wal.NewObjects(bucket, "j", wal.ObjectsOptions{Patience: -1}), func() { onRead() }}
		l, err := Open(ctx, store, Options{Decode: decodeTest})
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.BeginRun(pipeline.RunSpec{ID: run, Session: 1})
		if err != nil {
			t.Fatal(err)
		}
		return l, r
	}
	earlier := &ledgerRig{t: t}
	earlier.ledger, earlier.recorder = open("earlier")
	pay := func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) { return answerOf(b, "paid 3"), nil }
	bought := testBatch(1, 1)
	if _, err := earlier.fetch(bought, pay, nil); err != nil {
		t.Fatal(err)
	}
	if err := earlier.ledger.Close(); err != nil {
		t.Fatal(err)
	}

	l, recorder := open("run")
	defer l.Close()
	purchases := l.Purchases(recorder.Run(), TTL{})
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
			if c := purchases.Coverage(ctx, account, &more); c.Call != "earlier/000001-1" {
				t.Errorf("Coverage() = %+v, want it answered by the earlier call", c)
			}
		}, "000002"},
		{"Resolve", func() { purchases.Resolve(ctx, account) }, "000003"},
	} {
		calls = nil
		onRead = func() {
			if held := heldLocks(l); len(held) > 0 {
				t.Errorf("%s reads the store while it holds %q, which calls take", tt.name, held)
				return
			}
			if len(calls) > 0 {
				return
			}
			b := testBatch(len(l.state.calls)+1, 1)
			_, err := recorder.RecordCalls(fetchFunc(func(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
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
	archive := m.ledger.archive
	c := m.ledger.state.calls[0]
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	archive.cachedPairs(cancelled, c)
	archive.cachedResolution(cancelled, c, pipeline.IdentityOf(&b.Items[0].Account))
	if len(archive.pairs)+len(archive.resolutions.byCall) > 0 {
		t.Error("a result of a cancelled read is in a cache")
	}
	archive.cachedPairs(t.Context(), c)
	archive.cachedResolution(t.Context(), c, pipeline.IdentityOf(&b.Items[0].Account))
	if len(archive.pairs) != 1 || len(archive.resolutions.byCall) != 1 {
		t.Error("an answer that was read is not in both caches")
	}
}
