package app

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// replay writes the rows of a run from the journal alone: nothing is requested.
type replay struct {
	ledger  *ledger.Ledger
	run     *ledger.Run
	version int // of the schema that the rows have
	reader  ledger.Reader
}

// newReplay is the replay of a run.
func newReplay(l *ledger.Ledger, r *ledger.Run, version int) *replay {
	return &replay{l, r, version, l.Reader()}
}

// publish publishes the run. ended is how a manifest that was prepared says that it ended, since a file of
// that may be visible; nil: it ends now.
func (r *replay) publish(ctx context.Context, sink pipeline.Sink, stop *pipeline.Stop, ended *pipeline.RunInfo) (*pipeline.Manifest, error) {
	runner := r.newRunner(ctx, sink)
	runner.Ledger, runner.Ended = r.ledger.Recorder(r.run), ended
	return runner.Replay(ctx, stop)
}

// rebuild writes the rows of the run again, elsewhere. The journal does not notice.
func (r *replay) rebuild(ctx context.Context, sink pipeline.Sink) (*pipeline.Manifest, error) {
	ended, err := r.reader.PreparedManifest(ctx, r.run)
	if err != nil {
		return nil, err
	}
	runner := r.newRunner(ctx, sink)
	runner.Ended = &ended.Run
	return runner.Replay(ctx, ended.Run.Stop.Stop())
}

func (r *replay) newRunner(ctx context.Context, sink pipeline.Sink) *pipeline.Runner {
	asked, searches := queriesByObject(r.run.Queries)
	return &pipeline.Runner{
		Queries: asked, Searches: searches, Sink: sink, SchemaVersion: r.version, Spec: r.run.Spec(), Recorded: r.completeLines(ctx),
		Input: func() pipeline.Input { return pipeline.Input{URI: r.run.URI, SHA256: r.run.Input} }, ExitCode: ManifestExit,
	}
}

// completeLines is what was recorded, with the entities of lines that an earlier version recorded without,
// if the rows are of a version of the schema that has them.
func (r *replay) completeLines(ctx context.Context) *pipeline.RunLog {
	recorded := recordedLog(ctx, r.reader, r.run)
	if r.version < schema.EntitiesVersion || pipeline.SchemaVersionOf(r.run.Versions) >= schema.EntitiesVersion {
		return recorded
	}
	lines := recorded.Lines
	recorded.Lines = func(yield func(pipeline.Line, error) bool) {
		for line, err := range lines {
			if err == nil {
				err = r.reader.CompleteLine(ctx, r.run, &line)
			}
			if !yield(line, err) {
				return
			}
		}
	}
	return recorded
}

// recordedLog is what the journal has of a run.
func recordedLog(ctx context.Context, from ledger.Reader, r *ledger.Run) *pipeline.RunLog {
	return &pipeline.RunLog{Answers: from.Recorded(ctx, r), Lines: from.Lines(ctx, r)}
}

// DecodeRecorded reads an answer from the journal as the client read it.
func DecodeRecorded(b *pipeline.Batch, c *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
	items, unmatched, _ = lusha.DecodeAnswer(b, c) // the outcome of the call reports what is not an answer
	return items, unmatched
}

// recoverRuns completes the work of processes that died: it publishes runs with
// staged files, and rereads, which the journal has whole.
func (l *lake) recoverRuns(ctx context.Context) error {
	for _, r := range l.ledger.Runs() {
		if r.Published == nil && r.Prepared == nil && r.Rereads != "" {
			if err := (rereader{l}).publishReread(ctx, r); err != nil {
				return err
			}
		}
		if r.Published != nil || r.Prepared == nil {
			continue
		}
		m, err := l.ledger.Reader().PreparedManifest(ctx, r)
		if err != nil {
			return err
		}
		version := m.SchemaVersion() // another build may have prepared it
		sink, err := l.openSinkAsOf(ctx, l.uri, r.ID, version)
		if err != nil {
			return err
		}
		if err = sink.Publish(ctx, m); errors.Is(err, os.ErrNotExist) {
			// The staged files are gone with their directory; the journal has their rows.
			m, err = newReplay(l.ledger, r, version).publish(ctx, sink, m.Run.Stop.Stop(), &m.Run)
		} else if err == nil {
			err = l.ledger.Recorder(r).Commit(m)
		}
		if err = errors.Join(err, sink.Close()); err != nil {
			return fmt.Errorf("completing the publication of run %s: %w", r.ID, err)
		}
		l.completed = append(l.completed, r)
		l.env.Log.Info("completed the publication of an interrupted run", "run", r.ID, "generation", m.Generation)
	}
	return nil
}

// abandonRun publishes what an unfinished run paid for, and ends it.
func (l *lake) abandonRun(ctx context.Context, r *ledger.Run) error {
	sink, err := l.openSink(ctx, l.uri, r.ID)
	if err != nil {
		return err
	}
	m, err := newReplay(l.ledger, r, schema.Version).publish(ctx, sink, &pipeline.Stop{Kind: pipeline.StopClosed, Reason: "its process died, and a later command closed it"}, nil)
	if err = errors.Join(err, sink.Close()); err != nil {
		return fmt.Errorf("publishing what run %s paid for: %w", r.ID, err)
	}
	figures := []any{"run", r.ID, "list", r.URI, "credits", m.Credits.Charged, "generation", m.Generation}
	if n := m.Credits.InDoubtCalls; m.HasInDoubt() {
		l.env.Log.Warn("closed an unfinished run and published what it paid for; its calls in doubt stay held until they are decided: see siglake held", append(figures, "calls_in_doubt", n)...)
		return nil
	}
	l.env.Log.Info("closed an unfinished run and published what it paid for", figures...)
	return nil
}
