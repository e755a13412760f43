package sinks

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestReadLayout: a file says of itself what the schema says of its table, in the version that wrote it.
func TestReadLayout(t *testing.T) {
	t.Parallel()
	for _, version := range []int{schema.OldestVersion, schema.Version} {
		for _, table := range schema.Tables {
			table = table.AsOf(version)
			var file bytes.Buffer
			w, err := NewTableWriter(&file, table, "test")
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := ReadLayout(bytes.NewReader(file.Bytes()), int64(file.Len()))
			want := schema.Table{Name: table.Name, Version: table.Version, Doc: table.Doc}
			for _, c := range table.Columns {
				want.Columns = append(want.Columns, schema.Column{Name: c.Name, Type: c.Type, Doc: c.Doc, Unit: c.Unit})
			}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s, version %d: %v (-want +got):\n%s", table.Name, version, err, diff)
			}
			cut := file.Bytes()[:file.Len()/2]
			if _, err := ReadLayout(bytes.NewReader(cut), int64(len(cut))); err == nil || !strings.Contains(err.Error(), "not a readable Parquet file") {
				t.Errorf("half a file of %s: %v", table.Name, err)
			}
		}
	}
}

// TestReadLayouts: the layout of a table is that of the newest version that its files have, be it that of a run or
// of a compaction.
func TestReadLayouts(t *testing.T) {
	t.Parallel()
	l := newMergedLake(t, true)
	i, table := l.inspect(), schema.Tables[0]
	write := func(path string, version int) {
		t.Helper()
		var file bytes.Buffer
		w, err := NewTableWriter(&file, table.AsOf(version), "test")
		if err == nil {
			err = w.Close()
		}
		if err == nil {
			err = i.published.backend.createObject(t.Context(), path, file.Bytes())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("data/a/old.parquet", schema.OldestVersion)
	write("data/a/new.parquet", schema.Version)
	run := func(path, id string) DataFile {
		return DataFile{Path: path, Table: table.Name, Run: id, Globbed: !strings.HasPrefix(id, "compact-")}
	}
	for _, files := range [][]DataFile{
		{run("data/a/old.parquet", "compact-00000002-x"), run("data/a/new.parquet", "20261130T000000Z-x")},
		{run("data/a/new.parquet", "compact-00000002-x"), run("data/a/old.parquet", "20261130T000000Z-x")},
		{run("data/a/old.parquet", "20261129T000000Z-x"), run("data/a/new.parquet", "20261130T000000Z-x")},
	} {
		got, err := i.ReadLayouts(t.Context(), &Snapshot{Files: files})
		if err != nil || len(got) != 1 || got[0].Version != schema.Version {
			t.Errorf("ReadLayouts(%v) = %v, %v, want version %d", files, got, err, schema.Version)
		}
	}
}
