// Package membucket is an in-memory bucket for tests that fails, delays and loses requests on
// demand.
package membucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/durable"
)

// Bucket is an in-memory bucket with a hook around every request: create, get, stat, swap and list.
// It is safe for concurrent use, but set its fields before, and read and change Objects only while
// no request runs.
type Bucket struct {
	Hook           durable.Hook  // nil: none
	RefusesRepeats bool          // refuse a request that repeats an earlier write
	ClockSkew      time.Duration // how far the store's clock is off
	Unlisted       int           // this many of the newest objects are not listed
	Objects        map[string]Object

	mu     sync.Mutex
	writes int
}

// Object is an object of a [Bucket].
type Object struct {
	Data     []byte
	etag     string
	number   int
	modified time.Time
}

// ErrNet is an error for hooks: a request or its answer was lost.
var ErrNet = errors.New("connection reset")

// New returns an empty bucket.
func New() *Bucket { return &Bucket{Objects: map[string]Object{}} }

// Handle is the same bucket as another process sees it, through its own hook.
type Handle struct {
	*Bucket
	hook durable.Hook
}

// WithHook returns the bucket behind a hook that replaces its own.
func (b *Bucket) WithHook(hook durable.Hook) Handle { return Handle{b, hook} }

// Create writes an object under a name that is free.
func (b *Bucket) Create(ctx context.Context, name string, data []byte) error {
	return b.WithHook(b.Hook).Create(ctx, name, data)
}

// Get reads an object and its etag.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, string, error) {
	return b.WithHook(b.Hook).Get(ctx, name)
}

// Stat describes an object.
func (b *Bucket) Stat(ctx context.Context, name string) (bucket.Object, error) {
	return b.WithHook(b.Hook).Stat(ctx, name)
}

// Swap replaces an object that has this etag, none if it does not exist.
func (b *Bucket) Swap(ctx context.Context, name, etag string, data []byte) error {
	return b.WithHook(b.Hook).Swap(ctx, name, etag, data)
}

// List lists the objects with names that begin with prefix.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[bucket.Object, error] {
	return b.WithHook(b.Hook).List(ctx, prefix)
}

func (h Handle) do(ctx context.Context, op, name string, f func() error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	locked := func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		return f()
	}
	err := error(nil)
	if h.hook == nil {
		err = locked()
	} else {
		err = h.hook(op, name, locked)
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// write is called with mu held.
func (b *Bucket) write(name string, data []byte) {
	b.writes++
	etag := fmt.Sprintf("%x", crc32.Checksum(data, castagnoli))
	b.Objects[name] = Object{bytes.Clone(data), etag, b.writes, time.Now().Add(b.ClockSkew).Truncate(time.Second)}
}

// Create writes an object under a name that is free.
func (h Handle) Create(ctx context.Context, name string, data []byte) error {
	return h.do(ctx, "create", name, func() error {
		if there, taken := h.Objects[name]; taken {
			if !h.RefusesRepeats && bytes.Equal(there.Data, data) {
				return nil
			}
			return fs.ErrExist
		}
		h.write(name, data)
		return nil
	})
}

// Get reads an object and its etag.
func (h Handle) Get(ctx context.Context, name string) (data []byte, etag string, err error) {
	err = h.do(ctx, "get", name, func() error {
		o, ok := h.Objects[name]
		if !ok {
			return fs.ErrNotExist
		}
		data, etag = bytes.Clone(o.Data), o.etag
		return nil
	})
	return data, etag, err
}

// Stat describes an object.
func (h Handle) Stat(ctx context.Context, name string) (out bucket.Object, err error) {
	err = h.do(ctx, "stat", name, func() error {
		o, ok := h.Objects[name]
		if !ok {
			return fs.ErrNotExist
		}
		out = o.describe(name)
		return nil
	})
	return out, err
}

func (o Object) describe(name string) bucket.Object {
	return bucket.Object{Name: name, Size: int64(len(o.Data)), ETag: o.etag, Modified: o.modified}
}

// Swap replaces an object that has this etag, none if it does not exist.
func (h Handle) Swap(ctx context.Context, name, etag string, data []byte) error {
	return h.do(ctx, "swap", name, func() error {
		if there := h.Objects[name]; there.etag != etag {
			if !h.RefusesRepeats && bytes.Equal(there.Data, data) {
				return nil
			}
			return bucket.ErrChanged
		}
		h.write(name, data)
		return nil
	})
}

// Delete removes an object.
func (h Handle) Delete(ctx context.Context, name string) error {
	return h.do(ctx, "delete", name, func() error {
		delete(h.Objects, name)
		return nil
	})
}

// List lists the objects with names that begin with prefix.
func (h Handle) List(ctx context.Context, prefix string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		var found []bucket.Object
		err := h.do(ctx, "list", prefix, func() error {
			found = nil
			for _, name := range slices.Sorted(maps.Keys(h.Objects)) {
				if o := h.Objects[name]; strings.HasPrefix(name, prefix) && o.number <= h.writes-h.Unlisted {
					found = append(found, o.describe(name))
				}
			}
			return nil
		})
		if err != nil {
			yield(bucket.Object{}, err)
			return
		}
		for _, o := range found {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// Put writes an object, whatever is there. No hook sees it.
func (b *Bucket) Put(name string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.write(name, data)
}

// Delete removes an object, as another program would.
func (b *Bucket) Delete(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.Objects, name)
}

// Snapshot returns all objects. Restore puts them back.
func (b *Bucket) Snapshot() map[string]Object { return maps.Clone(b.Objects) }

// Restore replaces all objects by those of a Snapshot.
func (b *Bucket) Restore(kept map[string]Object) { b.Objects = maps.Clone(kept) }

// Names returns the names that contain part, sorted. No hook sees it.
func (b *Bucket) Names(part string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(b.Objects)), func(name string) bool { return !strings.Contains(name, part) })
}
