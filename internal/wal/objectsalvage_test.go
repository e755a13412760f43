package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/proof"
)

// salvagedObjects salvages a log in a bucket: the heads of its records.
func salvagedObjects(t *testing.T, o *Objects) (heads []string, gaps []Gap) {
	t.Helper()
	gaps, err := Salvage(t.Context(), o, func(r SalvagedRecord) error {
		if r.Late {
			t.Errorf("%s is late", r.At)
		}
		heads = append(heads, string(r.Head))
		return nil
	})
	if err != nil {
		t.Fatalf("Salvage = %v", err)
	}
	return heads, gaps
}

// writtenObjects is a log of three processes, of which the second alone ended it, and the object that
// holds each record. all are the records, in order.
func writtenObjects(t *testing.T) (m *membucket.Bucket, all []string, holder map[string]string) {
	t.Helper()
	m, holder = membucket.New(), map[string]string{}
	for life := range 3 {
		l := openObjects(t, m, Options{SegmentSize: 400})
		for i := range 4 {
			head := fmt.Sprintf("%d-%d", life, i)
			at, err := l.Append(1, []byte(head), bytes.Repeat([]byte(head), 30))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, head)
			holder[head] = fmt.Sprintf("j/parts/%s/%016x", segmentName(at.segment), at.offset)
		}
		if life == 1 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m, all, holder
}

// TestObjectsSalvage damages every object of a log in a bucket in turn. Every record is found that
// another object holds, or that the damage does not touch; a record that is lost leaves a gap.
func TestObjectsSalvage(t *testing.T) {
	t.Parallel()
	m, all, holder := writtenObjects(t)
	kept := m.Snapshot()
	names := m.Names("")
	end := slices.Max(m.Names("j/parts/"))
	for i, name := range names {
		raw, other := kept[name].Data, kept[names[(i+1)%len(names)]].Data
		changes := map[string][]byte{"delete": nil, "cut": raw[:len(raw)*2/3], "append": append(bytes.Clone(raw), "appended"...), "swap": other, "empty": {}}
		step := proof.Size(13, 1, 1)
		for at := i % step; at < len(raw); at += step {
			changes[fmt.Sprintf("flip %d", at)] = slices.Replace(bytes.Clone(raw), at, at+1, raw[at]^4)
		}
		for how, changed := range changes {
			m.Restore(kept)
			if m.Delete(name); changed != nil {
				m.Put(name, changed)
			}
			got, gaps := salvagedObjects(t, noRetryObjects(m))
			lost := slices.DeleteFunc(slices.Clone(all), func(head string) bool { return slices.Contains(got, head) })
			if !slices.IsSorted(got) || len(got)+len(lost) != len(all) {
				t.Errorf("%s of %s: %v", how, name, got)
			}
			packed := strings.Split(name, "/")[2]
			_, hasCopy := kept["j/whole/"+packed]
			switch {
			case len(lost) > 1, len(lost) == 1 && (holder[lost[0]] != name || hasCopy):
				t.Errorf("%s of %s: lost %v", how, name, lost)
			case len(lost) > 0 && len(gaps) == 0 && !(name == end && how == "delete"): // nothing tells that there was more
				t.Errorf("%s of %s: no gap for %v", how, name, lost)
			}
		}
	}
}

// TestObjectsRetired: from the moment a log is retired, no process that has it open appends to it,
// and none opens it; what it holds can be read again. A log that grew after it was read is left alone.
func TestObjectsRetired(t *testing.T) {
	t.Parallel()
	m, all, _ := writtenObjects(t)
	kept := m.Snapshot()
	// A process that has begun a segment, and one that has opened the log only.
	open := func(begun bool) *Log {
		l := openObjects(t, m, Options{})
		if _, err := l.Append(1, []byte("active"), nil); err != nil {
			t.Fatal(err)
		}
		if !begun {
			l = openObjects(t, m, Options{})
		}
		return l
	}
	for _, begun := range []bool{true, false} {
		which := fmt.Sprintf("a process that has begun a segment: %t", begun)
		m.Restore(kept)
		writer := open(begun)
		o := noRetryObjects(m)
		want := append(slices.Clone(all), "active")
		if got, gaps := salvagedObjects(t, o); !slices.Equal(got, want) || len(gaps) > 0 {
			t.Fatalf("Salvage = %v, %v, want %v", got, gaps, want)
		}
		// Interrupted before each of its requests, and repeated.
		for n := 1; ; n++ {
			seen := 0
			o.bucket.Bucket = m.WithHook(func(_, _ string, do func() error) error {
				if seen++; seen >= n {
					return membucket.ErrNet
				}
				return do()
			})
			err := o.Retire(t.Context())
			if err == nil {
				break
			}
			again := noRetryObjects(m)
			if got, gaps := salvagedObjects(t, again); !slices.Equal(got, want) || len(gaps) > 0 {
				t.Fatalf("Salvage after %d requests of Retire = %v, %v, want %v", n-1, got, gaps, want)
			}
			o = again
		}
		if _, err := writer.Append(1, []byte("late"), nil); !errors.Is(err, ErrFenced) {
			t.Errorf("%s: Append = %v, want %v", which, err, ErrFenced)
		}
		if _, err := Open(context.Background(), noRetryObjects(m), Options{ReadOnly: true}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "salvage") {
			t.Errorf("Open of a retired log = %v, want %v, and why", err, ErrCorrupt)
		}
		o = noRetryObjects(m)
		if got, gaps := salvagedObjects(t, o); !slices.Equal(got, want) || len(gaps) > 0 {
			t.Errorf("Salvage of a retired log = %v, %v, want %v", got, gaps, want)
		}
		if err := o.Retire(t.Context()); err != nil {
			t.Errorf("Retire again = %v", err)
		}

		m.Restore(kept)
		writer = open(begun)
		o = noRetryObjects(m)
		salvagedObjects(t, o)
		if _, err := writer.Append(1, []byte("more"), nil); err != nil {
			t.Fatal(err)
		}
		if err := o.Retire(t.Context()); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: Retire of a log that has grown = %v, want %v", which, err, ErrLocked)
		}
		if got, err := readBucket(m, Options{}); err != nil || len(got) != len(want)+1 {
			t.Errorf("%s: the log that has grown: %d records, %v, want %d", which, len(got), err, len(want)+1)
		}
	}
}
