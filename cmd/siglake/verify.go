package main

import (
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/report"
)

func verifyCommand() *cli.Command {
	lake, store, out := "", app.DefaultStore(), defaultOutput()
	return &cli.Command{
		Name:  "verify",
		Usage: "check a lake and its journal against each other, offline",
		Description: "Reads every answer in the journal, derives the rows of every published file from them, and compares these with the\n" +
			"lake. Makes no API call and changes no data. Exit codes: 0 all invariants hold, 60 one is broken.",
		Flags: joinFlags([]cli.Flag{lakeFlag(&lake)}, readFlags(&store), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("verify takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			findings, err := app.VerifyLake(c.Context, env, store, lake, strings.TrimSpace(env.Getenv(app.KeyVariable)))
			report.PrintFindings(env.Stdout, findings, out.Quiet)
			var broken *app.Error
			if errors.As(err, &broken) && broken.Kind == app.KindIntegrity && app.IsRebuildable(findings) {
				format.Fprintf(env.Stdout, "The journal is intact: siglake rebuild --lake %s --into DIR rebuilds the lake from it, at no cost.\n", lake)
			}
			return err
		},
	}
}
