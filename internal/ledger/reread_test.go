package ledger

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// laterVersion reads answers that decodeTest does not: the first line of "odd N" is charged and
// answered, of the others it says nothing; "refused" is not charged.
func laterVersion(b *pipeline.Batch, c *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
	if bytes.HasPrefix(c.Body, []byte("refused")) {
		c.Outcome = pipeline.NotCharged
		return decodeTest(b, c)
	}
	odd := bytes.HasPrefix(c.Body, []byte("odd "))
	c.Body = bytes.Replace(c.Body, []byte("odd"), []byte("paid"), 1)
	items, unmatched = decodeTest(b, c)
	for i := 1; odd && i < len(items); i++ {
		items[i].Status = schema.Deferred
	}
	return items, unmatched
}

// inDoubtRig is a ledger with one call in doubt, with an answer.
func inDoubtRig(t *testing.T, answer string) (rig *ledgerRig, c *Call, b *pipeline.Batch) {
	t.Helper()
	rig, b = newLedgerRig(t), testBatch(1, 2)
	_, err := rig.fetch(b, func(context.Context, *pipeline.Batch) (*pipeline.Reply, error) { return answerOf(b, answer), nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rig, rig.ledger.state.calls[0], b
}

// TestReread: what is read in an answer again counts from then on, also for the next process, and
// lines that it leaves open count as not bought. A run that was published before keeps the call in
// doubt.
func TestReread(t *testing.T) {
	for _, published := range []bool{false, true} {
		rig, c, b := inDoubtRig(t, "odd 3")
		if x, err := rig.ledger.Rereader().Read(t.Context(), c); err != nil || x.Outcome != pipeline.InDoubt {
			t.Fatalf("Reread() by the version that did not understand it = %+v, %v, want in doubt", x, err)
		}
		publisher := rig.recorder
		if published {
			if err := rig.recorder.Commit(&pipeline.Manifest{}); err != nil {
				t.Fatal(err)
			}
			var err error
			if publisher, err = rig.ledger.BeginRun(pipeline.RunSpec{ID: "again", Session: 1, Rereads: "run"}); err != nil {
				t.Fatal(err)
			}
		}
		rig.ledger.archive.decode = laterVersion
		x, err := rig.ledger.Rereader().Read(t.Context(), c)
		if err != nil || x.Outcome != pipeline.Charged || x.Charge.Credits != 3 || x.Lines != 1 || x.Open != 1 || !c.InDoubt() {
			t.Fatalf("Reread() = %+v, %v, want 3 credits, one line answered and one open, and nothing recorded", x, err)
		}
		if err := publisher.RecordReread(x); err != nil {
			t.Fatal(err)
		}
		check := func(l *Ledger, when string) {
			t.Helper()
			c := l.state.calls[0]
			if c.InDoubt() || c.Cost() != pipeline.Exactly(3) || len(l.CallsInDoubt()) != 0 || len(l.Rereader().Calls()) != 0 || l.Bill().Liability(nil).MaxCost != 0 {
				t.Errorf("%s: the call is %+v, liability %+v; want charged 3, and nothing in doubt", when, c, l.Bill().Liability(nil))
			}
			for i, want := range []pipeline.CoverageState{pipeline.CoverageFull, pipeline.CoverageNone} {
				known := l.Purchases(nil, TTL{}).Coverage(t.Context(), &b.Items[i].Account, b.Query)
				if known.InDoubt != nil || known.Signals == nil != (want == pipeline.CoverageNone) || known.Signals != nil && known.Signals[0].State != want {
					t.Errorf("%s: coverage of line %d = %+v, want %v", when, i+1, known, want)
				}
			}
			if r := l.Runs()[0]; l.Blockers(r).AllowRetry() != published {
				t.Errorf("%s: RetryDecided() = %v, want %v: a line is open", when, !published, published)
			}
			for i, want := range map[int]pipeline.Outcome{0: map[bool]pipeline.Outcome{false: pipeline.Charged, true: pipeline.InDoubt}[published], len(l.Runs()) - 1: pipeline.Charged} {
				answers := 0
				for a, err := range l.Reader().Answers(t.Context(), l.Runs()[i]) {
					if answers++; err != nil || a.Reply.Calls[0].Outcome != want {
						t.Errorf("%s: run %d has the call as %s, %v, want %s", when, i+1, a.Reply.Calls[0].Outcome, err, want)
					}
				}
				if answers != 1 {
					t.Errorf("%s: run %d has %d answers, want 1", when, i+1, answers)
				}
			}
			if audit, err := l.Audit(t.Context(), nil); err != nil || len(audit.Mismatched)+len(audit.BoughtTwice) > 0 || audit.Charged != 3 {
				t.Errorf("%s: Audit() = %+v, %v", when, audit, err)
			}
		}
		check(rig.ledger, "at once")
		if err := rig.ledger.Close(); err != nil {
			t.Fatal(err)
		}
		next, err := Open(t.Context(), openStore(t, rig.disk.Dir, nil), Options{Decode: laterVersion})
		if err != nil {
			t.Fatal(err)
		}
		defer next.Close()
		check(next, "after a restart")
	}
}

// TestRereadNotCharged: what turns out to be refused costs nothing and is requested again.
func TestRereadNotCharged(t *testing.T) {
	rig, c, b := inDoubtRig(t, "refused")
	if err := rig.recorder.Commit(&pipeline.Manifest{}); err != nil {
		t.Fatal(err)
	}
	rig.ledger.archive.decode = laterVersion
	x, err := rig.ledger.Rereader().Read(t.Context(), c)
	if err != nil || x.Outcome != pipeline.NotCharged || x.Open != 2 {
		t.Fatalf("Reread() = %+v, %v, want not charged, and two lines open", x, err)
	}
	again, err := rig.ledger.BeginRun(pipeline.RunSpec{ID: "again", Session: 1, Rereads: "run"})
	if err = errors.Join(err, again.RecordReread(x)); err != nil {
		t.Fatal(err)
	}
	known := rig.ledger.Purchases(nil, TTL{}).Coverage(t.Context(), &b.Items[0].Account, b.Query)
	if known.InDoubt != nil || len(known.Missing(b.Query)) != len(b.Query.ResultTypes()) || !rig.ledger.Blockers(rig.recorder.Run()).AllowRetry() {
		t.Errorf("coverage = %+v, RetryDecided() = %v, want nothing bought, and a retry", known, rig.ledger.Blockers(rig.recorder.Run()).AllowRetry())
	}
	if most := rig.ledger.Bill().Liability(nil).MaxCost; most != 0 || c.Cost() != (pipeline.Credits{}) {
		t.Errorf("cost %+v, liability %d, want none", c.Cost(), most)
	}
}

// TestRepeatedFailure: a call repeats another one in vain only if that was released, requested one
// of the same entities and failed in the same way.
func TestRepeatedFailure(t *testing.T) {
	for _, c := range []struct {
		name         string
		first, then  func(*pipeline.Call)
		decision     Decision
		firstEntity  int  // of the second call
		fewer        bool // the second call requests one entity instead of two
		wantRepeated bool
	}{
		{name: "not understood twice", decision: Retry, wantRepeated: true},
		{name: "not released", decision: WriteOff},
		{name: "proven not to be charged", decision: NotCharged},
		{name: "other entities", decision: Retry, firstEntity: 2},
		{name: "another failure", decision: Retry, then: func(c *pipeline.Call) { c.Status = 504 }},
		{name: "lost twice", decision: Retry, first: func(c *pipeline.Call) { c.Status = 0 }, then: func(c *pipeline.Call) { c.Status = 0 }, wantRepeated: true},
		{name: "cut twice", decision: Retry, first: func(c *pipeline.Call) { c.Cut = true }, then: func(c *pipeline.Call) { c.Cut = true }, wantRepeated: true},
		{name: "cut, then cut in a smaller batch", decision: Retry, first: func(c *pipeline.Call) { c.Cut = true }, then: func(c *pipeline.Call) { c.Cut = true }, fewer: true},
		{name: "broken off, then whole", decision: Retry, first: func(c *pipeline.Call) { c.Problem = "the answer broke off" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			rig := newLedgerRig(t)
			fail := func(number, from, to int, how func(*pipeline.Call)) *Call {
				b := testBatch(number, 1)
				b.Items = testBatch(1, 4).Items[from:to]
				_, err := rig.fetch(b, func(context.Context, *pipeline.Batch) (*pipeline.Reply, error) {
					reply := answerOf(b, "odd 3")
					if reply.Calls[0].Status = 200; how != nil {
						how(&reply.Calls[0])
					}
					return reply, nil
				}, nil)
				if err != nil {
					t.Fatal(err)
				}
				return rig.ledger.state.calls[len(rig.ledger.state.calls)-1]
			}
			first, last := fail(1, 0, 2, c.first), c.firstEntity+2
			if c.fewer {
				last--
			}
			if err := rig.recorder.RecordDecision(first, c.decision, ""); err != nil {
				t.Fatal(err)
			}
			fail(2, c.firstEntity, last, c.then)
			if err := rig.ledger.Close(); err != nil {
				t.Fatal(err)
			}
			next, err := Open(t.Context(), openStore(t, rig.disk.Dir, nil), Options{Decode: decodeTest})
			if err != nil {
				t.Fatal(err)
			}
			defer next.Close()
			calls := next.state.calls
			earlier, kind, err := next.Rereader().RepeatedFailure(t.Context(), calls[1])
			if err != nil || (earlier == calls[0]) != c.wantRepeated || (earlier != nil) != c.wantRepeated {
				t.Errorf("RepeatedFailure() = %v, %q, %v, want repeated %v", earlier, kind, err, c.wantRepeated)
			}
			if earlier, _, err := next.Rereader().RepeatedFailure(t.Context(), calls[0]); earlier != nil || err != nil {
				t.Errorf("RepeatedFailure() of the first call = %v, %v, want none", earlier, err)
			}
		})
	}
}

// TestUnknownReread: a reread of a call or by a run that never began is damage.
func TestUnknownReread(t *testing.T) {
	rig, _, _ := inDoubtRig(t, "odd 3")
	for _, head := range []string{`{"run":"run","call":"no","outcome":"charged","by":"run"}`, `{"run":"run","call":"000001-1","outcome":"charged","by":"no"}`} {
		r := replayer{rig.ledger.log, rig.ledger.state}
		if err := r.apply(t.Context(), wal.Position{}, kindReread, []byte(head), 0); !errors.Is(err, wal.ErrCorrupt) {
			t.Errorf("apply(%s) = %v, want ErrCorrupt", head, err)
		}
	}
}
