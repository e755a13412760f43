package app

import (
	"context"
	"slices"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// announcer warns, before a job buys anything, about what it repeats.
type announcer struct {
	job  *Job
	lake *lake
}

// announceRefresh says what buying again will cost, before it is bought. continued is the refresh
// that the run continues, or the run itself if it is resumed; nil: neither.
func (a announcer) announceRefresh(ctx context.Context, continued *ledger.Run, spec pipeline.RunSpec) error {
	all := a.lake.ledger.Purchases(nil, ttlOf(&a.job.spec))
	plan, err := a.job.reread(ctx, spec.Queries, all.ForRefresh(continued, a.job.resolvesIDs()))
	if err != nil {
		return err
	}
	before, err := a.job.reread(ctx, spec.Queries, all)
	if err != nil {
		return err
	}
	again := plan.Pairs() - before.Pairs() + before.RepurchasedPairs // what was bought for less is missing, too
	a.job.env.Log.Info(repurchaseText, costAttrs(a.lake, plan, again)...)
	a.announceInDoubt(plan.InDoubt)
	return nil
}

// announceRepurchase says, before it is bought, that a run asks for more of what was
// bought the same day: a user who raises a cap does not expect to pay twice.
func (a announcer) announceRepurchase(ctx context.Context, spec pipeline.RunSpec) error {
	bought := a.lake.ledger.Purchases(nil, ttlOf(&a.job.spec))
	var purchases pipeline.Purchases = bought
	shared, err := newOverlap(ctx, a.lake.ledger, spec.Queries, bought)
	switch {
	case err != nil:
		return lakeError(err)
	case shared != nil:
		purchases = shared
	case !bought.MayRepurchase(spec.Queries):
		return nil
	}
	plan, err := a.job.reread(ctx, spec.Queries, purchases)
	if text := shared.text(); err == nil && text != "" {
		a.job.env.Log.Warn(text)
	}
	if err == nil && plan.RepurchasedPairs > 0 {
		a.job.env.Log.Warn(repurchaseText+": pairs were bought before, "+repurchaseReason, costAttrs(a.lake, plan, plan.RepurchasedPairs)...)
	}
	if err == nil {
		a.announceInDoubt(plan.InDoubt)
	}
	return err
}

// announceInDoubt names the undecided calls of which a run repeats lines nevertheless: those that
// a refresh passes over, and those of another day.
func (a announcer) announceInDoubt(planned []pipeline.PlannedInDoubt) {
	repeated := slices.DeleteFunc(slices.Clone(planned), func(d pipeline.PlannedInDoubt) bool { return d.Repeated == 0 })
	if len(repeated) == 0 {
		return
	}
	names, lines, credits := inDoubtFigures(repeated)
	a.job.env.Log.Warn(repeatedDoubts, "calls", format.List(names, 5), "lines", lines, "credits_at_most", credits)
}

// announcePagesInDoubt names the undecided call that a refresh of pages passes over.
func (a announcer) announcePagesInDoubt(ctx context.Context) error {
	cursor, _, err := a.lake.ledger.Purchases(nil, ledger.TTL{}).PageProgress(ctx, &a.job.paged.subject, &a.job.paged.query)
	if err != nil {
		return &Error{KindIntegrity, err}
	}
	if d := cursor.InDoubt; d != nil && !d.WrittenOff {
		lines := int64(len(a.job.paged.accounts))
		a.announceInDoubt([]pipeline.PlannedInDoubt{{Call: d, Repeated: lines, RepeatedFirst: lines}})
	}
	return nil
}

const (
	repeatedDoubts   = "repeating calls in doubt that are undecided: what they bought may be paid twice; see siglake held"
	repurchaseText   = "repeating purchases"
	repurchaseReason = "with a lower --max-results that they reached, for a window that begins later than this one, or with another filter"
)

// costAttrs are the figures of what is about to be bought, for the log.
func costAttrs(l *lake, plan *pipeline.Plan, repurchased int64) []any {
	e := forecast.New(plan, l.ledger.History())
	return []any{
		"pairs_again", repurchased, "pairs", plan.Pairs(), "calls", plan.Calls(),
		"credits_expected", e.P50, "credits_from", e.P5, "credits_to", e.P95, "credits_at_most", e.Ceiling,
	}
}
