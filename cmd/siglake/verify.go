package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/report"
)

func verifyCommand() *cli.Command {
	o, out := app.VerifyOptions{Store: app.DefaultStore(), Jobs: app.DefaultJobs()}, defaultOutput()
	return &cli.Command{
		Name:  "verify",
		Usage: "check a lake and its journal against each other, offline",
		Description: "Reads every answer in the journal, derives the rows of every published file from them, and compares these with the\n" +
			"lake. Makes no API call and changes no data. Exit codes: 0 all invariants hold, 60 one is broken.\n\n" +
			"With --quick it reads no answer: it checks the chain of manifests, the digest of every file, and the sums that manifests\n" +
			"state, and says what it left out.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			&cli.BoolFlag{Name: "quick", Destination: &o.Quick, EnvVars: []string{"SIGLAKE_QUICK"}, Usage: "check manifests, digests of files and sums only; no answer is read"},
			jobsFlag(&o.Jobs, "runs, partitions and files"),
			jsonFlag(&out),
		}, readFlags(&o.Store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("verify takes no arguments, got %q", c.Args().First())
			}
			if invocationOf(c).checkOnly {
				return app.CheckLake(o.Lake)
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			o.Meter = newWorkMeter(env.Stderr, out.Quiet)
			findings, err := app.VerifyLake(c.Context, env, o)
			var broken *app.Error
			isBroken := errors.As(err, &broken) && broken.Kind == app.KindIntegrity
			switch {
			case out.JSON && len(findings) > 0:
				return errors.Join(report.PrintJSON(env.Stdout, report.NewVerification(o.Lake, o.Quick, findings, err)), err)
			case err != nil && !app.IsViolated(findings): // nothing could be checked
				return err
			}
			stopped := err != nil && !isBroken // the error says why; of the rest little was checked
			report.PrintFindings(env.Stdout, findings, out.Quiet || stopped)
			switch {
			case !isBroken:
			case o.Quick && app.NeedsRebuild(findings):
				format.Fprintf(env.Stdout, "siglake verify --lake %s reads the answers, too, and says whether the lake can be rebuilt from them.\n", o.Lake)
			case app.IsRebuildable(findings):
				format.Fprintf(env.Stdout, "The journal is intact: siglake rebuild --lake %s --into DIR rebuilds the lake from it, at no cost.\n", o.Lake)
			}
			return err
		},
	}
}

// jobsFlag is the flag of commands that work on several things at once.
func jobsFlag(dest *int, things string) cli.Flag {
	return &cli.IntFlag{Name: "jobs", Destination: dest, Value: *dest, DefaultText: "one per core", EnvVars: []string{"SIGLAKE_JOBS"}, Category: "Work", Usage: "work on up to this many " + things + " at once, as far as --memory allows it"}
}
