package ledger

import (
	"encoding/binary"
	"math/bits"

	"github.com/siglake/siglake/pipeline"
)

// index finds the calls that asked about an identity. It is the largest thing
// a journal keeps in memory: 20 bytes for every identity asked about, by its
// identifier and again by the API's id for it, in flat tables that are about
// four fifths full.
type index struct {
	shards [256]shard
}

type shard struct {
	slots []slot
	used  int
}

// slot is empty when call is 0; calls count from 1. An identity that several
// calls asked about has several slots.
type slot struct {
	key  pipeline.Identity
	call uint32
}

func (x *index) add(key pipeline.Identity, call uint32) {
	h := &x.shards[key[0]]
	if (h.used+1)*8 > len(h.slots)*7 {
		old := h.slots
		h.slots = make([]slot, len(old)+len(old)/4+16)
		for _, o := range old {
			if o.call != 0 {
				h.insert(o)
			}
		}
	}
	h.insert(slot{key, call})
	h.used++
}

func (h *shard) insert(s slot) {
	for i := h.firstProbe(s.key); ; i = h.nextProbe(i) {
		if h.slots[i].call == 0 {
			h.slots[i] = s
			return
		}
	}
}

// firstProbe scales eight of the identity's bytes, which are evenly spread, to the
// table.
func (h *shard) firstProbe(key pipeline.Identity) int {
	at, _ := bits.Mul64(binary.LittleEndian.Uint64(key[4:]), uint64(len(h.slots)))
	return int(at) //nolint:gosec // below the table's length
}

func (h *shard) nextProbe(i int) int {
	if i++; i == len(h.slots) {
		return 0
	}
	return i
}

// eachCall walks the calls that asked about an identity.
func (x *index) eachCall(key pipeline.Identity, yield func(call uint32)) {
	h := &x.shards[key[0]]
	if len(h.slots) == 0 {
		return
	}
	for i := h.firstProbe(key); h.slots[i].call != 0; i = h.nextProbe(i) {
		if h.slots[i].key == key {
			yield(h.slots[i].call)
		}
	}
}
