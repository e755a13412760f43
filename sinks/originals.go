package sinks

import (
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/siglake/siglake/schema"
)

// originals has the entities of the lines of a list that later lines repeat. Lines are written in any
// order, and their rows are selected in that of the list, in which the original comes first. So the
// numbers of originals are noted while lines are written, in 4 bytes for each duplicate, and their ids
// while rows are selected.
type originals struct {
	row, duplicateOf int // columns

	repeated []uint32 // numbers of originals; in ascending order once rows are selected
	sorted   bool
	rows     []uint32 // originals with an id, in ascending order
	ends     []uint32 // where the id of each ends
	ids      []byte
}

// newOriginals is for the rows of a table; nil: it holds no lines of a list, or they have no entity of an
// earlier line.
func newOriginals(t *schema.Table) *originals {
	if t.Name != schema.Accounts.Name || t.Version < schema.EntitiesVersion {
		return nil
	}
	return &originals{row: t.ColumnIndex("row"), duplicateOf: t.ColumnIndex("duplicate_of_row")}
}

// addRows notes which lines the rows of a record repeat.
func (o *originals) addRows(rec arrow.Record) {
	of := rec.Column(o.duplicateOf).(*array.Int64)
	if of.NullN() == of.Len() {
		return
	}
	for i := range of.Len() {
		if row := of.Value(i); of.IsValid(i) && isRow(row) {
			o.repeated = append(o.repeated, uint32(row)) //nolint:gosec // in range
		}
	}
}

// isRow reports whether a number is that of a line: a list has no more than 32 bits count.
func isRow(n int64) bool { return n > 0 && n <= math.MaxUint32 }

// note keeps the entity of a row if later ones repeat it. Rows come in ascending order.
func (o *originals) note(row int64, entityID cell) {
	if !o.sorted {
		slices.Sort(o.repeated)
		o.repeated, o.sorted = slices.Compact(o.repeated), true
	}
	if !entityID.known || !isRow(row) {
		return
	}
	if _, repeated := slices.BinarySearch(o.repeated, uint32(row)); repeated { //nolint:gosec // in range
		o.ids = append(o.ids, entityID.text...)
		o.rows, o.ends = append(o.rows, uint32(row)), append(o.ends, uint32(len(o.ids))) //nolint:gosec // in range
	}
}

// entityID is the entity of an original; not known if it has none.
func (o *originals) entityID(row int64) cell {
	if !isRow(row) {
		return cell{}
	}
	at, found := slices.BinarySearch(o.rows, uint32(row)) //nolint:gosec // in range
	if !found {
		return cell{}
	}
	start := uint32(0)
	if at > 0 {
		start = o.ends[at-1]
	}
	return cell{text: string(o.ids[start:o.ends[at]]), known: true}
}
