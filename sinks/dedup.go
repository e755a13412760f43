package sinks

import (
	"bytes"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/schema"
)

// deduplicator drops repeated rows: neighbours with the same value in the table's unique
// column and the same raw record. The first stays. Rows with different raw records and
// rows without a unique value all stay.
type deduplicator struct {
	uniqueColumn, rawColumn int // columns; -1 when the table has none
	dropped                 int64

	lastUnique []byte    // unique value of the current group
	variants   []variant // its different raw records
	used       int       // how many of variants are in use
}

type variant struct {
	raw  []byte
	null bool
}

// maxVariants bounds how many different records with one unique value are
// remembered.
const maxVariants = 64

func newDeduplicator(t *schema.Table) *deduplicator {
	d := &deduplicator{uniqueColumn: -1}
	if t.Unique != "" {
		d.uniqueColumn, d.rawColumn = t.ColumnIndex(t.Unique), t.ColumnIndex("raw")
	}
	return d
}

// isFirst reports whether the row is the first of its kind.
func (d *deduplicator) isFirst(r extsort.Row) bool {
	if d.uniqueColumn < 0 || d.rawColumn < 0 {
		return true
	}
	id, record := &r.View.Columns[d.uniqueColumn], &r.View.Columns[d.rawColumn]
	if id.IsNull(r.Index) {
		d.used = 0
		return true
	}
	candidate := variant{null: record.IsNull(r.Index)}
	if !candidate.null {
		candidate.raw = record.TextAt(r.Index)
	}
	if d.used == 0 || !bytes.Equal(d.lastUnique, id.TextAt(r.Index)) {
		d.lastUnique = append(d.lastUnique[:0], id.TextAt(r.Index)...)
		d.used = 0
	}
	for _, s := range d.variants[:d.used] {
		if s.null == candidate.null && bytes.Equal(s.raw, candidate.raw) {
			d.dropped++
			return false
		}
	}
	if d.used == maxVariants {
		return true
	}
	if d.used == len(d.variants) {
		d.variants = append(d.variants, variant{})
	}
	s := &d.variants[d.used] // its memory is reused
	s.raw, s.null = append(s.raw[:0], candidate.raw...), candidate.null
	d.used++
	return true
}
