package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// lake is a lake's journal, with the lock that keeps other runs away.
type lake struct {
	env     *Env
	uri     string // as the user named it
	options sinks.Options
	store   journalStore
	ledger  *ledger.Ledger
	// The API's clock if it is known, else the machine's: windows end on its day.
	now func() time.Time
}

// openLake locks a lake for who, and opens its journal. An onlooker locks nothing
// and writes nothing, while others may be at work.
func openLake(ctx context.Context, env *Env, o StoreOptions, uri, holder string) (l *lake, err error) {
	l = &lake{env: env, uri: uri, options: sinkOptions(env, o), now: env.Now}
	if l.store, err = openJournalStore(ctx, env, o, uri, holder); err != nil {
		return nil, err
	}
	options := ledger.Options{
		Decode: DecodeRecorded, ReadOnly: holder == readOnly, Now: env.Now, CheckpointEvery: env.CheckpointEvery,
		Debug: func(message string) { env.Log.Debug(message, "lake", uri) },
	}
	if holder != readOnly {
		options.Check = func(opened *ledger.Ledger) error {
			return checkJournal(ctx, l, o, opened, holder == rebuildHolder)
		}
	}
	if l.ledger, err = ledger.Open(ctx, l.store.wal, options); err != nil {
		return nil, errors.Join(lakeError(err), l.close())
	}
	if err := l.checkRehearsal(); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// openOrCreateLake opens the journal of a lake for a command that begins a run. Nothing is created
// for a lake that has lost its journal, and what is created for a new one disappears with close
// unless a run begins.
func openOrCreateLake(ctx context.Context, env *Env, o StoreOptions, uri, holder string) (*lake, error) {
	if _, err := lakeExists(ctx, env, o, uri); err != nil {
		return nil, err
	}
	return openLake(ctx, env, o, uri, holder)
}

// beginRun records that a run begins, or another session of it.
func (l *lake) beginRun(ctx context.Context, spec pipeline.RunSpec) (*ledger.Recorder, error) {
	if record := l.store.record; record != nil {
		if err := record(ctx); err != nil {
			return nil, err
		}
	}
	recorder, err := l.ledger.BeginRun(spec)
	if err != nil {
		return nil, &Error{KindStorage, err}
	}
	return recorder, nil
}

// openExistingLake opens the journal of a lake that must be there.
func openExistingLake(ctx context.Context, env *Env, o StoreOptions, uri, holder string) (*lake, error) {
	if err := mustExist(ctx, env, o, uri); err != nil {
		return nil, err
	}
	return openLake(ctx, env, o, uri, holder)
}

// mustExist refuses a lake that is not there, with one message for all commands.
func mustExist(ctx context.Context, env *Env, o StoreOptions, uri string) error {
	if _, err := lakeAddress(uri); err != nil {
		return err
	}
	exists, err := lakeExists(ctx, env, o, uri)
	if err == nil && !exists {
		err = noLakeError(uri, "no journal found")
	}
	return err
}

// lakeAddress is a lake's address as it is understood from everywhere on this
// machine. A local directory must be there, and hold nothing else.
func lakeAddress(uri string) (string, error) {
	if sinks.OnS3(uri) {
		return strings.TrimRight(uri, "/"), nil
	}
	path, err := sinks.CheckDir(uri)
	if err == nil {
		_, err = os.Stat(path)
	}
	var not *sinks.NotLakeError
	switch {
	case errors.As(err, &not):
		err = noLakeError(uri, not.Reason)
	case errors.Is(err, fs.ErrNotExist):
		err = noLakeError(uri, "the directory does not exist")
	case err != nil:
		err = UsageErrorf("--lake: %w", err)
	}
	return filepath.ToSlash(path), err
}

func noLakeError(uri, reason string) error {
	return UsageErrorf("--lake: %s is not a siglake lake: %s", uri, reason)
}

// notLake is the error of a command that could create a lake, and cannot there.
func notLake(err error) error {
	var not *sinks.NotLakeError
	if errors.As(err, &not) {
		return UsageErrorf("--lake: %w", err)
	}
	return lakeError(err)
}

// openLakeIfExists opens the journal of a lake to read it; nil when there is none.
func openLakeIfExists(ctx context.Context, env *Env, o StoreOptions, uri string) (*lake, error) {
	if uri == "" {
		return nil, nil
	}
	if exists, err := lakeExists(ctx, env, o, uri); err != nil || !exists {
		return nil, err
	}
	return openLake(ctx, env, o, uri, readOnly)
}

// changedSinceOpen reports whether the journal was written since it was opened to be read.
func (l *lake) changedSinceOpen(ctx context.Context) bool {
	reopened, err := ledger.Open(ctx, l.store.wal, ledger.Options{Decode: DecodeRecorded, ReadOnly: true})
	if err != nil {
		return false
	}
	defer reopened.Close() //nolint:errcheck // it was only read
	return reopened.Position() != l.ledger.Position()
}

// runs are those of the journal; none of a lake that is not there.
func (l *lake) runs() []*ledger.Run {
	if l == nil {
		return nil
	}
	return l.ledger.Runs()
}

// openSink opens a lake for the files of one run; it need not be the state's own.
func (l *lake) openSink(ctx context.Context, uri, runID string) (*sinks.Lake, error) {
	return l.openSinkAsOf(ctx, uri, runID, schema.Version, nil)
}

// openSinkAsOf is openSink for rows of a version of the schema, which are compared with what was
// published earlier; nil: with what the lake at uri holds.
func (l *lake) openSinkAsOf(ctx context.Context, uri, runID string, version int, earlier *sinks.Earlier) (*sinks.Lake, error) {
	o := l.options
	o.RunID, o.SchemaVersion, o.Earlier = runID, version, earlier
	return sinks.Open(ctx, uri, o)
}

// watchLock gives a context that ends, too, when another process may have the lock:
// then no new call is made. release must be called; it waits for the goroutine
// that watches.
func (l *lake) watchLock(ctx context.Context) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	lost := l.store.lock.Lost()
	if lost == nil {
		return watched, func() { cancel(nil) }
	}
	done := make(chan struct{})
	go func() { // ends with the run
		defer close(done)
		select {
		case <-lost:
			l.env.Log.Error("the lock on the lake was lost: siglake makes no further calls", "lake", l.uri, "error", l.store.lock.Err())
			cancel(l.store.lock.Err())
		case <-watched.Done():
		}
	}()
	return watched, func() {
		cancel(nil)
		<-done
	}
}

// close lets go of what was opened; what was written is durable before.
func (l *lake) close() (err error) {
	if l.ledger != nil {
		err = l.ledger.Close()
	}
	if l.store.close != nil {
		err = errors.Join(err, l.store.close())
	}
	if l.store.lock != nil {
		l.store.created.removeUnused()
		err = errors.Join(err, l.store.lock.Close())
	}
	l.ledger, l.store = nil, journalStore{}
	return err
}

// DecodeRecorded reads an answer from the journal as the client read it.
func DecodeRecorded(b *pipeline.Batch, c *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
	items, unmatched, _ = lusha.DecodeAnswer(b, c) // the outcome of the call reports what is not an answer
	return items, unmatched
}

// recoverRuns completes the work of processes that died: it publishes runs with
// staged files, and rereads, which the journal has whole.
func (l *lake) recoverRuns(ctx context.Context) error {
	for _, r := range l.ledger.Runs() {
		if r.Published == nil && r.Prepared == nil && r.Rereads != "" {
			if err := (rereader{l}).publishReread(ctx, r); err != nil {
				return err
			}
		}
		if r.Published != nil || r.Prepared == nil {
			continue
		}
		m, err := l.ledger.Reader().PreparedManifest(ctx, r)
		if err != nil {
			return err
		}
		version := m.SchemaVersion() // another build may have prepared it
		sink, err := l.openSinkAsOf(ctx, l.uri, r.ID, version, nil)
		if err != nil {
			return err
		}
		if err = sink.Publish(ctx, m); errors.Is(err, os.ErrNotExist) {
			// The staged files are gone with their directory; the journal has their rows.
			m, err = l.publishRecorded(ctx, r, sink, version, m.Run.Stop.Stop(), &m.Run)
		} else if err == nil {
			err = l.ledger.Recorder(r).Commit(m)
		}
		if err = errors.Join(err, sink.Close()); err != nil {
			return fmt.Errorf("completing the publication of run %s: %w", r.ID, err)
		}
		l.env.Log.Info("completed the publication of an interrupted run", "run", r.ID, "generation", m.Generation)
	}
	return nil
}

// abandonRun publishes what an unfinished run paid for, and ends it.
func (l *lake) abandonRun(ctx context.Context, r *ledger.Run) error {
	sink, err := l.openSink(ctx, l.uri, r.ID)
	if err != nil {
		return err
	}
	m, err := l.publishRecorded(ctx, r, sink, schema.Version, &pipeline.Stop{Kind: pipeline.StopClosed, Reason: "its process died, and a later command closed it"}, nil)
	if err = errors.Join(err, sink.Close()); err != nil {
		return fmt.Errorf("publishing what run %s paid for: %w", r.ID, err)
	}
	figures := []any{"run", r.ID, "list", r.URI, "credits", m.Credits.Charged, "generation", m.Generation}
	if n := m.Credits.InDoubtCalls; m.HasInDoubt() {
		l.env.Log.Warn("closed an unfinished run and published what it paid for; its calls in doubt stay held until they are decided: see siglake held", append(figures, "calls_in_doubt", n)...)
		return nil
	}
	l.env.Log.Info("closed an unfinished run and published what it paid for", figures...)
	return nil
}

// publishRecorded publishes a run from the journal alone, in rows of a version of the schema. ended is how a
// manifest that was prepared says that it ended, since a file of that may be visible; nil: it ends now.
func (l *lake) publishRecorded(ctx context.Context, r *ledger.Run, sink pipeline.Sink, version int, stop *pipeline.Stop, ended *pipeline.RunInfo) (*pipeline.Manifest, error) {
	runner := l.newReplayRunner(ctx, r, sink, version)
	runner.Ledger, runner.Ended = l.ledger.Recorder(r), ended
	return runner.Replay(ctx, stop)
}

// rebuildInto makes a run's rows again, elsewhere, as of a version of the schema. The journal does
// not notice.
func (l *lake) rebuildInto(ctx context.Context, r *ledger.Run, sink pipeline.Sink, version int) (*pipeline.Manifest, error) {
	ended, err := l.ledger.Reader().PreparedManifest(ctx, r)
	if err != nil {
		return nil, err
	}
	runner := l.newReplayRunner(ctx, r, sink, version)
	runner.Ended = &ended.Run
	return runner.Replay(ctx, ended.Run.Stop.Stop())
}

func (l *lake) newReplayRunner(ctx context.Context, r *ledger.Run, sink pipeline.Sink, version int) *pipeline.Runner {
	asked, searches := queriesByObject(r.Queries)
	return &pipeline.Runner{
		Queries: asked, Searches: searches, Sink: sink, SchemaVersion: version, Spec: r.Spec(), Recorded: l.completeLines(ctx, r, version),
		Input: func() pipeline.Input { return pipeline.Input{URI: r.URI, SHA256: r.Input} }, ExitCode: ManifestExit,
	}
}

// completeLines is replayInput with the entities of lines that an earlier version recorded without, if
// the rows are of a version of the schema that has them.
func (l *lake) completeLines(ctx context.Context, r *ledger.Run, version int) *pipeline.RunLog {
	recorded := l.replayInput(ctx, r)
	if version < schema.EntitiesVersion || pipeline.SchemaVersionOf(r.Versions) >= schema.EntitiesVersion {
		return recorded
	}
	lines := recorded.Lines
	recorded.Lines = func(yield func(pipeline.Line, error) bool) {
		for line, err := range lines {
			if err == nil {
				err = l.ledger.Reader().CompleteLine(ctx, r, &line)
			}
			if !yield(line, err) {
				return
			}
		}
	}
	return recorded
}

func (l *lake) replayInput(ctx context.Context, r *ledger.Run) *pipeline.RunLog {
	return &pipeline.RunLog{Answers: l.ledger.Reader().Answers(ctx, r), Lines: l.ledger.Reader().Lines(ctx, r)}
}

// runMatch is how a command relates to the lake's runs.
type runMatch struct {
	resume    *ledger.Run // go on with it
	continues *ledger.Run // ask about what it left
	done      *ledger.Run // nothing is left to do
	blocking  *ledger.Run // another command's, unfinished: it is in the way
	misdated  *ledger.Run // unfinished, with a window that ends in the future: it has to be closed
	closing   *ledger.Run // unfinished: what it paid for is published before the command begins
}

// matchRules are the options that decide how a command relates to the lake's runs.
type matchRules struct {
	newRun   bool // no earlier run is continued
	resuming bool // only an earlier run is continued
	// An unfinished run does not block: it is continued in the night that it began, and closed later.
	unattended bool
}

func (j *Job) matchRules() matchRules {
	return matchRules{newRun: j.Money.NewRun, resuming: j.Command == ResumeName, unattended: j.Money.Unattended}
}

// closes reports whether a command closes an unfinished run that is not its own: that of another
// list never blocks.
func (m matchRules) closes(r *ledger.Run, asked *pipeline.RunSpec) bool {
	return !m.resuming && (m.newRun || m.unattended || r.URI != asked.URI)
}

// matchRun decides whether a command begins a run or continues one.
func (l *lake) matchRun(ctx context.Context, asked *pipeline.RunSpec, rules matchRules) (runMatch, error) {
	if err := l.recoverRuns(ctx); err != nil {
		return runMatch{}, lakeError(err)
	}
	match := l.findMatch(asked, rules)
	switch {
	case match.misdated != nil && rules.resuming:
		return runMatch{}, l.resumeError(match.misdated.ID, asked)
	case match.misdated != nil:
		r := match.misdated
		l.env.Log.Warn(misdatedText, "run", r.ID, "window_end", windowEnd(r).Format(time.DateOnly), "credits", r.Cost().Max)
		return l.closeAndMatch(ctx, r, asked, rules)
	case match.closing != nil:
		return l.closeAndMatch(ctx, match.closing, asked, rules)
	case match.blocking != nil && rules.resuming:
		return runMatch{}, l.resumeError(match.blocking.ID, asked)
	case match.blocking != nil:
		return runMatch{}, UsageErrorf("%s.\nRepeat its command (or use siglake resume) to continue it, or add --new-run to close it and start this run; nothing already paid for is bought again",
			blockingText(match.blocking, asked))
	}
	return match, nil
}

// closeAndMatch closes an unfinished run, and matches the command with the runs then.
func (l *lake) closeAndMatch(ctx context.Context, r *ledger.Run, asked *pipeline.RunSpec, rules matchRules) (runMatch, error) {
	if err := l.abandonRun(ctx, r); err != nil {
		return runMatch{}, lakeError(err)
	}
	return l.findMatch(asked, rules), nil
}

// blockingText says that a run is in the way of a command, and why.
func blockingText(r *ledger.Run, asked *pipeline.RunSpec) string {
	return fmt.Sprintf("run %s, started %s, is unfinished, and this command differs: %s", r.ID, r.FirstStarted.Format("2006-01-02 15:04 UTC"), changesText(asked, r))
}

// findMatch finds the runs that a command is about. It changes nothing.
func (l *lake) findMatch(asked *pipeline.RunSpec, rules matchRules) runMatch {
	last := lastCommand(l.ledger.Runs())
	switch {
	case last == nil:
		return runMatch{}
	case last.Published == nil:
		return l.matchUnfinished(last, asked, rules)
	case rules.newRun:
		return runMatch{}
	}
	return l.matchPublished(asked, rules)
}

// matchUnfinished matches a command with the lake's unfinished run.
func (l *lake) matchUnfinished(last *ledger.Run, asked *pipeline.RunSpec, rules matchRules) runMatch {
	own := commandKey(&last.RunSpec) == commandKey(asked) && !rules.newRun && (last.Refresh || !asked.Refresh)
	switch {
	case own && l.endsInFuture(last):
		return runMatch{misdated: last}
	case own && (!rules.unattended || rules.resuming || l.isOfThisNight(last)):
		return runMatch{resume: last}
	case rules.closes(last, asked):
		return runMatch{closing: last}
	}
	return runMatch{blocking: last}
}

// matchPublished matches a command with the newest published run of the same command.
func (l *lake) matchPublished(asked *pipeline.RunSpec, rules matchRules) runMatch {
	key := commandKey(asked)
	for _, r := range slices.Backward(l.ledger.Runs()) {
		if commandKey(&r.RunSpec) != key {
			continue
		}
		if asked.Refresh && (!r.Refresh || !r.HasUnaskedLines() && !l.ledger.Blockers(r).AllowRetry()) {
			break
		}
		today := l.today()
		switch until := windowEnd(r); {
		case l.ledger.Blockers(r).AllowRetry() && until.Equal(today):
			return runMatch{continues: r}
		case r.HasUnaskedLines() && l.mayContinue(r) && (!rules.unattended || rules.resuming || l.isOfThisNight(r)):
			return runMatch{continues: r}
		case !r.HasUnaskedLines() && until.Equal(today):
			return runMatch{done: r}
		}
		break
	}
	return runMatch{}
}

// mayContinue reports whether the lines that a run left are still requested in its own window. The
// cursors of --since last make a better one on the next day.
func (l *lake) mayContinue(r *ledger.Run) bool {
	return windowEnd(r).Equal(l.today()) || l.windowOpen(r) && r.Settings["since"] != sinceLast
}

// isOfThisNight reports whether a run belongs to the night that a scheduler's command is for, and
// not to an earlier one: its window ends today, or it began a few hours ago, before midnight. The
// lines that an earlier night left are requested in tonight's window.
func (l *lake) isOfThisNight(r *ledger.Run) bool {
	const night = 12 * time.Hour
	return windowEnd(r).Equal(l.today()) || l.windowOpen(r) && l.now().Sub(r.FirstStarted) < night
}

// lastCommand is the newest run that a command of the user's began, and no reread; nil: there
// is none.
func lastCommand(runs []*ledger.Run) *ledger.Run {
	for _, r := range slices.Backward(runs) {
		if r.Rereads == "" {
			return r
		}
	}
	return nil
}

// windowOpen reports whether the lines that a run left are still asked about in
// its own window: that of today, or of a night that continues past midnight.
func (l *lake) windowOpen(r *ledger.Run) bool {
	return !windowEnd(r).Before(l.today().AddDate(0, 0, -1)) && !l.endsInFuture(r)
}

// endsInFuture reports whether a run's window ends behind tomorrow, as one that began under a
// wrong clock. The API refuses such a window, and takes another one for granted than the journal
// says, so the run cannot be continued. Tomorrow is not enough: clocks differ by minutes.
func (l *lake) endsInFuture(r *ledger.Run) bool {
	return windowEnd(r).After(l.today().AddDate(0, 0, 1))
}

const misdatedText = "closing an unfinished run that began under a clock that was ahead: the API does not answer for its window; what it bought is published, and the window that ends today is requested anew"

// today is the day that windows end.
func (l *lake) today() time.Time { return l.now().UTC().Truncate(24 * time.Hour) }

// checkSimulated keeps invented answers out of a lake of real ones, and the reverse.
func (l *lake) checkSimulated(simulate bool) error {
	for _, r := range l.ledger.Runs() {
		switch {
		case r.Simulated == simulate:
		case r.Simulated:
			return UsageErrorf("the lake %s holds simulated answers; choose another lake for real ones", l.uri)
		default:
			return UsageErrorf("the lake %s holds real answers; choose another lake for simulated ones", l.uri)
		}
	}
	return nil
}

// CheckLakeKind makes sure that the lake of a run, if there is one, may take invented answers, or real
// ones, and events that are partitioned as the run is asked to.
func CheckLakeKind(ctx context.Context, env *Env, o *RunOptions) error {
	l, err := openLakeIfExists(ctx, env, o.Store, o.Lake)
	if l == nil || err != nil {
		return err
	}
	if err = l.checkSimulated(o.API.Simulate); err == nil {
		_, err = l.choosePartition(ctx, o.Work.PartitionBy)
	}
	if err := errors.Join(err, l.close()); err != nil {
		return &Error{KindUsage, err}
	}
	return nil
}

// windowEnd is the day that a run's window ends.
func windowEnd(r *ledger.Run) (day time.Time) {
	for _, q := range r.Queries {
		if t, err := time.Parse(time.DateOnly, q.Until); err == nil && t.After(day) {
			day = t
		}
	}
	return day
}
