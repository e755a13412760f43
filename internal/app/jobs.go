package app

import "runtime"

// DefaultJobs is how much a command works on at once: as much as the machine does.
func DefaultJobs() int { return runtime.GOMAXPROCS(0) }

func checkJobs(jobs int) error {
	if jobs < 1 {
		return UsageErrorf("--jobs %d: expected a number from 1", jobs)
	}
	return nil
}
