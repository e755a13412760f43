package sources

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
)

// Sample is a random choice of the records of a list, for Options.Sample.
type Sample struct {
	rows  []int64 // ordinals, ascending
	total int64   // records of the list
	seed  uint64
}

// DrawSample reads the list to its end and chooses n of its records at random, or all of them if there
// are fewer. The same list and seed give the same sample, and a smaller sample is a part of a larger
// one. It takes 16 bytes of memory a record of the sample.
func (l *List) DrawSample(ctx context.Context, n int, seed uint64) (*Sample, error) {
	s := &Sample{seed: seed}
	var chosen rankedRows // those with the lowest ranks so far, the highest of them first
	for a, err := range l.Accounts(ctx) {
		if err != nil {
			return nil, err
		}
		s.total++
		switch row := (rankedRow{rankRow(a.Row, seed), a.Row}); {
		case len(chosen) < n:
			heap.Push(&chosen, row)
		case row.rank < chosen[0].rank:
			chosen[0] = row
			heap.Fix(&chosen, 0)
		}
	}
	for _, c := range chosen {
		s.rows = append(s.rows, c.row)
	}
	slices.Sort(s.rows)
	return s, nil
}

// Len is the number of records of the sample.
func (s *Sample) Len() int { return len(s.rows) }

// note says what of the list is read.
func (s *Sample) note() string {
	return fmt.Sprintf("a random sample of %d of %d lines, drawn with seed %d", len(s.rows), s.total, s.seed)
}

// contains reports whether a record belongs to the sample; nil stands for all records.
func (s *Sample) contains(row int64) bool {
	if s == nil {
		return true
	}
	_, found := slices.BinarySearch(s.rows, row)
	return found
}

// rankRow is a random number that depends on the row and the seed alone (the finaliser of SplitMix64).
func rankRow(row int64, seed uint64) uint64 {
	x := uint64(row)*0x9e3779b97f4a7c15 + seed //nolint:gosec // bits
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

type rankedRow struct {
	rank uint64
	row  int64
}

// rankedRows is a heap with the highest rank on top.
type rankedRows []rankedRow

func (r rankedRows) Len() int           { return len(r) }
func (r rankedRows) Less(i, j int) bool { return r[i].rank > r[j].rank }
func (r rankedRows) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *rankedRows) Push(x any)        { *r = append(*r, x.(rankedRow)) }
func (r *rankedRows) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}
