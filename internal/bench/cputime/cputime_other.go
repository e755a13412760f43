//go:build !unix

package cputime

import "time"

var began = time.Now()

// Now is wall time: the CPU time is not known here.
func Now() time.Duration { return time.Since(began) }
