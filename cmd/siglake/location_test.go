package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// TestStopSurvives: a run stopped before the end of its list and died while it
// published; its staged files are gone. Its recovery must not take what was read for
// the whole list.
func TestStopSurvives(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	text, err := os.ReadFile(writeList(t, "cut", 5000))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	w.Close()
	path := filepath.Join(t.TempDir(), "cut.txt.gz")
	if err := os.WriteFile(path, packed.Bytes()[:packed.Len()-8], 0o600); err != nil {
		t.Fatal(err)
	}
	args := slices.Concat([]string{"run", path, "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0"}, baseFlags)
	crashAt(t, func(op, path string) bool { return op == "rename" && strings.Contains(path, "/data/") })
	if code, _, stderr := runProgram(t, args...); code == exitComplete || r.readManifest() != nil {
		t.Fatalf("dying at publication: exit %d: %s", code, stderr)
	}
	clearHook(t)
	if err := os.RemoveAll(filepath.Join(r.lake, "_staging")); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runProgram(t, args...)
	if code != exitUsage {
		t.Errorf("the same command again: exit %d, want %d, for the list is still cut\n%s%s", code, exitUsage, stdout, stderr)
	}
	look, err := sinks.Inspect(t.Context(), r.lake, sinks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	chain, err := look.ReadChain(t.Context())
	if err != nil || len(chain) == 0 {
		t.Fatalf("%d generations, %v", len(chain), err)
	}
	first := chain[0]
	if s := first.Run.Stop; s == nil || s.Kind != pipeline.StopInput || first.Run.Outcome != pipeline.RunDeferred {
		t.Errorf("the run that was completed: outcome %s, stop %+v, want %s and %s", first.Run.Outcome, s, pipeline.RunDeferred, pipeline.StopInput)
	}
}

// TestJournalGone: siglake refuses to run on a lake that lost its journal, because it
// would buy everything again.
func TestJournalGone(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	path := writeList(t, "gone", 50)
	r.runList(context.Background(), nil, path, baseFlags...)
	if err := os.RemoveAll(filepath.Join(r.lake, app.StateDir)); err != nil {
		t.Fatal(err)
	}
	before := r.sim.Bill().Credits
	r.runList(context.Background(), nil, path, baseFlags...)
	if r.code != exitIntegrity || !strings.Contains(r.stderr, "buy everything again") {
		t.Errorf("exit %d, want %d: %s", r.code, exitIntegrity, r.stderr)
	}
	if n := r.sim.Bill().Credits - before; n != 0 {
		t.Errorf("%d credits were spent", n)
	}
}

// TestReadersLeaveNothing: readers create nothing, whether there is a lake or not.
func TestReadersLeaveNothing(t *testing.T) {
	r := newRig(t, simulator.Config{})
	store := buckettest.Start(t)
	path, access, dir := writeList(t, "look", 10), s3LakeFlags(t, store), t.TempDir()
	for _, lake := range []string{dir, store.URI("lakes/look")} {
		for _, args := range [][]string{
			{"doctor", "--lake", lake, "--base-url", r.server.URL}, {"status", "--lake", lake}, {"verify", "--lake", lake}, {"held", "list", "--lake", lake},
			append([]string{"plan", path, "--lake", lake, "--base-url", r.server.URL}, baseFlags...),
		} {
			code, _, stderr := runProgram(t, append(args, access...)...)
			if looks := args[0] == "doctor" || args[0] == "plan"; looks && code != exitComplete || !looks && code != exitUsage {
				t.Errorf("%s of no lake: exit %d: %s", args[0], code, stderr)
			}
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for o, err := range openTestBucket(t, store, store.URI("")).List(t.Context(), "") {
		t.Errorf("left behind: %s, %v", o.Name, err)
	}
}

// TestStateDirectory: the journal of a lake on S3 in a directory of one machine
// belongs to that lake alone, and must not be lost.
func TestStateDirectory(t *testing.T) {
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	store := buckettest.Start(t)
	path, access, state := writeList(t, "state", 50), s3LakeFlags(t, store), filepath.Join(t.TempDir(), "state")
	run := func(lake, state string) (int, string) {
		t.Helper()
		code, stdout, stderr := runProgram(t, slices.Concat([]string{"run", path, "--lake", store.URI(lake), "--state", state, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0"}, baseFlags, access)...)
		return code, stdout + stderr
	}
	if code, output := run("one", state); code != exitComplete {
		t.Fatalf("exit %d: %s", code, output)
	}
	billed := r.sim.Bill().Credits
	if code, output := run("one/", state); code != exitComplete || !strings.Contains(output, "Nothing to do") {
		t.Errorf("again: exit %d: %s", code, output)
	}
	if code, output := run("two", state); code != exitUsage || !strings.Contains(output, "holds the journal of "+store.URI("one/")) {
		t.Errorf("another lake with the same --state: exit %d: %s", code, output)
	}
	if code, output := run("one", state+"-other"); code != exitUsage || !strings.Contains(output, "on that host with --state") {
		t.Errorf("the lake with another --state: exit %d: %s", code, output)
	}
	if err := os.Rename(state, state+"-away"); err != nil {
		t.Fatal(err)
	}
	if code, output := run("one", state); code != exitIntegrity || !strings.Contains(output, "is missing from") {
		t.Errorf("without the directory: exit %d: %s", code, output)
	}
	if n := r.sim.Bill().Credits - billed; n != 0 {
		t.Errorf("%d credits were spent", n)
	}
	if code, output := run("two", t.TempDir()); code != exitComplete {
		t.Errorf("the other lake with a directory of its own: exit %d: %s", code, output)
	}
}
