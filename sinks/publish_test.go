package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// smallRun writes a few rows of three partitions, spilling on the way, and
// publishes them.
func smallRun(ctx context.Context, t testing.TB, lake, run string, hook durable.Hook) (m *pipeline.Manifest, err error) {
	if hook == nil {
		hook = func(_, _ string, do func() error) error { return do() }
	}
	l, err := Open(ctx, lake, Options{RunID: run, SortMemory: 1, Hook: func(op, path string, do func() error) error {
		return hook(op, path, func() error { return skipSync(op, path, do) })
	}})
	if err != nil {
		return nil, err
	}
	return publishSmallRun(ctx, t, l, run)
}

// publishSmallRun does it in an open lake, which it closes.
func publishSmallRun(ctx context.Context, t testing.TB, l *Lake, run string) (m *pipeline.Manifest, err error) {
	defer func() { err = errors.Join(err, l.Close()) }()
	news := schema.EventTable(schema.CategoryNews)
	for i, month := range []string{"2026-01", "2026-02", "2026-01"} {
		rec := rowtest.NewRecord(t, news, []rowtest.Values{newsRow("n", "1", nil, fmt.Sprint(run, i), "{}", "")})
		if err := l.Write(ctx, partitionOf(news, month), rec); err != nil {
			return nil, err
		}
	}
	rec := rowtest.NewRecord(t, schema.Calls, []rowtest.Values{make(rowtest.Values, len(schema.Calls.Columns))})
	if err := l.Write(ctx, partitionOf(schema.Calls, ""), rec); err != nil {
		return nil, err
	}
	files, err := l.Stage(ctx)
	if err != nil {
		return nil, err
	}
	m = &pipeline.Manifest{Run: pipeline.RunInfo{ID: run}, Files: files}
	return m, l.Publish(ctx, m)
}

// checkLake follows the manifests from the current one back to the first, and
// fails unless they name exactly the visible files.
func checkLake(t testing.TB, lake string, generations int64) {
	t.Helper()
	checkVisible(t, lake)
	l := openLake(t, lake, Options{RunID: "reader"})
	link, generation, err := l.CurrentGeneration(t.Context())
	if err != nil || generation != generations {
		t.Fatalf("Current() = %v, %d, %v, want generation %d", link, generation, err, generations)
	}
	l.Close()
	named := []string{}
	for g := generation; g > 0; g-- {
		data, err := os.ReadFile(filepath.Join(lake, link.Path))
		if err != nil {
			t.Fatal(err)
		}
		var m pipeline.Manifest
		if err := json.Unmarshal(data, &m); err != nil || m.Generation != g {
			t.Fatalf("manifest %s: generation %d, %v, want %d", link.Path, m.Generation, err, g)
		}
		if got := newGenerationRef(&m, data); *got.manifestLink() != *link {
			t.Errorf("generation %d is %+v, want %+v", g, got, link)
		}
		for _, f := range m.Files {
			named = append(named, f.Path)
			o, err := openLocalObject(lake, f.Path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := describeFile(o)
			if err != nil || got.SHA256 != f.SHA256 || got.Bytes != f.Bytes || got.Rows != f.Rows || got.Digest != f.Digest || got.RowGroups != f.RowGroups {
				t.Errorf("%s is %+v, %v, want %+v", f.Path, got, err, f)
			}
		}
		if link = m.Previous; (link == nil) != (g == 1) {
			t.Fatalf("generation %d has predecessor %v", g, link)
		}
	}
	visible := slices.DeleteFunc(listFiles(t, lake), func(name string) bool { return strings.HasPrefix(name, "_") || strings.HasPrefix(name, MergesDir+"/") })
	slices.Sort(named)
	slices.Sort(visible)
	if diff := gocmp.Diff(named, visible); diff != "" {
		t.Errorf("files the manifests name and files there are (-named +there):\n%s", diff)
	}
	checkSnapshots(t, lake)
}

// checkSnapshots: the list of every generation is what follows from the chain,
// and its files hold the rows that someone who globs sees, each as often.
func checkSnapshots(t testing.TB, lake string) {
	t.Helper()
	i, err := Inspect(t.Context(), lake, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	chain, err := i.ReadChain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if broken, err := i.CheckSnapshots(t.Context(), chain); err != nil || broken != nil {
		t.Errorf("CheckSnapshots() = %q, %v, want nothing", broken, err)
	}
	globbed := map[string][]string{} // paths by table
	for _, m := range chain {
		listed := map[string][]string{}
		for _, f := range m.Files {
			if m.Run.Kind == pipeline.RunGeneration {
				globbed[f.Table] = append(globbed[f.Table], f.Path)
			}
		}
		s, err := i.ReadSnapshot(t.Context(), m.Generation)
		if err != nil {
			t.Fatalf("Snapshot(%d) = %v, want no error", m.Generation, err)
		}
		for _, f := range s.Files {
			listed[f.Table] = append(listed[f.Table], f.Path)
		}
		for table, paths := range globbed {
			want, err := i.HashRows(t.Context(), table, paths)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := i.HashRows(t.Context(), table, listed[table]); err != nil || got != want {
				t.Errorf("rows of %s in the list of generation %d are %+v, %v, want those of the runs, %+v", table, m.Generation, got, err, want)
			}
		}
	}
}

type osObject struct{ *os.File }

func (o osObject) Size() int64 {
	info, err := o.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

func openLocalObject(lake, name string) (object, error) {
	f, err := os.Open(filepath.Join(lake, name))
	return osObject{f}, err
}

func TestPublish(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "new", "lake")
	for g := range int64(3) {
		m, err := smallRun(t.Context(), t, lake, fmt.Sprintf("run-%d", g), nil)
		if err != nil || m.Generation != g+1 {
			t.Fatalf("run %d: generation %d, %v, want %d", g, m.Generation, err, g+1)
		}
		checkLake(t, lake, g+1)
		if _, err := os.Stat(filepath.Join(lake, stagingDir)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat(%s) after Close = %v, want that there is none", stagingDir, err)
		}
	}
	m, _ := smallRun(t.Context(), t, lake, "run-2", nil)
	if m.Generation != 3 {
		t.Errorf("the same run again is generation %d, want 3 still", m.Generation)
	}
	checkLake(t, lake, 3)
	if first, err := smallRun(t.Context(), t, lake, "run-0", nil); err != nil || first.Generation != 1 {
		t.Errorf("the first run again is generation %d, %v, want 1 still", first.Generation, err)
	}
	checkLake(t, lake, 3)
	var names []string
	for _, f := range m.Files {
		names = append(names, strings.Replace(f.Path, f.Digest[:8], "DIGEST", 1))
	}
	if diff := gocmp.Diff([]string{
		"data/news/event_month=2026-01/run-2-DIGEST.parquet",
		"data/news/event_month=2026-02/run-2-DIGEST.parquet",
		"ledger/calls/run-2-DIGEST.parquet",
	}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// TestInvisible looks at the lake around every single operation.
func TestInvisible(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	operations := 0
	check := func() {
		checkVisible(t, lake)
		for _, name := range listFiles(t, lake) {
			if strings.HasSuffix(name, ".tmp") != strings.HasPrefix(name, stagingDir+"/") {
				t.Errorf("%s exists, want .tmp below %s and nowhere else", name, stagingDir)
			}
		}
	}
	_, err := smallRun(t.Context(), t, lake, "r", func(op, path string, do func() error) error {
		operations++
		err := do()
		check()
		return err
	})
	if err != nil || operations < 80 {
		t.Fatalf("%d operations, %v, want at least 80 and no error", operations, err)
	}
}

// TestFaults fails every operation of a run in turn, in three ways, and then
// runs the same run again, as a person would.
func TestFaults(t *testing.T) {
	ways := map[string]func(n, at int, do func() error) error{
		"not done": func(n, at int, do func() error) error {
			if n == at {
				return syscall.ENOSPC
			}
			return do()
		},
		"done, but failed": func(n, at int, do func() error) error {
			err := do()
			if n == at && err == nil {
				return syscall.ENOSPC
			}
			return err
		},
		"nothing works any more": func(n, at int, do func() error) error {
			if n >= at {
				return syscall.ENOSPC
			}
			return do()
		},
	}
	for name, fail := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := proof.Size(17, 1, 1)
			if name == "nothing works any more" {
				step *= 4 // much like the first way
			}
			for at := 1; ; at += step {
				lake, n := filepath.Join(t.TempDir(), "lake"), 0
				var failed string
				_, err := smallRun(t.Context(), t, lake, "r", func(op, path string, do func() error) error {
					n++
					if n == at {
						failed = op + " " + path
					}
					return fail(n, at, do)
				})
				if n < at {
					break // every operation has had its turn
				}
				where := fmt.Sprintf("operation %d, %s", at, failed)
				if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, ErrConflict) {
					t.Errorf("%s: %v, want ENOSPC in it", where, err)
				}
				if err != nil && !strings.Contains(err.Error(), lake) {
					t.Errorf("%s: error %q, want the path in it", where, err)
				}
				if _, statErr := os.Stat(lake); statErr != nil {
					continue
				}
				checkVisible(t, lake)
				if !strings.HasPrefix(failed, "remove") && name != "nothing works any more" {
					for _, left := range listFiles(t, lake) {
						if strings.HasPrefix(left, stagingDir) {
							t.Errorf("%s: %s is left after Close", where, left)
						}
					}
				}
				m, err := smallRun(t.Context(), t, lake, "r", nil)
				if err != nil || m.Generation != 1 {
					t.Fatalf("%s: again: generation %d, %v, want 1 and no error", where, m.Generation, err)
				}
				checkLake(t, lake, 1)
			}
		})
	}
}

// TestOtherProcess stages in one Lake and publishes in another, as after a
// crash.
func TestOtherProcess(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	first := openLake(t, lake, Options{})
	table := schema.EventTable(schema.CategoryRisk)
	for _, month := range []string{"2026-01", "2026-02"} {
		writeRecord(t, first, partitionOf(table, month), rowtest.NewRecord(t, table, []rowtest.Values{make(rowtest.Values, len(table.Columns))}))
	}
	files, err := first.Stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if repeated, err := first.Stage(t.Context()); err != nil || len(gocmp.Diff(files, repeated)) > 0 {
		t.Errorf("Stage() again = %v, %v, want %v", repeated, err, files)
	}
	if n := checkVisible(t, lake); n != 0 {
		t.Errorf("%d files are visible after Stage, want none", n)
	}
	// The first process got as far as one rename, then died.
	if err := first.backend.publishFile(t.Context(), first.stagedName(files[0].Path), files[0].Path); err != nil {
		t.Fatal(err)
	}
	second := openLake(t, lake, Options{})
	if err := second.Publish(t.Context(), &pipeline.Manifest{Files: files}); err != nil {
		t.Fatalf("Publish() = %v, want no error", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	checkLake(t, lake, 1)
}

// TestInterruptedPublication completes a publication that died before it turned current.json.
func TestInterruptedPublication(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	dead := errors.New("died")
	_, err := smallRun(t.Context(), t, lake, "r1", func(op, path string, do func() error) error {
		if op == "rename" && strings.HasSuffix(path, "current.json") {
			return dead
		}
		return do()
	})
	if !errors.Is(err, dead) {
		t.Fatalf("smallRun() = %v, want %v", err, dead)
	}
	reader := openLake(t, lake, Options{RunID: "x"})
	if link, g, err := reader.CurrentGeneration(t.Context()); link != nil || g != 0 || err != nil {
		t.Errorf("Current() = %v, %d, %v, want nothing yet", link, g, err)
	}
	m, err := smallRun(t.Context(), t, lake, "r2", nil)
	if err != nil || m.Generation != 2 {
		t.Fatalf("the next run is generation %d, %v, want 2", m.Generation, err)
	}
	checkLake(t, lake, 2)
}

// TestRace lets another process take the generation at the last moment: once, and each
// time.
func TestRace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ losses, generation int }{{1, 2}, {1000, 0}} {
		lake := t.TempDir()
		lost := 0
		racing := false
		m, err := smallRun(t.Context(), t, lake, "r1", func(op, path string, do func() error) error {
			if op == "link" && lost < c.losses && !racing {
				racing = true
				lost++
				if _, err := smallRun(t.Context(), t, lake, fmt.Sprintf("other%d", lost), nil); err != nil {
					t.Fatal(err)
				}
				racing = false
			}
			return do()
		})
		if c.generation > 0 {
			if err != nil || m.Generation != int64(c.generation) {
				t.Errorf("lost %d times: generation %d, %v, want %d", lost, m.Generation, err, c.generation)
			}
			continue
		}
		if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "publish again") {
			t.Fatalf("lost %d times: %v, want ErrConflict and what to do", lost, err)
		}
		if n, want := checkVisible(t, lake), (lost+1)*len(m.Files); n != want {
			t.Errorf("%d files are visible, want %d: nothing is taken back", n, want)
		}
		if m, err = smallRun(t.Context(), t, lake, "r1", nil); err != nil || m.Generation != int64(lost)+1 {
			t.Fatalf("again: generation %d, %v, want %d", m.Generation, err, lost+1)
		}
		checkLake(t, lake, int64(lost)+1)
	}
}

// TestOvertaken: who is overtaken between its manifest and current.json does not
// take the lake back to its own generation.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	for _, generations := range []int64{2, 3} {
		lake := t.TempDir()
		if generations == 3 { // there is something to overwrite
			if _, err := smallRun(t.Context(), t, lake, "r0", nil); err != nil {
				t.Fatal(err)
			}
		}
		overtaken := false
		m, err := smallRun(t.Context(), t, lake, "r1", func(op, path string, do func() error) error {
			if op == "create" && strings.HasSuffix(path, "current.json.tmp") && !overtaken {
				overtaken = true
				if _, err := smallRun(t.Context(), t, lake, "other", nil); err != nil {
					t.Fatal(err)
				}
			}
			return do()
		})
		if err != nil || m.Generation != generations-1 || !overtaken {
			t.Errorf("the run is generation %d, %v, want %d and no error", m.Generation, err, generations-1)
		}
		checkLake(t, lake, generations)
	}
}

// TestDurable: what becomes visible is on the disk before, and its name before
// anything that names it. All of it is when the run counts as published.
func TestDurable(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	files, names := map[string]bool{}, map[string]bool{} // written and not synced; folders with names that are not
	hidden := filepath.Join(lake, stagingDir)
	visible := func(path string) bool { return !strings.HasPrefix(path, hidden) }
	sortedPaths := func(set map[string]bool) (left []string) {
		for path := range set {
			left = append(left, path)
		}
		slices.Sort(left)
		return left
	}
	hook := func(op, path string, do func() error) error {
		if (op == "rename" || op == "link") && visible(path) && len(files) > 0 {
			t.Errorf("%s becomes visible while there are files that were not synced: %v", path, sortedPaths(files))
		}
		if strings.HasPrefix(path, filepath.Join(lake, metaDir)) && (op == "rename" || op == "link") && len(names) > 0 {
			t.Errorf("%s becomes visible while there are folders that were not synced: %v", path, sortedPaths(names))
		}
		if err := do(); err != nil {
			return err
		}
		if op == "link" && filepath.Dir(path) == filepath.Join(lake, manifestDir) {
			checkNamed(t, lake, path)
		}
		switch op {
		case "create", "write":
			files[path] = true
		case "sync":
			delete(files, path)
		case "syncdir":
			delete(names, path)
		case "remove":
			for file := range files {
				if strings.HasPrefix(file, path) {
					delete(files, file)
				}
			}
		case "mkdir", "rename", "link":
			for at := path; visible(path) && at != lake; {
				at = filepath.Dir(at)
				names[at] = true
				if op != "mkdir" {
					break
				}
			}
		}
		return nil
	}
	for _, run := range []string{"r1", "r2"} {
		if _, err := smallRun(t.Context(), t, lake, run, hook); err != nil {
			t.Fatal(err)
		}
		if len(names) > 0 {
			t.Errorf("%s is published while there are folders that were not synced: %v", run, sortedPaths(names))
		}
	}
}

// checkNamed: every file that a manifest names is there.
func checkNamed(t *testing.T, lake, manifest string) {
	t.Helper()
	data, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var m pipeline.Manifest
	if err := json.Unmarshal(data, &m); err != nil || len(m.Files) == 0 {
		t.Fatalf("%s: %d files, %v", manifest, len(m.Files), err)
	}
	paths := []string{m.Snapshot.Path}
	for _, f := range m.Files {
		paths = append(paths, f.Path)
	}
	for _, path := range paths {
		if _, err := os.Stat(filepath.Join(lake, path)); err != nil {
			t.Errorf("%s is visible, and a file that it names is not: %v", manifest, err)
		}
	}
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	newLake := func(t *testing.T) string {
		lake := t.TempDir()
		if _, err := smallRun(t.Context(), t, lake, "r1", nil); err != nil {
			t.Fatal(err)
		}
		return lake
	}
	overwrite := func(t *testing.T, lake, name, content string) {
		if err := os.WriteFile(filepath.Join(lake, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]func(t *testing.T, lake string){
		"a changed manifest":          func(t *testing.T, lake string) { overwrite(t, lake, manifestName(1), `{"generation":1}`) },
		"a torn current.json":         func(t *testing.T, lake string) { overwrite(t, lake, currentFile, `{"genera`) },
		"a current.json of elsewhere": func(t *testing.T, lake string) { overwrite(t, lake, currentFile, `{"generation":1,"path":"../x"}`) },
		"a missing manifest": func(t *testing.T, lake string) {
			if err := os.Remove(filepath.Join(lake, manifestName(1))); err != nil {
				t.Fatal(err)
			}
		},
		"a next generation of nowhere": func(t *testing.T, lake string) { overwrite(t, lake, manifestName(2), `{"generation":2}`) },
		"a torn next generation":       func(t *testing.T, lake string) { overwrite(t, lake, manifestName(2), `{"gen`) },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			lake := newLake(t)
			damage(t, lake)
			if _, err := smallRun(t.Context(), t, lake, "r2", nil); !errors.Is(err, ErrIntegrity) {
				t.Errorf("smallRun() = %v, want ErrIntegrity", err)
			}
		})
	}
	t.Run("a file with other rows", func(t *testing.T) {
		lake := t.TempDir()
		l := openLake(t, lake, Options{})
		table := schema.EventTable(schema.CategoryRisk)
		writeRecord(t, l, partitionOf(table, "2026-01"), rowtest.NewRecord(t, table, []rowtest.Values{make(rowtest.Values, len(table.Columns))}))
		files, err := l.Stage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		files[0].Digest = strings.Repeat("0", 64)
		files[0].Path = strings.Replace(files[0].Path, "2026-01", "2026-02", 1)
		staged := newLake(t)
		for _, name := range listFiles(t, staged) {
			if strings.HasPrefix(name, "data/") {
				data, _ := os.ReadFile(filepath.Join(staged, name))
				os.MkdirAll(filepath.Dir(filepath.Join(lake, files[0].Path)), 0o777)
				overwrite(t, lake, files[0].Path, string(data))
			}
		}
		if err := l.Publish(t.Context(), &pipeline.Manifest{Files: files}); !errors.Is(err, ErrIntegrity) {
			t.Errorf("Publish() = %v, want ErrIntegrity", err)
		}
		overwrite(t, lake, files[0].Path, "PAR1 torn")
		if err := l.Publish(t.Context(), &pipeline.Manifest{Files: files}); err == nil || !strings.Contains(err.Error(), files[0].Path) {
			t.Errorf("Publish() = %v, want an error about %s", err, files[0].Path)
		}
	})
	t.Run("a path outside", func(t *testing.T) {
		l := openLake(t, t.TempDir(), Options{})
		for _, path := range []string{"", "x.parquet", "data/../x.parquet", "/etc/x.parquet", "_meta/x.parquet", "data/x.tmp", "data//x.parquet"} {
			if err := l.Publish(t.Context(), &pipeline.Manifest{Files: []pipeline.File{{Path: path}}}); err == nil {
				t.Errorf("Publish(%q) = nil, want an error", path)
			}
		}
	})
}

// TestReadBack damages a file between writing and reading back.
func TestReadBack(t *testing.T) {
	t.Parallel()
	_, err := smallRun(t.Context(), t, t.TempDir(), "r1", func(op, path string, do func() error) error {
		if op == "open" && strings.Contains(path, "file-000001") {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte{0xff}, 20); err != nil {
				t.Fatal(err)
			}
		}
		return do()
	})
	if err == nil || !strings.Contains(err.Error(), "read back") {
		t.Errorf("smallRun() = %v, want an error about reading back", err)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustWrite := func(name string) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, nil, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite("file")
	mustWrite("documents/letter.txt")
	mustWrite("marked/_meta/current.json.bak")
	mustWrite("marked/README.txt")
	mustWrite("ours/data/news/x")
	mustWrite("ours/.gitkeep")
	mustWrite("ours/_state/x")
	tests := []struct {
		uri  string
		run  string
		want string // part of the error; empty: none
	}{
		{"", "r", "no address"},
		{dir + "/file", "r", "is a file"},
		{dir + "/file/below", "r", "not a directory"},
		{dir + "/documents", "r", "choose an empty directory"},
		{dir + "/marked", "r", ""},
		{dir + "/ours", "r", ""},
		{dir + "/new/and/deep", "r", ""},
		{"file://" + dir + "/uri", "r", ""},
		{"file://localhost" + dir + "/uri%20two", "r", ""},
		{"file://elsewhere/lake", "r", "three slashes"},
		{"s3://bucket/lake", "r", "no access to S3 is set up"},
		{"gs://bucket/lake", "r", "unknown scheme"},
		{dir + "/new", "", "run id"},
		{dir + "/new", "../r", "run id"},
		{dir + "/new", "a/b", "run id"},
		{dir + "/new", strings.Repeat("r", 65), "run id"},
		{dir + "/new/and/deep", "20260302T010203Z-4f2a_b", ""},
	}
	for _, test := range tests {
		l, err := Open(t.Context(), test.uri, Options{RunID: test.run})
		if err == nil {
			l.Close()
		}
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("Open(%q, %q) = %v, want %q", test.uri, test.run, err, test.want)
		}
	}
	if _, err := os.Stat(dir + "/uri two"); err != nil {
		t.Errorf("Stat = %v, want the escaped name", err)
	}
	_, err := Open(t.Context(), dir+"/denied", Options{RunID: "r", Hook: func(op, path string, do func() error) error {
		if op == "create" {
			return &fs.PathError{Op: "openat", Path: "x", Err: syscall.EACCES}
		}
		return do()
	}})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), dir+"/denied") || strings.Contains(err.Error(), "openat") {
		t.Errorf("Open() = %v, want ErrPermission and the path, once", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	l := openLake(t, t.TempDir(), Options{})
	news := schema.EventTable(schema.CategoryNews)
	rec := rowtest.NewRecord(t, news, []rowtest.Values{make(rowtest.Values, len(news.Columns))})
	calls := rowtest.NewRecord(t, schema.Calls, nil)
	for _, p := range []schema.Partition{
		{Table: "nothing"}, {Table: "news", Key: "event_month"}, {Table: "news", Key: "event_month", Value: "../../x"},
		{Table: "news", Key: "a=b", Value: "c"}, {Table: "../x"}, {Table: "calls"},
	} {
		if err := l.Write(t.Context(), p, rec); err == nil {
			t.Errorf("Write(%s) = nil, want an error", p)
		}
	}
	if err := l.Write(t.Context(), partitionOf(news, "2026-01"), calls); err == nil {
		t.Error("Write of another table's record = nil, want an error")
	}
	if err := l.Write(t.Context(), schema.Partition{Table: "calls"}, calls); err != nil {
		t.Errorf("Write of no rows = %v, want no error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := l.Write(ctx, partitionOf(news, "2026-01"), rec); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := l.Write(ctx, partitionOf(news, "2026-01"), rec); !errors.Is(err, context.Canceled) {
		t.Errorf("Write() = %v, want canceled", err)
	}
	if _, err := l.Stage(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stage() = %v, want canceled", err)
	}
}

// TestEmpty publishes a run that wrote nothing.
func TestEmpty(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	l := openLake(t, lake, Options{})
	m := stageAndPublish(t, l)
	if len(m.Files) != 0 || m.Generation != 1 {
		t.Errorf("manifest = %+v, want generation 1 without files", m)
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Errorf("Close() twice = %v, want no error", err)
	}
	if err := l.Publish(t.Context(), m); err == nil {
		t.Error("Publish() after Close = nil, want an error")
	}
	checkLake(t, lake, 1)
}

// TestLeaks counts goroutines and open files around runs that work and runs
// that fail. A goroutine that does not end makes the test run into the timeout
// of go test, which shows its stack.
func TestLeaks(t *testing.T) {
	count := func() (goroutines, files int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			entries, _ = os.ReadDir("/dev/fd")
		}
		return runtime.NumGoroutine(), len(entries)
	}
	goroutines, files := count()
	for at := range 60 {
		n := 0
		smallRun(t.Context(), t, t.TempDir(), "r", func(op, path string, do func() error) error {
			if n++; n == 3*at {
				return syscall.EIO
			}
			return do()
		})
	}
	for {
		g, f := count()
		if g <= goroutines {
			if f > files {
				t.Errorf("%d files are open, want %d", f, files)
			}
			return
		}
		runtime.Gosched()
	}
}
