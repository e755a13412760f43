// Package bucket provides exactly what siglake needs of an S3 bucket: whole objects written under
// names that must be free, small objects replaced by compare-and-swap, ranged reads of one version,
// and a listing for input lists and verification. It has no rename, no copy, and no unconditional
// overwrite.
//
// # Certainty
//
// A write with a lost answer may have succeeded. Every write here is conditional, so the request
// can be repeated: if the first attempt had succeeded, the repeated one is refused (412), and the
// stored object is read back and compared. So nil means "the object exists with the given content",
// [fs.ErrExist] and [ErrChanged] mean "another object exists", and any other error leaves the
// outcome open.
//
// The condition of an upload in parts is checked when the parts are assembled. If that answer is
// lost, [Bucket.Upload] may return fs.ErrExist for its own success: the caller, who knows the
// content of the file, checks the stored object.
//
// Stores that ignore conditions answer every write with success. [Bucket.ProbeConditions] detects
// them before anything depends on a condition.
//
// # Checksums
//
// For endpoints other than AWS, checksums are sent only for operations that require one: many
// stores refuse the trailing checksums that the SDK adds by default. For AWS, every body is sent
// with its CRC32.
package bucket
