package wal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"runtime"
	"slices"
	"sync"
)

// Log is a sequence of records in numbered segments. It may be used concurrently.
type Log struct {
	store       Store
	segmentSize int64
	readOnly    bool // nothing is ever written

	loading sync.Mutex // held to read the beginning of a segment that Open left out

	mu         sync.Mutex
	writeDone  sync.Cond // signalled when writing ends
	segments   []segment // all; if active is set, the last one is being written
	active     Segment   // nil until the first record needs a segment
	writing    bool      // a goroutine writes a group, without holding mu
	pending    []byte    // the next group, to be completed by finishGroup
	buffer     []byte    // the previous group's memory, for reuse
	durableEnd int64     // where the durable part of active ends
	offset     int64     // durableEnd, the group being written, and pending
	allocated  int64     // end of the room; offset + reserved <= allocated
	reserved   int64     // what all reservations have left
	broken     error     // wraps ErrBroken
	closed     bool
}

// segment is what must be known to read a segment. Its end is that of its valid
// content, or its size until its successor was read; for the segment being written,
// use Log.durableEnd.
type segment struct {
	name    string
	id      uint64 // 0: it was not read yet
	durable int64  // what the store knew to be durable when it was opened
	end     int64
	header  header
}

// Position is the place of a record: a segment, counted from 1, and an offset.
type Position struct {
	segment int
	offset  int64
}

// PositionAt is the position that Place takes apart.
func PositionAt(segment int, offset int64) Position { return Position{segment, offset} }

// Place is the segment, counted from 1, and the offset in it.
func (p Position) Place() (segment int, offset int64) { return p.segment, p.offset }

func (p Position) String() string { return fmt.Sprintf("%s@%d", segmentName(p.segment), p.offset) }

// Before reports whether p lies before o in the log.
func (p Position) Before(o Position) bool {
	return p.segment < o.segment || p.segment == o.segment && p.offset < o.offset
}

// Record is a record of the log. Its slices belong to the caller.
type Record struct {
	Kind       byte
	Head, Body []byte
	Pruned     bool // its body was removed
}

// Options configure a log; the zero value works.
type Options struct {
	// Change nothing: another process may be writing.
	ReadOnly bool
	// Bytes after which a new segment begins; 0 means 64 MiB.
	SegmentSize int64
	// Read the last segment only. The others are read and checked when they are needed: a walk reads
	// those from its beginning on, and one record its own segment.
	Lazy bool
}

const (
	segmentHeaderSize = 48
	maxGroupSize      = 16 << 20 // bytes that may wait for one write
	maxBufferSize     = 1 << 20  // larger buffers are not kept
	segmentMagic      = "siglkjnl"
	formatVersion     = 1
)

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

// Open opens a log and determines where its valid content ends. It changes nothing,
// except that it makes that content durable; the first record creates a new segment.
func Open(ctx context.Context, store Store, o Options) (*Log, error) {
	l := &Log{store: store, segmentSize: o.SegmentSize, readOnly: o.ReadOnly}
	if l.segmentSize <= 0 {
		l.segmentSize = 64 << 20
	}
	l.writeDone.L = &l.mu
	names, err := store.Segments(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for i, name := range names {
		if name != segmentName(i+1) {
			return nil, corruptError(segmentName(i+1), 0, "it is missing, but "+name+" exists")
		}
		l.segments = append(l.segments, segment{name: name})
	}
	for i := range names {
		last := i == len(names)-1
		if o.Lazy && !last {
			continue
		}
		err := l.loadSegment(ctx, i+1)
		if last && errors.Is(err, errGrown) { // by a writer presumed dead, which is now fenced off
			err = l.loadSegment(ctx, i+1)
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// loadFrom reads the segments from one on that were not read yet, from the last one backwards.
func (l *Log) loadFrom(ctx context.Context, first int) error {
	l.mu.Lock()
	number := len(l.segments)
	l.mu.Unlock()
	for ; number >= first; number-- {
		if err := l.loadSegment(ctx, number); err != nil {
			return err
		}
	}
	return nil
}

// Recover makes a log that was opened read-only one that is written, as Open would have opened it:
// a caller that may refuse a log opens it that way and changes nothing. false means that another
// process, which is fenced off now, has appended in the meantime: the log must be opened again.
func (l *Log) Recover(ctx context.Context) (unchanged bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.segments); n > 0 {
		s := l.segments[n-1]
		r, err := l.store.Open(ctx, s.name)
		if err != nil {
			return false, err
		}
		defer r.Close()
		if err := r.Recover(s.durable, s.end); errors.Is(err, errGrown) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	l.readOnly = false
	return true, nil
}

// loadSegment reads the beginning of a segment, unless it was read before, and from it where the
// previous one ends. Of the last one it reads the rest, too.
func (l *Log) loadSegment(ctx context.Context, number int) error {
	if l.isLoaded(number) {
		return nil
	}
	l.loading.Lock()
	defer l.loading.Unlock()
	if l.isLoaded(number) {
		return nil
	}
	l.mu.Lock()
	last := number == len(l.segments)
	l.mu.Unlock()
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
	if err := l.linkSegment(number, &s); err != nil {
		return err
	}
	if last {
		if s.end, err = findEnd(r, s); err != nil {
			return err
		}
		if !l.readOnly {
			if err := r.Recover(durable, s.end); err != nil {
				return err
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments[number-1] = s
	return nil
}

func (l *Log) isLoaded(number int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segments[number-1].id != 0
}

// linkSegment sets the ends of a segment that was read and of the one before it, as far as the
// segments are known that state them.
func (l *Log) linkSegment(number int, s *segment) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number > 1 && l.segments[number-2].id != 0 {
		if err := checkSuccessor(&l.segments[number-2], s.header); err != nil {
			return err
		}
	}
	if number < len(l.segments) && l.segments[number].id != 0 {
		return checkSuccessor(s, l.segments[number].header)
	}
	return nil
}

// openSized opens a segment, and returns how much of it is known to be durable. If
// another process is writing it, that may be more than the reader can see: then
// openSized opens it again.
func (l *Log) openSized(ctx context.Context, name string) (r Reader, durable int64, err error) {
	for try := 0; ; try++ {
		if r, err = l.store.Open(ctx, name); err != nil {
			return nil, 0, err
		}
		if durable, err = r.Durable(); err != nil {
			return nil, 0, errors.Join(err, r.Close())
		}
		if !l.readOnly || durable <= r.Size() || try == 3 {
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
	return fmt.Errorf("%w: segment %s, offset %d: %s; nothing was changed: copy the whole journal elsewhere, then restore this segment from a copy made before",
		ErrCorrupt, name, off, what)
}

// Append adds a record and returns when it, and every one before it, is durable.
// An error that is not ErrBroken means that the record was not added.
func (l *Log) Append(kind byte, head, body []byte) (Position, error) {
	return l.addRecord(&Reservation{log: l}, true, kind, head, body)
}

// Write adds a record that becomes durable with the next append, flush or close, and
// is lost in a crash before that. The caller may reuse the slices on return.
func (l *Log) Write(kind byte, head, body []byte) (Position, error) {
	return l.addRecord(&Reservation{log: l}, false, kind, head, body)
}

// Reservation is room set aside for future records. It is used by one goroutine.
type Reservation struct {
	log  *Log
	left int64
}

// Reserve makes sure that a number of records can be added whatever else fills the
// disk. size is the total number of bytes in their heads and bodies.
func (l *Log) Reserve(records int, size int64) (*Reservation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	need := size + int64(records)*(frameHeaderSize+7)
	if err := l.ensureSpace(need); err != nil {
		return nil, err
	}
	l.reserved += need
	return &Reservation{log: l, left: need}, nil
}

// Append is Log.Append within the reservation. A record that exceeds it is added only
// if there is room.
func (r *Reservation) Append(kind byte, head, body []byte) (Position, error) {
	return r.log.addRecord(r, true, kind, head, body)
}

// Write is Log.Write within the reservation.
func (r *Reservation) Write(kind byte, head, body []byte) (Position, error) {
	return r.log.addRecord(r, false, kind, head, body)
}

// Release gives up what is left. It may be called repeatedly.
func (r *Reservation) Release() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.reserved -= r.left
	r.left = 0
}

func (l *Log) addRecord(r *Reservation, durable bool, kind byte, head, body []byte) (Position, error) {
	f := frame{kind: kind, headLen: int64(len(head)), bodyLen: int64(len(body)), headSum: checksum(head), bodySum: checksum(body)}
	size := f.size()
	if size > maxFrame {
		return Position{}, fmt.Errorf("journal: a record of %d bytes is longer than the %d allowed", size, maxFrame)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkWritable(); err != nil {
		return Position{}, err
	}
	if shortfall := size - r.left; shortfall > 0 {
		if err := l.ensureSpace(shortfall); err != nil {
			return Position{}, err
		}
		l.reserved += shortfall
		r.left += shortfall
	}
	for len(l.pending) > 0 && int64(len(l.pending))+size > maxGroupSize {
		if err := errors.Join(l.commitOrWait(), l.checkWritable()); err != nil {
			return Position{}, err
		}
	}
	p := Position{segment: len(l.segments), offset: l.offset}
	l.pending = appendFrame(l.pending, f, head, body)
	l.offset += size
	l.reserved -= size
	r.left -= size
	if !durable {
		return p, nil
	}
	return p, l.waitDurable(p)
}

// Flush returns when every record added before is durable.
func (l *Log) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkWritable(); err != nil {
		return err
	}
	return l.waitDurable(Position{segment: len(l.segments), offset: l.offset - 1})
}

// Close makes every record durable and releases unused room. Later writes return
// fs.ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if l.active == nil {
		return l.broken
	}
	err := l.waitDurable(Position{segment: len(l.segments), offset: l.offset - 1})
	for l.writing {
		l.writeDone.Wait()
	}
	if err == nil {
		err = l.broken // allocating room failed
	}
	if err == nil {
		err = l.active.Seal()
	}
	return errors.Join(err, l.active.Close())
}

// The methods from here to requestSpace are called with mu held.

func (l *Log) checkWritable() error {
	if l.closed {
		return fmt.Errorf("journal: %w", fs.ErrClosed)
	}
	if l.readOnly {
		return errReadOnly
	}
	return l.broken
}

// waitDurable returns when the record at p is durable. This is group commit: if no
// goroutine is writing, the caller writes the group for all waiters.
func (l *Log) waitDurable(p Position) error {
	for l.active != nil && p.segment == len(l.segments) && p.offset >= l.durableEnd {
		if err := l.commitOrWait(); err != nil {
			return err
		}
	}
	return nil
}

// commitOrWait waits for the group that is being written, or writes the next one.
func (l *Log) commitOrWait() error {
	switch {
	case l.broken != nil:
	case l.writing:
		l.writeDone.Wait()
	case len(l.pending) > 0:
		l.commitGroup()
	}
	return l.broken
}

// commitGroup writes the group, and unlocks mu meanwhile.
func (l *Log) commitGroup() {
	// Goroutines woken by the previous group get a chance to join this one;
	// otherwise every second group would hold one record.
	l.writing = true
	l.mu.Unlock()
	runtime.Gosched()
	l.mu.Lock()
	group, off, active, id := l.pending, l.durableEnd, l.active, l.segments[len(l.segments)-1].id
	l.pending, l.buffer = l.buffer[:0], nil
	l.mu.Unlock()
	finishGroup(group, id, off)
	err := active.Append(group)
	l.mu.Lock()
	l.writing = false
	if err != nil {
		_ = l.breakLog(err) // all waiters return the error
	} else {
		l.durableEnd += int64(len(group))
	}
	if cap(group) <= maxBufferSize {
		l.buffer = group
	}
	l.writeDone.Broadcast()
}

// breakLog makes every later write fail.
func (l *Log) breakLog(err error) error {
	if l.broken == nil {
		l.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return l.broken
}

// ensureSpace returns when the segment has room for need bytes in addition to what is
// reserved. A new segment begins only here: a record within a reservation needs
// nothing from the disk that could be missing.
func (l *Log) ensureSpace(need int64) error {
	for {
		if err := l.checkWritable(); err != nil {
			return err
		}
		full := l.active == nil || l.offset > segmentHeaderSize && l.offset+need > l.segmentSize
		if !full && l.offset+l.reserved+need <= l.allocated {
			return nil
		}
		if !l.writing && (!full || len(l.pending) == 0) {
			if full {
				err := l.rotate(need)
				if l.active == nil || !errors.Is(err, errNoSpace) {
					return err
				}
				// A new segment does not fit, but the old one may have room.
			}
			return l.growSegment(need)
		}
		if err := l.commitOrWait(); err != nil {
			return err
		}
	}
}

// growSegment makes room in the segment, in large steps if the disk has the space.
func (l *Log) growSegment(need int64) error {
	return l.requestSpace(l.offset-l.durableEnd+l.reserved+need, func(space int64) error {
		if l.durableEnd+space <= l.allocated {
			return nil
		}
		err := l.active.Allocate(space)
		if err == nil {
			l.allocated = l.durableEnd + space
		}
		return err
	})
}

// rotate begins a segment, with room for everything reserved, and then seals the
// previous one. The previous one's content must be durable.
func (l *Log) rotate(need int64) error {
	h := header{number: uint64(len(l.segments)) + 1}
	if n := len(l.segments); n > 0 {
		if l.active != nil {
			l.segments[n-1].end = l.durableEnd
		}
		h.previousID, h.previousEnd = l.segments[n-1].id, l.segments[n-1].end
	}
	for h.id == 0 {
		h.id = randomID()
	}
	name := segmentName(len(l.segments) + 1)
	return l.requestSpace(l.reserved+need, func(space int64) error {
		// Not cancellable: a half-created segment breaks the log.
		active, err := l.store.Create(context.Background(), name, h.encode(), space)
		if err != nil {
			return err
		}
		previous := l.active
		l.segments = append(l.segments, segment{name: name, id: h.id, header: h})
		l.active = active
		l.durableEnd, l.offset, l.allocated = segmentHeaderSize, segmentHeaderSize, segmentHeaderSize+space
		if previous == nil {
			return nil
		}
		return errors.Join(previous.Seal(), previous.Close())
	})
}

// requestSpace asks for more room than needed, and for the exact amount if there is
// not enough. Any error other than errNoSpace breaks the log.
func (l *Log) requestSpace(need int64, request func(space int64) error) error {
	step := max(l.segmentSize/16, 1)
	err := request((need + step - 1) / step * step)
	if errors.Is(err, errNoSpace) {
		err = request(need)
	}
	if err != nil && !errors.Is(err, errNoSpace) {
		return l.breakLog(err)
	}
	return err
}

func randomID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // does not fail
	return binary.LittleEndian.Uint64(b[:])
}

// Read returns the record at p, which must come from this log. It first makes the
// record durable.
func (l *Log) Read(ctx context.Context, p Position) (Record, error) {
	l.mu.Lock()
	if p.offset < l.offset {
		if err := l.waitDurable(p); err != nil {
			l.mu.Unlock()
			return Record{}, err
		}
	}
	count := len(l.segments)
	l.mu.Unlock()
	if p.segment < 1 || p.segment > count {
		return Record{}, fmt.Errorf("journal: no record at %v", p)
	}
	if err := l.loadSegment(ctx, p.segment); err != nil {
		return Record{}, err
	}
	s := l.snapshotSegment(p.segment)
	if p.offset < segmentHeaderSize || p.offset >= s.end {
		return Record{}, fmt.Errorf("journal: no record at %v", p)
	}
	r, err := l.store.Open(ctx, s.name)
	if err != nil {
		return Record{}, err
	}
	defer r.Close()
	b := make([]byte, min(4<<10, s.end-p.offset))
	if err := readFull(r, b, p.offset); err != nil {
		return Record{}, err
	}
	whiten(b, s.id, p.offset)
	if len(b) < frameHeaderSize {
		return Record{}, corruptError(s.name, p.offset, "no record here")
	}
	f, ok := parseHeader(b, s.id, p.offset)
	if !ok || p.offset+f.size() > s.end {
		return Record{}, corruptError(s.name, p.offset, "no record here, or its header is damaged")
	}
	need := f.size()
	if f.pruned {
		need = frameHeaderSize + f.headLen
	}
	if have := int64(len(b)); have < need {
		b = append(b, make([]byte, need-have)...)
		if err := readFull(r, b[have:], p.offset+have); err != nil {
			return Record{}, err
		}
		whiten(b[have:], s.id, p.offset+have)
	}
	rec := f.record(b)
	if checksum(rec.Head) != f.headSum || !rec.Pruned && checksum(rec.Body) != f.bodySum {
		return Record{}, corruptError(s.name, p.offset, "the record here is damaged")
	}
	return rec, nil
}

func readFull(r io.ReaderAt, p []byte, off int64) error {
	if n, err := r.ReadAt(p, off); n < len(p) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// End names the end of the log: it changes with every record that becomes durable.
// It is empty for an empty log, otherwise the number of segments and the end of the
// last one.
func (l *Log) End() string {
	n := len(l.segments)
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d@%d", n, l.segmentEnd(l.segments[n-1]))
}

// snapshotSegment returns a segment with its current end.
func (l *Log) snapshotSegment(number int) segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.segments[number-1]
	if l.active != nil && number == len(l.segments) {
		s.end = l.durableEnd
	}
	return s
}

// First is the position of the first record of a log, whether it has one or not.
var First = Position{1, segmentHeaderSize}

// Walk calls visit for every record that is durable now, in order. The head is valid
// until visit returns. Bodies are verified on request, and skipped otherwise; Open has
// verified those of the last segment. body is the length of the body, or PrunedBody.
func (l *Log) Walk(ctx context.Context, bodies bool, visit func(p Position, kind byte, head []byte, body int64) error) error {
	return l.WalkFrom(ctx, First, bodies, visit)
}

// WalkFrom is Walk from the record at a position on.
func (l *Log) WalkFrom(ctx context.Context, from Position, bodies bool, visit func(p Position, kind byte, head []byte, body int64) error) error {
	if err := l.loadFrom(ctx, from.segment); err != nil {
		return err
	}
	l.mu.Lock()
	last := len(l.segments)
	l.mu.Unlock()
	var scan scanner
	for number := from.segment; number <= last; number++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.walkSegment(ctx, &scan, from, l.snapshotSegment(number), bodies, visit); err != nil {
			return err
		}
		from = Position{number + 1, segmentHeaderSize}
	}
	return nil
}

// Backward walks the positions of the records of one kind, newest first. It reads a segment only
// when it gets to it.
func (l *Log) Backward(ctx context.Context, kind byte) iter.Seq2[Position, error] {
	return func(yield func(Position, error) bool) {
		l.mu.Lock()
		number := len(l.segments)
		l.mu.Unlock()
		var scan scanner
		for ; number >= 1; number-- {
			var found []Position
			err := l.loadSegment(ctx, number)
			if err == nil {
				err = l.walkSegment(ctx, &scan, Position{number, segmentHeaderSize}, l.snapshotSegment(number), false, func(p Position, k byte, _ []byte, _ int64) error {
					if k == kind {
						found = append(found, p)
					}
					return nil
				})
			}
			if err != nil {
				yield(Position{}, err)
				return
			}
			for _, p := range slices.Backward(found) {
				if !yield(p, nil) {
					return
				}
			}
		}
	}
}

// Mark names the end of the log: a position, and a random number of the segment there. The log must
// have been written to.
func (l *Log) Mark() (end Position, id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.segments)
	if n == 0 {
		return Position{}, 0
	}
	return Position{n, l.offset}, l.segments[n-1].id
}

// Follows reports whether the record at p, which a walk has met, is the first one behind a mark of this
// log: one that was copied from another log is not.
func (l *Log) Follows(p, end Position, id uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.segment < 1 || p.segment > len(l.segments) {
		return false
	}
	s := l.segments[p.segment-1]
	return p == end && s.id == id || p == Position{end.segment + 1, segmentHeaderSize} && s.header.previousID == id
}

// SizeFrom is the number of bytes from a position on, which must lie in a segment that a walk has
// read.
func (l *Log) SizeFrom(p Position) (size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := p.segment - 1; i < len(l.segments); i++ {
		end := l.segments[i].end
		if l.active != nil && i == len(l.segments)-1 {
			end = l.offset
		}
		size += end - segmentHeaderSize
	}
	return size - (p.offset - segmentHeaderSize)
}

func (l *Log) walkSegment(ctx context.Context, scan *scanner, from Position, s segment, bodies bool, visit func(Position, byte, []byte, int64) error) error {
	r, err := l.store.Open(ctx, s.name)
	if err != nil {
		return err
	}
	defer r.Close()
	*scan = scanner{src: r, id: s.id, end: s.end, window: scan.window[:0], plain: scan.plain}
	for off := from.offset; off < s.end; {
		f, intact, err := scan.readFrame(off, bodies)
		if err != nil {
			return err
		}
		if !intact {
			return corruptError(s.name, off, "the record here is damaged")
		}
		body := f.bodyLen
		if f.pruned {
			body = PrunedBody
		}
		if err := visit(Position{from.segment, off}, f.kind, scan.head, body); err != nil {
			return err
		}
		off += f.size()
	}
	return nil
}
