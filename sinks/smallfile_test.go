package sinks

import (
	"runtime"
	"strings"
	"testing"
	"weak"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/schema"
)

// TestSmallFileOfFewRows: of spilled rows most of which are left out, the others keep little memory until their
// file is written, and their values.
func TestSmallFileOfFewRows(t *testing.T) {
	table := schema.Table{Name: "t", Columns: []schema.Column{{Name: "n", Type: schema.Int64}, {Name: "s", Type: schema.String}}, Sort: []string{"n"}}
	dir, err := durable.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	s := extsort.New(&table, "t", extsort.NewSpace(dir, "."))
	const blocks, block = 100, 256 << 10
	var rows []rowtest.Values
	for i := range int64(blocks) {
		rows = append(rows, rowtest.Values{2 * i, "kept"}, rowtest.Values{2*i + 1, strings.Repeat("x", block-100)})
	}
	rec := rowtest.NewRecord(t, table, rows)
	err = s.Add(rec)
	rec.Release()
	if err == nil {
		err = s.Spill(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	var f smallFile
	var views []weak.Pointer[extsort.RecordView]
	err = s.Merge(t.Context(), func(merged []extsort.Row) error {
		for _, r := range merged {
			if n := r.View.Columns[0].Int64At(r.Index); n%2 == 0 {
				views = append(views, weak.Make(r.View))
				if !f.keepRows(&table, []extsort.Row{r}) {
					t.Errorf("row %d is too much", n)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	kept := 0
	for _, v := range views {
		if v.Value() != nil {
			kept++
		}
	}
	if len(views) != blocks || kept > maxPinned/block+2 {
		t.Errorf("%d rows keep %d of %d blocks", len(views), kept, blocks)
	}
	for i, r := range f.rows {
		if n, text := r.View.Columns[0].Int64At(r.Index), r.View.Columns[1].TextAt(r.Index); n != int64(2*i) || string(text) != "kept" {
			t.Errorf("row %d is %d with %q", i, n, text)
		}
	}
}
