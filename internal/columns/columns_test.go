package columns

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"pgregory.net/rapid"

	"github.com/siglake/siglake/schema"
)

// sample is a table with a column of each type.
var sample = schema.Table{Name: "sample", Version: 1, Columns: []schema.Column{
	{Name: "s", Type: schema.String}, {Name: "i", Type: schema.Int64}, {Name: "d", Type: schema.Double}, {Name: "b", Type: schema.Bool},
	{Name: "day", Type: schema.Date}, {Name: "t", Type: schema.Time}, {Name: "empty", Type: schema.String}, {Name: "none", Type: schema.Bool},
}}

// TestRecordsAgreeWithBuilders: what Arrow's own builders make of the same values, row by row.
func TestRecordsAgreeWithBuilders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var got []arrow.Record
		w := NewWriter(func(_ context.Context, _ schema.Partition, rec arrow.Record) error {
			rec.Retain()
			got = append(got, rec)
			return nil
		}, 1)
		p := schema.Partition{Table: "sample"}
		for range rapid.IntRange(1, 3).Draw(t, "records") {
			want := array.NewRecordBuilder(memory.DefaultAllocator, sample.Arrow())
			nulls := rapid.IntRange(0, 10).Draw(t, "nulls")
			for range rapid.IntRange(1, 70).Draw(t, "rows") {
				var row Row
				values := make([]Value, len(sample.Columns))
				for i := range sample.Columns[:6] {
					if rapid.IntRange(0, 9).Draw(t, "null") < nulls {
						want.Field(i).AppendNull()
						continue
					}
					text, n := rapid.SampledFrom([]string{"", "a", "é", strings.Repeat("long", 20)}).Draw(t, "text"), rapid.Int64().Draw(t, "n")
					n = appendTo(want.Field(i), text, n)
					if rapid.IntRange(0, 9).Draw(t, "drop") == 0 { // the cell is replaced
						row.AddText(i, []byte("dropped"))
						row.Drop(row.Len() - 1)
					}
					if sample.Columns[i].Type == schema.String {
						row.AddText(i, []byte(text))
					} else {
						row.AddInt(i, n)
					}
					values[i] = Value{Set: true, Text: text, N: n}
				}
				want.Field(6).AppendNull()
				want.Field(7).AppendNull()
				var err error
				if rapid.Bool().Draw(t, "whole") {
					err = w.AddValues(t.Context(), &sample, values)
				} else {
					err = w.Add(t.Context(), &sample, &p, &row)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			rec, last := want.NewRecord(), got[len(got)-1]
			if !array.RecordEqual(rec, last) {
				t.Fatalf("record = %v, want %v", last, rec)
			}
			for i, a := range last.Columns() {
				if a.NullN() != rec.Column(i).NullN() {
					t.Fatalf("column %d has %d nulls, want %d", i, a.NullN(), rec.Column(i).NullN())
				}
			}
		}
	})
}

// appendTo adds a value to a builder, and returns the number as a cell has it.
func appendTo(b array.Builder, text string, n int64) int64 {
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(text)
		return 0
	case *array.Int64Builder:
		b.Append(n)
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(n))
	case *array.Float64Builder:
		b.Append(float64(n))
		return Double(float64(n)).N
	case *array.BooleanBuilder:
		b.Append(n&1 == 1)
		return n & 1
	case *array.Date32Builder:
		b.Append(arrow.Date32(n))
		return int64(arrow.Date32(n))
	}
	return n
}

// TestFlush: rows go to the sink in the order of their partitions, in records of a bounded size, and the
// columns of partitions that may not occur again are used for others.
func TestFlush(t *testing.T) {
	t.Parallel()
	var names []string
	var rows int64
	w := NewWriter(func(_ context.Context, p schema.Partition, rec arrow.Record) error {
		names = append(names, p.String())
		if rows += rec.NumRows(); rec.NumRows() > MaxRows {
			t.Errorf("a record of %d rows", rec.NumRows())
		}
		return nil
	}, schema.Version)
	add := func(day int, text string) {
		p := schema.Partition{Table: "growth", Key: schema.ByDay, Value: fmt.Sprintf("2026-02-%02d", day)}
		var row Row
		row.AddString(0, text)
		if err := w.Add(t.Context(), &schema.EventTables[1], &p, &row); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for day := 28; day > 0; day-- {
			add(day, "x")
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(names) != 28 || names[0] != "growth/event_day=2026-02-01" || names[27] != "growth/event_day=2026-02-28" || w.bytes != 0 || len(w.open) != 0 || len(w.spare["growth"]) != 28 {
			t.Errorf("%d records, %v, %d bytes, %d open, %d spare", len(names), names, w.bytes, len(w.open), len(w.spare["growth"]))
		}
		names = nil
	}
	for range 40 {
		add(1, strings.Repeat("x", 1<<20))
	}
	if n := MaxBytes>>20 + 1; len(names) != 40/n || rows != int64(2*28+40/n*n) {
		t.Errorf("%d records with %d rows of large texts", len(names), rows)
	}
	rows, names = 0, nil
	for range 3 * MaxRows {
		add(2, "")
	}
	if len(names) != 3 || rows != 3*MaxRows {
		t.Errorf("%d records with %d rows", len(names), rows)
	}
}

// TestReserved: partitions that were large one after the other do not keep the memory of all.
func TestReserved(t *testing.T) {
	t.Parallel()
	w := NewWriter(func(context.Context, schema.Partition, arrow.Record) error { return nil }, schema.Version)
	var small, large Row
	small.AddString(0, "x")
	large.AddString(0, strings.Repeat("x", 1<<18))
	add := func(partition int, row *Row) {
		p := schema.Partition{Table: "growth", Key: schema.ByDay, Value: fmt.Sprint(partition)}
		if err := w.Add(t.Context(), &schema.EventTables[1], &p, row); err != nil {
			t.Fatal(err)
		}
	}
	const partitions = 12
	for i := range partitions {
		add(i, &small)
	}
	for i := range partitions {
		for range MaxBytes >> 18 {
			add(i, &large)
		}
	}
	sum := 0
	for _, r := range w.open {
		sum += r.capacity()
	}
	for _, list := range w.spare {
		for _, r := range list {
			sum += r.capacity()
		}
	}
	if sum != w.reserved || sum > maxReserved+2*MaxBytes {
		t.Errorf("%d bytes of buffers, %d by the account, want at most %d", sum, w.reserved, maxReserved+2*MaxBytes)
	}
}
