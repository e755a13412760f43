package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/parallel"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// RebuiltLake is what was written into a new lake.
type RebuiltLake struct {
	Runs            int
	Events, Credits int64
	Unfinished      []string // runs that were left out
	Incomplete      []string // runs of which a salvage lost calls or lines, with what it lost
	PartitionBy     string   // of its events: month or day
	Before          []string // how those of the old lake are partitioned, if it is not the same; nil: it is
}

// RebuildOptions say what is rebuilt, and where.
type RebuildOptions struct {
	Lake, Into  string
	PartitionBy string // month or day; empty: as the lake has it
	Jobs        int    // runs and partitions that are written at once
	Store       StoreOptions
	Meter       NewWorkMeter
}

// rebuildHolder is the command that also reads a lake with damaged manifests.
const rebuildHolder = "siglake rebuild"

// RebuildLake writes the runs of a lake into a new one, from the journal.
func RebuildLake(ctx context.Context, env *Env, o RebuildOptions) (rebuilt RebuiltLake, err error) {
	if err := checkJobs(o.Jobs); err != nil {
		return rebuilt, err
	}
	if o.PartitionBy != "" {
		if _, err := parsePartition(o.PartitionBy); err != nil {
			return rebuilt, err
		}
	}
	o.Store.warnOfLittleMemory(env, minMemory)
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, rebuildHolder)
	if err != nil {
		return rebuilt, err
	}
	defer l.close() //nolint:errcheck // nothing was written that matters
	target, err := newRebuildTarget(ctx, env, &o)
	if err != nil {
		return rebuilt, err
	}
	if l.store.readOnly {
		env.Log.Info("the lake may only be read, and is left as it is", "lake", o.Lake)
	} else if err := l.recoverRuns(ctx); err != nil {
		return rebuilt, lakeError(err)
	}
	if err := checkUnpruned(ctx, l); err != nil {
		return rebuilt, err
	}
	if rebuilt.Incomplete = incompleteRuns(l.ledger); len(rebuilt.Incomplete) > 0 {
		env.Log.Warn("the new lake will lack rows: a salvage of the journal lost calls or lines, whose rows only the files of the lake have", "lake", o.Lake, "runs", format.List(rebuilt.Incomplete, 5))
	}
	rebuilt.repartition(ctx, l, o.PartitionBy)
	for _, r := range l.ledger.Runs() {
		if r.Published == nil {
			rebuilt.Unfinished = append(rebuilt.Unfinished, r.ID)
		}
	}
	var newest *pipeline.Manifest
	l.options.Published = func(_ string, m *pipeline.Manifest) { newest = m } // announced when the new lake is complete
	target.ledger = l.ledger
	defer func() { err = errors.Join(err, target.close()) }()
	if err := target.claim(ctx); err != nil {
		return rebuilt, err
	}
	if err := rebuilt.writeRuns(ctx, l, &o); err != nil {
		return rebuilt, err
	}
	if l.store.readOnly && l.changedSinceOpen(ctx) {
		return rebuilt, &Error{KindLocked, fmt.Errorf("a run worked on %s during the rebuild, which lacks it: rebuild again when it has ended", o.Lake)}
	}
	err = target.finish(ctx, func(to wal.Store) error { return l.ledger.CopyTo(ctx, to) })
	if err == nil {
		err = copyWebhooks(ctx, env, o.Store, o.Lake, o.Into)
	}
	if err == nil && newest != nil {
		env.notePublication(o.Store, o.Into, newest)
	}
	return rebuilt, err
}

// writeRuns writes the published runs into the new lake, in the order in which readers came to see them. The
// answers of the next runs are read and sorted while the ones before them are staged and published. What
// an event is compared with is what these published: so a run is staged when the one before it is there.
func (r *RebuiltLake) writeRuns(ctx context.Context, l *lake, o *RebuildOptions) error {
	runs := ledger.InOrderOfPublication(l.ledger.Runs())
	if err := l.ledger.Reader().LoadCalls(ctx); err != nil {
		return lakeError(err)
	}
	memory := o.Store.memory(l.env)
	atOnce := max(1, min(memory.decodedAtOnce(o.Jobs), len(runs), maxRunsAtOnce))
	l.options.SortMemory, l.options.Jobs = sinks.SortMemory(l.options)/int64(atOnce), o.Jobs
	answers := 0
	for _, run := range runs {
		answers += run.CallCount()
	}
	meter := o.Meter.begin("answers", answers)
	defer meter.Close()
	l.answerRead = func() { meter.Add(1) }
	into := &rebuiltRuns{lake: l, uri: o.Into, published: make([]chan struct{}, len(runs))}
	for i := range runs {
		into.published[i] = make(chan struct{})
	}
	return parallel.Do(ctx, atOnce, len(runs), func(ctx context.Context, i int) error {
		m, err := into.writeRun(ctx, runs[i], i)
		if err != nil {
			return err
		}
		r.Runs++ // one run at a time gets here: the next one waits for the channel
		r.Events += m.Events.Written
		r.Credits += m.Credits.Charged
		close(into.published[i])
		return nil
	})
}

// maxRunsAtOnce is how many runs are written at once: one is staged, and each of the others reads answers
// with a share of the memory.
const maxRunsAtOnce = 4

// rebuiltRuns writes runs into a new lake.
type rebuiltRuns struct {
	lake      *lake
	uri       string
	opening   sync.Mutex      // a lake that is closed removes directories that another one creates
	published []chan struct{} // of each run, closed when it is published
}

func (b *rebuiltRuns) writeRun(ctx context.Context, run *ledger.Run, i int) (m *pipeline.Manifest, err error) {
	b.opening.Lock()
	sink, err := b.lake.openSink(ctx, b.uri, run.ID)
	b.opening.Unlock()
	if err != nil {
		return nil, &Error{KindStorage, err}
	}
	ordered := &orderedSink{Sink: sink}
	if i > 0 {
		ordered.before = b.published[i-1]
	}
	m, err = newReplay(b.lake.ledger, run, schema.Version).rebuild(ctx, ordered)
	b.opening.Lock()
	defer b.opening.Unlock()
	if err = errors.Join(err, sink.Close()); err != nil {
		return nil, lakeError(fmt.Errorf("run %s: %w", run.ID, err))
	}
	return m, nil
}

// orderedSink stages a run when the one before it is published.
type orderedSink struct {
	pipeline.Sink
	before <-chan struct{} // nil: there is none
}

// Stage waits for the run before.
func (s *orderedSink) Stage(ctx context.Context) ([]pipeline.File, error) {
	if s.before != nil {
		select {
		case <-s.before:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s.Sink.Stage(ctx)
}

// repartition gives all runs of the lake the partitions of the new one. by is month or day; empty: those
// of the newest events.
func (r *RebuiltLake) repartition(ctx context.Context, l *lake, by string) {
	p := findPartition(ctx, l.ledger)
	before := partitionWord(cmp.Or(p.key, schema.ByMonth))
	r.PartitionBy = cmp.Or(by, before)
	switch {
	case p.mixed:
		r.Before = []string{"month", "day"}
	case before != r.PartitionBy:
		r.Before = []string{before}
	}
	key := partitionKeys[r.PartitionBy]
	differs := func(run *ledger.Run) bool { return requestsEvents(run) && run.PartitionKey() != key }
	if r.Before != nil || slices.ContainsFunc(l.ledger.Runs(), differs) {
		l.ledger.Partitions().Change(key)
	}
}
