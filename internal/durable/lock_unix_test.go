//go:build unix

package durable

import (
	"syscall"
	"testing"
)

// TestCloseUnlocks: a file that is closed is not locked, even if a child process that is being started still has it open.
func TestCloseUnlocks(t *testing.T) {
	t.Parallel()
	dir, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	open := func() *File {
		t.Helper()
		f, err := dir.Create("a.tmp")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for name, end := range map[string]func(*File) error{
		"close":   (*File).Close,
		"discard": func(f *File) error { f.Discard(); return nil },
	} {
		f := open()
		if locked, err := f.TryLock(); err != nil || !locked {
			t.Fatalf("%s: TryLock() = %v, %v", name, locked, err)
		}
		inherited, err := syscall.Dup(int(f.file.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if err := end(f); err != nil {
			t.Fatal(err)
		}
		again := open()
		if locked, err := again.TryLock(); err != nil || !locked {
			t.Errorf("%s: TryLock() of a file that was closed = %v, %v, want true", name, locked, err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
		if err := syscall.Close(inherited); err != nil {
			t.Error(err)
		}
	}
}
