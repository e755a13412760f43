package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/siglake/siglake/internal/durable/durabletest"
)

// salvagedHeads salvages a log.
func salvagedHeads(t *testing.T, dir string) (heads, late []string, gaps []Gap) {
	t.Helper()
	gaps, err := Salvage(t.Context(), mustOpenDir(t, dir, nil), func(r SalvagedRecord) error {
		heads = append(heads, string(r.Head))
		if r.Late {
			late = append(late, string(r.Head))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Salvage = %v", err)
	}
	return heads, late, gaps
}

// TestSalvage: every record that the damage does not touch is found, and the damage is named. A
// log without damage has no gaps.
func TestSalvage(t *testing.T) {
	t.Parallel()
	dir := durabletest.Scratch(t)
	o := Options{SegmentSize: 2 << 10}
	rng := rand.New(rand.NewPCG(8, 9))
	l := mustOpenLog(t, dir, nil, o)
	type place struct {
		at   Position
		size int64
	}
	places := map[string]place{}
	var all []string
	for i := range 40 {
		head, body := fmt.Sprintf("%03d", i), randomBody(rng, 400)
		p, err := l.Append(1, []byte(head), body)
		if err != nil {
			t.Fatal(err)
		}
		places[head] = place{p, frameSize(int64(len(head)), int64(len(body)))}
		all = append(all, head)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files := durabletest.SnapshotFiles(t, dir)
	if heads, late, gaps := salvagedHeads(t, dir); !slices.Equal(heads, all) || len(late)+len(gaps) > 0 {
		t.Errorf("a sound log: %d records, %d late, gaps %v; want %d, 0, none", len(heads), len(late), gaps, len(all))
	}
	without := func(lost func(segment int, from, to int64) bool) []string {
		return slices.DeleteFunc(slices.Clone(all), func(h string) bool {
			p := places[h]
			return lost(p.at.segment, p.at.offset, p.at.offset+p.size)
		})
	}
	for range 200 {
		durabletest.RestoreFiles(t, dir, files)
		number := 1 + rng.IntN(len(files))
		path := filepath.Join(dir, segmentName(number)+segmentSuffix)
		data := slices.Clone(files[filepath.Base(path)])
		at := rng.IntN(len(data))
		content := int64(at) - dirBlockSize
		var want []string
		kind := rng.IntN(4)
		switch kind {
		case 0: // one byte
			data[at] ^= 1 << rng.IntN(8)
			want = without(func(s int, from, to int64) bool { return s == number && from <= content && content < to })
		case 1: // the end
			data = data[:at]
			want = without(func(s int, _, to int64) bool { return s == number && to > content })
		case 2: // a stretch, perhaps from the first byte on
			stretch := int64(rng.IntN(3000))
			for i := at; i < min(at+int(stretch), len(data)); i++ {
				data[i] = byte(rng.Uint32())
			}
			want = without(func(s int, from, to int64) bool { return s == number && from < content+stretch && content < to })
		case 3: // all
			want = without(func(s int, _, _ int64) bool { return s == number })
		}
		var err error
		if kind == 3 {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		heads, late, gaps := salvagedHeads(t, dir)
		isLast := number == len(files)
		if !slices.Equal(heads, want) || len(late) > 0 {
			t.Fatalf("damage %d of segment %d at %d: found %v, %d late; want %v; gaps %v", kind, number, content, heads, len(late), want, gaps)
		}
		if len(want) < len(all) && len(gaps) == 0 && !(kind == 3 && isLast) { // a last segment that is missing leaves no trace
			t.Fatalf("damage %d of segment %d at %d: no gap for %d lost records", kind, number, content, len(all)-len(want))
		}
	}
}

// TestSalvageTwoWriters: what two processes wrote at the same time, which makes a log unreadable,
// is found; what the first one wrote after it was taken over is marked.
func TestSalvageTwoWriters(t *testing.T) {
	t.Parallel()
	dir := durabletest.Scratch(t)
	write := func(heads ...string) map[string][]byte {
		l := mustOpenLog(t, dir, nil, Options{})
		for _, h := range heads {
			if _, err := l.Append(0, []byte(h), nil); err != nil {
				t.Fatal(err)
			}
		}
		files := durabletest.SnapshotFiles(t, dir)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return files
	}
	before := write("a")
	durabletest.RestoreFiles(t, dir, before)
	successor := write("b", "b2")[segmentName(2)+segmentSuffix]
	// A version that locked no segments appended to the first one.
	durabletest.RestoreFiles(t, dir, before)
	r, err := mustOpenDir(t, dir, nil).Open(t.Context(), segmentName(1))
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, segmentHeaderSize)
	if err := readFull(r, b, 0); err != nil {
		t.Fatal(err)
	}
	h, _ := decodeHeader(b)
	end := segmentHeaderSize + frameSize(1, 0)
	s := &dirSegment{dir: r.(*dirReader).dir, segment: segmentName(1), size: end}
	if s.f, err = s.dir.OpenFile(segmentName(1)+segmentSuffix, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	group := appendFrame(nil, frame{headLen: 2, headSum: checksum([]byte("a2"))}, []byte("a2"), nil)
	finishGroup(group, h.id, end)
	if err := errors.Join(s.Append(group), s.Close(), r.Close(), os.WriteFile(filepath.Join(dir, segmentName(2)+segmentSuffix), successor, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := reopen(dir, nil, Options{}); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("reopen = %v, want %v", err, ErrCorrupt)
	}
	heads, late, gaps := salvagedHeads(t, dir)
	if !slices.Equal(heads, []string{"a", "a2", "b", "b2"}) || !slices.Equal(late, []string{"a2"}) || len(gaps) > 0 {
		t.Errorf("Salvage = %v, late %v, gaps %v; want a a2 b b2, a2, none", heads, late, gaps)
	}
}
