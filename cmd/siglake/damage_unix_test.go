//go:build unix

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
)

// TestVerifyNamesOneFault: one fault breaks one invariant, and one advice goes with it: a rebuild only if nothing
// less helps. A run says what it meets, too, and what it bought is published.
func TestVerifyNamesOneFault(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	r.buyDomains(3, "--signals", "news")
	r.buyDomains(6, "--signals", "news")
	whole := r.lake
	write := func(name, text string) func(string) error {
		return func(lake string) error { return os.WriteFile(filepath.Join(lake, name), []byte(text), 0o600) }
	}
	remove := func(name string) func(string) error {
		return func(lake string) error { return os.Remove(filepath.Join(lake, name)) }
	}
	files, err := filepath.Glob(filepath.Join(whole, "data", "news", "*", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v; want the files of events", files, err)
	}
	data, err := filepath.Rel(whole, files[0])
	if err != nil {
		t.Fatal(err)
	}
	instead := func(put func(path string) error) func(string) error {
		return func(lake string) error {
			path := filepath.Join(lake, data)
			if err := os.Remove(path); err != nil {
				return err
			}
			return put(path)
		}
	}
	const rebuild = "siglake rebuild --lake"
	for _, tt := range []struct {
		name    string
		damage  func(lake string) error
		number  string // of the invariant that is broken
		says    string
		rebuild bool
		run     int // its exit code
		runSays string
	}{
		{"a stray manifest", write("_meta/manifest/00000003.json", "{}"), "8", "move that file out of the lake", false, exitIntegrity, "move that file out of the lake"},
		{"no manifest 1", remove("_meta/manifest/00000001.json"), "8", "a manifest is missing", true, exitIntegrity, "_meta/manifest/00000001.json"},
		{"no manifest 2", remove("_meta/manifest/00000002.json"), "8", "a manifest is missing", true, exitIntegrity, "a manifest is missing"},
		{"damaged current.json", write("_meta/current.json", "x"), "8", "siglake compact writes it again", false, exitIntegrity, "siglake compact writes it again"},
		{"no current.json", remove("_meta/current.json"), "8", "siglake compact writes it again", false, exitComplete, ""},
		{"a foreign file", write("data/notes.txt", "mine"), "6", "move it out of the lake", false, exitComplete, ""},
		{"a directory", instead(func(path string) error { return os.Mkdir(path, 0o700) }), "7", "is listed in a manifest and missing", true, exitIntegrity, data},
		{"a symbolic link", instead(func(path string) error { return os.Symlink(files[0], path) }), "7", "a symbolic link that leads out of the lake", false, exitIntegrity, data},
		{"a pipe", instead(func(path string) error { return syscall.Mkfifo(path, 0o600) }), "7", "is not a file", true, exitIntegrity, data},
		{"a damaged journal", damageJournal, "3", "siglake salvage", false, exitIntegrity, "siglake salvage"},
		{"no journal", func(lake string) error { return os.RemoveAll(filepath.Join(lake, "_state")) }, "3", "restore _state", false, exitIntegrity, "restore _state"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lake := filepath.Join(t.TempDir(), "lake")
			if err := os.CopyFS(lake, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			if err := tt.damage(lake); err != nil {
				t.Fatal(err)
			}
			for _, words := range [][]string{{"verify"}, {"verify", "--quick"}} {
				code, stdout, _ := says(t, append(slices.Clone(words), "--lake", lake)...)
				var broken []string
				for line := range strings.Lines(stdout) {
					if number, _, ok := strings.Cut(line, "  BROKEN "); ok {
						broken = append(broken, strings.TrimSpace(number))
					}
				}
				if code != exitIntegrity || !slices.Equal(broken, []string{tt.number}) || !strings.Contains(stdout, tt.says) {
					t.Errorf("%q: exit code %d, broken %q, want %d, %q, and %q:\n%s", words, code, broken, exitIntegrity, tt.number, tt.says, stdout)
				}
				if quick := len(words) == 2; strings.Contains(stdout, rebuild) != (tt.rebuild && !quick) || strings.Contains(stdout, "reads the answers, too") != (tt.rebuild && quick) {
					t.Errorf("%q: wrong advice, rebuild: %t:\n%s", words, tt.rebuild, stdout)
				}
			}
			code, _, stderr := runProgram(t, append([]string{"run", writeList(t, "fault", 9), "--lake", lake, "--base-url", r.server.URL, "--signals", "news", "--plan", "unlimited", "--rate", "0"}, "--quiet")...)
			if code != tt.run || !strings.Contains(stderr, tt.runSays) {
				t.Errorf("run: exit code %d, want %d, and %q: %s", code, tt.run, tt.runSays, stderr)
			}
		})
	}
}
