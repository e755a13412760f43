package lease

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestLockOnFullDisk: who holds a lock is written down for people; the lock
// holds when that cannot be written.
func TestLockOnFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	diskFull := func(*os.File, string) error { return syscall.ENOSPC }
	l, err := acquireFlock(dir, "siglake run", diskFull)
	if err != nil {
		t.Fatalf("acquireFlock(%s) on a full disk = %v, want the lock", dir, err)
	}
	if other, err := AcquireFlock(dir, "siglake status"); !errors.Is(err, ErrLocked) {
		t.Errorf("AcquireFlock(%s) of a lock that is held = %v, %v, want %v", dir, other, err, ErrLocked)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close() on a full disk = %v", err)
	}
}

// TestLockFileRemoved: the holder notices that the file of its lock is not the one under its name
// any more. A directory that is renamed, with the file in it, keeps its lock.
func TestLockFileRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	l, err := AcquireFlock(dir, "siglake run")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Rename(dir, dir+"-renamed"); err != nil {
		t.Fatal(err)
	}
	if !l.Valid() || l.Err() != nil {
		t.Errorf("lock in a renamed directory: Valid() = %t, Err() = %v, want true, nil", l.Valid(), l.Err())
	}
	if err := os.Remove(filepath.Join(dir+"-renamed", lockFile)); err != nil {
		t.Fatal(err)
	}
	if l.Valid() || l.Err() == nil {
		t.Errorf("lock without its file: Valid() = %t, Err() = %v, want false and an error", l.Valid(), l.Err())
	}
	other, err := AcquireFlock(dir+"-renamed", "siglake run")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if l.Valid() {
		t.Error("lock with another file in the place of its own: Valid() = true, want false")
	}
}

// TestShareFlock: who may only read keeps writers out, and lets others read; a writer keeps it out. Nothing is
// written.
func TestShareFlock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if l, err := ShareFlock(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ShareFlock() without a lock file = %v, %v, want %v", l, err, fs.ErrNotExist)
	}
	writer, err := AcquireFlock(dir, "siglake run")
	if err != nil {
		t.Fatal(err)
	}
	if l, err := ShareFlock(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "siglake run") {
		t.Errorf("ShareFlock() while a run is at work = %v, %v, want %v by siglake run", l, err, ErrLocked)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, lockFile), 0o400); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		reader, err := ShareFlock(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
	}
	if err := os.Chmod(filepath.Join(dir, lockFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := AcquireFlock(dir, "siglake run"); !errors.Is(err, ErrLocked) {
		t.Errorf("AcquireFlock() while it is read = %v, %v, want %v", l, err, ErrLocked)
	}
}
