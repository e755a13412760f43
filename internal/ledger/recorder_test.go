package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/durable/durabletest"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// fetchFunc is a Fetcher of one function.
type fetchFunc func(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error)

func (f fetchFunc) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	return f(ctx, b)
}

// decodeTest decodes answers of the form "paid 3", with anything after it. A charge that is not
// a number is a charge that was not understood.
func decodeTest(b *pipeline.Batch, c *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
	items = make([]pipeline.ItemReply, len(b.Items))
	status := schema.Deferred
	if c.Outcome == pipeline.InDoubt {
		status = schema.InDoubt
	}
	if rest, ok := strings.CutPrefix(string(c.Body), "paid "); ok {
		n, err := fmt.Sscan(rest, &c.Charge.Credits)
		c.Outcome, c.Charge.Known = pipeline.Charged, n == 1 && err == nil
		status = schema.Enriched
	}
	for i := range items {
		items[i] = pipeline.ItemReply{Status: status, CallID: c.ID}
	}
	return items, nil
}

// ledgerRig is a ledger with a run in progress, on a machine that can lose power.
type ledgerRig struct {
	t        *testing.T
	disk     *durabletest.Disk
	ledger   *Ledger
	recorder *Recorder
	hook     durable.Hook // before the machine's; nil: none
}

func newLedgerRig(t *testing.T) *ledgerRig {
	t.Helper()
	m := &ledgerRig{t: t, disk: durabletest.NewDisk(filepath.Join(durabletest.Scratch(t), "journal"), nil)}
	store := openStore(t, m.disk.Dir, func(op, path string, do func() error) error {
		below := func() error { return m.disk.Hook(op, path, do) }
		if m.hook != nil {
			return m.hook(op, path, below)
		}
		return below()
	})
	var err error
	if m.ledger, err = Open(t.Context(), store, Options{Decode: decodeTest}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.ledger.Close() }) // some tests have broken it
	if m.recorder, err = m.ledger.BeginRun(pipeline.RunSpec{ID: "run", Session: 1}); err != nil {
		t.Fatal(err)
	}
	return m
}

func openStore(t testing.TB, path string, hook durable.Hook) wal.Store {
	t.Helper()
	store, err := wal.OpenDir(path, hook)
	if err != nil {
		t.Fatalf("OpenDir(%s) = %v", path, err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// afterPowerCut is the run as the next process finds it if the power fails now and the disk
// keeps only what it must.
func (m *ledgerRig) afterPowerCut() *Run {
	m.t.Helper()
	dir := durabletest.Scratch(m.t)
	durabletest.RestoreFiles(m.t, dir, m.disk.Durable())
	l, err := Open(m.t.Context(), openStore(m.t, dir, nil), Options{Decode: decodeTest})
	if err != nil {
		m.t.Fatalf("the journal after a power cut: %v", err)
	}
	defer l.Close()
	r, err := l.state.findRun("run")
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// summary are a run's calls for a comparison.
func (r *Run) summary() string {
	var out []string
	for _, c := range r.Calls {
		charge := "unknown"
		if c.Charge.Known {
			charge = fmt.Sprint(c.Charge.Credits)
		}
		out = append(out, fmt.Sprintf("%s %s %s", c.ID, c.Outcome, charge))
	}
	return strings.Join(out, ", ")
}

// testBatch requests two signal types of n companies, each with up to 200 events.
func testBatch(number, n int) *pipeline.Batch {
	b := &pipeline.Batch{
		ID:    fmt.Sprintf("%06d", number),
		Query: &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: []string{"surgeInHiring", "riskNews"}, MaxResults: 100}, Since: "2026-01-01", Until: "2026-05-01"},
	}
	for i := range n {
		b.Items = append(b.Items, pipeline.Item{Ref: fmt.Sprint(i), Account: schema.Account{Row: int64(i + 1), Object: schema.Company, Domain: fmt.Sprintf("c%d-%d.example", number, i)}})
	}
	return b
}

func answerOf(b *pipeline.Batch, body string) *pipeline.Reply {
	reply := pipeline.NewReply(b, "not decoded")
	reply.Calls = []pipeline.Call{{
		ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Entities: len(b.Items), Status: 200, Outcome: pipeline.InDoubt, Body: []byte(body),
	}}
	return reply
}

// fetch sends a batch through the layers that record it. It calls read before it decodes the
// answer.
func (m *ledgerRig) fetch(b *pipeline.Batch, wire fetchFunc, read func()) (*pipeline.Reply, error) {
	record := m.recorder.RecordCalls(wire)
	decode := fetchFunc(func(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		reply, err := record.Fetch(ctx, b)
		if read != nil {
			read()
		}
		for i := range reply.Calls {
			reply.Items, _ = decodeTest(b, &reply.Calls[i])
		}
		return reply, err
	})
	return m.recorder.RecordOutcomes(decode).Fetch(m.t.Context(), b)
}

// TestRecord: the intent is durable when the request leaves, and the answer when it is decoded.
func TestRecord(t *testing.T) {
	m := newLedgerRig(t)
	for n := 1; n <= 3; n++ {
		var sent, read string
		_, err := m.fetch(testBatch(n, 2), func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
			sent = m.afterPowerCut().summary()
			return answerOf(b, "paid 3"), nil
		}, func() { read = m.afterPowerCut().summary() })
		if err != nil {
			t.Fatal(err)
		}
		before := ""
		for i := 1; i < n; i++ {
			before += fmt.Sprintf("%06d-1 charged 3, ", i)
		}
		if diff := cmp.Diff(before+fmt.Sprintf("%06d-1 ambiguous unknown", n), sent); diff != "" {
			t.Errorf("after a power cut during call %d (-want +got):\n%s", n, diff)
		}
		if diff := cmp.Diff(before+fmt.Sprintf("%06d-1 charged 3", n), read); diff != "" {
			t.Errorf("after a power cut while answer %d was read (-want +got):\n%s", n, diff)
		}
	}
}

// TestRecordReservation: no call is made with an answer that may not fit, and the answer to a
// call fits, whatever fills the disk meanwhile.
func TestRecordReservation(t *testing.T) {
	full := false
	noSpace := func(op, _ string, do func() error) error {
		if full && op == "allocate" {
			return syscall.ENOSPC
		}
		return do()
	}
	t.Run("full before the call", func(t *testing.T) {
		full = true
		m := newLedgerRig(t)
		m.hook = noSpace
		_, err := m.fetch(testBatch(1, 100), func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
			t.Error("it was asked, and its answer may not fit")
			return pipeline.NewReply(b, "not sent"), nil
		}, nil)
		wantStorageStop(t, err)
	})
	t.Run("full during the call", func(t *testing.T) {
		full = false
		m := newLedgerRig(t)
		m.hook = noSpace
		large := make([]byte, 6<<20)
		_, _ = rand.Read(large) // does not fail, nor does it compress
		_, err := m.fetch(testBatch(1, 100), func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
			full = true
			return answerOf(b, "paid 3 "+string(large)), nil
		}, nil)
		if got, want := m.afterPowerCut().summary(), "000001-1 charged 3"; err != nil || got != want {
			t.Errorf("Fetch() = %v, the journal has %q, want no error, %q", err, got, want)
		}
	})
}

// TestRecordFails: an answer that cannot be recorded ends the run, and its call is in doubt.
func TestRecordFails(t *testing.T) {
	m := newLedgerRig(t)
	record := m.recorder.RecordCalls(fetchFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		if b.ID != "000001" {
			t.Errorf("call %s was made after an answer could not be kept", b.ID)
		}
		m.hook = func(op, _ string, do func() error) error {
			if op == "sync" {
				return syscall.EIO
			}
			return do()
		}
		return answerOf(b, "paid 3"), nil
	}))
	reply, err := record.Fetch(t.Context(), testBatch(1, 2))
	wantStorageStop(t, err)
	if len(reply.Calls) != 1 {
		t.Errorf("Fetch() = %+v, want the call that was made", reply)
	}
	_, err = record.Fetch(t.Context(), testBatch(2, 2))
	wantStorageStop(t, err)
	if got, want := m.afterPowerCut().summary(), "000001-1 ambiguous unknown"; got != want {
		t.Errorf("the journal has %q, want %q", got, want)
	}
}

func wantStorageStop(t *testing.T, err error) {
	t.Helper()
	var stop *pipeline.Stop
	if !errors.As(err, &stop) || stop.Kind != pipeline.StopStorage {
		t.Errorf("Fetch() error = %v, want a stop for storage", err)
	}
}

// withPrice is a batch at a price of one event.
func withPrice(b *pipeline.Batch, credits int64) *pipeline.Batch {
	q := *b.Query
	q.Price = credits
	b.Query = &q
	return b
}

// TestRunMaxCost: the maximal cost of a run that was cut off, from its ledger alone.
func TestRunMaxCost(t *testing.T) {
	m := newLedgerRig(t)
	var cut *Run
	for n, body := range []string{"paid 3", "paid ?", "", "paid 5"} {
		_, err := m.fetch(withPrice(testBatch(n+1, 2), 3), func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
			if n == 3 {
				cut = m.afterPowerCut()
			}
			reply := answerOf(b, body)
			if body == "" {
				reply.Calls[0].Outcome = pipeline.NotCharged
			}
			return reply, nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	const ceiling = 3 * 2 * 2 * 100
	if got, want := cut.Cost().Max, int64(3+ceiling+0+ceiling); got != want {
		t.Errorf("Cost() of %s = %d, want %d", cut.summary(), got, want)
	}
	if got, want := m.afterPowerCut().Cost().Max, int64(3+ceiling+0+5); got != want {
		t.Errorf("Cost() of %s = %d, want %d", m.afterPowerCut().summary(), got, want)
	}
}

// TestPrepare: Prepare and Commit are durable when they return.
func TestPrepare(t *testing.T) {
	m := newLedgerRig(t)
	if r := m.afterPowerCut(); r.Prepared != nil || r.Published != nil {
		t.Error("a run that has just begun counts as staged")
	}
	if err := m.recorder.Prepare(&pipeline.Manifest{}); err != nil {
		t.Fatal(err)
	}
	if r := m.afterPowerCut(); r.Prepared == nil || r.Published != nil {
		t.Errorf("after Prepare: staged %v, done %v, want the former", r.Prepared, r.Published)
	}
	if err := m.recorder.Commit(&pipeline.Manifest{}); err != nil {
		t.Fatal(err)
	}
	if r := m.afterPowerCut(); r.Prepared == nil || r.Published == nil {
		t.Errorf("after Commit: staged %v, done %v, want both", r.Prepared, r.Published)
	}
}
