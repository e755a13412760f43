package ledger

import (
	"cmp"
	"context"
	"time"
)

// Purchases is what a run need not buy, since it was bought before. Its methods are for one
// goroutine; meanwhile a Recorder may record calls.
type Purchases struct {
	ledger  *Ledger
	state   *state
	archive *archive
	now     func() time.Time
	ttl     TTL
	// The run in progress; nil: none. What it finds is valid until it ends.
	run *Run
	// The runs with purchases that count, and those with search results that count.
	include, includeIDs func(*Run) bool
	// The runs whose undecided calls a refresh repeats; nil: p is not for a refresh.
	passes func(*Run) bool
}

// TTL is how long search results are valid; 0 means the default. The vendor promises neither
// that ids are stable for ever nor that an unknown entity stays unknown.
type TTL struct {
	Positive time.Duration // of a result with an id; by default 30 days
	Negative time.Duration // of one without; by default 7 days
}

func (t TTL) orDefault() TTL {
	const day = 24 * time.Hour
	return TTL{cmp.Or(t.Positive, 30*day), cmp.Or(t.Negative, 7*day)}
}

// Purchases are those of every run, as the run in progress uses them; nil: none has begun.
func (l *Ledger) Purchases(run *Run, ttl TTL) *Purchases {
	_ = l.loadRecent(context.Background()) // after an error no call is made
	return &Purchases{ledger: l, state: l.state, archive: l.archive, now: l.now, ttl: ttl.orDefault(), run: run, include: everyRun, includeIDs: everyRun}
}

func everyRun(*Run) bool { return true }

// ForRefresh is p for a run that buys again what was bought before: only the purchases of the
// run and of the runs that it continues count. nil stands for a run that has not begun.
// Resolved ids are kept and not bought again, unless refreshIDs says that the run is about
// ids. Undecided calls of the other runs hold nothing: they are listed as repeated.
func (p *Purchases) ForRefresh(r *Run, refreshIDs bool) *Purchases {
	own := *p
	own.include = p.samePurchase(r)
	own.passes = func(r *Run) bool { return !own.include(r) }
	if refreshIDs {
		own.includeIDs = own.include
	}
	return &own
}

// Without is p without the purchases of a run.
func (p *Purchases) Without(r *Run) *Purchases {
	others := *p
	others.include = func(other *Run) bool { return other != r && p.include(other) }
	return &others
}

// samePurchase reports which runs belong to the same refresh: the run itself and those that
// it continues. nil stands for a run that has not begun.
func (p *Purchases) samePurchase(r *Run) func(*Run) bool {
	own := map[string]bool{}
	isOwn := func(r *Run) bool { return own[r.ID] }
	if r == nil {
		return isOwn
	}
	for id := r.ID; id != ""; {
		own[id] = true
		old, err := p.state.findRun(id)
		if err != nil || !old.Refresh {
			break
		}
		id = old.Continues
	}
	return isOwn
}
