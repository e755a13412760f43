package main

import (
	"bytes"
	"context"
	"os/exec"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/ddl"
	"github.com/siglake/siglake/internal/format"
)

func ddlCommand() *cli.Command {
	o := app.DDLOptions{Dialect: "duckdb", DuckDB: "duckdb", Store: app.DefaultStore()}
	return &cli.Command{
		Name:  "ddl",
		Usage: "print the SQL that makes a lake readable as tables",
		Description: "For DuckDB: a script with views of a lake. All views read the same generation: the newest when\n" +
			"the script runs, or a fixed one. What a run publishes in the meantime does not change the results of a session.\n" +
			"    siglake ddl --lake DIR > lake.sql && duckdb -init lake.sql\n\n" +
			"With --into the views are written to a database file, for programs that open one; write it anew after each run.\n" +
			"    siglake ddl --lake DIR --into lake.duckdb\n\n" +
			"For other engines: tables over the files of a lake, and the same views. They show files as soon as they appear.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			&cli.StringFlag{Name: "dialect", Value: o.Dialect, Destination: &o.Dialect, EnvVars: []string{"SIGLAKE_DIALECT"}, Usage: "SQL dialect: " + strings.Join(ddl.Dialects(), ", ")},
			&cli.Int64Flag{Name: "generation", Destination: &o.Generation, EnvVars: []string{"SIGLAKE_GENERATION"}, Usage: "read generation `N`, even when newer ones exist; 0 is the newest when the script runs"},
			&cli.BoolFlag{Name: "persistent", Destination: &o.Persistent, EnvVars: []string{"SIGLAKE_PERSISTENT"}, Usage: "DuckDB: views for a database file, of one generation"},
			&cli.StringFlag{Name: "into", Destination: &o.Into, EnvVars: []string{"SIGLAKE_INTO"}, Usage: "DuckDB: write the views to the database `FILE`, instead of printing the script"},
			&cli.StringFlag{Name: "duckdb", Value: o.DuckDB, Destination: &o.DuckDB, EnvVars: []string{"SIGLAKE_DUCKDB"}, Usage: "`PROGRAM` of DuckDB that writes the file of --into"},
			&cli.StringFlag{Name: "database", Destination: &o.Database, EnvVars: []string{"SIGLAKE_DATABASE"}, Usage: "write tables and views to the database `NAME`, or CATALOGUE.NAME"},
			&cli.StringFlag{Name: "prefix", Destination: &o.Prefix, EnvVars: []string{"SIGLAKE_PREFIX"}, Usage: "begin the name of every table and view with `TEXT`"},
			&cli.StringFlag{Name: "over", Destination: &o.Over, EnvVars: []string{"SIGLAKE_OVER"}, Usage: "print only the views, over tables that stand in the database `NAME` already: those of siglake-iceberg; --database names another one for the views"},
		}, readFlags(&o.Store)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("ddl takes no arguments, got %q", c.Args().First())
			}
			if !slices.Contains(ddl.Dialects(), o.Dialect) {
				return app.UsageErrorf("--dialect %q: expected one of %s", o.Dialect, strings.Join(ddl.Dialects(), ", "))
			}
			if o.Over != "" && o.Database == "" && o.Dialect != "duckdb" {
				o.Database = o.Over
			}
			env := envOf(c)
			address, snapshot, err := app.ReadSnapshot(c.Context, env, o)
			switch {
			case err != nil:
				return err
			case format.Text(address) != address: // in a script it would be another address
				return app.UsageErrorf("--lake %q contains control or invisible characters, which a script cannot show; rename it first", address)
			}
			return writeScript(c.Context, env, &o, &ddl.Options{
				OptedOut: app.OptedOut(c.Context, env, o.Store, o.Lake),
				Dialect:  o.Dialect, Address: address, Snapshot: snapshot, Pinned: o.Generation != 0,
				Persistent: o.Persistent || o.Into != "", Database: o.Database, Prefix: o.Prefix, Over: o.Over,
			})
		},
	}
}

// writeScript prints a script, or has DuckDB execute it for --into.
func writeScript(ctx context.Context, env *app.Env, o *app.DDLOptions, script *ddl.Options) error {
	if o.Into == "" {
		return ddl.Write(env.Stdout, *script)
	}
	if _, err := exec.LookPath(o.DuckDB); err != nil {
		return app.UsageErrorf("--into needs the program of DuckDB: %w; install it, name it with --duckdb, or run where it is: siglake ddl --lake %s --persistent | duckdb %s",
			err, shellWord(o.Lake), shellWord(o.Into))
	}
	var text bytes.Buffer
	if err := ddl.Write(&text, *script); err != nil {
		return err
	}
	err := app.WriteDuckDB(ctx, env, o, []string{script.Address}, text.String(), o.Prefix+ddl.LakeView)
	if err == nil {
		format.Fprintf(env.Stdout, "Wrote %s: the views of generation %d of %s.\n", o.Into, script.Snapshot.Generation, o.Lake)
	}
	return err
}
