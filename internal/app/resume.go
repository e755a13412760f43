package app

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// ResumeName is the command that resumes a run.
const ResumeName = "resume"

// ContinueRun sets the options to those of an earlier run, except those that may
// differ for the rest of it: list, budget and TTLs.
func (o *RunOptions) ContinueRun(r *ledger.Run, stop *pipeline.StopInfo) error {
	switch {
	case services[r.Settings[serviceSetting]] == pipeline.Visits: // its sites are in its settings
		o.List = r.URI
	case o.List != "":
	case r.URI == "-":
		return UsageErrorf("run %s read its list from standard input; name the list: siglake resume LIST --lake %s", r.ID, o.Lake)
	default:
		o.List = r.URI
	}
	budget := remainingBudget(r)
	if r.Budget > 0 && (budget < 1 || stop != nil && stop.Kind == pipeline.StopBudget) && !o.Money.MaxCreditsSet {
		return UsageErrorf("run %s has exhausted its budget of %s; set a budget for the rest with --max-credits N, or unlimited", r.ID, format.Count(r.Budget, "credit"))
	}
	if stop != nil && stop.Kind == pipeline.StopDrift && !o.Work.ContractSet {
		return UsageErrorf("run %s stopped under --contract freeze, because answers differ from what siglake knew: say how to continue it, with --contract evolve or --contract freeze", r.ID)
	}
	partitionBy := o.Work.PartitionBy
	if err := RestoreOptions(o, r.Settings); err != nil {
		return fmt.Errorf("run %s: %w", r.ID, err)
	}
	o.Work.PartitionBy = partitionBy // the lake decides, which may have been rebuilt since
	if r.Budget > 0 && !o.Money.MaxCreditsSet {
		o.Money.MaxCredits = strconv.FormatInt(budget, 10)
	}
	o.Money.Refresh, o.ResumeRunID = r.Refresh, r.ID
	for _, ttl := range []struct {
		restored time.Duration
		set      bool
		option   *string
	}{{r.PositiveTTL, o.TTL.PositiveSet, &o.TTL.Positive}, {r.NegativeTTL, o.TTL.NegativeSet, &o.TTL.Negative}} {
		if ttl.restored > 0 && !ttl.set {
			*ttl.option = fmt.Sprintf("%dd", ttl.restored/(24*time.Hour))
		}
	}
	return nil
}

// FindResumable is the newest run that is not finished, or that left lines; else the
// newest one of which something in doubt may be asked again by now. With it comes
// the reason for which it stopped asking; nil when there is none of so many.
func FindResumable(ctx context.Context, env *Env, o *RunOptions) (open *ledger.Run, stop *pipeline.StopInfo, total int, err error) {
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, "siglake resume")
	if err != nil {
		return nil, nil, 0, err
	}
	defer l.close() //nolint:errcheck // nothing was written
	runs := l.ledger.Runs()
	last := lastCommand(runs)
	if last == nil {
		return nil, nil, 0, nil
	}
	switch {
	case last.Prepared == nil:
		return last, nil, len(runs), nil
	case last.Published == nil || last.HasUnaskedLines(), // published, or about to be
		o.Money.InDoubt != inDoubtHold && slices.ContainsFunc(last.Calls, (*ledger.Call).InDoubt):
		open = last
	default:
		statuses := newStatusReader(l)
		if open = statuses.leftRun(); open == nil {
			open = statuses.reopenedRun()
		}
	}
	if open == nil {
		return nil, nil, len(runs), nil
	}
	m, err := l.ledger.Reader().PreparedManifest(ctx, open)
	if err != nil {
		return nil, nil, 0, lakeError(err)
	}
	return open, m.Run.Stop, len(runs), nil
}

// remainingBudget is what is left of a run's budget for its continuation. A run that
// was not staged counts what it has spent; the rest of one that was staged is asked
// by another run, which counts from zero.
func remainingBudget(r *ledger.Run) int64 {
	if r.Prepared == nil {
		return r.Budget
	}
	return r.Budget - r.Cost().Max
}
