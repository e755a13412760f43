// Package wal is a write-ahead log of checksummed records in numbered segments
// ([Log]), kept in a [Store]: [Dir] on a disk, [Objects] in a bucket.
//
// # On a disk
//
// An append is a write and a sync, and a crash can leave any part of it. A
// segment's first block and every record state how much before them was durable,
// so that a torn end can be told from damage. A [Reservation] allocates space before
// a record exists, so that the record fits on a disk that is full by then.
//
// # In a bucket
//
// Every append is an object of its own under a name that follows from segment
// and offset, written only if that name is free. So it is complete or absent, two
// processes can never both append at one place, and the log's end is the first
// name that is free. A listing lets many parts be read at once, and shows parts
// beyond a missing one, which is damage; it never defines where the end is. Reads
// by name must see what was written before, as S3 and most stores of its kind
// promise.
//
// Nothing is reserved: a bucket does not fill up, and an append that cannot be made
// now is made later or never, whatever was written before.
//
// The object under its name decides whether an append happened. Each object bears a
// random number, so the same bytes there are the writer's own, and a request that
// got no answer can be repeated.
//
// # Shutting out a process that was thought dead
//
// A process can be paused, or cut off from the network, until another one has taken
// over, however long any lock waited, and then wake up. The order of writes alone
// shuts it out:
//
//   - The process that opens the log, which it does under the log's lock, ends the
//     last segment with a seal: an object under the name of the next append, written
//     only if that name is free. If the old process was first, its append is read,
//     and the next name is tried.
//   - From then on the old process cannot append: the one name that it would write
//     to is taken, and stays taken, because neither seals nor first parts are ever
//     deleted. It cannot begin another segment either: before that it seals its own,
//     and finds a seal of another process.
//
// Two processes that take over at the same time both read the same end, and both
// try to begin the next segment: its first part, too, is written only if its name
// is free, so one of them breaks at its first record.
package wal
