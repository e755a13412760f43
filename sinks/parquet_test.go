package sinks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// writeNews writes one file of the news table with some columns varied.
func writeNews(t testing.TB, n int, o Options) (*Lake, []rowtest.Values, []pipeline.File) {
	t.Helper()
	table := schema.EventTable(schema.CategoryNews)
	rng := rand.New(rand.NewPCG(9, 9))
	var rows []rowtest.Values
	for i := range n {
		raw := fmt.Sprintf(`{"n":%d,"noise":"%x%x"}`, i, rng.Uint64(), rng.Uint64())
		row := newsRow(fmt.Sprint("signal", rng.IntN(4)), fmt.Sprint(rng.IntN(1000)), nil, fmt.Sprintf("%016x", rng.Uint64()), raw, fmt.Sprint(i))
		row[table.ColumnIndex("account_key")] = fmt.Sprint("key", i)
		rows = append(rows, row)
	}
	l := openLake(t, t.TempDir(), o)
	for piece := range slices.Chunk(rows, 300) {
		writeRecord(t, l, partitionOf(table, "2026-03"), rowtest.NewRecord(t, table, piece))
	}
	return l, rows, stageAndPublish(t, l).Files
}

// TestFileProperties looks at what a query engine uses to read less.
func TestFileProperties(t *testing.T) {
	t.Parallel()
	l, rows, files := writeNews(t, 5000, Options{RowGroupRows: 2000, Version: "1.2.3"})
	if len(files) != 1 || files[0].RowGroups != 3 {
		t.Fatalf("files = %+v, want one with 3 row groups", files)
	}
	table := schema.EventTable(schema.CategoryNews)
	r, size := openFile(t, l.dir.AbsPath(files[0].Path))
	f, err := parquet.OpenFile(r, size)
	if err != nil {
		t.Fatal(err)
	}
	md := f.Metadata()
	if md.CreatedBy != "siglake version 1.2.3" {
		t.Errorf("CreatedBy = %q, want %q", md.CreatedBy, "siglake version 1.2.3")
	}
	for key, want := range map[string]string{
		"siglake.table": "news", "siglake.schema_version": strconv.Itoa(table.Version), "siglake.doc": table.Doc,
		"siglake.run_id": "r1", "siglake.version": "1.2.3", "siglake.logical_digest": files[0].Digest,
	} {
		if got, _ := f.Lookup(key); got != want {
			t.Errorf("metadata %s = %q, want %q", key, got, want)
		}
	}
	for g, group := range md.RowGroups {
		var order []string
		for _, s := range group.SortingColumns {
			if s.Descending || !s.NullsFirst {
				t.Errorf("row group %d: sorting column %+v, want ascending, nulls first", g, s)
			}
			order = append(order, table.Columns[s.ColumnIdx].Name)
		}
		if diff := gocmp.Diff(table.Sort, order); diff != "" {
			t.Errorf("row group %d: sorting columns (-want +got):\n%s", g, diff)
		}
		for i, c := range group.Columns {
			name := table.Columns[i].Name
			if got := strings.Join(c.MetaData.PathInSchema, "."); got != name {
				t.Errorf("column %d is %s, want %s", i, got, name)
			}
			if c.MetaData.EncodingStats != nil || !gocmp.Equal(c.MetaData.SizeStatistics, format.SizeStatistics{}) {
				t.Errorf("column %s has statistics of encodings or sizes, which make footers long", name)
			}
			if c.MetaData.Codec != format.Zstd || c.ColumnIndexOffset == 0 || c.OffsetIndexOffset == 0 {
				t.Errorf("column %s: codec %s, indexes at %d and %d, want ZSTD and both", name, c.MetaData.Codec, c.ColumnIndexOffset, c.OffsetIndexOffset)
			}
			dictionary := slices.Contains(c.MetaData.Encoding, format.RLEDictionary)
			typ := table.Columns[i].Type
			if want := typ != schema.Double && typ != schema.Bool && !table.Columns[i].Rare; dictionary != want {
				t.Errorf("column %s: dictionary %v, want %v", name, dictionary, want)
			}
			if hasBloom := c.MetaData.BloomFilterOffset != 0; hasBloom != slices.Contains(table.Bloom, name) {
				t.Errorf("column %s: bloom filter %v, want %v", name, hasBloom, !hasBloom)
			}
		}
	}

	// Every entity is found by the filter of a row group; few others are.
	id := table.ColumnIndex("entity_id")
	found := func(value string) (n int) {
		for _, group := range f.RowGroups() {
			if ok, err := group.ColumnChunks()[id].BloomFilter().Check(parquet.ValueOf(value)); err != nil {
				t.Fatal(err)
			} else if ok {
				n++
			}
		}
		return n
	}
	for _, r := range rows {
		if found(r[id].(string)) == 0 {
			t.Errorf("no bloom filter holds %s", r[id])
		}
	}
	falsePositives := 0
	for i := range 1000 {
		falsePositives += found(fmt.Sprint("stranger", i))
	}
	if falsePositives > 100 {
		t.Errorf("bloom filters hold %d of 3000 strangers, want about 30", falsePositives)
	}

	// The pages of the first sort column are in order and their bounds are true.
	for g, group := range f.RowGroups() {
		index, err := group.ColumnChunks()[table.ColumnIndex("signal_type")].ColumnIndex()
		if err != nil {
			t.Fatal(err)
		}
		if !index.IsAscending() && index.NumPages() > 1 {
			t.Errorf("row group %d: signal_type is not marked as ascending", g)
		}
		if lo, hi := index.MinValue(0).String(), index.MaxValue(0).String(); !strings.HasPrefix(lo, "signal") || lo > hi {
			t.Errorf("row group %d: signal_type from %q to %q", g, lo, hi)
		}
		raw, err := group.ColumnChunks()[table.ColumnIndex("raw")].OffsetIndex()
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < raw.NumPages(); i++ {
			if n := raw.FirstRowIndex(i) - raw.FirstRowIndex(i-1); n*50 > 2*pageSize {
				t.Errorf("row group %d: a page of raw has %d rows, want about %d bytes", g, n, pageSize)
			}
		}
	}
}

// encodeNews encodes rows of news with an encoder that setUp changes.
func encodeNews(t *testing.T, rows []rowtest.Values, setUp func(*encoder)) *parquet.File {
	t.Helper()
	table := schema.EventTable(schema.CategoryNews)
	view := extsort.NewRecordView(&table, rowtest.NewRecord(t, table, rows))
	all := make([]extsort.Row, len(rows))
	for i := range all {
		all[i] = view.Row(int32(i))
	}
	var out bytes.Buffer
	e := newEncoder(&out, &table, &Options{RowGroupRows: defaultRowGroupRows})
	setUp(e)
	for piece := range slices.Chunk(all, 1000) {
		if err := e.writeRows(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.closeWithDigest("digest"); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// longNews are rows of news with texts of a length.
func longNews(n, length int) (rows []rowtest.Values) {
	for i := range n {
		text := fmt.Sprintf("%0*d", length, i)
		rows = append(rows, newsRow("s", fmt.Sprint(i), nil, fmt.Sprintf("%032d", i), text, text))
	}
	return rows
}

// TestDescribedFile: a file describes its columns, to readers of its metadata and to Arrow, once it is large.
func TestDescribedFile(t *testing.T) {
	t.Parallel()
	table := schema.EventTable(schema.CategoryNews)
	for _, described := range []bool{false, true} {
		f := encodeNews(t, longNews(fewRows+1, 10), func(e *encoder) {
			if described {
				e.described = 1
			}
		})
		for _, c := range table.Columns {
			value, ok := f.Lookup("siglake.column." + c.Name)
			var doc struct{ Type, Doc, Unit, Source string }
			if err := json.Unmarshal([]byte(value), &doc); ok && (err != nil || doc.Type != c.Type.String() || doc.Doc != c.Doc || doc.Unit != c.Unit || doc.Source == "") {
				t.Errorf("metadata of column %s = %s, %v", c.Name, value, err)
			}
			if ok != described {
				t.Errorf("column %s is described: %v, want %v", c.Name, ok, described)
			}
		}
		value, ok := f.Lookup("ARROW:schema")
		if ok != described {
			t.Errorf("Arrow's schema is stated: %v, want %v", ok, described)
		}
		if ok {
			checkArrowSchema(t, value, table.Arrow())
		}
		if digest, _ := f.Lookup(metaDigest); digest != "digest" {
			t.Errorf("the footer states digest %q, want %q", digest, "digest")
		}
	}
}

// checkArrowSchema checks that a schema in base64 has the fields of another one with their metadata.
func checkArrowSchema(t *testing.T, text string, want *arrow.Schema) {
	t.Helper()
	r, err := ipc.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	for i, f := range want.Fields() {
		if got := r.Schema().Field(i); !got.Equal(f) || !got.Metadata.Equal(f.Metadata) {
			t.Errorf("Arrow's field %d = %v, want %v", i, got, f)
		}
	}
}

// TestPagesEndAfterMultiples: DuckDB reads pageRows rows at a time, and a page holds all or none of them, unless texts
// are long.
func TestPagesEndAfterMultiples(t *testing.T) {
	t.Parallel()
	table := schema.EventTable(schema.CategoryNews)
	firstRows := func(n, length int) (first []int64) {
		f := encodeNews(t, longNews(n, length), func(*encoder) {})
		index, err := f.RowGroups()[0].ColumnChunks()[table.ColumnIndex("raw")].OffsetIndex()
		if err != nil {
			t.Fatal(err)
		}
		for i := range index.NumPages() {
			first = append(first, index.FirstRowIndex(i))
		}
		return first
	}
	if got, want := firstRows(3*pageRows+1, 300), []int64{0, pageRows, 2 * pageRows, 3 * pageRows}; !slices.Equal(got, want) {
		t.Errorf("pages of 300 bytes a row begin at rows %v, want %v", got, want)
	}
	if got, want := firstRows(3*pageRows+1, 200), []int64{0, 2 * pageRows}; !slices.Equal(got, want) {
		t.Errorf("pages of 200 bytes a row begin at rows %v, want %v", got, want)
	}
	if got := firstRows(pageRows+1, 2000); len(got) < 3 || got[1]*2000 > 3*maxPageSize/2 {
		t.Errorf("pages of 2,000 bytes a row begin at rows %v, want one every %d bytes", got, maxPageSize)
	}
}

// TestSmallFile: a file of few rows has room for little else, and one row more makes it a file like others.
func TestSmallFile(t *testing.T) {
	t.Parallel()
	open := func(n int) (*parquet.File, pipeline.File) {
		l, rows, files := writeNews(t, n, Options{})
		r, size := openFile(t, l.dir.AbsPath(files[0].Path))
		f, err := parquet.OpenFile(r, size)
		if err != nil {
			t.Fatal(err)
		}
		_, got := readArrow(t, l.dir.AbsPath(files[0].Path))
		if diff := gocmp.Diff(rowtest.Format(rowtest.Sort(schema.EventTable(schema.CategoryNews), rows)), rowtest.Format(got)); diff != "" {
			t.Errorf("%d rows (-want +got):\n%.2000s", n, diff)
		}
		return f, files[0]
	}
	if _, file := open(5); file.Bytes > 5_000 {
		t.Errorf("a file of 5 rows takes %d bytes, want at most 5,000", file.Bytes)
	}
	for n, small := range map[int]bool{fewRows: true, fewRows + 1: false} {
		f, _ := open(n)
		chunk := f.Metadata().RowGroups[0].Columns[schema.EventTable(schema.CategoryNews).ColumnIndex("entity_id")]
		filtered, indexed := chunk.MetaData.BloomFilterOffset != 0, chunk.ColumnIndexOffset != 0 && chunk.OffsetIndexOffset != 0
		if filtered == small || indexed == small {
			t.Errorf("file of %d rows: filtered %v, indexed %v, want %v", n, filtered, indexed, !small)
		}
		long := f.Metadata().RowGroups[0].Columns[schema.EventTable(schema.CategoryNews).ColumnIndex("raw")]
		if bounded := long.MetaData.Statistics.MaxValue != nil; bounded == small {
			t.Errorf("file of %d rows: raw has bounds: %v, want %v", n, bounded, !small)
		}
		if lo, hi := string(chunk.MetaData.Statistics.MinValue), string(chunk.MetaData.Statistics.MaxValue); lo != "0" || hi < "99" {
			t.Errorf("file of %d rows: entity_id from %q to %q, want bounds", n, lo, hi)
		}
	}
}

// TestSmallFileOfLongTexts: few rows with much text are not kept in memory.
func TestSmallFileOfLongTexts(t *testing.T) {
	t.Parallel()
	table := schema.EventTable(schema.CategoryNews)
	e := newEncoder(io.Discard, &table, &Options{RowGroupRows: defaultRowGroupRows})
	rec := rowtest.NewRecord(t, table, []rowtest.Values{newsRow("s", "1", nil, "u", strings.Repeat("x", fewBytes), "")})
	rows := []extsort.Row{extsort.NewRecordView(&table, rec).Row(0)}
	for range 3 {
		if err := e.writeRows(rows); err != nil {
			t.Fatal(err)
		}
	}
	if e.w == nil || len(e.small.rows) > 0 {
		t.Errorf("%d rows are kept, want that the file was begun", len(e.small.rows))
	}
}

// TestDigest writes the same rows in different ways, and different rows.
func TestDigest(t *testing.T) {
	t.Parallel()
	_, _, base := writeNews(t, 3000, Options{})
	_, _, spilled := writeNews(t, 3000, Options{SortMemory: 1})
	_, _, other := writeNews(t, 3000, Options{RowGroupRows: 100, Version: "2"})
	if !gocmp.Equal(spilled[0], base[0]) {
		t.Errorf("spilled: %+v, want %+v, down to the bytes", spilled[0], base[0])
	}
	if other[0].Digest != base[0].Digest || other[0].Path != base[0].Path || other[0].SHA256 == base[0].SHA256 {
		t.Errorf("other row groups: %+v, want the digest of %+v and other bytes", other[0], base[0])
	}
	table := schema.Table{Name: "t", Version: 1, Columns: []schema.Column{{Name: "a"}, {Name: "b"}}}
	digestOf := func(table schema.Table, rows ...rowtest.Values) string {
		d := newDigest(&table)
		view := extsort.NewRecordView(&table, rowtest.NewRecord(t, table, rows))
		for i := range rows {
			d.addRow(view.Row(int32(i)))
		}
		return d.hexSum()
	}
	renamed, newer, typed := table, table, table
	renamed.Columns = []schema.Column{{Name: "a"}, {Name: "c"}}
	newer.Version = 2
	typed.Columns = []schema.Column{{Name: "a"}, {Name: "b", Type: schema.Int64}}
	digests := map[string]string{}
	for name, sum := range map[string]string{
		"nothing":       digestOf(table),
		"a null row":    digestOf(table, rowtest.Values{nil, nil}),
		"empty texts":   digestOf(table, rowtest.Values{"", ""}),
		"left":          digestOf(table, rowtest.Values{"x", nil}),
		"right":         digestOf(table, rowtest.Values{nil, "x"}),
		"together":      digestOf(table, rowtest.Values{"xy", ""}),
		"apart":         digestOf(table, rowtest.Values{"x", "y"}),
		"two rows":      digestOf(table, rowtest.Values{"x", "y"}, rowtest.Values{"z", nil}),
		"other order":   digestOf(table, rowtest.Values{"z", nil}, rowtest.Values{"x", "y"}),
		"other name":    digestOf(renamed, rowtest.Values{"x", "y"}),
		"other version": digestOf(newer, rowtest.Values{"x", "y"}),
		"other type":    digestOf(typed, rowtest.Values{"x", nil}),
	} {
		if same, ok := digests[sum]; ok {
			t.Errorf("digests of %q and %q are equal", name, same)
		}
		digests[sum] = name
	}
}

// TestSplit lets a partition outgrow its file.
func TestSplit(t *testing.T) {
	t.Parallel()
	n := int64(proof.Size(9_000, 20_000, 20_000))
	l, rows, files := writeNews(t, int(n), Options{TargetFileSize: 25 * n, RowGroupRows: int(n / 20)})
	if len(files) < 3 {
		t.Fatalf("%d files, want at least 3", len(files))
	}
	table := schema.EventTable(schema.CategoryNews)
	var got []rowtest.Values
	slices.SortFunc(files, func(a, b pipeline.File) int {
		return strings.Compare(a.Path[len(a.Path)-12:], b.Path[len(b.Path)-12:])
	})
	for i, f := range files {
		if suffix := fmt.Sprintf("-%s-%04d.parquet", f.Digest[:8], i+1); !strings.HasSuffix(f.Path, suffix) {
			t.Errorf("file %d is %s, want …%s", i, f.Path, suffix)
		}
		if f.Bytes > 40*n {
			t.Errorf("%s has %d bytes, want about %d", f.Path, f.Bytes, 25*n)
		}
		_, part := readArrow(t, l.dir.AbsPath(f.Path))
		got = append(got, part...)
	}
	if diff := gocmp.Diff(rowtest.Format(rowtest.Sort(table, rows)), rowtest.Format(got)); diff != "" {
		t.Errorf("rows (-want +got):\n%.2000s", diff)
	}
}

// TestReadFooterDamaged changes a file's tail byte by byte: an error or not, but
// nothing worse.
func TestReadFooterDamaged(t *testing.T) {
	t.Parallel()
	l, _, files := writeNews(t, 10, Options{})
	data, err := os.ReadFile(l.dir.AbsPath(files[0].Path))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range 100 {
		if _, err := readFooter(bytes.NewReader(data), int64(len(data)-1-cut)); err == nil {
			t.Errorf("readFooter of a file without its last %d bytes = nil, want an error", cut+1)
		}
	}
	failed := 0
	for at := len(data) - 3000; at < len(data); at += proof.Size(7, 1, 1) {
		data[at] ^= 0x55
		if _, err := readFooter(bytes.NewReader(data), int64(len(data))); err != nil {
			failed++
		}
		data[at] ^= 0x55
	}
	if failed == 0 {
		t.Error("no damage was noticed")
	}
}

// TestFieldIDs: files name columns by the ids of package schema.
func TestFieldIDs(t *testing.T) {
	t.Parallel()
	for _, table := range schema.Tables {
		for i, f := range parquetSchema(&table, &Options{}, false).Fields() {
			if f.ID() != table.FieldID(i) {
				t.Errorf("%s.%s has field id %d, want %d", table.Name, f.Name(), f.ID(), table.FieldID(i))
			}
		}
	}
}
