package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

func key(n uint64) Identity {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, n))
	return Identity(sum[:12])
}

// TestIDMap holds the set against a map, over enough keys that every shard grows
// several times.
func TestIDMap(t *testing.T) {
	var s idMap
	model := map[Identity]uint32{}
	for row := uint32(1); row <= 200_000; row++ {
		k := key(uint64(row) * 2654435761 % 120_011) // many come back
		want, stored := model[k]
		if !stored {
			want, model[k] = row, row
		}
		if got := s.loadOrStore(k, row); got != want {
			t.Fatalf("first(key, %d) = %d, want %d", row, got, want)
		}
	}
	used := 0
	for i := range s.tables {
		used += s.tables[i].used
	}
	if used != len(model) {
		t.Errorf("%d identities are kept, want %d", used, len(model))
	}
}

// TestIDMapAnyKeys: keys that all fall into one place are still told apart.
func TestIDMapAnyKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s idMap
		model := map[Identity]uint32{}
		bytes := rapid.SampledFrom([]byte{0, 1, 255})
		for row := uint32(1); row <= uint32(rapid.IntRange(1, 300).Draw(t, "rows")); row++ {
			var k Identity
			for i := range k {
				k[i] = bytes.Draw(t, "byte")
			}
			want, stored := model[k]
			if !stored {
				want, model[k] = row, row
			}
			if got := s.loadOrStore(k, row); got != want {
				t.Fatalf("first(%x, %d) = %d, want %d", k, row, got, want)
			}
		}
	})
}

func BenchmarkIDMap(b *testing.B) {
	for b.Loop() {
		var s idMap
		for row := uint32(1); row <= 100_000; row++ {
			s.loadOrStore(key(uint64(row)), row)
		}
	}
}
