//go:build unix

package lease

import (
	"syscall"
	"testing"
)

// TestCloseUnlocks: a lock that is released is free, even if a child process that is being started still has its file open.
func TestCloseUnlocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := AcquireFlock(dir, "first")
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := syscall.Dup(int(l.f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited) //nolint:errcheck // a copy
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := AcquireFlock(dir, "second")
	if err != nil {
		t.Fatalf("the lock was released: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
