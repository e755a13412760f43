package app

import (
	"context"
	"slices"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/nights"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/pipeline"
)

// webhookGaps are the entities of which webhooks may not have delivered every event; nil: there are none.
func webhookGaps(ctx context.Context, l *lake, store StoreOptions) (*nights.Gaps, error) {
	state, err := WebhookState(ctx, l.env, store, l.uri)
	if err != nil || len(state.Gaps) == 0 {
		return nil, err
	}
	gaps := map[pipeline.Identity][]nights.Gap{}
	for _, g := range state.Gaps {
		if u := state.Find(g.Object, g.EntityID); u != nil {
			identity := pipeline.IdentityByID(g.Object, g.EntityID)
			gaps[identity] = append(gaps[identity], nights.Gap{Signals: u.Signals(), Since: ledger.DayOf(g.From), Noted: g.Noted})
		}
	}
	return nights.NewGaps(gaps, l.ledger.Runs()), nil
}

// closeGaps removes the gaps that a night has asked about. If another command changes the lake's webhooks, the
// next night removes them: it asks no gap again that is older than a night.
func closeGaps(ctx context.Context, l *lake, store StoreOptions, run *ledger.Run) error {
	if !run.SinceLast() || run.Published == nil || run.Published.Outcome != pipeline.RunComplete && run.Published.Outcome != pipeline.RunWithRejects {
		return nil
	}
	asked := func(g subscriptions.Gap) bool { return g.Noted.Before(run.FirstStarted) }
	state, err := WebhookState(ctx, l.env, store, l.uri)
	if err != nil || !slices.ContainsFunc(state.Gaps, asked) {
		return err
	}
	webhooks, err := openWebhooks(ctx, l.env, store, l.uri, "siglake run")
	if err != nil {
		return err
	}
	defer webhooks.close() //nolint:errcheck // what was written is durable
	if state, err = webhooks.read(ctx); err != nil {
		return err
	}
	state.Gaps = slices.DeleteFunc(state.Gaps, asked)
	return webhooks.write(ctx, state)
}
