package sinks

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	pq "github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// newsRecords are rows of the news table as a run would have them: many
// companies, long texts, much repetition.
func newsRecords(t testing.TB, rows, perRecord int) []arrow.Record {
	t.Helper()
	table := schema.EventTable(schema.CategoryNews)
	rng := rand.New(rand.NewPCG(7, 7))
	words := strings.Fields("acquires opens raises series funding headquarters partnership Berlin Austin platform " +
		"growth launches product cloud security appoints officer revenue quarter expands manufacturing plant")
	prose := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(words[rng.IntN(len(words))])
			b.WriteByte(' ')
		}
		return b.String()
	}
	var recs []arrow.Record
	var batch []rowtest.Values
	for i := range rows {
		company := rng.IntN(rows / 4)
		day := arrow.Date32(20_000 + rng.IntN(31))
		uid := fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64())
		url := fmt.Sprintf("https://news.example.com/%d/%x", company, rng.Uint32())
		title, summary := prose(9), prose(30)
		raw := fmt.Sprintf(`{"signalId":%q,"companyId":%d,"companyName":"Company %d Ltd","domain":"c%d.example.com","eventType":"raises_funding","eventSummary":%q,"articleTitle":%q,"articleUrl":%q,"articlePublishedDate":"2026-03-%02d"}`,
			uid[:20], company, company, company, summary, title, url, 1+i%28)
		batch = append(batch, rowtest.Values{
			uid, []string{"financialEventsNews", "commercialActivityNews", "peopleNews", "riskNews"}[rng.IntN(4)], "company",
			fmt.Sprint(10_000_000 + company), fmt.Sprintf("acct-%06d", company), day,
			arrow.Timestamp(1_770_000_000_000_000 + int64(i/100)*1_000_000), "20260302T010203Z-4f2a",
			fmt.Sprintf("%06d-1", i/400), "poll", int64(1), nil, raw,
			fmt.Sprint(company), fmt.Sprintf("Company %d Ltd", company), fmt.Sprintf("c%d.example.com", company), uid[:20],
			"raises_funding", summary, title, prose(15), url, day, nil, rng.IntN(4) == 0,
			arrow.Timestamp(1_770_000_000_000_000 + int64(i/100)*1_000_000), int64(1), uid[16:] + uid[:16],
			summary, "Funding Round",
		})
		if len(batch) == perRecord || i == rows-1 {
			recs = append(recs, rowtest.NewRecord(t, table, batch))
			batch = batch[:0]
		}
	}
	return recs
}

// BenchmarkNews compares a run's whole way (sort, spill, merge, digest, encode,
// sync, read back) and the encoder alone with Arrow's own Parquet writer, which
// is given the rows already sorted.
func BenchmarkNews(b *testing.B) {
	const rows = 200_000
	recs := newsRecords(b, rows, 4096)
	table := schema.EventTable(schema.CategoryNews)
	p := partitionOf(table, "2026-03")

	all := extsort.New(&table, "news", nil)
	for _, rec := range recs {
		if err := all.Add(rec); err != nil {
			b.Fatal(err)
		}
	}
	var sorted []extsort.Row
	if err := all.Merge(b.Context(), func(rows []extsort.Row) error {
		sorted = append(sorted, rows...) // valid after the call: nothing was spilled, and the records stay
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	builder := array.NewRecordBuilder(memory.DefaultAllocator, table.Arrow())
	var sortedRecs []arrow.Record
	for i := 0; i < len(sorted); i += 4096 {
		sortedRecs = append(sortedRecs, extsort.BuildRecord(builder, &table, sorted[i:min(i+4096, len(sorted))]))
	}

	report := func(b *testing.B, size int64) {
		perRow := float64(b.Elapsed()) / float64(b.N) / rows
		b.ReportMetric(float64(time.Second)/perRow, "rows/s")
		b.ReportMetric(float64(size)/rows, "bytes/row")
	}
	measured := func(name string, f func(b *testing.B, path string) int64) {
		b.Run(name, func(b *testing.B) {
			var before, after runtime.MemStats
			dir, size := b.TempDir(), int64(0)
			runtime.GC()
			runtime.ReadMemStats(&before)
			for i := range b.N {
				size = f(b, filepath.Join(dir, fmt.Sprint(i)))
			}
			runtime.ReadMemStats(&after)
			report(b, size)
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N)/rows, "allocs/row")
		})
	}
	for _, round := range []string{"1", "2"} {
		measured("encoder/"+round, func(b *testing.B, path string) int64 {
			f, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			o, _ := Options{RunID: "r"}.withDefaults()
			e := newEncoder(f, &table, &o)
			for i := 0; i < len(sorted); i += 1024 {
				if err := e.writeRows(sorted[i:min(i+1024, len(sorted))]); err != nil {
					b.Fatal(err)
				}
			}
			if err := e.closeWithDigest(""); err != nil {
				b.Fatal(err)
			}
			info, _ := f.Stat()
			return info.Size()
		})
		measured("pqarrow/"+round, func(b *testing.B, path string) int64 {
			f, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			buffered := bufio.NewWriterSize(f, 256<<10)
			w, err := pqarrow.NewFileWriter(table.Arrow(), buffered, pqarrowProperties(table), pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
			if err != nil {
				b.Fatal(err)
			}
			n := int64(0)
			for _, rec := range sortedRecs {
				if n += rec.NumRows(); n > defaultRowGroupRows {
					w.NewBufferedRowGroup()
					n = rec.NumRows()
				}
				if err := w.WriteBuffered(rec); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			if err := buffered.Flush(); err != nil {
				b.Fatal(err)
			}
			info, _ := os.Stat(path)
			return info.Size()
		})
		measured("lake/"+round, func(b *testing.B, path string) int64 {
			l := openLake(b, path, Options{Hook: func(_, _ string, do func() error) error { return do() }})
			for _, rec := range recs {
				if err := l.Write(b.Context(), p, rec); err != nil {
					b.Fatal(err)
				}
			}
			m := stageAndPublish(b, l)
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			return m.Files[0].Bytes
		})
	}
}

// pqarrowProperties are the encoder's settings for Arrow's writer, as far as it
// has them.
func pqarrowProperties(table schema.Table) *pq.WriterProperties {
	options := []pq.WriterProperty{
		pq.WithCompression(compress.Codecs.Zstd), pq.WithDataPageSize(pageSize),
		pq.WithMaxRowGroupLength(defaultRowGroupRows), pq.WithStats(true),
	}
	for _, c := range table.Columns {
		dictionary := c.Type != schema.Double && c.Type != schema.Bool && !c.Rare
		options = append(options, pq.WithDictionaryFor(c.Name, dictionary))
	}
	return pq.NewWriterProperties(options...)
}

// TestMemory writes far more than the memory allowed, over many partitions, and
// looks at the heap meanwhile.
func TestMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	recs := newsRecords(t, 5_000, 500)
	var now runtime.MemStats
	var base, peak uint64
	calls, writing := 0, false
	l := openLake(t, t.TempDir(), Options{SortMemory: 4 << 20, Hook: func(op, path string, do func() error) error {
		if calls++; writing && calls%20 == 0 {
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapInuse)
		}
		return skipSync(op, path, do)
	}})
	runtime.GC()
	runtime.ReadMemStats(&now)
	base, peak, writing = now.HeapInuse, now.HeapInuse, true
	rows := int64(0)
	for i := range proof.Size(2, 10, 10) * len(recs) {
		rec := recs[i%len(recs)]
		p := partitionOf(schema.EventTable(schema.CategoryNews), fmt.Sprintf("2026-%02d", 1+i%12))
		if err := l.Write(t.Context(), p, rec); err != nil {
			t.Fatal(err)
		}
		rows += rec.NumRows()
	}
	stageAndPublish(t, l)
	t.Logf("%d rows written, heap peaked %d MiB above the input", rows, int64(peak-base)>>20)
	if peak-base > 72<<20 {
		t.Errorf("heap peaked %d MiB above the input, want at most 72", int64(peak-base)>>20)
	}
}

// BenchmarkStageAgainstPublished stages a night of a thousand new events, and of as many known ones,
// against a month of published ones: a large file, and one for each night.
func BenchmarkStageAgainstPublished(b *testing.B) {
	const rows = 64 * 4096
	table := schema.EventTable(schema.CategoryNews)
	recs := newsRecords(b, rows, 4096)
	lake := b.TempDir()
	write := func(id string, recs []arrow.Record) *pipeline.Manifest {
		l := openLake(b, lake, Options{RunID: id})
		for _, rec := range recs {
			if err := l.Write(b.Context(), partitionOf(table, "2026-03"), rec); err != nil {
				b.Fatal(err)
			}
		}
		m := stageAndPublish(b, l)
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		return m
	}
	night := func(rec arrow.Record, from int64) []arrow.Record {
		return []arrow.Record{rec.NewSlice(from, from+1000)}
	}
	large, small := recs[:len(recs)-30], recs[len(recs)-30:]
	write("r0", large)
	for i := range small {
		write(fmt.Sprint("r", i+1), night(small[i], 0))
	}
	for name, staged := range map[string][]arrow.Record{"new": night(small[0], 1000), "known": night(large[7], 0), "none published": nil} {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				part := partitionOf(table, "2026-03")
				if staged == nil {
					part.Value = "2026-04"
					staged = night(small[0], 1000)
				}
				l := openLake(b, lake, Options{RunID: fmt.Sprint("n", i)})
				for _, rec := range staged {
					if err := l.Write(b.Context(), part, rec); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := l.Stage(b.Context()); err != nil {
					b.Fatal(err)
				}
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
