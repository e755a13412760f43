package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/siglake/siglake/internal/durable"
)

// dirBackend is a lake in a directory. Its scratch directory lies on the same
// file system, so publishing a file is a rename.
type dirBackend struct {
	*durable.Dir
	runDir   string
	unsynced []string // directories with new entries, not synced yet
}

func (p *dirBackend) publishFile(_ context.Context, staged, name string) error {
	parent := path.Dir(name)
	if err := p.MkdirAll(parent); err != nil {
		return err
	}
	// Also when the name is taken: the process that took it may have died before the
	// name was durable, or may have received an error.
	for ; parent != "."; parent = path.Dir(parent) {
		p.markUnsynced(parent)
	}
	p.markUnsynced(".")
	// A rename would replace silently. Only this run uses the name, so checking
	// first is enough.
	switch exists, err := p.Exists(name); {
	case err != nil:
		return err
	case exists:
		return p.PathError("rename", name, fs.ErrExist)
	}
	return p.Rename(staged, name)
}

func (p *dirBackend) markUnsynced(dir string) {
	if !slices.Contains(p.unsynced, dir) {
		p.unsynced = append(p.unsynced, dir)
	}
}

func (p *dirBackend) syncPublished(context.Context) error {
	for len(p.unsynced) > 0 {
		last := len(p.unsynced) - 1
		if err := p.SyncDir(p.unsynced[last]); err != nil {
			return err
		}
		p.unsynced = p.unsynced[:last]
	}
	return nil
}

func (p *dirBackend) createObject(_ context.Context, name string, data []byte) error {
	if exists, err := p.Exists(path.Dir(name)); err != nil {
		return err
	} else if !exists {
		if err := p.MkdirAll(path.Dir(name)); err != nil { // durable below
			return err
		}
	}
	tmp := p.runDir + "/" + path.Base(name) + ".tmp"
	if err := p.WriteFile(tmp, data); err != nil {
		return err
	}
	err := p.Link(tmp, name)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		// Some file systems have no hard links. There the name is looked up
		// first, which leaves a moment in which two writers can collide.
		exists, statErr := p.Exists(name)
		switch {
		case statErr != nil:
			return statErr
		case exists:
			err = p.PathError("link", name, fs.ErrExist)
		case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission):
			err = p.Rename(tmp, name)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Also when the name is taken, as in publishFile.
	if err := errors.Join(p.SyncDir(path.Dir(name)), p.SyncDir(path.Dir(path.Dir(name)))); err != nil {
		return err
	}
	return err
}

func (p *dirBackend) swapObject(ctx context.Context, name string, old, data []byte) error {
	tmp := p.runDir + "/" + path.Base(name) + ".tmp"
	if err := p.WriteFile(tmp, data); err != nil {
		return err
	}
	stored, err := p.readObject(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(stored, old) {
		return p.PathError("replace", name, errChanged)
	}
	// The manifest that the new content names may come from a process that died before
	// the name was durable, or that received an error.
	if err := errors.Join(p.SyncDir(manifestDir), p.SyncDir(path.Dir(manifestDir))); err != nil {
		return err
	}
	if err := p.Rename(tmp, name); err != nil {
		return err
	}
	return p.SyncDir(path.Dir(name))
}

func (p *dirBackend) readObject(_ context.Context, name string) ([]byte, error) {
	if err := p.checkRegular(name); err != nil {
		return nil, err
	}
	return p.ReadFile(name)
}

func (p *dirBackend) openObject(_ context.Context, name string) (object, error) {
	if err := p.checkRegular(name); err != nil {
		return nil, err
	}
	return p.Open(name)
}

// checkRegular refuses what is no file of siglake's, and whose reading may fail like a disk, or never end.
func (p *dirBackend) checkRegular(name string) error {
	info, err := fs.Lstat(p.FS(), name)
	if err != nil {
		return nil //nolint:nilerr // reading reports it
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if _, err := fs.Stat(p.FS(), name); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return &RemedyError{fmt.Errorf("%w: %s is a symbolic link that leads out of the lake, which siglake does not follow: put the file itself in its place", ErrIntegrity, name)}
		}
		return nil
	}
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return fmt.Errorf("%w: %s is a directory, and should be a file", ErrIntegrity, name)
	}
	return fmt.Errorf("%w: %s is not a file but %s", ErrIntegrity, name, info.Mode().Type())
}

func (p *dirBackend) prepareWrites(context.Context) error {
	if err := errors.Join(p.MkdirAll(manifestDir), p.MkdirAll(snapshotDir)); err != nil {
		return err
	}
	if err := errors.Join(p.SyncDir(metaDir), p.SyncDir(".")); err != nil {
		return err
	}
	dirs := []string{".", metaDir, manifestDir, snapshotDir}
	for _, top := range publishedDirs {
		below, err := p.findTableDirs(top)
		if err != nil {
			return err
		}
		dirs = append(dirs, below...)
	}
	for _, dir := range dirs {
		if err := p.ProbeDir(dir); err != nil {
			return fmt.Errorf("the lake cannot be written: %w; change the permissions of that directory, or mount it writable", err)
		}
	}
	return nil
}

// findTableDirs lists a folder and those of the tables in it. Partitions are not listed: there may
// be thousands, of which a run touches few.
func (p *dirBackend) findTableDirs(folder string) (dirs []string, err error) {
	depth := strings.Count(folder, "/") + 1
	if folder == compactDir {
		depth++ // its tables are in compact/data and compact/ledger
	}
	err = fs.WalkDir(p.FS(), folder, func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name == folder:
			return nil
		case err != nil:
			return err
		case !d.IsDir() && name == folder:
			return p.PathError("open", name, syscall.ENOTDIR)
		case !d.IsDir():
			return nil
		}
		dirs = append(dirs, name)
		if strings.Count(name, "/") == depth {
			return fs.SkipDir
		}
		return nil
	})
	return dirs, err
}

func (p *dirBackend) listNames(_ context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if folder == "" {
			folder = "."
		}
		err := fs.WalkDir(p.FS(), folder, func(name string, d fs.DirEntry, err error) error {
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

// removeObject removes a file, and the directory of a partition that is empty then.
func (p *dirBackend) removeObject(_ context.Context, name string) error {
	if err := p.Remove(name); err != nil {
		return err
	}
	for dir := path.Dir(name); strings.Contains(dir, "="); dir = path.Dir(dir) {
		p.RemoveEmpty(dir)
	}
	return nil
}

func (p *dirBackend) maxParallel() int { return 1 } // a rename is quick, and unsynced is one list
