package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/siglake/siglake/schema"
)

// MaxBatch is the most entities the API takes in one call.
const MaxBatch = 100

// Service is what is bought: signals, or one of the products beside them.
type Service string

// The services. Signals come in both dialects of the API, everything else in V3
// alone. Lookalikes and Visits are paged: a batch is one page about one thing.
const (
	Signals    Service = ""           // events, by entity
	Search     Service = "search"     // the API's id of an identifier
	Scores     Service = "score"      // one number per entity
	Lookalikes Service = "lookalikes" // entities like a set of seeds
	Visits     Service = "visits"     // companies that visited a site
)

// IsPaged reports whether answers come page by page, each of which may depend on
// the one before.
func (s Service) IsPaged() bool { return s == Lookalikes || s == Visits }

// APIVersion is the generation of the API that a question is put in.
type APIVersion string

// The dialects.
const (
	V2 APIVersion = ""
	V3 APIVersion = "v3"
)

// Query is what is asked about every entity of one object. It is always
// explicit: types, start and cap are sent even where the API has defaults,
// because they decide the bill.
type Query struct {
	Object            schema.Object `json:"object"`
	Service           Service       `json:"service,omitempty"`
	APIVersion        APIVersion    `json:"api,omitempty"`
	Signals           []string      `json:"signals"`     // keys, catalogue order, never the vendor's "all" pseudo-key; of other services their one product
	Since             string        `json:"since"`       // YYYY-MM-DD, first day of the window
	Until             string        `json:"until"`       // YYYY-MM-DD, the day the run began: the API knows no other end than now
	MaxResults        int           `json:"max_results"` // newest events kept per entity and type, 1 to 100; of paged services the size of a page
	NewsEventTypes    []string      `json:"news_event_types,omitempty"`
	HiringDepartments []string      `json:"hiring_departments,omitempty"`
	HiringLocations   []Location    `json:"hiring_locations,omitempty"`
	IntentCategories  []string      `json:"intent_categories,omitempty"` // of linkedinActivityIntent
	SendFilters       bool          `json:"send_filters,omitempty"`      // V3 is trusted to filter; else the answer is filtered here, having been paid for

	Seeds   []schema.Account `json:"seeds,omitempty"`   // of Lookalikes
	Exclude []schema.Account `json:"exclude,omitempty"` // of Lookalikes: never returned

	Price int64 `json:"price,omitempty"` // most credits for every started Per results; 0 means 1
	Per   int64 `json:"per,omitempty"`   // 0 means 1
}

// Action is what the vendor's price list calls what is bought. Site visits are
// in no list that is published.
func (q *Query) Action() string {
	contact := q.Object == schema.Contact
	switch {
	case q.Service == Search:
		return "api_search"
	case q.Service == Scores && contact:
		return "signal_score_contact_reveal"
	case q.Service == Scores:
		return "signal_score_company_reveal"
	case q.Service == Lookalikes && contact:
		return "lookalikeContact"
	case q.Service == Lookalikes:
		return "lookalikeCompany"
	case q.Service == Visits:
		return "websiteVisits"
	case contact:
		return "showSignalsContact"
	}
	return "showSignalsCompany"
}

// SameFilters reports whether two questions let through the same events of a
// signal type, apart from window and cap.
func (q *Query) SameFilters(o *Query, signal string) bool {
	s, _ := schema.LookupSignal(signal)
	switch {
	case signal == "linkedinActivityIntent":
		return sameSet(q.IntentCategories, o.IntentCategories)
	case s.Category == schema.CategoryNews:
		return sameSet(q.NewsEventTypes, o.NewsEventTypes)
	case signal == "surgeInHiringByDepartment":
		return sameSet(q.HiringDepartments, o.HiringDepartments)
	case signal == "surgeInHiringByLocation":
		return sameSet(q.HiringLocations, o.HiringLocations)
	}
	return true
}

// FiltersClientSide reports whether events of a signal type are filtered after they were
// bought: the API's cap counts those that do not pass.
func (q *Query) FiltersClientSide(signal string) bool {
	return q.APIVersion == V3 && !q.SendFilters && signal != "linkedinActivityIntent" && !q.SameFilters(&Query{}, signal)
}

func sameSet[T comparable](a, b []T) bool {
	notIn := func(list []T) func(T) bool { return func(v T) bool { return !slices.Contains(list, v) } }
	return !slices.ContainsFunc(a, notIn(b)) && !slices.ContainsFunc(b, notIn(a))
}

// WindowDays is how many days the window has, both ends included; 1 when the dates
// cannot be read.
func (q *Query) WindowDays() int {
	from, err := time.Parse(time.DateOnly, q.Since)
	until, err2 := time.Parse(time.DateOnly, q.Until)
	if err != nil || err2 != nil || until.Before(from) {
		return 1
	}
	return int(until.Sub(from)/(24*time.Hour)) + 1
}

// Location narrows hiring surges; State needs Country.
type Location struct {
	Country string `json:"country"`
	State   string `json:"state,omitempty"`
}

// Batch is up to MaxBatch entities of one object, asked in one call: all by
// Lusha id, or all by another identifier.
type Batch struct {
	ID    string // "000012"; halves of a split batch are "000012.0" and "000012.1", parts of one that a budget cut are "000012+0", "000012+1"
	Query *Query
	ByID  bool
	Items []Item

	// NextAttempt is the ordinal that the next attempt at the batch bears in its
	// call's ID; 0 means 1. Whoever repeats a batch counts it up, and a resumed
	// run starts beyond the attempts it finds recorded.
	NextAttempt int
}

// Item is one entity to ask about, or a page about one thing. Ref is unique
// within the batch.
type Item struct {
	Ref     string
	Account schema.Account
	ID      string `json:",omitempty"` // the API's id, found out by a search; empty: Account.ID
	Page    *Page  `json:",omitempty"` // of paged services
}

// EntityID is the API's id of what the item is about; empty when none is known.
func (i *Item) EntityID() string {
	if i.ID != "" {
		return i.ID
	}
	return i.Account.ID
}

// Page says which stretch of a paged answer is asked for.
type Page struct {
	Number        int64  `json:"number"`            // from 1
	Offset        int64  `json:"offset"`            // results that came before it, or of Visits have their place before it
	Limit         int    `json:"limit"`             // most results on it
	ExcludesPrior bool   `json:"apart,omitempty"`   // of Lookalikes: the question excludes all that came before it
	Session       string `json:"session,omitempty"` // of Lookalikes: whose results are not given again; empty begins one
}

// Ceiling is the most the batch can cost in credits: the worst reading of the
// vendor's contradictory price lists.
func (b *Batch) Ceiling() int64 { return b.Query.costOf(b.ResultCeiling()) }

// ResultCeiling is the most events, or results of another product, that the batch can
// bring.
func (b *Batch) ResultCeiling() (total int64) {
	if !b.Query.Service.IsPaged() {
		return b.Query.resultCeiling(len(b.Items))
	}
	for i := range b.Items {
		if page := b.Items[i].Page; page != nil {
			total += int64(page.Limit)
		}
	}
	return total
}

// Ceiling is the most that one call about so many entities can cost.
func (q *Query) Ceiling(entities int) int64 { return q.costOf(q.resultCeiling(entities)) }

func (q *Query) resultCeiling(entities int) int64 {
	return int64(entities) * int64(len(q.Signals)) * int64(max(q.MaxResults, 1))
}

// costOf of so many results in one call.
func (q *Query) costOf(results int64) int64 {
	per := max(q.Per, 1)
	return (results + per - 1) / per * max(q.Price, 1)
}

// MaxEntities is how many of n entities one call may ask about without the risk of
// costing more than so many credits.
func (q *Query) MaxEntities(n int, credits int64) int {
	if credits < 0 {
		return 0
	}
	return sort.Search(n, func(i int) bool { return q.Ceiling(i+1) > credits })
}

// Split halves a batch; the parts keep the items' order. It must hold at least
// two items.
func (b *Batch) Split() (first, second *Batch) {
	mid := len(b.Items) / 2
	part := func(n int, items []Item) *Batch {
		return &Batch{ID: fmt.Sprintf("%s.%d", b.ID, n), Query: b.Query, ByID: b.ByID, Items: items}
	}
	return part(0, b.Items[:mid:mid]), part(1, b.Items[mid:])
}

// ContinuesSession reports whether the batch asks for a further page of a session.
func (b *Batch) ContinuesSession() bool {
	return b.Query.Service.IsPaged() && len(b.Items) == 1 && b.Items[0].Page != nil && b.Items[0].Page.Session != ""
}

// SubBatch is a stretch of a batch that is asked by itself, the number-th.
func (b *Batch) SubBatch(number, from, to int) *Batch {
	return &Batch{ID: fmt.Sprintf("%s+%d", b.ID, number), Query: b.Query, ByID: b.ByID, Items: b.Items[from:to:to]}
}

// Reply is what came of a batch: every attempt, and every item's answer.
type Reply struct {
	Calls     []Call
	Items     []ItemReply // one per item, same order; nil until the answer is decoded
	Unmatched []ItemReply // paid answers about something that was never asked
}

// ItemReply is the fate of one item and, when it was answered, its events.
type ItemReply struct {
	Status        schema.Status // Enriched, NoSignal, NotFound, Rejected, Restricted, Held or Deferred
	CallID        string        // the call that decided it; empty when none was made
	Reason        string        // why, for every status that is not an answer
	Entity        schema.Entity // as answered
	Events        []RawEvent
	Filtered      []RawEvent      // events that were paid for and that the question's filters keep out of the tables
	Aliases       []string        // other ids that the answer states for the entity
	Next          *NextPage       // of paged services: what the answer says of the pages to come
	UnknownFields json.RawMessage // fields of the answer's entry that the client does not know, as one JSON object
	Warnings      []string        // oddities of the entry that were accepted
}

// RawEvent is one event, or one result of another product, as received.
type RawEvent struct {
	Type string
	Raw  json.RawMessage
}

// NextPage is what the answer to a page says of those to come.
type NextPage struct {
	Session        string // to go on with; empty: there is none
	HasMore        bool   // there may be more
	SessionExpired bool   // the session that was to be gone on with does not exist any more; nothing was charged
}

// Outcome says what an attempt means for the bill.
type Outcome string

// The outcomes. Ambiguous attempts may have been charged and are never resent
// silently.
const (
	Charged    Outcome = "charged"
	NotCharged Outcome = "not_charged"
	InDoubt    Outcome = "ambiguous"
)

// Charge is the server's own number for a call. Unknown is not zero: the field
// was missing, null, repeated or odd, and Text keeps what stood there.
type Charge struct {
	Known   bool
	Credits int64
	Text    string
}

// Window is one rate window as the answer's headers state it; -1 where they
// state nothing.
type Window struct {
	Limit, Used, Left int64
}

// Rate is the three windows after a call.
type Rate struct {
	Minute, Hour, Day Window
}

// Call is one attempt: one request that left, or should have left, the client.
type Call struct {
	ID       string // "<batch>-<attempt>", unique within the run and independent of timing
	Batch    string
	Attempt  int
	Endpoint string // "POST /api/signals/companies"
	Object   schema.Object
	Entities int
	Types    int
	Ceiling  int64 // credits it could cost at the most

	Sent          time.Time     // just before the request was handed to the network
	Duration      time.Duration // until the answer was complete, or the attempt failed
	Status        int           // HTTP status; 0 when no answer came
	Outcome       Outcome
	Charge        Charge
	Rate          Rate
	Problem       string          // what went wrong, for people; empty when nothing did
	Body          []byte          // the answer as received
	Header        []byte          // the answer's header fields that are kept, as one JSON object
	UnknownFields json.RawMessage // root fields of the answer that the client does not know
	Warnings      []string        // oddities that were accepted
	Decision      string          // what somebody decided about it before its run was published; empty: nothing

	StartDate, EndDate string // the window that the answer says it covers
}

// StopKind says why a run stops asking.
type StopKind string

// The reasons to stop asking. Everything paid is published all the same.
const (
	StopInterrupted StopKind = "interrupted" // a person or the scheduler asked
	StopAuth        StopKind = "auth"        // key refused, account inactive, feature not in the plan
	StopCredits     StopKind = "credits"     // the account has no credits left
	StopQuota       StopKind = "quota"       // a rate window is used up and waiting would take too long
	StopUnstable    StopKind = "unstable"    // too many calls in a row with an unknown outcome
	StopBudget      StopKind = "budget"      // the caller's own cap
	StopRequest     StopKind = "request"     // the API refuses the request itself, whatever the entities
	StopInput       StopKind = "input"       // the list could not be read to its end
	StopSession     StopKind = "session"     // what comes next would be bought a second time
	StopStorage     StopKind = "storage"     // what is asked cannot be written down
)

// Stop is the error of a Fetcher that should not be called again.
type Stop struct {
	Kind      StopKind
	Reason    string    // what happened, for people
	Advice    string    // what to do next
	RetryAt   time.Time // earliest useful time to continue; zero when unknown
	Exhausted bool      // of StopBudget: what is left of it is less than one more entity can cost
}

func (s *Stop) Error() string {
	if s.Advice == "" {
		return s.Reason
	}
	return s.Reason + "; " + s.Advice
}

// stopOf finds the Stop in an error chain.
func stopOf(err error) *Stop {
	var s *Stop
	if errors.As(err, &s) {
		return s
	}
	return nil
}
