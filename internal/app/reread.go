package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// RereadCall is what became of a call in doubt after its recorded answer was read again.
type RereadCall struct {
	Call    string           `json:"call"`
	Outcome pipeline.Outcome `json:"outcome"`           // ambiguous: it stays in doubt
	Problem string           `json:"problem,omitempty"` // if it stays in doubt
	Credits *int64           `json:"credits"`           // charged; null: unknown
	MaxCost int64            `json:"credits_most"`
	Lines   int              `json:"lines"`                // that the answer decides
	Open    int              `json:"open_lines,omitempty"` // that it leaves to the next run
	// The run that publishes its rows, and the generation; 0: the run is not published yet.
	Run        string `json:"run,omitempty"`
	Generation int64  `json:"generation,omitempty"`
}

// RereadInDoubt reads the recorded answers to calls in doubt again. What this version can read is
// in doubt no more, and its rows are published. Nothing is requested.
func RereadInDoubt(ctx context.Context, env *Env, o HeldOptions) (read []RereadCall, err error) {
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, o.Command)
	if err != nil {
		return nil, err
	}
	defer l.close() //nolint:errcheck // what was read is durable before
	calls, err := selectCalls((rereader{l}).callsToReread(), o.Calls)
	if err != nil {
		return nil, err
	}
	if read, err = (rereader{l}).reread(ctx, calls); err != nil {
		return read, lakeError(err)
	}
	return read, nil
}

// rereader reads recorded answers again, and publishes what is new in them.
type rereader struct{ lake *lake }

// callsToReread are the calls in doubt, and of those that were decided about the ones with a
// recorded answer, oldest first.
func (re rereader) callsToReread() []*ledger.Call {
	calls := re.lake.ledger.CallsInDoubt()
	for _, c := range re.lake.ledger.Rereader().Calls() {
		if !slices.Contains(calls, c) {
			calls = append(calls, c)
		}
	}
	slices.SortStableFunc(calls, func(a, b *ledger.Call) int { return a.Time.Compare(b.Time) })
	return calls
}

// rereadInDoubt reads the answers to all calls in doubt again before the run requests anything: an
// answer that an earlier version could not read is paid for.
func (s *session) rereadInDoubt(ctx context.Context) error {
	l := s.lake
	read, err := rereader{l}.reread(ctx, l.ledger.Rereader().Calls())
	if err != nil {
		return lakeError(err)
	}
	for _, c := range read {
		if c.Outcome != pipeline.InDoubt {
			l.env.Log.Info("a call is in doubt no more: this version of siglake reads its answer", "call", c.Call, "outcome", c.Outcome, "lines", c.Lines, "published_by", c.Run)
		}
	}
	return nil
}

// reread reads the answers to calls in doubt again, run by run, and publishes the rows of what this
// version can read.
func (re rereader) reread(ctx context.Context, calls []*ledger.Call) (read []RereadCall, err error) {
	if len(calls) == 0 {
		return nil, nil
	}
	if err := re.lake.recoverRuns(ctx); err != nil {
		return nil, err
	}
	byRun := map[*ledger.Run][]*ledger.Rereading{}
	for _, c := range calls {
		r, err := re.lake.ledger.Rereader().Read(ctx, c)
		if err != nil {
			return nil, err
		}
		if r.Outcome != pipeline.InDoubt {
			byRun[c.Run] = append(byRun[c.Run], r)
		}
		read = append(read, re.newRereadCall(r))
	}
	for _, r := range slices.Clone(re.lake.ledger.Runs()) {
		if len(byRun[r]) == 0 {
			continue
		}
		publisher, err := re.recordRereadings(ctx, r, byRun[r])
		if err != nil {
			return nil, fmt.Errorf("reading answers of run %s again: %w", r.ID, err)
		}
		for _, x := range byRun[r] {
			i := slices.IndexFunc(read, func(c RereadCall) bool { return c.Call == r.ID+"/"+x.Call.ID })
			if read[i].Run = publisher.ID; publisher.Published != nil {
				read[i].Generation = publisher.Published.Generation
			}
		}
	}
	return read, nil
}

func (re rereader) newRereadCall(r *ledger.Rereading) RereadCall {
	cost := pipeline.CostOf(r.Outcome, r.Charge, r.Call.Ceiling)
	c := RereadCall{Call: r.Call.Run.ID + "/" + r.Call.ID, Outcome: r.Outcome, MaxCost: cost.Max, Lines: r.Lines, Open: r.Open}
	if r.Outcome == pipeline.InDoubt {
		c.Problem, c.MaxCost = r.Problem, re.lake.ledger.Bill().MaxCost(r.Call)
	} else if cost.IsKnown() {
		c.Credits = &cost.Min
	}
	return c
}

// recordRereadings records what is read in answers of a run. It returns the run that publishes the
// rows: that run if it is not published yet, else a new one, which it publishes.
func (re rereader) recordRereadings(ctx context.Context, r *ledger.Run, read []*ledger.Rereading) (*ledger.Run, error) {
	if r.Published == nil {
		return r, recordAll(re.lake.ledger.Recorder(r), read)
	}
	spec, err := re.rereadSpec(ctx, r)
	if err != nil {
		return nil, err
	}
	sink, err := re.lake.openSink(ctx, re.lake.uri, spec.ID)
	if err != nil {
		return nil, err
	}
	defer sink.Close() //nolint:errcheck // what matters is published or reported before
	recorder, err := re.lake.ledger.BeginRun(spec)
	if err != nil {
		return nil, err
	}
	if err := recordAll(recorder, read); err != nil {
		return nil, err
	}
	_, err = newReplay(re.lake.ledger, recorder.Run(), schema.Version).publish(ctx, sink, nil, nil)
	return recorder.Run(), err
}

func recordAll(recorder *ledger.Recorder, read []*ledger.Rereading) error {
	for _, x := range read {
		if err := recorder.RecordReread(x); err != nil {
			return err
		}
	}
	return nil
}

// rereadSpec is the spec of a run that publishes answers of another run, and requests nothing.
func (re rereader) rereadSpec(ctx context.Context, r *ledger.Run) (spec pipeline.RunSpec, err error) {
	spec, now := r.Spec(), re.lake.env.Now().UTC()
	if spec.ID, err = newRunID(now, rand.Reader); err != nil {
		return spec, err
	}
	spec.Session, spec.Started, spec.Rereads, spec.Versions = 1, now, r.ID, ComponentVersions(re.lake.env.Build)
	spec.Partition = cmp.Or(findPartition(ctx, re.lake.ledger).key, spec.Partition)
	spec.CommandDigest, spec.Continues, spec.Refresh, spec.Budget, spec.UsedCredits = "reread "+r.ID, "", false, 0, nil
	return spec, nil
}

// publishReread publishes the rows of a reread that a process left unpublished.
func (re rereader) publishReread(ctx context.Context, r *ledger.Run) error {
	sink, err := re.lake.openSink(ctx, re.lake.uri, r.ID)
	if err != nil {
		return err
	}
	_, err = newReplay(re.lake.ledger, r, schema.Version).publish(ctx, sink, nil, nil)
	return errors.Join(err, sink.Close())
}

// RepeatedFailure is a call in doubt that is not released: it repeated a call and failed in the
// same way, and so might the next one, each time at the risk of being charged.
type RepeatedFailure struct {
	Call    string `json:"call"`
	Earlier string `json:"repeats"` // call
	Reason  string `json:"reason"`
	MaxCost int64  `json:"credits_most"`
}

// withoutRepeatedFailures separates the calls that may be released from those that repeated a call
// in vain.
func withoutRepeatedFailures(ctx context.Context, l *lake, calls []*ledger.Call) (allowed []*ledger.Call, repeated []RepeatedFailure, err error) {
	for _, c := range calls {
		earlier, kind, err := l.ledger.Rereader().RepeatedFailure(ctx, c)
		if err != nil {
			return nil, nil, lakeError(err)
		}
		if earlier == nil {
			allowed = append(allowed, c)
			continue
		}
		f := RepeatedFailure{Call: c.Run.ID + "/" + c.ID, Earlier: earlier.Run.ID + "/" + earlier.ID, MaxCost: l.ledger.Bill().MaxCost(c)}
		what := fmt.Sprintf("it repeated %s for the same entities and failed in the same way (%s); a third call may be charged as well", f.Earlier, kind)
		if earlier == c {
			what = fmt.Sprintf("%s, although it requested one result only: nothing smaller can be requested, and another call may be charged as well", kind)
		}
		f.Reason = fmt.Sprintf("%s. To request them nevertheless: siglake held retry --repeat-failed %s; to give them up: siglake held accept-loss %s", what, f.Call, f.Call)
		repeated = append(repeated, f)
	}
	return allowed, repeated, nil
}
