package app

import (
	"context"
	"time"

	"github.com/siglake/siglake/internal/lusha"
)

// readClock compares the clocks by a free call, unless the command has nothing to buy and nothing
// to decide: what is bought, and which run is continued, depends on the day. A run does not depend
// on the answer: without one, the machine's clock counts.
func (j *Job) readClock(ctx context.Context, l *lake) error {
	l.now = j.apiNow
	if j.inDoubt.name == inDoubtHold || len(l.ledger.CallsInDoubt()) == 0 {
		if settled, err := j.isSettled(ctx, l); settled || err != nil {
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
func (j *Job) isSettled(ctx context.Context, l *lake) (bool, error) {
	match := l.findMatch(&j.spec, j.matchRules())
	switch {
	case match.done != nil, match.blocking != nil, j.ResumeRunID != "" && !match.resumesRun(j.ResumeRunID):
		return true, nil
	case j.paged == nil, j.Money.Refresh, match.resume != nil, match.continues != nil:
		return false, nil
	}
	nothing, err := j.paged.alreadySatisfied(ctx, l)
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
