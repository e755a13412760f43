package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/lease"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/sinks"
)

// rebuildTarget is the place of the lake that a rebuild writes. The rebuild marks it as unfinished before
// it writes anything else, and takes the mark away when all of the lake is there, the journal last. Until
// then every other command refuses the place: without a journal siglake would buy everything again, and with
// some of the runs readers would take a part for the whole. The same rebuild starts again, since all that
// it left can be written again at no cost.
//
// The mark is a file in a directory. In a bucket it is a member of the object that says where the journal
// is, which every command reads and a rebuild replaces with one request, so that it need not delete anything.
type rebuildTarget struct {
	env     *Env
	store   StoreOptions
	uri     string
	source  string         // the address of the lake that is rebuilt
	ledger  *ledger.Ledger // of the lake that is rebuilt
	path    string         // of the directory
	bucket  *bucket.Bucket // nil: it is a directory
	lock    lease.Lock     // nil: not taken yet
	created *createdPaths  // nil: the place is marked
}

// rebuildMark is the file in StateDir of a directory that holds an unfinished rebuild.
const rebuildMark = "rebuild.json"

// unfinishedRebuild is the content of the file.
type unfinishedRebuild struct {
	Of string `json:"rebuild_of"` // the address of the lake that is rebuilt; empty: not known
}

// findRebuildMark reads the mark of an unfinished rebuild in a directory; nil: there is none.
func findRebuildMark(path string) (*unfinishedRebuild, error) {
	raw, err := os.ReadFile(filepath.Join(path, StateDir, rebuildMark))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Error{KindStorage, err}
	}
	mark := new(unfinishedRebuild)
	_ = json.Unmarshal(raw, mark) // what is damaged is a mark, too
	return mark, nil
}

// refuse is the error of every command but the rebuild: the process that writes the place, or that none does.
func (u *unfinishedRebuild) refuse(uri string, holder *lease.Holder) error {
	of, advice := "another lake", "remove it"
	if u.Of != "" {
		of, advice = u.Of, fmt.Sprintf("repeat siglake rebuild --lake %s --into %s, which starts again, or remove it", u.Of, uri)
	}
	if holder != nil {
		by := "siglake rebuild"
		if holder.PID != 0 {
			by += fmt.Sprintf(", process %d on %s,", holder.PID, holder.Host)
		}
		return &Error{KindLocked, fmt.Errorf("%s is not complete yet: %s writes it from %s; wait until that has ended", uri, by, of)}
	}
	return &Error{KindIntegrity, fmt.Errorf("%s is an unfinished rebuild of %s, without its journal; %s", uri, of, advice)}
}

// checkRebuilt refuses a lake in a directory whose rebuild is unfinished.
func checkRebuilt(path, uri string) error {
	mark, err := findRebuildMark(path)
	if mark == nil || err != nil {
		return err
	}
	holder, _ := lease.FlockHolder(filepath.Join(path, StateDir)) // for the message only
	return mark.refuse(uri, holder)
}

// checkRebuilt refuses a lake in a bucket whose rebuild is unfinished.
func (loc journalLocation) checkRebuilt(ctx context.Context, b *bucket.Bucket, uri string) error {
	if loc.RebuildOf == "" {
		return nil
	}
	holder, _ := lease.ObjectHolder(ctx, b, leaseName) // for the message only
	return (&unfinishedRebuild{loc.RebuildOf}).refuse(uri, holder)
}

// checkReadable refuses to read a lake whose rebuild is unfinished. A user with access to
// the data of a lake and not to its state cannot learn that, and reads it.
func checkReadable(ctx context.Context, env *Env, o StoreOptions, uri string) (err error) {
	if !sinks.OnS3(uri) {
		var path string
		if path, err = sinks.CheckDir(uri); err != nil {
			return nil //nolint:nilerr // the caller reports it
		}
		err = checkRebuilt(path, uri)
	} else {
		var b *bucket.Bucket
		if b, err = openBucket(ctx, env, o, uri); err != nil {
			return UsageErrorf("%v", err)
		}
		var recorded journalLocation
		if recorded, _, err = readLocation(ctx, b); err == nil {
			err = recorded.checkRebuilt(ctx, b, uri)
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// newRebuildTarget checks the place of a new lake, and changes nothing.
func newRebuildTarget(ctx context.Context, env *Env, o *RebuildOptions) (*rebuildTarget, error) {
	t := &rebuildTarget{env: env, store: o.Store, uri: o.Into}
	source, err := lakeAddress(o.Lake)
	if err != nil {
		return nil, err
	}
	t.source = source
	into := strings.TrimRight(o.Into, "/")
	var not *sinks.NotLakeError
	if sinks.OnS3(o.Into) {
		if t.bucket, err = openBucket(ctx, env, o.Store, o.Into); err != nil {
			return nil, UsageErrorf("%v", err)
		}
	} else {
		if t.path, err = sinks.CheckDir(o.Into); errors.As(err, &not) {
			t.path = not.Path
		}
		into, source = realPath(t.path), realPath(filepath.FromSlash(source))
	}
	if sinks.OnS3(o.Into) == sinks.OnS3(o.Lake) {
		if err := checkApart(o, filepath.ToSlash(into), filepath.ToSlash(source)); err != nil {
			return nil, err
		}
	}
	if errors.As(err, &not) {
		return nil, UsageErrorf("--into: %s cannot become a lake: %s; name an empty directory or prefix", not.Path, not.Reason)
	}
	if err != nil {
		return nil, UsageErrorf("--into: %w", err)
	}
	_, err = t.check(ctx)
	return t, err
}

// checkApart refuses a new lake inside of the old one, where its files would be foreign ones, and one
// around it.
func checkApart(o *RebuildOptions, into, source string) error {
	switch {
	case into == source:
		return UsageErrorf("--into %s is the lake itself; name an empty directory or prefix outside of it", o.Into)
	case strings.HasPrefix(into, source+"/"):
		return UsageErrorf("--into %s lies inside of the lake %s; name an empty directory or prefix outside of it", o.Into, o.Lake)
	case strings.HasPrefix(source, into+"/"):
		return UsageErrorf("--into %s contains the lake %s; name an empty directory or prefix of its own", o.Into, o.Lake)
	}
	return nil
}

// realPath is a path without symbolic links, as far as it exists.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(realPath(parent), filepath.Base(path))
	}
	return path
}

// check refuses a place that holds anything but what this rebuild left when it was interrupted, and
// reports whether it did.
func (t *rebuildTarget) check(ctx context.Context) (left bool, err error) {
	mark, err := t.findMark(ctx)
	if err != nil {
		return false, err
	}
	for name, err := range t.names(ctx) {
		switch {
		case err != nil:
			return false, &Error{KindStorage, err}
		case t.isVoid(name):
		case mark == nil:
			return false, UsageErrorf("--into %s is not empty, it holds %q; name an empty directory or prefix", t.uri, name)
		case !isLakeName(name) && name[0] != '.':
			return false, UsageErrorf("--into %s holds an unfinished rebuild, and %q, which is not part of it: move that away, or name an empty directory or prefix", t.uri, name)
		}
	}
	if mark == nil {
		return false, nil
	}
	if mark.Of != "" && mark.Of != t.source {
		return true, UsageErrorf("--into %s holds an unfinished rebuild of another lake, %s; remove it, or name an empty directory or prefix", t.uri, mark.Of)
	}
	return true, nil
}

// findMark reads the mark of an unfinished rebuild; nil: there is none.
func (t *rebuildTarget) findMark(ctx context.Context) (*unfinishedRebuild, error) {
	if t.bucket == nil {
		return findRebuildMark(t.path)
	}
	recorded, _, err := readLocation(ctx, t.bucket)
	if err != nil || recorded.RebuildOf == "" {
		return nil, err
	}
	return &unfinishedRebuild{recorded.RebuildOf}, nil
}

// isVoid reports whether a name, with slashes, stays of commands that wrote nothing of a lake: of a rebuild
// before its mark, and of those that only read.
func (t *rebuildTarget) isVoid(name string) bool {
	if t.bucket == nil && name == StateDir+"/journal" {
		found, err := wal.HasSegments(filepath.Join(t.path, StateDir, "journal"))
		return err == nil && !found
	}
	return isLockName(name) || name == StateDir+"/"+rebuildMark+".tmp"
}

// isLockName reports whether a name is that of a lock.
func isLockName(name string) bool {
	return name == StateDir+"/lock" || name == leaseName
}

// isLakeName reports whether a name is one of those that a rebuild writes.
func isLakeName(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	return top == StateDir || slices.Contains(sinks.EmptyLayout(), top)
}

// names are those of what the place holds, with slashes: of a directory the first level and that of StateDir.
func (t *rebuildTarget) names(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if t.bucket != nil {
			for object, err := range t.bucket.List(ctx, "") {
				if !yield(object.Name, err) || err != nil {
					return
				}
			}
			return
		}
		for _, dir := range []string{"", StateDir} {
			entries, err := os.ReadDir(filepath.Join(t.path, dir))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				yield("", err)
				return
			}
			for _, e := range entries {
				name := strings.TrimPrefix(dir+"/"+e.Name(), "/")
				if name != StateDir && !yield(name, nil) {
					return
				}
			}
		}
	}
}

// claim locks the place, removes what this rebuild left there when it was interrupted, and marks it as
// unfinished.
func (t *rebuildTarget) claim(ctx context.Context) (err error) {
	if t.bucket != nil {
		held, err := lease.Acquire(ctx, t.bucket, leaseName, rebuildHolder, lease.Options{})
		if err != nil {
			return lockError(t.uri, err)
		}
		t.lock = held
	} else {
		t.created = missingPaths(t.path)
		if err := durable.MkdirAll(t.path, 0o777, t.env.Hook); err != nil { // the umask limits it
			return &Error{KindStorage, err}
		}
		held, err := lease.AcquireFlock(filepath.Join(t.path, StateDir), rebuildHolder)
		if err != nil {
			return lockError(t.uri, err)
		}
		t.lock = held
	}
	left, err := t.check(ctx) // another process may have been there
	switch {
	case err != nil:
		return err
	case left:
		t.env.Log.Info("starting an interrupted rebuild again", "lake", t.source, "into", t.uri)
	default:
		if err := t.mark(ctx); err != nil {
			return err
		}
	}
	t.created = nil // the place is marked
	return t.clear(ctx)
}

// mark durably says that the place holds an unfinished rebuild.
func (t *rebuildTarget) mark(ctx context.Context) error {
	if t.bucket != nil {
		if err := t.bucket.Create(ctx, journalLocationName, journalLocation{RebuildOf: t.source}.encode()); err != nil {
			return &Error{KindStorage, err}
		}
		return nil
	}
	text, err := json.Marshal(unfinishedRebuild{t.source})
	if err != nil {
		return err
	}
	err = t.inDir(func(d *durable.Dir) error {
		const name = StateDir + "/" + rebuildMark
		if err := d.WriteFile(name+".tmp", append(text, '\n')); err != nil {
			return err
		}
		if err := d.Rename(name+".tmp", name); err != nil {
			return err
		}
		t.created = nil // it may be durable, whatever follows
		return errors.Join(d.SyncDir(StateDir), d.SyncDir("."))
	})
	if err != nil {
		return &Error{KindStorage, err}
	}
	return nil
}

func (t *rebuildTarget) inDir(do func(*durable.Dir) error) error {
	d, err := durable.Open(t.path, t.env.Hook)
	if err != nil {
		return err
	}
	return errors.Join(do(d), d.Close())
}

// clear removes what an interrupted rebuild left, but for the mark and the lock.
func (t *rebuildTarget) clear(ctx context.Context) error {
	if err := t.checkNothingBought(ctx); err != nil {
		return err
	}
	err := sinks.SweepScratch(t.uri, t.store.S3.endpointOf(t.env, t.uri), t.store.Scratch, "")
	for name, listErr := range t.names(ctx) {
		if err = errors.Join(err, listErr); err != nil {
			break
		}
		switch {
		case isLockName(name), name == journalLocationName, name == StateDir+"/"+rebuildMark, name[0] == '.':
		case t.bucket != nil:
			err = t.bucket.Delete(ctx, name)
		default:
			err = t.inDir(func(d *durable.Dir) error { return d.RemoveAll(name) })
		}
	}
	if err != nil {
		return &Error{KindStorage, fmt.Errorf("what an interrupted rebuild left in %s cannot be removed: %w; remove it, or name an empty directory or prefix", t.uri, deleteError(t.uri, err))}
	}
	return nil
}

// deleteError is the error of removing a part of a lake. Of a bucket it names the permission, which the policy of siglake doctor
// does not have.
func deleteError(uri string, err error) error {
	if !sinks.OnS3(uri) || !isForbidden(err) {
		return err
	}
	return fmt.Errorf("%w: it needs s3:DeleteObject on all objects of the lake, which the policy of siglake doctor leaves out", err)
}

// checkNothingBought makes sure that no journal in the place knows more than that of the lake: an earlier
// version of siglake, to which the mark says nothing, could have bought there.
func (t *rebuildTarget) checkNothingBought(ctx context.Context) error {
	var store wal.Store
	if t.bucket != nil {
		objects := journalLocation{}.objects(t.bucket, t.env)
		defer objects.Close() //nolint:errcheck // it was only read
		store = objects
	} else {
		journal := filepath.Join(t.path, StateDir, "journal")
		if found, err := wal.HasSegments(journal); err != nil || !found {
			return err
		}
		dir, err := wal.OpenDir(journal, t.env.Hook)
		if err != nil {
			return &Error{KindStorage, err}
		}
		defer dir.Close() //nolint:errcheck // it was only read
		store = dir
	}
	left, err := ledger.Open(ctx, store, ledger.Options{Decode: DecodeRecorded, ReadOnly: true, Now: t.env.Now})
	switch {
	case errors.Is(err, wal.ErrCorrupt):
		if t.bucket != nil { // in a directory, a copy that was interrupted has another name
			switch begins, err := t.ledger.Begins(ctx, store); {
			case err != nil:
				return lakeError(err)
			case begins:
				return nil
			}
		}
		return &Error{KindIntegrity, fmt.Errorf("%s holds an unfinished rebuild, and a damaged journal, which may have answers that %s does not have: keep it, and name an empty directory or prefix: %w", t.uri, t.source, err)}
	case err != nil:
		return lakeError(err)
	}
	defer left.Close() //nolint:errcheck // it was only read
	calls := map[string]int{}
	for _, r := range t.ledger.Runs() {
		calls[r.ID] = r.CallCount()
	}
	for _, r := range left.Runs() {
		if n, known := calls[r.ID]; !known || r.CallCount() > n {
			return &Error{KindIntegrity, fmt.Errorf("%s holds an unfinished rebuild, and in its journal run %s with answers that %s does not have: keep it, and name an empty directory or prefix", t.uri, r.ID, t.source)}
		}
	}
	return nil
}

// finish writes the journal, which makes the lake complete, and takes the mark away.
func (t *rebuildTarget) finish(ctx context.Context, write func(wal.Store) error) error {
	if t.bucket != nil {
		return t.finishBucket(ctx, write)
	}
	err := wal.CreateDir(filepath.Join(t.path, StateDir, "journal"), t.env.Hook, write)
	if err == nil {
		err = t.inDir(func(d *durable.Dir) error {
			return errors.Join(d.Remove(StateDir+"/"+rebuildMark), d.SyncDir(StateDir))
		})
	}
	if err != nil {
		return &Error{KindStorage, err}
	}
	return nil
}

func (t *rebuildTarget) finishBucket(ctx context.Context, write func(wal.Store) error) error {
	var inBucket journalLocation
	objects := inBucket.objects(t.bucket, t.env)
	if err := errors.Join(write(objects), objects.Close()); err != nil {
		return &Error{KindStorage, err}
	}
	recorded, version, err := readLocation(ctx, t.bucket)
	if err != nil {
		return err
	}
	if recorded.RebuildOf != t.source || !t.lock.Valid() {
		return &Error{KindLocked, fmt.Errorf("another process has written to %s in the meantime; remove it, and rebuild again", t.uri)}
	}
	if err := t.bucket.Swap(ctx, journalLocationName, version, inBucket.encode()); err != nil {
		return &Error{KindStorage, err}
	}
	return nil
}

// close releases the place. A directory that was created and not marked disappears.
func (t *rebuildTarget) close() error {
	if t.lock == nil {
		return nil
	}
	t.created.removeUnused()
	return t.lock.Close()
}
