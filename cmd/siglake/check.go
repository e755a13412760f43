package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func checkCommand() *cli.Command {
	p := newRunPurchase("check")
	rejects := ""
	return &cli.Command{
		Name:      "check",
		Usage:     "show how a list is read, and which lines would be rejected; requests nothing",
		ArgsUsage: "LIST",
		Description: "Reads the list to its end and says how: type, encoding, header, the column of each field and why, by what\n" +
			"lines would be requested, and why others are rejected. It needs no key, no lake and, but for lists on S3, no\n" +
			"network. As with siglake run, --signals about companies only, or about contacts only, decide what the lines are. With\n" +
			"--rejects the rejected lines are written to a file, each behind its reason.\n\n" +
			"Exit codes: 0 every line can be requested, 10 lines are rejected or share a key that a spreadsheet damaged,\n" +
			"64 wrong flags or an unreadable list.",
		Flags: joinFlags([]cli.Flag{
			&cli.StringFlag{Name: "rejects", Destination: &rejects, EnvVars: []string{"SIGLAKE_REJECTS"}, TakesFile: true,
				Usage: "write the rejected lines to `FILE`, as they stand in the list and in UTF-8, behind a first column with the reason: mend them there, and run that file"},
			jsonFlag(&p.out), signalsFlag(&p.run.Query),
		}, listFlags(&p.run.Source), lineFlags(&p.run.Source), shardFlag(&p.run.Source), s3Flags(&p.run.Store.S3), outputFlags(&p.out)),
		Action: func(c *cli.Context) error {
			list, err := oneList(c)
			if err != nil {
				return err
			}
			env, err := loggingEnv(c, p.out)
			if err != nil {
				return err
			}
			p.run.List = list
			r, exit, err := app.CheckList(c.Context, env, p.run, rejects, func(total int64) app.Meter {
				return newMeter(env.Stderr, env.Log, p.out.Quiet, total, nil)
			})
			if err != nil {
				return err
			}
			if p.out.JSON {
				if err := report.PrintJSON(env.Stdout, r); err != nil {
					return err
				}
			} else if !p.out.Quiet {
				report.PrintList(env.Stdout, r)
			}
			return statusOf(exit)
		},
	}
}
