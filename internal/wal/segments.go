package wal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// segmentList is what is known of a log's segments. It reads the beginning of a segment when it is
// needed first, and checks that segments continue each other. It may be used concurrently.
type segmentList struct {
	store    Store
	readOnly atomic.Bool // nothing is ever written

	loading sync.Mutex // held to read the beginning of a segment that Open left out

	mu   sync.Mutex
	list []segment // all; the last one may be being written
}

// segment is what must be known to read a segment. Its end is that of its valid
// content, or its size until its successor was read; for the segment being written,
// it is the end of what is durable.
type segment struct {
	name    string
	id      uint64 // 0: it was not read yet
	durable int64  // what the store knew to be durable when it was opened
	end     int64
	header  header
}

func segmentName(number int) string { return fmt.Sprintf("%08d", number) }

// header begins a segment. It names the previous segment and states where that one's
// valid content ends: creating its successor seals a segment permanently.
type header struct {
	number, id  uint64
	previousID  uint64 // id of the segment before, 0 in the first
	previousEnd int64
}

func (h header) encode() []byte {
	b := []byte(segmentMagic)
	b = binary.LittleEndian.AppendUint64(b, h.number)
	b = binary.LittleEndian.AppendUint64(b, h.id)
	b = binary.LittleEndian.AppendUint64(b, h.previousID)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.previousEnd))
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

func decodeHeader(b []byte) (header, bool) {
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	h := header{number: u64(8), id: u64(16), previousID: u64(24), previousEnd: int64(u64(32))}
	return h, bytes.Equal(h.encode(), b)
}

func randomID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // does not fail
	return binary.LittleEndian.Uint64(b[:])
}

// listSegments lists the segments of a store, and reads none of them.
func listSegments(ctx context.Context, store Store) (*segmentList, error) {
	names, err := store.Segments(ctx)
	if err != nil {
		return nil, err
	}
	l := &segmentList{store: store}
	slices.Sort(names)
	for i, name := range names {
		if name != segmentName(i+1) {
			return nil, corruptError(segmentName(i+1), 0, "it is missing, but "+name+" exists")
		}
		l.list = append(l.list, segment{name: name})
	}
	return l, nil
}

// count is the number of segments, and that of the last one.
func (l *segmentList) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.list)
}

// snapshot returns a segment with its current end.
func (l *segmentList) snapshot(number int) segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list[number-1]
}

// add adds the segment that is written from now on.
func (l *segmentList) add(s segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, s)
}

// setEnd sets where the durable part of the last segment ends.
func (l *segmentList) setEnd(end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list[len(l.list)-1].end = end
}

// sizeFrom is the number of durable bytes from a position on.
func (l *segmentList) sizeFrom(p Position) (size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.list[p.segment-1:] {
		size += s.end - segmentHeaderSize
	}
	return size - (p.offset - segmentHeaderSize)
}

// loadFrom reads the segments from one on that were not read yet, from the last one backwards.
func (l *segmentList) loadFrom(ctx context.Context, first int) error {
	for number := l.count(); number >= first; number-- {
		if err := l.load(ctx, number); err != nil {
			return err
		}
	}
	return nil
}

// load reads the beginning of a segment, unless it was read before, and from it where the
// previous one ends. Of the last one it reads the rest, too.
func (l *segmentList) load(ctx context.Context, number int) error {
	if l.isLoaded(number) {
		return nil
	}
	l.loading.Lock()
	defer l.loading.Unlock()
	if l.isLoaded(number) {
		return nil
	}
	last := number == l.count()
	name := segmentName(number)
	r, durable, err := l.openSized(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	size := r.Size()
	if durable = max(durable, segmentHeaderSize); durable > size {
		return corruptError(name, size, fmt.Sprintf("it ends here, and everything up to %d was durable", durable))
	}
	b := make([]byte, segmentHeaderSize)
	if err := readFull(r, b, 0); err != nil {
		return err
	}
	h, ok := decodeHeader(b)
	if !ok || h.number != uint64(number) {
		return corruptError(name, 0, "its header is damaged, or of another version")
	}
	if number == 1 && h.previousID != 0 {
		return corruptError(name, 0, "a segment precedes it")
	}
	s := segment{name: name, id: h.id, durable: durable, end: size, header: h}
	if err := l.link(number, &s); err != nil {
		return err
	}
	if last {
		if s.end, err = findEnd(r, s); err != nil {
			return err
		}
		if !l.readOnly.Load() {
			if err := r.Recover(durable, s.end); err != nil {
				return err
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list[number-1] = s
	return nil
}

func (l *segmentList) isLoaded(number int) bool {
	return l.snapshot(number).id != 0
}

// link sets the ends of a segment that was read and of the one before it, as far as the
// segments are known that state them.
func (l *segmentList) link(number int, s *segment) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number > 1 && l.list[number-2].id != 0 {
		if err := checkSuccessor(&l.list[number-2], s.header); err != nil {
			return err
		}
	}
	if number < len(l.list) && l.list[number].id != 0 {
		return checkSuccessor(s, l.list[number].header)
	}
	return nil
}

// openSized opens a segment, and returns how much of it is known to be durable. If
// another process is writing it, that may be more than the reader can see: then
// openSized opens it again.
func (l *segmentList) openSized(ctx context.Context, name string) (r Reader, durable int64, err error) {
	for try := 0; ; try++ {
		if r, err = l.store.Open(ctx, name); err != nil {
			return nil, 0, err
		}
		if durable, err = r.Durable(); err != nil {
			return nil, 0, errors.Join(err, r.Close())
		}
		if !l.readOnly.Load() || durable <= r.Size() || try == 3 {
			return r, durable, nil
		}
		if err := r.Close(); err != nil {
			return nil, 0, err
		}
	}
}

// checkSuccessor sets the end of s, until now its size, to what its successor states.
func checkSuccessor(s *segment, successor header) error {
	switch end := successor.previousEnd; {
	case successor.previousID != s.id:
		return corruptError(s.name, 0, "the segment after it continues another one")
	case s.end < end:
		return corruptError(s.name, s.end, fmt.Sprintf("it ends here, and everything up to %d was durable", end))
	case s.durable > end:
		return corruptError(s.name, end, "it was written after its successor was started")
	default:
		s.end = end
		return nil
	}
}

// findEnd finds where the valid content of the last segment ends. Damage below
// the known watermark, or below one that a later frame states, is an error.
// Beyond it there is at most one append, cut short by a crash, so damage must
// be an end of file or a place that was never written.
func findEnd(r Reader, s segment) (int64, error) {
	scan := &scanner{src: r, id: s.id, end: r.Size()}
	off := int64(segmentHeaderSize)
	for off < scan.end {
		f, intact, err := scan.readFrame(off, true)
		if err != nil {
			return 0, err
		}
		if intact {
			off += f.size()
			continue
		}
		if off < s.durable {
			break
		}
		// Without a header the frame's length is unknown, but then the torn part is
		// in the header.
		torn, err := scan.isTorn(off, max(f.size(), frameHeaderSize))
		if err != nil {
			return 0, err
		}
		if !torn {
			return 0, corruptError(s.name, off, "the record here is damaged, but complete, unlike after a crash")
		}
		at, found, err := scan.durabilityWitness(off)
		if err != nil {
			return 0, err
		}
		if found {
			return 0, corruptError(s.name, off, fmt.Sprintf("the record here is damaged, and the one at %d was written after it was durable", at))
		}
		break
	}
	if off < s.durable {
		return 0, corruptError(s.name, off, fmt.Sprintf("its records end here or are damaged, and everything up to %d was durable", s.durable))
	}
	return off, nil
}

func corruptError(name string, off int64, what string) error {
	return fmt.Errorf("%w: segment %s, offset %d: %s; nothing was changed: copy the whole journal elsewhere, then restore this segment from a copy made before; without one, siglake salvage keeps what can be read",
		ErrCorrupt, name, off, what)
}
