package pipeline

import (
	"fmt"
	"math/big"
	"sort"
)

// Basis says how a call's charge was allocated to what it bought.
type Basis string

// The bases. The vendor's documents do not say which of the first two it bills by, so the numbers
// decide: the count that equals the charge.
const (
	PerEvent Basis = "per_event" // the charge is the number of events
	// The charge is the number of (entity, type) pairs with events.
	PerType      Basis = "per_type"
	Proportional Basis = "proportional" // neither: by events, largest remainder
	WholeCall    Basis = "whole_call"   // charged without any event
	UnknownBasis Basis = "unknown"      // the server did not state the charge
)

// share is the number of events and the cost of one (entity, type) pair of an answer.
type share struct {
	item    int // index in the reply's items, then in its unmatched ones
	signal  string
	events  int64
	credits int64
}

// allocate allocates a charge to shares, so that they sum to it exactly. Without shares the charge
// belongs to the whole call.
func allocate(charge Charge, shares []share) Basis {
	var events int64
	for _, s := range shares {
		events += s.events
	}
	switch {
	case !charge.Known:
		return UnknownBasis
	case len(shares) == 0:
		return WholeCall
	case charge.Credits == events:
		for i := range shares {
			shares[i].credits = shares[i].events
		}
		return PerEvent
	case charge.Credits == int64(len(shares)):
		for i := range shares {
			shares[i].credits = 1
		}
		return PerType
	}
	unallocated := charge.Credits
	remainder := make([]int64, len(shares))
	order := make([]int, len(shares))
	total, product := big.NewInt(events), new(big.Int)
	for i := range shares {
		product.Mul(big.NewInt(charge.Credits), big.NewInt(shares[i].events))
		quotient, rem := new(big.Int).QuoRem(product, total, new(big.Int))
		shares[i].credits, remainder[i], order[i] = quotient.Int64(), rem.Int64(), i
		unallocated -= shares[i].credits
	}
	sort.SliceStable(order, func(a, b int) bool { return remainder[order[a]] > remainder[order[b]] })
	for _, i := range order[:unallocated] {
		shares[i].credits++
	}
	return Proportional
}

// discrepancy is the difference between a charge and the price of the returned events, by any
// reading of the price list; positive if more was charged. The excess is allocated to the events
// for want of anything better, and appears on accounts that may not have caused it.
//
// No price list has deliveries: what one states is its price.
func discrepancy(c Call, q *Query, shares []share) int64 {
	if q.Service() == Deliveries {
		return 0
	}
	var events int64
	for _, s := range shares {
		events += s.events
	}
	pairs := int64(len(shares))
	switch c.Charge.Credits {
	case events, pairs, q.CostOf(events), q.CostOf(pairs):
		return 0
	}
	return c.Charge.Credits - q.CostOf(events)
}

// discrepancyText describes a discrepancy in the notes of the call.
func discrepancyText(credits, events int64) string {
	where := "spread over its events by their number"
	if events == 0 {
		where = "it returned none"
	}
	direction := "more"
	if credits < 0 {
		credits, direction = -credits, "less"
	}
	return fmt.Sprintf("%s %s than its events explain; %s", countText(credits, "credit"), direction, where)
}
