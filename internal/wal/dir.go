package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/siglake/siglake/internal/durable"
)

// Dir is a [Store] in a directory, one file per segment. A file begins with a
// block that holds a magic word and, in two separate sectors, watermarks: how much
// of the content behind the block is durable.
//
// The file of the segment that is being written is locked until it is closed or the
// process ends, from before it gets its name. So the log has one writer even if the
// lock of the lake fails, for example because its file was removed. Before each append
// the writer makes sure that the segment still has its name and no successor: where
// files cannot be locked, that is all that protects the log.
type Dir struct {
	dir *durable.Dir

	mu         sync.Mutex
	lastPruned map[string]*prunedSegment // the pruned segment that was opened last, by its name
}

const (
	segmentSuffix = ".journal"
	tempFile      = "next.tmp" // a segment in the making
	dirMagic      = "siglkdir"
	dirBlockSize  = 4096
	watermarkSize = 16 // u64 durable, u32 CRC32C of it and the segment's name, zeros

	createExclusively = os.O_RDWR | os.O_CREATE | os.O_EXCL
)

var watermarkOffsets = [2]int64{512, 1024}

// OpenDir opens a directory, and creates it durably if it does not exist. The hook
// may be nil. Whatever the umask, directory and segments are never open to users outside
// of the owner's group: they hold answers about persons.
func OpenDir(path string, hook durable.Hook) (*Dir, error) {
	if err := durable.MkdirAll(path, 0o770, hook); err != nil {
		return nil, err
	}
	dir, err := durable.Open(path, hook)
	if err != nil {
		return nil, err
	}
	return &Dir{dir: dir}, nil
}

// Close releases the directory. Open segments stay open.
func (d *Dir) Close() error { return d.dir.Close() }

// Segments lists the directory.
func (d *Dir) Segments(context.Context) (names []string, err error) {
	entries, err := d.dir.ReadDir(".")
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), segmentSuffix); ok {
			names = append(names, name)
		}
	}
	return names, err
}

// HasSegments reports whether a directory holds a log: it may have none yet, or not exist.
func HasSegments(path string) (bool, error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), segmentSuffix) }), err
}

// Create writes and syncs the beginning of the segment under a temporary name, so
// that every file with a segment's name is complete.
func (d *Dir) Create(_ context.Context, name string, head []byte, space int64) (Segment, error) {
	s := &dirSegment{dir: d.dir, segment: name}
	err := s.createFile(head, space)
	if err != nil {
		err = markNoSpace(err, dirBlockSize+int64(len(head))+space)
	} else if err = s.linkAs(name + segmentSuffix); err == nil {
		return s, nil
	} else if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w: %w", ErrFenced, err)
	}
	if s.f != nil {
		s.f.Discard()
		_ = d.dir.Remove(tempFile) // frees the space now; the next Create would, too
	}
	return nil, err
}

// markNoSpace marks an error as errNoSpace if the disk lacks the needed bytes.
func markNoSpace(err error, need int64) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w, which needs %d KiB: %w", errNoSpace, (need+1023)/1024, err)
	}
	return err
}

// dirSegment is a file that is being written. Its offsets and sizes are those of
// the content, behind the block, except for allocated.
type dirSegment struct {
	dir           *durable.Dir
	segment       string
	f             *durable.File
	size          int64
	allocated     int64 // the file's blocks exist up to here
	nextWatermark int   // the one to write next
}

func (s *dirSegment) createFile(head []byte, space int64) (err error) {
	// A file left by a crash may be another name of a segment. Removing it is
	// harmless; opening it for writing would not be.
	if err := s.dir.Remove(tempFile); err != nil {
		return err
	}
	if s.f, err = s.dir.OpenFile(tempFile, createExclusively, 0o660); err != nil {
		return err
	}
	if err := lockSegment(s.f); err != nil {
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
	return s.f.Sync()
}

// lockSegment locks a segment's file, where files can be locked.
func lockSegment(f *durable.File) error {
	locked, err := f.TryLock()
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err == nil && !locked {
		err = fmt.Errorf("%w: %s is locked", ErrLocked, f.Name())
	}
	return err
}

// linkAs gives the file its name, which must be free, durably.
func (s *dirSegment) linkAs(name string) error {
	err := s.dir.Link(tempFile, name)
	switch {
	case errors.Is(err, fs.ErrExist):
		return err
	case err == nil:
		err = s.dir.Remove(tempFile)
	case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission):
		// Some file systems have no hard links. There only the lock excludes a
		// second writer.
		err = s.dir.RenameNew(tempFile, name)
	}
	if err != nil {
		return err
	}
	s.f.SetName(name)
	return s.dir.SyncDir(".")
}

// allocateTo makes the file's blocks exist up to an offset; they read as zeros where
// nothing was written. If the system allows it, the size stays the same, so that the
// file ends where its content does.
func (s *dirSegment) allocateTo(to int64) error {
	if to <= s.allocated {
		return nil
	}
	err := s.f.Allocate(s.allocated, to-s.allocated)
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
	return s.f.Sync() // some file systems allocate the blocks only now
}

func (s *dirSegment) writeAt(p []byte, at int64) error {
	_, err := s.f.WriteAt(p, at)
	return err
}

// checkOwned makes sure that no other process has continued the log, and that the
// segment is still a part of it.
func (s *dirSegment) checkOwned() error {
	named, err := s.f.HasName()
	if err != nil {
		return err
	}
	if !named {
		return fmt.Errorf("%w: %s was removed or replaced while it was being written", ErrFenced, s.f.Name())
	}
	number, err := strconv.Atoi(s.segment)
	if err != nil {
		return err
	}
	successor := segmentName(number+1) + segmentSuffix
	if taken, err := s.dir.HasEntry(successor); err != nil || taken {
		return errors.Join(err, fmt.Errorf("%w: %s exists", ErrFenced, successor))
	}
	return nil
}

func (s *dirSegment) Append(p []byte) error {
	if err := s.checkOwned(); err != nil {
		return err
	}
	if err := s.writeAt(p, dirBlockSize+s.size); err != nil {
		return err
	}
	if err := s.f.SyncData(); err != nil {
		return err
	}
	s.size += int64(len(p))
	s.allocated = max(s.allocated, dirBlockSize+s.size)
	// The next append syncs this. Without a sync it survives a crash of the process,
	// though not of the machine.
	return s.writeWatermark(s.size)
}

// writeWatermark states that the content is durable up to end. It replaces the older
// of the two watermarks.
func (s *dirSegment) writeWatermark(end int64) error {
	at := watermarkOffsets[s.nextWatermark]
	s.nextWatermark = 1 - s.nextWatermark
	return s.writeAt(encodeWatermark(s.segment, end), at)
}

func encodeWatermark(segment string, end int64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(end))
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

// truncateAndMark truncates the file, which releases the allocated space, and then
// states in both watermarks that its content is durable up to end.
func (s *dirSegment) truncateAndMark(cut, end int64) error {
	if err := s.f.Truncate(cut); err != nil {
		return err
	}
	for range watermarkOffsets {
		if err := s.writeWatermark(end); err != nil {
			return err
		}
	}
	return s.f.Sync()
}

func (s *dirSegment) Close() error { return s.f.Close() }

// Open opens the segment's file.
func (d *Dir) Open(_ context.Context, name string) (Reader, error) {
	f, err := d.dir.Open(name + segmentSuffix)
	if err != nil {
		return nil, err
	}
	r := &dirReader{dir: d.dir, segment: name, f: f}
	pruned, err := d.openPruned(r)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if pruned != nil {
		return &prunedReader{pruned, f.Discard}, nil
	}
	return r, nil
}

// dirReader is a file that is being read.
type dirReader struct {
	dir     *durable.Dir
	segment string
	f       *durable.File
}

func (r *dirReader) Size() int64 { return max(r.f.Size()-dirBlockSize, 0) }

// Close loses nothing: the file was only read.
func (r *dirReader) Close() error {
	r.f.Discard()
	return nil
}

func (r *dirReader) ReadAt(p []byte, off int64) (n int, err error) {
	return r.f.ReadAt(p, dirBlockSize+off)
}

// Durable is the higher of the two watermarks. One of them may be damaged, as after
// a crash while it was written; the other one is older, and true.
func (r *dirReader) Durable() (int64, error) {
	marks, err := r.watermarks()
	return max(marks[0], marks[1]), err
}

// watermarks reads the block. A missing watermark is -1.
func (r *dirReader) watermarks() (marks [2]int64, err error) {
	b := make([]byte, dirBlockSize)
	if n, err := r.ReadAt(b, -dirBlockSize); n < len(b) {
		if err == io.EOF {
			return marks, corruptError(r.segment, 0, "the file ends within its first block")
		}
		return marks, err
	}
	for i, at := range watermarkOffsets {
		raw := b[at : at+watermarkSize]
		marks[i] = int64(binary.LittleEndian.Uint64(raw))
		if string(raw) != string(encodeWatermark(r.segment, marks[i])) {
			marks[i] = -1
		}
		clear(raw)
	}
	magic := string(b[:len(dirMagic)]) == dirMagic
	clear(b[:len(dirMagic)])
	if !magic || string(b) != string(make([]byte, dirBlockSize)) || max(marks[0], marks[1]) < 0 {
		return marks, corruptError(r.segment, 0, "the first block of the file is damaged")
	}
	return marks, nil
}

// Recover rewrites, byte for byte, what may not have reached the disk: a process that
// died of a failed sync can have left pages that the kernel believes to be clean.
// Behind end it changes nothing, except that it releases allocated room. Meanwhile it
// holds the segment's lock, so that no process writes it.
func (r *dirReader) Recover(from, end int64) (err error) {
	s := &dirSegment{dir: r.dir, segment: r.segment}
	if s.f, err = r.dir.OpenFile(r.f.Name(), os.O_RDWR, 0); err != nil {
		return err
	}
	writing := false
	defer func() {
		if !writing {
			s.f.Discard()
			return
		}
		err = errors.Join(err, s.Close())
	}()
	if err := lockSegment(s.f); err != nil {
		return err
	}
	marks, err := r.watermarks()
	if err != nil {
		return err
	}
	if max(marks[0], marks[1]) > end || s.f.Size() != r.f.Size() {
		return errGrown // since it was read
	}
	if marks == [2]int64{end, end} && r.Size() == end {
		return nil // sealed, and its name was durable before that
	}
	writing = true
	if marks[0] > marks[1] {
		s.nextWatermark = 1 // the higher watermark must stay until there is another one
	}
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
	if err := s.f.Sync(); err != nil {
		return err
	}
	// The segment's creation may have been interrupted before its name was durable.
	// The next segment's name must not become durable without it.
	if err := r.dir.SyncDir("."); err != nil {
		return err
	}
	return s.truncateAndMark(r.f.Size(), end)
}
