package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorder is a hook that records operations, with paths below base, and makes
// those of one kind fail without running them.
type recorder struct {
	base string
	ops  []string
	fail string
	err  error
}

func (r *recorder) hook(op, path string, do func() error) error {
	name, err := filepath.Rel(r.base, path)
	if err != nil {
		return err
	}
	r.ops = append(r.ops, op+" "+filepath.ToSlash(name))
	if op == r.fail {
		return r.err
	}
	return do()
}

func openRecorded(t *testing.T) (*Dir, *recorder) {
	t.Helper()
	r := &recorder{base: t.TempDir()}
	d, err := Open(r.base, r.hook)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, r
}

// TestMkdirAll: the name of every directory that was created is synced before
// something is created below it.
func TestMkdirAll(t *testing.T) {
	r := &recorder{base: t.TempDir()}
	t.Chdir(r.base)
	if err := MkdirAll(filepath.Join("a", "b", "c"), 0o700, r.hook); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"mkdir a", "syncdir .", "mkdir a/b", "syncdir a", "mkdir a/b/c", "syncdir a/b"}, r.ops); diff != "" {
		t.Errorf("operations of MkdirAll (-want +got):\n%s", diff)
	}
	r.ops = nil
	if err := MkdirAll(filepath.Join(r.base, "a", "b"), 0o700, r.hook); err != nil || len(r.ops) > 0 {
		t.Errorf("MkdirAll of a directory that exists = %v with operations %q, want none", err, r.ops)
	}
}

// TestWriteFile: a file is durable under its temporary name before it gets another
// one, and no other name can be written.
func TestWriteFile(t *testing.T) {
	d, r := openRecorded(t)
	if err := errors.Join(d.WriteFile("x.tmp", []byte("text")), d.Rename("x.tmp", "x"), d.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"create x.tmp", "write x.tmp", "sync x.tmp", "close x.tmp", "rename x", "syncdir ."}, r.ops); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
	if f, err := d.Create("x"); err == nil {
		f.Discard()
		t.Error("Create(x) succeeds, want it refused: it is no temporary name")
	}
	if text, err := d.ReadFile("x"); err != nil || string(text) != "text" {
		t.Errorf("ReadFile(x) = %q, %v, want it as it was written", text, err)
	}
}

// TestTakenNames: a name that is taken is neither linked nor renamed to, except by
// Rename.
func TestTakenNames(t *testing.T) {
	d, _ := openRecorded(t)
	if err := errors.Join(d.WriteFile("new.tmp", []byte("new")), d.WriteFile("old.tmp", []byte("old"))); err != nil {
		t.Fatal(err)
	}
	for call, rename := range map[string]func(from, to string) error{"Link": d.Link, "RenameNew": d.RenameNew} {
		if err := rename("new.tmp", "old.tmp"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s to a name that is taken = %v, want %v", call, err, fs.ErrExist)
		}
	}
	if text, err := d.ReadFile("old.tmp"); err != nil || string(text) != "old" {
		t.Errorf("ReadFile(old.tmp) = %q, %v, want it as it was", text, err)
	}
	if err := errors.Join(d.RenameNew("new.tmp", "free"), d.Link("free", "second"), d.Remove("nothing")); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]bool{"new.tmp": false, "free": true, "second": true} {
		if got, err := d.Exists(name); got != want || err != nil {
			t.Errorf("Exists(%s) = %v, %v, want %v", name, got, err, want)
		}
	}
}

// TestErrors: an error names the operation and the absolute path once, whatever
// the hook returns.
func TestErrors(t *testing.T) {
	d, r := openRecorded(t)
	path := filepath.Join(r.base, "x.tmp")
	for _, err := range []error{syscall.ENOSPC, &fs.PathError{Op: "openat", Path: "x.tmp", Err: syscall.ENOSPC}, &os.LinkError{Op: "linkat", Old: "x", New: "y", Err: syscall.ENOSPC}} {
		r.fail, r.err = "create", err
		_, err := d.Create("x.tmp")
		if want := "create " + path + ": " + syscall.ENOSPC.Error(); err == nil || err.Error() != want || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Create when the hook returns %v = %q, want %q", r.err, err, want)
		}
	}
	r.fail = ""
	_, err := d.Open("nothing")
	if want := "open " + filepath.Join(r.base, "nothing") + ": "; err == nil || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "nothing") != 1 {
		t.Errorf("Open of a file that does not exist = %v, want %q and the reason", err, want)
	}
}

// TestFile: reads, writes and sizes of an open file.
func TestFile(t *testing.T) {
	d, r := openRecorded(t)
	f, err := d.Create("x.tmp")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("text"), 2); err != nil || f.Size() != 6 {
		t.Errorf("WriteAt(text, 2) = %v, and the size is %d; want 6", err, f.Size())
	}
	if err := errors.Join(f.Truncate(5), f.SyncData()); err != nil || f.Size() != 5 {
		t.Errorf("Truncate(5) = %v, and the size is %d; want 5", err, f.Size())
	}
	p := make([]byte, 8)
	if n, err := f.ReadAt(p, 0); string(p[:n]) != "\x00\x00tex" || err != io.EOF {
		t.Errorf("ReadAt past the end = %q, %v, want what there is and %v itself", p[:n], err, io.EOF)
	}
	if err := f.Allocate(5, 1000); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Allocate = %v", err)
	}
	if info, err := os.Stat(d.AbsPath("x.tmp")); err != nil || info.Size() != 5 {
		t.Errorf("after Allocate the size is %v, %v; want 5", info.Size(), err)
	}
	if err := d.Rename("x.tmp", "x"); err != nil {
		t.Fatal(err)
	}
	f.SetName("x")
	r.ops = nil
	if err := f.SyncAndClose(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"sync x", "close x"}, r.ops); diff != "" {
		t.Errorf("operations of SyncAndClose (-want +got):\n%s", diff)
	}
}

// TestCloseFails: a file is closed also when the hook prevents it.
func TestCloseFails(t *testing.T) {
	d, r := openRecorded(t)
	for _, fail := range []string{"sync", "close"} {
		f, err := d.Create("x.tmp")
		if err != nil {
			t.Fatal(err)
		}
		r.fail, r.err = fail, syscall.EIO
		if err := f.SyncAndClose(); !errors.Is(err, syscall.EIO) {
			t.Errorf("SyncAndClose when %s fails = %v, want %v", fail, err, syscall.EIO)
		}
		r.fail = ""
		if _, err := f.Write(nil); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Write after %s has failed = %v, want %v", fail, err, fs.ErrClosed)
		}
	}
}
