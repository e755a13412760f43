package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Reader reads what the runs of a ledger recorded.
type Reader struct {
	*loader
	// Called with each call of Answers when its answer was decoded, by several goroutines; nil: not wanted.
	decoded func(*Call, *pipeline.Call)
}

// Reader is the Reader of every run.
func (l *Ledger) Reader() Reader { return Reader{loader: l.loader} }

// LoadCalls reads what a checkpoint has left behind, of all runs. Afterwards the answers of several runs
// can be read at once.
func (r Reader) LoadCalls(ctx context.Context) error { return r.readPast(ctx) }

// Answers decodes a run's calls again, by batch and attempt: an order that does not depend on
// which answer came first.
func (r Reader) Answers(ctx context.Context, run *Run) func(yield func(pipeline.AnsweredBatch, error) bool) {
	return func(yield func(pipeline.AnsweredBatch, error) bool) {
		for recorded, err := range r.Recorded(ctx, run) {
			var answer pipeline.AnsweredBatch
			if err == nil {
				answer, err = recorded.Read(ctx)
			}
			if !yield(answer, err) || err != nil {
				return
			}
		}
	}
}

// Recorded are the calls of Answers, which the caller reads.
func (r Reader) Recorded(ctx context.Context, run *Run) func(yield func(pipeline.RecordedAnswer, error) bool) {
	return func(yield func(pipeline.RecordedAnswer, error) bool) {
		if err := r.loadCalls(ctx, run); err != nil {
			yield(pipeline.RecordedAnswer{}, err)
			return
		}
		calls := slices.Concat(run.Calls, run.rereads)
		slices.SortFunc(calls, func(a, b *Call) int {
			return cmp.Or(cmp.Compare(a.Batch, b.Batch), cmp.Compare(a.Attempt, b.Attempt))
		})
		for _, c := range calls {
			if c.unsentAt != nil {
				continue // its lines are among the recorded ones
			}
			if recorded, err := r.recordedAnswer(ctx, run, c); !yield(recorded, err) || err != nil {
				return
			}
		}
	}
}

// recordedAnswer is the answer to a call as a run has it. It is read at once if its length is not recorded.
func (r Reader) recordedAnswer(ctx context.Context, run *Run, c *Call) (recorded pipeline.RecordedAnswer, err error) {
	recorded = pipeline.RecordedAnswer{Entities: c.Entities, Length: c.length}
	if c.length > 0 || c.responseAt == nil {
		recorded.Read = func(ctx context.Context) (pipeline.AnsweredBatch, error) { return r.readAnswer(ctx, run, c) }
		return recorded, nil
	}
	answer, err := r.readAnswer(ctx, run, c)
	if err == nil {
		recorded.Length = answer.Reply.Calls[0].AnswerBytes()
	}
	recorded.Read = func(context.Context) (pipeline.AnsweredBatch, error) { return answer, nil }
	return recorded, err
}

// readAnswer decodes the answer to a call as a run has it.
func (r Reader) readAnswer(ctx context.Context, run *Run, c *Call) (answer pipeline.AnsweredBatch, err error) {
	b, call, err := r.archive.readExchange(ctx, c)
	if err != nil {
		return answer, err
	}
	items, unmatched := r.archive.decode(b, call)
	if r.decoded != nil {
		r.decoded(c, call)
	}
	settled := c.asPublishedBy(run)
	items, unmatched = settled.keepDoubt(call, items, unmatched)
	// The status of items that may be requested again is up to the next call.
	if decision := settled.Decision; decision != "" {
		call.Decision = string(decision)
		for i := range items {
			items[i] = pipeline.ItemReply{Status: schema.Deferred, Reason: "in doubt: " + string(decision)}
		}
	}
	return pipeline.AnsweredBatch{Batch: b, Reply: &pipeline.Reply{Calls: []pipeline.Call{*call}, Items: items, Unmatched: unmatched}}, nil
}

// Lines returns the lines that the run's last process recorded.
func (r Reader) Lines(ctx context.Context, run *Run) func(yield func(pipeline.Line, error) bool) {
	return func(yield func(pipeline.Line, error) bool) {
		for _, p := range run.linesAt {
			rec, err := r.log.Read(ctx, p)
			var text []byte
			if err == nil {
				text, err = decompressBody(rec.Body)
			}
			var lines []pipeline.Line
			if err == nil {
				lines, err = decodeLines(text)
			}
			if err != nil {
				yield(pipeline.Line{}, err)
				return
			}
			for _, line := range lines {
				if !yield(line, nil) {
					return
				}
			}
		}
	}
}

// CompleteLine adds the entity to a recorded line of a run that needed no call: versions before schema 4
// recorded none. Later calls than the line do not count, so that a run is always rebuilt in the same way.
// The error is ErrPruned if the answer that may state the id was removed.
func (r Reader) CompleteLine(ctx context.Context, run *Run, line *pipeline.Line) error {
	if line.Status != schema.Cached || line.Entity != nil || len(run.linesAt) == 0 {
		return nil
	}
	if err := r.readPast(ctx); err != nil {
		return err
	}
	calls := r.state.settledCalls(pipeline.IdentityOf(&line.Account), func(c *Call) bool { return c.hasAnswer() && c.intentAt.Before(run.linesAt[0]) })
	e, err := r.archive.statedEntity(ctx, &line.Account, calls)
	if e.ID != "" {
		line.Entity = &e
	}
	if errors.Is(err, ErrPruned) || ctx.Err() != nil {
		return err
	}
	return nil
}

// PreparedManifest returns the manifest that a run prepared.
func (r Reader) PreparedManifest(ctx context.Context, run *Run) (*pipeline.Manifest, error) {
	if run.Prepared == nil {
		return nil, fmt.Errorf("run %s prepared no manifest", run.ID)
	}
	rec, err := r.log.Read(ctx, *run.Prepared)
	if err != nil {
		return nil, err
	}
	m := new(pipeline.Manifest)
	return m, decodeBody(rec.Body, m)
}

// Totals sum up a run, also one that an earlier version published; nil: it is not published.
func (r Reader) Totals(ctx context.Context, run *Run) (*Totals, error) {
	if run.Published == nil {
		return nil, nil
	}
	if run.Published.Totals != nil {
		return run.Published.Totals, nil
	}
	m, err := r.PreparedManifest(ctx, run)
	if err != nil {
		return nil, err
	}
	return newTotals(m), nil
}

// CallItems returns what a call requested.
func (r Reader) CallItems(ctx context.Context, c *Call) ([]pipeline.Item, error) {
	b, err := r.archive.readRequest(ctx, c)
	if err != nil {
		return nil, err
	}
	return b.Items, nil
}
