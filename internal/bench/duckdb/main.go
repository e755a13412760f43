// Command duckdb measures what DuckDB does with the news of lakes, on one thread, as CPU time: it writes
// the rows of one lake to a Parquet file, and it looks up and scans the files of another one and its own of the same
// rows in random order. It is a module of its own, because DuckDB is a large C++ library linked through cgo.
//
//	duckdb -lake LAKE -queries LAKE -work DIR
//
// Look-ups are measured for several entities, and their times added: how much DuckDB reads depends on how many
// files have rows of the entity, and where in them. In files of less than 2,048 rows, which DuckDB reads at a time,
// no order of the rows and no form of a file can save it anything: opening them takes most of the time.
//
// It prints its figures in the form of Go benchmarks.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // registers the driver
)

// Repetitions: of the encoder, and of each query on each of both sets of files.
const (
	encodings = 5
	queries   = 9
	lookups   = 8 // entities
)

func main() {
	lake := flag.String("lake", "", "`DIR` of the lake")
	queried := flag.String("queries", "", "`DIR` of the lake that is queried")
	work := flag.String("work", "", "`DIR` for files that are written; must be empty")
	flag.Parse()
	if err := run(context.Background(), *lake, *queried, *work); err != nil {
		fmt.Fprintln(os.Stderr, "duckdb:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, lake, queried, work string) error {
	db, err := open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	if err := measureEncoder(ctx, db, lake, work); err != nil {
		return err
	}
	return measureQueries(ctx, db, queried, work)
}

// open starts a database in memory with one thread, which loads nothing from the network.
func open(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // settings belong to a connection
	for _, setting := range []string{"SET threads = 1", "SET TimeZone = 'UTC'", "SET autoinstall_known_extensions = false", "SET autoload_known_extensions = false"} {
		if _, err := db.ExecContext(ctx, setting); err != nil {
			db.Close()
			return nil, fmt.Errorf("%s: %w", setting, err)
		}
	}
	return db, nil
}

// files is the expression that reads all files of a table.
func files(folder string) string {
	return fmt.Sprintf("read_parquet(%s, hive_partitioning = true)", quote(filepath.Join(folder, "*", "*.parquet")))
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// cpuTime is the CPU time that the process has taken.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// measure gives the CPU time of a statement, of which all rows are read.
func measure(ctx context.Context, db *sql.DB, statement string) (time.Duration, error) {
	before, err := cpuTime()
	if err != nil {
		return 0, err
	}
	rows, err := db.QueryContext(ctx, statement)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", statement, err)
	}
	defer rows.Close()
	for rows.Next() { // the values are of no interest
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("%s: %w", statement, err)
	}
	after, err := cpuTime()
	return after - before, err
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// measureEncoder writes the rows of news, from memory and in the order of the lake, to one file.
func measureEncoder(ctx context.Context, db *sql.DB, lake, work string) error {
	if _, err := db.ExecContext(ctx, "CREATE TABLE news AS SELECT * EXCLUDE (event_month) FROM "+files(filepath.Join(lake, "data", "news"))); err != nil {
		return err
	}
	rows := 0
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM news").Scan(&rows); err != nil {
		return err
	}
	path := filepath.Join(work, "news.parquet")
	var times []time.Duration
	for range encodings {
		used, err := measure(ctx, db, "COPY news TO "+quote(path)+" (FORMAT parquet, COMPRESSION zstd)")
		if err != nil {
			return err
		}
		times = append(times, used)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Printf("BenchmarkDuckDB/encode %d %.0f rows/cpu-s %.2f bytes/row\n", encodings, float64(rows)/median(times).Seconds(), float64(info.Size())/float64(rows))
	return nil
}

// measureQueries compares the lake's files with DuckDB's own of the same rows and months, in random order.
func measureQueries(ctx context.Context, db *sql.DB, lake, work string) error {
	sorted := files(filepath.Join(lake, "data", "news"))
	own := filepath.Join(work, "unsorted")
	if _, err := db.ExecContext(ctx, "COPY (SELECT * FROM "+sorted+" ORDER BY hash(event_uid)) TO "+quote(own)+" (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (event_month))"); err != nil {
		return err
	}
	entities, accounts, err := drawKeys(ctx, db, sorted)
	if err != nil {
		return err
	}
	const narrow = "signal_type, event_date, event_type, event_summary"
	const day = "WHERE event_date BETWEEN DATE '2026-03-10' AND DATE '2026-03-20'"
	for _, q := range []struct {
		name, columns string
		where         []string
	}{
		{"lookup-entity", "*", equal("entity_id", entities...)},
		{"lookup-columns", narrow, equal("entity_id", entities...)},
		{"lookup-absent", narrow, equal("entity_id", entities[0]+"0")},
		{"lookup-account", "*", equal("account_key", accounts...)},
		{"lookup-account-columns", narrow, equal("account_key", accounts...)},
		{"range-count", "count(*)", []string{day}},
		{"range-by-type", "signal_type, count(*)", []string{day + " GROUP BY 1"}},
		{"scan-by-type", "signal_type, count(*)", []string{"GROUP BY 1"}},
		{"scan-text", "sum(length(event_summary))", []string{""}},
	} {
		var ours, theirs time.Duration
		for _, where := range q.where {
			statement := func(from string) string { return "SELECT " + q.columns + " FROM " + from + " " + where }
			some, others, err := alternate(ctx, db, statement(sorted), statement(files(own)))
			if err != nil {
				return err
			}
			ours, theirs = ours+some, theirs+others
		}
		n := float64(len(q.where)) * 1e-3
		fmt.Printf("BenchmarkDuckDB/%s %d %.3f lake-ms %.3f unsorted-ms\n", q.name, queries*len(q.where), ours.Seconds()/n, theirs.Seconds()/n)
	}
	return nil
}

// equal are conditions that a column has one of the values.
func equal(column string, values ...string) (where []string) {
	for _, v := range values {
		where = append(where, "WHERE "+column+" = "+quote(v))
	}
	return where
}

// drawKeys draws entities with their accounts, the same ones each time.
func drawKeys(ctx context.Context, db *sql.DB, from string) (entities, accounts []string, err error) {
	rows, err := db.QueryContext(ctx, fmt.Sprintf("SELECT entity_id, any_value(account_key) FROM %s GROUP BY 1 ORDER BY hash(entity_id) LIMIT %d", from, lookups))
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var entity, account string
		if err := rows.Scan(&entity, &account); err != nil {
			return nil, nil, err
		}
		entities, accounts = append(entities, entity), append(accounts, account)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	if len(entities) == 0 {
		return nil, nil, errors.New("the lake has no news")
	}
	return entities, accounts, nil
}

// alternate measures two statements in turn, and gives the median of each.
func alternate(ctx context.Context, db *sql.DB, first, second string) (time.Duration, time.Duration, error) {
	times := map[string][]time.Duration{}
	for i := range queries + 2 {
		for _, statement := range []string{first, second} {
			used, err := measure(ctx, db, statement)
			if err != nil {
				return 0, 0, err
			}
			if i >= 2 { // the first ones warm up
				times[statement] = append(times[statement], used)
			}
		}
	}
	return median(times[first]), median(times[second]), nil
}
