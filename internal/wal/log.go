package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
)

// Log is a sequence of records in numbered segments. It may be used concurrently.
type Log struct {
	segments *segmentList
	writer
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
	segmentMagic      = "siglkjnl"
	formatVersion     = 1
)

// Open opens a log and determines where its valid content ends. It changes nothing,
// except that it makes that content durable; the first record creates a new segment.
func Open(ctx context.Context, store Store, o Options) (*Log, error) {
	segments, err := listSegments(ctx, store)
	if err != nil {
		return nil, err
	}
	segments.readOnly.Store(o.ReadOnly)
	last := segments.count()
	for number := 1; number <= last; number++ {
		if o.Lazy && number < last {
			continue
		}
		err := segments.load(ctx, number)
		if number == last && errors.Is(err, errGrown) { // by a writer presumed dead, which is now fenced off
			err = segments.load(ctx, number)
		}
		if err != nil {
			return nil, err
		}
	}
	l := &Log{segments: segments, writer: writer{segments: segments, segmentSize: o.SegmentSize}}
	if l.segmentSize <= 0 {
		l.segmentSize = 64 << 20
	}
	l.writeDone.L = &l.mu
	return l, nil
}

// Recover makes a log that was opened read-only one that is written, as Open would have opened it:
// a caller that may refuse a log opens it that way and changes nothing. false means that another
// process, which is fenced off now, has appended in the meantime: the log must be opened again.
func (l *Log) Recover(ctx context.Context) (unchanged bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.segments.count(); n > 0 {
		s := l.segments.snapshot(n)
		r, err := l.segments.store.Open(ctx, s.name)
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
	l.segments.readOnly.Store(false)
	return true, nil
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
	l.mu.Unlock()
	if p.segment < 1 || p.segment > l.segments.count() {
		return Record{}, fmt.Errorf("journal: no record at %v", p)
	}
	if err := l.segments.load(ctx, p.segment); err != nil {
		return Record{}, err
	}
	s := l.segments.snapshot(p.segment)
	if p.offset < segmentHeaderSize || p.offset >= s.end {
		return Record{}, fmt.Errorf("journal: no record at %v", p)
	}
	r, err := l.segments.store.Open(ctx, s.name)
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
	n := l.segments.count()
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d@%d", n, l.segments.snapshot(n).end)
}

// Durable is the end of what the store has stated to be durable, and the random number of the segment
// there. In a log that is read while another process writes it, records behind it can still be lost in
// a power cut. It is the zero position for an empty log.
func (l *Log) Durable() (end Position, id uint64) {
	n := l.segments.count()
	if n == 0 {
		return Position{}, 0
	}
	s := l.segments.snapshot(n)
	if l.segments.readOnly.Load() {
		s.end = min(s.end, s.durable)
	}
	return Position{n, s.end}, s.id
}

// SegmentID is the random number of a segment, counted from 1; 0 if there is no such segment.
func (l *Log) SegmentID(ctx context.Context, number int) (uint64, error) {
	if number < 1 || number > l.segments.count() {
		return 0, nil
	}
	if err := l.segments.load(ctx, number); err != nil {
		return 0, err
	}
	return l.segments.snapshot(number).id, nil
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
	if err := l.segments.loadFrom(ctx, from.segment); err != nil {
		return err
	}
	var scan scanner
	for number, last := from.segment, l.segments.count(); number <= last; number++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.walkSegment(ctx, &scan, from, l.segments.snapshot(number), bodies, visit); err != nil {
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
		var scan scanner
		for number := l.segments.count(); number >= 1; number-- {
			var found []Position
			err := l.segments.load(ctx, number)
			if err == nil {
				err = l.walkSegment(ctx, &scan, Position{number, segmentHeaderSize}, l.segments.snapshot(number), false, func(p Position, k byte, _ []byte, _ int64) error {
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

// Follows reports whether the record at p, which a walk has met, is the first one behind a mark of this
// log: one that was copied from another log is not.
func (l *Log) Follows(p, end Position, id uint64) bool {
	if p.segment < 1 || p.segment > l.segments.count() {
		return false
	}
	s := l.segments.snapshot(p.segment)
	return p == end && s.id == id || p == Position{end.segment + 1, segmentHeaderSize} && s.header.previousID == id
}

func (l *Log) walkSegment(ctx context.Context, scan *scanner, from Position, s segment, bodies bool, visit func(Position, byte, []byte, int64) error) error {
	r, err := l.segments.store.Open(ctx, s.name)
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
