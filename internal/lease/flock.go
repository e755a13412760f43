package lease

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/lease/flock"
)

// ErrLocked reports that another process holds a lake's lock.
var ErrLocked = errors.New("another run is at work on this lake")

// Flock is a file lock on a lake. It is held until it is closed or the process ends,
// however it ends.
type Flock struct {
	f *os.File
	// Replaces the text in the file.
	write func(f *os.File, text string) error
}

// AcquireFlock takes the lock in a directory, which it creates if needed. It writes
// the holder into the file, for the error messages of other processes.
func AcquireFlock(dir, holder string) (*Flock, error) {
	return acquireFlock(dir, holder, replaceText)
}

func acquireFlock(dir, holder string, write func(*os.File, string) error) (*Flock, error) {
	//nolint:gosec // the umask limits access
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o666) //nolint:gosec // likewise
	if err != nil {
		return nil, err
	}
	locked, err := flock.TryLock(f)
	if err != nil || !locked {
		text, _ := io.ReadAll(io.LimitReader(f, 200)) // for the message only
		err = errors.Join(err, f.Close())
		switch name := strings.TrimSpace(string(text)); {
		case err != nil:
			return nil, err
		case name == "":
			return nil, ErrLocked
		default:
			return nil, fmt.Errorf("%w: %s", ErrLocked, name)
		}
	}
	// For people only: on a full disk the lock is held without it.
	_ = write(f, fmt.Sprintf("process %d, %s, since %s\n", os.Getpid(), holder, time.Now().UTC().Format(time.RFC3339)))
	return &Flock{f, write}, nil
}

func replaceText(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// Close releases the lock. The file stays, emptied: if it were removed, two processes
// could hold locks on two files of the same name.
func (l *Flock) Close() error {
	_ = l.write(l.f, "") // a stale text would name a process that has ended
	return l.f.Close()
}

// Lost is nil: a file lock is held until its process ends.
func (l *Flock) Lost() <-chan struct{} { return nil }

// Err is nil.
func (l *Flock) Err() error { return nil }

// Valid is true.
func (l *Flock) Valid() bool { return true }
