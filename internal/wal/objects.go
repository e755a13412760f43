package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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

// Bucket is what a journal needs of a bucket; a [bucket.Bucket] has it. It may be
// used concurrently.
type Bucket interface {
	// Create writes an object under a name that must be free. fs.ErrExist when
	// something else is there; any other error leaves open if it was written.
	Create(ctx context.Context, name string, data []byte) error
	// Get reads an object, also one that was written only just now;
	// fs.ErrNotExist when there is none.
	Get(ctx context.Context, name string) (data []byte, etag string, err error)
	// List walks the objects whose names begin with a prefix. It may lack new ones.
	List(ctx context.Context, prefix string) iter.Seq2[bucket.Object, error]
}

// ErrFenced is in the error of whoever writes a journal that another process has
// taken over. Nothing more can be written; what was acknowledged is kept.
var ErrFenced = errors.New("another process has taken the journal over")

// ObjectsOptions change how a journal lies in a bucket; the zero value is good.
type ObjectsOptions struct {
	Patience time.Duration // for how long a failing write is tried again, while paid answers wait; 0 means 2 minutes, less than 0 not at all
	Memory   int64         // bytes of segments kept for reading, the one being written not counted; 0 means 256 MiB
}

// Objects is a [Store] in a bucket. Below its prefix lie
//
//	segments/<segment>        the first part of each segment
//	parts/<segment>/<offset>  the others, one for every append, and the seal behind the last
//	whole/<segment>           a sealed segment once more, in one object, for speed
//
// All are written once and never deleted. Each begins with 32 bytes; numbers are
// little endian:
//
//	 0  a magic word
//	 8  u32  CRC32C of the segment's name and of everything from 12 on
//	12  u8   what it is: part, seal or whole
//	13       three zeros
//	16  u64  offset in the segment
//	24  u64  a random number, 0 in a whole
type Objects struct {
	bucket  Bucket
	prefix  string // empty, or with a slash at its end
	options ObjectsOptions

	fetchMu sync.Mutex // whoever reads from the bucket reads alone, many objects at once

	mu          sync.Mutex
	listedNames []string // segments, in order, as last listed
	packedSizes map[string]int64
	cache       map[string]*cachedSegment
	useCount    int64
	active      *objectSegment // nil: none is being written
	hasWritten  bool           // something was: the bucket is there, and we may
	fenced      bool           // this process has taken the journal over
}

// cachedSegment is what is known of a segment.
type cachedSegment struct {
	data    []byte // never changed, only appended to
	sealed  bool   // there will be no more
	packed  bool   // the bucket has it in one object, too
	writing bool   // this process appends to it
	lastUse int64  // when, for the least recently used
}

const (
	objectMagic      = "siglkobj"
	objectHeaderSize = 32
	objectPart       = 1
	objectSeal       = 2
	objectPacked     = 3

	maxConcurrentFetches = 32 // requests at once
	readAheadSegments    = 16 // segments read in one go
)

// NewObjects keeps a journal in a bucket, below a prefix. It asks the bucket
// nothing. One process writes with one of these.
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

// Close lets go of what was kept in memory.
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

// encodeObject is an object's bytes. nonce makes them this writer's own.
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

// decodeObject gives what an object holds; false when it is damaged or belongs
// elsewhere.
func decodeObject(b []byte, segment string, off int64) (kind byte, p []byte, ok bool) {
	if len(b) < objectHeaderSize || string(b[:8]) != objectMagic || binary.LittleEndian.Uint32(b[8:]) != objectChecksum(segment, b) ||
		b[13]|b[14]|b[15] != 0 || binary.LittleEndian.Uint64(b[16:]) != uint64(off) {
		return 0, nil, false
	}
	return b[12], b[objectHeaderSize:], true
}

// Segments lists first parts, and asks for those that the listing may lack.
func (o *Objects) Segments(ctx context.Context) ([]string, error) {
	prefix := o.prefix + "segments/"
	found := map[string]bool{}
	for object, err := range o.bucket.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(object.Name, prefix)
		if number, err := strconv.Atoi(name); err == nil && name == segmentName(number) { // whatever else lies there is not ours
			found[name] = true
		}
	}
	for number := 1; ; number++ {
		name := segmentName(number)
		if found[name] {
			continue
		}
		if _, _, err := o.bucket.Get(ctx, o.partName(name, 0)); errors.Is(err, fs.ErrNotExist) {
			break // the last, or one before it is missing: the log sees that
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

// Create seals the segment that was being written, so that one with a successor
// always is, and puts the first part of another one.
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

// putWithRetry writes an object under a name that must be free, and goes on trying for a
// while: what it is about is paid for. ErrFenced when another one is there.
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

// isPermanent reports whether a first write was refused in a way that time does not
// heal. Later on, the same may be a token that somebody renews.
func (o *Objects) isPermanent(err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.hasWritten && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist))
}

// putOnce believes no refusal: if what is there is what was given, an earlier
// request has written it, and only its answer was lost.
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
	case readErr != nil: // so nobody knows; and its words must not be taken for an answer
		return fmt.Errorf("%s may have been written: it was refused, and reading it back brought: %v", name, readErr) //nolint:errorlint // see above
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
	// What is paid for does not depend on who waits for it.
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

// putSeal puts the seal behind the last part. It must be this process's own seal:
// another one says that somebody has taken over.
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

// Seal ends the segment. The last one of a process is then written as a whole;
// while others are being written that would keep them waiting, so it is left for
// later.
func (s *objectSegment) Seal() error {
	// Nobody may cancel this: what was acknowledged lies before the seal.
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

// Close lets others' appends, of which there should be none, be seen.
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

// compactSealed writes sealed segments that were read or written in parts once more as
// wholes. Failing at that costs time and nothing else: whoever opens the journal
// next tries again.
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

// Open gives what is there of a segment. One that is sealed, or that this process
// writes, is read from the bucket once and then kept for a while.
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
		parts, err := o.fetchListedParts(ctx, name)
		if err != nil {
			return nil, err
		}
		c = &cachedSegment{}
		r, err := o.readParts(ctx, name, c, parts)
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

// cachedReader is a reader of a segment of which everything is known; nil when not.
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
	return &objectReader{Reader: bytes.NewReader(c.data[:len(c.data):len(c.data)]), store: o, name: name}
}

// evictCache drops what was not used for longest, as long as there is too much. With
// mu held.
func (o *Objects) evictCache() {
	for {
		var sum int64
		oldest := ""
		for name, c := range o.cache {
			if c.writing || c.lastUse == o.useCount {
				continue // the one used last is being read
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

// fetchPacked reads a segment's whole, if there is one, and together with it
// those of the segments behind it that will be asked for next: a journal of a
// year has hundreds of small ones.
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
		kind, data, ok := decodeObject(b, names[i], 0)
		if !ok || kind != objectPacked {
			return corruptError(names[i], 0, "the object "+o.packedName(names[i])+" is damaged; its parts are there besides")
		}
		found[i] = &cachedSegment{data: data, sealed: true, packed: true}
		return nil
	})
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, c := range slices.Backward(found) { // so that the first one is the last one used
		if c != nil && o.cache[names[i]] == nil {
			o.useCount++
			c.lastUse = o.useCount
			o.cache[names[i]] = c
			o.evictCache()
		}
	}
	return nil
}

// scanWindow is the segment and those behind it that are read in one go.
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

// fetchListedParts reads the parts that a listing shows, many at once.
func (o *Objects) fetchListedParts(ctx context.Context, name string) (map[int64][]byte, error) {
	prefix := o.prefix + "parts/" + name + "/"
	offsets := []int64{0}
	for object, err := range o.bucket.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		off, err := strconv.ParseInt(strings.TrimPrefix(object.Name, prefix), 16, 64)
		if err == nil && object.Name == o.partName(name, off) { // whatever else lies there is not ours
			offsets = append(offsets, off)
		}
	}
	got := make([][]byte, len(offsets))
	err := forEachConcurrently(len(offsets), func(i int) (err error) {
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

// readParts reads a segment from where it is known, from the parts that were
// fetched and then by asking for the next name, until there is a seal or nothing.
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
		default:
			return nil, corruptError(name, off, "the object "+o.partName(name, off)+" is damaged")
		}
	}
	for off := range parts {
		return nil, corruptError(name, int64(len(data)), fmt.Sprintf("it ends here, and the object %s is there", o.partName(name, off)))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c.data, c.sealed = data, sealed
	o.cache[name] = c
	r := o.newReader(name, c)
	o.evictCache()
	return r, nil
}

// forEachConcurrently calls do for 0 to n-1, some at a time, and returns when all calls have
// ended. After an error it begins no more.
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

// objectReader reads a segment as it was when it was opened.
type objectReader struct {
	*bytes.Reader
	store *Objects
	name  string
}

func (r *objectReader) Close() error { return nil }

// Durable is the size: an object is there wholly or not at all.
func (r *objectReader) Durable() (int64, error) { return r.Size(), nil }

// Recover puts the seal that shuts out whoever wrote the segment. Where another
// append was quicker it reads on, and then says so, since somebody must look at
// what came to it.
func (r *objectReader) Recover(_, end int64) error {
	// Half of a takeover would be worse than a slow one, so nobody cancels it.
	ctx := context.Background()
	o := r.store
	o.fetchMu.Lock()
	defer o.fetchMu.Unlock()
	o.mu.Lock()
	o.fenced = true
	c := o.cache[r.name]
	if c == nil { // it was forgotten meanwhile
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
		default: // an append was quicker, or another one who takes over
			if _, readErr := o.readParts(ctx, r.name, c, nil); readErr != nil {
				return readErr
			}
			if int64(len(c.data)) == off && !c.sealed {
				return err // a name that is taken and cannot be read
			}
		}
	}
	if int64(len(c.data)) != end {
		return errGrown
	}
	o.compactSealed(ctx)
	return nil
}
