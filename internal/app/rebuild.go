package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/siglake/siglake/internal/ledger"
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
	PartitionBy     string   // of its events: month or day
	Before          []string // how those of the old lake are partitioned, if it is not the same; nil: it is
}

// RebuildOptions say what is rebuilt, and where.
type RebuildOptions struct {
	Lake, Into  string
	PartitionBy string // month or day; empty: as the lake has it
	Store       StoreOptions
}

// rebuildHolder is the command that also reads a lake with damaged manifests.
const rebuildHolder = "siglake rebuild"

// RebuildLake writes the runs of a lake into a new one, from the journal.
func RebuildLake(ctx context.Context, env *Env, o RebuildOptions) (rebuilt RebuiltLake, err error) {
	if o.PartitionBy != "" {
		if _, err := parsePartition(o.PartitionBy); err != nil {
			return rebuilt, err
		}
	}
	if err := checkEmpty(ctx, env, o.Store, o.Into); err != nil {
		return rebuilt, err
	}
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, rebuildHolder)
	if err != nil {
		return rebuilt, err
	}
	defer l.close() //nolint:errcheck // nothing was written that matters
	if err := l.recoverRuns(ctx); err != nil {
		return rebuilt, lakeError(err)
	}
	if err := checkUnpruned(ctx, l); err != nil {
		return rebuilt, err
	}
	rebuilt.repartition(ctx, l, o.PartitionBy)
	for _, r := range l.ledger.Runs() {
		if r.Published == nil {
			rebuilt.Unfinished = append(rebuilt.Unfinished, r.ID)
		}
	}
	var newest *pipeline.Manifest
	l.options.Published = func(_ string, m *pipeline.Manifest) { newest = m } // announced when the new lake is complete
	for _, r := range ledger.InOrderOfPublication(l.ledger.Runs()) {
		sink, err := l.openSink(ctx, o.Into, r.ID)
		if err != nil {
			return rebuilt, &Error{KindStorage, err}
		}
		m, err := (&replay{l.ledger, r, schema.Version}).rebuild(ctx, sink)
		if err = errors.Join(err, sink.Close()); err != nil {
			return rebuilt, lakeError(fmt.Errorf("run %s: %w", r.ID, err))
		}
		rebuilt.Runs++
		rebuilt.Events += m.Events.Written
		rebuilt.Credits += m.Credits.Charged
	}
	err = createJournal(ctx, env, o.Store, o.Into, func(to wal.Store) error { return l.ledger.CopyTo(ctx, to) })
	if err == nil && newest != nil {
		env.notePublication(o.Store, o.Into, newest)
	}
	return rebuilt, err
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

// checkEmpty refuses a place for a new lake that holds anything.
func checkEmpty(ctx context.Context, env *Env, store StoreOptions, into string) error {
	occupied := UsageErrorf("--into %s is not empty; name an empty directory or prefix", into)
	if sinks.OnS3(into) {
		b, err := openBucket(ctx, env, store, into)
		if err != nil {
			return UsageErrorf("%v", err)
		}
		for _, err := range b.List(ctx, "") {
			if err != nil {
				return &Error{KindStorage, err}
			}
			return occupied
		}
		return nil
	}
	path, err := sinks.CheckDir(into)
	if err != nil {
		return &Error{KindUsage, err}
	}
	if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
		return occupied
	}
	return nil
}
