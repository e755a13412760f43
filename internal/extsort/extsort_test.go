package extsort

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/schema"
)

// TestSortKeys compares every two awkward values of every type, as keys and by
// the reference order, alone and with another column behind them.
func TestSortKeys(t *testing.T) {
	for typ, all := range rowtest.Awkward {
		table := schema.Table{Name: "t", Columns: []schema.Column{{Name: "a", Type: typ}, {Name: "b", Type: schema.Int64}}, Sort: []string{"a", "b"}}
		var rows []rowtest.Values
		for _, v := range all {
			if v != v { // NaN has no place in the reference order
				continue
			}
			rows = append(rows, rowtest.Values{v, int64(1)}, rowtest.Values{v, int64(-1)}, rowtest.Values{v, nil})
		}
		view := NewRecordView(&table, rowtest.NewRecord(t, table, rows))
		order := sortOrder(&table)
		for i := range rows {
			for j := range rows {
				want := rowtest.Compare(rows[i][0], rows[j][0])
				if want == 0 && fmt.Sprint(rows[i][0]) == fmt.Sprint(rows[j][0]) {
					want = rowtest.Compare(rows[i][1], rows[j][1])
				} else if want == 0 {
					continue // 0 and -0: equal, but kept apart
				}
				got := bytes.Compare(appendKey(nil, order, view.Row(int32(i))), appendKey(nil, order, view.Row(int32(j))))
				if got != want {
					t.Errorf("keys of %s %.20q %v and %.20q %v compare as %d, want %d", typ, rows[i][0], rows[i][1], rows[j][0], rows[j][1], got, want)
				}
			}
		}
	}
}

// TestJoinSmall adds row by row: the records are joined, and the memory that is
// counted is that of what is kept.
func TestJoinSmall(t *testing.T) {
	table := schema.EventTable(schema.CategoryNews)
	s := New(&table, "news", nil)
	for i := range 3000 {
		r := make(rowtest.Values, len(table.Columns))
		r[table.ColumnIndex("event_uid")] = fmt.Sprint(i)
		rec := rowtest.NewRecord(t, table, []rowtest.Values{r})
		err := s.Add(rec)
		rec.Release()
		if err != nil {
			t.Fatalf("Add() = %v, want no error", err)
		}
	}
	if len(s.records) > 3+joinThreshold {
		t.Errorf("%d records are kept, want at most %d", len(s.records), 3+joinThreshold)
	}
	sum := int64(0)
	for _, rec := range s.records {
		sum += recordMemory(rec) + sortMemoryPerRow*rec.NumRows()
	}
	if s.Memory() != sum {
		t.Errorf("Memory() = %d, want %d", s.Memory(), sum)
	}
	s.Release()
	if s.Memory() != 0 {
		t.Errorf("Memory() after Release = %d, want 0", s.Memory())
	}
}
