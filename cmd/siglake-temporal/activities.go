package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/siglake/siglake/internal/format"
)

// activities are what a worker does.
type activities struct {
	program string // siglake
	config  string // the job file
	environ []string
	log     io.Writer // of the lines that siglake logs
}

// plan says which activities the jobs of a night are.
func (a *activities) plan(_ context.Context, names []string) ([][]part, error) {
	jobs, err := loadJobs(a.config)
	if err != nil {
		return nil, temporal.NewNonRetryableApplicationError(err.Error(), outcomeOf(exitUsage), nil)
	}
	all, err := jobs.choose(names)
	if err != nil {
		return nil, temporal.NewNonRetryableApplicationError(err.Error(), outcomeOf(exitUsage), nil)
	}
	return all, nil
}

// job runs siglake job. It returns a report when the job is done or was asked to stop, and else an error that says when
// to repeat it, or that a repetition is useless.
func (a *activities) job(ctx context.Context, p part) (*partReport, error) {
	if _, err := a.plan(ctx, []string{p.Job}); err != nil { // a name of the history is an argument only if the job file has it
		return nil, err
	}
	var earlier memory
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &earlier); err != nil {
			return nil, err
		}
	}
	log := newLogReader(earlier)
	running, err := startProcess(a.program, []string{"job", p.Job, "--config", a.config}, childEnviron(a.environ, p.Shard), func(line []byte) {
		log.readLine(line)
		format.Fprintf(a.log, "%s\n", string(line))
	})
	if err != nil {
		return nil, err
	}
	isWorkerStopping := a.watch(ctx, running, log)
	e := log.endWith(running.code, running.signaled)
	activity.RecordHeartbeat(ctx, log.progress())
	return a.judge(ctx, p, e, log.progress().Failures, isWorkerStopping)
}

// watch sends heartbeats until the process has ended, and asks it to stop once: when the night is stopped, when the
// worker stops, or when the time that the job has is almost over.
func (a *activities) watch(ctx context.Context, running *process, log *logReader) (isWorkerStopping bool) {
	beat := time.NewTicker(max(activity.GetInfo(ctx).HeartbeatTimeout/4, time.Second/4))
	defer beat.Stop()
	canceled, workerStop, late := ctx.Done(), activity.GetWorkerStopChannel(ctx), lateTimer(ctx)
	for {
		select {
		case <-running.done:
			return isWorkerStopping
		case <-beat.C:
			activity.RecordHeartbeat(ctx, log.progress())
			continue
		case <-canceled:
		case <-workerStop:
			isWorkerStopping = true
		case <-late:
		}
		canceled, workerStop, late = nil, nil, nil
		running.stop()
	}
}

// stopTime is what a polite stop takes at most: calls on the wire are waited for, and what is paid is published.
const stopTime = 5 * time.Minute

// lateTimer fires when it is time to stop politely before the activity times out.
func lateTimer(ctx context.Context) <-chan time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil
	}
	left := time.Until(deadline)
	return time.After(left - min(stopTime, left/4))
}

// judge turns an end into what Temporal has to know of it.
func (a *activities) judge(ctx context.Context, p part, e *ending, failures int, isWorkerStopping bool) (*partReport, error) {
	info := activity.GetInfo(ctx)
	d := decide(e, failures, time.Duration(p.PauseSeconds)*time.Second, time.Now())
	p.PauseSeconds = 0
	r := &partReport{part: p, Outcome: d.outcome, ending: *e, Attempt: info.Attempt}
	stopped := errors.Is(ctx.Err(), context.Canceled) && !isWorkerStopping    // a worker cancels its activities when it has waited long enough
	if isWorkerStopping && d.action != finish && e.ExitCode == exitDeferred { // another worker goes on
		d.action, d.retryIn = retryLater, time.Second
	}
	text := fmt.Sprintf("job %s: exit code %d (%s)", p, e.ExitCode, d.outcome)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	switch {
	case d.action == finish || stopped:
		return r, nil
	case d.action == fail:
		return nil, temporal.NewNonRetryableApplicationError(text, d.outcome, nil, r)
	}
	return nil, temporal.NewApplicationErrorWithOptions(text, d.outcome, temporal.ApplicationErrorOptions{NextRetryDelay: d.retryIn, Details: []any{r}})
}

// defaultProgram is the siglake that lies in the folder of this program, or else the one that the shell would find.
func defaultProgram() string {
	self, err := os.Executable()
	if err != nil {
		return "siglake"
	}
	return siblingOf(self)
}
