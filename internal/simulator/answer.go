package simulator

import (
	"cmp"
	"slices"
)

// answer is what the world knows about an order, independent of the wire format.
type answer struct {
	order    *order
	world    world
	findings []finding
	price    map[string]int64 // credits by signal type or product
	charge   int64            // sum of price
	// Start of every draw about how this answer is written.
	draw    uint64
	found   int
	tariffs map[string]tariff // price list of the account, by action

	unmatched bool // no lookup of the order matched

	session string // lookalikes: the session that returned them
	hasMore bool   // reports whether there is another page
	total   int    // visits: rows on all pages
	// Called once when the charge is booked or refused; may be nil.
	onCharge func(paid bool)
}

// finding is what is known about one lookup.
type finding struct {
	lookup *lookup
	known  bool
	entity entity
	// In the order of the requested types, oldest first until they are sorted for writing.
	events [][]event

	errorCode string // error code of an entity without a result
	// Signal keys, or names of the score's vocabulary, of the active signals.
	signalNames []string
	score       float64 // from 0 to 1
	// Website visits: how the entity visited the customer's site.
	visit *visit
}

func (s *Server) newAnswer(o *order, draw uint64) *answer {
	a := &answer{order: o, world: s.world, draw: draw, findings: make([]finding, len(o.lookups)), price: map[string]int64{}, tariffs: s.tariffs}
	for i := range o.lookups {
		a.findings[i].lookup = &o.lookups[i]
	}
	return a
}

// addCharge adds credits to the price of an answer.
func (a *answer) addCharge(product string, credits int64) {
	if credits != 0 {
		a.price[product] += credits
		a.charge += credits
	}
}

// hasMinimumCharge reports whether an answer without results costs one credit.
func (s *Server) hasMinimumCharge() bool {
	return s.switches.Billing == "min1" || s.switches.Billing == "per_type_min1"
}

// answerSignals looks up the events of every entity in an order and prices them.
func (s *Server) answerSignals(o *order, draw uint64) *answer {
	a := s.newAnswer(o, draw)
	for i := range o.lookups {
		f := &a.findings[i]
		if f.entity, f.known = s.names.find(s.world, o.object, f.lookup); f.known {
			s.fillEvents(f, o)
			a.found++
		}
	}
	a.unmatched = a.found == 0
	s.priceEvents(a)
	return a
}

// fillEvents fills in the events of an entity.
func (s *Server) fillEvents(f *finding, o *order) {
	sp := o.span
	if s.switches.WindowEdges == "exclusive" {
		sp.from, sp.to = sp.from+1, sp.to-1
	}
	h := history{world: s.world, entity: &f.entity, span: sp, filter: &o.filter}
	f.events = make([][]event, len(o.types))
	// One backing array serves all types of an entity; the full slice expressions keep a later
	// append from writing into an earlier list.
	var all []event
	for i, sig := range o.types {
		from, maxEvents := len(all), o.maxEvents
		if sig.shape == social {
			maxEvents = min(cmp.Or(maxEvents, maxSocialEvents), maxSocialEvents)
		}
		all = h.appendEvents(all, sig)
		if s.switches.Events == "most" {
			all = h.padEvents(all, from, sig, cmp.Or(maxEvents, uncappedEvents))
		}
		list := all[from:len(all):len(all)]
		if maxEvents > 0 && len(list) > maxEvents {
			if s.switches.CapKeeps == "oldest" {
				list = list[:maxEvents]
			} else {
				list = list[len(list)-maxEvents:]
			}
		}
		f.events[i] = list
	}
}

// priceEvents adds up the cost of the events: each event, or each type of an entity that has any or
// that was requested.
func (s *Server) priceEvents(a *answer) {
	each := a.tariffs[eventActions[a.order.object]].credits
	perType := s.switches.Billing == "per_type" || s.switches.Billing == "per_type_min1"
	for i := range a.findings {
		for j, list := range a.findings[i].events {
			n := int64(len(list))
			switch {
			case s.switches.Billing == "requested":
				n = 1
			case perType:
				n = min(n, 1)
			}
			a.addCharge(a.order.types[j].key, n*each)
		}
	}
	if a.charge == 0 && s.hasMinimumCharge() {
		a.addCharge(minimumCharge, 1)
	}
}

// sortEvents sorts the events of an answer, oldest first until now, into the order in which they are
// written.
func (a *answer) sortEvents(order string) {
	for i := range a.findings {
		for _, list := range a.findings[i].events {
			switch order {
			case "newest":
				slices.Reverse(list)
			case "mixed":
				slices.SortFunc(list, func(x, y event) int { return cmp.Compare(x.textSeed, y.textSeed) })
			}
		}
	}
}

// tariff is one line of the price list.
type tariff struct {
	action               string
	credits, perQuantity int64
}

var defaultPrices = []tariff{
	{"api_search", 1, 25},
	{"revealEmail", 1, 1},
	{"revealPhone", 5, 1},
	{"reveal_company", 1, 1},
	{"showSignalsContact", 1, 1},
	{"showSignalsCompany", 1, 1},
	{"lookalikeContact", 1, 1},
	{"lookalikeCompany", 1, 1},
	{"signal_score_contact_reveal", 1, 1},
	{"signal_score_company_reveal", 1, 1},
}

// eventActions names an event in the price list.
var eventActions = map[object]string{contact: "showSignalsContact", company: "showSignalsCompany"}

// priceList returns the price list of an account.
func priceList(eventPrice int64, sw *Switches) []tariff {
	list := slices.Clone(defaultPrices)
	if sw.ScorePrice == "unpriced" {
		list = slices.DeleteFunc(list, func(t tariff) bool {
			return t.action == scoreActions[contact] || t.action == scoreActions[company]
		})
	}
	for i := range list {
		if eventPrice > 0 && (list[i].action == eventActions[contact] || list[i].action == eventActions[company]) {
			list[i].credits = eventPrice
		}
	}
	return list
}
