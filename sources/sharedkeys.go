package sources

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/siglake/siglake/schema"
)

// keyUses finds keys under which lines request different entities: what is grouped by the key mixes
// them. A list may mean that (an account with two sites), so the lines are requested, with a note about
// the list.
//
// A line takes 12 bytes until the list was read. Of a list with more than maxKeyUses lines every second, fourth and so on
// key is looked at, so that memory is constant.
type keyUses struct {
	seed   maphash.Seed
	uses   [256][][]keyUse // by the first byte of the key's hash, in pieces that never grow
	unused int             // of these tables, the last ones
	count  int
	starts []fileStart
}

// maxKeyUses is the number of lines that keyUses keeps.
const maxKeyUses = 2_000_000

// keyUse is the key of a line and what the line requests, both hashed: 48 bits of the key's hash below those of the
// table, and 16 of the entity's. Few lines of a long list differ from others by chance, and none is rejected for it.
type keyUse struct{ low, high, line uint32 }

func newKeyUse(key uint64, entity uint16, line uint32) keyUse {
	return keyUse{low: uint32(key), high: uint32(key>>32)<<16 | uint32(entity), line: line} //nolint:gosec // hashes
}

func (u keyUse) key() uint64    { return uint64(u.high>>16)<<32 | uint64(u.low) }
func (u keyUse) entity() uint16 { return uint16(u.high) } //nolint:gosec // a hash

// fileStart is where the lines of a file begin among those of the list.
type fileStart struct {
	file  string
	lines int64 // before it
}

// add notes a line; linesBefore are those of the files before its own.
func (k *keyUses) add(a *schema.Account, linesBefore int64) {
	by := a.Identifier()
	if by == "" || a.Key == "" {
		return
	}
	if k.starts == nil {
		k.seed = maphash.MakeSeed()
	}
	if n := len(k.starts); n == 0 || k.starts[n-1].file != a.File {
		k.starts = append(k.starts, fileStart{a.File, linesBefore})
	}
	key := maphash.String(k.seed, a.Key)
	if int(key>>56) >= len(k.uses)-k.unused { //nolint:gosec // 8 bits
		return
	}
	if k.count++; k.count > maxKeyUses {
		if k.halve(); int(key>>56) >= len(k.uses)-k.unused { //nolint:gosec // 8 bits
			return
		}
	}
	table := &k.uses[key>>56]
	n := len(*table)
	if n == 0 || len((*table)[n-1]) == cap((*table)[n-1]) {
		size := 16 // of the first piece: a list of a few lines takes little
		if n > 0 {
			size = min(2*cap((*table)[n-1]), 1024)
		}
		*table = append(*table, make([]keyUse, 0, size))
		n++
	}
	piece := &(*table)[n-1]
	*piece = append(*piece, newKeyUse(key, k.entity(a, by), uint32(min(linesBefore+a.Line, math.MaxUint32)))) //nolint:gosec // limited
}

// halve forgets half of the keys.
func (k *keyUses) halve() {
	used := (len(k.uses) - k.unused) / 2
	if used == 0 {
		return // one key is that of most lines
	}
	clear(k.uses[used:])
	k.unused, k.count = len(k.uses)-used, 0
	for _, pieces := range k.uses[:used] {
		for _, piece := range pieces {
			k.count += len(piece)
		}
	}
}

// entity identifies what a line requests.
func (k *keyUses) entity(a *schema.Account, by schema.Identifier) uint16 {
	h := maphash.String(k.seed, string(by))
	for _, part := range requestOf(a, by) {
		h = h*31 + maphash.String(k.seed, part)
	}
	return uint16(h >> 48) //nolint:gosec // a hash
}

// requestOf are the texts that a line is requested by.
func requestOf(a *schema.Account, by schema.Identifier) [3]string {
	switch by {
	case schema.ByID:
		return [3]string{a.ID}
	case schema.ByLinkedIn:
		return [3]string{a.LinkedIn}
	case schema.ByEmail:
		return [3]string{a.Email}
	case schema.ByDomain:
		return [3]string{a.Domain}
	}
	return [3]string{joinedWords(a.Name), a.CompanyDomain, joinedWords(a.CompanyName)}
}

// notes describe the keys that stand for several entities, and end the search.
func (k *keyUses) notes() []string {
	const shown = 3
	var keys, lines int64
	var examples [][]uint32 // lines of the first few keys
	for i, pieces := range k.uses {
		uses := slices.Concat(pieces...)
		k.uses[i] = nil
		slices.SortFunc(uses, func(a, b keyUse) int {
			return cmp.Or(cmp.Compare(a.key(), b.key()), cmp.Compare(a.line, b.line))
		})
		for len(uses) > 0 {
			n := 1
			for n < len(uses) && uses[n].key() == uses[0].key() {
				n++
			}
			if other := slices.IndexFunc(uses[:n], func(u keyUse) bool { return u.entity() != uses[0].entity() }); other > 0 {
				keys++
				lines += int64(n)
				examples = append(examples, []uint32{uses[0].line, uses[other].line})
				slices.SortFunc(examples, func(a, b []uint32) int { return cmp.Compare(a[0], b[0]) })
				examples = examples[:min(len(examples), shown)]
			}
			uses = uses[n:]
		}
	}
	if keys == 0 {
		return nil
	}
	var texts []string
	for _, pair := range examples {
		texts = append(texts, k.place(pair[0])+" and "+k.place(pair[1]))
	}
	stand := "1 key stands"
	if keys > 1 {
		stand = fmt.Sprintf("%d keys stand", keys)
	}
	if k.unused > 0 {
		stand = fmt.Sprintf("of one key in %d, %s", len(k.uses)/(len(k.uses)-k.unused), stand)
	}
	return []string{fmt.Sprintf("%s for different entities, on %d lines, such as %s: what is grouped by account_key mixes them", stand, lines, strings.Join(texts, "; "))}
}

// place names a line of the list.
func (k *keyUses) place(line uint32) string {
	i := sort.Search(len(k.starts), func(i int) bool { return k.starts[i].lines >= int64(line) }) - 1
	text := fmt.Sprintf("line %d", int64(line)-k.starts[i].lines)
	if len(k.starts) > 1 {
		text += " of " + k.starts[i].file
	}
	return text
}
