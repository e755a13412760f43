package lease

import (
	"encoding/json"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/bucket/buckettest"
)

var (
	_ Bucket = (*bucket.Bucket)(nil)
	_ Lock   = (*Lease)(nil)
	_ Lock   = (*Flock)(nil)
)

// TestRealStoreLease: a lease runs out, is taken, renewed, lost and given back on
// a real store, by its clock.
func TestRealStoreLease(t *testing.T) {
	s := buckettest.Start(t)
	s.Setenv(t)
	ctx := t.Context()
	b, err := bucket.Open(ctx, s.URI("lake"), bucket.Config{Endpoint: s.URL, Region: s.Region, PathStyle: true, MaxBackoff: time.Millisecond, HTTP: s.Client})
	if err != nil {
		t.Fatal(err)
	}
	write := func(c claim) {
		t.Helper()
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		_, etag, err := b.Get(ctx, leaseName)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := b.Swap(ctx, leaseName, etag, text); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	write(claim{Token: "x", Command: "left", TTL: 1})
	refused := 0
	l, err := Acquire(ctx, b, leaseName, "run", Options{})
	for ; errors.Is(err, ErrLocked); l, err = Acquire(ctx, b, leaseName, "run", Options{}) {
		refused++
	}
	took := time.Since(begun)
	if err != nil {
		t.Fatalf("AcquireLease = %v", err)
	}
	t.Logf("taken over after %s, refused %d times before", took, refused)
	if took < time.Second {
		t.Errorf("a lease of 1s was taken over after %s", took)
	}
	for range 3 {
		if err := l.renew(ctx); err != nil {
			t.Errorf("renew = %v", err)
		}
		wantLocked(t, b, "run")
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if l, err = Acquire(ctx, b, leaseName, "run", Options{}); err != nil {
		t.Fatalf("AcquireLease after Close = %v", err)
	}
	write(claim{Token: "y", Command: "thief", TTL: 60})
	if err := l.renew(ctx); !errors.Is(err, errTakenOver) {
		t.Errorf("renew of a lease that was taken over = %v, want %v", err, errTakenOver)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close of a lease that was taken over = %v", err)
	}
	wantLocked(t, b, "thief")
}
