package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// The names by which workflows, activities and signals are known in histories. They never change.
const (
	nightName      = "Night"
	planName       = "Plan"
	jobName        = "Job"
	stopSignal     = "stop"
	planTimeout    = time.Minute
	outcomeRunning = "running"
	outcomeStopped = "stopped"
)

// nightInput is what a night is about. It stands in the history of the workflow, so it names jobs and times only.
type nightInput struct {
	Jobs             []string `json:"jobs,omitempty"` // none: all of the job file
	SideBySide       bool     `json:"side_by_side,omitempty"`
	LimitSeconds     int64    `json:"limit_seconds"`     // for one job, with all its attempts
	HeartbeatSeconds int64    `json:"heartbeat_seconds"` // without one for so long, another worker takes over
	PauseSeconds     int64    `json:"pause_seconds"`     // before a repetition without a stated time
	SearchAttributes bool     `json:"search_attributes,omitempty"`
}

// part is a job, or a shard of it: what one activity carries out.
type part struct {
	Job string `json:"job"`
	// Of a job over a divided list, INDEX/COUNT.
	Shard        string `json:"shard,omitempty"`
	PauseSeconds int64  `json:"pause_seconds,omitempty"`
}

func (p part) String() string {
	if p.Shard == "" {
		return p.Job
	}
	return p.Job + " " + p.Shard
}

// nightReport is the result of a night.
type nightReport struct {
	Outcome  string       `json:"outcome"`
	ExitCode int          `json:"exit_code"`
	Credits  int64        `json:"credits"` // as the runs stated them; the ledger has those of attempts that died
	Parts    []partReport `json:"parts"`
}

// partReport is how an activity ended.
type partReport struct {
	part
	Outcome string `json:"outcome"`
	ending
	Attempt int32 `json:"attempt"`
}

// night is the workflow. It is deterministic: it reads no clock and no file, and what it decides follows from its
// input, the signals and the results of activities.
func night(ctx workflow.Context, in nightInput) (*nightReport, error) {
	n := &nightRun{in: in}
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, stopSignal).Receive(ctx, nil)
		cancel()
	})
	jobs, err := n.plan(ctx)
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	if err != nil { // stopped before anything began
		n.codes = append(n.codes, exitDeferred)
	}
	if in.SideBySide {
		jobs = [][]part{slices.Concat(jobs...)}
	}
	for _, parts := range jobs {
		n.runTogether(ctx, parts)
	}
	n.report.ExitCode = gravest(n.codes...)
	n.report.Outcome = outcomeOf(n.report.ExitCode)
	failed := isFailure(n.report.ExitCode)
	if ctx.Err() != nil && !failed {
		n.report.Outcome = outcomeStopped
	}
	if err := n.show(ctx); err != nil {
		return nil, err
	}
	if failed {
		return nil, temporal.NewNonRetryableApplicationError(n.failure(), n.report.Outcome, nil, n.report)
	}
	return &n.report, nil
}

// nightRun is a night under way.
type nightRun struct {
	in     nightInput
	report nightReport
	codes  []int
	lists  []string
}

// plan asks a worker for the parts of each job, by its job file.
func (n *nightRun) plan(ctx workflow.Context) (jobs [][]part, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: planTimeout,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute},
	})
	err = workflow.ExecuteActivity(ctx, planName, n.in.Jobs).Get(ctx, &jobs)
	return jobs, err
}

// runTogether carries out parts side by side. What becomes of one does not concern the others; after a request to
// stop, those that did not begin are left.
func (n *nightRun) runTogether(ctx workflow.Context, parts []part) {
	limit := time.Duration(n.in.LimitSeconds) * time.Second
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		ScheduleToCloseTimeout: limit,
		StartToCloseTimeout:    limit,
		HeartbeatTimeout:       time.Duration(n.in.HeartbeatSeconds) * time.Second,
		WaitForCancellation:    true,                                                                         // the polite stop takes its time
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 1.0}, // of workers that died; exit codes state their own
	})
	selector := workflow.NewSelector(ctx)
	left := 0
	for _, p := range parts {
		if ctx.Err() != nil {
			n.add(ctx, partReport{part: p, Outcome: outcomeStopped, ending: ending{ExitCode: exitDeferred, Reason: "the night was stopped before it began"}})
			continue
		}
		left++
		p.PauseSeconds = n.in.PauseSeconds
		selector.AddFuture(workflow.ExecuteActivity(ctx, jobName, p), func(f workflow.Future) {
			r := partReport{part: p}
			if err := f.Get(ctx, &r); err != nil {
				r = failedPart(p, err, ctx.Err() != nil)
			}
			n.add(ctx, r)
		})
	}
	for range left {
		selector.Select(ctx) // also after a request to stop: the parts end politely
	}
}

// failedPart is the report of an activity that gave none.
func failedPart(p part, err error, isStopped bool) partReport {
	r := partReport{part: p}
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.HasDetails() && app.Details(&r) == nil {
		return r
	}
	if isStopped {
		r.Outcome, r.ending = outcomeStopped, ending{ExitCode: exitDeferred, Reason: "the night was stopped before the next attempt"}
		return r
	}
	r.Outcome, r.ending = crashed.outcome, ending{ExitCode: exitKilled, Reason: shorten(err.Error())}
	return r
}

// add takes up the report of a part.
func (n *nightRun) add(ctx workflow.Context, r partReport) {
	r.PauseSeconds = 0
	n.report.Parts = append(n.report.Parts, r)
	n.report.Credits += r.Credits
	n.codes = append(n.codes, r.ExitCode)
	for _, list := range r.Lists {
		if !slices.Contains(n.lists, list) {
			n.lists = append(n.lists, list)
		}
	}
	n.report.Outcome = outcomeRunning
	if err := n.show(ctx); err != nil {
		workflow.GetLogger(ctx).Warn("the search attributes cannot be set", "error", err)
	}
}

// failure says which parts failed, and why.
func (n *nightRun) failure() string {
	text := "a person must look:"
	for _, r := range n.report.Parts {
		if isFailure(r.ExitCode) {
			text += fmt.Sprintf(" job %s: exit code %d (%s): %s;", r.part, r.ExitCode, r.Outcome, r.Reason)
		}
	}
	return text + " siglake help exit-codes says what to do"
}
