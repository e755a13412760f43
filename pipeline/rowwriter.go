package pipeline

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/schema"
)

// rowWriter collects the rows of each partition, and gives them to the sink as Arrow records. One
// goroutine uses it.
type rowWriter struct {
	sink          Sink
	version       int // of the schema
	buffers       map[schema.Partition]*rowBuffer
	bufferedBytes int64 // of strings in buffers
}

func newRowWriter(sink Sink, version int) *rowWriter {
	return &rowWriter{sink: sink, version: version, buffers: map[schema.Partition]*rowBuffer{}}
}

// rowBuffer collects rows of one partition for the sink.
type rowBuffer struct {
	table   schema.Table
	builder *array.RecordBuilder
	rows    int
}

// Rows go to the sink in records of this many rows, or sooner if the strings in all buffers exceed
// the byte limit.
const (
	maxBufferRows  = 4096
	maxBufferBytes = 8 << 20
)

// append adds a row to its buffer and flushes full buffers.
func (w *rowWriter) append(ctx context.Context, t schema.Table, p schema.Partition, values []value) error {
	buf := w.buffers[p]
	if buf == nil {
		buf = &rowBuffer{table: t, builder: array.NewRecordBuilder(memory.DefaultAllocator, arrowSchema(t.AsOf(w.version)))}
		w.buffers[p] = buf
	}
	for i, v := range values[:buf.builder.Schema().NumFields()] { // columns that were added since the run's version are the last
		appendValue(buf.builder.Field(i), v)
		w.bufferedBytes += int64(len(v.s))
	}
	buf.rows++
	if w.bufferedBytes > maxBufferBytes {
		return w.flushAll(ctx)
	}
	if buf.rows >= maxBufferRows {
		return w.flushBuffer(ctx, p, buf)
	}
	return nil
}

// flushAll flushes every buffer, in the order of their names.
func (w *rowWriter) flushAll(ctx context.Context) error {
	for _, p := range sortedKeys(w.buffers, schema.Partition.String) {
		if err := w.flushBuffer(ctx, p, w.buffers[p]); err != nil {
			return err
		}
	}
	clear(w.buffers) // buffers of partitions that may not occur again
	w.bufferedBytes = 0
	return nil
}

func (w *rowWriter) flushBuffer(ctx context.Context, p schema.Partition, buf *rowBuffer) error {
	if buf.rows == 0 {
		return nil
	}
	buf.rows = 0
	rec := buf.builder.NewRecord()
	defer rec.Release()
	return w.sink.Write(ctx, p, rec)
}

func appendValue(b array.Builder, v value) {
	if !v.set {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(strings.ToValidUTF8(v.s, "\uFFFD")) // some readers refuse a whole file because of one invalid byte
	case *array.Int64Builder:
		b.Append(v.n)
	case *array.Float64Builder:
		b.Append(v.double())
	case *array.BooleanBuilder:
		b.Append(v.n != 0)
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.n))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.n))
	default:
		panic("schema: no builder for " + b.Type().String() + " after " + strconv.Itoa(b.Len()) + " rows")
	}
}

// arrowSchema is the layout of a table, which is made once for each version of the schema.
func arrowSchema(t schema.Table) *arrow.Schema {
	s, _ := arrowSchemas.LoadOrStore(t.Name+" "+strconv.Itoa(len(t.Columns))+" "+strconv.Itoa(t.Version), sync.OnceValue(t.Arrow))
	return s.(func() *arrow.Schema)()
}

var arrowSchemas sync.Map
