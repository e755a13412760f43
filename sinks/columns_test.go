package sinks

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/schema"
)

// TestReadColumns: the chosen columns have the rows of the file, in the chosen order and over several
// row groups, and columns of later versions are null.
func TestReadColumns(t *testing.T) {
	t.Parallel()
	table := schema.EventTable(schema.CategoryNews)
	names := []string{"event_uid", "signal_type", "event_date", "revision"}
	for _, version := range []int{schema.OldestVersion, schema.Version} {
		written := table.AsOf(version)
		l := openLake(t, t.TempDir(), Options{RowGroupRows: 1500, SchemaVersion: version})
		var rows []rowtest.Values
		for i := range 2500 {
			rows = append(rows, newsRow("s", "1", nil, strings.Repeat("0", 12)+string(rune('a'+i%26))+strings.Repeat("x", i/26), "{}", "k")[:len(written.Columns)])
		}
		writeRecord(t, l, partitionOf(written, "2026-03"), rowtest.NewRecord(t, written, rows))
		m := stageAndPublish(t, l)
		look, err := Inspect(t.Context(), l.dir.AbsPath("."), Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := look.ReadSnapshot(t.Context(), 0)
		if err != nil || len(s.Files) != 1 {
			t.Fatalf("version %d: %d files, %v", version, len(s.Files), err)
		}
		var got, want []rowtest.Values
		for _, row := range readParquetGo(t, l.dir.AbsPath(m.Files[0].Path), written) {
			chosen := rowtest.Values{}
			for _, name := range names {
				if at := table.ColumnIndex(name); at < len(row) {
					chosen = append(chosen, row[at])
				} else {
					chosen = append(chosen, nil)
				}
			}
			want = append(want, chosen)
		}
		err = look.ReadColumns(t.Context(), s.Files[0], names, func(rec arrow.Record) error {
			got = append(got, rowtest.ValuesOf(t, rec)...)
			return nil
		})
		if diff := gocmp.Diff(want, got); diff != "" || err != nil || len(got) != 2500 {
			t.Errorf("version %d: %d rows, %v (-file +columns):\n%.2000s", version, len(got), err, diff)
		}
		checkUnreadable(t, look, s.Files[0])
	}
}

// sizedFile is a file whose size is known.
type sizedFile struct {
	*os.File
	size int64
}

func (f sizedFile) Size() int64 { return f.size }

// TestReadColumnsByName: in a file without a column in the middle of the table, the others are found, and it is null.
func TestReadColumnsByName(t *testing.T) {
	t.Parallel()
	table := schema.EventTable(schema.CategoryNews)
	earlier := table
	earlier.Columns = slices.Delete(slices.Clone(table.Columns), 4, 5)
	rows := rowtest.AwkwardRows(earlier, 50, rand.New(rand.NewPCG(3, 4)))
	f, size := openFile(t, encodeFile(t, earlier, rows, unchanged))
	names := []string{table.Columns[3].Name, table.Columns[4].Name, table.Columns[5].Name, "raw"}
	var got, want []rowtest.Values
	for _, row := range rows {
		want = append(want, rowtest.Values{row[3], nil, row[4], row[earlier.ColumnIndex("raw")]})
	}
	err := readColumns(t.Context(), &trackedObject{object: sizedFile{f, size}}, &table, names, func(rec arrow.Record) error {
		got = append(got, rowtest.ValuesOf(t, rec)...)
		return nil
	})
	if diff := gocmp.Diff(rowtest.Format(want), rowtest.Format(got)); diff != "" || err != nil {
		t.Errorf("readColumns() = %v (-want +got):\n%.2000s", err, diff)
	}
}

// checkUnreadable makes sure that what cannot be read is an error that names the file.
func checkUnreadable(t *testing.T, look *Inspector, f DataFile) {
	t.Helper()
	none := func(arrow.Record) error { return nil }
	if err := look.ReadColumns(t.Context(), f, []string{"colour"}, none); err == nil || errors.Is(err, ErrIntegrity) {
		t.Error("a column that the table does not have is no error, or damage")
	}
	missing := f
	missing.Path += ".gone"
	if err := look.ReadColumns(t.Context(), missing, []string{"event_uid"}, none); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing.Path) {
		t.Errorf("a missing file: %v", err)
	}
	path := look.dir.AbsPath(f.Path)
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, content[:len(content)/2], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := look.ReadColumns(t.Context(), f, []string{"event_uid"}, none); !errors.Is(err, ErrIntegrity) || !strings.Contains(err.Error(), f.Path) {
		t.Errorf("half a file: %v", err)
	}
}

// TestTableWriter: another reader finds the rows of a table that is none of the lake's.
func TestTableWriter(t *testing.T) {
	t.Parallel()
	table := schema.Table{Name: "export", Version: 1, Columns: []schema.Column{{Name: "a column"}, {Name: "n", Type: schema.Int64}, {Name: "day", Type: schema.Date}}}
	rows := []rowtest.Values{{"x", int64(-1), arrow.Date32(20_000)}, {nil, nil, nil}, {"", int64(2), arrow.Date32(-1)}}
	var out bytes.Buffer
	w, err := NewTableWriter(&out, table, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.WriteRecord(rowtest.NewRecord(t, table, []rowtest.Values{row})); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/out.parquet"
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, got := readArrow(t, path)
	if diff := gocmp.Diff(rows, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// TestReadSnapshotWithoutCurrent: a lake that has lost current.json has the rows of its newest generation, not none.
func TestReadSnapshotWithoutCurrent(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	for _, run := range []string{"r1", "r2"} {
		if _, err := smallRun(t.Context(), t, lake, run, nil); err != nil {
			t.Fatal(err)
		}
	}
	i, err := Inspect(t.Context(), lake, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := i.ReadSnapshot(t.Context(), 0)
	if err != nil || want.Generation != 2 || len(want.Files) == 0 {
		t.Fatalf("ReadSnapshot() = %+v, %v, want the files of generation 2", want, err)
	}
	if err := os.Remove(filepath.Join(lake, currentFile)); err != nil {
		t.Fatal(err)
	}
	if got, err := i.ReadSnapshot(t.Context(), 0); err != nil || !gocmp.Equal(got, want) {
		t.Errorf("ReadSnapshot() without %s = %+v, %v, want %+v", currentFile, got, err, want)
	}
}
