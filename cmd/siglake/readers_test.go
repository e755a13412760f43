package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// buyDomains runs "siglake run" on a list of n domains, in a lake that other runs have
// been to, and checks the invariants. It gives the manifest.
func (r *rig) buyDomains(n int, flags ...string) *pipeline.Manifest {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "list.csv")
	if err := os.WriteFile(path, []byte(domainLines(n)), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.mustExit(exitComplete, append([]string{"run", path, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0"}, flags...)...)
	r.checkInvariants()
	return r.readManifest()
}

// CompactLake runs "siglake compact" and expects it to say something.
func (r *rig) compactLake(says string, flags ...string) {
	r.t.Helper()
	if out := r.mustExit(exitComplete, append([]string{"compact"}, flags...)...); !strings.Contains(out, says) {
		r.t.Errorf("siglake compact %q says %q, want %q", flags, out, says)
	}
	r.checkInvariants()
}

// checkInvariants: all invariants hold, and the newest generation lists every row that
// someone sees who globs.
func (r *rig) checkInvariants() {
	r.t.Helper()
	var stdout, stderr bytes.Buffer
	if code := envFor(r.t).execute(r.t.Context(), []string{"siglake", "verify", "--lake", r.lake}, nil, &stdout, &stderr); code != exitComplete {
		r.t.Errorf("siglake verify = exit %d, want 0: %s%s", code, stdout.String(), stderr.String())
	}
	i, err := sinks.Inspect(r.t.Context(), r.lake, sinks.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer i.Close()
	s, err := i.ReadSnapshot(r.t.Context(), 0)
	if err != nil {
		r.t.Fatal(err)
	}
	visible, err := i.ListGlobbed(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, table := range schema.Tables {
		var listed, globbed []string
		for _, f := range s.Files {
			if f.Table == table.Name {
				listed = append(listed, f.Path)
			}
		}
		for _, path := range visible {
			if strings.Split(path, "/")[1] == table.Name {
				globbed = append(globbed, path)
			}
		}
		got, gotErr := i.HashRows(r.t.Context(), table.Name, listed)
		want, wantErr := i.HashRows(r.t.Context(), table.Name, globbed)
		if err := errors.Join(gotErr, wantErr); err != nil || got != want {
			r.t.Errorf("rows of %s in the list are %+v, %v, want those of a glob, %+v", table.Name, got, err, want)
		}
	}
}

// TestCompactLake compacts between runs; runs, verify, status and rebuild work as
// before, and no call is made.
func TestCompactLake(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	var last *pipeline.Manifest
	for _, n := range []int{60, 120, 180} {
		last = r.buyDomains(n, "--signals", "news,growth")
	}
	billed := r.sim.Bill()

	r.compactLake("Nothing to do")
	r.compactLake("as generation 4; no API call was made", "--min-files", "2")
	m := r.readManifest()
	if m.Run.Kind != pipeline.CompactionGeneration || len(m.Files) == 0 || len(m.Replaces) < 2*len(m.Files) {
		t.Errorf("generation 4 is %+v with %d files for %d, want a compaction", m.Run, len(m.Files), len(m.Replaces))
	}
	r.compactLake("Nothing to do", "--min-files", "2")

	// The last command again is still done.
	if again := r.buyDomains(180, "--signals", "news,growth"); again.Generation != 4 {
		t.Errorf("the last command again ends with generation %d, want 4 still", again.Generation)
	}
	if now := r.sim.Bill(); now.Billed != billed.Billed || now.Credits != billed.Credits {
		t.Errorf("the bill is %+v after compacting run %s, want %+v still", now, last.Run.ID, billed)
	}
	if next := r.buyDomains(240, "--signals", "news,growth"); next.Generation != 5 {
		t.Errorf("a run after a compaction is generation %d, want 5", next.Generation)
	}
	r.compactLake("as generation 6", "--min-files", "2")

	_, out, _ := strings.Cut(r.mustExit(exitComplete, "status"), "GENERATION  KIND")
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		got = append(got, strings.Join(strings.Fields(line)[:2], " "))
	}
	if diff := cmp.Diff([]string{"6 compaction", "5 run", "4 compaction", "3 run", "2 run", "1 run"}, got); diff != "" {
		t.Errorf("generations of status (-want +got):\n%s", diff)
	}

	// A rebuilt lake has the runs, and nothing to make them fewer files.
	into := filepath.Join(t.TempDir(), "rebuilt")
	r.mustExit(exitComplete, "rebuild", "--into", into)
	r.lake = into
	r.checkInvariants()
	if m := r.readManifest(); m.Generation != 4 || m.Snapshot == nil {
		t.Errorf("the rebuilt lake ends with generation %d and list %v, want 4 with one", m.Generation, m.Snapshot)
	}
}

// TestCompactDies: whatever operation on a file a compaction dies before, the
// invariants hold, and compacting again comes to the same.
func TestCompactDies(t *testing.T) {
	t.Parallel()
	step := proof.Size(97, 29, 1)
	r := newRig(t, simulator.Config{})
	for _, n := range []int{20, 40} {
		r.buyDomains(n, "--signals", "news")
	}
	baseline := r.lake
	tried := 0
	for at := 1; ; at += step {
		r.lake = filepath.Join(t.TempDir(), "lake")
		if err := os.CopyFS(r.lake, os.DirFS(baseline)); err != nil {
			t.Fatal(err)
		}
		n := 0
		setHook(t, func(op, path string, do func() error) error {
			if !strings.HasPrefix(path, filepath.Join(r.lake, app.StateDir)) {
				n++
			}
			if n >= at {
				return &os.PathError{Op: op, Path: path, Err: syscall.EIO}
			}
			return do()
		})
		var stdout, stderr bytes.Buffer
		code := envFor(t).execute(t.Context(), []string{"siglake", "compact", "--lake", r.lake, "--min-files", "2"}, nil, &stdout, &stderr)
		clearHook(t)
		if n < at {
			break
		}
		if code != exitStorage || !strings.Contains(stderr.String(), "check the disk") {
			t.Errorf("operation %d: compact = exit %d, %q, want %d and what to do", at, code, stderr.String(), exitStorage)
		}
		r.checkInvariants()
		r.mustExit(exitComplete, "compact", "--min-files", "2")
		r.checkInvariants()
		if m := r.readManifest(); m.Generation != 3 || m.Run.Kind != pipeline.CompactionGeneration {
			t.Errorf("operation %d: the lake ends with generation %d, %q, want 3, a compaction", at, m.Generation, m.Run.Kind)
		}
		if t.Failed() {
			t.FailNow()
		}
		tried++
	}
	if tried < 8 {
		t.Errorf("%d operations failed, want more: the test shows nothing", tried)
	}
}

// TestVerifyFindsWhatCompactionsDo breaks what concerns lists and compactions,
// one thing at a time.
func TestVerifyFindsWhatCompactionsDo(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	for _, n := range []int{20, 40} {
		r.buyDomains(n, "--signals", "news")
	}
	r.compactLake("as generation 3", "--min-files", "2")
	m := r.readManifest()
	for name, c := range map[string]struct {
		path   string
		damage func(path string) error
		says   []string
	}{
		"list lost":           {m.Snapshot.Path, os.Remove, []string{"8  BROKEN"}},
		"list cut":            {m.Snapshot.Path, func(path string) error { return os.Truncate(path, 99) }, []string{"8  BROKEN"}},
		"compacted file lost": {m.Files[0].Path, os.Remove, []string{"7  BROKEN", "compaction " + m.Run.ID}},
		"compacted file cut":  {m.Files[0].Path, func(path string) error { return os.Truncate(path, 999) }, []string{"7  BROKEN", "compaction " + m.Run.ID}},
		"replaced file lost":  {m.Replaces[0], os.Remove, []string{"7  BROKEN", "compaction " + m.Run.ID}},
		"first manifest lost": {"_meta/manifest/00000001.json", os.Remove, []string{"8  BROKEN", "compaction " + m.Run.ID}},
		"last manifest lost":  {"_meta/manifest/00000003.json", os.Remove, []string{"8  BROKEN"}},
		"merges cut":          {"merges/00000003.parquet", func(path string) error { return os.Truncate(path, 9) }, []string{"8  BROKEN", "siglake compact writes it again"}},
		"manifest cut":        {"_meta/manifest/00000002.json", func(path string) error { return os.Truncate(path, 99) }, []string{"8  BROKEN"}},
	} {
		lake := filepath.Join(t.TempDir(), "lake")
		if err := os.CopyFS(lake, os.DirFS(r.lake)); err != nil {
			t.Fatal(err)
		}
		if err := c.damage(filepath.Join(lake, c.path)); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		code := envFor(t).execute(t.Context(), []string{"siglake", "verify", "--lake", lake}, nil, &stdout, &stderr)
		if n := strings.Count(stdout.String(), "BROKEN"); n != 1 || strings.Contains(stdout.String(), "<nil>") {
			t.Errorf("%s: %d invariants are broken, want one, and no <nil>: %s", name, n, stdout.String())
		}
		if name == "merges cut" && strings.Contains(stdout.String(), "siglake rebuild") {
			t.Errorf("%s: verify advises a rebuild, want less: %s", name, stdout.String())
		}
		for _, says := range c.says {
			if code != exitIntegrity || !strings.Contains(stdout.String(), says) {
				t.Errorf("%s: verify = exit %d, want %d and %q: %s", name, code, exitIntegrity, says, stdout.String())
			}
		}
	}
	// The leftovers of a killed compaction do no harm.
	stray := filepath.Join(r.lake, "compact", "data", "news", "event_month=2026-01", "compact-00000001-00000000-00000000.parquet")
	if err := errors.Join(os.MkdirAll(filepath.Dir(stray), 0o777), os.WriteFile(stray, nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	if out := r.mustExit(exitComplete, "verify"); !strings.Contains(out, "1 unused, of abandoned compactions") {
		t.Errorf("verify beside a stray file says %q, want that there is one", out)
	}
	for _, name := range []string{"_meta/current.json", "merges/00000003.parquet"} {
		if err := os.Remove(filepath.Join(r.lake, name)); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "merges/") {
			if out := r.mustExit(exitComplete, "verify"); !strings.Contains(out, name+" is missing: until siglake compact writes it") {
				t.Errorf("verify without %s does not say so: %s", name, out)
			}
		}
		if out := r.mustExit(exitComplete, "compact"); !strings.Contains(out, "Wrote "+name+" again") {
			t.Errorf("compact without %s says %q, want that it wrote it again", name, out)
		}
	}
}

func TestReadersRefuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(5), "--signals", "news")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"ddl --lake " + r.lake + "/nowhere", exitUsage, "the directory does not exist"},
		{"ddl --lake " + file, exitUsage, "is a file"},
		{"ddl --lake " + r.lake + " --dialect hive", exitUsage, "duckdb, athena, trino"},
		{"ddl --lake " + r.lake + " --dialect athena", exitUsage, "needs a lake on S3"},
		{"ddl --lake " + r.lake + " --dialect trino", exitUsage, "needs --database"},
		{"ddl --lake " + r.lake + " --dialect spark --database a;b", exitUsage, "expected letters"},
		{"ddl --lake " + r.lake + " --prefix 1", exitUsage, "expected letters"},
		{"ddl --lake " + r.lake + " --database main", exitUsage, "needs --persistent"},
		{"ddl --lake " + r.lake + " --dialect spark --persistent", exitUsage, "outlive a session"},
		{"ddl --lake " + r.lake + " --dialect spark --into x.duckdb", exitUsage, "a file of DuckDB"},
		{"ddl --lake " + r.lake + " --into x.duckdb --database main", exitUsage, "names the database"},
		{"ddl --lake " + r.lake + " --into x.duckdb --duckdb no-such-program", exitUsage, "--persistent | duckdb x.duckdb"},
		{"ddl --lake s3://bucket/lake --dialect athena --generation 1", exitUsage, "of every generation"},
		{"ddl --lake " + r.lake + " --generation 2", exitUsage, "the newest is 1"},
		{"ddl --lake " + r.lake + " --generation -1", exitUsage, "no generation -1"},
		{"ddl extra --lake " + r.lake, exitUsage, "no arguments"},
		{"files extra --lake " + r.lake, exitUsage, "no arguments"},
		{"files --lake " + r.lake + " --table events", exitUsage, "a view of siglake ddl"},
		{"files --lake " + r.lake + " --table event", exitUsage, "no table has this name"},
		{"files --lake " + r.lake + " --generation 2", exitUsage, "the newest is 1"},
		{"compact extra --lake " + r.lake, exitUsage, "no arguments"},
		{"compact --lake " + r.lake + "/nowhere", exitUsage, "is not a siglake lake"},
		{"compact --lake " + r.lake + " --min-files 1", exitUsage, "from 2"},
		{"compact --lake " + r.lake + " --target-size 1000", exitUsage, "from 1MiB"},
		{"compact --lake " + r.lake + " --target-size many", exitUsage, "from 1MiB"},
	} {
		var stdout, stderr bytes.Buffer
		code := envFor(t).execute(t.Context(), append([]string{"siglake"}, strings.Fields(c.args)...), nil, &stdout, &stderr)
		if code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("siglake %s = exit %d, %q, want %d and %q", c.args, code, stderr.String(), c.code, c.says)
		}
	}
}

// TestFiles: the listed files hold every row once, before and after a compaction.
func TestFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.buyDomains(5, "--signals", "news")
	r.buyDomains(9, "--signals", "news")
	rows := func() (total int64, paths []string) {
		t.Helper()
		for line := range strings.Lines(r.mustExit(exitComplete, "files", "--json", "--table", "accounts")) {
			var f sinks.DataFile
			if err := json.Unmarshal([]byte(line), &f); err != nil || f.Table != "accounts" {
				t.Fatalf("line %q: %v", line, err)
			}
			total, paths = total+f.Rows, append(paths, f.Path)
		}
		return total, paths
	}
	total, before := rows()
	r.mustExit(exitComplete, "compact", "--min-files", "2")
	compacted, after := rows()
	if total != 5+9 || compacted != total || len(before) != 2 || len(after) != 1 {
		t.Errorf("%d rows in %q, after a compaction %d in %q; want 14 in 2 files, then in one", total, before, compacted, after)
	}
	for _, path := range append(before, after...) {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	all := r.mustExit(exitComplete, "files")
	if !strings.Contains(all, after[0]+"\n") || strings.Contains(all, before[0]) || !strings.Contains(all, "/data/news/") && !strings.Contains(all, "/compact/data/news/") {
		t.Errorf("files of all tables: %s", all)
	}
}
