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

// place keeps a lake's visible objects. Names are relative to the lake, with
// slashes. The verbs are those that a directory and an object store with
// conditional writes both have: publication must not need a rename, a listing
// or an overwrite that cannot be conditioned.
type place interface {
	// promote makes a complete local file visible under name. It never replaces
	// anything: a name that is taken is fs.ErrExist.
	promote(ctx context.Context, staged, name string) error
	// settle returns when everything promoted so far is durable.
	settle(ctx context.Context) error
	// create keeps a small object under a name that must be free, durably;
	// fs.ErrExist when it is not.
	create(ctx context.Context, name string, data []byte) error
	// swap replaces a small object, durably, if it still holds old; nil means
	// that it must not exist. errMoved when it holds something else.
	swap(ctx context.Context, name string, old, data []byte) error
	// read gets a small object; fs.ErrNotExist when there is none.
	read(ctx context.Context, name string) ([]byte, error)
	// open gets an object for reading; fs.ErrNotExist when there is none.
	open(ctx context.Context, name string) (object, error)
	// prepare makes what must be there before anything is promoted, and proves
	// that it can be.
	prepare(ctx context.Context) error
	// walk gives the names of everything below a folder, or of everything, for
	// verification: no part of publication depends on it. A folder that is not
	// there holds nothing.
	walk(ctx context.Context, folder string) iter.Seq2[string, error]
	// width is how many objects may be promoted at once.
	width() int
}

// object is an object that is being read.
type object interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

var errMoved = errors.New("changed by somebody else in the meantime")

// dirPlace is a lake in a directory. Its scratch directory lies on the same
// file system, so promotion is a rename.
type dirPlace struct {
	*dir
	scratch string
	dirty   []string // directories with new entries, not synced yet
}

func (p *dirPlace) promote(_ context.Context, staged, name string) error {
	parent := path.Dir(name)
	if err := p.mkdirAll(parent); err != nil {
		return err
	}
	// Also when the name is taken: whoever took it may have died before it was
	// durable, or have been told that it failed.
	for ; parent != "."; parent = path.Dir(parent) {
		p.touch(parent)
	}
	p.touch(".")
	// A rename would replace silently. Only this run uses the name, so looking
	// first is enough.
	switch exists, err := p.exists(name); {
	case err != nil:
		return err
	case exists:
		return p.wrap("rename", name, fs.ErrExist)
	}
	return p.rename(staged, name)
}

func (p *dirPlace) touch(dir string) {
	if !slices.Contains(p.dirty, dir) {
		p.dirty = append(p.dirty, dir)
	}
}

func (p *dirPlace) settle(context.Context) error {
	for len(p.dirty) > 0 {
		last := len(p.dirty) - 1
		if err := p.syncDir(p.dirty[last]); err != nil {
			return err
		}
		p.dirty = p.dirty[:last]
	}
	return nil
}

func (p *dirPlace) create(_ context.Context, name string, data []byte) error {
	tmp := p.scratch + "/" + path.Base(name) + ".tmp"
	if err := p.writeFile(tmp, data); err != nil {
		return err
	}
	err := p.link(tmp, name)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		// Some file systems have no hard links. Without them the name is looked
		// up first, which leaves a moment in which two writers can collide.
		exists, lookErr := p.exists(name)
		switch {
		case lookErr != nil:
			return lookErr
		case exists:
			err = p.wrap("link", name, fs.ErrExist)
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

func (p *dirPlace) swap(ctx context.Context, name string, old, data []byte) error {
	tmp := p.scratch + "/" + path.Base(name) + ".tmp"
	if err := p.writeFile(tmp, data); err != nil {
		return err
	}
	now, err := p.read(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(now, old) {
		return p.wrap("replace", name, errMoved)
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

func (p *dirPlace) read(_ context.Context, name string) (data []byte, err error) {
	err = p.do("read", name, func() error {
		data, err = p.root.ReadFile(name)
		return err
	})
	return data, err
}

func (p *dirPlace) open(_ context.Context, name string) (object, error) {
	return p.dir.open(name)
}

func (p *dirPlace) prepare(context.Context) error {
	if err := errors.Join(p.mkdirAll(manifestDir), p.mkdirAll(snapshotDir)); err != nil {
		return err
	}
	return errors.Join(p.syncDir(metaDir), p.syncDir("."))
}

func (p *dirPlace) walk(_ context.Context, folder string) iter.Seq2[string, error] {
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

func (p *dirPlace) width() int { return 1 } // a rename is quick, and what it leaves to settle is kept in one list

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

func (d *dir) path(name string) string { return filepath.Join(d.base, filepath.FromSlash(name)) }

func (d *dir) do(op, name string, f func() error) error {
	return d.wrap(op, name, d.hook(op, d.path(name), f))
}

// wrap names operation and path once, whatever the error says already.
func (d *dir) wrap(op, name string, err error) error {
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
	return &fs.PathError{Op: op, Path: d.path(name), Err: err}
}

func (d *dir) mkdirAll(name string) error {
	return d.do("mkdir", name, func() error { return d.root.MkdirAll(name, 0o777) })
}

func (d *dir) rename(from, to string) error {
	return d.do("rename", to, func() error { return d.root.Rename(from, to) })
}

func (d *dir) link(from, to string) error {
	return d.do("link", to, func() error { return d.root.Link(from, to) })
}

func (d *dir) remove(name string) error {
	return d.do("remove", name, func() error {
		if err := d.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

func (d *dir) removeAll(name string) error {
	return d.do("remove", name, func() error { return d.root.RemoveAll(name) })
}

// prune removes a directory if it is empty.
func (d *dir) prune(name string) { _ = d.root.Remove(name) }

func (d *dir) exists(name string) (bool, error) {
	err := d.do("stat", name, func() error {
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
	return d.do("syncdir", name, func() error {
		f, err := d.root.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// writeFile writes and syncs a whole file, replacing what was there.
func (d *dir) writeFile(name string, data []byte) error {
	f, err := d.create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.finish()
}

// file is a file that is being written or read.
type file struct {
	dir  *dir
	name string
	f    *os.File
	size int64
}

// create opens a file for writing and empties it. Only names that end in .tmp
// are ever written to: everything else appears complete.
func (d *dir) create(name string) (*file, error) {
	if !strings.HasSuffix(name, ".tmp") {
		return nil, fmt.Errorf("create %s: only .tmp files are written in place", d.path(name))
	}
	f := &file{dir: d, name: name}
	err := d.do("create", name, func() (err error) {
		f.f, err = d.root.Create(name)
		return err
	})
	if err != nil {
		f.drop()
		return nil, err
	}
	return f, nil
}

func (d *dir) open(name string) (*file, error) {
	f := &file{dir: d, name: name}
	err := d.do("open", name, func() (err error) {
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
		f.drop()
		return nil, err
	}
	return f, nil
}

// drop closes a file whose content does not matter any more.
func (f *file) drop() {
	if f.f != nil {
		_ = f.f.Close()
	}
}

// Size is what has been written, or what there was when the file was opened.
func (f *file) Size() int64 { return f.size }

func (f *file) Write(p []byte) (n int, err error) {
	err = f.dir.do("write", f.name, func() error {
		n, err = f.f.Write(p)
		return err
	})
	f.size += int64(n)
	return n, err
}

func (f *file) Read(p []byte) (n int, err error) {
	return n, f.reading(func() error { n, err = f.f.Read(p); return err })
}

// ReadAt is for readers of Parquet files, who jump.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	return n, f.reading(func() error { n, err = f.f.ReadAt(p, off); return err })
}

// reading keeps io.EOF as it is: readers compare it.
func (f *file) reading(read func() error) error {
	err := f.dir.hook("read", f.dir.path(f.name), read)
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return f.dir.wrap("read", f.name, err)
}

// finish makes the file's content durable and closes it.
func (f *file) finish() error {
	if err := f.dir.do("sync", f.name, f.f.Sync); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// Close closes the file, even if it has to say that closing failed.
func (f *file) Close() error {
	err := f.dir.do("close", f.name, f.f.Close)
	if err != nil {
		f.drop() // a second time is harmless; a hook may have prevented the first
	}
	return err
}
