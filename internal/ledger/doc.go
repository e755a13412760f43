// Package ledger records paid calls. The intent of a call is durable before the first byte
// of its request leaves, and the answer is durable before it is decoded. [Ledger] is what a
// lake knows about purchases: its records, replayed. A [Recorder] adds records to it, and
// [Purchases] say what a run need not buy.
//
// # Long answers
//
// An answer that is longer than a piece is recorded while it arrives: pieces, then the
// response, which makes all of them durable and says how many they are. Records of other
// calls may lie between them. Pieces without a response are those of a process that ended,
// and its call is in doubt. Ledgers of versions before that have every answer in one record.
//
// # After a takeover
//
// A process that was presumed dead can wake up after another one has opened the
// ledger. The log shuts it out, as package wal explains, and the order of records
// limits what it can still spend:
//
//   - An intent is durable before its call is made. So a call that the old process
//     makes after the takeover is one with an intent from before it, and the new
//     process has read that intent: it has no answer, so the call is in doubt, and
//     is not silently repeated. There are only as many such calls as were in flight:
//     the next intent fails in the old process.
//   - The answer to such a call cannot be appended either. The call stays in doubt,
//     and counts at its ceiling, which is the safe assumption.
//
// What remains open is the time between an intent and its request. A process that
// sleeps there for longer than a lease lasts, and wakes up, sends a call that a user may
// have released for a retry in the meantime. A check of Lease.Valid of package lease just
// before the request narrows that to the time from the check to the network. An API without
// leases allows no more.
//
// # What is known
//
// An index leads from an identity, that of an identifier or of an id of the API,
// to the calls that requested it. What they returned is read from their answers
// on demand: whether a pair was bought ([Purchases.Coverage]), which id a
// search found and whether it is still valid ([Purchases.Resolve]), how far pages
// have come and in which session ([Purchases.PageProgress]). None of this is
// recorded a second time, so it cannot contradict the purchases.
package ledger
