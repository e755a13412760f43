// Package durable provides crash-safe file operations for lakes and write-ahead logs:
// what must survive a power cut is synced, names included. Each operation can be
// intercepted by a [Hook], and each error names operation and absolute path once.
//
// A [Dir] confines names to one directory. It does not decide when to sync: a
// name is durable after [Dir.SyncDir] of its parent, content after [File.Sync].
// Only [MkdirAll] and [Dir.WriteFile] sync without being asked to.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
)

// Hook surrounds one operation on the file system: it calls do, returns an error
// instead, or calls do and returns an error nevertheless. The operations are
// mkdir, list, stat, create, open, read, write, allocate, truncate, sync, close,
// link, rename, remove, syncdir and probe; path is absolute. A nil Hook does nothing.
type Hook func(op, path string, do func() error) error

// run runs an operation under the hook.
func (h Hook) run(op, path string, do func() error) error {
	if h == nil {
		return do()
	}
	return h(op, path, do)
}

// pathError names operation and path once, whatever the error says already.
func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	switch {
	case errors.As(err, &pathErr):
		err = pathErr.Err
	case errors.As(err, &linkErr):
		err = linkErr.Err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// MkdirAll creates a directory and its missing parents, and makes their names
// durable. The umask applies to perm.
func MkdirAll(path string, perm fs.FileMode, hook Hook) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := MkdirAll(parent, perm, hook); err != nil {
		return err
	}
	err = pathError("mkdir", path, hook.run("mkdir", path, func() error { return os.Mkdir(path, perm) }))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return pathError("syncdir", parent, hook.run("syncdir", parent, func() error { return syncDir(os.Open(parent)) }))
}

func syncDir(f *os.File, err error) error {
	if err != nil {
		return err
	}
	defer f.Close()
	if runtime.GOOS == "windows" {
		return nil // which cannot sync directories
	}
	return f.Sync()
}

// Dir is a directory and the operations on what is below it. Names are relative
// to it, with slashes, and cannot lead out of it. It may be used concurrently.
type Dir struct {
	root *os.Root
	base string // absolute
	hook Hook
}

// Open opens an existing directory; [MkdirAll] creates one.
func Open(path string, hook Hook) (*Dir, error) {
	base, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return nil, err
	}
	return &Dir{root: root, base: base, hook: hook}, nil
}

// Close releases the directory. Open files stay open.
func (d *Dir) Close() error { return d.root.Close() }

// AbsPath returns the absolute path of a name.
func (d *Dir) AbsPath(name string) string { return filepath.Join(d.base, filepath.FromSlash(name)) }

// FS returns the files below the directory, for walking them: no hook sees its
// operations.
func (d *Dir) FS() fs.FS { return d.root.FS() }

// PathError returns err as an *fs.PathError of an operation on a name, nil for nil.
func (d *Dir) PathError(op, name string, err error) error {
	return pathError(op, d.AbsPath(name), err)
}

// RunHooked runs an operation on a name under the hook. It is for callers that
// combine several calls to one operation.
func (d *Dir) RunHooked(op, name string, do func() error) error {
	return d.PathError(op, name, d.hook.run(op, d.AbsPath(name), do))
}

// MkdirAll creates a directory and its missing parents. Their names are durable
// after SyncDir.
func (d *Dir) MkdirAll(name string) error {
	return d.RunHooked("mkdir", name, func() error { return d.root.MkdirAll(name, 0o777) })
}

// ReadDir lists a directory, sorted by name.
func (d *Dir) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = d.RunHooked("list", name, func() error {
		entries, err = fs.ReadDir(d.root.FS(), name)
		return err
	})
	return entries, err
}

// Exists reports whether a name is taken.
func (d *Dir) Exists(name string) (bool, error) {
	err := d.RunHooked("stat", name, func() error {
		_, err := d.root.Lstat(name)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Rename renames a file, and replaces any file named to.
func (d *Dir) Rename(from, to string) error {
	return d.RunHooked("rename", to, func() error { return d.root.Rename(from, to) })
}

// RenameNew renames a file; fs.ErrExist when to is taken. Between its two steps
// another process can take the name: callers hold a lock.
func (d *Dir) RenameNew(from, to string) error {
	return d.RunHooked("rename", to, func() error {
		if _, err := d.root.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			return fs.ErrExist
		}
		return d.root.Rename(from, to)
	})
}

// Link gives a file a second name; fs.ErrExist when it is taken. File systems
// without hard links answer errors.ErrUnsupported or fs.ErrPermission.
func (d *Dir) Link(from, to string) error {
	return d.RunHooked("link", to, func() error { return d.root.Link(from, to) })
}

// Remove removes a file or an empty directory. A name that does not exist is no
// error.
func (d *Dir) Remove(name string) error {
	return d.RunHooked("remove", name, func() error {
		if err := d.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// RemoveAll removes a name and everything below it.
func (d *Dir) RemoveAll(name string) error {
	return d.RunHooked("remove", name, func() error { return d.root.RemoveAll(name) })
}

// RemoveEmpty removes a directory if it is empty. No hook sees it.
func (d *Dir) RemoveEmpty(name string) { _ = d.root.Remove(name) }

// ProbeDir proves that a directory takes new names: it creates an empty directory in it, with a
// name that readers skip, and removes it. One that a crash left is removed by the next probe.
func (d *Dir) ProbeDir(name string) error {
	probe := path.Join(name, ".siglake-probe")
	return d.RunHooked("probe", name, func() error {
		err := d.root.Mkdir(probe, 0o700)
		if err == nil || errors.Is(err, fs.ErrExist) {
			err = d.root.Remove(probe)
		}
		return err
	})
}

// SyncDir makes the names in a directory durable; "." is the Dir itself.
func (d *Dir) SyncDir(name string) error {
	return d.RunHooked("syncdir", name, func() error { return syncDir(d.root.Open(name)) })
}

// ReadFile reads a whole file.
func (d *Dir) ReadFile(name string) (data []byte, err error) {
	err = d.RunHooked("read", name, func() error {
		data, err = d.root.ReadFile(name)
		return err
	})
	return data, err
}

// WriteFile writes and syncs a whole file, replacing its content. Its name is
// durable after SyncDir.
func (d *Dir) WriteFile(name string, data []byte) error {
	f, err := d.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.SyncAndClose()
}
