package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// openTemp opens a new directory.
func openTemp(t *testing.T, hook Hook) *Dir {
	t.Helper()
	d, err := Open(t.TempDir(), hook)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// writeTemp creates a file with a content.
func writeTemp(t *testing.T, d *Dir, name, content string) {
	t.Helper()
	if err := d.WriteFile(name, []byte(content)); err != nil {
		t.Fatalf("WriteFile(%s) = %v", name, err)
	}
}

// TestMkdirAll: each new name is synced in its parent, in order, and an existing
// directory is left alone.
func TestMkdirAll(t *testing.T) {
	base := t.TempDir()
	var ops []string
	hook := func(op, path string, do func() error) error {
		rel, err := filepath.Rel(base, path)
		if err != nil {
			t.Error(err)
		}
		ops = append(ops, op+" "+filepath.ToSlash(rel))
		return do()
	}
	path := filepath.Join(base, "a", "b", "c")
	if err := MkdirAll(path, 0o700, hook); err != nil {
		t.Fatalf("MkdirAll() = %v", err)
	}
	want := []string{"mkdir a", "syncdir .", "mkdir a/b", "syncdir a", "mkdir a/b/c", "syncdir a/b"}
	if !slices.Equal(ops, want) {
		t.Errorf("operations = %q, want %q", ops, want)
	}
	ops = nil
	if err := MkdirAll(path, 0o700, hook); err != nil || len(ops) > 0 {
		t.Errorf("MkdirAll() of an existing directory = %v with operations %q, want none", err, ops)
	}
}

// TestCreateTmpOnly: a file that is incomplete must not have another name.
func TestCreateTmpOnly(t *testing.T) {
	d := openTemp(t, nil)
	if _, err := d.Create("x.parquet"); err == nil || !strings.Contains(err.Error(), d.AbsPath("x.parquet")) {
		t.Errorf("Create(x.parquet) = %v, want an error that names it", err)
	}
	if _, err := d.OpenFile("x", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		t.Error("OpenFile(x, O_CREATE) = nil, want an error")
	}
	if taken, err := d.Exists("x"); taken || err != nil {
		t.Errorf("Exists(x) = %t, %v, want false", taken, err)
	}
}

// TestErrors: an error names the operation and the absolute path, once.
func TestErrors(t *testing.T) {
	cause := errors.New("no space")
	d := openTemp(t, func(op, path string, do func() error) error {
		if op == "write" {
			return &fs.PathError{Op: "pwrite", Path: "elsewhere", Err: cause}
		}
		return do()
	})
	err := d.WriteFile("x.tmp", nil)
	if want := "write " + d.AbsPath("x.tmp") + ": no space"; err == nil || err.Error() != want || !errors.Is(err, cause) {
		t.Errorf("WriteFile() = %v, want %s", err, want)
	}
	_, err = d.ReadFile("none")
	if want := "read " + d.AbsPath("none"); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "none") != 1 {
		t.Errorf("ReadFile(none) = %v, want %s: ...", err, want)
	}
	writeAllowed := openTemp(t, nil)
	writeTemp(t, writeAllowed, "x.tmp", "")
	err = writeAllowed.Rename("none", "y")
	if want := "rename " + writeAllowed.AbsPath("y"); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Rename(none, y) = %v, want %s: ...", err, want)
	}
}

// TestClosePrevented: the descriptor is released even if a hook prevents the close.
func TestClosePrevented(t *testing.T) {
	prevented := errors.New("prevented")
	d := openTemp(t, func(op, _ string, do func() error) error {
		if op == "close" {
			return prevented
		}
		return do()
	})
	f, err := d.Create("x.tmp")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.SyncAndClose(); !errors.Is(err, prevented) {
		t.Errorf("SyncAndClose() = %v, want %v", err, prevented)
	}
	if _, err := f.Write([]byte("x")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Write() after it = %v, want %v", err, fs.ErrClosed)
	}
}

// TestTakenNames: only Rename replaces a file.
func TestTakenNames(t *testing.T) {
	d := openTemp(t, nil)
	writeTemp(t, d, "new.tmp", "new")
	writeTemp(t, d, "old.tmp", "old")
	if err := d.Link("new.tmp", "old.tmp"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Link() to a taken name = %v, want %v", err, fs.ErrExist)
	}
	if err := d.RenameNew("new.tmp", "old.tmp"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("RenameNew() to a taken name = %v, want %v", err, fs.ErrExist)
	}
	if data, err := d.ReadFile("old.tmp"); string(data) != "old" || err != nil {
		t.Errorf("old.tmp = %q, %v, want it unchanged", data, err)
	}
	if err := d.Rename("new.tmp", "old.tmp"); err != nil {
		t.Errorf("Rename() to a taken name = %v, want no error", err)
	}
	if data, err := d.ReadFile("old.tmp"); string(data) != "new" || err != nil {
		t.Errorf("old.tmp after Rename = %q, %v, want new", data, err)
	}
	if err := d.RenameNew("old.tmp", "free"); err != nil {
		t.Errorf("RenameNew() to a free name = %v, want no error", err)
	}
}

// TestReadEnd: io.EOF stays itself, for readers compare it.
func TestReadEnd(t *testing.T) {
	d := openTemp(t, nil)
	writeTemp(t, d, "x.tmp", "abc")
	f, err := d.Open("x.tmp")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Size() != 3 {
		t.Errorf("Size() = %d, want 3", f.Size())
	}
	if n, err := f.ReadAt(make([]byte, 4), 1); n != 2 || err != io.EOF {
		t.Errorf("ReadAt() past the end = %d, %v, want 2 and io.EOF itself", n, err)
	}
	if data, err := io.ReadAll(f); string(data) != "abc" || err != nil {
		t.Errorf("ReadAll() = %q, %v, want abc", data, err)
	}
	if n, err := f.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read() at the end = %d, %v, want io.EOF itself", n, err)
	}
}
