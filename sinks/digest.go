package sinks

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"
	"math/bits"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/schema"
)

// digest is the SHA-256 of a file's rows, independent of their encoding. It covers the
// table's name, version, column names and types, then every value in row order. Each
// value is preceded by a byte that says whether it is null, and each text by its length,
// so that no two contents look alike. All NaN count as one. Numbers are little-endian.
type digest struct {
	hash    hash.Hash
	buf     []byte
	columns int
	rows    uint64
}

func newDigest(t *schema.Table) *digest {
	d := &digest{hash: sha256.New(), buf: make([]byte, 0, 64<<10), columns: len(t.Columns)}
	d.addText([]byte("siglake rows 1"))
	d.addText([]byte(t.Name))
	d.buf = binary.LittleEndian.AppendUint64(d.buf, uint64(t.Version))
	d.buf = binary.LittleEndian.AppendUint64(d.buf, uint64(len(t.Columns)))
	for _, c := range t.Columns {
		d.addText([]byte(c.Name))
		d.addText([]byte(c.Type.String()))
	}
	return d
}

func (d *digest) addText(s []byte) {
	d.buf = appendLengthPrefixed(d.buf, s)
}

func appendLengthPrefixed(b, s []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

// appendRow writes the values of the row's first columns in the form that digests cover.
func appendRow(b []byte, r extsort.Row, columns int) []byte {
	for i := range columns {
		c := &r.View.Columns[i]
		if c.IsNull(r.Index) {
			b = append(b, 0)
			continue
		}
		b = append(b, 1)
		switch c.Type {
		case schema.String:
			b = appendLengthPrefixed(b, c.TextAt(r.Index))
		case schema.Int64, schema.Time:
			b = binary.LittleEndian.AppendUint64(b, uint64(c.Int64At(r.Index)))
		case schema.Double:
			v := c.Float64At(r.Index)
			if v != v {
				v = math.NaN()
			}
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		case schema.Date:
			b = binary.LittleEndian.AppendUint32(b, uint32(c.DateAt(r.Index)))
		case schema.Bool:
			bit := byte(0)
			if c.BoolAt(r.Index) {
				bit = 1
			}
			b = append(b, bit)
		}
	}
	return b
}

func (d *digest) addRows(rows []extsort.Row) {
	for _, r := range rows {
		d.addRow(r)
	}
}

func (d *digest) addRow(r extsort.Row) {
	d.buf = appendRow(d.buf, r, d.columns)
	d.rows++
	if len(d.buf) >= 32<<10 {
		d.hash.Write(d.buf)
		d.buf = d.buf[:0]
	}
}

// hexSum completes the digest and returns it in hexadecimal.
func (d *digest) hexSum() string {
	d.buf = binary.LittleEndian.AppendUint64(d.buf, d.rows)
	d.hash.Write(d.buf)
	return hex.EncodeToString(d.hash.Sum(nil))
}

// MultisetHash identifies the multiset of rows that some files hold together, whatever
// their order: the number of rows and the sum of their SHA-256, as numbers.
type MultisetHash struct {
	Rows int64
	Sum  [4]uint64 // least significant first
}

func (t *MultisetHash) addEncoded(encoded []byte) {
	h := sha256.Sum256(encoded)
	one := MultisetHash{Rows: 1}
	for i := range one.Sum {
		one.Sum[i] = binary.LittleEndian.Uint64(h[8*i:])
	}
	t.Add(&one)
}

// Add adds the rows of other files.
func (t *MultisetHash) Add(other *MultisetHash) {
	carry := uint64(0)
	for i := range t.Sum {
		t.Sum[i], carry = bits.Add64(t.Sum[i], other.Sum[i], carry)
	}
	t.Rows += other.Rows
}
