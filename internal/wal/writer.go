package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
)

const (
	maxGroupSize  = 16 << 20 // bytes that may wait for one write
	maxBufferSize = 1 << 20  // larger buffers are not kept
)

// writer appends records to the last segment and begins the next one. It commits in groups, and keeps
// the room that was reserved. It may be used concurrently.
type writer struct {
	segments    *segmentList
	segmentSize int64

	mu         sync.Mutex
	writeDone  sync.Cond // signalled when writing ends
	active     Segment   // the last of segments; nil until the first record needs one
	number     int       // of active
	id         uint64    // of active
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

// Append adds a record and returns when it, and every one before it, is durable.
// An error that is not ErrBroken means that the record was not added.
func (w *writer) Append(kind byte, head, body []byte) (Position, error) {
	return w.addRecord(&Reservation{writer: w}, true, kind, head, body)
}

// Write adds a record that becomes durable with the next append, flush or close, and
// is lost in a crash before that. The caller may reuse the slices on return.
func (w *writer) Write(kind byte, head, body []byte) (Position, error) {
	return w.addRecord(&Reservation{writer: w}, false, kind, head, body)
}

// WritePruned is Write for a record that was pruned in another log.
func (w *writer) WritePruned(kind byte, head []byte) (Position, error) {
	return w.addRecord(&Reservation{writer: w}, false, kind|prunedFlag, head, nil)
}

// Reservation is room set aside for future records. It is used by one goroutine.
type Reservation struct {
	writer *writer
	left   int64
}

// Reserve makes sure that a number of records can be added whatever else fills the
// disk. size is the total number of bytes in their heads and bodies.
func (w *writer) Reserve(records int, size int64) (*Reservation, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	need := size + int64(records)*(frameHeaderSize+7)
	if err := w.ensureSpace(need); err != nil {
		return nil, err
	}
	w.reserved += need
	return &Reservation{writer: w, left: need}, nil
}

// Append is Log.Append within the reservation. A record that exceeds it is added only
// if there is room.
func (r *Reservation) Append(kind byte, head, body []byte) (Position, error) {
	return r.writer.addRecord(r, true, kind, head, body)
}

// Write is Log.Write within the reservation.
func (r *Reservation) Write(kind byte, head, body []byte) (Position, error) {
	return r.writer.addRecord(r, false, kind, head, body)
}

// Release gives up what is left. It may be called repeatedly.
func (r *Reservation) Release() {
	r.writer.mu.Lock()
	defer r.writer.mu.Unlock()
	r.writer.reserved -= r.left
	r.left = 0
}

func (w *writer) addRecord(r *Reservation, durable bool, kind byte, head, body []byte) (Position, error) {
	f := frame{kind: kind, headLen: int64(len(head)), bodyLen: int64(len(body)), headSum: checksum(head), bodySum: checksum(body)}
	size := f.size()
	if size > maxFrame {
		return Position{}, fmt.Errorf("journal: a record of %d bytes is longer than the %d allowed", size, maxFrame)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.checkWritable(); err != nil {
		return Position{}, err
	}
	if shortfall := size - r.left; shortfall > 0 {
		if err := w.ensureSpace(shortfall); err != nil {
			return Position{}, err
		}
		w.reserved += shortfall
		r.left += shortfall
	}
	for len(w.pending) > 0 && int64(len(w.pending))+size > maxGroupSize {
		if err := errors.Join(w.commitOrWait(), w.checkWritable()); err != nil {
			return Position{}, err
		}
	}
	p := Position{segment: w.number, offset: w.offset}
	w.pending = appendFrame(w.pending, f, head, body)
	w.offset += size
	w.reserved -= size
	r.left -= size
	if !durable {
		return p, nil
	}
	return p, w.waitDurable(p)
}

// Flush returns when every record added before is durable.
func (w *writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.checkWritable(); err != nil {
		return err
	}
	return w.waitDurable(Position{segment: w.number, offset: w.offset - 1})
}

// Mark names the end of the log: a position, and a random number of the segment there. The log must
// have been written to.
func (w *writer) Mark() (end Position, id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.segments.count()
	if n == 0 {
		return Position{}, 0
	}
	return Position{n, w.offset}, w.segments.snapshot(n).id
}

// SizeFrom is the number of bytes from a position on, which must lie in a segment that a walk has
// read.
func (w *writer) SizeFrom(p Position) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.segments.sizeFrom(p) + w.offset - w.durableEnd
}

// Close makes every record durable and releases unused room. Later writes return
// fs.ErrClosed.
func (w *writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	if w.active == nil {
		return w.broken
	}
	err := w.waitDurable(Position{segment: w.number, offset: w.offset - 1})
	for w.writing {
		w.writeDone.Wait()
	}
	if err == nil {
		err = w.broken // allocating room failed
	}
	if err == nil {
		err = w.active.Seal()
	}
	return errors.Join(err, w.active.Close())
}

// The methods from here to requestSpace are called with mu held.

func (w *writer) checkWritable() error {
	if w.closed {
		return fmt.Errorf("journal: %w", fs.ErrClosed)
	}
	if w.segments.readOnly.Load() {
		return errReadOnly
	}
	return w.broken
}

// waitDurable returns when the record at p is durable. This is group commit: if no
// goroutine is writing, the caller writes the group for all waiters.
func (w *writer) waitDurable(p Position) error {
	for w.active != nil && p.segment == w.number && p.offset >= w.durableEnd {
		if err := w.commitOrWait(); err != nil {
			return err
		}
	}
	return nil
}

// commitOrWait waits for the group that is being written, or writes the next one.
func (w *writer) commitOrWait() error {
	switch {
	case w.broken != nil:
	case w.writing:
		w.writeDone.Wait()
	case len(w.pending) > 0:
		w.commitGroup()
	}
	return w.broken
}

// commitGroup writes the group, and unlocks mu meanwhile.
func (w *writer) commitGroup() {
	// Goroutines woken by the previous group get a chance to join this one;
	// otherwise every second group would hold one record.
	w.writing = true
	w.mu.Unlock()
	runtime.Gosched()
	w.mu.Lock()
	group, off, active, id := w.pending, w.durableEnd, w.active, w.id
	w.pending, w.buffer = w.buffer[:0], nil
	w.mu.Unlock()
	finishGroup(group, id, off)
	err := active.Append(group)
	w.mu.Lock()
	w.writing = false
	if err != nil {
		_ = w.breakLog(err) // all waiters return the error
	} else {
		w.durableEnd += int64(len(group))
		w.segments.setEnd(w.durableEnd)
	}
	if cap(group) <= maxBufferSize {
		w.buffer = group
	}
	w.writeDone.Broadcast()
}

// breakLog makes every later write fail.
func (w *writer) breakLog(err error) error {
	if w.broken == nil {
		w.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return w.broken
}

// ensureSpace returns when the segment has room for need bytes in addition to what is
// reserved. A new segment begins only here: a record within a reservation needs
// nothing from the disk that could be missing.
func (w *writer) ensureSpace(need int64) error {
	for {
		if err := w.checkWritable(); err != nil {
			return err
		}
		full := w.active == nil || w.offset > segmentHeaderSize && w.offset+need > w.segmentSize
		if !full && w.offset+w.reserved+need <= w.allocated {
			return nil
		}
		if !w.writing && (!full || len(w.pending) == 0) {
			if full {
				err := w.rotate(need)
				if w.active == nil || !errors.Is(err, errNoSpace) {
					return err
				}
				// A new segment does not fit, but the old one may have room.
			}
			return w.growSegment(need)
		}
		if err := w.commitOrWait(); err != nil {
			return err
		}
	}
}

// growSegment makes room in the segment, in large steps if the disk has the space.
func (w *writer) growSegment(need int64) error {
	return w.requestSpace(w.offset-w.durableEnd+w.reserved+need, func(space int64) error {
		if w.durableEnd+space <= w.allocated {
			return nil
		}
		err := w.active.Allocate(space)
		if err == nil {
			w.allocated = w.durableEnd + space
		}
		return err
	})
}

// rotate begins a segment, with room for everything reserved, and then seals the
// previous one. The previous one's content must be durable.
func (w *writer) rotate(need int64) error {
	number := w.segments.count() + 1
	h := header{number: uint64(number)} //nolint:gosec // a count
	if number > 1 {
		last := w.segments.snapshot(number - 1)
		h.previousID, h.previousEnd = last.id, last.end
	}
	for h.id == 0 {
		h.id = randomID()
	}
	name := segmentName(number)
	return w.requestSpace(w.reserved+need, func(space int64) error {
		// Not cancellable: a half-created segment breaks the log.
		active, err := w.segments.store.Create(context.Background(), name, h.encode(), space)
		if err != nil {
			return err
		}
		previous := w.active
		w.segments.add(segment{name: name, id: h.id, end: segmentHeaderSize, header: h})
		w.active, w.number, w.id = active, number, h.id
		w.durableEnd, w.offset, w.allocated = segmentHeaderSize, segmentHeaderSize, segmentHeaderSize+space
		if previous == nil {
			return nil
		}
		return errors.Join(previous.Seal(), previous.Close())
	})
}

// requestSpace asks for more room than needed, and for the exact amount if there is
// not enough. Any error other than errNoSpace breaks the log.
func (w *writer) requestSpace(need int64, request func(space int64) error) error {
	step := max(w.segmentSize/16, 1)
	err := request((need + step - 1) / step * step)
	if errors.Is(err, errNoSpace) {
		err = request(need)
	}
	if err != nil && !errors.Is(err, errNoSpace) {
		return w.breakLog(err)
	}
	return err
}
