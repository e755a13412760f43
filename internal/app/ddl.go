package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/siglake/siglake/sinks"
)

// DDLOptions say of what the SQL is printed.
type DDLOptions struct {
	Lake       string
	Dialect    string // of SQL
	Generation int64  // 0: the newest
	Store      StoreOptions
}

// ReadSnapshot gives the files of a generation, and the lake's address.
func ReadSnapshot(ctx context.Context, env *Env, o DDLOptions) (address string, _ *sinks.Snapshot, err error) {
	switch {
	case o.Dialect != "duckdb" && o.Dialect != "athena":
		return "", nil, UsageErrorf("--dialect %q: expected duckdb or athena", o.Dialect)
	case o.Dialect == "athena" && !sinks.OnS3(o.Lake):
		return "", nil, UsageErrorf("--dialect athena needs a lake on S3; %q is a local directory", o.Lake)
	case o.Dialect == "athena" && o.Generation != 0:
		return "", nil, UsageErrorf("--generation does not apply to --dialect athena: its tables read data/ and ledger/ of every generation")
	}
	if address, err = lakeAddress(o.Lake); err != nil {
		return "", nil, UsageErrorf("--lake: %v", err)
	}
	inspector, err := inspectLake(ctx, env, o.Store, o.Lake)
	if err != nil {
		return "", nil, &Error{KindStorage, err}
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	snapshot, err := inspector.ReadSnapshot(ctx, o.Generation)
	if err != nil {
		if !errors.Is(err, sinks.ErrIntegrity) && o.Generation != 0 {
			return "", nil, &Error{KindUsage, err}
		}
		return "", nil, lakeError(err)
	}
	return address, snapshot, nil
}

// inspectLake opens a lake for looking at. Readers need no lock.
func inspectLake(ctx context.Context, env *Env, o StoreOptions, uri string) (*sinks.Inspector, error) {
	return sinks.Inspect(ctx, uri, sinkOptions(env, o))
}

// lakeAddress is a lake's address as it is understood from everywhere on this
// machine. The lake must be there.
func lakeAddress(lake string) (string, error) {
	if sinks.OnS3(lake) {
		return strings.TrimRight(lake, "/"), nil
	}
	path, err := sinks.CheckDir(lake)
	if err == nil {
		_, err = os.Stat(path)
	}
	return filepath.ToSlash(path), err
}
