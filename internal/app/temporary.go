package app

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/siglake/siglake/internal/lease"
)

// createNameless creates a temporary file and removes its name, so that a process that is killed
// leaves nothing. Where open files keep their names, the name is returned and must be removed.
func createNameless(dir, pattern string) (f *os.File, name string, err error) {
	if f, err = os.CreateTemp(dir, pattern); err != nil {
		return nil, "", err
	}
	if os.Remove(f.Name()) != nil {
		name = f.Name()
	}
	return f, name, nil
}

// staleAfter is how old a temporary directory is before another process may remove it: by then the
// process that created it has locked it.
const staleAfter = time.Minute

// createTemporary creates a temporary directory, and removes those that processes left that were
// killed. remove removes the directory.
func createTemporary(prefix string) (dir string, remove func() error, err error) {
	sweepTemporary(prefix)
	root, err := os.MkdirTemp("", prefix+"*")
	if err != nil {
		return "", nil, err
	}
	lock, err := lease.AcquireFlock(root, prefix)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(root))
	}
	return filepath.Join(root, "content"), func() error { return errors.Join(os.RemoveAll(root), lock.Close()) }, nil
}

// sweepTemporary removes the directories of processes that have ended: theirs are not locked.
func sweepTemporary(prefix string) {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < staleAfter {
			continue
		}
		lock, err := lease.AcquireFlock(dir, prefix)
		if err != nil {
			continue // in use, or another user's
		}
		_ = errors.Join(os.RemoveAll(dir), lock.Close()) // what cannot be removed does no harm
	}
}
