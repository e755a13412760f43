// Package forecast estimates the credits that a plan will cost, before anything is
// bought, from what earlier calls returned and cost. It knows the plan, not the ledger:
// its caller passes the history.
package forecast

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// History is what earlier calls with one query returned and cost.
type History struct {
	Query    pipeline.Query
	Calls    int64
	Entities int64              // requested, known to the API or not
	BySignal map[string]Moments // what was returned, by signal type
	All      Moments            // what was returned of all types together
	Credits  int64
	PerEvent int64         // calls that cost the price of their events, exactly
	PerPair  int64         // calls that cost the price of their entity-type pairs with an event
	Took     time.Duration // sum over the calls, from request to answer
}

// Moments counts events over entities.
type Moments struct {
	Hits       int64 `json:"hits"` // entities with at least one event
	Events     int64 `json:"events"`
	SumSquares int64 `json:"square"` // sum over entities of events squared
}

// MomentsOf counts one entity's events.
func MomentsOf(events int64) Moments {
	return Moments{Hits: min(events, 1), Events: events, SumSquares: events * events}
}

// Add adds two tallies of different entities.
func (t Moments) Add(o Moments) Moments {
	return Moments{t.Hits + o.Hits, t.Events + o.Events, t.SumSquares + o.SumSquares}
}

// variance of the events of one of n entities.
func (t Moments) variance(n float64) float64 {
	mean := float64(t.Events) / n
	return max(0, float64(t.SumSquares)/n-mean*mean)
}

// Estimate is the expected cost of a plan, in credits. Only its computation uses
// floating-point credits, and nothing is billed by it. Ceiling is exact.
type Estimate struct {
	P5               int64            `json:"p5"` // one time in twenty it costs less
	P50              int64            `json:"p50"`
	P95              int64            `json:"p95"`     // one time in twenty it costs more
	Ceiling          int64            `json:"ceiling"` // it cannot cost more, whatever is answered
	ObservedEntities int64            `json:"observed_entities"`
	WithoutHistory   []string         `json:"signals_without_experience,omitempty"`
	BySignal         map[string]int64 `json:"expected_by_signal_type"`
}

// The prior for a signal type that this lake has never requested: the number of events
// per entity in 90 days, and the factor by which the true number lies above or below it
// at most, in nine cases of ten. The vendor publishes no numbers; its price examples and
// the reports of clients lie within these bounds.
const (
	priorEvents = 0.2
	priorFactor = 10.0
	priorDays   = 90
)

// The relative spread of the mean between lists of the same kind: lists are not random
// samples. Extrapolating to another window or cap adds to it.
const (
	listSpread          = 0.10
	extrapolationSpread = 0.30
)

// minSample is the number of entities that suffice for an estimate: queries less similar
// than those that yield them are ignored.
const minSample = 200

// New forecasts the credits of a plan from what earlier calls returned.
//
// The number of events of an entity varies in two ways: by type, and because
// some entities have more of everything (or are unknown to the API and have
// nothing). Both are measured. The variance of a sum over the plan's entities also
// includes the variance of the measured means and the variance between lists. Quantiles
// are those of the gamma distribution with the same mean and variance, by the
// cube root approximation of Wilson and Hilferty. Each type without history adds the
// prior; these errors are assumed to be fully correlated.
func New(p *pipeline.Plan, history []History) Estimate {
	f := forecaster{history: history, common: commonVariance(history), rates: matchRates(history), expected: map[string]float64{}}
	for i := range p.Queries {
		f.addQuery(&p.Queries[i])
	}
	return f.estimate(p.Ceiling())
}

// forecaster adds up the queries of a plan.
type forecaster struct {
	history []History
	common  float64 // variance that all types of an entity share
	rates   map[schema.Object]matchRate

	mean           float64
	sampling       float64            // variance of a sum over the plan's entities
	parameter      float64            // standard deviation of the measured means
	spread         float64            // standard deviation between lists
	prior          [3]float64         // quantiles of what has no history
	expected       map[string]float64 // by signal type
	observed       int64              // entities
	withoutHistory []string
}

func (f *forecaster) addQuery(a *pipeline.PlannedQuery) {
	rate := f.rates[a.Query.Object]
	switch {
	case a.Query.Service() == pipeline.Search:
		f.addPrior(schema.ProductMatch, searchCost(a, rate))
		f.observed = max(f.observed, rate.entities)
	case a.Query.Service() == pipeline.Scores && !hasScores(f.history):
		f.addPrior(schema.ProductScore, scoreCost(a, rate.share))
	default:
		f.addSignals(a, rate.share)
	}
}

func (f *forecaster) addPrior(product string, quantiles [3]float64) {
	for i, credits := range quantiles {
		f.prior[i] += credits
	}
	f.expected[product] += quantiles[1]
}

// addSignals adds a query that is paid by the event; share is the share of identifiers that the API
// knows.
func (f *forecaster) addSignals(a *pipeline.PlannedQuery, share float64) {
	history, byID := relevant(f.history, a.Query)
	n, tariff := float64(a.Entities), tariffOf(history, a.Query)
	switch {
	case a.Query.Service() != pipeline.Signals:
	case byID: // the history is of entities that the API knows
		n -= float64(a.Unresolved) * (1 - share)
	case a.Query.APIVersion == pipeline.V3: // the history is of lines, some of which the API did not know
		n += float64(a.Entities-a.Unresolved) * (1/max(share, 0.1) - 1)
	}
	if tariff.perAsked > 0 {
		f.addAsked(a, n*tariff.perAsked)
		return
	}
	// Of one entity: mean, variance type by type, mean over observed entities.
	var sum, ownVariance, thin float64
	for _, signal := range a.Query.ResultTypes() {
		o := sample(history, a.Query, signal)
		// Some entities are known to have reached a lower cap, or to have nothing.
		r := a.PriorCoverage[signal]
		openShare := 1 - float64(r.Capped+r.Empty)/max(n, 1)
		if r.Capped > 0 {
			credits, variance := tariff.raisedCapCost(o, r, a.Query.MaxResults())
			f.expected[signal] += credits
			f.mean += credits
			f.sampling += variance
			f.spread += credits * extrapolationSpread
		}
		if o.entities == 0 {
			f.addUnobserved(signal, a.Query, n*openShare)
			continue
		}
		f.observed = max(f.observed, int64(o.entities))
		credits, variance := tariff.entityCost(o)
		credits, variance = credits*openShare, variance*openShare
		f.expected[signal] += n * credits
		sum += credits
		ownVariance += max(0, variance-f.common*credits*credits) + openShare*tariff.perEvent*tariff.perEvent/o.entities
		thin += (credits + openShare*tariff.perEvent/o.entities) / o.entities
		f.spread += n * credits * (listSpread + extrapolationSpread*o.distance)
	}
	entityVariance := ownVariance + f.common*sum*sum
	f.mean += n * sum
	f.sampling += n * entityVariance
	if thin > 0 {
		f.parameter += n * math.Sqrt(entityVariance*thin/max(sum, thin))
	}
}

// addAsked adds a query of which each signal type has a price, whatever is returned. Only the share of
// entities that the API knows is uncertain.
func (f *forecaster) addAsked(a *pipeline.PlannedQuery, each float64) {
	for _, signal := range a.Query.ResultTypes() {
		f.addPrior(signal, [3]float64{0.9 * each, each, 1.1 * each})
	}
	for i := range f.history {
		if h := &f.history[i]; h.Query.Object == a.Query.Object && h.Query.Service() == a.Query.Service() {
			f.observed = max(f.observed, h.Entities)
		}
	}
}

// addUnobserved adds a signal type without history, for a number of entities.
func (f *forecaster) addUnobserved(signal string, q *pipeline.Query, entities float64) {
	price, days := float64(max(q.Price, 1)), float64(q.WindowDays())
	for i, factor := range []float64{1 / priorFactor, 1, priorFactor} {
		events := min(priorEvents*factor*days/priorDays, float64(q.MaxResults()))
		f.prior[i] += entities * events * price
	}
	f.expected[signal] += entities * priorEvents * days / priorDays * price
	if !slices.Contains(f.withoutHistory, signal) {
		f.withoutHistory = append(f.withoutHistory, signal)
	}
}

// estimate is the distribution of the sums; ceiling is what the plan cannot exceed.
func (f *forecaster) estimate(ceiling int64) Estimate {
	e := Estimate{Ceiling: ceiling, ObservedEntities: f.observed, WithoutHistory: f.withoutHistory, BySignal: map[string]int64{}}
	variance := f.sampling + f.parameter*f.parameter + f.spread*f.spread
	e.P5 = int64(math.Floor(gammaQuantile(f.mean, variance, -z95) + f.prior[0]))
	e.P50 = int64(math.Round(gammaQuantile(f.mean, variance, 0) + f.prior[1]))
	e.P95 = int64(math.Ceil(gammaQuantile(f.mean, variance, z95) + f.prior[2]))
	e.P95 = min(e.P95, e.Ceiling)
	e.P50 = min(e.P50, e.P95)
	e.P5 = min(e.P5, e.P50)
	for signal, credits := range f.expected {
		e.BySignal[signal] = int64(math.Round(credits))
	}
	return e
}

// z95 is the normal distribution's 95 % quantile.
const z95 = 1.6449

// gammaQuantile is the quantile of a gamma distribution that corresponds to z of a
// normal one. For very skewed distributions, upper quantiles are capped where the
// approximation reaches its maximum: beyond it falls to 0, and a plan must not claim
// that an uncertain cost is zero.
func gammaQuantile(mean, variance, z float64) float64 {
	if mean <= 0 {
		return max(0, z*math.Sqrt(variance))
	}
	skew := math.Sqrt(variance) / (3 * mean)
	if z > 0 {
		skew = min(skew, z/2)
	}
	root := max(0, 1-skew*skew+z*skew)
	return mean * root * root * root
}

// observation is what is known about one signal type of a query: the events of one
// entity.
type observation struct {
	entities       float64
	mean, variance float64
	hits           float64 // share of entities with at least one
	distance       float64 // of the observed queries from this one
}

// sample takes the queries closest to q, until they cover enough entities, and derives
// from them an observation for q.
func sample(history []History, q *pipeline.Query, signal string) (o observation) {
	type near struct {
		*History
		distance float64
	}
	var nearest []near
	for i := range history {
		e := &history[i]
		if e.Entities == 0 || e.Query.Object != q.Object || !slices.Contains(e.Query.ResultTypes(), signal) || !e.Query.SameFilters(q, signal) {
			continue
		}
		days := math.Abs(math.Log(float64(q.WindowDays()) / float64(e.Query.WindowDays())))
		limit := math.Abs(math.Log(float64(q.MaxResults()) / float64(e.Query.MaxResults())))
		nearest = append(nearest, near{e, days + limit/2})
	}
	slices.SortStableFunc(nearest, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	for i, f := range nearest {
		if o.entities >= minSample && f.distance > nearest[i-1].distance {
			break
		}
		n := float64(f.Entities)
		stats := f.extrapolate(q, signal)
		o.mean += n * stats.mean
		o.variance += n * stats.variance
		o.hits += n * stats.hits
		o.distance += n * f.distance
		o.entities += n
	}
	if o.entities > 0 {
		o.mean, o.variance, o.hits, o.distance = o.mean/o.entities, o.variance/o.entities, o.hits/o.entities, o.distance/o.entities
	}
	return o
}

// extrapolate converts an observation to another window and cap: the number of events
// grows with the days, and that of an entity is geometrically distributed, so that a
// lower cap cuts off a known share.
func (e *History) extrapolate(q *pipeline.Query, signal string) (o observation) {
	n, t := float64(e.Entities), e.BySignal[signal]
	if t.Events == 0 {
		return o
	}
	observedMean := float64(t.Events) / n
	o.mean, o.hits, o.variance = observedMean, float64(t.Hits)/n, t.variance(n)
	days := float64(q.WindowDays()) / float64(e.Query.WindowDays())
	if q.MaxResults() > e.Query.MaxResults() || days < 1 {
		o.mean = o.hits * uncappedMean(o.mean/o.hits, o.hits, e.Query.MaxResults())
	}
	if days != 1 {
		o.mean *= days
		o.hits = 1 - math.Pow(1-min(o.hits, 1), days)
	}
	if q.MaxResults() < e.Query.MaxResults() || days < 1 {
		each := max(1, o.mean/o.hits)
		o.mean = o.hits * each * (1 - math.Pow(1-1/each, float64(q.MaxResults())))
	}
	o.mean = min(o.mean, o.hits*float64(q.MaxResults()))
	o.variance *= math.Pow(o.mean/observedMean, 1.5) // between that of a count and that of a multiple
	return o
}

// uncappedMean is the mean number of events of an entity that has any, computed from the
// mean that a cap let through. A cap of one only shows how many entities have any: then
// events are assumed to be independent of each other.
func uncappedMean(each, hits float64, limit int) float64 {
	if limit == 1 {
		return -math.Log(1-min(hits, 0.95)) / hits
	}
	low, high := 0.0, 1.0 // the share of entities that have another one
	for range 40 {
		more := (low + high) / 2
		if (1-math.Pow(more, float64(limit)))/(1-more) < each {
			low = more
		} else {
			high = more
		}
	}
	return min(1/(1-low), max(20, 2*float64(limit))) // bounded: where all entities reach the cap, the mean is unknown
}

// commonVariance measures how much some entities have more of everything: the
// variance, as a share of the squared mean, that all types of an entity share.
func commonVariance(history []History) float64 {
	var shared, possible float64
	for _, e := range history {
		n := float64(e.Entities)
		if n < 2 {
			continue
		}
		all := float64(e.All.Events) / n
		excess, products := e.All.variance(n), all*all
		for _, t := range e.BySignal {
			mean := float64(t.Events) / n
			excess -= t.variance(n)
			products -= mean * mean
		}
		shared += n * excess
		possible += n * products
	}
	if possible <= 0 || shared <= 0 {
		return 0
	}
	return shared / possible
}

// matchRate is how many of the identifiers that were searched were found.
type matchRate struct {
	share    float64
	entities int64 // searched; 0: none yet, and the share is a guess
}

// defaultMatchRate is the assumed share of identifiers that a search finds, while there
// is no history of searches.
const defaultMatchRate = 0.85

// matchRates derives the match rates from earlier searches, by object.
func matchRates(history []History) map[schema.Object]matchRate {
	m := map[schema.Object]matchRate{schema.Contact: {share: defaultMatchRate}, schema.Company: {share: defaultMatchRate}}
	hits := map[schema.Object]int64{}
	for _, e := range history {
		if e.Query.Service() != pipeline.Search || e.Entities == 0 {
			continue
		}
		f := m[e.Query.Object]
		f.entities += e.Entities
		hits[e.Query.Object] += e.All.Hits
		f.share = float64(hits[e.Query.Object]) / float64(f.entities)
		m[e.Query.Object] = f
	}
	return m
}

// relevant selects the history from which the cost of a query is forecast: that of its
// own API version, if there is any. byID says that those signals were requested by ids
// that a search had found, so for entities that the API knew.
func relevant(history []History, q *pipeline.Query) (matching []History, byID bool) {
	for _, e := range history {
		if e.Query.Service() == q.Service() && e.Query.APIVersion == q.APIVersion && e.Query.Object == q.Object {
			matching = append(matching, e)
		}
	}
	if len(matching) == 0 {
		matching = history
	}
	return matching, slices.ContainsFunc(matching, func(e History) bool {
		return e.Query.Service() == pipeline.Signals && e.Query.APIVersion == pipeline.V3 && e.Query.Object == q.Object
	})
}

// hasScores reports whether scores were ever bought.
func hasScores(history []History) bool {
	return slices.ContainsFunc(history, func(e History) bool { return e.Query.Service() == pipeline.Scores && e.Entities > 0 })
}

// scoreCost is the assumed cost of scores while there is no history of them: one score
// for most entities that the API knows.
func scoreCost(a *pipeline.PlannedQuery, share float64) (credits [3]float64) {
	for i, scored := range []float64{0.7, 0.93, 1} {
		credits[i] = float64(a.Query.CostOf(int64(math.Ceil(float64(a.Entities) * min(1, share*scored)))))
	}
	credits[2] = float64(a.Query.CostOf(a.Entities))
	return credits
}

// searchCost is the cost of searches: the 5th, 50th and 95th percentile. Only the number
// of started blocks counts, so the uncertainty is small.
func searchCost(a *pipeline.PlannedQuery, f matchRate) (credits [3]float64) {
	each := float64(a.Entities) / float64(max(a.Calls, 1))
	for i, off := range []float64{-0.1, 0, 0.1} {
		results := int64(math.Ceil(each * min(1, max(0, f.share+off))))
		credits[i] = float64(a.Calls) * float64(a.Query.CostOf(results))
	}
	return credits
}

// tariff is the price of events, derived from earlier charges.
type tariff struct {
	perEvent float64
	perPair  float64 // if not 0, the price of all events of one entity and type
	perAsked float64 // if not 0, the mean price of a type that an entity is asked for, with events or without
}

// emptyBlock is the number of entities for which an answer without results costs a credit at most, as
// the vendor's description has it, if that is all that it charges for nothing.
const emptyBlock = 25

// ChargesEmptyTypes reports whether an account was charged for types or entities without events: most
// calls cost something else than the price of their events, and all of them together more than that and
// a small sum for each call that returns nothing. One call with a strange charge proves nothing.
func ChargesEmptyTypes(history []History) bool {
	var calls, consistent, excess, forCalls int64
	for i := range history {
		h := &history[i]
		if h.Query.Service() != pipeline.Signals {
			continue
		}
		calls += h.Calls
		consistent += max(h.PerEvent, h.PerPair)
		excess += max(0, h.Credits-h.All.Events*max(h.Query.Price, 1))
		forCalls += h.Calls + h.Entities/emptyBlock
	}
	return 2*consistent < calls && excess > forCalls
}

// tariffOf derives the tariff of one service and object: a contact's events have a price
// of their own.
func tariffOf(history []History, q *pipeline.Query) tariff {
	price := max(q.Price, 1)
	var calls, perEvent, perPair, events, credits, asked int64
	own := make([]History, 0, len(history))
	for _, e := range history {
		if e.Query.Object != q.Object || e.Query.Service() != q.Service() {
			continue
		}
		calls += e.Calls
		perEvent += e.PerEvent
		perPair += e.PerPair
		events += e.All.Events
		credits += e.Credits
		asked += e.Entities * int64(len(e.Query.ResultTypes()))
		own = append(own, e)
	}
	t := tariff{perEvent: float64(price)}
	switch {
	case asked > 0 && ChargesEmptyTypes(own):
		t.perAsked = float64(credits) / float64(asked)
	case events == 0 || perEvent == calls:
	case perPair == calls:
		t.perPair = float64(price)
	default:
		t.perEvent = float64(credits) / float64(events)
	}
	return t
}

// entityCost returns the mean and the variance of the cost of one entity.
func (t tariff) entityCost(o observation) (credits, variance float64) {
	if t.perPair > 0 {
		return o.hits * t.perPair, o.hits * (1 - o.hits) * t.perPair * t.perPair
	}
	return o.mean * t.perEvent, o.variance * t.perEvent * t.perEvent
}

// raisedCapCost returns the mean and the variance of the cost of all entities that had
// reached a lower cap: their events come again, and more, as if another one followed
// each event with the same probability.
func (t tariff) raisedCapCost(o observation, r pipeline.PriorCoverage, limit int) (credits, variance float64) {
	n := float64(r.Capped)
	if t.perPair > 0 {
		return n * t.perPair, 0
	}
	each := 2.0 // a guess, without history
	if o.hits > 0 {
		each = max(1, uncappedMean(o.mean/o.hits, o.hits, limit))
	}
	another, headroom := 1-1/each, float64(limit)-float64(r.CappedEvents)/n
	additional := another * each * (1 - math.Pow(another, headroom))
	return (float64(r.CappedEvents) + n*additional) * t.perEvent, n * additional * each * t.perEvent * t.perEvent
}
