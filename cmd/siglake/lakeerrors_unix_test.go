//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
)

// TestReadersOfDamagedLake: every command that reads the rows of a lake without one of its files says how to mend
// the lake.
func TestReadersOfDamagedLake(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(5), "--signals", "growth")
	files, err := filepath.Glob(filepath.Join(r.lake, "data", "*", "*", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v; want the files of events", files, err)
	}
	for _, name := range files {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, words := range [][]string{{"report", "--output", "-"}, {"export", "--output", "-", "--format", "csv"}} {
		code, _, stderr := says(t, append(words, "--lake", r.lake)...)
		if code != exitIntegrity || !strings.Contains(stderr, "siglake rebuild --lake") {
			t.Errorf("%q: exit code %d, want %d, and the mend: %s", words, code, exitIntegrity, stderr)
		}
	}
	if err := os.Remove(filepath.Join(r.lake, "_meta", "manifest", "00000001.json")); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"report", "--output", "-"}, {"export", "--output", "-", "--format", "csv"}, {"status"}, {"ddl"}, {"files"}, {"compact"}} {
		code, _, stderr := says(t, append(words, "--lake", r.lake)...)
		if code != exitIntegrity || !strings.Contains(stderr, "siglake rebuild ") {
			t.Errorf("%q without a manifest: exit code %d, want %d, and the mend: %s", words, code, exitIntegrity, stderr)
		}
	}
}

// TestUnreadableLake: a lake that may not be read is no wrong command line. A folder that cannot hold one is.
func TestUnreadableLake(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	hidden := filepath.Join(lake, "hidden")
	if err := os.MkdirAll(hidden, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(lake, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(lake, 0o700) }) //nolint:gosec // a directory
	want := exitStorage
	if os.Geteuid() == 0 { // whom nothing is forbidden
		want = exitUsage
	}
	for _, words := range [][]string{{"report", "--output", "-"}, {"export", "--output", "-", "--format", "csv"}, {"ddl"}, {"status"}, {"files"}, {"verify"}} {
		if code, _, stderr := says(t, append(words, "--lake", lake)...); code != want {
			t.Errorf("%q: exit code %d, want %d: %s", words, code, want, stderr)
		}
	}
}

// TestDDLInto: a database file that a program writes is in use, not another program's. Views over tables need
// these, which a new file has not.
func TestDDLInto(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(3), "--signals", "growth")
	dir := t.TempDir()
	program, into := filepath.Join(dir, "duckdb"), filepath.Join(dir, "lake.duckdb")
	script := "#!/bin/sh\necho 'IO Error: Could not set lock on file \"x\": Conflicting lock is held in python (PID 7)' >&2\nexit 1\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if err := os.WriteFile(into, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, words := range map[int][]string{exitLocked: nil, exitUsage: {"--over", "siglake"}} {
		code, _, stderr := says(t, append([]string{"ddl", "--lake", r.lake, "--into", into, "--duckdb", program}, words...)...)
		if code != want || strings.Contains(stderr, "remove it") {
			t.Errorf("%q: exit code %d, want %d: %s", words, code, want, stderr)
		}
	}
}
