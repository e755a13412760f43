package extsort

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/klauspost/compress/s2"

	"github.com/siglake/siglake/schema"
)

// A run is a file of blocks of rows. A block is compressed as a whole, since its columns are small, and
// read back without being copied: the views of its columns point into it. It is
//
//	the numbers of rows and of bytes, the number of compressed bytes and their CRC-32C, 4 bytes each
//	of each column: which rows are null, 1 byte
//	of each column that is not null throughout: a bit for each row that is not null, if some are,
//	and the values, each part from a multiple of 8 bytes on
//
// Integers are in the order of the machine: a run does not outlive the process.

const blockHeader = 16

// What a block says of the nulls of a column.
const (
	noNulls byte = iota
	someNulls
	onlyNulls
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blockWriter writes blocks of one table. Its memory is reused.
type blockWriter struct {
	out             io.Writer
	table           *schema.Table
	raw, compressed []byte
}

// writeRows writes a block.
func (w *blockWriter) writeRows(rows []Row) error {
	w.raw = w.raw[:0]
	for i := range w.table.Columns {
		w.raw = append(w.raw, nullsOf(rows, i))
	}
	for i, c := range w.table.Columns {
		switch w.raw[i] {
		case onlyNulls:
			continue
		case someNulls:
			w.addBits(rows, func(r Row) bool { return !r.View.Columns[i].IsNull(r.Index) })
		}
		w.addColumn(rows, i, c.Type)
	}
	if n := s2.MaxEncodedLen(len(w.raw)); n < 0 {
		return fmt.Errorf("a block of %d bytes is too large", len(w.raw))
	} else if blockHeader+n > cap(w.compressed) {
		w.compressed = make([]byte, blockHeader+n)
	}
	block := w.compressed[:cap(w.compressed)]
	packed := s2.Encode(block[blockHeader:], w.raw)
	for i, n := range []int{len(rows), len(w.raw), len(packed)} {
		binary.NativeEndian.PutUint32(block[4*i:], uint32(n)) //nolint:gosec // s2 takes no more
	}
	binary.NativeEndian.PutUint32(block[12:], crc32.Checksum(packed, castagnoli))
	_, err := w.out.Write(block[:blockHeader+len(packed)])
	return err
}

// nullsOf says which of the rows are null in a column.
func nullsOf(rows []Row, column int) byte {
	nulls := 0
	for _, r := range rows {
		if r.View.Columns[column].IsNull(r.Index) {
			nulls++
		}
	}
	switch nulls {
	case 0:
		return noNulls
	case len(rows):
		return onlyNulls
	}
	return someNulls
}

// grow adds n bytes, which begin at a multiple of 8.
func (w *blockWriter) grow(n int) []byte {
	from := align(len(w.raw))
	w.raw = append(w.raw, make([]byte, from-len(w.raw)+n)...)
	return w.raw[from:]
}

func align(n int) int { return (n + 7) &^ 7 }

func (w *blockWriter) addBits(rows []Row, isSet func(Row) bool) {
	bits := w.grow((len(rows) + 7) / 8)
	for i, r := range rows {
		if isSet(r) {
			bits[i/8] |= 1 << (i % 8)
		}
	}
}

// addColumn adds the values of a column; those of nulls are zero.
func (w *blockWriter) addColumn(rows []Row, column int, t schema.Type) {
	switch t {
	case schema.String:
		w.addTexts(rows, column)
	case schema.Int64, schema.Time:
		values := arrow.Int64Traits.CastFromBytes(w.grow(8 * len(rows)))
		for i, r := range rows {
			if c := &r.View.Columns[column]; !c.IsNull(r.Index) {
				values[i] = c.Int64At(r.Index)
			}
		}
	case schema.Double:
		values := arrow.Float64Traits.CastFromBytes(w.grow(8 * len(rows)))
		for i, r := range rows {
			if c := &r.View.Columns[column]; !c.IsNull(r.Index) {
				values[i] = c.Float64At(r.Index)
			}
		}
	case schema.Date:
		values := arrow.Int32Traits.CastFromBytes(w.grow(4 * len(rows)))
		for i, r := range rows {
			if c := &r.View.Columns[column]; !c.IsNull(r.Index) {
				values[i] = c.DateAt(r.Index)
			}
		}
	case schema.Bool:
		w.addBits(rows, func(r Row) bool {
			c := &r.View.Columns[column]
			return !c.IsNull(r.Index) && c.BoolAt(r.Index)
		})
	default:
		panic(fmt.Sprintf("rows of type %s cannot be spilled", t))
	}
}

// addTexts adds where texts begin and end, and the texts.
func (w *blockWriter) addTexts(rows []Row, column int) {
	offsets := arrow.Int32Traits.CastFromBytes(w.grow(4 * (len(rows) + 1)))
	end := int32(0)
	for i, r := range rows {
		if c := &r.View.Columns[column]; !c.IsNull(r.Index) {
			end += c.offsets[r.Index+1] - c.offsets[r.Index]
		}
		offsets[i+1] = end
	}
	texts := w.grow(int(end))
	at := 0
	for _, r := range rows {
		if c := &r.View.Columns[column]; !c.IsNull(r.Index) {
			at += copy(texts[at:], c.TextAt(r.Index))
		}
	}
}

// blockReader reads blocks of one table.
type blockReader struct {
	in         io.Reader
	table      *schema.Table
	compressed []byte
	free       [][]byte // memory of views that were released
}

var errBlock = errors.New("a block is damaged")

// readRows reads the next block; io.EOF: there is none. The view holds its memory until release.
func (b *blockReader) readRows() (*RecordView, error) {
	var header [blockHeader]byte
	if _, err := io.ReadFull(b.in, header[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: %w", errBlock, err)
		}
		return nil, err
	}
	number := func(at int) int { return int(binary.NativeEndian.Uint32(header[4*at:])) }
	rows, size, packed := number(0), number(1), number(2)
	if packed > cap(b.compressed) {
		b.compressed = make([]byte, packed)
	}
	b.compressed = b.compressed[:packed]
	if _, err := io.ReadFull(b.in, b.compressed); err != nil {
		return nil, fmt.Errorf("%w: %s", errBlock, err.Error()) // its end is not that of the run
	}
	if crc32.Checksum(b.compressed, castagnoli) != binary.NativeEndian.Uint32(header[12:]) {
		return nil, errBlock
	}
	raw, err := s2.Decode(b.memory(size), b.compressed)
	if err != nil || len(raw) != size {
		return nil, errors.Join(errBlock, err)
	}
	return b.view(raw, rows), nil
}

// memory returns memory of a size, that of a released view if it is large enough.
func (b *blockReader) memory(size int) []byte {
	if n := len(b.free); n > 0 {
		m := b.free[n-1]
		if b.free = b.free[:n-1]; cap(m) >= size {
			return m[:size]
		}
	}
	return make([]byte, size, align(size+size/8))
}

// zeros are the values of a column that is null throughout: as in an Arrow array, they can be read.
var zeros = arrow.Int64Traits.CastToBytes(make([]int64, maxBatchRows+1))

// view opens a block. Its checksum was right, so that its lengths are.
func (b *blockReader) view(raw []byte, rows int) *RecordView {
	columns := b.table.Columns
	v := &RecordView{rows: rows, Columns: make([]ColumnView, len(columns)), owned: cap(raw), release: func() { b.free = append(b.free, raw) }}
	at := len(columns)
	take := func(n int) []byte {
		from := align(at)
		at = from + n
		return raw[from:at]
	}
	for i, c := range columns {
		view := &v.Columns[i]
		view.Type = c.Type
		take := take
		switch raw[i] {
		case onlyNulls:
			take = func(n int) []byte { return zeros[:n] }
			view.valid = take((rows + 7) / 8)
		case someNulls:
			view.valid = take((rows + 7) / 8)
		}
		switch c.Type {
		case schema.String:
			view.offsets = arrow.Int32Traits.CastFromBytes(take(4 * (rows + 1)))
			view.text = take(int(view.offsets[rows]))
		case schema.Int64, schema.Time:
			view.int64s = arrow.Int64Traits.CastFromBytes(take(8 * rows))
		case schema.Double:
			view.float64s = arrow.Float64Traits.CastFromBytes(take(8 * rows))
		case schema.Date:
			view.dates = arrow.Int32Traits.CastFromBytes(take(4 * rows))
		case schema.Bool:
			view.bools = take((rows + 7) / 8)
		}
	}
	return v
}
