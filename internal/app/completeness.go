package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// checkJournal makes sure that a journal has every run, call and credit that the manifests of its
// lake name. A journal that was restored from a backup, lost its last segment, or belongs to
// another lake would let the rest be bought again.
//
// The journal is append-only, so a generation that it recorded as published needs no reading: all
// that belongs to it was recorded before. The newest generation is always read, and so are those
// that the journal does not name: compactions, and runs that it may lack. A rebuild is the remedy
// for damaged manifests, so it tolerates them.
func checkJournal(ctx context.Context, l *lake, o StoreOptions, opened *ledger.Ledger, tolerant bool) error {
	inspector, err := sinks.Inspect(ctx, l.uri, l.options)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	runs := opened.Runs()
	if len(runs) == 0 {
		return checkNothingPublished(ctx, inspector, o, l.uri)
	}
	published := map[int64]bool{}
	for _, r := range runs {
		if r.Published != nil {
			published[r.Published.Generation] = true
		}
	}
	var older error
	_, err = inspector.ReadManifests(ctx, func(generation int64) bool { return published[generation] }, func(m *pipeline.Manifest) error {
		if missing := missingFromJournal(opened, m); missing != "" {
			older = fmt.Errorf("%w: the journal is older than the lake %s: generation %d was published at %s, and %s, so siglake would buy the rest again; %s", sinks.ErrIntegrity,
				l.uri, m.Generation, timeText(m.Run.Finished), missing, restoreText(o, m.Run.Finished))
		}
		return older
	})
	if older != nil || err == nil || tolerant && errors.Is(err, sinks.ErrIntegrity) {
		return older
	}
	return err
}

// missingFromJournal is what a generation names and the journal lacks; empty: nothing.
func missingFromJournal(l *ledger.Ledger, m *pipeline.Manifest) string {
	if m.Run.Kind.IsMaintenance() {
		return ""
	}
	return l.Losses().Missing(m)
}

// checkNothingPublished makes sure that a lake without a run in its journal is empty.
func checkNothingPublished(ctx context.Context, inspector *sinks.Inspector, o StoreOptions, uri string) error {
	var newest *pipeline.Manifest
	_, err := inspector.ReadManifests(ctx, func(int64) bool { return true }, func(m *pipeline.Manifest) error {
		newest = m
		return nil
	})
	if err != nil {
		return err
	}
	if newest != nil {
		return fmt.Errorf("%w: %s has generation %d, of %s, but its journal has no run, so siglake would buy everything again; %s", sinks.ErrIntegrity,
			uri, newest.Generation, timeText(newest.Run.Finished), restoreText(o, newest.Run.Finished))
	}
	found, err := inspector.HasFiles(ctx)
	if err == nil && found {
		err = fmt.Errorf("%w: %s holds files of rows, but no manifest, and its journal has no run, so siglake would buy everything again; restore _meta and %s, or name another lake", sinks.ErrIntegrity,
			uri, journalPlace(o))
	}
	return err
}

// restoreText says which copy of the journal to restore.
func restoreText(o StoreOptions, published time.Time) string {
	return fmt.Sprintf("restore %s from a copy made after %s, or name another lake", journalPlace(o), timeText(published))
}

// journalPlace is the directory, or the folder of the bucket, that holds the journal.
func journalPlace(o StoreOptions) string {
	if o.State != "" {
		return o.State
	}
	return StateDir
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
