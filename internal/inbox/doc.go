// Package inbox keeps the deliveries of webhooks from their arrival until they are published.
//
// It is a buffer. The receiver appends a delivery, and answers only when the delivery is durable. A
// publication records it in the lake's journal, which is the only truth from then on: nothing of a
// lake is ever rebuilt from the inbox. The inbox is a log of its own, with a lock of its own, so that
// deliveries arrive while a run holds the lake's lock.
//
// # Log
//
// The log is a [wal.Log], in <lake>/_state/inbox. The head of a record is when the delivery arrived and
// its id, so that both are left when the record is pruned. Its body is the timestamp header and the body
// of the delivery, as received.
//
// # Writer and readers
//
// One process receives: [Open] takes the lock, on a disk a file lock, in a bucket a lease. A [Reader]
// takes no lock and writes nothing. It sees no delivery beyond what the writer has stated to be
// durable: of a record that was written and not synced, a reader would publish what a power cut can
// take back, and the position behind it would name another delivery afterwards.
//
// # Ids
//
// The vendor delivers again what was not acknowledged in time. The ids of the last 24 hours are kept in
// memory, and read from the log at the beginning: a known id is acknowledged and not appended. A copy
// that arrives later is a second record of the log; the publication recognises it by its call id.
package inbox
