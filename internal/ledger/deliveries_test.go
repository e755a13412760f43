package ledger

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// deliveryDay is the day on which the deliveries of these tests arrive.
const deliveryDay = "2026-11-20"

// deliveryRig is a ledger in a directory, and a publication.
type deliveryRig struct {
	t        *testing.T
	dir      string
	ledger   *Ledger
	recorder *Recorder
	close    func()
}

func newDeliveryRig(t *testing.T) *deliveryRig {
	t.Helper()
	r := &deliveryRig{t: t, dir: filepath.Join(t.TempDir(), "journal")}
	r.open(1)
	return r
}

// open opens the ledger, and begins a session of the publication.
func (r *deliveryRig) open(session int) {
	r.t.Helper()
	store, err := wal.OpenDir(r.dir, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.ledger, err = Open(r.t.Context(), store, Options{CheckpointEvery: 1, Decode: func(b *pipeline.Batch, c *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
		items, unmatched, _ = lusha.DecodeAnswer(b, c)
		return items, unmatched
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.recorder, err = r.ledger.BeginRun(pipeline.RunSpec{ID: "published", Session: session, Started: time.Now(), Queries: []pipeline.Query{}, Inbox: &pipeline.InboxRange{From: "a", To: "b"}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.close = func() {
		if err := r.ledger.Close(); err != nil {
			r.t.Error(err)
		}
		if err := store.Close(); err != nil {
			r.t.Error(err)
		}
	}
}

func (r *deliveryRig) reopen(session int) {
	r.t.Helper()
	r.close()
	r.open(session)
}

// deliveryOf is a delivery about a person, with the date of its event and its charge as JSON.
func deliveryOf(number int, date, charge string) (*pipeline.Batch, *pipeline.Call) {
	id := fmt.Sprint(70+number, "00")
	b := &pipeline.Batch{
		ID: fmt.Sprintf("%09d", number), ByID: true,
		Query: &pipeline.Query{Object: schema.Contact, Ask: pipeline.DeliveriesAsk{Type: "promotion"}, Since: deliveryDay, Until: deliveryDay, Price: 1},
		Items: []pipeline.Item{{Ref: "1", Account: schema.Account{Row: int64(number), Key: id, Object: schema.Contact, ID: id}}},
	}
	received, _ := time.Parse(time.DateOnly, deliveryDay)
	return b, &pipeline.Call{
		ID: fmt.Sprint("delivery-", number), Batch: b.ID, Attempt: 1, Endpoint: "webhook", Object: schema.Contact, Entities: 1, Types: 1, Ceiling: b.Ceiling(), Sent: received, Status: 201, Outcome: pipeline.Charged,
		Body: fmt.Appendf(nil, `{"type":"promotion","entityType":"contact","entityId":%q,"data":{"personId":%s,"signalDate":%q},"billing":{"creditsCharged":%s}}`, id, id, date, charge),
	}
}

// record records a delivery.
func (r *deliveryRig) record(number int, date, charge string) *pipeline.Reply {
	r.t.Helper()
	b, call := deliveryOf(number, date, charge)
	received := fetchFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		reply := pipeline.NewReply(b, "not decoded")
		reply.Calls = []pipeline.Call{*call}
		return reply, nil
	})
	reply, err := r.recorder.RecordOutcomes(lusha.Decode(r.recorder.RecordDeliveries(received))).Fetch(r.t.Context(), b)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply
}

// TestDeliveryTorn: a crash can leave the beginning of a delivery's records. It is none then: nothing is in doubt, and
// the next session records it under the same name.
func TestDeliveryTorn(t *testing.T) {
	t.Parallel()
	r := newDeliveryRig(t)
	r.record(1, "2026-11-18", "2")
	b, call := deliveryOf(2, "2026-11-19", "3")
	items, err := encodeBody(b.Items)
	if err != nil {
		t.Fatal(err)
	}
	number, err := r.recorder.queries.ensure(b.Query)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.recorder.writeJSON(kindIntent, intentRecord{Run: "published", Call: call.ID, Batch: b.ID, Attempt: 1, ByID: true, Query: number, Entities: 1, Ceiling: 1, Time: call.Sent}, items); err != nil {
		t.Fatal(err)
	}
	for session := 2; session < 4; session++ {
		r.reopen(session)
		r.check(2, "delivery-1")
	}
	r.record(2, "2026-11-19", "3")
	r.check(5, "delivery-1", "delivery-2")
	r.reopen(4)
	r.check(5, "delivery-1", "delivery-2")
	r.close()
}

// check compares the ledger with the deliveries that it should have.
func (r *deliveryRig) check(credits int64, calls ...string) {
	r.t.Helper()
	run := r.ledger.Runs()[0]
	if got := run.Cost(); got != pipeline.Exactly(credits) || len(r.ledger.CallsInDoubt()) != 0 {
		r.t.Errorf("cost %v, %d calls in doubt, want %d credits and none", got, len(r.ledger.CallsInDoubt()), credits)
	}
	known, err := r.ledger.Reader().Deliveries(r.t.Context(), nil)
	if err != nil || len(known) != len(calls) {
		r.t.Errorf("deliveries %v, %v, want %v", known, err, calls)
	}
	var answers []string
	for a, err := range r.ledger.Reader().Answers(r.t.Context(), run) {
		if err != nil {
			r.t.Fatal(err)
		}
		if answers = append(answers, a.Reply.Calls[0].ID); len(a.Reply.Items[0].Events) != 1 {
			r.t.Errorf("%s has %d events", a.Reply.Calls[0].ID, len(a.Reply.Items[0].Events))
		}
	}
	if fmt.Sprint(answers) != fmt.Sprint(calls) {
		r.t.Errorf("answers %v, want %v", answers, calls)
	}
	audit, err := r.ledger.Audit(r.t.Context(), nil)
	if err != nil || audit.Charged != credits || audit.Attempts != len(calls) || len(audit.Mismatched)+len(audit.BoughtTwice)+len(audit.AboveCeiling) > 0 {
		r.t.Errorf("audit %+v, %v", audit, err)
	}
	if other, err := r.ledger.Reader().Deliveries(r.t.Context(), run); err != nil || len(other) != 0 {
		r.t.Errorf("deliveries of other runs: %v, %v", other, err)
	}
}

// TestDeliveryCharge: a charge that cannot be read is unknown, and not nothing.
func TestDeliveryCharge(t *testing.T) {
	t.Parallel()
	r := newDeliveryRig(t)
	for i, charge := range []string{`"two"`, `null`, `-1`, `1.5`} {
		if c := r.record(i, "2026-11-18", charge).Calls[0]; c.Charge.Known {
			t.Errorf("%s is read as %+v", charge, c.Charge)
		}
	}
	r.reopen(2)
	if got := r.ledger.Bill().Liability(nil); got.UnknownCharge.Calls != 4 || got.MaxCost != 4 {
		t.Errorf("liability %+v, want 4 calls with an unknown charge", got)
	}
	r.close()
}

// TestDeliveryCursor: a delivered event is known, and asks nothing: no day counts as asked, and the lateness of events
// learns nothing. A later delivery of an older event does not move the cursor back.
func TestDeliveryCursor(t *testing.T) {
	t.Parallel()
	r := newDeliveryRig(t)
	r.record(1, "2026-11-18", "1")
	r.record(1001, "2026-11-19", "1") // about another person
	b, _ := deliveryOf(1, "", "1")
	asks := &pipeline.Query{Object: schema.Contact, Ask: pipeline.SignalsAsk{Types: []string{"promotion"}, MaxResults: 10}, Since: "2026-11-01", Until: deliveryDay}
	for range 2 {
		cursors, err := r.ledger.Cursors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, _ := cursors.Cursor(pipeline.IdentityOf(&b.Items[0].Account), asks, "promotion")
		if want := (Cursor{Newest: DayOf("2026-11-18")}); got != want {
			t.Errorf("cursor %+v, want %+v", got, want)
		}
		if counts := cursors.Lateness("promotion"); counts.Events() != 0 {
			t.Errorf("lateness %+v, want nothing learned", counts)
		}
		r.reopen(2)
	}
	cursors, err := r.ledger.Cursors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	older, call := deliveryOf(1, "2026-11-02", "1")
	call.ID = "delivery-older"
	if _, err := r.recorder.RecordOutcomes(lusha.Decode(r.recorder.RecordDeliveries(fetchFunc(func(context.Context, *pipeline.Batch) (*pipeline.Reply, error) {
		return &pipeline.Reply{Calls: []pipeline.Call{*call}, Items: make([]pipeline.ItemReply, 1)}, nil
	})))).Fetch(t.Context(), older); err != nil {
		t.Fatal(err)
	}
	if got, _ := cursors.Cursor(pipeline.IdentityOf(&b.Items[0].Account), asks, "promotion"); got.Newest != DayOf("2026-11-18") {
		t.Errorf("cursor %+v after an older event", got)
	}
	// A delivery is not a window that was bought.
	coverage := r.ledger.Purchases(nil, TTL{}).Coverage(t.Context(), &b.Items[0].Account, asks)
	if missing := coverage.Missing(asks); len(missing) != 1 || coverage.InDoubt != nil {
		t.Errorf("coverage %+v, want none", coverage)
	}
	r.close()
}

// TestDeliveredTwice: the audit finds a delivery that two publications recorded.
func TestDeliveredTwice(t *testing.T) {
	t.Parallel()
	r := newDeliveryRig(t)
	r.record(1, "2026-11-18", "1")
	var err error
	if r.recorder, err = r.ledger.BeginRun(pipeline.RunSpec{ID: "second", Session: 1, Started: time.Now(), Inbox: &pipeline.InboxRange{From: "b", To: "c"}}); err != nil {
		t.Fatal(err)
	}
	r.record(2, "2026-11-18", "1")
	r.record(1001, "2026-11-19", "1")
	r.reopen(2)
	if audit, err := r.ledger.Audit(t.Context(), nil); err != nil || len(audit.BoughtTwice) != 0 {
		t.Errorf("audit %v, %v", audit.BoughtTwice, err)
	}
	r.recorder = r.ledger.Recorder(r.ledger.Runs()[1])
	r.record(1, "2026-11-18", "1")
	r.reopen(3)
	if audit, err := r.ledger.Audit(t.Context(), nil); err != nil || len(audit.BoughtTwice) != 1 {
		t.Errorf("audit %v, %v, want the delivery that is there twice", audit.BoughtTwice, err)
	}
	r.close()
}

// TestDeliverySalvage: a salvage keeps deliveries, the part of the inbox that the run is about, and a delivery that a
// crash has cut.
func TestDeliverySalvage(t *testing.T) {
	t.Parallel()
	r := newDeliveryRig(t)
	r.record(1, "2026-11-18", "2")
	r.record(2, "2026-11-19", "3")
	b, call := deliveryOf(3, "2026-11-19", "3")
	items, err := encodeBody(b.Items)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.recorder.writeJSON(kindIntent, intentRecord{Run: "published", Call: call.ID, Batch: b.ID, Attempt: 1, ByID: true, Query: 1, Entities: 1, Ceiling: 1, Time: call.Sent}, items); err != nil {
		t.Fatal(err)
	}
	r.close()
	salvaged := filepath.Join(t.TempDir(), "journal")
	from, to := openStore(t, r.dir, nil), openStore(t, salvaged, nil)
	result, err := Salvage(t.Context(), from, to, SalvageOptions{Decode: r.ledger.archive.decode})
	if err != nil || !result.IsComplete() || result.Charged != 5 {
		t.Errorf("Salvage() = %+v, %v", result, err)
	}
	r.dir = salvaged
	r.open(2)
	r.check(5, "delivery-1", "delivery-2")
	if got := r.ledger.Runs()[0].Inbox; got == nil || *got != (pipeline.InboxRange{From: "a", To: "b"}) {
		t.Errorf("the run publishes %v", got)
	}
	r.close()
}
