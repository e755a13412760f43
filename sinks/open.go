package sinks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Options configures how a lake is written. Only RunID is required.
type Options struct {
	RunID   string // names the run's files: letters, digits, '-' and '_', at most 64
	Version string // the program's version, for the files' metadata; empty: "dev"

	// SchemaVersion of the rows; 0 means the current one.
	SchemaVersion int

	SortMemory     int64 // bytes of rows kept in memory over all partitions; 0 = 32 MiB
	Jobs           int   // partitions that are sorted and encoded at once, as far as SortMemory allows it; 0 = 1
	TargetFileSize int64 // bytes after which a partition starts another file; 0 = 256 MiB
	RowGroupRows   int   // rows of a row group; 0 = 122,880, or fewer when they fill 12 MiB

	// DeltaIntegers writes integers that rarely repeat with DELTA_BINARY_PACKED, which old
	// readers do not read.
	DeltaIntegers bool

	// Bucket opens the bucket of a lake on S3; nil: there are none. Scratch is a
	// local directory for sorting and staging what goes there; empty: one in the
	// user's cache directory. A lake in a directory has its own.
	Bucket  func(ctx context.Context, uri string) (Bucket, error)
	Scratch string
	// Endpoint returns the address of a lake's store if it is not AWS: lakes of the same name in
	// two stores do not share their scratch directory. It is called for lakes on S3 only; nil: AWS.
	Endpoint func(uri string) string

	// Now dates compactions; nil means time.Now.
	Now func() time.Time

	// Hook, when set, is called around every operation on the file system, for
	// tests that inject faults.
	Hook durable.Hook

	// Published is called after each publication, with the lake's address as it was opened; nil: not wanted.
	Published func(uri string, m *pipeline.Manifest)

	// Earlier is what the events are compared with; nil: what the lake holds.
	Earlier *Earlier
	// CountNew picks new events whose rows are counted, by the kind and the id of the entity and the signal type; nil:
	// none are. Several goroutines call it.
	CountNew func(object schema.Object, entityID, signalType string) bool

	// The runs that wrote the rows of a compaction's files, for their metadata.
	sourceRuns []string
}

const (
	defaultSortMemory     = 32 << 20
	defaultTargetFileSize = 256 << 20
	defaultRowGroupRows   = 122_880
)

func (o Options) withDefaults() (Options, error) {
	if !validRunID.MatchString(o.RunID) {
		return o, fmt.Errorf("run id %q: want 1 to 64 letters, digits, '-' or '_', beginning with a letter or digit", o.RunID)
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.SchemaVersion <= 0 {
		o.SchemaVersion = schema.Version
	}
	o.SortMemory = SortMemory(o)
	if o.TargetFileSize <= 0 {
		o.TargetFileSize = defaultTargetFileSize
	}
	if o.RowGroupRows <= 0 {
		o.RowGroupRows = defaultRowGroupRows
	}
	return o, nil
}

// SortMemory is Options.SortMemory, or its default.
func SortMemory(o Options) int64 {
	if o.SortMemory <= 0 {
		return defaultSortMemory
	}
	return o.SortMemory
}

var validRunID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// NotLakeError says that there is no lake at a path, and can be none.
type NotLakeError struct {
	Path   string
	Reason string // it is a file, it holds "x" and no _meta
}

// Error says what is there, and what to do.
func (e *NotLakeError) Error() string {
	return fmt.Sprintf("%s is not a lake: %s; choose an empty directory, or one that siglake wrote", e.Path, e.Reason)
}

// CheckDir returns where a lake lies, and checks that nothing else lies there: that is a NotLakeError. It creates
// nothing.
func CheckDir(uri string) (path string, err error) {
	if path, err = localPath(uri); err != nil {
		return "", fmt.Errorf("lake %q: %w", uri, err)
	}
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, nil
	case errors.Is(err, syscall.ENOTDIR):
		return "", &NotLakeError{path, "it is a file"}
	case err != nil:
		return "", err
	}
	if foreign, ok := findForeign(entries); ok {
		return "", notLakeError(path, foreign)
	}
	return path, nil
}

func notLakeError(path, foreign string) error {
	return &NotLakeError{path, fmt.Sprintf("it holds %q and no %s", foreign, metaDir)}
}

// Open opens the lake at uri, a directory or a file:// address, and creates it if
// there is none. It refuses a directory that holds something other than a lake, and one
// that is not writable, before anything is bought for it.
//
// What an earlier process staged under the same run id stays in place, so that it can
// still be published.
func Open(ctx context.Context, uri string, o Options) (*Lake, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open lake %s: %w", uri, err)
	}
	l := newLake(uri, o)
	if OnS3(uri) {
		err = l.openS3(ctx, uri)
	} else {
		err = l.openLocal(uri)
	}
	if err == nil {
		err = l.initLayout(ctx)
	}
	if err != nil {
		if l.dir != nil {
			l.dir.RemoveEmpty(l.runDir)
			l.dir.RemoveEmpty(stagingDir)
			err = errors.Join(err, l.dir.Close())
		}
		return nil, fmt.Errorf("open lake %s: %w", uri, err)
	}
	return l, nil
}

func newLake(uri string, o Options) *Lake {
	l := &Lake{uri: uri, options: o, runDir: stagingDir + "/" + o.RunID, sorters: newSorters(), fileCount: new(atomic.Int64)}
	l.comparison = comparison{published: &l.generations, options: &l.options, dropped: map[uint64]int64{}}
	return l
}

func (l *Lake) openLocal(uri string) error {
	path, err := localPath(uri)
	if err != nil {
		return err
	}
	if l.dir, err = openLakeDir(path, l.options.Hook); err != nil {
		return err
	}
	l.backend = &dirBackend{Dir: l.dir, runDir: l.runDir}
	return nil
}

func (l *Lake) openS3(ctx context.Context, uri string) error {
	b, err := l.options.openBucket(ctx, uri)
	if err != nil {
		return err
	}
	endpoint := ""
	if l.options.Endpoint != nil {
		endpoint = l.options.Endpoint(uri)
	}
	scratch, err := ScratchDir(uri, endpoint, l.options.Scratch)
	if err != nil {
		return err
	}
	if l.dir, err = openScratch(scratch, l.options.Hook); err != nil {
		return err
	}
	l.backend = &s3Backend{bucket: b, staging: l.dir}
	return nil
}

func (o Options) openBucket(ctx context.Context, uri string) (Bucket, error) {
	if o.Bucket == nil {
		return nil, errors.New("no access to S3 is set up")
	}
	return o.Bucket(ctx, uri)
}

// ScratchDir is the local directory of a lake on S3. It differs from lake to lake, and
// is the same for every run on one lake. endpoint is what Options.Endpoint returns, and base is
// Options.Scratch.
func ScratchDir(uri, endpoint, base string) (string, error) {
	if base == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = os.TempDir()
		}
		base = filepath.Join(cache, "siglake")
	}
	lake := strings.TrimRight(uri, "/")
	if endpoint != "" {
		lake = strings.TrimRight(endpoint, "/") + "\n" + lake
	}
	sum := sha256.Sum256([]byte(lake))
	return filepath.Abs(filepath.Join(base, hex.EncodeToString(sum[:8])))
}

// ScratchPath is a directory of this machine for what a command on a lake on S3 writes before the
// bucket has it. SweepScratch removes it. endpoint and base are as in ScratchDir.
func ScratchPath(uri, endpoint, base, name string) (string, error) {
	dir, err := ScratchDir(uri, endpoint, base)
	return filepath.Join(dir, stagingDir, name), err
}

// openScratch opens a scratch directory, creating it when it does not exist.
func openScratch(path string, hook durable.Hook) (*durable.Dir, error) {
	if err := durable.MkdirAll(path, 0o700, hook); err != nil {
		return nil, err
	}
	return durable.Open(path, hook)
}

// initLayout creates the lake's own directories and proves that the lake is writable,
// before anything is bought for it.
func (l *Lake) initLayout(ctx context.Context) error {
	if err := l.dir.MkdirAll(l.runDir); err != nil {
		return err
	}
	l.space = extsort.NewSpace(l.dir, l.runDir)
	if err := l.backend.prepareWrites(ctx); err != nil {
		return err
	}
	probe := l.runDir + "/probe.tmp"
	err := l.dir.WriteFile(probe, []byte("can this be written?\n"))
	return errors.Join(err, l.dir.Remove(probe))
}

// EmptyLayout are the directories of a lake that exist before anything is published, each before
// those in it.
func EmptyLayout() []string {
	return []string{dataDir, ledgerDir, compactDir, metaDir, manifestDir, snapshotDir, stagingDir}
}

// localPath turns a lake's address into an absolute path.
func localPath(uri string) (string, error) {
	scheme, rest, isURI := strings.Cut(uri, "://")
	switch {
	case uri == "":
		return "", errors.New("no address; give a directory, for example ./lake")
	case strings.HasPrefix(uri, "s3:") && !isURI:
		return "", fmt.Errorf("%q is no address on S3: s3://bucket/prefix has two slashes", uri)
	case !isURI:
		return filepath.Abs(uri)
	case scheme == "s3":
		return "", errors.New("a lake on S3 has no directory")
	case scheme != "file":
		return "", fmt.Errorf("unknown scheme %q; give a directory or file:///path", scheme)
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	if u.Host != "" && u.Host != "localhost" || u.Path == "" {
		return "", fmt.Errorf("want file:///absolute/path, three slashes; %q is not one", "file://"+rest)
	}
	return filepath.FromSlash(u.Path), nil
}

// openLakeDir opens the lake's directory, creating it when it does not exist.
func openLakeDir(path string, hook durable.Hook) (*durable.Dir, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return nil, &NotLakeError{path, "it is a file"}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := durable.MkdirAll(path, 0o777, hook); err != nil { // other users read the lake; the umask limits it
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	if foreign, ok := findForeign(entries); ok {
		return nil, notLakeError(path, foreign)
	}
	return durable.Open(path, hook)
}

// findForeign finds a name that a lake would not have, in a directory that is not
// marked as a lake. It ignores hidden names, which readers skip.
func findForeign(entries []fs.DirEntry) (foreign string, ok bool) {
	for _, e := range entries {
		if e.Name() == metaDir && e.IsDir() {
			return "", false
		}
	}
	i := slices.IndexFunc(entries, func(e fs.DirEntry) bool {
		name := e.Name()
		return !slices.Contains(publishedDirs, name) && name != MergesDir && name[0] != '.' && name[0] != '_'
	})
	if i < 0 {
		return "", false
	}
	return entries[i].Name(), true
}

// SweepScratch removes what runs that will not be published left in a lake's scratch
// directory on this machine. The caller must hold the lake's lock; keep is the run that
// continues. endpoint and scratch are as in Options.
func SweepScratch(uri, endpoint, scratch, keep string) error {
	path, err := ScratchDir(uri, endpoint, scratch)
	if !OnS3(uri) {
		path, err = CheckDir(uri)
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(path, stagingDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.Name() != keep {
			err = errors.Join(err, os.RemoveAll(filepath.Join(path, stagingDir, e.Name())))
		}
	}
	return err
}
