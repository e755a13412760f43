package pipeline

import (
	"context"
	"iter"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/schema"
)

// Source yields the lines of a list in order, each once, with the user's own key. A line that
// cannot be requested is yielded with its Reject. An error is fatal, comes last, and leaves the
// lines before it valid. The source is walked once, by one goroutine.
type Source interface {
	Accounts(ctx context.Context) iter.Seq2[schema.Account, error]
}

// Fetcher requests one batch from the API. It may be called concurrently.
//
// The reply is never nil, not even with an error, and accounts for the whole batch: one Call per
// attempt, and one ItemReply with a status per item, in the order of the batch. NewReply makes one
// for a batch that was not sent, or whose answer is not decoded yet. An error means that no further
// batch should be requested (a *Stop says why). The reply that comes with it still has everything
// that was paid for, so the caller must use it before the error.
//
// ctx cancels waiting (for a token, for a back-off), never a request on the wire, which may already
// be charged.
type Fetcher interface {
	Fetch(ctx context.Context, b *Batch) (*Reply, error)
}

// Sink stores rows until they are published. Write and Stage are called by one goroutine. The
// record belongs to the caller, who releases it after Write returns; a sink that keeps it must
// retain it.
type Sink interface {
	// Write stores rows of one partition, in the layout of its table.
	Write(ctx context.Context, p schema.Partition, rec arrow.Record) error
	// Stage sorts and encodes what was written into complete, durable files that no reader can see
	// yet, and returns their final names. Another call adds the partitions that were written since.
	Stage(ctx context.Context) ([]File, error)
	// Comparison says, once everything is staged, what of it was there before.
	Comparison() Comparison
	// Publish makes the staged files visible, and the manifest last. It sets the manifest's
	// generation and the link to its predecessor.
	Publish(ctx context.Context, m *Manifest) error
	// Close discards what was written but not published.
	Close() error
}

// Comparison is what became of a run's events when they were compared with those that the lake had.
type Comparison struct {
	Known   int64 // rows that were not written, because the lake has them with the same content
	Changed int64 // rows that were written as a later revision of an event
	Counted int64 // rows of the new events that the sink was to count
	// Paths of earlier files that could not be read, so that rows may be written again which they
	// hold.
	Unread []string
}

// File is one file of a run, as readers see it.
type File struct {
	Path      string `json:"path"` // relative to the lake
	Table     string `json:"table"`
	Partition string `json:"partition,omitempty"` // "event_month=2026-03"
	Rows      int64  `json:"rows"`
	RowGroups int    `json:"row_groups"`
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256"` // of the bytes of the file
	// Digest of the content of the rows, independent of the encoder.
	Digest    string `json:"logical_digest"`
	Duplicate int64  `json:"duplicate_rows"` // rows dropped as equal to an earlier one
	// Of accounts: the columns of the list that extra holds.
	Kept []KeptColumn `json:"kept_columns,omitempty"`
}
