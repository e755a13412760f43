package pipeline

import (
	"encoding/binary"
	"math/bits"
)

// seen remembers which row asked first about each identity. It is the one thing
// that grows with the list, so it is kept as small as it can be: 16 bytes an
// identity in flat tables that are about four fifths full, some 20 MB for a
// million lines. The 256 shards grow one by one and by a quarter, where a map
// would double all at once. The zero value is empty.
type seen struct {
	shards [256]shard
}

type shard struct {
	slots []slot
	used  int
}

// slot is empty when row is 0: rows count from 1.
type slot struct {
	key Identity
	row uint32
}

// first gives the row that was put in for the key, having put in row if there
// was none.
func (s *seen) first(key Identity, row uint32) uint32 {
	h := &s.shards[key[0]]
	if (h.used+1)*8 > len(h.slots)*7 {
		old := h.slots
		h.slots = make([]slot, len(old)+len(old)/4+16)
		for _, o := range old {
			if o.row != 0 {
				*h.find(o.key) = o
			}
		}
	}
	at := h.find(key)
	if at.row == 0 {
		*at = slot{key, row}
		h.used++
	}
	return at.row
}

// find gives the key's slot, or the empty one where it belongs. Identities are
// evenly spread already, so eight of their bytes scaled to the table are its hash.
func (h *shard) find(key Identity) *slot {
	start, _ := bits.Mul64(binary.LittleEndian.Uint64(key[4:]), uint64(len(h.slots)))
	for i := int(start); ; i++ {
		if i == len(h.slots) {
			i = 0
		}
		if at := &h.slots[i]; at.row == 0 || at.key == key {
			return at
		}
	}
}
