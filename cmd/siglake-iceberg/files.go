package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// fileAddress is the address of a file of the lake, as Iceberg names it.
func (r *replayer) fileAddress(path string) string { return app.AddressURI(r.address) + "/" + path }

// parallelReads is how many footers are read at once.
const parallelReads = 16

// dataFiles describes the files that a change adds: their rows, sizes and bounds, from their footers.
func (r *replayer) dataFiles(ctx context.Context, t *replica, c *change) ([]iceberg.DataFile, error) {
	store, err := t.table.FS(ctx)
	if err != nil {
		return nil, err
	}
	files := make([]iceberg.DataFile, len(c.add))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelReads)
	for i, f := range c.add {
		group.Go(func() (err error) {
			if err = ctx.Err(); err == nil {
				files[i], err = r.dataFile(store, t, f)
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", f.Path, err)
			}
			return err
		})
	}
	return files, group.Wait()
}

func (r *replayer) dataFile(store icebergio.IO, t *replica, f sinks.DataFile) (_ iceberg.DataFile, err error) {
	address := r.fileAddress(f.Path)
	opened, err := store.Open(address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	reader, err := file.NewParquetReader(opened)
	if err != nil {
		return nil, err
	}
	if got := reader.NumRows(); got != f.Rows {
		return nil, fmt.Errorf("it has %d rows, and the lake's list says %d", got, f.Rows)
	}
	values := map[int]any{}
	if t.of.IsEvent() {
		spec := t.table.Spec()
		for _, field := range spec.Fields() {
			if field.SourceID() == schema.PartitionFieldID {
				values[field.FieldID] = monthOf(f.Partition)
			}
		}
	}
	return table.DataFileFromMetadata(table.DataFileArgs{
		Schema: t.table.Schema(), Spec: t.table.Spec(), Format: iceberg.ParquetFile, Metadata: reader.MetaData(),
		FilePath: address, FileSize: f.Bytes, Content: iceberg.EntryContentData, PartitionValues: values,
		Properties: t.table.Properties(), FormatVersion: t.table.Metadata().Version(),
	})
}
