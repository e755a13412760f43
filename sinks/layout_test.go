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
