package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

func proceed() error { return nil }

// TestPruneRule: what an answer must be so that it may be removed.
func TestPruneRule(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	rule := pruneRule{before: now.AddDate(0, 0, -400), now: now, valid: 30 * 24 * time.Hour}
	old := now.AddDate(0, 0, -500)
	for _, tt := range []struct {
		name   string
		change func(c *Call, r *Run)
		want   KeepReason
	}{
		{"old, published and settled", func(*Call, *Run) {}, ""},
		{"refused, not charged", func(c *Call, _ *Run) { c.Outcome, c.Charge = pipeline.NotCharged, pipeline.Charge{} }, ""},
		{"of an unpublished run", func(_ *Call, r *Run) { r.Published = nil }, KeptUnpublished},
		{"in doubt", func(c *Call, _ *Run) { c.Outcome = pipeline.InDoubt }, KeptInDoubt},
		{"without an outcome", func(c *Call, _ *Run) { c.Outcome = "" }, KeptInDoubt},
		{"in doubt and released", func(c *Call, _ *Run) { c.Outcome = pipeline.InDoubt; c.decide(Retry, wal.First) }, KeptInDoubt},
		{"decided about", func(c *Call, _ *Run) { c.decide(WriteOff, wal.First) }, KeptInDoubt},
		{"read again", func(c *Call, _ *Run) { c.reread = &reread{} }, KeptInDoubt},
		{"of an unknown charge", func(c *Call, _ *Run) { c.Charge = pipeline.Charge{} }, KeptUnknown},
		{"of a recent run", func(_ *Call, r *Run) { r.Published.Time = rule.before }, KeptRecent},
		{"a page", func(c *Call, _ *Run) { c.Query.Ask = pipeline.VisitsAsk{} }, KeptPages},
		{"with ids that count", func(c *Call, _ *Run) { c.Time = now.AddDate(0, 0, -29) }, KeptValid},
	} {
		r := &Run{Published: &Commit{Time: old}}
		c := &Call{Run: r, Query: &pipeline.Query{Ask: pipeline.SignalsAsk{}}, Time: old, Outcome: pipeline.Charged, Charge: pipeline.StatedCharge(3, "")}
		tt.change(c, r)
		if got := rule.keeps(c, r); got != tt.want {
			t.Errorf("an answer %s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := longestTTL([]*Run{{RunSpec: pipeline.RunSpec{PositiveTTL: 90 * 24 * time.Hour}}, {}}); got != 90*24*time.Hour {
		t.Errorf("longestTTL = %v, want that of the run", got)
	}
}

// prunable are nights of which the first seven can be pruned: one call is in doubt.
func prunable() *nights {
	n := manyNights()
	n.asks, n.companies, n.batch = true, 6, 3
	n.lose = func(night int, b *pipeline.Batch) bool { return night == 5 && b.ID == "000002" }
	// Night 6 finds more than its cap for one company.
	plain := *n
	n.events = func(night, company int) (events []pipeline.RawEvent) {
		if night != 6 || company != 3 {
			return plain.eventsOf(night, company)
		}
		for i := range 10 {
			events = append(events, pipeline.RawEvent{Type: nightSignals[0], Raw: fmt.Appendf(nil, `{"signalDate":"2026-05-1%d","value":1}`, i)})
		}
		return events
	}
	return n
}

const (
	prunableNights = 44
	prunedNights   = 7
)

// allAnswers is what commands ask a ledger, also about old windows and with a higher cap.
func (n *nights) allAnswers(t *testing.T, store wal.Store, full bool) (out []string) {
	t.Helper()
	for _, night := range []int{prunableNights, 7, 6} {
		l := n.open(t, store, prunableNights, full)
		out = append(out, n.answersOf(t, l, night)...)
		p := l.Purchases(nil, TTL{})
		for company := range n.companies {
			q := n.query(night - 1)
			ask := q.Ask.(pipeline.SignalsAsk)
			ask.MaxResults = 25
			q.Ask = ask
			out = append(out, fmt.Sprintf("higher cap for %d on %s: %s", company, q.Until, jsonOf(t, p.Coverage(t.Context(), n.account(company), q))))
		}
	}
	return out
}

// auditOf is an audit that must find nothing.
func (n *nights) auditOf(t *testing.T, store wal.Store) *Audit {
	t.Helper()
	l := n.open(t, store, prunableNights, false)
	a, err := l.Audit(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if broken := slices.Concat(a.Mismatched, a.WithoutIntent, a.BoughtTwice, a.OverBudget, a.Checkpoint, a.Unannounced); len(broken) > 0 {
		t.Fatalf("Audit: %v", broken)
	}
	return a
}

// prune prunes what was published before a night.
func (n *nights) prune(t *testing.T, store wal.Store, night int) (*Pruning, error) {
	t.Helper()
	l, err := Open(t.Context(), store, n.options(prunableNights))
	if err != nil {
		return nil, err
	}
	p, err := l.Pruner().Plan(t.Context(), n.day(night))
	if err == nil && !p.IsEmpty() {
		err = l.Pruner().Prune(t.Context(), p, proceed)
	}
	return p, errors.Join(err, l.Close())
}

// TestPrune removes old answers. The ledger then says the same about the bill, cursors, coverage and
// what is in doubt, from its checkpoint and from all of its records; answers that stay are read, and
// the others are said to be pruned. A salvage keeps what is left.
func TestPrune(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]wal.Store{
		"disk":   openStore(t, t.TempDir(), unsynced),
		"bucket": wal.NewObjects(membucket.New().WithHook(nil), "j", wal.ObjectsOptions{Patience: -1}),
	} {
		n := prunable()
		n.addAll(t, store, 0, prunableNights)
		before, charged := n.allAnswers(t, store, false), n.auditOf(t, store)
		p, err := n.prune(t, store, prunedNights)
		if err != nil || len(p.Runs) != prunedNights || p.Answers != prunedNights*2-1 || p.Kept[KeptInDoubt] != 1 {
			t.Fatalf("%s: Prune = %+v, %v; want %d runs", name, p, err, prunedNights)
		}
		for _, full := range []bool{false, true} {
			if diff := cmp.Diff(before, n.allAnswers(t, store, full)); diff != "" {
				t.Errorf("%s: full %t: pruning changes what the ledger says (-before +after):\n%s", name, full, diff)
			}
		}
		audit := n.auditOf(t, store)
		sum := 0
		for _, answers := range audit.Pruned {
			sum += answers
		}
		if audit.Charged != charged.Charged || audit.Answers != charged.Answers || sum != p.Answers || len(audit.Pruned) != prunedNights {
			t.Errorf("%s: the audit has %d credits in %d answers, %d of them pruned; want %d in %d, %d", name, audit.Charged, audit.Answers, sum, charged.Charged, charged.Answers, p.Answers)
		}
		n.checkAnswers(t, name, store)
		l := n.open(t, store, prunableNights, false)
		kept := int(l.state.past.days-dayOf(n.first)) + 1 // the first night of which the checkpoint has calls
		beyond, err := l.Pruner().Plan(t.Context(), n.day(kept+4))
		if err != nil || kept < prunedNights || beyond.Kept[KeptCheckpoint] != 4*2 || beyond.Answers != 2*(kept-prunedNights) {
			t.Errorf("%s: a plan beyond what the checkpoint has left behind, the first %d nights = %+v, %v; want nothing of later ones", name, kept, beyond, err)
		}
		if again, err := n.prune(t, store, prunedNights); err != nil || !again.IsEmpty() || len(again.Runs)+again.Answers > 0 || again.Bytes != 0 {
			t.Errorf("%s: the same Prune again = %+v, %v; want nothing", name, again, err)
		}
		n.addAll(t, store, prunableNights, prunableNights+2)
		n.auditOf(t, store)

		to := wal.NewObjects(membucket.New(), "j", wal.ObjectsOptions{})
		before = n.allAnswers(t, store, true)
		salvaged, err := Salvage(t.Context(), store, to, SalvageOptions{Decode: n.decode})
		if err != nil || !salvaged.IsComplete() {
			t.Fatalf("%s: Salvage = %+v, %v", name, salvaged, err)
		}
		if diff := cmp.Diff(before, n.allAnswers(t, to, true)); diff != "" {
			t.Errorf("%s: a salvage changes what the ledger says (-before +after):\n%s", name, diff)
		}
		n.auditOf(t, to)
	}
}

// checkAnswers reads the answers of every run.
func (n *nights) checkAnswers(t *testing.T, name string, store wal.Store) {
	t.Helper()
	l := n.open(t, store, prunableNights, false)
	runs, records, err := l.Pruner().Pruned(t.Context())
	if err != nil || len(runs) != prunedNights || len(records) != 1 || !records[0].Before.Equal(n.day(prunedNights)) {
		t.Errorf("%s: Pruned() = %d runs, %+v, %v", name, len(runs), records, err)
	}
	for night, r := range l.Runs() {
		var err error
		for _, broken := range l.Reader().Answers(t.Context(), r) {
			err = errors.Join(err, broken)
		}
		if night < prunedNights && !errors.Is(err, ErrPruned) || night >= prunedNights && err != nil {
			t.Errorf("%s: the answers of night %d: %v", name, night, err)
		}
	}
}

// TestPruneNeedsCheckpoint: without a checkpoint nothing is removed.
func TestPruneNeedsCheckpoint(t *testing.T) {
	t.Parallel()
	n := prunable()
	n.checkpointEvery = 0
	store := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, store, 0, 3)
	l, err := Open(t.Context(), store, n.options(500))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if p, err := l.Pruner().Plan(t.Context(), n.day(400)); err != nil || !p.IsEmpty() || p.Checkpoint != "" || p.Answers > 0 {
		t.Errorf("PlanPruning = %+v, %v; want nothing", p, err)
	}
}

// TestPruneUndated: what only an answer says stays, as the dates that an old version did not record.
func TestPruneUndated(t *testing.T) {
	t.Parallel()
	n := prunable()
	n.asks = false
	store := openStore(t, t.TempDir(), unsynced)
	undated := context.WithValue(t.Context(), undatedKey{}, true)
	for night := range 4 {
		if err := n.add(undated, store, night); err != nil {
			t.Fatal(err)
		}
	}
	n.addAll(t, store, 4, prunableNights)
	before := n.allAnswers(t, store, false)
	if p, err := n.prune(t, store, prunedNights); err != nil || p.Kept[KeptUndated] == 0 || p.IsEmpty() {
		t.Errorf("Prune = %+v, %v; want undated answers kept", p, err)
	}
	for _, full := range []bool{false, true} {
		if diff := cmp.Diff(before, n.allAnswers(t, store, full)); diff != "" {
			t.Errorf("full %t: pruning changes what the ledger says (-before +after):\n%s", full, diff)
		}
	}
}

// TestPruneUnannounced: an answer that is gone without a record of that is found.
func TestPruneUnannounced(t *testing.T) {
	t.Parallel()
	n := prunable()
	store := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, store, 0, prunableNights)
	l, err := Open(t.Context(), store, n.options(prunableNights))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := l.Pruner().Plan(t.Context(), n.day(prunedNights))
	if err == nil {
		if _, err = l.log.Append(byte(kindLoss), []byte("{}"), nil); err == nil {
			err = l.log.Prune(t.Context(), plan.records, proceed)
		}
	}
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	a, err := n.open(t, store, prunableNights, false).Audit(t.Context(), nil)
	if err != nil || len(a.Unannounced) != plan.Answers {
		t.Errorf("Audit finds %d answers removed without a record, %v; want %d", len(a.Unannounced), err, plan.Answers)
	}
}

// TestPruneDies kills a pruning at every operation: nothing changes but answers that were announced,
// and the next pruning completes it.
func TestPruneDies(t *testing.T) {
	t.Parallel()
	n := prunable()
	killed := errors.New("killed")
	steps := 0
	for at := 0; at <= steps; at += proof.Size(19, 5, 1) { // at first it only counts
		dir := t.TempDir()
		store := openStore(t, dir, unsynced)
		n.addAll(t, store, 0, prunableNights)
		before := n.allAnswers(t, store, false)
		ops, dead := 0, false
		_, err := n.prune(t, openStore(t, dir, func(op, _ string, do func() error) error {
			if op == "read" || op == "open" {
				return do()
			}
			ops++
			if dead = dead || at > 0 && ops == at; dead {
				return killed
			}
			return do()
		}), prunedNights)
		if steps = max(steps, ops); dead && err == nil {
			t.Fatalf("killed at operation %d, and Prune = nil", at)
		}
		store = openStore(t, dir, unsynced)
		n.auditOf(t, store)
		if _, err := n.prune(t, store, prunedNights); err != nil {
			t.Fatalf("after a kill at operation %d: Prune = %v", at, err)
		}
		n.auditOf(t, store)
		if diff := cmp.Diff(before, n.allAnswers(t, store, false)); diff != "" {
			t.Errorf("after a kill at operation %d (-before +after):\n%s", at, diff)
		}
		if p, err := n.prune(t, store, prunedNights); err != nil || !p.IsEmpty() {
			t.Errorf("after a kill at operation %d a third pruning = %+v, %v", at, p, err)
		}
	}
	if steps < 20 {
		t.Errorf("a pruning took %d operations", steps)
	}
}
