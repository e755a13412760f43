package app

import (
	"context"
	"time"

	"github.com/siglake/siglake/internal/lusha"
)

// readClock compares the clocks by a free call, unless the command has nothing to buy and nothing
// to decide: what is bought, and which run is continued, depends on the day. A run does not depend
// on the answer: without one, the machine's clock counts.
func (s *session) readClock(ctx context.Context) error {
	j, l := s.job, s.lake
	l.windows.now = j.apiNow
	if j.inDoubt.name == inDoubtHold || len(l.ledger.CallsInDoubt()) == 0 {
		if settled, err := s.isSettled(ctx); settled || err != nil {
			return err
		}
	}
	if j.conn.client.ClockOffset() == nil {
		j.usage = new(usageReading)
		j.usage.found, j.usage.err = j.conn.readUsage(ctx)
	}
	if err := j.conn.checkClock(j.Money.ClockSkewOK, j.env.Log); err != nil {
		return err
	}
	if day := j.apiNow(); j.paged != nil && !sameDay(day, j.env.Now()) {
		var err error
		j.paged, err = newPagedQuery(ctx, &j.RunOptions, j.listInput, day)
		return err
	}
	return nil
}

// isSettled reports whether the command will ask nothing, as far as the lake shows: all is bought,
// or the command is refused.
func (s *session) isSettled(ctx context.Context) (bool, error) {
	j := s.job
	match := newMatcher(j, s.lake).find()
	switch {
	case match.done != nil, match.blocking != nil, j.ResumeRunID != "" && !match.resumesRun(j.ResumeRunID):
		return true, nil
	case !j.mayBeSatisfied(match):
		return false, nil
	}
	nothing, err := j.paged.alreadySatisfied(ctx, s.lake)
	return nothing != nil, err
}

// usageReading is what the account's usage endpoint answered before a run.
type usageReading struct {
	found *lusha.Usage
	err   error
}

// apiNow is the time by the API's clock, as far as it is known.
func (j *Job) apiNow() time.Time { return j.conn.apiTime(j.env.Now()) }

func sameDay(a, b time.Time) bool {
	return a.UTC().Format(time.DateOnly) == b.UTC().Format(time.DateOnly)
}
