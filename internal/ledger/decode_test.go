package ledger

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestRecordedDoubtStays: a version that reads an answer which an earlier one could not read does
// not change what was reported about the call.
func TestRecordedDoubtStays(t *testing.T) {
	rig := newLedgerRig(t)
	b := testBatch(1, 2)
	if _, err := rig.fetch(b, func(context.Context, *pipeline.Batch) (*pipeline.Reply, error) { return answerOf(b, "odd 3"), nil }, nil); err != nil {
		t.Fatal(err)
	}
	rig.ledger.archive.decode = func(b *pipeline.Batch, c *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
		c.Body = bytes.Replace(c.Body, []byte("odd"), []byte("paid"), 1)
		return decodeTest(b, c)
	}
	run, err := rig.ledger.state.findRun("run")
	if err != nil {
		t.Fatal(err)
	}
	answers := 0
	for a, err := range rig.ledger.Reader().Answers(t.Context(), run) {
		if err != nil {
			t.Fatal(err)
		}
		answers++
		call := a.Reply.Calls[0]
		if call.Outcome != pipeline.InDoubt || call.Charge.Known || a.Reply.Items[1].Status != schema.InDoubt {
			t.Errorf("the call = %s, %+v, %s, want in doubt as recorded", call.Outcome, call.Charge, a.Reply.Items[1].Status)
		}
	}
	audit, err := rig.ledger.Audit(t.Context(), nil)
	if err != nil || answers != 1 || len(audit.Mismatched) != 0 || audit.Charged != 0 {
		t.Errorf("%d answers; Audit() = %+v, %v, want 1 answer and no mismatch", answers, audit, err)
	}
}

// TestAuditDecodesOnce: what an audit finds does not depend on which answers were read with its Reader,
// which it does not decode again.
func TestAuditDecodesOnce(t *testing.T) {
	rig := newLedgerRig(t)
	bodies := []string{"paid 1000", "odd 3", "odd with the key", "paid 2"} // the first is above the ceiling
	for i, body := range bodies {
		b := testBatch(i+1, 1+i%2)
		if _, err := rig.fetch(b, func(context.Context, *pipeline.Batch) (*pipeline.Reply, error) { return answerOf(b, body), nil }, nil); err != nil {
			t.Fatal(err)
		}
	}
	decoded := 0
	rig.ledger.archive.decode = func(b *pipeline.Batch, c *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
		decoded++
		c.Body = bytes.Replace(c.Body, []byte("odd 3"), []byte("paid 3"), 1) // which stays in doubt
		c.Body = bytes.Replace(c.Body, []byte("paid 2"), []byte("paid 1"), 1)
		return decodeTest(b, c)
	}
	hasKey := func(text []byte) bool { return bytes.Contains(text, []byte("the key")) }
	want, err := rig.ledger.Audit(t.Context(), hasKey)
	if err != nil || len(want.WithSecret) != 1 || len(want.Mismatched) != 1 || len(want.AboveCeiling) == 0 || want.Answers != 2 || decoded != len(bodies) {
		t.Fatalf("Audit() = %+v, %v, with %d answers decoded", want, err, decoded)
	}
	for read := range len(bodies) + 1 {
		decoded = 0
		a, err := rig.ledger.BeginAudit(t.Context(), hasKey)
		if err != nil {
			t.Fatal(err)
		}
		left := read
		for _, err := range a.Reader().Answers(t.Context(), rig.ledger.Runs()[0]) {
			if err != nil {
				t.Fatal(err)
			}
			if left--; left < 0 {
				break
			}
		}
		got, err := a.Finish(t.Context())
		if err != nil || decoded != len(bodies) {
			t.Errorf("Finish() after %d answers: %v, %d answers decoded, want %d", read, err, decoded, len(bodies))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Finish() after %d answers (-Audit +Finish):\n%s", read, diff)
		}
	}
}

// TestCorruptIsRecorded: a later reading knows that a body does not match its checksum.
func TestCorruptIsRecorded(t *testing.T) {
	rig := newLedgerRig(t)
	b := testBatch(1, 2)
	_, err := rig.fetch(b, func(context.Context, *pipeline.Batch) (*pipeline.Reply, error) {
		reply := answerOf(b, "odd 3")
		reply.Calls[0].Corrupt = true
		return reply, nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, call, err := rig.ledger.archive.readExchange(t.Context(), rig.ledger.state.calls[0]); err != nil || !call.Corrupt {
		t.Errorf("readExchange() = %+v, %v, want a corrupt answer", call, err)
	}
}
