package columns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
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

// TestRecordsAgreeWithBuilders: what Arrow's own builders make of the same values, row by row, whatever
// rows come in which chunk, and whenever chunks are released.
func TestRecordsAgreeWithBuilders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var got []arrow.Record
		w := NewWriter(func(_ context.Context, _ schema.Partition, rec arrow.Record) error {
			rec.Retain()
			got = append(got, rec)
			return nil
		}, 1)
		p := Place{Table: &sample, Partition: schema.Partition{Table: "sample"}}
		for range rapid.IntRange(1, 3).Draw(t, "flushes") {
			got = nil
			want := array.NewRecordBuilder(memory.DefaultAllocator, sample.Arrow())
			chunk := NewChunk()
			hand := func() {
				if err := w.Add(t.Context(), chunk); err != nil {
					t.Fatal(err)
				}
				chunk = NewChunk()
			}
			nulls := rapid.IntRange(0, 10).Draw(t, "nulls")
			for range rapid.IntRange(1, 150).Draw(t, "rows") {
				values := drawValues(t, nulls, want)
				switch rapid.IntRange(0, 12).Draw(t, "event") {
				case 0:
					hand()
				case 1:
					hand()
					if err := w.releaseChunks(t.Context()); err != nil {
						t.Fatal(err)
					}
				case 2, 3:
					hand()
					if err := w.AddValues(t.Context(), &sample, values); err != nil {
						t.Fatal(err)
					}
					continue
				}
				addTo(t, chunk, values)
				chunk.EndRow(&p)
			}
			hand()
			if err := w.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			compareRecords(t, got, want.NewRecord())
			if w.held != 0 || w.own != 0 || len(w.chunks) != 0 || len(w.open) != 0 {
				t.Fatalf("after a flush %d bytes are held in %d chunks, %d of its own, in %d partitions", w.held, len(w.chunks), w.own, len(w.open))
			}
		}
	})
}

// drawValues draws the values of a row and adds them to builders.
func drawValues(t *rapid.T, nulls int, want *array.RecordBuilder) []Value {
	values := make([]Value, len(sample.Columns))
	for i := range sample.Columns[:6] {
		if rapid.IntRange(0, 9).Draw(t, "null") < nulls {
			want.Field(i).AppendNull()
			continue
		}
		text, n := rapid.SampledFrom([]string{"", "a", "é", strings.Repeat("long", 20)}).Draw(t, "text"), rapid.Int64().Draw(t, "n")
		values[i] = Value{Set: true, Text: text, N: appendTo(want.Field(i), text, n)}
	}
	want.Field(6).AppendNull()
	want.Field(7).AppendNull()
	return values
}

// addTo begins a row of a chunk, with some of its cells in a shared list, and some texts in a record.
func addTo(t *rapid.T, c *Chunk, values []Value) {
	sharedUpTo := rapid.IntRange(0, len(values)).Draw(t, "shared")
	var record []byte
	if rapid.Bool().Draw(t, "texts in a record") {
		record = []byte("the record: ")
		for i := range values {
			record = append(record, values[i].Text...)
		}
		record = append(record, '.')
	}
	add := func(i int) {
		v := &values[i]
		if !v.Set {
			return
		}
		if sample.Columns[i].Type != schema.String {
			c.AddInt(i, v.N)
			return
		}
		if at := strings.Index(string(record), v.Text); at >= 0 {
			c.AddText(i, record[at:at+len(v.Text)])
			return
		}
		c.AddString(i, v.Text)
	}
	c.BeginShared()
	for i := range values[:sharedUpTo] {
		add(i)
	}
	list := c.EndShared()
	c.BeginRow(record, list)
	for i := sharedUpTo; i < len(values); i++ {
		if rapid.IntRange(0, 9).Draw(t, "drop") == 0 { // the cell is replaced
			c.AddText(i, []byte("dropped"))
			c.Drop(c.Len() - 1)
		}
		add(i)
	}
	if rapid.IntRange(0, 9).Draw(t, "replace") == 0 {
		c.ReplaceTexts(bytes.Clone)
	}
}

// compareRecords fails unless the records together have the rows of another one.
func compareRecords(t *rapid.T, got []arrow.Record, want arrow.Record) {
	from := int64(0)
	for _, rec := range got {
		part := want.NewSlice(from, from+rec.NumRows())
		if from += rec.NumRows(); !array.RecordEqual(part, rec) {
			t.Fatalf("record = %v, want %v", rec, part)
		}
		for i, a := range rec.Columns() {
			if a.NullN() != part.Column(i).NullN() {
				t.Fatalf("column %d has %d nulls, want %d", i, a.NullN(), part.Column(i).NullN())
			}
		}
	}
	if from != want.NumRows() {
		t.Fatalf("%d rows, want %d", from, want.NumRows())
	}
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

// growthOf is a place of the growth table by day.
func growthOf(day string) *Place {
	return &Place{Table: &schema.EventTables[1], Partition: schema.Partition{Table: "growth", Key: schema.ByDay, Value: day}}
}

// oneRow is a chunk with one row.
func oneRow(day, text string) *Chunk {
	c := NewChunk()
	c.BeginRow([]byte(text), 0)
	c.AddText(0, c.record)
	c.EndRow(growthOf(day))
	return c
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
		if err := w.Add(t.Context(), oneRow(fmt.Sprintf("2026-02-%02d", day), text)); err != nil {
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
		if len(names) != 28 || names[0] != "growth/event_day=2026-02-01" || names[27] != "growth/event_day=2026-02-28" || w.held != 0 || len(w.open) != 0 || len(w.spare["growth"]) != 28 {
			t.Errorf("%d records, %v, %d bytes, %d open, %d spare", len(names), names, w.held, len(w.open), len(w.spare["growth"]))
		}
		names = nil
	}
	rows, names = 0, nil
	for range 3*MaxRows + 1 {
		add(2, "")
	}
	if len(names) != 3 || rows != 3*MaxRows {
		t.Errorf("%d records with %d rows", len(names), rows)
	}
}

// TestReleasedChunks: large rows are passed on when they and their records take too much; few of a
// partition are copied and wait for others, unless the copies of all partitions take too much.
func TestReleasedChunks(t *testing.T) {
	t.Parallel()
	var records, rows int
	w := NewWriter(func(_ context.Context, _ schema.Partition, rec arrow.Record) error {
		records, rows = records+1, rows+int(rec.NumRows())
		return nil
	}, schema.Version)
	add := func(day int, text string) {
		if err := w.Add(t.Context(), oneRow(fmt.Sprint(day), text)); err != nil {
			t.Fatal(err)
		}
		reserved, own := 0, 0
		for _, r := range w.open {
			reserved, own = reserved+r.own.capacity(), own+r.own.Memory()
		}
		for _, list := range w.spare {
			for _, r := range list {
				reserved += r.own.capacity()
			}
		}
		if w.own != own || w.reserved != reserved || w.held > MaxBytes || own > maxOwn+2<<20 || reserved > maxReserved+2*maxOwn {
			t.Fatalf("%d bytes in chunks, %d of %d and %d of %d elsewhere, at most %d, %d and %d", w.held, w.own, own, w.reserved, reserved, MaxBytes, maxOwn, maxReserved)
		}
	}
	large := strings.Repeat("x", 1<<18)
	for i := range 400 {
		add(i%80, large)
	}
	if rows < 300 || rows > 400 || records > rows-20 {
		t.Errorf("of 400 large rows of 80 partitions %d were passed on in %d records", rows, records)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, rows = 0, 0
	for i := range 4 * MaxBytes >> 18 {
		for day := range 20 { // few small rows next to the large ones
			if i%10 == 0 {
				add(day, "small")
			}
		}
		add(99, large)
	}
	if records < 4 || records > 16 || rows < 3*MaxBytes>>18 || w.open[growthOf("1").Partition].count != (4*MaxBytes>>18+9)/10 {
		t.Errorf("%d records with %d rows, and %d rows wait for others", records, rows, w.open[growthOf("1").Partition].count)
	}
}

// TestFit: small chunks take little memory, whatever chunks had their buffers before, and have the same rows.
func TestFit(t *testing.T) {
	t.Parallel()
	place := growthOf("2026-02-01")
	for n := range 100 {
		c := NewChunk()
		c.Pin(7)
		for i := range []int{1000, 3}[min(n%10, 1)] {
			c.BeginRow([]byte("record"), 0)
			c.AddInt(2, int64(i))
			c.AddText(1, c.record[:3])
			c.AddString(0, "text")
			c.EndRow(place)
		}
		rows, records := c.Rows(), c.records
		c = c.Fit()
		if c.capacity() > 2*c.Memory()+1<<10 || c.Rows() != rows || c.records != records {
			t.Fatalf("%d bytes for %d of %d rows, which take %d; %d bytes of records, want %d", c.capacity(), c.Rows(), rows, c.Memory(), c.records, records)
		}
		for i := range rows {
			want := map[int]Value{0: Text("text"), 1: Text("rec"), 2: Int(int64(i))}
			if got := maps.Collect(c.Values(i)); !maps.Equal(got, want) || c.Place(i) != place {
				t.Fatalf("row %d: %v of %v", i, got, c.Place(i))
			}
		}
		c.Release()
	}
}

// TestLargeChunk: a chunk may have more rows than a record, and rows may share more text than a record has
// room for, in their record or in a list of cells. All go to the sink in their order.
func TestLargeChunk(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name             string
		rows             int
		record, list     string
		records, inFirst int
	}{
		{"many rows", 2*MaxRows + 1, "", "", 3, MaxRows},
		{"large record", 100, strings.Repeat("x", MaxBytes/8), "", 12, 9},
		{"large list", 100, "", strings.Repeat("x", MaxBytes/8), 12, 9},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []int64
			records, inFirst := 0, 0
			w := NewWriter(func(_ context.Context, p schema.Partition, rec arrow.Record) error {
				if p.Value != "2026-02-01" {
					return nil
				}
				if records++; records == 1 {
					inFirst = int(rec.NumRows())
				}
				at := rec.Schema().FieldIndices("revision")[0]
				for i := range int(rec.NumRows()) {
					got = append(got, rec.Column(at).(*array.Int64).Value(i))
				}
				return nil
			}, schema.Version)
			table, place := &schema.EventTables[1], growthOf("2026-02-01")
			c := NewChunk()
			c.BeginShared()
			c.AddString(table.ColumnIndex("run_id"), test.list)
			list := c.EndShared()
			record := []byte(test.record)
			for i := range test.rows {
				c.BeginRow(record, list)
				c.AddText(table.ColumnIndex("raw"), record)
				c.AddInt(table.ColumnIndex("revision"), int64(i))
				c.EndRow(place)
			}
			err := w.Add(t.Context(), oneRow("2026-02-02", "before"))
			if err = errors.Join(err, w.Add(t.Context(), c), w.Flush(t.Context())); err != nil {
				t.Fatal(err)
			}
			if records != test.records || inFirst != test.inFirst || len(got) != test.rows {
				t.Fatalf("%d rows in %d records, the first with %d rows, want %d in %d with %d", len(got), records, inFirst, test.rows, test.records, test.inFirst)
			}
			for i, n := range got {
				if n != int64(i) {
					t.Fatalf("row %d is %d", i, n)
				}
			}
		})
	}
}
