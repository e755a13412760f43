package wal

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWhiten(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	want := make([]byte, 300)
	for i := range want {
		want[i] = byte(rng.Uint32())
	}
	whole := slices.Clone(want)
	whiten(whole, 42, 1000)
	for range 1000 {
		from := rng.IntN(len(want))
		to := from + rng.IntN(len(want)-from+1)
		part := slices.Clone(whole[from:to])
		if whiten(part, 42, 1000+int64(from)); !bytes.Equal(part, want[from:to]) {
			t.Fatalf("mask of %d to %d does not undo mask of the whole", from, to)
		}
	}
}

// encodeGroup is two records as they lie in a segment at off.
func encodeGroup(id uint64, off int64, a, b []byte) []byte {
	var g []byte
	for _, r := range [][2][]byte{{a, b}, {b, a}} {
		f := frame{kind: byte(len(g)), headLen: int64(len(r[0])), bodyLen: int64(len(r[1])), headSum: checksum(r[0]), bodySum: checksum(r[1])}
		g = appendFrame(g, f, r[0], r[1])
	}
	finishGroup(g, id, off)
	return g
}

// FuzzFrames reads a segment in which some bytes are changed: the frames up to the
// damage come out as they were written. The fuzzer also chooses the length and the
// checksums of the damage.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("a head"), []byte("a body"), uint64(7), 0, []byte{})
	f.Add([]byte{}, make([]byte, 600), uint64(0), 50, []byte{1})
	f.Add([]byte("x"), []byte{}, uint64(1<<63), 4, []byte{255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, a, b []byte, id uint64, at int, damage []byte) {
		const off = segmentHeaderSize
		whole := append(make([]byte, off), encodeGroup(id, off, a, b)...)
		data := slices.Clone(whole)
		if at = max(at, 0); at < len(data)-off {
			for i := range min(len(damage), len(data)-off-at) {
				data[off+at+i] ^= damage[i]
			}
		}
		changed := len(data)
		for i := range data {
			if data[i] != whole[i] {
				changed = i
				break
			}
		}
		scan := &scanner{src: bytes.NewReader(data), id: id, end: int64(len(data))}
		pos, want := int64(off), [][2][]byte{{a, b}, {b, a}}
		for len(want) > 0 {
			f, ok, err := scan.readFrame(pos, true)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if !bytes.Equal(scan.head, want[0][0]) || f.bodyLen != int64(len(want[0][1])) || f.durable != off {
				t.Fatalf("next(%d) = another record", pos)
			}
			pos += f.size()
			want = want[1:]
		}
		if (pos == int64(len(data))) != (changed == len(data)) {
			t.Fatalf("read up to %d of %d, changed at %d", pos, len(data), changed)
		}
		if _, err := scan.isTorn(off, int64(len(data)-off)); err != nil {
			t.Fatal(err)
		}
		if _, found, err := scan.durabilityWitness(off); found || err != nil {
			t.Fatalf("witness(%d) = %v, %v: no record says so", off, found, err)
		}
		// The same bytes are no frames of another segment, or in another place.
		raw := slices.Clone(whole[off : off+frameHeaderSize])
		whiten(raw, id, off)
		if _, ok := parseHeader(raw, id, off); !ok {
			t.Fatal("parseHeader = false")
		}
		if _, ok := parseHeader(raw, id+1, off); ok {
			t.Fatal("parseHeader in another segment = true")
		}
		if _, ok := parseHeader(raw, id, off+8); ok {
			t.Fatal("parseHeader in another place = true")
		}
	})
}

// FuzzSegment reads anything as a segment.
func FuzzSegment(f *testing.F) {
	f.Add(encodeGroup(1, segmentHeaderSize, []byte("a"), []byte("b")), uint64(1), int64(0))
	f.Add(make([]byte, 100), uint64(2), int64(60))
	f.Fuzz(func(t *testing.T, data []byte, id uint64, known int64) {
		data = append(make([]byte, segmentHeaderSize), data...)
		end, err := findEnd(&objectReader{sizedReader: bytes.NewReader(data)}, segment{name: "s", id: id, durable: known})
		if err == nil && (end < segmentHeaderSize || end > int64(len(data)) || end < known) {
			t.Fatalf("findEnd = %d, of %d with %d durable", end, len(data), known)
		}
	})
}
