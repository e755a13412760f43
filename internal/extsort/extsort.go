// Package extsort is an external merge sort: it sorts the rows of one table, as Arrow
// records, in bounded memory. A [Sorter] keeps records, spills them to disk as sorted
// runs on request, and merges runs and memory k ways. The sort is stable. Many runs are
// merged into one, so that only a few files are open at a time; runs that follow one
// another are joined as they are, as those of rows that come almost sorted do.
//
// Rows are read through a [RecordView], which shares the memory of its record.
package extsort

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/schema"
)

// Sorter sorts the rows of one table: the newest are in memory, in the order in
// which they were added, older ones in sorted runs on disk. It is used by one
// goroutine.
type Sorter struct {
	table   *schema.Table
	arrow   *arrow.Schema
	order   []sortColumn
	name    string // for errors
	space   *Space
	records []arrow.Record
	memory  int64       // of records, with what sorting them will take
	runs    []sortedRun // in the order in which their rows were added
}

// New returns a sorter for rows of a table. Its errors contain name. Without a space it
// cannot spill.
func New(t *schema.Table, name string, space *Space) *Sorter {
	return &Sorter{table: t, arrow: t.Arrow(), order: sortOrder(t), name: name, space: space}
}

const (
	// smallRecordRows is how many rows a record must have to be kept as it is.
	// Smaller ones are joined, since every array costs some hundred bytes
	// whatever it holds.
	smallRecordRows  = 1024
	joinThreshold    = 64 // this many small records
	sortMemoryPerRow = 64 // bytes a row takes while it is sorted
)

// Add keeps a record, which must have the table's layout.
func (s *Sorter) Add(rec arrow.Record) error {
	if isSlice(rec) {
		copied, err := concatRecords(s.arrow, []arrow.Record{rec})
		if err != nil {
			return err
		}
		s.keepRecord(copied)
	} else {
		rec.Retain()
		s.keepRecord(rec)
	}
	return s.joinSmall()
}

// Memory is about how many bytes the rows in memory take, sorting included.
func (s *Sorter) Memory() int64 { return s.memory }

func (s *Sorter) keepRecord(rec arrow.Record) {
	s.records = append(s.records, rec)
	s.memory += recordMemory(rec) + sortMemoryPerRow*rec.NumRows()
}

// joinSmall joins the small records at the end into one, once there are many.
func (s *Sorter) joinSmall() error {
	first := len(s.records)
	for first > 0 && s.records[first-1].NumRows() < smallRecordRows {
		first--
	}
	small := s.records[first:]
	if len(small) < joinThreshold {
		return nil
	}
	joined, err := concatRecords(s.arrow, small)
	if err != nil {
		return err
	}
	for _, rec := range small {
		s.memory -= recordMemory(rec) + sortMemoryPerRow*rec.NumRows()
		rec.Release()
	}
	s.records = s.records[:first]
	s.keepRecord(joined)
	return nil
}

// Release drops what is in memory.
func (s *Sorter) Release() {
	for _, rec := range s.records {
		rec.Release()
	}
	s.records, s.memory = nil, 0
}

// sortColumn is a column that orders rows.
type sortColumn struct {
	index int
	typ   schema.Type
}

func sortOrder(t *schema.Table) []sortColumn {
	var order []sortColumn
	for _, name := range t.Sort {
		i := t.ColumnIndex(name)
		order = append(order, sortColumn{i, t.Columns[i].Type})
	}
	return order
}

// appendKey writes the row's sort columns so that keys compare bytewise as the
// rows do: nulls first, text bytewise, numbers by value, NaN by its bits beyond
// the infinity of its sign.
func appendKey(key []byte, order []sortColumn, r Row) []byte {
	for _, s := range order {
		c := &r.View.Columns[s.index]
		if c.IsNull(r.Index) {
			key = append(key, 0)
			continue
		}
		key = append(key, 1)
		switch s.typ {
		case schema.String:
			key = appendTextKey(key, c.TextAt(r.Index))
		case schema.Int64, schema.Time:
			key = binary.BigEndian.AppendUint64(key, uint64(c.Int64At(r.Index))^1<<63)
		case schema.Double:
			u := math.Float64bits(c.Float64At(r.Index))
			if u>>63 == 1 {
				u = ^u
			} else {
				u |= 1 << 63
			}
			key = binary.BigEndian.AppendUint64(key, u)
		case schema.Date:
			key = binary.BigEndian.AppendUint32(key, uint32(c.DateAt(r.Index))^1<<31)
		case schema.Bool:
			b := byte(0)
			if c.BoolAt(r.Index) {
				b = 1
			}
			key = append(key, b)
		}
	}
	return key
}

// appendTextKey ends a text with 0 1, which sorts before any byte that can follow
// within a longer text, since a zero within becomes 0 255.
func appendTextKey(key, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, 0)
		if i < 0 {
			key = append(key, s...)
			return append(key, 0, 1)
		}
		key = append(key, s[:i]...)
		key = append(key, 0, 255)
		s = s[i+1:]
	}
}

// sortKeys are the sort keys of many rows, back to back.
type sortKeys struct {
	bytes []byte
	ends  []int
}

func (k *sortKeys) reset() { k.bytes, k.ends = k.bytes[:0], k.ends[:0] }

func (k *sortKeys) addKey(order []sortColumn, r Row) {
	k.bytes = appendKey(k.bytes, order, r)
	k.ends = append(k.ends, len(k.bytes))
}

func (k *sortKeys) keyAt(i int) []byte {
	start := 0
	if i > 0 {
		start = k.ends[i-1]
	}
	return k.bytes[start:k.ends[i]]
}

// keyBytes is about how many bytes the sort keys of the rows take.
func (v *RecordView) keyBytes(order []sortColumn) (n int) {
	for _, s := range order {
		n += v.rows * 9 // an integer, and whether it is null; of a text, what is around it
		if c := &v.Columns[s.index]; c.offsets != nil {
			n += int(c.offsets[v.rows] - c.offsets[0])
		}
	}
	return n
}

// sortRecords returns a cursor over the sorted rows in memory; rows with equal keys
// are in the order in which they were added. The sorter must not change meanwhile.
func (s *Sorter) sortRecords() *memoryCursor {
	total := 0
	for _, rec := range s.records {
		total += int(rec.NumRows())
	}
	c := &memoryCursor{rows: make([]Row, 0, total), order: make([]int32, total)}
	views, size := make([]*RecordView, len(s.records)), 0
	for i, rec := range s.records {
		views[i] = NewRecordView(s.table, rec)
		size += views[i].keyBytes(s.order)
	}
	c.keys = sortKeys{bytes: make([]byte, 0, size), ends: make([]int, 0, total)}
	for _, view := range views {
		for i := range int32(view.rows) { //nolint:gosec // records are small
			r := view.Row(i)
			c.rows = append(c.rows, r)
			c.keys.addKey(s.order, r)
		}
	}
	sortByKey(&c.keys, c.order)
	return c
}

type memoryCursor struct {
	rows     []Row
	keys     sortKeys
	order    []int32
	position int
}

func (s *memoryCursor) nextRow() (Row, []byte, bool, error) {
	if s.position == len(s.order) {
		return Row{}, nil, false, nil
	}
	i := s.order[s.position]
	s.position++
	return s.rows[i], s.keys.keyAt(int(i)), true, nil
}

func (s *memoryCursor) close() error { return nil }
