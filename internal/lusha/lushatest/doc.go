// Package lushatest holds what the tests of several packages need in place of the
// Lusha API: a fake client that plays a list of steps, and batches to send to it.
package lushatest
