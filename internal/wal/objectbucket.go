package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
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

// logBucket is the bucket of one log: it names the log's objects, and writes them under names that must
// be free, which fences off other processes. It may be used concurrently.
type logBucket struct {
	Bucket
	prefix   string        // empty, or with a slash at its end
	patience time.Duration // for which a failing write is retried

	mu         sync.Mutex
	hasWritten bool // a write succeeded: bucket and permissions are good
}

const (
	objectMagic      = "siglkobj"
	objectHeaderSize = 32
	objectPart       = 1
	objectSeal       = 2
	objectPacked     = 3
	objectPruned     = 4
)

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

func (b *logBucket) partName(segment string, off int64) string {
	if off == 0 {
		return b.prefix + "segments/" + segment
	}
	return fmt.Sprintf("%sparts/%s/%016x", b.prefix, segment, off)
}

func (b *logBucket) packedName(segment string) string { return b.prefix + "whole/" + segment }

// partOffsets lists the offsets of a segment's parts, in order. The first part is always named.
func (b *logBucket) partOffsets(ctx context.Context, name string) ([]int64, error) {
	prefix := b.prefix + "parts/" + name + "/"
	offsets := []int64{0}
	for object, err := range b.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		off, err := strconv.ParseInt(strings.TrimPrefix(object.Name, prefix), 16, 64)
		if err == nil && off > 0 && object.Name == b.partName(name, off) { // other objects are not the log's
			offsets = append(offsets, off)
		}
	}
	slices.Sort(offsets)
	return offsets, nil
}

// spareParts lists the parts of a segment behind its first one, which names it, and before its seal,
// which fences off a process that was paused.
func (b *logBucket) spareParts(ctx context.Context, name string) (names []string, size int64, err error) {
	for object, err := range b.List(ctx, b.prefix+"parts/"+name+"/") {
		if err != nil {
			return nil, 0, err
		}
		if object.Size > objectHeaderSize { // a seal is its header
			names = append(names, object.Name)
			size += object.Size
		}
	}
	return names, size, nil
}

// putWithRetry writes an object under a name that must be free, and retries for a
// while, since it may hold a paid answer. The error is ErrFenced if another object has
// the name.
func (b *logBucket) putWithRetry(ctx context.Context, name string, data []byte) error {
	started := time.Now()
	for wait := time.Second; ; wait = min(2*wait, 16*time.Second) {
		err := b.putOnce(ctx, name, data)
		if err == nil || errors.Is(err, ErrFenced) || time.Since(started)+wait > b.patience || b.isPermanent(err) {
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
func (b *logBucket) isPermanent(err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.hasWritten && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist))
}

// putOnce verifies refusals: if the name holds the same bytes, an earlier request has
// written them, and only its answer was lost.
func (b *logBucket) putOnce(ctx context.Context, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(len(data))*10*time.Microsecond)
	defer cancel()
	err := b.Create(ctx, name, data)
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.hasWritten = true
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	existing, _, readErr := b.Get(ctx, name)
	switch {
	case readErr != nil: // unknown; readErr is not wrapped, since it must not pass for the answer to the write
		return fmt.Errorf("%s may have been written: the write was refused, and reading it back failed: %v", name, readErr) //nolint:errorlint // see above
	case !bytes.Equal(existing, data):
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return nil
}

// isRetired reports whether the first object of a segment is the mark of a log that was retired.
func (b *logBucket) isRetired(ctx context.Context, name string) (bool, error) {
	data, _, err := b.Get(ctx, b.partName(name, 0))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	kind, _, ok := decodeObject(data, name, 0)
	return ok && kind == objectSeal, err
}
