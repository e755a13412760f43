// Package bucket is what siglake needs of an S3 bucket, and no more: whole
// objects written under names that must be free, small objects replaced by
// compare-and-swap, ranged reads of one version, and a listing for lists of
// input and for verification. There is no rename, no copy, and no overwriting
// that cannot be conditioned.
//
// # Certainty
//
// A write whose answer was lost may have happened. Every write here is
// conditional, so the request can be repeated: if it had happened, the repeated
// one is refused (412), and what lies there is read back and compared. So nil
// means "it is there, and it is what was given", [fs.ErrExist] and [ErrChanged]
// mean "something else is there", and any other error leaves it open.
//
// An upload in parts is conditioned when its parts are put together. If that
// answer is lost, [Bucket.Upload] may say fs.ErrExist of its own success: the
// caller, who knows what the file holds, looks at what is there.
//
// Stores that ignore conditions answer every write with success. [Bucket.ProbeConditions]
// finds that out before anything depends on it.
//
// # Checksums
//
// For addresses other than AWS's own, checksums are sent only where an operation
// requires one: many stores refuse the trailing checksums that the SDK adds by
// default. For AWS, every body travels with its CRC32.
package bucket
