package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/siglake/siglake/internal/format"
)

// workerOptions are those of a worker.
type workerOptions struct {
	config, program string
	slots           int
	stopTimeout     time.Duration
}

func workerCommand() *cli.Command {
	c, o := defaultConnection(), workerOptions{config: "siglake.yaml", program: defaultProgram(), slots: 2, stopTimeout: stopTime}
	return &cli.Command{
		Name:  "worker",
		Usage: "carry out the jobs of nights",
		Description: "Runs siglake job for the activities of its task queue, until SIGTERM or Ctrl-C: then the jobs stop politely, and\n" +
			"another worker goes on with them. Keys and stores are those of its environment and of its job file.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "config", Value: o.config, Destination: &o.config, EnvVars: []string{"SIGLAKE_CONFIG"}, TakesFile: true, Usage: "`FILE` that describes the jobs"},
			&cli.StringFlag{Name: "siglake", Value: o.program, Destination: &o.program, EnvVars: []string{"SIGLAKE_PROGRAM"}, TakesFile: true, Usage: "`PROGRAM` that carries out a job"},
			&cli.IntFlag{Name: "slots", Value: o.slots, Destination: &o.slots, EnvVars: []string{"SIGLAKE_TEMPORAL_SLOTS"}, Usage: "run at most `N` jobs at once, each with the memory that siglake takes"},
			&cli.DurationFlag{Name: "stop-timeout", Value: o.stopTimeout, Destination: &o.stopTimeout, EnvVars: []string{"SIGLAKE_TEMPORAL_STOP_TIMEOUT"}, Usage: "after SIGTERM, wait this `TIME` for the jobs to stop"},
		}, connectionFlags(&c)...),
		Action: func(ctx *cli.Context) error {
			if err := noArguments(ctx); err != nil {
				return err
			}
			return runWorker(ctx.Context, &c, &o, ctx.App.ErrWriter)
		},
	}
}

// runWorker serves a task queue until ctx ends.
func runWorker(ctx context.Context, c *connection, o *workerOptions, stderr io.Writer) error {
	if o.slots < 1 {
		return usageErrorf("--slots %d: expected a number from 1", o.slots)
	}
	if _, err := exec.LookPath(o.program); err != nil {
		return usageErrorf("--siglake: %w; name the program siglake, or put it into the folder of siglake-temporal", err)
	}
	config, err := filepath.Abs(o.config)
	if err != nil {
		return err
	}
	jobs, err := loadJobs(config)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	server, err := c.await(ctx, log)
	if err != nil {
		return err
	}
	defer server.Close()
	w := worker.New(server, c.taskQueue, worker.Options{
		MaxConcurrentActivityExecutionSize: o.slots,
		WorkerStopTimeout:                  o.stopTimeout,
		MaxHeartbeatThrottleInterval:       5 * time.Second, // a request to stop comes with the answer to a heartbeat
	})
	register(w, &activities{program: o.program, config: config, environ: os.Environ(), log: stderr})
	if err := w.Start(); err != nil {
		return err
	}
	log.Info("worker ready", "address", c.address, "namespace", c.namespace, "task_queue", c.taskQueue, "jobs", strings.Join(jobs.names, ", "))
	<-ctx.Done()
	w.Stop()
	format.Fprintf(stderr, "siglake-temporal: the worker has stopped\n")
	return nil
}

// registry is a worker, or a replayer.
type registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
}

// registerNight registers the workflow.
func registerNight(w registry) {
	w.RegisterWorkflowWithOptions(night, workflow.RegisterOptions{Name: nightName})
}

// register registers all that a worker does.
func register(w worker.Worker, a *activities) {
	registerNight(w)
	w.RegisterActivityWithOptions(a.plan, activity.RegisterOptions{Name: planName})
	w.RegisterActivityWithOptions(a.job, activity.RegisterOptions{Name: jobName})
}

// siblingOf is the program siglake in the folder of another, if there is one.
func siblingOf(program string) string {
	name := "siglake"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if sibling := filepath.Join(filepath.Dir(program), name); isFile(sibling) {
		return sibling
	}
	return name
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
