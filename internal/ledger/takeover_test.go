package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// decodeCost decodes answers that only state what they cost.
func decodeCost(b *pipeline.Batch, c *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
	status := schema.InDoubt
	if c.Outcome == pipeline.Charged {
		status = schema.Enriched
		c.Charge.Known = json.Unmarshal(c.Body, &c.Charge.Credits) == nil
	}
	for range b.Items {
		items = append(items, pipeline.ItemReply{Status: status, CallID: c.ID})
	}
	return items, nil
}

// batchFetcher is a Fetcher of a function without a context.
type batchFetcher func(b *pipeline.Batch) (*pipeline.Reply, error)

func (f batchFetcher) Fetch(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	return f(b)
}

func costOf(b *pipeline.Batch, credits int) *pipeline.Reply {
	reply := pipeline.NewReply(b, "not decoded")
	reply.Calls = []pipeline.Call{{ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Entities: len(b.Items), Status: 200, Outcome: pipeline.Charged, Body: fmt.Append(nil, credits)}}
	return reply
}

func batchAbout(number int) *pipeline.Batch {
	id := fmt.Sprint(1000 + number)
	return &pipeline.Batch{
		ID: fmt.Sprintf("%06d", number), ByID: true,
		Query: &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: []string{"surgeInHiring"}, MaxResults: 3}, Since: "2026-01-01", Until: "2026-02-01"},
		Items: []pipeline.Item{{Ref: id, Account: schema.Account{Row: int64(number), Object: schema.Company, ID: id}}},
	}
}

// TestTakeover: a run begins on one machine, which is paused during a call, and is resumed on
// another one; then the first one wakes up.
func TestTakeover(t *testing.T) {
	ctx := t.Context()
	begin := pipeline.RunSpec{ID: "run", Session: 1, CommandDigest: "c"}
	openOn := func(b wal.Bucket) *Ledger {
		t.Helper()
		l, err := Open(ctx, wal.NewObjects(b, "j", wal.ObjectsOptions{Patience: -1}), Options{Decode: decodeCost})
		if err != nil {
			t.Fatalf("Open = %v", err)
		}
		return l
	}
	known := func(l *Ledger, number int) pipeline.Coverage {
		b := batchAbout(number)
		return l.Purchases(nil, TTL{}).Coverage(ctx, &b.Items[0].Account, b.Query)
	}

	m := membucket.New()
	a := openOn(m)
	recorder, err := a.BeginRun(begin)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	onWire, wake, woken := make(chan bool), make(chan bool), make(chan error)
	record := recorder.RecordCalls(batchFetcher(func(b *pipeline.Batch) (*pipeline.Reply, error) {
		asked = append(asked, b.ID)
		if b.ID == "000003" {
			onWire <- true
			<-wake
		}
		return costOf(b, 7), nil
	}))
	// The first is answered and decoded, the second is answered and not decoded.
	settled := recorder.RecordOutcomes(batchFetcher(func(b *pipeline.Batch) (*pipeline.Reply, error) {
		reply, err := record.Fetch(ctx, b)
		if err == nil {
			reply.Items, _ = decodeCost(b, &reply.Calls[0])
		}
		return reply, err
	}))
	if _, err := settled.Fetch(ctx, batchAbout(1)); err != nil {
		t.Fatalf("Fetch = %v", err)
	}
	if _, err := record.Fetch(ctx, batchAbout(2)); err != nil {
		t.Fatalf("Fetch = %v", err)
	}
	go func() {
		_, err := record.Fetch(ctx, batchAbout(3))
		woken <- err
	}()
	<-onWire

	b := openOn(m)
	check := func(who string, l *Ledger) {
		t.Helper()
		var inDoubt []string
		for _, c := range l.CallsInDoubt() {
			inDoubt = append(inDoubt, c.ID)
		}
		if want := []string{"000003-1"}; !slices.Equal(inDoubt, want) {
			t.Errorf("%s: CallsInDoubt() = %q, want %q", who, inDoubt, want)
		}
		run := l.Runs()[0]
		if most := run.Calls[2].Ceiling; run.Cost().Max != 14+most {
			t.Errorf("%s: Cost() = %d, want 14 and a ceiling of %d", who, run.Cost().Max, most)
		}
		for n, want := range []string{"run/000001-1", "run/000002-1"} {
			if k := known(l, n+1); k.Call != want || len(k.Missing(batchAbout(n+1).Query)) > 0 {
				t.Errorf("%s: Coverage(%d) = %+v, want it answered by %s", who, n+1, k, want)
			}
		}
		if k := known(l, 3); k.InDoubt == nil || k.InDoubt.Call != "000003-1" || len(k.Missing(batchAbout(3).Query)) != 1 {
			t.Errorf("%s: Coverage(3) = %+v, want it in doubt", who, k)
		}
	}
	check("the other machine", b)
	begin.Session = 2
	resumed, err := b.BeginRun(begin)
	if err != nil {
		t.Fatalf("BeginRun on the other machine = %v", err)
	}

	wake <- true
	var stop *pipeline.Stop
	if err := <-woken; !errors.As(err, &stop) || stop.Kind != pipeline.StopStorage || !strings.Contains(stop.Reason, wal.ErrFenced.Error()) {
		t.Errorf("Fetch that was on the wire = %v, want a stop that says %q", err, wal.ErrFenced)
	}
	if _, err := record.Fetch(ctx, batchAbout(4)); !errors.As(err, &stop) {
		t.Errorf("Fetch after waking up = %v, want a stop", err)
	}
	if want := []string{"000001", "000002", "000003"}; !slices.Equal(asked, want) {
		t.Errorf("the first machine asked %q, want %q", asked, want)
	}
	if err := a.Close(); !errors.Is(err, wal.ErrFenced) {
		t.Errorf("Close on the first machine = %v, want %v", err, wal.ErrFenced)
	}

	if _, err := resumed.RecordCalls(batchFetcher(func(b *pipeline.Batch) (*pipeline.Reply, error) { return pipeline.NewReply(b, "not sent"), nil })).Fetch(ctx, batchAbout(5)); err != nil {
		t.Errorf("Fetch on the other machine = %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	c := openOn(m)
	check("a third machine", c)
	if r := c.Runs()[0]; r.Session != 2 || len(r.Calls) != 4 {
		t.Errorf("the run has session %d and %d calls, want 2 and 4", r.Session, len(r.Calls))
	}
}
