package sources

import (
	"errors"
	"io"
	"os"
)

// errChanged says that a local file is not the one any more that the list was identified by.
var errChanged = errors.New("the file changed while it was read")

// localFile reads one version of a local file. It looks at size, time and inode after every read,
// so that lines of another version are not requested, and at the digest where one of them differs:
// a file that was only touched, or copied over with the same content, has not changed.
type localFile struct {
	*os.File
	name   string
	object Object
	opened os.FileInfo // of the open file
	named  os.FileInfo // of the file with its name
}

func newLocalFile(f *os.File, object Object) (*localFile, error) {
	l := &localFile{File: f, name: f.Name(), object: object}
	var err error
	if l.opened, err = f.Stat(); err != nil {
		return nil, err
	}
	if l.named = object.info; l.named == nil {
		l.named = l.opened
	}
	return l, l.check()
}

// Read reads on, unless the file has changed.
func (l *localFile) Read(p []byte) (int, error) {
	n, err := l.File.Read(p)
	if err != nil && err != io.EOF {
		return n, err
	}
	if changed := l.check(); changed != nil {
		return 0, changed
	}
	return n, err
}

// check makes sure that the file is still the version that is read. One that lost its name, and has
// no successor, is: the open file has all of it.
func (l *localFile) check() error {
	opened, err := l.File.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(l.name)
	if err != nil {
		named = l.named
	}
	if sameVersion(opened, l.opened) && sameVersion(named, l.named) {
		return nil
	}
	now := l.object
	if l.object.SHA256 == "" || now.computeDigest() != nil || now.SHA256 != l.object.SHA256 {
		return errChanged
	}
	l.opened, l.named = opened, named
	return nil
}

// sameVersion reports whether a file looks as it did before.
func sameVersion(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// changedError says what happened to a local file, and what to do.
func changedError(uri string) *Error {
	return &Error{File: uri, Problem: "was changed or replaced after siglake first read it", Fix: "run again when no process writes to it any more", Err: errChanged}
}
