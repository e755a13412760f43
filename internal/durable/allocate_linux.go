package durable

import (
	"os"
	"syscall"
)

// keepSize is FALLOC_FL_KEEP_SIZE: blocks behind the end of the file, which stays
// where it is.
const keepSize = 1

func allocate(f *os.File, off, n int64) error {
	return control(f, func(fd int) error { return syscall.Fallocate(fd, keepSize, off, n) })
}

// datasync is enough for an append: it includes the file's size.
func datasync(f *os.File) error { return control(f, syscall.Fdatasync) }

func control(f *os.File, call func(fd int) error) error {
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
