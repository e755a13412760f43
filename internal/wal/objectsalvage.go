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
)

// maxDamagedSegment is the greatest offset at which a damaged object is looked at: no segment is
// longer.
const maxDamagedSegment = 1 << 30

// damagedNames names every segment of which anything is left, and not the mark of a log that was
// retired.
func (o *Objects) damagedNames(ctx context.Context) ([]string, error) {
	names, err := o.Segments(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, name := range names {
		found[name] = true
	}
	for _, folder := range []string{"parts/", "whole/"} {
		for object, err := range o.bucket.List(ctx, o.bucket.prefix+folder) {
			if err != nil {
				return nil, err
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(object.Name, o.bucket.prefix+folder), "/")
			if number, err := strconv.Atoi(name); err == nil && name == segmentName(number) {
				found[name] = true
			}
		}
	}
	names = slices.Sorted(maps.Keys(found))
	if len(names) == 0 {
		return nil, nil
	}
	retired, err := o.bucket.isRetired(ctx, names[len(names)-1])
	if retired {
		names = names[:len(names)-1]
	}
	return names, err
}

// remains is what is left of a segment.
type remains struct {
	name  string
	data  []byte         // zeros where nothing is left
	taken map[int64]bool // the offsets that have an object, whole or not
}

// salvagedSegment is what Salvage read of a segment.
type salvagedSegment struct {
	name  string
	end   int64
	taken map[int64]bool
}

// openDamaged opens what is left of a segment: of its parts and of the copy in one object. What no
// whole object holds is taken from damaged ones, since each record has checksums of its own.
func (o *Objects) openDamaged(ctx context.Context, name string) (Reader, error) {
	offsets, err := o.bucket.partOffsets(ctx, name)
	if err != nil {
		return nil, err
	}
	names := []string{o.bucket.packedName(name)}
	for _, off := range offsets {
		names = append(names, o.bucket.partName(name, off))
	}
	objects := make([][]byte, len(names))
	err = forEachConcurrently(len(names), func(i int) (err error) {
		if objects[i], _, err = o.bucket.Get(ctx, names[i]); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if c := decodePruned(objects[0], name); c != nil { // parts that a crash left hold nothing else
		return &objectReader{sizedReader: c.pruned, store: o, name: name}, nil
	}
	m := &remains{name: name, taken: map[int64]bool{}}
	for _, whole := range []bool{false, true} { // whole objects last, over damaged ones
		m.put(objects[0], objectPacked, 0, whole)
		for i, off := range offsets {
			m.put(objects[i+1], objectPart, off, whole)
		}
	}
	if len(m.data) >= segmentHeaderSize {
		if h, ok := decodeHeader(m.data[:segmentHeaderSize]); ok && segmentName(int(h.number)) != name { //nolint:gosec // a count of objects
			clear(m.data[:segmentHeaderSize]) // of an object under the name of another one
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.salvaged = salvagedSegment{name, max(int64(len(m.data)), segmentHeaderSize), m.taken}
	return &objectReader{sizedReader: bytes.NewReader(m.data), store: o, name: name}, nil
}

// decodePruned is what is left of a pruned segment; nil if the object holds none that is whole.
func decodePruned(b []byte, name string) *cachedSegment {
	kind, content, ok := decodeObject(b, name, 0)
	if !ok || kind != objectPruned {
		return nil
	}
	c, err := cachePruned(name, content)
	if err != nil {
		return nil
	}
	return c
}

// put copies what an object holds, if there is one, and it is whole or not as asked.
func (m *remains) put(b []byte, want byte, off int64, whole bool) {
	if b == nil {
		return
	}
	kind, p, ok := decodeObject(b, m.name, off)
	switch {
	case ok != whole:
		return
	case ok && kind != want && kind != objectSeal: // it lies under a name that is not its own
		return
	case !ok && off > maxDamagedSegment:
		return
	case !ok && len(b) == objectHeaderSize && b[12] == objectSeal:
		p = nil
	case !ok:
		if p = b[min(len(b), objectHeaderSize):]; len(p) == 0 {
			p = make([]byte, 8) // of a part of which nothing is left
		}
	}
	if want == objectPart {
		m.taken[off] = true
	}
	if end := off + int64(len(p)); end > int64(len(m.data)) {
		m.data = append(m.data, make([]byte, end-int64(len(m.data)))...)
	}
	copy(m.data[off:], p)
}

// Retire ends a log that another one is to replace, after Salvage has read it: from then on no
// process appends to it, and no version of this program opens it. The error is ErrLocked if a
// process has written to it since it was read.
func (o *Objects) Retire(ctx context.Context) error {
	names, err := o.damagedNames(ctx)
	if err != nil {
		return err
	}
	number := 0
	if len(names) > 0 {
		last := names[len(names)-1]
		if number, err = strconv.Atoi(last); err != nil {
			return err
		}
		if err := o.sealDamaged(ctx, last); err != nil {
			return err
		}
	}
	// A process that opened the log while its last segment was sealed would begin the next one.
	mark := segmentName(number + 1)
	err = o.bucket.putWithRetry(ctx, o.bucket.partName(mark, 0), encodeObject(objectSeal, mark, 0, randomID(), nil))
	if !errors.Is(err, ErrFenced) {
		return err
	}
	retired, readErr := o.bucket.isRetired(ctx, mark) // by a salvage that was interrupted
	if readErr != nil || retired {
		return readErr
	}
	return fmt.Errorf("%w: segment %s is new", ErrLocked, mark)
}

// sealDamaged writes a seal behind what Salvage read of the last segment.
func (o *Objects) sealDamaged(ctx context.Context, last string) error {
	o.mu.Lock()
	read := o.salvaged
	o.mu.Unlock()
	if read.name != last {
		return fmt.Errorf("%w: segment %s is new", ErrLocked, last)
	}
	if read.taken[read.end] { // by a seal, whole or not
		return nil
	}
	err := o.bucket.putWithRetry(ctx, o.bucket.partName(last, read.end), encodeObject(objectSeal, last, read.end, randomID(), nil))
	if errors.Is(err, ErrFenced) {
		return fmt.Errorf("%w: segment %s has grown", ErrLocked, last)
	}
	return err
}
