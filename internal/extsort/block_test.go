package extsort

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/schema"
)

// everyType is a table with all types, twice.
func everyType() schema.Table {
	t := schema.Table{Name: "t"}
	for _, name := range []string{"a", "b"} {
		for typ := range rowtest.Awkward {
			t.Columns = append(t.Columns, schema.Column{Name: name + typ.String(), Type: typ})
		}
	}
	slices.SortFunc(t.Columns, func(a, b schema.Column) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return t
}

func rowsOf(t *testing.T, table *schema.Table, values []rowtest.Values) (rows []Row) {
	t.Helper()
	view := NewRecordView(table, rowtest.NewRecord(t, *table, values))
	for i := range int32(len(values)) { //nolint:gosec // a few
		rows = append(rows, view.Row(i))
	}
	return rows
}

// TestBlocks: blocks hold what was written, of every type, with no, some and only nulls; the memory of a
// view is reused after its release, and not before.
func TestBlocks(t *testing.T) {
	t.Parallel()
	table := everyType()
	rng := rand.New(rand.NewPCG(1, 2))
	var file bytes.Buffer
	w := blockWriter{out: &file, table: &table}
	var want []rowtest.Values
	for i, n := range []int{1, 9, 64, 3, 200} {
		values := rowtest.AwkwardRows(table, n, rng)
		for _, r := range values {
			for c := range r {
				if i == 1 && c%2 == 0 {
					r[c] = nil
				}
			}
		}
		want = append(want, values...)
		if err := w.writeRows(rowsOf(t, &table, values)); err != nil {
			t.Fatal(err)
		}
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, table.Arrow())
	defer b.Release()
	for _, held := range []bool{false, true} {
		r := blockReader{in: bytes.NewReader(file.Bytes()), table: &table}
		var got []rowtest.Values
		var views []*RecordView
		read := func(v *RecordView) {
			var rows []Row
			for i, c := range table.Columns { // a null can be read, and is nothing
				if c.Type == schema.String && v.Columns[i].IsNull(0) && len(v.Columns[i].TextAt(0)) > 0 {
					t.Errorf("a null of column %s is %q", c.Name, v.Columns[i].TextAt(0))
				}
			}
			for i := range int32(v.rows) { //nolint:gosec // a few
				rows = append(rows, v.Row(i))
			}
			rec := BuildRecord(b, &table, rows)
			defer rec.Release()
			got = append(got, rowtest.ValuesOf(t, rec)...)
		}
		for v, err := r.readRows(); !errors.Is(err, io.EOF); v, err = r.readRows() {
			if err != nil {
				t.Fatal(err)
			}
			if held {
				views = append(views, v)
				continue
			}
			read(v)
			v.release()
		}
		for _, v := range views {
			read(v)
		}
		if diff := gocmp.Diff(rowtest.Format(want), rowtest.Format(got)); diff != "" {
			t.Errorf("rows of blocks, views held: %v (-written +read):\n%.3000s", held, diff)
		}
	}
}

// TestDamagedBlock: a run that a disk has changed or cut is an error, wherever it is.
func TestDamagedBlock(t *testing.T) {
	t.Parallel()
	table := everyType()
	var file bytes.Buffer
	w := blockWriter{out: &file, table: &table}
	if err := w.writeRows(rowsOf(t, &table, rowtest.AwkwardRows(table, 20, rand.New(rand.NewPCG(1, 2))))); err != nil {
		t.Fatal(err)
	}
	read := func(content []byte) error {
		r := blockReader{in: bytes.NewReader(content), table: &table}
		_, err := r.readRows()
		return err
	}
	if err := read(file.Bytes()); err != nil {
		t.Fatal(err)
	}
	for at := blockHeader - 4; at < file.Len(); at++ {
		damaged := bytes.Clone(file.Bytes())
		damaged[at] ^= 4
		if err := read(damaged); !errors.Is(err, errBlock) {
			t.Errorf("a block with another byte at %d = %v, want %v", at, err, errBlock)
		}
	}
	for n := 1; n < file.Len(); n++ {
		if err := read(file.Bytes()[:n]); !errors.Is(err, errBlock) || errors.Is(err, io.EOF) {
			t.Errorf("the first %d bytes of a block = %v, want %v", n, err, errBlock)
		}
	}
}

// TestSortByKey compares with a stable sort of the keys as a whole.
func TestSortByKey(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for _, texts := range [][]string{{"", "a"}, {strings.Repeat("long ", 30), strings.Repeat("long ", 30) + "er", strings.Repeat("long ", 12)}, {"the same beginning", "the same beginning, and more", "the same beginning\x00", "t"}} {
		table := schema.Table{Name: "t", Columns: []schema.Column{{Name: "a", Type: schema.String}, {Name: "b", Type: schema.Int64}}, Sort: []string{"a", "b"}}
		var values []rowtest.Values
		for range 500 {
			r := rowtest.Values{texts[rng.IntN(len(texts))], int64(rng.IntN(5) - 2)}
			if rng.IntN(9) == 0 {
				r[rng.IntN(2)] = nil
			}
			values = append(values, r)
		}
		var keys sortKeys
		for _, r := range rowsOf(t, &table, values) {
			keys.addKey(sortOrder(&table), r)
		}
		want, got := make([]int32, len(values)), make([]int32, len(values))
		for i := range want {
			want[i] = int32(i) //nolint:gosec // a few
		}
		slices.SortStableFunc(want, func(a, b int32) int { return bytes.Compare(keys.keyAt(int(a)), keys.keyAt(int(b))) })
		sortByKey(&keys, got)
		if !slices.Equal(got, want) {
			t.Errorf("sortByKey of texts %q gives another order than a stable sort", texts)
		}
	}
}

func newSpace(t testing.TB) *Space {
	t.Helper()
	dir, err := durable.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	return NewSpace(dir, ".")
}

// BenchmarkSpill sorts, spills and merges rows of every type; ns/op is of 10,000 rows.
func BenchmarkSpill(b *testing.B) {
	table := everyType()
	table.Sort = []string{table.Columns[0].Name, table.Columns[len(table.Columns)-1].Name}
	values := rowtest.AwkwardRows(table, 10_000, rand.New(rand.NewPCG(1, 2)))
	rec := rowtest.NewRecord(b, table, values)
	for b.Loop() {
		s := New(&table, "t", newSpace(b))
		for range 3 {
			if err := errors.Join(s.Add(rec), s.Spill(b.Context())); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Merge(b.Context(), func([]Row) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
