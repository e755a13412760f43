package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// replayer applies the records of a log to a state, in the order of the log.
type replayer struct {
	log   *wal.Log
	state *state
}

// replay applies the records of a log from a position on, up to another one; the zero position: up
// to its end.
func replay(ctx context.Context, log *wal.Log, s *state, from, to wal.Position) error {
	r := replayer{log, s}
	err := log.WalkFrom(ctx, from, false, func(p wal.Position, k byte, head []byte, body int64) error {
		if to != (wal.Position{}) && !p.Before(to) {
			return errReplayed
		}
		if err := r.apply(ctx, p, kind(k), head, body); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		return nil
	})
	if errors.Is(err, errReplayed) {
		return nil
	}
	return err
}

// errReplayed ends a replay before the end of the log.
var errReplayed = errors.New("replayed")

// apply applies the record at p. body is the length of its body.
func (r *replayer) apply(ctx context.Context, p wal.Position, k kind, head []byte, body int64) error {
	switch k {
	case kindRun:
		return decodeHead(head, r.applyRun)
	case kindQuery:
		return decodeHead(head, r.applyQuery)
	case kindIntent:
		return decodeHead(head, func(h *intentRecord) error { return r.applyIntent(ctx, p, h) })
	case kindResponse:
		return decodeHead(head, func(h *responseSummary) error { return r.applyResponse(p, h) })
	case kindPiece:
		return decodeHead(head, func(h *callHead) error { return r.applyPiece(p, h) })
	case kindCharged, kindNotCharged, kindInDoubt:
		if r.state.recent != nil {
			return decodeHead(head, func(h *outcomeSummary) error { return r.applyLater(p, k, h, body) })
		}
		return decodeHead(head, func(h *outcomeRecord) error { return r.applyOutcome(ctx, p, k, h) })
	case kindReread:
		return decodeHead(head, func(h *rereadRecord) error { return r.applyReread(ctx, p, h) })
	case kindDecision:
		return decodeHead(head, func(h *decisionRecord) error { return r.applyDecision(p, h) })
	case kindReconciliation:
		return decodeHead(head, r.applyReconciliation)
	case kindLines:
		return decodeHead(head, func(h *linesRecord) error { return r.applyLines(p, h) })
	case kindPrepare:
		return decodeHead(head, func(h *prepareRecord) error { return r.applyPrepare(p, h) })
	case kindLoss:
		return decodeHead(head, func(h *lossRecord) error {
			r.state.losses = append(r.state.losses, h.Loss)
			return nil
		})
	case kindCheckpoint, kindPrune: // of the records before it; see Pruner.Pruned
		return nil
	case kindRepartition:
		return decodeHead(head, func(h *repartitionRecord) error { return r.applyRepartition(p, h) })
	case kindErasure:
		return decodeHead(head, r.applyErasure)
	case kindCommit:
		return decodeHead(head, func(h *Commit) error { return r.applyCommit(p, h) })
	}
	return fmt.Errorf("%w: a record of the unknown kind %d; was it written by a newer version?", wal.ErrCorrupt, k)
}

func decodeHead[T any](head []byte, do func(*T) error) error {
	var h T
	if err := json.Unmarshal(head, &h); err != nil {
		return fmt.Errorf("%w: %w", wal.ErrCorrupt, err)
	}
	return do(&h)
}

func (r *replayer) applyRun(h *pipeline.RunSpec) error {
	r.state.beginRun(h)
	return nil
}

func (r *replayer) applyQuery(h *queryRecord) error {
	if n := len(r.state.queries); h.Number != n+1 {
		return fmt.Errorf("%w: query %d follows query %d", wal.ErrCorrupt, h.Number, n)
	}
	r.state.queries = append(r.state.queries, &h.Query)
	return nil
}

func (r *replayer) applyIntent(ctx context.Context, p wal.Position, h *intentRecord) error {
	run, err := r.state.findRun(h.Run)
	if err != nil {
		return err
	}
	if n := len(r.state.queries); h.Query < 1 || h.Query > n {
		return fmt.Errorf("%w: call %s asks query %d of %d", wal.ErrCorrupt, h.Call, h.Query, n)
	}
	if r.state.queries[h.Query-1] == nil && r.state.recent != nil {
		if err := r.loadRecent(ctx); err != nil {
			return err
		}
	}
	if r.state.queries[h.Query-1] == nil {
		return errLeftBehind
	}
	r.state.addCall(run, p, h)
	return nil
}

func (r *replayer) applyResponse(p wal.Position, h *responseSummary) error {
	c, err := r.state.findCall(h.Run, h.Call)
	if err != nil {
		return err
	}
	if n := len(c.piecesAt); n != h.Pieces {
		return fmt.Errorf("%w: the answer to call %s is in %d pieces, and %d are here", wal.ErrCorrupt, h.Call, h.Pieces, n)
	}
	c.setResponse(p, h)
	return nil
}

// applyPiece notes a piece of an answer. If the process ends before the answer does, the pieces are
// all that is left of it, and the call is in doubt.
func (r *replayer) applyPiece(p wal.Position, h *callHead) error {
	c, err := r.state.findCall(h.Run, h.Call)
	if err == nil {
		c.piecesAt = append(c.piecesAt, p)
	}
	return err
}

func (r *replayer) applyOutcome(ctx context.Context, p wal.Position, k kind, h *outcomeRecord) error {
	c, err := r.state.findCall(h.Run, h.Call)
	if err != nil {
		return err
	}
	if k == kindNotCharged && c.responseAt == nil {
		c.unsentAt = &p
	}
	identities, err := r.readIdentities(ctx, p)
	if err != nil {
		return err
	}
	err = r.state.settle(c, p, k, h, identities)
	r.state.addToIndex(c, identities)
	return err
}

// applyLater applies an outcome as far as opening the ledger needs it: without history, index and
// cursors. body is the length of its identities.
func (r *replayer) applyLater(p wal.Position, k kind, h *outcomeSummary, body int64) error {
	c, err := r.state.findCall(h.Run, h.Call)
	if err != nil {
		return err
	}
	if k == kindNotCharged && c.responseAt == nil {
		c.unsentAt = &p
	}
	s, record := r.state, &outcomeRecord{callHead: h.callHead, Credits: h.Credits, Problem: h.Problem, Size: h.Size}
	c.setOutcome(k, record)
	c.outcomeAt = p
	s.addSize(c, record)
	s.later = append(s.later, laterOutcome{c, p, k})
	return s.cursors.add(undated{call: c, at: p, count: int(body) / len(pipeline.Identity{})})
}

// readIdentities reads the body of a record about a call's outcome.
func (r *replayer) readIdentities(ctx context.Context, p wal.Position) ([]byte, error) {
	rec, err := r.log.Read(ctx, p)
	if err != nil {
		return nil, err
	}
	if n := len(rec.Body); n%len(pipeline.Identity{}) != 0 {
		return nil, fmt.Errorf("%w: %d bytes of identities", wal.ErrCorrupt, n)
	}
	return rec.Body, nil
}

func (r *replayer) applyReread(ctx context.Context, p wal.Position, h *rereadRecord) error {
	c, err := r.state.findCall(h.Run, h.Call)
	if err != nil {
		return err
	}
	if r.state.recent != nil { // which identities it adds depends on the index
		if err := r.loadRecent(ctx); err != nil {
			return err
		}
	}
	publisher, err := r.state.findRun(h.Publisher)
	if err != nil {
		return err
	}
	identities, err := r.readIdentities(ctx, p)
	if err != nil {
		return err
	}
	return r.state.reread(c, publisher, p, h, identities)
}

func (r *replayer) applyDecision(p wal.Position, h *decisionRecord) error {
	c, err := r.state.findCall(h.Run, h.Call)
	if err == nil {
		c.decide(h.Decision, p)
	}
	return err
}

func (r *replayer) applyReconciliation(h *reconciliationRecord) error {
	run, err := r.state.findRun(h.From)
	if err == nil {
		r.state.bounds.add(run, len(r.state.calls), h.MaxCost)
	}
	return err
}

func (r *replayer) applyLines(p wal.Position, h *linesRecord) error {
	run, err := r.state.findRun(h.Run)
	if err == nil && h.Session == run.Session {
		run.linesAt = append(run.linesAt, p)
	}
	return err
}

func (r *replayer) applyPrepare(p wal.Position, h *prepareRecord) error {
	run, err := r.state.findRun(h.Run)
	if err == nil {
		run.Prepared = &p
	}
	return err
}

func (r *replayer) applyCommit(p wal.Position, h *Commit) error {
	run, err := r.state.findRun(h.Run)
	if err == nil {
		run.Published, run.publishedAt = h, p
	}
	return err
}

// recoverCalls settles the calls that a process left without an outcome, and records their
// outcomes unless the ledger is read-only.
func recoverCalls(ctx context.Context, l *Ledger, readOnly bool) error {
	recovered, open := false, func(c *Call) bool { return c != nil && c.Outcome == "" }
	if slices.ContainsFunc(l.state.calls, open) {
		if err := l.loadRecent(ctx); err != nil {
			return err
		}
	}
	for _, c := range l.state.calls {
		if !open(c) {
			continue
		}
		b, call, err := l.archive.readExchange(ctx, c)
		if err != nil {
			return err
		}
		items, _ := l.archive.decode(b, call)
		k, h, identities := outcomeOf(call, b, items)
		unsent := c.isDelivery() && c.responseAt == nil // the inbox has it, and the next session records it
		if unsent {
			h.Problem = notSent
		}
		if readOnly {
			if err := l.state.settle(c, wal.Position{}, k, &h, identities); err != nil {
				return err
			}
		} else {
			if err := l.Recorder(c.Run).writeOutcome(l.log.Write, c, k, h, identities); err != nil {
				return err
			}
			recovered = true
		}
		if unsent {
			at := c.outcomeAt
			c.unsentAt = &at
		}
		if readOnly || c.Query.Service() != pipeline.Search { // writeOutcome has added them
			l.state.addToIndex(c, identities)
		}
	}
	if recovered {
		return l.log.Flush()
	}
	return nil
}
