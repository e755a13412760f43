package main

import (
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/dictionary"
	"github.com/siglake/siglake/internal/report"
	"github.com/siglake/siglake/schema"
)

func schemaCommand() *cli.Command {
	return &cli.Command{
		Name:  "schema",
		Usage: "describe the tables, columns and signals of a lake, and compare versions",
		Description: "What docs, show and dbt print is that of this version of siglake, under the names of siglake ddl. It is made of\n" +
			"the same texts as the comments of siglake ddl and of the files.",
		Subcommands: []*cli.Command{schemaDocsCommand(), schemaShowCommand(), schemaDiffCommand(), schemaDBTCommand()},
	}
}

func schemaDocsCommand() *cli.Command {
	as, table := "md", ""
	return &cli.Command{
		Name:        "docs",
		Usage:       "print the data dictionary: tables, columns and signals with what they mean",
		Description: "With --format json it prints a file that siglake schema diff compares later.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: as, Destination: &as, EnvVars: []string{"SIGLAKE_FORMAT"}, Usage: "md or json"},
			&cli.StringFlag{Name: "table", Destination: &table, EnvVars: []string{"SIGLAKE_TABLE"}, Usage: "only `TABLE` or view, and its signals"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("schema docs takes no arguments, got %q; name a table with --table", c.Args().First())
			}
			d := dictionary.New(schema.Version)
			if names := d.Names(); table != "" && !d.Only(table) {
				return noTable("--table "+strconv.Quote(table), table, names)
			}
			switch as {
			case "json":
				return report.PrintJSON(c.App.Writer, d)
			case "md":
				dictionary.WriteMarkdown(c.App.Writer, d)
				return nil
			}
			return app.UsageErrorf("--format %q: expected md or json", as)
		},
	}
}

// noTable refuses the name of a table that there is not.
func noTable(what, name string, names []string) error {
	return app.UsageErrorf("%s: no table or view has this name%s; expected one of %s", what, app.DidYouMean(name, names), strings.Join(names, ", "))
}

func schemaShowCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "list tables, or the columns of one with their types in SQL, Arrow and Parquet",
		ArgsUsage: "[TABLE]",
		Action: func(c *cli.Context) error {
			d := dictionary.New(schema.Version)
			switch c.NArg() {
			case 0:
				return dictionary.WriteTables(c.App.Writer, d)
			case 1:
				name := c.Args().First()
				t := d.Find(name)
				if t == nil {
					return noTable(strconv.Quote(name), name, d.Names())
				}
				return dictionary.WriteTypes(c.App.Writer, t)
			}
			return app.UsageErrorf("schema show takes at most one table, got %d arguments", c.NArg())
		},
	}
}

func schemaDiffCommand() *cli.Command {
	store, out := app.DefaultStore(), defaultOutput()
	return &cli.Command{
		Name:      "diff",
		Usage:     "compare two versions of the schema, lakes, files or saved dictionaries",
		ArgsUsage: "OLD NEW",
		Description: "OLD and NEW are versions of the schema (" + strconv.Itoa(schema.OldestVersion) + " to " + strconv.Itoa(schema.Version) + "), lakes, Parquet files of a lake, or files that siglake schema docs\n" +
			"--format json wrote. Of a lake or a file it compares what its files say: names, types and meanings of columns.\n\n" +
			"Exit codes: 0 no difference, 1 there is one, 64 wrong arguments, 40 or 60 a lake cannot be read.",
		Flags: joinFlags([]cli.Flag{jsonFlag(&out)}, readFlags(&store)),
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return app.UsageErrorf("schema diff takes two arguments, OLD and NEW, got %d", c.NArg())
			}
			var sides [2]*dictionary.Document
			for i := range sides {
				var err error
				if sides[i], err = openDictionary(c, store, c.Args().Get(i)); err != nil {
					return err
				}
			}
			changes := dictionary.Diff(sides[0], sides[1])
			if out.JSON {
				if err := report.PrintJSON(c.App.Writer, changes); err != nil {
					return err
				}
			} else {
				dictionary.WriteDiff(c.App.Writer, changes)
			}
			if len(changes) > 0 {
				return exitStatus(exitDiffers)
			}
			return nil
		},
	}
}

// exitDiffers is the exit code of siglake schema diff if there is a difference, as of diff(1).
const exitDiffers = 1

// openDictionary reads one side of a comparison.
func openDictionary(c *cli.Context, store app.StoreOptions, name string) (*dictionary.Document, error) {
	if version, err := strconv.Atoi(name); err == nil {
		if version < schema.OldestVersion || version > schema.Version {
			return nil, app.UsageErrorf("%s: this siglake knows versions %d to %d of the schema", name, schema.OldestVersion, schema.Version)
		}
		return dictionary.New(version), nil
	}
	if strings.HasSuffix(name, ".json") {
		text, err := os.ReadFile(name) //nolint:gosec // it is the user's to name
		if err != nil {
			return nil, app.UsageErrorf("%v", err)
		}
		d, err := dictionary.Parse(text)
		if err != nil {
			return nil, app.UsageErrorf("%s: %v", name, err)
		}
		return d, nil
	}
	tables, err := app.ReadLayouts(c.Context, envOf(c), store, name)
	if err != nil {
		return nil, err
	}
	return dictionary.OfTables(tables), nil
}

func schemaDBTCommand() *cli.Command {
	o := dictionary.DBTOptions{Source: "siglake", Schema: "main"}
	return &cli.Command{
		Name:  "dbt",
		Usage: "print a sources.yml for dbt, with descriptions and tests",
		Description: "The source has the tables and views of siglake ddl, with tests: not_null, unique, accepted_values and relationships.\n" +
			"For DuckDB make a database file first:\n" +
			"    siglake ddl --lake DIR --persistent | duckdb lake.duckdb",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "source", Value: o.Source, Destination: &o.Source, EnvVars: []string{"SIGLAKE_SOURCE"}, Usage: "`NAME` of the source"},
			&cli.StringFlag{Name: "database", Destination: &o.Database, EnvVars: []string{"SIGLAKE_DATABASE"}, Usage: "database of the tables; default: that of dbt's target"},
			&cli.StringFlag{Name: "schema", Value: o.Schema, Destination: &o.Schema, EnvVars: []string{"SIGLAKE_SCHEMA"}, Usage: "schema of the tables"},
			&cli.StringFlag{Name: "prefix", Destination: &o.Prefix, EnvVars: []string{"SIGLAKE_PREFIX"}, Usage: "`TEXT` that begins the name of every table, as in siglake ddl"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("schema dbt takes no arguments, got %q", c.Args().First())
			}
			for flag, value := range map[string]string{"source": o.Source, "schema": o.Schema, "database": o.Database, "prefix": o.Prefix} {
				if err := app.CheckSQLName(flag, value); err != nil {
					return err
				}
			}
			return dictionary.WriteDBT(c.App.Writer, dictionary.New(schema.Version), o)
		},
	}
}
