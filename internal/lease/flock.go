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

// ErrLocked is in the error when another process holds a lake.
var ErrLocked = errors.New("another run is at work on this lake")

// Flock keeps every other process off a lake until it is closed, or until this
// one ends, however it ends.
type Flock struct{ f *os.File }

// AcquireFlock takes the lock in a directory, which it makes. Who holds it is
// written into the file, for the message that others get.
func AcquireFlock(dir, holder string) (*Flock, error) {
	//nolint:gosec // the umask says who may look
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
	// For people only: on a full disk the lock holds without it.
	_ = writeHolder(f, fmt.Sprintf("process %d, %s, since %s\n", os.Getpid(), holder, time.Now().UTC().Format(time.RFC3339)))
	return &Flock{f}, nil
}

// writeHolder replaces a lock's text. Tests make it fail.
var writeHolder = func(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// Close lets others in. The file stays, emptied: removing it would let two
// processes hold two files of one name.
func (l *Flock) Close() error {
	_ = writeHolder(l.f, "") // who reads an old text is told of a process that has ended
	return l.f.Close()
}

// Lost is nil: the lock of a file lasts as long as its process.
func (l *Flock) Lost() <-chan struct{} { return nil }

// Err is nil.
func (l *Flock) Err() error { return nil }

// Valid is true.
func (l *Flock) Valid() bool { return true }
