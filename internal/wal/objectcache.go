package wal

import (
	"bytes"
	"io"
	"slices"
	"sync"
)

// segmentCache keeps segments of a bucket in memory, up to a limit: those that were used last. It may be
// used concurrently.
type segmentCache struct {
	limit int64 // bytes, not counting the segment that is being written

	mu       sync.Mutex // of the fields of all segments, too
	segments map[string]*cachedSegment
	useCount int64
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

// sizedReader reads the content of a segment.
type sizedReader interface {
	io.ReaderAt
	Size() int64
}

// cachePruned is the cached form of a pruned segment's object.
func cachePruned(name string, content []byte) (*cachedSegment, error) {
	s, err := openPruned(bytes.NewReader(content), int64(len(content)), name, nil)
	if err == nil && s == nil {
		err = corruptError(name, 0, "what is left of it since it was pruned is damaged")
	}
	if err != nil {
		return nil, err
	}
	return &cachedSegment{data: content, pruned: s, sealed: true, packed: true}, nil
}

// size is the size of the segment's content.
func (c *cachedSegment) size() int64 {
	if c.pruned != nil {
		return c.pruned.size
	}
	return int64(len(c.data))
}

// get returns what is cached of a segment; nil if nothing is.
func (s *segmentCache) get(name string) *cachedSegment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segments[name]
}

// put caches a segment.
func (s *segmentCache) put(name string, c *cachedSegment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments[name] = c
}

// drop removes a segment.
func (s *segmentCache) drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.segments, name)
}

// clear removes every segment.
func (s *segmentCache) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.segments)
}

// read reads a segment that is cached completely; nil if it is not.
func (s *segmentCache) read(name string) sizedReader {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.segments[name]
	if c == nil || !c.sealed && !c.writing {
		return nil
	}
	return s.use(c)
}

// use reads a segment as it is now. mu must be held.
func (s *segmentCache) use(c *cachedSegment) sizedReader {
	s.useCount++
	c.lastUse = s.useCount
	if c.pruned != nil {
		return c.pruned
	}
	return bytes.NewReader(c.data[:len(c.data):len(c.data)])
}

// extend replaces what is cached of a segment, and reads it.
func (s *segmentCache) extend(name string, c *cachedSegment, data []byte, sealed bool) sizedReader {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.data, c.sealed = data, sealed
	s.segments[name] = c
	r := s.use(c)
	s.evict()
	return r
}

// addNew caches the segments that were found, unless they are cached already.
func (s *segmentCache) addNew(names []string, found []*cachedSegment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range slices.Backward(found) { // so that the first one counts as the most recently used
		if c != nil && s.segments[names[i]] == nil {
			s.use(c)
			s.segments[names[i]] = c
			s.evict()
		}
	}
}

// release lets a segment be evicted that was being written.
func (s *segmentCache) release(c *cachedSegment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.use(c)
	c.writing = false
	s.evict()
}

// unpacked are the sealed segments that were read or written in parts.
func (s *segmentCache) unpacked() map[string]*cachedSegment {
	s.mu.Lock()
	defer s.mu.Unlock()
	segments := map[string]*cachedSegment{}
	for name, c := range s.segments {
		if c.sealed && !c.packed {
			segments[name] = c
		}
	}
	return segments
}

// evict drops the least recently used segments until the cache fits its limit.
// mu must be held.
func (s *segmentCache) evict() {
	for {
		var sum int64
		oldest := ""
		for name, c := range s.segments {
			if c.writing || c.lastUse == s.useCount {
				continue // the most recently used one is being read
			}
			sum += int64(len(c.data))
			if oldest == "" || c.lastUse < s.segments[oldest].lastUse {
				oldest = name
			}
		}
		if sum <= s.limit {
			return
		}
		delete(s.segments, oldest)
	}
}
