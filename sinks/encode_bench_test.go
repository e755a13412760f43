package sinks

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/siglake/siglake/internal/bench/cputime"
	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/schema"
)

// sortedNews are the rows of news of the lake that SIGLAKE_BENCH_LAKE names, file by file as they lie:
// sorted. Without it they are invented.
func sortedNews(b *testing.B, table *schema.Table) (records []arrow.Record, rows [][]extsort.Row) {
	b.Helper()
	lake := os.Getenv("SIGLAKE_BENCH_LAKE")
	if lake == "" {
		records = newsRecords(b, 20_000, 4096)
	}
	paths, err := filepath.Glob(filepath.Join(lake, "data", "news", "*", "*.parquet"))
	if err != nil || lake != "" && len(paths) == 0 {
		b.Fatalf("no files of news in %q: %v", lake, err)
	}
	for _, path := range paths {
		records = append(records, readRecords(b, table, path)...)
	}
	for _, record := range records {
		view := extsort.NewRecordView(table, record)
		var of []extsort.Row
		for i := range int32(record.NumRows()) {
			of = append(of, view.Row(i))
		}
		rows = append(rows, of)
	}
	return records, rows
}

func readRecords(b *testing.B, table *schema.Table, path string) (records []arrow.Record) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	_, err = readRows(f, info.Size(), table, func(rec arrow.Record) error {
		rec.Retain()
		records = append(records, rec)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return records
}

// BenchmarkEncode measures the encoder alone, and Arrow's with the same settings, as far as it has them:
// rows per CPU second, and bytes per row. Both write to memory.
func BenchmarkEncode(b *testing.B) {
	table := schema.EventTable(schema.CategoryNews)
	records, rows := sortedNews(b, &table)
	b.Run("siglake", func(b *testing.B) {
		measureEncoder(b, records, func(out io.Writer) error {
			o, err := Options{RunID: "r"}.withDefaults()
			if err != nil {
				return err
			}
			e := newEncoder(out, &table, &o)
			for _, some := range rows {
				if err := e.writeRows(some); err != nil {
					return err
				}
			}
			return e.closeWithDigest("")
		})
	})
	b.Run("pqarrow", func(b *testing.B) {
		measureEncoder(b, records, func(out io.Writer) error {
			w, err := pqarrow.NewFileWriter(table.Arrow(), out, pqarrowProperties(table), pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
			if err != nil {
				return err
			}
			for _, record := range records {
				if err := w.WriteBuffered(record); err != nil {
					return err
				}
			}
			return w.Close()
		})
	})
}

func measureEncoder(b *testing.B, records []arrow.Record, encode func(io.Writer) error) {
	b.Helper()
	rows := int64(0)
	for _, record := range records {
		rows += record.NumRows()
	}
	var file bytes.Buffer
	began, n := cputime.Now(), 0
	for b.Loop() {
		file.Reset()
		if err := encode(&file); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(rows)*float64(n)/(cputime.Now()-began).Seconds(), "rows/cpu-s")
	b.ReportMetric(float64(file.Len())/float64(rows), "bytes/row")
}
