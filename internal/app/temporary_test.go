package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/lease"
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

// TestSweepSheets: the next command removes the parts of an Excel workbook that a killed one unpacked.
func TestSweepSheets(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TMP", os.Getenv("TMPDIR"))
	list := DefaultList()
	o, err := list.parse(S3Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	killed, _, err := o.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(killed, "workbook.xlsx"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(filepath.Dir(killed), "lock")
	if err := errors.Join(os.Rename(lock, lock+".held"), os.WriteFile(lock, nil, 0o600)); err != nil { // which no process has
		t.Fatal(err)
	}
	next, remove, err := o.TempDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(killed)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed command unpacked is there: %v", err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(next, "workbook.xlsx"), nil, 0o600), remove()); err != nil {
		t.Error(err)
	}
}

// TestSweepRejects: a check removes the temporary files of rejected lines of killed ones.
func TestSweepRejects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killed := filepath.Join(dir, rejectsPrefix+"killed"+temporarySuffix)
	if err := errors.Join(os.WriteFile(killed, nil, 0o600), os.Chtimes(killed, time.Time{}, time.Now().Add(-2*lockingTime))); err != nil {
		t.Fatal(err)
	}
	r, err := createRejects(filepath.Join(dir, "rejects.csv"))
	if err == nil {
		err = r.close(true)
	}
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || entries[0].Name() != "rejects.csv" {
		t.Errorf("the folder has %v, %v; want the rejected lines only", entries, err)
	}
}

// TestSweepExports: an export removes the temporary files of killed ones from its folder, and no other file.
func TestSweepExports(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killed, other := filepath.Join(dir, exportPrefix+"killed"+temporarySuffix), filepath.Join(dir, "other.tmp")
	for _, name := range []string{killed, other, filepath.Join(dir, exportPrefix+"young"+temporarySuffix)} {
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

// TestFullTemporary: an error of a temporary file names the variable of its directory; one of another file does not.
func TestFullTemporary(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(os.TempDir(), "siglake-verify-1")
	full := &fs.PathError{Op: "write", Path: filepath.Join(dir, "content", "run-1.tmp"), Err: syscall.ENOSPC}
	err := belowTemporary(dir, fmt.Errorf("sort the rows of accounts: %w", full))
	temporary := new(TemporaryError)
	if !errors.As(err, &temporary) || !strings.Contains(err.Error(), "with more space") || !strings.Contains(err.Error(), full.Path) {
		t.Errorf("of a file there: %v, want the variable, more space and the path", err)
	}
	full.Path = filepath.Join("lake", "_staging", "run-1.tmp")
	if err := belowTemporary(dir, full); errors.As(err, &temporary) {
		t.Errorf("of another file: %v", err)
	}
}

// TestLockErrors: a lake that may only be read is no lake that another process has locked.
func TestLockErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		kind Kind
		says string
	}{
		{fmt.Errorf("%w: siglake run", lease.ErrLocked), KindLocked, "wait until it has ended"},
		{&fs.PathError{Op: "open", Path: "lake/_state/lock", Err: syscall.EACCES}, KindStorage, "may only be read, and this command writes to it: open lake/_state/lock"},
		{&fs.PathError{Op: "open", Path: "lake/_state/lock", Err: syscall.EROFS}, KindStorage, "may only be read"},
		{&fs.PathError{Op: "open", Path: "lake/_state/lock", Err: syscall.EIO}, KindStorage, "input/output error"},
	} {
		typed := new(Error)
		if err := lockError("lake", tt.err); !errors.As(err, &typed) || typed.Kind != tt.kind || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("lockError(%v) = %v, want kind %s and %q", tt.err, err, tt.kind, tt.says)
		}
	}
}
