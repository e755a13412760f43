package pipeline

import (
	"slices"

	"github.com/siglake/siglake/schema"
)

// Service is what is bought: signals, or one of the other products.
type Service string

// The services. Signals are available in both API versions, everything else in V3 only. Lookalikes
// and Visits are paged: a batch is one page about one subject. Deliveries are not requested: a batch is
// one delivery of a webhook, which was charged when it came.
const (
	Signals    Service = ""           // events, by entity
	Search     Service = "search"     // the API's id for an identifier
	Scores     Service = "score"      // one number per entity
	Lookalikes Service = "lookalikes" // entities similar to a set of seeds
	Visits     Service = "visits"     // companies that visited a site
	Deliveries Service = "deliveries" // events that webhooks delivered
)

// IsPaged reports whether answers come page by page, where each page may depend on the previous
// one.
func (s Service) IsPaged() bool { return s == Lookalikes || s == Visits }

// HasEvents reports whether the results are events, and not those of another product.
func (s Service) HasEvents() bool { return s == Signals || s == Deliveries }

// Ask is what a query buys: SignalsAsk, SearchAsk, ScoreAsk, LookalikeAsk, VisitsAsk or DeliveriesAsk. Its dynamic
// type is one of these structs, not a pointer to one, so that a change to a copy of a query leaves
// the original as it is.
type Ask interface {
	service() Service
	action(schema.Object) string
	resultTypes() []string
	maxResults() int
	// encode sets the fields of the JSON that only this ask has.
	encode(*queryJSON)
}

// SignalsAsk asks for the newest events of each entity.
type SignalsAsk struct {
	Types      []string // signal keys in catalogue order, never the vendor's "all" pseudo-key
	MaxResults int      // newest events per entity and type, 1 to 100
	Filters
	// V3 is trusted to filter; else the client filters the answer, which has been paid for.
	SendFilters bool
}

func (SignalsAsk) service() Service { return Signals }
func (SignalsAsk) action(o schema.Object) string {
	return actionFor(o, "showSignalsContact", "showSignalsCompany")
}
func (a SignalsAsk) resultTypes() []string { return a.Types }
func (a SignalsAsk) maxResults() int       { return a.MaxResults }
func (a SignalsAsk) encode(j *queryJSON) {
	j.NewsEventTypes, j.HiringDepartments = a.NewsEventTypes, a.HiringDepartments
	j.HiringLocations, j.IntentCategories = a.HiringLocations, a.IntentCategories
	j.SendFilters = a.SendFilters
}

// SearchAsk asks for the API's id of each entity.
type SearchAsk struct{}

func (SearchAsk) service() Service            { return Search }
func (SearchAsk) action(schema.Object) string { return "api_search" }
func (SearchAsk) resultTypes() []string       { return []string{schema.ProductMatch} }
func (SearchAsk) maxResults() int             { return 1 }
func (SearchAsk) encode(*queryJSON)           {}

// ScoreAsk asks for the signal score of each entity.
type ScoreAsk struct{}

func (ScoreAsk) service() Service { return Scores }
func (ScoreAsk) action(o schema.Object) string {
	return actionFor(o, "signal_score_contact_reveal", "signal_score_company_reveal")
}
func (ScoreAsk) resultTypes() []string { return []string{schema.ProductScore} }
func (ScoreAsk) maxResults() int       { return 1 }
func (ScoreAsk) encode(*queryJSON)     {}

// LookalikeAsk asks for entities that are similar to a set of seeds.
type LookalikeAsk struct {
	Seeds    []schema.Account
	Exclude  []schema.Account // never returned
	PageSize int              // maximum number of results on a page
}

func (LookalikeAsk) service() Service { return Lookalikes }
func (LookalikeAsk) action(o schema.Object) string {
	return actionFor(o, "lookalikeContact", "lookalikeCompany")
}
func (LookalikeAsk) resultTypes() []string { return []string{schema.ProductLookalike} }
func (a LookalikeAsk) maxResults() int     { return a.PageSize }
func (a LookalikeAsk) encode(j *queryJSON) { j.Seeds, j.Exclude = a.Seeds, a.Exclude }

// VisitsAsk asks for the companies that visited sites.
type VisitsAsk struct {
	Sites    []string // host names
	PageSize int      // maximum number of results on a page
}

func (VisitsAsk) service() Service            { return Visits }
func (VisitsAsk) action(schema.Object) string { return "websiteVisits" }
func (VisitsAsk) resultTypes() []string       { return []string{schema.ProductVisit} }
func (a VisitsAsk) maxResults() int           { return a.PageSize }
func (a VisitsAsk) encode(j *queryJSON) {
	for _, site := range a.Sites {
		j.Seeds = append(j.Seeds, schema.Account{Object: schema.Company, Domain: site})
	}
}

// DeliveriesAsk is about one delivery of a webhook: it asks for nothing.
type DeliveriesAsk struct {
	Type string // of the delivered event
}

func (DeliveriesAsk) service() Service            { return Deliveries }
func (DeliveriesAsk) action(schema.Object) string { return "webhook" }
func (a DeliveriesAsk) resultTypes() []string     { return []string{a.Type} }
func (DeliveriesAsk) maxResults() int             { return 1 }
func (DeliveriesAsk) encode(*queryJSON)           {}

// unknownAsk is the ask of a recorded query for a service that this version does not know. Such a
// query is encoded as it was decoded.
type unknownAsk struct{ recorded queryJSON }

func (a unknownAsk) service() Service            { return a.recorded.Service }
func (a unknownAsk) action(schema.Object) string { return string(a.recorded.Service) }
func (a unknownAsk) resultTypes() []string       { return a.recorded.ResultTypes }
func (a unknownAsk) maxResults() int             { return a.recorded.MaxResults }
func (a unknownAsk) encode(j *queryJSON)         { *j = a.recorded }

// actionFor is the one of two actions that is about an object.
func actionFor(o schema.Object, contact, company string) string {
	if o == schema.Contact {
		return contact
	}
	return company
}

// decodeAsk is the ask of a query by its JSON.
func decodeAsk(j *queryJSON) Ask {
	switch j.Service {
	case Signals:
		return SignalsAsk{
			Types: j.ResultTypes, MaxResults: j.MaxResults, SendFilters: j.SendFilters,
			Filters: Filters{NewsEventTypes: j.NewsEventTypes, HiringDepartments: j.HiringDepartments, HiringLocations: j.HiringLocations, IntentCategories: j.IntentCategories},
		}
	case Search:
		return SearchAsk{}
	case Scores:
		return ScoreAsk{}
	case Lookalikes:
		return LookalikeAsk{Seeds: j.Seeds, Exclude: j.Exclude, PageSize: j.MaxResults}
	case Visits:
		ask := VisitsAsk{PageSize: j.MaxResults}
		for _, a := range j.Seeds {
			ask.Sites = append(ask.Sites, a.Domain)
		}
		return ask
	case Deliveries:
		if len(j.ResultTypes) == 1 {
			return DeliveriesAsk{Type: j.ResultTypes[0]}
		}
	}
	return unknownAsk{*j}
}

// Filters restrict the events of some signal types of companies. An empty list lets every event
// pass.
type Filters struct {
	NewsEventTypes    []string   // for signals of the news category
	HiringDepartments []string   // for surgeInHiringByDepartment
	HiringLocations   []Location // for surgeInHiringByLocation
	IntentCategories  []string   // for linkedinActivityIntent
}

// equal reports whether two filters let the same events of a signal type pass.
func (f *Filters) equal(o *Filters, signal string) bool {
	s, _ := schema.LookupSignal(signal)
	switch {
	case signal == "linkedinActivityIntent":
		return sameSet(f.IntentCategories, o.IntentCategories)
	case s.Category == schema.CategoryNews:
		return sameSet(f.NewsEventTypes, o.NewsEventTypes)
	case signal == "surgeInHiringByDepartment":
		return sameSet(f.HiringDepartments, o.HiringDepartments)
	case signal == "surgeInHiringByLocation":
		return sameSet(f.HiringLocations, o.HiringLocations)
	}
	return true
}

// Location restricts hiring surges; State requires Country.
type Location struct {
	Country string `json:"country"`
	State   string `json:"state,omitempty"`
}

func sameSet[T comparable](a, b []T) bool {
	notIn := func(list []T) func(T) bool { return func(v T) bool { return !slices.Contains(list, v) } }
	return !slices.ContainsFunc(a, notIn(b)) && !slices.ContainsFunc(b, notIn(a))
}
