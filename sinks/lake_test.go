package sinks

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	pqfile "github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/parquet-go/parquet-go"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// A value of a row is nil, string, int64, float64, bool, arrow.Date32 or
// arrow.Timestamp.
type values []any

// newRecord builds a record of a table.
func newRecord(t testing.TB, table schema.Table, rows []values) arrow.Record {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, table.Arrow())
	defer b.Release()
	for _, r := range rows {
		for i, v := range r {
			switch v := v.(type) {
			case nil:
				b.Field(i).AppendNull()
			case string:
				b.Field(i).(*array.StringBuilder).Append(v)
			case int64:
				b.Field(i).(*array.Int64Builder).Append(v)
			case float64:
				b.Field(i).(*array.Float64Builder).Append(v)
			case bool:
				b.Field(i).(*array.BooleanBuilder).Append(v)
			case arrow.Date32:
				b.Field(i).(*array.Date32Builder).Append(v)
			case arrow.Timestamp:
				b.Field(i).(*array.TimestampBuilder).Append(v)
			default:
				t.Fatalf("no column holds a %T", v)
			}
		}
	}
	return b.NewRecord()
}

// valuesOf is the inverse of record.
func valuesOf(t testing.TB, rec arrow.Record) []values {
	t.Helper()
	rows := make([]values, rec.NumRows())
	for i := range rows {
		for _, a := range rec.Columns() {
			rows[i] = append(rows[i], valueOf(t, a, i))
		}
	}
	return rows
}

func valueOf(t testing.TB, a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.String:
		return strings.Clone(a.Value(i))
	case *array.Int64:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.Boolean:
		return a.Value(i)
	case *array.Date32:
		return a.Value(i)
	case *array.Timestamp:
		return a.Value(i)
	}
	t.Fatalf("column of type %s", a.DataType())
	return nil
}

// awkward are values that tend to get lost, per type.
var awkward = map[schema.Type][]any{
	schema.String: {nil, "", " ", "\x00", "a\x00b", "a\x00", "naïve", "日本語", "👩‍👩‍👧", "\u202eabc", "'; --", `{"a":null}`,
		strings.Repeat("x", 20_000), strings.Repeat("é", 3000), "\n\r\t", "\uFFFD"},
	schema.Int64:  {nil, int64(0), int64(-1), int64(math.MaxInt64), int64(math.MinInt64), int64(1) << 53},
	schema.Double: {nil, 0.0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 0.1},
	schema.Bool:   {nil, true, false},
	schema.Date:   {nil, arrow.Date32(0), arrow.Date32(-1), arrow.Date32(math.MaxInt32), arrow.Date32(math.MinInt32), arrow.Date32(20_000)},
	schema.Time:   {nil, arrow.Timestamp(0), arrow.Timestamp(-1), arrow.Timestamp(math.MaxInt64), arrow.Timestamp(math.MinInt64), arrow.Timestamp(1_700_000_000_123_456)},
}

// awkwardRows are n rows of a table, from the awkward values.
func awkwardRows(table schema.Table, n int, rng *rand.Rand) []values {
	rows := make([]values, n)
	for i := range rows {
		for _, c := range table.Columns {
			choice := awkward[c.Type]
			rows[i] = append(rows[i], choice[rng.IntN(len(choice))])
		}
	}
	return rows
}

// allTables are all there are.
func allTables() []schema.Table { return slices.Concat(schema.EventTables, schema.LedgerTables) }

// partitionOf is a partition that the table may have.
func partitionOf(table schema.Table, month string) schema.Partition {
	for _, l := range schema.LedgerTables {
		if l.Name == table.Name {
			return schema.Partition{Table: table.Name}
		}
	}
	return schema.Partition{Table: table.Name, Key: "event_month", Value: month}
}

func openLake(t testing.TB, dir string, o Options) *Lake {
	t.Helper()
	o.RunID = cmp.Or(o.RunID, "r1")
	if o.Hook == nil {
		o.Hook = skipSync
	}
	l, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatalf("Open(%s) = %v, want no error", dir, err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// skipSync is a hook that leaves out what only a power cut would show and takes
// the most time.
func skipSync(op, _ string, do func() error) error {
	if op == "sync" || op == "syncdir" {
		return nil
	}
	return do()
}

func writeRecord(t testing.TB, l *Lake, p schema.Partition, rec arrow.Record) {
	t.Helper()
	err := l.Write(t.Context(), p, rec)
	rec.Release()
	if err != nil {
		t.Fatalf("Write(%s) = %v, want no error", p, err)
	}
}

// stageAndPublish stages and publishes what was written.
func stageAndPublish(t testing.TB, l *Lake) *pipeline.Manifest {
	t.Helper()
	files, err := l.Stage(t.Context())
	if err != nil {
		t.Fatalf("Stage() = %v, want no error", err)
	}
	m := &pipeline.Manifest{Files: files}
	if err := l.Publish(t.Context(), m); err != nil {
		t.Fatalf("Publish() = %v, want no error", err)
	}
	return m
}

// readArrow reads a file with Arrow's reader.
func readArrow(t testing.TB, path string) (*arrow.Schema, []values) {
	t.Helper()
	r, err := pqfile.OpenParquetFile(path, false)
	if err != nil {
		t.Fatalf("OpenParquetFile(%s) = %v, want no error", path, err)
	}
	defer r.Close()
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatalf("NewFileReader(%s) = %v, want no error", path, err)
	}
	table, err := fr.ReadTable(t.Context())
	if err != nil {
		t.Fatalf("ReadTable(%s) = %v, want no error", path, err)
	}
	defer table.Release()
	var rows []values
	tr := array.NewTableReader(table, 0)
	defer tr.Release()
	for tr.Next() {
		rows = append(rows, valuesOf(t, tr.Record())...)
	}
	return table.Schema(), rows
}

// readParquetGo reads a file with parquet-go, column by column.
func readParquetGo(t testing.TB, path string, table schema.Table) []values {
	t.Helper()
	f, size := openFile(t, path)
	pf, err := parquet.OpenFile(f, size)
	if err != nil {
		t.Fatalf("parquet.OpenFile(%s) = %v, want no error", path, err)
	}
	rows := make([]values, 0, pf.NumRows())
	for _, group := range pf.RowGroups() {
		reader := group.Rows()
		defer reader.Close()
		buf := make([]parquet.Row, 100)
		for {
			n, err := reader.ReadRows(buf)
			for _, r := range buf[:n] {
				row := make(values, len(table.Columns))
				for _, v := range r {
					if !v.IsNull() {
						row[v.Column()] = plainValue(table.Columns[v.Column()].Type, v)
					}
				}
				rows = append(rows, row)
			}
			if err != nil || n == 0 {
				break
			}
		}
	}
	return rows
}

func plainValue(typ schema.Type, v parquet.Value) any {
	switch typ {
	case schema.Int64:
		return v.Int64()
	case schema.Time:
		return arrow.Timestamp(v.Int64())
	case schema.Double:
		return v.Double()
	case schema.Bool:
		return v.Boolean()
	case schema.Date:
		return arrow.Date32(v.Int32())
	}
	return string(v.ByteArray())
}

func openFile(t testing.TB, path string) (*os.File, int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return f, info.Size()
}

// formatRows makes values comparable and short: NaN equals itself, -0 is not 0.
func formatRows(rows []values) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		var b strings.Builder
		for _, v := range r {
			if s, ok := v.(string); ok && len(s) > 100 {
				v = fmt.Sprintf("%.20s…%d", s, len(s))
			}
			fmt.Fprintf(&b, "%T %v|", v, v)
		}
		out[i] = b.String()
	}
	return out
}

// compareValues is the reference order: nulls first, then by value.
func compareValues(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	switch a := a.(type) {
	case string:
		return strings.Compare(a, b.(string))
	case int64:
		return cmp.Compare(a, b.(int64))
	case float64:
		return cmp.Compare(a, b.(float64))
	case arrow.Date32:
		return cmp.Compare(a, b.(arrow.Date32))
	case arrow.Timestamp:
		return cmp.Compare(a, b.(arrow.Timestamp))
	case bool:
		if a == b.(bool) {
			return 0
		} else if a {
			return 1
		}
		return -1
	}
	panic("no order")
}

// sortRows is the reference sort.
func sortRows(table schema.Table, rows []values) []values {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b values) int {
		for _, name := range table.Sort {
			if c := compareValues(a[table.ColumnIndex(name)], b[table.ColumnIndex(name)]); c != 0 {
				return c
			}
		}
		return 0
	})
	return rows
}

// listFiles lists the files below a lake, relative to it.
func listFiles(t testing.TB, lake string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(lake, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(lake, path)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// checkVisible fails when anything below data/ or ledger/ is not a whole file.
func checkVisible(t testing.TB, lake string) (files int) {
	t.Helper()
	for _, name := range listFiles(t, lake) {
		if !strings.HasPrefix(name, "data/") && !strings.HasPrefix(name, "ledger/") {
			continue
		}
		files++
		if !strings.HasSuffix(name, ".parquet") {
			t.Errorf("%s is visible, want nothing but .parquet", name)
			continue
		}
		f, err := os.Open(filepath.Join(lake, name))
		if err != nil {
			t.Fatal(err)
		}
		info, _ := f.Stat()
		if _, err := readFooter(f, info.Size()); err != nil {
			t.Errorf("readFooter(%s) = %v, want no error", name, err)
		}
		f.Close()
	}
	return files
}
