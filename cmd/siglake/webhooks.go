package main

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
	"github.com/siglake/siglake/pipeline"
)

func webhooksCommand() *cli.Command {
	return &cli.Command{
		Name:  "webhooks",
		Usage: "subscribe to the signals of a list, so that the API delivers each event once, and look after the subscriptions",
		Description: "The vendor delivers every new event of a subscribed entity to a URL, within minutes, and charges for each\n" +
			"delivery. siglake listen receives them. A push cannot be refused before it is charged: what bounds the bill is\n" +
			"the list, its signals, and siglake webhooks pause. Subscriptions themselves are free.",
		Subcommands: []*cli.Command{
			webhooksSyncCommand(), webhooksRemoveCommand(), webhooksListCommand(), webhooksPauseCommand(), webhooksResumeCommand(), webhooksTestCommand(),
			webhooksSecretCommand(), webhooksOptOutsCommand(), webhooksStatsCommand(), webhooksAuditCommand(), webhooksCapCommand(), webhooksPublishCommand(),
		},
	}
}

func webhooksSyncCommand() *cli.Command {
	o, out := app.DefaultWebhookSync(), defaultOutput()
	return &cli.Command{
		Name:      "sync",
		Usage:     "make the vendor's subscriptions those of a list: plan, and with --yes carry out",
		ArgsUsage: "LIST",
		Description: "Compares the list with the subscriptions at the vendor and prints what it would create (+), change (~), switch on\n" +
			"again (!) and delete (-). Only subscriptions of this lake are touched: their names begin with siglake: and the\n" +
			"lake's id. A line that is removed from the list ends its subscription. An interrupted sync is finished by the\n" +
			"same command. An id that the lake does not know is searched for, like siglake resolve does it: one credit for\n" +
			"every started 25 that the API finds; the plan says how many at most, and --max-credits caps them.\n\n" +
			"Exit codes: 0 planned or carried out, 10 lines or subscriptions were refused, 20 part is left (run again), 21 a\n" +
			"search is in doubt, 30 key or plan, 40 disk, 50 another command is at work on the webhooks, 64 wrong flags or an\n" +
			"unreadable list.",
		Flags: joinFlags([]cli.Flag{
			shardedLakeFlag(&o.Run.Lake, &o.Run.Source.Shard),
			words(&o.Signals, &cli.StringSliceFlag{Name: "signals", Aliases: []string{"s"}, EnvVars: []string{"SIGLAKE_SIGNALS"}, Usage: "signal keys, categories (contact, growth, intent, news, risk) or all; siglake signals lists them"}),
			&cli.StringFlag{Name: "url", Destination: &o.URL, EnvVars: []string{"SIGLAKE_URL"}, Usage: "`URL` that the vendor delivers to, of siglake listen or the proxy in front of it; default: as before. A lake has one"},
			&cli.StringFlag{Name: "name", Destination: &o.Name, EnvVars: []string{"SIGLAKE_NAME"}, Usage: "`NAME` of the list in the names of its subscriptions; default: that of the file"},
			&cli.StringFlag{Name: "lake-id", Destination: &o.LakeID, EnvVars: []string{"SIGLAKE_LAKE_ID"}, Usage: "`ID` in the names of the lake's subscriptions; only for a lake that has lost _state/webhooks.json"},
			yesChanges(&o.Yes),
			jsonFlag(&out),
		}, listFlags(&o.Run.Source), allowRejectedOnly(&o.Run.Source), shardFlag(&o.Run.Source), ttlFlags(&o.Run.TTL), withoutRefresh(moneyFlags(&o.Run.Money)), apiFlags(&o.Run.API), workFlags(&o.Run.Work), storeFlags(&o.Run.Store), outputFlags(&out), metricsFlag(&out)),
		Action: func(c *cli.Context) error { return syncWebhooks(c, o, out) },
	}
}

func yesChanges(dest *bool) cli.Flag {
	return &cli.BoolFlag{Name: "yes", Destination: dest, EnvVars: []string{"SIGLAKE_YES"}, Usage: "carry the plan out"}
}

// allowRejectedOnly are the line flags of a command that takes the whole list.
func allowRejectedOnly(o *app.ListOptions) []cli.Flag {
	return slices.DeleteFunc(lineFlags(o), func(f cli.Flag) bool { return f.Names()[0] != "allow-rejected" })
}

// withoutRefresh are money flags of a command that buys nothing again.
func withoutRefresh(flags []cli.Flag) []cli.Flag {
	return slices.DeleteFunc(flags, func(f cli.Flag) bool { return f.Names()[0] == "refresh" })
}

// syncWebhooks plans, and carries out on request.
func syncWebhooks(c *cli.Context, o app.WebhookSyncOptions, out OutputOptions) (err error) {
	if o.Run.List, err = oneList(c); err != nil {
		return err
	}
	env, err := loggingEnv(c, out)
	if err != nil {
		return err
	}
	inv := invocationOf(c)
	if o.Run.Money.Job = inv.job; inv.checkOnly {
		return app.CheckWebhookSync(env, o)
	}
	inv.end.Lake, inv.end.List, inv.end.Started = o.Run.Lake, o.Run.List, env.Now()
	s := app.NewWebhookSyncer(env, o)
	s.OpenAPI = func(ctx context.Context) (app.Endpoint, error) {
		at, _, err := openAPI(ctx, env, o.Run.API, SimulatorOptions{})
		return at, err
	}
	s.NewMeter = func(total int64, now *pipeline.Activity) app.Meter {
		return newMeter(env.Stderr, env.Log, out.Quiet || out.JSON || out.LogFormat == "json", total, now)
	}
	s.Report = func(m *pipeline.Manifest) {
		inv.end.Runs = append(inv.end.Runs, m)
		report.LogRun(env.Log, m)
	}
	r, code, err := s.Sync(c.Context)
	if r != nil {
		if inv.end.Warning = r.Warning(); r.Done {
			inv.end.Figures = report.WebhookFigures(&r.WebhookChanges)
		}
		switch {
		case out.JSON:
			err = firstError(err, report.PrintJSON(env.Stdout, r))
		case !out.Quiet:
			report.PrintWebhookSync(env.Stdout, r)
		}
	}
	if err != nil {
		return err
	}
	return statusOf(code)
}

// firstError is the first of the errors.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// webhookCommand is a command about a lake's webhooks: what its flags fill in.
type webhookCommand struct {
	o   app.WebhookOptions
	out OutputOptions
	end *report.RunEnd // set when the command begins
	// Finds options that are wrong by themselves; nil: the lake alone can be.
	check func(*app.Env) error
}

func newWebhookCommand(name string) *webhookCommand {
	return &webhookCommand{o: app.WebhookOptions{Command: "webhooks " + name, API: app.DefaultAPI(), Store: app.DefaultStore()}, out: defaultOutput()}
}

// flags are those of every such command, and some of its own.
func (w *webhookCommand) flags(own ...cli.Flag) []cli.Flag {
	return joinFlags([]cli.Flag{lakeFlag(&w.o.Lake)}, own, []cli.Flag{jsonFlag(&w.out)}, apiFlags(&w.o.API), readFlags(&w.o.Store), outputFlags(&w.out))
}

// action is that of a command: it prints what do gives, as text or as JSON.
func (w *webhookCommand) action(maxArgs int, do func(ctx context.Context, env *app.Env, args []string) (result any, print func(), err error)) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.NArg() > maxArgs && maxArgs >= 0 {
			return app.UsageErrorf("webhooks %s: unexpected argument %q; see siglake webhooks %[1]s --help", c.Command.Name, c.Args().Get(maxArgs))
		}
		env, err := loggingEnv(c, w.out)
		if err != nil {
			return err
		}
		if invocationOf(c).checkOnly {
			err := app.CheckLake(w.o.Lake)
			if err == nil && w.check != nil {
				err = w.check(env)
			}
			return err
		}
		w.end = invocationOf(c).end
		w.end.Lake, w.end.Started = w.o.Lake, env.Now()
		w.o.OpenAPI = func(ctx context.Context) (app.Endpoint, error) {
			at, _, err := openAPI(ctx, env, w.o.API, SimulatorOptions{})
			return at, err
		}
		result, print, err := do(c.Context, env, c.Args().Slice())
		if result != nil {
			switch {
			case w.out.JSON:
				err = firstError(err, report.PrintJSON(env.Stdout, result))
			case !w.out.Quiet:
				print()
			}
		}
		return err
	}
}

// changesAction is the action of a command that changes subscriptions.
func (w *webhookCommand) changesAction(maxArgs int, done *bool, change func(ctx context.Context, env *app.Env, args []string) (*app.WebhookChanges, error)) cli.ActionFunc {
	return w.action(maxArgs, func(ctx context.Context, env *app.Env, args []string) (any, func(), error) {
		changes, err := change(ctx, env, args)
		if changes == nil {
			return nil, nil, err
		}
		if done == nil || *done {
			w.end.Figures = report.WebhookFigures(changes)
		}
		if err == nil && len(changes.Problems) > 0 {
			err = statusOf(exitRejects)
		}
		return changes, func() { report.PrintWebhookChanges(env.Stdout, changes, done == nil || *done) }, err
	})
}

func webhooksRemoveCommand() *cli.Command {
	w, yes := newWebhookCommand("remove"), false
	return &cli.Command{
		Name: "remove", Usage: "end the subscriptions of a list: plan, and with --yes carry out", ArgsUsage: "NAME",
		Description: "Entities that another list of the lake has stay subscribed to. siglake webhooks list shows the names.",
		Flags:       w.flags(yesChanges(&yes)),
		Action: w.changesAction(1, &yes, func(ctx context.Context, env *app.Env, args []string) (*app.WebhookChanges, error) {
			if len(args) == 0 {
				return nil, app.UsageErrorf("name the list; siglake webhooks list shows the names")
			}
			return app.RemoveWebhooks(ctx, env, w.o, args[0], yes)
		}),
	}
}

func webhooksListCommand() *cli.Command {
	w, all := newWebhookCommand("list"), false
	return &cli.Command{
		Name: "list", Usage: "list the lake's subscriptions as the vendor has them",
		Flags: w.flags(&cli.BoolFlag{Name: "all", Destination: &all, EnvVars: []string{"SIGLAKE_ALL"}, Usage: "list those of the whole account"}),
		Action: w.action(0, func(ctx context.Context, env *app.Env, _ []string) (any, func(), error) {
			l, err := app.ListWebhooks(ctx, env, w.o, all)
			if err != nil {
				return nil, nil, err
			}
			return l, func() { report.PrintWebhookList(env.Stdout, l) }, nil
		}),
	}
}

func webhooksPauseCommand() *cli.Command {
	w := newWebhookCommand("pause")
	return &cli.Command{
		Name: "pause", Usage: "end all deliveries to the lake, and what they cost, until siglake webhooks resume",
		Description: "Deletes the lake's subscriptions at the vendor, 25 a call: 10,000 in four minutes. The lake remembers them. The\n" +
			"vendor does not deliver later what happened meanwhile; the next nightly run polls it.",
		Flags: w.flags(),
		Action: w.changesAction(0, nil, func(ctx context.Context, env *app.Env, _ []string) (*app.WebhookChanges, error) {
			return app.PauseWebhooks(ctx, env, w.o)
		}),
	}
}

func webhooksResumeCommand() *cli.Command {
	w := newWebhookCommand("resume")
	return &cli.Command{
		Name: "resume", Usage: "create the subscriptions again that siglake webhooks pause deleted",
		Flags: w.flags(),
		Action: w.changesAction(0, nil, func(ctx context.Context, env *app.Env, _ []string) (*app.WebhookChanges, error) {
			return app.ResumeWebhooks(ctx, env, w.o)
		}),
	}
}

func webhooksTestCommand() *cli.Command {
	w := newWebhookCommand("test")
	return &cli.Command{
		Name: "test", Usage: "make the vendor deliver an invented event, free of charge", ArgsUsage: "[SUBSCRIPTION …]",
		Description: "Without ids it tests one subscription of the lake. Exit codes: 0 delivered, 20 not delivered.",
		Flags:       w.flags(),
		Action: w.action(-1, func(ctx context.Context, env *app.Env, args []string) (any, func(), error) {
			tests, err := app.TestWebhooks(ctx, env, w.o, args)
			if err != nil {
				return nil, nil, err
			}
			for _, t := range tests {
				if !t.Success {
					err = statusOf(exitDeferred)
				}
			}
			return tests, func() { report.PrintWebhookTests(env.Stdout, tests) }, err
		}),
	}
}

func webhooksSecretCommand() *cli.Command {
	o, out := app.SecretOptions{API: app.DefaultAPI(), Overlap: app.DefaultOverlap}, defaultOutput()
	return &cli.Command{
		Name: "rotate-secret", Usage: "replace the secret by which the vendor signs deliveries, without losing any",
		Description: "The vendor forgets the old secret at once. siglake writes the new one as the first line of the file that siglake\n" +
			"listen reads, readable by you alone, keeps the old one as the second for deliveries that are under way, and\n" +
			"removes it after --overlap. The secret is never printed. It is that of the account: every other receiver of the\n" +
			"account needs the new one, too.",
		Flags: joinFlags([]cli.Flag{
			&cli.StringFlag{Name: "secret-file", Destination: &o.File, EnvVars: []string{"SIGLAKE_SECRET_FILE"}, TakesFile: true, Usage: "`FILE` with one secret a line, as siglake listen reads it"},
			&cli.DurationFlag{Name: "overlap", Value: o.Overlap, Destination: &o.Overlap, EnvVars: []string{"SIGLAKE_OVERLAP"}, Usage: "how long the old secret stays in the file; the command waits for that. 0: remove it at once"},
			&cli.BoolFlag{Name: "drop-old", Destination: &o.DropOld, EnvVars: []string{"SIGLAKE_DROP_OLD"}, Usage: "only remove the old secrets that an interrupted rotation left in the file"},
			&cli.BoolFlag{Name: "existing", Destination: &o.Existing, EnvVars: []string{"SIGLAKE_EXISTING"}, Usage: "write the account's present secret to the file, and do not replace it"},
			jsonFlag(&out),
		}, apiFlags(&o.API), s3Flags(&o.API.S3), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("webhooks rotate-secret takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			o.OpenAPI = func(ctx context.Context) (app.Endpoint, error) {
				at, _, err := openAPI(ctx, env, o.API, SimulatorOptions{})
				return at, err
			}
			show := func(r *app.SecretReport) {
				if !out.Quiet && !out.JSON {
					report.PrintSecret(env.Stdout, r)
				}
			}
			r, err := app.RotateSecret(c.Context, env, o, show)
			if err != nil {
				return err
			}
			if show(r); out.JSON {
				return report.PrintJSON(env.Stdout, r)
			}
			return nil
		},
	}
}

func webhooksOptOutsCommand() *cli.Command {
	w, hookURL, asked := newWebhookCommand("opt-outs"), "", false
	return &cli.Command{
		Name: "opt-outs", Usage: "subscribe to the notices of contacts that opt out",
		Description: "siglake listen receives the notices; siglake erase list shows whom they concern. An account can have one such\n" +
			"subscription. It is free. The vendor does not repeat what it could not deliver: siglake notes since when notices\n" +
			"were missing, and every command about webhooks says so until --asked.",
		Flags: w.flags(
			&cli.StringFlag{Name: "url", Destination: &hookURL, EnvVars: []string{"SIGLAKE_URL"}, Usage: "`URL` that the vendor delivers to; default: that of the lake's webhooks"},
			&cli.BoolFlag{Name: "asked", Destination: &asked, EnvVars: []string{"SIGLAKE_ASKED"}, Usage: "the vendor has said who opted out while no notices were delivered: forget those times"},
		),
		Action: w.action(0, func(ctx context.Context, env *app.Env, _ []string) (any, func(), error) {
			order, err := app.SubscribeOptOuts(ctx, env, w.o, hookURL, asked)
			if err != nil {
				return nil, nil, err
			}
			w.end.Warning = app.OptOutGapText(order.Gaps)
			return order, func() { report.PrintOptOutOrder(env.Stdout, order) }, nil
		}),
	}
}

func webhooksStatsCommand() *cli.Command {
	w := newWebhookCommand("stats")
	return &cli.Command{
		Name: "stats", Usage: "show the vendor's totals of deliveries",
		Flags: w.flags(),
		Action: w.action(0, func(ctx context.Context, env *app.Env, _ []string) (any, func(), error) {
			t, err := app.SumWebhooks(ctx, env, w.o)
			if err != nil {
				return nil, nil, err
			}
			return t, func() { report.PrintWebhookTotals(env.Stdout, t) }, nil
		}),
	}
}

func webhooksAuditCommand() *cli.Command {
	w, since := newWebhookCommand("audit"), app.DefaultAuditSince
	w.check = func(env *app.Env) error { return app.CheckWebhookAudit(env, since) }
	return &cli.Command{
		Name: "audit", Usage: "compare the vendor's log of deliveries with what the lake has received",
		Description: "Lists deliveries that the vendor counts as successful and that are neither in the lake's inbox nor in its journal,\n" +
			"and notes their entities: the next nightly run polls them. Exit codes: 0 nothing is missing, 24 deliveries are missing.",
		Flags: w.flags(&cli.StringFlag{Name: "since", Value: since, Destination: &since, EnvVars: []string{"SIGLAKE_SINCE"},
			Usage: "first day of the audit, as `DATE` or age (7d); the vendor keeps successes for 90 days, and the lake what was not published within 7"}),
		Action: w.action(0, func(ctx context.Context, env *app.Env, _ []string) (any, func(), error) {
			a, err := app.AuditWebhooks(ctx, env, w.o, since)
			if err != nil {
				return nil, nil, err
			}
			w.end.Figures = report.AuditFigures(a)
			if w.end.Warning, w.end.Reason = a.Warning(), a.Reason(); w.end.Reason != "" {
				err = statusOf(exitUndelivered)
			}
			return a, func() { report.PrintWebhookAudit(env.Stdout, a) }, err
		}),
	}
}

func webhooksCapCommand() *cli.Command {
	w, limit := newWebhookCommand("cap"), ""
	w.check = func(*app.Env) error { return app.CheckWebhookCap(limit) }
	return &cli.Command{
		Name: "cap", Usage: "pause deliveries when those of the day have cost enough",
		Description: "For a scheduler, every ten minutes or so. At the cap it pauses the lake's webhooks, as siglake webhooks pause does, and\n" +
			"on the next day (UTC) it resumes them. From 80 % on it warns. A push cannot be refused before it is charged: what\n" +
			"is delivered between two of these commands can exceed the cap. Exit codes: 0 below the cap, 20 paused.",
		Flags: w.flags(&cli.StringFlag{Name: "max-credits-per-day", Destination: &limit, EnvVars: []string{"SIGLAKE_MAX_CREDITS_PER_DAY"},
			Usage: "the most that the deliveries of a day (UTC) shall cost: a `NUMBER` of credits"}),
		Action: w.action(0, func(ctx context.Context, env *app.Env, _ []string) (any, func(), error) {
			c, err := app.CapWebhooks(ctx, env, w.o, limit)
			if c == nil {
				return nil, nil, err
			}
			w.end.Figures = report.CapFigures(c)
			if w.end.Warning = c.Warning; c.Pause != nil && err == nil {
				w.end.Reason, w.end.Repeats = "webhooks are "+app.PauseText(c.Pause), c.Changed == ""
				err = statusOf(exitDeferred)
			}
			return c, func() { report.PrintWebhookCap(env.Stdout, c) }, err
		}),
	}
}
