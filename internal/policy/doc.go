// Package policy decides what follows a call: retry it, split its batch, leave the batch
// to a later run, or stop the run; and it enforces the spending cap. It knows no vendor:
// a [Vendor] explains each refusal by its [Kind].
//
// The policies are decorators of a [pipeline.Fetcher] that returns decoded answers.
// From the wire outwards:
//
//	Retry    repeats what certainly was not charged; stops the run when it must
//	Bisect   splits a batch that is refused for something in it
//	Size     keeps the highest possible length of every answer below a target
//	Budget   keeps the highest possible cost of a run below a cap
//
// Size and Budget lie outside of Bisect: Bisect blames a refusal on the parts of a
// batch, but other parts of a batch that they cut may have been paid for.
//
// # What follows a refusal
//
//	Kind            charged  then
//	----------------------------------------------------------------------------
//	BadItem         no       Bisect; the run stops if the query is to blame
//	RestrictedItem  no       Bisect
//	NoMatch         no       done: the items are not found
//	Transient       no       repeat after a back-off
//	RateBurst       no       repeat after a back-off, at the limiter's lower speed
//	RateWindow      no       repeat at once: the limiter waits for the window
//	SessionExpired  no       done if the batch continues a session, else stop
//	Terminal        no       stop, with the refusal's own reason
//	Unexplained     no       repeat in a later run
//	Unexplained     unknown  none: the items are in doubt
//	Intercepted     unknown  stop: the address or a proxy is wrong
//
// A repeated call passes the rate limiter again, which knows when a window turns:
// the limiter delays the attempt, or stops the run.
//
// A call in doubt may have been charged, so no policy repeats it. Five of them
// without an answer in between stop the run, as do five batches in a row that were
// given up after all their attempts.
package policy
