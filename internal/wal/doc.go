// Package wal is a write-ahead log of checksummed records in numbered segments
// ([Log]), kept in a [Store]: [Dir] on a disk, [Objects] in a bucket.
//
// A Log reads the segments that its segmentList knows, and its writer, which commits
// in groups, appends to the last one. Objects reads and writes through a logBucket,
// whose names fence off other processes, and keeps what it read in a segmentCache.
//
// # On a disk
//
// An append is a write and a sync, and a crash can leave any part of it. A
// segment's first block and every record state how much before them was durable,
// which distinguishes a torn end from damage. A [Reservation] allocates space before
// a record exists, so that the record fits on a disk that is full by then.
//
// # In a bucket
//
// Every append is an object of its own. Its name follows from segment and offset,
// and it is written only if that name is free. So an append is complete or absent,
// two processes can never append at the same place, and the log ends at the first
// free name. A listing lets many parts be read at once, and shows parts beyond a
// missing one, which is damage; it never defines where the end is. Reads by name
// must see earlier writes, as S3 and most compatible stores promise.
//
// Nothing is reserved: a bucket does not fill up, and whether an append succeeds
// does not depend on what was written before.
//
// The object under its name decides whether an append happened. Each object contains
// a random number, so identical bytes prove that the writer is the same, and a
// request without an answer can be repeated.
//
// # Fencing
//
// A process can be paused, or cut off from the network, until another process has
// taken over, however long the lock's expiry was, and then wake up. The order of
// writes alone fences it off:
//
//   - The process that opens the log, which it does under the log's lock, ends the
//     last segment with a seal: an object under the name of the next append, written
//     only if that name is free. If the old process was first, its append is read,
//     and the next name is tried.
//   - From then on the old process cannot append: the one name that it would write
//     to is taken, and stays taken, because neither seals nor first parts are ever
//     deleted. It cannot begin another segment either: before that it must seal its
//     own, and finds the seal of another process.
//
// Two processes that take over at the same time read the same end, and both try to
// begin the next segment. Its first part, too, is written only if its name is free,
// so one of them fails at its first record.
package wal
