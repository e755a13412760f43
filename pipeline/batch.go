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

// MaxBatch is the maximum number of entities in one API call.
const MaxBatch = 100

// Service is what is bought: signals, or one of the other products.
type Service string

// The services. Signals are available in both API versions, everything else in V3 only. Lookalikes
// and Visits are paged: a batch is one page about one subject.
const (
	Signals    Service = ""           // events, by entity
	Search     Service = "search"     // the API's id for an identifier
	Scores     Service = "score"      // one number per entity
	Lookalikes Service = "lookalikes" // entities similar to a set of seeds
	Visits     Service = "visits"     // companies that visited a site
)

// IsPaged reports whether answers come page by page, where each page may depend on the previous
// one.
func (s Service) IsPaged() bool { return s == Lookalikes || s == Visits }

// APIVersion is the API version of a request.
type APIVersion string

// The API versions.
const (
	V2 APIVersion = ""
	V3 APIVersion = "v3"
)

// Query is what is requested for every entity of one object. It is always explicit: types, start
// and cap are sent even if the API has defaults, because they determine the cost.
type Query struct {
	Object     schema.Object `json:"object"`
	Service    Service       `json:"service,omitempty"`
	APIVersion APIVersion    `json:"api,omitempty"`
	// Signal keys in catalogue order, never the vendor's "all" pseudo-key; for other services their
	// product.
	Signals []string `json:"signals"`
	Since   string   `json:"since"` // YYYY-MM-DD, first day of the window
	// YYYY-MM-DD, the day on which the run began: in the API every window ends now.
	Until string `json:"until"`
	// Newest events per entity and type, 1 to 100; for paged services the page size.
	MaxResults        int        `json:"max_results"`
	NewsEventTypes    []string   `json:"news_event_types,omitempty"`
	HiringDepartments []string   `json:"hiring_departments,omitempty"`
	HiringLocations   []Location `json:"hiring_locations,omitempty"`
	IntentCategories  []string   `json:"intent_categories,omitempty"` // for linkedinActivityIntent
	// V3 is trusted to filter; else the client filters the answer, which has been paid for.
	SendFilters bool `json:"send_filters,omitempty"`

	Seeds   []schema.Account `json:"seeds,omitempty"`   // for Lookalikes
	Exclude []schema.Account `json:"exclude,omitempty"` // for Lookalikes: never returned

	// Maximum credits for every started Per results; 0 means 1.
	Price int64 `json:"price,omitempty"`
	Per   int64 `json:"per,omitempty"` // 0 means 1
}

// Action is the name of the purchase in the vendor's price list. Site visits are in no published
// list.
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

// SameFilters reports whether two queries let the same events of a signal type pass, apart from
// window and cap.
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

// FiltersClientSide reports whether events of a signal type are filtered after the purchase: the
// API's cap then counts events that do not pass.
func (q *Query) FiltersClientSide(signal string) bool {
	return q.APIVersion == V3 && !q.SendFilters && signal != "linkedinActivityIntent" && !q.SameFilters(&Query{}, signal)
}

func sameSet[T comparable](a, b []T) bool {
	notIn := func(list []T) func(T) bool { return func(v T) bool { return !slices.Contains(list, v) } }
	return !slices.ContainsFunc(a, notIn(b)) && !slices.ContainsFunc(b, notIn(a))
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

// Location restricts hiring surges; State requires Country.
type Location struct {
	Country string `json:"country"`
	State   string `json:"state,omitempty"`
}

// Batch is up to MaxBatch entities of one object for one call: all by Lusha id, or all by another
// identifier.
type Batch struct {
	// "000012"; halves of a split batch are "000012.0" and "000012.1", parts of one that a budget
	// cut are "000012+0" and "000012+1".
	ID    string
	Query *Query
	ByID  bool
	Items []Item

	// NextAttempt is the ordinal of the next attempt in its call's ID; 0 means 1. A retry
	// increments it, and a resumed run starts after the attempts that it finds recorded.
	NextAttempt int
}

// Item is one entity to request, or a page about one subject. Ref is unique within the batch.
type Item struct {
	Ref     string
	Account schema.Account
	// The API's id, found by a search; empty: Account.ID.
	ID   string `json:",omitempty"`
	Page *Page  `json:",omitempty"` // for paged services
}

// EntityID is the API's id of the item's entity; empty if none is known.
func (i *Item) EntityID() string {
	if i.ID != "" {
		return i.ID
	}
	return i.Account.ID
}

// Page is the part of a paged answer to request.
type Page struct {
	Number int64 `json:"number"` // from 1
	// Results before this page; for Visits, positions before it.
	Offset int64 `json:"offset"`
	Limit  int   `json:"limit"` // maximum number of results
	// Lookalikes: the query excludes all prior results.
	ExcludesPrior bool `json:"apart,omitempty"`
	// Lookalikes: the session, which does not return its results again; empty starts one.
	Session string `json:"session,omitempty"`
}

// Ceiling is the maximum cost of the batch in credits, by the worst reading of the vendor's
// contradictory price lists.
func (b *Batch) Ceiling() int64 { return b.Query.CostOf(b.ResultCeiling()) }

// ResultCeiling is the maximum number of events, or results of another product, for the batch.
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

// Ceiling is the maximum cost of one call about this many entities.
func (q *Query) Ceiling(entities int) int64 { return q.CostOf(q.resultCeiling(entities)) }

func (q *Query) resultCeiling(entities int) int64 {
	return int64(entities) * int64(len(q.Signals)) * int64(max(q.MaxResults, 1))
}

// CostOf is the cost of this many results of one call, in credits.
func (q *Query) CostOf(results int64) int64 {
	per := max(q.Per, 1)
	return (results + per - 1) / per * max(q.Price, 1)
}

// MaxEntities is the number, of n entities, that one call can request without the risk of costing
// more than this many credits.
func (q *Query) MaxEntities(n int, credits int64) int {
	if credits < 0 {
		return 0
	}
	return sort.Search(n, func(i int) bool { return q.Ceiling(i+1) > credits })
}

// Split halves a batch; the halves keep the order of the items. The batch must have at least two
// items.
func (b *Batch) Split() (first, second *Batch) {
	mid := len(b.Items) / 2
	part := func(n int, items []Item) *Batch {
		return &Batch{ID: fmt.Sprintf("%s.%d", b.ID, n), Query: b.Query, ByID: b.ByID, Items: items}
	}
	return part(0, b.Items[:mid:mid]), part(1, b.Items[mid:])
}

// ContinuesSession reports whether the batch requests a further page of a session.
func (b *Batch) ContinuesSession() bool {
	return b.Query.Service.IsPaged() && len(b.Items) == 1 && b.Items[0].Page != nil && b.Items[0].Page.Session != ""
}

// SubBatch is part of a batch that is requested on its own; number is its ordinal.
func (b *Batch) SubBatch(number, from, to int) *Batch {
	return &Batch{ID: fmt.Sprintf("%s+%d", b.ID, number), Query: b.Query, ByID: b.ByID, Items: b.Items[from:to:to]}
}

// Reply is the result of a batch: every attempt, and the answer for every item.
type Reply struct {
	Calls []Call
	// One per item, in the same order; Deferred until the answer is decoded.
	Items []ItemReply
	// Paid answers about entities that were never requested.
	Unmatched []ItemReply
}

// NewReply is the reply to a batch without a call: every item is Deferred, for the same reason.
func NewReply(b *Batch, reason string) *Reply {
	return &Reply{Items: slices.Repeat([]ItemReply{{Status: schema.Deferred, Reason: reason}}, len(b.Items))}
}

// ItemReply is the status of one item and, if it was answered, its events.
type ItemReply struct {
	// Enriched, NoSignal, NotFound, Rejected, Restricted, Resolved, InDoubt or Deferred.
	Status schema.Status
	// The call that decided the status; empty if there was none.
	CallID string
	Reason string        // for every status other than an answer
	Entity schema.Entity // as stated in the answer
	Events []RawEvent
	// Events that were paid for but do not pass the query's filters.
	Filtered []RawEvent
	Aliases  []string // other ids that the answer states for the entity
	// For paged services: what the answer says about the next pages.
	Next *NextPage
	// Fields of the entry that the client does not know, as one JSON object.
	UnknownFields json.RawMessage
	Warnings      []string // accepted anomalies of the entry
}

// RawEvent is one event, or one result of another product, as received.
type RawEvent struct {
	Type string
	Raw  json.RawMessage
}

// NextPage is what the answer to a page says about the next pages.
type NextPage struct {
	Session string // to continue; empty: there is none
	HasMore bool   // there may be more pages
	// The session of the request no longer exists; nothing was charged.
	SessionExpired bool
}

// Outcome is what an attempt means for the bill.
type Outcome string

// The outcomes. A call in doubt may have been charged and is never re-sent silently.
const (
	Charged    Outcome = "charged"
	NotCharged Outcome = "not_charged"
	InDoubt    Outcome = "ambiguous"
)

// Charge is the cost of a call as the server states it. An unknown charge is not zero: the answer
// states none, or states it in a way that is invalid or contradictory.
type Charge struct {
	Known   bool
	Credits int64  // if Known
	Text    string // what the answer states, if the charge is unknown; empty if it states none
}

// Window is one rate window as stated in the answer's headers; -1 for what they do not state.
type Window struct {
	Limit, Used, Left int64
}

// Rate is the three windows after a call.
type Rate struct {
	Minute, Hour, Day Window
}

// Call is one attempt: one request that left, or should have left, the client.
type Call struct {
	// "<batch>-<attempt>", unique within the run and independent of timing.
	ID       string
	Batch    string
	Attempt  int
	Endpoint string // "POST /api/signals/companies"
	Object   schema.Object
	Entities int
	Types    int
	Ceiling  int64 // maximum cost in credits

	Sent     time.Time     // just before the request was handed to the network
	Duration time.Duration // until the answer was complete, or the attempt failed
	Status   int           // HTTP status; 0 without an answer
	Outcome  Outcome
	Charge   Charge
	Rate     Rate
	// What went wrong, for people; empty if nothing did.
	Problem string
	Body    []byte // the answer as received
	// The recorded header fields of the answer, as one JSON object.
	Header        []byte
	UnknownFields json.RawMessage // root fields of the answer that the client does not know
	Warnings      []string        // accepted anomalies
	// The user's decision about the call before its run was published; empty: none.
	Decision string

	// The window that the answer says it covers.
	StartDate, EndDate string
}

// StopKind says why a run stops.
type StopKind string

// The reasons to stop. Everything paid for is published nevertheless.
const (
	StopInterrupted StopKind = "interrupted" // by the user or the scheduler
	// The key was refused, the account is inactive, or the plan lacks the feature.
	StopAuth    StopKind = "auth"
	StopCredits StopKind = "credits" // the account has no credits left
	// A rate window is used up and the wait would be too long.
	StopQuota StopKind = "quota"
	// Too many consecutive calls with an unknown outcome.
	StopUnstable StopKind = "unstable"
	StopBudget   StopKind = "budget" // the user's own cap
	// The API refuses the request itself, regardless of the entities.
	StopRequest StopKind = "request"
	StopInput   StopKind = "input"   // the list could not be read to its end
	StopSession StopKind = "session" // the next results would be bought a second time
	StopStorage StopKind = "storage" // the request cannot be recorded
)

// Stop is the error of a Fetcher that must not be called again.
type Stop struct {
	Kind   StopKind
	Reason string // what happened, for people
	Advice string // what to do next
	// Earliest useful time to continue; zero: unknown.
	RetryAt time.Time
	// StopBudget: the rest of the budget is less than the maximum cost of one more entity.
	Exhausted bool
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
