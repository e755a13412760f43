package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// reread is how a later version has read the answer to a call that was recorded as in doubt.
type reread struct {
	at      wal.Position
	problem string // that the call was in doubt for
	open    int    // lines that the answer leaves open
	// The identities that the answer decides. The index leads from all that were requested.
	decided map[pipeline.Identity]bool
	assumed bool // not recorded: a run that begins now would record it
}

// reread applies a later version's outcome of a call in doubt. What was decided about the call is
// kept for the runs that were published before.
func (s *state) reread(c *Call, publisher *Run, at wal.Position, h *rereadRecord, identities []byte) error {
	c.reread = &reread{at: at, problem: c.Problem, open: h.Open, decided: map[pipeline.Identity]bool{}}
	c.Decision = ""
	var added []byte
	for chunk := range slices.Chunk(identities, len(pipeline.Identity{})) {
		key := pipeline.Identity(chunk)
		c.reread.decided[key] = true
		if !slices.Contains(slices.Collect(s.index.Backward(key)), uint32(c.number)) { //nolint:gosec // calls take seconds
			added = append(added, chunk...)
		}
	}
	err := s.settle(c, at, outcomeKinds[h.Outcome], &h.outcomeRecord, identities)
	s.addToIndex(c, added)
	if publisher != c.Run {
		publisher.rereads = append(publisher.rereads, c)
	}
	return err
}

var outcomeKinds = map[pipeline.Outcome]kind{
	pipeline.Charged: kindCharged, pipeline.NotCharged: kindNotCharged, pipeline.InDoubt: kindInDoubt,
}

// concerns reports whether an indexed call says something about an identity: one that was read
// again may have left identities open that were requested.
func (c *Call) concerns(key pipeline.Identity) bool { return c.reread == nil || c.reread.decided[key] }

// rereadAfter reports whether a call was in doubt when a run was published, and was read since.
func (c *Call) rereadAfter(r *Run) bool {
	return c.reread != nil && r.Published != nil && (c.reread.assumed || r.publishedAt.Before(c.reread.at))
}

// leavesOpen reports whether a call was read after a run was published that has lines to request
// because of that: lines that the answer left open, or those of another run, which may request more.
func (c *Call) leavesOpen(r *Run) bool {
	return c.rereadAfter(r) && (c.Run != r || c.reread.open > 0)
}

// wasInDoubtAt reports whether the call was in doubt at a position.
func (c *Call) wasInDoubtAt(p wal.Position) bool {
	return c.Outcome == pipeline.InDoubt || c.reread != nil && (c.reread.assumed || p.Before(c.reread.at))
}

// asPublishedBy is the call as a run has it: outcome and decision of a published run are those at
// its publication.
func (c *Call) asPublishedBy(r *Run) *Call {
	then := *c
	switch {
	case r != c.Run || r.Published == nil: // a reread, or a run in progress
	case c.rereadAfter(r):
		then.Outcome, then.Charge, then.Problem, then.Decision = pipeline.InDoubt, pipeline.Charge{}, c.reread.problem, c.decisionBefore(r.publishedAt)
	case c.reread != nil:
	default:
		then.Decision = c.decisionBefore(r.publishedAt)
	}
	return &then
}

// Rereading is what the present version reads in the recorded answer to a call in doubt.
type Rereading struct {
	Call    *Call
	Outcome pipeline.Outcome // InDoubt: the answer is still not understood, or there is none
	Charge  pipeline.Charge
	Problem string
	Lines   int // that the answer decides
	Open    int // that it leaves open

	record     outcomeRecord
	identities []byte
}

// Rereader reads the recorded answers to calls in doubt once more, with the present version.
type Rereader struct{ *loader }

// Rereader is that of the calls in doubt of every run.
func (l *Ledger) Rereader() Rereader { return Rereader{l.loader} }

// Calls lists the calls in doubt with a recorded answer, oldest first, whether they were
// released, written off or not decided about. Those that were proven not to be charged are
// settled.
func (r Rereader) Calls() (calls []*Call) {
	for _, c := range r.state.calls {
		if c.isRereadable() {
			calls = append(calls, c)
		}
	}
	return calls
}

func (c *Call) isRereadable() bool {
	return c != nil && c.Outcome == pipeline.InDoubt && c.Decision != NotCharged && c.responseAt != nil
}

// Read reads the recorded answer to a call in doubt, and records nothing.
func (r Rereader) Read(ctx context.Context, c *Call) (*Rereading, error) {
	b, call, err := r.archive.readExchange(ctx, c)
	if err != nil {
		return nil, err
	}
	if !c.isRereadable() {
		return &Rereading{Call: c, Outcome: pipeline.InDoubt, Problem: c.Problem}, nil
	}
	items, _ := r.archive.decode(b, call)
	x := &Rereading{Call: c, Outcome: call.Outcome, Charge: call.Charge, Problem: call.Problem}
	_, x.record, x.identities = outcomeOf(call, b, items)
	if call.Outcome == pipeline.InDoubt {
		return x, nil
	}
	for i := range items {
		if c.leavesLineOpen(items[i].Status) {
			x.Open++
		} else {
			x.Lines++
		}
	}
	return x, nil
}

// leavesLineOpen reports whether a line with a status in the call's answer is requested again, or
// further: a page is followed by others, and an id that a search found is used to request signals.
func (c *Call) leavesLineOpen(s schema.Status) bool {
	switch s {
	case schema.Enriched, schema.NoSignal:
		return c.Query.Service().IsPaged()
	case schema.NotFound, schema.Restricted:
		return false
	case schema.Resolved:
		return slices.ContainsFunc(c.Run.Queries, func(q pipeline.Query) bool { return q.Service() != pipeline.Search })
	}
	return true
}

// Assume applies what is read in the answer to a call in doubt to the ledger in memory, for a
// plan of what a run would request after recording it.
func (r Rereader) Assume(x *Rereading) {
	_ = r.loadRecent(context.Background()) // which identities it adds depends on the index
	_ = r.state.reread(x.Call, x.Call.Run, wal.Position{}, &rereadRecord{outcomeRecord: x.record, Outcome: x.Outcome, Open: x.Open}, x.identities)
	x.Call.reread.assumed = true
}

// RecordReread records durably how the present version reads the answer to a call in doubt: the
// call is in doubt no more. The recorder's run publishes the rows: it is the call's own if that is
// not published yet, else one that rereads it.
func (r *Recorder) RecordReread(x *Rereading) error {
	h := rereadRecord{outcomeRecord: x.record, Outcome: x.Outcome, Publisher: r.run.ID, Open: x.Open, Time: r.now().UTC()}
	h.callHead = callHead{x.Call.Run.ID, x.Call.ID}
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	p, err := r.log.Append(byte(kindReread), head, x.identities)
	if err != nil {
		return err
	}
	r.state.mu.Lock()
	defer r.state.mu.Unlock()
	return r.state.reread(x.Call, r.run, p, &h, x.identities)
}

// RepeatedFailure finds the call that a call in doubt repeats in vain: it was released for a retry,
// requested one of the same entities, and failed in the same way. kind describes how. A call that
// got no answer because its process ended says nothing about its entities. The result is nil if
// there is no such call, and the call itself if nothing smaller can be requested than what was cut.
func (r Rereader) RepeatedFailure(ctx context.Context, c *Call) (earlier *Call, kind string, err error) {
	b, call, err := r.archive.readExchange(ctx, c)
	if err != nil {
		return nil, "", err
	}
	if kind = c.failureKind(call); kind == "" {
		return nil, "", nil
	}
	if c.cut && c.length >= longAnswer && b.ResultCeiling() <= 1 {
		return c, kind, nil
	}
	if err := r.loadRecent(ctx); err != nil {
		return nil, "", err
	}
	for i := range b.Items {
		calls := r.state.settledCalls(pipeline.IdentityOf(&b.Items[i].Account), func(other *Call) bool {
			return other.number < c.number && other.Outcome == pipeline.InDoubt && other.Decision == Retry &&
				slices.ContainsFunc(c.Query.ResultTypes(), func(signal string) bool { return windowsOverlap(other.Query, c.Query, signal) })
		})
		for _, other := range calls {
			otherBatch, otherCall, err := r.archive.readExchange(ctx, other)
			if err != nil {
				return nil, "", err
			}
			// What was cut is requested again by less at a time, which is another way.
			if other.failureKind(otherCall) == kind && isSameSection(otherBatch, b) && (!c.cut || b.ResultCeiling() >= otherBatch.ResultCeiling()) {
				return other, kind, nil
			}
		}
	}
	return nil, "", nil
}

// failureKind says how a call in doubt failed; empty if its process ended before it did.
func (c *Call) failureKind(call *pipeline.Call) string {
	switch {
	case c.responseAt == nil:
		return ""
	case call.Status == 0:
		return "no answer came"
	case c.cut:
		return "the answer was cut"
	case call.Corrupt:
		return "the answer contradicts its checksum"
	case call.Status/100 != 2:
		return fmt.Sprintf("the answer was HTTP %d", call.Status)
	case call.Problem != "":
		return "the answer broke off"
	}
	return "the answer was not understood"
}

// isSameSection reports whether two batches request the same page, if they request pages.
func isSameSection(a, b *pipeline.Batch) bool {
	first, second := a.Items[0].Page, b.Items[0].Page
	return first == nil || second == nil || first.Offset == second.Offset
}
