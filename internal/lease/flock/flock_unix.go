//go:build unix && !solaris && !aix

package flock

import (
	"errors"
	"os"
	"syscall"
)

// TryLock takes the file's lock and reports whether it could. It does not wait.
func TryLock(f *os.File) (bool, error) { return try(f, syscall.LOCK_EX) }

// TryLockShared is TryLock for a lock that keeps out TryLock alone.
func TryLockShared(f *os.File) (bool, error) { return try(f, syscall.LOCK_SH) }

func try(f *os.File, kind int) (bool, error) {
	err := syscall.Flock(int(f.Fd()), kind|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// Lock waits for the file's lock. The wait cannot be cancelled, so it is for locks
// that are held only for a read and a write.
func Lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// Unlock releases the file's lock. Closing the file does, too.
func Unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
