package main

import (
	"cmp"
	"time"
)

// The exit codes of siglake that this program gives itself.
const (
	exitComplete = 0
	exitDeferred = 20
	exitInDoubt  = 21
	exitStorage  = 40
	exitLocked   = 50
	exitUsage    = 64
	exitKilled   = 130
)

// action is what follows an exit code.
type action int

const (
	// finish: the job is done.
	finish action = iota
	// retryLater: the same command requests the rest, at the time that the run states, else after a pause.
	retryLater
	// retrySoon: another process has the lake, which takes a minute at most if it is dead. It is not counted.
	retrySoon
	// fail: a person must look; a repetition would end in the same way.
	fail
)

// policy is what an exit code means for a night.
type policy struct {
	outcome string
	action  action
}

// policies are those of siglake help exit-codes. A code that is not here is a crash.
var policies = map[int]policy{
	exitComplete: {"complete", finish},
	10:           {"rejected_lines", finish},
	12:           {"unexplained_charge", finish},
	13:           {"after_publish_failed", finish},
	exitDeferred: {"deferred", retryLater},
	exitInDoubt:  {"in_doubt", finish}, // with lines that are left: retryLater
	22:           {"stale", fail},
	23:           {"answers_changed", fail},
	24:           {"undelivered", fail},
	30:           {"refused", fail},
	exitStorage:  {"storage", retryLater},
	exitLocked:   {"locked", retrySoon},
	60:           {"damaged", fail},
	exitUsage:    {"usage", fail},
	exitKilled:   {"killed", retryLater},
}

// crashed is the policy of a process that ended by a signal, or with a code that siglake does not have.
var crashed = policy{"crashed", retryLater}

const (
	// maxRetries is how often in a row a job is repeated at no stated time, as the examples of siglake help deploy do.
	maxRetries = 7
	// lockedPause is between two attempts to get a lake that another process holds.
	lockedPause = 10 * time.Second
)

// policyOf is the policy of an end.
func policyOf(e *ending) policy {
	p, ok := policies[e.ExitCode]
	if !ok || e.Signaled {
		return crashed
	}
	if e.ExitCode == exitInDoubt && e.Deferred > 0 {
		p.action = retryLater
	}
	return p
}

// decision is what becomes of an activity after an attempt.
type decision struct {
	policy
	retryIn time.Duration // of retryLater and retrySoon
}

// decide says what follows an end. failures counts the ends in a row, with this one, that stated no time.
func decide(e *ending, failures int, pause time.Duration, now time.Time) decision {
	d := decision{policy: policyOf(e)}
	switch {
	case d.action == retrySoon:
		d.retryIn = min(lockedPause, pause)
	case d.action == retryLater && e.RetryAt != nil:
		d.retryIn = max(e.RetryAt.Sub(now), time.Second)
	case d.action == retryLater && failures > maxRetries:
		d.action = fail
	case d.action == retryLater:
		d.retryIn = pause
	}
	return d
}

// gravest is the exit code of several jobs. That of a crash is graver than all that siglake has.
func gravest(codes ...int) (code int) {
	for _, c := range codes {
		if _, known := policies[c]; !known {
			c = exitKilled
		}
		code = max(code, c)
	}
	return code
}

// isFailure reports whether a night with this exit code has failed. Lines that are left to the next night, and
// doubt that is declared, are no failure.
func isFailure(code int) bool {
	p, ok := policies[code]
	return !ok || p.action == fail || code == exitStorage || code == exitKilled || code == exitLocked
}

// outcomeOf is the outcome of an exit code.
func outcomeOf(code int) string { return cmp.Or(policies[code].outcome, crashed.outcome) }
