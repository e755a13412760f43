package extsort

import (
	"bytes"
	"context"
	"errors"
)

// cursor walks sorted rows. A key is valid until the next call, a row until
// [mergeSorted] has handed it over, or longer if it was kept then.
type cursor interface {
	nextRow() (r Row, key []byte, ok bool, err error)
	close() error
}

// The most rows, and the most finished batches of rows, that mergeSorted hands over at a
// time.
const (
	yieldRows    = 1024
	yieldBatches = 16
)

// mergeSorted is a k-way merge of sorted cursors. It hands the rows over in slices that
// yield must not keep; rows with equal keys come in the order of the cursors. It closes
// the cursors.
func mergeSorted(ctx context.Context, cursors []cursor, yield func([]Row) error) (err error) {
	defer func() { err = errors.Join(err, closeCursors(cursors)) }()

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

	rows := make([]Row, 0, yieldRows)
	var finished []*RecordView
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := yield(rows)
		for _, b := range finished {
			if !b.kept {
				b.release()
			}
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
		if current.View.release != nil && (!ok || top.row.View != current.View) {
			finished = append(finished, current.View)
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
	row    Row
	key    []byte
}

func (h *source) advance() (ok bool, err error) {
	h.row, h.key, ok, err = h.cursor.nextRow()
	return ok, err
}

// sourceHeap keeps the source with the least key first; of equal keys, the source of the
// first cursor.
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
