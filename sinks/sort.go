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

// partition collects the rows of one partition: the newest in memory, in the
// order they came, older ones in sorted runs on disk.
type partition struct {
	schema.Partition
	table  *schema.Table
	arrow  *arrow.Schema
	order  []sortColumn
	recs   []arrow.Record
	memory int64 // of recs, with what sorting them will take
	runs   []run // in the order the rows came
}

const (
	// smallRecord is how many rows a record must have to be kept as it came.
	// Smaller ones are joined, since every array costs some hundred bytes
	// whatever it holds.
	smallRecord = 1024
	joinAt      = 64 // this many small records
	keyMemory   = 64 // bytes a row takes while it is sorted
)

// add keeps a record.
func (p *partition) add(rec arrow.Record) error {
	if isPart(rec) {
		whole, err := concat(p.arrow, []arrow.Record{rec})
		if err != nil {
			return err
		}
		p.keep(whole)
	} else {
		rec.Retain()
		p.keep(rec)
	}
	return p.join()
}

func (p *partition) keep(rec arrow.Record) {
	p.recs = append(p.recs, rec)
	p.memory += memoryOf(rec) + keyMemory*rec.NumRows()
}

// join makes one record of the small ones at the end, when they are many.
func (p *partition) join() error {
	first := len(p.recs)
	for first > 0 && p.recs[first-1].NumRows() < smallRecord {
		first--
	}
	small := p.recs[first:]
	if len(small) < joinAt {
		return nil
	}
	whole, err := concat(p.arrow, small)
	if err != nil {
		return err
	}
	for _, rec := range small {
		p.memory -= memoryOf(rec) + keyMemory*rec.NumRows()
		rec.Release()
	}
	p.recs = p.recs[:first]
	p.keep(whole)
	return nil
}

// forget drops what is in memory.
func (p *partition) forget() {
	for _, rec := range p.recs {
		rec.Release()
	}
	p.recs, p.memory = nil, 0
}

// sortColumn is a column that orders rows.
type sortColumn struct {
	index int
	typ   schema.Type
}

func sortOrder(t *schema.Table) []sortColumn {
	var order []sortColumn
	for _, name := range t.Sort {
		i := t.Index(name)
		order = append(order, sortColumn{i, t.Columns[i].Type})
	}
	return order
}

// appendKey writes the row's sort columns so that keys compare bytewise as the
// rows do: nulls first, text bytewise, numbers by value, NaN by its bits beyond
// the infinity of its sign.
func appendKey(key []byte, order []sortColumn, r row) []byte {
	for _, s := range order {
		c := &r.b.cols[s.index]
		if c.null(r.i) {
			key = append(key, 0)
			continue
		}
		key = append(key, 1)
		switch s.typ {
		case schema.String:
			key = appendText(key, c.str(r.i))
		case schema.Int64, schema.Time:
			key = binary.BigEndian.AppendUint64(key, uint64(c.long(r.i))^1<<63)
		case schema.Double:
			u := math.Float64bits(c.real(r.i))
			if u>>63 == 1 {
				u = ^u
			} else {
				u |= 1 << 63
			}
			key = binary.BigEndian.AppendUint64(key, u)
		case schema.Date:
			key = binary.BigEndian.AppendUint32(key, uint32(c.day(r.i))^1<<31)
		case schema.Bool:
			b := byte(0)
			if c.bit(r.i) {
				b = 1
			}
			key = append(key, b)
		}
	}
	return key
}

// appendText ends a text with 0 1, which sorts before any byte that can follow
// within a longer text, since a zero within becomes 0 255.
func appendText(key, s []byte) []byte {
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

// keys are the sort keys of many rows, back to back.
type keys struct {
	bytes []byte
	ends  []int
}

func (k *keys) reset() { k.bytes, k.ends = k.bytes[:0], k.ends[:0] }

func (k *keys) add(order []sortColumn, r row) {
	k.bytes = appendKey(k.bytes, order, r)
	k.ends = append(k.ends, len(k.bytes))
}

func (k *keys) at(i int) []byte {
	start := 0
	if i > 0 {
		start = k.ends[i-1]
	}
	return k.bytes[start:k.ends[i]]
}

// sorted is a cursor over the partition's rows in memory, in order; rows with
// equal keys in the order they came. The partition must not change meanwhile.
func (p *partition) sorted() *sortedRows {
	total := 0
	for _, rec := range p.recs {
		total += int(rec.NumRows())
	}
	s := &sortedRows{rows: make([]row, 0, total), order: make([]int32, total)}
	s.keys.ends = make([]int, 0, total)
	for _, rec := range p.recs {
		b := newBatch(p.table, rec)
		for i := range int32(rec.NumRows()) {
			r := row{b, i}
			s.rows = append(s.rows, r)
			s.keys.add(p.order, r)
		}
	}
	for i := range s.order {
		s.order[i] = int32(i)
	}
	slices.SortFunc(s.order, func(a, b int32) int {
		if c := bytes.Compare(s.keys.at(int(a)), s.keys.at(int(b))); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	return s
}

type sortedRows struct {
	rows  []row
	keys  keys
	order []int32
	at    int
}

func (s *sortedRows) next() (row, []byte, bool, error) {
	if s.at == len(s.order) {
		return row{}, nil, false, nil
	}
	i := s.order[s.at]
	s.at++
	return s.rows[i], s.keys.at(int(i)), true, nil
}

func (s *sortedRows) close() error { return nil }
