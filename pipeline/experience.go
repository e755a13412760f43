package pipeline

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/siglake/siglake/schema"
)

// Experience is what earlier calls with one question returned and cost.
type Experience struct {
	Query    Query
	Calls    int64
	Entities int64            // asked about, known to the API or not
	BySignal map[string]Tally // what came back, by signal type
	All      Tally            // what came back of all types together
	Credits  int64
	PerEvent int64         // calls that cost the price of their events, exactly
	PerPair  int64         // calls that cost the price of their entity-type pairs with an event
	Took     time.Duration // sum over the calls, from request to answer
}

// Tally counts events over entities.
type Tally struct {
	Hits   int64 `json:"hits"` // entities with at least one event
	Events int64 `json:"events"`
	Square int64 `json:"square"` // sum over entities of events squared
}

// TallyOf counts one entity's events.
func TallyOf(events int64) Tally {
	return Tally{Hits: min(events, 1), Events: events, Square: events * events}
}

// Plus adds two tallies of different entities.
func (t Tally) Plus(o Tally) Tally {
	return Tally{t.Hits + o.Hits, t.Events + o.Events, t.Square + o.Square}
}

// variance of the events of one of n entities.
func (t Tally) variance(n float64) float64 {
	mean := float64(t.Events) / n
	return max(0, float64(t.Square)/n-mean*mean)
}

// Estimate is what a plan is expected to cost, in credits. It is a forecast, and
// the one place where credits are floating-point numbers meanwhile; nothing is
// booked by it. Ceiling is exact.
type Estimate struct {
	P5       int64            `json:"p5"` // one time in twenty it costs less
	P50      int64            `json:"p50"`
	P95      int64            `json:"p95"`     // one time in twenty it costs more
	Ceiling  int64            `json:"ceiling"` // it cannot cost more, whatever is answered
	Observed int64            `json:"observed_entities"`
	Unseen   []string         `json:"signals_without_experience,omitempty"`
	BySignal map[string]int64 `json:"expected_by_signal_type"`
}

// What is assumed of a signal type that this lake has never asked for: so many
// events per entity in 90 days, and in nine cases of ten between a tenth and ten
// times that. Nothing is published about it; the vendor's price examples and
// what clients report lie within.
const (
	priorEvents = 0.2
	priorFactor = 10.0
	priorDays   = 90
)

// How far the mean of one list lies from that of another of the same kind, as a
// share: lists are no random samples. Extrapolating to another window or cap
// adds to it.
const (
	listSpread    = 0.10
	stretchSpread = 0.30
)

// enough entities are those of the closest questions; more distant ones are not
// looked at then.
const enough = 200

// Estimate forecasts the credits of a plan from what calls of the past returned.
//
// The number of events of an entity varies in two ways: by type, and because
// some entities have more of everything (or are unknown to the API and have
// nothing). Both are measured. To the variance of a sum over the plan's entities
// come that of the measured means themselves, and that between lists. Quantiles
// are those of the gamma distribution with the same mean and variance, by the
// cube root approximation of Wilson and Hilferty. Types without experience add a
// stated prior, taken to err in the same direction.
func (p *Plan) Estimate(past []Experience) Estimate {
	e := Estimate{Ceiling: p.Ceiling(), BySignal: map[string]int64{}}
	common := commonVariance(past)
	var mean, sampling, parameter, spread float64
	var prior [3]float64 // quantiles of the types without experience
	expected := map[string]float64{}
	hits := foundShare(past)
	for _, a := range p.Asks {
		if a.Query.Service == Search {
			for i, credits := range a.searching(hits[a.Query.Object]) {
				prior[i] += credits
			}
			expected[schema.ProductMatch] += a.searching(hits[a.Query.Object])[1]
			e.Observed = max(e.Observed, hits[a.Query.Object].entities)
			continue
		}
		if share := hits[a.Query.Object].share; a.Query.Service == Scores && !scored(past) {
			for i, credits := range a.scoring(share) {
				prior[i] += credits
			}
			expected[schema.ProductScore] += a.scoring(share)[1]
			continue
		}
		price := max(a.Query.Price, 1)
		past, known := likely(past, a.Query)
		n, tariff := float64(a.Entities), tariffOf(past, a.Query)
		switch share := hits[a.Query.Object].share; {
		case a.Query.Service != Signals:
		case known: // what is known is of entities that the API knows
			n -= float64(a.Unknown) * (1 - share)
		case a.Query.Dialect == V3: // what is known is of lines, some of which the API did not know
			n += float64(a.Entities-a.Unknown) * (1/max(share, 0.1) - 1)
		}
		var sum, own, thin float64 // of one entity: mean, variance type by type, mean over observed entities
		for _, signal := range a.Query.Signals {
			o := observe(past, a.Query, signal)
			// Of some entities more is known than of any.
			r := a.reached[signal]
			open := 1 - float64(r.Full+r.Empty)/max(n, 1)
			if r.Full > 0 {
				credits, variance := tariff.more(o, r, a.Query.MaxResults)
				expected[signal] += credits
				mean += credits
				sampling += variance
				spread += credits * stretchSpread
			}
			if o.entities == 0 {
				for i, factor := range []float64{1 / priorFactor, 1, priorFactor} {
					events := min(priorEvents*factor*float64(a.Query.Days())/priorDays, float64(a.Query.MaxResults))
					prior[i] += n * open * events * float64(price)
				}
				expected[signal] += n * open * priorEvents * float64(a.Query.Days()) / priorDays * float64(price)
				if !slices.Contains(e.Unseen, signal) {
					e.Unseen = append(e.Unseen, signal)
				}
				continue
			}
			e.Observed = max(e.Observed, int64(o.entities))
			credits, variance := tariff.of(o)
			credits, variance = credits*open, variance*open
			expected[signal] += n * credits
			sum += credits
			own += max(0, variance-common*credits*credits) + open*tariff.perEvent*tariff.perEvent/o.entities
			thin += (credits + open*tariff.perEvent/o.entities) / o.entities
			spread += n * credits * (listSpread + stretchSpread*o.stretch)
		}
		one := own + common*sum*sum
		mean += n * sum
		sampling += n * one
		if thin > 0 {
			parameter += n * math.Sqrt(one*thin/max(sum, thin))
		}
	}
	variance := sampling + parameter*parameter + spread*spread
	e.P5 = int64(math.Floor(gammaQuantile(mean, variance, -z95) + prior[0]))
	e.P50 = int64(math.Round(gammaQuantile(mean, variance, 0) + prior[1]))
	e.P95 = int64(math.Ceil(gammaQuantile(mean, variance, z95) + prior[2]))
	e.P95 = min(e.P95, e.Ceiling)
	e.P50 = min(e.P50, e.P95)
	e.P5 = min(e.P5, e.P50)
	for signal, credits := range expected {
		e.BySignal[signal] = int64(math.Round(credits))
	}
	return e
}

// z95 is the normal distribution's 95 % quantile.
const z95 = 1.6449

// gammaQuantile is the quantile of a gamma distribution that a normal one has
// at z. Upper ones of very skewed distributions are taken to be those at which
// the approximation turns back: further on it falls to 0, and a plan must not
// say that what is hardly known costs nothing.
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

// observation is what is known of one signal type under a question: events of
// one entity.
type observation struct {
	entities       float64
	mean, variance float64
	hits           float64 // share of entities with at least one
	stretch        float64 // how far the questions observed are from this one
}

// observe takes the questions closest to q, until they are about enough
// entities, and reads off what they say about q.
func observe(past []Experience, q *Query, signal string) (o observation) {
	type near struct {
		*Experience
		distance float64
	}
	var found []near
	for i := range past {
		e := &past[i]
		if e.Entities == 0 || e.Query.Object != q.Object || !slices.Contains(e.Query.Signals, signal) || !e.Query.FiltersLike(q, signal) {
			continue
		}
		days := math.Abs(math.Log(float64(q.Days()) / float64(e.Query.Days())))
		limit := math.Abs(math.Log(float64(q.MaxResults) / float64(e.Query.MaxResults)))
		found = append(found, near{e, days + limit/2})
	}
	slices.SortStableFunc(found, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	for i, f := range found {
		if o.entities >= enough && f.distance > found[i-1].distance {
			break
		}
		n := float64(f.Entities)
		one := f.seenBy(q, signal)
		o.mean += n * one.mean
		o.variance += n * one.variance
		o.hits += n * one.hits
		o.stretch += n * f.distance
		o.entities += n
	}
	if o.entities > 0 {
		o.mean, o.variance, o.hits, o.stretch = o.mean/o.entities, o.variance/o.entities, o.hits/o.entities, o.stretch/o.entities
	}
	return o
}

// seenBy carries what was observed over to another window and cap: events grow
// with the days, and those of an entity are spread geometrically, so that a
// lower cap cuts off a known share.
func (e *Experience) seenBy(q *Query, signal string) (o observation) {
	n, t := float64(e.Entities), e.BySignal[signal]
	if t.Events == 0 {
		return o
	}
	was := float64(t.Events) / n
	o.mean, o.hits, o.variance = was, float64(t.Hits)/n, t.variance(n)
	days := float64(q.Days()) / float64(e.Query.Days())
	if q.MaxResults > e.Query.MaxResults || days < 1 {
		o.mean = o.hits * uncapped(o.mean/o.hits, o.hits, e.Query.MaxResults)
	}
	if days != 1 {
		o.mean *= days
		o.hits = 1 - math.Pow(1-min(o.hits, 1), days)
	}
	if q.MaxResults < e.Query.MaxResults || days < 1 {
		each := max(1, o.mean/o.hits)
		o.mean = o.hits * each * (1 - math.Pow(1-1/each, float64(q.MaxResults)))
	}
	o.mean = min(o.mean, o.hits*float64(q.MaxResults))
	o.variance *= math.Pow(o.mean/was, 1.5) // between that of a count and that of a multiple
	return o
}

// uncapped is how many events an entity that has any has, when a cap let through
// so many of them. A cap of one tells nothing but how many have any: then the
// events are taken to come independently of each other.
func uncapped(each, hits float64, limit int) float64 {
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
	return min(1/(1-low), max(20, 2*float64(limit))) // where all reach the cap, nobody knows
}

// commonVariance measures how much some entities have more of everything: the
// variance, as a share of the squared mean, that all types of an entity share.
func commonVariance(past []Experience) float64 {
	var shared, possible float64
	for _, e := range past {
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

// found is how many of the identifiers that were searched were found.
type found struct {
	share    float64
	entities int64 // searched; 0: nobody has searched, and the share is a guess
}

// foundGuess is the share of identifiers that are taken to be found as long as
// nobody has searched.
const foundGuess = 0.85

// foundShare is what searches of the past tell, by object.
func foundShare(past []Experience) map[schema.Object]found {
	m := map[schema.Object]found{schema.Contact: {share: foundGuess}, schema.Company: {share: foundGuess}}
	hits := map[schema.Object]int64{}
	for _, e := range past {
		if e.Query.Service != Search || e.Entities == 0 {
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

// likely is the part of the past that a question is foreseen by: what was asked in
// its own dialect, if anything was. byID says that those signals were asked by ids
// that had been searched, so of entities that the API knew.
func likely(past []Experience, q *Query) (like []Experience, byID bool) {
	for _, e := range past {
		if e.Query.Service == q.Service && e.Query.Dialect == q.Dialect && e.Query.Object == q.Object {
			like = append(like, e)
		}
	}
	if len(like) == 0 {
		like = past
	}
	return like, slices.ContainsFunc(like, func(e Experience) bool {
		return e.Query.Service == Signals && e.Query.Dialect == V3 && e.Query.Object == q.Object
	})
}

// scored reports whether scores were ever bought.
func scored(past []Experience) bool {
	return slices.ContainsFunc(past, func(e Experience) bool { return e.Query.Service == Scores && e.Entities > 0 })
}

// scoring is what scores cost as long as nobody has bought any: one for most of
// those that the API knows.
func (a *Ask) scoring(share float64) (credits [3]float64) {
	for i, scored := range []float64{0.7, 0.93, 1} {
		credits[i] = float64(a.Query.cost(int64(math.Ceil(float64(a.Entities) * min(1, share*scored)))))
	}
	credits[2] = float64(a.Query.cost(a.Entities))
	return credits
}

// searching is what searches cost: the fifth, fiftieth and ninety-fifth
// percentile. Only the number of started blocks counts, so there is little to be
// unsure of.
func (a *Ask) searching(f found) (credits [3]float64) {
	each := float64(a.Entities) / float64(max(a.Calls, 1))
	for i, off := range []float64{-0.1, 0, 0.1} {
		results := int64(math.Ceil(each * min(1, max(0, f.share+off))))
		credits[i] = float64(a.Calls) * float64(a.Query.cost(results))
	}
	return credits
}

// tariff is what events cost, as the charges of the past show.
type tariff struct {
	perEvent float64
	perPair  float64 // when not 0, an entity's events of one type cost this together
}

// tariffOf is that of one service and object: a contact's events have a price of
// their own.
func tariffOf(past []Experience, q *Query) tariff {
	price := max(q.Price, 1)
	var calls, perEvent, perPair, events, credits int64
	for _, e := range past {
		if e.Query.Object != q.Object || e.Query.Service != q.Service {
			continue
		}
		calls += e.Calls
		perEvent += e.PerEvent
		perPair += e.PerPair
		events += e.All.Events
		credits += e.Credits
	}
	t := tariff{perEvent: float64(price)}
	switch {
	case events == 0 || perEvent == calls:
	case perPair == calls:
		t.perPair = float64(price)
	default:
		t.perEvent = float64(credits) / float64(events)
	}
	return t
}

// of gives mean and variance of what one entity costs.
func (t tariff) of(o observation) (credits, variance float64) {
	if t.perPair > 0 {
		return o.hits * t.perPair, o.hits * (1 - o.hits) * t.perPair * t.perPair
	}
	return o.mean * t.perEvent, o.variance * t.perEvent * t.perEvent
}

// more gives mean and variance of what all the entities cost that had reached a
// lower cap: what they had brought comes again, and more as if each event were
// followed by another with the same probability.
func (t tariff) more(o observation, r Reached, limit int) (credits, variance float64) {
	n := float64(r.Full)
	if t.perPair > 0 {
		return n * t.perPair, 0
	}
	each := 2.0 // as long as nobody knows
	if o.hits > 0 {
		each = max(1, uncapped(o.mean/o.hits, o.hits, limit))
	}
	next, left := 1-1/each, float64(limit)-float64(r.Events)/n
	further := next * each * (1 - math.Pow(next, left))
	return (float64(r.Events) + n*further) * t.perEvent, n * further * each * t.perEvent * t.perEvent
}
