package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// archive reads recorded calls: what they requested and what their answers say. It is
// safe for concurrent use.
type archive struct {
	log    *wal.Log
	decode Decode

	mu          sync.Mutex               // guards the caches; not held while a record is read
	pairs       map[*Call]*returnedPairs // of calls that were compared with a higher cap
	resolutions callCache[resolution]
	ids         callCache[string]
}

func newArchive(log *wal.Log, decode Decode) *archive {
	return &archive{
		log: log, decode: decode, pairs: map[*Call]*returnedPairs{},
		resolutions: callCache[resolution]{size: maxResolutionCalls}, ids: callCache[string]{size: maxIDCalls},
	}
}

// readRequest returns what a call requested.
func (a *archive) readRequest(ctx context.Context, c *Call) (*pipeline.Batch, error) {
	r, err := a.log.Read(ctx, c.intentAt)
	if err != nil {
		return nil, err
	}
	b := &pipeline.Batch{ID: c.Batch, Query: c.Query, ByID: c.ByID, NextAttempt: c.Attempt}
	text, err := decompressBody(r.Body)
	if err == nil {
		b.Items, err = decodeItems(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.intentAt, err)
	}
	return b, nil
}

// readExchange returns a call as it was requested and answered: the batch, and the call before
// decoding. A call without a recorded answer is in doubt. The error is ErrPruned if the answer was
// removed.
func (a *archive) readExchange(ctx context.Context, c *Call) (*pipeline.Batch, *pipeline.Call, error) {
	b, err := a.readRequest(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	call := &pipeline.Call{
		ID: c.ID, Batch: c.Batch, Attempt: c.Attempt, Object: c.Query.Object, Entities: c.Entities, Types: len(c.Query.ResultTypes()),
		Ceiling: c.Ceiling, Outcome: pipeline.InDoubt, Problem: "the process ended while the call was on its way", Sent: c.Time,
	}
	if c.responseAt == nil {
		return b, call, nil
	}
	r, err := a.log.Read(ctx, *c.responseAt)
	if err == nil && r.Pruned {
		err = fmt.Errorf("%s: %w", callName(c), ErrPruned)
	}
	if err != nil {
		return nil, nil, err
	}
	var h responseRecord
	if err := json.Unmarshal(r.Head, &h); err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", c.responseAt, wal.ErrCorrupt, err)
	}
	if call.Body, err = a.readBody(ctx, c, r.Body, h.Length); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.responseAt, err)
	}
	call.Endpoint, call.Sent, call.Duration, call.Status, call.Outcome = h.Endpoint, h.Sent, h.Duration, h.Status, h.Outcome
	call.Rate, call.Header, call.Problem, call.Entities, call.Corrupt, call.Cut = h.Rate, h.Header, h.Problem, h.Entities, h.Corrupt, h.Cut
	return b, call, nil
}

// readBody returns the answer to a call, the last piece of which is given.
func (a *archive) readBody(ctx context.Context, c *Call, last []byte, length int64) (body []byte, err error) {
	if len(c.piecesAt) == 0 {
		return decompressBody(last)
	}
	body = make([]byte, 0, length)
	for _, p := range c.piecesAt {
		r, err := a.log.Read(ctx, p)
		if err == nil {
			body, err = appendDecompressed(body, r.Body)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
	}
	return appendDecompressed(body, last)
}

// decodeSettled decodes a call whose outcome is recorded.
func (a *archive) decodeSettled(c *Call, b *pipeline.Batch, call *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
	items, unmatched = a.decode(b, call)
	return c.keepDoubt(call, items, unmatched)
}

// staysInDoubt reports whether a call was recorded as in doubt, although this version can read the answer,
// which is decoded.
func (c *Call) staysInDoubt(decoded *pipeline.Call) bool {
	return c.Outcome == pipeline.InDoubt && decoded.Outcome != pipeline.InDoubt
}

// keepDoubt takes back what was decoded of a call that was recorded as in doubt. It stays so, even if this
// version can read what an earlier one could not: its lines, its charge and what was decided about it have
// been reported that way.
func (c *Call) keepDoubt(call *pipeline.Call, items, unmatched []pipeline.ItemReply) (kept, keptUnmatched []pipeline.ItemReply) {
	if !c.staysInDoubt(call) {
		return items, unmatched
	}
	call.Outcome, call.Charge, call.Problem = pipeline.InDoubt, pipeline.Charge{}, c.Problem
	call.UnknownFields, call.Warnings, call.StartDate, call.EndDate = nil, nil, "", ""
	for i := range items {
		if items[i].Status != schema.Rejected {
			items[i] = pipeline.ItemReply{
				Status: schema.InDoubt, Reason: "asked, but whether it was charged is not known: " + c.Problem, CallID: c.ID,
			}
		}
	}
	return items, nil
}

// returnedPairs are the identities with events in a call's answer, by signal type, and those of
// them that reached the call's cap.
type returnedPairs struct {
	some, capped map[string][]pipeline.Identity
}

// cachedPairs reads an answer again, once; nil if it cannot be read.
func (a *archive) cachedPairs(ctx context.Context, c *Call) *returnedPairs {
	a.mu.Lock()
	p, known := a.pairs[c]
	a.mu.Unlock()
	if known {
		return p
	}
	p = a.readPairs(ctx, c)
	if ctx.Err() != nil {
		return p // not readable now, which says nothing about the answer
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pairs[c] = p
	return p
}

func (a *archive) readPairs(ctx context.Context, c *Call) *returnedPairs {
	b, call, err := a.readExchange(ctx, c)
	if errors.Is(err, ErrPruned) {
		return a.recordedPairs(ctx, c)
	}
	if err != nil {
		return nil
	}
	items, _ := a.decodeSettled(c, b, call)
	p := &returnedPairs{map[string][]pipeline.Identity{}, map[string][]pipeline.Identity{}}
	for i := range items {
		events := map[string]int{}
		for _, list := range [][]pipeline.RawEvent{items[i].Events, items[i].Filtered} { // the cap counts both
			for _, e := range list {
				events[e.Type]++
			}
		}
		keys := answeredIdentitiesOf(b, i, &items[i])
		for _, signal := range b.Query.ResultTypes() { // only about these can a later query ask
			n := events[signal]
			if n == 0 {
				continue
			}
			p.some[signal] = append(p.some[signal], keys...)
			if n >= c.Query.MaxResults() {
				p.capped[signal] = append(p.capped[signal], keys...)
			}
		}
	}
	return p
}

// resolution is what an answer says about an identifier.
type resolution struct {
	entity schema.Entity
	status schema.Status
	reason string
}

// callCache has what the answers say that were read last, by identity. A list is bought and later read
// in the same order, so that its lines need one answer after the other.
type callCache[V any] struct {
	size   int // calls
	byCall map[*Call]cachedAnswer[V]
	order  []*Call
}

type cachedAnswer[V any] struct {
	known map[pipeline.Identity]V
	err   error // why nothing is known
}

func (r *callCache[V]) add(c *Call, answer cachedAnswer[V]) {
	if _, ok := r.byCall[c]; ok {
		return
	}
	if r.byCall == nil {
		r.byCall = map[*Call]cachedAnswer[V]{}
	}
	r.byCall[c] = answer
	if r.order = append(r.order, c); len(r.order) > r.size {
		delete(r.byCall, r.order[0])
		r.order = r.order[1:]
	}
}

// maxResolutionCalls is the number of answers in the cache; one takes about 20 KB.
const maxResolutionCalls = 128

// cachedResolution returns what a call found for an identifier; false if its answer says
// nothing about it or cannot be read, which verify reports.
func (a *archive) cachedResolution(ctx context.Context, c *Call, key pipeline.Identity) (resolution, bool) {
	m, ok, _ := lookUp(ctx, a, &a.resolutions, c, key, a.readResolutions)
	return m, ok
}

// lookUp returns what a call says about an identity, from a cache of the archive or from what read
// returns. ok is false if it says nothing; err says why if its answer cannot be read.
func lookUp[V any](ctx context.Context, a *archive, cache *callCache[V], c *Call, key pipeline.Identity, read func(context.Context, *Call) (map[pipeline.Identity]V, error)) (v V, ok bool, err error) {
	a.mu.Lock()
	answer, cached := cache.byCall[c]
	a.mu.Unlock()
	if !cached {
		answer.known, answer.err = read(ctx, c)
		if ctx.Err() == nil { // else not readable now, which says nothing about the answer
			a.mu.Lock()
			cache.add(c, answer)
			a.mu.Unlock()
		}
	}
	v, ok = answer.known[key]
	return v, ok, answer.err
}

func (a *archive) readResolutions(ctx context.Context, c *Call) (map[pipeline.Identity]resolution, error) {
	b, call, err := a.readExchange(ctx, c)
	if err != nil {
		return nil, err
	}
	items, _ := a.decodeSettled(c, b, call)
	known := make(map[pipeline.Identity]resolution, len(items))
	for i := range items {
		m := resolution{entity: items[i].Entity, status: items[i].Status, reason: items[i].Reason}
		switch items[i].Status {
		case schema.Resolved, schema.Enriched, schema.NoSignal:
		case schema.NotFound, schema.Restricted:
			m.entity = schema.Entity{}
		default:
			continue
		}
		known[pipeline.IdentityOf(&b.Items[i].Account)] = m
	}
	return known, nil
}
