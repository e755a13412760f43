package sinks

import (
	"context"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Discard is a pipeline.Sink that keeps nothing: of a run it leaves the manifest with its sums.
type Discard struct{}

var _ pipeline.Sink = Discard{}

// Write discards the rows.
func (Discard) Write(context.Context, schema.Partition, arrow.Record) error { return nil }

// Stage returns no file.
func (Discard) Stage(context.Context) ([]pipeline.File, error) { return nil, nil }

// Comparison says that nothing was there before.
func (Discard) Comparison() pipeline.Comparison { return pipeline.Comparison{} }

// Publish publishes nothing.
func (Discard) Publish(context.Context, *pipeline.Manifest) error { return nil }

// Close has nothing to discard.
func (Discard) Close() error { return nil }
