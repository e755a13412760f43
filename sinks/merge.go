package sinks

import (
	"bytes"
	"context"
	"errors"

	"github.com/siglake/siglake/schema"
)

// cursor walks sorted rows. A key is valid until the next call, a row until the
// next hand-over of [mergeSorted].
type cursor interface {
	nextRow() (r row, key []byte, ok bool, err error)
	close() error
}

// handOver is how many rows, or how many finished batches, merge hands over at
// a time.
const (
	yieldRows    = 1024
	yieldBatches = 16
)

// mergeSorted reads sorted cursors into one order and hands the rows over in slices
// that the receiver must not keep. Rows with equal keys come in the order of
// the cursors. It closes the cursors.
func mergeSorted(ctx context.Context, cursors []cursor, yield func([]row) error) (err error) {
	defer func() {
		for _, c := range cursors {
			err = errors.Join(err, c.close())
		}
	}()

	var h sourceHeap
	for i, c := range cursors {
		src := &source{cursor: c, order: i}
		ok, err := src.advance()
		if err != nil {
			return err
		}
		if ok {
			h = append(h, src)
		}
	}
	h.initHeap()

	rows := make([]row, 0, yieldRows)
	var finished []*recordView
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := yield(rows)
		for _, b := range finished {
			b.record.Release()
		}
		rows, finished = rows[:0], finished[:0]
		return err
	}
	for len(h) > 0 {
		top := h[0]
		current := top.row
		rows = append(rows, current)
		ok, err := top.advance()
		if err != nil {
			return err
		}
		if _, borrowed := top.cursor.(*runCursor); borrowed && (!ok || top.row.view != current.view) {
			finished = append(finished, current.view)
		}
		if !ok {
			h[0] = h[len(h)-1]
			h = h[:len(h)-1]
		}
		h.siftDown(0)
		if len(rows) == yieldRows || len(finished) == yieldBatches {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// source is a cursor with the row it stands on.
type source struct {
	cursor cursor
	order  int
	row    row
	key    []byte
}

func (h *source) advance() (ok bool, err error) {
	h.row, h.key, ok, err = h.cursor.nextRow()
	return ok, err
}

// sourceHeap keeps the head with the least key first, equal keys by rank.
type sourceHeap []*source

func (h sourceHeap) less(a, b *source) bool {
	if c := bytes.Compare(a.key, b.key); c != 0 {
		return c < 0
	}
	return a.order < b.order
}

func (h sourceHeap) initHeap() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.siftDown(i)
	}
}

func (h sourceHeap) siftDown(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if right := child + 1; right < len(h) && h.less(h[right], h[child]) {
			child = right
		}
		if !h.less(h[child], h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// deduplicator drops rows that came before: neighbours with the same value in
// the table's unique column and the same raw record. The first stays. When the
// raw record differs, both stay. Rows without a unique value all stay.
type deduplicator struct {
	uniqueColumn, rawColumn int // columns; -1 when the table has none
	dropped                 int64

	lastUnique []byte    // unique value of the group at hand
	variants   []variant // its different raw records
	used       int       // how many of seen are in use
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

// isFirst says whether the row is the first of its kind.
func (d *deduplicator) isFirst(r row) bool {
	if d.uniqueColumn < 0 || d.rawColumn < 0 {
		return true
	}
	id, record := &r.view.columns[d.uniqueColumn], &r.view.columns[d.rawColumn]
	if id.isNull(r.index) {
		d.used = 0
		return true
	}
	candidate := variant{null: record.isNull(r.index)}
	if !candidate.null {
		candidate.raw = record.textAt(r.index)
	}
	if d.used == 0 || !bytes.Equal(d.lastUnique, id.textAt(r.index)) {
		d.lastUnique = append(d.lastUnique[:0], id.textAt(r.index)...)
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
	s := &d.variants[d.used] // its memory is used again
	s.raw, s.null = append(s.raw[:0], candidate.raw...), candidate.null
	d.used++
	return true
}
