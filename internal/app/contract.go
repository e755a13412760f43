package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// checkContract refuses a --contract that there is not; empty: the default.
func checkContract(name string) error {
	if name == "" || slices.Contains(pipeline.Contracts, pipeline.Contract(name)) {
		return nil
	}
	return UsageErrorf("--contract %q: expected evolve or freeze", name)
}

// refuseDrift refuses, before anything is bought, a run under a frozen contract if the newest run of the
// lake stopped because of drift: what follows would differ as well, and each night would buy one more
// answer to find that out. A run that is resumed finds the drift in its own answers.
func (j *Job) refuseDrift(l *lake, match runMatch) error {
	if j.contract() != pipeline.Freeze || match.resume != nil || match.done != nil {
		return nil
	}
	r := newestSignals(l.ledger.Runs())
	if r == nil || r.Published.Totals == nil || r.Published.Totals.Drift == 0 || pipeline.SchemaVersionOf(r.Versions) != schema.Version {
		return nil
	}
	if stop := r.Published.Totals.Stop; stop != pipeline.StopDrift && stop != pipeline.StopClosed { // it went on: drift is accepted
		return nil
	}
	return &Error{KindDrift, fmt.Errorf("--contract freeze: answers to run %s differ from what this version knows, and nothing was requested since; siglake status --lake %s shows how; run the command with --contract evolve, or with a version that knows the change: it requests the rest and buys nothing again",
		r.ID, j.Lake)}
}

// contract is that of the job.
func (j *Job) contract() pipeline.Contract {
	if j.Service != pipeline.Signals || j.Work.Contract == "" {
		return pipeline.Evolve
	}
	return pipeline.Contract(j.Work.Contract)
}

// newestSignals is the newest published run that requested signals; nil: there is none.
func newestSignals(runs []*ledger.Run) *ledger.Run {
	for _, r := range slices.Backward(runs) {
		if r.Published != nil && isCommand(r) && requestsEvents(r) {
			return r
		}
	}
	return nil
}

// DriftStatus is the drift of a lake's newest run that has any.
type DriftStatus struct {
	Run      string    `json:"run"`
	Finished time.Time `json:"finished"`
	pipeline.DriftReport
	Runs int `json:"runs"` // with drift, of all
}

// drift is that of the newest run that has any; nil: none has. It reads one manifest.
func (l *lake) drift(ctx context.Context) *DriftStatus {
	var newest *ledger.Run
	n := 0
	for _, r := range slices.Backward(l.ledger.Runs()) {
		if r.Published == nil || r.Published.Totals == nil || r.Published.Totals.Drift == 0 {
			continue
		}
		if n++; newest == nil {
			newest = r
		}
	}
	if newest == nil {
		return nil
	}
	m, err := l.ledger.Reader().PreparedManifest(ctx, newest)
	if err != nil || m.Drift == nil { // the manifest of an old run may be lost
		l.env.Log.Warn("the drift of a run cannot be read", "run", newest.ID, "error", err)
		return nil
	}
	return &DriftStatus{newest.ID, newest.Published.Time.UTC(), *m.Drift, n}
}

// stoppedByDrift reports whether a run stopped because of drift: the command requests nothing more, in
// no further pass.
func stoppedByDrift(m *pipeline.Manifest) bool {
	return m.Run.Stop != nil && m.Run.Stop.Kind == pipeline.StopDrift
}
