// Package lease is the lock of a lake, which keeps two runs from working on it at the
// same time. On a disk it is a [Flock], held until the process ends; in a bucket it is
// a [Lease], held until it expires unrenewed. A [Lock] is either.
//
// The write-ahead log does not depend on either: package wal explains how it fences
// off a process that has lost its lease without noticing.
package lease
