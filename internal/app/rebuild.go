package app

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// RebuiltLake is what was written into a new lake.
type RebuiltLake struct {
	Runs            int
	Events, Credits int64
	Unfinished      []string // runs that were left out
}

// rebuildHolder is the command that also reads a lake with damaged manifests.
const rebuildHolder = "siglake rebuild"

// RebuildLake writes the runs of a lake into a new one, from the journal.
func RebuildLake(ctx context.Context, env *Env, store StoreOptions, uri, into string) (rebuilt RebuiltLake, err error) {
	if err := checkEmpty(ctx, env, store, into); err != nil {
		return rebuilt, err
	}
	l, err := openExistingLake(ctx, env, store, uri, rebuildHolder)
	if err != nil {
		return rebuilt, err
	}
	defer l.close() //nolint:errcheck // nothing was written that matters
	if err := l.recoverRuns(ctx); err != nil {
		return rebuilt, lakeError(err)
	}
	if err := l.checkUnpruned(ctx); err != nil {
		return rebuilt, err
	}
	for _, r := range l.ledger.Runs() {
		if r.Published == nil {
			rebuilt.Unfinished = append(rebuilt.Unfinished, r.ID)
		}
	}
	for _, r := range ledger.InOrderOfPublication(l.ledger.Runs()) {
		sink, err := l.openSink(ctx, into, r.ID)
		if err != nil {
			return rebuilt, &Error{KindStorage, err}
		}
		m, err := l.rebuildInto(ctx, r, sink, schema.Version)
		if err = errors.Join(err, sink.Close()); err != nil {
			return rebuilt, lakeError(fmt.Errorf("run %s: %w", r.ID, err))
		}
		rebuilt.Runs++
		rebuilt.Events += m.Events.Written
		rebuilt.Credits += m.Credits.Charged
	}
	copied, closer, err := openEmptyStore(ctx, env, store, into)
	if err != nil {
		return rebuilt, err
	}
	if err := errors.Join(l.ledger.CopyTo(ctx, copied), closer.Close()); err != nil {
		return rebuilt, &Error{KindStorage, err}
	}
	return rebuilt, nil
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
