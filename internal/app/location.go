package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/lease"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// StateDir is where a lake's journal and lock lie, inside the lake and outside
// of what readers of data look at.
const StateDir = "_state"

// openBucket opens the bucket of an s3:// address.
func openBucket(ctx context.Context, env *Env, o StoreOptions, uri string) (*bucket.Bucket, error) {
	cfg, err := o.S3.Config()
	if err != nil {
		return nil, err
	}
	cfg.MaxBackoff = env.BucketMaxBackoff
	return bucket.Open(ctx, uri, cfg)
}

// sinkOptions is how a lake is written, whatever the run.
func sinkOptions(env *Env, o StoreOptions) sinks.Options {
	return sinks.Options{
		Version: env.Version, SortMemory: o.memory(env).Sort, Now: env.clientClock(), Hook: env.Hook, Scratch: o.Scratch,
		Endpoint:      func(uri string) string { return o.S3.endpointOf(env, uri) },
		DeltaIntegers: o.DeltaIntegers, Jobs: DefaultJobs(),
		Published: func(uri string, m *pipeline.Manifest) { env.notePublication(o, uri, m) },
		Bucket:    func(ctx context.Context, uri string) (sinks.Bucket, error) { return openBucket(ctx, env, o, uri) },
	}
}

// journalStore is where a lake's journal is kept, locked.
type journalStore struct {
	lock  lease.Lock
	wal   wal.Store
	close func() error // of the store
	// Records where the journal of a new lake is, before its first run; nil: there is nothing to
	// record.
	record  func(context.Context) error
	created *createdPaths // what was created for a new lake in a directory; nil: nothing
	// The lake may only be read, and the command need not write it.
	readOnly bool
	// The process that has the lock at the moment; nil: none has.
	holder func(context.Context) (*lease.Holder, error)
}

// openJournalStore opens the store of a lake's journal, and locks the lake for who;
// an onlooker locks nothing.
func openJournalStore(ctx context.Context, env *Env, o StoreOptions, uri, holder string) (s journalStore, err error) {
	defer func() {
		if err != nil && s.lock != nil {
			err = errors.Join(err, s.lock.Close())
		}
	}()
	if sinks.OnS3(uri) {
		return openBucketJournal(ctx, env, o, uri, holder)
	}
	if o.State != "" {
		return s, errStateOfLocalLake
	}
	path, err := sinks.CheckDir(uri)
	if err != nil {
		return s, &Error{KindStorage, err}
	}
	dir := filepath.Join(path, StateDir)
	s.holder = func(context.Context) (*lease.Holder, error) { return lease.FlockHolder(dir) }
	if holder != readOnly {
		s.created = missingPaths(path)
		s.lock, err = waitForListener(ctx, env, s.holder, func() (lease.Lock, error) { return asLock(lease.AcquireFlock(dir, holder)) })
		if holder == rebuildHolder && isForbidden(err) {
			s.readOnly, s.created = true, nil
			s.lock, err = shareLock(dir)
		}
		if err != nil {
			return journalStore{}, lockError(uri, err)
		}
	}
	journal := filepath.Join(dir, "journal")
	if err := errors.Join(checkRebuilt(path, uri), checkSalvaged(journal, uri)); err != nil {
		return s, err
	}
	return s, s.openDir(journal, env.Hook)
}

// ListenHolder is who holds the lock of a lake while siglake listen publishes.
const ListenHolder = "siglake listen"

// The listener publishes for seconds, at any time: a command waits that long for its lock, and for no other one.
const (
	listenerWait = time.Minute
	listenerPoll = 100 * time.Millisecond
)

// waitForListener takes a lock, for which it waits while siglake listen holds it.
func waitForListener(ctx context.Context, env *Env, holder func(context.Context) (*lease.Holder, error), take func() (lease.Lock, error)) (lease.Lock, error) {
	for waited := time.Duration(0); ; waited += listenerPoll {
		lock, err := take()
		if !errors.Is(err, lease.ErrLocked) || waited >= listenerWait {
			return lock, err
		}
		h, unknown := holder(ctx)
		if unknown != nil || h != nil && h.Command != ListenHolder { // nil: it was released meanwhile
			return lock, err
		}
		if waited == 0 {
			env.Log.Info("waiting until siglake listen has published what it received")
		}
		if !policy.Sleep(ctx, listenerPoll) {
			return lock, err
		}
	}
}

// asLock is a lock as the interface: nil if there is none.
func asLock[L lease.Lock](l L, err error) (lease.Lock, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

var errStateOfLocalLake = UsageErrorf("--state applies to lakes on S3 only; the journal of a local lake lies in the lake's directory")

// leaseName is the lock of a lake on S3.
const leaseName = StateDir + "/lock.json"

// isForbidden reports whether a lake may be read and not be written.
func isForbidden(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// shareLock keeps writers from a lake in a directory that this process may only read; nil: the lake has
// never been locked, as a copy without its lock file.
func shareLock(dir string) (lease.Lock, error) {
	held, err := lease.ShareFlock(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, lease.ErrLocked):
		return nil, err
	case err == nil:
		return held, nil
	}
	return nil, fmt.Errorf("it may only be read, and whether a process is at work on it cannot be known: %w; make sure that none is and copy the lake, or grant the permission to write %s", err, filepath.Join(dir, "lock"))
}

// checkNotHeld makes sure that no process has the lock of a lake in a bucket that may only be read.
func checkNotHeld(ctx context.Context, holder func(context.Context) (*lease.Holder, error), uri string) error {
	h, err := holder(ctx)
	if err == nil && h != nil {
		err = fmt.Errorf("%w: %s, process %d on %s", lease.ErrLocked, h.Command, h.PID, h.Host)
	}
	if err != nil {
		return lockError(uri, err)
	}
	return nil
}

// checkSalvaged makes sure that no salvage of a journal was interrupted before it was in place.
func checkSalvaged(journal, uri string) error {
	if wal.PendingSalvage(journal) {
		return &Error{KindIntegrity, fmt.Errorf("%s is missing: siglake salvage was interrupted; repeat siglake salvage --lake %s", journal, uri)}
	}
	return nil
}

// holder is the process that has the lock of a lake that was opened to be read; nil: none has, or
// that cannot be known, which is logged.
func (l *lake) holder(ctx context.Context) *HolderStatus {
	h, err := l.store.holder(ctx)
	if err != nil {
		l.env.Log.Warn("siglake cannot tell whether a process is at work on the lake", "lake", l.uri, "error", err)
	}
	if h == nil || err != nil {
		return nil
	}
	return &HolderStatus{PID: h.PID, Host: h.Host, Command: h.Command, Since: h.Since.UTC()}
}

// readOnly is who needs no lock.
const readOnly = ""

func (s *journalStore) openDir(path string, hook func(op, path string, do func() error) error) error {
	dir, err := wal.OpenDir(path, hook)
	if err != nil {
		return &Error{KindStorage, err}
	}
	s.wal, s.close = dir, dir.Close
	return nil
}

func lockError(uri string, err error) error {
	if errors.Is(err, lease.ErrLocked) {
		return &Error{KindLocked, fmt.Errorf("lake %s: %w; wait until it has ended, then repeat the command; siglake status --lake %[1]s shows how far it is", uri, err)}
	}
	if isForbidden(err) {
		return &Error{KindStorage, fmt.Errorf("lake %s may only be read, and this command writes to it: %w", uri, err)}
	}
	return &Error{KindStorage, fmt.Errorf("lake %s: %w", uri, err)}
}

// openBucketJournal takes the lease of a lake on S3. Its journal lies in the bucket
// or, if the first run had --state, in a directory of one machine.
func openBucketJournal(ctx context.Context, env *Env, o StoreOptions, uri, holder string) (s journalStore, err error) {
	b, err := openBucket(ctx, env, o, uri)
	if err != nil {
		return s, UsageErrorf("%v", err)
	}
	s.holder = func(ctx context.Context) (*lease.Holder, error) { return lease.ObjectHolder(ctx, b, leaseName) }
	if holder != readOnly {
		held, err := waitForListener(ctx, env, s.holder, func() (lease.Lock, error) { return asLock(lease.Acquire(ctx, b, leaseName, holder, lease.Options{})) })
		switch {
		case holder == rebuildHolder && isForbidden(err):
			s.readOnly = true
			if err := checkNotHeld(ctx, s.holder, uri); err != nil {
				return s, err
			}
		case err != nil:
			return s, lockError(uri, err)
		default:
			s.lock = held
		}
	}
	location, err := newJournalLocation(o)
	if err != nil {
		return s, err
	}
	recorded, err := location.checkRecorded(ctx, b, false)
	if err != nil {
		return s, err
	}
	s.record = func(ctx context.Context) error {
		_, err := location.checkRecorded(ctx, b, true)
		return err
	}
	if location.Directory != "" {
		journal := filepath.Join(location.Directory, "journal")
		if err := checkSalvaged(journal, uri); err != nil {
			return s, err
		}
		return s, s.openDir(journal, env.Hook)
	}
	objects := recorded.objects(b, env)
	s.wal, s.close = objects, objects.Close
	return s, nil
}

// lockedFetcher is the last layer before the wire: it sends a request only while no other
// process can hold the lock of the lake. Any other request is recorded as not sent.
type lockedFetcher struct {
	pipeline.Fetcher
	lock lease.Lock
}

// Fetch sends the batch, unless another process may hold the lock by now.
func (f lockedFetcher) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	if f.lock.Valid() {
		return f.Fetcher.Fetch(ctx, b)
	}
	stop := &pipeline.Stop{
		Kind: pipeline.StopStorage, Reason: "the lock on the lake was not renewed in time; another run may hold it now",
		Advice: "check the connection to the bucket, then run the same command again",
	}
	if _, onDisk := f.lock.(*lease.Flock); onDisk {
		stop.Reason, stop.Advice = f.lock.Err().Error(), "make sure that no other run is at work on this lake, then run the same command again"
	}
	return pipeline.NewReply(b, "not requested"), stop
}

// journalLocation says where the journal of a lake on S3 is. The first run writes it, and nothing but
// a salvage replaces it: a run that looked elsewhere would know nothing of what was paid for, and buy
// it again.
type journalLocation struct {
	Host      string `json:"host,omitempty"`
	Directory string `json:"directory,omitempty"` // empty: the bucket
	// Below StateDir, the prefix of the journal in the bucket since it was salvaged; empty: journal.
	Prefix string `json:"prefix,omitempty"`
	// The prefixes of damaged journals that were salvaged, oldest first.
	Damaged []string `json:"damaged,omitempty"`
	// The lake of which this one is an unfinished rebuild, without a journal; empty: it is none.
	RebuildOf string `json:"rebuild_of,omitempty"`
}

// journalLocationName is the object with the location.
const journalLocationName = StateDir + "/journal.json"

// prefix is where the journal lies in the bucket.
func (loc journalLocation) prefix() string {
	return StateDir + "/" + cmp.Or(loc.Prefix, "journal") + "/"
}

// objects is the journal in the bucket.
func (loc journalLocation) objects(b *bucket.Bucket, env *Env) *wal.Objects {
	return wal.NewObjects(b, loc.prefix(), wal.ObjectsOptions{Patience: env.JournalRetryFor})
}

func newJournalLocation(o StoreOptions) (loc journalLocation, err error) {
	if loc.Directory = o.State; loc.Directory == "" {
		return loc, nil
	}
	if loc.Directory, err = filepath.Abs(loc.Directory); err != nil {
		return loc, err
	}
	loc.Host, err = os.Hostname()
	return loc, err
}

func (loc journalLocation) String() string {
	if loc.Directory == "" {
		return "in the bucket"
	}
	return fmt.Sprintf("in %s on %s", loc.Directory, loc.Host)
}

// checkRecorded makes sure that the journal is where the lake says it is, and returns what the lake
// says. If the lake does not record a place yet, and record is set, it records this one.
func (loc journalLocation) checkRecorded(ctx context.Context, b *bucket.Bucket, record bool) (recorded journalLocation, err error) {
	recorded, etag, err := readLocation(ctx, b)
	if err == nil && etag == "" {
		if !record {
			return loc, loc.checkUnclaimed(b.URI(""))
		}
		if err := loc.claimDirectory(b.URI("")); err != nil {
			return loc, err
		}
		if err = b.Create(ctx, journalLocationName, loc.encode()); err == nil {
			return loc, nil
		}
		if errors.Is(err, fs.ErrExist) { // by another process at the same moment
			recorded, _, err = readLocation(ctx, b)
		} else {
			err = &Error{KindStorage, err}
		}
	}
	if err != nil {
		return loc, err
	}
	if err := recorded.checkRebuilt(ctx, b, b.URI("")); err != nil {
		return loc, err
	}
	if recorded.Host != loc.Host || recorded.Directory != loc.Directory {
		advice := "omit --state"
		if recorded.Directory != "" {
			advice = fmt.Sprintf("run on that host with --state %s", recorded.Directory)
		}
		return loc, UsageErrorf("the journal of this lake is %s, not %s: siglake would not find what is already paid for; %s", recorded, loc, advice)
	}
	return recorded, loc.checkOwner(b.URI(""))
}

// readLocation reads where a lake's journal is, and the version of the object that says so; none: the
// lake does not say it yet.
func readLocation(ctx context.Context, b *bucket.Bucket) (recorded journalLocation, etag string, err error) {
	raw, etag, err := b.Get(ctx, journalLocationName)
	if errors.Is(err, fs.ErrNotExist) {
		return recorded, "", nil
	}
	if err != nil {
		return recorded, "", &Error{KindStorage, err}
	}
	if err := json.Unmarshal(raw, &recorded); err != nil {
		return recorded, "", &Error{KindIntegrity, fmt.Errorf("%s is damaged: %w; restore an earlier version of it", b.URI(journalLocationName), err)}
	}
	return recorded, etag, nil
}

func (loc journalLocation) encode() []byte {
	text, err := json.Marshal(loc)
	if err != nil {
		panic(err) // strings are always encoded
	}
	return append(text, '\n')
}

// ownerFile names the lake of the journal in the same directory. It exists before the
// lake says that its journal is.
const ownerFile = "lake"

// readOwner gives the lake of the journal in the directory; empty: none.
func (loc journalLocation) readOwner() (lake string, err error) {
	text, err := os.ReadFile(filepath.Join(loc.Directory, ownerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", &Error{KindStorage, err}
	}
	return strings.TrimSpace(string(text)), nil
}

// checkUnclaimed makes sure that a directory is not that of another lake's journal: what was
// bought for that one would pass as bought for this one, and be in neither.
func (loc journalLocation) checkUnclaimed(lake string) error {
	if loc.Directory == "" {
		return nil
	}
	owner, err := loc.readOwner()
	if err != nil || owner == lake {
		return err
	}
	if owner == "" {
		found, err := wal.HasSegments(filepath.Join(loc.Directory, "journal"))
		if err != nil || !found {
			return err
		}
		owner = "another lake"
	}
	return UsageErrorf("--state %s holds the journal of %s; give this lake a directory of its own", loc.Directory, owner)
}

// claimDirectory makes a directory that of a lake's journal.
func (loc journalLocation) claimDirectory(lake string) error {
	if err := loc.checkUnclaimed(lake); err != nil || loc.Directory == "" {
		return err
	}
	if err := loc.writeOwner(lake); err != nil {
		return &Error{KindStorage, err}
	}
	return nil
}

// writeOwner writes the owner. The syncs that make the journal in the same directory
// survive a crash cover the name of this file, too.
func (loc journalLocation) writeOwner(lake string) error {
	if err := os.MkdirAll(loc.Directory, 0o770); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(loc.Directory, ownerFile))
	if err != nil {
		return err
	}
	_, err = f.WriteString(lake + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// checkOwner makes sure that the directory still has the lake's journal: an empty
// one in its place would know nothing of what was paid for.
func (loc journalLocation) checkOwner(lake string) error {
	if loc.Directory == "" {
		return nil
	}
	switch owner, err := loc.readOwner(); {
	case err != nil:
		return err
	case owner == "":
		return &Error{KindIntegrity, fmt.Errorf("the journal of this lake is missing from %s: restore that directory; without it siglake would buy everything again", loc.Directory)}
	case owner != lake:
		return UsageErrorf("--state %s holds the journal of %s now, not that of %s", loc.Directory, owner, lake)
	}
	return nil
}

// lakeExists reports whether there is a lake with a journal, which may be empty. A lake that has
// lost its journal is an error: without it, siglake would buy everything again.
func lakeExists(ctx context.Context, env *Env, o StoreOptions, uri string) (bool, error) {
	exists, journal, err := findJournal(ctx, env, o, uri)
	if err != nil || journal {
		return exists, err
	}
	inspector, err := inspectLake(ctx, env, o, uri)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, notLake(err)
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	if err := checkNothingPublished(ctx, inspector, o, uri); err != nil {
		return false, lakeError(err)
	}
	return exists, nil
}

// findJournal reports whether there is a place for a lake's journal, and whether a journal is there
// or, in a bucket, may be.
func findJournal(ctx context.Context, env *Env, o StoreOptions, uri string) (exists, journal bool, err error) {
	if !sinks.OnS3(uri) {
		path, err := sinks.CheckDir(uri)
		if err == nil {
			_, err = os.Stat(filepath.Join(path, StateDir))
		}
		if err == nil {
			if err := checkRebuilt(path, uri); err != nil {
				return true, false, err
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return false, false, nil
		}
		if err == nil {
			journal, err = wal.HasSegments(filepath.Join(path, StateDir, "journal"))
		}
		if err != nil {
			return false, false, notLake(err)
		}
		return true, journal, checkSalvaged(filepath.Join(path, StateDir, "journal"), uri)
	}
	b, err := openBucket(ctx, env, o, uri)
	if err != nil {
		return false, false, UsageErrorf("%v", err)
	}
	recorded, etag, err := readLocation(ctx, b)
	if err != nil || etag == "" {
		return false, false, err
	}
	return true, true, recorded.checkRebuilt(ctx, b, uri)
}

// createdPaths are paths that did not exist before a command created a lake.
type createdPaths struct {
	journal string
	paths   []string // a directory before what it holds
}

// missingPaths are the paths that a command creates, before its run begins, for a new lake.
func missingPaths(lake string) *createdPaths {
	c := &createdPaths{journal: filepath.Join(lake, StateDir, "journal")}
	var parents []string
	for path := filepath.Dir(lake); path != filepath.Dir(path); path = filepath.Dir(path) {
		parents = append(parents, path)
	}
	slices.Reverse(parents)
	inside := []string{lake, filepath.Join(lake, StateDir), filepath.Join(lake, StateDir, "lock"), c.journal}
	for _, name := range sinks.EmptyLayout() {
		inside = append(inside, filepath.Join(lake, filepath.FromSlash(name)))
	}
	for _, path := range append(parents, inside...) {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			c.paths = append(c.paths, path)
		}
	}
	return c
}

// removeUnused removes what was created for a lake in which no run began, so that it does not
// pass for one. The lock must be held. Directories that hold anything stay.
func (c *createdPaths) removeUnused() {
	if c == nil {
		return
	}
	if found, err := wal.HasSegments(c.journal); found || err != nil {
		return
	}
	for _, path := range slices.Backward(c.paths) {
		_ = os.Remove(path) // what cannot be removed does no harm
	}
}
