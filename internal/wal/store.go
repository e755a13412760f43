package wal

import (
	"context"
	"errors"
	"io"
)

// Store keeps segments: files of a directory, or objects written under names that
// must be free. It needs no rename, no overwriting and, to find the end, no listing.
// One process writes at a time: the caller holds a lock, and Create turns a failure
// of the lock into an error.
type Store interface {
	// Segments names all segments, in any order.
	Segments(ctx context.Context) ([]string, error)
	// Create durably makes a segment, name included, that begins with head and has
	// room for that many bytes behind head. It exists completely or not at all. The
	// error is fs.ErrExist if the name is taken, and errNoSpace if there is not
	// enough room: then nothing of that name exists. Any other error leaves that
	// open.
	Create(ctx context.Context, name string, head []byte, room int64) (Segment, error)
	// Open opens a segment for reading. If it is being written, the reader sees
	// everything that was appended before.
	Open(ctx context.Context, name string) (Reader, error)
}

// Segment is a segment that is being written, by one goroutine at a time. After
// an error from Append or Seal its state is unknown, and only Close may be called.
type Segment interface {
	// Append adds p, which is durable when the error is nil.
	Append(p []byte) error
	// Allocate makes sure that n more bytes can be appended whatever else fills the
	// disk. If it returns errNoSpace, the segment remains usable.
	Allocate(n int64) error
	// Seal releases unused room and records permanently that the segment ends here.
	Seal() error
	// Close releases the segment, sealed or not. Appended bytes stay.
	Close() error
}

// Reader reads a segment.
type Reader interface {
	io.ReaderAt
	io.Closer
	// Size is the number of bytes that can be read. Behind the appended bytes there
	// may be zeros and, after a power cut, parts of the last append.
	Size() int64
	// Durable is the number of bytes that the store itself knows to be durable.
	// There may be more. Where an append is atomic it is Size.
	Durable() (int64, error)
	// Recover makes the first end bytes durable, and records that; those before
	// from are durable already. It changes none of them. It is for a segment that no
	// process is known to write any more; a store that can fence off writers does so
	// here. The error is errGrown if a writer has appended in the meantime: the
	// segment must then be opened again, to read what lies behind end. It is ErrLocked
	// if the store knows that a process is still writing the segment.
	Recover(from, end int64) error
}

// ErrCorrupt reports that a segment holds something that no crash explains, or
// lacks something that was durable. Nothing is ever repaired.
var ErrCorrupt = errors.New("the journal is damaged")

// ErrBroken is in every error after a write or sync has failed. The kernel may
// have dropped what it could not write, so there is nothing to retry: the
// process must end, and the next one determines what was kept.
var ErrBroken = errors.New("the journal cannot be written any more")

// ErrLocked reports that another process is writing the segment that a log would
// continue, whatever lock its caller holds.
var ErrLocked = errors.New("another process is writing the journal")

// ErrFenced is in the error of a writer after another process has taken the log
// over. Nothing more can be written; acknowledged records are kept.
var ErrFenced = errors.New("another process has taken over the journal")

// errGrown is returned by Recover if another process has appended behind the given
// end in the meantime. It can append nothing more.
var errGrown = errors.New("another process has continued to write the journal")

// errReadOnly is returned by writes to a log that was opened read-only.
var errReadOnly = errors.New("the journal was opened read-only")

// errNoSpace is the one failure after which a log remains usable: no record that
// was accepted depends on the missing room.
var errNoSpace = errors.New("no room for the journal")
