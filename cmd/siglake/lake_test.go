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

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// TestStopSurvives: a run stopped before the end of its list and died while it
// published; its staged files are gone. Whoever completes it must not take what
// was read for the whole list.
func TestStopSurvives(t *testing.T) {
	oneDay(t)
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
	args := slices.Concat([]string{"run", path, "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0"}, plain)
	dieAt(t, func(op, path string) bool { return op == "rename" && strings.Contains(path, "/data/") })
	if code, _, stderr := call(t, args...); code == exitComplete || r.readManifest() != nil {
		t.Fatalf("dying at publication: exit %d: %s", code, stderr)
	}
	fileHook = nil
	if err := os.RemoveAll(filepath.Join(r.lake, "_staging")); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := call(t, args...)
	if code != exitUsage {
		t.Errorf("the same command again: exit %d, want %d, for the list is still cut\n%s%s", code, exitUsage, stdout, stderr)
	}
	look, err := sinks.Inspect(t.Context(), r.lake, sinks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	chain, err := look.Chain(t.Context())
	if err != nil || len(chain) == 0 {
		t.Fatalf("%d generations, %v", len(chain), err)
	}
	first := chain[0]
	if s := first.Run.Stop; s == nil || s.Kind != pipeline.StopInput || first.Run.Outcome != pipeline.Incomplete {
		t.Errorf("the run that was completed: outcome %s, stop %+v, want %s and %s", first.Run.Outcome, s, pipeline.Incomplete, pipeline.StopInput)
	}
}

// TestJournalGone: a lake whose journal was lost is not run on, for all of it
// would be bought again.
func TestJournalGone(t *testing.T) {
	oneDay(t)
	r := newRig(t, simulator.Config{})
	path := writeList(t, "gone", 50)
	r.runContext(context.Background(), nil, path, plain...)
	if err := os.RemoveAll(filepath.Join(r.lake, stateDir)); err != nil {
		t.Fatal(err)
	}
	before := r.sim.Bill().Credits
	r.runContext(context.Background(), nil, path, plain...)
	if r.code != exitIntegrity || !strings.Contains(r.stderr, "would be bought again") {
		t.Errorf("exit %d, want %d: %s", r.code, exitIntegrity, r.stderr)
	}
	if n := r.sim.Bill().Credits - before; n != 0 {
		t.Errorf("%d credits were spent", n)
	}
}
