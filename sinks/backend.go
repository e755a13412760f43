package sinks

import (
	"context"
	"errors"
	"io"
	"iter"
)

// The names inside a lake.
const (
	dataDir     = "data"
	ledgerDir   = "ledger"
	compactDir  = "compact"
	metaDir     = "_meta"
	manifestDir = metaDir + "/manifest"
	snapshotDir = metaDir + "/snapshot"
	currentFile = metaDir + "/current.json"
	stagingDir  = "_staging"
)

// backend keeps a lake's visible objects. Names are relative to the lake, with
// slashes. The verbs are those that a directory and an object store with
// conditional writes both have: publication must not need a rename, a listing
// or an overwrite that cannot be conditioned.
type backend interface {
	// publishFile makes a complete local file visible under name. It never replaces
	// anything: a name that is taken is fs.ErrExist.
	publishFile(ctx context.Context, staged, name string) error
	// syncPublished returns when everything promoted so far is durable.
	syncPublished(ctx context.Context) error
	// createObject keeps a small object under a name that must be free, durably;
	// fs.ErrExist when it is not.
	createObject(ctx context.Context, name string, data []byte) error
	// swapObject replaces a small object, durably, if it still holds old; nil means
	// that it must not exist. errChanged when it holds something else.
	swapObject(ctx context.Context, name string, old, data []byte) error
	// readObjectRows gets a small object; fs.ErrNotExist when there is none.
	readObject(ctx context.Context, name string) ([]byte, error)
	// openObject gets an object for reading; fs.ErrNotExist when there is none.
	openObject(ctx context.Context, name string) (object, error)
	// prepareWrites makes what must be there before anything is promoted, and proves
	// that it can be.
	prepareWrites(ctx context.Context) error
	// listNames gives the names of everything below a folder, or of everything, for
	// verification: no part of publication depends on it. A folder that is not
	// there holds nothing.
	listNames(ctx context.Context, folder string) iter.Seq2[string, error]
	// maxParallel is how many objects may be promoted at once.
	maxParallel() int
}

// object is an object that is being read.
type object interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

var errChanged = errors.New("changed by somebody else in the meantime")
