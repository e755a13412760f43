package pipeline

import (
	"encoding/json"
	"slices"
	"sort"
	"time"

	"github.com/siglake/siglake/schema"
)

// APIVersion is the API version of a request.
type APIVersion string

// The API versions.
const (
	V2 APIVersion = ""
	V3 APIVersion = "v3"
)

// Query is what is requested for every entity of one object, or page by page. It is always
// explicit: types, start and cap are sent even if the API has defaults, because they determine the
// cost.
//
// Its JSON, queryJSON, must not change: journals and manifests contain it, and the journal
// recognises a query by its bytes.
type Query struct {
	Object     schema.Object
	APIVersion APIVersion
	// What is bought; nil means SignalsAsk{}, which has no signal types.
	Ask Ask

	// YYYY-MM-DD, first day of the window; Until if the ask has no window.
	Since string
	// YYYY-MM-DD, the day on which the run began: in the API every window ends now.
	Until string

	// Maximum credits for every started Per results; 0 means 1.
	Price int64
	Per   int64 // 0 means 1
}

// ask is q.Ask, and not nil.
func (q *Query) ask() Ask {
	if q.Ask == nil {
		return SignalsAsk{}
	}
	return q.Ask
}

// Service is the service that the query uses.
func (q *Query) Service() Service { return q.ask().service() }

// Action is the name of the purchase in the vendor's price list. Site visits are in no published
// list.
func (q *Query) Action() string { return q.ask().action(q.Object) }

// ResultTypes are the types of the results that an answer can contain: the signal types, or the
// one product of another service.
func (q *Query) ResultTypes() []string { return q.ask().resultTypes() }

// MaxResults is the maximum number of results of one type, for one entity or on one page.
func (q *Query) MaxResults() int { return q.ask().maxResults() }

// SameFilters reports whether two queries let the same events of a signal type pass, apart from
// window and cap.
func (q *Query) SameFilters(o *Query, signal string) bool {
	ask, _ := q.Ask.(SignalsAsk)
	other, _ := o.Ask.(SignalsAsk)
	return ask.Filters.equal(&other.Filters, signal)
}

// FiltersClientSide reports whether events of a signal type are filtered after the purchase: the
// API's cap then counts events that do not pass.
func (q *Query) FiltersClientSide(signal string) bool {
	ask, _ := q.Ask.(SignalsAsk)
	return q.APIVersion == V3 && !ask.SendFilters && signal != "linkedinActivityIntent" && !ask.Filters.equal(&Filters{}, signal)
}

// withTypes is a query for some of the signal types.
func (q *Query) withTypes(types []string) *Query {
	narrow := *q
	ask, _ := q.Ask.(SignalsAsk) // no other ask has types to choose from
	ask.Types = types
	narrow.Ask = ask
	return &narrow
}

// question is the query for some of the signal types and a window of their own.
func (q *Query) question(types []string, since string) *Query {
	narrow := q.withTypes(types)
	narrow.Since = since
	return narrow
}

// withMaxResults is a query for fewer events of each signal type.
func (q *Query) withMaxResults(n int) *Query {
	lower := *q
	ask, _ := q.Ask.(SignalsAsk)
	ask.MaxResults = n
	lower.Ask = ask
	return &lower
}

// exclusions are the entities that a query for lookalikes excludes.
func (q *Query) exclusions() []schema.Account {
	ask, _ := q.Ask.(LookalikeAsk)
	return ask.Exclude
}

// withExclusions is a query for lookalikes that excludes these entities.
func (q *Query) withExclusions(exclude []schema.Account) *Query {
	changed := *q
	ask, _ := q.Ask.(LookalikeAsk)
	ask.Exclude = exclude
	changed.Ask = ask
	return &changed
}

// WindowDays is the number of days in the window, both ends included; 1 if the dates are invalid.
func (q *Query) WindowDays() int {
	from, err := time.Parse(time.DateOnly, q.Since)
	until, err2 := time.Parse(time.DateOnly, q.Until)
	if err != nil || err2 != nil || until.Before(from) {
		return 1
	}
	return int(until.Sub(from)/(24*time.Hour)) + 1
}

// Ceiling is the maximum cost of one call about this many entities.
func (q *Query) Ceiling(entities int) int64 { return q.CostOf(q.resultCeiling(entities)) }

// MaxEntitiesOf is the number, of n entities, that one call can request so that its answer has no
// more than this many results, and no more than this many bytes by the estimate of one result; 0
// stands for no bound. It is at least one: an entity cannot be divided.
func (q *Query) MaxEntitiesOf(n int, results, bytes, resultBytes int64) int {
	fits := sort.Search(n, func(i int) bool {
		ceiling := q.resultCeiling(i + 1)
		return results > 0 && ceiling > results || bytes > 0 && possibleBytes(i+1, ceiling, resultBytes) > bytes
	})
	return max(fits, min(n, 1))
}

// ResultCeiling is the maximum number of results of one call about this many entities.
func (q *Query) ResultCeiling(entities int) int64 { return q.resultCeiling(entities) }

func (q *Query) resultCeiling(entities int) int64 {
	pairs, results := int64(entities)*int64(len(q.ResultTypes())), int64(max(q.MaxResults(), 1))
	if results > MaxCredits/max(pairs, 1) { // else the product could overflow
		return MaxCredits
	}
	return pairs * results
}

// RepeatCeiling is the maximum cost of requesting with q again what a call may have bought that
// requested this many entities with another query: siglake repeats it in small batches, each of
// which is charged for what it starts. It is 0 if the two have no result type or no day in common.
func (q *Query) RepeatCeiling(bought *Query, entities int) (credits int64) {
	if q.Object != bought.Object || q.Service() != bought.Service() || bought.Since > q.Until || q.Since > bought.Until {
		return 0
	}
	if q.Service().IsPaged() { // a page is requested as a whole
		return q.Ceiling(1)
	}
	again := q
	if q.Service() == Signals {
		again = q.withTypes(slices.DeleteFunc(slices.Clone(q.ResultTypes()), func(s string) bool { return !slices.Contains(bought.ResultTypes(), s) }))
	}
	batches, rest := int64(entities/retryBatchSize), entities%retryBatchSize
	return min(batches*again.Ceiling(retryBatchSize)+again.Ceiling(rest), MaxCredits)
}

// CostOf is the cost of this many results of one call, in credits; at most MaxCredits.
func (q *Query) CostOf(results int64) int64 {
	started := (results-1)/max(q.Per, 1) + 1
	switch price := max(q.Price, 1); {
	case results <= 0:
		return 0
	case started > MaxCredits/price:
		return MaxCredits
	default:
		return started * price
	}
}

// MaxEntities is the number, of n entities, that one call can request without the risk of costing
// more than this many credits.
func (q *Query) MaxEntities(n int, credits int64) int {
	if credits < 0 {
		return 0
	}
	return sort.Search(n, func(i int) bool { return q.Ceiling(i+1) > credits })
}

// queryJSON is the JSON of a query. Two of its fields mean different things in different services.
type queryJSON struct {
	Object            schema.Object    `json:"object"`
	Service           Service          `json:"service,omitempty"`
	APIVersion        APIVersion       `json:"api,omitempty"`
	ResultTypes       []string         `json:"signals"`
	Since             string           `json:"since"`
	Until             string           `json:"until"`
	MaxResults        int              `json:"max_results"` // or the page size
	NewsEventTypes    []string         `json:"news_event_types,omitempty"`
	HiringDepartments []string         `json:"hiring_departments,omitempty"`
	HiringLocations   []Location       `json:"hiring_locations,omitempty"`
	IntentCategories  []string         `json:"intent_categories,omitempty"`
	SendFilters       bool             `json:"send_filters,omitempty"`
	Seeds             []schema.Account `json:"seeds,omitempty"` // or sites, as companies
	Exclude           []schema.Account `json:"exclude,omitempty"`
	Price             int64            `json:"price,omitempty"`
	Per               int64            `json:"per,omitempty"`
}

// MarshalJSON has a value as its receiver, so that it also encodes queries inside other values.
func (q Query) MarshalJSON() ([]byte, error) {
	j := queryJSON{
		Object: q.Object, Service: q.Service(), APIVersion: q.APIVersion, ResultTypes: q.ResultTypes(), MaxResults: q.MaxResults(),
		Since: q.Since, Until: q.Until, Price: q.Price, Per: q.Per,
	}
	q.ask().encode(&j)
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (q *Query) UnmarshalJSON(text []byte) error {
	var j queryJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	*q = Query{Object: j.Object, APIVersion: j.APIVersion, Ask: decodeAsk(&j), Since: j.Since, Until: j.Until, Price: j.Price, Per: j.Per}
	return nil
}
