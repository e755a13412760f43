package wal

import (
	"context"
	"errors"
	"io"
)

// Store keeps segments: files of a directory, or objects that are put under names
// that must be free. It needs no rename, no overwriting and, to find the end, no
// listing. One process writes at a time; a lock above the
// journal sees to that, and Create turns a failure of the lock into an error.
type Store interface {
	// Segments names all segments, in any order.
	Segments(ctx context.Context) ([]string, error)
	// Create makes a segment that begins with head, durably, name included, and
	// with room for that many bytes behind head. It exists wholly or not at all.
	// fs.ErrExist when the name is taken; errNoSpace when the room is not there,
	// and then nothing of that name exists; any other error leaves that open.
	Create(ctx context.Context, name string, head []byte, room int64) (Segment, error)
	// Open reads a segment, also one that is being written: then it sees all
	// that was appended before.
	Open(ctx context.Context, name string) (Reader, error)
}

// Segment is a segment that is being written, by one goroutine at a time. After
// an error from Append or Seal its state is unknown: all that is left to do is
// Close.
type Segment interface {
	// Append adds p, which is durable when the error is nil.
	Append(p []byte) error
	// Allocate makes sure that n more bytes can be appended whatever else fills the
	// disk. errNoSpace when it cannot; the segment is then as good as before.
	Allocate(n int64) error
	// Seal gives back unused room and makes it known for good that the segment
	// ends here.
	Seal() error
	// Close releases the segment, sealed or not. Appended bytes stay.
	Close() error
}

// Reader reads a segment.
type Reader interface {
	io.ReaderAt
	io.Closer
	// Size is the number of bytes that can be read. Behind what was appended
	// there may be zeros, and after a power cut parts of what was being appended.
	Size() int64
	// Durable is how many bytes the store itself knows to have become durable.
	// There may be more. Where an append is atomic it is Size.
	Durable() (int64, error)
	// Recover makes the first end bytes durable, and that they are; those before
	// from are so already. It changes none of them. Only for a segment that
	// nobody writes any more, as far as is known: where the store can, it sees to
	// it that nobody will. errGrown when somebody did until just now; then the
	// segment must be opened again, for what came behind end.
	Recover(from, end int64) error
}

// ErrCorrupt is in the error when a segment holds something that no crash
// explains, or lacks something that was durable. Nothing is ever repaired.
var ErrCorrupt = errors.New("the journal is damaged")

// ErrBroken is in every error after a write or sync has failed. The kernel may
// have dropped what it could not write, so there is nothing to retry: the
// process ends, and the next one finds out what was kept.
var ErrBroken = errors.New("the journal cannot be written any more")

// errGrown is Settle's when something was appended behind the given end in the
// meantime. Nothing more will be.
var errGrown = errors.New("somebody has gone on writing the journal")

// errReadOnly is what writing to a journal gives that was opened to be read.
var errReadOnly = errors.New("the journal was opened to be read only")

// errNoSpace is the one failure after which a journal can go on: nothing that
// was asked to be kept depends on the room that there is not.
var errNoSpace = errors.New("no room for the journal")
