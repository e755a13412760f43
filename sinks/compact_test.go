package sinks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// publishRuns publishes n small runs.
func publishRuns(t testing.TB, lake string, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		if _, err := smallRun(t.Context(), t, lake, fmt.Sprintf("run-%02d", i), nil); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
	}
}

// compactLake compacts whatever can be.
func compactLake(t testing.TB, lake string, o Options) *pipeline.Manifest {
	t.Helper()
	if o.Hook == nil {
		o.Hook = skipSync
	}
	m, err := Compact(t.Context(), lake, o, CompactOptions{MinFiles: 2})
	if err != nil {
		t.Fatalf("Compact() = %v, want no error", err)
	}
	return m
}

// currentFiles gives the files of the newest snapshot.
func currentFiles(t testing.TB, lake string) []DataFile {
	t.Helper()
	i, err := Inspect(t.Context(), lake, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	s, err := i.ReadSnapshot(t.Context(), 0)
	if err != nil {
		t.Fatalf("Snapshot(0) = %v, want no error", err)
	}
	return s.Files
}

// names shortens paths: digests and the ids of compactions.
func shortNames(files []DataFile) []string {
	out := []string{}
	for _, f := range files {
		dir, file := filepath.Split(f.Path)
		if strings.HasPrefix(file, "compact-") {
			file = file[:len("compact-00000000")]
		} else {
			file, _, _ = strings.Cut(file, "-"+f.Digest[:8])
		}
		out = append(out, fmt.Sprintf("%s%s %d %t", dir, file, f.Rows, f.Globbed))
	}
	return out
}

func TestCompact(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	expectNothingToDo := func(when string) {
		t.Helper()
		before := listFiles(t, lake)
		if m := compactLake(t, lake, Options{}); m != nil {
			t.Errorf("Compact() %s = generation %d, want nothing to do", when, m.Generation)
		}
		if diff := gocmp.Diff(before, listFiles(t, lake)); diff != "" {
			t.Errorf("a compaction %s that had nothing to do left (-before +after):\n%s", when, diff)
		}
	}
	publishRuns(t, lake, 0, 1)
	expectNothingToDo("of one run")
	publishRuns(t, lake, 1, 2)
	m := compactLake(t, lake, Options{})
	if m == nil || m.Generation != 4 || m.Run.Kind != pipeline.CompactionGeneration || len(m.Files) != 3 || len(m.Replaces) != 9 {
		t.Fatalf("Compact() = %+v, want generation 4: 9 files become 3", m)
	}
	checkLake(t, lake, 4)
	expectNothingToDo("again")
	if diff := gocmp.Diff([]string{
		"compact/data/news/event_month=2026-01/compact-00000003 6 false",
		"compact/data/news/event_month=2026-02/compact-00000003 3 false",
		"compact/ledger/calls/compact-00000003 3 false",
	}, shortNames(currentFiles(t, lake))); diff != "" {
		t.Errorf("files after a compaction (-want +got):\n%s", diff)
	}

	// A run is added to what was compacted; both are compacted together.
	publishRuns(t, lake, 3, 1)
	checkLake(t, lake, 5)
	if diff := gocmp.Diff([]string{
		"compact/data/news/event_month=2026-01/compact-00000003 6 false",
		"compact/data/news/event_month=2026-02/compact-00000003 3 false",
		"compact/ledger/calls/compact-00000003 3 false",
		"data/news/event_month=2026-01/run-03 2 true",
		"data/news/event_month=2026-02/run-03 1 true",
		"ledger/calls/run-03 1 true",
	}, shortNames(currentFiles(t, lake))); diff != "" {
		t.Errorf("files after a run after a compaction (-want +got):\n%s", diff)
	}
	if m := compactLake(t, lake, Options{}); m == nil || len(m.Files) != 3 || len(m.Replaces) != 6 {
		t.Fatalf("Compact() of compacted files = %+v, want that 6 become 3", m)
	}
	checkLake(t, lake, 6)
	expectNothingToDo("of compacted files again")

	path := filepath.Join(lake, currentFiles(t, lake)[0].Path)
	f, size := openFile(t, path)
	file, err := parquet.OpenFile(f, size)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lookup(file, metaRuns), "run-00,run-01,run-02,run-03"; got != want {
		t.Errorf("%s of %s = %q, want %q", metaRuns, path, got, want)
	}
	// A run that was published before is still known, though its files are replaced.
	if m, err := smallRun(t.Context(), t, lake, "run-00", nil); err != nil || m.Generation != 1 {
		t.Errorf("the first run again is generation %d, %v, want 1 still", m.Generation, err)
	}
	checkLake(t, lake, 6)
}

func lookup(f *parquet.File, key string) string {
	value, _ := f.Lookup(key)
	return value
}

func TestCompactHasNothingToDo(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "new")
	if m := compactLake(t, lake, Options{}); m != nil {
		t.Errorf("Compact() of an empty lake = %+v, want nothing to do", m)
	}
	publishRuns(t, lake, 0, 4)
	if m, err := Compact(t.Context(), lake, Options{}, CompactOptions{MinFiles: 5}); err != nil || m != nil {
		t.Errorf("Compact() of 4 files a partition = %+v, %v, want nothing to do before there are 5", m, err)
	}
	if m, err := Compact(t.Context(), lake, Options{TargetFileSize: 1000}, CompactOptions{MinFiles: 2}); err != nil || m != nil {
		t.Errorf("Compact() of large files = %+v, %v, want nothing to do", m, err)
	}
}

// TestCompactKeepsRows compacts rows of every table, with values that tend to
// get lost, in pieces that are sorted on disk and written into several files.
func TestCompactKeepsRows(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string][]rowtest.Values{}
	few := proof.Size(6, 50, 50)
	first := map[string][]rowtest.Values{}
	for run := range 3 {
		// Compared with nothing, as in a run that could not read earlier files: rows are published twice.
		l := openLake(t, lake, Options{RunID: fmt.Sprintf("run-%d", run), Earlier: &Earlier{}})
		for _, table := range rowtest.AllTables() {
			rows := rowtest.AwkwardRows(table, few+rng.IntN(few), rng)
			if run == 0 {
				first[table.Name] = rows
			} else {
				rows = append(rows, first[table.Name]...)
			}
			writeRecord(t, l, partitionOf(table, "2026-01"), rowtest.NewRecord(t, table, rows))
		}
		files, err := l.Stage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Publish(t.Context(), &pipeline.Manifest{Files: files}); err != nil {
			t.Fatal(err)
		}
		for _, f := range files { // as they were written: the run's own duplicates are gone
			table, _ := schema.TableNamed(f.Table)
			want[f.Table] = append(want[f.Table], readParquetGo(t, filepath.Join(lake, f.Path), table)...)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	m := compactLake(t, lake, Options{SortMemory: 1 << 16, TargetFileSize: 4 << 20, RowGroupRows: 64})
	if m == nil {
		t.Fatal("Compact() = nothing to do, want a generation")
	}
	got := map[string][]rowtest.Values{}
	for _, f := range m.Files {
		table, _ := schema.TableNamed(f.Table)
		got[f.Table] = append(got[f.Table], readParquetGo(t, filepath.Join(lake, f.Path), table)...)
	}
	for _, table := range rowtest.AllTables() {
		if len(want[table.Name]) < 2*few {
			t.Fatalf("%d rows of %s, want more", len(want[table.Name]), table.Name)
		}
		if diff := gocmp.Diff(rowtest.Format(rowtest.Sort(table, want[table.Name])), rowtest.Format(got[table.Name])); diff != "" {
			t.Errorf("rows of %s (-small files, sorted +compacted):\n%.3000s", table.Name, diff)
		}
	}
	checkLake(t, lake, 4)
	if repeated := compactLake(t, lake, Options{TargetFileSize: 4 << 20}); repeated != nil {
		t.Errorf("Compact() again = %d files become %d, want nothing to do", len(repeated.Replaces), len(repeated.Files))
	}
}

// TestCompactSplits: what exceeds the target becomes several files, which stay.
func TestCompactSplits(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	table := schema.EventTable(schema.CategoryOther)
	rng := rand.New(rand.NewPCG(3, 4))
	for run := range 6 {
		l := openLake(t, lake, Options{RunID: fmt.Sprintf("run-%d", run)})
		rows := make([]rowtest.Values, 1000)
		for i := range rows {
			raw := make([]byte, 400)
			for j := range raw {
				raw[j] = byte(rng.Uint32())
			}
			rows[i] = make(rowtest.Values, len(table.Columns))
			rows[i][table.ColumnIndex("raw")] = fmt.Sprintf("%x", raw)
		}
		writeRecord(t, l, partitionOf(table, "2026-01"), rowtest.NewRecord(t, table, rows))
		stageAndPublish(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const target = 1 << 20
	m := compactLake(t, lake, Options{TargetFileSize: target})
	if m == nil || len(m.Replaces) != 6 || len(m.Files) < 2 || len(m.Files) > 4 {
		t.Fatalf("Compact() = %v, want that 6 files become 2 to 4", m)
	}
	checkLake(t, lake, 7)
	if m := compactLake(t, lake, Options{TargetFileSize: target}); m != nil {
		t.Errorf("Compact() again = %d files become %d, want nothing to do", len(m.Replaces), len(m.Files))
	}
	if m := compactLake(t, lake, Options{}); m == nil || len(m.Files) != 1 {
		t.Errorf("Compact() for larger files = %+v, want one", m)
	}
	checkLake(t, lake, 8)
}

// isMutation says whether an operation can change what is on the disk. To die before
// one that cannot is to die before the next one that can.
func isMutation(op string) bool { return op != "open" && op != "read" && op != "stat" && op != "close" }

// TestCompactFaults fails every operation of a compaction in turn, in two ways,
// and compacts again, as a scheduler would: at once, or after a run.
func TestCompactFaults(t *testing.T) {
	dead := errors.New("the process is dead")
	for way, fail := range map[string]func(n, at int, do func() error) error{
		"done, but failed": func(n, at int, do func() error) error {
			err := do()
			if n == at && err == nil {
				return syscall.ENOSPC
			}
			return err
		},
		"died": func(n, at int, do func() error) error {
			if n >= at {
				return dead
			}
			return do()
		},
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			full := t.TempDir()
			publishRuns(t, full, 0, 2)
			operations := 0
			for at := 1; ; at += proof.Size(17, 1, 1) {
				lake, n, reads := filepath.Join(t.TempDir(), "lake"), 0, 0
				if err := os.CopyFS(lake, os.DirFS(full)); err != nil {
					t.Fatal(err)
				}
				var failed string
				_, err := Compact(t.Context(), lake, Options{Hook: func(op, path string, do func() error) error {
					if !isMutation(op) && n < at {
						if reads++; way == "died" || reads%6 > 0 { // few of the many reads are enough
							return do()
						}
					}
					if n++; n == at {
						failed = op + " " + strings.TrimPrefix(path, lake)
					}
					return fail(n, at, func() error { return skipSync(op, path, do) })
				}}, CompactOptions{MinFiles: 2})
				if n < at {
					operations = n
					break
				}
				where := fmt.Sprintf("operation %d, %s", at, failed)
				if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, dead) && !errors.Is(err, ErrConflict) {
					t.Errorf("%s: %v, want the failure in it", where, err)
				}
				checkVisible(t, lake)
				if at%3 == 0 {
					checkSnapshots(t, lake)
					publishRuns(t, lake, 2, 1)
				}
				compactLake(t, lake, Options{})
				checkSnapshots(t, lake)
				if files := currentFiles(t, lake); len(files) != 3 || files[0].Globbed {
					t.Errorf("%s: after the second attempt the files are %q, want 3 of a compaction", where, shortNames(files))
				}
				if m := compactLake(t, lake, Options{}); m != nil {
					t.Errorf("%s: the third attempt made generation %d, want nothing to do", where, m.Generation)
				}
				if t.Failed() {
					t.Fatal(where)
				}
			}
			if operations < 40 {
				t.Errorf("a compaction has %d operations, want at least 40: the test shows nothing", operations)
			}
		})
	}
}

// TestCompactNamesDurable: see TestNamesDurable.
func TestCompactNamesDurable(t *testing.T) {
	t.Parallel()
	dead := errors.New("the process is dead")
	for at := 1; ; at += proof.Size(11, 1, 1) {
		tracker := &nameTracker{t: t, lake: filepath.Join(t.TempDir(), "lake"), unsynced: map[string]bool{}}
		publishRuns(t, tracker.lake, 0, 2)
		n := 0
		_, _ = Compact(t.Context(), tracker.lake, Options{Hook: func(op, path string, do func() error) error {
			// Before something appears outside of the scratch directory, nothing depends on it.
			if n > 0 && isMutation(op) || op == "mkdir" && strings.HasPrefix(path, filepath.Join(tracker.lake, compactDir)) {
				n++
			}
			if n >= at {
				return dead
			}
			return tracker.track(op, path, do)
		}}, CompactOptions{MinFiles: 2})
		if n < at {
			return
		}
		if _, err := Compact(t.Context(), tracker.lake, Options{Hook: tracker.track}, CompactOptions{MinFiles: 2}); err != nil {
			t.Fatalf("after operation %d: %v", at, err)
		}
		tracker.expectClean("the compaction is published", dataDir, compactDir, metaDir)
		if t.Failed() {
			t.Fatalf("operation %d", at)
		}
	}
}

// TestCompactRaces: the first publisher wins. A run does not conflict with a
// compaction; another compaction of the same files does.
func TestCompactRaces(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]func(t *testing.T, lake string){
		"run":        func(t *testing.T, lake string) { publishRuns(t, lake, 2, 1) },
		"compaction": func(t *testing.T, lake string) { compactLake(t, lake, Options{TargetFileSize: 1 << 30}) },
	} {
		for _, moment := range []string{snapshotDir, manifestDir, currentFile} {
			lake := t.TempDir()
			publishRuns(t, lake, 0, 2)
			raced := false
			m, err := Compact(t.Context(), lake, Options{Hook: func(op, path string, do func() error) error {
				if (op == "link" || op == "rename") && strings.HasPrefix(path, filepath.Join(lake, moment)) && !raced {
					raced = true
					other(t, lake)
				}
				return skipSync(op, path, do)
			}}, CompactOptions{MinFiles: 2})
			switch {
			case !raced:
				t.Fatalf("a %s before %s: nobody raced", name, moment)
			case name == "run" && err != nil:
				t.Errorf("a run before %s: Compact() = %v, want no error", moment, err)
			case name == "compaction" && moment == manifestDir && (!errors.Is(err, errReplaced) || m != nil):
				t.Errorf("a compaction before %s: Compact() = %v, want %v", moment, err, errReplaced)
			}
			checkSnapshots(t, lake)
			compactLake(t, lake, Options{})
			if files := currentFiles(t, lake); len(files) != 3 {
				t.Errorf("a %s before %s: the files are %q, want 3", name, moment, shortNames(files))
			}
			checkSnapshots(t, lake)
		}
	}
}

// TestSnapshotBlocksNobody: the list of a generation that never came stays
// behind, and another run takes the generation.
func TestSnapshotBlocksNobody(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	dead := errors.New("died")
	_, err := smallRun(t.Context(), t, lake, "r1", func(op, path string, do func() error) error {
		if op == "link" && strings.Contains(path, manifestDir) {
			return dead
		}
		return do()
	})
	if !errors.Is(err, dead) {
		t.Fatalf("smallRun() = %v, want %v", err, dead)
	}
	for g, run := range []string{"r2", "r1"} {
		if m, err := smallRun(t.Context(), t, lake, run, nil); err != nil || m.Generation != int64(g+1) {
			t.Fatalf("run %s is generation %d, %v, want %d", run, m.Generation, err, g+1)
		}
	}
	checkLake(t, lake, 2)
	lists, err := os.ReadDir(filepath.Join(lake, snapshotDir))
	if err != nil || len(lists) != 3 {
		t.Errorf("%d lists, %v, want those of two generations and one that stayed behind", len(lists), err)
	}
}

// TestLakeWithoutSnapshots: lakes of earlier versions have manifests without a list.
func TestLakeWithoutSnapshots(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	l := openLake(t, lake, Options{RunID: "old"})
	var previous *pipeline.Link
	for g := range int64(3) {
		m := &pipeline.Manifest{Generation: g + 1, Previous: previous, Run: pipeline.RunInfo{ID: fmt.Sprint("old-", g)},
			Files: []pipeline.File{{Path: fmt.Sprintf("data/news/event_month=2026-01/old-%d.parquet", g), Table: "news", Partition: "event_month=2026-01", Rows: 1}}}
		data := fmt.Appendf(nil, `{"generation":%d,"previous":%s,"run":{"id":%q},"files":[{"path":%q,"table":"news","partition":"event_month=2026-01","rows":1}]}`,
			m.Generation, linkJSON(previous), m.Run.ID, m.Files[0].Path)
		if err := l.backend.createObject(t.Context(), manifestName(m.Generation), data); err != nil {
			t.Fatal(err)
		}
		at := newGenerationRef(m, data)
		_, raw, err := l.readCurrent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := l.swapCurrent(t.Context(), raw, at); err != nil {
			t.Fatal(err)
		}
		previous = at.manifestLink()
	}
	want := []string{
		"data/news/event_month=2026-01/old-0.parquet 1 true",
		"data/news/event_month=2026-01/old-1.parquet 1 true",
		"data/news/event_month=2026-01/old-2.parquet 1 true",
	}
	paths := func(files []DataFile) (out []string) {
		for _, f := range files {
			out = append(out, fmt.Sprintf("%s %d %t", f.Path, f.Rows, f.Globbed))
		}
		return out
	}
	if diff := gocmp.Diff(want, paths(currentFiles(t, lake))); diff != "" {
		t.Errorf("files of a lake without lists (-want +got):\n%s", diff)
	}
	m, err := smallRun(t.Context(), t, lake, "new", nil)
	if err != nil || m.Generation != 4 || m.Snapshot == nil {
		t.Fatalf("the next run is generation %d with list %v, %v, want 4 with one", m.Generation, m.Snapshot, err)
	}
	files := currentFiles(t, lake)
	if got := paths(slices.DeleteFunc(slices.Clone(files), func(e DataFile) bool { return e.Run == "new" })); len(files) != 6 || !slices.Equal(got, want) {
		t.Errorf("files of the next run's generation: %d with %q, want 6 with %q", len(files), got, want)
	}
}

func linkJSON(l *pipeline.Link) string {
	if l == nil {
		return "null"
	}
	return fmt.Sprintf(`{"path":%q,"sha256":%q}`, l.Path, l.SHA256)
}

// TestSnapshotsRefuse: readers detect damaged lists of files, and so does the next
// publication.
func TestSnapshotsRefuse(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"torn":    func(path string) error { return os.Truncate(path, 100) },
		"emptied": func(path string) error { return os.Truncate(path, 0) },
	} {
		lake := t.TempDir()
		m, err := smallRun(t.Context(), t, lake, "r1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(filepath.Join(lake, m.Snapshot.Path)); err != nil {
			t.Fatal(err)
		}
		if _, err := smallRun(t.Context(), t, lake, "r2", nil); !errors.Is(err, ErrIntegrity) {
			t.Errorf("%s: the next run = %v, want ErrIntegrity", name, err)
		}
		if _, err := Compact(t.Context(), lake, Options{}, CompactOptions{}); !errors.Is(err, ErrIntegrity) {
			t.Errorf("%s: Compact() = %v, want ErrIntegrity", name, err)
		}
		i, err := Inspect(t.Context(), lake, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.ReadSnapshot(t.Context(), 0); !errors.Is(err, ErrIntegrity) {
			t.Errorf("%s: Snapshot() = %v, want ErrIntegrity", name, err)
		}
		chain, err := i.ReadChain(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if broken, err := i.CheckSnapshots(t.Context(), chain); err != nil || len(broken) != 1 {
			t.Errorf("%s: CheckSnapshots() = %q, %v, want one", name, broken, err)
		}
		i.Close()
	}
}

// TestCompactRefuses: small files that are not what they say, or of a later
// version of the program, are left alone.
func TestCompactRefuses(t *testing.T) {
	t.Parallel()
	t.Run("damaged", func(t *testing.T) {
		lake := t.TempDir()
		publishRuns(t, lake, 0, 2)
		path := filepath.Join(lake, currentFiles(t, lake)[0].Path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for at := 4; at < len(data); at += proof.Size(3989, 997, 997) {
			changed := slices.Clone(data)
			changed[at] ^= 0x55
			if err := os.WriteFile(path, changed, 0o666); err != nil {
				t.Fatal(err)
			}
			m, err := Compact(t.Context(), lake, Options{Hook: skipSync}, CompactOptions{MinFiles: 2})
			if err != nil {
				refused++
				if !strings.Contains(err.Error(), filepath.Base(path)) {
					t.Errorf("Compact() = %v, want the file's name in it", err)
				}
				continue
			}
			// What was changed is nothing that readers of rows look at.
			if err := os.WriteFile(path, data, 0o666); err != nil {
				t.Fatal(err)
			}
			checkSnapshots(t, lake)
			if m == nil {
				t.Fatal("Compact() = nothing to do, want an error or a generation")
			}
			lake = t.TempDir()
			publishRuns(t, lake, 0, 2)
			path = filepath.Join(lake, currentFiles(t, lake)[0].Path)
		}
		if refused == 0 {
			t.Error("no damage was noticed")
		}
	})
	t.Run("other rows", func(t *testing.T) {
		table := schema.EventTable(schema.CategoryRisk)
		path := encodeFile(t, table, rowtest.AwkwardRows(table, 10, rand.New(rand.NewPCG(1, 2))), func(string) string { return strings.Repeat("0", 64) })
		f, size := openFile(t, path)
		if _, err := readRows(f, size, &table, func(arrow.Record) error { return nil }); !errors.Is(err, ErrIntegrity) {
			t.Errorf("readRows of a file with another digest = %v, want ErrIntegrity", err)
		}
	})
	t.Run("later", func(t *testing.T) {
		table := schema.EventTable(schema.CategoryRisk)
		earlier := table
		earlier.Columns = table.Columns[:len(table.Columns)-3]
		earlier.Version = 0
		path := encodeFile(t, table, rowtest.AwkwardRows(table, 10, rand.New(rand.NewPCG(5, 6))), unchanged)
		f, size := openFile(t, path)
		if _, err := readRows(f, size, &earlier, func(arrow.Record) error { return nil }); err == nil || !strings.Contains(err.Error(), "use the program that wrote it") {
			t.Errorf("readRows of a later version's file = %v, want what to do", err)
		}
		// The other way round, the columns that came later are null, wherever they stand in the table.
		last := len(table.Columns) - 1
		for _, missing := range [][]int{{last, last - 1, last - 2}, {last, 21}, {0}} {
			earlier := table
			earlier.Columns = slices.DeleteFunc(slices.Clone(table.Columns), func(c schema.Column) bool { return slices.Contains(missing, table.ColumnIndex(c.Name)) })
			rows := rowtest.AwkwardRows(earlier, 10, rand.New(rand.NewPCG(7, 8)))
			f, size := openFile(t, encodeFile(t, earlier, rows, unchanged))
			var got []rowtest.Values
			if _, err := readRows(f, size, &table, func(rec arrow.Record) error {
				got = append(got, rowtest.ValuesOf(t, rec)...)
				return nil
			}); err != nil {
				t.Fatalf("readRows of a file without %v = %v, want no error", missing, err)
			}
			slices.Sort(missing)
			for i := range rows {
				for _, at := range missing {
					rows[i] = slices.Insert(rows[i], at, nil)
				}
			}
			if diff := gocmp.Diff(rowtest.Format(rows), rowtest.Format(got)); diff != "" {
				t.Errorf("rows of a file without %v (-want +got):\n%s", missing, diff)
			}
		}
		other := table
		other.Columns = slices.Clone(table.Columns)
		other.Columns[3].Name = "elsewhere"
		f, size = openFile(t, encodeFile(t, other, rowtest.AwkwardRows(other, 10, rand.New(rand.NewPCG(9, 8))), unchanged))
		if _, err := readRows(f, size, &table, func(arrow.Record) error { return nil }); err == nil || !strings.Contains(err.Error(), "elsewhere") {
			t.Errorf("readRows of a file with a column of another table = %v, want its name", err)
		}
	})
}

func unchanged(digest string) string { return digest }

// encodeFile writes rows, in their order, to a file that states what becomes of
// their digest.
func encodeFile(t *testing.T, table schema.Table, rows []rowtest.Values, alterDigest func(string) string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o, err := Options{RunID: "r"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	rec := rowtest.NewRecord(t, table, rows)
	defer rec.Release()
	view, d, e := extsort.NewRecordView(&table, rec), newDigest(&table), newEncoder(f, &table, &o)
	var all []extsort.Row
	for i := range int32(rec.NumRows()) {
		all = append(all, view.Row(i))
		d.addRow(view.Row(i))
	}
	if err := errors.Join(e.writeRows(all), e.closeWithDigest(alterDigest(d.hexSum()))); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCompactStops(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	publishRuns(t, lake, 0, 3)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := Compact(ctx, lake, Options{Hook: func(op, path string, do func() error) error {
		if n++; n == 30 {
			cancel()
		}
		return skipSync(op, path, do)
	}}, CompactOptions{MinFiles: 2})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Compact() = %v, want canceled", err)
	}
	checkLake(t, lake, 3)
}
