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
	"github.com/siglake/siglake/internal/report"
)

// union reads the lakes of shards as one.
type union struct {
	o   app.UnionOptions
	out OutputOptions
}

func unionCommand() *cli.Command {
	u := &union{o: app.UnionOptions{DDL: app.DDLOptions{DuckDB: "duckdb", Store: app.DefaultStore()}}, out: defaultOutput()}
	o := &u.o.DDL
	return &cli.Command{
		Name:      "union",
		Usage:     "read the lakes of all shards of a list as one: its state, its bill, its tables",
		ArgsUsage: "LAKE...",
		Description: "LAKE is the address of the lake of each shard (see --shard of siglake run), one address with {shard} for the index,\n" +
			"or the folder or prefix that the lakes lie in. Prints how each shard stands, and one bill for all of them.\n" +
			"    siglake union s3://bucket/lake/shard-{shard}\n\n" +
			"With --dialect it prints the SQL that makes the lakes one set of tables and views, those of siglake ddl; with --into\n" +
			"it writes a DuckDB file of them. Views begin to show a shard when the SQL is printed after its first run. They show the\n" +
			"newest generations; siglake ddl reads an earlier one of a single lake, and tables of siglake-iceberg.\n\n" +
			"Exit codes: 0 every shard is there and complete, 20 a shard is missing or unfinished, 21 calls of one are in doubt,\n" +
			"40 disk or bucket, 60 a lake is damaged, 64 wrong flags, or two lakes of one shard or of different divisions.\n" +
			"With 20 and 21 the output is complete about the shards that there are; standard error names the others.",
		Flags: joinFlags([]cli.Flag{
			&cli.StringFlag{Name: "dialect", Destination: &o.Dialect, EnvVars: []string{"SIGLAKE_DIALECT"}, Usage: "print SQL in this dialect: " + strings.Join(ddl.Dialects(), ", ")},
			&cli.BoolFlag{Name: "persistent", Destination: &o.Persistent, EnvVars: []string{"SIGLAKE_PERSISTENT"}, Usage: "DuckDB: views for a database file, of the generations of now"},
			&cli.StringFlag{Name: "into", Destination: &o.Into, EnvVars: []string{"SIGLAKE_INTO"}, Usage: "DuckDB: write the views to the database `FILE`"},
			&cli.StringFlag{Name: "duckdb", Value: o.DuckDB, Destination: &o.DuckDB, EnvVars: []string{"SIGLAKE_DUCKDB"}, Usage: "`PROGRAM` of DuckDB that writes the file of --into"},
			&cli.StringFlag{Name: "database", Destination: &o.Database, EnvVars: []string{"SIGLAKE_DATABASE"}, Usage: "write tables and views to the database `NAME`, or CATALOGUE.NAME"},
			&cli.StringFlag{Name: "prefix", Destination: &o.Prefix, EnvVars: []string{"SIGLAKE_PREFIX"}, Usage: "begin the name of every table and view with `TEXT`"},
			jsonFlag(&u.out),
		}, readFlags(&o.Store), outputFlags(&u.out)),
		Action: u.run,
	}
}

func (u *union) run(c *cli.Context) error {
	env, err := loggingEnv(c, u.out)
	if err != nil {
		return err
	}
	o := &u.o.DDL
	u.o.Lakes = c.Args().Slice()
	switch {
	case o.Dialect == "" && (o.Into != "" || o.Persistent):
		o.Dialect = "duckdb"
	case o.Dialect == "" && o.Database+o.Prefix != "":
		return app.UsageErrorf("--database and --prefix apply to SQL: add --dialect, one of %s", strings.Join(ddl.Dialects(), ", "))
	case o.Dialect != "" && !slices.Contains(ddl.Dialects(), o.Dialect):
		return app.UsageErrorf("--dialect %q: expected one of %s", o.Dialect, strings.Join(ddl.Dialects(), ", "))
	}
	found, err := app.ReadUnion(c.Context, env, &u.o)
	if err != nil {
		return err
	}
	if err := u.print(c.Context, env, found); err != nil {
		return err
	}
	for _, s := range found.Report.Lakes {
		if len(s.Problems) > 0 {
			env.Log.Warn("a shard is not complete", "shard", s.Shard, "of", found.Report.Shards, "lake", s.Lake, "problem", strings.Join(s.Problems, "; "))
		}
	}
	return statusOf(found.Exit())
}

// print prints the report, or the SQL.
func (u *union) print(ctx context.Context, env *app.Env, found *app.Union) error {
	if u.o.DDL.Dialect != "" {
		if err := u.writeScript(ctx, env, found); err != nil || u.o.DDL.Into == "" {
			return err
		}
	}
	if u.out.JSON {
		return report.PrintJSON(env.Stdout, &found.Report)
	}
	return report.PrintUnion(env.Stdout, &found.Report)
}

// writeScript prints the SQL, or has DuckDB execute it.
func (u *union) writeScript(ctx context.Context, env *app.Env, found *app.Union) error {
	o := &u.o.DDL
	var members []ddl.Member
	var lakes []string
	for _, m := range found.Members {
		if format.Text(m.Address) != m.Address { // in a script it would be another address
			return app.UsageErrorf("the address %q contains control or invisible characters, which a script cannot show; rename it first", m.Address)
		}
		members, lakes = append(members, ddl.Member(m)), append(lakes, m.Address)
	}
	script := ddl.Options{Dialect: o.Dialect, Persistent: o.Persistent || o.Into != "", Database: o.Database, Prefix: o.Prefix, OptedOut: found.OptedOut}
	if o.Into == "" {
		return ddl.WriteUnion(env.Stdout, script, members)
	}
	if _, err := exec.LookPath(o.DuckDB); err != nil {
		return app.UsageErrorf("--into needs the program of DuckDB: %w; install it, name it with --duckdb, or run where it is: siglake union --persistent LAKE... | duckdb %s", err, shellWord(o.Into))
	}
	var text bytes.Buffer
	if err := ddl.WriteUnion(&text, script, members); err != nil {
		return err
	}
	return app.WriteDuckDB(ctx, env, o, lakes, text.String(), o.Prefix+ddl.LakeView)
}
