package sinks

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// accountLines writes lines of a list, one record each, and returns row, entity_id and extra as a reader
// sees them. id and original are empty and 0 for none.
func accountLines(t *testing.T, o Options, lines []accountLine) (shown []string) {
	t.Helper()
	lake, table := t.TempDir(), schema.Accounts.AsOf(o.SchemaVersion)
	l := openLake(t, lake, o)
	for _, line := range lines {
		values := make(rowtest.Values, len(table.Columns))
		set := func(name string, v any) { values[table.ColumnIndex(name)] = v }
		set("row", line.row)
		if line.original > 0 {
			set("duplicate_of_row", line.original)
		}
		if line.id != "" {
			set("entity_id", line.id)
		}
		writeRecord(t, l, schema.Partition{Table: table.Name}, rowtest.NewRecord(t, table, []rowtest.Values{values}))
	}
	for _, f := range stageAndPublish(t, l).Files {
		_, rows := readArrow(t, filepath.Join(lake, f.Path))
		for _, r := range rows {
			shown = append(shown, fmt.Sprintln(r[table.ColumnIndex("row")], r[table.ColumnIndex("entity_id")]))
		}
	}
	return shown
}

type accountLine struct {
	row, original int64
	id            string
}

// TestDuplicatesHaveEntities: a line that repeats another one has the entity of that, in whatever order
// they are written, spilled or not, and along a chain; not in rows of an earlier schema.
func TestDuplicatesHaveEntities(t *testing.T) {
	t.Parallel()
	lines := []accountLine{
		{1, 0, "id-1"}, {2, 0, ""}, {3, 1, ""}, {4, 2, ""}, {5, 0, "id-5"}, {6, 3, ""}, {7, 5, "own"}, {8, 7, ""}, {9, 99, ""}, {10, 1, ""},
	}
	want := []string{"1 id-1\n", "2 <nil>\n", "3 id-1\n", "4 <nil>\n", "5 id-5\n", "6 id-1\n", "7 own\n", "8 own\n", "9 <nil>\n", "10 id-1\n"}
	reversed := slices.Clone(lines)
	slices.Reverse(reversed)
	for name, c := range map[string]struct {
		lines   []accountLine
		options Options
	}{
		"in order": {lines, Options{SchemaVersion: schema.Version}}, "reversed": {reversed, Options{SchemaVersion: schema.Version}},
		"spilled": {reversed, Options{SchemaVersion: schema.Version, SortMemory: 1}},
	} {
		if diff := gocmp.Diff(want, accountLines(t, c.options, c.lines)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	earlier := accountLines(t, Options{SchemaVersion: schema.EntitiesVersion - 1}, lines)
	if earlier[2] != "3 <nil>\n" || earlier[6] != "7 own\n" {
		t.Errorf("as of an earlier schema: %q, want the rows as they were written", earlier)
	}
}

// TestCompactionKeepsColumns: a merged file of accounts states the kept columns of all that it replaces,
// and so does the list of files.
func TestCompactionKeepsColumns(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	for run, kept := range [][]pipeline.KeptColumn{{{Name: "ARR", Type: pipeline.KeptInteger, Digits: 3}}, nil, {{Name: "ARR", Type: pipeline.KeptDecimal, Digits: 1, Scale: 2}, {Name: "Owner"}}} {
		l := openLake(t, lake, Options{RunID: fmt.Sprint("r", run)})
		values := make(rowtest.Values, len(schema.Accounts.Columns))
		values[schema.Accounts.ColumnIndex("row")] = int64(1)
		writeRecord(t, l, schema.Partition{Table: "accounts"}, rowtest.NewRecord(t, schema.Accounts, []rowtest.Values{values}))
		files, err := l.Stage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		files[0].Kept = kept
		if err := l.Publish(t.Context(), &pipeline.Manifest{Run: pipeline.RunInfo{ID: fmt.Sprint("r", run)}, Files: files}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	m, err := Compact(t.Context(), lake, Options{Hook: skipSync}, CompactOptions{MinFiles: 2})
	if err != nil {
		t.Fatal(err)
	}
	inspector, err := Inspect(t.Context(), lake, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	snapshot, err := inspector.ReadSnapshot(t.Context(), 0)
	if err != nil || len(snapshot.Files) != 1 || len(m.Files) != 1 {
		t.Fatalf("ReadSnapshot = %+v, %v; want the one file of %+v", snapshot, err, m.Files)
	}
	want := []pipeline.KeptColumn{{Name: "ARR", Type: pipeline.KeptDecimal, Digits: 3, Scale: 2}, {Name: "Owner"}}
	if diff := gocmp.Diff(want, m.Files[0].Kept) + gocmp.Diff(want, snapshot.Files[0].Kept); diff != "" {
		t.Errorf("kept columns of the merged file and in the list (-want +got):\n%s", diff)
	}
}
