package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/siglake/siglake/internal/lease"
	"github.com/siglake/siglake/internal/lease/flock"
)

// createNameless creates a temporary file and removes its name, so that a process that is killed
// leaves nothing. Where open files keep their names, the name is returned and must be removed.
func createNameless(dir, pattern string) (f *os.File, name string, err error) {
	if f, err = os.CreateTemp(dir, pattern); err != nil {
		return nil, "", temporaryError(dir, err)
	}
	if os.Remove(f.Name()) != nil {
		name = f.Name()
	}
	return f, name, nil
}

// temporarySuffix ends the names of temporary files that lie where they get their own name.
const temporarySuffix = ".tmp"

// createLocked creates a temporary file in the directory in which it gets its name, and removes those with the same prefix
// whose processes were killed: theirs are not locked. The umask limits its permissions to mode.
func createLocked(dir, prefix string, mode fs.FileMode) (*os.File, error) {
	sweepFiles(dir, prefix)
	f, err := os.OpenFile(filepath.Join(dir, prefix+rand.Text()+temporarySuffix), os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err == nil {
		_, _ = flock.TryLock(f) // where files cannot be locked, none is removed either
	}
	return f, err
}

// sweepFiles removes files of createLocked whose processes have ended.
func sweepFiles(dir, prefix string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // creating the file reports it
	}
	for _, entry := range entries {
		name := entry.Name()
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasPrefix(name, prefix) || !strings.HasSuffix(name, temporarySuffix) || time.Since(info.ModTime()) < lockingTime {
			continue
		}
		removeUnlocked(filepath.Join(dir, name))
	}
}

// removeUnlocked removes a file unless a process has locked it. What cannot be removed does no harm.
func removeUnlocked(name string) {
	f, err := os.OpenFile(name, os.O_RDWR, 0) //nolint:gosec // the folder is the user's
	if err != nil {
		return
	}
	locked, err := flock.TryLock(f)
	removable := locked && err == nil
	if err = f.Close(); removable && err == nil {
		_ = os.Remove(name)
	}
}

// lockingTime is how old a temporary directory without a lock is before another process may remove it: by
// then the process that created it has locked it.
const lockingTime = time.Minute

// temporaryPrefixes are those of the names of temporary directories.
var temporaryPrefixes = []string{"siglake-verify-", "siglake-export-", "siglake-demo-", sheetPrefix}

// sheetPrefix is that of a directory for the parts of an Excel workbook.
const sheetPrefix = "siglake-sheet-"

// createSheetDir creates a temporary directory for an Excel workbook. remove removes it.
func createSheetDir() (dir string, remove func() error, err error) {
	if dir, remove, err = createTemporary(sheetPrefix); err != nil {
		return "", nil, err
	}
	if err = os.Mkdir(dir, 0o700); err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return dir, remove, nil
}

// CreateTemporary creates a temporary directory with one of the known prefixes, and removes those of processes
// that were killed. remove removes the directory.
func CreateTemporary(prefix string) (dir string, remove func() error, err error) {
	if dir, remove, err = createTemporary(prefix); err != nil {
		return "", nil, temporaryError("", err)
	}
	return dir, remove, nil
}

func createTemporary(prefix string) (dir string, remove func() error, err error) {
	for _, left := range temporaryPrefixes {
		sweepTemporary(left)
	}
	const tries = 3 // another process may take a directory that is not locked yet for one of a killed process
	for range tries {
		if dir, remove, err = lockTemporary(prefix); err == nil {
			return dir, remove, nil
		}
	}
	return "", nil, err
}

func lockTemporary(prefix string) (dir string, remove func() error, err error) {
	root, err := os.MkdirTemp("", prefix+"*")
	if err != nil {
		return "", nil, err
	}
	lock, err := lease.AcquireFlock(root, prefix)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(root))
	}
	dir = filepath.Join(root, "content")
	return dir, func() error {
		err := os.RemoveAll(dir)
		_ = os.RemoveAll(root) // another process that takes it for abandoned removes it, too, and may create a lock there meanwhile
		return errors.Join(err, lock.Close())
	}, nil
}

// TemporaryError says that temporary files cannot be written: nothing is wrong with a lake or a list.
type TemporaryError struct {
	Dir string
	Err error
}

// Error names the directory, and the variable that names another.
func (e *TemporaryError) Error() string {
	variable := "TMPDIR"
	if runtime.GOOS == "windows" {
		variable = "TMP"
	}
	advice := "directory that exists and can be written"
	if errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT) {
		advice = "directory with more space"
	}
	return fmt.Sprintf("temporary files cannot be written to %s: %v; let %s name a %s", e.Dir, e.Err, variable, advice)
}

// Unwrap gives the cause.
func (e *TemporaryError) Unwrap() error { return e.Err }

// temporaryError is the error of creating a temporary file in a directory. The empty name is that of the
// system's directory for temporary files.
func temporaryError(dir string, err error) error {
	if dir != "" || err == nil {
		return err
	}
	return &Error{KindStorage, &TemporaryError{os.TempDir(), err}}
}

// belowTemporary is an error of work that writes to a temporary directory: if it is about a file there, it says so.
func belowTemporary(dir string, err error) error {
	path := new(fs.PathError)
	if !errors.As(err, &path) || !strings.HasPrefix(path.Path, dir) {
		return err
	}
	return temporaryError("", err)
}

// sweepTemporary removes the directories of processes that have ended: theirs are not locked.
func sweepTemporary(prefix string) {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		if !isAbandoned(dir) {
			continue
		}
		lock, err := lease.AcquireFlock(dir, prefix)
		if err != nil {
			continue // in use, or another user's
		}
		_ = errors.Join(os.RemoveAll(dir), lock.Close()) // what cannot be removed does no harm
	}
}

// isAbandoned reports whether a directory has a lock, which its process may have lost, or should have one by now.
func isAbandoned(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	if _, err := os.Lstat(filepath.Join(dir, "lock")); err == nil {
		return true
	}
	return time.Since(info.ModTime()) >= lockingTime
}
