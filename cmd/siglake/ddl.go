package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/report"
)

func ddlCommand() *cli.Command {
	o := app.DDLOptions{Dialect: "duckdb", Store: app.DefaultStore()}
	return &cli.Command{
		Name:  "ddl",
		Usage: "print the SQL that makes a lake readable as tables",
		Description: "For DuckDB: a script with a view of each dataset. All views read the same generation of the lake: the newest when\n" +
			"the script runs, or a fixed one. What a run publishes in the meantime does not change the results of a session.\n" +
			"    siglake ddl --lake DIR > lake.sql && duckdb -init lake.sql\n\n" +
			"For Athena: external tables over a lake on S3. They show files as soon as they appear.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			&cli.StringFlag{Name: "dialect", Value: o.Dialect, Destination: &o.Dialect, EnvVars: []string{"SIGLAKE_DIALECT"}, Usage: "SQL dialect: duckdb or athena"},
			&cli.Int64Flag{Name: "generation", Destination: &o.Generation, EnvVars: []string{"SIGLAKE_GENERATION"}, Usage: "read generation `N`, even when newer ones exist; 0 is the newest when the script runs"},
		}, storeFlags(&o.Store)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("ddl takes no arguments, got %q", c.Args().First())
			}
			env := envOf(c)
			address, snapshot, err := app.ReadSnapshot(c.Context, env, o)
			switch {
			case err != nil:
				return err
			case format.Text(address) != address: // in a script it would be another address
				return app.UsageErrorf("--lake %q contains control or invisible characters, which a script cannot show; rename it first", address)
			case o.Dialect == "athena":
				return report.WriteAthena(env.Stdout, address, snapshot)
			}
			return report.WriteDuckDB(env.Stdout, address, snapshot, o.Generation != 0)
		},
	}
}
