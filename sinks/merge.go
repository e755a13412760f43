package sinks

import (
	"bytes"
	"context"
	"errors"

	"github.com/siglake/siglake/schema"
)

// cursor walks sorted rows. A key is valid until the next call, a row until the
// next hand-over of [merge].
type cursor interface {
	next() (r row, key []byte, ok bool, err error)
	close() error
}

// handOver is how many rows, or how many finished batches, merge hands over at
// a time.
const (
	handOverRows    = 1024
	handOverBatches = 16
)

// merge reads sorted cursors into one order and hands the rows over in slices
// that the receiver must not keep. Rows with equal keys come in the order of
// the cursors. It closes the cursors.
func merge(ctx context.Context, cursors []cursor, take func([]row) error) (err error) {
	defer func() {
		for _, c := range cursors {
			err = errors.Join(err, c.close())
		}
	}()

	var h heap
	for i, c := range cursors {
		hd := &head{cursor: c, rank: i}
		ok, err := hd.advance()
		if err != nil {
			return err
		}
		if ok {
			h = append(h, hd)
		}
	}
	h.build()

	rows := make([]row, 0, handOverRows)
	var finished []*batch
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := take(rows)
		for _, b := range finished {
			b.rec.Release()
		}
		rows, finished = rows[:0], finished[:0]
		return err
	}
	for len(h) > 0 {
		top := h[0]
		now := top.row
		rows = append(rows, now)
		ok, err := top.advance()
		if err != nil {
			return err
		}
		if _, borrowed := top.cursor.(*spilled); borrowed && (!ok || top.row.b != now.b) {
			finished = append(finished, now.b)
		}
		if !ok {
			h[0] = h[len(h)-1]
			h = h[:len(h)-1]
		}
		h.down(0)
		if len(rows) == handOverRows || len(finished) == handOverBatches {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// head is a cursor with the row it stands on.
type head struct {
	cursor cursor
	rank   int
	row    row
	key    []byte
}

func (h *head) advance() (ok bool, err error) {
	h.row, h.key, ok, err = h.cursor.next()
	return ok, err
}

// heap keeps the head with the least key first, equal keys by rank.
type heap []*head

func (h heap) less(a, b *head) bool {
	if c := bytes.Compare(a.key, b.key); c != 0 {
		return c < 0
	}
	return a.rank < b.rank
}

func (h heap) build() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h heap) down(i int) {
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

// deduplicate drops rows that came before: neighbours with the same value in
// the table's unique column and the same raw record. The first stays. When the
// raw record differs, both stay. Rows without a unique value all stay.
type deduplicate struct {
	unique, raw int // columns; -1 when the table has none
	dropped     int64

	last []byte    // unique value of the group at hand
	seen []variant // its different raw records
	kept int       // how many of seen are in use
}

type variant struct {
	raw  []byte
	null bool
}

// maxVariants bounds how many different records with one unique value are
// remembered.
const maxVariants = 64

func newDeduplicate(t *schema.Table) *deduplicate {
	d := &deduplicate{unique: -1}
	if t.Unique != "" {
		d.unique, d.raw = t.Index(t.Unique), t.Index("raw")
	}
	return d
}

// first says whether the row is the first of its kind.
func (d *deduplicate) first(r row) bool {
	if d.unique < 0 || d.raw < 0 {
		return true
	}
	id, record := &r.b.cols[d.unique], &r.b.cols[d.raw]
	if id.null(r.i) {
		d.kept = 0
		return true
	}
	now := variant{null: record.null(r.i)}
	if !now.null {
		now.raw = record.str(r.i)
	}
	if d.kept == 0 || !bytes.Equal(d.last, id.str(r.i)) {
		d.last = append(d.last[:0], id.str(r.i)...)
		d.kept = 0
	}
	for _, s := range d.seen[:d.kept] {
		if s.null == now.null && bytes.Equal(s.raw, now.raw) {
			d.dropped++
			return false
		}
	}
	if d.kept == maxVariants {
		return true
	}
	if d.kept == len(d.seen) {
		d.seen = append(d.seen, variant{})
	}
	s := &d.seen[d.kept] // its memory is used again
	s.raw, s.null = append(s.raw[:0], now.raw...), now.null
	d.kept++
	return true
}
