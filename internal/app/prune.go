package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/sinks"
)

// PruneOptions say what is removed from a lake.
type PruneOptions struct {
	Lake      string
	OlderThan string // AGE
	// Remove answers from the journal, instead of files from the lake.
	Journal bool
	// Remove it; else only say what would be removed.
	Yes   bool
	Store StoreOptions
}

// pruneHolder is who holds the lock of a lake that is pruned.
const pruneHolder = "siglake prune"

// PruneReport says what a pruning removes, or has removed.
type PruneReport struct {
	Lake    string          `json:"lake"`
	Before  time.Time       `json:"before"`
	Done    bool            `json:"done"`  // it was removed; false: this is the plan
	Bytes   int64           `json:"bytes"` // that it frees, about
	Files   *FilePruning    `json:"files,omitempty"`
	Journal *JournalPruning `json:"journal,omitempty"`
}

// FilePruning is what is removed from a lake's files.
type FilePruning struct {
	sinks.PrunePlan
	Generation int64 `json:"generation,omitempty"` // that says so
}

// JournalPruning is what is removed from a journal.
type JournalPruning struct {
	Checkpoint string `json:"checkpoint"` // its place; empty: there is none, so nothing is removed
	Answers    int    `json:"answers"`
	Credits    int64  `json:"credits"` // that they were charged
	// Runs that cannot be rebuilt any more, oldest first.
	Runs []PrunedRun `json:"runs"`
	// Answers that stay although a checkpoint follows them, by the reason.
	Kept map[ledger.KeepReason]int `json:"kept"`
}

// PrunedRun is a run of which answers are removed.
type PrunedRun struct {
	Run       string    `json:"run"`
	List      string    `json:"list"`
	Published time.Time `json:"published"`
}

func newPrunedRun(r *ledger.Run) PrunedRun {
	return PrunedRun{r.ID, r.URI, r.Published.Time.UTC()}
}

// IsEmpty reports whether there is nothing to remove.
func (r *PruneReport) IsEmpty() bool {
	return r.Bytes == 0 && (r.Files == nil || r.Files.IsEmpty()) && (r.Journal == nil || r.Journal.Answers == 0)
}

// PruneLake removes what a lake does not need any more: files that a compaction has superseded, or
// old answers in the journal. It first plans; the report is the plan if nothing may be removed yet.
func PruneLake(ctx context.Context, env *Env, o PruneOptions) (report PruneReport, err error) {
	age, err := o.age()
	if err != nil {
		return report, err
	}
	holder := readOnly
	if o.Yes {
		holder = pruneHolder
	}
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, holder)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	report.Lake, report.Before = o.Lake, env.Now().UTC().Add(-age)
	if o.Yes {
		if err := l.recoverRuns(ctx); err != nil {
			return report, lakeError(err)
		}
	}
	p := pruning{l, &report, o.Yes}
	if o.Journal {
		return report, p.pruneJournal(ctx)
	}
	return report, p.pruneFiles(ctx)
}

// age is --older-than.
func (o *PruneOptions) age() (time.Duration, error) {
	age, err := parseAge("older-than", o.OlderThan)
	if err == nil && age < 24*time.Hour {
		err = UsageErrorf("--older-than %q: expected an age of at least a day, such as 30d", o.OlderThan)
	}
	return age, err
}

// Check finds options that are wrong by themselves, and opens nothing.
func (o *PruneOptions) Check() error {
	if o.Lake == "" {
		return ErrNoLake
	}
	_, err := o.age()
	return err
}

// pruning removes from a lake what it does not need any more, or plans to.
type pruning struct {
	lake   *lake
	report *PruneReport
	remove bool // false: only plan
}

// mayProceed makes sure that no other process can be at work on the lake.
func (p *pruning) mayProceed() error {
	l := p.lake
	if l.store.lock.Valid() {
		return nil
	}
	return lockError(l.uri, l.store.lock.Err())
}

// pruneJournal plans, and removes on request, old answers in the journal.
func (p *pruning) pruneJournal(ctx context.Context) error {
	plan, err := p.lake.ledger.Pruner().Plan(ctx, p.report.Before)
	if err != nil {
		return pruneError(err)
	}
	j := &JournalPruning{Checkpoint: plan.Checkpoint, Answers: plan.Answers, Credits: plan.Credits, Kept: plan.Kept, Runs: []PrunedRun{}}
	for _, r := range plan.Runs {
		j.Runs = append(j.Runs, newPrunedRun(r))
	}
	p.report.Journal, p.report.Bytes = j, plan.Bytes
	if plan.IsEmpty() || !p.remove {
		return nil
	}
	if err := p.lake.ledger.Pruner().Prune(ctx, plan, p.mayProceed); err != nil {
		return pruneError(deleteError(p.lake.uri, err))
	}
	p.report.Done = true
	return nil
}

// pruneFiles plans, and removes on request, files that no generation needs.
func (p *pruning) pruneFiles(ctx context.Context) error {
	inspector, err := sinks.Inspect(ctx, p.lake.uri, p.lake.options)
	if err != nil {
		return lakeError(err)
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	plan, err := inspector.PlanPrune(ctx, p.report.Before, p.lake.env.Now().UTC())
	if err != nil {
		return pruneError(err)
	}
	p.report.Files, p.report.Bytes = &FilePruning{PrunePlan: *plan}, plan.Bytes
	if plan.IsEmpty() || !p.remove {
		return nil
	}
	p.report.Files.Generation, err = sinks.Prune(ctx, p.lake.uri, p.lake.options, plan, sinks.PruneOptions{Versions: ComponentVersions(p.lake.env.Build), Proceed: p.mayProceed})
	if err != nil {
		return pruneError(deleteError(p.lake.uri, err))
	}
	p.report.Done = true
	return nil
}

// pruneError is the error of a pruning that did not come to its end.
func pruneError(err error) error {
	var own *Error
	switch {
	case errors.As(err, &own):
		return err
	case errors.Is(err, context.Canceled):
		return &Error{KindDeferred, errors.New("stopped; what was announced is not removed completely: run the same command again")}
	}
	return lakeError(fmt.Errorf("prune: %w", err))
}

// checkUnpruned makes sure that the journal has every answer.
func checkUnpruned(ctx context.Context, l *lake) error {
	runs, records, err := l.ledger.Pruner().Pruned(ctx)
	if err != nil || len(runs) == 0 {
		return err
	}
	first, last := newPrunedRun(runs[0]), newPrunedRun(runs[len(runs)-1])
	when := ""
	for _, r := range records {
		when = " on " + r.Time.UTC().Format(time.DateOnly)
	}
	return UsageErrorf("%s cannot be rebuilt: siglake prune --journal removed%s the answers of %s, from %s (published %s) to %s (published %s), and only the lake's own files have their rows. "+
		"To have the lake elsewhere, copy all of it; to rebuild it, restore a copy of %s/journal made before that", l.uri, when, format.Count(len(runs), "run"),
		first.Run, first.Published.Format(time.DateOnly), last.Run, last.Published.Format(time.DateOnly), StateDir)
}
