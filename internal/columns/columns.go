// Package columns collects the rows of a run as columns and gives them to a sink as Arrow records.
//
// A [Writer] has the rows of each partition back to back: their cells, and the texts of the cells. So a
// row is written to two places in memory, however many columns and partitions there are. A record is
// made when its size is known: its columns are filled in one pass over the cells, and share one piece of
// memory. A null is the absence of a cell; a column that no row has a value for costs nothing.
package columns

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/schema"
)

// Value is a value of a row that is written whole; the zero value is null.
type Value struct {
	Set  bool
	Text string // of a String column
	N    int64  // of any other column: an integer, the bits of a double, 0 or 1, days or microseconds since 1970
}

// Text is the value of a text.
func Text(s string) Value { return Value{Set: true, Text: s} }

// TextOrNull is the value of a text; null if it is empty.
func TextOrNull(s string) Value { return Value{Set: s != "", Text: s} }

// Int is the value of an integer.
func Int(n int64) Value { return Value{Set: true, N: n} }

// Bool is the value of a condition.
func Bool(b bool) Value {
	if b {
		return Int(1)
	}
	return Int(0)
}

// Double is the value of a floating-point number.
func Double(f float64) Value { return Value{Set: true, N: int64(math.Float64bits(f))} }

// Float64 is the number that Double made a value of.
func (v Value) Float64() float64 { return math.Float64frombits(uint64(v.N)) }

// TimeOrNull is the value of a time; null if it is zero.
func TimeOrNull(t time.Time) Value {
	if t.IsZero() {
		return Value{}
	}
	return Int(t.UnixMicro())
}

// Rows go to the sink in records of at most MaxRows rows, or sooner if the texts of all partitions
// together take more than MaxBytes.
const (
	MaxRows  = 4096
	MaxBytes = 8 << 20
)

// maxReserved is the memory of buffers that is kept for further rows: as much as those in use take, with
// texts, cells, and room to grow. With more, runs with long answers exceed the memory that they have.
const maxReserved = 3 * MaxBytes

// Writer collects rows. One goroutine uses it.
type Writer struct {
	write   func(context.Context, schema.Partition, arrow.Record) error
	version int // of the schema
	open    map[schema.Partition]*rows
	// The same by the partition's address, of those that rows were added to by it.
	byAddress map[*schema.Partition]*rows
	// Columns without rows, by table, to be used by any partition of it.
	spare map[string][]*rows
	bytes int64 // of texts in open
	// Memory of the buffers in open and spare.
	reserved int
	// Tables with one partition, by the table's address.
	whole map[*schema.Table]*wholeTable
	row   Row // for AddValues
}

// wholeTable is a table with one partition.
type wholeTable struct {
	schema.Partition
	columns []schema.Column
}

// NewWriter returns a writer for rows in the layout of a version of the schema. It passes records to
// write, which must retain what it keeps.
func NewWriter(write func(context.Context, schema.Partition, arrow.Record) error, version int) *Writer {
	return &Writer{write: write, version: version, open: map[schema.Partition]*rows{}, byAddress: map[*schema.Partition]*rows{}, whole: map[*schema.Table]*wholeTable{}, spare: map[string][]*rows{}}
}

// Add adds a row of a table to a partition, whose address is a short name for it: it must not change
// before the next Flush.
func (w *Writer) Add(ctx context.Context, t *schema.Table, p *schema.Partition, row *Row) error {
	r := w.byAddress[p]
	if r == nil {
		r = w.rowsOf(t, *p)
		w.byAddress[p] = r
	}
	w.reserved -= r.capacity()
	r.add(row)
	w.reserved += r.capacity()
	w.bytes += int64(len(row.text))
	return w.passOn(ctx, r)
}

// AddValues adds a row with a value for each column of the table to the table's partition. Columns that
// were added since the writer's version of the schema are the last, and are left out.
func (w *Writer) AddValues(ctx context.Context, t *schema.Table, values []Value) error {
	whole := w.whole[t]
	if whole == nil {
		whole = &wholeTable{schema.Partition{Table: t.Name}, t.AsOf(w.version).Columns}
		w.whole[t] = whole
	}
	w.row.Reset()
	for i := range whole.columns {
		v := &values[i]
		switch {
		case !v.Set:
		case whole.columns[i].Type != schema.String:
			w.row.AddInt(i, v.N)
		case utf8.ValidString(v.Text):
			w.row.AddString(i, v.Text)
		default:
			w.row.AddString(i, strings.ToValidUTF8(v.Text, "\uFFFD")) // some readers refuse a whole file because of one invalid byte
		}
	}
	return w.Add(ctx, t, &whole.Partition, &w.row)
}

// rowsOf finds the columns of a partition, or takes others for it.
func (w *Writer) rowsOf(t *schema.Table, p schema.Partition) *rows {
	r := w.open[p]
	if r != nil {
		return r
	}
	if spare := w.spare[t.Name]; len(spare) > 0 {
		r, w.spare[t.Name] = spare[len(spare)-1], spare[:len(spare)-1]
	} else {
		r = newRows(t.AsOf(w.version))
	}
	r.partition = p
	w.open[p] = r
	return r
}

// passOn passes on what is full.
func (w *Writer) passOn(ctx context.Context, r *rows) error {
	if w.bytes > MaxBytes {
		return w.flushLargest(ctx)
	}
	if len(r.ends) >= MaxRows {
		return w.flush(ctx, r)
	}
	return nil
}

// Flush passes on all rows, in the order of the names of their partitions.
func (w *Writer) Flush(ctx context.Context) error {
	for _, r := range w.sorted(func(*rows, *rows) int { return 0 }) {
		if err := w.close(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// flushLargest passes on half of the texts, those of the largest partitions: few, large records.
func (w *Writer) flushLargest(ctx context.Context) error {
	for _, r := range w.sorted(func(a, b *rows) int { return len(b.all.text) - len(a.all.text) }) {
		if w.bytes <= MaxBytes/2 {
			return nil
		}
		if err := w.close(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// close passes on the rows of a partition, which may not occur again.
func (w *Writer) close(ctx context.Context, r *rows) error {
	if err := w.flush(ctx, r); err != nil {
		return err
	}
	delete(w.open, r.partition)
	clear(w.byAddress)
	if w.reserved > maxReserved { // any number of partitions may have been large at some time
		w.reserved -= r.capacity()
		r.release()
	}
	w.spare[r.partition.Table] = append(w.spare[r.partition.Table], r)
	return nil
}

// sorted are the partitions in an order; equal ones in that of their names.
func (w *Writer) sorted(compare func(a, b *rows) int) []*rows {
	return slices.SortedFunc(maps.Values(w.open), func(a, b *rows) int {
		return cmp.Or(compare(a, b), strings.Compare(a.partition.String(), b.partition.String()))
	})
}

func (w *Writer) flush(ctx context.Context, r *rows) error {
	if len(r.ends) == 0 {
		return nil
	}
	w.bytes -= int64(len(r.all.text))
	rec := r.record()
	defer rec.Release()
	return w.write(ctx, r.partition, rec)
}

// arrowSchema is the layout of a table, which is made once for each version of the schema.
func arrowSchema(t schema.Table) *arrow.Schema {
	s, _ := arrowSchemas.LoadOrStore(t.Name+" "+strconv.Itoa(len(t.Columns))+" "+strconv.Itoa(t.Version), sync.OnceValue(t.Arrow))
	return s.(func() *arrow.Schema)()
}

var arrowSchemas sync.Map
