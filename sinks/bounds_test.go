package sinks

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/schema"
)

// TestLongTextsKeepFootersShort writes texts of 20 MiB into every kind of text column. The
// footer and the page index, which readers load first, stay as small as they are without.
func TestLongTextsKeepFootersShort(t *testing.T) {
	t.Parallel()
	table := schema.EventTable(schema.CategoryNews)
	var rows []rowtest.Values
	for i := range 6 {
		long := strings.Repeat(string(rune('a'+i))+"\u00e9", proof.Size(256<<10, 7<<20, 7<<20))
		row := newsRow("signal", fmt.Sprint(i), nil, fmt.Sprintf("%032d", i), long, long)
		row[table.ColumnIndex("event_summary")] = long // plain
		row[table.ColumnIndex("event_type")] = long    // dictionary
		rows = append(rows, row)
	}
	l := openLake(t, t.TempDir(), Options{RowGroupRows: 2})
	for _, row := range rows {
		writeRecord(t, l, partitionOf(table, "2026-03"), rowtest.NewRecord(t, table, []rowtest.Values{row}))
	}
	files := stageAndPublish(t, l).Files
	if len(files) != 1 {
		t.Fatalf("files = %+v, want one", files)
	}
	r, size := openFile(t, l.dir.AbsPath(files[0].Path))
	f, err := parquet.OpenFile(r, size)
	if err != nil {
		t.Fatal(err)
	}
	tail := make([]byte, 8)
	if _, err := r.ReadAt(tail, size-8); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if n := int(tail[0]) | int(tail[1])<<8 | int(tail[2])<<16 | int(tail[3])<<24; n > 64<<10 {
		t.Errorf("the footer takes %d bytes, want at most 64 KiB", n)
	}
	md := f.Metadata()
	for g, group := range md.RowGroups {
		for i, c := range group.Columns {
			if table.Columns[i].Type != schema.String {
				continue
			}
			checkBounds(t, rows[2*g:2*g+2], table.Columns[i].Name, i, c.MetaData.Statistics, f.ColumnIndexes()[g*len(table.Columns)+i])
		}
	}
}

// checkBounds checks that the bounds of a column chunk and those of its pages are short
// texts between which the values lie.
func checkBounds(t *testing.T, rows []rowtest.Values, name string, column int, chunk format.Statistics, pages format.ColumnIndex) {
	t.Helper()
	lows, highs := append(slices.Clone(pages.MinValues), chunk.MinValue), append(slices.Clone(pages.MaxValues), chunk.MaxValue)
	for i := range lows {
		if i < len(pages.NullPages) && pages.NullPages[i] {
			continue
		}
		if len(lows[i]) > maxBound || len(highs[i]) > maxBound || !utf8.Valid(lows[i]) || !utf8.Valid(highs[i]) {
			t.Errorf("column %s: bounds of %d and %d bytes, want short texts", name, len(lows[i]), len(highs[i]))
		}
	}
	for _, row := range rows {
		if s, ok := row[column].(string); ok && (s < string(chunk.MinValue) || s > string(chunk.MaxValue)) {
			t.Errorf("column %s: a value lies outside of %q to %q", name, chunk.MinValue, chunk.MaxValue)
		}
	}
}

func TestShortBounds(t *testing.T) {
	t.Parallel()
	last := string(utf8.MaxRune)
	for _, tt := range []struct{ text, low, high string }{
		{"abcdefgh!", "abcdefgh", "abcdefgi"},
		{"abcdefg\u00e9", "abcdefg", "abcdefh"},        // a character across the limit
		{"abcdef\u07ff!", "abcdef\u07ff", "abcdeg"},    // the next one takes a byte more
		{"abcde\ud7ff!", "abcde\ud7ff", "abcde\ue000"}, // surrogates are skipped
		{"abcd" + last + "!", "abcd" + last, "abce"},   // the last character
		{last + last + "!", last + last, "\xff\xff\xff\xff\xff\xff\xff\xff"},
		{"abcdefg\xff\xff", "abcdefg\xff", "abcdefh"}, // not UTF-8
	} {
		low, high := cutText([]byte(tt.text), 8), upperBound([]byte(tt.text), 8)
		if string(low) != tt.low || string(high) != tt.high {
			t.Errorf("bounds of %q = %q and %q, want %q and %q", tt.text, low, high, tt.low, tt.high)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "\x7f", "\u00e9", "\u07ff", "\ud7ff", "\uffff", "\U0010ffff", "\xff", "\x80", "\x00"}
	for range 100_000 {
		var s []byte
		for len(s) <= 8 {
			s = append(s, alphabet[rng.IntN(len(alphabet))]...)
		}
		if low := cutText(s, 8); bytes.Compare(low, s) > 0 || len(low) > 8 {
			t.Fatalf("lower bound of %q = %q", s, low)
		}
		if high := upperBound(s, 8); bytes.Compare(high, s) < 0 || len(high) > 8 && !bytes.Equal(high, s) {
			t.Fatalf("upper bound of %q = %q", s, high)
		}
	}
}

// TestIntegerEncodings: integers are written such that every reader reads them, unless an
// option allows deltas.
func TestIntegerEncodings(t *testing.T) {
	t.Parallel()
	table := schema.Accounts
	var rows []rowtest.Values
	for i := range 2000 {
		row := make(rowtest.Values, len(table.Columns))
		row[table.ColumnIndex("row")], row[table.ColumnIndex("events")] = int64(i), int64(i%3)
		rows = append(rows, row)
	}
	sizes := map[bool]int64{}
	for _, delta := range []bool{false, true} {
		l := openLake(t, t.TempDir(), Options{DeltaIntegers: delta})
		writeRecord(t, l, schema.Partition{Table: table.Name}, rowtest.NewRecord(t, table, rows))
		file := stageAndPublish(t, l).Files[0]
		r, size := openFile(t, l.dir.AbsPath(file.Path))
		f, err := parquet.OpenFile(r, size)
		if err != nil {
			t.Fatal(err)
		}
		sizes[delta] = size
		for i, c := range f.Metadata().RowGroups[0].Columns {
			hasDelta := slices.Contains(c.MetaData.Encoding, format.DeltaBinaryPacked)
			if want := delta && table.Columns[i].Rare && table.Columns[i].Type == schema.Int64; hasDelta != want {
				t.Errorf("DeltaIntegers %v: column %s: delta %v, want %v", delta, table.Columns[i].Name, hasDelta, want)
			}
		}
		_, got := readArrow(t, l.dir.AbsPath(file.Path))
		if diff := slices.CompareFunc(rowtest.Format(got), rowtest.Format(rows), strings.Compare); diff != 0 {
			t.Errorf("DeltaIntegers %v: other rows were read than written", delta)
		}
	}
	if sizes[true] >= sizes[false] {
		t.Errorf("%d bytes with deltas, %d without, want fewer", sizes[true], sizes[false])
	}
}
