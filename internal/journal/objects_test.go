package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"testing"
)

// objects is a Store of objects that are put under names which must be free: one
// for the head of a segment, and one for every append, named by its offset.
type objects struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (o *objects) put(segment string, off int64, data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := fmt.Sprintf("%s/%016x", segment, off)
	if _, taken := o.kept[key]; taken {
		return fs.ErrExist
	}
	o.kept[key] = bytes.Clone(data)
	return nil
}

func (o *objects) Segments(context.Context) ([]string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for key := range maps.Keys(o.kept) {
		if name, ok := bytes.CutSuffix([]byte(key), []byte("/0000000000000000")); ok {
			names = append(names, string(name))
		}
	}
	return names, nil
}

func (o *objects) Create(_ context.Context, name string, head []byte, _ int64) (Segment, error) {
	return &objectSegment{o, name, int64(len(head))}, o.put(name, 0, head)
}

func (o *objects) Open(_ context.Context, name string) (Reader, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []byte
	for {
		next, ok := o.kept[fmt.Sprintf("%s/%016x", name, len(all))]
		if !ok {
			return objectReader{bytes.NewReader(all)}, nil
		}
		all = append(all, next...)
	}
}

type objectSegment struct {
	store *objects
	name  string
	size  int64
}

func (s *objectSegment) Append(p []byte) error {
	err := s.store.put(s.name, s.size, p)
	s.size += int64(len(p))
	return err
}

func (s *objectSegment) Room(int64) error { return nil }
func (s *objectSegment) Seal() error      { return nil }
func (s *objectSegment) Close() error     { return nil }

type objectReader struct{ *bytes.Reader }

func (r objectReader) Durable() (int64, error)   { return r.Size(), nil }
func (r objectReader) Settle(int64, int64) error { return nil }
func (r objectReader) Close() error              { return nil }

var _ io.ReaderAt = objectReader{}

// TestObjects: the log asks for nothing that an object store lacks.
func TestObjects(t *testing.T) {
	store := &objects{kept: map[string][]byte{}}
	o := options{segmentSize: 1000}
	want := 0
	for range 3 {
		l, err := open(t.Context(), store, o)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			l.write(1, []byte("lazy"), nil)
			if _, err := l.append(1, []byte("head"), make([]byte, 300)); err != nil {
				t.Fatal(err)
			}
			want += 2
		}
		if got, err := contents(l); err != nil || len(got) != want {
			t.Fatalf("contents = %d records, %v; want %d", len(got), err, want)
		}
		// A process that ends without closing leaves nothing undone.
	}
	keys := slices.Sorted(maps.Keys(store.kept))
	// Every object but the last is missed.
	for _, key := range keys[:len(keys)-1] {
		data := store.kept[key]
		delete(store.kept, key)
		if _, err := open(t.Context(), store, o); !errors.Is(err, ErrCorrupt) && key[:8] != keys[len(keys)-1][:8] {
			t.Errorf("open without %s = %v, want %v", key, err, ErrCorrupt)
		}
		store.kept[key] = data
	}
}
