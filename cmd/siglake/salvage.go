package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
)

func salvageCommand() *cli.Command {
	o, out := app.SalvageOptions{Store: app.DefaultStore()}, defaultOutput()
	return &cli.Command{
		Name:  "salvage",
		Usage: "replace a damaged journal by all that can be read of it, at no cost",
		Description: "Reads every whole record of a journal that cannot be opened, writes them into a new one, and says what is missing:\n" +
			"which runs and calls, and how many credits they were charged. The damaged journal is kept under another name. A\n" +
			"call without its answer is held as a call in doubt. If anything is missing, salvage changes nothing unless\n" +
			"--accept-loss says so: what is missing may be bought again. Restore a copy of the journal first, if there is one.\n" +
			"Makes no API call. Exit codes: 0 replaced, 60 something is missing and nothing was changed.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			&cli.BoolFlag{Name: "accept-loss", Destination: &o.AcceptLoss, EnvVars: []string{"SIGLAKE_ACCEPT_LOSS"}, Usage: "replace the journal even if something is missing, which may be bought again"},
			jsonFlag(&out),
		}, withoutPublication(storeFlags(&o.Store)), outputFlags(&out)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("salvage takes no arguments, got %q", c.Args().First())
			}
			env, err := loggingEnv(c, out)
			if err != nil {
				return err
			}
			r, err := app.SalvageLake(c.Context, env, o)
			if usage := (*app.Error)(nil); err != nil && (!errors.As(err, &usage) || usage.Kind != app.KindIntegrity) {
				return err
			}
			if out.JSON {
				return errors.Join(report.PrintJSON(env.Stdout, r), err)
			}
			if !out.Quiet {
				report.PrintSalvage(env.Stdout, &r)
			}
			return err
		},
	}
}
