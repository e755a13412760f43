package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProfile: a run leaves profiles, also one that is stopped; what is in their way is named before
// anything is bought; help does not mention the flag. Its cases do not run in parallel: a process has
// one CPU profile at a time.
func TestProfile(t *testing.T) {
	t.Parallel()
	list, dir := writeList(t, "profiled", 3), t.TempDir()
	command := func(name string) []string {
		return []string{"siglake", "run", list, "--lake", filepath.Join(dir, "lake-"+name), "--signals", "news", "--simulate", "--quiet", "--profile", filepath.Join(dir, name)}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for name, c := range map[string]struct {
		ctx  context.Context
		code int
	}{"whole": {t.Context(), exitComplete}, "stopped": {stopped, exitDeferred}} {
		var stderr bytes.Buffer
		if code := envFor(t).execute(c.ctx, command(name), strings.NewReader(""), io.Discard, &stderr); code != c.code {
			t.Errorf("%s: exit %d, want %d: %s", name, code, c.code, stderr.String())
		}
		for _, file := range []string{"run.cpu.pprof", "run.heap.pprof"} {
			if text, err := os.ReadFile(filepath.Join(dir, name, file)); err != nil || !bytes.HasPrefix(text, []byte{0x1f, 0x8b}) {
				t.Errorf("%s: %s is no compressed profile: %v", name, file, err)
			}
		}
	}

	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := says(t, command("file")[1:]...); code != exitStorage || !strings.Contains(stderr, "--profile: ") || !strings.Contains(stderr, filepath.Join(dir, "file")) {
		t.Errorf("a file in the place of the folder: exit %d, %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "lake-file")); err == nil {
		t.Error("a run that cannot write its profile has begun")
	}
	if _, help, _ := says(t, "run", "--help"); strings.Contains(help, "--profile ") {
		t.Error("help shows --profile")
	}
}

// TestProfileFails: a profile that cannot be completed is said, and does not change how the command ended.
func TestProfileFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "cpu"))
	if err != nil {
		t.Fatal(err)
	}
	p := profiles{f, filepath.Join(dir, "missing", "heap")}
	if err := p.finish(); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "missing")) {
		t.Errorf("finish() = %v, want the file that cannot be created", err)
	}
}
