package main

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/lease"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// interruptedCommands are commands that an unfinished rebuild must stop, without the lake.
var interruptedCommands = [][]string{
	{"status"}, {"runs"}, {"verify"}, {"verify", "--quick"}, {"compact"}, {"prune", "--older-than", "30d"}, {"ddl"}, {"files"}, {"salvage"}, {"held", "list"}, {"resume"},
	{"export", "--output", "-", "--format", "csv"}, {"report", "--output", "-"}, {"schema", "diff", "lake"}, {"rebuild", "--into", "elsewhere"},
}

// TestRebuildInterrupted stops a rebuild at many operations on the disk, as if the process had been killed. What
// it leaves is either no lake, or one that every command refuses, or a whole one; a run buys nothing
// into it, and the same rebuild starts again.
func TestRebuildInterrupted(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	r.buyDomains(5, "--signals", "news")
	r.buyDomains(9, "--signals", "news")
	list := writeList(t, "interrupted", 3)
	bought := r.sim.Bill().Requests
	var stderr string
	rebuild := func(into string, stopAt int64) (ops int64, code int) {
		var n atomic.Int64
		setHook(t, func(op, path string, do func() error) error {
			if strings.HasPrefix(path, into) && n.Add(1) >= stopAt && stopAt > 0 {
				return errors.New("killed")
			}
			return do()
		})
		defer clearHook(t)
		code, _, stderr = says(t, "rebuild", "--lake", r.lake, "--into", into, "--jobs", "1")
		return n.Load(), code
	}
	total, code := rebuild(filepath.Join(t.TempDir(), "whole"), 0)
	if code != exitComplete {
		t.Fatalf("rebuild: exit code %d", code)
	}
	refused := 0
	points := []int64{1, 2, 3, 4, 5, 6, 7, total - 3, total - 2, total - 1, total}
	for range proof.Size(20, 8, 4) {
		points = append(points, 8+int64(len(points))*total/32%(total-8))
	}
	for _, at := range points {
		into := filepath.Join(t.TempDir(), "rebuilt")
		if _, code := rebuild(into, at); code == exitComplete {
			t.Errorf("rebuild that stopped at operation %d of %d: exit code %d", at, total, code)
		}
		if _, err := os.Stat(filepath.Join(into, "_state", "rebuild.json")); err == nil {
			refused++
			commands := append(slices.Clone(interruptedCommands[:2]), []string{"run", list, "--signals", "news", "--base-url", r.server.URL})
			if refused == 5 { // they refuse it the same way at any operation
				commands = append(commands, interruptedCommands[2:]...)
			}
			for _, words := range commands {
				checkRefused(t, words, into, "siglake rebuild --lake "+r.lake+" --into "+into)
			}
		} else if code, _, stderr := says(t, "verify", "--lake", into); code == exitIntegrity || code == exitStorage {
			t.Errorf("stopped at operation %d of %d: verify exits %d: %s", at, total, code, stderr)
		}
		if at == total {
			continue // the directory of a whole lake without its mark was not synced
		}
		if _, code := rebuild(into, 0); code != exitComplete {
			t.Errorf("the same rebuild after operation %d of %d: exit code %d: %s", at, total, code, stderr)
		}
		(&rig{t: t, lake: into}).mustExit(exitComplete, "verify")
	}
	if refused < 8 {
		t.Errorf("%d of %d places were marked as unfinished, want most", refused, len(points))
	}
	if n := r.sim.Bill().Requests; n != bought {
		t.Errorf("%d requests into unfinished lakes, want none", n-bought)
	}
}

// checkRefused runs a command on an unfinished rebuild.
func checkRefused(t *testing.T, words []string, lake, advice string) {
	t.Helper()
	args := append(slices.Clone(words), "--lake", lake)
	if words[0] == "schema" {
		args = append(slices.Clone(words[:2]), lake, lake)
	}
	code, _, stderr := says(t, args...)
	if code != exitIntegrity || !strings.Contains(stderr, advice) || strings.Contains(stderr, "restore") {
		t.Errorf("%q on an unfinished rebuild: exit code %d, want %d, and %q: %s", words, code, exitIntegrity, advice, stderr)
	}
}

// TestRebuildOverOther: a rebuild takes no place that holds anything but its own remains, and none inside
// of the lake or around it.
func TestRebuildOverOther(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.buyDomains(3, "--signals", "news")
	dir := t.TempDir()
	mark := func(name, of string, more ...string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Join(path, "_state"), 0o700); err != nil {
			t.Fatal(err)
		}
		if of != "" {
			more = append(more, filepath.Join("_state", "rebuild.json")+"={\"rebuild_of\":\""+of+"\"}")
		}
		for _, file := range more {
			name, text, _ := strings.Cut(file, "=")
			if err := os.WriteFile(filepath.Join(path, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	for into, says := range map[string]string{
		mark("foreign", r.lake, "notes.txt=mine"):          "notes.txt",
		mark("other", "/another/lake"):                     "/another/lake",
		mark("used", "", filepath.Join("_state", "x=y")):   "is not empty",
		filepath.Join(r.lake, "rebuilt"):                   "inside of the lake",
		filepath.Join(r.lake, "..", filepath.Base(r.lake)): "is the lake itself",
		filepath.Dir(r.lake):                               "contains the lake",
	} {
		before := filesOf(t, into)
		code, _, stderr := runProgram(t, "rebuild", "--lake", r.lake, "--into", into)
		if code != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("rebuild --into %s: exit code %d, want %d, and %q: %s", into, code, exitUsage, says, stderr)
		}
		if after := filesOf(t, into); !slices.Equal(before, after) {
			t.Errorf("rebuild --into %s changed %q to %q", into, before, after)
		}
	}
	for _, into := range []string{mark("locked before", "", filepath.Join("_state", "lock=")), mark("remains", r.lake)} {
		r.mustExit(exitComplete, "rebuild", "--into", into)
	}
}

// TestRebuildKeepsPurchases: answers that an earlier version of siglake, which knows no mark, bought into an
// unfinished rebuild are not removed; nor is a damaged journal, which may have some.
func TestRebuildKeepsPurchases(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.buyDomains(3, "--signals", "news")
	older := filepath.Join(t.TempDir(), "older")
	if err := os.CopyFS(older, os.DirFS(r.lake)); err != nil {
		t.Fatal(err)
	}
	r.buyDomains(6, "--signals", "news")
	mark := filepath.Join(r.lake, "_state", "rebuild.json")
	if err := os.WriteFile(mark, []byte(`{"rebuild_of":"`+older+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	before := filesOf(t, r.lake)
	for _, damaged := range []bool{false, true} {
		if damaged {
			if err := damageJournal(r.lake); err != nil {
				t.Fatal(err)
			}
		}
		code, _, stderr := says(t, "rebuild", "--lake", older, "--into", r.lake)
		if code != exitIntegrity || !strings.Contains(stderr, "keep it") {
			t.Errorf("rebuild over purchases, damaged: %v: exit code %d, want %d: %s", damaged, code, exitIntegrity, stderr)
		}
		if after := filesOf(t, r.lake); !slices.Equal(before, after) {
			t.Errorf("rebuild over purchases, damaged: %v, changed %q to %q", damaged, before, after)
		}
	}
}

// damageJournal damages every segment of a journal.
func damageJournal(lake string) error {
	segments, err := filepath.Glob(filepath.Join(lake, "_state", "journal", "*.journal"))
	for _, name := range segments {
		err = errors.Join(err, os.WriteFile(name, []byte(strings.Repeat("x", 9000)), 0o600))
	}
	return err
}

// filesOf are the paths below a directory; none if it does not exist.
func filesOf(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return paths
}

// TestRebuildInterruptedOnS3: the same in a bucket, where the object with the place of the journal is the mark.
func TestRebuildInterruptedOnS3(t *testing.T) {
	r := newRig(t, simulator.Config{})
	r.buyDomains(4, "--signals", "news")
	r.buyDomains(7, "--signals", "news")
	store := buckettest.Start(t)
	access, into := s3LakeFlags(t, store), store.URI("lakes/rebuilt")
	with := func(words ...string) []string { return slices.Concat(words, access) }
	var total int64
	for _, place := range []string{store.URI("lakes/whole"), into} {
		var staged atomic.Int64
		setHook(t, func(_, path string, do func() error) error {
			if strings.Contains(path, "_staging") && staged.Add(1) > total/4*3 && total > 0 {
				return errors.New("killed")
			}
			return do()
		})
		code, _, stderr := runProgram(t, with("rebuild", "--lake", r.lake, "--into", place, "--jobs", "1")...)
		clearHook(t)
		if (code == exitComplete) != (total == 0) {
			t.Fatalf("rebuild into %s: exit code %d: %s", place, code, stderr)
		}
		total = staged.Load()
	}
	if len(bucketGenerations(t, store, into)) != 1 {
		t.Fatal("the rebuild was not interrupted after its first generation")
	}
	list := writeList(t, "interrupted", 3)
	for _, words := range append(slices.Clone(interruptedCommands), []string{"run", list, "--signals", "news", "--base-url", r.server.URL}) {
		args := with(append(slices.Clone(words), "--lake", into)...)
		if words[0] == "schema" {
			args = with(append(slices.Clone(words[:2]), into, into)...)
		}
		if code, _, stderr := runProgram(t, args...); code != exitIntegrity || !strings.Contains(stderr, "an unfinished rebuild of "+r.lake) {
			t.Errorf("%q on an unfinished rebuild: exit code %d, want %d: %s", words, code, exitIntegrity, stderr)
		}
	}
	b := openTestBucket(t, store, into)
	const journal = "_state/journal/segments/00000001"
	if err := b.Create(t.Context(), journal, []byte("of an earlier version, and damaged")); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := runProgram(t, with("rebuild", "--lake", r.lake, "--into", into)...); code != exitIntegrity || !strings.Contains(stderr, "keep it") {
		t.Errorf("rebuild over a damaged journal: exit code %d, want %d: %s", code, exitIntegrity, stderr)
	}
	if err := b.Delete(t.Context(), journal); err != nil {
		t.Fatal(err)
	}
	noDelete := buckettest.StartProxy(t, store, func(q *http.Request) buckettest.Fault {
		if q.Method == http.MethodDelete && !strings.Contains(q.URL.Path, "probe-") { // as the policy of doctor has it
			return buckettest.Denied
		}
		return buckettest.Fault{}
	})
	if code, _, stderr := runProgram(t, slices.Concat([]string{"rebuild", "--lake", r.lake, "--into", into}, s3LakeFlags(t, noDelete))...); code != exitStorage || !strings.Contains(stderr, "s3:DeleteObject") || !strings.Contains(stderr, "empty directory or prefix") {
		t.Errorf("rebuild again without the permission to delete: exit code %d, want %d, and the permission: %s", code, exitStorage, stderr)
	}
	if code, _, stderr := runProgram(t, slices.Concat([]string{"rebuild", "--lake", r.lake, "--into", store.URI("lakes/fresh")}, s3LakeFlags(t, noDelete))...); code != exitComplete {
		t.Errorf("rebuild into an empty prefix without the permission to delete: exit code %d: %s", code, stderr)
	}
	for _, words := range [][]string{{"rebuild", "--lake", r.lake, "--into", into}, {"verify", "--lake", into}} {
		if code, stdout, stderr := runProgram(t, with(words...)...); code != exitComplete {
			t.Errorf("%q: exit code %d: %s%s", words, code, stdout, stderr)
		}
	}
}

// TestRebuildReadOnlyLake: a lake that may only be read, such as a copy on a read-only disk, is rebuilt and
// left as it is; not while a process is at work on it.
func TestRebuildReadOnlyLake(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.buyDomains(3, "--signals", "news")
	state := filepath.Join(r.lake, "_state")
	for _, path := range []string{filepath.Join(state, "lock"), state, r.lake} {
		info, err := os.Stat(path)
		if err == nil {
			err = os.Chmod(path, info.Mode().Perm()&^0o222)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(path, info.Mode()) })
	}
	before := contentOf(t, r.lake)
	into := filepath.Join(t.TempDir(), "rebuilt")
	r.mustExit(exitComplete, "rebuild", "--into", into)
	if diff := cmp.Diff(before, contentOf(t, r.lake)); diff != "" {
		t.Errorf("rebuild changed the lake (-before +after):\n%s", diff)
	}
	(&rig{t: t, lake: into}).mustExit(exitComplete, "verify")
	held, err := lease.ShareFlock(state)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if os.Geteuid() != 0 { // whom nothing is forbidden: it takes the lock
		r.mustExit(exitComplete, "rebuild", "--into", filepath.Join(t.TempDir(), "again"))
	} else {
		r.mustExit(exitLocked, "rebuild", "--into", filepath.Join(t.TempDir(), "again"))
	}
}
