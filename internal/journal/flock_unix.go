//go:build unix

package journal

import (
	"errors"
	"os"
	"syscall"
)

// tryFlock takes the file's advisory lock, which ends with the process.
func tryFlock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
