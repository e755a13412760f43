package app

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

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
		return UsageErrorf("run %s has exhausted its budget of %d credits; set a budget for the rest with --max-credits N, or unlimited", r.ID, r.Budget)
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
		if open = l.leftRun(); open == nil {
			open = l.reopenedRun()
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

// reopenedRun is the newest run, among the newest of each command, that was
// reopened and with a window that still ends today; nil when there is none.
func (l *lake) reopenedRun() *ledger.Run {
	seen := map[string]bool{}
	for _, r := range slices.Backward(l.ledger.Runs()) {
		if !seen[commandKey(&r.RunSpec)] && l.ledger.Blockers(r).AllowRetry() && windowEnd(r).Equal(l.today()) {
			return r
		}
		seen[commandKey(&r.RunSpec)] = true
	}
	return nil
}

// resumesRun reports whether a match continues a run.
func (m runMatch) resumesRun(runID string) bool {
	return m.resume != nil && m.resume.ID == runID || m.continues != nil && m.continues.ID == runID
}

// resumeError says why a command does not go on with a run.
func (l *lake) resumeError(runID string, asked *pipeline.RunSpec) error {
	for _, r := range l.ledger.Runs() {
		if r.ID == runID && r.Input != asked.Input {
			return UsageErrorf("the list differs from that of run %s (%s, started %s); name the original list, or use siglake run for this one, with --new-run to close that run",
				runID, listName(r.URI), r.FirstStarted.Format("2006-01-02 15:04 UTC"))
		}
		if r.ID == runID && commandKey(&r.RunSpec) != commandKey(asked) {
			return UsageErrorf("%s; to run the command as it is now, use siglake %s", blockingText(r, asked), orDefault(r.Settings[serviceSetting], "run"))
		}
		if r.ID == runID && l.endsInFuture(r) {
			return UsageErrorf("run %s began under a clock that was ahead: its window ends on %s, and the API does not answer for that; use siglake %s, which closes it, publishes what it bought, and requests the window that ends today",
				runID, windowEnd(r).Format(time.DateOnly), orDefault(r.Settings[serviceSetting], "run"))
		}
		if r.ID == runID {
			return UsageErrorf("the window of run %s ended on %s; use siglake run to request today's", runID, windowEnd(r).Format(time.DateOnly))
		}
	}
	return UsageErrorf("run %s is not in the journal", runID)
}

func listName(uri string) string {
	if uri == "-" {
		return "from standard input"
	}
	return uri
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
