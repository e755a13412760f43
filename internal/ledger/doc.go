// Package ledger records paid calls. The intent of a call is durable before the first byte
// of its request leaves, and the answer is durable before it is decoded. [Ledger] is what a
// lake knows about purchases: its records, replayed. A [Recorder] adds records to it, and
// [Purchases] say what a run need not buy.
//
// # Where it is decided
//
// A Ledger opens, recovers and closes the records, and hands out what asks about them or changes them:
//
//   - [Recorder]: what becomes a record, and when it is durable. It is the only writer during a run.
//   - [Purchases]: whether a pair was bought, and whether an old purchase covers a new question
//     (coverage.go), whether an id is known (resolve.go) or a page was bought (pages.go), and whether a
//     request may buy it again.
//   - [Cursors]: up to which day a pair was asked, how late events are, which windows reached a cap.
//   - [Blockers]: which calls in doubt the lines of a published run wait for, and when they may be retried.
//   - [Rereader]: what the present version reads in the answer to a call in doubt.
//   - [Bill]: what the calls cost at most.
//   - [Reader]: what a run recorded: answers, lines, manifest and totals.
//   - [Losses]: what published manifests name and the ledger lacks.
//   - [Pruner]: which answers may be removed.
//   - [Partitions]: by which key the events of a run are partitioned.
//
// [Ledger.Audit] checks the whole ledger, and [Salvage] writes what is left of a damaged one into a new
// one. The audits of pairs are another thing: a run asks for them, and a pairAuditor compares their
// answers with earlier ones before the run is published.
//
// All of them share one state, which is what the records say. A replayer builds it from records, a
// restorer from a checkpoint, and a loader completes it when a question needs more than opening has read.
// A checkpointer decides when the next checkpoint is due and writes it; what it keeps is decided by
// chooseKept. The archive reads single calls and answers.
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
//
// Which id the answers state for an identifier ([Purchases.Entity]) is asked for every line that needs
// no call, on every night, and says nothing about purchases. So the outcome of a call has its ids, in a
// field that earlier versions ignore, and a checkpoint has the place of the outcome: one small record
// is read for a hundred lines of a list, and not their answers. Those of earlier versions are read.
//
// # How far pairs were asked
//
// What to request tonight is decided by a [Cursor] for each identity and signal type: the newest date
// of its events, the days that were asked, and the days that are closed, because they were asked again
// once no event of theirs can be late any more. Dates are in the answers, and a year of answers is too
// much to read, so the outcome of a call says which of its entities have events and between which dates.
// It is a few bytes for each entity with an event, in a field that earlier versions ignore. The answers
// of those versions are read once, when the cursors are asked for or the first checkpoint is written.
//
// An answer moves the cursors of every identity that it decides: of the requested identifier, of the id
// and of its aliases. So a list that was requested by domains has cursors when it is requested by ids.
// Cursors are kept by signal type and filters: what a narrower filter has let pass says nothing about
// the rest. They take 12 bytes for each identity and type, so a process has them in memory, and a
// checkpoint on disk, only once they were asked for.
//
// An answer with as many events as its cap allows may lack older ones. Their window is a [Capped], which
// few pairs have. It stays until an answer contains all of it.
//
// # Deliveries
//
// What a webhook delivers is recorded as a call with its answer, under the id of the delivery (deliveries.go).
// The inbox holds it durably, so its records need not be durable before the run is prepared; the beginning of a
// delivery that a crash leaves is none, and never in doubt. It moves the newest event of its pair and nothing else of a
// cursor, covers no question, and is no history: nothing was asked. Its identities lead to it from the index, since an audit
// of a pair counts it as known.
//
// # Checkpoints
//
// A run that is published ends with a checkpoint if the records since the last one are many: 4 MiB, or
// twice the last checkpoint. It holds what opening needs of the records before it: runs, history,
// cursors, everything undecided, and the calls and the index of the last 35 days. So a ledger is opened
// from its newest checkpoint and the records after it, in time and memory that depend on the list and
// not on the nights, and without reading older segments.
//
// A checkpoint consists of parts, of which opening decodes the runs and the calls that may still change.
// Recent purchases (other calls, queries, history and index) and cursors are decoded when a question needs
// them; until then each run has the sum of its calls, and outcomes that were recorded since wait for the
// history and the index. A process that writes needs them in any case.
//
// The 35 days are those of search results and of caps on a month, not those of windows: a night looks back
// by a period and the lateness of events, up to three months. It compares its window with cursors, which a
// checkpoint has, with calls of the same day, and with calls in doubt, which it keeps. An audit compares
// with all earlier answers and reads those that were left behind. If an answer was cut, and one that was
// left behind shows that as long an answer can come whole, smaller batches are asked until the windows
// have no day in common any more: that costs calls and no credits.
//
// A checkpoint is a copy and never a source. It is built from records alone, by the process that writes
// it as by the one that verifies it, and both get the same bytes. One that is damaged or of another
// version is ignored, and all records are read instead. What it leaves behind is settled: it has an
// outcome, a known cost and a published run, and its window ended more than 35 days ago. A question
// about such a window, or a command that needs the answers of an old run, reads the records before the
// checkpoint; a run that cannot read them makes no call.
//
// Versions before checkpoints refuse a journal that has one: they take its kind for one of a newer
// version.
package ledger
