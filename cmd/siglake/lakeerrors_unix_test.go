//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/report"
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

// TestVerifyOfUnreadableLake: verify --json prints its object whatever cannot be read, with the error and the invariant that
// it breaks. Temporary files are no part of a lake.
func TestVerifyOfUnreadableLake(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(5), "--signals", "growth")
	for _, tt := range []struct {
		name   string
		damage func(lake string) error
		broken string // the invariant; empty: none
		code   int
	}{
		{"manifests", func(lake string) error {
			dir := filepath.Join(lake, "_meta", "manifest")
			return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600))
		}, "one_chain", exitStorage},
		{"journal", func(lake string) error { // a directory cannot be read as a file
			name := filepath.Join(lake, "_state", "journal", "00000001.journal")
			return errors.Join(os.Remove(name), os.MkdirAll(filepath.Join(name, "x"), 0o700))
		}, "recorded_before_sent", exitStorage},
		{"unfinished rebuild", func(lake string) error {
			return os.WriteFile(filepath.Join(lake, "_state", "rebuild.json"), []byte(`{"rebuild_of":"lake"}`), 0o600)
		}, "", exitIntegrity},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lake := filepath.Join(t.TempDir(), "lake")
			if err := errors.Join(os.CopyFS(lake, os.DirFS(r.lake)), tt.damage(lake)); err != nil {
				t.Fatal(err)
			}
			for _, words := range [][]string{{"verify", "--json"}, {"verify", "--json", "--quick"}} {
				code, stdout, stderr := says(t, append(words, "--lake", lake)...)
				var v report.Verification
				if err := json.Unmarshal([]byte(stdout), &v); err != nil || code != tt.code || len(v.Invariants) != 12 {
					t.Fatalf("%q: exit code %d, %v: %s%s; want %d, and 12 invariants", words, code, err, stdout, stderr, tt.code)
				}
				state := "failed"
				for _, i := range v.Invariants {
					switch {
					case i.Name == tt.broken:
						state = "violated"
						if i.State != "violated" || len(i.Violations) != 1 || !strings.Contains(i.Violations[0], v.Error) {
							t.Errorf("%q: %+v, want violated by %s", words, i, v.Error)
						}
					case i.State == "violated", tt.name != "journal" && i.State == "holds":
						t.Errorf("%q: %+v, want not checked", words, i)
					}
				}
				if v.State != state || v.Rebuildable || v.Error == "" || !strings.Contains(stderr, v.Error) {
					t.Errorf("%q: state %s, error %q, rebuildable: %t, want %s, and the error of %s", words, v.State, v.Error, v.Rebuildable, state, stderr)
				}
			}
		})
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
