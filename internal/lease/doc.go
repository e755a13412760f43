// Package lease keeps two runs from working on one lake: [Flock] on a disk, for as
// long as the process lives; [Lease] in a bucket, for as long as it is renewed. A
// [Lock] is either.
//
// The write-ahead log does not depend on them: package wal explains how it shuts out
// a process that has lost its lease without noticing.
package lease
