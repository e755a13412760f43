package journal

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
	bucket Bucket
	prefix string // empty, or with a slash at its end
	o      ObjectsOptions

	fetching sync.Mutex // whoever reads from the bucket reads alone, many objects at once

	mu       sync.Mutex
	known    []string // segments, in order, as last listed
	sizes    map[string]int64
	contents map[string]*content
	uses     int64
	active   *objectSegment // nil: none is being written
	written  bool           // something was: the bucket is there, and we may
	ours     bool           // this process has taken the journal over
}

// content is what is known of a segment.
type content struct {
	data   []byte // never changed, only appended to
	sealed bool   // there will be no more
	whole  bool   // the bucket has it in one object, too
	own    bool   // this process appends to it
	used   int64  // when, for the least recently used
}

const (
	objectMagic  = "siglkobj"
	objectHeader = 32
	objectPart   = 1
	objectSeal   = 2
	objectWhole  = 3

	fetchWidth = 32 // requests at once
	aheadWidth = 16 // segments read in one go
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
	return &Objects{bucket: b, prefix: prefix, o: o, contents: map[string]*content{}}
}

// Close lets go of what was kept in memory.
func (o *Objects) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.contents)
	return nil
}

func (o *Objects) partName(segment string, off int64) string {
	if off == 0 {
		return o.prefix + "segments/" + segment
	}
	return fmt.Sprintf("%sparts/%s/%016x", o.prefix, segment, off)
}

func (o *Objects) wholeName(segment string) string { return o.prefix + "whole/" + segment }

// encodeObject is an object's bytes. nonce makes them this writer's own.
func encodeObject(what byte, segment string, off int64, nonce uint64, p []byte) []byte {
	b := make([]byte, 12, objectHeader+len(p))
	copy(b, objectMagic)
	b = append(b, what, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(off))
	b = binary.LittleEndian.AppendUint64(b, nonce)
	b = append(b, p...)
	binary.LittleEndian.PutUint32(b[8:], objectSum(segment, b))
	return b
}

func objectSum(segment string, b []byte) uint32 {
	return checksum(append(binary.LittleEndian.AppendUint32([]byte(segment), checksum(b[12:])), b[:8]...))
}

// decodeObject gives what an object holds; false when it is damaged or belongs
// elsewhere.
func decodeObject(b []byte, segment string, off int64) (what byte, p []byte, ok bool) {
	if len(b) < objectHeader || string(b[:8]) != objectMagic || binary.LittleEndian.Uint32(b[8:]) != objectSum(segment, b) ||
		b[13]|b[14]|b[15] != 0 || binary.LittleEndian.Uint64(b[16:]) != uint64(off) {
		return 0, nil, false
	}
	return b[12], b[objectHeader:], true
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
	for object, err := range o.bucket.List(ctx, o.wholeName("")) {
		if err != nil {
			return nil, err
		}
		sizes[strings.TrimPrefix(object.Name, o.wholeName(""))] = object.Size
	}
	names := slices.Sorted(maps.Keys(found))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known, o.sizes = names, sizes
	return slices.Clone(names), nil
}

// Create seals the segment that was being written, so that one with a successor
// always is, and puts the first part of another one.
func (o *Objects) Create(ctx context.Context, name string, head []byte, _ int64) (Segment, error) {
	o.mu.Lock()
	before := o.active
	o.mu.Unlock()
	if before != nil {
		if err := before.end(ctx); err != nil {
			return nil, err
		}
	}
	if err := o.put(ctx, o.partName(name, 0), encodeObject(objectPart, name, 0, randomID(), head)); err != nil {
		return nil, err
	}
	s := &objectSegment{store: o, name: name, content: &content{data: bytes.Clone(head), own: true}}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.active, o.contents[name], o.ours = s, s.content, true
	return s, nil
}

// put writes an object under a name that must be free, and goes on trying for a
// while: what it is about is paid for. ErrFenced when another one is there.
func (o *Objects) put(ctx context.Context, name string, data []byte) error {
	begun := time.Now()
	for wait := time.Second; ; wait = min(2*wait, 16*time.Second) {
		err := o.putOnce(ctx, name, data)
		if err == nil || errors.Is(err, ErrFenced) || time.Since(begun)+wait > o.o.Patience || o.hopeless(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// hopeless reports whether a first write was refused in a way that time does not
// heal. Later on, the same may be a token that somebody renews.
func (o *Objects) hopeless(err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.written && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist))
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
		o.written = true
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, _, readErr := o.bucket.Get(ctx, name)
	switch {
	case readErr != nil: // so nobody knows; and its words must not be taken for an answer
		return fmt.Errorf("%s may have been written: it was refused, and reading it back brought: %v", name, readErr) //nolint:errorlint // see above
	case !bytes.Equal(there, data):
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return nil
}

// objectSegment is a segment that is being written.
type objectSegment struct {
	store *Objects
	name  string
	*content
}

func (s *objectSegment) Append(p []byte) error {
	off := int64(len(s.data)) // only this goroutine changes it
	// What is paid for does not depend on who waits for it.
	err := s.store.put(context.Background(), s.store.partName(s.name, off), encodeObject(objectPart, s.name, off, randomID(), p))
	if err != nil {
		return fmt.Errorf("segment %s: %w", s.name, err)
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.data = append(s.data, p...)
	return nil
}

// Room has nothing to do: see the package comment.
func (s *objectSegment) Room(int64) error { return nil }

// end puts the seal behind the last part. It must be this process's own seal:
// another one says that somebody has taken over.
func (s *objectSegment) end(ctx context.Context) error {
	if s.sealed {
		return nil
	}
	off := int64(len(s.data))
	if err := s.store.put(ctx, s.store.partName(s.name, off), encodeObject(objectSeal, s.name, off, randomID(), nil)); err != nil {
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
	if err := s.end(ctx); err != nil {
		return err
	}
	s.store.mu.Lock()
	last := s.store.active == s
	s.store.mu.Unlock()
	if last {
		s.store.gather(ctx)
	}
	return nil
}

// Close lets others' appends, of which there should be none, be seen.
func (s *objectSegment) Close() error {
	o := s.store
	o.mu.Lock()
	defer o.mu.Unlock()
	o.uses++
	s.own, s.used = false, o.uses
	if o.active == s {
		o.active = nil
	}
	o.forget()
	return nil
}

// gather writes sealed segments that were read or written in parts once more as
// wholes. Failing at that costs time and nothing else: whoever opens the journal
// next tries again.
func (o *Objects) gather(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	o.mu.Lock()
	loose := map[string]*content{}
	for name, c := range o.contents {
		if c.sealed && !c.whole {
			loose[name] = c
		}
	}
	o.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(loose)) {
		c := loose[name]
		if o.putOnce(ctx, o.wholeName(name), encodeObject(objectWhole, name, 0, 0, c.data)) != nil {
			return
		}
		o.mu.Lock()
		c.whole = true
		o.mu.Unlock()
	}
}

// Open gives what is there of a segment. One that is sealed, or that this process
// writes, is read from the bucket once and then kept for a while.
func (o *Objects) Open(ctx context.Context, name string) (Reader, error) {
	if r := o.kept(name); r != nil {
		return r, nil
	}
	o.fetching.Lock()
	defer o.fetching.Unlock()
	if r := o.kept(name); r != nil {
		return r, nil
	}
	o.mu.Lock()
	c := o.contents[name]
	o.mu.Unlock()
	if c == nil {
		if err := o.fetchWholes(ctx, name); err != nil {
			return nil, err
		}
		if r := o.kept(name); r != nil {
			return r, nil
		}
		parts, err := o.listed(ctx, name)
		if err != nil {
			return nil, err
		}
		c = &content{}
		r, err := o.readOn(ctx, name, c, parts)
		o.mu.Lock()
		ours := o.ours
		o.mu.Unlock()
		if err == nil && ours {
			o.gather(ctx)
		}
		return r, err
	}
	return o.readOn(ctx, name, c, nil)
}

// kept is a reader of a segment of which everything is known; nil when not.
func (o *Objects) kept(name string) Reader {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.contents[name]
	if c == nil || !c.sealed && !c.own {
		return nil
	}
	return o.reader(name, c)
}

func (o *Objects) reader(name string, c *content) Reader {
	o.uses++
	c.used = o.uses
	return &objectReader{Reader: bytes.NewReader(c.data[:len(c.data):len(c.data)]), store: o, name: name}
}

// forget drops what was not used for longest, as long as there is too much. With
// mu held.
func (o *Objects) forget() {
	for {
		var sum int64
		oldest := ""
		for name, c := range o.contents {
			if c.own || c.used == o.uses {
				continue // the one used last is being read
			}
			sum += int64(len(c.data))
			if oldest == "" || c.used < o.contents[oldest].used {
				oldest = name
			}
		}
		if sum <= o.o.Memory {
			return
		}
		delete(o.contents, oldest)
	}
}

// fetchWholes reads a segment's whole, if there is one, and together with it
// those of the segments behind it that will be asked for next: a journal of a
// year has hundreds of small ones.
func (o *Objects) fetchWholes(ctx context.Context, name string) error {
	names := o.ahead(name)
	found := make([]*content, len(names))
	err := each(len(names), func(i int) error {
		b, _, err := o.bucket.Get(ctx, o.wholeName(names[i]))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		what, data, ok := decodeObject(b, names[i], 0)
		if !ok || what != objectWhole {
			return corrupt(names[i], 0, "the object "+o.wholeName(names[i])+" is damaged; its parts are there besides")
		}
		found[i] = &content{data: data, sealed: true, whole: true}
		return nil
	})
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, c := range slices.Backward(found) { // so that the first one is the last one used
		if c != nil && o.contents[names[i]] == nil {
			o.uses++
			c.used = o.uses
			o.contents[names[i]] = c
			o.forget()
		}
	}
	return nil
}

// ahead is the segment and those behind it that are read in one go.
func (o *Objects) ahead(name string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := []string{name}
	at, _ := slices.BinarySearch(o.known, name)
	sum := int64(0)
	for i := at + 1; i < len(o.known) && len(names) < aheadWidth; i++ {
		next := o.known[i]
		if sum += o.sizes[next]; sum > o.o.Memory/2 || o.contents[next] != nil || o.sizes[next] == 0 {
			break
		}
		names = append(names, next)
	}
	return names
}

// listed reads the parts that a listing shows, many at once.
func (o *Objects) listed(ctx context.Context, name string) (map[int64][]byte, error) {
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
	err := each(len(offsets), func(i int) (err error) {
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

// readOn reads a segment from where it is known, from the parts that were
// fetched and then by asking for the next name, until there is a seal or nothing.
func (o *Objects) readOn(ctx context.Context, name string, c *content, parts map[int64][]byte) (Reader, error) {
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
		what, p, ok := decodeObject(b, name, off)
		switch {
		case ok && what == objectPart && len(p) > 0:
			data = append(data, p...)
		case ok && what == objectSeal && off > 0:
			sealed = true
		default:
			return nil, corrupt(name, off, "the object "+o.partName(name, off)+" is damaged")
		}
	}
	for off := range parts {
		return nil, corrupt(name, int64(len(data)), fmt.Sprintf("it ends here, and the object %s is there", o.partName(name, off)))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c.data, c.sealed = data, sealed
	o.contents[name] = c
	r := o.reader(name, c)
	o.forget()
	return r, nil
}

// each calls do for 0 to n-1, some at a time, and returns when all calls have
// ended. After an error it begins no more.
func each(n int, do func(i int) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	next := 0
	for range min(n, fetchWidth) {
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

// Settle puts the seal that shuts out whoever wrote the segment. Where another
// append was quicker it reads on, and then says so, since somebody must look at
// what came to it.
func (r *objectReader) Settle(_, end int64) error {
	// Half of a takeover would be worse than a slow one, so nobody cancels it.
	ctx := context.Background()
	o := r.store
	o.fetching.Lock()
	defer o.fetching.Unlock()
	o.mu.Lock()
	o.ours = true
	c := o.contents[r.name]
	if c == nil { // it was forgotten meanwhile
		data := make([]byte, r.Size())
		_, _ = r.ReadAt(data, 0) // from memory
		c = &content{data: data}
	}
	o.mu.Unlock()
	for !c.sealed {
		off := int64(len(c.data))
		err := o.put(ctx, o.partName(r.name, off), encodeObject(objectSeal, r.name, off, randomID(), nil))
		switch {
		case err == nil:
			o.mu.Lock()
			c.sealed, c.own = true, false
			o.mu.Unlock()
		case !errors.Is(err, ErrFenced):
			return err
		default: // an append was quicker, or another one who takes over
			if _, readErr := o.readOn(ctx, r.name, c, nil); readErr != nil {
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
	o.gather(ctx)
	return nil
}
