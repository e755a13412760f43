package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/siglake/siglake/internal/lease"
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

// lockingTime is how old a temporary directory without a lock is before another process may remove it: by
// then the process that created it has locked it.
const lockingTime = time.Minute

// temporaryPrefixes are those of the names of temporary directories.
var temporaryPrefixes = []string{"siglake-verify-", "siglake-export-", "siglake-demo-"}

// CreateTemporary creates a temporary directory with one of the known prefixes, and removes those of processes
// that were killed. remove removes the directory.
func CreateTemporary(prefix string) (dir string, remove func() error, err error) {
	for _, left := range temporaryPrefixes {
		sweepTemporary(left)
	}
	const tries = 3 // another process may take a directory that is not locked yet for one of a killed process
	for range tries {
		if dir, remove, err = lockTemporary(prefix); err == nil {
			return dir, remove, nil
		}
	}
	return "", nil, temporaryError("", err)
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

// temporaryError says why the directory for temporary files is of no use, and how to name another. The
// empty name is that directory.
func temporaryError(dir string, err error) error {
	if dir != "" || err == nil {
		return err
	}
	variable := "TMPDIR"
	if runtime.GOOS == "windows" {
		variable = "TMP"
	}
	return &Error{KindStorage, fmt.Errorf("temporary files cannot be written to %s: %w; let %s name a directory that exists and can be written", os.TempDir(), err, variable)}
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
