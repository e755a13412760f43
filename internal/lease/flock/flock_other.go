//go:build !unix || solaris || aix

package flock

import (
	"errors"
	"os"
)

// TryLock fails: without a lock that ends with the process, two runs could buy the
// same answers.
func TryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }

// TryLockShared reports that no process has the lock: none can.
func TryLockShared(*os.File) (bool, error) { return true, nil }

// Lock does nothing: what it protects is not shared safely between processes on
// this system.
func Lock(*os.File) error { return nil }

// Unlock does nothing.
func Unlock(*os.File) error { return nil }
