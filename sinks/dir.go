package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The names inside a lake.
const (
	dataDir     = "data"
	ledgerDir   = "ledger"
	compactDir  = "compact"
	metaDir     = "_meta"
	manifestDir = metaDir + "/manifest"
	snapshotDir = metaDir + "/snapshot"
	currentFile = metaDir + "/current.json"
	stagingDir  = "_staging"
)

// backend keeps a lake's visible objects. Names are relative to the lake, with
// slashes. The verbs are those that a directory and an object store with
// conditional writes both have: publication must not need a rename, a listing
// or an overwrite that cannot be conditioned.
type backend interface {
	// publishFile makes a complete local file visible under name. It never replaces
	// anything: a name that is taken is fs.ErrExist.
	publishFile(ctx context.Context, staged, name string) error
	// syncPublished returns when everything promoted so far is durable.
	syncPublished(ctx context.Context) error
	// createObject keeps a small object under a name that must be free, durably;
	// fs.ErrExist when it is not.
	createObject(ctx context.Context, name string, data []byte) error
	// swapObject replaces a small object, durably, if it still holds old; nil means
	// that it must not exist. errChanged when it holds something else.
	swapObject(ctx context.Context, name string, old, data []byte) error
	// readObjectRows gets a small object; fs.ErrNotExist when there is none.
	readObject(ctx context.Context, name string) ([]byte, error)
	// openObject gets an object for reading; fs.ErrNotExist when there is none.
	openObject(ctx context.Context, name string) (object, error)
	// prepareWrites makes what must be there before anything is promoted, and proves
	// that it can be.
	prepareWrites(ctx context.Context) error
	// listNames gives the names of everything below a folder, or of everything, for
	// verification: no part of publication depends on it. A folder that is not
	// there holds nothing.
	listNames(ctx context.Context, folder string) iter.Seq2[string, error]
	// maxParallel is how many objects may be promoted at once.
	maxParallel() int
}

// object is an object that is being read.
type object interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

var errChanged = errors.New("changed by somebody else in the meantime")

// dirBackend is a lake in a directory. Its scratch directory lies on the same
// file system, so promotion is a rename.
type dirBackend struct {
	*dir
	runDir   string
	unsynced []string // directories with new entries, not synced yet
}

func (p *dirBackend) publishFile(_ context.Context, staged, name string) error {
	parent := path.Dir(name)
	if err := p.mkdirAll(parent); err != nil {
		return err
	}
	// Also when the name is taken: whoever took it may have died before it was
	// durable, or have been told that it failed.
	for ; parent != "."; parent = path.Dir(parent) {
		p.markUnsynced(parent)
	}
	p.markUnsynced(".")
	// A rename would replace silently. Only this run uses the name, so looking
	// first is enough.
	switch exists, err := p.exists(name); {
	case err != nil:
		return err
	case exists:
		return p.pathError("rename", name, fs.ErrExist)
	}
	return p.rename(staged, name)
}

func (p *dirBackend) markUnsynced(dir string) {
	if !slices.Contains(p.unsynced, dir) {
		p.unsynced = append(p.unsynced, dir)
	}
}

func (p *dirBackend) syncPublished(context.Context) error {
	for len(p.unsynced) > 0 {
		last := len(p.unsynced) - 1
		if err := p.syncDir(p.unsynced[last]); err != nil {
			return err
		}
		p.unsynced = p.unsynced[:last]
	}
	return nil
}

func (p *dirBackend) createObject(_ context.Context, name string, data []byte) error {
	tmp := p.runDir + "/" + path.Base(name) + ".tmp"
	if err := p.writeFile(tmp, data); err != nil {
		return err
	}
	err := p.link(tmp, name)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		// Some file systems have no hard links. Without them the name is looked
		// up first, which leaves a moment in which two writers can collide.
		exists, statErr := p.exists(name)
		switch {
		case statErr != nil:
			return statErr
		case exists:
			err = p.pathError("link", name, fs.ErrExist)
		case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission):
			err = p.rename(tmp, name)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Also when the name is taken, as in promote.
	if err := errors.Join(p.syncDir(path.Dir(name)), p.syncDir(path.Dir(path.Dir(name)))); err != nil {
		return err
	}
	return err
}

func (p *dirBackend) swapObject(ctx context.Context, name string, old, data []byte) error {
	tmp := p.runDir + "/" + path.Base(name) + ".tmp"
	if err := p.writeFile(tmp, data); err != nil {
		return err
	}
	stored, err := p.readObject(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(stored, old) {
		return p.pathError("replace", name, errChanged)
	}
	// What the new content names may be there because of a process that died
	// before the name was durable, or that was told that it failed.
	if err := errors.Join(p.syncDir(manifestDir), p.syncDir(path.Dir(manifestDir))); err != nil {
		return err
	}
	if err := p.rename(tmp, name); err != nil {
		return err
	}
	return p.syncDir(path.Dir(name))
}

func (p *dirBackend) readObject(_ context.Context, name string) (data []byte, err error) {
	err = p.runHooked("read", name, func() error {
		data, err = p.root.ReadFile(name)
		return err
	})
	return data, err
}

func (p *dirBackend) openObject(_ context.Context, name string) (object, error) {
	return p.dir.open(name)
}

func (p *dirBackend) prepareWrites(context.Context) error {
	if err := errors.Join(p.mkdirAll(manifestDir), p.mkdirAll(snapshotDir)); err != nil {
		return err
	}
	return errors.Join(p.syncDir(metaDir), p.syncDir("."))
}

func (p *dirBackend) listNames(_ context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if folder == "" {
			folder = "."
		}
		err := fs.WalkDir(p.root.FS(), folder, func(name string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist) && name == folder:
				return nil
			case err != nil:
				return err
			case d.IsDir():
				return nil
			case !yield(name, nil):
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield("", err)
		}
	}
}

func (p *dirBackend) maxParallel() int { return 1 } // a rename is quick, and what it leaves to settle is kept in one list

// Hook stands around one operation on the file system: it calls do, or returns
// an error in its place, or calls it and returns an error all the same. The
// operations are create, open, write, read, sync, close, mkdir, rename, link,
// remove, stat and syncdir; path is absolute.
type Hook func(op, path string, do func() error) error

// dir is a directory and the operations on what is below it. Its errors are
// *fs.PathError with the operation and the absolute path.
type dir struct {
	root *os.Root
	base string
	hook Hook
}

func (d *dir) close() error { return d.root.Close() }

func (d *dir) absPath(name string) string { return filepath.Join(d.base, filepath.FromSlash(name)) }

func (d *dir) runHooked(op, name string, f func() error) error {
	return d.pathError(op, name, d.hook(op, d.absPath(name), f))
}

// pathError names operation and path once, whatever the error says already.
func (d *dir) pathError(op, name string, err error) error {
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
	return &fs.PathError{Op: op, Path: d.absPath(name), Err: err}
}

func (d *dir) mkdirAll(name string) error {
	return d.runHooked("mkdir", name, func() error { return d.root.MkdirAll(name, 0o777) })
}

func (d *dir) rename(from, to string) error {
	return d.runHooked("rename", to, func() error { return d.root.Rename(from, to) })
}

func (d *dir) link(from, to string) error {
	return d.runHooked("link", to, func() error { return d.root.Link(from, to) })
}

func (d *dir) remove(name string) error {
	return d.runHooked("remove", name, func() error {
		if err := d.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

func (d *dir) removeAll(name string) error {
	return d.runHooked("remove", name, func() error { return d.root.RemoveAll(name) })
}

// removeEmpty removes a directory if it is empty.
func (d *dir) removeEmpty(name string) { _ = d.root.Remove(name) }

func (d *dir) exists(name string) (bool, error) {
	err := d.runHooked("stat", name, func() error {
		_, err := d.root.Lstat(name)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// syncDir makes the names in a directory durable.
func (d *dir) syncDir(name string) error {
	return d.runHooked("syncdir", name, func() error {
		f, err := d.root.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// writeFile writes and syncs a whole file, replacing what was there.
func (d *dir) writeFile(name string, data []byte) error {
	f, err := d.createTemp(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.syncAndClose()
}

// file is a file that is being written or read.
type file struct {
	dir  *dir
	name string
	f    *os.File
	size int64
}

// createTemp opens a file for writing and empties it. Only names that end in .tmp
// are ever written to: everything else appears complete.
func (d *dir) createTemp(name string) (*file, error) {
	if !strings.HasSuffix(name, ".tmp") {
		return nil, fmt.Errorf("create %s: only .tmp files are written in place", d.absPath(name))
	}
	f := &file{dir: d, name: name}
	err := d.runHooked("create", name, func() (err error) {
		f.f, err = d.root.Create(name)
		return err
	})
	if err != nil {
		f.discard()
		return nil, err
	}
	return f, nil
}

func (d *dir) open(name string) (*file, error) {
	f := &file{dir: d, name: name}
	err := d.runHooked("open", name, func() (err error) {
		if f.f, err = d.root.Open(name); err != nil {
			return err
		}
		info, err := f.f.Stat()
		if err != nil {
			return err
		}
		f.size = info.Size()
		return nil
	})
	if err != nil {
		f.discard()
		return nil, err
	}
	return f, nil
}

// discard closes a file whose content does not matter any more.
func (f *file) discard() {
	if f.f != nil {
		_ = f.f.Close()
	}
}

// Size is what has been written, or what there was when the file was opened.
func (f *file) Size() int64 { return f.size }

func (f *file) Write(p []byte) (n int, err error) {
	err = f.dir.runHooked("write", f.name, func() error {
		n, err = f.f.Write(p)
		return err
	})
	f.size += int64(n)
	return n, err
}

func (f *file) Read(p []byte) (n int, err error) {
	return n, f.readHooked(func() error { n, err = f.f.Read(p); return err })
}

// ReadAt is for readers of Parquet files, who jump.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	return n, f.readHooked(func() error { n, err = f.f.ReadAt(p, off); return err })
}

// readHooked keeps io.EOF as it is: readers compare it.
func (f *file) readHooked(read func() error) error {
	err := f.dir.hook("read", f.dir.absPath(f.name), read)
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return f.dir.pathError("read", f.name, err)
}

// syncAndClose makes the file's content durable and closes it.
func (f *file) syncAndClose() error {
	if err := f.dir.runHooked("sync", f.name, f.f.Sync); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// Close closes the file, even if it has to say that closing failed.
func (f *file) Close() error {
	err := f.dir.runHooked("close", f.name, f.f.Close)
	if err != nil {
		f.discard() // a second time is harmless; a hook may have prevented the first
	}
	return err
}
