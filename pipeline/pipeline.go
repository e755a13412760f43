package pipeline

import (
	"context"
	"iter"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/schema"
)

// Source yields the lines of a list in order, each once, with the caller's own
// key. A line that cannot be asked about is yielded with its Reject; an error
// is fatal, comes last, and leaves the lines before it valid. The walk happens
// in one goroutine, once.
type Source interface {
	Accounts(ctx context.Context) iter.Seq2[schema.Account, error]
}

// Fetcher asks the API about one batch. It may be called concurrently.
//
// The reply accounts for the batch completely, whatever happened: one Call for
// every attempt that was made and, once decoded, one ItemReply for every item,
// in the batch's order. An error means that no further batch should be asked
// (a *Stop says why); the reply that comes with it still carries everything
// that was paid for, so it must be read before the error.
//
// ctx cancels waiting (for a token, for a back-off), never a request that is on
// the wire: that one may already be charged.
type Fetcher interface {
	Fetch(ctx context.Context, b *Batch) (*Reply, error)
}

// Sink keeps rows until they can be published. Write and Stage are called by
// one goroutine; the record is the caller's and is released after Write
// returns, so a sink that keeps it retains it.
type Sink interface {
	// Write takes rows of one partition, laid out as its table says.
	Write(ctx context.Context, p schema.Partition, rec arrow.Record) error
	// Stage sorts and encodes what was written into complete, durable files
	// that no reader can see yet, and says what they will be called.
	Stage(ctx context.Context) ([]File, error)
	// Publish makes the staged files visible, then the manifest, last. It sets
	// the manifest's generation and link to its predecessor.
	Publish(ctx context.Context, m *Manifest) error
	// Close drops whatever was written and not published.
	Close() error
}

// File is one file of a run, as readers will find it.
type File struct {
	Path      string `json:"path"` // relative to the lake
	Table     string `json:"table"`
	Partition string `json:"partition,omitempty"` // "event_month=2026-03"
	Rows      int64  `json:"rows"`
	RowGroups int    `json:"row_groups"`
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256"`         // of the file's bytes
	Digest    string `json:"logical_digest"` // of the rows' content, independent of the encoder
	Duplicate int64  `json:"duplicate_rows"` // rows dropped because an equal one came earlier
}
