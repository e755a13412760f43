// Package idmap is a compact hash table from 12-byte identities to one or several
// numbers each. Lists and ledgers have millions of identities, so a [Map] takes as little
// memory as it can: 16 bytes a slot in flat tables that are about four fifths full, some
// 20 MB for a million identities.
package idmap

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"
)

// Key is an identity. Its bytes must be uniformly distributed, like those of a hash.
type Key = [12]byte

// Map maps identities to non-zero values. Its 256 tables grow independently, by a quarter
// each, where a built-in map would double in size. The zero value is empty.
type Map struct {
	tables [256]table
}

// table is a hash table with linear probing.
type table struct {
	slots []slot
	used  int
}

// slot is empty when value is 0. An identity with several values has several slots.
type slot struct {
	key   Key
	value uint32
}

// Add adds a value to those of the key, even if the key already has it.
func (m *Map) Add(key Key, value uint32) {
	t := &m.tables[key[0]]
	t.makeRoom()
	t.insert(slot{key, value})
	t.used++
}

// Values walks the values of the key. The map must not change meanwhile.
func (m *Map) Values(key Key) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		t := &m.tables[key[0]]
		if len(t.slots) == 0 {
			return
		}
		for i := t.firstProbe(key); t.slots[i].value != 0; i = t.nextProbe(i) {
			if t.slots[i].key == key && !yield(t.slots[i].value) {
				return
			}
		}
	}
}

// Sorted walks the keys in ascending order, each with its values in ascending order. It
// copies one table at a time. The map must not change meanwhile, and the values are only
// valid during the iteration.
func (m *Map) Sorted() iter.Seq2[Key, []uint32] {
	return func(yield func(Key, []uint32) bool) {
		var values []uint32
		for i := range m.tables {
			slots := slices.DeleteFunc(slices.Clone(m.tables[i].slots), func(s slot) bool { return s.value == 0 })
			slices.SortFunc(slots, func(a, b slot) int {
				return cmp.Or(bytes.Compare(a.key[:], b.key[:]), cmp.Compare(a.value, b.value))
			})
			for at := 0; at < len(slots); {
				key := slots[at].key
				values = values[:0]
				for ; at < len(slots) && slots[at].key == key; at++ {
					values = append(values, slots[at].value)
				}
				if !yield(key, values) {
					return
				}
			}
		}
	}
}

// LoadOrStore returns the key's value if it has one. Otherwise it stores value and
// returns it.
func (m *Map) LoadOrStore(key Key, value uint32) uint32 {
	t := &m.tables[key[0]]
	t.makeRoom()
	i := t.firstProbe(key)
	for t.slots[i].value != 0 {
		if t.slots[i].key == key {
			return t.slots[i].value
		}
		i = t.nextProbe(i)
	}
	t.slots[i] = slot{key, value}
	t.used++
	return value
}

// makeRoom grows the table before it is more than seven eighths full.
func (t *table) makeRoom() {
	if (t.used+1)*8 <= len(t.slots)*7 {
		return
	}
	old := t.slots
	t.slots = make([]slot, len(old)+len(old)/4+16)
	for _, s := range old {
		if s.value != 0 {
			t.insert(s)
		}
	}
}

// insert puts a slot behind the key's existing ones.
func (t *table) insert(s slot) {
	i := t.firstProbe(s.key)
	for t.slots[i].value != 0 {
		i = t.nextProbe(i)
	}
	t.slots[i] = s
}

// firstProbe scales eight bytes of the key to the table: they are its hash.
func (t *table) firstProbe(key Key) int {
	i, _ := bits.Mul64(binary.LittleEndian.Uint64(key[4:]), uint64(len(t.slots)))
	return int(i) //nolint:gosec // less than the table's length
}

func (t *table) nextProbe(i int) int {
	if i++; i == len(t.slots) {
		return 0
	}
	return i
}
