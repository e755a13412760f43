package pipeline

import (
	"fmt"

	"github.com/siglake/siglake/internal/columns"
)

// Credits is what something cost: an amount between Min and Max, both included. It
// is known when they are equal. The zero value is exactly nothing.
type Credits struct{ Min, Max int64 }

// MaxCredits bounds the charge and the ceiling of one call: no account holds more. Sums over nine
// million calls cannot overflow.
const MaxCredits = 1_000_000_000_000

// StatedCharge is a charge that an answer states as a whole number; text is the statement. More
// than MaxCredits is a statement that was not understood.
func StatedCharge(credits int64, text string) Charge {
	if credits < 0 || credits > MaxCredits {
		return Charge{Text: text}
	}
	return Charge{Known: true, Credits: credits}
}

// Exactly is a known amount.
func Exactly(n int64) Credits { return Credits{n, n} }

// IsKnown reports whether the amount is known.
func (c Credits) IsKnown() bool { return c.Min == c.Max }

// Add returns the sum of two amounts.
func (c Credits) Add(o Credits) Credits { return Credits{c.Min + o.Min, c.Max + o.Max} }

// String is the amount for people: "5 credits" or "0 to 5 credits".
func (c Credits) String() string {
	if c.IsKnown() {
		return countText(c.Min, "credit")
	}
	return fmt.Sprintf("%d to %d credits", c.Min, c.Max)
}

// countText is a number with its noun.
func countText(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// CostOf is what a call cost, by its outcome, by the charge that its answer states,
// and by its ceiling in credits:
//   - nothing when it was not charged;
//   - the stated charge when it was charged;
//   - at most the ceiling when the statement was not understood;
//   - from what a refusal states, if it states anything, to the ceiling when the
//     call is in doubt.
func CostOf(o Outcome, stated Charge, ceiling int64) Credits {
	switch {
	case o == NotCharged:
		return Credits{}
	case o == Charged && stated.Known:
		return Exactly(stated.Credits)
	case o == InDoubt && stated.Known:
		return Credits{stated.Credits, max(ceiling, stated.Credits)}
	}
	return Credits{0, ceiling}
}

// Cost is what the call cost, its [Call.Decision] included: a call that was proven
// not to be charged cost nothing.
func (c *Call) Cost() Credits {
	if c.Decision == DecisionNotCharged {
		return Credits{}
	}
	return CostOf(c.Outcome, c.Charge, c.Ceiling)
}

// Cost is the whole bill: what the server stated, and at most the ceilings of calls
// with an unknown charge.
func (t *CreditTotals) Cost() Credits {
	return Credits{t.Charged, t.Charged + t.UnknownCeiling + t.InDoubtCeiling}
}

// creditsValue is a cell of a credits column: null while the amount is not known.
func creditsValue(c Credits) columns.Value {
	if !c.IsKnown() {
		return columns.Value{}
	}
	return columns.Int(c.Min)
}
