package sinks

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	pqfile "github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
	"github.com/parquet-go/parquet-go"

	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

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
func readArrow(t testing.TB, path string) (*arrow.Schema, []rowtest.Values) {
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
	var rows []rowtest.Values
	tr := array.NewTableReader(table, 0)
	defer tr.Release()
	for tr.Next() {
		rows = append(rows, rowtest.ValuesOf(t, tr.Record())...)
	}
	return table.Schema(), rows
}

// readParquetGo reads a file with parquet-go, column by column.
func readParquetGo(t testing.TB, path string, table schema.Table) []rowtest.Values {
	t.Helper()
	f, size := openFile(t, path)
	pf, err := parquet.OpenFile(f, size)
	if err != nil {
		t.Fatalf("parquet.OpenFile(%s) = %v, want no error", path, err)
	}
	rows := make([]rowtest.Values, 0, pf.NumRows())
	for _, group := range pf.RowGroups() {
		reader := group.Rows()
		defer reader.Close()
		buf := make([]parquet.Row, 100)
		for {
			n, err := reader.ReadRows(buf)
			for _, r := range buf[:n] {
				row := make(rowtest.Values, len(table.Columns))
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
