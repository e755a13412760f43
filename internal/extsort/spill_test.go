package extsort

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/schema"
)

// TestManyRuns has so many runs that merging takes more than one level.
func TestManyRuns(t *testing.T) {
	table := schema.Credits
	rng := rand.New(rand.NewPCG(3, 4))
	dir, err := durable.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	s := New(&table, "credits", NewSpace(dir, "."))
	var rows []rowtest.Values
	for i := range 511 {
		piece := rowtest.AwkwardRows(table, 1+rng.IntN(3), rng)
		for _, r := range piece {
			r[table.ColumnIndex("call_id")] = fmt.Sprint(rng.IntN(10))
			r[table.ColumnIndex("row")] = int64(rng.IntN(10))
			r[table.ColumnIndex("signal_type")] = nil
			r[table.ColumnIndex("entity_id")] = fmt.Sprint(i)
		}
		rows = append(rows, piece...)
		rec := rowtest.NewRecord(t, table, piece)
		err := s.Add(rec)
		rec.Release()
		if err != nil {
			t.Fatalf("Add() = %v, want no error", err)
		}
		if err := s.Spill(t.Context()); err != nil {
			t.Fatalf("Spill() = %v, want no error", err)
		}
	}
	if s.runs[0].level != 2 {
		t.Errorf("level of the first run = %d, want 2: merged twice", s.runs[0].level)
	}
	if len(s.runs) <= mergeFanIn {
		t.Errorf("%d runs, want more than %d, so that Merge has to reduce them", len(s.runs), mergeFanIn)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, table.Arrow())
	defer b.Release()
	var got []rowtest.Values
	if err := s.Merge(t.Context(), func(merged []Row) error {
		rec := BuildRecord(b, &table, merged)
		defer rec.Release()
		got = append(got, rowtest.ValuesOf(t, rec)...)
		return nil
	}); err != nil {
		t.Fatalf("Merge() = %v, want no error", err)
	}
	if diff := gocmp.Diff(rowtest.Format(rowtest.Sort(table, rows)), rowtest.Format(got)); diff != "" {
		t.Errorf("rows (-want +got):\n%.3000s", diff)
	}
	if err := s.RemoveRuns(); err != nil {
		t.Fatalf("RemoveRuns() = %v, want no error", err)
	}
	if left, err := dir.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("after RemoveRuns: %v, %v, want an empty directory", left, err)
	}
}

// TestKeep: a row that is kept has its values after the others were handed over, whether it was spilled or not.
func TestKeep(t *testing.T) {
	t.Parallel()
	table := schema.Table{Name: "t", Columns: []schema.Column{{Name: "n", Type: schema.Int64}, {Name: "s", Type: schema.String}}, Sort: []string{"n"}}
	dir, err := durable.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	s := New(&table, "t", NewSpace(dir, "."))
	const runs, rows = 6, 20 // each row makes a block
	text := func(n int64) string { return strings.Repeat(fmt.Sprintf("%09d", n), maxBatchBytes/9) }
	for run := range runs {
		var piece []rowtest.Values
		for i := range rows {
			n := int64(i*runs + run)
			piece = append(piece, rowtest.Values{n, text(n)})
		}
		rec := rowtest.NewRecord(t, table, piece)
		err := s.Add(rec)
		rec.Release()
		if err == nil && run < runs-1 {
			err = s.Spill(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var kept []Row
	handed := 0
	if err := s.Merge(t.Context(), func(merged []Row) error {
		if handed++; len(kept) < 2*yieldBatches {
			for _, r := range merged {
				r.Keep()
			}
			kept = append(kept, merged...)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if handed < 4 || len(kept) < 2*yieldBatches || len(kept) == runs*rows {
		t.Errorf("%d rows of %d were kept, in %d pieces: the test is wrong", len(kept), runs*rows, handed)
	}
	for i, r := range kept {
		n, own := r.View.Columns[0].Int64At(r.Index), string(r.View.Columns[1].TextAt(r.Index))
		if n != int64(i) || own != text(n) {
			t.Errorf("row %d that was kept is %d with %.20q", i, n, own)
		}
	}
}

// TestRunsInOrder: rows that are added in their order are written once, however many runs they fill; runs that
// overlap are merged.
func TestRunsInOrder(t *testing.T) {
	t.Parallel()
	const spills = 3*mergeFanIn + 5
	for _, tt := range []struct {
		name    string
		row     func(i int) int64
		written int64 // files
	}{
		{"in order", func(i int) int64 { return int64(i / 2) }, spills},
		{"the last one is early", func(i int) int64 { return int64(i % (spills - 1)) }, spills},
		{"in reverse order", func(i int) int64 { return int64(-i) }, spills + 3},
	} {
		table := schema.Credits
		s := New(&table, "credits", newSpace(t))
		var want []rowtest.Values
		for i := range spills {
			values := make(rowtest.Values, len(table.Columns))
			values[table.ColumnIndex("call_id")], values[table.ColumnIndex("row")], values[table.ColumnIndex("events")] = "c", tt.row(i), int64(i)
			want = append(want, values)
			rec := rowtest.NewRecord(t, table, []rowtest.Values{values})
			err := errors.Join(s.Add(rec), s.Spill(t.Context()))
			rec.Release()
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := s.space.runs.Load(); got != tt.written {
			t.Errorf("%s: %d files are written in %d spills, want %d", tt.name, got, spills, tt.written)
		}
		b := array.NewRecordBuilder(memory.DefaultAllocator, table.Arrow())
		defer b.Release()
		var got []rowtest.Values
		err := s.Merge(t.Context(), func(merged []Row) error {
			rec := BuildRecord(b, &table, merged)
			defer rec.Release()
			got = append(got, rowtest.ValuesOf(t, rec)...)
			return nil
		})
		if diff := gocmp.Diff(rowtest.Format(rowtest.Sort(table, want)), rowtest.Format(got)); err != nil || diff != "" {
			t.Errorf("%s: %v, rows (-want +got):\n%.3000s", tt.name, err, diff)
		}
		if err := s.RemoveRuns(); err != nil {
			t.Error(err)
		}
		if left, err := s.space.dir.ReadDir("."); err != nil || len(left) > 0 {
			t.Errorf("%s: after RemoveRuns: %v, %v, want an empty directory", tt.name, left, err)
		}
	}
}

// TestMergeFails: after an error nothing more is handed over, although the next rows are merged meanwhile.
func TestMergeFails(t *testing.T) {
	t.Parallel()
	table := schema.Credits
	s := New(&table, "credits", newSpace(t))
	rec := rowtest.NewRecord(t, table, rowtest.AwkwardRows(table, yieldRows, rand.New(rand.NewPCG(5, 6))))
	defer rec.Release()
	for range 4 {
		if err := errors.Join(s.Add(rec), s.Spill(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	full, calls := errors.New("no space"), 0
	err := s.Merge(t.Context(), func([]Row) error {
		if calls++; calls == 2 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || calls != 2 {
		t.Errorf("Merge = %v after %d calls, want the error of the second", err, calls)
	}
}
