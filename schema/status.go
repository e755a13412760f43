package schema

// Status is the terminal status of a line of the input list.
type Status string

// The statuses of the accounts table. Every input line has exactly one.
const (
	// The API knows the entity and returned at least one event.
	Enriched Status = "enriched"
	// The API knows the entity and returned no event in the window.
	NoSignal Status = "no_signal"
	// The API does not know the entity.
	NotFound Status = "not_found"
	// The API knows the entity, and only its id was requested.
	Resolved Status = "resolved"
	// The line was a seed or a site of a request; the results are not about the lines.
	Seed Status = "seed"
	// An earlier line requests the same; see duplicate_of_row.
	Duplicate Status = "duplicate"
	// The line is invalid, or the API refused it; the reason says why.
	Rejected Status = "rejected"
	// The vendor refuses the entity on legal grounds.
	Restricted Status = "restricted"
	// Answered from earlier purchases.
	Cached Status = "cached"
	// Requested, but whether it was charged is unknown; never re-sent silently.
	InDoubt Status = "held"
	// Was in doubt until the user wrote the call off as charged and lost; not requested again for
	// the same window.
	WrittenOff Status = "lost"
	// Not requested yet (quota, credits, budget or a stop); a later run requests it.
	Deferred Status = "deferred"
)

// Statuses lists the statuses in the order of reports.
var Statuses = []Status{
	Enriched, NoSignal, NotFound, Resolved, Seed, Duplicate, Cached, Rejected, Restricted, InDoubt, WrittenOff, Deferred,
}

// OptedOutReason begins the reason of a line about a person who has opted out.
const OptedOutReason = "the person opted out on "
