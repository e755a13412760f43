package crosscheck

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// appendRows appends n rows of a partition to the builder of its table: nulls, extreme values, awkward
// texts, and in every text column a value that names its column; the unique one names the partition too.
func appendRows(b *array.RecordBuilder, table schema.Table, partition string, n int) {
	texts := []string{"", "naïve 日本語 👩‍👩‍👧", "a\tb\nc", `{"a":"'\""}`, strings.Repeat("long ", 4000)}
	longs := []int64{0, -1, math.MaxInt64, math.MinInt64, 1 << 53}
	reals := []float64{0, -0.1, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN()}
	days := []arrow.Date32{0, -1, 20_000, 2_932_896} // up to 9999-12-31
	times := []arrow.Timestamp{0, -1, 1_772_412_345_678_901, 253_402_300_799_999_999}
	for row := range n {
		for i, c := range table.Columns {
			k := row + 3*i
			if k%4 == 3 && c.Name != table.Unique {
				b.Field(i).AppendNull()
				continue
			}
			switch f := b.Field(i).(type) {
			case *array.StringBuilder:
				switch {
				case c.Name == table.Unique:
					f.Append(fmt.Sprintf("%s %s %05d", c.Name, partition, row))
				case k%3 == 0:
					f.Append(fmt.Sprintf("%s %05d", c.Name, row))
				default:
					f.Append(texts[k%len(texts)])
				}
			case *array.Int64Builder:
				f.Append(longs[k%len(longs)])
			case *array.Float64Builder:
				f.Append(reals[k%len(reals)])
			case *array.BooleanBuilder:
				f.Append(k%2 == 0)
			case *array.Date32Builder:
				f.Append(days[k%len(days)])
			case *array.TimestampBuilder:
				f.Append(times[k%len(times)])
			}
		}
	}
}

// writeLake writes rows of the tables through sinks, events into two months.
func writeLake(t *testing.T, rows int, tables []schema.Table) (string, *pipeline.Manifest) {
	t.Helper()
	lake := t.TempDir()
	l, err := sinks.Open(t.Context(), lake, sinks.Options{RunID: "r1", Version: "test", RowGroupRows: 200})
	if err != nil {
		t.Fatal(err)
	}
	write := func(table schema.Table, p schema.Partition) {
		b := array.NewRecordBuilder(memory.DefaultAllocator, table.Arrow())
		defer b.Release()
		appendRows(b, table, p.Value, rows)
		rec := b.NewRecord()
		defer rec.Release()
		if err := l.Write(t.Context(), p, rec); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range tables {
		if !table.IsEvent() {
			write(table, schema.Partition{Table: table.Name})
			continue
		}
		for _, month := range []string{"2026-02", "unknown"} {
			write(table, schema.Partition{Table: table.Name, Key: "event_month", Value: month})
		}
	}
	return lake, publishAndClose(t, l)
}

// publishAndClose publishes what was written, and closes the lake.
func publishAndClose(t *testing.T, l *sinks.Lake) *pipeline.Manifest {
	t.Helper()
	files, err := l.Stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := &pipeline.Manifest{Files: files}
	if err := l.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return m
}

// arrowFile opens a file with Arrow's own reader.
func arrowFile(t *testing.T, path string) *pqarrow.FileReader {
	t.Helper()
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	return fr
}

// arrowRows reads one file with Arrow, as values like those of DuckDB's driver.
func arrowRows(t *testing.T, path string) (rows [][]any) {
	t.Helper()
	table, err := arrowFile(t, path).ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	tr := array.NewTableReader(table, 0)
	defer tr.Release()
	for tr.Next() {
		rec := tr.Record()
		for i := range int(rec.NumRows()) {
			row := make([]any, rec.NumCols())
			for j, a := range rec.Columns() {
				row[j] = arrowValue(a, i)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func arrowValue(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.String:
		return a.Value(i)
	case *array.Int64:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.Boolean:
		return a.Value(i)
	case *array.Date32:
		return time.Unix(int64(a.Value(i))*86_400, 0)
	case *array.Timestamp:
		return time.UnixMicro(int64(a.Value(i)))
	}
	return fmt.Sprintf("a %s", a.DataType())
}

// formatRows formats rows as text that is equal for both engines.
func formatRows(rows [][]any) [][]string {
	out := make([][]string, len(rows))
	for i, row := range rows {
		for _, v := range row {
			out[i] = append(out[i], formatValue(v))
		}
	}
	return out
}

func formatValue(v any) string {
	if at, ok := v.(time.Time); ok {
		return at.UTC().Format("2006-01-02T15:04:05.000000")
	}
	return fmt.Sprintf("%T %v", v, v)
}

func openDuckDB(t *testing.T) *DuckDB {
	t.Helper()
	d, err := OpenDuckDB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// duckTypes are DuckDB's names of the column types. A time in UTC is a TIMESTAMP WITH TIME ZONE.
var duckTypes = map[schema.Type]string{
	schema.String: "VARCHAR", schema.Int64: "BIGINT", schema.Double: "DOUBLE",
	schema.Bool: "BOOLEAN", schema.Date: "DATE", schema.Time: "TIMESTAMP WITH TIME ZONE",
}

func TestDuckDBReadsEveryTable(t *testing.T) {
	rows := proof.Size(250, 500, 500) // two row groups, or three
	lake, m := writeLake(t, rows, schema.Tables)
	d := openDuckDB(t)
	for _, table := range schema.Tables {
		t.Run(table.Name, func(t *testing.T) {
			dataset, total, want := datasetPath(table), rows, wantColumns(table)
			if table.IsEvent() {
				total = 2 * rows
			}
			got, err := d.DescribeColumns(t.Context(), ScanExpr(lake, dataset))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("DescribeColumns(%s) (-want +got):\n%s", dataset, diff)
			}

			_, counted, err := d.Query(t.Context(), "SELECT count(*) FROM "+ScanExpr(lake, dataset))
			if err != nil {
				t.Fatal(err)
			}
			if n := counted[0][0].(int64); n != int64(total) {
				t.Errorf("count(*) of %s = %d, want %d", dataset, n, total)
			}

			for _, f := range m.Files {
				if f.Table != table.Name {
					continue
				}
				path := filepath.Join(lake, f.Path)
				_, read, err := d.Query(t.Context(), fmt.Sprintf(
					"SELECT * EXCLUDE (file_row_number) FROM read_parquet(%s, file_row_number = true, hive_partitioning = false) ORDER BY file_row_number", QuoteLiteral(path)))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(formatRows(arrowRows(t, path)), formatRows(read)); diff != "" {
					t.Errorf("%s (-Arrow +DuckDB):\n%.3000s", f.Path, diff)
				}
			}
		})
	}
}

// TestFilesStateTheirTable: small files too name their table and run. What their columns mean is in the
// schema of the program; TestFileProperties of sinks reads it from a large file.
func TestFilesStateTheirTable(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, m := runIntoNewLake(t, lines, f, "event_month")
	d := openDuckDB(t)
	seen := map[string]bool{}
	for _, f := range m.Files {
		seen[f.Table] = true
		table, _ := schema.TableNamed(f.Table)
		path := filepath.Join(lake, f.Path)
		md, err := d.FileMetadata(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if md[schema.MetaTable] != f.Table || md[schema.MetaDoc] != table.Doc || md[schema.MetaRun] != "r1" || md["siglake.logical_digest"] != f.Digest {
			t.Errorf("FileMetadata(%s) = %q, want table, run and digest", f.Path, md)
		}
		read, err := arrowFile(t, path).Schema()
		if err != nil {
			t.Fatal(err)
		}
		if read.NumFields() != len(table.Columns) {
			t.Fatalf("Schema(%s) = %d fields, want %d", f.Path, read.NumFields(), len(table.Columns))
		}
		for i, c := range table.Columns {
			field := read.Field(i)
			if field.Name != c.Name || !arrow.TypeEqual(field.Type, c.Type.Arrow()) || !field.Nullable {
				t.Errorf("Schema(%s).Field(%d) = %s, want %s, a nullable %s", f.Path, i, field, c.Name, c.Type.Arrow())
			}
		}
	}
	if want := len(schema.EventTables) + len(schema.LedgerTables); len(seen) != want {
		t.Errorf("files of %d tables, want %d", len(seen), want)
	}
}

// TestDuckDBFilters runs queries that let DuckDB skip files and row groups, also by bloom filters,
// and compares the results with those from a table without anything to skip.
func TestDuckDBFilters(t *testing.T) {
	news, _ := schema.TableNamed("news")
	lake, _ := writeLake(t, 2500, []schema.Table{news})
	d := openDuckDB(t)
	if _, _, err := d.Query(t.Context(), "CREATE TABLE news AS SELECT * FROM "+ScanExpr(lake, "data/news")); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{
		"event_month = '2026-02'",
		"event_month = 'unknown' AND is_risk",
		"entity_id = 'entity_id 00012'",
		"entity_id = 'entity_id 99999'",
		"entity_id = ''",
		"entity_id IS NULL",
		"signal_type > 'signal_type 00500'",
		"signal_type IN ('signal_type 00000', 'signal_type 00003', 'none')",
		"event_date = DATE '1970-01-01'",
		"event_date > DATE '9000-01-01'",
		"fetched_at < TIMESTAMPTZ '1970-01-01 00:00:00+00'",
		"fetched_at = TIMESTAMPTZ '2026-03-02 00:45:45.678901+00'",
		"raw LIKE 'long %'",
		"raw = repeat('long ', 4000)",
		"schema_version = 9223372036854775807",
		"is_risk IS NULL",
	} {
		query := func(from string) string {
			return "SELECT count(*), min(event_uid), max(event_uid), count(DISTINCT event_uid) FROM " + from + " WHERE " + where
		}
		_, want, err := d.Query(t.Context(), query("news"))
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := d.Query(t.Context(), query(ScanExpr(lake, "data/news")))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("WHERE %s (-from a table +from files):\n%s", where, diff)
		}
	}
}
