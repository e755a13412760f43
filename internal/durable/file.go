package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/siglake/siglake/internal/lease/flock"
)

// File is an open file of a [Dir].
type File struct {
	dir  *Dir
	name string
	file *os.File
	size int64

	locked bool
}

// Create opens a file for reading and writing and empties it.
func (d *Dir) Create(name string) (*File, error) {
	return d.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// Open opens a file for reading.
func (d *Dir) Open(name string) (*File, error) { return d.OpenFile(name, os.O_RDONLY, 0) }

// OpenFile opens a file as [os.OpenFile] does. The operation is create if flag
// has os.O_CREATE, else open. Only names that end in .tmp can be created: every
// other name appears by Link or Rename, and so complete.
func (d *Dir) OpenFile(name string, flag int, perm fs.FileMode) (*File, error) {
	op := "open"
	if flag&os.O_CREATE != 0 {
		op = "create"
		if !strings.HasSuffix(name, ".tmp") {
			return nil, fmt.Errorf("create %s: only .tmp files are written in place", d.AbsPath(name))
		}
	}
	f := &File{dir: d, name: name}
	err := d.RunHooked(op, name, func() (err error) {
		if f.file, err = d.root.OpenFile(name, flag, perm); err != nil {
			return err
		}
		info, err := f.file.Stat()
		if err != nil {
			return err
		}
		f.size = info.Size()
		return nil
	})
	if err != nil {
		f.Discard()
		return nil, err
	}
	return f, nil
}

// Name returns the file's name in its Dir.
func (f *File) Name() string { return f.name }

// SetName records the name under which a Link or Rename has published the file. Hooks
// and errors use it from then on.
func (f *File) SetName(name string) { f.name = name }

// Size returns the file's size when it was opened, or the end of what has been
// written since.
func (f *File) Size() int64 { return f.size }

// Write appends to what has been written.
func (f *File) Write(p []byte) (n int, err error) {
	err = f.dir.RunHooked("write", f.name, func() error {
		n, err = f.file.Write(p)
		return err
	})
	f.size += int64(n)
	return n, err
}

// WriteAt writes at an offset.
func (f *File) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.dir.RunHooked("write", f.name, func() error {
		n, err = f.file.WriteAt(p, off)
		return err
	})
	f.size = max(f.size, off+int64(n))
	return n, err
}

// Read reads the next bytes; io.EOF is returned as it is.
func (f *File) Read(p []byte) (n int, err error) {
	return n, f.readHooked(func() error { n, err = f.file.Read(p); return err })
}

// ReadAt reads at an offset; io.EOF is returned as it is.
func (f *File) ReadAt(p []byte, off int64) (n int, err error) {
	return n, f.readHooked(func() error { n, err = f.file.ReadAt(p, off); return err })
}

// readHooked leaves io.EOF unwrapped: readers compare it.
func (f *File) readHooked(read func() error) error {
	err := f.dir.hook.run("read", f.dir.AbsPath(f.name), read)
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return f.dir.PathError("read", f.name, err)
}

// Allocate makes the n bytes from off on exist on the disk, reading as zeros,
// without changing the file's size. Where the system cannot, the error is
// errors.ErrUnsupported.
func (f *File) Allocate(off, n int64) error {
	return f.dir.RunHooked("allocate", f.name, func() error { return allocate(f.file, off, n) })
}

// Truncate cuts or extends the file.
func (f *File) Truncate(size int64) error {
	err := f.dir.RunHooked("truncate", f.name, func() error { return f.file.Truncate(size) })
	if err == nil {
		f.size = size
	}
	return err
}

// Sync makes the file's content durable.
func (f *File) Sync() error { return f.dir.RunHooked("sync", f.name, f.file.Sync) }

// SyncData makes the file's content and size durable, but not its times. For
// hooks it is a sync, too.
func (f *File) SyncData() error {
	return f.dir.RunHooked("sync", f.name, func() error { return datasync(f.file) })
}

// SyncAndClose makes the file's content durable and closes it, in any case.
func (f *File) SyncAndClose() error {
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// TryLock takes the file's lock, which ends with the process or when the file is closed, and
// reports whether it could. It does not wait. The error is errors.ErrUnsupported where files
// cannot be locked. No hook sees it.
func (f *File) TryLock() (bool, error) {
	locked, err := flock.TryLock(f.file)
	f.locked = locked
	return locked, f.dir.PathError("lock", f.name, err)
}

// HasName reports whether the file's name still leads to the file: it may have been removed, or
// replaced by another one. No hook sees it.
func (f *File) HasName() (bool, error) {
	named, err := f.dir.root.Lstat(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, f.dir.PathError("stat", f.name, err)
	}
	opened, err := f.file.Stat()
	return err == nil && os.SameFile(named, opened), f.dir.PathError("stat", f.name, err)
}

// Close closes the file, even when it reports an error.
func (f *File) Close() error {
	err := f.dir.RunHooked("close", f.name, f.closeFile)
	if err != nil {
		f.Discard() // a second close is harmless; a hook may have prevented the first
	}
	return err
}

// closeFile closes the file, and releases its lock first: a child process that is being started at this moment holds the
// file open a little longer, and with it the lock.
func (f *File) closeFile() error {
	if f.locked {
		_ = flock.Unlock(f.file) // closing releases it, too
	}
	return f.file.Close()
}

// Discard closes a file that is no longer needed. No hook sees it.
func (f *File) Discard() {
	if f.file != nil {
		_ = f.closeFile()
	}
}
