package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTemporary: what a killed process leaves in the folder for temporary files is nothing, or is
// removed by the next one; what another process uses stays.
func TestTemporary(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TMP", os.Getenv("TMPDIR"))
	f, name, err := createNameless("", "siglake-list-*")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if entries, err := os.ReadDir(os.TempDir()); err != nil || name == "" && len(entries) > 0 {
		t.Errorf("a file without a name left %v, %v", entries, err)
	}
	used, remove, err := createTemporary("siglake-test-")
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(os.TempDir(), "siglake-test-left")
	if err := os.MkdirAll(filepath.Join(left, "content"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{left, filepath.Dir(used)} {
		if err := os.Chtimes(dir, time.Time{}, time.Now().Add(-2*staleAfter)); err != nil {
			t.Fatal(err)
		}
	}
	sweepTemporary("siglake-test-")
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed process left is there: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(used)); err != nil {
		t.Errorf("what a process uses was removed: %v", err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(used)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove left the directory: %v", err)
	}
}
