package export

import (
	"errors"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/schema"
)

// parquetWriter writes Parquet through the encoder of the lake.
type parquetWriter struct {
	w       RecordWriter
	columns []schema.Column
	builder *array.RecordBuilder
	rows    int
}

// maxBatchRows is how many rows are handed over at a time.
const maxBatchRows = 1024

func newParquet(o *Output, columns []schema.Column) (*parquetWriter, error) {
	if o.Parquet == nil {
		return nil, errors.New("no encoder of Parquet was given")
	}
	t := schema.Table{Name: "export", Version: 1, Doc: "Lines with their events, written by siglake export", Columns: columns}
	w, err := o.Parquet(o.W, t)
	if err != nil {
		return nil, err
	}
	return &parquetWriter{w: w, columns: columns, builder: array.NewRecordBuilder(memory.DefaultAllocator, t.Arrow())}, nil
}

func (p *parquetWriter) writeRow(cells []Cell) error {
	for i, c := range cells {
		appendCell(p.builder.Field(i), c)
	}
	if p.rows++; p.rows == maxBatchRows {
		return p.flush()
	}
	return nil
}

func appendCell(b array.Builder, c Cell) {
	if !c.Set {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(strings.ToValidUTF8(c.Text, "\ufffd"))
	case *array.Int64Builder:
		b.Append(c.N)
	case *array.Date32Builder:
		b.Append(arrow.Date32(c.N)) //nolint:gosec // it came from a column of that type
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(c.N))
	default:
		b.AppendNull() // exports have no other types
	}
}

func (p *parquetWriter) flush() error {
	if p.rows == 0 {
		return nil
	}
	rec := p.builder.NewRecord()
	defer rec.Release()
	p.rows = 0
	return p.w.WriteRecord(rec)
}

func (p *parquetWriter) close() error {
	defer p.builder.Release()
	if err := p.flush(); err != nil {
		return err
	}
	return p.w.Close()
}
