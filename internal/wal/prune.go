package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sort"

	"github.com/siglake/siglake/internal/bucket"
)

// Pruning removes bodies of records from segments that are complete. Heads stay, and so does the place
// of every record: a pruned record says so in its header, and nothing else of the log changes. A
// segment is replaced as a whole, so that a reader finds it as it was before or as it is after.
//
// A pruned segment is stored as what is left of it. Numbers are little endian:
//
//	 0  a magic word
//	 8  u64  size of the segment
//	16  u32  number of ranges that are left
//	20  u32  CRC32C of the segment's name, of the bytes before and of the ranges
//	24       the ranges, each u64 offset and u64 length; then their bytes
//
// What is not left reads as zeros.
const (
	prunedMagic      = "siglkcut"
	prunedHeaderSize = 24
	prunedRangeSize  = 16
	prunedFlag       = 0x80 // of the kind of a record in its frame
)

// PrunedBody is the length of the body of a pruned record, for the visitor of a walk.
const PrunedBody = -1

// prunedSegment reads a pruned segment.
type prunedSegment struct {
	src      io.ReaderAt
	size     int64
	ranges   []prunedRange
	checksum uint32 // of the ranges
}

type prunedRange struct {
	offset, length int64
	at             int64 // in src
}

// Size is the size of the segment with what was removed.
func (s *prunedSegment) Size() int64 { return s.size }

// ReadAt reads from the segment.
func (s *prunedSegment) ReadAt(p []byte, off int64) (n int, err error) {
	if off >= s.size {
		return 0, io.EOF
	}
	if left := s.size - off; int64(len(p)) > left {
		p, err = p[:left], io.EOF
	}
	clear(p)
	end := off + int64(len(p))
	first := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].offset+s.ranges[i].length > off })
	for _, r := range s.ranges[first:] {
		if r.offset >= end {
			break
		}
		from, to := max(r.offset, off), min(r.offset+r.length, end)
		if err := readFull(s.src, p[from-off:to-off], r.at+from-r.offset); err != nil {
			return 0, err
		}
	}
	return len(p), err
}

// openPruned reads the ranges of a pruned segment; nil if it is none. known may be the same segment as
// it was read before.
func openPruned(src io.ReaderAt, size int64, name string, known *prunedSegment) (*prunedSegment, error) {
	h := make([]byte, prunedHeaderSize)
	if size < int64(len(h)) {
		return nil, nil
	}
	if err := readFull(src, h, 0); err != nil {
		return nil, err
	}
	if string(h[:len(prunedMagic)]) != prunedMagic {
		return nil, nil
	}
	sum := binary.LittleEndian.Uint32(h[20:])
	s := &prunedSegment{src: src, size: int64(binary.LittleEndian.Uint64(h[8:])), checksum: sum} //nolint:gosec // checked by the sum
	if known != nil && known.checksum == sum && known.size == s.size {
		s.ranges = known.ranges
		return s, nil
	}
	damaged := corruptError(name, 0, "the list of what is left of it since it was pruned is damaged")
	count := int64(binary.LittleEndian.Uint32(h[16:]))
	at := prunedHeaderSize + count*prunedRangeSize
	if at > size {
		return nil, damaged
	}
	list := make([]byte, count*prunedRangeSize)
	if err := readFull(src, list, prunedHeaderSize); err != nil {
		return nil, err
	}
	if prunedChecksum(name, h, list) != sum {
		return nil, damaged
	}
	for r := range slices.Chunk(list, prunedRangeSize) {
		offset, length := int64(binary.LittleEndian.Uint64(r)), int64(binary.LittleEndian.Uint64(r[8:])) //nolint:gosec // checked by the sum
		s.ranges = append(s.ranges, prunedRange{offset, length, at})
		at += length
	}
	if at != size {
		return nil, corruptError(name, 0, "it does not have the size that it had when it was pruned")
	}
	return s, nil
}

func prunedChecksum(name string, header, list []byte) uint32 {
	return checksum(slices.Concat([]byte(name), header[:20], list))
}

// encodePruned stores ranges of a segment; those that touch each other are one.
func encodePruned(name string, size int64, ranges []prunedRange, kept []byte) []byte {
	var list []byte
	for _, r := range ranges {
		list = binary.LittleEndian.AppendUint64(list, uint64(r.offset)) //nolint:gosec // not negative
		list = binary.LittleEndian.AppendUint64(list, uint64(r.length)) //nolint:gosec // not negative
	}
	b := binary.LittleEndian.AppendUint64([]byte(prunedMagic), uint64(size)) //nolint:gosec // not negative
	b = binary.LittleEndian.AppendUint32(b, uint32(len(ranges)))             //nolint:gosec // fewer than bytes of a segment
	b = binary.LittleEndian.AppendUint32(b, prunedChecksum(name, b, list))
	return slices.Concat(b, list, kept)
}

// prunableStore is a store that can replace complete segments by what is left of them.
type prunableStore interface {
	// replacePruned durably replaces a segment, in one step for its readers.
	replacePruned(ctx context.Context, name string, content []byte) error
	// isPruned reports whether a segment has been replaced.
	isPruned(ctx context.Context, name string) (bool, error)
	// spare is the size of what a segment that has been replaced does not need, and removeSpare
	// removes that, of such a segment only.
	spare(ctx context.Context, name string) (int64, error)
	removeSpare(ctx context.Context, name string) error
}

// Pruning is what a pruning removes.
type Pruning struct {
	Records  int   // with a body that is there
	Bytes    int64 // that these bodies take, with further copies
	segments []segmentPruning
}

// IsEmpty reports whether there is nothing to remove.
func (p *Pruning) IsEmpty() bool { return len(p.segments) == 0 }

// Removes reports whether the body of a record is removed.
func (p *Pruning) Removes(at Position) bool {
	i, found := slices.BinarySearchFunc(p.segments, at.segment, func(s segmentPruning, n int) int { return s.number - n })
	return found && p.segments[i].offsets[at.offset]
}

// segmentPruning is what is removed from a segment.
type segmentPruning struct {
	number  int
	offsets map[int64]bool // of records with a body; none: an interrupted pruning left copies
}

// PlanPruning finds out what removing the bodies of some records removes. It changes nothing.
func (l *Log) PlanPruning(ctx context.Context, records []Position) (*Pruning, error) {
	store, ok := l.segments.store.(prunableStore)
	if !ok {
		return nil, errors.New("this store of a journal cannot be pruned")
	}
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b Position) int {
		if a.Before(b) {
			return -1
		}
		return 1
	})
	plan := &Pruning{}
	for len(records) > 0 {
		number := records[0].segment
		end := slices.IndexFunc(records, func(p Position) bool { return p.segment != number })
		if end < 0 {
			end = len(records)
		}
		one, size, err := planSegment(ctx, l.segments, number, records[:end])
		if err != nil {
			return nil, err
		}
		records = records[end:]
		if len(one.offsets) == 0 {
			if pruned, err := store.isPruned(ctx, segmentName(number)); err != nil {
				return nil, err
			} else if !pruned {
				continue
			}
		}
		spare, err := store.spare(ctx, segmentName(number))
		if err != nil {
			return nil, err
		}
		if len(one.offsets) > 0 || spare > 0 {
			plan.segments = append(plan.segments, one)
			plan.Records += len(one.offsets)
			plan.Bytes += size + spare
		}
	}
	return plan, nil
}

// planSegment chooses those of a segment's records that have a body. size is what the bodies take.
func planSegment(ctx context.Context, segments *segmentList, number int, records []Position) (one segmentPruning, size int64, err error) {
	one = segmentPruning{number, map[int64]bool{}}
	if err := segments.load(ctx, number); err != nil {
		return one, 0, err
	}
	s := segments.snapshot(number)
	r, err := segments.store.Open(ctx, s.name)
	if err != nil {
		return one, 0, err
	}
	defer r.Close()
	scan := &scanner{src: r, id: s.id, end: s.end}
	for _, p := range records {
		f, ok, err := scan.readHeader(p.offset)
		if err != nil {
			return one, 0, err
		}
		if !ok {
			return one, 0, corruptError(s.name, p.offset, "no record here, or its header is damaged")
		}
		if !f.pruned && f.bodyLen > 0 {
			one.offsets[p.offset] = true
			size += f.size() - frameHeaderSize - f.headLen
		}
	}
	return one, size, nil
}

// Prune removes what a plan says. The segments must be complete: they lie before the one that is
// written. After an error or a crash some of it is removed, and a new plan has the rest. proceed is
// asked before each segment is replaced.
func (l *Log) Prune(ctx context.Context, plan *Pruning, proceed func() error) error {
	store, ok := l.segments.store.(prunableStore)
	if !ok || l.segments.readOnly.Load() {
		return errReadOnly
	}
	for _, s := range plan.segments {
		if err := errors.Join(ctx.Err(), proceed()); err != nil {
			return err
		}
		if s.number >= l.segments.count() {
			return fmt.Errorf("journal: segment %s is not complete and cannot be pruned", segmentName(s.number))
		}
		if len(s.offsets) > 0 {
			content, err := s.prune(ctx, l.segments)
			if err != nil {
				return err
			}
			if err := store.replacePruned(ctx, segmentName(s.number), content); err != nil {
				return err
			}
		}
		if err := store.removeSpare(ctx, segmentName(s.number)); err != nil {
			return err
		}
	}
	return nil
}

// prune returns the segment without the bodies. It verifies every record before.
func (p *segmentPruning) prune(ctx context.Context, segments *segmentList) ([]byte, error) {
	s := segments.snapshot(p.number)
	r, err := segments.store.Open(ctx, s.name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var kept bytes.Buffer
	var ranges []prunedRange
	keep := func(off int64, b []byte) {
		if n := len(ranges); n > 0 && ranges[n-1].offset+ranges[n-1].length == off {
			ranges[n-1].length += int64(len(b))
		} else {
			ranges = append(ranges, prunedRange{offset: off, length: int64(len(b))})
		}
		kept.Write(b)
	}
	scan := &scanner{src: r, id: s.id, end: s.end}
	for off := int64(0); off < s.end; {
		size, n := int64(segmentHeaderSize), int64(segmentHeaderSize)
		if off > 0 {
			f, intact, err := scan.readFrame(off, true)
			if err != nil {
				return nil, err
			}
			if !intact {
				return nil, corruptError(s.name, off, "the record here is damaged")
			}
			if size, n = f.size(), f.size(); f.pruned || p.offsets[off] {
				n = frameHeaderSize + f.headLen
			}
		}
		b := make([]byte, n)
		if err := readFull(r, b, off); err != nil {
			return nil, err
		}
		if p.offsets[off] {
			markPruned(b[:frameHeaderSize], s.id, off)
		}
		keep(off, b)
		off += size
	}
	return encodePruned(s.name, s.end, ranges, kept.Bytes()), nil
}

// markPruned makes the header of a stored frame that of a pruned record.
func markPruned(h []byte, id uint64, off int64) {
	whiten(h, id, off)
	h[20] |= prunedFlag
	binary.LittleEndian.PutUint32(h, headerChecksum(h, id, off))
	whiten(h, id, off)
}

// prunedTempFile is a pruned segment in the making.
const prunedTempFile = "pruned.tmp"

func (d *Dir) replacePruned(_ context.Context, name string, content []byte) error {
	if err := d.dir.Remove(prunedTempFile); err != nil { // of a crash
		return err
	}
	f, err := d.dir.OpenFile(prunedTempFile, createExclusively, 0o660)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.SyncAndClose(); err != nil {
		return err
	}
	written, err := d.dir.ReadFile(prunedTempFile)
	if err == nil && !bytes.Equal(written, content) {
		err = fmt.Errorf("segment %s: what was written cannot be read back", name)
	}
	if err != nil {
		return err
	}
	if err := d.dir.Rename(prunedTempFile, name+segmentSuffix); err != nil {
		return err
	}
	return d.dir.SyncDir(".")
}

// isPruned is of no use: a replacement leaves nothing that a plan would have to know.
func (d *Dir) isPruned(context.Context, string) (bool, error) { return false, nil }

func (d *Dir) spare(context.Context, string) (int64, error) { return 0, nil }

func (d *Dir) removeSpare(context.Context, string) error { return nil }

// openPruned opens a segment that was pruned; nil if it was not. The ranges of the last one are kept:
// many records of a segment are read one after the other.
func (d *Dir) openPruned(r *dirReader) (*prunedSegment, error) {
	d.mu.Lock()
	known := d.lastPruned[r.segment]
	d.mu.Unlock()
	s, err := openPruned(r.f, r.f.Size(), r.segment, known)
	if err != nil || s == nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lastPruned = map[string]*prunedSegment{r.segment: s}
	return s, nil
}

// prunedReader reads a segment that was pruned.
type prunedReader struct {
	*prunedSegment
	close func()
}

func (r *prunedReader) Close() error {
	r.close()
	return nil
}

// Durable is the size: such a segment was written as a whole.
func (r *prunedReader) Durable() (int64, error) { return r.size, nil }

// Recover has nothing to do: no process writes such a segment.
func (r *prunedReader) Recover(_, end int64) error {
	if end != r.size {
		return errGrown
	}
	return nil
}

// prunableBucket is a bucket in which objects can be replaced and removed.
type prunableBucket interface {
	// Swap replaces an object that has this version.
	Swap(ctx context.Context, name, etag string, data []byte) error
	// Delete removes an object. Deleting a missing object is not an error.
	Delete(ctx context.Context, name string) error
}

var (
	_ prunableBucket = (*bucket.Bucket)(nil)
	_ prunableStore  = (*Dir)(nil)
	_ prunableStore  = (*Objects)(nil)
)

// replacePruned replaces the copy of the segment in one object, which readers look for first.
func (o *Objects) replacePruned(ctx context.Context, name string, content []byte) error {
	b, ok := o.bucket.Bucket.(prunableBucket)
	if !ok {
		return errors.New("this store of a journal cannot be pruned")
	}
	encoded := encodeObject(objectPruned, name, 0, 0, content)
	_, etag, err := o.bucket.Get(ctx, o.bucket.packedName(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = o.bucket.putWithRetry(ctx, o.bucket.packedName(name), encoded)
	case err == nil:
		err = b.Swap(ctx, o.bucket.packedName(name), etag, encoded)
	}
	if err != nil {
		return err
	}
	o.cache.drop(name)
	return nil
}

func (o *Objects) isPruned(ctx context.Context, name string) (bool, error) {
	b, _, err := o.bucket.Get(ctx, o.bucket.packedName(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && decodePruned(b, name) != nil, err
}

// spare is the size of the parts of a segment behind its first one.
func (o *Objects) spare(ctx context.Context, name string) (size int64, err error) {
	_, size, err = o.bucket.spareParts(ctx, name)
	return size, err
}

// removeSpare removes the parts that a pruned segment does not need. What is left of the segment has
// been read back before.
func (o *Objects) removeSpare(ctx context.Context, name string) error {
	b, ok := o.bucket.Bucket.(prunableBucket)
	if pruned, err := o.isPruned(ctx, name); err != nil || !pruned || !ok {
		return err
	}
	names, _, err := o.bucket.spareParts(ctx, name)
	if err != nil {
		return err
	}
	return forEachConcurrently(len(names), func(i int) error { return b.Delete(ctx, names[i]) })
}
