package wal

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/siglake/siglake/internal/bucket/membucket"
)

// TestReadOnlyWhileWriting: who looks at a journal while it is written, through
// rotations, sees the beginning of it and no damage.
func TestReadOnlyWhileWriting(t *testing.T) {
	dir, kept := t.TempDir(), membucket.New()
	t.Run("files", func(t *testing.T) {
		readOnlyWhileWriting(t, func() (Store, io.Closer) {
			d, err := OpenDir(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			return d, d
		})
	})
	t.Run("objects", func(t *testing.T) {
		readOnlyWhileWriting(t, func() (Store, io.Closer) {
			o := NewObjects(kept, "j", ObjectsOptions{})
			return o, o
		})
	})
}

func readOnlyWhileWriting(t *testing.T, openStore func() (Store, io.Closer)) {
	store, closer := openStore()
	defer closer.Close()
	w, err := Open(t.Context(), store, Options{SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	allowed := make(chan struct{}, 4) // the writer stays a few records ahead of the reader
	wrote := make(chan error, 1)
	go func() { // awaited below
		defer close(wrote)
		i := 0
		for range allowed {
			if _, err := w.Append(byte(i%200+1), []byte("head"), bytes.Repeat([]byte{byte(i)}, 16+i%3000)); err != nil {
				wrote <- err
				return
			}
			i++
		}
	}()
	looks, seen := 0, 0
	for ; (looks < 200 || seen < 100) && len(wrote) == 0; looks++ { // 100 records fill more than one segment
		for len(allowed) < cap(allowed) {
			allowed <- struct{}{}
		}
		other, closer := openStore()
		l, err := Open(context.Background(), other, Options{ReadOnly: true})
		if err != nil {
			t.Errorf("look %d: %v", looks, err)
		} else {
			now := 0
			err = l.Walk(context.Background(), false, func(Position, byte, []byte, int64) error { now++; return nil })
			if err != nil || now < seen {
				t.Errorf("look %d: %d records after %d, %v", looks, now, seen, err)
			}
			seen = now
		}
		closer.Close()
		if t.Failed() {
			break
		}
	}
	close(allowed)
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	t.Logf("%d looks, %d records", looks, seen)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
