package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// runMatch is how a command relates to the lake's runs.
type runMatch struct {
	resume    *ledger.Run // go on with it
	continues *ledger.Run // ask about what it left
	done      *ledger.Run // nothing is left to do
	blocking  *ledger.Run // another command's, unfinished: it is in the way
	misdated  *ledger.Run // unfinished, with a window that ends in the future: it has to be closed
	closing   *ledger.Run // unfinished: what it paid for is published before the command begins
}

// resumesRun reports whether a match continues a run.
func (m runMatch) resumesRun(runID string) bool {
	return m.resume != nil && m.resume.ID == runID || m.continues != nil && m.continues.ID == runID
}

// matchRules are the options that decide how a command relates to the lake's runs.
type matchRules struct {
	newRun   bool // no earlier run is continued
	resuming bool // only an earlier run is continued
	// An unfinished run does not block: it is continued in the night that it began, and closed later.
	unattended bool
}

// matchRules are those of the options.
func (o *RunOptions) matchRules() matchRules {
	return matchRules{newRun: o.Money.NewRun, resuming: o.Command == ResumeName, unattended: o.Money.Unattended}
}

// closes reports whether a command closes an unfinished run that is not its own: that of another
// list never blocks.
func (m matchRules) closes(r *ledger.Run, asked *pipeline.RunSpec) bool {
	return !m.resuming && (m.newRun || m.unattended || r.URI != asked.URI)
}

// matcher relates a command to the runs of a lake: it begins a run, continues one, or has nothing to do.
type matcher struct {
	lake  *lake
	asked *pipeline.RunSpec // the run that the command would begin
	rules matchRules
}

// newMatcher prepares to match the command of a job with the runs of a lake.
func newMatcher(j *Job, l *lake) *matcher { return &matcher{l, &j.spec, j.matchRules()} }

// match decides whether a command begins a run or continues one.
func (m *matcher) match(ctx context.Context) (runMatch, error) {
	if err := m.lake.recoverRuns(ctx); err != nil {
		return runMatch{}, lakeError(err)
	}
	match := m.find()
	switch {
	case match.misdated != nil && m.rules.resuming:
		return runMatch{}, m.resumeError(match.misdated.ID)
	case match.misdated != nil:
		r := match.misdated
		m.lake.env.Log.Warn(misdatedText, "run", r.ID, "window_end", windowEnd(r).Format(time.DateOnly), "credits", r.Cost().Max)
		return m.closeAndMatch(ctx, r)
	case match.closing != nil:
		return m.closeAndMatch(ctx, match.closing)
	case match.blocking != nil && m.rules.resuming:
		return runMatch{}, m.resumeError(match.blocking.ID)
	case match.blocking != nil:
		return runMatch{}, UsageErrorf("%s.\nRepeat its command (or use siglake resume) to continue it, or add --new-run to close it and start this run; nothing already paid for is bought again",
			blockingText(match.blocking, m.asked))
	}
	return match, nil
}

const misdatedText = "closing an unfinished run that began under a clock that was ahead: the API does not answer for its window; what it bought is published, and the window that ends today is requested anew"

// closeAndMatch closes an unfinished run, and matches the command with the runs then.
func (m *matcher) closeAndMatch(ctx context.Context, r *ledger.Run) (runMatch, error) {
	if err := m.lake.abandonRun(ctx, r); err != nil {
		return runMatch{}, lakeError(err)
	}
	return m.find(), nil
}

// blockingText says that a run is in the way of a command, and why.
func blockingText(r *ledger.Run, asked *pipeline.RunSpec) string {
	return fmt.Sprintf("run %s, started %s, is unfinished, and this command differs: %s", r.ID, r.FirstStarted.Format("2006-01-02 15:04 UTC"), changesText(asked, r))
}

// find finds the runs that a command is about. It changes nothing.
func (m *matcher) find() runMatch {
	last := lastCommand(m.lake.ledger.Runs())
	switch {
	case last == nil:
		return runMatch{}
	case last.Published == nil:
		return m.matchUnfinished(last)
	case m.rules.newRun:
		return runMatch{}
	}
	return m.matchPublished()
}

// matchUnfinished matches a command with the lake's unfinished run. A refresh is continued by a refresh
// only: another command must not buy again what is paid for.
func (m *matcher) matchUnfinished(last *ledger.Run) runMatch {
	asked, windows := m.asked, m.lake.windows
	own := commandKey(&last.RunSpec) == commandKey(asked) && !m.rules.newRun && last.Refresh == asked.Refresh
	switch {
	case own && windows.endsInFuture(last):
		return runMatch{misdated: last}
	case own && (!m.rules.unattended || m.rules.resuming || windows.isOfThisNight(last)):
		return runMatch{resume: last}
	case m.rules.closes(last, asked):
		return runMatch{closing: last}
	}
	return runMatch{blocking: last}
}

// matchPublished matches a command with the newest published run of the same command. A nightly run of today is not
// the last one if webhooks may not have delivered events since: that is polled at once. A refresh is matched with the
// newest refresh. What a refresh left is requested without it as far as it was never bought. A refresh whose
// process died while it was published is done: to begin anew would buy all of it once more.
func (m *matcher) matchPublished() runMatch {
	l, asked, windows := m.lake.ledger, m.asked, m.lake.windows
	key := commandKey(asked)
	for _, r := range slices.Backward(l.Runs()) {
		if commandKey(&r.RunSpec) != key || asked.Refresh && !r.Refresh { // a refresh continues over what others bought meanwhile
			continue
		}
		if asked.Refresh && !r.HasUnaskedLines() && !l.Blockers(r).AllowRetry() && !slices.Contains(m.lake.completed, r) {
			break
		}
		today := windows.today()
		switch until := windowEnd(r); {
		case l.Blockers(r).AllowRetry() && until.Equal(today):
			return runMatch{continues: r}
		case r.HasUnaskedLines() && windows.mayContinue(r) && (!m.rules.unattended || m.rules.resuming || windows.isOfThisNight(r)):
			return runMatch{continues: r}
		case !r.HasUnaskedLines() && until.Equal(today) && (m.rules.resuming || !m.lake.gapNoted.After(r.FirstStarted)):
			return runMatch{done: r}
		}
		break
	}
	return runMatch{}
}

// lastCommand is the newest run of isCommand; nil: there is none.
func lastCommand(runs []*ledger.Run) *ledger.Run {
	for _, r := range slices.Backward(runs) {
		if isCommand(r) {
			return r
		}
	}
	return nil
}

// isCommand reports whether a run requests something, for a command of the user's: a reread and a publication of
// deliveries request nothing, and no command continues them.
func isCommand(r *ledger.Run) bool { return r.Rereads == "" && r.Inbox == nil }

// resumeError says why a command does not go on with a run.
func (m *matcher) resumeError(runID string) error {
	asked := m.asked
	for _, r := range m.lake.ledger.Runs() {
		if r.ID == runID && r.Input != asked.Input {
			return UsageErrorf("the list differs from that of run %s (%s, started %s); name the original list, or use siglake run for this one, with --new-run to close that run",
				runID, listName(r.URI), r.FirstStarted.Format("2006-01-02 15:04 UTC"))
		}
		if r.ID == runID && commandKey(&r.RunSpec) != commandKey(asked) {
			return UsageErrorf("%s; to run the command as it is now, use siglake %s", blockingText(r, asked), orDefault(r.Settings[serviceSetting], "run"))
		}
		if r.ID == runID && m.lake.windows.endsInFuture(r) {
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

// commandKey is the same for runs that request the same, however they partition the events: a command
// must be recognised after a rebuild has changed that, and after an earlier version has done it in
// two ways.
func commandKey(spec *pipeline.RunSpec) string {
	if spec.Rereads != "" || spec.Settings[partitionSetting] == defaultPartition {
		return spec.CommandDigest
	}
	return commandDigest(unpartitioned(spec.Settings), spec.Input)
}

// unpartitioned are settings with the default partitions.
func unpartitioned(settings map[string]string) map[string]string {
	if settings[partitionSetting] == "" { // of a run of which the record was lost
		return settings
	}
	settings = maps.Clone(settings)
	settings[partitionSetting] = defaultPartition
	return settings
}
