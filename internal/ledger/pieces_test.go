package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/siglake/siglake/pipeline"
)

// spillingFetch answers with a text in pieces of so many bytes, and the rest as the body. It calls
// between after every piece.
func spillingFetch(text []byte, size int, between func()) fetchFunc {
	return func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		rest := text
		for len(rest) > size {
			if err := b.Spill(slices.Clone(rest[:size])); err != nil {
				return answerOf(b, string(rest)), nil
			}
			rest = rest[size:]
			if between != nil {
				between()
			}
		}
		return answerOf(b, string(rest)), nil
	}
}

// TestPieces: an answer in several records is whole for who made the call and for every later
// process, and other calls may lie between its records.
func TestPieces(t *testing.T) {
	m := newLedgerRig(t)
	text := []byte("paid 3 ")
	for i := range 5000 {
		text = fmt.Appendf(text, "%d ", i)
	}
	other := 0
	reply, err := m.fetch(testBatch(1, 2), spillingFetch(text, 3000, func() {
		other++
		if _, err := m.fetch(testBatch(100+other, 1), spillingFetch(text, 2000, nil), nil); err != nil {
			t.Error(err)
		}
	}), nil)
	if err != nil || !bytes.Equal(reply.Calls[0].Body, text) || !reply.Calls[0].Charge.Known {
		t.Fatalf("Fetch() = %d bytes, %v, want %d", len(reply.Calls[0].Body), err, len(text))
	}
	if want := (len(text) - 1) / 3000; other != want {
		t.Fatalf("%d pieces, want %d", other, want)
	}
	check := func(l *Ledger) {
		t.Helper()
		for _, c := range l.state.calls {
			_, call, err := l.archive.readExchange(t.Context(), c)
			if err != nil || !bytes.Equal(call.Body, text) || c.length != int64(len(text)) || c.cut {
				t.Errorf("call %s = %d bytes, %v, noted %d, want %d", c.ID, len(call.Body), err, c.length, len(text))
			}
		}
		if a, err := l.Audit(t.Context(), nil); err != nil || len(a.Mismatched)+len(a.WithoutIntent) > 0 || a.Answers != 1+other {
			t.Errorf("Audit() = %+v, %v", a, err)
		}
	}
	check(m.ledger)
	copied := t.TempDir()
	if err := m.ledger.CopyTo(t.Context(), openStore(t, copied, nil)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{m.disk.Dir, copied} {
		l, err := Open(t.Context(), openStore(t, dir, nil), Options{Decode: decodeTest, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		check(l)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPiecesPowerCut: an answer is durable as a whole when its call returns; before that, its call
// is in doubt, however many pieces have arrived.
func TestPiecesPowerCut(t *testing.T) {
	m := newLedgerRig(t)
	text := slices.Concat([]byte("paid 3 "), make([]byte, 5000))
	var between []string
	if _, err := m.fetch(testBatch(1, 2), spillingFetch(text, 1000, func() {
		if err := m.ledger.log.Flush(); err != nil {
			t.Error(err)
		}
		between = append(between, m.afterPowerCut().summary())
	}), func() { between = append(between, m.afterPowerCut().summary()) }); err != nil {
		t.Fatal(err)
	}
	lost := "000001-1 ambiguous unknown"
	if want := []string{lost, lost, lost, lost, lost, "000001-1 charged 3"}; !slices.Equal(between, want) {
		t.Errorf("after a power cut at each piece, and at the end: %q, want %q", between, want)
	}
}

// TestPieceFails: a piece that does not fit on the disk ends the run, though what follows it would
// fit, and the call is in doubt.
func TestPieceFails(t *testing.T) {
	m := newLedgerRig(t)
	full := false
	m.hook = func(op, _ string, do func() error) error {
		if full && op == "allocate" {
			return syscall.ENOSPC
		}
		return do()
	}
	large := make([]byte, 12<<20)
	_, _ = rand.Read(large) // does not fail, nor does it compress
	_, err := m.fetch(testBatch(1, 2), func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		full = true
		if err := b.Spill(large); err == nil {
			t.Error("12 MiB fit on a full disk")
		}
		return answerOf(b, "paid 3"), nil
	}, nil)
	wantStorageStop(t, err)
	if got, want := m.afterPowerCut().summary(), "000001-1 ambiguous unknown"; got != want {
		t.Errorf("the journal has %q, want %q", got, want)
	}
}

// TestRetryOfCut: an answer that was cut is not asked that way again: once it may be retried, its
// entities are requested in smaller batches, and so are others while nothing shows that longer
// answers arrive. All of that survives the process.
func TestRetryOfCut(t *testing.T) {
	m := newLedgerRig(t)
	b := testBatch(1, 40)
	cutFetch := func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		reply := answerOf(b, "garbled "+string(make([]byte, 2<<20)))
		reply.Calls[0].Cut = true
		return reply, nil
	}
	if _, err := m.fetch(b, cutFetch, nil); err != nil {
		t.Fatal(err)
	}
	// check compares what the next process knows.
	check := func(maxBatch, others int) {
		t.Helper()
		if err := m.ledger.log.Flush(); err != nil {
			t.Fatal(err)
		}
		l, err := Open(t.Context(), openStore(t, m.disk.Dir, nil), Options{Decode: decodeTest, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c := l.Purchases(nil, TTL{}).Coverage(t.Context(), &b.Items[0].Account, b.Query)
		if held := maxBatch == 0; c.MaxBatch != maxBatch || (c.InDoubt != nil) != held || c.RiskOfDoubleCharge == held {
			t.Errorf("Coverage() = %+v, want a retry of %d entities", c, maxBatch)
		}
		for _, l := range []*Ledger{l, m.ledger} {
			if n := l.AnswerSizes().MaxEntities(b.Query, 100, 64<<20); n != others {
				t.Errorf("others: %d entities, want %d", n, others)
			}
		}
	}
	retry := func(n int) {
		t.Helper()
		if err := m.recorder.RecordDecision(m.ledger.state.calls[n], Retry, ""); err != nil {
			t.Fatal(err)
		}
	}
	check(0, 20)
	retry(0)
	check(20, 20)
	if _, err := m.fetch(b.SubBatch(0, 0, 7), cutFetch, nil); err != nil {
		t.Fatal(err)
	}
	retry(1)
	check(3, 3)
}
