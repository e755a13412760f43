package sinks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// monthsOfNews writes rows of several months and tables into a sink.
func monthsOfNews(t testing.TB, sink pipeline.Sink, rows []arrow.Record) {
	t.Helper()
	news := schema.EventTable(schema.CategoryNews)
	for i, rec := range rows {
		if err := sink.Write(t.Context(), partitionOf(news, fmt.Sprintf("2026-%02d", 1+i%5)), rec); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []schema.Table{schema.Calls, schema.Accounts} {
		rec := rowtest.NewRecord(t, table, []rowtest.Values{make(rowtest.Values, len(table.Columns))})
		if err := sink.Write(t.Context(), partitionOf(table, ""), rec); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCheck: a check finds the files that a lake has published, with the digests of their rows, also
// if partitions have several files, and rows are spilled; of other rows it finds others.
func TestCheck(t *testing.T) {
	t.Parallel()
	rows := newsRecords(t, 5500, 110)
	l := openLake(t, filepath.Join(t.TempDir(), "lake"), Options{SortMemory: 1_000_000, TargetFileSize: 20_000, RowGroupRows: 100})
	monthsOfNews(t, l, rows)
	m := stageAndPublish(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(m.Files); n < 12 {
		t.Fatalf("%d files, want several in each of five partitions", n)
	}
	want := plainFiles(m.Files)
	var written atomic.Int64
	check := func(published []pipeline.File, memory int64, more ...arrow.Record) []pipeline.File {
		t.Helper()
		c, err := OpenCheck(filepath.Join(t.TempDir(), "scratch"), Options{RunID: l.options.RunID, SortMemory: memory, Jobs: 3, Earlier: &Earlier{published: l.generations}, Hook: func(_, path string, do func() error) error {
			if isOutput(path) {
				written.Add(1)
			}
			return do()
		}}, published)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // it wrote nothing that matters
		monthsOfNews(t, c, rows)
		for _, rec := range more {
			if err := c.Write(t.Context(), partitionOf(schema.EventTable(schema.CategoryNews), "2026-01"), rec); err != nil {
				t.Fatal(err)
			}
		}
		files, err := c.Stage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(t.Context(), &pipeline.Manifest{Files: files}); err != nil {
			t.Fatal(err)
		}
		return plainFiles(files)
	}
	for _, memory := range []int64{1_000_000, 64 << 20} {
		if diff := gocmp.Diff(want, check(m.Files, memory)); diff != "" {
			t.Errorf("with %d bytes a check finds other files (-published +found):\n%s", memory, diff)
		}
	}
	news := schema.EventTable(schema.CategoryNews)
	other := rowtest.NewRecord(t, news, []rowtest.Values{newsRow("n", "1", nil, "another", "{}", "")})
	if gocmp.Equal(want, check(m.Files, 64<<20, other)) {
		t.Error("a check of another row finds the published files")
	}
	fewer := slices.Clone(m.Files)
	for i := range fewer {
		fewer[i].Rows--
	}
	if gocmp.Equal(want, check(fewer, 64<<20)) {
		t.Error("a check finds the digests of files that claim to end after other rows")
	}
	if n := written.Load(); n > 0 {
		t.Errorf("checks did %d operations on encoded files", n)
	}
	if _, err := OpenCheck(t.TempDir(), Options{RunID: "r"}, m.Files); err == nil {
		t.Error("OpenCheck without what the lake held before = no error")
	}
}

// isOutput reports whether a path is that of a file that is being encoded.
func isOutput(path string) bool { return strings.HasPrefix(filepath.Base(path), "file-") }

// plainFiles are files without what only an encoder knows.
func plainFiles(files []pipeline.File) (plain []pipeline.File) {
	for _, f := range files {
		f.Bytes, f.SHA256, f.RowGroups = 0, "", 0
		plain = append(plain, f)
	}
	return plain
}

// deniedBackend holds files that may not be read.
type deniedBackend struct{ backend }

func (deniedBackend) openObject(_ context.Context, path string) (object, error) {
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
}

// TestCheckDenied: a check notes an earlier file that may not be read as one that it could not compare with; a run,
// which could read it later, fails.
func TestCheckDenied(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	row := seenRow{"u1", "a", "1", "c1", 100, "first"}
	first, second := runOf(t, lake, "r1", Options{}, row), runOf(t, lake, "r2", Options{}, row)
	l := openLake(t, lake, Options{RunID: "r3"})
	denied := l.generations
	denied.backend = deniedBackend{denied.backend}
	c, err := OpenCheck(filepath.Join(t.TempDir(), "scratch"), Options{RunID: "r2", Earlier: &Earlier{published: denied, link: second.Previous}}, second.Files)
	if err != nil {
		t.Fatal(err)
	}
	table := schema.EventTable(schema.CategoryNews)
	for _, to := range []pipeline.Sink{c, l} {
		if err := to.Write(t.Context(), partitionOf(table, row.month()), rowtest.NewRecord(t, table, []rowtest.Values{row.values()})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Stage(t.Context()); err != nil || !slices.Equal(c.Comparison().Unread, []string{first.Files[0].Path}) {
		t.Errorf("a check: %v, unread %q, want %q", err, c.Comparison().Unread, first.Files[0].Path)
	}
	l.comparison.published = &denied
	if _, err := l.Stage(t.Context()); !errors.Is(err, fs.ErrPermission) || !strings.HasPrefix(err.Error(), "stage ") {
		t.Errorf("a run: %v, want that the permission is missing", err)
	}
	if err := errors.Join(c.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestStageSideBySide: partitions that are staged at once give the same files, byte by byte, in the
// same order, as one after another.
func TestStageSideBySide(t *testing.T) {
	t.Parallel()
	var want []pipeline.File
	rows := newsRecords(t, 1500, 50)
	for _, jobs := range []int{1, 4} {
		l := openLake(t, filepath.Join(t.TempDir(), "lake"), Options{SortMemory: 100 << 20, Jobs: jobs, TargetFileSize: 20_000, RowGroupRows: 100})
		if got := l.options.stagedAtOnce(); got != jobs {
			t.Errorf("%d partitions are staged at once, want %d", got, jobs)
		}
		monthsOfNews(t, l, rows)
		files, err := l.Stage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = files
		}
		if diff := gocmp.Diff(want, files); diff != "" {
			t.Errorf("with %d jobs other files are staged (-1 +%d):\n%s", jobs, jobs, diff)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStageFails: of several partitions that fail, the error is that of the first in order, and what was staged
// is not published.
func TestStageFails(t *testing.T) {
	t.Parallel()
	full := errors.New("no space")
	l := openLake(t, filepath.Join(t.TempDir(), "lake"), Options{SortMemory: 100 << 20, Jobs: 4, Hook: func(op, path string, do func() error) error {
		if isOutput(path) && op == "sync" {
			return full
		}
		return skipSync(op, path, do)
	}})
	monthsOfNews(t, l, newsRecords(t, 100, 20))
	if _, err := l.Stage(t.Context()); !errors.Is(err, full) || !strings.HasPrefix(err.Error(), "stage calls: ") {
		t.Errorf("Stage = %v, want the error of calls, the first", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCompactSideBySide: partitions that are merged at once give the same files as one after another, also if
// their rows are spilled.
func TestCompactSideBySide(t *testing.T) {
	t.Parallel()
	rows := newsRecords(t, 1500, 50)
	var want []pipeline.File
	for _, o := range []Options{{Jobs: 1}, {Jobs: 4, SortMemory: 100 << 20}, {Jobs: 4, SortMemory: 4 * encoderMemory, TargetFileSize: 1 << 20}} {
		lake := filepath.Join(t.TempDir(), "lake")
		for i, run := range []string{"r1", "r2", "r3"} {
			l := openLake(t, lake, Options{RunID: run})
			monthsOfNews(t, l, rows[10*i:10*i+10])
			stageAndPublish(t, l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var begun int
		var read atomic.Int64
		o.Hook = skipSync
		m, err := Compact(t.Context(), lake, o, CompactOptions{MinFiles: 2, Begin: func(n int) { begun = n }, Read: func() { read.Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		if begun != len(m.Replaces) || read.Load() != int64(begun) {
			t.Errorf("%d files were announced and %d read, want %d", begun, read.Load(), len(m.Replaces))
		}
		for i := range m.Files {
			m.Files[i].Path = strings.ReplaceAll(m.Files[i].Path, m.Run.ID, "compact") // the name depends on the target size
			m.Files[i].SHA256, m.Files[i].Bytes = "", 0
		}
		if want == nil {
			want = m.Files
		}
		if diff := gocmp.Diff(want, m.Files); diff != "" || len(m.Files) < 7 {
			t.Errorf("with %d jobs %d other files are written (-1 +%d):\n%s", o.Jobs, len(m.Files), o.Jobs, diff)
		}
	}
}
