package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// ReadLayouts are the layouts of the tables of a lake, or of one of its files, as the files state them.
// Reading a lake opens one file of each table.
func ReadLayouts(ctx context.Context, env *Env, store StoreOptions, path string) ([]schema.Table, error) {
	if strings.HasSuffix(path, ".parquet") && !sinks.OnS3(path) {
		t, err := readFileLayout(path)
		if err != nil {
			return nil, UsageErrorf("%s: %v", path, err)
		}
		return []schema.Table{t}, nil
	}
	if _, err := findLake(path); err != nil {
		return nil, err
	}
	inspector, err := inspectLake(ctx, env, store, path)
	if err != nil {
		return nil, err
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	snapshot, err := inspector.ReadSnapshot(ctx, 0)
	if err != nil {
		return nil, lakeError(err)
	}
	if snapshot.Generation == 0 {
		return nil, UsageErrorf("%s has no run: there is nothing to compare", path)
	}
	tables, err := inspector.ReadLayouts(ctx, snapshot)
	if err != nil {
		return nil, lakeError(fmt.Errorf("lake %s: %w", path, err))
	}
	return tables, nil
}

func readFileLayout(path string) (t schema.Table, err error) {
	f, err := os.Open(path) //nolint:gosec // it is the user's to name
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return t, err
	}
	return sinks.ReadLayout(f, info.Size())
}

// CheckSQLName refuses a value of a flag that engines would have to quote; empty: it was not given.
func CheckSQLName(flag, value string) error {
	if value != "" && !sqlName.MatchString(value) {
		return UsageErrorf("--%s %q: expected letters, digits and underscores, not beginning with a digit", flag, value)
	}
	return nil
}
