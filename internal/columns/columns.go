// Package columns collects the rows of a run as columns and gives them to a sink as Arrow records.
//
// Goroutines that read answers make rows side by side, each in a [Chunk] of its own: their cells, and the
// texts that are not in the answers. A [Writer] takes the chunks in the order of the answers, and notes
// for each partition how large its columns get. When the records are due, it fills the columns of all
// partitions in one pass over the chunks, which are much larger than the caches of the processor; those of
// one record share one piece of memory. So a text is copied once, from the answer into its column, however
// many columns and partitions there are. A null is the absence of a cell; a column that no row has a value
// for costs nothing.
//
// A chunk keeps the answers that its rows refer to in memory. When all of them take too much, every
// partition passes its rows on; one that has few of them copies them instead, for a larger record later.
// Where records begin and end says nothing: the sink sorts.
package columns

import (
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

// Rows go to the sink in records of at most MaxRows rows, or sooner if all rows together take more than
// MaxBytes, with the answers that they refer to.
const (
	MaxRows  = 4096
	MaxBytes = 8 << 20
)

const (
	// maxOwn is the size of rows that are copied rather than written in records of few rows, and maxReserved
	// the memory of buffers that is kept for such rows.
	maxOwn, maxReserved = MaxBytes / 2, MaxBytes
	// fewRows is the number of rows from which on a record costs less than copying them.
	fewRows = 64
)

// Writer collects rows. One goroutine uses it.
type Writer struct {
	write   func(context.Context, schema.Partition, arrow.Record) error
	version int // of the schema
	open    map[schema.Partition]*rows
	// The same by the place, of those that rows were added to by it.
	byPlace map[*Place]*rows
	// Columns without rows, by table, to be used by any partition of it.
	spare map[string][]*rows
	// Chunks with rows in open, and what they take with their records.
	chunks []*Chunk
	held   int64
	// What rows take that are not in these chunks, and the memory of the buffers for such rows in open and
	// spare.
	own, reserved int
	// Tables with one partition, by the table's address.
	whole map[*schema.Table]*wholeTable
}

// wholeTable is a table with one partition.
type wholeTable struct {
	Place
	columns []schema.Column
}

// NewWriter returns a writer for rows in the layout of a version of the schema. It passes records to
// write, which must retain what it keeps.
func NewWriter(write func(context.Context, schema.Partition, arrow.Record) error, version int) *Writer {
	return &Writer{write: write, version: version, open: map[schema.Partition]*rows{}, byPlace: map[*Place]*rows{}, whole: map[*schema.Table]*wholeTable{}, spare: map[string][]*rows{}}
}

// Add adds the rows of a chunk, which the writer releases once they are written. It may have any number of
// rows.
func (w *Writer) Add(ctx context.Context, c *Chunk) error {
	for i := range c.parts {
		c.parts[i].to = w.rowsOf(c.parts[i].place)
	}
	w.chunks, w.held = append(w.chunks, c), w.held+int64(c.Memory())+c.records
	for i := range c.rows {
		one := &c.rows[i]
		r := c.parts[one.part].to
		if r.isFull() {
			if err := w.flush(ctx, r); err != nil {
				return err
			}
		}
		r.measure(one.sharedCells(c))
		r.measure(one.ownCells(c))
		r.count++
		c.added++
	}
	return w.limitMemory(ctx)
}

// AddValues adds a row with a value for each column of the table to the table's partition. Columns that
// were added since the writer's version of the schema are the last, and are left out.
func (w *Writer) AddValues(ctx context.Context, t *schema.Table, values []Value) error {
	whole := w.whole[t]
	if whole == nil {
		whole = &wholeTable{Place{Table: t, Partition: schema.Partition{Table: t.Name}}, t.AsOf(w.version).Columns}
		w.whole[t] = whole
	}
	r := w.rowsOf(&whole.Place)
	if r.isFull() || r.inChunks() > 0 { // which come first
		if err := w.flush(ctx, r); err != nil {
			return err
		}
	}
	w.noteOwn(r, -1)
	r.own.BeginRow(nil, 0)
	for i := range whole.columns {
		v := &values[i]
		switch {
		case !v.Set:
		case whole.columns[i].Type != schema.String:
			r.own.AddInt(i, v.N)
		case utf8.ValidString(v.Text):
			r.own.AddString(i, v.Text)
		default:
			r.own.AddString(i, strings.ToValidUTF8(v.Text, "\uFFFD")) // some readers refuse a whole file because of one invalid byte
		}
	}
	r.own.EndRow(&r.place)
	r.count++
	r.measure(r.own.rows[len(r.own.rows)-1].ownCells(&r.own))
	w.noteOwn(r, 1)
	return w.limitMemory(ctx)
}

// rowsOf finds the columns of a partition, or takes others for it.
func (w *Writer) rowsOf(p *Place) *rows {
	if r := w.byPlace[p]; r != nil {
		return r
	}
	r := w.open[p.Partition]
	if r == nil {
		t := p.Table
		if spare := w.spare[t.Name]; len(spare) > 0 {
			r, w.spare[t.Name] = spare[len(spare)-1], spare[:len(spare)-1]
		} else {
			r = newRows(t.AsOf(w.version))
		}
		r.place.Partition = p.Partition
		w.open[p.Partition] = r
	}
	w.byPlace[p] = r
	return r
}

// noteOwn accounts for the rows that are not in chunks, before (-1) and after (1) they change.
func (w *Writer) noteOwn(r *rows, sign int) {
	w.own, w.reserved = w.own+sign*r.own.Memory(), w.reserved+sign*r.own.capacity()
}

// Flush passes on all rows, in the order of the names of their partitions.
func (w *Writer) Flush(ctx context.Context) error {
	if err := w.closeAll(ctx, w.sorted()); err != nil {
		return err
	}
	w.dropChunks()
	return nil
}

// limitMemory releases the chunks if all rows take too much.
func (w *Writer) limitMemory(ctx context.Context) error {
	if w.held+int64(w.own) <= MaxBytes {
		return nil
	}
	return w.releaseChunks(ctx)
}

// releaseChunks passes on rows such that no chunk is needed any more. Partitions that have few rows keep
// them, as copies, if these do not take too much: else the largest are passed on, in few records.
func (w *Writer) releaseChunks(ctx context.Context) error {
	open, own := w.sorted(), w.own
	slices.SortStableFunc(open, func(a, b *rows) int { return b.own.Memory() - a.own.Memory() }) // these are passed on first
	var full, few []*rows
	for _, r := range open {
		own -= r.own.Memory()
		if size := r.size(); r.count < fewRows && own+size <= maxOwn {
			few, own = append(few, r), own+size
		} else {
			full = append(full, r)
		}
	}
	for _, r := range few {
		w.noteOwn(r, -1)
		r.todo = copyOwn
	}
	if err := w.closeAll(ctx, full); err != nil {
		return err
	}
	for _, r := range few {
		w.noteOwn(r, 1)
		r.todo = leave
	}
	w.dropChunks()
	return nil
}

// walkChunks does with every row of the chunks what is to be done with it.
func (w *Writer) walkChunks() {
	for _, c := range w.chunks {
		for i := range c.rows[:c.added] {
			one := &c.rows[i]
			if one.part == written {
				continue
			}
			if to := c.parts[one.part].to; to.todo != leave {
				to.take(c, one)
				one.part = written
			}
		}
	}
}

// dropChunks releases the chunks, which no rows refer to.
func (w *Writer) dropChunks() {
	for _, c := range w.chunks {
		c.Release()
	}
	clear(w.chunks)
	w.chunks, w.held = w.chunks[:0], 0
}

// closeAll passes on the rows of partitions, which may not occur again.
func (w *Writer) closeAll(ctx context.Context, list []*rows) error {
	if err := w.flush(ctx, list...); err != nil {
		return err
	}
	for _, r := range list {
		delete(w.open, r.place.Partition)
		if w.reserved > maxReserved { // any number of partitions may have been large at some time
			w.reserved -= r.own.capacity()
			r.own = Chunk{}
			r.own.reset()
		}
		w.spare[r.place.Partition.Table] = append(w.spare[r.place.Partition.Table], r)
	}
	clear(w.byPlace)
	return nil
}

// sorted are the partitions in the order of their names.
func (w *Writer) sorted() []*rows {
	return slices.SortedFunc(maps.Values(w.open), func(a, b *rows) int {
		return strings.Compare(a.place.Partition.String(), b.place.Partition.String())
	})
}

// flush passes on the rows of partitions. It fills their columns chunk by chunk: so the chunks, which are
// much larger than the caches of the processor, are read once and from their beginnings to their ends.
func (w *Writer) flush(ctx context.Context, list ...*rows) error {
	for _, r := range list {
		w.noteOwn(r, -1)
		r.begin()
		w.noteOwn(r, 1)
	}
	w.walkChunks()
	for _, r := range list {
		if r.count == 0 {
			r.todo = leave
			continue
		}
		rec := r.record()
		err := w.write(ctx, r.place.Partition, rec)
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// arrowSchema is the layout of a table, which is made once for each version of the schema.
func arrowSchema(t schema.Table) *arrow.Schema {
	s, _ := arrowSchemas.LoadOrStore(t.Name+" "+strconv.Itoa(len(t.Columns))+" "+strconv.Itoa(t.Version), sync.OnceValue(t.Arrow))
	return s.(func() *arrow.Schema)()
}

var arrowSchemas sync.Map
