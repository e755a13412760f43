package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
)

// runNight runs the workflow with activities of the test, on the suite's own clock.
func runNight(t *testing.T, in nightInput, plan func([]string) ([][]part, error), job func(context.Context, part) (*partReport, error), prepare func(*testsuite.TestWorkflowEnvironment)) (r nightReport, err error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterActivityWithOptions(func(_ context.Context, names []string) ([][]part, error) { return plan(names) }, activity.RegisterOptions{Name: planName})
	env.RegisterActivityWithOptions(job, activity.RegisterOptions{Name: jobName})
	in.LimitSeconds, in.HeartbeatSeconds, in.PauseSeconds = 3600, 30, 60
	if prepare != nil {
		prepare(env)
	}
	env.ExecuteWorkflow(night, in)
	if !env.IsWorkflowCompleted() {
		t.Fatal("the night did not end")
	}
	if err = env.GetWorkflowError(); err == nil {
		err = env.GetWorkflowResult(&r)
	}
	return r, err
}

func planOf(jobs ...[]part) func([]string) ([][]part, error) {
	return func([]string) ([][]part, error) { return jobs, nil }
}

// TestCrashFailsNight: a crash fails the night even where declared doubt has the larger exit code, and the error
// names the part and its reason.
func TestCrashFailsNight(t *testing.T) {
	t.Parallel()
	_, err := runNight(t, nightInput{}, planOf([]part{{Job: "a", Shard: "0/2"}, {Job: "a", Shard: "1/2"}}), func(_ context.Context, p part) (*partReport, error) {
		if p.Shard == "0/2" {
			return &partReport{part: p, Outcome: "in_doubt", ending: ending{ExitCode: exitInDoubt}}, nil
		}
		return nil, temporal.NewNonRetryableApplicationError("panic", crashed.outcome, nil, &partReport{part: p, Outcome: crashed.outcome, ending: ending{ExitCode: 2, Reason: "out of memory"}})
	}, nil)
	var failure *temporal.ApplicationError
	if !errors.As(err, &failure) || !strings.Contains(failure.Message(), "a 1/2: exit code 2 (crashed): out of memory") {
		t.Fatalf("the night ended with %v, want the crash of a 1/2", err)
	}
	var r nightReport
	if err := failure.Details(&r); err != nil || r.ExitCode != exitKilled || len(r.Parts) != 2 {
		t.Errorf("report %+v, %v, want exit code %d and two parts", r, err, exitKilled)
	}
}

// TestStopDuringPause: a night that is stopped while a job waits for its next attempt ends at once, and begins no other.
func TestStopDuringPause(t *testing.T) {
	t.Parallel()
	attempts := 0
	r, err := runNight(t, nightInput{}, planOf([]part{{Job: "a"}}, []part{{Job: "b"}}), func(_ context.Context, p part) (*partReport, error) {
		attempts++
		return nil, temporal.NewApplicationErrorWithOptions("deferred", "deferred", temporal.ApplicationErrorOptions{NextRetryDelay: 30 * time.Minute, Details: []any{&partReport{part: p, Outcome: "deferred", ending: ending{ExitCode: exitDeferred}}}})
	}, func(env *testsuite.TestWorkflowEnvironment) {
		env.RegisterDelayedCallback(func() { env.SignalWorkflow(stopSignal, nil) }, time.Minute)
	})
	if err != nil || attempts != 1 || r.Outcome != outcomeStopped || r.ExitCode != exitDeferred || len(r.Parts) != 2 {
		t.Errorf("%+v after %d attempts, %v, want stopped after one", r, attempts, err)
	}
}

// TestStopBeforePlan: a night that is stopped before a worker has planned it is stopped, not failed.
func TestStopBeforePlan(t *testing.T) {
	t.Parallel()
	r, err := runNight(t, nightInput{}, func([]string) ([][]part, error) { return nil, errors.New("no worker") }, neverCarriedOut, func(env *testsuite.TestWorkflowEnvironment) {
		env.RegisterDelayedCallback(func() { env.SignalWorkflow(stopSignal, nil) }, time.Minute)
	})
	if err != nil || r.Outcome != outcomeStopped || r.ExitCode != exitDeferred || len(r.Parts) != 0 {
		t.Errorf("%+v, %v, want stopped", r, err)
	}
}

// neverCarriedOut is a job that is never carried out.
func neverCarriedOut(context.Context, part) (*partReport, error) {
	return nil, errors.New("not planned")
}

// TestDeferredNight: lines that are left when the time of a job is over do not fail the night.
func TestDeferredNight(t *testing.T) {
	t.Parallel()
	r, err := runNight(t, nightInput{}, planOf([]part{{Job: "a"}}), func(_ context.Context, p part) (*partReport, error) {
		return nil, temporal.NewApplicationErrorWithOptions("deferred", "deferred", temporal.ApplicationErrorOptions{NextRetryDelay: 2 * time.Hour, Details: []any{&partReport{part: p, Outcome: "deferred", ending: ending{ExitCode: exitDeferred, Deferred: 7}}}})
	}, nil)
	if err != nil || r.Outcome != "deferred" || r.Parts[0].Deferred != 7 {
		t.Errorf("%+v, %v, want deferred with 7 lines", r, err)
	}
}

// TestSideBySide: all parts are under way at once if the night says so, and job after job otherwise.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	jobs := planOf([]part{{Job: "slow"}}, []part{{Job: "quick"}})
	var underWay atomic.Int32
	r, err := runNight(t, nightInput{}, jobs, func(_ context.Context, p part) (*partReport, error) {
		defer underWay.Add(-1)
		if underWay.Add(1) > 1 {
			t.Error("two jobs run at once, want them in turn")
		}
		return &partReport{part: p}, nil
	}, nil)
	if err != nil || len(r.Parts) != 2 || r.Parts[0].Job != "slow" || r.Parts[1].Job != "quick" {
		t.Errorf("in turn: %+v, %v", r, err)
	}
	quickEnded := make(chan struct{})
	r, err = runNight(t, nightInput{SideBySide: true}, jobs, func(_ context.Context, p part) (*partReport, error) {
		if p.Job == "quick" {
			close(quickEnded)
		} else {
			<-quickEnded // for ever, if they run in turn
		}
		return &partReport{part: p}, nil
	}, nil)
	if err != nil || len(r.Parts) != 2 {
		t.Errorf("side by side: %+v, %v", r, err)
	}
}
