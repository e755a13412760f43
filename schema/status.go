package schema

// Status is the one terminal fate of a line of the input list.
type Status string

// The statuses of the accounts table. Together they count every input line once.
const (
	Enriched   Status = "enriched"   // the API knows it and returned at least one event
	NoSignal   Status = "no_signal"  // the API knows it and returned no event in the window
	NotFound   Status = "not_found"  // the API does not know it
	Resolved   Status = "resolved"   // the API knows it, and nothing but its id was asked for
	Seed       Status = "seed"       // results were asked for by it and others together, or by it as a site: the results have no lines
	Duplicate  Status = "duplicate"  // an earlier line asks the same; see duplicate_of_row
	Rejected   Status = "rejected"   // the line, or the API's refusal of it, says why
	Restricted Status = "restricted" // the vendor refuses it on legal grounds
	Cached     Status = "cached"     // answered from what was paid before
	InDoubt    Status = "held"       // asked, but whether it was charged is not known; never re-sent silently
	WrittenOff Status = "lost"       // as held, until somebody took the call as paid and lost; not asked again in its window
	Deferred   Status = "deferred"   // not asked yet: quota, credits, budget or a stop; a later run asks
)

// Statuses lists them in the order of a report.
var Statuses = []Status{
	Enriched, NoSignal, NotFound, Resolved, Seed, Duplicate, Cached, Rejected, Restricted, InDoubt, WrittenOff, Deferred,
}
