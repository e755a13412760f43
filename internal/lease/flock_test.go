package lease

import (
	"errors"
	"os"
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
