package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// applyRecord adds one record to the ledger in memory.
func (l *Ledger) applyRecord(ctx context.Context, p wal.Position, k kind, head []byte) error {
	switch k {
	case kindRun:
		return decodeHead(head, func(h *pipeline.RunSpec) error { return l.applyRun(h) })
	case kindQuery:
		return decodeHead(head, func(h *queryRecord) error {
			if h.Number != len(l.queries)+1 {
				return fmt.Errorf("%w: query %d follows query %d", wal.ErrCorrupt, h.Number, len(l.queries))
			}
			return l.addQuery(h.Query)
		})
	case kindIntent:
		return decodeHead(head, func(h *intentRecord) error { return l.applyIntent(p, h) })
	case kindResponse:
		return decodeHead(head, func(h *responseRecord) error {
			c, err := l.findCall(h.Run, h.Call)
			if err == nil {
				c.responseAt, c.duration = &p, h.Duration
			}
			return err
		})
	case kindCharged, kindNotCharged, kindInDoubt:
		return decodeHead(head, func(h *outcomeRecord) error {
			c, err := l.findCall(h.Run, h.Call)
			if err != nil {
				return err
			}
			if k == kindNotCharged && c.responseAt == nil {
				c.unsentAt = &p
			}
			r, err := l.log.Read(ctx, p)
			if err != nil {
				return err
			}
			return l.applyOutcome(c, k, h, r.Body)
		})
	case kindDecision:
		return decodeHead(head, func(h *decisionRecord) error {
			c, err := l.findCall(h.Run, h.Call)
			if err == nil {
				c.Decision, c.decidedAt = h.Decision, p
			}
			return err
		})
	case kindReconciliation:
		return decodeHead(head, func(h *reconciliationRecord) error {
			r, err := l.findRun(h.From)
			if err == nil {
				l.addBound(r, h.MaxCost)
			}
			return err
		})
	case kindLines:
		return decodeHead(head, func(h *linesRecord) error {
			r, err := l.findRun(h.Run)
			if err == nil && h.Session == r.Session {
				r.linesAt = append(r.linesAt, p)
			}
			return err
		})
	case kindPrepare:
		return decodeHead(head, func(h *prepareRecord) error {
			r, err := l.findRun(h.Run)
			if err == nil {
				r.Prepared = &p
			}
			return err
		})
	case kindCommit:
		return decodeHead(head, func(h *Commit) error {
			r, err := l.findRun(h.Run)
			if err == nil {
				r.Published, r.publishedAt = h, p
			}
			return err
		})
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

func (l *Ledger) applyRun(b *pipeline.RunSpec) error {
	if r, err := l.findRun(b.ID); err == nil {
		r.RunSpec, r.linesAt = *b, nil
		return nil
	}
	l.runs = append(l.runs, &Run{RunSpec: *b, FirstStarted: b.Started})
	return nil
}

// findRun finds a run; the newest first, since most records are about it.
func (l *Ledger) findRun(id string) (*Run, error) {
	for _, r := range slices.Backward(l.runs) {
		if r.ID == id {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: a record of the run %q, which never began", wal.ErrCorrupt, id)
}

func (l *Ledger) findCall(run, id string) (*Call, error) {
	if n := l.callNumbers[run+"/"+id]; n > 0 {
		return l.calls[n-1], nil
	}
	return nil, fmt.Errorf("%w: what became of the call %s/%s, which nobody meant to make", wal.ErrCorrupt, run, id)
}

func (l *Ledger) addQuery(q pipeline.Query) error {
	text, err := json.Marshal(q)
	l.queries = append(l.queries, q)
	l.queryNumbers[string(text)] = len(l.queries)
	return err
}

func (l *Ledger) applyIntent(p wal.Position, h *intentRecord) error {
	r, err := l.findRun(h.Run)
	if err != nil {
		return err
	}
	if h.Query < 1 || h.Query > len(l.queries) {
		return fmt.Errorf("%w: call %s asks query %d of %d", wal.ErrCorrupt, h.Call, h.Query, len(l.queries))
	}
	l.addCall(r, p, h)
	return nil
}

func (l *Ledger) addCall(r *Run, p wal.Position, h *intentRecord) {
	c := &Call{
		Run: r, ID: h.Call, Batch: h.Batch, Attempt: h.Attempt, Query: &l.queries[h.Query-1], queryNumber: h.Query, ByID: h.ByID,
		Entities: h.Entities, Ceiling: h.Ceiling, Time: h.Time, intentAt: p,
	}
	l.calls = append(l.calls, c)
	c.number = len(l.calls)
	l.callNumbers[r.ID+"/"+c.ID] = uint32(len(l.calls)) //nolint:gosec // calls take seconds
	r.Calls = append(r.Calls, c)
	digits := strings.IndexFunc(c.Batch+".", func(r rune) bool { return r < '0' || r > '9' })
	if n, err := strconv.Atoi(c.Batch[:digits]); err == nil {
		r.LastBatch = max(r.LastBatch, n)
	}
}

// applyOutcome applies the outcome of a call. identities are those that its answer decided, or
// that are in doubt.
func (l *Ledger) applyOutcome(c *Call, k kind, h *outcomeRecord, identities []byte) error {
	if len(identities)%len(pipeline.Identity{}) != 0 {
		return fmt.Errorf("%w: %d bytes of identities", wal.ErrCorrupt, len(identities))
	}
	c.setOutcome(k, h)
	l.addToHistory(c, k, h, identities)
	number := l.callNumbers[c.Run.ID+"/"+c.ID]
	for chunk := range slices.Chunk(identities, len(pipeline.Identity{})) {
		l.index.Add(pipeline.Identity(chunk), number)
	}
	return nil
}

func (c *Call) setOutcome(k kind, h *outcomeRecord) {
	c.Outcome, c.Problem = kindOutcomes[k], h.Problem
	if k == kindCharged && h.Credits != nil {
		c.Charge = pipeline.Charge{Known: true, Credits: *h.Credits}
	}
}

var kindOutcomes = map[kind]pipeline.Outcome{
	kindCharged: pipeline.Charged, kindNotCharged: pipeline.NotCharged, kindInDoubt: pipeline.InDoubt,
}

// recoverCalls settles the calls that a process left without an outcome.
func (l *Ledger) recoverCalls(ctx context.Context) error {
	recovered := false
	for n, c := range l.calls {
		if c.Outcome != "" {
			continue
		}
		b, call, err := l.readExchange(ctx, c)
		if err != nil {
			return err
		}
		items, _ := l.decode(b, call)
		if l.readOnly {
			k, h, identities := outcomeOf(call, b, items)
			if err := l.applyOutcome(c, k, &h, identities); err != nil {
				return err
			}
			continue
		}
		if err := l.recordOutcome(c, call, b, items); err != nil {
			return err
		}
		recovered = true
		if c.Query.Service() == pipeline.Search {
			continue // recordOutcome has added them
		}
		for _, identity := range answeredIdentities(b, items) {
			l.index.Add(identity, uint32(n+1)) //nolint:gosec // calls take seconds
		}
	}
	if recovered {
		return l.log.Flush()
	}
	return nil
}

// readExchange returns a call as it was requested and answered: the batch, and the call before
// decoding. A call without a recorded answer is in doubt.
func (l *Ledger) readExchange(ctx context.Context, c *Call) (*pipeline.Batch, *pipeline.Call, error) {
	r, err := l.log.Read(ctx, c.intentAt)
	if err != nil {
		return nil, nil, err
	}
	b := &pipeline.Batch{ID: c.Batch, Query: c.Query, ByID: c.ByID, NextAttempt: c.Attempt}
	if err := decodeBody(r.Body, &b.Items); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.intentAt, err)
	}
	call := &pipeline.Call{
		ID: c.ID, Batch: c.Batch, Attempt: c.Attempt, Object: c.Query.Object, Entities: c.Entities, Types: len(c.Query.ResultTypes()),
		Ceiling: c.Ceiling, Outcome: pipeline.InDoubt, Problem: "the process ended while the call was on its way", Sent: c.Time,
	}
	if c.responseAt == nil {
		return b, call, nil
	}
	if r, err = l.log.Read(ctx, *c.responseAt); err != nil {
		return nil, nil, err
	}
	var h responseRecord
	if err := json.Unmarshal(r.Head, &h); err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", c.responseAt, wal.ErrCorrupt, err)
	}
	if call.Body, err = decompressBody(r.Body); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.responseAt, err)
	}
	call.Endpoint, call.Sent, call.Duration, call.Status, call.Outcome = h.Endpoint, h.Sent, h.Duration, h.Status, h.Outcome
	call.Rate, call.Header, call.Problem, call.Entities = h.Rate, h.Header, h.Problem, h.Entities
	return b, call, nil
}
