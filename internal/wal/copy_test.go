package wal

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/bucket/membucket"
)

// TestBegins: a copy that was interrupted at any write is the beginning of its log. A log that was changed
// anywhere, or that has more, is not.
func TestBegins(t *testing.T) {
	t.Parallel()
	of := openObjects(t, membucket.New(), Options{SegmentSize: 8 << 10})
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 20 {
		if _, err := of.Append(byte(i), []byte("head"), randomBody(rng, 1500)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, b *membucket.Bucket, want bool) {
		t.Helper()
		if got, err := of.Begins(t.Context(), noRetryObjects(b)); got != want || err != nil {
			t.Errorf("%s: Begins = %v, %v; want %v", what, got, err, want)
		}
	}
	whole := membucket.New()
	writes := 0
	for last := false; !last; writes++ {
		copied := membucket.New()
		left := writes
		err := of.CopyTo(t.Context(), noRetryObjects(copied.WithHook(func(op, _ string, do func() error) error {
			if op == "create" {
				if left--; left < 0 {
					return errors.New("killed")
				}
			}
			return do()
		})))
		check("a copy that was interrupted", copied, true)
		whole, last = copied, err == nil
	}
	if writes < 8 {
		t.Fatalf("a copy takes %d writes, want several segments", writes)
	}
	for _, name := range slices.Sorted(maps.Keys(whole.Objects)) {
		if strings.Contains(name, "/whole/") {
			delete(whole.Objects, name) // else the parts are not read
		}
	}
	for name, o := range whole.Objects {
		changed := membucket.New()
		maps.Copy(changed.Objects, whole.Objects)
		damaged := o
		damaged.Data = slices.Clone(o.Data)
		damaged.Data[len(o.Data)-1] ^= 1
		changed.Objects[name] = damaged
		check("damaged "+name, changed, false)
	}
	check("a copy without its wholes", whole, true)
	longer := openObjects(t, whole, Options{})
	if _, err := longer.Append(1, nil, nil); err != nil {
		t.Fatal(err)
	}
	check("a copy with more", whole, false)
	other := membucket.New()
	if _, err := openObjects(t, other, Options{}).Append(1, nil, nil); err != nil {
		t.Fatal(err)
	}
	check("another log", other, false)
}
