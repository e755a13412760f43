package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Hook stands around one operation on the file system: it calls do, or returns
// an error in its place, or calls it and returns an error all the same. The
// operations are mkdir, list, create, open, read, allocate, write, sync,
// truncate, link, rename, remove, close and syncdir; path is absolute.
type Hook func(op, path string, do func() error) error

// Dir is a [Store] in a directory, one file per segment. A file begins with a
// block that holds a magic word and, in two sectors of their own, how much of
// the content behind the block is durable.
type Dir struct {
	root *os.Root
	base string
	hook Hook
}

const (
	segmentSuffix = ".journal"
	tempFile      = "next.tmp" // a segment in the making
	dirMagic      = "siglkdir"
	dirBlockSize  = 4096
	watermarkSize = 16 // u64 durable, u32 CRC32C of it and the segment's name, zeros
)

var watermarkOffsets = [2]int64{512, 1024}

// OpenDir opens a directory, and makes it, durably, if there is none. A nil hook
// means none.
func OpenDir(path string, hook Hook) (*Dir, error) {
	if hook == nil {
		hook = func(_, _ string, do func() error) error { return do() }
	}
	base, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{base: base, hook: hook}
	if err := d.mkdirAll(base); err != nil {
		return nil, err
	}
	if d.root, err = os.OpenRoot(base); err != nil {
		return nil, err
	}
	return d, nil
}

// Close releases the directory. Segments that are open stay so.
func (d *Dir) Close() error { return d.root.Close() }

// mkdirAll makes a directory and those above it, and makes their names durable.
func (d *Dir) mkdirAll(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := d.mkdirAll(parent); err != nil {
		return err
	}
	err := d.doPath("mkdir", path, func() error { return os.Mkdir(path, 0o700) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.doPath("syncdir", parent, func() error { return syncOpenedDir(os.Open(parent)) })
}

func (d *Dir) fullPath(name string) string { return filepath.Join(d.base, name) }

func (d *Dir) do(op, name string, f func() error) error {
	return d.doPath(op, d.fullPath(name), f)
}

func (d *Dir) doPath(op, path string, f func() error) error {
	return wrapPathError(op, path, d.hook(op, path, f))
}

// wrapPathError names operation and path once, whatever the error says already.
func wrapPathError(op, path string, err error) error {
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

func (d *Dir) syncDir() error {
	return d.do("syncdir", ".", func() error { return syncOpenedDir(d.root.Open(".")) })
}

func syncOpenedDir(f *os.File, err error) error {
	if err != nil {
		return err
	}
	defer f.Close()
	if runtime.GOOS == "windows" {
		return nil // it has no such thing
	}
	return f.Sync()
}

// Segments lists the directory.
func (d *Dir) Segments(context.Context) (names []string, err error) {
	var entries []fs.DirEntry
	err = d.do("list", ".", func() (err error) {
		entries, err = fs.ReadDir(d.root.FS(), ".")
		return err
	})
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), segmentSuffix); ok {
			names = append(names, name)
		}
	}
	return names, err
}

// Create writes and syncs the beginning of the segment under another name, so
// that whatever has a segment's name is whole.
func (d *Dir) Create(_ context.Context, name string, head []byte, space int64) (Segment, error) {
	s := &dirSegment{dir: d, name: tempFile, segment: name}
	err := s.createFile(head, space)
	if err != nil {
		err = markNoSpace(err, dirBlockSize+int64(len(head))+space)
	} else if err = s.linkAs(name + segmentSuffix); err == nil {
		return s, nil
	}
	if s.f != nil {
		_ = s.f.Close()
		_ = d.removeFile(tempFile) // gives the room back now; the next Create would too
	}
	return nil, err
}

func (d *Dir) removeFile(name string) error {
	return d.do("remove", name, func() error {
		if err := d.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// markNoSpace marks an error for lack of so much space.
func markNoSpace(err error, need int64) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w, which needs %d KiB: %w", errNoSpace, (need+1023)/1024, err)
	}
	return err
}

// dirSegment is a file that is being written. Offsets and sizes within it are
// of the content, behind the block, but for allocated.
type dirSegment struct {
	dir           *Dir
	name          string // of the file
	segment       string
	f             *os.File
	size          int64
	allocated     int64 // the file's blocks exist up to here
	nextWatermark int   // the one to write next
}

func (s *dirSegment) do(op string, f func() error) error { return s.dir.do(op, s.name, f) }

func (s *dirSegment) createFile(head []byte, space int64) error {
	// What a crash left behind may be another name of a segment. Removing it is
	// harmless, where opening it for writing would not be.
	if err := s.dir.removeFile(s.name); err != nil {
		return err
	}
	err := s.do("create", func() (err error) {
		s.f, err = s.dir.root.OpenFile(s.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	s.size = int64(len(head))
	if err := s.allocateTo(dirBlockSize + s.size + space); err != nil {
		return err
	}
	b := make([]byte, dirBlockSize, dirBlockSize+len(head))
	copy(b, dirMagic)
	copy(b[watermarkOffsets[0]:], encodeWatermark(s.segment, s.size))
	s.nextWatermark = 1
	if err := s.writeAt(append(b, head...), 0); err != nil {
		return err
	}
	return s.do("sync", s.f.Sync)
}

// linkAs gives the file its name, which must be free, durably.
func (s *dirSegment) linkAs(name string) error {
	root := s.dir.root
	err := s.dir.do("link", name, func() error { return root.Link(s.name, name) })
	switch {
	case errors.Is(err, fs.ErrExist):
		return err
	case err == nil:
		err = s.dir.removeFile(s.name)
	case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission):
		// Some file systems have no hard links. There the lock alone keeps two
		// writers apart.
		err = s.dir.do("rename", name, func() error {
			if _, err := root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
				return fs.ErrExist
			}
			return root.Rename(s.name, name)
		})
	}
	if err != nil {
		return err
	}
	s.name = name
	return s.dir.syncDir()
}

// allocateTo makes the file's blocks exist up to there, all reading as zeros where
// nothing was written. Where it can, it leaves the size alone, so that the file
// ends where its content does.
func (s *dirSegment) allocateTo(to int64) error {
	if to <= s.allocated {
		return nil
	}
	err := s.do("allocate", func() error { return allocate(s.f, s.allocated, to-s.allocated) })
	if errors.Is(err, errors.ErrUnsupported) {
		err = s.writeZeros(to)
	}
	if err != nil {
		return err
	}
	s.allocated = to
	return nil
}

func (s *dirSegment) writeZeros(to int64) error {
	zeros := make([]byte, min(to-s.allocated, 256<<10))
	for at := s.allocated; at < to; at += int64(len(zeros)) {
		zeros = zeros[:min(int64(len(zeros)), to-at)]
		if err := s.writeAt(zeros, at); err != nil {
			return err
		}
	}
	return s.do("sync", s.f.Sync) // some file systems find the blocks only now
}

func (s *dirSegment) writeAt(p []byte, at int64) error {
	return s.do("write", func() error {
		_, err := s.f.WriteAt(p, at)
		return err
	})
}

func (s *dirSegment) Append(p []byte) error {
	if err := s.writeAt(p, dirBlockSize+s.size); err != nil {
		return err
	}
	if err := s.do("sync", func() error { return syncData(s.f) }); err != nil {
		return err
	}
	s.size += int64(len(p))
	s.allocated = max(s.allocated, dirBlockSize+s.size)
	// Not synced: this rides with the next append. After a crash of the process
	// alone it is there all the same.
	return s.writeWatermark(s.size)
}

// writeWatermark states that the content is durable up to there, in the place of the
// statement before the last one.
func (s *dirSegment) writeWatermark(durable int64) error {
	at := watermarkOffsets[s.nextWatermark]
	s.nextWatermark = 1 - s.nextWatermark
	return s.writeAt(encodeWatermark(s.segment, durable), at)
}

func encodeWatermark(segment string, durable int64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(durable))
	b = binary.LittleEndian.AppendUint32(b, checksum(append(b, segment...)))
	return append(b, 0, 0, 0, 0)
}

func (s *dirSegment) Allocate(n int64) error {
	to := dirBlockSize + s.size + n
	return markNoSpace(s.allocateTo(to), to-s.allocated)
}

func (s *dirSegment) Seal() error {
	return s.truncateAndMark(dirBlockSize+s.size, s.size)
}

// truncateAndMark cuts the file, and with it the room that was allocated, and then says in
// both slots how far it is durable.
func (s *dirSegment) truncateAndMark(cut, durable int64) error {
	if err := s.do("truncate", func() error { return s.f.Truncate(cut) }); err != nil {
		return err
	}
	for range watermarkOffsets {
		if err := s.writeWatermark(durable); err != nil {
			return err
		}
	}
	return s.do("sync", s.f.Sync)
}

func (s *dirSegment) Close() error { return s.do("close", s.f.Close) }

// Open opens the segment's file.
func (d *Dir) Open(_ context.Context, name string) (Reader, error) {
	r := &dirReader{dir: d, segment: name, name: name + segmentSuffix}
	err := d.do("open", r.name, func() (err error) {
		if r.f, err = d.root.Open(r.name); err != nil {
			return err
		}
		info, err := r.f.Stat()
		if err != nil {
			return err
		}
		r.size = info.Size()
		return nil
	})
	if err != nil {
		if r.f != nil {
			_ = r.f.Close()
		}
		return nil, err
	}
	return r, nil
}

// dirReader is a file that is being read.
type dirReader struct {
	dir     *Dir
	name    string // of the file
	segment string
	f       *os.File
	size    int64 // of the file
}

func (r *dirReader) Size() int64 { return max(r.size-dirBlockSize, 0) }

func (r *dirReader) Close() error { return r.f.Close() }

func (r *dirReader) ReadAt(p []byte, off int64) (n int, err error) {
	err = r.dir.hook("read", r.dir.fullPath(r.name), func() error {
		n, err = r.f.ReadAt(p, dirBlockSize+off)
		return err
	})
	if err == io.EOF {
		return n, err
	}
	return n, wrapPathError("read", r.dir.fullPath(r.name), err)
}

// Durable is the higher one of the two statements. One of them may be damaged,
// as if a crash had cut it short while it was written; the other one is older,
// and true.
func (r *dirReader) Durable() (int64, error) {
	marks, err := r.watermarks()
	return max(marks[0], marks[1]), err
}

// watermarks reads the block. A statement that is not there is -1.
func (r *dirReader) watermarks() (durable [2]int64, err error) {
	b := make([]byte, dirBlockSize)
	if n, err := r.ReadAt(b, -dirBlockSize); n < len(b) {
		if err == io.EOF {
			return durable, corruptError(r.segment, 0, "the file ends within its first block")
		}
		return durable, err
	}
	for i, at := range watermarkOffsets {
		mark := b[at : at+watermarkSize]
		durable[i] = int64(binary.LittleEndian.Uint64(mark))
		if string(mark) != string(encodeWatermark(r.segment, durable[i])) {
			durable[i] = -1
		}
		clear(mark)
	}
	magic := string(b[:len(dirMagic)]) == dirMagic
	clear(b[:len(dirMagic)])
	if !magic || string(b) != string(make([]byte, dirBlockSize)) || max(durable[0], durable[1]) < 0 {
		return durable, corruptError(r.segment, 0, "the first block of the file is damaged")
	}
	return durable, nil
}

// Recover writes again what may not have reached the disk, byte by byte the same,
// because a process that died of a failed sync can have left pages which the
// kernel believes to be clean. Behind end it leaves everything, room excepted.
func (r *dirReader) Recover(from, end int64) (err error) {
	durable, err := r.watermarks()
	if err != nil {
		return err
	}
	if durable == [2]int64{end, end} && r.Size() == end {
		return nil // sealed, and its name was durable before that
	}
	s := &dirSegment{dir: r.dir, name: r.name, segment: r.segment}
	if durable[0] > durable[1] {
		s.nextWatermark = 1 // the better statement must stay until there is another one
	}
	err = s.do("open", func() (err error) {
		s.f, err = r.dir.root.OpenFile(r.name, os.O_RDWR, 0)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	b := make([]byte, min(end-from, 256<<10))
	for at := from; at < end; at += int64(len(b)) {
		b = b[:min(int64(len(b)), end-at)]
		if _, err := r.ReadAt(b, at); err != nil {
			return err
		}
		if err := s.writeAt(b, dirBlockSize+at); err != nil {
			return err
		}
	}
	if err := s.do("sync", s.f.Sync); err != nil {
		return err
	}
	// Its creation may have ended before its name was durable. The name of the
	// next segment must not become so alone.
	if err := r.dir.syncDir(); err != nil {
		return err
	}
	return s.truncateAndMark(r.size, end)
}
