//go:build unix

// Package cputime measures the CPU time of benchmarks: unlike wall time it does not grow when other
// programs use the machine, and it has the work of the garbage collector in it.
package cputime

import (
	"syscall"
	"time"
)

// Now is the CPU time that the process has taken: user and system, of all threads.
func Now() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // the arguments are constants
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
