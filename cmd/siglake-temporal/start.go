package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"time"

	"github.com/urfave/cli/v2"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/siglake/siglake/internal/format"
)

// nightOptions say what a night is about, and how it is known.
type nightOptions struct {
	id         string
	jobs       []string
	sideBySide bool
	limit      time.Duration
	heartbeat  time.Duration
	pause      time.Duration
	attributes bool
}

func defaultNight() nightOptions {
	return nightOptions{id: "siglake-night", limit: 20 * time.Hour, heartbeat: 30 * time.Second, pause: 30 * time.Minute, attributes: true}
}

func idFlag(o *nightOptions) cli.Flag {
	return &cli.StringFlag{Name: "workflow-id", Aliases: []string{"w"}, Value: o.id, Destination: &o.id, EnvVars: []string{"SIGLAKE_TEMPORAL_WORKFLOW_ID"}, Category: "Night", Usage: "`ID` of the workflow; of two nights with one ID the second is refused while the first is under way"}
}

func nightFlags(o *nightOptions) []cli.Flag {
	return []cli.Flag{
		idFlag(o),
		&cli.StringSliceFlag{Name: "job", Category: "Night", Usage: "`NAME` of a job, in the order of the flags; default: all jobs of the workers' job file",
			Action: func(_ *cli.Context, all []string) error { o.jobs = all; return nil }},
		&cli.BoolFlag{Name: "side-by-side", Destination: &o.sideBySide, Category: "Night", Usage: "run the jobs at once; by default in turn, and only the shards of one job at once"},
		&cli.DurationFlag{Name: "limit", Value: o.limit, Destination: &o.limit, Category: "Night", Usage: "`TIME` that a job has, with all its attempts"},
		&cli.DurationFlag{Name: "heartbeat", Value: o.heartbeat, Destination: &o.heartbeat, Category: "Night", Usage: "`TIME` without a heartbeat after which a worker counts as dead"},
		&cli.DurationFlag{Name: "pause", Value: o.pause, Destination: &o.pause, Category: "Night", Usage: "`TIME` before a repetition, if the run states none"},
		&cli.BoolFlag{Name: "search-attributes", Value: o.attributes, Destination: &o.attributes, Category: "Night", Usage: "set SiglakeList, SiglakeCredits and SiglakeOutcome, which siglake-temporal register adds to a namespace"},
	}
}

// input is what the workflow is given.
func (o *nightOptions) input() (*nightInput, error) {
	if !workflowID.MatchString(o.id) {
		return nil, usageErrorf("--workflow-id %q: expected letters, digits, dots, hyphens and underscores", o.id)
	}
	for _, f := range []struct {
		name string
		d    time.Duration
	}{{"limit", o.limit}, {"heartbeat", o.heartbeat}, {"pause", o.pause}} {
		if f.d < time.Second || f.d%time.Second != 0 {
			return nil, usageErrorf("--%s %s: expected whole seconds, from 1s", f.name, f.d)
		}
	}
	return &nightInput{
		Jobs: o.jobs, SideBySide: o.sideBySide, SearchAttributes: o.attributes,
		LimitSeconds: int64(o.limit / time.Second), HeartbeatSeconds: int64(o.heartbeat / time.Second), PauseSeconds: int64(o.pause / time.Second),
	}, nil
}

// workflowID is an ID that needs no quotes in a query.
var workflowID = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

func startCommand() *cli.Command {
	c, o := defaultConnection(), defaultNight()
	wait := false
	return &cli.Command{
		Name:        "start",
		Usage:       "start a night: the jobs of the workers' job file",
		Description: "With --wait it prints the report of the night, and exits with the gravest exit code of its jobs.",
		Flags:       append(append(nightFlags(&o), &cli.BoolFlag{Name: "wait", Destination: &wait, Category: "Night", Usage: "wait for the end of the night"}), connectionFlags(&c)...),
		Action: func(ctx *cli.Context) error {
			if err := noArguments(ctx); err != nil {
				return err
			}
			return startNight(ctx.Context, &c, &o, wait, ctx.App.Writer, ctx.App.ErrWriter)
		},
	}
}

// quietLog is the log of commands that print what there is to say.
func quietLog(stderr io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func startNight(ctx context.Context, c *connection, o *nightOptions, wait bool, stdout, stderr io.Writer) error {
	in, err := o.input()
	if err != nil {
		return err
	}
	server, err := c.dial(quietLog(stderr))
	if err != nil {
		return err
	}
	defer server.Close()
	run, err := server.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: o.id, TaskQueue: c.taskQueue, TypedSearchAttributes: firstAttributes(in), WorkflowExecutionErrorWhenAlreadyStarted: true,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
	}, nightName, in)
	if err != nil {
		return startError(o.id, err)
	}
	format.Fprintf(stderr, "night %s has started, run %s\n", run.GetID(), run.GetRunID())
	if !wait {
		return nil
	}
	var report nightReport
	err = run.Get(ctx, &report)
	var failure *temporal.ApplicationError
	if errors.As(err, &failure) {
		format.Fprintf(stderr, "siglake-temporal: %s\n", failure.Message())
		if !failure.HasDetails() || failure.Details(&report) != nil {
			return exitStatus(exitUsage) // the night could not be planned
		}
		err = nil
	}
	if err != nil {
		return fmt.Errorf("night %s: %w", o.id, err)
	}
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	if err := e.Encode(&report); err != nil {
		return err
	}
	if report.ExitCode != exitComplete {
		return exitStatus(report.ExitCode)
	}
	return nil
}

// startError says what to do when a night cannot start.
func startError(id string, err error) error {
	var running *serviceerror.WorkflowExecutionAlreadyStarted
	var invalid *serviceerror.InvalidArgument
	switch {
	case errors.As(err, &running):
		return fmt.Errorf("night %s is under way: wait for it, or stop it with siglake-temporal stop", id)
	case errors.As(err, &invalid):
		return fmt.Errorf("the server refuses the night: %w; siglake-temporal register adds the search attributes, and --search-attributes=false omits them", err)
	}
	return err
}

func stopCommand() *cli.Command {
	c, o := defaultConnection(), defaultNight()
	return &cli.Command{
		Name:  "stop",
		Usage: "ask the nights of an ID to stop politely",
		Description: "Jobs that run wait for their calls on the wire and publish what is paid; others do not begin. Nights that a schedule\n" +
			"of the ID has started are stopped, too.",
		Flags: append([]cli.Flag{idFlag(&o)}, connectionFlags(&c)...),
		Action: func(ctx *cli.Context) error {
			if err := noArguments(ctx); err != nil {
				return err
			}
			return stopNights(ctx.Context, &c, o.id, ctx.App.Writer, ctx.App.ErrWriter)
		},
	}
}

func stopNights(ctx context.Context, c *connection, id string, stdout, stderr io.Writer) error {
	if !workflowID.MatchString(id) {
		return usageErrorf("--workflow-id %q: expected letters, digits, dots, hyphens and underscores", id)
	}
	server, err := c.dial(quietLog(stderr))
	if err != nil {
		return err
	}
	defer server.Close()
	ids, err := runningNights(ctx, server, c.namespace, id)
	if err != nil {
		return err
	}
	stopped := 0
	for _, id := range ids {
		err := server.SignalWorkflow(ctx, id, "", stopSignal, nil)
		var gone *serviceerror.NotFound
		switch {
		case errors.As(err, &gone): // it has ended meanwhile
			continue
		case err != nil:
			return err
		}
		stopped++
		format.Fprintf(stdout, "night %s was asked to stop\n", id)
	}
	if stopped == 0 {
		return fmt.Errorf("no night %s is under way", id)
	}
	return nil
}

// runningNights are the nights of an ID, and those that a schedule of the ID has started.
func runningNights(ctx context.Context, server client.Client, namespace, id string) (ids []string, err error) {
	ids = []string{id} // the list of workflows may not show yet what has just begun
	query := fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '%s-'", nightName, id)
	for token := []byte(nil); ; {
		page, err := server.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: namespace, Query: query, NextPageToken: token})
		if err != nil {
			return nil, err
		}
		for _, w := range page.GetExecutions() {
			ids = append(ids, w.GetExecution().GetWorkflowId())
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return ids, nil
		}
	}
}
