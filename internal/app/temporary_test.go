package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
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
	used, remove, err := CreateTemporary("siglake-test-")
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(os.TempDir(), "siglake-test-left")
	killed, young := filepath.Join(os.TempDir(), "siglake-test-killed"), filepath.Join(os.TempDir(), "siglake-test-young")
	for _, dir := range []string{filepath.Join(left, "content"), killed, young} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(killed, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{left, filepath.Dir(used)} {
		if err := os.Chtimes(dir, time.Time{}, time.Now().Add(-2*lockingTime)); err != nil {
			t.Fatal(err)
		}
	}
	sweepTemporary("siglake-test-")
	for _, dir := range []string{left, killed} {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what a killed process left is there: %s, %v", dir, err)
		}
	}
	for _, dir := range []string{filepath.Dir(used), young} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("what a process uses, or is about to lock, was removed: %v", err)
		}
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(used)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove left the directory: %v", err)
	}
}

// TestSweepExports: an export removes the temporary files of killed ones from its folder, and no other file.
func TestSweepExports(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killed, other := filepath.Join(dir, exportPrefix+"killed"+exportSuffix), filepath.Join(dir, "other.tmp")
	for _, name := range []string{killed, other, filepath.Join(dir, exportPrefix+"young"+exportSuffix)} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := &ExportOptions{Lake: filepath.Join(dir, "lake"), Output: filepath.Join(dir, "a.csv")}
	first, err := createExport(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	defer first.discard()
	for _, name := range []string{killed, other, first.temporary} {
		if err := os.Chtimes(name, time.Time{}, time.Now().Add(-2*lockingTime)); err != nil {
			t.Fatal(err)
		}
	}
	second, err := createExport(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	defer second.discard()
	if _, err := os.Stat(killed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of a killed export is there: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 4 { // a young one, those of both, another file
		t.Errorf("the folder has %v, %v", entries, err)
	}
}

// TestNoTemporary: without a directory for temporary files the error names the variable that sets it.
func TestNoTemporary(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	variable := "TMPDIR"
	if runtime.GOOS == "windows" {
		variable = "TMP"
	}
	t.Setenv(variable, missing)
	_, _, err := CreateTemporary("siglake-verify-")
	_, _, nameless := createNameless("", "siglake-list-*")
	for _, err := range []error{err, nameless} {
		if err == nil || !strings.Contains(err.Error(), "let "+variable+" name") || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v, want the variable and the directory", missing, err)
		}
	}
}
