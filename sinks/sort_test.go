package sinks

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/schema"
)

// newsRow is a row of the news table with the columns that matter here; note
// says when it came.
func newsRow(signal, entity, date, uid, raw any, note string) rowtest.Values {
	table := schema.EventTable(schema.CategoryNews)
	r := make(rowtest.Values, len(table.Columns))
	set := func(name string, v any) { r[table.ColumnIndex(name)] = v }
	set("signal_type", signal)
	set("entity_id", entity)
	set("event_date", date)
	set("event_uid", uid)
	set("raw", raw)
	set(schema.ContentDigest, raw)
	set("notes", note)
	return r
}

// dedupRows is the reference for dropping duplicates: of rows with one uid, the one of each content
// that was written first stays.
func dedupRows(table schema.Table, rows []rowtest.Values) []rowtest.Values {
	uid, digest := table.ColumnIndex("event_uid"), table.ColumnIndex(schema.ContentDigest)
	var kept []rowtest.Values
	for i, r := range rows {
		isSame := func(other rowtest.Values) bool { return other[uid] == r[uid] && other[digest] == r[digest] }
		if r[uid] == nil || r[digest] == nil || !slices.ContainsFunc(rows[:i], isSame) {
			kept = append(kept, r)
		}
	}
	return kept
}

// TestSorted writes random rows in random pieces with so little memory that
// they are spilled and merged, and compares with a sort in memory.
func TestSorted(t *testing.T) {
	t.Parallel()
	table := schema.EventTable(schema.CategoryNews)
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		oneOf := func(vs ...any) *rapid.Generator[any] { return rapid.SampledFrom(vs) }
		row := rapid.Custom(func(rt *rapid.T) rowtest.Values {
			return newsRow(
				oneOf(nil, "", "a", "a\x00", "ab", "b").Draw(rt, "signal"),
				oneOf(nil, "1", "10", "2").Draw(rt, "entity"),
				oneOf(nil, arrow.Date32(-1), arrow.Date32(0), arrow.Date32(20_000)).Draw(rt, "date"),
				oneOf(nil, "u1", "u2", "u3").Draw(rt, "uid"),
				oneOf(nil, "", "{}", "[]").Draw(rt, "raw"), "")
		})
		rows := rapid.SliceOfN(row, 1, 200).Draw(rt, "rows")
		for i := range rows {
			rows[i] = slices.Clone(rows[i])
			rows[i][table.ColumnIndex("notes")] = fmt.Sprint(i)
		}
		n++
		lake := filepath.Join(dir, fmt.Sprint(n))
		l := openLake(t, lake, Options{SortMemory: rapid.SampledFrom([]int64{1, 60_000, 1 << 20}).Draw(rt, "memory"), RowGroupRows: 50})
		for rest := rows; len(rest) > 0; {
			k := min(len(rest), rapid.IntRange(1, 7).Draw(rt, "piece"))
			writeRecord(t, l, partitionOf(table, "unknown"), rowtest.NewRecord(t, table, rest[:k]))
			rest = rest[k:]
		}
		m := stageAndPublish(t, l)
		if err := l.Close(); err != nil {
			rt.Fatalf("Close() = %v, want no error", err)
		}
		want := rowtest.Sort(table, dedupRows(table, rows))
		_, got := readArrow(t, filepath.Join(lake, m.Files[0].Path))
		if diff := gocmp.Diff(rowtest.Format(want), rowtest.Format(got)); diff != "" {
			rt.Fatalf("rows (-want +got):\n%.3000s", diff)
		}
		if dropped := int64(len(rows) - len(want)); m.Files[0].Duplicate != dropped {
			rt.Fatalf("Duplicate = %d, want %d", m.Files[0].Duplicate, dropped)
		}
	})
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	table := schema.EventTable(schema.CategoryNews)
	day := arrow.Date32(20_000)
	rows := []rowtest.Values{
		newsRow("n", "1", day, "u1", "x", "0 first"),
		newsRow("n", "1", day, "u1", "x", "1 again"),
		newsRow("n", "1", day, "u1", "y", "2 other content"),
		newsRow("n", "1", day, "u1", "x", "3 again, not next to the first"),
		newsRow("n", "2", day, "u2", nil, "4 no digest"),
		newsRow("n", "2", day, "u2", nil, "5 no digest, nothing to compare"),
		newsRow("n", "2", day, "u2", "", "6 empty is content"),
		newsRow("n", "3", day, nil, "x", "7 no id"),
		newsRow("n", "3", day, nil, "x", "8 no id, nothing to compare"),
		newsRow("n", "4", day, "", "x", "9 empty id"),
		newsRow("n", "5", day, "", "x", "10 again, of another entity"),
	}
	for name, memory := range map[string]int64{"in memory": 0, "spilled": 1} {
		t.Run(name, func(t *testing.T) {
			lake := t.TempDir()
			l := openLake(t, lake, Options{SortMemory: memory})
			for i := range rows {
				writeRecord(t, l, partitionOf(table, "2026-03"), rowtest.NewRecord(t, table, rows[i:i+1]))
			}
			m := stageAndPublish(t, l)
			_, got := readArrow(t, filepath.Join(lake, m.Files[0].Path))
			var notes []string
			for _, r := range got {
				number, _, _ := strings.Cut(r[table.ColumnIndex("notes")].(string), " ")
				notes = append(notes, number)
			}
			if diff := gocmp.Diff([]string{"0", "2", "4", "5", "6", "7", "8", "9"}, notes); diff != "" {
				t.Errorf("rows that stay (-want +got):\n%s", diff)
			}
			if m.Files[0].Duplicate != 3 || m.Files[0].Rows != 8 {
				t.Errorf("File = %+v, want 8 rows and 3 duplicates", m.Files[0])
			}
		})
	}
}

// TestSmallRecords writes row by row: what the lake counts as its memory is what its
// partition keeps.
func TestSmallRecords(t *testing.T) {
	t.Parallel()
	table := schema.EventTable(schema.CategoryNews)
	l := openLake(t, t.TempDir(), Options{})
	var want []rowtest.Values
	for i := range 3000 {
		r := newsRow("n", fmt.Sprint(i%7), nil, fmt.Sprint(i), "x", fmt.Sprint(i))
		want = append(want, r)
		writeRecord(t, l, partitionOf(table, "2026-03"), rowtest.NewRecord(t, table, []rowtest.Values{r}))
	}
	if kept := l.partitions["news/event_month=2026-03"].Memory(); l.memory() <= kept || kept == 0 {
		t.Errorf("memory = %d, want more than the %d of the partition", l.memory(), kept)
	}
	m := stageAndPublish(t, l)
	_, got := readArrow(t, l.dir.AbsPath(m.Files[0].Path))
	if diff := gocmp.Diff(rowtest.Format(rowtest.Sort(table, want)), rowtest.Format(got)); diff != "" {
		t.Errorf("rows (-want +got):\n%.3000s", diff)
	}
	if kept := l.memory(); kept != 0 {
		t.Errorf("memory after Stage = %d, want 0", kept)
	}
}

// TestSlices writes windows on one large record.
func TestSlices(t *testing.T) {
	t.Parallel()
	for _, table := range []schema.Table{schema.EventTable(schema.CategoryGrowth), schema.EventTable(schema.CategoryNews), schema.Calls} {
		rows := rowtest.AwkwardRows(table, 200, rand.New(rand.NewPCG(5, 6)))
		if i := table.ColumnIndex(table.Unique); i >= 0 {
			for _, r := range rows {
				r[i] = nil
			}
		}
		for _, memory := range []int64{0, 1} {
			all := rowtest.NewRecord(t, table, rows)
			l := openLake(t, t.TempDir(), Options{SortMemory: memory})
			for at := int64(0); at < 200; at += 50 {
				writeRecord(t, l, partitionOf(table, "2026-03"), all.NewSlice(at, at+50))
			}
			all.Release()
			m := stageAndPublish(t, l)
			_, got := readArrow(t, l.dir.AbsPath(m.Files[0].Path))
			if diff := gocmp.Diff(rowtest.Format(rowtest.Sort(table, rows)), rowtest.Format(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%.3000s", table.Name, diff)
			}
		}
	}
}
