package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/siglake/siglake/internal/bucket"
)

// Bucket is what a log needs of a bucket; a [bucket.Bucket] implements it. It must
// be safe for concurrent use.
type Bucket interface {
	// Create writes an object under a name that must be free. The error is
	// fs.ErrExist if another object has the name; any other error leaves open
	// whether the object was written.
	Create(ctx context.Context, name string, data []byte) error
	// Get reads an object, however recently it was written; fs.ErrNotExist if
	// there is none.
	Get(ctx context.Context, name string) (data []byte, etag string, err error)
	// List walks the objects with a prefix. It may lack new ones.
	List(ctx context.Context, prefix string) iter.Seq2[bucket.Object, error]
}

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
	bucket  Bucket
	prefix  string // empty, or with a slash at its end
	options ObjectsOptions

	// Held to read segments from the bucket: one reader at a time, which gets
	// many objects concurrently.
	fetchMu sync.Mutex

	mu          sync.Mutex
	listedNames []string // segments, in order, as last listed
	packedSizes map[string]int64
	cache       map[string]*cachedSegment
	useCount    int64
	active      *objectSegment  // nil: none is being written
	hasWritten  bool            // a write succeeded: bucket and permissions are good
	fenced      bool            // this process has taken the log over
	salvaged    salvagedSegment // the one that Salvage read last
}

// cachedSegment is what is known of a segment.
type cachedSegment struct {
	data    []byte // append-only; of a pruned segment what is left of it
	pruned  *prunedSegment
	sealed  bool  // it is complete
	packed  bool  // the bucket also has it in one object
	writing bool  // this process appends to it
	lastUse int64 // for eviction of the least recently used
}

const (
	objectMagic      = "siglkobj"
	objectHeaderSize = 32
	objectPart       = 1
	objectSeal       = 2
	objectPacked     = 3
	objectPruned     = 4

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
	return &Objects{bucket: b, prefix: prefix, options: o, cache: map[string]*cachedSegment{}}
}

// Close drops the cache.
func (o *Objects) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.cache)
	return nil
}

func (o *Objects) partName(segment string, off int64) string {
	if off == 0 {
		return o.prefix + "segments/" + segment
	}
	return fmt.Sprintf("%sparts/%s/%016x", o.prefix, segment, off)
}

func (o *Objects) packedName(segment string) string { return o.prefix + "whole/" + segment }

// encodeObject returns an object's bytes. The nonce identifies this writer.
func encodeObject(kind byte, segment string, off int64, nonce uint64, p []byte) []byte {
	b := make([]byte, 12, objectHeaderSize+len(p))
	copy(b, objectMagic)
	b = append(b, kind, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(off))
	b = binary.LittleEndian.AppendUint64(b, nonce)
	b = append(b, p...)
	binary.LittleEndian.PutUint32(b[8:], objectChecksum(segment, b))
	return b
}

func objectChecksum(segment string, b []byte) uint32 {
	return checksum(append(binary.LittleEndian.AppendUint32([]byte(segment), checksum(b[12:])), b[:8]...))
}

// decodeObject returns an object's content; false if it is damaged or belongs
// elsewhere.
func decodeObject(b []byte, segment string, off int64) (kind byte, p []byte, ok bool) {
	if len(b) < objectHeaderSize || string(b[:8]) != objectMagic || binary.LittleEndian.Uint32(b[8:]) != objectChecksum(segment, b) ||
		b[13]|b[14]|b[15] != 0 || binary.LittleEndian.Uint64(b[16:]) != uint64(off) {
		return 0, nil, false
	}
	return b[12], b[objectHeaderSize:], true
}

// Segments lists first parts, and reads by name those that the listing may lack.
func (o *Objects) Segments(ctx context.Context) ([]string, error) {
	prefix := o.prefix + "segments/"
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
		if _, _, err := o.bucket.Get(ctx, o.partName(name, 0)); errors.Is(err, fs.ErrNotExist) {
			break // the last, or an earlier one is missing: the log detects that
		} else if err != nil {
			return nil, err
		}
		found[name] = true
	}
	sizes := map[string]int64{}
	for object, err := range o.bucket.List(ctx, o.packedName("")) {
		if err != nil {
			return nil, err
		}
		sizes[strings.TrimPrefix(object.Name, o.packedName(""))] = object.Size
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
	if err := o.putWithRetry(ctx, o.partName(name, 0), encodeObject(objectPart, name, 0, randomID(), head)); err != nil {
		return nil, err
	}
	s := &objectSegment{store: o, name: name, cachedSegment: &cachedSegment{data: bytes.Clone(head), writing: true}}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.active, o.cache[name], o.fenced = s, s.cachedSegment, true
	return s, nil
}

// putWithRetry writes an object under a name that must be free, and retries for a
// while, since it may hold a paid answer. The error is ErrFenced if another object has
// the name.
func (o *Objects) putWithRetry(ctx context.Context, name string, data []byte) error {
	started := time.Now()
	for wait := time.Second; ; wait = min(2*wait, 16*time.Second) {
		err := o.putOnce(ctx, name, data)
		if err == nil || errors.Is(err, ErrFenced) || time.Since(started)+wait > o.options.Patience || o.isPermanent(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// isPermanent reports whether retrying is pointless, because the first write of all
// was refused. The same refusal of a later write may be an expired token, which can be
// renewed.
func (o *Objects) isPermanent(err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.hasWritten && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist))
}

// putOnce verifies refusals: if the name holds the same bytes, an earlier request has
// written them, and only its answer was lost.
func (o *Objects) putOnce(ctx context.Context, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(len(data))*10*time.Microsecond)
	defer cancel()
	err := o.bucket.Create(ctx, name, data)
	if err == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.hasWritten = true
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	existing, _, readErr := o.bucket.Get(ctx, name)
	switch {
	case readErr != nil: // unknown; readErr is not wrapped, since it must not pass for the answer to the write
		return fmt.Errorf("%s may have been written: the write was refused, and reading it back failed: %v", name, readErr) //nolint:errorlint // see above
	case !bytes.Equal(existing, data):
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return nil
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
	err := s.store.putWithRetry(context.Background(), s.store.partName(s.name, off), encodeObject(objectPart, s.name, off, randomID(), p))
	if err != nil {
		return fmt.Errorf("segment %s: %w", s.name, err)
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
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
	if err := s.store.putWithRetry(ctx, s.store.partName(s.name, off), encodeObject(objectSeal, s.name, off, randomID(), nil)); err != nil {
		return fmt.Errorf("segment %s: %w", s.name, err)
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
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
	defer o.mu.Unlock()
	o.useCount++
	s.writing, s.lastUse = false, o.useCount
	if o.active == s {
		o.active = nil
	}
	o.evictCache()
	return nil
}

// compactSealed copies each sealed segment that was read or written in parts into one
// object. A failure costs only time: the next process that opens the log tries again.
func (o *Objects) compactSealed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	o.mu.Lock()
	unpacked := map[string]*cachedSegment{}
	for name, c := range o.cache {
		if c.sealed && !c.packed {
			unpacked[name] = c
		}
	}
	o.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(unpacked)) {
		c := unpacked[name]
		if o.putOnce(ctx, o.packedName(name), encodeObject(objectPacked, name, 0, 0, c.data)) != nil {
			return
		}
		o.mu.Lock()
		c.packed = true
		o.mu.Unlock()
	}
}

// Open opens a segment as it is now. A segment that is sealed, or that this process
// writes, is read from the bucket once and then cached.
func (o *Objects) Open(ctx context.Context, name string) (Reader, error) {
	if r := o.cachedReader(name); r != nil {
		return r, nil
	}
	o.fetchMu.Lock()
	defer o.fetchMu.Unlock()
	if r := o.cachedReader(name); r != nil {
		return r, nil
	}
	o.mu.Lock()
	c := o.cache[name]
	o.mu.Unlock()
	if c == nil {
		if err := o.fetchPacked(ctx, name); err != nil {
			return nil, err
		}
		if r := o.cachedReader(name); r != nil {
			return r, nil
		}
		c = &cachedSegment{}
		r, err := o.readListedParts(ctx, name, c)
		if err != nil && o.fetchPacked(ctx, name) == nil { // a pruning has removed parts meanwhile
			if r := o.cachedReader(name); r != nil {
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

// cachedReader returns a reader of a segment that is cached completely; nil if it is
// not.
func (o *Objects) cachedReader(name string) Reader {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.cache[name]
	if c == nil || !c.sealed && !c.writing {
		return nil
	}
	return o.newReader(name, c)
}

func (o *Objects) newReader(name string, c *cachedSegment) Reader {
	o.useCount++
	c.lastUse = o.useCount
	if c.pruned != nil {
		return &objectReader{sizedReader: c.pruned, store: o, name: name}
	}
	return &objectReader{sizedReader: bytes.NewReader(c.data[:len(c.data):len(c.data)]), store: o, name: name}
}

// evictCache drops the least recently used segments until the cache fits its limit.
// mu must be held.
func (o *Objects) evictCache() {
	for {
		var sum int64
		oldest := ""
		for name, c := range o.cache {
			if c.writing || c.lastUse == o.useCount {
				continue // the most recently used one is being read
			}
			sum += int64(len(c.data))
			if oldest == "" || c.lastUse < o.cache[oldest].lastUse {
				oldest = name
			}
		}
		if sum <= o.options.Memory {
			return
		}
		delete(o.cache, oldest)
	}
}

// fetchPacked reads a segment's packed object, if there is one, and reads ahead those
// of the following segments: a log of a year has hundreds of small ones.
func (o *Objects) fetchPacked(ctx context.Context, name string) error {
	names := o.readAhead(name)
	found := make([]*cachedSegment, len(names))
	err := forEachConcurrently(len(names), func(i int) error {
		b, _, err := o.bucket.Get(ctx, o.packedName(names[i]))
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
		return corruptError(names[i], 0, "the object "+o.packedName(names[i])+" is damaged; unless the segment was pruned, its parts still exist")
	})
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, c := range slices.Backward(found) { // so that the first one counts as the most recently used
		if c != nil && o.cache[names[i]] == nil {
			o.useCount++
			c.lastUse = o.useCount
			o.cache[names[i]] = c
			o.evictCache()
		}
	}
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
		if sum += o.packedSizes[next]; sum > o.options.Memory/2 || o.cache[next] != nil || o.packedSizes[next] == 0 {
			break
		}
		names = append(names, next)
	}
	return names
}

// fetchListedParts reads the parts that a listing shows, many of them concurrently.
func (o *Objects) fetchListedParts(ctx context.Context, name string) (map[int64][]byte, error) {
	offsets, err := o.partOffsets(ctx, name)
	if err != nil {
		return nil, err
	}
	got := make([][]byte, len(offsets))
	err = forEachConcurrently(len(offsets), func(i int) (err error) {
		got[i], _, err = o.bucket.Get(ctx, o.partName(name, offsets[i]))
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
			if b, _, err = o.bucket.Get(ctx, o.partName(name, off)); errors.Is(err, fs.ErrNotExist) && off > 0 {
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
			return nil, corruptError(name, off, "the object "+o.partName(name, off)+" is damaged")
		}
	}
	for off := range parts {
		return nil, corruptError(name, int64(len(data)), fmt.Sprintf("it ends here, and the object %s exists", o.partName(name, off)))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c.data, c.sealed = data, sealed
	o.cache[name] = c
	r := o.newReader(name, c)
	o.evictCache()
	return r, nil
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

// sizedReader reads the content of a segment.
type sizedReader interface {
	io.ReaderAt
	Size() int64
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
	c := o.cache[r.name]
	if c == nil { // it was evicted meanwhile
		data := make([]byte, r.Size())
		_, _ = r.ReadAt(data, 0) // from memory
		c = &cachedSegment{data: data}
	}
	o.mu.Unlock()
	for !c.sealed {
		off := int64(len(c.data))
		err := o.putWithRetry(ctx, o.partName(r.name, off), encodeObject(objectSeal, r.name, off, randomID(), nil))
		switch {
		case err == nil:
			o.mu.Lock()
			c.sealed, c.writing = true, false
			o.mu.Unlock()
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
