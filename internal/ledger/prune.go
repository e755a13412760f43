package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// ErrPruned reports that an answer was removed from the ledger.
var ErrPruned = errors.New("its answer was removed by siglake prune")

// PruneRecord announces a pruning, durably, before anything is removed.
type PruneRecord struct {
	Before  time.Time `json:"before"` // runs that were published before this time
	Runs    int       `json:"runs"`
	Answers int       `json:"answers"`
	Bytes   int64     `json:"bytes"`
	Time    time.Time `json:"time"`
}

// Pruning is what a pruning of the ledger removes: the bodies of old answers that a checkpoint has left
// behind. Every head stays, and with it the bill, the cursors, the coverage and whatever is in doubt.
type Pruning struct {
	Before time.Time
	// Where the checkpoint lies. Empty: there is none, so that nothing is removed.
	Checkpoint string
	Runs       []*Run // oldest first; those of which an answer is removed
	Answers    int
	Bytes      int64
	Credits    int64 // that these answers were charged
	// Answers of runs of that age that stay, by the reason.
	Kept map[KeepReason]int

	records *wal.Pruning
}

// IsEmpty reports whether there is nothing to remove.
func (p *Pruning) IsEmpty() bool { return p.records == nil || p.records.IsEmpty() }

// KeepReason is why an answer is not pruned.
type KeepReason string

// The reasons.
const (
	KeptUnpublished KeepReason = "unpublished" // its run is not published: nothing else has its rows
	KeptRecent      KeepReason = "recent"      // its run is not old enough
	KeptInDoubt     KeepReason = "in_doubt"    // it is or was in doubt: a later version may read it
	KeptUnknown     KeepReason = "unknown"     // its charge is not known: likewise
	KeptPages       KeepReason = "pages"       // a purchase of pages has no end
	KeptValid       KeepReason = "valid"       // the ids that it states still count
	KeptUndated     KeepReason = "undated"     // an earlier version did not record the dates of its events
	KeptCheckpoint  KeepReason = "checkpoint"  // no checkpoint has left its call behind
)

// Pruner removes old answers from a ledger.
type Pruner struct {
	*loader
	now        func() time.Time
	checkpoint wal.Position // the last one; zero: there is none
}

// Pruner is the Pruner of the ledger, as of its last checkpoint.
func (l *Ledger) Pruner() *Pruner { return &Pruner{l.loader, l.now, l.checkpoints.at} }

// Plan finds out what can be removed of runs that were published before a time. It changes
// nothing.
func (p *Pruner) Plan(ctx context.Context, before time.Time) (*Pruning, error) {
	plan := &Pruning{Before: before, Kept: map[KeepReason]int{}}
	if p.checkpoint == (wal.Position{}) {
		return plan, nil
	}
	plan.Checkpoint = p.checkpoint.String()
	kept, err := readCheckpoint(ctx, p.log, p.checkpoint)
	if err == nil {
		err = (restorer{kept}).decodeRecent()
	}
	if err != nil {
		return nil, err
	}
	all, err := p.stateBefore(ctx, p.checkpoint)
	if err != nil {
		return nil, err
	}
	var records []wal.Position
	rule := pruneRule{before: before, now: p.now(), valid: longestTTL(p.state.runs)}
	for i, c := range all.calls {
		run, err := p.state.findRun(c.Run.ID)
		if err != nil {
			return nil, err
		}
		reason := rule.keeps(c, run)
		if reason == "" && kept.calls[i] != nil {
			reason = KeptCheckpoint
		}
		if reason == "" {
			if reason, err = p.keepsUndated(ctx, c); err != nil {
				return nil, err
			}
		}
		switch {
		case c.responseAt == nil:
		case reason != "":
			plan.Kept[reason]++
		default:
			records = append(append(records, c.piecesAt...), *c.responseAt)
		}
	}
	if plan.records, err = p.log.PlanPruning(ctx, records); err != nil {
		return nil, err
	}
	p.describe(plan, all.calls)
	return plan, nil
}

// pruneRule decides which answers may be removed. It relies on nothing that a checkpoint leaves out.
type pruneRule struct {
	before, now time.Time
	valid       time.Duration // how long the ids in an answer count
}

// keeps is why the answer to a call stays; empty: it may go. run is the call's as it is now.
func (r pruneRule) keeps(c *Call, run *Run) KeepReason {
	switch {
	case run.Published == nil:
		return KeptUnpublished
	case c.Outcome == pipeline.InDoubt || c.Outcome == "" || len(c.decisions) > 0 || c.reread != nil:
		return KeptInDoubt
	case c.Outcome == pipeline.Charged && !c.Charge.Known:
		return KeptUnknown
	case !run.Published.Time.Before(r.before):
		return KeptRecent
	case c.Query.Service().IsPaged():
		return KeptPages
	case r.now.Sub(c.Time) < r.valid:
		return KeptValid
	}
	return ""
}

// longestTTL is how long a search result counts, in any run so far or by default.
func longestTTL(runs []*Run) time.Duration {
	longest := TTL{}.orDefault().Positive
	for _, r := range runs {
		longest = max(longest, r.PositiveTTL, r.NegativeTTL)
	}
	return longest
}

// keepsUndated keeps an answer that says what no record says: the dates and numbers of its events.
func (p *Pruner) keepsUndated(ctx context.Context, c *Call) (KeepReason, error) {
	h, _, err := p.archive.readOutcome(ctx, c)
	if err != nil || h.isDated(c) {
		return "", err
	}
	return KeptUndated, nil
}

// describe counts what is removed now: other answers were removed before.
func (p *Pruner) describe(plan *Pruning, calls []*Call) {
	going := map[string]bool{}
	for _, c := range calls {
		if c.responseAt == nil || !plan.records.Removes(*c.responseAt) {
			continue
		}
		plan.Answers++
		plan.Credits += c.Charge.Credits
		going[c.Run.ID] = true
	}
	for _, r := range p.state.runs {
		if going[r.ID] {
			plan.Runs = append(plan.Runs, r)
		}
	}
	plan.Bytes = plan.records.Bytes
}

// Prune records durably what a plan removes, and removes it. After an error or a crash the next plan
// has the rest. proceed is asked before each step.
func (p *Pruner) Prune(ctx context.Context, plan *Pruning, proceed func() error) error {
	head, err := json.Marshal(PruneRecord{plan.Before.UTC(), len(plan.Runs), plan.Answers, plan.Bytes, p.now().UTC()})
	if err == nil {
		err = proceed()
	}
	if err != nil {
		return err
	}
	if _, err := p.log.Append(byte(kindPrune), head, nil); err != nil {
		return err
	}
	return p.log.Prune(ctx, plan.records, proceed)
}

// prunedAnswers are what prunings removed.
type prunedAnswers struct {
	records []PruneRecord
	calls   map[string]bool // by name
}

// isAnnounced reports whether a pruning was recorded that may have removed the answer to a call.
func (p *prunedAnswers) isAnnounced(c *Call) bool {
	for i := range p.records {
		if c.Run.Published != nil && c.Run.Published.Time.Before(p.records[i].Before) {
			return true
		}
	}
	return false
}

// findPruned reads a whole log, with its bodies on request.
func findPruned(ctx context.Context, log *wal.Log, bodies bool) (*prunedAnswers, error) {
	p := &prunedAnswers{calls: map[string]bool{}}
	err := log.Walk(ctx, bodies, func(_ wal.Position, k byte, head []byte, body int64) error {
		switch {
		case kind(k) == kindPrune:
			return decodeHead(head, func(h *PruneRecord) error {
				p.records = append(p.records, *h)
				return nil
			})
		case kind(k) == kindResponse && body == wal.PrunedBody:
			return decodeHead(head, func(h *callHead) error {
				p.calls[h.name()] = true
				return nil
			})
		}
		return nil
	})
	return p, err
}

// Pruned lists the runs of which answers were removed, oldest first, and the prunings. It reads the
// heads of the whole ledger.
func (p *Pruner) Pruned(ctx context.Context) (runs []*Run, records []PruneRecord, err error) {
	removed, err := findPruned(ctx, p.log, false)
	if err != nil {
		return nil, nil, err
	}
	gone := map[string]bool{}
	for name := range removed.calls {
		run, _, _ := strings.Cut(name, "/")
		gone[run] = true
	}
	for _, r := range p.state.runs {
		if gone[r.ID] {
			runs = append(runs, r)
		}
	}
	return runs, removed.records, nil
}

// PublishedCredits are those of the run's answers as they were known when it was published.
func (r *Run) PublishedCredits() (sum int64) {
	for _, c := range append(r.Calls, r.rereads...) {
		if then := c.asPublishedBy(r); then.Outcome == pipeline.Charged {
			sum += then.Charge.Credits
		}
	}
	return sum
}

// readOutcome reads the record of a call's outcome, and the identities in it.
func (a *archive) readOutcome(ctx context.Context, c *Call) (*outcomeRecord, []byte, error) {
	if c.outcomeAt == (wal.Position{}) {
		return nil, nil, fmt.Errorf("%s: the place of its outcome is not known", callName(c))
	}
	rec, err := a.log.Read(ctx, c.outcomeAt)
	if err != nil {
		return nil, nil, err
	}
	h := new(outcomeRecord)
	if err := json.Unmarshal(rec.Head, h); err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", c.outcomeAt, wal.ErrCorrupt, err)
	}
	return h, rec.Body, nil
}

// recordedPairs is what the outcome of a call says about its answer, which was removed; nil if that
// cannot be read.
func (a *archive) recordedPairs(ctx context.Context, c *Call) *returnedPairs {
	h, identities, err := a.readOutcome(ctx, c)
	if err != nil {
		return nil
	}
	const size = len(pipeline.Identity{})
	returned, err := decodePairs(h.Pairs, len(identities)/size, DayOf(c.Query.Until))
	if err != nil {
		return nil
	}
	p, types := &returnedPairs{map[string][]pipeline.Identity{}, map[string][]pipeline.Identity{}}, c.Query.ResultTypes()
	for n := 0; n < len(returned); n += returned[n].identities {
		var keys []pipeline.Identity
		for chunk := range slices.Chunk(identities[n*size:(n+returned[n].identities)*size], size) {
			keys = append(keys, pipeline.Identity(chunk))
		}
		for _, pair := range returned[n].pairs {
			if pair.signal >= len(types) || pair.events == 0 {
				continue
			}
			signal := types[pair.signal]
			p.some[signal] = append(p.some[signal], keys...)
			if pair.events >= uint64(max(c.Query.MaxResults(), 0)) { //nolint:gosec // not negative
				p.capped[signal] = append(p.capped[signal], keys...)
			}
		}
	}
	return p
}
