// Package journal is the write-ahead journal of paid calls: what is about to be
// asked is durable before the first byte of the request leaves, and what came
// back before anyone reads it. [Ledger] is what a lake knows about money; below
// it lies a log of checksummed records in numbered segments, and below that a
// [Store] of segments: [Dir] on a disk, [Objects] in a bucket. [Flock] and [Lease]
// keep two runs from working on one lake; the log does not depend on them.
//
// # On a disk
//
// An append is a write and a sync, and a crash can leave any part of it. A
// segment's first block and every record state how much before them was durable,
// so that a torn end can be told from damage. Room is allocated before a call is
// made, so that its answer fits on a disk that is full by then.
//
// # In a bucket
//
// Every append is an object of its own under a name that follows from segment
// and offset, written only if that name is free. So it is there wholly or not at
// all, two processes can never both append at one place, and the journal's end is
// the first name that is free. A listing lets many parts be read at once, and
// shows parts beyond one that is missing, which is damage; it is never what says
// where the end is. Reads by name must see what was written before, as S3 and
// most stores of its kind promise.
//
// There is no room to be kept: a bucket does not fill up, and an append that
// cannot be made now is made later or never, whatever was written before.
//
// Whether an append happened is decided by what lies under its name. Each bears
// a random number, so that the same bytes there are the writer's own, and a
// request whose answer was lost can be repeated.
//
// # Shutting out a process that was thought dead
//
// A process whose machine was paused, or cut off, may wake up when another one
// has taken over, however long any lock waited. It is shut out by the order of
// writes alone:
//
//   - Whoever opens the journal, which is done under its lock, ends its last
//     segment with a seal: an object under the name of the next append, written
//     only if it is free. If the old process was first, its append is read, and
//     the next name is tried.
//   - From then on the old process cannot append: the one name that it would
//     write to is taken, and stays so, because neither seals nor first parts are
//     ever deleted. Nor can it begin another segment: before that it seals its
//     own, and finds a seal that is not its own.
//   - An intent is durable before its call is made. So a call that the old
//     process makes after the seal is one whose intent was appended before it,
//     and whoever sealed has read that intent: it has no answer, so it is in
//     doubt, and is not asked again in silence. There are as many of those as
//     calls were on their way, no more: the next intent breaks the old process.
//   - The answer to such a call cannot be appended either. The call stays in
//     doubt, at the price of its ceiling, which is the right thing to think of it.
//
// What remains open is the time between an intent and its request. A process that
// sleeps just there for longer than a lease lasts, and wakes up, sends a call that
// somebody may have decided to ask again in the meantime. [Lease.Valid], asked
// just before the request, narrows that to the time from the question to the
// network; an API that knows nothing of leases allows no more.
//
// Two processes that take over at the same time both read the same end, and both
// want to begin the next segment: its first part, too, is written only if its name
// is free, so one of them breaks at its first record, before it has asked anything.
//
// # What is known
//
// An index leads from an identity, that of an identifier or of an id of the API,
// to the calls that asked about it. What they brought is read from their answers
// when somebody asks: whether a pair was bought ([Ledger.Coverage]), which id a
// search found and whether that still counts ([Ledger.Resolve]), how far pages
// have come and in which session ([Ledger.PageProgress]). Nothing of this is noted a
// second time, so nothing of it can disagree with what was paid.
package journal
