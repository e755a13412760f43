package app

import (
	"context"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// LakeStatus is what status prints, with --json as it is.
type LakeStatus struct {
	Lake       string      `json:"lake"`
	Runs       []RunStatus `json:"runs"` // oldest first
	Credits    int64       `json:"credits"`
	MaxCost    int64       `json:"credits_most"` // with all that is unsettled
	Liability  Liability   `json:"unsettled"`
	Unfinished string      `json:"unfinished_run,omitempty"`
	OpenLines  int64       `json:"deferred_lines"` // still open: what each command's newest run left
	Reopened   bool        `json:"reopened"`       // something may be asked again that was in doubt
	Next       []string    `json:"next"`           // commands that there is a reason for

	// What the audits of all runs found together; nil: there were none.
	Audits *AuditStatus `json:"audits,omitempty"`

	Generations []GenerationStatus `json:"generations"` // newest first
	Earlier     int64              `json:"generations_before,omitempty"`
}

// AuditStatus is what audits found, with the share of events that was missed and its interval.
type AuditStatus struct {
	pipeline.AuditCounts
	Missed      float64 `json:"missed_share"`
	MissedLeast float64 `json:"missed_share_least"`
	MissedMost  float64 `json:"missed_share_most"`
}

// RunStatus is one run. Open are its deferred lines while no later run of its
// command took care of them.
type RunStatus struct {
	Run        string    `json:"run"`
	State      string    `json:"state"`
	Generation int64     `json:"generation,omitempty"`
	Calls      int       `json:"calls"`
	Credits    int64     `json:"credits"`
	Liability  Liability `json:"unsettled"`
	Deferred   int64     `json:"deferred_lines"`
	Open       int64     `json:"open_lines"`
	InDoubt    int64     `json:"held_lines"`
	List       string    `json:"list"`
	Service    string    `json:"service"` // the command that began it
}

// Liability is ledger.Liability for machines.
type Liability struct {
	UnknownCharge Share `json:"unknown_charges"`
	InDoubt       Share `json:"in_doubt"`
	Retry         Share `json:"decided_released"`
	WrittenOff    Share `json:"decided_accepted_loss"`
	Decided       Share `json:"-"` // both
}

// Share is a part of what may have been charged.
type Share struct {
	Calls   int   `json:"calls"`
	MaxCost int64 `json:"credits_most"`
}

func newLiability(u ledger.Liability) Liability {
	return Liability{UnknownCharge: Share(u.UnknownCharge), InDoubt: Share(u.InDoubt), Retry: Share(u.Retry), WrittenOff: Share(u.WrittenOff), Decided: Share(u.Decided)}
}

// status sums the journal up.
func (l *lake) status() *LakeStatus {
	total := l.ledger.Liability(nil)
	status := &LakeStatus{Lake: l.uri, Runs: []RunStatus{}, Liability: newLiability(total), Next: []string{}}
	runs := l.ledger.Runs()
	newest := map[string]*ledger.Run{} // of each command
	for _, r := range runs {
		newest[r.CommandDigest] = r
	}
	for _, r := range runs {
		line := RunStatus{Run: r.ID, State: l.runState(r), Calls: r.CallCount(), Credits: r.ChargedCredits(), Liability: newLiability(l.ledger.Liability(r)), List: r.URI, Service: orDefault(r.Settings[serviceSetting], "run")}
		if line.Service == VisitorsName {
			line.List = r.Settings["domain"]
		}
		if r.Published != nil {
			line.Generation, line.Deferred, line.InDoubt = r.Published.Generation, r.Published.Deferred, r.Published.Held
			if newest[r.CommandDigest] == r && l.windowOpen(r) {
				line.Open = line.Deferred
			}
		}
		status.Runs = append(status.Runs, line)
		status.Credits += line.Credits
		status.OpenLines += line.Open
	}
	if sum := l.ledger.Audits(); sum.Pairs > 0 {
		status.Audits = &AuditStatus{AuditCounts: sum}
		status.Audits.Missed, status.Audits.MissedLeast, status.Audits.MissedMost = sum.MissedShare()
	}
	status.MaxCost = status.Credits + total.MaxCost
	status.Reopened = l.reopenedRun() != nil
	if last := lastCommand(runs); last != nil {
		if last.Published == nil {
			status.Unfinished = last.ID
		}
		if last.Published == nil || last.HasUnaskedLines() && l.windowOpen(last) || status.Reopened {
			status.Next = append(status.Next, "siglake resume --lake "+l.uri)
		}
	}
	if total.InDoubt.Calls > 0 {
		status.Next = append(status.Next, "siglake held list --lake "+l.uri)
	}
	return status
}

// ReadStatus sums a lake up, with its newest generations.
func ReadStatus(ctx context.Context, env *Env, store StoreOptions, uri string) (*LakeStatus, error) {
	l, err := openExistingLake(ctx, env, store, uri, readOnly)
	if err != nil {
		return nil, err
	}
	defer l.close() //nolint:errcheck // nothing was written
	status := l.status()
	if status.Generations, status.Earlier, err = l.generations(ctx, 20); err != nil {
		return nil, lakeError(err)
	}
	return status, nil
}

// GenerationStatus is one publication: a run, or a compaction, which asks and
// costs nothing.
type GenerationStatus struct {
	Generation int64     `json:"generation"`
	Kind       string    `json:"kind"`
	Run        string    `json:"run"`
	Files      int       `json:"files"`
	Replaces   int       `json:"replaces_files,omitempty"`
	Rows       int64     `json:"rows"`
	Finished   time.Time `json:"finished"`
}

// generations are the newest publications, newest first, at most so many, and
// how many there are before them.
func (l *lake) generations(ctx context.Context, maxCount int) (all []GenerationStatus, earlier int64, err error) {
	inspector, err := sinks.Inspect(ctx, l.uri, l.options)
	if err != nil {
		return nil, 0, err
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	for m, err := range inspector.Generations(ctx) {
		if err != nil {
			return nil, 0, err
		}
		if len(all) == maxCount {
			return all, m.Generation, nil
		}
		g := GenerationStatus{
			Generation: m.Generation, Kind: kindText(m.Run.Kind), Run: m.Run.ID, Files: len(m.Files), Replaces: len(m.Replaces), Finished: m.Run.Finished.UTC(),
		}
		for _, f := range m.Files {
			g.Rows += f.Rows
		}
		all = append(all, g)
	}
	return all, 0, nil
}

func kindText(k pipeline.GenerationKind) string {
	if k == pipeline.RunGeneration {
		return "run"
	}
	return string(k)
}

func (l *lake) runState(r *ledger.Run) string {
	switch {
	case r.Published != nil && r.Published.Outcome == pipeline.RunInDoubt && len(l.ledger.UndecidedCalls(r)) == 0:
		return "held, decided"
	case r.Published != nil && r.Rereads != "":
		return "reread"
	case r.Published != nil:
		return string(r.Published.Outcome)
	case r.Prepared != nil:
		return "being published"
	}
	return "unfinished"
}
