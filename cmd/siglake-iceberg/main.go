// Command siglake-iceberg shows a lake as Iceberg tables.
//
// It replays the generations of a lake into one table for each of the lake's: a run appends, a compaction
// replaces files by others with the same rows. The Parquet files stay where they are; the tables name them. So the
// snapshots of a table are the generations of the lake, and a reader that goes by the catalogue sees whole
// generations of a table, without looking for files or partitions.
//
// # Where a replay continues
//
// Each snapshot has the generation that it shows among its properties, and the digest of that manifest. The
// catalogue commits files and properties together, or nothing. So a replay continues behind the newest generation
// that a table names, whatever happened to the replay before: no file is added twice, and none is lost. Of two
// replays at once, the catalogue takes the commit of one, and the other finds the generation there.
//
// # What is not an append
//
// A pruning removes files that a compaction replaced. Snapshots that still name them are removed, as far as the
// tables have them, and skipped otherwise. If the newest generation of a table is not one of the lake, by its digest,
// the lake is another one: it was rebuilt. Then the table gets all files of the newest generation in one commit.
//
// # Columns
//
// Files and tables name columns by the same ids, those of package schema. Catalogues number the columns of a new table
// in their order, which gives these ids, and siglake-iceberg checks it. It adds the columns that a table of an earlier version
// lacks. Files of versions that wrote no ids are read by the names of the columns. The month of an event is in no
// file, but in the partition that the table has for it.
//
// The command is a module of its own because the library for Iceberg needs several hundred others, and another
// version of Arrow.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// Set by the linker.
var version, commit = "dev", ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env := app.Env{Getenv: os.Getenv, Stdout: format.NewWriter(os.Stdout), Stderr: format.NewWriter(os.Stderr), Version: version}
	os.Exit(execute(ctx, &env, os.Args))
}

// execute runs the program and gives its exit code, one of those of siglake.
func execute(ctx context.Context, env *app.Env, args []string) int {
	began := false
	program := newCLI(env)
	program.Before = func(*cli.Context) error { began = true; return nil }
	err := program.RunContext(ctx, args)
	guard, _ := env.Stdout.(*format.Writer)
	switch {
	case err != nil && !began: // the flags, or their variables, were refused
		err = app.UsageErrorf("%w", err)
	case err == nil && guard != nil && guard.Err() != nil:
		err = fmt.Errorf("standard output is incomplete: %w", guard.Err())
	case err == nil:
		return app.ExitComplete
	}
	format.Fprintf(env.Stderr, "siglake-iceberg: %s\n", err)
	var typed *app.Error
	switch {
	case errors.Is(err, context.Canceled):
		return app.ExitDeferred
	case errors.As(err, &typed):
		switch typed.Kind {
		case app.KindUsage:
			return app.ExitUsage
		case app.KindIntegrity:
			return app.ExitIntegrity
		case app.KindLocked:
			return app.ExitLocked
		}
	}
	return app.ExitStorage
}

func newCLI(env *app.Env) *cli.App {
	var (
		o               options
		c               catalogOptions
		lake            string
		umask           = "077"
		asJSON, isQuiet bool
	)
	return &cli.App{
		Name: "siglake-iceberg", Usage: "show a lake as Iceberg tables", Version: strings.TrimSpace(version + " " + commit),
		HideHelpCommand: true, Writer: env.Stdout, ErrWriter: env.Stderr, ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return app.UsageErrorf("%w", err) },
		Description: "Replays what a lake has published since the last time: a run appends files to the tables, a compaction replaces\n" +
			"some. Files stay where they are. Run it after each run, by hand or with siglake run --after-publish.\n" +
			"The page siglake help iceberg says more.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "lake", Destination: &lake, EnvVars: []string{"SIGLAKE_LAKE"}, Usage: "the lake, a `DIR` or s3://bucket/prefix"},
			&cli.StringFlag{Name: "namespace", Value: "siglake", Destination: &o.Namespace, EnvVars: []string{"SIGLAKE_ICEBERG_NAMESPACE"}, Usage: "namespace of the tables: a database of Glue, Hive, Spark; a schema of Trino"},
			&cli.StringFlag{Name: "prefix", Destination: &o.Prefix, EnvVars: []string{"SIGLAKE_PREFIX"}, Usage: "begin the name of every table with `TEXT`"},
			&cli.BoolFlag{Name: "replace", Destination: &o.Replace, EnvVars: []string{"SIGLAKE_ICEBERG_REPLACE"}, Usage: "after a lake has moved: drop the tables that show another lake, or whose metadata is gone, and create them anew"},
			&cli.StringFlag{Name: "umask", Value: umask, Destination: &umask, EnvVars: []string{"SIGLAKE_UMASK"}, Usage: "permissions that new files never get, an octal number"},
			&cli.BoolFlag{Name: "json", Destination: &asJSON, EnvVars: []string{"SIGLAKE_JSON"}, Usage: "print the changes as a JSON document"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Destination: &isQuiet, EnvVars: []string{"SIGLAKE_QUIET"}, Usage: "print errors only"},
		}, catalogFlags(&c)...),
		Action: func(ctx *cli.Context) error {
			if ctx.NArg() > 0 {
				return app.UsageErrorf("unexpected argument %q", ctx.Args().First())
			}
			if lake == "" {
				return app.UsageErrorf("--lake is missing: siglake-iceberg --lake DIR; see siglake-iceberg --help")
			}
			if err := setUmask(umask); err != nil {
				return err
			}
			return run(ctx.Context, env, lake, &o, &c, asJSON, isQuiet)
		},
	}
}

func catalogFlags(c *catalogOptions) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "catalog", Value: "sql", Destination: &c.Kind, EnvVars: []string{"SIGLAKE_ICEBERG_CATALOG"}, Category: "Catalogue", Usage: "kind of the catalogue: " + strings.Join(kinds, ", ")},
		&cli.StringFlag{Name: "catalog-uri", Destination: &c.URI, EnvVars: []string{"SIGLAKE_ICEBERG_URI"}, Category: "Catalogue", Usage: "address: https://… of rest, thrift://… of hive, a file of sql; default of sql: _iceberg/catalog.db in the lake"},
		&cli.StringFlag{Name: "catalog-name", Value: "siglake", Destination: &c.Name, EnvVars: []string{"SIGLAKE_ICEBERG_CATALOG_NAME"}, Category: "Catalogue", Usage: "name under which an sql catalogue has the tables"},
		&cli.StringFlag{Name: "warehouse", Destination: &c.Warehouse, EnvVars: []string{"SIGLAKE_ICEBERG_WAREHOUSE"}, Category: "Catalogue", Usage: "where tables have their metadata, file:///… or s3://…; default: _iceberg in the lake. Of rest: the name of the warehouse"},
		&cli.StringFlag{Name: "credential-file", Destination: &c.CredentialFile, EnvVars: []string{"SIGLAKE_ICEBERG_CREDENTIAL_FILE"}, Category: "Catalogue", Usage: "`FILE` with ID:SECRET of a client of rest; or in the variable " + credentialVariable},
		&cli.StringFlag{Name: "token-file", Destination: &c.TokenFile, EnvVars: []string{"SIGLAKE_ICEBERG_TOKEN_FILE"}, Category: "Catalogue", Usage: "`FILE` with a token for rest; or in the variable " + tokenVariable},
		&cli.StringFlag{Name: "api-key-file", Destination: &c.APIKeyFile, EnvVars: []string{"SIGLAKE_ICEBERG_API_KEY_FILE"}, Category: "Catalogue", Usage: "`FILE` with a key that rest wants in the header x-api-key; or in the variable " + apiKeyVariable},
		&cli.StringSliceFlag{Name: "catalog-property", EnvVars: []string{"SIGLAKE_ICEBERG_PROPERTIES"}, Category: "Catalogue", Usage: "a further `KEY=VALUE`, such as glue.id=123456789012",
			Action: func(_ *cli.Context, all []string) error { c.Properties = all; return nil }},
		&cli.StringFlag{Name: "s3-endpoint", Destination: &c.S3.Endpoint, EnvVars: []string{"SIGLAKE_S3_ENDPOINT"}, Category: "S3", Usage: "`URL` of a store other than AWS"},
		&cli.StringFlag{Name: "s3-region", Destination: &c.S3.Region, EnvVars: []string{"SIGLAKE_S3_REGION"}, Category: "S3", Usage: "region of the bucket"},
		&cli.BoolFlag{Name: "s3-path-style", Destination: &c.S3.PathStyle, EnvVars: []string{"SIGLAKE_S3_PATH_STYLE"}, Category: "S3", Usage: "put the bucket's name in the path"},
		&cli.StringFlag{Name: "s3-profile", Destination: &c.S3.Profile, EnvVars: []string{"SIGLAKE_S3_PROFILE"}, Category: "S3", Usage: "profile in the shared AWS files"},
		&cli.StringFlag{Name: "s3-role", Destination: &c.S3.Role, EnvVars: []string{"SIGLAKE_S3_ROLE"}, Category: "S3", Usage: "`ARN` of a role to assume"},
		&cli.StringFlag{Name: "s3-external-id", Destination: &c.S3.ExternalID, EnvVars: []string{"SIGLAKE_S3_EXTERNAL_ID"}, Category: "S3", Usage: "external `ID` that the role requires"},
	}
}

// result is what a replay did, for machines.
type result struct {
	Lake       string    `json:"lake"`
	Generation int64     `json:"generation"`
	Changes    []*change `json:"changes"`
}

func run(ctx context.Context, env *app.Env, lake string, o *options, c *catalogOptions, asJSON, isQuiet bool) (err error) {
	address, inspector, err := app.OpenInspector(ctx, env, app.StoreOptions{S3: c.S3}, lake)
	if err != nil {
		return err
	}
	defer inspector.Close()                                                            //nolint:errcheck // it was only read
	if _, newest, err := inspector.CurrentGeneration(ctx); err == nil && newest == 0 { // other errors are those of the replay
		if err := app.CheckLakeExists(ctx, env, app.StoreOptions{S3: c.S3}, lake); err != nil {
			return err
		}
	}
	if err := checkAddress(address); err != nil {
		return err
	}
	if err := o.validate(); err != nil {
		return err
	}
	connected, err := c.connect(ctx, env, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, connected.close()) }()
	done := result{Lake: address, Changes: []*change{}}
	r := &replayer{options: *o, address: address, warehouse: connected.warehouse, lake: inspector, catalog: connected.Catalog, wait: sleep, report: func(made *change) {
		done.Changes = append(done.Changes, made)
		if !asJSON && !isQuiet {
			format.Fprintf(env.Stdout, "generation %d: %s, %s, %d files added, %d removed\n", made.Generation, made.Table, made.Operation, made.Added, made.Removed)
		}
	}}
	if done.Generation, err = r.replay(connected.ctx); err != nil {
		return err
	}
	switch {
	case asJSON:
		e := json.NewEncoder(env.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(&done)
	case !isQuiet:
		format.Fprintf(env.Stdout, "The tables in %s show generation %d of %s\n", o.Namespace, done.Generation, address)
	}
	return nil
}
