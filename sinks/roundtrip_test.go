package sinks

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/extsort/rowtest"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, table := range rowtest.AllTables() {
		t.Run(table.Name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			rows := rowtest.AwkwardRows(table, 500, rng)
			if i := table.ColumnIndex(table.Unique); i >= 0 {
				for _, r := range rows {
					r[i] = nil // nothing is a duplicate
				}
			}
			lake := t.TempDir()
			l := openLake(t, lake, Options{RowGroupRows: 128})
			writeRecord(t, l, partitionOf(table, "2026-03"), rowtest.NewRecord(t, table, rows[:1]))
			writeRecord(t, l, partitionOf(table, "2026-03"), rowtest.NewRecord(t, table, rows[1:]))
			m := stageAndPublish(t, l)
			if len(m.Files) != 1 || m.Files[0].Rows != 500 || m.Files[0].RowGroups != 4 || m.Files[0].Duplicate != 0 {
				t.Fatalf("Files = %+v, want one of 500 rows in 4 row groups, none a duplicate", m.Files)
			}
			want := rowtest.Format(rowtest.Sort(table, rows))
			path := filepath.Join(lake, m.Files[0].Path)
			s, got := readArrow(t, path)
			if diff := gocmp.Diff(want, rowtest.Format(got)); diff != "" {
				t.Errorf("Arrow's reader (-want +got):\n%.2000s", diff)
			}
			for i, f := range table.Arrow().Fields() {
				g := s.Field(i)
				if g.Name != f.Name || !arrow.TypeEqual(g.Type, f.Type) || !g.Nullable {
					t.Errorf("Arrow's field %d = %s, want %s", i, g, f)
				}
			}
			if diff := gocmp.Diff(want, rowtest.Format(readParquetGo(t, path, table))); diff != "" {
				t.Errorf("parquet-go's reader (-want +got):\n%.2000s", diff)
			}
		})
	}
}
