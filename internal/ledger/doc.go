// Package ledger records paid calls. What is about to be asked is durable before
// the first byte of the request leaves, and what came back is durable before it is
// read. [Ledger] is what a lake knows about money.
//
// # After a takeover
//
// A process that was thought dead can wake up after another one has opened the
// ledger. The log shuts it out, as package wal explains, and the order of records
// limits what it can still spend:
//
//   - An intent is durable before its call is made. So a call that the old process
//     makes after the takeover is one with an intent from before it, and the new
//     process has read that intent: it has no answer, so the call is in doubt, and
//     is not silently repeated. There are as many such calls as were on their way,
//     no more: the next intent breaks the old process.
//   - The answer to such a call cannot be appended either. The call stays in doubt,
//     at the price of its ceiling, which is the right thing to assume about it.
//
// What remains open is the time between an intent and its request. A process that
// sleeps just there for longer than a lease lasts, and wakes up, sends a call that
// may have been decided to be asked again in the meantime. Lease.Valid of package
// lease, asked just before the request, narrows that to the time from the question
// to the network; an API that knows nothing of leases allows no more.
//
// # What is known
//
// An index leads from an identity, that of an identifier or of an id of the API,
// to the calls that asked about it. What they returned is read from their answers
// when it is asked for: whether a pair was bought ([Ledger.Coverage]), which id a
// search found and whether that still counts ([Ledger.Resolve]), how far pages
// have come and in which session ([Ledger.PageProgress]). Nothing of this is
// recorded a second time, so nothing of it can disagree with what was paid.
package ledger
