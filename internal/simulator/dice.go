package simulator

import "math"

// mix64 is the finaliser of splitmix64: every bit of x affects every bit of the result.
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func mix(a, b uint64) uint64 { return mix64(a ^ mix64(b)) }

// hashText is a seeded FNV-1a with a final mixing step. Its result is the same in every process
// and on every machine, which hash/maphash does not promise.
func hashText[T string | []byte](seed uint64, s T) uint64 {
	h := seed ^ 0xcbf29ce484222325
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix64(h)
}

// unitFloat maps a draw to [0,1).
func unitFloat(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// dice is a small deterministic random stream: the same start yields the same draws.
type dice uint64

func (d *dice) next() uint64 {
	*d = dice(mix64(uint64(*d)))
	return uint64(*d)
}

func (d *dice) float() float64         { return unitFloat(d.next()) }
func (d *dice) chance(p float64) bool  { return d.float() < p }
func (d *dice) intN(n int) int         { return int(d.next() >> 33 % uint64(n)) }
func (d *dice) between(lo, hi int) int { return lo + d.intN(hi-lo+1) }

// expFloat draws a positive number with mean 1; most are small and a few are large.
func (d *dice) expFloat() float64 { return -math.Log(1 - d.float()) }

func pick[T any](d *dice, from []T) T { return from[d.intN(len(from))] }
