package pipeline

import (
	"math"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func shares(events ...int64) []share {
	out := make([]share, len(events))
	for i, n := range events {
		out[i] = share{item: i, events: n}
	}
	return out
}

func knownCharge(n int64) Charge { return Charge{Known: true, Credits: n} }

// TestDiscrepancy: a charge that the events do not explain, by either reading of the prices or at
// any price.
func TestDiscrepancy(t *testing.T) {
	q := &Query{Ask: SignalsAsk{Types: []string{"a", "b"}, MaxResults: 10}}
	shares := []share{{item: 0, signal: "a", events: 3}, {item: 1, signal: "a", events: 1}, {item: 1, signal: "b", events: 1}}
	for _, tt := range []struct {
		price, credits int64
		shares         []share
		want           int64
	}{
		{1, 5, shares, 0},  // by event
		{1, 3, shares, 0},  // by pair
		{1, 7, shares, 2},  // something was charged but not returned
		{1, 4, shares, -1}, // or returned for free
		{2, 10, shares, 0}, // by event
		{2, 6, shares, 0},  // by pair
		{2, 5, shares, 0},  // the price of one reading with the count of the other
		{2, 12, shares, 2},
		{1, 4, nil, 4},
		{1, 0, nil, 0},
		{1, 0, shares, -5},
	} {
		priced := *q
		priced.Price = tt.price
		c := Call{Entities: 2, Charge: Charge{Known: true, Credits: tt.credits}}
		if got := discrepancy(c, &priced, tt.shares); got != tt.want {
			t.Errorf("discrepancy(%d credits at %d for %d pairs) = %d, want %d", tt.credits, tt.price, len(tt.shares), got, tt.want)
		}
	}
}

func TestAllocate(t *testing.T) {
	const huge = math.MaxInt64
	for _, c := range []struct {
		name   string
		charge Charge
		events []int64
		basis  Basis
		want   []int64
	}{
		{"per event", knownCharge(6), []int64{1, 2, 3}, PerEvent, []int64{1, 2, 3}},
		{"per type", knownCharge(3), []int64{1, 2, 3}, PerType, []int64{1, 1, 1}},
		{"both counts are equal", knownCharge(2), []int64{1, 1}, PerEvent, []int64{1, 1}},
		{"twice the events", knownCharge(12), []int64{1, 2, 3}, Proportional, []int64{2, 4, 6}},
		{"largest remainder", knownCharge(7), []int64{1, 2, 3}, Proportional, []int64{1, 2, 4}},
		{"ties go to the first", knownCharge(1), []int64{1, 1, 1}, Proportional, []int64{1, 0, 0}},
		{"free", knownCharge(0), []int64{1, 2}, Proportional, []int64{0, 0}},
		{"no events", knownCharge(5), nil, WholeCall, nil},
		{"no events and no charge", knownCharge(0), nil, WholeCall, nil},
		{"unknown", Charge{Text: "null", Credits: 4}, []int64{4}, UnknownBasis, []int64{0}},
		{"unknown, no events", Charge{}, nil, UnknownBasis, nil},
		{"beyond a float", knownCharge(1<<53 + 1), []int64{1, 1}, Proportional, []int64{1<<52 + 1, 1 << 52}},
		{"beyond a product", knownCharge(huge), []int64{1 << 60, 1 << 60}, Proportional, []int64{huge/2 + 1, huge / 2}},
	} {
		got := shares(c.events...)
		basis := allocate(c.charge, got)
		var credits []int64
		for _, s := range got {
			credits = append(credits, s.credits)
		}
		if diff := cmp.Diff(c.want, credits); diff != "" || basis != c.basis {
			t.Errorf("%s: allocate(%v, %d) = %d, %s, want %d, %s", c.name, c.charge, c.events, credits, basis, c.want, c.basis)
		}
	}
}

func TestAllocateSumsExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(1, 9), rapid.Int64Range(1, 1<<50)), 1, 60).Draw(t, "events")
		var total int64
		for _, n := range events {
			total += n
		}
		charge := rapid.OneOf(
			rapid.Just(total), rapid.Just(int64(len(events))), rapid.Int64Range(0, 300), rapid.Int64Range(0, math.MaxInt64),
		).Draw(t, "charge")

		got := shares(events...)
		basis := allocate(knownCharge(charge), got)

		var sum int64
		for i, s := range got {
			sum += s.credits
			if s.events != events[i] || s.item != i {
				t.Fatalf("allocate changed share %d to %+v", i, s)
			}
		}
		if sum != charge {
			t.Fatalf("allocate(%d, %d): shares sum to %d, want the charge", charge, events, sum)
		}

		want := Proportional
		switch charge {
		case total:
			want = PerEvent
		case int64(len(events)):
			want = PerType
		}
		if basis != want {
			t.Fatalf("allocate(%d, %d) = %s, want %s", charge, events, basis, want)
		}
		if basis == Proportional {
			for i, s := range got {
				exact := new(big.Int).Mul(big.NewInt(charge), big.NewInt(s.events))
				floor := exact.Quo(exact, big.NewInt(total)).Int64()
				if s.credits != floor && s.credits != floor+1 {
					t.Fatalf("allocate(%d, %d): share %d = %d, want %d or one more", charge, events, i, s.credits, floor)
				}
				for j, other := range got[:i] {
					if other.events == s.events && other.credits < s.credits {
						t.Fatalf("allocate(%d, %d): equal shares %d and %d get %d and %d, want the first to get more", charge, events, j, i, other.credits, s.credits)
					}
				}
			}
		}

		second := shares(events...)
		allocate(knownCharge(charge), second)
		if diff := cmp.Diff(got, second, cmp.AllowUnexported(share{})); diff != "" {
			t.Fatalf("allocate(%d, %d) twice (-first +second):\n%s", charge, events, diff)
		}
	})
}
