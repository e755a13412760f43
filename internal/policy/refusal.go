package policy

import (
	"time"

	"github.com/siglake/siglake/pipeline"
)

// Kind says what follows an attempt that brought no answer.
type Kind int

// The kinds. The table in the package comment says how each is handled.
const (
	Unexplained Kind = iota // nothing more is known: the batch is left to a later run
	// Something in the request is refused: an item or, with BadQuery, the query.
	BadItem
	RestrictedItem // an item is refused on legal grounds
	NoMatch        // the API knows none of the items, which is an answer
	Transient      // repeated after a back-off of at least RetryAfter
	// Repeated after a back-off; the rate limiter keeps the server's own delay.
	RateBurst
	RateWindow // repeated at once; the rate limiter waits for the window to turn
	// A batch that continues a session needs another one; for any other batch this is
	// like Terminal.
	SessionExpired
	Terminal    // every further batch would meet it: Stop says why
	Intercepted // in doubt, and answered by something between this client and the API
)

// Refusal is what the policies know of an attempt that brought no answer.
type Refusal struct {
	Kind       Kind
	BadQuery   bool           // of BadItem: the query is refused, whatever the items
	RetryAfter time.Duration  // the delay that the answer asks for; 0 when it asks for none
	Message    string         // the API's own words: the same for the same cause
	Summary    string         // one line for people
	Stop       *pipeline.Stop // of Terminal and SessionExpired
}

// Vendor is what the policies ask of the package that speaks the API's wire
// format. It must be safe for concurrent use.
type Vendor interface {
	// Refusal explains a call that did not end as Charged.
	Refusal(call *pipeline.Call) Refusal
	// UnsentReply is the reply to a batch that was not sent: items that the API's
	// version cannot express are Rejected, the others Deferred with the reason.
	UnsentReply(b *pipeline.Batch, reason string) *pipeline.Reply
}
