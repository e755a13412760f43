package main

import (
	"context"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/jobfile"
	"github.com/siglake/siglake/internal/notify"
)

// AlarmOptions say where a command about webhooks sends alarms.
type AlarmOptions struct {
	URLFile string // with a secret address; empty: alarms are not sent
	Format  string
}

// alarmFlags name an address for alarms. There is no flag for the address itself: it is a secret.
func alarmFlags(o *AlarmOptions) []cli.Flag {
	o.Format = jobfile.Formats[0]
	return []cli.Flag{
		&cli.StringFlag{Name: "notify-url-file", Destination: &o.URLFile, EnvVars: []string{"SIGLAKE_NOTIFY_URL_FILE"}, TakesFile: true,
			Usage: "`FILE` with the secret address that hears of what a person has to look at, each condition once a day (UTC)"},
		&cli.StringFlag{Name: "notify-format", Value: o.Format, Destination: &o.Format, EnvVars: []string{"SIGLAKE_NOTIFY_FORMAT"},
			Usage: "what is posted there: " + strings.Join(jobfile.Formats, ", ")},
	}
}

// open gives what sends alarms; nil: they are not wanted. An address that cannot be read is found now, and not in the
// night in which it is needed.
func (o *AlarmOptions) open(env *app.Env) (app.Alarmer, error) {
	if !slices.Contains(jobfile.Formats, o.Format) {
		return nil, app.UsageErrorf("--notify-format %q%s: expected %s", o.Format, app.DidYouMean(o.Format, jobfile.Formats), strings.Join(jobfile.Formats, ", "))
	}
	if o.URLFile == "" {
		return nil, nil
	}
	target := jobfile.Notification{URLFile: o.URLFile, Format: o.Format}
	if _, err := addressOf(target); err != nil {
		return nil, app.UsageErrorf("--notify-url-file: %w", err)
	}
	sender := notify.Sender{Transport: env.Transport, Sleep: env.Sleep}
	return func(ctx context.Context, a *app.Alarm) error {
		address, err := addressOf(target) // it may have changed
		if err != nil {
			return err
		}
		title := "siglake, lake " + a.Lake + ": " + a.Text
		return sender.Send(ctx, address, target.Format, &notify.Message{Event: notify.Alarm, Title: title, Text: title + "\n", Document: alarmDocument{notify.Alarm, a}})
	}, nil
}

// alarmDocument is an alarm for machines.
type alarmDocument struct {
	Event notify.Event `json:"event"`
	*app.Alarm
}
