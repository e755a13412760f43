package lease

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/lease/flock"
)

// ErrLocked reports that another process holds a lake's lock.
var ErrLocked = errors.New("another run is at work on this lake")

// HolderText is what an error that is ErrLocked says of the process that has the lock, with a colon before it, for the
// messages of locks on other things than a lake; empty: nothing.
func HolderText(err error) string {
	_, holder, _ := strings.Cut(err.Error(), ErrLocked.Error())
	return holder
}

// lockFile is the name of a lock's file in its directory.
const lockFile = "lock"

// Flock is a file lock on a lake. It is held until it is closed or the process ends,
// however it ends.
type Flock struct {
	dir *os.Root
	f   *os.File
	// Replaces the text in the file.
	write func(f *os.File, text string) error
}

// AcquireFlock takes the lock in a directory, which it creates if needed. It writes
// the holder into the file, for the error messages of other processes.
func AcquireFlock(dir, holder string) (*Flock, error) {
	return acquireFlock(dir, holder, replaceText)
}

// ShareFlock takes the lock in a directory that may only be read: until it is closed no process has the
// lock, and others that only read may share it. Without a file of the lock there is nothing to take: the
// error is fs.ErrNotExist.
func ShareFlock(path string) (*Flock, error) {
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	l := &Flock{dir: dir, write: func(*os.File, string) error { return nil }}
	if l.f, err = dir.Open(lockFile); err == nil {
		err = l.take(flock.TryLockShared)
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return l, nil
}

func acquireFlock(path, holder string, write func(*os.File, string) error) (*Flock, error) {
	//nolint:gosec // the umask limits access
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	l := &Flock{dir: dir, write: write}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	// For people only: on a full disk the lock is held without it.
	own := Holder{PID: os.Getpid(), Host: hostname(), Command: holder, Since: time.Now()}
	_ = write(l.f, own.text())
	return l, nil
}

// open opens and locks the file. A lock on a file that lost its name in the meantime
// would not keep other processes out.
func (l *Flock) open() (err error) {
	if l.f, err = l.dir.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o666); err != nil { //nolint:gosec // the umask limits access
		return l.inDirectory(err)
	}
	return l.take(flock.TryLock)
}

// inDirectory makes the error of a file name the whole path.
func (l *Flock) inDirectory(err error) error {
	path := new(fs.PathError)
	if !errors.As(err, &path) {
		return err
	}
	return &fs.PathError{Op: "open", Path: filepath.Join(l.dir.Name(), path.Path), Err: path.Err}
}

// take locks the file, or closes it.
func (l *Flock) take(lock func(*os.File) (bool, error)) error {
	locked, err := tryLock(l.f, lock)
	if err == nil && locked {
		if err = l.Err(); err == nil {
			return nil
		}
	}
	text, _ := io.ReadAll(io.LimitReader(l.f, maxHolderText)) // for the message only
	err = errors.Join(err, l.f.Close())
	switch name := strings.TrimSpace(string(text)); {
	case err != nil:
		return err
	case name == "":
		return ErrLocked
	default:
		return fmt.Errorf("%w: %s", ErrLocked, name)
	}
}

// tryLock takes the lock of a file. A command that looks who holds it has it for a moment, so it is
// tried more than once.
func tryLock(f *os.File, lock func(*os.File) (bool, error)) (locked bool, err error) {
	const tries, moment = 4, 10 * time.Millisecond
	for try := range tries {
		if try > 0 {
			time.Sleep(moment)
		}
		if locked, err = lock(f); locked || err != nil {
			break
		}
	}
	return locked, err
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
	_ = l.write(l.f, "")  // a stale text would name a process that has ended
	_ = flock.Unlock(l.f) // closing alone does not, while a child process is being started that inherits the file
	return errors.Join(l.f.Close(), l.dir.Close())
}

// Lost is nil: nothing watches the file, which is looked at before each call.
func (l *Flock) Lost() <-chan struct{} { return nil }

// Err says why another process may hold the lock: its file was removed or replaced. A
// directory that was renamed, with the file in it, is no reason.
func (l *Flock) Err() error {
	named, err := l.dir.Lstat(lockFile)
	if err == nil {
		var held os.FileInfo
		if held, err = l.f.Stat(); err == nil && os.SameFile(named, held) {
			return nil
		}
	}
	return fmt.Errorf("the lock file %s was removed or replaced: another run may be at work on this lake", l.f.Name())
}

// Valid reports whether no other process can hold the lock.
func (l *Flock) Valid() bool { return l.Err() == nil }
