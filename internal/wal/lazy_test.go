package wal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// openedStore notes which segments are opened.
type openedStore struct {
	Store
	opened []string
}

func (s *openedStore) Open(ctx context.Context, name string) (Reader, error) {
	s.opened = append(s.opened, name)
	return s.Store.Open(ctx, name)
}

// TestLazy: a log that is opened from its end reads the segments that are needed, and checks them then.
func TestLazy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var positions []Position
	for n := range byte(5) {
		l := mustOpenLog(t, dir, nil, Options{})
		for _, kind := range []byte{1, n} {
			p, err := l.Append(kind, []byte{n}, []byte("body"))
			if err != nil {
				t.Fatal(err)
			}
			positions = append(positions, p)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	below, err := OpenDir(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close() //nolint:errcheck // it was only read
	store := &openedStore{Store: below}
	l, err := Open(t.Context(), store, Options{ReadOnly: true, Lazy: true})
	if err != nil {
		t.Fatal(err)
	}
	opened := func(want ...string) {
		t.Helper()
		slices.Sort(store.opened)
		if got := slices.Compact(store.opened); !slices.Equal(got, want) {
			t.Errorf("opened %q, want %q", got, want)
		}
		store.opened = nil
	}
	opened("00000005")
	for p, err := range l.Backward(t.Context(), 3) {
		if err != nil || p != positions[7] {
			t.Errorf("the newest record of kind 3 is at %v, %v, want %v", p, err, positions[7])
		}
		break
	}
	opened("00000004", "00000005")
	walked := 0
	err = l.WalkFrom(t.Context(), positions[7], true, func(Position, byte, []byte, int64) error {
		walked++
		return nil
	})
	if err != nil || walked != 3 {
		t.Errorf("WalkFrom(%v) visited %d records, %v, want 3", positions[7], walked, err)
	}
	opened("00000004", "00000005")
	if size := l.SizeFrom(positions[7]); size != 3*frameSize(1, 4) {
		t.Errorf("SizeFrom(%v) = %d, want %d", positions[7], size, 3*frameSize(1, 4))
	}
	if rec, err := l.Read(t.Context(), positions[2]); err != nil || rec.Head[0] != 1 {
		t.Errorf("Read(%v) = %v, %v", positions[2], rec, err)
	}
	opened("00000002")
	found := 0
	for _, err := range l.Backward(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		found++
	}
	if found != 6 {
		t.Errorf("%d records of kind 1, want 6", found)
	}
	opened("00000001", "00000002", "00000003", "00000004", "00000005")

	if err := os.Truncate(filepath.Join(dir, "00000002.journal"), dirBlockSize+segmentHeaderSize+8); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(t.Context(), below, Options{ReadOnly: true, Lazy: true}); err != nil {
		t.Fatalf("a log with damage that is not needed: %v", err)
	}
	nothing := func(Position, byte, []byte, int64) error { return nil }
	if err := l.WalkFrom(t.Context(), positions[4], false, nothing); err != nil {
		t.Errorf("a walk behind the damage: %v", err)
	}
	if err := l.Walk(t.Context(), false, nothing); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a walk over the damage: %v, want ErrCorrupt", err)
	}
}

// TestFollows: a record belongs to the mark that was read before it, in its own log only.
func TestFollows(t *testing.T) {
	t.Parallel()
	l := mustOpenLog(t, t.TempDir(), nil, Options{SegmentSize: 200})
	defer l.Close() //nolint:errcheck // nothing is at stake
	other := mustOpenLog(t, t.TempDir(), nil, Options{SegmentSize: 200})
	defer other.Close() //nolint:errcheck // likewise
	for range 6 {       // over several segments
		for _, log := range []*Log{l, other} {
			if _, err := log.Append(1, nil, make([]byte, 20)); err != nil {
				t.Fatal(err)
			}
		}
		end, id := l.Mark()
		p, err := l.Append(2, nil, make([]byte, 20))
		if err != nil {
			t.Fatal(err)
		}
		q, err := other.Append(2, nil, make([]byte, 20))
		if err != nil {
			t.Fatal(err)
		}
		if p != q || !l.Follows(p, end, id) || other.Follows(q, end, id) {
			t.Errorf("the record at %v behind %v: %v in its own log, %v in another one at %v", p, end, l.Follows(p, end, id), other.Follows(q, end, id), q)
		}
		after, err := l.Append(3, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if l.Follows(after, end, id) {
			t.Errorf("the record at %v follows %v, which another one does", after, end)
		}
		if _, err := other.Append(3, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}
