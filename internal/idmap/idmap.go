// Package idmap is a compact hash table from 12-byte identities to numbers. Lists and ledgers
// have millions of identities, so a [Map] takes as little memory as it can: 16 bytes a slot in
// flat tables that are about four fifths full, some 20 MB for a million identities.
//
// [Lists] keep several numbers for each identity. An identity has one slot however many numbers
// it has, so that a ledger of many nights, in which every identity comes again every night, has
// no longer probe chains than one of a single night.
package idmap

import (
	"bytes"
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

// slot is empty when value is 0.
type slot struct {
	key   Key
	value uint32
}

// LoadOrStore returns the key's value if it has one. Otherwise it stores value and
// returns it.
func (m *Map) LoadOrStore(key Key, value uint32) uint32 {
	s, found := m.slot(key)
	if !found {
		s.value = value
	}
	return s.value
}

// Load returns the key's value; 0 if it has none.
func (m *Map) Load(key Key) uint32 {
	t := &m.tables[key[0]]
	if len(t.slots) == 0 {
		return 0
	}
	return t.slots[t.find(key)].value
}

// All walks the keys with their values, in no order.
func (m *Map) All() iter.Seq2[Key, uint32] {
	return func(yield func(Key, uint32) bool) {
		for i := range m.tables {
			for _, s := range m.tables[i].slots {
				if s.value != 0 && !yield(s.key, s.value) {
					return
				}
			}
		}
	}
}

// slot is the key's slot, which is made if there is none: then its value must be set. It is valid
// until the next call.
func (m *Map) slot(key Key) (s *slot, found bool) {
	t := &m.tables[key[0]]
	if len(t.slots) > 0 {
		if s = &t.slots[t.find(key)]; s.value != 0 {
			return s, true
		}
	}
	t.makeRoom()
	t.used++
	s = &t.slots[t.find(key)]
	s.key = key
	return s, false
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
			t.slots[t.find(s.key)] = s
		}
	}
}

// find returns the place of the key's slot, or of the empty slot that ends its probe chain.
func (t *table) find(key Key) int {
	i := t.firstProbe(key)
	for t.slots[i].value != 0 && t.slots[i].key != key {
		i = t.nextProbe(i)
	}
	return i
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

// sorted are the filled slots in ascending order of their keys.
func (t *table) sorted() []slot {
	slots := slices.DeleteFunc(slices.Clone(t.slots), func(s slot) bool { return s.value == 0 })
	slices.SortFunc(slots, func(a, b slot) int { return bytes.Compare(a.key[:], b.key[:]) })
	return slots
}

// Lists map identities to lists of values, in 8 bytes a value. The zero value is empty.
type Lists struct {
	last    Map // the place, from 1, of each key's last entry
	entries []listEntry
}

// listEntry is one value of a key.
type listEntry struct {
	value    uint32
	previous uint32 // place of the key's entry before; 0: none
}

// Add adds a value to the end of the key's list, unless it is the last one already.
func (l *Lists) Add(key Key, value uint32) {
	s, found := l.last.slot(key)
	switch {
	case !found:
		l.entries = append(l.entries, listEntry{value, 0})
	case l.entries[s.value-1].value == value:
		return
	default:
		l.entries = append(l.entries, listEntry{value, s.value})
	}
	s.value = uint32(len(l.entries)) //nolint:gosec // 4 billion entries take 32 GB
}

// Grow makes room for n more values.
func (l *Lists) Grow(n int) { l.entries = slices.Grow(l.entries, n) }

// AddAll adds values to the end of the key's list. Two equal ones in a row count as one.
func (l *Lists) AddAll(key Key, values []uint32) {
	if len(values) == 0 {
		return
	}
	l.Add(key, values[0])
	s, _ := l.last.slot(key)
	for _, v := range values[1:] {
		if l.entries[s.value-1].value != v {
			l.entries = append(l.entries, listEntry{v, s.value})
			s.value = uint32(len(l.entries)) //nolint:gosec // see Add
		}
	}
}

// Has reports whether the key has a list.
func (l *Lists) Has(key Key) bool { return l.last.Load(key) != 0 }

// Backward walks the key's list from its end.
func (l *Lists) Backward(key Key) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for place := l.last.Load(key); place != 0; place = l.entries[place-1].previous {
			if !yield(l.entries[place-1].value) {
				return
			}
		}
	}
}

// Sorted walks the keys in ascending order, each with its list. It copies one table at a time.
// The lists must not change meanwhile, and each is only valid during the iteration.
func (l *Lists) Sorted() iter.Seq2[Key, []uint32] {
	return func(yield func(Key, []uint32) bool) {
		var values []uint32
		for i := range l.last.tables {
			for _, s := range l.last.tables[i].sorted() {
				values = slices.AppendSeq(values[:0], l.Backward(s.key))
				slices.Reverse(values)
				if !yield(s.key, values) {
					return
				}
			}
		}
	}
}
