//go:build unix && !solaris && !aix

package quota

import (
	"errors"
	"os"
	"syscall"
)

// lockFile waits for the file's lock. It is never held for longer than a read
// and a write of some kilobytes, and dies with its holder.
func lockFile(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func unlockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
