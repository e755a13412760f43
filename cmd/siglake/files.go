package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/ddl"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/report"
	"github.com/siglake/siglake/schema"
)

// filesCommand lists the files of a generation, for programs that take a list of files.
func filesCommand() *cli.Command {
	o, table, out := app.DDLOptions{Dialect: "duckdb", Store: app.DefaultStore()}, "", defaultOutput()
	return &cli.Command{
		Name:  "files",
		Usage: "list the files that hold every row of a lake once",
		Description: "One address a line, for programs that read a list of files: what a run publishes meanwhile does not change it,\n" +
			"and compacted files stand in for those that they replace. With --json, one object a line with table, partition, rows\n" +
			"and bytes.",
		Flags: joinFlags([]cli.Flag{
			lakeFlag(&o.Lake),
			&cli.StringFlag{Name: "table", Destination: &table, EnvVars: []string{"SIGLAKE_TABLE"}, Usage: "only the files of `TABLE`, such as news or accounts"},
			&cli.Int64Flag{Name: "generation", Destination: &o.Generation, EnvVars: []string{"SIGLAKE_GENERATION"}, Usage: "list the files of generation `N`, even when newer ones exist; 0 is the newest"},
			jsonFlag(&out),
		}, readFlags(&o.Store)),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("files takes no arguments, got %q", c.Args().First())
			}
			if err := checkTable(table); err != nil {
				return err
			}
			env := envOf(c)
			address, snapshot, err := app.ReadSnapshot(c.Context, env, o)
			switch {
			case err != nil:
				return err
			case format.Text(address) != address && !out.JSON: // a line would show another address
				return app.UsageErrorf("--lake %q contains control or invisible characters, which a list cannot show; use --json", address)
			}
			return report.PrintFiles(env.Stdout, address, snapshot, table, out.JSON)
		},
	}
}

// checkTable refuses the name of a table that has no files; empty: all tables.
func checkTable(name string) error {
	if _, known := schema.TableNamed(name); known || name == "" {
		return nil
	}
	var tables []string
	for _, t := range schema.Tables {
		tables = append(tables, t.Name)
	}
	if combined := ddl.TablesOfView(name); combined != nil {
		return app.UsageErrorf("--table %s: a view of siglake ddl, which has no files of its own; its rows come from %s", name, strings.Join(combined, ", "))
	}
	return app.UsageErrorf("--table %q: no table has this name%s; expected one of %s", name, app.DidYouMean(name, tables), strings.Join(tables, ", "))
}
