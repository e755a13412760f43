package ledger

import (
	"bytes"
	"context"
	"testing"

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
