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
// A line takes 16 bytes until the list was read.
type keyUses struct {
	seed   maphash.Seed
	uses   [256][]keyUse // by the first byte of the key's hash
	starts []fileStart
}

// keyUse is the key of a line and what the line requests, both hashed. The key's hash is in two halves, so that no byte
// is lost to alignment.
type keyUse struct{ high, low, entity, line uint32 }

func (u keyUse) key() uint64 { return uint64(u.high)<<32 | uint64(u.low) }

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
	use := keyUse{high: uint32(key >> 32), low: uint32(key), entity: k.entity(a, by), line: uint32(min(linesBefore+a.Line, math.MaxUint32))} //nolint:gosec // hashes
	table := &k.uses[use.high>>24]
	*table = append(*table, use)
}

// entity identifies what a line requests.
func (k *keyUses) entity(a *schema.Account, by schema.Identifier) uint32 {
	h := maphash.String(k.seed, string(by))
	for _, part := range requestOf(a, by) {
		h = h*31 + maphash.String(k.seed, part)
	}
	return uint32(h >> 32) //nolint:gosec // a hash
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
	for i, uses := range k.uses {
		slices.SortFunc(uses, func(a, b keyUse) int {
			return cmp.Or(cmp.Compare(a.key(), b.key()), cmp.Compare(a.line, b.line))
		})
		for len(uses) > 0 {
			n := 1
			for n < len(uses) && uses[n].key() == uses[0].key() {
				n++
			}
			if other := slices.IndexFunc(uses[:n], func(u keyUse) bool { return u.entity != uses[0].entity }); other > 0 {
				keys++
				lines += int64(n)
				examples = append(examples, []uint32{uses[0].line, uses[other].line})
				slices.SortFunc(examples, func(a, b []uint32) int { return cmp.Compare(a[0], b[0]) })
				examples = examples[:min(len(examples), shown)]
			}
			uses = uses[n:]
		}
		k.uses[i] = nil
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
