// Package crosscheck reads lakes with DuckDB, an engine that shares no code with the writer. It is
// a module of its own, for tests only, because DuckDB is a large C++ library linked through cgo;
// siglake itself is built without it.
package crosscheck

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2" // registers the driver
)

// DuckDB is an in-memory database.
type DuckDB struct{ db *sql.DB }

// OpenDuckDB starts an in-memory DuckDB with its clock in UTC that loads nothing from the network.
func OpenDuckDB(ctx context.Context) (*DuckDB, error) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // settings and in-memory databases are per connection
	for _, setting := range []string{
		"SET TimeZone = 'UTC'", "SET threads = 2", "SET memory_limit = '1GB'",
		"SET autoinstall_known_extensions = false", "SET autoload_known_extensions = false",
	} {
		if _, err := db.ExecContext(ctx, setting); err != nil {
			db.Close()
			return nil, fmt.Errorf("%s: %w", setting, err)
		}
	}
	return &DuckDB{db}, nil
}

// Close closes the database.
func (d *DuckDB) Close() error { return d.db.Close() }

// ScanExpr is the SQL expression that reads a dataset of a lake as documented for users: dataset is
// "data/news" or "ledger/calls".
func ScanExpr(lake, dataset string) string {
	glob := filepath.ToSlash(filepath.Join(lake, dataset)) + "/**/*.parquet"
	return fmt.Sprintf("read_parquet(%s, hive_partitioning = true)", QuoteLiteral(glob))
}

// QuoteLiteral quotes a text as an SQL literal.
func QuoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Query runs SQL and returns the names of the columns and all rows. Values have the types of the
// driver: nil, string, int64, float64, bool, time.Time, ...
func (d *DuckDB) Query(ctx context.Context, query string) (names []string, rows [][]any, err error) {
	r, err := d.db.QueryContext(ctx, query)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", query, err)
	}
	defer r.Close()
	if names, err = r.Columns(); err != nil {
		return nil, nil, err
	}
	for r.Next() {
		row, targets := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			targets[i] = &row[i]
		}
		if err := r.Scan(targets...); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", query, err)
		}
		rows = append(rows, row)
	}
	return names, rows, r.Err()
}

// Exec runs a script.
func (d *DuckDB) Exec(ctx context.Context, script string) error {
	_, err := d.db.ExecContext(ctx, script)
	return err
}

// Column is a column as DuckDB describes it.
type Column struct{ Name, Type string }

// DescribeColumns returns the columns of what a FROM clause can name.
func (d *DuckDB) DescribeColumns(ctx context.Context, from string) ([]Column, error) {
	_, rows, err := d.Query(ctx, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM "+from+")")
	if err != nil {
		return nil, err
	}
	columns := make([]Column, len(rows))
	for i, r := range rows {
		columns[i] = Column{Name: r[0].(string), Type: r[1].(string)}
	}
	return columns, nil
}

// FileMetadata returns the key-value metadata of one Parquet file.
func (d *DuckDB) FileMetadata(ctx context.Context, path string) (map[string]string, error) {
	_, rows, err := d.Query(ctx, "SELECT decode(key), decode(value) FROM parquet_kv_metadata("+QuoteLiteral(path)+")")
	if err != nil {
		return nil, err
	}
	md := make(map[string]string, len(rows))
	for _, r := range rows {
		md[r[0].(string)] = r[1].(string)
	}
	return md, nil
}
