package journal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"sync"
)

// log is a sequence of records in numbered segments. Any number of goroutines
// may use it at once.
type log struct {
	store  Store
	target int64
	look   bool // nothing is ever written

	mu       sync.Mutex
	idle     sync.Cond // signalled when busy ends
	segments []segment // all; when active is set, the last one is being written
	active   Segment   // nil until the first record needs a place
	busy     bool      // somebody is writing a group and has let go of mu
	group    []byte    // finished but for what finish does, in the order of the calls
	spare    []byte    // the group before, for its memory
	end      int64     // where the durable part of active ends
	tail     int64     // where it will end: end, the group being written, group
	room     int64     // up to where there is room; tail + reserved <= room
	reserved int64     // what all reservations have left
	broken   error     // wraps ErrBroken
	closed   bool
}

// segment is what must be known to read one. Its end is that of its valid
// content, except for the one being written, where it is log.end.
type segment struct {
	name  string
	id    uint64
	known int64 // when it was opened, the store knew it to be durable up to here
	end   int64
}

// position is where a record lies: in a segment, counted from 1, at an offset.
type position struct {
	segment int
	offset  int64
}

func (p position) String() string { return fmt.Sprintf("%s@%d", segmentName(p.segment), p.offset) }

// record is a record that was read. Its slices belong to the caller.
type record struct {
	kind       byte
	head, body []byte
}

// options change how a log is kept; the zero value is good.
type options struct {
	readOnly    bool  // look, and change nothing, while somebody else may be writing
	segmentSize int64 // bytes after which a new segment begins; 0 means 64 MiB
}

const (
	segmentHeader = 48
	groupLimit    = 16 << 20 // bytes that may wait for one write
	spareLimit    = 1 << 20  // larger buffers are not kept
	magic         = "siglkjnl"
	version       = 1
)

func segmentName(number int) string { return fmt.Sprintf("%08d", number) }

// header begins a segment. It names the one before and how far that one is
// valid: a segment is sealed for good by the creation of its successor.
type header struct {
	number, id  uint64
	previous    uint64 // id of the segment before, 0 in the first
	previousEnd int64
}

func (h header) encode() []byte {
	b := []byte(magic)
	b = binary.LittleEndian.AppendUint64(b, h.number)
	b = binary.LittleEndian.AppendUint64(b, h.id)
	b = binary.LittleEndian.AppendUint64(b, h.previous)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.previousEnd))
	b = binary.LittleEndian.AppendUint32(b, version)
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

func decodeHeader(b []byte) (header, bool) {
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	h := header{number: u64(8), id: u64(16), previous: u64(24), previousEnd: int64(u64(32))}
	return h, bytes.Equal(h.encode(), b)
}

// open reads the journal's end and finds out what of it is valid. It changes
// nothing, except that it makes durable what it found; the first record creates
// a new segment.
func open(ctx context.Context, store Store, o options) (*log, error) {
	l := &log{store: store, target: o.segmentSize, look: o.readOnly}
	if l.target <= 0 {
		l.target = 64 << 20
	}
	l.idle.L = &l.mu
	names, err := store.Segments(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for i, name := range names {
		if name != segmentName(i+1) {
			return nil, corrupt(segmentName(i+1), 0, "it is missing, and "+name+" is there")
		}
		last := i == len(names)-1
		err := l.load(ctx, last)
		if errors.Is(err, errGrown) { // by a writer that was thought dead, and that is shut out now
			err = l.load(ctx, last)
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// load adds the next segment to those known, and learns from it where the one
// before ends.
func (l *log) load(ctx context.Context, last bool) error {
	number := len(l.segments) + 1
	name := segmentName(number)
	r, known, err := l.sized(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	size := r.Size()
	if known = max(known, segmentHeader); known > size {
		return corrupt(name, size, fmt.Sprintf("it ends here, and everything up to %d was durable", known))
	}
	b := make([]byte, segmentHeader)
	if err := readFull(r, b, 0); err != nil {
		return err
	}
	h, ok := decodeHeader(b)
	if !ok || h.number != uint64(number) {
		return corrupt(name, 0, "its header is damaged, or of another version")
	}
	if number == 1 {
		if h.previous != 0 {
			return corrupt(name, 0, "there was a segment before it")
		}
	} else if err := l.seal(&l.segments[number-2], h); err != nil {
		return err
	}
	s := segment{name: name, id: h.id, known: known, end: size}
	if last {
		if s.end, err = findEnd(r, s); err != nil {
			return err
		}
		if !l.look {
			if err := r.Settle(known, s.end); err != nil {
				return err
			}
		}
	}
	l.segments = append(l.segments, s)
	return nil
}

// sized opens a segment, and says how much of it is known to be durable. When
// somebody is writing it, that may be more than there was when it was opened:
// then it is opened again.
func (l *log) sized(ctx context.Context, name string) (r Reader, known int64, err error) {
	for try := 0; ; try++ {
		if r, err = l.store.Open(ctx, name); err != nil {
			return nil, 0, err
		}
		if known, err = r.Durable(); err != nil {
			return nil, 0, errors.Join(err, r.Close())
		}
		if !l.look || known <= r.Size() || try == 3 {
			return r, known, nil
		}
		if err := r.Close(); err != nil {
			return nil, 0, err
		}
	}
}

// seal sets the end of s, until now the size of what there is, to what its
// successor says.
func (l *log) seal(s *segment, successor header) error {
	switch end := successor.previousEnd; {
	case successor.previous != s.id:
		return corrupt(s.name, 0, "the segment after it continues another one")
	case s.end < end:
		return corrupt(s.name, s.end, fmt.Sprintf("it ends here, and everything up to %d was durable", end))
	case s.known > end:
		return corrupt(s.name, end, "somebody went on writing it after the segment after it was begun")
	default:
		s.end = end
		return nil
	}
}

// findEnd finds where the valid content of the last segment ends. Damage below
// the known watermark, or below one that a later frame states, is an error.
// Beyond it there is at most one append which a crash cut short, so damage must
// be an end of file or a place that was never written.
func findEnd(r Reader, s segment) (int64, error) {
	scan := &scanner{src: r, id: s.id, end: r.Size()}
	off := int64(segmentHeader)
	for off < scan.end {
		f, whole, err := scan.next(off, true)
		if err != nil {
			return 0, err
		}
		if whole {
			off += f.size()
			continue
		}
		if off < s.known {
			break
		}
		// Without a header there is no telling how far the frame goes, but then
		// it is the header that something is missing from.
		torn, err := scan.missing(off, max(f.size(), frameHeader))
		if err != nil {
			return 0, err
		}
		if !torn {
			return 0, corrupt(s.name, off, "the record here is damaged, and no part of it is missing as after a crash")
		}
		at, found, err := scan.witness(off)
		if err != nil {
			return 0, err
		}
		if found {
			return 0, corrupt(s.name, off, fmt.Sprintf("the record here is damaged, and the one at %d was written after it was durable", at))
		}
		break
	}
	if off < s.known {
		return 0, corrupt(s.name, off, fmt.Sprintf("its records end here or are damaged, and everything up to %d was durable", s.known))
	}
	return off, nil
}

func corrupt(name string, off int64, what string) error {
	return fmt.Errorf("%w: segment %s, offset %d: %s; nothing was changed: copy the whole journal elsewhere, then restore this segment from a copy made before",
		ErrCorrupt, name, off, what)
}

// append adds a record and returns when it, and every one before it, is durable.
// An error that is not ErrBroken means that the record was not added.
func (l *log) append(kind byte, head, body []byte) (position, error) {
	return l.add(&reservation{log: l}, true, kind, head, body)
}

// write adds a record that becomes durable with the next append, flush or close,
// or is lost in a crash before that. The slices are free on return.
func (l *log) write(kind byte, head, body []byte) (position, error) {
	return l.add(&reservation{log: l}, false, kind, head, body)
}

// reservation is room that is kept for records to come. One goroutine uses it.
type reservation struct {
	log  *log
	left int64
}

// reserve makes sure that so many records, whose heads and bodies have so many
// bytes together, can be added whatever else fills the disk.
func (l *log) reserve(records int, size int64) (*reservation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	need := size + int64(records)*(frameHeader+7)
	if err := l.makeRoom(need); err != nil {
		return nil, err
	}
	l.reserved += need
	return &reservation{log: l, left: need}, nil
}

// append is log.append within the reservation. What does not fit into it is
// added if there happens to be room.
func (r *reservation) append(kind byte, head, body []byte) (position, error) {
	return r.log.add(r, true, kind, head, body)
}

// write is log.write within the reservation.
func (r *reservation) write(kind byte, head, body []byte) (position, error) {
	return r.log.add(r, false, kind, head, body)
}

// release gives up what is left. It may be called again.
func (r *reservation) release() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.reserved -= r.left
	r.left = 0
}

func (l *log) add(r *reservation, durable bool, kind byte, head, body []byte) (position, error) {
	f := frame{kind: kind, head: int64(len(head)), body: int64(len(body)), headSum: checksum(head), bodySum: checksum(body)}
	size := f.size()
	if size > maxFrame {
		return position{}, fmt.Errorf("journal: a record of %d bytes is longer than the %d allowed", size, maxFrame)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return position{}, err
	}
	if lack := size - r.left; lack > 0 {
		if err := l.makeRoom(lack); err != nil {
			return position{}, err
		}
		l.reserved += lack
		r.left += lack
	}
	for len(l.group) > 0 && int64(len(l.group))+size > groupLimit {
		if err := errors.Join(l.step(), l.usable()); err != nil {
			return position{}, err
		}
	}
	p := position{segment: len(l.segments), offset: l.tail}
	l.group = appendFrame(l.group, f, head, body)
	l.tail += size
	l.reserved -= size
	r.left -= size
	if !durable {
		return p, nil
	}
	return p, l.wait(p)
}

// flush returns when every record added before is durable.
func (l *log) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.wait(position{segment: len(l.segments), offset: l.tail - 1})
}

// close makes every record durable and gives unused room back. Further calls
// that write are fs.ErrClosed.
func (l *log) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if l.active == nil {
		return l.broken
	}
	err := l.wait(position{segment: len(l.segments), offset: l.tail - 1})
	for l.busy {
		l.idle.Wait()
	}
	if err == nil {
		err = l.broken // by making room
	}
	if err == nil {
		err = l.active.Seal()
	}
	return errors.Join(err, l.active.Close())
}

// All below is called with mu held.

func (l *log) usable() error {
	if l.closed {
		return fmt.Errorf("journal: %w", fs.ErrClosed)
	}
	if l.look {
		return errReadOnly
	}
	return l.broken
}

// wait returns when the record at p is durable. Whoever waits while nobody is
// writing writes the group, for itself and all others.
func (l *log) wait(p position) error {
	for l.active != nil && p.segment == len(l.segments) && p.offset >= l.end {
		if err := l.step(); err != nil {
			return err
		}
	}
	return nil
}

// step waits for the group that is being written, or writes one.
func (l *log) step() error {
	switch {
	case l.broken != nil:
	case l.busy:
		l.idle.Wait()
	case len(l.group) > 0:
		l.commit()
	}
	return l.broken
}

// commit writes the group and lets go of mu meanwhile.
func (l *log) commit() {
	// Those whom the group before has just woken come along, if they are quick;
	// else every second group would be of one.
	l.busy = true
	l.mu.Unlock()
	runtime.Gosched()
	l.mu.Lock()
	group, off, active, id := l.group, l.end, l.active, l.segments[len(l.segments)-1].id
	l.group, l.spare = l.spare[:0], nil
	l.mu.Unlock()
	finish(group, id, off)
	err := active.Append(group)
	l.mu.Lock()
	l.busy = false
	if err != nil {
		_ = l.fail(err) // everyone who waits is told
	} else {
		l.end += int64(len(group))
	}
	if cap(group) <= spareLimit {
		l.spare = group
	}
	l.idle.Broadcast()
}

// fail ends the log.
func (l *log) fail(err error) error {
	if l.broken == nil {
		l.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return l.broken
}

// makeRoom returns when the segment has room for need bytes besides what is
// reserved. Only here does a new segment begin: a record that draws on a
// reservation touches nothing that the disk could be too full for.
func (l *log) makeRoom(need int64) error {
	for {
		if err := l.usable(); err != nil {
			return err
		}
		full := l.active == nil || l.tail > segmentHeader && l.tail+need > l.target
		if !full && l.tail+l.reserved+need <= l.room {
			return nil
		}
		if !l.busy && (!full || len(l.group) == 0) {
			if full {
				err := l.rotate(need)
				if l.active == nil || !errors.Is(err, errNoRoom) {
					return err
				}
				// A new segment does not fit, but the old one may have room.
			}
			return l.grow(need)
		}
		if err := l.step(); err != nil {
			return err
		}
	}
}

// grow makes room in the segment, by large steps while the disk has them.
func (l *log) grow(need int64) error {
	return l.enough(l.tail-l.end+l.reserved+need, func(room int64) error {
		if l.end+room <= l.room {
			return nil
		}
		err := l.active.Room(room)
		if err == nil {
			l.room = l.end + room
		}
		return err
	})
}

// rotate begins a segment, with room for all that is reserved, and then seals
// the one before. Everything in that one must be durable.
func (l *log) rotate(need int64) error {
	h := header{number: uint64(len(l.segments)) + 1}
	if n := len(l.segments); n > 0 {
		if l.active != nil {
			l.segments[n-1].end = l.end
		}
		h.previous, h.previousEnd = l.segments[n-1].id, l.segments[n-1].end
	}
	for h.id == 0 {
		h.id = randomID()
	}
	name := segmentName(len(l.segments) + 1)
	return l.enough(l.reserved+need, func(room int64) error {
		// Nobody may cancel this: what is half done breaks the log.
		active, err := l.store.Create(context.Background(), name, h.encode(), room)
		if err != nil {
			return err
		}
		sealed := l.active
		l.segments = append(l.segments, segment{name: name, id: h.id})
		l.active = active
		l.end, l.tail, l.room = segmentHeader, segmentHeader, segmentHeader+room
		if sealed == nil {
			return nil
		}
		return errors.Join(sealed.Seal(), sealed.Close())
	})
}

// enough asks for more room than need, and for no more than need if there is
// not as much. Any error but errNoRoom breaks the log.
func (l *log) enough(need int64, ask func(room int64) error) error {
	step := max(l.target/16, 1)
	err := ask((need + step - 1) / step * step)
	if errors.Is(err, errNoRoom) {
		err = ask(need)
	}
	if err != nil && !errors.Is(err, errNoRoom) {
		return l.fail(err)
	}
	return err
}

func randomID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // does not fail
	return binary.LittleEndian.Uint64(b[:])
}

// read gets the record at p, which must come from this journal. One that is not
// durable yet is made so first.
func (l *log) read(ctx context.Context, p position) (record, error) {
	l.mu.Lock()
	if p.offset < l.tail {
		if err := l.wait(p); err != nil {
			l.mu.Unlock()
			return record{}, err
		}
	}
	segments := l.snapshot()
	l.mu.Unlock()
	if p.segment < 1 || p.segment > len(segments) || p.offset < segmentHeader || p.offset >= segments[p.segment-1].end {
		return record{}, fmt.Errorf("journal: there is no record at %v", p)
	}
	s := segments[p.segment-1]
	r, err := l.store.Open(ctx, s.name)
	if err != nil {
		return record{}, err
	}
	defer r.Close()
	b := make([]byte, min(4<<10, s.end-p.offset))
	if err := readFull(r, b, p.offset); err != nil {
		return record{}, err
	}
	mask(b, s.id, p.offset)
	if len(b) < frameHeader {
		return record{}, corrupt(s.name, p.offset, "there is no record here")
	}
	f, ok := parseHeader(b, s.id, p.offset)
	if !ok || p.offset+f.size() > s.end {
		return record{}, corrupt(s.name, p.offset, "there is no record here, or its header is damaged")
	}
	if have := int64(len(b)); have < f.size() {
		b = append(b, make([]byte, f.size()-have)...)
		if err := readFull(r, b[have:], p.offset+have); err != nil {
			return record{}, err
		}
		mask(b[have:], s.id, p.offset+have)
	}
	rec := record{kind: f.kind, head: b[frameHeader:][:f.head:f.head], body: b[frameHeader+f.head:][:f.body:f.body]}
	if checksum(rec.head) != f.headSum || checksum(rec.body) != f.bodySum {
		return record{}, corrupt(s.name, p.offset, "the record here is damaged")
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

// snapshot is all segments with the ends they have now.
func (l *log) snapshot() []segment {
	segments := slices.Clone(l.segments)
	if l.active != nil {
		segments[len(segments)-1].end = l.end
	}
	return segments
}

// walk calls visit for every record that is durable now, in order. The head is
// good until visit returns. Bodies are skipped, or verified as well; those of
// the last segment have been when the journal was opened.
func (l *log) walk(ctx context.Context, bodies bool, visit func(p position, kind byte, head []byte, body int64) error) error {
	l.mu.Lock()
	segments := l.snapshot()
	l.mu.Unlock()
	var scan scanner
	for i, s := range segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.walkSegment(ctx, &scan, i+1, s, bodies, visit); err != nil {
			return err
		}
	}
	return nil
}

func (l *log) walkSegment(ctx context.Context, scan *scanner, number int, s segment, bodies bool, visit func(position, byte, []byte, int64) error) error {
	r, err := l.store.Open(ctx, s.name)
	if err != nil {
		return err
	}
	defer r.Close()
	*scan = scanner{src: r, id: s.id, end: s.end, raw: scan.raw[:0], plain: scan.plain}
	for off := int64(segmentHeader); off < s.end; {
		f, whole, err := scan.next(off, bodies)
		if err != nil {
			return err
		}
		if !whole {
			return corrupt(s.name, off, "the record here is damaged")
		}
		if err := visit(position{number, off}, f.kind, scan.head, f.body); err != nil {
			return err
		}
		off += f.size()
	}
	return nil
}
