package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/siglake/siglake/internal/format"
)

// scheduleOptions say when nights begin.
type scheduleOptions struct {
	cron, zone     string
	jitter         time.Duration
	paused, remove bool
}

func scheduleCommand() *cli.Command {
	c, n, o := defaultConnection(), defaultNight(), scheduleOptions{zone: "UTC"}
	return &cli.Command{
		Name:  "schedule",
		Usage: "create a schedule of nights, or change it",
		Description: "The schedule has the ID of --workflow-id, and its nights have the ID with their time behind it. A night that is due while\n" +
			"the one before is under way is left out.",
		Flags: append(append([]cli.Flag{
			&cli.StringFlag{Name: "cron", Destination: &o.cron, Category: "Schedule", Usage: "when a night begins, as `CRON`: 17 2 * * *"},
			&cli.StringFlag{Name: "time-zone", Value: o.zone, Destination: &o.zone, Category: "Schedule", Usage: "`ZONE` of the times, such as Europe/Paris"},
			&cli.DurationFlag{Name: "jitter", Destination: &o.jitter, Category: "Schedule", Usage: "begin up to this `TIME` later, by chance"},
			&cli.BoolFlag{Name: "paused", Destination: &o.paused, Category: "Schedule", Usage: "start no nights until the command is repeated without it"},
			&cli.BoolFlag{Name: "delete", Destination: &o.remove, Category: "Schedule", Usage: "delete the schedule; nights under way go on"},
		}, nightFlags(&n)...), connectionFlags(&c)...),
		Action: func(ctx *cli.Context) error {
			if err := noArguments(ctx); err != nil {
				return err
			}
			return schedule(ctx.Context, &c, &n, &o, ctx.App.Writer, ctx.App.ErrWriter)
		},
	}
}

// schedule makes the server's schedule the one that the flags describe.
func schedule(ctx context.Context, c *connection, n *nightOptions, o *scheduleOptions, stdout, stderr io.Writer) error {
	in, err := n.input()
	switch {
	case err != nil:
		return err
	case o.cron == "" && !o.remove:
		return usageErrorf("--cron is missing: siglake-temporal schedule --cron '17 2 * * *'")
	}
	if _, err := time.LoadLocation(o.zone); err != nil {
		return usageErrorf("--time-zone: %w", err)
	}
	server, err := c.dial(quietLog(stderr))
	if err != nil {
		return err
	}
	defer server.Close()
	if o.remove {
		return deleteSchedule(ctx, server, n.id, stdout)
	}
	wanted := scheduleOf(c, n, o, in)
	verb := "created"
	_, err = server.ScheduleClient().Create(ctx, wanted)
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		verb, err = "changed", updateSchedule(ctx, server, &wanted)
	}
	if err != nil {
		return scheduleError(n.id, err)
	}
	format.Fprintf(stdout, "schedule %s was %s\n", n.id, verb)
	at, err := server.ScheduleClient().GetHandle(ctx, n.id).Describe(ctx)
	if err == nil && !o.paused && len(at.Info.NextActionTimes) > 0 {
		format.Fprintf(stdout, "the next night begins at %s\n", at.Info.NextActionTimes[0].UTC().Format("2006-01-02 15:04 UTC"))
	}
	return nil
}

// scheduleOf is the schedule that the flags describe.
func scheduleOf(c *connection, n *nightOptions, o *scheduleOptions, in *nightInput) client.ScheduleOptions {
	return client.ScheduleOptions{
		ID:   n.id,
		Spec: client.ScheduleSpec{CronExpressions: []string{o.cron}, TimeZoneName: o.zone, Jitter: o.jitter},
		Action: &client.ScheduleWorkflowAction{
			ID: n.id, Workflow: nightName, Args: []any{in}, TaskQueue: c.taskQueue, TypedSearchAttributes: firstAttributes(in),
		},
		Overlap:       enums.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: time.Hour, // after an outage of the server
		Paused:        o.paused,
	}
}

func updateSchedule(ctx context.Context, server client.Client, wanted *client.ScheduleOptions) error {
	return server.ScheduleClient().GetHandle(ctx, wanted.ID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			s := in.Description.Schedule
			s.Spec, s.Action = &wanted.Spec, wanted.Action
			s.Policy = &client.SchedulePolicies{Overlap: wanted.Overlap, CatchupWindow: wanted.CatchupWindow}
			s.State.Paused = wanted.Paused
			return &client.ScheduleUpdate{Schedule: &s}, nil
		},
	})
}

func deleteSchedule(ctx context.Context, server client.Client, id string, stdout io.Writer) error {
	if err := server.ScheduleClient().GetHandle(ctx, id).Delete(ctx); err != nil {
		return scheduleError(id, err)
	}
	format.Fprintf(stdout, "schedule %s was deleted\n", id)
	return nil
}

// scheduleError says what to do when the server refuses a schedule.
func scheduleError(id string, err error) error {
	var invalid *serviceerror.InvalidArgument
	var missing *serviceerror.NotFound
	switch {
	case errors.As(err, &missing):
		return fmt.Errorf("there is no schedule %s", id)
	case errors.As(err, &invalid):
		return usageErrorf("the server refuses schedule %s: %w; a cron expression has five fields, and siglake-temporal register adds the search attributes", id, err)
	}
	return err
}
