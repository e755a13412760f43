package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/siglake/siglake/sinks"
)

// DDLOptions say of what the SQL is printed.
type DDLOptions struct {
	Lake       string
	Dialect    string // of SQL
	Generation int64  // 0: the newest
	Database   string // that holds the tables
	Prefix     string // of their names
	Over       string // a database whose tables stand already; empty: the script makes them
	// DuckDB: the views are made for a database file, not for a session.
	Persistent bool
	Into       string // DuckDB: the database file that is written; empty: the script is printed
	DuckDB     string // the program that writes it
	Store      StoreOptions
}

// ReadSnapshot gives the files of a generation, and the lake's address.
func ReadSnapshot(ctx context.Context, env *Env, o DDLOptions) (address string, _ *sinks.Snapshot, err error) {
	if err := o.validate(); err != nil {
		return "", nil, err
	}
	address, inspector, err := OpenInspector(ctx, env, o.Store, o.Lake)
	if err != nil {
		return "", nil, err
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	snapshot, err := inspector.ReadSnapshot(ctx, o.Generation)
	if err != nil {
		if !errors.Is(err, sinks.ErrIntegrity) && o.Generation != 0 {
			return "", nil, &Error{KindUsage, err}
		}
		return "", nil, lakeError(err)
	}
	if snapshot.Generation == 0 && !hasLayout(address) {
		err = mustExist(ctx, env, o.Store, o.Lake)
	}
	return address, snapshot, err
}

// hasLayout reports whether a directory has been prepared for the files of a lake.
func hasLayout(address string) bool {
	_, err := os.Stat(filepath.Join(filepath.FromSlash(address), "_meta"))
	return err == nil && !sinks.OnS3(address)
}

// sqlName is a name that is the same in every engine, however it is quoted.
var sqlName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (o *DDLOptions) validate() error {
	duckDB := o.Dialect == "duckdb"
	for _, f := range [][2]string{{"database", o.Database}, {"over", o.Over}} {
		for part := range strings.SplitSeq(f[1], ".") {
			if f[1] != "" && !sqlName.MatchString(part) {
				return UsageErrorf("--%s %q: expected letters, digits and underscores, with dots between a catalogue and a database", f[0], f[1])
			}
		}
	}
	switch {
	case o.Prefix != "" && !sqlName.MatchString(o.Prefix):
		return UsageErrorf("--prefix %q: expected letters, digits and underscores, not beginning with a digit", o.Prefix)
	case o.Over != "" && (o.Generation != 0 || o.Persistent):
		return UsageErrorf("--generation and --persistent do not apply with --over: the tables there say what the views show")
	case o.Over != "" && o.Into != "":
		return UsageErrorf("--into does not apply with --over: the new file would not have the tables that the views are over")
	case !duckDB && o.Generation != 0:
		return UsageErrorf("--generation does not apply to --dialect %s: its tables read data/ and ledger/ of every generation", o.Dialect)
	case !duckDB && o.Persistent:
		return UsageErrorf("--persistent does not apply to --dialect %s: its tables outlive a session anyway", o.Dialect)
	case !duckDB && o.Into != "":
		return UsageErrorf("--into does not apply to --dialect %s: it writes a file of DuckDB", o.Dialect)
	case o.Into != "" && o.Database != "":
		return UsageErrorf("--database does not apply with --into, which names the database")
	case duckDB && !o.Persistent && o.Database != "":
		return UsageErrorf("--database needs --persistent: the views of a session have no database")
	case slices.Contains([]string{"athena", "snowflake", "bigquery", "redshift"}, o.Dialect) && !sinks.OnS3(o.Lake):
		return UsageErrorf("--dialect %s needs a lake on S3; %q is a local directory", o.Dialect, o.Lake)
	case slices.Contains([]string{"trino", "redshift"}, o.Dialect) && o.Database == "":
		return UsageErrorf("--dialect %s needs --database, the schema that is to hold the tables", o.Dialect)
	}
	return nil
}

// OpenInspector opens a lake for looking at, and gives its address as it is understood from everywhere on
// this machine. A local directory must be there.
func OpenInspector(ctx context.Context, env *Env, o StoreOptions, uri string) (address string, _ *sinks.Inspector, err error) {
	if address, err = lakeAddress(uri); err != nil {
		return "", nil, err
	}
	inspector, err := inspectLake(ctx, env, o, uri)
	return address, inspector, err
}

// inspectLake opens a lake for looking at, unless its rebuild is unfinished. Readers need no lock.
func inspectLake(ctx context.Context, env *Env, o StoreOptions, uri string) (*sinks.Inspector, error) {
	if err := checkReadable(ctx, env, o, uri); err != nil {
		return nil, err
	}
	inspector, err := sinks.Inspect(ctx, uri, sinkOptions(env, o))
	if err != nil {
		return nil, &Error{KindStorage, err}
	}
	return inspector, nil
}
