package sinks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Options says how a lake is written. RunID must be set, everything else has a
// default.
type Options struct {
	RunID   string // names the run's files: letters, digits, '-' and '_', at most 64
	Version string // the program's version, for the files' metadata; empty: "dev"

	SortMemory     int64 // bytes of rows kept in memory over all partitions; 0 = 32 MiB
	TargetFileSize int64 // bytes after which a partition continues in another file; 0 = 256 MiB
	RowGroupRows   int   // rows of a row group; 0 = 122,880, or fewer when they fill 16 MiB

	// Hook, when set, is called around every operation on the file system, for
	// tests that inject faults. See [Hook].
	Hook Hook
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
	if o.SortMemory <= 0 {
		o.SortMemory = defaultSortMemory
	}
	if o.TargetFileSize <= 0 {
		o.TargetFileSize = defaultTargetFileSize
	}
	if o.RowGroupRows <= 0 {
		o.RowGroupRows = defaultRowGroupRows
	}
	if o.Hook == nil {
		o.Hook = func(_, _ string, do func() error) error { return do() }
	}
	return o, nil
}

var validRunID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// Check says where a lake lies and that nothing else lies there, without making
// anything.
func Check(uri string) (path string, err error) {
	if path, err = localPath(uri); err != nil {
		return "", fmt.Errorf("lake %q: %w", uri, err)
	}
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, nil
	case errors.Is(err, syscall.ENOTDIR):
		return "", fmt.Errorf("%s is a file; a lake is a directory: choose another path", path)
	case err != nil:
		return "", err
	}
	if stranger, ok := notALake(entries); ok {
		return "", notLakeError(path, stranger)
	}
	return path, nil
}

func notLakeError(path, stranger string) error {
	return fmt.Errorf("%s is not a lake: it holds %q and no %s; choose an empty directory, or one that siglake wrote", path, stranger, metaDir)
}

// Open opens the lake at uri, a directory or a file:// address, and creates it
// when there is none. It refuses a directory that holds something else than a
// lake, and one that cannot be written to, before anything is bought for it.
//
// What an earlier process staged under the same run id is left in place, so
// that it can still be published.
func Open(ctx context.Context, uri string, o Options) (*Lake, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open lake %s: %w", uri, err)
	}
	path, err := localPath(uri)
	if err != nil {
		return nil, fmt.Errorf("open lake %q: %w", uri, err)
	}
	d, err := openDir(path, o.Hook)
	if err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	l := &Lake{
		options:    o,
		disk:       d,
		place:      &dirPlace{dir: d, scratch: stagingDir + "/" + o.RunID},
		scratch:    stagingDir + "/" + o.RunID,
		partitions: map[string]*partition{},
	}
	if err := l.lay(); err != nil {
		return nil, fmt.Errorf("open lake: %w", errors.Join(err, d.close()))
	}
	return l, nil
}

// lay makes the lake's own directories and proves that it can be written to.
func (l *Lake) lay() error {
	for _, dir := range []string{manifestDir, l.scratch} {
		if err := l.disk.mkdirAll(dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{metaDir, "."} {
		if err := l.disk.syncDir(dir); err != nil {
			return err
		}
	}
	probe := l.scratch + "/probe.tmp"
	err := l.disk.writeFile(probe, []byte("can this be written?\n"))
	return errors.Join(err, l.disk.remove(probe))
}

// localPath turns a lake's address into an absolute path.
func localPath(uri string) (string, error) {
	scheme, rest, isURI := strings.Cut(uri, "://")
	switch {
	case uri == "":
		return "", errors.New("no address; give a directory, for example ./lake")
	case !isURI:
		return filepath.Abs(uri)
	case scheme == "s3":
		return "", errors.New("lakes on S3 are not supported yet; write to a directory and copy it")
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

// openDir opens the lake's directory, creating it when it does not exist.
func openDir(path string, hook Hook) (*dir, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is a file; a lake is a directory: choose another path", path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	d := &dir{base: path, hook: hook}
	if err := d.do("mkdir", "", func() error { return makeDurable(path) }); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	if stranger, ok := notALake(entries); ok {
		return nil, notLakeError(path, stranger)
	}
	if d.root, err = os.OpenRoot(path); err != nil {
		return nil, err
	}
	return d, nil
}

// makeDurable makes a directory and whatever is missing above it, and syncs the
// directories that got a new name.
func makeDurable(path string) error {
	var parents []string
	for p := path; filepath.Dir(p) != p; p = filepath.Dir(p) {
		if _, err := os.Stat(p); err == nil {
			break
		}
		parents = append(parents, filepath.Dir(p))
	}
	//nolint:gosec // other people read the lake; the umask says how many
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	for _, p := range parents {
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// notALake finds a name that a lake would not have, in a directory that no lake
// has marked as its own. Names that readers skip are nobody's business.
func notALake(entries []fs.DirEntry) (stranger string, ok bool) {
	for _, e := range entries {
		if e.Name() == metaDir && e.IsDir() {
			return "", false
		}
	}
	i := slices.IndexFunc(entries, func(e fs.DirEntry) bool {
		name := e.Name()
		return name != dataDir && name != ledgerDir && name[0] != '.' && name[0] != '_'
	})
	if i < 0 {
		return "", false
	}
	return entries[i].Name(), true
}

// Sweep removes what runs that will not be published left in the scratch
// directory of the lake in a directory. Whoever calls it holds the lake alone;
// keep is the run that goes on.
func Sweep(uri, keep string) error {
	path, err := Check(uri)
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
