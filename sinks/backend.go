package sinks

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
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

// publishedDirs are the directories into which a run or a compaction publishes.
var publishedDirs = []string{dataDir, ledgerDir, compactDir}

// IsCompacted reports whether a compaction wrote a published file.
func IsCompacted(path string) bool { return strings.HasPrefix(path, compactDir+"/") }

// PublishedDirs are the directories into which files are published.
func PublishedDirs() []string { return slices.Clone(publishedDirs) }

// backend stores a lake's visible objects. Names are relative to the lake, with
// slashes. Its operations are those that a directory and an object store with
// conditional writes both offer: publication must not need a rename, a listing or an
// unconditional overwrite.
type backend interface {
	// publishFile makes a complete local file visible under name. It never replaces
	// anything: if the name is taken, the error is fs.ErrExist.
	publishFile(ctx context.Context, staged, name string) error
	// syncPublished returns when everything published so far is durable.
	syncPublished(ctx context.Context) error
	// createObject durably writes a small object under a name that must be free;
	// fs.ErrExist if it is taken.
	createObject(ctx context.Context, name string, data []byte) error
	// swapObject durably replaces a small object if it still holds old; a nil old
	// means that it must not exist. The error is errChanged if it holds something
	// else.
	swapObject(ctx context.Context, name string, old, data []byte) error
	// readObject reads a small object; fs.ErrNotExist if there is none.
	readObject(ctx context.Context, name string) ([]byte, error)
	// openObject opens an object for reading; fs.ErrNotExist if there is none.
	openObject(ctx context.Context, name string) (object, error)
	// prepareWrites creates what must exist before anything is published, and proves
	// that the lake is writable.
	prepareWrites(ctx context.Context) error
	// listNames lists everything below a folder, or the whole lake, for
	// verification: no part of publication depends on it. A missing folder is
	// empty.
	listNames(ctx context.Context, folder string) iter.Seq2[string, error]
	// removeObject removes an object, which may be missing.
	removeObject(ctx context.Context, name string) error
	// maxParallel is how many objects may be published at once.
	maxParallel() int
}

// object is an object that is open for reading.
type object interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

var errChanged = errors.New("changed by another process in the meantime")
