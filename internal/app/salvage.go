package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/lease"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
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

// SalvageLake replaces the damaged journal of a lake by a new one with every whole record of it. If
// something is missing it changes nothing, unless that is accepted. It asks the API nothing.
func SalvageLake(ctx context.Context, env *Env, o SalvageOptions) (report SalvageReport, err error) {
	report.Lake = o.Lake
	if sinks.OnS3(o.Lake) {
		return report, report.salvageBucket(ctx, env, o)
	}
	if o.Store.State != "" {
		return report, errStateOfLocalLake
	}
	path, err := lakeAddress(o.Lake)
	if err != nil {
		return report, err
	}
	state := filepath.Join(filepath.FromSlash(path), StateDir)
	journal := filepath.Join(state, "journal")
	if err := checkRebuilt(filepath.FromSlash(path), o.Lake); err != nil {
		return report, err
	}
	if _, err := os.Stat(journal); errors.Is(err, fs.ErrNotExist) && !wal.PendingSalvage(journal) {
		return report, noLakeError(o.Lake, "no journal found", true)
	}
	lock, err := lease.AcquireFlock(state, salvageHolder)
	if err != nil {
		return report, lockError(o.Lake, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return report, report.salvageDir(ctx, env, o, journal)
}

// salvageHolder is who holds the lock.
const salvageHolder = "siglake salvage"

// salvageBucket salvages the journal of a lake on S3, in the bucket or in the directory of --state.
func (r *SalvageReport) salvageBucket(ctx context.Context, env *Env, o SalvageOptions) (err error) {
	if exists, _, err := findJournal(ctx, env, o.Store, o.Lake); err != nil || !exists {
		if err == nil {
			err = noLakeError(o.Lake, "no journal found", true)
		}
		return err
	}
	b, err := openBucket(ctx, env, o.Store, o.Lake)
	if err != nil {
		return UsageErrorf("%v", err)
	}
	lock, err := lease.Acquire(ctx, b, leaseName, salvageHolder, lease.Options{})
	if err != nil {
		return lockError(o.Lake, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	location, err := newJournalLocation(o.Store)
	if err != nil {
		return err
	}
	if _, err := location.checkRecorded(ctx, b, false); err != nil {
		return err
	}
	if location.Directory != "" {
		return r.salvageDir(ctx, env, o, filepath.Join(location.Directory, "journal"))
	}
	return r.replaceObjects(ctx, env, o, b, lock)
}

// salvageDir salvages a journal in a directory.
func (r *SalvageReport) salvageDir(ctx context.Context, env *Env, o SalvageOptions, journal string) error {
	if wal.PendingSalvage(journal) {
		if err := wal.FinishSalvage(journal, env.Hook); err != nil {
			return &Error{KindStorage, err}
		}
		r.Replaced = true
		return nil
	}
	kept, err := damagedName(filepath.Dir(journal), env.Now())
	if err != nil {
		return &Error{KindStorage, err}
	}
	r.Replaced, err = wal.SalvageDir(journal, kept, env.Hook, func(from, to wal.Store) (bool, error) { return r.rewrite(ctx, env, o, from, to) })
	if err := r.checkReplaced(o, err); err != nil || r.Whole {
		return err
	}
	r.KeptAs = filepath.Join(filepath.Dir(journal), kept)
	return nil
}

// damagedName is a name in a directory for a damaged journal that is replaced at a time, and is kept.
func damagedName(dir string, now time.Time) (string, error) {
	first := "journal.damaged-" + now.UTC().Format("20060102T150405Z")
	for name, n := first, 2; ; n++ {
		if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
		name = fmt.Sprintf("%s-%d", first, n)
	}
}

// rewrite writes the journal that can be read into an empty store, unless it is whole, and reports
// whether the new one is to take its place.
func (r *SalvageReport) rewrite(ctx context.Context, env *Env, o SalvageOptions, from, to wal.Store) (replace bool, err error) {
	published, err := publishedManifests(ctx, env, o)
	if err != nil {
		return false, err
	}
	if r.Whole, err = isWhole(ctx, env, from, published); r.Whole || err != nil {
		return false, err
	}
	salvaged, err := ledger.Salvage(ctx, from, to, ledger.SalvageOptions{Decode: DecodeRecorded, Now: env.Now, Published: published, Statuses: countStatuses})
	if salvaged != nil {
		r.Salvaged = *salvaged
	}
	return err == nil && (salvaged.IsComplete() || o.AcceptLoss), err
}

// countStatuses counts the lines of a run by their status, as the journal yields them.
func countStatuses(ctx context.Context, l *ledger.Ledger, r *ledger.Run) (map[schema.Status]int64, error) {
	m, err := newReplay(l, r, schema.Version).rebuild(ctx, sinks.Discard{})
	if err != nil {
		return nil, err
	}
	return m.Accounts.ByStatus, nil
}

// checkReplaced explains why a journal was not replaced.
func (r *SalvageReport) checkReplaced(o SalvageOptions, err error) error {
	switch {
	case err != nil:
		return lakeError(err)
	case !r.Whole && !r.Replaced:
		return &Error{KindIntegrity, fmt.Errorf("not all of the journal of %s can be read; nothing was changed. Restore it from a copy if there is one; "+
			"otherwise siglake salvage --lake %s --accept-loss replaces it by what can be read, and what is missing may be bought again", o.Lake, o.Lake)}
	}
	return nil
}

// replaceObjects salvages a journal in a bucket. The new journal is written on this machine and then
// copied below a prefix of its own. The switch is one request, which replaces the object that names
// the prefix: before it the damaged journal is the lake's, and every command that pays refuses it.
func (r *SalvageReport) replaceObjects(ctx context.Context, env *Env, o SalvageOptions, b *bucket.Bucket, lock lease.Lock) (err error) {
	recorded, version, err := readLocation(ctx, b)
	if err != nil {
		return err
	}
	scratch, err := sinks.ScratchPath(o.Lake, o.Store.S3.endpointOf(env, o.Lake), o.Store.Scratch, "salvage")
	if err != nil {
		return &Error{KindStorage, err}
	}
	if err := os.RemoveAll(scratch); err != nil { // of a salvage that was killed
		return &Error{KindStorage, err}
	}
	written, err := wal.OpenDir(scratch, env.Hook)
	if err != nil {
		return &Error{KindStorage, err}
	}
	defer func() { err = errors.Join(err, written.Close(), os.RemoveAll(scratch)) }()
	damaged := recorded.objects(b, env)
	replace, err := r.rewrite(ctx, env, o, damaged, written)
	if err != nil || !replace {
		return r.checkReplaced(o, err)
	}
	next := journalLocation{Prefix: "journal-" + strings.ToLower(rand.Text()), Damaged: append(recorded.Damaged, cmp.Or(recorded.Prefix, "journal"))}
	if err := copyJournal(ctx, written, next.objects(b, env)); err != nil {
		return lakeError(err)
	}
	if err := damaged.Retire(ctx); err != nil {
		return lakeError(err)
	}
	if !lock.Valid() {
		return lockError(o.Lake, lock.Err())
	}
	if err := b.Swap(ctx, journalLocationName, version, next.encode()); err != nil {
		return &Error{KindStorage, err}
	}
	r.Replaced, r.KeptAs = true, b.URI(recorded.prefix())
	if err := next.removeUnfinished(ctx, b); err != nil {
		env.Log.Warn("not all objects of an earlier salvage, which was interrupted, could be removed; they do no harm", "lake", o.Lake, "error", err)
	}
	return nil
}

// removeUnfinished removes the journals below StateDir that no location has ever named: those of
// salvages that were interrupted. Their commands can no longer switch to them.
func (loc journalLocation) removeUnfinished(ctx context.Context, b *bucket.Bucket) error {
	for object, err := range b.List(ctx, StateDir+"/journal-") {
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(object.Name, StateDir+"/"), "/")
		if name == loc.Prefix || slices.Contains(loc.Damaged, name) {
			continue
		}
		if err := b.Delete(ctx, object.Name); err != nil {
			return err
		}
	}
	return nil
}

// copyJournal copies a journal that no process writes.
func copyJournal(ctx context.Context, from wal.Store, to *wal.Objects) error {
	log, err := wal.Open(ctx, from, wal.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(log.CopyTo(ctx, to), log.Close(), to.Close())
}

// isWhole reports whether a journal can be opened, each of its records read, which opening it does for
// the last segment only, and has all that manifests name.
func isWhole(ctx context.Context, env *Env, store wal.Store, published []*pipeline.Manifest) (bool, error) {
	opened, err := ledger.Open(ctx, store, ledger.Options{Decode: DecodeRecorded, ReadOnly: true, Now: env.Now})
	if errors.Is(err, wal.ErrCorrupt) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	gaps, err := wal.Salvage(ctx, store, func(wal.SalvagedRecord) error { return nil })
	lacks := slices.ContainsFunc(published, func(m *pipeline.Manifest) bool { return missingFromJournal(opened, m) != "" })
	return len(gaps) == 0 && !lacks, errors.Join(err, opened.Close())
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
