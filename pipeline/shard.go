package pipeline

import (
	"encoding/binary"
	"fmt"

	"github.com/siglake/siglake/schema"
)

// MaxShards is how many parts a list can be divided into.
const MaxShards = 1000

// Shard is a part of a list that is divided by entity: Index counts from 0, as schedulers count the tasks of an
// array. The zero value is the list as a whole.
//
// What belongs to a shard was bought into its lake, and into no other one. So a line's shard depends on its
// identity alone, which is what makes two lines one purchase: not on its place, and on no other line. It never
// changes between versions, for a lake would buy what moves into it.
type Shard struct{ Index, Count int }

// IsWhole reports whether the list is not divided.
func (s Shard) IsWhole() bool { return s.Count == 0 }

func (s Shard) String() string {
	if s.IsWhole() {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Count)
}

// Contains reports whether a line belongs to the shard.
func (s Shard) Contains(a *schema.Account) bool {
	return s.Count <= 1 || shardOf(a, s.Count) == s.Index
}

// shardOf is the index of the shard that a line belongs to. A line that cannot be requested goes by its key and
// by what is wrong with it, so that one shard reports it.
func shardOf(a *schema.Account, count int) int {
	id := IdentityOf(a)
	if a.Identifier() == "" {
		text := a.Key
		if a.Reject != nil {
			text += " " + a.Reject.Value
		}
		id = newIdentity(a.Object, "", text)
	}
	return int(binary.BigEndian.Uint64(id[:8]) % uint64(count)) //nolint:gosec // neither is negative, and count is small
}
