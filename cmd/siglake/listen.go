package main

import (
	"context"
	"log/slog"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/report"
)

func listenCommand() *cli.Command {
	o, out := app.DefaultListen(), defaultOutput()
	var alarm AlarmOptions
	return &cli.Command{
		Name:  "listen",
		Usage: "receive webhooks into a lake",
		Description: "Deliveries are kept in the lake's inbox before they are acknowledged, and published from there as a run.\n" +
			"The address takes POST " + receiverPath + ", and answers the vendor's question GET " + receiverPath + "?challenge=. It is meant to stand behind\n" +
			"a proxy with TLS, or serves TLS with --tls-cert and --tls-key. The secrets come from --secret-file, which is read\n" +
			"again when it changes, and from the variable " + app.SecretVariable + "; there is no flag for a secret. It runs until it is\n" +
			"stopped. Exit codes: 0 stopped, 30 no secret, 40 the inbox cannot be written, 50 another siglake listen receives for\n" +
			"the lake, 60 the inbox is damaged.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			&cli.StringFlag{Name: "listen", Value: o.Address, Destination: &o.Address, EnvVars: []string{"SIGLAKE_LISTEN"}, Usage: "`ADDRESS` to receive on; port 0 picks a free port"},
			&cli.StringFlag{Name: "secret-file", Destination: &o.SecretFile, EnvVars: []string{"SIGLAKE_SECRET_FILE"}, TakesFile: true,
				Usage: "`FILE` with the account's signing secret, one a line if there are several; only its owner may read it"},
			&cli.StringFlag{Name: "admin-listen", Destination: &o.AdminAddress, EnvVars: []string{"SIGLAKE_ADMIN_LISTEN"}, Usage: "`ADDRESS` that serves /healthz and /metrics, for this machine or network only; default: they are not served"},
			&cli.StringFlag{Name: "tls-cert", Destination: &o.CertFile, EnvVars: []string{"SIGLAKE_TLS_CERT"}, TakesFile: true, Usage: "`FILE` with the certificate of the address and those between it and a root, as PEM; read again when it changes"},
			&cli.StringFlag{Name: "tls-key", Destination: &o.KeyFile, EnvVars: []string{"SIGLAKE_TLS_KEY"}, TakesFile: true, Usage: "`FILE` with the key of --tls-cert, as PEM"},
			&cli.DurationFlag{Name: "tolerance", Value: o.Tolerance, Destination: &o.Tolerance, EnvVars: []string{"SIGLAKE_TOLERANCE"}, Usage: "how far the timestamp of a delivery may be from this machine's clock"},
			&cli.DurationFlag{Name: "publish-every", Value: o.PublishEvery, Destination: &o.PublishEvery, EnvVars: []string{"SIGLAKE_PUBLISH_EVERY"},
				Usage: "how often the inbox is published; 0: not by this command, but by siglake run and siglake webhooks publish"},
			&cli.Int64Flag{Name: "publish-after", Value: o.PublishAfter, Destination: &o.PublishAfter, EnvVars: []string{"SIGLAKE_PUBLISH_AFTER"},
				Usage: "publish earlier when this `NUMBER` of deliveries waits"},
		}, alarmFlags(&alarm), storeFlags(&o.Store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("listen takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			if o.Alarm, err = alarm.open(env); err != nil {
				return err
			}
			return listen(c.Context, invocationOf(c), env, o, out.Quiet)
		},
	}
}

// receiverPath is the path of deliveries.
const receiverPath = "/in"

// listen receives webhooks until ctx ends, and prints where, and what came.
func listen(ctx context.Context, inv *invocation, env *app.Env, o app.ListenOptions, quiet bool) error {
	o.WriteMetrics = report.WriteListenMetrics
	o.Publish = func(ctx context.Context) (inbox.Position, error) { return publishReceived(ctx, inv, env, &o) }
	o.Ready = func(a *app.ListenAddresses) {
		if !quiet {
			report.PrintListening(env.Stdout, a)
		}
	}
	s, err := app.Listen(ctx, env, o)
	if s != nil && !quiet {
		report.PrintListenEnd(env.Stdout, s)
	}
	return err
}

// publishReceived publishes what is in the inbox, and runs the command of --after-publish. What goes wrong with
// that is warned about: deliveries arrive nevertheless.
func publishReceived(ctx context.Context, inv *invocation, env *app.Env, o *app.ListenOptions) (until inbox.Position, err error) {
	r, err := app.PublishInbox(ctx, env, app.PublishOptions{Lake: o.Lake, Command: app.ListenHolder, Store: o.Store})
	if err != nil {
		return "", err
	}
	if r.Manifest != nil {
		report.LogRun(env.Log, r.Manifest)
	}
	if err := inv.afterPublish(ctx); err != nil {
		inv.console.print(slog.LevelWarn, format.Text(err.Error()))
	}
	inv.published = nil
	return r.Until, nil
}
