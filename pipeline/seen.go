package pipeline

import (
	"encoding/binary"
	"math/bits"
)

// idMap remembers which row asked first about each identity. It is the one thing
// that grows with the list, so it is kept as small as it can be: 16 bytes an
// identity in flat tables that are about four fifths full, some 20 MB for a
// million lines. The 256 shards grow one by one and by a quarter, where a map
// would double all at once. The zero value is empty.
type idMap struct {
	tables [256]idTable
}

type idTable struct {
	slots []idSlot
	used  int
}

// idSlot is empty when row is 0: rows count from 1.
type idSlot struct {
	key Identity
	row uint32
}

// loadOrStore gives the row that was put in for the key, having put in row if there
// was none.
func (s *idMap) loadOrStore(key Identity, row uint32) uint32 {
	t := &s.tables[key[0]]
	if (t.used+1)*8 > len(t.slots)*7 {
		old := t.slots
		t.slots = make([]idSlot, len(old)+len(old)/4+16)
		for _, o := range old {
			if o.row != 0 {
				*t.findSlot(o.key) = o
			}
		}
	}
	at := t.findSlot(key)
	if at.row == 0 {
		*at = idSlot{key, row}
		t.used++
	}
	return at.row
}

// findSlot gives the key's slot, or the empty one where it belongs. Identities are
// evenly spread already, so eight of their bytes scaled to the table are its hash.
func (t *idTable) findSlot(key Identity) *idSlot {
	start, _ := bits.Mul64(binary.LittleEndian.Uint64(key[4:]), uint64(len(t.slots)))
	for i := int(start); ; i++ {
		if i == len(t.slots) {
			i = 0
		}
		if at := &t.slots[i]; at.row == 0 || at.key == key {
			return at
		}
	}
}
