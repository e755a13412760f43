package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/schema"
)

// MaxBatch is the maximum number of entities in one API call.
const MaxBatch = 100

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

	// Estimate of the bytes of one result in an answer; 0: there is none.
	ResultBytes int64
	// Records a piece of an answer that is too long for one record, while the rest is on its way;
	// the piece is valid until Spill returns. After an error the rest is not read. Nil: Call.Body
	// holds answers of any length.
	Spill func(piece []byte) error
	// Called with the length of an answer before its pieces are joined in memory. It may block until
	// others are decoded. Nil: they are joined at once.
	Admit func(bytes int64)
}

// Item is one entity to request, or a page about one subject. Ref is unique within the batch.
type Item struct {
	Ref     string
	Account schema.Account
	// The API's id, found by a search; empty: Account.ID.
	ID   string `json:",omitempty"`
	Page *Page  `json:",omitempty"` // for paged services
	// The item asks one of several questions about its line.
	Part bool `json:",omitempty"`
	// The item asks for days that were asked before, to find what was missed.
	Audit bool `json:",omitempty"`
	// Signal types that are left for another request, because an answer about all of them was cut.
	TypesLeft int `json:",omitempty"`
}

// EntityID is the API's id of the item's entity; empty if none is known.
func (i *Item) EntityID() string {
	if i.ID != "" {
		return i.ID
	}
	return i.Account.ID
}

// requested is the identifier by which the item is requested, as an Identity has it.
func (i *Item) requested() (kind schema.Identifier, text string) {
	if id := i.EntityID(); id != "" {
		return schema.ByID, id
	}
	kind = i.Account.Identifier()
	if text = identifierText(&i.Account, kind); kind == schema.ByName {
		text = strings.ToLower(text)
	}
	return kind, text
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
	if !b.Query.Service().IsPaged() {
		return b.Query.resultCeiling(len(b.Items))
	}
	for i := range b.Items {
		if page := b.Items[i].Page; page != nil {
			total += int64(page.Limit)
		}
	}
	return total
}

// PossibleBytes is how long an answer to the batch can become, by the estimate of its results; 0
// without an estimate.
func (b *Batch) PossibleBytes() int64 {
	return possibleBytes(len(b.Items), b.ResultCeiling(), b.ResultBytes)
}

// ResultsWithin is the number of results of a page whose answer takes no more than this many bytes,
// by the estimate of one result.
func ResultsWithin(bytes, resultBytes int64) int64 {
	return max(bytes-possibleBytes(1, 0, resultBytes), 0) / max(resultBytes, 1)
}

// possibleBytes is the length of an answer about so many entities, with the most results that it can
// have.
func possibleBytes(entities int, results, resultBytes int64) int64 {
	const fixed, perEntity = 16 << 10, 1 << 10
	switch {
	case resultBytes <= 0:
		return 0
	case results > MaxCredits/resultBytes:
		return MaxCredits // the product could overflow
	}
	return fixed + int64(entities)*perEntity + results*resultBytes
}

// Split halves a batch; the halves keep the order of the items. The batch must have at least two
// items.
func (b *Batch) Split() (first, second *Batch) {
	mid := len(b.Items) / 2
	part := func(n int, items []Item) *Batch {
		return &Batch{ID: fmt.Sprintf("%s.%d", b.ID, n), Query: b.Query, ByID: b.ByID, Items: items, ResultBytes: b.ResultBytes}
	}
	return part(0, b.Items[:mid:mid]), part(1, b.Items[mid:])
}

// ContinuesSession reports whether the batch requests a further page of a session.
func (b *Batch) ContinuesSession() bool {
	return b.Query.Service().IsPaged() && len(b.Items) == 1 && b.Items[0].Page != nil && b.Items[0].Page.Session != ""
}

// SubBatch is part of a batch that is requested on its own; number is its ordinal.
func (b *Batch) SubBatch(number, from, to int) *Batch {
	return &Batch{ID: fmt.Sprintf("%s+%d", b.ID, number), Query: b.Query, ByID: b.ByID, Items: b.Items[from:to:to], ResultBytes: b.ResultBytes}
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
	// One JSON object. Its texts are valid, even if those in the answer are not.
	Raw json.RawMessage
	// What of Raw differs from the answer, or from its documented form; empty: nothing.
	Note string
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
	// The answer as received; on the way from the client to the journal, what follows the pieces
	// that Batch.Spill took.
	Body []byte
	// Bytes of the answer if Body no longer holds it, to save memory; else 0.
	Length int64
	// Body was cut, by the client's limit or on its way: what followed is lost.
	Cut bool
	// Body does not match the checksum that came with it: nothing that it says counts.
	Corrupt bool
	// The recorded header fields of the answer, as one JSON object.
	Header        []byte
	UnknownFields json.RawMessage // root fields of the answer that the client does not know
	Warnings      []string        // accepted anomalies
	// The user's decision about the call before its run was published; empty: none.
	Decision string

	// The window that the answer says it covers.
	StartDate, EndDate string
}

// AnswerBytes is the length of the answer.
func (c *Call) AnswerBytes() int64 { return max(c.Length, int64(len(c.Body))) }

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
	// Its process died, and a later command published what it had paid for.
	StopClosed StopKind = "closed"
	// An answer differs from what the schema knows, and the contract is frozen.
	StopDrift StopKind = "drift"
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
	// Exhausted, and a higher cap of the run lets the same command continue: one more entity needs this many credits,
	// or, with LowerResults, fewer results. 0: another cap is exhausted, or the number is not known.
	CapNeeded    int64
	LowerResults bool
}

func (s *Stop) Error() string {
	if s.Advice == "" {
		return s.Reason
	}
	return s.Reason + "; " + s.Advice
}

// adviceFor is what to do about lines that an exhausted budget left, which can cost at most so many credits. The cap that
// one more entity needs would not get far.
func (s *Stop) adviceFor(lines, maxCost int64) string {
	remaining, one := countText(lines, "line"), "one of them"
	if lines == 1 {
		remaining, one = "line", "it"
	}
	remaining += " can cost at most " + Exactly(maxCost).String()
	if s.CapNeeded == 0 {
		return s.Advice + "; the remaining " + remaining
	}
	advice := fmt.Sprintf("run the same command again with --max-credits %d: the remaining %s; %s needs --max-credits %d or more", maxCost, remaining, one, s.CapNeeded)
	if s.LowerResults {
		advice += ", or a lower --max-results"
	}
	return advice
}

// stopOf finds the Stop in an error chain.
func stopOf(err error) *Stop {
	var s *Stop
	if errors.As(err, &s) {
		return s
	}
	return nil
}
