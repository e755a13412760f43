package idmap

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func key(n uint64) Key {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, n))
	return Key(sum[:12])
}

// values returns a key's list.
func values(l *Lists, key Key) []uint32 {
	list := slices.Collect(l.Backward(key))
	slices.Reverse(list)
	return list
}

// probes counts the slots that a search for a key looks at.
func probes(m *Map, key Key) int {
	t := &m.tables[key[0]]
	first, end := t.firstProbe(key), t.find(key)
	return (end-first+len(t.slots))%len(t.slots) + 1
}

func slotsUsed(m *Map) (n int) {
	for i := range m.tables {
		n += m.tables[i].used
	}
	return n
}

// TestLoadOrStore compares with a built-in map, over enough keys that every table
// grows several times.
func TestLoadOrStore(t *testing.T) {
	var m Map
	model := map[Key]uint32{}
	for row := uint32(1); row <= 200_000; row++ {
		k := key(uint64(row) * 2654435761 % 120_011) // many come back
		want, stored := model[k]
		if !stored {
			want, model[k] = row, row
		}
		if got := m.LoadOrStore(k, row); got != want {
			t.Fatalf("LoadOrStore(key, %d) = %d, want %d", row, got, want)
		}
	}
	if used := slotsUsed(&m); used != len(model) {
		t.Errorf("%d slots are used, want %d", used, len(model))
	}
}

// TestProbes: an identity has one slot however many values it has, so nights do not lengthen the
// probe chains.
func TestProbes(t *testing.T) {
	const keys = 10_000
	most := func(nights uint32) (most, total int) {
		var l Lists
		for night := range nights {
			for k := range uint64(keys) {
				l.Add(key(k), night+1)
			}
		}
		for k := range uint64(keys) {
			n := probes(&l.last, key(k))
			most, total = max(most, n), total+n
		}
		if used := slotsUsed(&l.last); used != keys {
			t.Errorf("after %d nights %d slots are used, want %d", nights, used, keys)
		}
		return most, total
	}
	once, onceTotal := most(1)
	often, oftenTotal := most(60)
	if often != once || oftenTotal != onceTotal {
		t.Errorf("after 60 nights a search looks at up to %d slots, %d in all; want %d and %d as after one night", often, oftenTotal, once, onceTotal)
	}
	if onceTotal > 8*keys {
		t.Errorf("%d searches look at %d slots", keys, onceTotal)
	}
}

// TestAdd compares with a built-in map of lists, over enough keys that every table
// grows several times.
func TestAdd(t *testing.T) {
	var m Lists
	model := map[Key][]uint32{}
	for call := uint32(1); call <= 100_000; call++ {
		k := key(uint64(call) % 30_011)
		m.Add(k, call)
		model[k] = append(model[k], call)
	}
	for k, want := range model {
		if got := values(&m, k); !slices.Equal(got, want) {
			t.Fatalf("Backward(%x) = %d reversed, want %d", k, got, want)
		}
	}
	if got := values(&m, key(1<<40)); len(got) > 0 {
		t.Errorf("Backward(unknown key) = %d, want none", got)
	}
}

// TestAnyKeys: keys with the same hash are distinct.
func TestAnyKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var first Map
		var all Lists
		modelFirst, modelAll := map[Key]uint32{}, map[Key][]uint32{}
		bytes := rapid.SampledFrom([]byte{0, 1, 255})
		for row := uint32(1); row <= uint32(rapid.IntRange(1, 300).Draw(t, "rows")); row++ {
			var k Key
			for i := range k {
				k[i] = bytes.Draw(t, "byte")
			}
			want, stored := modelFirst[k]
			if !stored {
				want, modelFirst[k] = row, row
			}
			if got := first.LoadOrStore(k, row); got != want {
				t.Fatalf("LoadOrStore(%x, %d) = %d, want %d", k, row, got, want)
			}
			all.Add(k, row)
			modelAll[k] = append(modelAll[k], row)
		}
		for k := range modelAll {
			if got := values(&all, k); !slices.Equal(got, modelAll[k]) {
				t.Fatalf("Backward(%x) = %d reversed, want %d", k, got, modelAll[k])
			}
			if got := first.Load(k); got != modelFirst[k] {
				t.Fatalf("Load(%x) = %d, want %d", k, got, modelFirst[k])
			}
		}
		var keys []Key
		for k, got := range all.Sorted() {
			keys = append(keys, k)
			if !slices.Equal(got, modelAll[k]) {
				t.Fatalf("Sorted() = %x with %d, want %d", k, got, modelAll[k])
			}
		}
		if want := slices.SortedFunc(maps.Keys(modelAll), compareKeys); !slices.Equal(keys, want) {
			t.Fatalf("keys of Sorted() = %x, want %x", keys, want)
		}
	})
}

func compareKeys(a, b Key) int { return slices.Compare(a[:], b[:]) }

// TestEmpty: an empty map has no values, a value that is added twice in a row is there once, and a
// walk stops when its reader does.
func TestEmpty(t *testing.T) {
	var m Lists
	if got := values(&m, key(1)); len(got) > 0 || m.last.Load(key(1)) != 0 {
		t.Errorf("Backward() of empty lists = %d, want none", got)
	}
	for _, v := range []uint32{7, 7, 8} {
		m.Add(key(1), v)
	}
	m.Add(key(2), 7)
	walked := 0
	for range m.Sorted() {
		walked++
		break
	}
	if walked != 1 {
		t.Errorf("Sorted() walked %d keys before a break, want 1", walked)
	}
	walked = 0
	for range m.Backward(key(1)) {
		walked++
		break
	}
	if got := values(&m, key(1)); walked != 1 || !slices.Equal(got, []uint32{7, 8}) {
		t.Errorf("Backward() = %d reversed, of which %d were walked before a break; want 7 and 8, and one", got, walked)
	}
}

func BenchmarkLoadOrStore(b *testing.B) {
	for b.Loop() {
		var m Map
		for row := uint32(1); row <= 100_000; row++ {
			m.LoadOrStore(key(uint64(row)), row)
		}
	}
}
