package sinks

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/schema"
)

// sorter sorts the rows of one table: the newest are in memory, in the order in
// which they were added, older ones in sorted runs on disk. It is used by one
// goroutine.
type sorter struct {
	table   *schema.Table
	arrow   *arrow.Schema
	order   []sortColumn
	name    string // for errors
	space   *space
	records []arrow.Record
	memory  int64       // of records, with what sorting them will take
	runs    []sortedRun // in the order in which their rows were added
}

// newSorter returns a sorter for rows of a table. Errors call it by name. Without a
// space it cannot spill.
func newSorter(t *schema.Table, name string, space *space) *sorter {
	return &sorter{table: t, arrow: t.Arrow(), order: sortOrder(t), name: name, space: space}
}

const (
	// smallRecordRows is how many rows a record must have to be kept as it came.
	// Smaller ones are joined, since every array costs some hundred bytes
	// whatever it holds.
	smallRecordRows  = 1024
	joinThreshold    = 64 // this many small records
	sortMemoryPerRow = 64 // bytes a row takes while it is sorted
)

// Add keeps a record, which must have the table's layout.
func (s *sorter) Add(rec arrow.Record) error {
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
func (s *sorter) Memory() int64 { return s.memory }

func (s *sorter) keepRecord(rec arrow.Record) {
	s.records = append(s.records, rec)
	s.memory += recordMemory(rec) + sortMemoryPerRow*rec.NumRows()
}

// joinSmall makes one record of the small ones at the end, when they are many.
func (s *sorter) joinSmall() error {
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
func (s *sorter) Release() {
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
func appendKey(key []byte, order []sortColumn, r row) []byte {
	for _, s := range order {
		c := &r.view.columns[s.index]
		if c.isNull(r.index) {
			key = append(key, 0)
			continue
		}
		key = append(key, 1)
		switch s.typ {
		case schema.String:
			key = appendTextKey(key, c.textAt(r.index))
		case schema.Int64, schema.Time:
			key = binary.BigEndian.AppendUint64(key, uint64(c.int64At(r.index))^1<<63)
		case schema.Double:
			u := math.Float64bits(c.float64At(r.index))
			if u>>63 == 1 {
				u = ^u
			} else {
				u |= 1 << 63
			}
			key = binary.BigEndian.AppendUint64(key, u)
		case schema.Date:
			key = binary.BigEndian.AppendUint32(key, uint32(c.dateAt(r.index))^1<<31)
		case schema.Bool:
			b := byte(0)
			if c.boolAt(r.index) {
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

func (k *sortKeys) addKey(order []sortColumn, r row) {
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

// sortRecords returns a cursor over the sorted rows in memory; rows with equal keys
// are in the order in which they were added. The sorter must not change meanwhile.
func (s *sorter) sortRecords() *memoryCursor {
	total := 0
	for _, rec := range s.records {
		total += int(rec.NumRows())
	}
	c := &memoryCursor{rows: make([]row, 0, total), order: make([]int32, total)}
	c.keys.ends = make([]int, 0, total)
	for _, rec := range s.records {
		view := newRecordView(s.table, rec)
		for i := range int32(rec.NumRows()) {
			r := view.Row(i)
			c.rows = append(c.rows, r)
			c.keys.addKey(s.order, r)
		}
	}
	for i := range c.order {
		c.order[i] = int32(i)
	}
	slices.SortFunc(c.order, func(a, b int32) int {
		if order := bytes.Compare(c.keys.keyAt(int(a)), c.keys.keyAt(int(b))); order != 0 {
			return order
		}
		return cmp.Compare(a, b)
	})
	return c
}

type memoryCursor struct {
	rows     []row
	keys     sortKeys
	order    []int32
	position int
}

func (s *memoryCursor) nextRow() (row, []byte, bool, error) {
	if s.position == len(s.order) {
		return row{}, nil, false, nil
	}
	i := s.order[s.position]
	s.position++
	return s.rows[i], s.keys.keyAt(int(i)), true, nil
}

func (s *memoryCursor) close() error { return nil }
