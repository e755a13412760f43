package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/siglake/siglake/internal/lease"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// SalvageOptions say which journal is salvaged.
type SalvageOptions struct {
	Lake string
	// Replace the journal even if something is missing: what is missing may be bought again.
	AcceptLoss bool
	Store      StoreOptions
}

// SalvageReport says what a salvage kept.
type SalvageReport struct {
	ledger.Salvaged
	Lake     string `json:"lake"`
	Whole    bool   `json:"whole"` // nothing is damaged
	Replaced bool   `json:"replaced"`
	KeptAs   string `json:"damaged_journal,omitempty"` // where the damaged journal lies now
}

// SalvageLake replaces the damaged journal of a local lake by a new one with every whole record of
// it. If something is missing it changes nothing, unless that is accepted. It opens no network.
func SalvageLake(ctx context.Context, env *Env, o SalvageOptions) (report SalvageReport, err error) {
	report.Lake = o.Lake
	if sinks.OnS3(o.Lake) {
		return report, UsageErrorf("--lake %s: salvage reads journals of local lakes; restore the journal of a lake on S3 from earlier versions of its objects", o.Lake)
	}
	path, err := sinks.CheckDir(o.Lake)
	if err != nil {
		return report, &Error{KindStorage, err}
	}
	state := filepath.Join(path, StateDir)
	journal := filepath.Join(state, "journal")
	if _, err := os.Stat(journal); errors.Is(err, fs.ErrNotExist) && !wal.PendingSalvage(journal) {
		return report, UsageErrorf("--lake: %s is not a siglake lake: no journal found", o.Lake)
	}
	lock, err := lease.AcquireFlock(state, "siglake salvage")
	if err != nil {
		return report, lockError(o.Lake, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if wal.PendingSalvage(journal) {
		if err := wal.FinishSalvage(journal, env.Hook); err != nil {
			return report, &Error{KindStorage, err}
		}
		report.Replaced = true
		return report, nil
	}
	return report, report.replaceJournal(ctx, env, o, journal)
}

// replaceJournal salvages the journal, unless it can be opened.
func (r *SalvageReport) replaceJournal(ctx context.Context, env *Env, o SalvageOptions, journal string) error {
	published, err := publishedManifests(ctx, env, o)
	if err != nil {
		return lakeError(err)
	}
	kept := "journal.damaged-" + env.Now().UTC().Format("20060102T150405Z")
	whole := false
	r.Replaced, err = wal.SalvageDir(journal, kept, env.Hook, func(from, to wal.Store) (bool, error) {
		var err error
		if whole, err = isWhole(ctx, env, from); whole || err != nil {
			return false, err
		}
		salvaged, err := ledger.Salvage(ctx, from, to, ledger.SalvageOptions{Decode: DecodeRecorded, Now: env.Now, Published: published})
		if salvaged != nil {
			r.Salvaged = *salvaged
		}
		return err == nil && (salvaged.IsComplete() || o.AcceptLoss), err
	})
	switch {
	case err != nil:
		return lakeError(err)
	case whole:
		r.Whole = true
		return nil
	case !r.Replaced:
		return &Error{KindIntegrity, fmt.Errorf("not all of the journal of %s can be read; nothing was changed. Restore it from a copy if there is one; "+
			"otherwise siglake salvage --lake %s --accept-loss replaces it by what can be read, and what is missing may be bought again", o.Lake, o.Lake)}
	}
	r.KeptAs = filepath.Join(filepath.Dir(journal), kept)
	return nil
}

// isWhole reports whether a journal can be opened, and each of its records read: opening it
// reads the bodies of the last segment only.
func isWhole(ctx context.Context, env *Env, store wal.Store) (bool, error) {
	opened, err := ledger.Open(ctx, store, ledger.Options{Decode: DecodeRecorded, ReadOnly: true, Now: env.Now})
	if errors.Is(err, wal.ErrCorrupt) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	gaps, err := wal.Salvage(ctx, store, func(wal.SalvagedRecord) error { return nil })
	return len(gaps) == 0, errors.Join(err, opened.Close())
}

// publishedManifests are the manifests of the lake that can be read.
func publishedManifests(ctx context.Context, env *Env, o SalvageOptions) ([]*pipeline.Manifest, error) {
	inspector, err := sinks.Inspect(ctx, o.Lake, sinkOptions(env, o.Store))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	chain, err := inspector.ReadChain(ctx)
	if errors.Is(err, sinks.ErrIntegrity) || errors.Is(err, fs.ErrNotExist) {
		env.Log.Warn("not all manifests can be read: what is missing from the journal is known less well", "lake", o.Lake, "error", err)
		err = nil
	}
	return chain, err
}
