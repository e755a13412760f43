package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ObjectsOptions configure a log in a bucket; the zero value works.
type ObjectsOptions struct {
	// How long a failing write is retried, while paid answers wait; 0 means
	// 2 minutes, a negative value means no retry.
	Patience time.Duration
	// Bytes of segments cached for reading, not counting the one being written;
	// 0 means 256 MiB.
	Memory int64
}

// Objects is a [Store] in a bucket. Below its prefix lie
//
//	segments/<segment>        the first part of each segment
//	parts/<segment>/<offset>  the others, one for every append, and the seal behind the last
//	whole/<segment>           a copy of a sealed segment, in one object, for speed
//
// All are written once and never deleted, unless the segment is pruned: then its whole is
// replaced by what is left of it, and the parts between the first one and the seal are deleted. A seal as the first part of a segment
// marks a log that another one has replaced. Each begins with 32 bytes; numbers are
// little endian:
//
//	 0  a magic word
//	 8  u32  CRC32C of the segment's name and of everything from 12 on
//	12  u8   what it is: part, seal, whole or pruned
//	13       three zeros
//	16  u64  offset in the segment
//	24  u64  a random number, 0 in a whole
type Objects struct {
	bucket *logBucket
	cache  *segmentCache

	// Held to read segments from the bucket: one reader at a time, which gets
	// many objects concurrently.
	fetchMu sync.Mutex

	mu          sync.Mutex
	listedNames []string // segments, in order, as last listed
	packedSizes map[string]int64
	active      *objectSegment  // nil: none is being written
	fenced      bool            // this process has taken the log over
	salvaged    salvagedSegment // the one that Salvage read last
}

const (
	maxConcurrentFetches = 32 // requests at once
	readAheadSegments    = 16 // segments read at a time
)

// NewObjects returns a store in a bucket, below a prefix. It sends no request. A
// process writes a log through one Objects only.
func NewObjects(b Bucket, prefix string, o ObjectsOptions) *Objects {
	if o.Patience == 0 {
		o.Patience = 2 * time.Minute
	}
	if o.Memory <= 0 {
		o.Memory = 256 << 20
	}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return &Objects{
		bucket: &logBucket{Bucket: b, prefix: prefix, patience: o.Patience},
		cache:  &segmentCache{limit: o.Memory, segments: map[string]*cachedSegment{}},
	}
}

// Close drops the cache.
func (o *Objects) Close() error {
	o.cache.clear()
	return nil
}

// Segments lists first parts, and reads by name those that the listing may lack.
func (o *Objects) Segments(ctx context.Context) ([]string, error) {
	prefix := o.bucket.prefix + "segments/"
	found := map[string]bool{}
	for object, err := range o.bucket.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(object.Name, prefix)
		if number, err := strconv.Atoi(name); err == nil && name == segmentName(number) { // other objects are not the log's
			found[name] = true
		}
	}
	for number := 1; ; number++ {
		name := segmentName(number)
		if found[name] {
			continue
		}
		if _, _, err := o.bucket.Get(ctx, o.bucket.partName(name, 0)); errors.Is(err, fs.ErrNotExist) {
			break // the last, or an earlier one is missing: the log detects that
		} else if err != nil {
			return nil, err
		}
		found[name] = true
	}
	sizes := map[string]int64{}
	for object, err := range o.bucket.List(ctx, o.bucket.packedName("")) {
		if err != nil {
			return nil, err
		}
		sizes[strings.TrimPrefix(object.Name, o.bucket.packedName(""))] = object.Size
	}
	names := slices.Sorted(maps.Keys(found))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.listedNames, o.packedSizes = names, sizes
	return slices.Clone(names), nil
}

// Create seals the segment that was being written, so that every segment with a
// successor is sealed, and writes the first part of the next one.
func (o *Objects) Create(ctx context.Context, name string, head []byte, _ int64) (Segment, error) {
	o.mu.Lock()
	previous := o.active
	o.mu.Unlock()
	if previous != nil {
		if err := previous.putSeal(ctx); err != nil {
			return nil, err
		}
	}
	if err := o.bucket.putWithRetry(ctx, o.bucket.partName(name, 0), encodeObject(objectPart, name, 0, randomID(), head)); err != nil {
		return nil, err
	}
	s := &objectSegment{store: o, name: name, cachedSegment: &cachedSegment{data: bytes.Clone(head), writing: true}}
	o.cache.put(name, s.cachedSegment)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.active, o.fenced = s, true
	return s, nil
}

// objectSegment is a segment that is being written.
type objectSegment struct {
	store *Objects
	name  string
	*cachedSegment
}

func (s *objectSegment) Append(p []byte) error {
	off := int64(len(s.data)) // only this goroutine changes it
	// Not cancellable: the record may hold a paid answer.
	err := s.store.bucket.putWithRetry(context.Background(), s.store.bucket.partName(s.name, off), encodeObject(objectPart, s.name, off, randomID(), p))
	if err != nil {
		return fmt.Errorf("segment %s: %w", s.name, err)
	}
	s.store.cache.mu.Lock()
	defer s.store.cache.mu.Unlock()
	s.data = append(s.data, p...)
	return nil
}

// Allocate has nothing to do: see the package comment.
func (s *objectSegment) Allocate(int64) error { return nil }

// putSeal writes the seal behind the last part. It must be this process's own seal:
// any other means that another process has taken over.
func (s *objectSegment) putSeal(ctx context.Context) error {
	if s.sealed {
		return nil
	}
	off := int64(len(s.data))
	if err := s.store.bucket.putWithRetry(ctx, s.store.bucket.partName(s.name, off), encodeObject(objectSeal, s.name, off, randomID(), nil)); err != nil {
		return fmt.Errorf("segment %s: %w", s.name, err)
	}
	s.store.cache.mu.Lock()
	defer s.store.cache.mu.Unlock()
	s.sealed = true
	return nil
}

// Seal ends the segment. A process's last segment is then also written as one object;
// for earlier ones that would delay appends, so it is left for later.
func (s *objectSegment) Seal() error {
	// Not cancellable: acknowledged records lie before the seal.
	ctx := context.Background()
	if err := s.putSeal(ctx); err != nil {
		return err
	}
	s.store.mu.Lock()
	last := s.store.active == s
	s.store.mu.Unlock()
	if last {
		s.store.compactSealed(ctx)
	}
	return nil
}

// Close makes later reads look for appends by other processes, of which there should
// be none.
func (s *objectSegment) Close() error {
	o := s.store
	o.mu.Lock()
	if o.active == s {
		o.active = nil
	}
	o.mu.Unlock()
	o.cache.release(s.cachedSegment)
	return nil
}

// compactSealed copies each sealed segment that was read or written in parts into one
// object. A failure costs only time: the next process that opens the log tries again.
func (o *Objects) compactSealed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	unpacked := o.cache.unpacked()
	for _, name := range slices.Sorted(maps.Keys(unpacked)) {
		c := unpacked[name]
		if o.bucket.putOnce(ctx, o.bucket.packedName(name), encodeObject(objectPacked, name, 0, 0, c.data)) != nil {
			return
		}
		o.cache.mu.Lock()
		c.packed = true
		o.cache.mu.Unlock()
	}
}

// Open opens a segment as it is now. A segment that is sealed, or that this process
// writes, is read from the bucket once and then cached.
func (o *Objects) Open(ctx context.Context, name string) (Reader, error) {
	if r := o.openCached(name); r != nil {
		return r, nil
	}
	o.fetchMu.Lock()
	defer o.fetchMu.Unlock()
	if r := o.openCached(name); r != nil {
		return r, nil
	}
	c := o.cache.get(name)
	if c == nil {
		if err := o.fetchPacked(ctx, name); err != nil {
			return nil, err
		}
		if r := o.openCached(name); r != nil {
			return r, nil
		}
		c = &cachedSegment{}
		r, err := o.readListedParts(ctx, name, c)
		if err != nil && o.fetchPacked(ctx, name) == nil { // a pruning has removed parts meanwhile
			if r := o.openCached(name); r != nil {
				return r, nil
			}
		}
		o.mu.Lock()
		fenced := o.fenced
		o.mu.Unlock()
		if err == nil && fenced {
			o.compactSealed(ctx)
		}
		return r, err
	}
	return o.readParts(ctx, name, c, nil)
}

// openCached opens a segment that is cached completely; nil if it is not.
func (o *Objects) openCached(name string) Reader {
	if content := o.cache.read(name); content != nil {
		return &objectReader{sizedReader: content, store: o, name: name}
	}
	return nil
}

// fetchPacked reads a segment's packed object, if there is one, and reads ahead those
// of the following segments: a log of a year has hundreds of small ones.
func (o *Objects) fetchPacked(ctx context.Context, name string) error {
	names := o.readAhead(name)
	found := make([]*cachedSegment, len(names))
	err := forEachConcurrently(len(names), func(i int) error {
		b, _, err := o.bucket.Get(ctx, o.bucket.packedName(names[i]))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		switch kind, data, ok := decodeObject(b, names[i], 0); {
		case ok && kind == objectPacked:
			found[i] = &cachedSegment{data: data, sealed: true, packed: true}
			return nil
		case ok && kind == objectPruned:
			found[i], err = cachePruned(names[i], data)
			return err
		}
		return corruptError(names[i], 0, "the object "+o.bucket.packedName(names[i])+" is damaged; unless the segment was pruned, its parts still exist")
	})
	if err != nil {
		return err
	}
	o.cache.addNew(names, found)
	return nil
}

// readAhead names the segment and the following ones that are read with it.
func (o *Objects) readAhead(name string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := []string{name}
	at, _ := slices.BinarySearch(o.listedNames, name)
	sum := int64(0)
	for i := at + 1; i < len(o.listedNames) && len(names) < readAheadSegments; i++ {
		next := o.listedNames[i]
		if sum += o.packedSizes[next]; sum > o.cache.limit/2 || o.cache.get(next) != nil || o.packedSizes[next] == 0 {
			break
		}
		names = append(names, next)
	}
	return names
}

// fetchListedParts reads the parts that a listing shows, many of them concurrently.
func (o *Objects) fetchListedParts(ctx context.Context, name string) (map[int64][]byte, error) {
	offsets, err := o.bucket.partOffsets(ctx, name)
	if err != nil {
		return nil, err
	}
	got := make([][]byte, len(offsets))
	err = forEachConcurrently(len(offsets), func(i int) (err error) {
		got[i], _, err = o.bucket.Get(ctx, o.bucket.partName(name, offsets[i]))
		return err
	})
	if err != nil {
		return nil, err
	}
	parts := make(map[int64][]byte, len(offsets))
	for i, off := range offsets {
		parts[off] = got[i]
	}
	return parts, nil
}

func (o *Objects) readListedParts(ctx context.Context, name string, c *cachedSegment) (Reader, error) {
	parts, err := o.fetchListedParts(ctx, name)
	if err != nil {
		return nil, err
	}
	return o.readParts(ctx, name, c, parts)
}

// readParts extends what is cached of a segment, first from the parts that were
// fetched and then by reading the next name, up to a seal or a free name.
func (o *Objects) readParts(ctx context.Context, name string, c *cachedSegment, parts map[int64][]byte) (Reader, error) {
	size := 0
	for _, b := range parts {
		size += len(b)
	}
	data, sealed := slices.Grow(c.data, size), false
	for !sealed {
		off := int64(len(data))
		b, ok := parts[off]
		if !ok {
			var err error
			if b, _, err = o.bucket.Get(ctx, o.bucket.partName(name, off)); errors.Is(err, fs.ErrNotExist) && off > 0 {
				break
			} else if err != nil {
				return nil, err
			}
		}
		delete(parts, off)
		kind, p, ok := decodeObject(b, name, off)
		switch {
		case ok && kind == objectPart && len(p) > 0:
			data = append(data, p...)
		case ok && kind == objectSeal && off > 0:
			sealed = true
		case ok && kind == objectSeal:
			return nil, fmt.Errorf("%w: a salvage that was interrupted has retired it, or it was replaced by another one; nothing was changed", ErrCorrupt)
		default:
			return nil, corruptError(name, off, "the object "+o.bucket.partName(name, off)+" is damaged")
		}
	}
	for off := range parts {
		return nil, corruptError(name, int64(len(data)), fmt.Sprintf("it ends here, and the object %s exists", o.bucket.partName(name, off)))
	}
	return &objectReader{sizedReader: o.cache.extend(name, c, data, sealed), store: o, name: name}, nil
}

// forEachConcurrently calls do for 0 to n-1, several at a time, and returns when all
// calls have ended. After an error it starts no more calls.
func forEachConcurrently(n int, do func(i int) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	next := 0
	for range min(n, maxConcurrentFetches) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := failed != nil || i >= n
				mu.Unlock()
				if stop {
					return
				}
				if err := do(i); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return failed
}

// objectReader reads a segment as of its opening.
type objectReader struct {
	sizedReader
	store *Objects
	name  string
}

func (r *objectReader) Close() error { return nil }

// Durable is the size: an object exists completely or not at all.
func (r *objectReader) Durable() (int64, error) { return r.Size(), nil }

// Recover writes the seal that fences off the segment's writer. If an append of that
// writer is first, it reads the append, tries the next name, and returns errGrown,
// since the caller must read the segment again.
func (r *objectReader) Recover(_, end int64) error {
	// Not cancellable: half of a takeover would be worse than a slow one.
	ctx := context.Background()
	o := r.store
	o.fetchMu.Lock()
	defer o.fetchMu.Unlock()
	o.mu.Lock()
	o.fenced = true
	o.mu.Unlock()
	c := o.cache.get(r.name)
	if c == nil { // it was evicted meanwhile
		data := make([]byte, r.Size())
		_, _ = r.ReadAt(data, 0) // from memory
		c = &cachedSegment{data: data}
	}
	for !c.sealed {
		off := int64(len(c.data))
		err := o.bucket.putWithRetry(ctx, o.bucket.partName(r.name, off), encodeObject(objectSeal, r.name, off, randomID(), nil))
		switch {
		case err == nil:
			o.cache.mu.Lock()
			c.sealed, c.writing = true, false
			o.cache.mu.Unlock()
		case !errors.Is(err, ErrFenced):
			return err
		default: // an append was first, or another process that takes over
			if _, readErr := o.readParts(ctx, r.name, c, nil); readErr != nil {
				return readErr
			}
			if int64(len(c.data)) == off && !c.sealed {
				return err // a name that is taken and cannot be read
			}
		}
	}
	if c.size() != end {
		return errGrown
	}
	o.compactSealed(ctx)
	return nil
}
