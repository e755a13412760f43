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

// PlanPruning finds out what can be removed of runs that were published before a time. It changes
// nothing.
func (l *Ledger) PlanPruning(ctx context.Context, before time.Time) (*Pruning, error) {
	p := &Pruning{Before: before, Kept: map[KeepReason]int{}}
	if l.checkpointAt == (wal.Position{}) {
		return p, nil
	}
	p.Checkpoint = l.checkpointAt.String()
	kept, err := readCheckpoint(ctx, l.log, l.checkpointAt)
	if err == nil {
		err = kept.decodeRecent()
	}
	if err != nil {
		return nil, err
	}
	all, err := l.stateBefore(ctx, l.checkpointAt)
	if err != nil {
		return nil, err
	}
	var records []wal.Position
	rule := pruneRule{before: before, now: l.now(), valid: longestTTL(l.state.runs)}
	for i, c := range all.calls {
		run, err := l.state.findRun(c.Run.ID)
		if err != nil {
			return nil, err
		}
		reason := rule.keeps(c, run)
		if reason == "" && kept.calls[i] != nil {
			reason = KeptCheckpoint
		}
		if reason == "" {
			if reason, err = l.keepsUndated(ctx, c); err != nil {
				return nil, err
			}
		}
		switch {
		case c.responseAt == nil:
		case reason != "":
			p.Kept[reason]++
		default:
			records = append(append(records, c.piecesAt...), *c.responseAt)
		}
	}
	if p.records, err = l.log.PlanPruning(ctx, records); err != nil {
		return nil, err
	}
	l.describePruning(p, all.calls)
	return p, nil
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
func (l *Ledger) keepsUndated(ctx context.Context, c *Call) (KeepReason, error) {
	h, _, err := l.archive.readOutcome(ctx, c)
	if err != nil || h.isDated(c) {
		return "", err
	}
	return KeptUndated, nil
}

// describePruning counts what is removed now: other answers were removed before.
func (l *Ledger) describePruning(p *Pruning, calls []*Call) {
	going := map[string]bool{}
	for _, c := range calls {
		if c.responseAt == nil || !p.records.Removes(*c.responseAt) {
			continue
		}
		p.Answers++
		p.Credits += c.Charge.Credits
		going[c.Run.ID] = true
	}
	for _, r := range l.state.runs {
		if going[r.ID] {
			p.Runs = append(p.Runs, r)
		}
	}
	p.Bytes = p.records.Bytes
}

// Prune records durably what a plan removes, and removes it. After an error or a crash the next plan
// has the rest. proceed is asked before each step.
func (l *Ledger) Prune(ctx context.Context, p *Pruning, proceed func() error) error {
	head, err := json.Marshal(PruneRecord{p.Before.UTC(), len(p.Runs), p.Answers, p.Bytes, l.now().UTC()})
	if err == nil {
		err = proceed()
	}
	if err != nil {
		return err
	}
	if _, err := l.log.Append(byte(kindPrune), head, nil); err != nil {
		return err
	}
	return l.log.Prune(ctx, p.records, proceed)
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

// findPruned reads the whole log, with its bodies on request.
func (l *Ledger) findPruned(ctx context.Context, bodies bool) (*prunedAnswers, error) {
	p := &prunedAnswers{calls: map[string]bool{}}
	err := l.log.Walk(ctx, bodies, func(_ wal.Position, k byte, head []byte, body int64) error {
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
func (l *Ledger) Pruned(ctx context.Context) (runs []*Run, records []PruneRecord, err error) {
	p, err := l.findPruned(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	gone := map[string]bool{}
	for name := range p.calls {
		run, _, _ := strings.Cut(name, "/")
		gone[run] = true
	}
	for _, r := range l.state.runs {
		if gone[r.ID] {
			runs = append(runs, r)
		}
	}
	return runs, p.records, nil
}

// PublishedCredits are those of a run's answers as they were known when it was published.
func (l *Ledger) PublishedCredits(r *Run) (sum int64) {
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
