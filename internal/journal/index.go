package journal

import (
	"encoding/binary"
	"math/bits"
	"slices"

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
				h.put(o)
			}
		}
	}
	h.put(slot{key, call})
	h.used++
}

func (h *shard) put(s slot) {
	for i := h.start(s.key); ; i = h.next(i) {
		if h.slots[i].call == 0 {
			h.slots[i] = s
			return
		}
	}
}

// start scales eight of the identity's bytes, which are evenly spread, to the
// table.
func (h *shard) start(key pipeline.Identity) int {
	at, _ := bits.Mul64(binary.LittleEndian.Uint64(key[4:]), uint64(len(h.slots)))
	return int(at) //nolint:gosec // below the table's length
}

func (h *shard) next(i int) int {
	if i++; i == len(h.slots) {
		return 0
	}
	return i
}

// calls walks the calls that asked about an identity.
func (x *index) calls(key pipeline.Identity, yield func(call uint32)) {
	h := &x.shards[key[0]]
	if len(h.slots) == 0 {
		return
	}
	for i := h.start(key); h.slots[i].call != 0; i = h.next(i) {
		if h.slots[i].key == key {
			yield(h.slots[i].call)
		}
	}
}

// covers reports whether what was bought with one question answers a type of
// another: nothing that the second could bring is missing from the first. A
// longer window and a higher cap contain the shorter and lower, because the API
// keeps the newest events.
func covers(bought, wanted *pipeline.Query, signal string) bool {
	if bought.Object != wanted.Object || !slices.Contains(bought.Signals, signal) ||
		bought.Until != wanted.Until || bought.Since > wanted.Since || bought.MaxResults < wanted.MaxResults {
		return false
	}
	// A broader filter would not do: of an answer that reached its cap, the part
	// that the narrower filter lets through may be cut.
	return bought.FiltersLike(wanted, signal)
}
