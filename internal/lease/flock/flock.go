// Package flock locks files against other processes. A lock ends with the process
// that holds it, however it ends.
package flock
