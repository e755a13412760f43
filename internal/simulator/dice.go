package simulator

import "math"

// scramble is the finaliser of splitmix64: every bit of x affects every bit of the result.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func blend(a, b uint64) uint64 { return scramble(a ^ scramble(b)) }

// hashText is a seeded FNV-1a with a final mixing step. Its result is the same in every process
// and on every machine, which hash/maphash does not promise.
func hashText[T string | []byte](seed uint64, s T) uint64 {
	h := seed ^ 0xcbf29ce484222325
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return scramble(h)
}

// fraction maps a draw to [0,1).
func fraction(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// dice is a small deterministic random stream: the same start yields the same draws.
type dice uint64

func (d *dice) next() uint64 {
	*d = dice(scramble(uint64(*d)))
	return uint64(*d)
}

func (d *dice) float() float64         { return fraction(d.next()) }
func (d *dice) under(p float64) bool   { return d.float() < p }
func (d *dice) upto(n int) int         { return int(d.next() >> 33 % uint64(n)) }
func (d *dice) between(lo, hi int) int { return lo + d.upto(hi-lo+1) }

// skewed draws a positive number with mean 1; most are small and a few are large.
func (d *dice) skewed() float64 { return -math.Log(1 - d.float()) }

func pick[T any](d *dice, from []T) T { return from[d.upto(len(from))] }
