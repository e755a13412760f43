package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// lake is a lake's journal, with the lock that keeps other runs away.
type lake struct {
	env     *Env
	uri     string // as the user named it
	options sinks.Options
	store   journalStore
	ledger  *ledger.Ledger
	windows windowClock
	// The runs that this process published for one that died: see recoverRuns.
	completed []*ledger.Run
	// When it was last noted that webhooks may not have delivered events, of what no night has polled since.
	gapNoted time.Time
	// Called after each answer that was read; nil: not wanted. It is set before answers are read.
	answerRead func()
}

// openLake locks a lake for who, and opens its journal. An onlooker locks nothing
// and writes nothing, while others may be at work.
func openLake(ctx context.Context, env *Env, o StoreOptions, uri, holder string) (l *lake, err error) {
	l = &lake{env: env, uri: uri, options: sinkOptions(env, o), windows: windowClock{env.Now}}
	if l.store, err = openJournalStore(ctx, env, o, uri, holder); err != nil {
		return nil, err
	}
	options := ledger.Options{
		Decode: l.decode, ReadOnly: holder == readOnly || l.store.readOnly, Now: env.Now, CheckpointEvery: env.CheckpointEvery,
		Debug: func(message string) { env.Log.Debug(message, "lake", uri) },
	}
	if holder != readOnly {
		options.Check = func(opened *ledger.Ledger) error {
			return checkJournal(ctx, l, o, opened, holder == rebuildHolder)
		}
	}
	if l.ledger, err = ledger.Open(ctx, l.store.wal, options); err != nil {
		return nil, errors.Join(lakeError(err), l.close())
	}
	if err := l.checkRehearsal(); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// decode is DecodeRecorded.
func (l *lake) decode(b *pipeline.Batch, c *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
	items, unmatched = DecodeRecorded(b, c)
	if l.answerRead != nil {
		l.answerRead()
	}
	return items, unmatched
}

// openOrCreateLake opens the journal of a lake for a command that begins a run. Nothing is created
// for a lake that has lost its journal, and what is created for a new one disappears with close
// unless a run begins.
func openOrCreateLake(ctx context.Context, env *Env, o StoreOptions, uri, holder string) (*lake, error) {
	if _, err := lakeExists(ctx, env, o, uri); err != nil {
		return nil, err
	}
	return openLake(ctx, env, o, uri, holder)
}

// beginRun records that a run begins, or another session of it.
func (l *lake) beginRun(ctx context.Context, spec pipeline.RunSpec) (*ledger.Recorder, error) {
	if record := l.store.record; record != nil {
		if err := record(ctx); err != nil {
			return nil, err
		}
	}
	recorder, err := l.ledger.BeginRun(spec)
	if err != nil {
		return nil, &Error{KindStorage, err}
	}
	return recorder, nil
}

// openExistingLake opens the journal of a lake that must be there.
func openExistingLake(ctx context.Context, env *Env, o StoreOptions, uri, holder string) (*lake, error) {
	if err := mustExist(ctx, env, o, uri); err != nil {
		return nil, err
	}
	return openLake(ctx, env, o, uri, holder)
}

// CheckLakeExists refuses a place where no lake is.
func CheckLakeExists(ctx context.Context, env *Env, o StoreOptions, uri string) error {
	return mustExist(ctx, env, o, uri)
}

// mustExist refuses a lake that is not there, with one message for all commands.
func mustExist(ctx context.Context, env *Env, o StoreOptions, uri string) error {
	if _, err := lakeAddress(uri); err != nil {
		return err
	}
	exists, err := lakeExists(ctx, env, o, uri)
	if err == nil && !exists {
		err = noLakeError(uri, "no journal found", true)
	}
	return err
}

// lakeAddress is a lake's address as it is understood from everywhere on this
// machine. A local directory must be there, and hold nothing else. The address is that of --lake.
func lakeAddress(uri string) (string, error) {
	path, err := findLake(uri)
	if typed := new(Error); errors.As(err, &typed) {
		err = &Error{typed.Kind, fmt.Errorf("--lake: %w", typed.Err)}
	}
	return path, err
}

// findLake is lakeAddress for an argument that is not the value of a flag.
func findLake(uri string) (string, error) {
	if sinks.OnS3(uri) {
		return strings.TrimRight(uri, "/"), nil
	}
	path, err := sinks.CheckDir(uri)
	if err == nil {
		_, err = os.Stat(path)
	}
	var not *sinks.NotLakeError
	switch {
	case errors.As(err, &not):
		err = notLakeError(uri, not.Reason, false)
	case errors.Is(err, fs.ErrNotExist):
		err = notLakeError(uri, "the directory does not exist", true)
	case isStorage(err):
		err = &Error{KindStorage, err}
	case err != nil:
		err = &Error{KindUsage, err}
	}
	return filepath.ToSlash(path), err
}

// AddressURI is a lake's address as a URI: s3://bucket/lake, file:///data/lake, and on Windows file:///C:/lake.
func AddressURI(address string) string {
	switch {
	case strings.Contains(address, "://"):
		return address
	case strings.HasPrefix(address, "/"):
		return "file://" + address
	}
	return "file:///" + address // it begins with a drive
}

// isStorage reports whether an error is of the storage, and not of the path: it does not let siglake read what is there.
func isStorage(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EIO)
}

// noLakeError says why the place of --lake holds no lake, and what to do. A vacant place can hold one.
func noLakeError(uri, reason string, vacant bool) error {
	return UsageErrorf("--lake: %w", notLakeError(uri, reason, vacant))
}

func notLakeError(uri, reason string, vacant bool) error {
	advice := "check the path"
	if vacant {
		advice += ", or create the lake with siglake run"
	}
	return UsageErrorf("%s is not a siglake lake: %s; %s", uri, reason, advice)
}

// notLake is the error of a command that could create a lake, and cannot there.
func notLake(err error) error {
	var not *sinks.NotLakeError
	if errors.As(err, &not) {
		return UsageErrorf("--lake: %w", err)
	}
	return lakeError(err)
}

// openLakeIfExists opens the journal of a lake to read it; nil when there is none.
func openLakeIfExists(ctx context.Context, env *Env, o StoreOptions, uri string) (*lake, error) {
	if uri == "" {
		return nil, nil
	}
	if exists, err := lakeExists(ctx, env, o, uri); err != nil || !exists {
		return nil, err
	}
	return openLake(ctx, env, o, uri, readOnly)
}

// changedSinceOpen reports whether the journal was written since it was opened to be read.
func (l *lake) changedSinceOpen(ctx context.Context) bool {
	reopened, err := ledger.Open(ctx, l.store.wal, ledger.Options{Decode: DecodeRecorded, ReadOnly: true})
	if err != nil {
		return false
	}
	defer reopened.Close() //nolint:errcheck // it was only read
	return reopened.Position() != l.ledger.Position()
}

// runs are those of the journal; none of a lake that is not there.
func (l *lake) runs() []*ledger.Run {
	if l == nil {
		return nil
	}
	return l.ledger.Runs()
}

// openSink opens a lake for the files of one run; it need not be the state's own.
func (l *lake) openSink(ctx context.Context, uri, runID string) (*sinks.Lake, error) {
	return l.openSinkAsOf(ctx, uri, runID, schema.Version)
}

// openSinkAsOf is openSink for rows of a version of the schema.
func (l *lake) openSinkAsOf(ctx context.Context, uri, runID string, version int) (*sinks.Lake, error) {
	o := l.options
	o.RunID, o.SchemaVersion = runID, version
	return sinks.Open(ctx, uri, o)
}

// watchLock gives a context that ends, too, when another process may have the lock:
// then no new call is made. release must be called; it waits for the goroutine
// that watches.
func (l *lake) watchLock(ctx context.Context) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	lost := l.store.lock.Lost()
	if lost == nil {
		return watched, func() { cancel(nil) }
	}
	done := make(chan struct{})
	go func() { // ends with the run
		defer close(done)
		select {
		case <-lost:
			l.env.Log.Error("the lock on the lake was lost: siglake makes no further calls", "lake", l.uri, "error", l.store.lock.Err())
			cancel(l.store.lock.Err())
		case <-watched.Done():
		}
	}()
	return watched, func() {
		cancel(nil)
		<-done
	}
}

// close lets go of what was opened; what was written is durable before.
func (l *lake) close() (err error) {
	if l.ledger != nil {
		err = l.ledger.Close()
	}
	if l.store.close != nil {
		err = errors.Join(err, l.store.close())
	}
	if l.store.lock != nil {
		l.store.created.removeUnused()
		err = errors.Join(err, l.store.lock.Close())
	}
	l.ledger, l.store = nil, journalStore{}
	return err
}

// checkSimulated keeps invented answers out of a lake of real ones, and the reverse.
func (l *lake) checkSimulated(simulate bool) error {
	for _, r := range l.ledger.Runs() {
		switch {
		case r.Simulated == simulate:
		case r.Simulated:
			return UsageErrorf("the lake %s holds simulated answers; choose another lake for real ones", l.uri)
		default:
			return UsageErrorf("the lake %s holds real answers; choose another lake for simulated ones", l.uri)
		}
	}
	return nil
}

// CheckLakeKind makes sure that the lake of a run, if there is one, may take invented answers, or real
// ones, and events that are partitioned as the run is asked to.
func CheckLakeKind(ctx context.Context, env *Env, o *RunOptions) error {
	l, err := openLakeIfExists(ctx, env, o.Store, o.Lake)
	if l == nil || err != nil {
		return err
	}
	if err = l.checkSimulated(o.API.Simulate); err == nil {
		_, err = choosePartition(ctx, l, o.Work.PartitionBy)
	}
	if err := errors.Join(err, l.close()); err != nil {
		return &Error{KindUsage, err}
	}
	return nil
}
