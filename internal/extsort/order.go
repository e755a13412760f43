package extsort

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// keyWord is a row with eight bytes of its key, as a number that compares as they do.
type keyWord struct {
	word uint64
	row  int32
}

// sortByKey puts the numbers of all rows into the order of their keys; those of equal keys ascend. It compares
// eight bytes at a time: first those at the beginning of the keys, then, among the rows that are equal in them,
// the next eight, up to maxWords of them. Beyond, the keys are compared as a whole.
func sortByKey(keys *sortKeys, order []int32) {
	words := make([]keyWord, len(order))
	for i := range words {
		words[i].row = int32(i) //nolint:gosec // rows of a sorter are in memory
	}
	sortFrom(keys, words, 0)
	for i, w := range words {
		order[i] = w.row
	}
}

const maxWords = 8

// sortFrom sorts rows whose keys are equal before a position, which are in ascending order.
func sortFrom(keys *sortKeys, words []keyWord, from int) {
	if from == 8*maxWords {
		slices.SortFunc(words, func(a, b keyWord) int {
			return cmp.Or(bytes.Compare(keys.keyAt(int(a.row)), keys.keyAt(int(b.row))), cmp.Compare(a.row, b.row))
		})
		return
	}
	ended := true // all keys end at the position
	for i := range words {
		key := keys.keyAt(int(words[i].row))
		ended = ended && len(key) <= from
		words[i].word = wordAt(key, from)
	}
	if ended {
		return
	}
	slices.SortFunc(words, func(a, b keyWord) int {
		if order := cmp.Compare(a.word, b.word); order != 0 {
			return order
		}
		return cmp.Compare(a.row, b.row)
	})
	// No key begins with another one. So of two that are equal here neither ends here, or both do.
	for len(words) > 0 {
		n := 1
		for n < len(words) && words[n].word == words[0].word {
			n++
		}
		if n > 1 {
			sortFrom(keys, words[:n], from+8)
		}
		words = words[n:]
	}
}

// wordAt returns the eight bytes of a key from a position on; there are zeros after its end.
func wordAt(key []byte, from int) uint64 {
	rest := key[min(from, len(key)):]
	if len(rest) >= 8 {
		return binary.BigEndian.Uint64(rest)
	}
	var padded [8]byte
	copy(padded[:], rest)
	return binary.BigEndian.Uint64(padded[:])
}
