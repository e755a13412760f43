package journal

import (
	"os"
	"syscall"
)

// fallocKeepSize is FALLOC_FL_KEEP_SIZE: blocks behind the end of the file, which stays
// where it is.
const fallocKeepSize = 1

func allocate(f *os.File, off, n int64) error {
	return withFD(f, func(fd int) error { return syscall.Fallocate(fd, fallocKeepSize, off, n) })
}

// syncData is enough for an append: it includes the file's size.
func syncData(f *os.File) error { return withFD(f, syscall.Fdatasync) }

func withFD(f *os.File, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	err = conn.Control(func(fd uintptr) {
		for callErr = call(int(fd)); callErr == syscall.EINTR; {
			callErr = call(int(fd))
		}
	})
	if err != nil {
		return err
	}
	return callErr
}
